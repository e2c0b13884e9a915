"""Draws on the crops of a training batch, without tiles, labels or conservation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xdownscale.diffusion.denoise import estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdownscale.diffusion.sample import Sampler
    from xdownscale.grid import Grid
    from xdownscale.models import Downscaler
    from xdownscale.training.pairs import Batch

__all__ = ["denoiser", "shape"]


def shape(batch: Batch) -> tuple[int, int, int]:
    """Crops, rows and columns of a batch."""
    b, _, h, w = batch.residual.shape
    return b, h, w


def denoiser(
    model: Downscaler, sampler: Sampler, batch: Batch, grid: Grid
) -> Callable[[Tensor, float], Tensor]:
    """The estimate x0 on the crops of a batch from a coarse grid."""
    condition = batch.condition.contiguous(memory_format=torch.channels_last)
    context = batch.context(model, grid)

    def denoise(x_t: Tensor, t: float) -> Tensor:
        level = torch.full((len(x_t),), t)
        x = x_t.contiguous(memory_format=torch.channels_last)
        prediction = model.network(sampler, t)(x, level, condition, context)
        return estimate(model.schedule, x_t, prediction, level)

    return denoise
