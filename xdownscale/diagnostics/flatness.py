"""Whether a rank histogram is flat, as one question about all of its ranks.

Each rank has an interval of its own, and of seventeen intervals of 95 percent of a reliable ensemble one
leaves out the flat value more often than not. Asked together: of the weights c[b, k] by block of days b and
rank k, the deviations from flat are d[b, k] = c[b, k] - mean over k of c[b, k], and the statistic is the
largest over ranks of

    |sum over b of d[b, k]| / sqrt(sum over b of d[b, k]**2).

If ranks are flat, and blocks independent and as likely to deviate so as the other way, whole blocks may
change their sign: the share of all choices of signs with a statistic no smaller than the observed one is p.
This is exact for any number of blocks, however the ranks of a day depend on each other and its cells on each
other: the randomization test of Fisher (1935, The Design of Experiments, section 21), with the largest
statistic for all (Westfall and Young 1993, Resampling-Based Multiple Testing). Of n blocks p is at least
2**(1 - n).
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["flat_probability", "shares"]

_ALL = 12
_DEALS = 4095


def flat_probability(weights: NDArray[np.float64], seed: int = 0) -> float:
    """Probability that blocks of a flat histogram deviate together as much as these.

    Parameters
    ----------
    weights : ndarray, shape (blocks, ranks)
        How much of each block has each rank: counts, or areas.
    seed : int
        Of 4,095 random signs, for more than 12 blocks; of fewer, all are tried.

    Returns
    -------
    float
        0 to 1; NaN of less than two blocks that hold anything, or where they are flat to the last.

    Examples
    --------
    >>> flat_probability(np.array([[2.0, 1.0], [3.0, 1.0], [2.0, 1.0], [5.0, 2.0], [2.0, 1.0]]))
    0.0625
    >>> flat_probability(np.array([[2.0, 1.0], [1.0, 3.0], [2.0, 1.0], [1.0, 2.0], [2.0, 1.0]]))
    1.0
    """
    deviations = (weights - weights.mean(axis=1, keepdims=True))[weights.sum(axis=1) > 0]
    length = np.sqrt((deviations**2).sum(axis=0))
    blocks, apart = len(deviations), length > 1e-12 * weights.sum()
    if blocks < 2 or not apart.any():
        return float("nan")
    if blocks <= _ALL:
        signs = np.array(list(product([1.0, -1.0], repeat=blocks - 1)))
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(_DEALS, blocks - 1))
        signs = np.concatenate([np.ones((1, blocks - 1)), signs])
    signs = np.concatenate([np.ones((len(signs), 1)), signs], axis=1)
    largest = (np.abs(signs @ deviations[:, apart]) / length[apart]).max(axis=1)
    # the observed one is the first; sums in another order may differ by rounding
    return float((largest >= largest[0] * (1 - 1e-9)).mean())


def shares(ranks: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """How far rank histograms are from flat, and in which shape.

    Parameters
    ----------
    ranks : ndarray, shape (..., ranks)
        Counts, areas or frequencies.
    degree : int, 1 to ranks - 1

    Returns
    -------
    ndarray, shape (..., degree)
        Coefficients, beside a mean of 1, of the polynomials of degrees 1, 2, ... that are orthonormal over
        equal ranks: all 0 where ranks are flat. The first is above 0 where the truth lies high among members,
        the second where members are too narrow, the fourth where they are too narrow here and too wide there.

    Raises
    ------
    ValueError
        If there are not more ranks than the degree, or that is less than 1.

    Examples
    --------
    >>> shares(np.array([[8.0, 10.0, 12.0], [11.0, 7.0, 12.0]]), 1).round(3).tolist()
    [[0.163], [0.041]]
    >>> shares(np.array([11.0, 7.0, 12.0]), 2).round(3).tolist()
    [0.041, 0.212]
    """
    if not 1 <= degree < ranks.shape[-1]:
        raise ValueError(
            f"degree is {degree} of {ranks.shape[-1]} ranks: expected 1 to one less than the ranks"
        )
    steps = np.arange(ranks.shape[-1]) - (ranks.shape[-1] - 1) / 2
    shapes, signs = np.linalg.qr(steps[:, None] ** np.arange(degree + 1))
    shapes = np.sqrt(len(steps)) * shapes * np.sign(np.diag(signs))
    return np.asarray(ranks / ranks.mean(axis=-1, keepdims=True) @ shapes[:, 1:] / len(steps))
