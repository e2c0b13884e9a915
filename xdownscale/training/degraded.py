"""A coarse field as a reanalysis would give it: smoother than a block mean, and a little biased."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["degraded", "smoothed"]

_SMOOTHEST = 1.5
_BIAS = 0.1


def smoothed(values: NDArray[Any], known: NDArray[np.bool_], sigma: float) -> NDArray[Any]:
    """Means of what is known, weighted by a Gaussian.

    Parameters
    ----------
    values : ndarray, shape (..., ny, nx)
    known : ndarray of bool, of the same shape
    sigma : float, >= 0 [cells]
        Beyond the border its cells are repeated.

    Returns
    -------
    ndarray
        Of the type of `values`; meaningful where something is known nearby.

    Examples
    --------
    >>> field = np.array([[2.0, np.nan, 2.0]])
    >>> smoothed(field, np.isfinite(field), 1.0)  # no darker beside a gap
    array([[2., 2., 2.]])
    """
    along = (*(0.0,) * (values.ndim - 2), sigma, sigma)
    filled = np.where(known, values, 0.0).astype(values.dtype, copy=False)
    smooth = gaussian_filter(filled, along, mode="nearest")
    whole = known.all(axis=(-2, -1), keepdims=True)
    share = gaussian_filter(known.astype(values.dtype), along, mode="nearest")
    found: NDArray[Any] = smooth / np.where(whole, values.dtype.type(1.0), np.maximum(share, 1e-6))
    return found


def degraded(
    values: NDArray[np.float32], known: NDArray[np.bool_], rng: np.random.Generator, share: float
) -> NDArray[np.float32]:
    """A history of days as it is, or, in a share of cases, smoothed and biased.

    Parameters
    ----------
    values, known : ndarray, shape (days, ny, nx)
    rng : Generator
    share : float, 0-1

    Returns
    -------
    ndarray
        Smoothed by a Gaussian of 0 to 1.5 cells, times exp(b), b a smooth field of deviation 0.1.
    """
    if rng.random() >= share:
        return values
    smooth = smoothed(values, known, rng.uniform(0.0, _SMOOTHEST))
    bias = gaussian_filter(rng.standard_normal(values.shape[1:]), 8.0, mode="nearest")
    bias *= _BIAS / max(float(bias.std()), 1e-12)
    return np.where(known, smooth * np.exp(bias), values).astype(np.float32)
