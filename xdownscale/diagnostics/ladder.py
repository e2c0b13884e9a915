"""Quantiles of weighted values from a histogram that needs no range beforehand, so that blocks add.

A bin holds the numbers that agree in sign, exponent and the first 11 bits of the fraction: 2048 bins to an
octave, the same for any data. Each bin keeps its weight and its weighted sum. A quantile is the mean of the
bin that holds it (the smallest value whose cumulated weight reaches q): within 1/2048 of its size, and exact
where a bin holds equal numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["RESOLUTION", "Ladder", "ladder", "merged", "stacked"]

_BITS = 11
RESOLUTION = 2.0**-_BITS


@dataclass(frozen=True, eq=False)
class Ladder:
    """Bins in rising order.

    Attributes
    ----------
    keys : ndarray of int64, shape (n,)
    weight, total : ndarray, shape (..., n)
        Sum of the weights, and of weights times values.
    """

    keys: NDArray[np.int64]
    weight: NDArray[np.float64]
    total: NDArray[np.float64]

    def quantile(self, q: ArrayLike) -> NDArray[np.float64]:
        """Quantiles, shape (..., len(q)); NaN where there is no weight."""
        wanted = np.atleast_1d(np.asarray(q, dtype=np.float64))
        lead = self.weight.shape[:-1]
        out = np.full((*lead, wanted.size), np.nan)
        for place in np.ndindex(lead):
            held = self.weight[place] > 0
            if held.any():
                w = self.weight[place][held]
                reached = np.cumsum(w)
                # sums of equal weights are a rounding error off
                first = np.searchsorted(reached, wanted * reached[-1] * (1 - 1e-12))
                out[place] = (self.total[place][held] / w)[first]
        return out


def ladder(values: NDArray[Any], weights: NDArray[Any]) -> Ladder:
    """Histogram of finite values.

    Parameters
    ----------
    values : ndarray, shape (n,)
    weights : ndarray, shape (n,), >= 0

    Returns
    -------
    Ladder

    Examples
    --------
    >>> found = ladder(np.array([3.0, -1.0, 3.0, 0.0]), np.ones(4))
    >>> found.quantile([0.1, 0.9]).tolist()
    [-1.0, 3.0]
    """
    x = np.ascontiguousarray(values, dtype=np.float64)
    size = np.abs(x).view(np.int64) >> (52 - _BITS)
    parts = [_counted(sign * size[of], x[of], weights[of]) for sign, of in ((-1, x < 0), (1, x > 0))]
    # apart, for between nought and the smallest value lie a million bins
    nought = float(weights[x == 0].sum())
    zero = [(np.zeros(1, dtype=np.int64), np.array([nought]), np.zeros(1))] if nought else []
    return Ladder(*(np.concatenate(p) for p in zip(*(parts[0], *zero, parts[1]), strict=True)))


def _counted(
    keys: NDArray[np.int64], x: NDArray[np.float64], weights: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Keys that have a weight, their weights, and sums of values."""
    lowest = int(keys.min()) if keys.size else 0
    weight, total = (
        np.asarray(np.bincount(keys - lowest, w), dtype=np.float64) for w in (weights, weights * x)
    )
    held = np.flatnonzero(weight)
    return held + lowest, weight[held], total[held]


def stacked(ladders: Sequence[Ladder]) -> Ladder:
    """Several ladders on common bins.

    Parameters
    ----------
    ladders : sequence of Ladder
        With weights of shape (n,).

    Returns
    -------
    Ladder
        With weights of shape (len(ladders), n).
    """
    keys = np.unique(np.concatenate([one.keys for one in ladders]))
    weight, total = np.zeros((2, len(ladders), keys.size))
    for row, one in enumerate(ladders):
        place = np.searchsorted(keys, one.keys)
        weight[row, place], total[row, place] = one.weight, one.total
    return Ladder(keys, weight, total)


def merged(ladders: Sequence[Ladder]) -> Ladder:
    """The sum of several ladders.

    Parameters
    ----------
    ladders : sequence of Ladder
        With weights of shape (n,), at least one.

    Returns
    -------
    Ladder
    """
    whole = ladders[0]
    for one in ladders[1:]:
        both = stacked([whole, one])
        whole = Ladder(both.keys, both.weight.sum(axis=0), both.total.sum(axis=0))
    return whole
