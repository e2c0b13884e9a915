"""``doctor``: whether this installation can do its work, and what it lacks."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from typing import TYPE_CHECKING, Literal

import click

from xdownscale.cli.settings import as_json, echo_json, example
from xdownscale.cli.terminal import Wanting, plainly

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["doctor"]

_OPTIONAL = {
    "huggingface-hub": "xarray-downscale[hub]",
    "gstools": "xarray-downscale[gstools]",
    "cartopy": "xarray-downscale[maps]",
    "distributed": "dask[distributed]",
}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    Attributes
    ----------
    name : str
    state : {"ok", "absent", "wrong"}
        What is absent is optional; what is wrong must be mended.
    found : str
    """

    name: str
    state: Literal["ok", "absent", "wrong"]
    found: str


@click.command(epilog=example("doctor", "doctor --json"))
@as_json
def doctor(as_json: bool) -> None:
    """Look at this installation: versions, extras, devices, and a draw by each bundled model."""
    with plainly():
        found = [*_packages(), *_machine(), *_models()]
        if as_json:
            echo_json([asdict(f) for f in found])
        else:
            click.echo("\n".join(f"{f.name:<20}{f.state:<8}{f.found}" for f in found))
        wrong = [f.name for f in found if f.state == "wrong"]
        if wrong:
            raise Wanting(f"to mend: {', '.join(wrong)}")


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    yield Finding("xarray-downscale", "ok", version("xarray-downscale"))
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for text in requires("xarray-downscale") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            there = version(wanted.name)
        except PackageNotFoundError:
            yield Finding(wanted.name, "wrong", f"not installed: expected {wanted.specifier}")
            continue
        fits = wanted.specifier.contains(there, prereleases=True)
        yield Finding(
            wanted.name, "ok" if fits else "wrong", there if fits else f"{there}: expected {wanted.specifier}"
        )
    for name, source in _OPTIONAL.items():
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "absent", f"optional: pip install '{source}'")
    yield _namesake()


def _namesake() -> Finding:
    """Another project on PyPI has this package's import name for its distribution."""
    try:
        other = distribution("xdownscale")
    except PackageNotFoundError:
        return Finding("import name", "ok", "xdownscale is this package")
    return Finding(
        "import name",
        "wrong",
        f"the distribution xdownscale {other.version} is another project: uninstall it",
    )


def _machine() -> Iterator[Finding]:
    import torch

    from xdownscale.training.loop import has_bfloat16

    half = "yes" if has_bfloat16("cpu") else "no"
    threads = f"torch uses {torch.get_num_threads()} threads"
    yield Finding("processors", "ok", f"{os.cpu_count()}, {threads}, bfloat16 {half}")
    if torch.cuda.is_available():
        half = "yes" if has_bfloat16("cuda") else "no"
        yield Finding("cuda", "ok", f"{torch.cuda.get_device_name(0)}, bfloat16 {half}")
    else:
        yield Finding("cuda", "absent", "torch finds no CUDA device: draws run on the processor")
    yield Finding("terminal", "ok", "yes" if sys.stderr.isatty() else "no: no progress bars are shown")


def _models() -> Iterator[Finding]:
    import time

    import numpy as np

    from xdownscale.registry import list_models, resolve
    from xdownscale.testing.checks import Subject

    for name in list_models():
        try:
            subject = Subject(resolve(name))
            began = time.perf_counter()
            drawn = subject.draw(subject.coarse[:1], members=1).values
            taken = time.perf_counter() - began
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are looked at too
            yield Finding(name, "wrong", f"{type(error).__name__}: {error}")
            continue
        sound = bool(np.isfinite(drawn).all())
        yield Finding(
            name, "ok" if sound else "wrong", f"{drawn.shape[-2]} x {drawn.shape[-1]} cells in {taken:.1f} s"
        )
