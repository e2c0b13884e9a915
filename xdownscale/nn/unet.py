"""The denoiser's trunk: a convolutional U-Net behind a pixel-unshuffle stem.

A field of H x W cells becomes H/2 x W/2 with four times the channels; levels lie at strides 2, 4, 8, ... of
the field, with `blocks` residual blocks on the way down and as many on the way up. A context map may be added
at each level. Everything is local, so that the receptive field is finite and the same at every cell.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pixel_shuffle, pixel_unshuffle, silu

from xdownscale.nn.layers import ResBlock, RMSNorm, zeroed

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["UNet"]


class UNet(nn.Module):
    """Fields to a field, under an embedding and contexts.

    Parameters
    ----------
    inputs : int
        Channels of the input.
    channels : sequence of int
        Of the levels.
    blocks : int
        Residual blocks a level and direction.
    embedding : int
    """

    def __init__(self, inputs: int, channels: Sequence[int], blocks: int, embedding: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4 * inputs, channels[0], 3, padding=1)
        self.down = nn.ModuleList(_blocks(c, blocks, embedding) for c in channels)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(channels))
        self.ups = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(channels))
        self.up = nn.ModuleList(_blocks(c, blocks, embedding) for c in channels[:-1])
        self.norm = RMSNorm(channels[0])
        self.head = zeroed(nn.Conv2d(channels[0], 4, 3, padding=1))

    def look(self, x: Tensor) -> Tensor:
        """What the stem makes of all but the first channel, (B, inputs - 1, H, W): (B, C_0, H / 2, W / 2)."""
        return conv2d(_unshuffled(x), self.stem.weight[:, 4:], self.stem.bias, padding=1)

    def forward(
        self,
        x: Tensor,
        embedding: Tensor,
        context: Sequence[Tensor] | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        """Fields to a field.

        Parameters
        ----------
        x : Tensor, shape (B, inputs, H, W)
            Or the first channel alone, (B, 1, H, W), where the others were `seen`.
        embedding : Tensor, shape (B, E)
        context : sequence of Tensor, shapes (B, C_l, H / s_l, W / s_l), optional
        seen : Tensor, shape (B, C_0, H / 2, W / 2), optional
            From `look`.

        Returns
        -------
        Tensor, shape (B, 1, H, W)
        """
        if seen is None:
            x = self.stem(_unshuffled(x))
        else:
            x = seen + conv2d(_unshuffled(x), self.stem.weight[:, :4], padding=1)
        skips = []
        for i, blocks in enumerate(self.down):
            x = self.downs[i - 1](x) if i else x
            if context is not None:
                x = x + context[i].to(x.dtype)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, embedding)
            skips.append(x)
        x = skips.pop()
        for i in reversed(range(len(self.up))):
            x = skips[i] + interpolate(self.ups[i](x), scale_factor=2.0, mode="nearest")
            for block in self.up[i]:  # type: ignore[attr-defined]
                x = block(x, embedding)
        return pixel_shuffle(self.head(silu(self.norm(x))), 2)


def _unshuffled(x: Tensor) -> Tensor:
    return pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)


def _blocks(channels: int, count: int, embedding: int) -> nn.ModuleList:
    return nn.ModuleList(ResBlock(channels, embedding) for _ in range(count))
