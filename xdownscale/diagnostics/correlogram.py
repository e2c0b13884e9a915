"""How fields depend on their own past: autocorrelation, partial autocorrelation, persistence by lag.

With anomalies a(t) about a series' mean over its n valid times, and missing ones zero,

    S(k)   = sum_t a(t) a(t + k)          over the N(k) pairs of valid times k steps apart
    rho(k) = S(k) / S(0)                  biased, the default: a correlation sequence always
    rho(k) = (S(k) / N(k)) / (S(0) / n)   adjusted: gaps do not weaken it

The partial autocorrelation follows from rho by the Durbin-Levinson recursion. Steps are those of the time
coordinate, so that a missing day is a gap and never closed up. Three series are told apart, and the choice is
explicit: of each pixel; pooled, S and N summed over pixels by area and over members; and of the area mean.

Bands are where the estimates of 95 % of series without correlation at that lag lie (Bartlett's for rho, with
the lags before taken as found; 1.96 / sqrt(n) for the partial ones), of one series: pooled ones are narrower.

References
----------
Bartlett, On the theoretical specification and sampling properties of autocorrelated time-series (1946),
doi:10.2307/2983611. Durbin, The fitting of time-series models (1960), doi:10.2307/1401322.
Thiebaux and Zwiers, The interpretation and estimation of effective sample size (1984),
doi:10.1175/1520-0450(1984)023<0800:TIAEOE>2.0.CO;2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xdownscale.diagnostics.lags import Deseason, Reduce, Series, moments, series

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from numpy.typing import NDArray

__all__ = ["acf", "effective_sample_size", "lag_curves", "pacf"]

_NORMAL_95 = 1.959963984540054


def acf(
    da: xr.DataArray,
    nlags: int,
    *,
    reduce: Reduce = "pixel",
    deseason: Deseason | None = None,
    adjusted: bool = False,
    dims: Mapping[str, Hashable] | None = None,
) -> xr.Dataset:
    """Autocorrelation by lag.

    Parameters
    ----------
    da : DataArray, dims (time, lat, lon) and others in any order
        On an even step of time, days missing or not; lazy or not.
    nlags : int, 1 to the steps from the first time to the last
    reduce : {"pixel", "pooled", "mean"}
        Of each pixel and member; of all together; or of the area mean, for each member.
    deseason : {"hour", "dayofyear", "month", "season"}, optional
        Subtract each pixel's mean over times alike in this before.
    adjusted : bool
        Divide by the pairs there are. Gaps weaken biased estimates, to about the share of valid times.
    dims : mapping, optional
        `lat`, `lon`, `time` to names of dimensions, where discovery cannot tell.

    Returns
    -------
    Dataset
        `acf`, `band` (half of the interval that holds 95 % of estimates without correlation) and `pairs`
        N(k), by `lag` [steps] and what is not reduced; lazy where da is. NaN for series that are constant or
        empty.

    Raises
    ------
    ValueError
        If there is no time, its steps are uneven, or nlags is too large; infinite values, when they are read.

    Examples
    --------
    >>> time = np.array(["2021-06-01", "2021-06-02", "2021-06-03", "2021-06-05"], "M8[ns]")
    >>> cells = {"time": time, "lat": [0.0, 1.0], "lon": [0.0, 1.0]}
    >>> wave = xr.DataArray(np.array([1.0, -1, 1, -1])[:, None, None] * np.ones((1, 2, 2)), cells)
    >>> found = acf(wave, 2, reduce="pooled")
    >>> found.acf.values, found.pairs.values
    (array([ 1. , -0.5,  0. ]), array([16.,  8.,  8.]))
    """
    rho, n, pairs = _correlations(series(da, reduce, deseason, dims), nlags, adjusted)
    steps = (rho**2).cumsum("lag", skipna=False).shift(lag=1, fill_value=1.0)
    # the lags before k, without lag 0
    band = _NORMAL_95 * np.sqrt((2 * steps - 1).where(rho.lag > 0, 0.0) / n)
    return _told(xr.Dataset({"acf": rho, "band": band, "pairs": pairs}), reduce, deseason, adjusted)


def pacf(
    da: xr.DataArray,
    nlags: int,
    *,
    reduce: Reduce = "pixel",
    deseason: Deseason | None = None,
    adjusted: bool = False,
    dims: Mapping[str, Hashable] | None = None,
) -> xr.Dataset:
    """Partial autocorrelation by lag, by the Durbin-Levinson recursion.

    Parameters
    ----------
    da, nlags, reduce, deseason, adjusted, dims
        As of `acf`.

    Returns
    -------
    Dataset
        `pacf` and `band` by `lag`, `pairs`; as of `acf`.

    Raises
    ------
    ValueError
        As of `acf`.

    Examples
    --------
    >>> time = np.arange("2021-06-01", "2021-06-07", dtype="M8[D]").astype("M8[ns]")
    >>> cells = {"time": time, "lat": [0.0], "lon": [0.0]}
    >>> ramp = xr.DataArray(np.arange(6.0).reshape(6, 1, 1), cells)
    >>> pacf(ramp, 2).pacf.values.ravel().round(4)
    array([ 1.    ,  0.5   , -0.2571])
    """
    rho, n, pairs = _correlations(series(da, reduce, deseason, dims), nlags, adjusted)
    partial = xr.apply_ufunc(
        _durbin_levinson,
        rho,
        input_core_dims=[["lag"]],
        output_core_dims=[["lag"]],
        dask="parallelized",
        output_dtypes=[np.float64],
    ).transpose(*rho.dims)
    band = _NORMAL_95 * np.sqrt((rho.lag > 0) / n)
    return _told(xr.Dataset({"pacf": partial, "band": band, "pairs": pairs}), reduce, deseason, adjusted)


def effective_sample_size(
    da: xr.DataArray,
    *,
    nlags: int | None = None,
    reduce: Reduce = "pixel",
    deseason: Deseason | None = None,
    dims: Mapping[str, Hashable] | None = None,
) -> xr.Dataset:
    """Number of independent times that tell as much of the mean.

    n / (1 + 2 sum_k (1 - k / n) rho(k)), adjusted rho, summed to the first that is not positive, and so never
    more than n.

    Parameters
    ----------
    da, reduce, deseason, dims
        As of `acf`.
    nlags : int, optional
        Longest lag looked at; half of the steps when not given.

    Returns
    -------
    Dataset
        `effective_sample_size`, `decorrelation_time` [steps] = n over it, and `valid` = n; NaN for series
        that are constant.

    Raises
    ------
    ValueError
        As of `acf`.

    Examples
    --------
    >>> time = np.arange("2021-06-01", "2021-06-09", dtype="M8[D]").astype("M8[ns]")
    >>> cells = {"time": time, "lat": [0.0], "lon": [0.0]}
    >>> there_and_back = xr.DataArray(np.array([1.0, -1] * 4).reshape(8, 1, 1), cells)
    >>> effective_sample_size(there_and_back).effective_sample_size.item()
    8.0
    """
    one = series(da, reduce, deseason, dims)
    longest = max(1, int(one.place[-1]) // 2) if nlags is None else nlags
    rho, n, _ = _correlations(one, longest, adjusted=True)
    later = rho.isel(lag=slice(1, None))
    until = (later > 0).astype(int).cumprod("lag")
    tau = 1 + 2 * (later * (1 - later.lag / n) * until).sum("lag", skipna=False)
    found = xr.Dataset({"effective_sample_size": n / tau, "decorrelation_time": tau, "valid": n})
    for name, units in (("effective_sample_size", "1"), ("decorrelation_time", "steps"), ("valid", "1")):
        found[name].attrs["units"] = units
    return found.assign_attrs(reduce=reduce, deseason=str(deseason))


def lag_curves(
    da: xr.DataArray,
    nlags: int,
    *,
    reduce: Reduce = "pooled",
    deseason: Deseason | None = None,
    dims: Mapping[str, Hashable] | None = None,
) -> xr.Dataset:
    """How well a field foretells itself: the scores of persistence by lag.

    The prediction of x(t + k) is x(t), over all pairs of valid times k steps apart.

    Parameters
    ----------
    da, nlags, reduce, deseason, dims
        As of `acf`; pooled scores are those of all cells together, about one common mean, as `r2` has them.

    Returns
    -------
    Dataset
        `rmse` [units of da], `r2` = 1 - SSE / SST, `r2_corr` the squared correlation, and `pairs`, by `lag`;
        NaN where the later values do not vary.

    Raises
    ------
    ValueError
        As of `acf`.

    Examples
    --------
    >>> time = np.arange("2021-06-01", "2021-06-07", dtype="M8[D]").astype("M8[ns]")
    >>> cells = {"time": time, "lat": [0.0], "lon": [0.0]}
    >>> ramp = xr.DataArray(np.arange(6.0).reshape(6, 1, 1), cells)
    >>> found = lag_curves(ramp, 2)  # foretold perfectly but for a bias
    >>> found.rmse.values, found.r2.values, found.r2_corr.values
    (array([0., 1., 2.]), array([ 1. ,  0.5, -2.2]), array([1., 1., 1.]))
    """
    one = series(da, reduce, deseason, dims)
    s = moments(one, nlags)
    n = s["n"].where(s["n"] > 0)
    sse = s["xx"] + s["yy"] - 2 * s["xy"]
    sxx, syy = (s[k * 2] - s[k] ** 2 / n for k in ("x", "y"))
    sxy = s["xy"] - s["x"] * s["y"] / n
    tiny = 1e-12 * s["yy"]
    sxx, syy = sxx.where(sxx > tiny), syy.where(syy > tiny)
    scores = {
        "rmse": np.sqrt(sse.clip(0.0) / n),
        "r2": 1 - sse / syy,
        "r2_corr": sxy**2 / (sxx * syy),
        "pairs": s["n"],
    }
    found = _told(xr.Dataset(scores), reduce, deseason, adjusted=True)
    found["rmse"].attrs["units"] = str(da.attrs.get("units", "1"))
    return found


def _correlations(of: Series, nlags: int, adjusted: bool) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Autocorrelations, numbers of valid times, and of pairs."""
    s = moments(of, nlags, about_mean=True)
    S, N = s["xy"], s["n"]
    n = N.isel(lag=0, drop=True)
    start = S.isel(lag=0, drop=True)
    start = start.where(start > 0)
    rho = (S / N.where(N > 0)) / (start / n) if adjusted else S / start
    length = n if of.weights is None else s["length"]
    return rho, length.where(length > 0), N


def _durbin_levinson(rho: NDArray[np.float64]) -> NDArray[np.float64]:
    """Partial autocorrelations, shape (..., nlags + 1), 1 at lag 0."""
    out = np.ones_like(rho)
    phi = np.zeros((*rho.shape[:-1], 0))
    left = np.ones(rho.shape[:-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        for k in range(1, rho.shape[-1]):
            last = (rho[..., k] - (phi * rho[..., k - 1 : 0 : -1]).sum(axis=-1)) / left
            phi = np.concatenate([phi - last[..., None] * phi[..., ::-1], last[..., None]], axis=-1)
            left = left * (1 - last**2)
            out[..., k] = last
    out[..., 0] = rho[..., 0]
    return out


def _told(found: xr.Dataset, reduce: str, deseason: str | None, adjusted: bool) -> xr.Dataset:
    for variable in found.data_vars.values():
        variable.attrs["units"] = "1"
    estimate = "adjusted" if adjusted else "biased"
    return found.assign_attrs(reduce=reduce, deseason=str(deseason), estimate=estimate)
