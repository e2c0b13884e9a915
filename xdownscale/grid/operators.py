"""The exact operators between grids, separable because cells are products of intervals.

The coarsening A is the exact first-order conservative one,

    Y = A_y X A_x^T,    A[i, j] = |cell_i  cap  cell_j| / |cell_i|

with lengths in sin(latitude), in longitude, or in the units of a projected axis. On MERRA-2 and G5NR a coarse
edge falls on a fine cell's centre, so a coarse cell holds whole and half fine cells. The upsampling U
interpolates in index space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.grid.axes import Axis, Grid

__all__ = [
    "INTERPOLATIONS",
    "Separable",
    "coarsening",
    "conservative_matrix",
    "interpolation_matrix",
    "upsampling",
]

Method = Literal["nearest", "linear", "cubic", "conservative"]
INTERPOLATIONS: dict[str, Method] = {  # by the names that users know
    "nearest": "nearest",
    "bilinear": "linear",
    "bicubic": "cubic",
    "conservative": "conservative",
}


def conservative_matrix(source: Axis, target: Axis) -> csr_array:
    """Shares of target cells that source cells cover, shape (target.size, source.size).

    A row sums to one where its cell is wholly covered; it is empty where nothing covers it.

    >>> from xdownscale.grid import G5NR, MERRA2
    >>> (conservative_matrix(G5NR.y.window(1436, 9), MERRA2.y.window(180, 1)).toarray() * 8).round(3)
    array([[0.5, 1. , 1. , 1. , 1. , 1. , 1. , 1. , 0.5]])
    """
    s, t = source.measured_edges, target.measured_edges
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
    >>> from xdownscale.grid import Axis
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
    >>> from xdownscale.grid import G5NR, MERRA2, refined
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

    >>> from xdownscale.grid import G5NR, MERRA2
    >>> A = coarsening(G5NR, MERRA2)
    >>> A.y.shape, A.y[[0]].nnz, A.y[[1]].nnz
    ((361, 2881), 5, 9)
    """
    return Separable(conservative_matrix(fine.y, coarse.y), conservative_matrix(fine.x, coarse.x))


def upsampling(coarse: Grid, fine: Grid, method: Method = "linear") -> Separable:
    """The operator U: coarse values interpolated in index space, as `interpolation_matrix`.

    >>> from xdownscale.grid import G5NR, MERRA2
    >>> upsampling(MERRA2.window((0, 2), (0, 2)), G5NR.window((2, 1), (5, 1)))(np.eye(2)).round(3)
    array([[0.5]])
    """
    axes = (coarse.y, fine.y), (coarse.x, fine.x)
    return Separable(*(interpolation_matrix(source, target, method) for source, target in axes))


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
