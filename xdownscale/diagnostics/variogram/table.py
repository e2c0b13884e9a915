"""From sums over pairs to the Dataset of a semivariogram: bins, fit, intervals and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdownscale.diagnostics.variogram.bootstrap import QUANTILES, bands, block_length, draws
from xdownscale.diagnostics.variogram.fit import fit_bins

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from xdownscale.diagnostics.variogram.lags import Lags
    from xdownscale.diagnostics.variogram.models import Model

__all__ = ["Pooling", "tabulate"]

_USUAL = ("time", "realization")


@dataclass(frozen=True, eq=False)
class Pooling:
    """Which fields are put together.

    Attributes
    ----------
    kept : DataArray
        Without values of interest: its dimensions and coordinates stay in the result.
    pooled : tuple of hashable
    days : int
        Groups of fields along time that are resampled; 1 without intervals.
    labels : ndarray of int, shape of the fields without space
        Group of each field; kept dimensions first, days last.
    replicates, seed : int
        Of the bootstrap.
    """

    kept: xr.DataArray
    pooled: tuple[Hashable, ...]
    days: int
    labels: NDArray[np.intp]
    replicates: int
    seed: int

    @classmethod
    def of(
        cls,
        fields: xr.DataArray,
        space: Sequence[Hashable],
        pool: str | Sequence[str],
        intervals: int,
        seed: int,
        dims: Mapping[str, Hashable] | None,
    ) -> Pooling:
        """Group fields; ValueError if `pool` names no dimension, or there are no days to resample."""
        samples = [d for d in fields.dims if d not in space]
        time = _time(fields, samples, dims)
        names = (pool,) if isinstance(pool, str) else tuple(pool)
        unknown = [n for n in names if n not in samples and n not in _USUAL]
        if unknown:
            raise ValueError(f"pool names {unknown}: expected some of {[str(d) for d in samples]}")
        pooled = tuple(d for d in samples if d in names or (d == time and "time" in names))
        kept = [d for d in samples if d not in pooled]
        places = dict(zip(samples, np.indices([fields.sizes[d] for d in samples]), strict=True))
        shape = tuple(fields.sizes[d] for d in samples)
        days, day = 1, np.zeros(shape, dtype=np.intp)
        if _replicates(intervals):
            days, own = _days(fields, time, pooled)
            day = own[places[time]]
        label = np.zeros(shape, dtype=np.intp)
        for d in kept:
            label = label * fields.sizes[d] + places[d]
        corner = fields.isel(dict.fromkeys((*pooled, *space), 0), drop=True)
        bare = corner.drop_vars([n for n, c in corner.coords.items() if not c.dims])
        return cls(bare, pooled, days, label * days + day, int(intervals), seed)


def tabulate(
    sums: Any, pooling: Pooling, lags: Lags, model: Model | None, source: xr.DataArray, units: str
) -> xr.Dataset:
    """Lay sums out as a Dataset.

    Parameters
    ----------
    sums : ndarray or dask array, shape (groups, 4, directions, bins)
    pooling : Pooling
    lags : Lags
    model : Model or None
    source : DataArray
        Whose name and units are told.
    units : str
        Of the lags.

    Returns
    -------
    Dataset
    """
    kept = pooling.kept
    dims = (*kept.dims, "_day", "_sum", "direction", "lag")
    table = xr.DataArray(sums.reshape(*kept.shape, pooling.days, *sums.shape[1:]), dims=dims)
    if not lags.azimuths:
        table = table.isel(direction=0)
    bins = _bins(table.sum("_day"))
    out = bins if model is None else bins.merge(_fit(bins, model, lags.edges[-1]))
    if pooling.replicates:
        out = out.merge(_intervals(table, pooling, model, lags.edges[-1]))
    out = out.transpose(..., "lag").assign_coords({**kept.coords, **_coordinates(lags, units)})
    out.attrs = _told(pooling, lags, model, source)
    return _described(out, source, units)


def _bins(total: xr.DataArray) -> xr.Dataset:
    squares, weight, length, pairs = (total.isel(_sum=k) for k in range(4))
    full = weight.where(pairs > 0)
    return xr.Dataset({
        "semivariance": np.maximum(squares, 0.0) / (2 * full),  # a constant field has rounding errors at most
        "pairs": pairs.astype(np.int64),
        "distance": length / full,
    })  # fmt: skip


def _fit(bins: xr.Dataset, model: Model, reach: float) -> xr.Dataset:
    found = xr.apply_ufunc(
        partial(fit_bins, model=model, reach=reach),
        bins.distance,
        bins.semivariance,
        bins.pairs,
        input_core_dims=[["lag"]] * 3,
        output_core_dims=[["_parameter"]],
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"_parameter": 2 + 4 * len(model.structures)}},
    )
    nugget, rmse = (found.isel(_parameter=k) for k in (0, 1))
    span, partial_sill, shape, bound = (_structures(found, k, model) for k in range(4))
    total = partial_sill.sum("structure", skipna=False) if "structure" in partial_sill.dims else partial_sill
    fit = xr.Dataset({
        "nugget": nugget,
        "partial_sill": partial_sill,
        "sill": nugget + total,
        "range": span,
        "range_at_bound": bound > 0.5,
        "rmse": rmse,
    })  # fmt: skip
    if {"matern", "stable"} & set(model.structures):
        fit["shape"] = shape
    return fit


def _structures(found: xr.DataArray, which: int, model: Model) -> xr.DataArray:
    """One column of the structures' parameters; a dimension where there are several."""
    if len(model.structures) == 1:
        return found.isel(_parameter=2 + which)
    places = slice(2 + which, 2 + 4 * len(model.structures), 4)
    part = found.isel(_parameter=places).rename(_parameter="structure")
    return part.assign_coords(structure=list(model.structures))


