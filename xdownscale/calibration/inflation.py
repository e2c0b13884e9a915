"""The inflation of the starting noise with which spread equals skill at every scale.

Too few evaluations and a network that has not learned everything both make the draws too alike, most so at
small scales. The starting noise is multiplied by a factor f(k) of the wavenumber, fitted in a few rounds.
What waves longer than a coarse cell lack or have too much is mended by conservation after the draw, and
cannot be judged before it: they take the factor of the next shorter wave. Draws are made on crops of the
held-out days, without tiles; a border as wide as the network's reach is left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xdownscale.calibration.crops import denoiser, shape
from xdownscale.diffusion.sample import Sampler, sample
from xdownscale.noise import rings
from xdownscale.training.objective import coloured
from xdownscale.training.pairs import Batch, generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.grid import Grid
    from xdownscale.models import Downscaler

__all__ = ["inflation"]

_BINS = 17
_ROUNDS = 3
_POWER = 2.0
_LARGEST_STEP = 1.5
_LARGEST = 3.0


def inflation(
    model: Downscaler,
    batches: list[Batch],
    border: int,
    sampler: Sampler,
    members: int,
    seed: int,
    grid: Grid,
) -> list[float]:
    """Factors that bring spread to skill at 17 wavenumbers from 0 to 1/2 cycles per cell.

    Parameters
    ----------
    model : Downscaler
    batches : list of Batch
        Crops of held-out days.
    border : int [fine cells]
        Left out on each side of a crop.
    sampler : Sampler
    members : int, >= 2
    seed : int
    grid : Grid
        The coarse record's.

    Returns
    -------
    list of float
    """
    free = _free((model.coarse, model.fine))
    tried: list[NDArray[np.float64]] = [np.ones(_BINS)]
    found: list[NDArray[np.float64]] = []
    for _ in range(_ROUNDS):
        spread, error = _by_wavenumber(model, batches, border, sampler, members, seed, grid, tried[-1])
        found.append(_reliability(spread, error, members))
        factors = _next(tried, found)
        factors[:free] = factors[free]
        tried.append(factors)
    return [round(float(f), 4) for f in tried[-1]]


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
    border: int,
    sampler: Sampler,
    members: int,
    seed: int,
    grid: Grid,
    factors: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variance of the members, and of their mean's error, by rings of wavenumber."""
    inner = slice(border, -border)
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
    starting = model.inflated(factors.tolist())
    with torch.inference_mode():
        denoise = denoiser(model, sampler, batch, grid)

        def noise(_: int) -> Tensor:
            return coloured(model.kernel, shape(batch), rng)

        return torch.stack(
            [
                sample(denoise, coloured(starting, shape(batch), rng), model.schedule, sampler, noise=noise)
                for _ in range(members)
            ]
        )
