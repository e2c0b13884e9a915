"""Records on their grids, and the crops a step sees.

A `Record` is a DataArray located on a regular grid: values by day, instants, window. `Pairs` joins a coarse
and a fine record and cuts the crops of a training step. The batch of step n is drawn by a counter-based
generator keyed by (seed, n) and is therefore the same whatever happened before it.

The coarse input is degraded at random, because a reanalysis is smoother than a block mean: with probability
`degrade` a day's history is smoothed by a Gaussian of 0 to 1.5 coarse cells and multiplied by a weak smooth
bias field. With probability `edges` the domain ends inside the crops, with probability `dropout` part of the
history is masked, so that a single day, and a field's edge, are met in training.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xdownscale.grid import Grid, covered
from xdownscale.models import conditioning
from xdownscale.noise import DAY_US, instant
from xdownscale.training.degraded import degraded
from xdownscale.training.objective import coloured

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.models.downscaler import Downscaler
    from xdownscale.training.climatology import Folds
    from xdownscale.training.config import TrainConfig

__all__ = ["DAY_US", "Batch", "Pairs", "Record", "generator"]

_NOISIEST = 0.5


def generator(seed: int, step: int, stream: int = 0) -> np.random.Generator:
    """The generator of one training step, independent of all other steps."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, step]))