def _intervals(table: xr.DataArray, pooling: Pooling, model: Model | None, reach: float) -> xr.Dataset:
    drawn = draws(pooling.days, pooling.replicates, pooling.seed)
    count = 0 if model is None else 3 + 4 * len(model.structures)
    gamma, found = xr.apply_ufunc(
        partial(bands, drawn=drawn, model=model, reach=reach),
        table,
        input_core_dims=[["_day", "_sum", "lag"]],
        output_core_dims=[["quantile", "lag"], ["quantile", "_parameter"]],
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64, np.float64],
        dask_gufunc_kwargs={"output_sizes": {"quantile": 2, "_parameter": count}},
    )
    out = {"semivariance_interval": gamma}
    if model is not None:
        out |= {
            "nugget_interval": found.isel(_parameter=0),
            "partial_sill_interval": _structures(found, 1, model),
            "sill_interval": found.isel(_parameter=-1),
            "range_interval": _structures(found, 0, model),
        }
    return xr.Dataset(out, coords={"quantile": list(QUANTILES)})


def _coordinates(lags: Lags, units: str) -> dict[str, Any]:
    edges = np.asarray(lags.edges)
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    told = {"long_name": "middle of the lag bin", "units": units, "bounds": "lag_bounds"}
    out: dict[str, Any] = {
        "lag": ("lag", bounds.mean(axis=1), told),
        "lag_bounds": (("lag", "bnds"), bounds, {"long_name": "edges of the lag bin", "units": units}),
    }
    if lags.azimuths:
        told = {"long_name": "azimuth, clockwise from north", "units": "degree"}
        out["direction"] = ("direction", list(lags.azimuths), told)
    return out


def _told(pooling: Pooling, lags: Lags, model: Model | None, source: xr.DataArray) -> dict[str, Any]:
    name = source.attrs.get("long_name", source.name)
    told: dict[str, Any] = {
        "title": "semivariogram" if name is None else f"semivariogram of {name}",
        "model": "none" if model is None else model.name,
        "pooled_over": " ".join(str(d) for d in pooling.pooled) or "none",
        "references": "doi:10.1016/S0098-3004(96)00026-X, doi:10.5194/gmd-15-2505-2022",
    }
    if lags.azimuths:
        told["sector"] = f"{lags.half_width:g} degrees to each side of the direction"
    if pooling.replicates:
        told["intervals"] = (
            f"95 %, {pooling.replicates} replicates of blocks of {block_length(pooling.days)} of "
            f"{pooling.days} days, seed {pooling.seed}"
        )
    return told


def _described(out: xr.Dataset, source: xr.DataArray, units: str) -> xr.Dataset:
    """Names and units of the variables."""
    own = str(source.attrs.get("units", ""))
    squared = own if own in ("", "1") else f"({own})2"
    semivariance = {
        "semivariance": "semivariance",
        "nugget": "nugget of the fitted model",
        "partial_sill": "partial sill of the fitted model",
        "sill": "sill of the fitted model, nugget and partial sills together",
        "rmse": "root mean square of the residuals of the fit",
    }
    lengths = {
        "distance": "mean distance of the pairs",
        "range": "effective range of the fitted model, as scikit-gstat defines it",
    }
    for names, unit in ((semivariance, squared), (lengths, units)):
        for name, told in names.items():
            if name in out:
                out[name].attrs = {"long_name": told, "units": unit}
            if f"{name}_interval" in out:
                out[f"{name}_interval"].attrs = {"long_name": f"95 % interval of the {told}", "units": unit}
    out["pairs"].attrs = {"long_name": "number of pairs", "units": "1"}
    if "range_at_bound" in out:
        out["range_at_bound"].attrs = {"long_name": "whether the range is at a bound of the fit: no estimate"}
    if "shape" in out:
        out["shape"].attrs = {"long_name": "smoothness (matern) or exponent (stable)", "units": "1"}
    return out


def _time(
    fields: xr.DataArray, samples: Sequence[Hashable], dims: Mapping[str, Hashable] | None
) -> Hashable | None:
    told = (dims or {}).get("time")
    if told is not None:
        return told
    for d in samples:
        dated = d in fields.coords and (fields[d].dtype.kind == "M" or hasattr(fields.indexes[d], "calendar"))
        if d == "time" or dated:
            return d
    return None


def _replicates(intervals: Any) -> bool:
    if isinstance(intervals, bool) or not isinstance(intervals, int | np.integer) or intervals < 0:
        raise ValueError(f"intervals is {intervals!r}: expected a number of replicates, 0 for none")
    return bool(intervals > 0)


def _days(
    fields: xr.DataArray, time: Hashable | None, pooled: Sequence[Hashable]
) -> tuple[int, NDArray[np.intp]]:
    """Number of days and the day of each time; times without dates are days themselves."""
    if time is None or time not in pooled or fields.sizes[time] < 2:
        raise ValueError("intervals resample days: expected a pooled time of at least 2 days")
    dated = time in fields.coords and fields[time].dtype.kind in "MO"
    days = fields[time].dt.floor("D").values if dated else np.arange(fields.sizes[time])
    found, own = np.unique(days, return_inverse=True)
    if found.size < 2:
        raise ValueError("intervals resample days: expected a pooled time of at least 2 days, found 1")
    return found.size, own
