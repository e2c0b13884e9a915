"""Resampling whole blocks of days, for intervals that respect the memory between days.

Days are grouped into consecutive calendar blocks from the first one; a replicate draws as many blocks as
there are, with replacement, and counts how often each day is in it. Sums that were kept day by day are then
weighed by these counts, and every score is formed anew. Gaps in the calendar stay gaps: a block then holds
fewer days.

Of n blocks, resampling sees only (n - 1)/n of the variance, and knows it no better than n values can: the
central 95 percent of the replicates of four blocks hold the truth four times in five. Bounds are taken
further out, as far as Student's interval of a mean would be: the expanded percentiles of Hesterberg (2015,
What Teachers Should Know About the Bootstrap, doi:10.1080/00031305.2015.1089789). Of fewer than six blocks
they are the lowest and the highest replicate, and cannot lie further: four blocks hold it in 87 percent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm, t

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["blocks_of", "draws", "expanded"]

_LEVEL = 0.95


def blocks_of(times: NDArray[Any], block: float) -> NDArray[np.int64]:
    """Number of the block in which each time falls.

    Parameters
    ----------
    times : ndarray, shape (n,), datetime64 or any other
        Times that are no datetime64 count as consecutive days.
    block : float, > 0 [days]

    Returns
    -------
    ndarray of int, shape (n,)
        0, 1, ... without gaps.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> blocks_of(np.array(["2005-06-01", "2005-06-02", "2005-06-30"], dtype="datetime64[s]"), 5).tolist()
    [0, 0, 1]
    """
    if not (np.isfinite(block) and block > 0):
        raise ValueError(f"block is {block}: expected a number of days > 0")
    if times.dtype.kind == "M":
        days = (times - times.min()) / np.timedelta64(1, "D")
    else:
        days = np.arange(times.size, dtype=np.float64)
    return np.asarray(np.unique(np.floor(days / block + 1e-9), return_inverse=True)[1], dtype=np.int64)


def draws(blocks: int, replicates: int, seed: int) -> NDArray[np.float64]:
    """How often each block is in each replicate.

    Parameters
    ----------
    blocks : int, >= 2
    replicates : int, >= 1
    seed : int

    Returns
    -------
    ndarray, shape (replicates, blocks)
        Rows sum to `blocks`.

    Raises
    ------
    ValueError
        If there are fewer than two blocks.
    """
    if blocks < 2:
        raise ValueError(
            f"intervals need at least 2 blocks of days, found {blocks}: give more days, or smaller blocks"
        )
    rng = np.random.default_rng(seed)
    return rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=replicates).astype(np.float64)


def expanded(blocks: float) -> NDArray[np.float64]:
    """Which quantiles of the replicates bound a 95 percent interval.

    Parameters
    ----------
    blocks : float, > 1
        How many there were to draw from; a fraction where the last is cut.

    Returns
    -------
    ndarray, shape (2,)
        Near 0.025 and 0.975 for many blocks, further out for few.

    Examples
    --------
    >>> expanded(1000).round(4), expanded(10).round(4)
    (array([0.0248, 0.9752]), array([0.0086, 0.9914]))
    """
    further = np.sqrt(blocks / (blocks - 1)) * t.ppf((1 + _LEVEL) / 2, blocks - 1)
    return np.asarray(norm.cdf([-further, further]))
