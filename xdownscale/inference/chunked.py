"""Lazy results: one task of dask a block, built without computing anything.

A task holds two keys of what all blocks share (the recipe; the model's name and sha256, or the model itself
where it is in memory only) and its own `Piece`: never weights. Coarse chunks come whole in space; a block
gets those that hold its days and the history before them. This is the only module with dask at its top.
"""

from __future__ import annotations

import uuid
from bisect import bisect_right
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import dask
import dask.array
import numpy as np
from dask.base import compute, get_scheduler, tokenize
from dask.callbacks import Callback
from dask.delayed import Delayed, delayed
from dask.highlevelgraph import HighLevelGraph
from dask.utils import parse_bytes

from xdownscale.cf import check_bounds
from xdownscale.inference.block import Piece, Recipe, coarse_days, drawn, pieces
from xdownscale.inference.sequence import check_rising

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from xdownscale.inference.job import Job
    from xdownscale.models import Downscaler
    from xdownscale.registry import Reference

__all__ = ["computed", "graph", "lazily", "sizes"]


def lazily(job: Job) -> dask.array.Array:
    """The result of a job as a dask array.

    Parameters
    ----------
    job : Job
        Of an input on dask.

    Returns
    -------
    dask array, shape (*others, member, time, NY, NX), float32
        In the user's order; without `time` where the input has none. Chunks as `sizes` has them.
    """
    members, days = sizes(job)
    timeless = job.field.axes.time is None
    others = [(1,) * n for n in job.field.others.values()]
    chunks = (*others, members, *(() if timeless else (days,)), *((n,) for n in job.fine.shape))
    tail = (0,) if timeless else (0, 0)
    chained = job.options.coherence == "autoregressive"
    check_rising(job.field.instants, job.options.coherence)
    name, tasks = graph(job, pieces(job, members, days), days, _drawn, tail=tail, chained=chained)
    return dask.array.Array(tasks, name, chunks, meta=np.empty((0,) * len(chunks), dtype=np.float32))


def computed(
    job: Job,
    cut: Mapping[tuple[int, ...], Piece],
    days: Sequence[int],
    call: Callable[..., Any],
    done: Callable[[], Any],
    *,
    chained: bool = False,
) -> dict[tuple[int, ...], Any]:
    """What a call gives for each block, by dask's scheduler.

    Parameters
    ----------
    job, cut, days, call, chained
        As `graph`.
    done : callable
        Called here after each block.

    Returns
    -------
    dict of index to result
    """
    name, tasks = graph(job, cut, days, call, chained=chained, salt=uuid.uuid4().hex)
    wanted = [Delayed((name, *index), tasks, layer=name) for index in cut]
    client = getattr(get_scheduler(), "__self__", None)
    if client is not None:
        return dict(zip(cut, _by_cluster(client, wanted, done), strict=True))

    def count(key: Any, *_: Any) -> None:
        if isinstance(key, tuple) and key[0] == name:
            done()

    with Callback(posttask=count):
        results: tuple[Any, ...] = compute(*wanted)
    return dict(zip(cut, results, strict=True))


def _by_cluster(client: Any, wanted: list[Delayed], done: Callable[[], Any]) -> list[Any]:
    import distributed

    futures = client.compute(wanted)
    try:
        for future in distributed.as_completed(futures):  # type: ignore[no-untyped-call]
            future.result()
            done()
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()


