"""Windows of held-out days, drawn once, and what they are when members are moved and conserved.

They are windows of the coarse grid, as wide as a domain: one of 128 cells, drawn by itself, has 8 % more
spread than the same cells in a wide one. The grid falls into equal windows and each has its turn, so that
every place counts as much: of windows put anywhere, few hold the edges of the grid. Where a window ends and
the grid goes on, it is drawn with a margin: spread is 10 to 30 % too large in the first 16 cells from an end,
and right to 1 % after 100 to 150.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from hashlib import sha256
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xdownscale.calibration.kept import kept
from xdownscale.checkpoint import fingerprint
from xdownscale.grid import refined
from xdownscale.inference.day import Day, Domain, lay
from xdownscale.inference.engine import Options, chance, place, sampled
from xdownscale.inference.sequence import Past
from xdownscale.models.starlet import bands, scaled
from xdownscale.patches import Tiling
from xdownscale.training.pairs import Pairs, generator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from xdownscale.diffusion.sample import Sampler
    from xdownscale.grid import Grid
    from xdownscale.models import Downscaler
    from xdownscale.models.members import MemberByMember

__all__ = ["WIDTH", "Sampled", "Window", "places", "window_of"]

WIDTH = 768
_EVERY = 3
_MARGIN = 128


@dataclass(frozen=True)
class Sampled:
    """Residuals in some cells of held-out days, in the residual's scale.

    All but the area is in single precision where windows are sampled: draws have no more, it takes half of
    the memory, and ranks are counted in half of the time.

    Attributes
    ----------
    mean, departure : ndarray, shape (members, cells)
        Conditional mean of each member, and how far the member is from it, neither conserved.
    change : ndarray, shape (members, cells)
        What conservation adds to a member once it is moved.
    truth, area : ndarray, shape (cells,)
    climate : ndarray, shape (2, cells)
        Climatological mean and log deviation.
    level : ndarray, shape (cells,) [transformed value]
        The upsampled coarse field.
    chance : ndarray, shape (members, cells)
        Unit noise of each member's scale.
    """

    mean: NDArray[Any]
    departure: NDArray[Any]
    change: NDArray[Any]
    truth: NDArray[Any]
    area: NDArray[np.float64]
    climate: NDArray[Any]
    level: NDArray[Any]
    chance: NDArray[Any]

    @classmethod
    def joined(cls, parts: Sequence[Sampled]) -> Sampled:
        """The cells of all parts."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts], axis=-1) for f in fields(cls)))

    def of(self, chosen: NDArray[np.bool_]) -> Sampled:
        """Some of the cells."""
        return Sampled(*(getattr(self, f.name)[..., chosen] for f in fields(self)))

    def by_climate(self, count: int) -> list[Sampled]:
        """Parts of as many cells each, by the log deviation; fewer where many cells have the same."""
        log_deviation = self.climate[1]
        edges = np.unique(np.quantile(log_deviation, np.linspace(0, 1, count + 1)))
        numbers = np.clip(np.searchsorted(edges, log_deviation, side="right") - 1, 0, max(len(edges) - 2, 0))
        return [self.of(numbers == b) for b in np.unique(numbers)]

    def first(self, members: int) -> Sampled:
        """The first members alone."""
        names = ("mean", "departure", "change", "chance")
        return replace(self, **{name: getattr(self, name)[:members] for name in names})

    def moved(self, fitted: MemberByMember) -> NDArray[Any]:
        """Members as they are drawn with what was fitted, shape (members, cells)."""
        told = self.mean, self.departure, self.climate, self.level, self.chance
        return np.asarray(fitted.moved(*told) + self.change)

    def single(self) -> Sampled:
        """The same in single precision, but for the area."""
        names = [f.name for f in fields(self) if f.name != "area"]
        return replace(self, **{name: getattr(self, name).astype(np.float32) for name in names})


