"""The 1-Wasserstein distance of two weighted samples, on arrays, by their quantile functions.

    W1    = int |F - G| dx = int_0^1 |Q_F(p) - Q_G(p)| dp
    shift = int (Q_F - Q_G) dp,  the difference of the means
    shape = int |Q_F - Q_G - shift| dp,  the W1 that is left once the means are equal
    part  = int_p0^p1 |Q_F - Q_G| dp over p = 0, .5, .9, .99, 1, which add up to W1

and |shift| <= W1 <= |shift| + shape. For equal sizes without weights this is the mean of |x(i) - y(i)| of the
sorted values.

Sorting is not needed where it makes no difference. Over a bin of a histogram in which F and G do not cross,
int |F - G| is the difference of two areas, and an area under a distribution function depends on the bin's
mass and mean alone: all of the bin's values may stand at their mean. `condense` sorts only the values of bins
in which the two may cross (F(b) > G(a) and G(b) > F(a) over [a, b)), or F passes a p that divides two parts,
with the distributions as they are or with equal means; its distances are exact. Two samples of one size
without weights, of float32, are sorted faster than counted. `bound` says how far those of two histograms can
be off: in the other bins nothing, in these the mean deviation of a bin's values from their mean, at most
min(s, 2 m (1 - m)) widths for mean m and deviation s.

References
----------
Ramdas, Garcia Trillos, Cuturi, On Wasserstein two-sample testing (2017), doi:10.3390/e19020047.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.diagnostics.histogram import Histogram
from xdownscale.diagnostics.ordering import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "LEVELS",
    "Distance",
    "Distribution",
    "bound",
    "compare",
    "condense",
    "mixture",
    "rank_bound",
    "ranked",
]

LEVELS = (0.0, 0.5, 0.9, 0.99, 1.0)
_FEW = 1 << 18
_FINE = 1 << 18
_MOST = 0.15
_PIECE = 1 << 15


@dataclass(frozen=True, eq=False)
class Distribution:
    """Values with masses.

    Attributes
    ----------
    values : ndarray, shape (m,)
        Rising.
    mass : ndarray, shape (m,), sums to 1, optional
        Equal when None.
    low, high, mean, variance : float
        Of the sample, which may hold more values than stand here.
    valid : int
        Size of the sample.
    """

    values: NDArray[Any]
    mass: NDArray[np.float64] | None
    low: float
    high: float
    mean: float
    variance: float
    valid: int

    @classmethod
    def of(cls, values: NDArray[Any], weights: NDArray[np.float64] | None = None) -> Distribution:
        """Of a sample, sorted; at least one value, weights > 0."""
        v, w = in_order(values, weights)
        mass = None if w is None else w / w.sum()
        return cls(v, mass, float(v[0]), float(v[-1]), *_moments(v, mass), int(v.size))

    @classmethod
    def from_histogram(cls, h: Histogram, *, centred: bool = False) -> Distribution:
        """Each bin's values at their mean, or at the bin's centre; at least one value."""
        filled = h.mass > 0
        place = np.full(filled.sum(), 0.5) if centred else h.offset[filled] / h.mass[filled]
        values = (h.first + np.flatnonzero(filled) + place) * h.width
        return cls(values, h.mass[filled] / h.total, h.low, h.high, h.mean, h.variance, h.valid)

    @property
    def masses(self) -> NDArray[np.float64]:
        """The masses, equal ones written out, shape (m,)."""
        n = self.values.size
        return np.full(n, 1.0 / n) if self.mass is None else self.mass

    @property
    def cumulative(self) -> NDArray[np.float64]:
        """The distribution function at the values, shape (m,), ends at 1."""
        n = self.values.size
        if self.mass is None:
            return np.arange(1, n + 1) / n
        c = np.cumsum(self.mass)
        return np.asarray(np.minimum(c / c[-1], 1.0))

    def quantile(self, p: Any) -> NDArray[np.float64]:
        """The smallest value at which the distribution function reaches p, 0 to 1."""
        # a cumulative sum that should be p may have been rounded below it
        q, n = np.asarray(p) - 1e-12, self.values.size
        if self.mass is None:
            place = np.maximum(np.ceil(q * n), 1).astype(np.int64) - 1
        else:
            place = np.searchsorted(self.cumulative, q)
        return np.asarray(self.values[np.minimum(place, n - 1)], dtype=np.float64)


@dataclass(frozen=True)
class Distance:
    """How far two distributions are apart, in the units of their values.

    Attributes
    ----------
    w1, shift, shape : float
    parts : tuple of float
        Between `LEVELS`; they add up to w1.
    """

    w1: float
    shift: float
    shape: float
    parts: tuple[float, ...]

    def scaled(self, scale: float) -> Distance:
        """In units of `scale`."""
        parts = tuple(p / scale for p in self.parts)
        return Distance(self.w1 / scale, self.shift / scale, self.shape / scale, parts)


def compare(x: Distribution, y: Distribution) -> Distance:
    """The distance of x from y.

    Parameters
    ----------
    x, y : Distribution

    Returns
    -------
    Distance

    Examples
    --------
    >>> x = Distribution.of(np.array([0.0, 1.0]))
    >>> found = compare(x, Distribution.of(np.array([5.0, 6.0, 6.0])))
    >>> round(found.w1, 9), round(found.shift, 9), round(found.shape, 9)
    (5.166666667, -5.166666667, 0.277777778)
    >>> [round(part, 9) for part in found.parts]
    [2.666666667, 2.0, 0.45, 0.05]
    """
    shift = x.mean - y.mean
    if x.mass is None and y.mass is None and x.values.size == y.values.size:
        return _of_pairs(x.values, y.values, shift)
    start, total, shape = 0.0, 0.0, 0.0
    below = [0.0]
    for p, gap in _gaps(x, y):
        width = np.diff(p, prepend=start)
        area = width * np.abs(gap)
        while p[-1] >= LEVELS[len(below)] < 1:
            below.append(total + _up_to(LEVELS[len(below)], p, area, start))
        total += float(area.sum())
        shape += float((width * np.abs(gap - shift)).sum())
        start = float(p[-1])
    return Distance(total, shift, shape, tuple(b - a for a, b in pairwise([*below, total])))


def ranked(x: Distribution, y: Distribution) -> tuple[Distribution, Distribution]:
    """Both with their values replaced by mid-ranks, 0 to 1, in the even mixture of the two.

    The mid-rank of v is H(v) - h(v) / 2, with H = (F + G) / 2 and h its jump at v: for equal sizes the
    average rank less a half, over the number of values of both.

    Examples
    --------
    >>> x, y = ranked(Distribution.of(np.array([1.0, 2.0])), Distribution.of(np.array([2.0, 9.0])))
    >>> x.values, y.values
    (array([0.125, 0.5  ]), array([0.5  , 0.875]))
    """
    pooled = np.concatenate([x.values, y.values]).astype(np.float64)
    values, place = np.unique(pooled, return_inverse=True)
    jump = np.bincount(place, np.concatenate([x.masses, y.masses]) / 2, minlength=values.size)
    middle = np.cumsum(jump) - jump / 2
    return _at(x, middle[place[: x.values.size]]), _at(y, middle[place[x.values.size :]])


def mixture(x: Distribution, y: Distribution) -> Distribution:
    """Both together, each with half of the mass.

    >>> mixture(Distribution.of(np.zeros(5)), Distribution.of(np.ones(1))).quantile([0.5, 0.51])
    array([0., 1.])
    """
    values = np.concatenate([x.values, y.values]).astype(np.float64)
    order = np.argsort(values, kind="stable")
    mass = np.concatenate([x.masses, y.masses])[order] / 2
    mean = (x.mean + y.mean) / 2
    variance = (x.variance + y.variance) / 2 + (x.mean - y.mean) ** 2 / 4
    low, high = min(x.low, y.low), max(x.high, y.high)
    return Distribution(values[order], mass, low, high, mean, variance, x.valid + y.valid)


def condense(
    x: NDArray[Any], wx: NDArray[np.float64] | None, y: NDArray[Any], wy: NDArray[np.float64] | None
) -> tuple[Distribution, Distribution]:
    """Two samples with as few values as their distance needs.

    Parameters
    ----------
    x, y : ndarray, shapes (n,), (m,), finite, n, m >= 1
    wx, wy : ndarray, shapes (n,), (m,), > 0, optional

    Returns
    -------
    Distribution, Distribution
        `compare` gives of them what it gives of the whole samples; `quantile` is right to a
        hundred-thousandth of the range.
    """
    paired = wx is None and wy is None and x.size == y.size and x.dtype == y.dtype == np.float32
    if paired or x.size + y.size < _FEW:
        return Distribution.of(x, wx), Distribution.of(y, wy)
    hx, hy = (Histogram.count(v, w, bins=_FINE) for v, w in ((x, wx), (y, wy)))
    kept = [_unsettled(*pair, 0.0) | _unsettled(*pair, _gap(*pair)) for pair in ((hx, hy), (hy, hx))]
    share = min(h.mass[k].sum() / h.total for h, k in zip((hx, hy), kept, strict=True))
    # otherwise sorting takes an argsort and two gathers
    cheap = (wx is None and wy is None) or x.dtype == y.dtype == np.float32
    if cheap and share > _MOST:
        return Distribution.of(x, wx), Distribution.of(y, wy)
    return _condensed(x, wx, hx, kept[0]), _condensed(y, wy, hy, kept[1])


def bound(x: Histogram, y: Histogram) -> tuple[float, float]:
    """How far W1 (and each of its parts) and the shape of two histograms may be from those of their values.

    Returns
    -------
    w1, shape : float, >= 0
        In the units of the values.
    """
    w1, shape = (
        sum(_blur(one, _unsettled(one, other, gap)) for one, other, gap in ((x, y, s), (y, x, -s)))
        for s in (0.0, _gap(x, y))
    )
    return float(w1), float(shape)


def rank_bound(x: Distribution, y: Distribution) -> float:
    """How far distances of `ranked` bins, at their centres on one lattice, may be from those of their values.

    A value's rank is within half its bin's pooled mass h of the bin's, so W1 is within the sum of h^2.
    """
    _, place = np.unique(np.concatenate([x.values, y.values]), return_inverse=True)
    return float((np.bincount(place, np.concatenate([x.masses, y.masses]) / 2) ** 2).sum())


def _moments(v: NDArray[Any], mass: NDArray[np.float64] | None) -> tuple[float, float]:
    """Mean and variance of sorted values, in doubles."""
    if v[0] == v[-1]:
        return float(v[0]), 0.0
    if mass is not None:
        mean = float(np.dot(v.astype(np.float64), mass))
        return mean, float(np.dot((v - np.float64(mean)) ** 2, mass))
    pieces = [v[a:b] for a, b in _pieces(v.size)]
    mean = float(np.sum([piece.sum(dtype=np.float64) for piece in pieces])) / v.size
    squares = [np.square(np.subtract(piece, mean, dtype=np.float64)).sum() for piece in pieces]
    return mean, float(np.sum(squares)) / v.size


def _pieces(n: int, *cuts: int) -> Iterator[tuple[int, int]]:
    """Runs of 0 to n that stay in the cache, none across a cut."""
    return pairwise(sorted({*range(0, n, _PIECE), *cuts, n}))


def _of_pairs(v: NDArray[Any], u: NDArray[Any], shift: float) -> Distance:
    """Of two sorted samples of one size, each value's share of p being 1/n."""
    n = v.size
    cuts = [int(level * n) for level in LEVELS]
    below, shape, sums = {0: 0.0}, [], [0.0]
    for a, b in _pieces(n, *cuts):
        gap = np.subtract(v[a:b], u[a:b], dtype=np.float64)
        sums.append(sums[-1] + float(np.abs(gap).sum()))
        below[b] = sums[-1]
        gap -= shift
        shape.append(float(np.abs(gap, out=gap).sum()))
    at = [float(abs(np.float64(v[k]) - u[k])) if k < n else 0.0 for k in cuts]
    areas = [(below[k] + (p * n - k) * value) / n for p, k, value in zip(LEVELS, cuts, at, strict=True)]
    return Distance(areas[-1], shift, float(np.sum(shape)) / n, tuple(b - a for a, b in pairwise(areas)))