@dataclass(frozen=True, eq=False)
class Record:
    """A daily field on a window of a regular grid.

    Attributes
    ----------
    values : array-like, shape (time, ny, nx)
        Read day by day; may be lazy. Latitude and longitude ascending.
    instants : tuple of int [microseconds since 1970]
    grid : Grid
        The window the values lie on.
    """

    values: Any
    instants: tuple[int, ...]
    grid: Grid

    @classmethod
    def of(cls, da: xr.DataArray, grid: Grid) -> Record:
        """Locate a DataArray with 1-D `time`, latitude and longitude on a grid.

        Raises
        ------
        ValueError
            If a dimension is missing, or the coordinates are not the grid's.
        """
        from xdownscale.cf import understand

        with warnings.catch_warnings():  # seasons of several years: what has no history is masked
            warnings.filterwarnings("ignore", ".* has gaps", UserWarning)
            found = understand(da, grid)
        axes = found.axes
        if axes.time is None:
            raise ValueError(f"{da.name!r} has dimensions {da.dims}: training needs a time dimension")
        south_up, east_right = (slice(None, None, -1 if down else None) for down in found.descending)
        values = found.source.transpose(axes.time, axes.lat, axes.lon)
        values = values.isel({axes.lat: south_up, axes.lon: east_right})
        if found.roll:
            values = values.roll({axes.lon: found.roll})
        instants = (instant(t) for t in da[axes.time].values)
        return cls(values.variable, tuple(t for t in instants if t is not None), found.grid)

    def day(self, index: int) -> NDArray[np.float32]:
        """Values of one day, shape (ny, nx)."""
        return np.asarray(self.values[index], dtype=np.float32)

    def within(self, grid: Grid) -> Record:
        """The part of the record on a window of its grid.

        Raises
        ------
        ValueError
            If the window reaches beyond the record.
        """
        y, x = grid.y.start - self.grid.y.start, grid.x.start - self.grid.x.start
        if grid.x.period is not None:
            x %= grid.x.period
        ny, nx = self.grid.shape
        if y < 0 or y + grid.y.size > ny or (x + grid.x.size > nx and not self.grid.x.cyclic):
            raise ValueError(
                f"the coarse record covers {_extent(self.grid)}: expected {_extent(grid)}, the whole cells "
                "of the fine record; give a wider coarse record or a narrower fine one"
            )
        columns: Any = slice(x, x + grid.x.size)
        if x + grid.x.size > nx:
            columns = (x + np.arange(grid.x.size)) % nx
        return Record(self.values[:, y : y + grid.y.size, columns], self.instants, grid)

    @property
    def step(self) -> int:
        """The usual time between two fields, in microseconds; a day where there is one field."""
        steps = np.diff(np.unique(np.asarray(self.instants, dtype=np.int64)))
        return int(np.median(steps)) if steps.size else DAY_US

    def find(self, when: int, step: int = DAY_US) -> int | None:
        """Position of an instant, to a fiftieth of a step, or None."""
        near = int(np.argmin(np.abs(np.asarray(self.instants) - when)))
        return near if abs(self.instants[near] - when) <= step // 50 else None


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step of stage 2 needs.

    Attributes
    ----------
    residual : Tensor, shape (B, 1, P, P)
    weight : Tensor, shape (B, 1, P, P), 0 or 1
        Zero where the truth is missing, outside the domain, and in the border.
    condition : Tensor, shape (B, C, P, P)
    windows : list of (int, Grid)
        For each crop: its day's row in `history`, its window of the fine grid.
    history, mask : ndarray, shape (days, L, ny, nx)
        What the encoder sees; of an encoder that sees fine cells, of each crop, shape (B, L, P, P).
    """

    residual: Tensor
    weight: Tensor
    condition: Tensor
    windows: list[tuple[int, Grid]]
    history: NDArray[np.float32]
    mask: NDArray[np.float32]

    def pinned(self) -> Batch:
        """The same batch in memory that a GPU reads by itself."""
        residual, weight, condition = (t.pin_memory() for t in (self.residual, self.weight, self.condition))
        return replace(self, residual=residual, weight=weight, condition=condition)

    def context(self, model: Downscaler, coarse: Grid) -> list[Tensor] | None:
        """The encoder's features at the denoiser's levels, on every crop; None without an encoder.

        Parameters
        ----------
        model : Downscaler
        coarse : Grid
            Window of the coarse record.
        """
        if model.encoder is None:
            return None
        if model.card.sees == "coarse":
            features = conditioning.encode(model.encoder, self.history, self.mask, coarse)
            return conditioning.crops(model.denoiser, features, coarse, self.windows)
        seen = self.windows[0][1]  # crops lie alike on the lattice of the levels
        maps = model.denoiser.project(conditioning.encode(model.encoder, self.history, self.mask, seen))
        return conditioning.context(maps, seen, seen, model.denoiser.strides)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Coarse and fine days that belong together.

    Attributes
    ----------
    coarse, fine : Record
    days : tuple of (int, int)
        Positions (coarse, fine) of the days in common.
    folds : Folds, optional
        Climatologies that leave each of the days out. Without, the model's own is shown.
    """

    coarse: Record
    fine: Record
    days: tuple[tuple[int, int], ...]
    folds: Folds | None = None

    @classmethod
    def of(cls, coarse: Record, fine: Record) -> Pairs:
        """Join two records by instant.

        Raises
        ------
        ValueError
            If they share no day.
        """
        found = [(coarse.find(t, fine.step), i) for i, t in enumerate(fine.instants)]
        days = tuple((c, i) for c, i in found if c is not None)
        if not days:
            raise ValueError(
                "the coarse and the fine record have no day in common: "
                f"coarse {_span(coarse)}, fine {_span(fine)}; check their times"
            )
        return cls(coarse, fine, days)

    def part(self, days: Sequence[int]) -> Pairs:
        """The same records, with some of the days; without folds, which are of all the days."""
        return Pairs(self.coarse, self.fine, tuple(self.days[i] for i in days))

    def inside(self, coarse: Grid) -> Grid:
        """The coarse cells that the fine truth covers wholly, as a window of the coarse grid."""
        return covered(self.fine.grid, coarse)

    def check_crop(self, size: int) -> None:
        """Refuse crops that the fine record has no room for, on the lattice of multiples of 8.

        Raises
        ------
        ValueError
        """
        for axis, name in ((self.fine.grid.y, "rows"), (self.fine.grid.x, "columns")):
            room = 8 * ((axis.start + axis.size) // 8) - 8 * -(-axis.start // 8)
            if size > room:
                raise ValueError(
                    f"the fine record has {axis.size} {name}, room for crops of {room} cells: found crop "
                    f"{size}; make the crop smaller or the record wider"
                )

    def history(
        self, day: int, length: int, step: int = DAY_US
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Coarse values of today (last) and the days before, and where they are known."""
        today = self.coarse.instants[day]
        stack = np.full((length, *self.coarse.grid.shape), np.nan, dtype=np.float32)
        for lag in range(length):
            found = self.coarse.find(today - lag * step, step)
            if found is not None:
                stack[length - 1 - lag] = self.coarse.day(found)
        return stack, np.isfinite(stack)

    def past(self, day: int, length: int, step: int = DAY_US) -> list[int | None]:
        """Positions of the fine days before a fine day, oldest first; None where there is none."""
        today = self.fine.instants[day]
        return [self.fine.find(today - lag * step, step) for lag in range(length, 0, -1)]

    def check_past(self, length: int, step: int) -> None:
        """Refuse days of which none has all the fine days before it that an encoder looks at.

        Raises
        ------
        ValueError
        """
        whole = sum(None not in self.past(fine, length, step) for _, fine in self.days)
        if not whole:
            raise ValueError(
                f"sees is 'fine', and none of the {len(self.days)} days to learn from has the {length} "
                f"fine days before it that the encoder looks at: expected more than {length} fine days in a "
                "row, or an encoder of a shorter history"
            )

    def cut(self, fine_day: int, window: Grid) -> NDArray[np.float32]:
        """A fine day on a window inside the fine record."""
        return self.fine.day(fine_day)[self._cut(window)]

    def batch(self, model: Downscaler, config: TrainConfig, step: int, seed: int | None = None) -> Batch:
        """The crops of one step."""
        rng = generator(config.seed if seed is None else seed, step)
        chosen = rng.choice(len(self.days), size=config.days, replace=len(self.days) < config.days)
        each = config.batch // config.days
        parts, windows, histories, masks = [], [], [], []
        for row, number in enumerate(chosen):
            coarse_day, fine_day = self.days[number]
            length = max(model.history, 1 + model.card.state)
            values, known = self.history(coarse_day, length, model.card.step)
            values = degraded(values, known, rng, config.degrade)
            before = self._before(model, fine_day, values, rng, config.state) if model.card.state else None
            values, known = values[-model.history :], _dropped(known[-model.history :], rng, config.dropout)
            past = self._past(model, fine_day, rng, config.dropout) if model.past else None
            z = np.where(known, model.scaling.forward(np.where(known, values, 0.0)), 0.0).astype(np.float32)
            domain, truth = _cut_domain(self.coarse.grid, rng, config.edges), self.fine.day(fine_day)
            climatology = model.climatology if self.folds is None else self.folds.unseen(number)
            for _ in range(each):
                window = self._crop(rng, config.crop)
                when = self.coarse.instants[coarse_day]
                maps = conditioning.statics(model.card.statics, window, when, climatology=climatology)
                if model.card.state:
                    maps = torch.cat([maps, self._state(model, before, window, rng)])
                parts.append(self._sample(model, config, z[-1], known[-1], domain, truth, maps, window))
                windows.append((row, window))
                if model.card.sees != "coarse":
                    seen = self._seen(model, past, (z, known), window)
                    histories.append(seen[0])
                    masks.append(seen[1])
            if model.card.sees == "coarse":
                histories.append(z)
                masks.append(known.astype(np.float32))
        residual, weight, condition = (torch.stack(t) for t in zip(*parts, strict=True))
        return Batch(residual, weight, condition, windows, np.stack(histories), np.stack(masks))

    def _past(
        self, model: Downscaler, fine_day: int, rng: np.random.Generator, share: float
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The fine days before one, and where they are known and to be told."""
        days = self.past(fine_day, model.past, model.card.step)
        blank = np.full(self.fine.grid.shape, np.nan, dtype=np.float32)
        values = np.stack([blank if day is None else self.fine.day(day) for day in days])
        return values, _dropped(np.isfinite(values), rng, share)

    def _seen(
        self,
        model: Downscaler,
        past: tuple[NDArray[np.float32], NDArray[np.bool_]] | None,
        coarse: tuple[NDArray[np.float32], NDArray[np.bool_]],
        window: Grid,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What an encoder of fine cells sees on a crop: transformed values, and where they are known."""
        if past is None:
            return conditioning.lifted(*coarse, self.coarse.grid, window, model.card.upsampling)
        values, known = (a[(slice(None), *self._cut(window))] for a in past)
        z = np.asarray(model.scaling.forward(np.where(known, values, 0.0)))
        return np.where(known, z, 0.0).astype(np.float32), known.astype(np.float32)

    def _cut(self, window: Grid) -> tuple[slice, slice]:
        """Where a window lies in the fine record."""
        y, x = window.y.start - self.fine.grid.y.start, window.x.start - self.fine.grid.x.start
        return slice(y, y + window.y.size), slice(x, x + window.x.size)

    def _before(
        self,
        model: Downscaler,
        fine_day: int,
        values: NDArray[np.float32],
        rng: np.random.Generator,
        share: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Fine truth and transformed coarse field of the day before, where they are known and to be told."""
        found = self.fine.find(self.fine.instants[fine_day] - model.card.step, model.card.step)
        if rng.random() >= share or found is None or not np.isfinite(values[-2]).any():
            return None
        known = np.isfinite(values[-2])
        z = np.asarray(model.scaling.forward(np.where(known, values[-2], 0.0)), dtype=np.float32)
        return self.fine.day(found), conditioning.filled(z, known)

    def _state(
        self,
        model: Downscaler,
        before: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
        window: Grid,
        rng: np.random.Generator,
    ) -> Tensor:
        """The state's channels on a crop, its noise at a level from 0 to one half."""
        e = coloured(model.kernel, (1, *window.shape), rng)[0, 0]
        if before is None:
            return conditioning.state(None, e)
        truth, z = before
        base = conditioning.upsampled(z, self.coarse.grid, window, model.card.upsampling)
        fine = torch.from_numpy(truth[self._cut(window)])
        residual = (model.scaling.forward(fine) - base) / model.card.residual_scale
        return conditioning.state(residual, e, _NOISIEST * rng.random())

    def _crop(self, rng: np.random.Generator, size: int) -> Grid:
        """A window on multiples of 8 of the absolute fine lattice."""
        spans = []
        for axis in (self.fine.grid.y, self.fine.grid.x):
            first, last = -(-axis.start // 8), (axis.start + axis.size - size) // 8
            spans.append((8 * int(rng.integers(first, last + 1)), size))
        return self.fine.grid.window(spans[0], spans[1])

    def _sample(
        self,
        model: Downscaler,
        config: TrainConfig,
        z: NDArray[np.float32],
        valid: NDArray[np.bool_],
        domain: tuple[slice, slice, Grid],
        truth: NDArray[np.float32],
        maps: Tensor,
        window: Grid,
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns, grid = domain
        z, valid = conditioning.filled(z[rows, columns], valid[rows, columns]), valid[rows, columns]
        condition = conditioning.condition(z, valid, grid, window, method=model.card.upsampling, maps=maps)
        fine = torch.from_numpy(truth[self._cut(window)])
        seen = torch.isfinite(fine) & (condition[1] > 0)
        target = model.scaling.forward(torch.where(torch.isfinite(fine), fine, 0.0))
        residual = torch.where(seen, (target - condition[0]) / model.card.residual_scale, 0.0)
        weight = seen.float()
        if config.border:
            inner = torch.zeros_like(weight)
            inner[config.border : -config.border, config.border : -config.border] = 1.0
            weight = weight * inner
        return residual[None].float(), weight[None], condition


def _dropped(known: NDArray[np.bool_], rng: np.random.Generator, share: float) -> NDArray[np.bool_]:
    """Mask the oldest days, or some days, never today."""
    if rng.random() >= share or len(known) == 1:
        return known
    keep = np.ones(len(known), dtype=bool)
    if rng.random() < 0.7:
        keep[: rng.integers(1, len(known))] = False
    else:
        keep[:-1] = rng.random(len(known) - 1) < 0.5
    return known & keep[:, None, None]


def _cut_domain(grid: Grid, rng: np.random.Generator, share: float) -> tuple[slice, slice, Grid]:
    """The whole coarse domain, or one that ends somewhere inside."""
    if rng.random() >= share:
        return slice(None), slice(None), grid
    cuts = []
    for axis in (grid.y, grid.x):
        first = int(rng.integers(0, max(1, axis.size // 3)))
        last = axis.size - int(rng.integers(0, max(1, axis.size // 3)))
        cuts.append((first, max(last, first + 1)))
    (y0, y1), (x0, x1) = cuts
    window = grid.window((grid.y.start + y0, y1 - y0), (grid.x.start + x0, x1 - x0))
    return slice(y0, y1), slice(x0, x1), window


def _span(record: Record) -> str:
    first, last = (
        np.datetime64(t, "us").astype("datetime64[D]") for t in (min(record.instants), max(record.instants))
    )
    return f"{first} to {last}"


def _extent(grid: Grid) -> str:
    (south, north), (west, east) = ((a.edges[0], a.edges[-1]) for a in (grid.y, grid.x))
    return f"y {south:g} to {north:g}, x {west:g} to {east:g}"
