"""Fit the inflation of the starting noise on held-out days, so that spread equals skill at every scale.

Too few evaluations and a network that has not learned everything both make the draws too alike, most so at
small scales. The starting noise is multiplied by a factor f(k) of the wavenumber, fitted for each number of
evaluations in a few rounds. What waves longer than a coarse cell lack or have too much is mended by
conservation after the draw, and cannot be judged before it: they take the factor of the next shorter wave.
Draws are made on crops of the held-out days, without tiles; a border as wide as the network's reach is left
out.

A distilled network mixes its scales, so that they cannot be judged one by one: for `fast` one factor is
fitted, to all waves of fields as they are drawn and conserved, on windows of the coarse grid as wide as a
domain: a window of 128 cells, drawn by itself, has 8 % more spread than the same cells in a wide one, even in
its middle.

The correlation of the starting noise of two days in sequence is that of what the conditional mean leaves
unexplained, r - E[r | y], on one day and on the next.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from xdownscale.diffusion.denoise import estimate
from xdownscale.diffusion.sample import Sampler, sample
from xdownscale.grid import refined
from xdownscale.inference.engine import Options, draw
from xdownscale.inference.sequence import Past
from xdownscale.noise import rings
from xdownscale.patches import Tiling
from xdownscale.training.config import TrainConfig
from xdownscale.training.objective import coloured
from xdownscale.training.pairs import Batch, Pairs, Record, generator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.grid import Grid
    from xdownscale.models import Downscaler

    # factors to the variance of the members, and of their mean's error
    Judged = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]

__all__ = ["calibrate"]

_BORDER = 48
_BINS = 17
_ROUNDS = 3
_POWER = 2.0
_LARGEST_STEP = 1.5
_LARGEST = 3.0
_MOST_CORRELATED = 0.95
_WIDTH = 768


def calibrate(
    model: Downscaler,
    coarse: xr.DataArray,
    fine: xr.DataArray,
    *,
    evaluations: Sequence[int | Literal["fast"]] = (2, 4, 8, 16),
    members: int = 4,
    crops: int = 16,
    crop: int = 224,
    seed: int = 0,
) -> Downscaler:
    """Fit the factors on the starting noise for each number of evaluations, and its correlation by days.

    Parameters
    ----------
    model : Downscaler
    coarse, fine : DataArray, dims (time, lat, lon)
        Days the model was not trained on; the coarse record may reach further back.
    evaluations : sequence of int, or "fast"
        Of the network; "fast" for the sampler of that name.
    members, crops : int
        Draws a crop, and crops in all (four a batch). For "fast" there is a window, of another day each while
        there are days, for every two crops.
    crop : int [fine cells]
        Side of a crop, more than 96. A window has 768, or as many as the record has.
    seed : int

    Returns
    -------
    Downscaler
        The same networks; its card holds `inflation` for each number of evaluations, at 17 wavenumbers (for
        "fast" one for all), and `day_correlation` (0 where no two of the days follow each other).

    Raises
    ------
    ValueError
        If the crop is not wider than twice the border that is left out, or the record has no room for it.

    Examples
    --------
    >>> from xdownscale import nature_run
    >>> run = nature_run.NatureRun("2005-07-01", days=2, region=(28, 36, 40, 48), spinup=0)
    >>> fine, coarse = (d.DUEXTTAU for d in nature_run.to_datasets(run))
    >>> from xdownscale import resolve
    >>> options = {"evaluations": [2], "members": 2, "crops": 4, "crop": 104}
    >>> model = calibrate(resolve("jja_asia"), coarse, fine, **options)
    >>> list(model.card.inflation), len(model.card.inflation["2"])
    (['2'], 17)
    """
    if crop <= 2 * _BORDER:
        raise ValueError(
            f"crop is {crop}: expected more than {2 * _BORDER}, since {_BORDER} cells a side are left out"
        )
    grids = model.coarse, model.fine
    pairs = Pairs.of(Record.of(coarse, grids[0]), Record.of(fine, grids[1]))
    pairs = replace(pairs, coarse=pairs.coarse.within(pairs.inside(grids[0])))
    pairs.check_crop(crop)
    config = TrainConfig(
        batch=4, days=4, crop=crop, border=_BORDER, degrade=0.0, dropout=0.0, edges=0.0, seed=seed
    )
    batches = [pairs.batch(model, config, step) for step in range(math.ceil(crops / 4))]
    fitted: dict[str, list[float]] = {}
    free = _free(grids)
    for number in evaluations:
        if number == "fast":
            some = np.resize(generator(seed, 0, 8).permutation(len(pairs.days)), math.ceil(crops / 2))
            judged = partial(_as_drawn, model, pairs, some, members, _WIDTH, seed)
            fitted["fast"] = _fitted(judged, members, 1)
        else:
            sampler, grid = model.sampler_of(number), pairs.coarse.grid
            judged = partial(_by_wavenumber, model, batches, sampler, members, seed, grid)
            fitted[str(number)] = _fitted(judged, members, _BINS, free)
    correlation = _day_correlation(model, pairs, config, len(batches), seed)
    return model.with_card(replace(model.card, inflation=fitted, day_correlation=correlation))


def _fitted(judged: Judged, members: int, bins: int, free: int = 0) -> list[float]:
    """Factors that bring spread to skill in each bin; bins below `free` take that of the first above."""
    tried: list[NDArray[np.float64]] = [np.ones(bins)]
    found: list[NDArray[np.float64]] = []
    for _ in range(_ROUNDS):
        found.append(_reliability(*judged(tried[-1]), members))
        factors = _next(tried, found)
        factors[:free] = factors[free]
        tried.append(factors)
    return [round(float(f), 4) for f in tried[-1]]


def _day_correlation(model: Downscaler, pairs: Pairs, config: TrainConfig, steps: int, seed: int) -> float:
    """Of what is left unexplained, on the same crops of a day and of the day before; 0 without such days."""
    step = model.card.step
    places = [
        (j, i)
        for i, (day, _) in enumerate(pairs.days)
        for j, (other, _) in enumerate(pairs.days)
        if abs(pairs.coarse.instants[day] - pairs.coarse.instants[other] - step) <= step // 50
    ]
    if not places:
        return 0.0
    both = [pairs.part(days) for days in zip(*places, strict=True)]
    sums = np.zeros(3)
    for step in range(steps):
        one, other = (
            _unexplained(model, part, config, step, generator(seed, step, 6 + i))
            for i, part in enumerate(both)
        )
        sums += [(one * other).sum(), (one**2).sum(), (other**2).sum()]
    return round(float(np.clip(sums[0] / np.sqrt(sums[1] * sums[2]), 0.0, _MOST_CORRELATED)), 4)


def _unexplained(
    model: Downscaler, pairs: Pairs, config: TrainConfig, step: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Residual minus its conditional mean, zero where it is not known."""
    batch = pairs.batch(model, config, step)
    with torch.inference_mode():
        start = coloured(model.kernel, _size(batch), rng)
        expected = _denoiser(model, model.sampler, batch, pairs.coarse.grid)(start, 1.0)
    left = torch.where(batch.weight > 0, batch.residual - expected, 0.0)
    return left[..., _BORDER:-_BORDER, _BORDER:-_BORDER].double().numpy()


