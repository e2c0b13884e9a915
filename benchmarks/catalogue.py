"""Every benchmark by name: what it is, what it must have, and the function that runs it.

A function takes what was asked for (`Asked`) and gives a `Result`. A benchmark whose peer is not installed,
or that fails, is told as absent; nothing is put in its place.
"""

from __future__ import annotations

import importlib
import traceback
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from measure import missing
from record import Entry, Result, machine

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BENCHMARKS", "Asked", "Benchmark", "carried_out"]


@dataclass(frozen=True)
class Asked:
    """What the command line asks for.

    Attributes
    ----------
    small : bool
        The smallest size, to see that it runs.
    network : str
        The network that is timed: a name, a path, or "small" for a miniature.
    model : str or None
        A checkpoint trained for the `ddpm` process, for scores of the reference.
    twin : str or None
        For scores beside `diffusers`: a network of the same architecture, trained for ours.
    members : int
        Behind a score.
    folder : Path
        Where long runs keep what is finished.
    """

    small: bool = False
    network: str = "jja_asia"
    model: str | None = None
    twin: str | None = None
    members: int = 4
    folder: Path = field(default_factory=lambda: Path("work") / "bench")


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes
    ----------
    name : str
    what : str
        A heading.
    call : (str, str, ...)
        Module and function, and arguments before what was asked for.
    needs : tuple of str
        Modules that it cannot run without.
    peers : tuple of str
        Distributions whose versions are told.
    long : bool
        Whether it takes more than ten minutes, so that it runs only when named or with --long.
    """

    name: str
    what: str
    call: tuple[str | int, ...]
    needs: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    long: bool = False

    @property
    def function(self) -> Callable[[Asked], Result]:
        """Found when it is run, so that the list needs nothing heavy."""
        module, name, *given = self.call
        return partial(getattr(importlib.import_module(str(module)), str(name)), *given)


_ALL = (
    Benchmark(
        "draw_paper_64",
        "A draw against the paper's recipe, 64 x 64 cells",
        ("draws", "draw_paper", 64),
        long=True,
    ),
    Benchmark(
        "draw_paper_128",
        "A draw against the paper's recipe, 128 x 128 cells",
        ("draws", "draw_paper", 128),
        long=True,
    ),
    Benchmark(
        "draw_diffusers",
        "A draw against the scheduler's loop of diffusers",
        ("draws", "draw_diffusers"),
        ("diffusers",),
        ("diffusers",),
    ),
    Benchmark(
        "merge_monai",
        "One merged pass against MONAI's sliding window",
        ("passes", "merge_monai"),
        ("monai",),
        ("monai",),
    ),
    Benchmark("ceiling", "The network's pass against its convolutions alone", ("passes", "ceiling")),
    Benchmark("noise", "Noise of a field against torch.randn", ("draws", "noise")),
    Benchmark("cost_pixels", "How cost grows with pixels", ("cost", "cost_pixels")),
    Benchmark("cost_days", "How cost grows with days", ("cost", "cost_days")),
    Benchmark("cost_members", "How cost grows with members", ("cost", "cost_members")),
    Benchmark("training_feed", "A training step fed from a store", ("feeding", "training_feed")),
    Benchmark("lazy_overhead", "The lazy path against memory", ("lazy", "lazy_overhead")),
    Benchmark(
        "semivariogram_plane",
        "Exact semivariogram on a plane against scikit-gstat and GSTools",
        ("semivariogram", "against_peers", "plane"),
        ("gstools", "skgstat"),
        ("gstools", "scikit-gstat"),
    ),
    Benchmark(
        "semivariogram_sphere",
        "Exact semivariogram by great circle against GSTools",
        ("semivariogram", "against_peers", "great circle"),
        ("gstools",),
        ("gstools",),
    ),
    Benchmark("wasserstein", "Wasserstein distance against scipy", ("wasserstein", "against_scipy")),
    Benchmark("conservative", "Conservative means against one sparse product", ("operators", "conservative")),
    Benchmark("import", "Importing the package against importing xarray", ("import_time", "import_time")),
    Benchmark("day", "One day of the Asian domain", ("draws", "day")),
    Benchmark("day_members", "Sixteen members of one day of the Asian domain", ("draws", "day_members")),
)
BENCHMARKS = {one.name: one for one in _ALL}


def carried_out(benchmark: Benchmark, asked: Asked) -> Entry:
    """Run one, or say why it cannot run.

    Parameters
    ----------
    benchmark : Benchmark
    asked : Asked

    Returns
    -------
    Entry
    """
    told = {"name": benchmark.name, "what": benchmark.what, "small": asked.small}
    if lacking := missing(benchmark.needs):
        reason = f"{' and '.join(lacking)} not installed: pip install -e '.[bench]' -c constraints.txt"
        return Entry(**told, absent=reason, machine=machine(benchmark.peers))
    before = machine(benchmark.peers)
    try:
        result = benchmark.function(asked)
    except Exception as error:  # noqa: BLE001 - whatever it is, the others still run and this one is told
        traceback.print_exc()
        return Entry(**told, absent=f"it failed: {type(error).__name__}", machine=before)
    return Entry(**told, figures=result.figures, rounds=result.rounds, notes=result.notes, machine=before)
