"""Stage 2's network: what is asked of x_t, given the condition and the encoder's features.

    prediction = UNet([x_t, condition], embedding(level), context)

The features of the coarse history are projected to each level's channels by 1 x 1 convolutions on the coarse
grid (`project`), brought to the level's own cells by the caller, and added there.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from xdownscale.nn.layers import NoiseEmbedding
from xdownscale.nn.unet import UNet

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Climate", "Denoiser", "Nothing", "Second"]

_WAY_UP = ("ups", "up", "norm", "head")
_MODULATION = "film"


class Denoiser(nn.Module):
    """A conditional U-Net.

    Parameters
    ----------
    condition : int, 1-256
        Channels of the condition.
    context : sequence of int
        Channels of the encoder's features; empty for a denoiser without transfer.
    channels : sequence of int, each 8-1024
        Of the levels, at strides 2, 4, 8, ...
    blocks : int, 1-8
        Residual blocks a level and direction.
    embedding : int, 8-1024, even
        Width of the noise level's embedding.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    def __init__(
        self,
        condition: int,
        context: Sequence[int] = (),
        channels: Sequence[int] = (48, 72, 128),
        blocks: int = 2,
        embedding: int = 64,
    ) -> None:
        super().__init__()
        _within("condition", [condition], 1, 256)
        _within("context", context, 1, 1024)
        _within("channels", channels, 8, 1024)
        _within("blocks", [blocks], 1, 8)
        _within("embedding", [embedding], 8, 1024)
        self.context = tuple(context)
        self.strides = tuple(2 ** (i + 1) for i in range(len(channels)))
        self.multiple = self.strides[-1]
        self.embed = NoiseEmbedding(embedding)
        self.unet = UNet(1 + condition, channels, blocks, embedding)
        self.projections = nn.ModuleList(nn.Conv2d(sum(context), c, 1) for c in channels if context)

    def project(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features to the levels' channels, on the coarse grid.

        Parameters
        ----------
        features : sequence of Tensor, shapes (B, C_i, h_i, w_i)
            The first on the native coarse grid; deeper ones are brought there bilinearly.

        Returns
        -------
        list of Tensor, shapes (B, channels[l], h, w)
        """
        size = features[0].shape[-2:]
        native = [
            f if f.shape[-2:] == size else interpolate(f, size=size, mode="bilinear", align_corners=False)
            for f in features
        ]
        stack = torch.cat(native, dim=1)
        return [projection(stack) for projection in self.projections]

    def look(self, condition: Tensor) -> Tensor:
        """What the first layer makes of the condition, once for all evaluations of a day.

        Parameters
        ----------
        condition : Tensor, shape (B, condition, H, W)

        Returns
        -------
        Tensor, shape (B, channels[0], H / 2, W / 2)
        """
        seen: Tensor = self.unet.look(condition)
        return seen

    def again(
        self, x_t: Tensor, level: Tensor, seen: Tensor, context: Sequence[Tensor] | None = None
    ) -> Tensor:
        """What `forward` gives, to rounding, for a condition seen by `look`."""
        self._check(x_t)
        out: Tensor = self.unet(x_t, self.embed(level), context, seen)
        return out

    def forward(
        self, x_t: Tensor, level: Tensor, condition: Tensor, context: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Predict on a window.

        Parameters
        ----------
        x_t : Tensor, shape (B, 1, H, W)
            H and W multiples of `multiple`.
        level : Tensor, shape (B,), in [0, 1]
        condition : Tensor, shape (B, condition, H, W)
        context : sequence of Tensor, shapes (B, channels[l], H / strides[l], W / strides[l]), optional

        Returns
        -------
        Tensor, shape (B, 1, H, W)
        """
        self._check(x_t)
        out: Tensor = self.unet(torch.cat([x_t, condition], dim=1), self.embed(level), context)
        return out

    def _check(self, x_t: Tensor) -> None:
        if x_t.shape[-2] % self.multiple or x_t.shape[-1] % self.multiple:
            raise ValueError(
                f"the field is {tuple(x_t.shape[-2:])} cells: expected multiples of {self.multiple}"
            )


class Second(Denoiser):
    """A denoiser that sees as another does and answers by itself: only the way up is its own.

    Parameters
    ----------
    first : Denoiser
        Its embedding, stem and way down are shared, weight by weight; the way up begins as a copy of its
        own. The context of both is that of the first. Asked at one noise level only, the way up needs of its
        modulation no more than the bias.
    """

    def __init__(self, first: Denoiser) -> None:
        nn.Module.__init__(self)
        self.context = ()
        self.strides, self.multiple = first.strides, first.multiple
        self.embed = first.embed
        self.unet = copy.copy(first.unet)
        self.unet._modules = dict(first.unet._modules)
        for name in _WAY_UP:
            setattr(self.unet, name, copy.deepcopy(getattr(first.unet, name)))
        ours, theirs = dict(self.unet.up.named_modules()), dict(first.unet.up.named_modules())
        for name, module in ours.items():
            if name.endswith(_MODULATION):
                module.weight = theirs[name].weight
        self.projections = nn.ModuleList()

    def own(self) -> dict[str, Tensor]:
        """The weights that are not shared, by name."""
        prefixes = tuple(f"unet.{name}." for name in _WAY_UP)
        shared = f".{_MODULATION}.weight"
        state = self.state_dict()
        return {k: v for k, v in state.items() if k.startswith(prefixes) and not k.endswith(shared)}


class Nothing(Denoiser):
    """A network without weights that adds nothing to the interpolated field, for baselines without one."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.context = ()
        self.strides = (2, 4, 8)
        self.multiple = self.strides[-1]

    def look(self, condition: Tensor) -> Tensor:
        """The condition, of which nothing is made."""
        return condition

    def again(
        self, x_t: Tensor, level: Tensor, seen: Tensor, context: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Zeros of x_t's shape."""
        return self.forward(x_t, level, seen, context)

    def forward(
        self, x_t: Tensor, level: Tensor, condition: Tensor, context: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Zeros of x_t's shape, whatever else is given."""
        del level, condition, context
        return torch.zeros_like(x_t)


class Climate(Nothing):
    """A network without weights that knows a climatology alone.

    The last two channels of the condition are the mean m and the log deviation d of the residual; at the
    noise end the estimate is m + exp(d) e.
    """

    def forward(
        self, x_t: Tensor, level: Tensor, condition: Tensor, context: Sequence[Tensor] | None = None
    ) -> Tensor:
        """Predict e - m - exp(d) e, shape (B, 1, H, W), for x_t = e."""
        del level, context
        mean, deviation = condition[:, -2:].split(1, dim=1)
        velocity: Tensor = x_t - mean - deviation.exp() * x_t
        return velocity


def _within(name: str, values: Sequence[int], low: int, high: int) -> None:
    if any(not low <= v <= high for v in values):
        raise ValueError(f"{name} is {list(values)}: expected whole numbers from {low} to {high}")
