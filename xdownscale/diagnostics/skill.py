"""Scores of an ensemble or a field against the truth, on arrays, area-weighted and NaN-aware.

With members x_1..x_M, truth y and weights w that sum to one over the valid cells:

    CRPS (fair)   sum w ( mean_i |x_i - y| - sum_ij |x_i - x_j| / (2 M (M - 1)) )
    spread/skill  sqrt( (M + 1)/M * sum w var_i(x_i) / sum w (mean_i x_i - y)^2 )
    R2            1 - SSE / SST,  r2 the squared correlation

The fair CRPS does not reward a small ensemble for being sharp (Ferro 2014, doi:10.1002/qj.2270); the factor
of spread/skill is Fortin et al.'s (2014, doi:10.1175/JHM-D-14-0008.1), variances averaged before the root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["bias", "cell_crps", "crps", "mae", "r2", "r2_corr", "rank_histogram", "rmse", "spread_skill"]


def crps(ensemble: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None) -> float:
    """Fair continuous ranked probability score.

    Parameters
    ----------
    ensemble : ndarray, shape (M, ...)
        M >= 2 members.
    truth : ndarray, shape (...)
    weights : ndarray, broadcastable to truth, optional
        Cell areas; equal when not given.

    Returns
    -------
    float
        In the units of the data; smaller is better, and for a single certain value it is the MAE.

    Raises
    ------
    ValueError
        If there are fewer than two members.

    Examples
    --------
    >>> crps(np.array([[0.0], [2.0]]), np.array([1.0]))
    0.0
    """
    return _average(cell_crps(ensemble, truth), weights)


def cell_crps(ensemble: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Fair CRPS of each cell, by sorting: M log M in the members.

    Parameters
    ----------
    ensemble : ndarray, shape (M, ...)
        M >= 2 members.
    truth : ndarray, shape (...)

    Returns
    -------
    ndarray, shape (...)
        May be negative in a cell; NaN where a value is missing.

    Raises
    ------
    ValueError
        If there are fewer than two members.

    Examples
    --------
    >>> cell_crps(np.array([[0.0], [2.0]]), np.array([3.0]))
    array([1.])
    """
    m = len(ensemble)
    if m < 2:
        raise ValueError(f"the fair CRPS needs at least 2 members, found {m}; use `mae` for one field")
    x = np.sort(np.asarray(ensemble, dtype=np.float64), axis=0)
    rank = (2 * np.arange(1, m + 1) - m - 1).reshape(-1, *([1] * (x.ndim - 1)))
    apart = (rank * x).sum(axis=0) / (m * (m - 1))
    return np.asarray(np.abs(x - truth).mean(axis=0) - apart)


def spread_skill(ensemble: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None) -> float:
    """Ratio of the ensemble's spread to the error of its mean; 1 when members and truth are alike.

    Parameters
    ----------
    ensemble : ndarray, shape (M, ...)
    truth : ndarray, shape (...)
    weights : ndarray, broadcastable to truth, optional
        Cell areas; equal when not given.

    Returns
    -------
    float

    Examples
    --------
    >>> round(spread_skill(np.array([[0.0], [2.0]]), np.array([2.0])), 3)  # sqrt(3/2 * 2 / 1)
    1.732
    """
    m = len(ensemble)
    x = np.asarray(ensemble, dtype=np.float64)
    variance = _average(x.var(axis=0, ddof=1), weights)
    error = _average((x.mean(axis=0) - truth) ** 2, weights)
    return float(np.sqrt((m + 1) / m * variance / error))


def mae(field: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None) -> float:
    """Mean absolute error, in the units of the data.

    Parameters
    ----------
    field, truth : ndarray, of one shape
        NaN where missing.
    weights : ndarray, broadcastable to truth, optional
        Cell areas; equal when not given.

    Returns
    -------
    float

    Examples
    --------
    >>> mae(np.array([1.0, 3.0, np.nan]), np.array([2.0, 2.0, 9.0]))
    1.0
    """
    return _average(np.abs(np.asarray(field, dtype=np.float64) - truth), weights)


