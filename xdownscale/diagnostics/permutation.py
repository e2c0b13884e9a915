"""Whether two samples of fields differ by more than their process varies: a permutation of blocks of time.

Each field of each sample is a histogram on one lattice. Runs of `block` neighbouring times are dealt anew to
two groups of the sizes of the samples, at random, whole fields with all their members at a time, and the
distance of the groups is taken. Its share of deals that are no smaller than the observed one is p,

    p = (1 + #{W* >= W}) / (1 + deals)

(Phipson and Smyth 2010). Dependence in space and between members is thereby kept whole, and dependence in
time within blocks; what is assumed is that blocks are exchangeable, which asks of the process to be
stationary over both samples (no season, no trend) and to forget within a block.

A block is therefore `FORGET` times the decorrelation time tau = 1 + 2 sum_l r(l), summed to the first r <= 0
(Thiebaux and Zwiers 1984), where r is the autocorrelation of the fields' own distribution functions,
pooled over values: the very thing whose mean the distance compares.

The distance is the sum over bins of |int_bin F - G|, exact where F and G do not cross within a bin, and on
the same lattice for the observed and the dealt.

References
----------
Phipson and Smyth, Permutation p-values should never be zero (2010), doi:10.2202/1544-6115.1585.
Thiebaux and Zwiers, The interpretation and estimation of effective sample size (1984),
doi:10.1175/1520-0450(1984)023<0800:TIAEOE>2.0.CO;2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xdownscale.diagnostics.timeline import lag_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from xdownscale.diagnostics.histogram import Histogram

__all__ = ["DAY_BINS", "Null", "Series", "decorrelation", "permuted", "series"]

DAY_BINS = 4096
FORGET = 6.0
_FEWEST = 4
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Series:
    """Fields in time, as histograms on one lattice.

    Attributes
    ----------
    place : ndarray, shape (n,)
        Of the times on their lattice.
    mass, offset : ndarray, shape (n, bins)
        As `Histogram` has them; a field of mean weight has mass one.
    """

    place: NDArray[np.int64]
    mass: NDArray[np.float64]
    offset: NDArray[np.float64]

    def blocks(self, length: int) -> NDArray[np.float64]:
        """Sums over runs of about `length` places, shape (2, count, bins)."""
        span = int(self.place[-1] - self.place[0]) + 1
        count = max(span // length, 1)
        into = (self.place - self.place[0]) * count // span
        starts = np.flatnonzero(np.diff(into, prepend=-1))
        return np.stack([np.add.reduceat(part, starts, axis=0) for part in (self.mass, self.offset)])


@dataclass(frozen=True, eq=False)
class Null:
    """Distances of blocks dealt at random.

    Attributes
    ----------
    draws : ndarray, shape (n,)
    observed : float
        The same statistic of the samples as they are.
    block : int [time steps]
    """

    draws: NDArray[np.float64]
    observed: float
    block: int

    @property
    def p(self) -> float:
        """Share of deals that are no smaller than the observed one."""
        # deals that give the very same split differ from it by rounding alone
        rounding = 1e-12 * max(self.observed, self.draws.max())
        larger = (self.draws >= self.observed - rounding).sum()
        return float((1 + larger) / (1 + self.draws.size))


def series(
    one: Mapping[int, Histogram], other: Mapping[int, Histogram], places: tuple[NDArray[np.int64], ...]
) -> tuple[Series, Series, NDArray[np.float64]]:
    """Histograms by position in time, brought to one lattice.

    Parameters
    ----------
    one, other : mapping from position to Histogram
        Positions without a valid value are left out.
    places : pair of ndarray
        Of all positions, on the lattice of time.

    Returns
    -------
    Series, Series
    edges : ndarray, shape (bins + 1,)
    """
    kept = [{t: h for t, h in sorted(days.items()) if h.valid} for days in (one, other)]
    whole = [h for days in kept for h in days.values()]
    merged = whole[0]
    for h in whole[1:]:
        merged = merged.merge(h)
    size = merged.mass.size
    out = []
    for days, place in zip(kept, places, strict=True):
        sums = np.stack([h.coarsen(merged.exponent).on(merged.first, size) for h in days.values()])
        sums /= sums[:, 0].sum() / len(days)
        out.append(Series(place[list(days)], sums[:, 0], sums[:, 1]))
    return out[0], out[1], merged.edges


def decorrelation(samples: tuple[Series, ...], step: NDArray[np.float64]) -> float:
    """Time steps from one independent field to the next, >= 1.

    Parameters
    ----------
    samples : tuple of Series
    step : ndarray, shape (bins,)
        Extent of the bins.
    """
    anomalies = []
    for s in samples:
        F = np.cumsum(s.mass, axis=1) / s.mass.sum(axis=1, keepdims=True)
        anomalies.append((F - F.mean(axis=0)) * np.sqrt(step))
    start = sum(float((a**2).sum()) for a in anomalies)
    tau = 1.0
    for lag in range(1, max(s.place[-1] for s in samples) if start else 0):
        pairs = [lag_pairs(s.place, lag) for s in samples]
        products = (float((a[i] * a[j]).sum()) for a, (i, j) in zip(anomalies, pairs, strict=True))
        r = sum(products) / start
        if r <= 0:
            break
        tau += 2 * r
    return tau


def permuted(
    one: Series, other: Series, step: NDArray[np.float64], *, deals: int, block: int | None, seed: int
) -> Null:
    """Deal blocks of both samples anew.

    Parameters
    ----------
    one, other : Series
    step : ndarray, shape (bins,)
        Extent of the bins, in values or in ranks.
    deals : int, >= 1
    block : int, >= 1, optional [time steps]
        `FORGET` decorrelation times when not given, but four blocks in the shorter sample at least.
    seed : int

    Returns
    -------
    Null

    Raises
    ------
    ValueError
        If a sample holds fewer than four blocks: p could not fall below 0.05.
    """
    spans = [int(s.place[-1] - s.place[0]) + 1 for s in (one, other)]
    if block is None:
        forgotten = math.ceil(FORGET * decorrelation((one, other), step))
        block = max(min(forgotten, min(spans) // _FEWEST), 1)
    parts = [s.blocks(block) for s in (one, other)]
    counts = [p.shape[1] for p in parts]
    if min(counts) < _FEWEST:
        raise ValueError(
            f"blocks of {block} steps: {counts[0]} and {counts[1]} of them. Expected {_FEWEST} in each "
            "sample at least; give more days, a smaller block=, or null=0"
        )
    mass, offset = np.concatenate(parts, axis=1)
    first = np.arange(sum(counts)) < counts[0]
    rng = np.random.default_rng(seed)
    draws = []
    for start in range(0, deals, _BATCH):
        chosen = np.stack([rng.permutation(first) for _ in range(min(_BATCH, deals - start))])
        draws.append(_distances(chosen, mass, offset, step))
    return Null(np.concatenate(draws), float(_distances(first[None], mass, offset, step)[0]), block)


def _distances(
    chosen: NDArray[np.bool_],
    mass: NDArray[np.float64],
    offset: NDArray[np.float64],
    step: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Of the chosen blocks from the others, by deal, shape (n,)."""
    weight = mass.sum(axis=1)
    share = chosen / (chosen @ weight)[:, None] - ~chosen / (~chosen @ weight)[:, None]
    apart = share @ mass
    # int_bin (F - G) = width ((F - G)(left edge) + sum w (1 - u))
    inside = np.cumsum(apart, axis=1) - share @ offset
    return np.asarray(np.abs(inside) @ step)
