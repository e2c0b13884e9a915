"""Weighted histograms that add up, whatever the order in which the values came.

The bins are a lattice of dyadic width, bin k covering [k, k + 1) 2^e. The exponent e is the smallest for
which the range of the values fits into the most bins allowed, so it depends on the extremes of the values
alone: blocks are counted apart, each on its own lattice, and merged by halving the finer one. No second look
at the values is needed, and any order of merging gives the same bins (between half of the most, and the
most).

A bin holds the sum of the weights, and of their products with u and u^2, where u = x 2^-e - k is a value's
place in its bin. Hence mean and variance are exact, and a bin is as good as its values as long as only their
sum matters. What it is not: a picture of a density; that is a histogram of far fewer bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BINS", "Histogram"]

BINS = 65_536
_PIECE = 1 << 16
_FINEST = -1000


@dataclass(frozen=True, eq=False)
class Histogram:
    """Weights by value.

    Attributes
    ----------
    exponent : int
        A bin's width is 2^exponent.
    first : int
        Number k of the first bin kept.
    sums : ndarray, shape (3, m), m <= bins
        Sums of w, w u and w u^2 by bin.
    low, high : float
        Extremes of the values; inf and -inf where there is none.
    valid : int
        Number of values.
    bins : int
        The most bins.
    """

    exponent: int
    first: int
    sums: NDArray[np.float64]
    low: float
    high: float
    valid: int
    bins: int

    @classmethod
    def empty(cls, bins: int = BINS) -> Histogram:
        """Of no values: merging it changes nothing."""
        return cls(_FINEST, 0, np.zeros((3, 0)), math.inf, -math.inf, 0, bins)

    @classmethod
    def count(
        cls, values: NDArray[Any], weights: NDArray[np.float64] | None = None, *, bins: int = BINS
    ) -> Histogram:
        """Count values.

        Parameters
        ----------
        values : ndarray, shape (n,)
            Finite.
        weights : ndarray, shape (n,), > 0, optional
            One each when not given.
        bins : int, >= 2

        Returns
        -------
        Histogram

        Examples
        --------
        >>> h = Histogram.count(np.array([0.0, 1.0, 3.0]), bins=2)
        >>> h.width, h.mass, h.mean
        (2.0, array([2., 1.]), 1.3333333333333333)
        """
        if values.size == 0:
            return cls.empty(bins)
        low, high = float(values.min()), float(values.max())
        exponent = _exponent(low, high, bins)
        width = math.ldexp(1.0, exponent)
        first = math.floor(low / width)
        sums = np.zeros((3, math.floor(high / width) - first + 1))
        piece = max(_PIECE, sums.shape[1])
        for start in range(0, values.size, piece):
            part = slice(start, start + piece)
            _add(sums, values[part], None if weights is None else weights[part], width, first)
        return cls(exponent, first, sums, low, high, int(values.size), bins)

    @property
    def mass(self) -> NDArray[np.float64]:
        """Sums of the weights, shape (m,)."""
        return np.asarray(self.sums[0])

    @property
    def offset(self) -> NDArray[np.float64]:
        """Sums of w u, shape (m,)."""
        return np.asarray(self.sums[1])

    @property
    def square(self) -> NDArray[np.float64]:
        """Sums of w u^2, shape (m,)."""
        return np.asarray(self.sums[2])

    @property
    def width(self) -> float:
        """Of a bin, in the units of the values."""
        return math.ldexp(1.0, self.exponent)

    @property
    def edges(self) -> NDArray[np.float64]:
        """Between the bins, shape (m + 1,); exact."""
        return np.asarray((self.first + np.arange(self.mass.size + 1)) * self.width)

    @property
    def total(self) -> float:
        """Sum of the weights."""
        return float(self.mass.sum())

    @property
    def mean(self) -> float:
        """Of the values, not of the bins; NaN where there is none."""
        return float(self.edges[0] + self._moment(0.0) * self.width) if self.valid else math.nan

    @property
    def variance(self) -> float:
        """Of the values about their mean; NaN where there is none."""
        if not self.valid:
            return math.nan
        place = np.arange(self.mass.size) - self._moment(0.0)
        spread = place**2 * self.mass + 2 * place * self.offset + self.square
        deviation = math.sqrt(max(spread.sum() / self.total, 0.0)) * self.width
        return deviation * deviation

    def index(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Bins of values, counted from the first kept, shape (n,)."""
        return np.asarray(np.floor(values * np.float64(1 / self.width)) - self.first, dtype=np.int64)

    def merge(self, other: Histogram) -> Histogram:
        """Of the values of both.

        Examples
        --------
        >>> a, b = np.array([0.5, 1.0]), np.array([250.0])
        >>> whole = Histogram.count(np.concatenate([a, b]), bins=4)
        >>> both = Histogram.count(a, bins=4).merge(Histogram.count(b, bins=4))
        >>> both.width == whole.width, bool((both.mass == whole.mass).all())
        (True, True)
        """
        if not (self.valid and other.valid):
            return self if self.valid else other
        low, high = min(self.low, other.low), max(self.high, other.high)
        exponent = max(self.exponent, other.exponent, _exponent(low, high, self.bins))
        parts = self.coarsen(exponent), other.coarsen(exponent)
        first = min(p.first for p in parts)
        sums = np.zeros((3, max(p.first + p.mass.size for p in parts) - first))
        for p in parts:
            place = slice(p.first - first, p.first - first + p.mass.size)
            sums[:, place] += p.sums
        return Histogram(exponent, first, sums, low, high, self.valid + other.valid, self.bins)

    def coarsen(self, exponent: int) -> Histogram:
        """On the lattice of a larger exponent."""
        down = exponent - self.exponent
        if down == 0 or not self.valid:
            return replace(self, exponent=exponent)
        k = self.first + np.arange(self.mass.size)
        into = k >> min(down, 62)
        step = math.ldexp(1.0, -down)
        place = k * step - into
        offset = place * self.mass + step * self.offset
        square = place**2 * self.mass + 2 * place * step * self.offset + step**2 * self.square
        rows = (np.bincount(into - into[0], weights=row) for row in (self.mass, offset, square))
        return replace(self, exponent=exponent, first=int(into[0]), sums=np.stack(list(rows)))

    def on(self, first: int, size: int) -> NDArray[np.float64]:
        """Mass and offset on `size` bins from number `first`, which must hold all of its own, (2, size)."""
        out = np.zeros((2, size))
        out[:, self.first - first : self.first - first + self.mass.size] = self.sums[:2]
        return out

    def _moment(self, about: float) -> float:
        """Mean of the values in widths from the first edge, less `about`."""
        place = np.arange(self.mass.size) - about
        return float((place * self.mass + self.offset).sum() / self.total)


def _add(
    sums: NDArray[np.float64], values: NDArray[Any], weights: NDArray[Any] | None, width: float, first: int
) -> None:
    u = values * np.float64(1 / width)
    k = np.floor(u)
    u -= k
    k -= first
    place = k.astype(np.int64)
    size = sums.shape[1]
    power = weights
    for row in range(3):
        sums[row] += np.bincount(place, power, minlength=size)
        power = u if power is None else power * u


def _exponent(low: float, high: float, bins: int) -> int:
    """The smallest whose lattice holds low to high in `bins` bins, numbered without rounding."""
    largest = max(abs(low), abs(high))
    exponent = max(math.frexp(largest)[1] - 51 if largest else _FINEST, _FINEST)
    if high > low:
        exponent = max(exponent, math.frexp(high - low)[1] - bins.bit_length() - 1)
    while _cells(low, high, exponent) > bins:
        exponent += 1
    return exponent


def _cells(low: float, high: float, exponent: int) -> int:
    width = math.ldexp(1.0, exponent)
    return math.floor(high / width) - math.floor(low / width) + 1