def rmse(field: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None) -> float:
    """Root mean square error, in the units of the data.

    Parameters
    ----------
    field, truth : ndarray, of one shape
        NaN where missing.
    weights : ndarray, broadcastable to truth, optional
        Cell areas; equal when not given.

    Returns
    -------
    float

    Examples
    --------
    >>> rmse(np.array([2.0, 6.0]), np.array([2.0, 2.0]), weights=np.array([3.0, 1.0]))
    2.0
    """
    return float(np.sqrt(_average((np.asarray(field, dtype=np.float64) - truth) ** 2, weights)))


def bias(field: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None) -> float:
    """Mean of field minus truth, in the units of the data.

    Parameters
    ----------
    field, truth : ndarray, of one shape
        NaN where missing.
    weights : ndarray, broadcastable to truth, optional
        Cell areas; equal when not given.

    Returns
    -------
    float

    Examples
    --------
    >>> bias(np.array([1.0, 2.0]), np.array([2.0, 4.0]))
    -1.5
    """
    return _average(np.asarray(field, dtype=np.float64) - truth, weights)


def r2(field: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None) -> float:
    """Coefficient of determination, 1 - SSE / SST.

    Parameters
    ----------
    field, truth : ndarray, of one shape
        NaN where missing.
    weights : ndarray, broadcastable to truth, optional
        Cell areas; equal when not given.

    Returns
    -------
    float
        At most 1; 0 is as good as the truth's mean, and there is no lower end.

    Examples
    --------
    >>> r2(np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0]))
    -3.0
    """
    x, y = np.asarray(field, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    both = np.where(np.isfinite(x), y, np.nan)
    total = _average((both - _average(both, weights)) ** 2, weights)
    return 1.0 - _average((x - y) ** 2, weights) / total


def r2_corr(field: NDArray[Any], truth: NDArray[Any], weights: NDArray[Any] | None = None) -> float:
    """Squared Pearson correlation.

    Parameters
    ----------
    field, truth : ndarray, of one shape
        NaN where missing.
    weights : ndarray, broadcastable to truth, optional
        Cell areas; equal when not given.

    Returns
    -------
    float
        0 to 1; blind to bias, scale and sign.

    Examples
    --------
    >>> r2_corr(np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0]))
    1.0
    """
    x, y = np.asarray(field, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(both, x, np.nan), np.where(both, y, np.nan)
    x, y = x - _average(x, weights), y - _average(y, weights)
    return _average(x * y, weights) ** 2 / (_average(x * x, weights) * _average(y * y, weights))


def rank_histogram(
    ensemble: NDArray[Any],
    truth: NDArray[Any],
    weights: NDArray[Any] | None = None,
    *,
    seed: int | Sequence[int] = 0,
) -> NDArray[np.float64]:
    """Relative frequency of the truth's rank among the members.

    Parameters
    ----------
    ensemble : ndarray, shape (M, ...)
    truth : ndarray, shape (...)
    weights : ndarray, broadcastable to truth, optional
        Cell areas; equal when not given.
    seed : int or sequence of int
        Ties are broken at random.

    Returns
    -------
    ndarray, shape (M + 1,)
        Sums to one; 1 / (M + 1) everywhere when members and truth are alike.

    Examples
    --------
    >>> rank_histogram(np.array([[0.0, 0.0], [2.0, 2.0]]), np.array([1.0, 3.0]))  # between, above
    array([0. , 0.5, 0.5])
    """
    below = (ensemble < truth).sum(axis=0)
    ties = (ensemble == truth).sum(axis=0)
    rank = below + np.random.default_rng(seed).integers(0, ties + 1)
    known = np.isfinite(truth) & np.isfinite(ensemble).all(axis=0)
    w = np.broadcast_to(1.0 if weights is None else weights, known.shape)[known]
    counts = np.bincount(rank[known], weights=w, minlength=len(ensemble) + 1)
    return np.asarray(counts / (w.sum() or 1.0))


def _average(values: NDArray[Any], weights: NDArray[Any] | None) -> float:
    valid = np.isfinite(values)
    w = valid if weights is None else np.broadcast_to(weights, values.shape) * valid
    return float((np.where(valid, values, 0.0) * w).sum() / w.sum())
