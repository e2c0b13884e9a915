"""How a user's rows and columns run against the canonical ones.

Canonical is latitude ascending, and longitude by absolute index. An orientation is small and free of the
user's array, so that it travels to where a block of the array is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Orientation"]


@dataclass(frozen=True)
class Orientation:
    """The turn from a user's order to the canonical one, and back on the fine grid.

    Attributes
    ----------
    descending : (bool, bool)
        Whether latitude, longitude run downwards.
    roll : int [coarse cells]
        For a field round the globe: absolute index of the user's first column.
    first : int [fine cells]
        For a field round the globe: absolute index of the result's first column.

    Examples
    --------
    >>> south = Orientation((True, False), 0, 0)
    >>> south.users(south.canonical([[1.0], [2.0]]))
    array([[1.], [2.]])
    """

    descending: tuple[bool, bool]
    roll: int
    first: int

    def canonical(self, coarse: Any) -> NDArray[np.float64]:
        """Coarse values in the user's order, shape (..., ny, nx), as the engine has them."""
        array = self._turned(np.array(coarse, dtype=np.float64))
        return np.ascontiguousarray(_rolled(array, self.roll))

    def users(self, fine: NDArray[Any]) -> NDArray[Any]:
        """Fine values as the engine has them, shape (..., NY, NX), in the user's order."""
        return np.ascontiguousarray(self._turned(_rolled(fine, -self.first)))

    def engines(self, fine: NDArray[Any]) -> NDArray[Any]:
        """Fine values in the user's order, as the engine has them: `users` undone."""
        return np.ascontiguousarray(_rolled(self._turned(fine), self.first))

    def _turned(self, array: NDArray[Any]) -> NDArray[Any]:
        down, west = (slice(None, None, -1 if d else 1) for d in self.descending)
        return array[..., down, west]


def _rolled(array: NDArray[Any], by: int) -> NDArray[Any]:
    """Columns moved round; the array itself where there is nothing to move."""
    return np.roll(array, by, axis=-1) if by else array
