"""Make the coarse mean of a fine field equal the coarse input, without seams at coarse cell edges.

With A the conservative coarsening and U_c the (bi)linear interpolation of coarse values, the field x is
multiplied by U_c(y / A x) until max |A x - y| / max(y, tiny) is below a tolerance. U_c is continuous across
coarse cell edges, so no edge appears; each pass contracts the error, the roughest coarse pattern most
slowly (by about 1/4 in each direction kept). Where the field is all but empty over a coarse cell that is not,
there is nothing to multiply: the coarse value, interpolated, is added first. What it is not: a projection in
any norm. It is the multiplicative correction with the smoothest factor found, and it keeps x >= 0.

A quantity that may be negative has no ratio: there U_c(y - A x) is added instead, and errors are relative to
the standard deviation of y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.grid import Separable

__all__ = ["Conserved", "conserve"]

_TINY = 1e-6
_STRONGEST = 4.0
_EMPTY = 1e-2


@dataclass(frozen=True, eq=False)
class Conserved:
    """A corrected field and how far it was from conserving.

    Attributes
    ----------
    field : ndarray, shape (NY, NX), float64
    before, after : float
        Largest relative error of the coarse mean, before and after the correction.
    passes : int
    """

    field: NDArray[np.float64]
    before: float
    after: float
    passes: int


def conserve(
    field: NDArray[Any],
    coarse: NDArray[Any],
    coarsening: Separable,
    smooth: Separable,
    *,
    tolerance: float = 1e-6,
    passes: int = 200,
    signed: bool = False,
) -> Conserved:
    """Multiply a fine field by a smooth factor until its coarse mean is the coarse field.

    Parameters
    ----------
    field : ndarray, shape (NY, NX), >= 0
    coarse : ndarray, shape (ny, nx), >= 0
        NaN where there is nothing to conserve.
    coarsening, smooth : Separable
        A (fine to coarse) and U_c (coarse to fine, continuous).
    tolerance : float
        Relative; the target of the iteration.
    passes : int
        Most passes; a field that cannot reach the tolerance keeps the best it had.
    signed : bool
        Add the correction, for quantities that may be negative.

    Returns
    -------
    Conserved

    Examples
    --------
    >>> from xdownscale.grid import G5NR, MERRA2, coarsening, refined, upsampling
    >>> grid = MERRA2.window((200, 4), (300, 4))
    >>> fine = refined(grid, G5NR)
    >>> y = np.full((4, 4), 0.5)
    >>> operators = coarsening(fine, grid), upsampling(grid, fine, "linear")
    >>> round(float(conserve(np.ones(fine.shape), y, *operators).field.max()), 6)
    0.5
    """
    known = np.isfinite(coarse)
    target = np.where(known, coarse, 1.0)
    x = np.asarray(field, dtype=np.float64)
    mean = _mean(x, known, coarsening)
    size = np.full_like(target, max(float(target[known].std()), _TINY)) if signed else target
    before = _error(mean, target, size)
    empty = known & (mean < _EMPTY * target)
    if passes and empty.any() and not signed:
        x = x + smooth(np.where(empty, target, 0.0))
    best, least = x, np.inf
    for number in range(passes + 1):
        mean = _mean(x, known, coarsening)
        error = _error(mean, target, size)
        if error < least:
            best, least = x, error
        if error <= tolerance or number == passes:
            break
        if signed:
            x = x + smooth(target - mean)
            continue
        ratio = np.clip((target + 1e-12) / (mean + 1e-12), 1 / _STRONGEST, _STRONGEST)
        factor = smooth(ratio)
        x = np.multiply(x, factor, out=factor)
    return Conserved(best, before, least, number)


def _mean(x: NDArray[np.float64], known: NDArray[np.bool_], coarsening: Separable) -> NDArray[np.float64]:
    return np.where(known, coarsening(x), 1.0)


def _error(mean: NDArray[np.float64], target: NDArray[np.float64], size: NDArray[np.float64]) -> float:
    return float(np.max(np.abs(mean - target) / np.maximum(size, _TINY), initial=0.0))
