"""Some days of some members, drawn where a scheduler puts them: the unit of lazy results and of stores.

A block is told everything by values that are small (`Recipe`, the same for all blocks, and `Piece`, its own)
and by the chunks of coarse values that hold its days and their history. What a day looks at is found by
instants, as `engine.history` finds it, so that the bits do not depend on where the chunks end. Values that
were not read before are checked here, each day by itself.

Threads of torch: a block that runs beside others has one; a block that runs alone (the synchronous scheduler,
a worker of one thread) has those that torch was set to. The setting is put back behind the last block.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xdownscale.cf import Orientation, orientation
from xdownscale.inference.day import history
from xdownscale.inference.domain import DomainCheck, check_values, judge_day
from xdownscale.inference.engine import Draw, Options, draw
from xdownscale.inference.sequence import State
from xdownscale.noise import DAY_US
from xdownscale.registry import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from xdownscale.grid import Grid
    from xdownscale.inference.job import Job
    from xdownscale.models import Downscaler

__all__ = ["Piece", "Recipe", "coarse_days", "drawn", "pieces", "windows"]


@dataclass(frozen=True)
class Recipe:
    """What all blocks of a job share.

    Attributes
    ----------
    grid : Grid
        The coarse window.
    orientation : Orientation
        Of the chunks that come, and of the fields that go.
    timeless : bool
        Whether the chunks have no dimension of time.
    instants : tuple of int or None [microseconds since 1970]
        Of all days of the job, those that are history only among them.
    first : int
        Number of the latter.
    options : Options
    domain_check : {"raise", "warn", "ignore"}
    unread : bool
        Whether the values were on dask, and have to be checked where they are read.
    state : State, optional
        What an autoregressive run goes on from.
    """

    grid: Grid
    orientation: Orientation
    timeless: bool
    instants: tuple[int | None, ...]
    first: int
    options: Options
    domain_check: DomainCheck
    unread: bool
    state: State | None = None

    @classmethod
    def of(cls, job: Job) -> Recipe:
        """The recipe of a job."""
        field = job.field
        return cls(
            field.grid,
            orientation(field, job.fine),
            field.axes.time is None,
            job.looked.instants,
            job.first,
            job.options,
            job.domain_check,
            job.values is None,
            job.state,
        )


@dataclass(frozen=True)
class Piece:
    """One block of a job.

    Attributes
    ----------
    index : tuple of int
        Its number along each of the other dimensions, the members and the days.
    members : (int, int)
        First and end, places among the job's members.
    days : (int, int)
        First and end, places among the days that the job looks at.
    past : tuple of int
        Places of days outside `days` that are their history.
    """

    index: tuple[int, ...]
    members: tuple[int, int]
    days: tuple[int, int]
    past: tuple[int, ...]

    @property
    def other(self) -> tuple[int, ...]:
        """Its place along the dimensions beside members, time and space."""
        return self.index[:-2]

    @property
    def needed(self) -> list[int]:
        """Places of all days that must be at hand, ascending."""
        return sorted({*self.past, *range(*self.days)})


def pieces(job: Job, members: Sequence[int], days: Sequence[int]) -> dict[tuple[int, ...], Piece]:
    """Cut a job into blocks.

    Parameters
    ----------
    job : Job
    members, days : sequence of int
        Sizes of the blocks along each.

    Returns
    -------
    dict of (*other, member block, day block) to Piece
    """
    past = windows(job.looked.instants, job.model.history, job.model.card.step)
    spans = [(job.first + start, job.first + end) for start, end in _spans(days)]
    told = [tuple(sorted({p for d in range(*span) for p in past[d]} - set(range(*span)))) for span in spans]
    return {
        (*other, i, j): Piece((*other, i, j), group, span, told[j])
        for other in np.ndindex(*job.field.others.values())
        for i, group in enumerate(_spans(members))
        for j, span in enumerate(spans)
    }


def windows(instants: Sequence[int | None], length: int, step: int = DAY_US) -> list[list[int]]:
    """Places of the days that each day looks at, itself among them: those that `history` finds.

    Only the days of the last `length` days are asked, so that long records take no square of their length.

    Parameters
    ----------
    instants : sequence of int or None [microseconds since 1970]
    length : int
        Days wanted, today included.
    step : int [microseconds]

    Returns
    -------
    list of list of int, ascending

    Examples
    --------
    >>> windows([0, DAY_US, 3 * DAY_US], 3)
    [[0], [0, 1], [1, 2]]
    """
    known = [i for i, t in enumerate(instants) if t is not None]
    known.sort(key=lambda i: instants[i] or 0)
    stamps = np.array([instants[i] for i in known], dtype=np.int64)
    found = []
    for day, today in enumerate(instants):
        near = {day}
        if today is not None:
            first, end = np.searchsorted(stamps, [today - length * step, today + 1])
            near.update(known[first:end])
        places = sorted(near)
        past = history([instants[i] for i in places], places.index(day), length, step)
        found.append(sorted({places[p] for p in past if p is not None}))
    return found


def coarse_days(
    recipe: Recipe, piece: Piece, offsets: Sequence[int], chunks: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """The canonical coarse fields of a block's days and their history.

    Parameters
    ----------
    recipe : Recipe
    piece : Piece
    offsets : sequence of int
        The first day of each chunk.
    chunks : sequence of ndarray, shapes (..., days, ny, nx), or (..., ny, nx) without time
        In the user's order; dimensions before have size one.

    Returns
    -------
    ndarray, shape (len(piece.needed), ny, nx), float64
    """
    ends = [*offsets[1:], len(recipe.instants)]
    rows = []
    for first, end, chunk in zip(offsets, ends, chunks, strict=True):
        days = chunk[None] if recipe.timeless else chunk
        days = days.reshape(-1, *days.shape[-2:])
        rows += [days[p - first] for p in piece.needed if first <= p < min(end, first + len(days))]
    return recipe.orientation.canonical(np.stack(rows))


def drawn(
    recipe: Recipe,
    carried: Reference | Downscaler,
    piece: Piece,
    coarse: NDArray[np.float64],
    before: NDArray[np.float32] | None = None,
) -> Draw:
    """Draw a block.

    Parameters
    ----------
    recipe : Recipe
    carried : Reference or Downscaler
    piece : Piece
    coarse : ndarray, shape (len(piece.needed), ny, nx)
        Canonical, as `coarse_days` gives them.
    before : ndarray, shape (member, NY, NX), optional
        In the user's order: the members' fields of the day before the block's first.

    Returns
    -------
    Draw
        Values of shape (member, day, NY, NX), float32, in the user's order; without the day where there is no
        time.

    Raises
    ------
    ValueError, DomainError
        For values on dask that `predict` refuses in memory.
    """
    model = carried.load() if isinstance(carried, Reference) else carried
    needed = piece.needed
    instants = [recipe.instants[p] for p in needed]
    wanted = [needed.index(p) for p in range(*piece.days)]
    if recipe.unread:
        coarse = check_values(coarse, model.card)
        for place in wanted:
            judge_day(coarse[place], instants[place], model, recipe.domain_check)
    options = replace(recipe.options, members=recipe.options.members[slice(*piece.members)])
    state = _state(recipe, piece, before)
    with _torch_threads():
        result = draw(model, coarse, recipe.grid, instants, options, days=wanted, state=state)
    values = recipe.orientation.users(result.values)
    return Draw(values[:, 0] if recipe.timeless else values, result.residual)


def _state(recipe: Recipe, piece: Piece, before: NDArray[np.float32] | None) -> State | None:
    if before is None:
        given = recipe.state if piece.days[0] == recipe.first else None
        return None if given is None else replace(given, values=given.values[slice(*piece.members)])
    last = recipe.instants[piece.days[0] - 1]
    return None if last is None else State(recipe.orientation.engines(before), last)


def _spans(sizes: Sequence[int]) -> list[tuple[int, int]]:
    ends = np.cumsum(sizes)
    return [(int(end) - size, int(end)) for end, size in zip(ends, sizes, strict=True)]


_LOCK = threading.Lock()
_STATE = {"running": 0, "before": 1}


@contextlib.contextmanager
def _torch_threads() -> Iterator[None]:
    """One thread for a block that runs beside others; what was set before comes back."""
    if _alone():
        yield
        return
    with _LOCK:
        if not _STATE["running"]:
            _STATE["before"] = torch.get_num_threads()
        _STATE["running"] += 1
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _LOCK:
            _STATE["running"] -= 1
            torch.set_num_threads(_STATE["before"])


def _alone() -> bool:
    """Whether this thread draws with the whole of what the process was given."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        with contextlib.suppress(ValueError):
            return bool(distributed.get_worker().state.nthreads == 1)
    main = threading.current_thread() is threading.main_thread()
    return main and multiprocessing.parent_process() is None