def _at(d: Distribution, values: NDArray[np.float64]) -> Distribution:
    mean = float(np.dot(values, d.masses))
    variance = float(np.dot((values - mean) ** 2, d.masses))
    return replace(
        d, values=values, low=float(values[0]), high=float(values[-1]), mean=mean, variance=variance
    )


def _gaps(x: Distribution, y: Distribution) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Where the quantile functions jump, p rising to 1 in runs, and their difference up to there."""
    cx, cy = x.cumulative, y.cumulative
    cuts = np.linspace(0.0, 1.0, (cx.size + cy.size) // _PIECE + 2)[1:-1]
    ends = ([0, *np.searchsorted(c, cuts).tolist(), c.size] for c in (cx, cy))
    for (i, ahead), (j, beyond) in zip(*(pairwise(e) for e in ends), strict=True):
        if i == ahead and j == beyond:
            continue
        # where a merge of the two rising runs puts the second
        place = np.searchsorted(cx[i:ahead], cy[j:beyond], side="right") + np.arange(beyond - j)
        from_x = np.ones(ahead - i + beyond - j, dtype=bool)
        from_x[place] = False
        p = np.empty(from_x.size)
        p[from_x], p[place] = cx[i:ahead], cy[j:beyond]
        at_x = np.cumsum(from_x) - from_x
        at_y = np.arange(p.size) - at_x
        x_at, y_at = (d.values[np.minimum(k, d.values.size - 1)] for d, k in ((x, i + at_x), (y, j + at_y)))
        yield p, np.subtract(x_at, y_at, dtype=np.float64)


def _up_to(level: float, p: NDArray[np.float64], area: NDArray[np.float64], start: float) -> float:
    """Sum of a run's areas below a level, which may divide one of them."""
    k = int(np.searchsorted(p, level))
    start = p[k - 1] if k else start
    share = (level - start) / (p[k] - start) if p[k] > start else 0.0
    return float(area[:k].sum() + share * area[k])


