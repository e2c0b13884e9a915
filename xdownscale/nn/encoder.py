"""The transfer encoder: a light temporal U-Net on the native coarse grid.

Stage 1 trains it to give the next day from the last L, as an increment on today,

    y_{d+1} ~ y_d + net([y m, m]_{d-L+1..d}),     m: which days and cells are known

and stage 2 keeps the `Encoder` alone: features at strides 1, 2 and 4 of the coarse grid. Masked values enter
as zeros, with their masks, and cannot be seen.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from xdownscale.nn.layers import ResBlock, zeroed

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Encoder", "TemporalUNet", "digest"]

_BLOCKS = 2


def digest(module: nn.Module) -> str:
    """sha256 over names, shapes and bytes of a module's weights, hex.

    Parameters
    ----------
    module : nn.Module

    Returns
    -------
    str
        Equal for equal weights on any device and in any order of definition.
    """
    total = hashlib.sha256()
    for name, weight in sorted(module.state_dict().items()):
        total.update(f"{name}:{tuple(weight.shape)}:{weight.dtype};".encode())
        total.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


class Encoder(nn.Module):
    """Multi-scale features of a coarse history.

    Parameters
    ----------
    history : int, 1-60
        Days it looks at, today last.
    channels : sequence of int
        Of the scales at strides 1, 2, 4, ...
    """

    def __init__(self, history: int, channels: Sequence[int] = (32, 64, 96)) -> None:
        super().__init__()
        _check("history", [history], 60)
        _check("channels", channels, 1024)
        self.history = history
        self.channels = tuple(channels)
        self.stem = nn.Conv2d(2 * history, channels[0], 3, padding=1)
        self.levels = nn.ModuleList(nn.ModuleList(ResBlock(c) for _ in range(_BLOCKS)) for c in channels)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairwise(channels))

    def forward(self, history: Tensor, mask: Tensor) -> list[Tensor]:
        """Features, shapes (B, C_i, H / 2^i, W / 2^i); H, W multiples of the last stride."""
        known = torch.where(mask > 0, history, torch.zeros_like(history))
        x = self.stem(torch.cat([known, mask], dim=1).contiguous(memory_format=torch.channels_last))
        features = []
        for i, blocks in enumerate(self.levels):
            x = self.downs[i - 1](x) if i else x
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x)
            features.append(x)
        return features


class TemporalUNet(nn.Module):
    """The encoder with a decoder for stage 1.

    Parameters
    ----------
    history, channels
        As `Encoder`.
    """

    def __init__(self, history: int, channels: Sequence[int] = (32, 64, 96)) -> None:
        super().__init__()
        self.encoder = Encoder(history, channels)
        self.ups = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(channels))
        self.blocks = nn.ModuleList(ResBlock(c) for c in channels[:-1])
        self.head = zeroed(nn.Conv2d(channels[0], 1, 3, padding=1))

    def forward(self, history: Tensor, mask: Tensor) -> Tensor:
        """The next day, shape (B, 1, H, W); a fresh network says that it is like today."""
        *skips, x = self.encoder(history, mask)
        for i in reversed(range(len(skips))):
            x = self.blocks[i](
                skips[i] + interpolate(self.ups[i](x), size=skips[i].shape[-2:], mode="nearest")
            )
        today = torch.where(mask[:, -1:] > 0, history[:, -1:], torch.zeros_like(history[:, -1:]))
        out: Tensor = today + self.head(x)
        return out


def _check(name: str, values: Sequence[int], most: int) -> None:
    if not values or any(not 1 <= v <= most for v in values):
        raise ValueError(f"{name} is {list(values)}: expected whole numbers from 1 to {most}")
