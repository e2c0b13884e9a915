"""Axes and grids, windows of them by absolute index, and what of one grid overlaps another.

A grid is two axes, each ``origin + step * index`` with an absolute integer index. A window is a run of cells
by absolute index; across the dateline its longitudes run on past 180. Curvilinear grids have no place here.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from operator import index as _integer
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

__all__ = ["G5NR", "MERRA2", "Axis", "Grid", "covered", "factor", "refined"]

Kind = Literal["latitude", "longitude", "plane"]

_MOST = 10_000_000
_SLACK = 1e-6


@dataclass(frozen=True)
class Axis:
    """A window of a regular axis; ValueError or TypeError at other ranges or types.

    Attributes
    ----------
    origin, step : float, step > 0 [degree, or unit of the CRS]
        The cell of absolute index i has its centre at origin + step * i.
    start, size : int, size >= 1
        Absolute index of the window's first cell, possibly negative, and its cells.
    kind : {"latitude", "longitude", "plane"}
    period : int, optional
        Cells round the globe; of longitudes only.

    Examples
    --------
    >>> Axis(-180.0, 0.625, 574, 4, "longitude", 576).values
    array([178.75 , 179.375, 180.   , 180.625])
    """

    origin: float
    step: float
    start: int
    size: int
    kind: Kind = "plane"
    period: int | None = None

    def __post_init__(self) -> None:
        # equal axes have equal tokens, whichever number types they were made of
        for name in ("origin", "step", "start", "size", "period"):
            value = getattr(self, name)
            if isinstance(value, str | bool):
                raise TypeError(f"{name} is {value!r}: expected a number")
            if not (name == "period" and value is None):
                object.__setattr__(
                    self, name, float(value) if name in ("origin", "step") else _integer(value)
                )
        if not (math.isfinite(self.origin) and math.isfinite(self.step) and self.step > 0):
            raise ValueError(f"origin {self.origin} and step {self.step}: expected finite numbers, step > 0")
        if not 1 <= self.size <= _MOST or abs(self.start) > _MOST:
            raise ValueError(f"start {self.start}, size {self.size}: expected 1 to {_MOST} cells")
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind is {self.kind!r}: expected one of {list(get_args(Kind))}")
        if self.period is not None and self.kind != "longitude":
            raise ValueError(f"period is {self.period} on a {self.kind} axis: expected for longitudes only")
        if self.period is not None and not math.isclose(self.period * self.step, 360, rel_tol=1e-6):
            raise ValueError(f"period is {self.period} cells of {self.step:g}: expected 360 degrees together")

    @property
    def index(self) -> NDArray[np.int64]:
        """Absolute indices, shape (size,); not wrapped."""
        return self.start + np.arange(self.size, dtype=np.int64)

    @property
    def values(self) -> NDArray[np.float64]:
        """Centres, shape (size,), rising; longitudes run on past 180."""
        return np.asarray(self.origin + self.step * self.index, dtype=np.float64)

    @property
    def edges(self) -> NDArray[np.float64]:
        """Bounds between cells, shape (size + 1,); latitudes end at the poles."""
        edges = self.origin + self.step * (self.start - 0.5 + np.arange(self.size + 1))
        return np.asarray(np.clip(edges, -90.0, 90.0) if self.kind == "latitude" else edges)

    @property
    def measured_edges(self) -> NDArray[np.float64]:
        """Edges, shape (size + 1,), as sin(latitude), in radian, or in the unit of the CRS."""
        if self.kind == "latitude":
            return np.asarray(np.sin(np.deg2rad(self.edges)), dtype=np.float64)
        return np.asarray(np.deg2rad(self.edges) if self.kind == "longitude" else self.edges)

    @property
    def measure(self) -> NDArray[np.float64]:
        """Extent of the cells, shape (size,) [difference of sin(latitude), radian, or unit of the CRS]."""
        return np.asarray(np.diff(self.measured_edges), dtype=np.float64)

    @property
    def cyclic(self) -> bool:
        """Whether the window goes round the globe."""
        return self.period is not None and self.size == self.period

    def window(self, start: int, size: int) -> Axis:
        """Another window of this axis, by absolute index."""
        return Axis(self.origin, self.step, int(start), int(size), self.kind, self.period)

    def locate(self, values: ArrayLike, *, tolerance: float = 1e-3) -> Axis:
        """Find the window that coordinates are, `start` in [0, period) where there is a period.

        Parameters
        ----------
        values : array-like, shape (n,)
            Centres, ascending; longitudes modulo 360 degrees.
        tolerance : float [cells]

        Raises
        ------
        ValueError
            If the coordinates are no window of this axis; says in which way.

        Examples
        --------
        >>> MERRA2.x.locate([539.375, 540.0]).start
        575
        """
        v = np.atleast_1d(np.asarray(values, dtype=np.float64))
        _check_rising(v)
        if self.kind == "latitude" and np.abs(v).max() > 90 + tolerance * self.step:
            raise ValueError(f"latitude reaches {v[np.abs(v).argmax()]:g}: expected -90 to 90 degrees")
        start = round((v[0] - self.origin) / self.step)
        if abs(start) > _MOST:
            raise ValueError(f"starts at {v[0]:g}, the grid's origin is {self.origin:g}: check the units")
        nearest = self.origin + self.step * (start + np.arange(v.size))
        if np.abs(v - nearest).max() > tolerance * self.step:
            raise ValueError(self._mismatch(v, nearest[0], tolerance))
        if self.period is None:
            return self.window(start, v.size)
        if v.size > self.period:
            raise ValueError(f"{v.size} longitudes: expected at most the {self.period} of a whole turn")
        return self.window(start % self.period, v.size)

    def _mismatch(self, v: NDArray[np.float64], nearest: float, tolerance: float) -> str:
        gaps = np.diff(v) if v.size > 1 else np.array([self.step])
        spacing = gaps.mean()
        if np.abs(v - v[0] - spacing * np.arange(v.size)).max() > 2 * tolerance * spacing:
            return f"not uniform: spacing from {gaps.min():.6g} to {gaps.max():.6g}, expected {self.step:g}"
        if abs(spacing - self.step) * gaps.size > tolerance * self.step:
            return f"another resolution: spacing is {spacing:.9g}, expected {self.step:.9g}; regrid it"
        shift = f"shifted by {abs(v[0] - nearest) / self.step:.3g} of a cell: starts at {v[0]:.9g}"
        return f"{shift}, the grid has a centre at {nearest:.9g}; interpolate to it"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Axis:
        """From what `to_dict` gave; ValueError or TypeError at other keys, types or ranges."""
        _check_keys("an axis", content, {field.name for field in fields(cls)})
        return cls(**content)


@dataclass(frozen=True)
class Grid:
    """Two axes and the reference system they are in.

    Attributes
    ----------
    y, x : Axis
    crs : str
        Anything that pyproj reads; empty for a plane whose place on Earth is not told.

    Examples
    --------
    >>> round(float(MERRA2.area.sum() / np.pi), 12)
    4.0
    """

    y: Axis
    x: Axis
    crs: str = "EPSG:4326"

    @property
    def shape(self) -> tuple[int, int]:
        """Cells (ny, nx)."""
        return self.y.size, self.x.size

    @property
    def area(self) -> NDArray[np.float64]:
        """Areas of the cells, shape (ny, nx) [steradian, or squared unit of the CRS]."""
        return np.outer(self.y.measure, self.x.measure)

    def window(self, y: tuple[int, int], x: tuple[int, int]) -> Grid:
        """Another window of this grid, from (start, size) of each axis."""
        return Grid(self.y.window(*y), self.x.window(*x), self.crs)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"y": self.y.to_dict(), "x": self.x.to_dict(), "crs": self.crs}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Grid:
        """From what `to_dict` gave; ValueError or TypeError at other keys, types or ranges."""
        _check_keys("a grid", content, {"y", "x", "crs"})
        return cls(Axis.from_dict(content["y"]), Axis.from_dict(content["x"]), str(content["crs"]))

    @property
    def token(self) -> str:
        """Short hash; equal for equal grids."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]


