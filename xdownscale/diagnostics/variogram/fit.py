"""Least squares of a model to the bins of a semivariogram, by scikit-gstat.

The semivariance at the mean distance of each bin's pairs is weighted by N / h^2, as in R gstat; bins without
pairs do not count. The fit is made in units of the largest lag and semivariance, for scikit-gstat's optimiser
steps by absolute amounts, and from several starts, for the optimum is often not the only one. A range may
reach twice the longest lag; one that ends there, or below half the nearest bin, is no estimate.
"""

from __future__ import annotations

import warnings
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from xdownscale.diagnostics.variogram.models import SHAPES, Model, curve, exact_variogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fit_bins"]

_LONGEST = 2.0  # range, in longest lags
_HIGHEST = 10.0  # partial sill, in largest semivariances
_STARTS = (0.25, 0.6, 1.2)
_BOUND = 1e-3
_QUIET = Lock()  # filters of warnings belong to the process, and dask fits in threads


def fit_bins(
    distance: NDArray[np.float64],
    semivariance: NDArray[np.float64],
    pairs: NDArray[np.float64],
    *,
    model: Model,
    reach: float,
    quiet: bool = False,
) -> NDArray[np.float64]:
    """Fit a model to bins.

    Parameters
    ----------
    distance, semivariance, pairs : ndarray, shape (n,)
        Of the bins; those without pairs are dropped.
    model : Model
    reach : float, > 0
        Longest lag.
    quiet : bool
        Do not warn where there is no fit.

    Returns
    -------
    ndarray, shape (2 + 4 k,)
        Nugget, root mean square of the residuals, then range, partial sill, shape and whether the range is
        at a bound (0 or 1) of each structure. NaN where the bins allow no fit: a constant field, or fewer
        bins than parameters.
    """
    full = (pairs > 0) & (distance > 0) & np.isfinite(semivariance)
    h, gamma, n = distance[full], semivariance[full], pairs[full]
    none = np.full(2 + 4 * len(model.structures), np.nan)
    why = _unfit(h, gamma, model)
    if why:
        if not quiet:
            warnings.warn(f"no model was fitted: {why}", UserWarning, stacklevel=2)
        return none
    cof = _least_squares(h / h.max(), gamma / gamma.max(), n, model, reach / h.max())
    if cof is None:
        if not quiet:
            warnings.warn("no model was fitted: the fit did not converge", UserWarning, stacklevel=2)
        return none
    return _rated(cof, h, gamma, model, reach)


def _unfit(h: NDArray[np.float64], gamma: NDArray[np.float64], model: Model) -> str:
    if h.size == 0:
        return "there are no pairs of valid cells within the lags"
    if gamma.max() <= 0:
        return "the field is constant"
    if h.size < model.size:
        return f"{h.size} bins with pairs, {model.size} parameters of {model.name!r}"
    return ""


def _least_squares(
    h: NDArray[np.float64], gamma: NDArray[np.float64], n: NDArray[np.float64], model: Model, reach: float
) -> NDArray[np.float64] | None:
    """Parameters of the best of several fits, in units of h and gamma."""
    sigma = h / np.sqrt(n)
    sigma = sigma / sigma.mean()
    slope = (gamma[1] - gamma[0]) / (h[1] - h[0])
    nugget = float(np.clip(gamma[0] - slope * h[0], 0.02, 0.9))
    low, high = _limits(model, h.min(), reach)
    best, least = None, np.inf
    for start in _starts(model, reach, nugget):
        cof = _fit_once(
            h, gamma, sigma, model, np.clip(start, low * (1 + 1e-6), high * (1 - 1e-6)), (low, high)
        )
        if cof is None:
            continue
        cost = float((((curve(model, h, cof) - gamma) / sigma) ** 2).sum())
        if cost < least:
            best, least = cof, cost
    return best


def _fit_once(
    h: NDArray[np.float64],
    gamma: NDArray[np.float64],
    sigma: NDArray[np.float64],
    model: Model,
    start: NDArray[np.float64],
    bounds: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float64] | None:
    variogram = exact_variogram()(h, gamma, np.ones_like(h), model.name, start, False)
    tight = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12, "max_nfev": 2000}
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            variogram.fit(sigma=sigma, bounds=bounds, p0=start, **tight)
        except (RuntimeError, ValueError, FloatingPointError):
            return None
    cof = np.asarray(variogram.cof, dtype=np.float64)
    return cof if np.isfinite(cof).all() else None


def _rated(
    cof: NDArray[np.float64],
    h: NDArray[np.float64],
    gamma: NDArray[np.float64],
    model: Model,
    reach: float,
) -> NDArray[np.float64]:
    """The fit in the units of the field, with its error and ranges at their bounds."""
    structures = model.unpack(cof) * [h.max(), gamma.max(), 1.0]
    nugget = cof[-1] * gamma.max()
    low, high = h.min() / 2, _LONGEST * reach
    span, sill = structures[:, 0], structures[:, 1]
    at_bound = (span <= low * (1 + _BOUND)) | (span >= high * (1 - _BOUND)) | (sill <= 1e-6 * gamma.max())
    residual = curve(model, h, model.pack(structures, nugget)) - gamma
    rmse = np.sqrt((residual**2).mean())
    return np.concatenate([[nugget, rmse], np.column_stack([structures, at_bound]).ravel()])


def _limits(model: Model, nearest: float, reach: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper bounds of the parameters, semivariances at most 1."""
    low, high = np.zeros((2, len(model.structures), 3))
    for k, name in enumerate(model.structures):
        shape = SHAPES.get(name, (np.nan, np.nan))
        low[k] = nearest / 2, 0.0, shape[0]
        high[k] = _LONGEST * reach, _HIGHEST, shape[1]
    return model.pack(low, 0.0), model.pack(high, 1.0)


def _starts(model: Model, reach: float, nugget: float) -> list[NDArray[np.float64]]:
    """First guesses, with ranges side by side where there are several structures."""
    count = len(model.structures)
    guesses = []
    for share in _STARTS:
        guess = np.full((count, 3), np.nan)
        for k, name in enumerate(model.structures):
            guess[k, :2] = share * reach * (k + 1) / count, (1.0 - nugget) / count
            guess[k, 2] = 1.0 if name in SHAPES else np.nan
        guesses.append(model.pack(guess, nugget))
    return guesses