def sizes(job: Job) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How a lazy result is chunked along members and days.

    Parameters
    ----------
    job : Job

    Returns
    -------
    (tuple of int, tuple of int)
        One member, and the days of a chunk of the input; fewer where a block would exceed dask's
        `array.chunk-size`.
    """
    ny, nx = job.fine.shape
    most = max(1, parse_bytes(dask.config.get("array.chunk-size")) // (4 * ny * nx))
    given = job.field.source.chunksizes.get(job.field.axes.time, (job.field.days,))
    days = tuple(part for size in given for part in _split(size, most))
    return (1,) * len(job.options.members), days


def graph(
    job: Job,
    cut: Mapping[tuple[int, ...], Piece],
    days: Sequence[int],
    call: Callable[..., Any],
    *,
    tail: tuple[int, ...] = (),
    chained: bool = False,
    salt: str = "",
) -> tuple[str, HighLevelGraph]:
    """A task for each block.

    Parameters
    ----------
    job : Job
        Of an input on dask.
    cut : mapping of index to Piece
    days : sequence of int
        Sizes of the blocks along time: the coarse values are chunked alike.
    call : callable
        ``call(piece, recipe, carried, coarse)``, and what it gave for the days before where the blocks are
        chained; it can be pickled.
    tail : tuple of int
        Behind each index in its key.
    chained : bool
        Hand each block what the call gave for the days before it; one whose days before are not in `cut`
        waits for none.
    salt : str
        In the name: what a call does beside its result must not be taken for done.

    Returns
    -------
    (str, HighLevelGraph)
        The first part of the keys ``(name, *index, *tail)``, and the graph.
    """
    coarse, recipe = _coarse(job, days), Recipe.of(job)
    name = f"downscale-{tokenize(coarse.name, recipe, job.carried, list(cut.items()), call, salt)}"
    guards = [] if job.bounds is None else [delayed(check_bounds)(job.bounds)]
    firsts = [0, *accumulate(_cut(job, days))][:-1]
    layer: dict[Any, Any] = {f"{name}-recipe": recipe, f"{name}-model": job.carried}
    keys = list(layer)
    for index, piece in cut.items():
        held = sorted({bisect_right(firsts, place) - 1 for place in piece.needed})
        run = partial(_run, call, piece, tuple(firsts[k] for k in held))
        chunks = [_chunk(coarse, piece, k) for k in held]
        before = (*index[:-1], index[-1] - 1)
        earlier = (name, *before, *tail) if chained and before in cut else None
        layer[name, *index, *tail] = (run, *keys, chunks, [guard.key for guard in guards], earlier)
    known: list[Any] = [coarse, *guards]
    return name, HighLevelGraph.from_collections(name, layer, dependencies=known)


def _run(
    call: Callable[..., Any],
    piece: Piece,
    offsets: Sequence[int],
    recipe: Recipe,
    carried: Reference | Downscaler,
    chunks: Sequence[NDArray[Any]],
    guards: Sequence[None],  # noqa: ARG001 - they have passed
    earlier: Any = None,
) -> Any:
    coarse = coarse_days(recipe, piece, offsets, chunks)
    return call(piece, recipe, carried, coarse, *([] if earlier is None else [earlier]))


def _drawn(
    piece: Piece,
    recipe: Recipe,
    carried: Reference | Downscaler,
    coarse: NDArray[np.float64],
    earlier: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    before = None if earlier is None else earlier.reshape(earlier.shape[len(piece.other) :])[:, -1]
    values = drawn(recipe, carried, piece, coarse, before).values
    return values.reshape(*(1 for _ in piece.other), *values.shape)


def _coarse(job: Job, days: Sequence[int]) -> dask.array.Array:
    """The input, dimensions (*others, time, lat, lon), whole in space and in the blocks' days."""
    time = [] if job.field.axes.time is None else [_cut(job, days)]
    wanted = dict(enumerate([*(1 for _ in job.field.others), *time, -1, -1]))
    # the method "tasks" streams; "p2p" would read the whole record first
    whole: dask.array.Array = job.looked.arranged().data.rechunk(wanted, method="tasks")
    return whole


def _cut(job: Job, days: Sequence[int]) -> tuple[int, ...]:
    """Sizes of the chunks along time: the days that are history only, and those of the blocks."""
    return (job.first, *days) if job.first else tuple(days)


def _chunk(coarse: dask.array.Array, piece: Piece, k: int) -> tuple[Any, ...]:
    """Key of the k-th chunk along time."""
    time = (k,) if coarse.ndim == len(piece.other) + 3 else ()
    return (coarse.name, *piece.other, *time, 0, 0)


def _split(size: int, most: int) -> list[int]:
    """A whole number as few, nearly equal parts, none above `most`."""
    count = -(-size // most)
    return [size // count + (i < size % count) for i in range(count)]
