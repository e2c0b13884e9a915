"""The simulation: dust emitted, advected, lost, and seen as a column.

Hourly, on cells of `stride` G5NR cells, c the optical depth a column at sea level would have:

    c*  = b + (c - b)(x - w dt)                   semi-Lagrangian, bicubic; inflow carries the background b
    c** = c* exp(-dt / tau) + b (1 - exp(-dt/tau)) + E
    E = e0 mean_j S(x - j w dt / 4) max(|w| / w_t - 1, 0) d(local time)
    AOD = c exp(-0.6 h / H),   H = 2.5 km

w is the eddy flow plus the seasonal mean, slowed over mountains (1 - 0.7 h); S the sources; E is averaged
along the hour's path, so that a hot spot leaves a plume and not a row of puffs. Daily means of 24 hours are
kept, with the daily mean wind on the coarse grid. The lifetime tau is 5 days and shorter over mountains and
in the monsoon. A floor of 1e-4 stands for what never settles.

What it is not: a model of the atmosphere. Dates are labels of a season; no day has to do with the same day on
Earth.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from xdownscale.data.nature_run.geography import sources, terrain
from xdownscale.data.nature_run.weather import EARTH, Eddies, mean_flow
from xdownscale.grid import G5NR, MERRA2, Axis, Grid, Separable, coarsening, covered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["ASIA", "Day", "NatureRun", "State", "simulate"]

ASIA = (10.0, 56.0, 34.0, 135.0)
_THRESHOLD = 4.0
_EMISSION = 0.075
_BACKGROUND = 0.020
_FLOOR = 1e-4
_LIFETIME = 5.0 * 24.0
_COLUMN = 0.6 * 4.5 / 2.5
_SAMPLES = 4
_HOURS = (2, 4, 6, 8, 12, 24)


@dataclass(frozen=True)
class NatureRun:
    """Configuration of a run.

    Attributes
    ----------
    start : str
        First day kept, an ISO date.
    days : int, >= 1
    seed : int, >= 0
        Of the weather; the world itself is always the same.
    region : (south, north, west, east) [degree]
        Fine cell centres from the first to below the second; the default is 736 x 1616 cells.
    stride : int, >= 1
        G5NR cells per simulated cell and direction; 4 for long coarse-only records.
    spinup : int [days]
        Simulated before `start` and thrown away.
    hours : {2, 4, 6, 8, 12, 24}
        Over which a mean is taken; with less than 24 a run yields so many fields a day.
    """

    start: str = "2005-05-15"
    days: int = 763
    seed: int = 1
    region: tuple[float, float, float, float] = ASIA
    stride: int = 1
    spinup: int = 10
    hours: int = 24

    def __post_init__(self) -> None:
        for name, least in (("days", 1), ("seed", 0), ("stride", 1), ("spinup", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: expected at least {least}")
        if self.hours not in _HOURS:
            raise ValueError(f"hours is {self.hours}: expected one of {list(_HOURS)}")
        south, north, west, east = self.region
        if not (-60 <= south < north <= 75 and west < east):
            raise ValueError(
                f"region is {self.region}: expected (south, north, west, east) within 60 S and 75 N"
            )
        if min(self.cells.shape) < 16 * self.stride:
            raise ValueError(
                f"region is {self.cells.shape} cells: expected at least 16 of stride {self.stride} each way"
            )
        np.datetime64(self.start, "D")

    @cached_property
    def cells(self) -> Grid:
        """The G5NR cells of the region, cut to a multiple of the stride."""
        spans = []
        for axis, low, high in ((G5NR.y, *self.region[:2]), (G5NR.x, *self.region[2:])):
            first, last = (round((edge - axis.origin) / axis.step) for edge in (low, high))
            spans.append((first, (last - first) // self.stride * self.stride))
        return G5NR.window(spans[0], spans[1])

    @cached_property
    def grid(self) -> Grid:
        """The simulated cells."""
        if self.stride == 1:
            return self.cells
        axes = []
        for axis in (self.cells.y, self.cells.x):
            origin = axis.values[0] + 0.5 * (self.stride - 1) * axis.step
            axes.append(Axis(float(origin), axis.step * self.stride, 0, axis.size // self.stride, axis.kind))
        return Grid(axes[0], axes[1], self.cells.crs)

    @cached_property
    def coarse(self) -> Grid:
        """The MERRA-2 cells that the region covers wholly."""
        return covered(self.cells, MERRA2)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for attributes and cards; without the hours of a daily mean."""
        return {k: v for k, v in asdict(self).items() if k != "hours" or v != 24}

    @property
    def fields(self) -> int:
        """Fields of the run: its days, or as many times more as a day has means."""
        return self.days * 24 // self.hours

    def date(self, field: int) -> np.datetime64:
        """Date of a field, counted from `start`."""
        return np.datetime64(self.start, "D") + field * self.hours // 24


