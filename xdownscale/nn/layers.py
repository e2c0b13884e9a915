"""Layers of both networks: convolutional, with channel-wise statistics only.

    RMSNorm:   x_c / sqrt(mean_c x_c^2 + eps) * g_c            at every cell for itself
    ResBlock:  x + conv(silu(film(norm(conv(silu(norm(x)))))))
               film: h (1 + s) + b, (s, b) linear in the embedding

No statistic is taken over space, so that an output depends on its neighbourhood and not on the field's size.
The last convolution of a block and the FiLM layer begin at zero: a fresh network is the identity in depth.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, silu

__all__ = ["NoiseEmbedding", "RMSNorm", "ResBlock", "zeroed"]

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

_EPS = 1e-5
_FASTEST = 1000.0


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over channels.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, shape (B, C, H, W); channels-last input stays channels-last."""
        last = x.permute(0, 2, 3, 1)
        return rms_norm(last, self.weight.shape, self.weight.to(x.dtype), _EPS).permute(0, 3, 1, 2)


class ResBlock(nn.Module):
    """Two 3 x 3 convolutions around a skip connection, modulated by an embedding.

    Parameters
    ----------
    channels : int
    embedding : int
        Width of the embedding; 0 for a block without one.
    """

    def __init__(self, channels: int, embedding: int = 0) -> None:
        super().__init__()
        self.norm1 = RMSNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = RMSNorm(channels)
        self.conv2 = zeroed(nn.Conv2d(channels, channels, 3, padding=1))
        self.film = zeroed(nn.Linear(embedding, 2 * channels)) if embedding else None

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """x, shape (B, C, H, W); embedding, shape (B, E)."""
        h = self.norm2(self.conv1(silu(self.norm1(x))))
        if self.film is not None and embedding is not None:
            scale, shift = self.film(embedding)[:, :, None, None].to(h.dtype).chunk(2, dim=1)
            h = torch.addcmul(shift, h, 1 + scale)
        out: Tensor = x + self.conv2(silu(h))
        return out


class NoiseEmbedding(nn.Module):
    """Sines and cosines of a noise level in [0, 1], through a small perceptron.

    Parameters
    ----------
    width : int
        Even.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.net = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, level: Tensor) -> Tensor:
        """level, shape (B,), to an embedding, shape (B, width)."""
        octaves = torch.linspace(0, math.log(_FASTEST), self.width // 2, device=level.device)
        angle = level[:, None] * octaves.exp()
        embedded: Tensor = self.net(torch.cat([angle.sin(), angle.cos()], dim=1))
        return embedded


def zeroed(layer: Layer) -> Layer:
    """The layer with weights and bias at zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
