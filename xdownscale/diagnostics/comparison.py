"""Samples compared: exactly in memory, by histograms where they are lazy or large, or day by day.

Each way gives the distances of the two samples, in total or by group, in units of one scale, which is that of
all values of both, each sample with half of the weight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from xdownscale.diagnostics.histogram import Histogram
from xdownscale.diagnostics.quantiles import (
    LEVELS,
    Distance,
    Distribution,
    bound,
    compare,
    condense,
    mixture,
    rank_bound,
    ranked,
)
from xdownscale.diagnostics.samples import Clean, Sample, Tally, tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["PROBABILITIES", "Found", "Normalize", "binned", "covariate_edges", "daily", "exactly"]

Normalize = Literal["minmax", "std", "iqr", "rank"]
_WORDS = ("da", "other")
PROBABILITIES = np.concatenate([[0.001, 0.005], np.arange(1, 100) / 100, [0.995, 0.999, 0.9999]])


@dataclass(frozen=True, eq=False)
class Found:
    """A distance.

    Attributes
    ----------
    distance : Distance
    bounds : (float, float)
        How far W1 and shape may be off.
    valid : (int, int)
        Values compared.
    quantiles : ndarray, shape (2, len(PROBABILITIES))
        Of either sample, before any scaling.
    """

    distance: Distance
    bounds: tuple[float, float]
    valid: tuple[int, int]
    quantiles: NDArray[np.float64]

    def scaled(self, scale: float, slack: float = 0.0) -> Found:
        """In units of a scale that may be off by `slack`."""
        d = self.distance.scaled(scale)
        if not slack:
            return replace(self, distance=d, bounds=(self.bounds[0] / scale, self.bounds[1] / scale))
        least = scale - slack if scale > slack else 0.0
        off = [
            (value * scale + b) / least - value if least else np.inf
            for value, b in zip((d.w1, d.shape), self.bounds, strict=True)
        ]
        return replace(self, distance=d, bounds=(float(off[0]), float(off[1])))


def exactly(
    samples: Sequence[Sample], normalize: Normalize | None, edges: NDArray[np.float64] | None
) -> tuple[list[Found], float]:
    """Distances of values in memory.

    Parameters
    ----------
    samples : pair of Sample
    normalize : {"minmax", "std", "iqr", "rank"}, optional
    edges : ndarray, shape (m + 1,), optional
        Of the bins of the covariate.

    Returns
    -------
    found : list of Found
        One, or one for each bin.
    scale : float

    Raises
    ------
    ValueError
        If a sample has infinite values, some that the transform is not defined for, or none at all, or there
        is nothing to normalise by.
    """
    cleans = [s.clean() for s in samples]
    for word, c in zip(_WORDS, cleans, strict=True):
        _check(word, c.infinite, c.undefined, c.values.size)
    if normalize in ("iqr", "rank"):
        x, y = (Distribution.of(c.values, c.weights) for c in cleans)
    else:
        x, y = condense(cleans[0].values, cleans[0].weights, cleans[1].values, cleans[1].weights)
    if normalize == "rank":
        x, y = ranked(x, y)
    scale = _checked(_spread(x, y, normalize), x)
    if edges is None:
        return [_found(x, y).scaled(scale)], scale
    pairs = zip(*(c.bins(edges) for c in cleans), strict=True)
    return [_of_values(*pair).scaled(scale) for pair in pairs], scale


def binned(tallies: Sequence[Tally], normalize: Normalize | None) -> tuple[list[Found], float]:
    """Distances of counted values, in total or for each bin of the covariate; as `exactly`."""
    for word, t in zip(_WORDS, tallies, strict=True):
        _check(word, t.infinite, t.undefined, t.groups[0].valid)
    (x, *xs), (y, *ys) = (t.groups for t in tallies)
    if normalize == "rank":
        return [_of_ranks(x, y)], 1.0
    scale, slack = _spread_of_bins(x, y, normalize)
    pairs = list(zip(xs, ys, strict=True)) or [(x, y)]
    return [_of_bins(a, b).scaled(scale, slack) for a, b in pairs], scale


def daily(samples: Sequence[Sample], normalize: Normalize | None) -> tuple[list[Found], float]:
    """Distances by time, each exact, a run of times in memory at once; as `exactly`."""
    found, pooled = [], [Tally((Histogram.empty(),), {}, 0, 0)] * 2
    for pair in _days(samples):
        found.append(_of_values(*pair))
        pooled = [
            t.merge(Tally((Histogram.count(c.values, c.weights),), {}, c.infinite, c.undefined))
            for t, c in zip(pooled, pair, strict=True)
        ]
    for word, t in zip(_WORDS, pooled, strict=True):
        _check(word, t.infinite, t.undefined, t.groups[0].valid)
    scale, slack = _spread_of_bins(pooled[0].groups[0], pooled[1].groups[0], normalize)
    return [f.scaled(scale, slack) for f in found], scale


def covariate_edges(sample: Sample, bins: int) -> NDArray[np.float64]:
    """Edges of quantile bins of a sample's covariate, each of equal weight.

    Parameters
    ----------
    sample : Sample
        With a covariate; ties may leave fewer bins.
    bins : int, >= 1

    Returns
    -------
    ndarray, shape (m + 1,), m <= bins

    Raises
    ------
    ValueError
        If it has no finite value.
    """
    given = sample.given
    if given is None:
        raise ValueError("the sample has no covariate")
    alone = Sample(given if sample.weights is None else given.broadcast_like(sample.weights), sample.weights)
    if alone.lazy:
        (counted,) = tally([alone])
        _check("given", counted.infinite, 0, counted.groups[0].valid)
        known = Distribution.from_histogram(counted.groups[0])
    else:
        clean = alone.clean()
        _check("given", clean.infinite, 0, clean.values.size)
        known = Distribution.of(clean.values, clean.weights)
    inner = known.quantile(np.arange(1, bins) / bins)
    edges = np.unique(np.concatenate([[known.low], inner, [known.high]]))
    return edges if edges.size > 1 else np.repeat(edges, 2)


def _found(x: Distribution, y: Distribution) -> Found:
    quantiles = np.stack([x.quantile(PROBABILITIES), y.quantile(PROBABILITIES)])
    return Found(compare(x, y), (0.0, 0.0), (x.valid, y.valid), quantiles)


def _of_values(x: Clean, y: Clean) -> Found:
    if not (x.values.size and y.values.size):
        return _nothing(x.values.size, y.values.size)
    return _found(*condense(x.values, x.weights, y.values, y.weights))


def _of_bins(x: Histogram, y: Histogram) -> Found:
    if not (x.valid and y.valid):
        return _nothing(x.valid, y.valid)
    found = _found(Distribution.from_histogram(x), Distribution.from_histogram(y))
    return replace(found, bounds=bound(x, y))


def _of_ranks(x: Histogram, y: Histogram) -> Found:
    exponent = max(x.exponent, y.exponent)
    pair = [Distribution.from_histogram(h.coarsen(exponent), centred=True) for h in (x, y)]
    off = rank_bound(*pair)
    # a shift of the means by as much moves the shape as well
    return replace(_found(*ranked(*pair)), bounds=(off, 2 * off))


def _nothing(x: int, y: int) -> Found:
    nan = float("nan")
    parts = (nan,) * (len(LEVELS) - 1)
    return Found(Distance(nan, nan, nan, parts), (nan, nan), (x, y), np.full((2, PROBABILITIES.size), nan))


def _spread(x: Distribution, y: Distribution, normalize: Normalize | None) -> float:
    if normalize == "minmax":
        return max(x.high, y.high) - min(x.low, y.low)
    if normalize == "std":
        return float(np.sqrt((x.variance + y.variance) / 2 + (x.mean - y.mean) ** 2 / 4))
    if normalize == "iqr":
        low, high = mixture(x, y).quantile([0.25, 0.75])
        return float(high - low)
    return 1.0


def _spread_of_bins(x: Histogram, y: Histogram, normalize: Normalize | None) -> tuple[float, float]:
    """The scale, and how far it may be off."""
    if normalize is None:
        return 1.0, 0.0
    first = Distribution.from_histogram(x)
    scale = _checked(_spread(first, Distribution.from_histogram(y), normalize), first)
    # either quartile lies in the bin whose mean stands for it
    return scale, 2 * max(x.width, y.width) if normalize == "iqr" else 0.0


def _checked(scale: float, x: Distribution) -> float:
    if not scale > 0:
        raise ValueError(
            f"the spread to normalise by is {scale:g} (values from {x.low:g} to {x.high:g}): use "
            "normalize=None, or look for a constant field"
        )
    return scale


def _check(word: str, infinite: int, undefined: int, valid: int) -> None:
    if infinite:
        raise ValueError(
            f"{word} holds {infinite} infinite values: mask them, {word}.where(np.isfinite({word}))"
        )
    if undefined:
        raise ValueError(
            f"the transform is not defined for {undefined} values of {word}, such as zeros of log10: mask "
            f"them, {word}.where({word} > 0), or lift all by a floor, "
            "transform=xdownscale.scaling.Log(0.0, np.log(10), floor=1e-3), which is log10(x + floor)"
        )
    if not valid:
        raise ValueError(f"{word} has no valid value of positive weight: nothing to compare")


def _days(samples: Sequence[Sample]) -> Iterator[tuple[Clean, Clean]]:
    """Both samples' values, time by time."""
    names = [s.time for s in samples]
    known = [s.fields.indexes.get(s.time) if s.time is not None else None for s in samples]
    if known[0] is None or known[1] is None or not known[0].equals(known[1]):
        sizes = [None if n is None else s.fields.sizes[n] for n, s in zip(names, samples, strict=True)]
        raise ValueError(
            f"per='time' needs the same times in both, found {sizes[0]} and {sizes[1]}: choose those "
            "they share, da, other = xr.align(da, other, join='inner', exclude=('lat', 'lon'))"
        )
    chunked = [s.fields.chunksizes.get(n) for n, s in zip(names, samples, strict=True)]
    start = 0
    for run in chunked[0] or chunked[1] or (known[0].size,):
        held = [s.run(slice(start, start + run)) for s in samples]
        for day in range(run):
            x, y = (s.clean(**{str(s.time): [day]}) for s in held)
            yield x, y
        start += run