@dataclass(frozen=True, eq=False)
class Window:
    """A day on a window and a margin around it, drawn.

    Attributes
    ----------
    window : Grid
        The coarse cells that are judged.
    day : Day
    mean, drawn : Tensor, shape (members, H, W) [residual's scale]
        What the sampler first estimates and what it ends with, on the extended domain.
    truth : ndarray, shape (NY, NX)
        The fine field, margin included.
    seed : int
        Members were drawn with it.
    """

    window: Grid
    day: Day
    mean: Tensor
    drawn: Tensor
    truth: NDArray[np.float32]
    seed: int = 0

    def first(self, members: int) -> Window:
        """The window with its first members alone."""
        return replace(self, mean=self.mean[:members], drawn=self.drawn[:members])

    @cached_property
    def climate(self) -> Tensor:
        """On the extended domain, shape (2, H, W)."""
        return self.day.domain.model.climate(self.day.domain.extended)

    @cached_property
    def level(self) -> Tensor:
        """On the extended domain, shape (H, W)."""
        return self.day.level(self.day.domain.extended)

    @property
    def chance(self) -> NDArray[np.float64]:
        """Unit noise of each member's scale on the extended domain, shape (members, H, W)."""
        extended, instant = self.day.domain.extended, self.day.instant
        return np.stack([chance(extended, self.seed, member, instant) for member in range(len(self.drawn))])

    def squares_by_band(self, levels: int) -> NDArray[np.float64]:
        """Of departures from the mean and of its errors, by bands of scale, shape (2, levels).

        Sums over the known cells of the window, by area; of fields that are not conserved.
        """
        inner, fine = self.day.domain.inner, self.day.domain.fine
        truth = torch.from_numpy(self._of_all(self.truth))
        errors = torch.nan_to_num(truth - self.mean.double()[..., *inner])
        departures = (self.drawn - self.mean).double()[..., *inner]
        known = torch.from_numpy(np.where(np.isfinite(self.truth) & self._judged(), fine.area, 0.0))
        return np.array(
            [
                [float((known * band**2).sum()) for band in bands(field, levels, fine.x.cyclic)]
                for field in (departures, errors)
            ]
        )

    def by_band(self, gains: Sequence[float]) -> Window:
        """The window with the departures' bands of scale multiplied."""
        cyclic = self.day.domain.extended.x.cyclic
        return replace(self, drawn=self.mean + scaled(self.drawn - self.mean, gains, cyclic))

    def cells(self, fitted: MemberByMember | None = None) -> Sampled:
        """What is known in every third cell, both ways, of draws moved so and conserved."""
        moved, departure, unit = self.drawn, self.drawn - self.mean, self.chance
        if fitted is not None:
            moved = fitted.moved(self.mean, departure, self.climate, self.level, unit)
        fine = self.day.domain.fine
        area = np.broadcast_to(fine.area, fine.shape)[::_EVERY, ::_EVERY].ravel()
        truth, change = self._residual(self.truth), self._conserved(moved) - self._inner(moved)
        found = Sampled(
            self._inner(self.mean), self._inner(departure), change, truth, area,
            self._inner(self.climate), self._inner(self.level), self._inner(torch.from_numpy(unit)),
        )  # fmt: skip
        judged = self._judged()[::_EVERY, ::_EVERY].ravel()
        return found.of(np.isfinite(change).all(axis=0) & np.isfinite(truth) & judged).single()

    def _judged(self) -> NDArray[np.bool_]:
        """Which cells are in the window, shape (NY, NX)."""
        drawn, inner = self.day.domain.fine, refined(self.window, self.day.domain.model.fine)
        rows, columns = (
            (axis.start + np.arange(axis.size) >= part.start)
            & (axis.start + np.arange(axis.size) < part.start + part.size)
            for axis, part in ((drawn.y, inner.y), (drawn.x, inner.x))
        )
        return np.asarray(rows[:, None] & columns)

    def _conserved(self, residuals: Tensor) -> NDArray[np.float64]:
        return np.stack([self._residual(self.day.finish(r, conserving=True)[0]) for r in residuals])

    def _residual(self, field: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of a fine field of the window, in every third cell."""
        return self._of_all(field)[::_EVERY, ::_EVERY].ravel()

    def _of_all(self, field: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of a fine field of the window, shape (NY, NX)."""
        model = self.day.domain.model
        z = np.asarray(model.scaling.forward(field.astype(np.float64))) - self.day.domain.base(self.day.z)
        return np.asarray(z / model.card.residual_scale)

    def _inner(self, x: Tensor) -> NDArray[np.float64]:
        inner = x.double().numpy()[..., *self.day.domain.inner][..., ::_EVERY, ::_EVERY]
        return inner.reshape(*inner.shape[:-2], -1)


def window_of(
    model: Downscaler,
    pairs: Pairs,
    days: NDArray[np.int64],
    number: int,
    sampler: Sampler,
    members: int,
    side: int,
    seed: int,
    folder: Path | None = None,
) -> Window:
    """One of the days, drawn on a window of its own.

    Parameters
    ----------
    model : Downscaler
    pairs : Pairs
    days : ndarray of int
        Positions among the days of the pairs.
    number : int
        Which of these days; with the seed, also which window.
    sampler : Sampler
    members : int
    side : int [fine cells]
        Of the window, about; all of an axis that is shorter.
    seed : int
    folder : Path, optional
        Where draws are kept, and found again.

    Returns
    -------
    Window
    """
    coarse_day, fine_day = pairs.days[days[number]]
    parts = _parts(pairs.coarse.grid, model.fine, side)
    judged = parts[generator(seed, 0, 9).permutation(len(parts))[number % len(parts)]]
    grid = _around(judged, pairs.coarse.grid, model.fine)
    part, window = replace(pairs, coarse=pairs.coarse.within(grid)), refined(grid, model.fine)
    values, _ = part.history(coarse_day, model.history, model.card.step)
    today, last = pairs.coarse.instants[coarse_day], len(values) - 1
    instants = [today - (last - day) * model.card.step for day in range(len(values))]
    tiling = Tiling(patch=None)
    domain = Domain(model, grid, lay(model, grid, tiling))
    past = _past(part, fine_day, window, model) if model.past else None

    options = Options(tuple(range(members)), seed, "draw", sampler, tiling)
    place(model, options.device)
    with torch.inference_mode():
        day = Day.of(domain, values, instants, last, past)
        seen = [values, *([] if past is None else [past.values])]
        asked = (
            _drawer(model),
            grid,
            instants,
            options,
            *(sha256(v.tobytes()).hexdigest() for v in seen),
        )
        mean, drawn = kept(folder, repr(asked), partial(_drawn, day, options))
    no_more_told = replace(day, maps=None)  # for memory: features of fine cells take as much as 16 members
    return Window(judged, no_more_told, mean, drawn, part.cut(fine_day, window), seed)


def _drawer(model: Downscaler) -> str:
    """A digest of what unmoved members are drawn by; so kept ones outlive a fit, and a card's newer form."""
    training = {k: v for k, v in model.card.training.items() if k != "calibration"}
    return fingerprint(
        model.with_card(replace(model.card, member_by_member={}, training=training, scores=()))
    )


def _drawn(day: Day, options: Options) -> tuple[Tensor, Tensor]:
    """Means and members on the extended domain, each of shape (members, H, W)."""
    found = [sampled(day, options, member) for member in options.members]
    mean, drawn = (torch.cat(each)[:, 0] for each in zip(*found, strict=True))
    return mean, drawn


def places(model: Downscaler, pairs: Pairs, side: int) -> int:
    """How many windows the grid of some pairs falls into; one after the other has its turn."""
    return len(_parts(pairs.coarse.grid, model.fine, side))


def _parts(grid: Grid, fine: Grid, side: int) -> list[Grid]:
    """The equal windows that cover a coarse grid, as near as can be to a side of so many fine cells."""
    spans = []
    for axis, other in ((grid.y, fine.y), (grid.x, fine.x)):
        count = max(1, round(axis.size * axis.step / (side * other.step)))
        size = math.ceil(axis.size / count)
        starts = np.linspace(axis.start, axis.start + axis.size - size, count).round().astype(int)
        spans.append([(int(start), size) for start in starts])
    return [grid.window(*places) for places in product(*spans)]


def _around(window: Grid, grid: Grid, fine: Grid) -> Grid:
    """The window with a margin on each side, as far as the grid goes."""
    spans = []
    for inner, axis, other in ((window.y, grid.y, fine.y), (window.x, grid.x, fine.x)):
        margin = math.ceil(_MARGIN * other.step / axis.step)
        start = max(axis.start, inner.start - margin)
        end = min(axis.start + axis.size, inner.start + inner.size + margin)
        spans.append((start, end - start))
    return grid.window(*spans)


def _past(pairs: Pairs, fine_day: int, window: Grid, model: Downscaler) -> Past:
    """The fine days before one on a window, for an encoder that sees them."""
    today, days = pairs.fine.instants[fine_day], pairs.past(fine_day, model.past, model.card.step)
    blank = np.full(window.shape, np.nan, dtype=np.float32)
    values = np.stack([blank if day is None else pairs.cut(day, window) for day in days])
    return Past(values, tuple(today - lag * model.card.step for lag in range(len(days), 0, -1)))