@dataclass(frozen=True, eq=False)
class State:
    """All that the next hour depends on.

    Attributes
    ----------
    day : int
        Fields done since `start`, each a mean of `NatureRun.hours`; negative in the spin-up.
    modes : ndarray of complex
        Of the eddies.
    column : ndarray, shape (ny, nx), float32
    """

    day: int
    modes: NDArray[np.complex128]
    column: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Day:
    """The means of one day, or of some hours of it.

    Attributes
    ----------
    date : datetime64[D]
    fine : ndarray, shape of `grid`, float32
        Dust optical depth.
    coarse : ndarray, shape of `coarse`, float32
        Its exact conservative mean.
    wind : ndarray, shape (2, *coarse), float32 [m/s]
        Eastward, northward.
    state : State
        At their end; `simulate(run, state)` goes on from it.
    """

    date: np.datetime64
    fine: NDArray[np.float32]
    coarse: NDArray[np.float32]
    wind: NDArray[np.float32]
    state: State


def simulate(run: NatureRun, state: State | None = None) -> Iterator[Day]:
    """Days of a nature run, one after the other.

    Parameters
    ----------
    run : NatureRun
    state : State, optional
        Of an earlier day of the same run: the days after it follow, with the bits of an uninterrupted run.

    Yields
    ------
    Day

    Examples
    --------
    >>> box = NatureRun("2005-07-01", days=2, region=(28.0, 32.0, 44.0, 50.0), spinup=0)
    >>> [day.coarse.shape for day in simulate(box)]
    [(7, 9), (7, 9)]
    """
    world = _World(run)
    state = state or world.begin()
    while state.day < run.fields:
        day = world.advance(state)
        if state.day >= 0:
            yield day
        state = day.state


