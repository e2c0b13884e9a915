"""Sums over pairs of times by lag: of each pixel, of all pixels together, or of the area mean.

For each lag k and each series, over the N pairs of valid times k steps apart, the sums of 1, x, y, x^2, y^2
and x y with x = x(t), y = x(t + k), both about the series' mean. They add up over pixels and members, by
area, and every correlation and every score of persistence follows from them. Lazy fields stay lazy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from xdownscale.cf.raster import raster
from xdownscale.diagnostics.timeline import lag_pairs, places

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from numpy.typing import NDArray

__all__ = ["Deseason", "Reduce", "Series", "moments", "series"]

Reduce = Literal["pixel", "pooled", "mean"]
Deseason = Literal["hour", "dayofyear", "month", "season"]
_MOMENTS = ("n", "x", "y", "xx", "yy", "xy")


@dataclass(frozen=True, eq=False)
class Series:
    """What is correlated: values in time, the places of the times, and the weights to pool by, if any."""

    values: xr.DataArray
    time: Hashable
    place: NDArray[np.int64]
    weights: xr.DataArray | None


def series(
    da: xr.DataArray, reduce: Reduce, deseason: Deseason | None, dims: Mapping[str, Hashable] | None
) -> Series:
    """Choose and prepare the series of a field; `acf` says what the options mean.

    Raises
    ------
    ValueError
        If there is no time, or its steps are uneven.
    """
    if reduce not in get_args(Reduce):
        raise ValueError(f"reduce is {reduce!r}: expected one of {list(get_args(Reduce))}")
    laid = raster(da, dims=dims)
    time = laid.axes.time
    if time is None:
        raise ValueError(f"no dimension is time; there are {list(da.dims)}: name it, dims={{'time': ...}}")
    values = da if reduce == "pixel" else laid.fields
    place = places(da[time])
    if deseason is not None:
        values = _anomalies(values, time, deseason)
    area = xr.DataArray(laid.area, dims=[laid.axes.lat, laid.axes.lon])
    if reduce == "mean":
        values = values.weighted(area).mean([laid.axes.lat, laid.axes.lon])
    if values.chunks is not None:
        space = {d: "auto" for d in values.dims if d != time}
        values = values.chunk({time: -1, **space})
    return Series(values, time, place, area if reduce == "pooled" else None)


def _anomalies(values: xr.DataArray, time: Hashable, deseason: Deseason) -> xr.DataArray:
    if deseason not in get_args(Deseason):
        raise ValueError(f"deseason is {deseason!r}: expected one of {list(get_args(Deseason))} or None")
    if values[time].dtype.kind not in "MO":
        raise ValueError(f"deseason={deseason!r} needs dates, and {time!r} is {values[time].dtype}")
    key = getattr(values[time].dt, deseason)
    names, counts = np.unique(key.values, return_counts=True)
    if counts.min() < 2:
        alone = names[counts.argmin()]
        raise ValueError(
            f"deseason={deseason!r}: {alone} has one time, whose anomaly would be 0; choose a longer "
            "period, such as 'month'"
        )
    grouped = values.groupby(key.rename(deseason))
    apart: xr.DataArray = grouped - grouped.mean([time])
    return apart.drop_vars(deseason).transpose(*values.dims)


def moments(of: Series, nlags: int, *, about_mean: bool = False) -> dict[str, xr.DataArray]:
    """Sums over pairs by lag.

    Parameters
    ----------
    of : Series
    nlags : int
    about_mean : bool
        Pooled sums stay about each pixel's own mean, instead of the mean of all.

    Returns
    -------
    dict of DataArray, dims (lag, ...)
        `n`, `x`, `y`, `xx`, `yy`, `xy`; of pooled ones `length`, the mean number of valid times of a pixel,
        too.

    Raises
    ------
    ValueError
        If nlags is out of range; infinite values, when they are read.
    """
    steps = int(of.place[-1]) if of.place.size else 0
    if not 1 <= nlags <= steps:
        raise ValueError(
            f"nlags is {nlags}: expected 1 to {steps}, the steps from first to last of {of.place.size} times"
        )
    *sums, mean = xr.apply_ufunc(
        _pair_sums,
        of.values,
        input_core_dims=[[of.time]],
        output_core_dims=[["lag"]] * len(_MOMENTS) + [[]],
        kwargs={"place": of.place, "nlags": nlags},
        dask="parallelized",
        output_dtypes=[np.float64] * (len(_MOMENTS) + 1),
        dask_gufunc_kwargs={"output_sizes": {"lag": nlags + 1}},
    )
    lag = xr.DataArray(np.arange(nlags + 1), dims="lag", attrs={"long_name": "lag", "units": "steps"})
    s = {k: v.transpose("lag", ...).assign_coords(lag=lag) for k, v in zip(_MOMENTS, sums, strict=True)}
    if of.weights is None:
        return s
    return _pooled(s, mean, of.weights, about_mean)


def _pooled(
    s: dict[str, xr.DataArray], mean: xr.DataArray, weights: xr.DataArray, about_mean: bool
) -> dict[str, xr.DataArray]:
    """Sums over pixels and members, about their own means or about the mean of all."""
    n, x, y = s["n"], s["x"], s["y"]
    w = weights * (n.isel(lag=0, drop=True) > 0)
    dims = mean.dims
    if not about_mean:
        count = n.isel(lag=0, drop=True)
        d = (mean - (mean * w * count).sum(dims) / (w * count).sum(dims)).fillna(0.0)
        s = {
            "n": n,
            "x": x + n * d,
            "y": y + n * d,
            "xx": s["xx"] + 2 * d * x + n * d**2,
            "yy": s["yy"] + 2 * d * y + n * d**2,
            "xy": s["xy"] + d * (x + y) + n * d**2,
        }
    length = (n.isel(lag=0, drop=True) * w).sum(dims) / w.sum(dims)
    return {**{k: (v * w).sum(dims) for k, v in s.items()}, "length": length}


def _pair_sums(x: NDArray[Any], *, place: NDArray[np.int64], nlags: int) -> tuple[NDArray[np.float64], ...]:
    """Sums by lag, shapes (..., nlags + 1), in the order of `_MOMENTS`, and the mean, shape (...)."""
    if np.isinf(x).any():
        raise ValueError(
            f"{int(np.isinf(x).sum())} values are infinite: mask them, da.where(np.isfinite(da))"
        )
    valid = np.isfinite(x)
    n = valid.sum(axis=-1)
    mean = np.where(valid, x, 0.0).sum(axis=-1, dtype=np.float64) / np.where(n > 0, n, 1)
    a = np.where(valid, x - mean[..., None], 0.0)
    # of constant values the mean may be some roundings away
    a[np.abs(a) <= (np.finfo(np.float64).eps * n * np.abs(mean))[..., None]] = 0.0
    out = np.empty((6, *x.shape[:-1], nlags + 1))
    for lag in range(nlags + 1):
        i, j = lag_pairs(place, lag)
        both = valid[..., i] & valid[..., j]
        p, q = a[..., i] * both, a[..., j] * both
        terms = (both, p, q, p * p, q * q, p * q)
        for k, term in enumerate(terms):
            out[k, ..., lag] = term.sum(axis=-1)
    return (*out, np.where(n > 0, mean, np.nan))
