"""How cost grows with pixels, days and members over two decades, and that a lazy result needs no more memory.

By pixels the network is the miniature: with the bundled one the network's own time would hide everything
else. By days and members it is the bundled one, on a small box for the time and on a larger one for memory,
since there what is counted are blocks that hold more than the process gains and loses by itself. Exponents
are slopes of log(time) by log(size), least squares over the medians.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lazy import coarse
from measure import MEGA, Peak, alternate, apart, exponent
from networks import SMALL, days, draw, network, options
from record import Figure, Result

import xdownscale
from xdownscale.grid import refined

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPES = ((40, 32), (71, 57), (126, 101), (225, 180), (280, 456))  # coarse cells
COUNTS = (1, 3, 10, 32, 100)
BOX = (12, 12)
WIDE = (40, 40)
LITTLE = (3, 3)
FLAT = 1.1


def cost_pixels(asked: Any) -> Result:
    """One draw at sizes from 0.1 to 10 million cells."""
    model = network(SMALL)
    given = [days(model, shape) for shape in (((2, 2), (6, 6)) if asked.small else SHAPES)]
    cells = [int(np.prod(refined(grid, model.fine).shape)) for _, grid, _ in given]
    jobs = {str(n): partial(draw, model, one, options(model)) for n, one in zip(cells, given, strict=True)}
    found = _slope(asked, jobs, cells, "fine cells", 3)
    return Result(found.figures, found.rounds, ("A miniature network.", *found.notes))


def cost_days(asked: Any) -> Result:
    """A run of 1 to 100 days; memory when lazy."""
    return _counted(asked, "days")


def cost_members(asked: Any) -> Result:
    """Ensembles of 1 to 100 members of one day; memory when lazy."""
    return _counted(asked, "members")


def _counted(asked: Any, what: str) -> Result:
    counts, box, wide = ((1, 3), (3, 3), (3, 3)) if asked.small else (COUNTS, BOX, WIDE)
    name = SMALL if asked.small else asked.network
    model = network(name)
    jobs = {str(n): partial(eager, model, what, n, box) for n in counts}
    found = _slope(asked, jobs, list(counts), what, 3)
    ends = counts[0], counts[-1]
    peaks = [apart(lazy_memory, name, what, n, wide, here=asked.small) / MEGA for n in ends]
    against = f"{counts[0]} of them"
    memory = Figure.as_much(
        f"peak memory of {counts[-1]} {what} when lazy",
        peaks[1:],
        peaks[:1],
        against,
        at_most=FLAT,
        unit="MB",
    )
    note = (
        f"Time on {box[0]} x {box[1]} coarse cells. Memory on {wide[0]} x {wide[1]} of them, lazy, a day and "
        "member a block, reduced to a mean one after the other, each number in its own process: the most it "
        f"holds over what it held after a draw of {LITTLE[0]} x {LITTLE[1]}."
    )
    return Result((*found.figures, memory), found.rounds, (f"Network {name}.", *found.notes, note))


def _slope(
    asked: Any, jobs: dict[str, Callable[[], Any]], sizes: list[int], what: str, rounds: int
) -> Result:
    rounds = 1 if asked.small else rounds
    seconds = alternate(jobs, rounds)
    middle = [statistics.median(seconds[name]) for name in jobs]
    each = [exponent(sizes, [seconds[name][turn] for name in jobs]) for turn in range(rounds)]
    figure = Figure(
        f"exponent of processor time by {what}, {sizes[0]:,} to {sizes[-1]:,}",
        "exponent",
        exponent(sizes, middle),
        at_least=0.95,
        at_most=1.05,
        lowest=min(each),
        highest=max(each),
    )
    told = ", ".join(f"{n:,}: {s:.3g} s" for n, s in zip(sizes, middle, strict=True))
    return Result((figure,), rounds, (f"Medians by {what}: {told}.",))


def eager(model: Any, what: str, count: int, box: tuple[int, int]) -> Any:
    """A prediction in memory."""
    return _predicted(model, what, count, box, lazily=False)


def lazy_memory(name: str, what: str, count: int, box: tuple[int, int]) -> float:
    """Peak resident memory of a lazy prediction's mean; in its own process."""
    torch.set_num_threads(1)
    model = network(name)
    _predicted(model, what, 1, LITTLE, lazily=True).mean().compute(scheduler="synchronous")
    with Peak() as peak:
        _predicted(model, what, count, box, lazily=True).mean().compute(scheduler="synchronous")
    return peak.bytes


def _predicted(model: Any, what: str, count: int, box: tuple[int, int], *, lazily: bool) -> Any:
    da = coarse(count if what == "days" else 1, list(box))
    members = count if what == "members" else 1
    given = da.chunk(time=1) if lazily else da
    return xdownscale.predict(
        given, model, members=members, domain_check="ignore", device="cpu", progress=False
    )
