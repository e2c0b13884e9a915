"""Shares of a window's cells in which an event occurs, and the sums of the fractions skill score.

    FSS = 1 - sum w (P_f - P_o)^2 / sum w (P_f^2 + P_o^2)

with P the share of events in a window about each cell (Roberts and Lean 2008, doi:10.1175/2007MWR2123.1).
Only windows that lie wholly inside the domain count, round the globe where it has no edge; of cells that are
missing a window may hold up to half, and its share is that of the others. The weight is the middle cell's
area.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Windows", "fss_sums"]

_LEAST = 0.5
_ROWS = 32


class Windows:
    """Windows of one size over a field with gaps.

    Parameters
    ----------
    valid : ndarray of bool, shape (ny, nx)
    size : int, odd, at most the field's [cells]
    area : ndarray, shape (ny, nx)
    cyclic : bool
        Whether columns go round the globe.

    Attributes
    ----------
    known : ndarray of int
        Valid cells of each window, shape of the middles.
    weight : ndarray
        Of a squared difference of counts: the middle's area over the square of `known`; 0 where a window has
        too few valid cells.
    """

    def __init__(
        self, valid: NDArray[np.bool_], size: int, area: NDArray[Any], *, cyclic: bool = False
    ) -> None:
        self.size, self.cyclic = size, cyclic
        half = size // 2
        rows, columns = valid.shape
        middle = slice(half, rows - half), slice(0, columns) if cyclic else slice(half, columns - half)
        self.known = self.counts(_table(valid, self.wrapped), self.wrapped)
        counted = self.known >= _LEAST * size**2
        self.weight = area[middle] * counted / np.maximum(self.known, 1).astype(np.float64) ** 2

    @property
    def wrapped(self) -> int:
        """Columns that are needed beyond either end."""
        return self.size // 2 if self.cyclic else 0

    def counts(self, table: NDArray[np.int32], wrapped: int, rows: slice = slice(None)) -> NDArray[np.int32]:
        """Cells in each window of some rows, from a table with `wrapped` columns more on either side."""
        n, spare = self.size, wrapped - self.wrapped
        part = table[:, spare : table.shape[1] - spare]
        low, high = part[:-n][rows], part[n:][rows]
        found = high[:, n:] - low[:, n:]
        found -= high[:, :-n]
        found += low[:, :-n]
        return np.asarray(found)

    def moments(self, ours: NDArray[np.int32], seen: NDArray[np.int32], wrapped: int) -> NDArray[np.float64]:
        """Weighted sums of the squares of the shares' difference and of their own, from two tables."""
        out = np.zeros(3)
        for first in range(0, len(self.weight), _ROWS):
            rows = slice(first, first + _ROWS)
            x, y = (self.counts(table, wrapped, rows).astype(np.float64) for table in (ours, seen))
            out += [np.einsum("ij,ij,ij->", self.weight[rows], z, z) for z in (x - y, x, y)]
        return out


def fss_sums(
    members: NDArray[np.bool_], truth: NDArray[np.bool_], windows: Sequence[Windows]
) -> NDArray[np.float64]:
    """Numerator and denominator of the fractions skill score, averaged over members.

    Parameters
    ----------
    members : ndarray of bool, shape (M, ny, nx)
        False where a cell is not valid.
    truth : ndarray of bool, shape (ny, nx)
    windows : sequence of Windows
        Of one field's valid cells, by size.

    Returns
    -------
    ndarray, shape (sizes, 2)
        FSS is one minus their ratio.

    Examples
    --------
    >>> event = np.eye(5, dtype=bool)
    >>> moved, whole = np.roll(event, 1, axis=1), np.ones((5, 5))
    >>> sums = fss_sums(moved[None], event, [Windows(whole > 0, size, whole) for size in (1, 3, 5)])
    >>> [round(1 - apart / most, 3) for apart, most in sums.tolist()]
    [0.0, 0.902, 1.0]
    """
    wrapped = max((w.wrapped for w in windows), default=0)
    seen = _table(truth, wrapped)
    out = np.zeros((len(windows), 2))
    for member in members:
        table = _table(member, wrapped)
        for k, w in enumerate(windows):
            apart, ours, theirs = w.moments(table, seen, wrapped)
            out[k] += apart, ours + theirs
    return out / len(members)


def _table(cells: NDArray[np.bool_], wrapped: int) -> NDArray[np.int32]:
    """Sums of all cells above and to the left, of columns run on by so many on either side."""
    if wrapped:
        cells = np.concatenate([cells[:, -wrapped:], cells, cells[:, :wrapped]], axis=1)
    table = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1), dtype=np.int32)
    np.cumsum(cells, axis=1, dtype=np.int32, out=table[1:, 1:])
    # a row at a time, for numpy's own sum along columns takes six times as long
    for above, here in pairwise(table):
        np.add(above, here, out=here)
    return table
