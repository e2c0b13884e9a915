"""A domain and one of its days, ready for the network on any window.

`Domain` is what does not change from day to day: grids, patches, operators, weights of merging. `Day` is one
day's coarse field in it: gaps filled for the network only, the encoder's features of the history, and what
the network is told of each patch; its first layer, being linear, sees that once for all evaluations and
members.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xdownscale.grid import Grid, coarsening, conservative_matrix, refined, upsampling
from xdownscale.inference.conserve import conserve as _conserve
from xdownscale.models import conditioning
from xdownscale.noise import DAY_US
from xdownscale.patches import Layout, Tiling, layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from xdownscale.grid import Separable
    from xdownscale.inference.sequence import Past
    from xdownscale.models.downscaler import Downscaler

__all__ = ["Day", "Domain", "Told", "history", "lay"]

# a group of patches, what the network's first layer makes of their condition, and their context
Told = tuple[list[tuple[int, int]], Tensor, list[Tensor] | None]


def lay(model: Downscaler, grid: Grid, tiling: Tiling) -> Layout:
    """Where the patches lie for a window of the coarse grid.

    Parameters
    ----------
    model : Downscaler
    grid : Grid
        Window of the coarse grid.
    tiling : Tiling

    Returns
    -------
    Layout
    """
    fine = refined(grid, model.fine)
    y, x = ((a.start, a.size, a.period if a.cyclic else None) for a in (fine.y, fine.x))
    return layout(y, x, tiling)


def history(instants: Sequence[int | None], day: int, length: int, step: int = DAY_US) -> list[int | None]:
    """Which of the given days are the history of one of them.

    Parameters
    ----------
    instants : sequence of int or None [microseconds since 1970]
    day : int
        Position of today.
    length : int
        Days wanted, today included.
    step : int [microseconds]

    Returns
    -------
    list of int or None
        Positions, oldest first, today last; None where a day is not given.

    Examples
    --------
    >>> history([2 * DAY_US, 0, 1 * DAY_US], 0, 4)
    [None, 1, 2, 0]
    """
    today = instants[day]
    found: dict[int, int] = {}
    for i, other in enumerate(instants):
        if today is None or other is None:
            continue
        lag = (today - other) / step
        if abs(lag - round(lag)) < 0.02:
            found.setdefault(round(lag), i)
    return [found.get(lag) for lag in range(length - 1, 0, -1)] + [day]


@dataclass(frozen=True, eq=False)
class Domain:
    """What does not change from day to day."""

    model: Downscaler
    grid: Grid
    layout: Layout
    device: str = "cpu"
    batch: int = 1

    @cached_property
    def fine(self) -> Grid:
        """The window of the fine grid that is drawn."""
        return refined(self.grid, self.model.fine)

    @cached_property
    def extended(self) -> Grid:
        """The window that the patches cover together."""
        y, x = self.layout.y, self.layout.x
        return self.model.fine.window((y.start, y.size), (x.start, x.size))

    @cached_property
    def operators(self) -> tuple[Any, Any]:
        """The conservative mean, and the way back from it that conservation takes."""
        return coarsening(self.fine, self.grid), upsampling(self.grid, self.fine, "linear")

    @property
    def least(self) -> float:
        """What no value of the quantity is below."""
        return -np.inf if self.model.card.signed else 0.0

    @cached_property
    def base(self) -> Separable:
        """The card's upsampling U."""
        method: Any = self.model.card.upsampling
        return upsampling(self.grid, self.fine, method)

    @cached_property
    def weights(self) -> dict[tuple[int, int], Tensor]:
        """Each patch's weight in the merged field."""
        return {k: torch.from_numpy(self.layout.weight(k)).to(self.device) for k in self.layout}

    def merge(self, total: Tensor, group: Sequence[tuple[int, int]], x0: Tensor) -> None:
        """Add the estimates of a group's patches, in their order, in place."""
        for n, k in enumerate(group):
            self.layout.accumulate(total, k, x0[n : n + 1], self.weights[k])

    def groups(self, size: int) -> Iterator[list[tuple[int, int]]]:
        """Patches in their order, in groups of one shape and at most `size`."""
        group: list[tuple[int, int]] = []
        for k in self.layout:
            if group and (len(group) == size or self.patch(k).shape != self.patch(group[0]).shape):
                yield group
                group = []
            group.append(k)
        yield group

    def patch(self, k: tuple[int, int]) -> Grid:
        """The fine window of a patch."""
        return self.model.fine.window(self.layout.y.span(k[0]), self.layout.x.span(k[1]))

    def covered(self, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Fine cells that overlap a valid coarse cell."""
        y = conservative_matrix(self.grid.y, self.fine.y) > 0
        x = conservative_matrix(self.grid.x, self.fine.x) > 0
        return np.asarray((y @ valid.astype(np.float32)) @ x.T > 0)

    def residual(self, field: NDArray[np.float32]) -> Tensor:
        """The residual of a fine field on the extended domain, shape (H, W); NaN where it is unknown."""
        model = self.model
        mean = self.operators[0].mean(field)
        z = model.scaling.forward(np.maximum(mean, self.least))
        base = self.base(conditioning.filled(z, np.isfinite(mean)))
        wide = np.full(self.layout.shape, np.nan, dtype=np.float32)
        wide[self.inner] = (model.scaling.forward(field) - base) / model.card.residual_scale
        return torch.from_numpy(wide)

    def past(self, past: Past, instant: int | None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Transformed fine days before an instant on the extended domain, and where they are known."""
        model, n = self.model, len(past.instants)
        places = history([*past.instants, instant], n, model.past + 1, model.card.step)[:-1]
        wide = np.full((model.past, *self.layout.shape), np.nan, dtype=np.float32)
        for row, place in enumerate(places):
            if place is not None:
                wide[(row, *self.inner)] = past.values[place]
        known = np.isfinite(wide)
        z = np.asarray(model.scaling.forward(np.maximum(np.where(known, wide, 0.0), self.least)))
        return np.where(known, z, 0.0), known

    @cached_property
    def inner(self) -> tuple[slice, slice]:
        """Where the domain lies in the extended one."""
        y, x = self.fine.y, self.fine.x
        return self.layout.inner((y.start, y.size), (x.start, x.size))


@dataclass(frozen=True, eq=False)
class Day:
    """One day, ready for the denoiser on any window."""

    domain: Domain
    z: NDArray[np.float64]
    coarse: NDArray[np.float64]
    valid: NDArray[np.bool_]
    maps: list[Tensor] | None
    seen: Grid
    instant: int | None

    @classmethod
    def of(
        cls,
        domain: Domain,
        coarse: NDArray[Any],
        instants: Sequence[int | None],
        day: int,
        fine: Past | None = None,
    ) -> Day:
        """One of the days of a coarse record, the others being its history.

        Parameters
        ----------
        domain : Domain
        coarse : ndarray, shape (time, ny, nx) [the model's units]
        instants : sequence of int or None [microseconds since 1970]
        day : int
            Its position.
        fine : Past, optional
            Fine days before it, for an encoder that sees those.
        """
        model = domain.model
        valid = np.isfinite(coarse[day])
        past = history(instants, day, model.history, model.card.step)
        stack = np.stack([np.full_like(coarse[day], np.nan) if i is None else coarse[i] for i in past])
        known = np.isfinite(stack)
        z = np.where(known, model.scaling.forward(np.where(known, np.maximum(stack, domain.least), 0.0)), 0.0)
        seen, shown = domain.grid, (z, known)
        if model.card.sees != "coarse":
            seen = domain.extended
            if fine is not None and model.past:
                shown = domain.past(fine, instants[day])
            else:
                shown = conditioning.lifted(z, known, domain.grid, seen, model.card.upsampling)
        maps = model.maps(shown[0][None], shown[1][None], seen)
        return cls(domain, conditioning.filled(z[-1], valid), coarse[day], valid, maps, seen, instants[day])

    def condition(self, window: Grid, state: Tensor | None = None) -> Tensor:
        """The condition's channels on a window, shape (C, H, W)."""
        model = self.domain.model
        card = model.card
        maps = conditioning.statics(card.statics, window, self.instant, card.months, model.climatology)
        if card.state:
            maps = torch.cat([maps, torch.zeros((2, *window.shape)) if state is None else state])
        return conditioning.condition(
            self.z, self.valid, self.domain.grid, window, method=model.card.upsampling, maps=maps
        )

    def level(self, window: Grid) -> Tensor:
        """The upsampled coarse field on a window, transformed, shape (H, W)."""
        return conditioning.upsampled(self.z, self.domain.grid, window, self.domain.model.card.upsampling)

    def told(self, state: Tensor | None = None) -> list[Told]:
        """What the network is told of the whole field, group by group of patches."""
        return self._shared if state is None else self._told(state)

    @cached_property
    def _shared(self) -> list[Told]:
        """What all members are told that have no state."""
        return self._told(None)

    def _told(self, state: Tensor | None) -> list[Told]:
        layout = self.domain.layout
        out = []
        for group, windows, levels in self._contexts:
            states = [None if state is None else layout.extract(state[None], k)[0] for k in group]
            out.append((group, self.look(windows, states), levels))
        return out

    @cached_property
    def _contexts(self) -> list[tuple[list[tuple[int, int]], list[Grid], list[Tensor] | None]]:
        groups = list(self.domain.groups(self.domain.batch))
        windows = [[self.domain.patch(k) for k in group] for group in groups]
        return [(group, w, self.levels(w)) for group, w in zip(groups, windows, strict=True)]

    def look(self, windows: Sequence[Grid], states: Sequence[Tensor | None] | None = None) -> Tensor:
        """What the network makes of the condition on windows of one size."""
        states = [None] * len(windows) if states is None else states
        told = torch.stack([self.condition(w, s) for w, s in zip(windows, states, strict=True)])
        return self.domain.model.seen(told.to(self.domain.device))

    def levels(self, windows: Sequence[Grid]) -> list[Tensor] | None:
        """The context of windows of one size."""
        contexts = [levels for w in windows if (levels := self.context(w)) is not None]
        joined = [torch.cat(level) for level in zip(*contexts, strict=True)]
        return [level.contiguous(memory_format=torch.channels_last) for level in joined] or None

    def context(self, window: Grid) -> list[Tensor] | None:
        """The encoder's features at the network's levels on a window; None without an encoder."""
        if self.maps is None:
            return None
        return conditioning.context(self.maps, self.seen, window, self.domain.model.denoiser.strides)

    def finish(self, r: Tensor, conserving: bool) -> tuple[NDArray[np.float32], float]:
        """Residual to field: back through T, conservation, gaps."""
        domain, model = self.domain, self.domain.model
        residual = r.double().cpu().numpy()[domain.inner]
        base = domain.base(self.z)
        field = model.scaling.inverse(base + model.card.residual_scale * residual)
        field = np.maximum(field, domain.least)
        coarse = np.where(self.valid, np.maximum(self.coarse, domain.least), np.nan)
        passes = 200 if conserving else 0
        result = _conserve(field, coarse, *domain.operators, passes=passes, signed=model.card.signed)
        values = result.field.astype(np.float32)
        values[~domain.covered(self.valid)] = np.nan
        return values, result.before
