"""Regular grids and the exact operators between them.

A grid is two axes, each ``origin + step * index`` with an absolute integer index. The coarsening A is the exact
first-order conservative one, separable because cells are products of intervals,

    Y = A_y X A_x^T,    A[i, j] = |cell_i  cap  cell_j| / |cell_i|

with lengths measured in sin(latitude), in longitude, or in the units of a projected axis. On MERRA-2 and G5NR a coarse
edge falls on a fine cell's centre, so a coarse cell holds whole and half fine cells. The upsampling U interpolates in
index space and is separable in the same way. Curvilinear grids have no place here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "G5NR",
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


@dataclass(frozen=True)
class Axis:
    """A window of a regular axis."""

    origin: float
    step: float
    start: int
    size: int
    kind: Kind = "plane"
    period: int | None = None

    @property
    def index(self) -> NDArray[np.int64]:
        return self.start + np.arange(self.size, dtype=np.int64)

    @property
    def values(self) -> NDArray[np.float64]:
        return np.asarray(self.origin + self.step * self.index, dtype=np.float64)

    @property
    def edges(self) -> NDArray[np.float64]:
        edges = self.origin + self.step * (self.start - 0.5 + np.arange(self.size + 1))
        return np.clip(edges, -90.0, 90.0) if self.kind == "latitude" else edges

    @property
    def measure(self) -> NDArray[np.float64]:
        if self.kind == "latitude":
            return np.diff(np.sin(np.deg2rad(self.edges)))
        return np.diff(np.deg2rad(self.edges) if self.kind == "longitude" else self.edges)

    @property
    def cyclic(self) -> bool:
        return self.period is not None and self.size == self.period

    def window(self, start: int, size: int) -> Axis:
        return Axis(self.origin, self.step, int(start), int(size), self.kind, self.period)

    def locate(self, values: Any, *, tolerance: float = 1e-3) -> Axis:
        v = np.asarray(values, dtype=np.float64)
        first = (v[0] - self.origin) / self.step
        start = round(first)
        expected = self.origin + self.step * (start + np.arange(v.size))
        if np.abs(v - expected).max() > tolerance * self.step:
            raise ValueError("not on the axis")
        if self.period is not None:
            start %= self.period
        return self.window(start, v.size)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Axis:
        return cls(**d)


@dataclass(frozen=True)
class Grid:
    y: Axis
    x: Axis
    crs: str = "EPSG:4326"

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.size, self.x.size

    @property
    def area(self) -> NDArray[np.float64]:
        return np.outer(self.y.measure, self.x.measure)

    def window(self, y: tuple[int, int], x: tuple[int, int]) -> Grid:
        return Grid(self.y.window(*y), self.x.window(*x), self.crs)

    def to_dict(self) -> dict[str, Any]:
        return {"y": self.y.to_dict(), "x": self.x.to_dict(), "crs": self.crs}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Grid:
        return cls(Axis.from_dict(d["y"]), Axis.from_dict(d["x"]), str(d["crs"]))

    @property
    def token(self) -> str:
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]


MERRA2 = Grid(Axis(-90.0, 0.5, 0, 361, "latitude"), Axis(-180.0, 0.625, 0, 576, "longitude", 576))
G5NR = Grid(Axis(-90.0, 0.0625, 0, 2881, "latitude"), Axis(-180.0, 0.0625, 0, 5760, "longitude", 5760))


def conservative_matrix(source: Axis, target: Axis) -> csr_array:
    s, t = _measured(source), _measured(target)
    shifts = (0.0,) if source.period is None else tuple(2 * np.pi * k for k in (-2, -1, 0, 1, 2))
    overlap = sum(
        np.clip(np.minimum(t[1:, None], s[None, 1:] + d) - np.maximum(t[:-1, None], s[None, :-1] + d), 0, None) for d in shifts
    )
    overlap = np.where(overlap < 1e-9 * np.diff(t)[:, None], 0.0, overlap)
    return csr_array(overlap / np.diff(t)[:, None])


def _measured(axis: Axis) -> NDArray[np.float64]:
    e = axis.edges
    if axis.kind == "latitude":
        return np.sin(np.deg2rad(e))
    return np.deg2rad(e) if axis.kind == "longitude" else e


def interpolation_matrix(source: Axis, target: Axis, method: Method) -> csr_array:
    if method == "conservative":
        return conservative_matrix(source, target)
    position = (target.values - source.values[0]) / source.step
    if source.period is not None:
        middle = (source.size - 1) / 2
        position = (position - middle + source.period / 2) % source.period + middle - source.period / 2
    if not source.cyclic:
        position = np.clip(position, 0, source.size - 1)
    base = np.floor(position).astype(int)
    f = position - base
    if method == "nearest":
        taps, weights = [0], [np.ones_like(f)]
        base = np.floor(position + 0.5 - 1e-9).astype(int)
    elif method == "linear":
        taps, weights = [0, 1], [1 - f, f]
    else:
        taps = [-1, 0, 1, 2]
        weights = [
            -0.5 * f + f**2 - 0.5 * f**3,
            1 - 2.5 * f**2 + 1.5 * f**3,
            0.5 * f + 2 * f**2 - 1.5 * f**3,
            -0.5 * f**2 + 0.5 * f**3,
        ]
    rows = np.arange(target.size)
    columns = np.stack([base + k for k in taps])
    columns = columns % source.size if source.cyclic else np.clip(columns, 0, source.size - 1)
    data = np.stack(weights)
    matrix = csr_array((data.ravel(), (np.tile(rows, len(taps)), columns.ravel())), shape=(target.size, source.size))
    matrix.sum_duplicates()
    return matrix


@dataclass(frozen=True, eq=False)
class Separable:
    y: csr_array
    x: csr_array

    def __call__(self, field: NDArray[Any]) -> NDArray[np.float64]:
        field = np.asarray(field, dtype=np.float64)
        lead, (ny, nx) = field.shape[:-2], field.shape[-2:]
        flat = field.reshape(-1, ny, nx)
        return np.stack([(self.x @ (self.y @ f).T).T for f in flat]).reshape(*lead, self.y.shape[0], self.x.shape[0])

    def mean(self, field: NDArray[Any], *, min_valid: float = 0.0) -> NDArray[np.float64]:
        valid = np.isfinite(field)
        weight = self(valid.astype(float))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weight > min_valid, self(np.where(valid, field, 0.0)) / weight, np.nan)


def coarsening(fine: Grid, coarse: Grid) -> Separable:
    return Separable(conservative_matrix(fine.y, coarse.y), conservative_matrix(fine.x, coarse.x))


def upsampling(coarse: Grid, fine: Grid, method: Method = "linear") -> Separable:
    return Separable(interpolation_matrix(coarse.y, fine.y, method), interpolation_matrix(coarse.x, fine.x, method))


def factor(coarse: Grid, fine: Grid) -> tuple[float, float]:
    return coarse.y.step / fine.y.step, coarse.x.step / fine.x.step


def refined(coarse: Grid, fine: Grid) -> Grid:
    return Grid(_refined(coarse.y, fine.y), _refined(coarse.x, fine.x), fine.crs)


def covered(fine: Grid, coarse: Grid) -> Grid:
    return Grid(_covered(fine.y, coarse.y), _covered(fine.x, coarse.x), coarse.crs)


def _refined(coarse: Axis, fine: Axis) -> Axis:
    if coarse.cyclic:
        return fine.window(0, fine.period)
    low, high = coarse.edges[0], coarse.edges[-1]
    first = round(np.floor((low - fine.origin) / fine.step + 0.5 + 1e-6))
    last = round(np.ceil((high - fine.origin) / fine.step - 0.5 - 1e-6))
    return fine.window(first, last - first + 1)


def _covered(fine: Axis, coarse: Axis) -> Axis:
    if fine.cyclic:
        return coarse.window(0, coarse.period)
    low, high = fine.edges[0], fine.edges[-1]
    first = round(np.ceil((low - coarse.origin) / coarse.step + 0.5 - 1e-6))
    last = round(np.floor((high - coarse.origin) / coarse.step - 0.5 + 1e-6))
    return coarse.window(first, last - first + 1)