def _free(grids: tuple[Grid, Grid]) -> int:
    """The first ring of waves no longer than a coarse cell."""
    coarse, fine = grids
    cells = min(coarse.y.step / fine.y.step, coarse.x.step / fine.x.step)
    return min(math.ceil(2 * (_BINS - 1) / cells), _BINS - 1)


def _reliability(
    spread: NDArray[np.float64], error: NDArray[np.float64], members: int
) -> NDArray[np.float64]:
    """Spread over skill of each ring, as amplitudes; 1 is right.

    The mean of M members errs by e2 + spread / M, where e2 is what an infinite ensemble would err by; in a
    reliable ensemble spread = e2.
    """
    e2 = np.maximum(error - spread / members, 0.01 * error)
    return np.asarray(np.sqrt(np.maximum(spread, 1e-30) / np.maximum(e2, 1e-30)))


def _next(tried: list[NDArray[np.float64]], found: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Factors that bring every ring's ratio to one, if all rise as one power of the factors.

    The power is 1 for a sampler linear in its noise. A network's is higher, and scales help each other: it is
    taken from the mean of the last two rounds, and is 2 at first.
    """
    power = _POWER
    if len(tried) > 1:
        raised = np.log(tried[-1]).mean() - np.log(tried[-2]).mean()
        gained = np.log(found[-1]).mean() - np.log(found[-2]).mean()
        power = np.clip(gained / raised, 1.0, 4.0) if abs(raised) > 0.01 else power
    step = np.clip(found[-1] ** (-1 / power), 1 / _LARGEST_STEP, _LARGEST_STEP)
    return np.asarray(np.clip(tried[-1] * step, 1 / _LARGEST, _LARGEST))


def _by_wavenumber(
    model: Downscaler,
    batches: list[Batch],
    sampler: Sampler,
    members: int,
    seed: int,
    grid: Grid,
    factors: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variance of the members, and of their mean's error, by rings of wavenumber."""
    inner = slice(_BORDER, -_BORDER)
    spread, error = np.zeros(_BINS), np.zeros(_BINS)
    for number, batch in enumerate(batches):
        draws = _draws(model, batch, sampler, members, generator(seed, number, 5), grid, factors)
        seen = (batch.weight > 0).numpy()[:, 0, inner, inner]
        fields = np.where(seen, draws.numpy()[:, :, 0, inner, inner], 0.0).astype(np.float64)
        truth = np.where(seen, batch.residual.numpy()[:, 0, inner, inner], 0.0)
        mean = fields.mean(axis=0)
        error += rings(mean - truth, _BINS)
        spread += sum(rings(f - mean, _BINS) for f in fields) / (members - 1)
    return spread / len(batches), error / len(batches)


def _as_drawn(
    model: Downscaler,
    pairs: Pairs,
    days: NDArray[np.int64],
    members: int,
    side: int,
    seed: int,
    factor: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variance of fields drawn by `fast` on a window of each day, and of their mean's error, shapes (1,)."""
    inflated = model.with_card(replace(model.card, inflation={"fast": factor.tolist()}))
    options = Options(tuple(range(members)), seed, "draw", model.sampler_of("fast"), Tiling(patch=None))
    sums = np.zeros((2, 1))
    for number, (coarse_day, fine_day) in enumerate(pairs.days[day] for day in days):
        grid = _window(pairs.coarse.grid, model.fine, side, generator(seed, number, 9))
        part, window = replace(pairs, coarse=pairs.coarse.within(grid)), refined(grid, model.fine)
        values, _ = part.history(coarse_day, model.history, model.card.step)
        today, last = part.coarse.instants[coarse_day], len(values) - 1
        instants = [today - (last - day) * model.card.step for day in range(len(values))]
        past = _past(part, fine_day, window, model) if model.past else None
        fields = draw(inflated, values, grid, instants, options, days=[last], past=past).values[:, 0]
        drawn, truth = (
            np.asarray(model.scaling.forward(f.astype(np.float64)))
            for f in (fields, part.cut(fine_day, window))
        )
        apart = np.stack([drawn.var(axis=0, ddof=1), (drawn.mean(axis=0) - truth) ** 2])
        seen = np.isfinite(apart).all(axis=0)
        sums[:, 0] += (np.where(seen, apart, 0.0) * window.area).sum(axis=(1, 2))
    return sums[0], sums[1]


def _window(grid: Grid, fine: Grid, side: int, rng: np.random.Generator) -> Grid:
    """Somewhere on the coarse grid, as many of its cells as make a side of so many fine ones."""
    spans = []
    for axis, other in ((grid.y, fine.y), (grid.x, fine.x)):
        size = min(axis.size, max(1, round(side * other.step / axis.step)))
        spans.append((axis.start + int(rng.integers(axis.size - size + 1)), size))
    return grid.window(*spans)


def _past(pairs: Pairs, fine_day: int, window: Grid, model: Downscaler) -> Past:
    """The fine days before one on a window, for an encoder that sees them."""
    today, days = pairs.fine.instants[fine_day], pairs.past(fine_day, model.past, model.card.step)
    blank = np.full(window.shape, np.nan, dtype=np.float32)
    values = np.stack([blank if day is None else pairs.cut(day, window) for day in days])
    return Past(values, tuple(today - lag * model.card.step for lag in range(len(days), 0, -1)))


def _draws(
    model: Downscaler,
    batch: Batch,
    sampler: Sampler,
    members: int,
    rng: np.random.Generator,
    grid: Grid,
    factors: NDArray[np.float64],
) -> Tensor:
    """Residuals drawn on the crops of a batch, shape (members, B, 1, P, P)."""
    shape = _size(batch)
    starting = model.inflated(factors.tolist())
    with torch.inference_mode():
        denoise = _denoiser(model, sampler, batch, grid)

        def noise(_: int) -> Tensor:
            return coloured(model.kernel, shape, rng)

        return torch.stack(
            [
                sample(denoise, coloured(starting, shape, rng), model.schedule, sampler, noise=noise)
                for _ in range(members)
            ]
        )


def _size(batch: Batch) -> tuple[int, int, int]:
    b, _, h, w = batch.residual.shape
    return b, h, w


def _denoiser(
    model: Downscaler, sampler: Sampler, batch: Batch, grid: Grid
) -> Callable[[Tensor, float], Tensor]:
    """The estimate x0 on the crops of a batch."""
    condition = batch.condition.contiguous(memory_format=torch.channels_last)
    context = batch.context(model, grid)

    def denoise(x_t: Tensor, t: float) -> Tensor:
        level = torch.full((len(x_t),), t)
        x = x_t.contiguous(memory_format=torch.channels_last)
        prediction = model.network(sampler, t)(x, level, condition, context)
        return estimate(model.schedule, x_t, prediction, level)

    return denoise