@dataclass(frozen=True, eq=False)
class _World:
    """What a run needs every hour, made once."""

    run: NatureRun

    @cached_property
    def eddies(self) -> Eddies:
        return Eddies(self.run.seed)

    @cached_property
    def height(self) -> Tensor:
        return self._pooled(terrain(self.run.cells))

    @cached_property
    def coarsen(self) -> Separable:
        return coarsening(self.run.grid, self.run.coarse)

    @cached_property
    def reader(self) -> Callable[[Tensor], Tensor]:
        """Plane winds to the simulated cells."""
        return self._reader(self.run.grid)

    @cached_property
    def coarse_reader(self) -> Callable[[Tensor], Tensor]:
        return self._reader(self.run.coarse)

    def begin(self) -> State:
        first = -self.run.spinup * 24 // self.run.hours
        column = np.full(self.run.grid.shape, _BACKGROUND, dtype=np.float32)
        return State(first, self.eddies.draw(-(24 * 10_000)), column)

    def advance(self, state: State) -> Day:
        """The hourly steps of one field."""
        run, modes = self.run, state.modes
        month = _month(run.date(state.day))
        source = self._pooled(sources(run.cells, month))
        flow = torch.from_numpy(mean_flow(run.grid.y.values, run.grid.x.values, month))
        calm, keep = 1 - 0.7 * self.height.clamp(0, 1), self._survival(month)
        column, total = torch.from_numpy(state.column), torch.zeros(run.grid.shape)
        wind = torch.zeros((2, *run.coarse.shape))
        for hour in range(run.hours * state.day, run.hours * (state.day + 1)):
            modes = self.eddies.step(modes, hour)
            plane = torch.from_numpy(self.eddies.wind(modes))
            w = (self.reader(plane) + flow) * calm
            column = self._hour(column, w, source, keep, hour % 24)
            total += column / run.hours
            wind += self.coarse_reader(plane) / run.hours
        fine = (total * torch.exp(-_COLUMN * self.height)).clamp(min=_FLOOR).numpy()
        coarse = self.coarsen(fine).astype(np.float32)
        wind = wind + torch.from_numpy(mean_flow(run.coarse.y.values, run.coarse.x.values, month))
        return Day(
            run.date(state.day), fine, coarse, wind.numpy(), State(state.day + 1, modes, column.numpy())
        )

    def _hour(self, column: Tensor, wind: Tensor, source: Tensor, keep: Tensor, hour: int) -> Tensor:
        arrive = self._departure(wind, 1.0)
        moved = _sampled(column - _BACKGROUND, arrive, "bicubic") * keep + _BACKGROUND
        path = [source] + [
            _sampled(source, self._departure(wind, j / _SAMPLES), "bilinear") for j in range(1, _SAMPLES)
        ]
        lifted = (torch.hypot(wind[0], wind[1]) / _THRESHOLD - 1).clamp(min=0)
        local = (hour + torch.from_numpy(self.run.grid.x.values.astype(np.float32)) / 15) % 24
        diurnal = 0.4 + 0.6 * torch.sin((local - 7) / 12 * np.pi).clamp(min=0)
        return (moved + _EMISSION * sum(path) / _SAMPLES * lifted * diurnal).clamp(min=_FLOOR)

    def _departure(self, wind: Tensor, hours: float) -> Tensor:
        """Where the air of each cell was, as grid_sample positions."""
        grid = self.run.grid
        ny, nx = grid.shape
        cell = EARTH * np.deg2rad([grid.y.step, grid.x.step])
        cos = torch.from_numpy(np.cos(np.deg2rad(grid.y.values)).astype(np.float32))[:, None]
        y = torch.arange(ny, dtype=torch.float32)[:, None] - 3600 * hours * wind[1] / float(cell[0])
        x = torch.arange(nx, dtype=torch.float32)[None, :] - 3600 * hours * wind[0] / (float(cell[1]) * cos)
        places = torch.empty((1, ny, nx, 2))
        for k, (cells, size) in enumerate(((x, nx), (y, ny))):
            places[0, ..., k] = cells.mul_(2).add_(1).div_(size).sub_(1)
        return places

    def _survival(self, month: float) -> Tensor:
        """Share of the dust above background that lasts an hour: less over mountains and in the monsoon."""
        lat = torch.from_numpy(self.run.grid.y.values.astype(np.float32))[:, None]
        lon = torch.from_numpy(self.run.grid.x.values.astype(np.float32))[None, :]
        rain = float(np.exp(-(((month - 7.7) / 1.3) ** 2)))
        monsoon = rain * torch.sigmoid((lon - 70) / 3) * torch.sigmoid((30 - lat) / 2)
        rate = (1 + 2 * self.height.clamp(0, 1) + 3 * monsoon) / _LIFETIME
        return torch.exp(-rate)

    def _reader(self, grid: Grid) -> Callable[[Tensor], Tensor]:
        y, x = (torch.from_numpy(p) for p in self.eddies.places(grid.y.values, grid.x.values))
        places = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1)[None]
        ratio = torch.from_numpy(
            (np.cos(np.deg2rad(33.0)) / np.cos(np.deg2rad(grid.y.values))).astype(np.float32)
        )

        def read(plane: Tensor) -> Tensor:
            u, v = grid_sample(plane[None], places, "bilinear", "border", align_corners=False)[0]
            return torch.stack([u, v * ratio[:, None]])

        return read

    def _pooled(self, field: NDArray[np.float32]) -> Tensor:
        return avg_pool2d(torch.from_numpy(field)[None], self.run.stride)[0]


def _sampled(field: Tensor, places: Tensor, mode: str) -> Tensor:
    return grid_sample(field[None, None], places, mode, "zeros", align_corners=False)[0, 0]


def _month(date: np.datetime64) -> float:
    """Month and its elapsed part, 1 to 13."""
    year = date.astype("datetime64[Y]")
    return 1.0 + 12.0 * float((date - year.astype("datetime64[D]")).astype(int)) / 365.25
