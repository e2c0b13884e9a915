"""Intervals of a pooled semivariogram, by resampling days in blocks.

Days of one field are not independent, so blocks of consecutive days are drawn with replacement, on a circle
so that each day is as likely, of ceil(n^(1/3)) days as the rate of Kuensch has it. The sums over pairs of
the days drawn are added and turned into semivariances, and a model is fitted, as for the days themselves.
Bounds are those of a 95 percent interval, further out for few blocks (`dayblocks.expanded`). They cover the
days' chance, not the error of a domain that is too small.

References
----------
Politis and Romano (1992), A circular block-resampling procedure for stationary data.

Kuensch (1989), The jackknife and the bootstrap for general stationary observations,
doi:10.1214/aos/1176347265.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xdownscale.diagnostics.dayblocks import expanded
from xdownscale.diagnostics.variogram.fit import fit_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.diagnostics.variogram.models import Model

__all__ = ["QUANTILES", "bands", "block_length", "draws"]

QUANTILES = (0.025, 0.975)


def block_length(days: int) -> int:
    """Days in a block.

    >>> block_length(90)
    5
    """
    return int(np.ceil(days ** (1 / 3) - 1e-9))


def draws(days: int, replicates: int, seed: int) -> NDArray[np.int64]:
    """How often each day is in each replicate.

    Parameters
    ----------
    days : int, >= 2
    replicates : int, >= 1
    seed : int

    Returns
    -------
    ndarray, shape (replicates, days)
        Each row adds up to `days`.

    Examples
    --------
    >>> draws(8, 3, 0).sum(axis=1)
    array([8, 8, 8])
    """
    length = block_length(days)
    count = -(-days // length)
    starts = np.random.default_rng(seed).integers(0, days, (replicates, count))
    drawn = (starts[:, :, None] + np.arange(length)).reshape(replicates, -1)[:, :days] % days
    return np.stack([np.bincount(row, minlength=days) for row in drawn])


def bands(
    sums: NDArray[np.float64], *, drawn: NDArray[np.int64], model: Model | None, reach: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of the 95 percent interval.

    Parameters
    ----------
    sums : ndarray, shape (days, 4, bins)
        Squares, weights, weights times distance, pairs.
    drawn : ndarray, shape (replicates, days)
    model : Model or None
    reach : float
        Longest lag.

    Returns
    -------
    semivariance : ndarray, shape (2, bins)
    parameters : ndarray, shape (2, 3 + 4 k)
        What `fit_bins` gives, and the sill last; empty without a model.
    """
    squares, weight, length, pairs = np.moveaxis(np.tensordot(drawn, sums, axes=1), 1, 0)
    full = np.where(pairs > 0, weight, np.nan)
    gamma, distance = np.maximum(squares, 0.0) / (2 * full), length / full
    days = drawn.shape[1]
    levels = expanded(days / min(block_length(days), days - 1))
    if model is None:
        return _percentiles(gamma, levels), np.empty((2, 0))
    fits = np.stack([
        fit_bins(h, g, n, model=model, reach=reach, quiet=True)
        for h, g, n in zip(distance, gamma, pairs, strict=True)
    ])  # fmt: skip
    sill = fits[:, 0] + fits[:, 3::4].sum(axis=1)
    return _percentiles(gamma, levels), _percentiles(np.column_stack([fits, sill]), levels)


def _percentiles(values: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the first axis, of the replicates that have a value; NaN where none has."""
    out = np.full((2, values.shape[1]), np.nan)
    known = np.isfinite(values).any(axis=0)
    out[:, known] = np.nanquantile(values[:, known], levels, axis=0)
    return out
