"""The residual's climate from the training days, without telling a day about itself.

The days are cut into blocks. At a day of block b the network is shown the climatology of all other blocks,
so that what it learns to expect of the map holds for days that the map has not seen; the finished model
carries the climatology of all days. With few days the maps of the other blocks are poor, and the network
learns that they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xdownscale.models.climatology import Climatology

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from xdownscale.grid import Grid

__all__ = ["Folds", "measure"]

_LEAST = 2
_FLOOR = 1e-2


@dataclass(frozen=True, eq=False)
class Folds:
    """Climatologies of all days, and of all but one block's.

    Attributes
    ----------
    whole : Climatology
    without : tuple of Climatology
        One per block.
    edges : tuple of int
        First day of each block but the first.
    """

    whole: Climatology
    without: tuple[Climatology, ...]
    edges: tuple[int, ...]

    def unseen(self, day: int) -> Climatology:
        """The climatology of the blocks that a day is not in."""
        return self.without[int(np.searchsorted(self.edges, day, side="right"))]


def measure(residuals: Iterable[NDArray[np.float32]], days: int, window: Grid, blocks: int = 6) -> Folds:
    """Mean and log standard deviation of residuals, cell by cell.

    Parameters
    ----------
    residuals : iterable of ndarray, shape (ny, nx)
        In units of their scale, one per day in order; NaN where missing.
    days : int, >= 1
        How many there are.
    window : Grid
        ny x nx cells of the fine grid.
    blocks : int, >= 1

    Returns
    -------
    Folds

    Examples
    --------
    >>> from xdownscale.grid import G5NR
    >>> days = [np.full((1, 1), v, dtype=np.float32) for v in (0.0, 2.0, 4.0, 6.0)]
    >>> folds = measure(days, 4, G5NR.window((0, 1), (0, 1)), blocks=2)
    >>> folds.whole.on(G5NR.window((0, 1), (0, 1)))[0].item()
    3.0
    >>> folds.unseen(0).on(G5NR.window((0, 1), (0, 1)))[0].item()
    5.0
    """
    edges = tuple(int(e) for e in np.unique(np.linspace(0, days, blocks + 1).round().astype(int))[1:-1])
    sums = np.zeros((len(edges) + 1, 3, *window.shape), dtype=np.float32)
    for day, residual in enumerate(residuals):
        block = sums[int(np.searchsorted(edges, day, side="right"))]
        seen = np.isfinite(residual)
        r = np.where(seen, residual, np.float32(0.0))
        block += np.stack([seen, r, r * r])
    total = sums.sum(axis=0)
    without = tuple(Climatology.of(_moments(total - part), window) for part in sums)
    return Folds(Climatology.of(_moments(total), window), without, edges)


def _moments(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean and log standard deviation from count, sum and sum of squares; NaN where days are too few."""
    count, first, second = sums
    n = np.where(count >= _LEAST, count, np.nan)
    mean = first / n
    variance = np.maximum(second / n - mean * mean, _FLOOR**2)
    return np.stack([mean, 0.5 * np.log(variance)]).astype(np.float32)
