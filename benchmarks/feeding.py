"""What cutting crops costs a training: steps fed from a store, against steps whose batch is there already.

The store is zarr, a day a chunk, as `xdownscale nature-run` writes it. Three trainings of a few steps take
turns: one cuts the next batch while it learns from the last, as `train` does; one cuts it in its turn; one is
given its first batch again and again, which is what no feeding can be faster than. Seconds are of the clock,
between reports, medians over the steps; two cores are needed for the first to gain anything.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from unittest import mock

import numpy as np
import xarray as xr
from lazy import coarse
from networks import SMALL, network
from record import Figure, Result

from xdownscale.grid import G5NR, MERRA2, refined
from xdownscale.training import TrainConfig
from xdownscale.training import denoiser as training
from xdownscale.training.pairs import Pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOX = (40, 52)
DAYS = 16


def training_feed(asked: Any) -> Result:
    """Seconds of a training step by how it is fed."""
    box, count, steps, rounds = ((8, 8), 4, 2, 1) if asked.small else (BOX, DAYS, 10, 3)
    model = network("jja_asia" if asked.network == SMALL else asked.network)
    sizes = {"batch": 2, "days": 2, "crop": 32, "border": 0} if asked.small else {"batch": 12, "crop": 112}
    config = TrainConfig(steps=steps, precision="bfloat16", **sizes)
    ways = {"ahead": _ahead, "in turn": _in_turn, "at hand": _at_hand}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        low, high = stored(Path(folder) / "pairs.zarr", count, box)
        for turn in range(rounds + (not asked.small)):
            for name, way in ways.items():
                with way():
                    spent = statistics.median(each_step(model, low, high, config))
                if turn or asked.small:
                    seconds[name].append(spent)
    given = "given its batch"
    figures = (
        Figure.as_much(
            "a step fed from the store", seconds["ahead"], seconds["at hand"], given, at_most=1.05
        ),
        Figure.as_much("a step that cuts its own batch", seconds["in turn"], seconds["at hand"], given),
    )
    sides = " x ".join(str(n) for n in refined(MERRA2.window((240, box[0]), (360, box[1])), G5NR).shape)
    note = (
        f"{steps} steps of {config.batch} crops of {config.crop} cells, bfloat16, {count} days of {sides} "
        "cells in zarr, a day a chunk. Seconds of the clock."
    )
    return Result(figures, rounds, (note,))


def each_step(model: Any, low: xr.DataArray, high: xr.DataArray, config: TrainConfig) -> list[float]:
    """Seconds of the clock between the reports of a training."""
    marks: list[float] = []
    training.train(low, high, model, config=config, report=lambda *_: marks.append(time.perf_counter()))
    return np.diff(marks).tolist()


def stored(path: Path, days: int, box: tuple[int, int]) -> tuple[xr.DataArray, xr.DataArray]:
    """A coarse record, and a fine one in a store of a chunk a day."""
    low = coarse(days, list(box))
    fine = refined(MERRA2.window((240, box[0]), (360, box[1])), G5NR)
    values = np.random.default_rng(1).gamma(2.0, 0.15, (days, *fine.shape)).astype(np.float32)
    cells = {"time": low["time"].values, "lat": fine.y.values, "lon": fine.x.values}
    high = xr.DataArray(values, cells, ("time", "lat", "lon"), low.name, low.attrs)
    high.chunk(time=1).to_dataset().to_zarr(path)
    return low, xr.open_zarr(path)[str(low.name)]


@contextmanager
def _ahead() -> Iterator[None]:
    yield


@contextmanager
def _in_turn() -> Iterator[None]:
    with mock.patch.object(training, "Ahead", _Turn):
        yield


@contextmanager
def _at_hand() -> Iterator[None]:
    cut = Pairs.batch
    once = cache(lambda pairs, model, config: cut(pairs, model, config, 0))
    again = lambda pairs, model, config, *_, **__: once(pairs, model, config)  # noqa: E731
    with _in_turn(), mock.patch.object(Pairs, "batch", again):
        yield


class _Turn:
    """Batches cut when they are asked for."""

    def __init__(self, cut: Callable[[int], Any], *_: object) -> None:
        self._cut = cut

    def __call__(self, step: int) -> Any:
        return self._cut(step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
