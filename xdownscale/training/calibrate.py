"""Fit the inflation of the starting noise on held-out days, so that spread equals skill.

Too few evaluations and a network that has not learned everything both make the draws too alike. The starting
noise is multiplied by a factor f, fitted for each number of evaluations: spread/skill rises nearly in
proportion to f, so that a few secant steps on its logarithm suffice. Draws are made on crops of the held-out
days, without tiles; a border as wide as the network's reach is left out of the score.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xdownscale.diagnostics import spread_skill
from xdownscale.diffusion.denoise import estimate
from xdownscale.diffusion.sample import Sampler, sample
from xdownscale.grid import G5NR, MERRA2, Grid
from xdownscale.models import conditioning
from xdownscale.training.config import TrainConfig
from xdownscale.training.objective import coloured
from xdownscale.training.pairs import Batch, Pairs, Record, generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from xdownscale.models import Downscaler

__all__ = ["calibrate"]

_BORDER = 48


def calibrate(
    model: Downscaler,
    coarse: xr.DataArray,
    fine: xr.DataArray,
    *,
    evaluations: Sequence[int] = (4, 8),
    members: int = 4,
    crops: int = 8,
    crop: int = 224,
    grids: tuple[Grid, Grid] = (MERRA2, G5NR),
    seed: int = 0,
) -> Downscaler:
    """Fit the factor on the starting noise for each number of evaluations.

    Parameters
    ----------
    model : Downscaler
    coarse, fine : DataArray, dims (time, lat, lon)
        Days the model was not trained on; the coarse record may reach further back.
    evaluations : sequence of int
    members, crops : int
        Draws a crop, and crops in all (four a batch).
    crop : int [fine cells]
        Side of a crop, more than 96.
    grids : (Grid, Grid)
    seed : int

    Returns
    -------
    Downscaler
        The same networks; its card holds `inflation` for each number of evaluations.

    Raises
    ------
    ValueError
        If the crop is not wider than twice the border that is left out.
    """
    if crop <= 2 * _BORDER:
        raise ValueError(
            f"crop is {crop}: expected more than {2 * _BORDER}, since {_BORDER} cells a side are left out"
        )
    pairs = Pairs.of(Record.of(coarse, grids[0]), Record.of(fine, grids[1]))
    pairs = replace(pairs, coarse=pairs.coarse.within(pairs.inside(grids[0])))
    config = TrainConfig(
        batch=4, days=4, crop=crop, border=_BORDER, degrade=0.0, dropout=0.0, edges=0.0, seed=seed
    )
    batches = [pairs.batch(model, config, step) for step in range(math.ceil(crops / 4))]
    fitted: dict[str, float] = {}
    for number in evaluations:
        sampler = replace(model.sampler, evaluations=number)
        factors = [1.0]
        ratios = [_ratio(model, batches, sampler, members, seed, pairs.coarse.grid, 1.0)]
        for _ in range(2):
            factors.append(_next(factors, ratios))
            ratios.append(_ratio(model, batches, sampler, members, seed, pairs.coarse.grid, factors[-1]))
        fitted[str(number)] = round(_next(factors, ratios), 4)
    return model.with_card(replace(model.card, inflation=fitted))


def _next(factors: list[float], ratios: list[float]) -> float:
    """Secant on log ratio against log factor; at first, in proportion."""
    slope = 1.0
    if len(factors) > 1 and factors[-1] != factors[-2]:
        slope = (math.log(ratios[-1]) - math.log(ratios[-2])) / (
            math.log(factors[-1]) - math.log(factors[-2])
        )
    step = -math.log(ratios[-1]) / min(max(slope, 0.3), 3.0)
    return factors[-1] * math.exp(min(max(step, -0.4), 0.4))


def _ratio(
    model: Downscaler,
    batches: list[Batch],
    sampler: Sampler,
    members: int,
    seed: int,
    grid: Grid,
    factor: float,
) -> float:
    ensembles, truths = [], []
    for number, batch in enumerate(batches):
        draws = _draws(model, batch, sampler, members, generator(seed, number, 5), grid, factor)
        seen = batch.weight > 0
        ensembles.append(torch.where(seen, draws, math.nan).numpy())
        truths.append(torch.where(seen, batch.residual, math.nan).numpy())
    return spread_skill(np.concatenate(ensembles, axis=1), np.concatenate(truths))


def _draws(
    model: Downscaler,
    batch: Batch,
    sampler: Sampler,
    members: int,
    rng: np.random.Generator,
    grid: Grid,
    factor: float,
) -> Tensor:
    """Residuals drawn on the crops of a batch, shape (members, B, 1, P, P)."""
    shape = (len(batch.residual), *batch.residual.shape[-2:])
    with torch.inference_mode():
        condition = batch.condition.contiguous(memory_format=torch.channels_last)
        context = _context(model, batch, grid)

        def denoise(x_t: Tensor, t: float) -> Tensor:
            level = torch.full((len(x_t),), t)
            x = x_t.contiguous(memory_format=torch.channels_last)
            return estimate(model.schedule, x_t, model.denoiser(x, level, condition, context), level)

        def noise(_: int) -> Tensor:
            return coloured(model.kernel, shape, rng)

        return torch.stack(
            [sample(denoise, factor * noise(0), model.schedule, sampler, noise=noise) for _ in range(members)]
        )


def _context(model: Downscaler, batch: Batch, grid: Grid) -> list[Tensor] | None:
    if model.encoder is None:
        return None
    features = conditioning.encode(model.encoder, batch.history, batch.mask, grid)
    return conditioning.crops(model.denoiser, features, grid, batch.windows)
