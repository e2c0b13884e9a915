"""Shares of a window's cells in which an event occurs, and the sums of the fractions skill score.

    FSS = 1 - sum w (P_f - P_o)^2 / sum w (P_f^2 + P_o^2)

with P the share of events in a window about each cell (Roberts and Lean 2008, doi:10.1175/2007MWR2123.1).
Only windows that lie wholly inside the domain count, round the globe where it has no edge; of cells that are
missing a window may hold up to half, and its share is that of the others. The weight is the middle cell's
area.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Windows", "fss_sums"]

_LEAST = 0.5


class Windows:
    """Windows of one size over a field with gaps.

    Parameters
    ----------
    valid : ndarray of bool, shape (ny, nx)
    size : int, odd, at most the field's [cells]
    cyclic : bool
        Whether columns go round the globe.

    Attributes
    ----------
    middle : tuple of slice
        Rows and columns that are the middle of a whole window.
    counted : ndarray of bool
        Windows with enough valid cells; shape of the middles.
    """

    def __init__(self, valid: NDArray[np.bool_], size: int, *, cyclic: bool = False) -> None:
        self.size, self.cyclic = size, cyclic
        half = size // 2
        rows, columns = valid.shape
        self.middle = (
            slice(half, rows - half),
            slice(0, columns) if cyclic else slice(half, columns - half),
        )
        self.known = self.sums(self.table(valid))
        self.counted = self.known >= _LEAST * size**2

    def table(self, cells: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Sums of all cells above and to the left, of columns run on where cyclic."""
        if self.cyclic:
            half = self.size // 2
            index = np.arange(-half, cells.shape[-1] + half) % cells.shape[-1]
            cells = cells[..., index]
        table = np.zeros((cells.shape[-2] + 1, cells.shape[-1] + 1), dtype=np.int32)
        np.cumsum(np.cumsum(cells, axis=-2, dtype=np.int32), axis=-1, out=table[1:, 1:])
        return table

    def sums(self, table: NDArray[np.int32]) -> NDArray[np.int32]:
        """Cells in each window, from a table."""
        n = self.size
        return np.asarray(table[n:, n:] - table[:-n, n:] - table[n:, :-n] + table[:-n, :-n])

    def shares(self, event: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Of the valid cells in each window; `event` is false where a cell is not valid."""
        return np.asarray(self.sums(self.table(event)) / np.maximum(self.known, 1))


def fss_sums(
    members: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    windows: Windows,
    area: NDArray[Any],
) -> tuple[float, float]:
    """Numerator and denominator of the fractions skill score, averaged over members.

    Parameters
    ----------
    members : ndarray of bool, shape (M, ny, nx)
    truth : ndarray of bool, shape (ny, nx)
    windows : Windows
    area : ndarray, shape (ny, nx)

    Returns
    -------
    (float, float)
        FSS is one minus their ratio.

    Examples
    --------
    >>> event = np.eye(5, dtype=bool)
    >>> moved = np.roll(event, 1, axis=1)
    >>> for size in (1, 3, 5):
    ...     windows = Windows(np.ones((5, 5), dtype=bool), size)
    ...     apart, most = fss_sums(moved[None], event, windows, np.ones((5, 5)))
    ...     print(size, round(1 - apart / most, 3))
    1 0.0
    3 0.902
    5 1.0
    """
    seen = windows.shares(truth)
    weight = area[windows.middle] * windows.counted
    apart = most = 0.0
    for member in members:
        ours = windows.shares(member)
        apart += float((weight * (ours - seen) ** 2).sum())
        most += float((weight * (ours**2 + seen**2)).sum())
    return apart / len(members), most / len(members)
