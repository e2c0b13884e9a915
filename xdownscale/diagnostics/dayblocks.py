"""Resampling whole blocks of days, for intervals that respect the memory between days.

Days are grouped into consecutive calendar blocks from the first one; a replicate draws as many blocks as
there are, with replacement, and counts how often each day is in it. Sums that were kept day by day are then
weighed by these counts, and every score is formed anew. Gaps in the calendar stay gaps: a block then holds
fewer days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["blocks_of", "draws"]


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
