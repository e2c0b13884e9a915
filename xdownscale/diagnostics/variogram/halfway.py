"""Spectra of the rows of fields, from which pairs to the east and west are summed together.

Wanted is the even part c(j) + c(-j) of the correlation of two rows, whose spectrum is real. With spectra F at
the odd multiples of half a step in wavenumber, of rows padded to n cells, it is a cosine transform of half
the length,

    c(j) + c(-j) = (2/n) sum_k Re(conj(F_1k) F_2k) cos(pi j (2 k + 1) / n),   k = 0 .. n/2 - 1

Fields that miss the same cells have one spectrum of their weights, and one of the sum of their squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["Halfway", "miss_alike"]


@dataclass(frozen=True, eq=False)
class Halfway:
    """Spectra of rows at odd multiples of half a step, real and imaginary, by groups of fields.

    Attributes
    ----------
    rows : ndarray, shape (ny, 2 groups + T, 2, F)
        Of w z^2, summed over each group's fields, of each group's w, and of each field's w z.
    valid : ndarray, shape (ny, groups, 2, F)
        Of the valid cells.
    groups : int
        Of fields with the same weights: 1, or T.
    """

    rows: NDArray[np.float64]
    valid: NDArray[np.float64]
    groups: int

    @classmethod
    def of(cls, parts: Iterable[NDArray[np.float64]], fields: int, length: int, *, alike: bool) -> Halfway:
        """From w z^2, w, w z and, if weights were given, the valid cells of each field.

        Parameters
        ----------
        parts : iterable of ndarray, shape (3 or 4, ny, nx)
        fields : int
            How many.
        length : int, even [cells]
            Of the padded rows.
        alike : bool
            Whether w is the same in all fields.
        """
        groups, half = 1 if alike else fields, length // 2
        rows, valid = np.empty(0), np.empty(0)
        squares = np.zeros(())
        for t, (square, one, value, *known) in enumerate(parts):
            if not t:
                rows = np.empty((len(value), 2 * groups + fields, 2, half))
                valid = np.empty((len(value), groups, 2, half)) if known else rows[:, groups : 2 * groups]
            _put(value, rows[:, 2 * groups + t])
            squares = squares + square if alike else square
            if alike and t + 1 < fields:
                continue
            group = 0 if alike else t
            _put(squares, rows[:, group])
            _put(one, rows[:, groups + group])
            if known:
                _put(known[0], valid[:, group])
        return cls(rows, valid, groups)

    @property
    def each(self) -> int:
        """Fields of a group."""
        return int(self.rows.shape[1]) // self.groups - 2

    @property
    def ones(self) -> NDArray[np.float64]:
        """Of the weights."""
        return self.rows[:, self.groups : 2 * self.groups]

    def across(self, i: int) -> NDArray[np.float64]:
        """What row i is to be multiplied with another one's by, to give weighted squared differences."""
        square, one, value = np.split(self.rows[i], [self.groups, 2 * self.groups])
        return np.concatenate([one, square, -2 * value])


def miss_alike(fields: NDArray[Any], weights: NDArray[Any] | None) -> bool:
    """Whether all fields miss the same cells, and have the same weights.

    Parameters
    ----------
    fields : ndarray, shape (T, ny, nx)
        NaN where missing.
    weights : ndarray, shape (ny, nx) or (T, ny, nx), optional
    """
    if weights is not None and weights.ndim == 3 and (weights != weights[:1]).any():
        return False
    first = np.isnan(fields[:1])
    return all(np.array_equal(np.isnan(field)[None], first) for field in fields[1:])


def _put(cells: NDArray[np.float64], into: NDArray[np.float64]) -> None:
    odd = fft.rfft(cells, 4 * into.shape[-1])[:, 1::2]
    into[:, 0], into[:, 1] = odd.real, odd.imag
