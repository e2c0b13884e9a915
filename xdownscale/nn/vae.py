"""What a variational autoencoder needs beside its decoder: the posterior of the latent field.

The decoder is a `Denoiser` whose first channel is the latent field z, one number a fine cell, N(0, 1) before
the residual r is seen. After it is seen, z ~ N(mean(r, y), variance(r, y)), cell by cell, by this network; it
is needed for training only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xdownscale.nn.layers import zeroed
from xdownscale.nn.unet import UNet

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Posterior"]

_LIMIT = 10.0


class Posterior(nn.Module):
    """Mean and log variance of the latent field; a fresh one is the prior.

    Parameters
    ----------
    condition : int
        Channels of the condition.
    channels : sequence of int
        Of the levels, as the decoder's.
    blocks : int
    """

    def __init__(self, condition: int, channels: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.unet = UNet(1 + condition, channels, blocks, 0)
        self.unet.head = zeroed(nn.Conv2d(channels[0], 8, 3, padding=1))

    def forward(self, residual: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance.

        Parameters
        ----------
        residual : Tensor, shape (B, 1, H, W)
        condition : Tensor, shape (B, condition, H, W)

        Returns
        -------
        (Tensor, Tensor), shapes (B, 1, H, W), float32
            The second within 10 of zero.
        """
        nothing = residual.new_zeros((len(residual), 0))
        out = self.unet(torch.cat([residual, condition], dim=1), nothing).float()
        mean, log_variance = out.chunk(2, dim=1)
        return mean, log_variance.clamp(-_LIMIT, _LIMIT)
