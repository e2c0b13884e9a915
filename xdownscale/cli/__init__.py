"""The command line, ``xdownscale``: each command reads files, calls one public function, writes files.

Exit codes: 0, done; 1, what was examined is not as it should be (``verify``, ``check``, ``doctor``); 2,
refused, with one message and no traceback; 130, interrupted. Outputs are refused if they exist, unless
``--overwrite`` is given, before anything is computed, and appear whole or not at all.
"""

from __future__ import annotations

import os

import click

from xdownscale.cli.demonstrate import demo
from xdownscale.cli.doctor import doctor
from xdownscale.cli.examine import check, diagnose
from xdownscale.cli.fields import explain, models, predict, verify
from xdownscale.cli.judge import evaluate
from xdownscale.cli.learn import calibrate, distil, pretrain, train
from xdownscale.cli.simulate import nature_run

__all__ = ["main"]


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog=(
        "Exit codes: 0 done; 1 examined and found wanting; 2 refused; 130 interrupted.\n\n"
        'Tab completion: eval "$(_XDOWNSCALE_COMPLETE=bash_source xdownscale)", or zsh_source, fish_source.'
    ),
)
@click.version_option(package_name="xarray-downscale")
def main() -> None:
    """Probabilistic downscaling of aerosol fields: coarse netCDF in, CF netCDF with members out."""
    _patient()


def _patient() -> None:
    """Let threads that wait for each other leave their cores to others, unless the user said how to wait.

    OpenMP reads this when torch is imported. Where cores are busy, two threads that spin took 15 to 30 times
    as long as two that sleep.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


for _command in (
    predict, explain, verify, models, demo, nature_run, pretrain, train, distil, calibrate, evaluate,
    diagnose, check, doctor,
):  # fmt: skip
    main.add_command(_command)
