"""The command line, ``xdownscale``: each command reads files, calls one public function, writes files.

Errors that a user can mend end with exit code 2 and one message, without a traceback. Outputs are refused if
they exist, unless ``--overwrite`` is given, before anything is computed, and appear whole or not at all.
"""

from __future__ import annotations

import click

from xdownscale.cli.demonstrate import demo
from xdownscale.cli.fields import explain, models, predict, verify
from xdownscale.cli.judge import evaluate
from xdownscale.cli.learn import calibrate, pretrain, train
from xdownscale.cli.simulate import nature_run

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="xarray-downscale")
def main() -> None:
    """Probabilistic downscaling of aerosol fields: coarse netCDF in, CF netCDF with members out."""


for _command in (predict, explain, verify, models, demo, nature_run, pretrain, train, calibrate, evaluate):
    main.add_command(_command)
