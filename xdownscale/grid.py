"""Regular grids and the exact operators between them.

A grid is two axes, each ``origin + step * index`` with an absolute integer index. The coarsening A is the
exact first-order conservative one, separable because cells are products of intervals,

    Y = A_y X A_x^T,    A[i, j] = |cell_i  cap  cell_j| / |cell_i|

with lengths in sin(latitude), in longitude, or in the units of a projected axis. On MERRA-2 and G5NR a coarse
edge falls on a fine cell's centre, so a coarse cell holds whole and half fine cells. The upsampling U
interpolates in index space and is separable in the same way. A window is a run of cells by absolute index;
across the dateline its longitudes run on past 180. Curvilinear grids have no place here.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from operator import index as _integer
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "G5NR",
    "INTERPOLATIONS",
    "MERRA2",
    "Axis",
    "Grid",
    "Separable",
    "coarsening",
    "conservative_matrix",
    "covered",
    "factor",
    "interpolation_matrix",
    "refined",
    "upsampling",
]

Kind = Literal["latitude", "longitude", "plane"]
Method = Literal["nearest", "linear", "cubic", "conservative"]
INTERPOLATIONS: dict[str, Method] = {  # by the names that users know
    "nearest": "nearest",
    "bilinear": "linear",
    "bicubic": "cubic",
    "conservative": "conservative",
}

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
    def measure(self) -> NDArray[np.float64]:
        """Extent of the cells, shape (size,) [difference of sin(latitude), radian, or unit of the CRS]."""
        return np.asarray(np.diff(_measured(self)), dtype=np.float64)

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


def conservative_matrix(source: Axis, target: Axis) -> csr_array:
    """Shares of target cells that source cells cover, shape (target.size, source.size).

    A row sums to one where its cell is wholly covered; it is empty where nothing covers it.

    >>> (conservative_matrix(G5NR.y.window(1436, 9), MERRA2.y.window(180, 1)).toarray() * 8).round(3)
    array([[0.5, 1. , 1. , 1. , 1. , 1. , 1. , 1. , 0.5]])
    """
    s, t = _measured(source), _measured(target)
    turns = (0.0,) if source.period is None else tuple(2 * np.pi * k for k in (-2, -1, 0, 1, 2))
    rows, columns, shares = (
        np.concatenate(p) for p in zip(*(_overlaps(s + d, t) for d in turns), strict=True)
    )
    return csr_array((shares, (rows, columns)), shape=(target.size, source.size))


def interpolation_matrix(source: Axis, target: Axis, method: Method) -> csr_array:
    """Weights of interpolation in index space, shape (target.size, source.size).

    Rows sum to one. Beyond the outer centres of a source that is not cyclic, its outer values are kept.

    Parameters
    ----------
    source, target : Axis
    method : {"nearest", "linear", "cubic", "conservative"}
        `cubic` is Keys's with a = -1/2; `conservative` is constant in each source cell, shared by overlap.

    Examples
    --------
    >>> interpolation_matrix(Axis(0.0, 2.0, 0, 3), Axis(-1.5, 1.0, 0, 6), "linear") @ [0.0, 2.0, 4.0]
    array([0. , 0. , 0.5, 1.5, 2.5, 3.5])
    """
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}: expected one of {list(get_args(Method))}")
    if method == "conservative":
        return _shared(source, target)
    base, taps, weights = _taps(_positions(source, target), method)
    columns = np.stack([base + k for k in taps])
    columns = columns % source.size if source.cyclic else np.clip(columns, 0, source.size - 1)
    place = np.tile(np.arange(target.size), len(taps)), columns.ravel()
    matrix = csr_array((np.stack(weights).ravel(), place), shape=(target.size, source.size))
    matrix.sum_duplicates()
    return matrix


@dataclass(frozen=True, eq=False)
class Separable:
    """A linear operator on rows and columns apart, Y = A_y X A_x^T.

    Attributes
    ----------
    y, x : csr_array, shapes (my, ny) and (mx, nx)

    Examples
    --------
    >>> coarse = MERRA2.window((200, 2), (300, 3))
    >>> upsampling(coarse, refined(coarse, G5NR))(np.ones((5, 2, 3))).shape
    (5, 17, 31)
    """

    y: csr_array
    x: csr_array

    def __call__(self, field: NDArray[Any]) -> NDArray[np.float64]:
        """From (..., ny, nx) to (..., my, mx); NaN spreads. ValueError at another shape."""
        field = np.asarray(field, dtype=np.float64)
        expected = self.y.shape[1], self.x.shape[1]
        if field.shape[-2:] != expected:
            raise ValueError(f"the field has shape {field.shape}: expected {expected} at its end")
        if field.ndim == 2:
            return self._of_one(field)
        out = np.empty((*field.shape[:-2], self.y.shape[0], self.x.shape[0]))
        for place in np.ndindex(field.shape[:-2]):
            out[place] = self._of_one(field[place])
        return out

    def _of_one(self, field: NDArray[np.float64]) -> NDArray[np.float64]:
        """The larger of the two products along rows, which lie together in memory."""
        if self.y.shape[0] > self.y.shape[1]:
            return np.asarray(self.y @ (self.x @ field.T).T)
        return np.ascontiguousarray((self.x @ (self.y @ field).T).T)

    def mean(self, field: NDArray[Any], *, min_valid: float = 0.0) -> NDArray[np.float64]:
        """Of the finite values alone; NaN where their weight is no more than `min_valid`, 0 to 1."""
        valid = np.isfinite(field)
        weight = self(valid)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weight > min_valid, self(np.where(valid, field, 0.0)) / weight, np.nan)


def coarsening(fine: Grid, coarse: Grid) -> Separable:
    """The operator A: exact means of fine cells over coarse cells.

    >>> A = coarsening(G5NR, MERRA2)
    >>> A.y.shape, A.y[[0]].nnz, A.y[[1]].nnz
    ((361, 2881), 5, 9)
    """
    return Separable(conservative_matrix(fine.y, coarse.y), conservative_matrix(fine.x, coarse.x))


def upsampling(coarse: Grid, fine: Grid, method: Method = "linear") -> Separable:
    """The operator U: coarse values interpolated in index space, as `interpolation_matrix`.

    >>> upsampling(MERRA2.window((0, 2), (0, 2)), G5NR.window((2, 1), (5, 1)))(np.eye(2)).round(3)
    array([[0.5]])
    """
    axes = (coarse.y, fine.y), (coarse.x, fine.x)
    return Separable(*(interpolation_matrix(source, target, method) for source, target in axes))


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


def _measured(axis: Axis) -> NDArray[np.float64]:
    e = axis.edges
    if axis.kind == "latitude":
        return np.asarray(np.sin(np.deg2rad(e)), dtype=np.float64)
    return np.asarray(np.deg2rad(e) if axis.kind == "longitude" else e)


def _overlaps(s: NDArray[np.float64], t: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
    """Rows, columns and shares of the cells between edges t that cells between edges s cover."""
    first = np.clip(np.searchsorted(s, t[:-1], side="right") - 1, 0, None)
    count = np.clip(np.minimum(np.searchsorted(s, t[1:], side="left"), s.size - 1) - first, 0, None)
    rows = np.repeat(np.arange(t.size - 1), count)
    columns = np.arange(rows.size) + np.repeat(first - np.cumsum(count) + count, count)
    whole = t[rows + 1] - t[rows]
    overlap = np.minimum(t[rows + 1], s[columns + 1]) - np.maximum(t[rows], s[columns])
    real = (overlap > 0) & (overlap >= 1e-9 * whole)
    return rows[real], columns[real], overlap[real] / whole[real]


def _shared(source: Axis, target: Axis) -> csr_array:
    """Conservative where the source covers a target cell at all, the nearest elsewhere; rows sum to one."""
    shares = conservative_matrix(source, target)
    total = shares.sum(axis=1)
    scale = np.where((total > 0) & (total < 1 - 1e-9), 1 / np.where(total > 0, total, 1.0), 1.0)
    nearest = interpolation_matrix(source, target, "nearest")
    return csr_array(shares * scale[:, None] + nearest * (total == 0)[:, None])


def _positions(source: Axis, target: Axis) -> NDArray[np.float64]:
    """Target centres in source cells from the first, clamped; at the turn nearest to the source's middle."""
    position = (target.values - source.values[0]) / source.step
    if source.period is not None:
        middle = (source.size - 1) / 2
        position = (position - middle + source.period / 2) % source.period + middle - source.period / 2
    return np.asarray(position if source.cyclic else np.clip(position, 0, source.size - 1))


def _taps(position: NDArray[Any], method: Method) -> tuple[NDArray[Any], list[int], list[NDArray[Any]]]:
    base = np.floor(position).astype(int)
    f = position - base
    if method == "nearest":
        return np.floor(position + 0.5 - 1e-9).astype(int), [0], [np.ones_like(f)]
    if method == "linear":
        return base, [0, 1], [1 - f, f]
    outer = -0.5 * f + f**2 - 0.5 * f**3, -0.5 * f**2 + 0.5 * f**3
    inner = 1 - 2.5 * f**2 + 1.5 * f**3, 0.5 * f + 2 * f**2 - 1.5 * f**3
    return base, [-1, 0, 1, 2], [outer[0], *inner, outer[1]]


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
