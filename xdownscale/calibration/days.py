"""How far what the conditional mean leaves unexplained, r - E[r | y], is the same on a day and on the next.

The starting noise of two days in sequence is correlated so (`coherence="correlated"`). A mean that is told
the day before too, E[r | y, s], leaves less that is alike, but some: a network does not use all that it is
told. An autoregressive run has noise that is correlated by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from xdownscale.calibration.crops import denoiser, shape
from xdownscale.training.objective import coloured
from xdownscale.training.pairs import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.models import Downscaler
    from xdownscale.training.config import TrainConfig
    from xdownscale.training.pairs import Pairs

__all__ = ["correlation"]

_LARGEST = 0.95


def correlation(model: Downscaler, pairs: Pairs, config: TrainConfig, steps: int, seed: int) -> float:
    """Correlation of the unexplained residual on the same crops of a day and of the day before.

    Parameters
    ----------
    model : Downscaler
    pairs : Pairs
    config : TrainConfig
        How crops are cut; with `state=1.0` a model that has a state is told the days before.
    steps : int
        Batches of crops.
    seed : int

    Returns
    -------
    float
        0 to 0.95; 0 where no two of the days follow each other.
    """
    apart = model.card.step
    places = [
        (j, i)
        for i, (day, _) in enumerate(pairs.days)
        for j, (other, _) in enumerate(pairs.days)
        if abs(pairs.coarse.instants[day] - pairs.coarse.instants[other] - apart) <= apart // 50
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
    return round(float(np.clip(sums[0] / np.sqrt(sums[1] * sums[2]), 0.0, _LARGEST)), 4)


def _unexplained(
    model: Downscaler, pairs: Pairs, config: TrainConfig, step: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Residual minus its conditional mean, zero where it is not known."""
    batch = pairs.batch(model, config, step)
    with torch.inference_mode():
        start = coloured(model.kernel, shape(batch), rng)
        expected = denoiser(model, model.sampler, batch, pairs.coarse.grid)(start, 1.0)
    left = torch.where(batch.weight > 0, batch.residual - expected, 0.0)
    inner = slice(config.border, -config.border)
    return left[..., inner, inner].double().numpy()