MERRA2 = Grid(Axis(-90.0, 0.5, 0, 361, "latitude"), Axis(-180.0, 0.625, 0, 576, "longitude", 576))
G5NR = Grid(Axis(-90.0, 0.0625, 0, 2881, "latitude"), Axis(-180.0, 0.0625, 0, 5760, "longitude", 5760))


def factor(coarse: Grid, fine: Grid) -> tuple[float, float]:
    """Fine cells to a coarse cell in y and x.

    >>> factor(MERRA2, G5NR)
    (8.0, 10.0)
    """
    return coarse.y.step / fine.y.step, coarse.x.step / fine.x.step


def refined(coarse: Grid, fine: Grid) -> Grid:
    """The window of `fine` of all cells that overlap a coarse window.

    >>> refined(MERRA2.window((200, 4), (574, 4)), G5NR).shape
    (33, 41)
    """
    return Grid(_refined(coarse.y, fine.y), _refined(coarse.x, fine.x), fine.crs)


def covered(fine: Grid, coarse: Grid) -> Grid:
    """The window of `coarse` of all cells that lie wholly inside a fine window; ValueError if none does.

    >>> covered(G5NR.window((1600, 33), (3000, 41)), MERRA2).shape
    (3, 3)
    """
    return Grid(_covered(fine.y, coarse.y), _covered(fine.x, coarse.x), coarse.crs)


def _refined(coarse: Axis, fine: Axis) -> Axis:
    if coarse.cyclic and fine.period is not None:
        return fine.window(0, fine.period)
    low, high = (coarse.edges[[0, -1]] - fine.origin) / fine.step
    first = round(np.floor(low + 0.5 + _SLACK))
    return fine.window(first, round(np.ceil(high - 0.5 - _SLACK)) - first + 1)


def _covered(fine: Axis, coarse: Axis) -> Axis:
    if fine.cyclic and coarse.period is not None:
        return coarse.window(0, coarse.period)
    # a window that reaches a pole holds the polar cell, whose edge there is the pole itself
    south, north = ((fine.kind == "latitude" and abs(edge) == 90) * 0.5 for edge in fine.edges[[0, -1]])
    low, high = (fine.edges[[0, -1]] - coarse.origin) / coarse.step
    first, last = np.ceil(low + 0.5 - south - _SLACK), np.floor(high - 0.5 + north + _SLACK)
    if last < first:
        found = f"{fine.edges[0]:g} to {fine.edges[-1]:g}"
        raise ValueError(f"no whole cell of {coarse.step:g} in {fine.kind} {found}: expected a larger window")
    return coarse.window(round(first), round(last - first) + 1)


def _check_rising(v: NDArray[np.float64]) -> None:
    if v.ndim != 1 or v.size == 0 or not np.isfinite(v).all():
        raise ValueError(
            f"coordinates of shape {v.shape}, {(~np.isfinite(v)).sum()} NaN: expected a row without"
        )
    gaps = np.diff(v)
    if (gaps <= 0).any():
        order = "descending" if (gaps < 0).all() else "not ascending"
        raise ValueError(f"{order}, {v[0]:g} to {v[-1]:g}: sort; longitudes run on past 180 at the dateline")


def _check_keys(what: str, content: Mapping[str, Any], keys: set[str]) -> None:
    if not isinstance(content, dict) or set(content) != keys:
        raise ValueError(f"{what} has {sorted(keys)}: found {content!r:.200}")