def _gap(one: Histogram, other: Histogram) -> float:
    return one.mean - other.mean


def _unsettled(one: Histogram, other: Histogram, gap: float) -> NDArray[np.bool_]:
    """Bins of one over which F may cross G moved by `gap`, or F passes a level, shape (m,)."""
    F = np.concatenate([[0.0], np.cumsum(one.mass) / one.total])
    G = np.concatenate([[0.0], np.cumsum(other.mass) / other.total])
    edges = (one.edges - gap) / other.width - other.first
    # without a shift edges are exact; with one, a rounding more counts as touching
    slack = 4 * np.finfo(float).eps * (np.abs(one.edges).max() + abs(gap)) / other.width if gap else 0.0
    at_least = G[np.clip(np.floor(edges[:-1] - slack), 0, other.mass.size).astype(np.int64)]
    at_most = G[np.clip(np.ceil(edges[1:] + slack), 0, other.mass.size).astype(np.int64)]
    crossing = (F[1:] > at_least) & (at_most > F[:-1])
    for p in LEVELS[1:-1]:
        crossing |= (F[:-1] < p) & (p < F[1:])
    return np.asarray(crossing & (one.mass > 0))


def _blur(h: Histogram, bins: NDArray[np.bool_]) -> float:
    """Mean deviation of the values from their bins' means, at most, over some bins, times their mass."""
    mass, m = h.mass[bins], h.offset[bins] / h.mass[bins]
    deviation = np.sqrt(np.maximum(h.square[bins] / mass - m**2, 0.0))
    return float((mass * np.minimum(deviation, 2 * m * (1 - m))).sum() / h.total * h.width)


def _condensed(
    v: NDArray[Any], w: NDArray[np.float64] | None, h: Histogram, kept: NDArray[np.bool_]
) -> Distribution:
    """Values of the kept bins as they are, the others at the means of their bins."""
    pieces = (v[start : start + _FEW] for start in range(0, v.size, _FEW))
    alone = np.concatenate([kept[h.index(piece)] for piece in pieces])
    values, weights = in_order(v[alone], None if w is None else w[alone])
    weights = np.ones(values.size) if weights is None else weights
    rest = np.flatnonzero((h.mass > 0) & ~kept)
    means = (h.first + rest + h.offset[rest] / h.mass[rest]) * h.width
    values, weights = np.concatenate([values, means]), np.concatenate([weights, h.mass[rest]])
    order = np.argsort(values, kind="stable")
    return Distribution(values[order], weights[order] / h.total, h.low, h.high, h.mean, h.variance, h.valid)
