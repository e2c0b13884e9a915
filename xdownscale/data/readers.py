"""Readers of MERRA-2 and G5NR files: every file's own epoch, fill values, CF names, daily means.

MERRA-2 stamps each file with `minutes since <that day> 00:30`: the same integers in every file. Files are
therefore decoded one by one and joined by their instants, never before. G5NR comes as one half-hourly
snapshot a file, or through OPeNDAP with lower-case names. Files are found by paths and globs, never by
building a stream number from a year; nothing logs in anywhere. A daily mean is the plain mean of a whole day,
stamped at its centre; days that are not whole are dropped, and said.
"""

from __future__ import annotations

import os
import warnings
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["open_g5nr", "open_merra2"]

Source = Any
_STANDARD = {
    "DUEXTTAU": "atmosphere_optical_thickness_due_to_dust_ambient_aerosol_particles",
    "TOTEXTTAU": "atmosphere_optical_thickness_due_to_ambient_aerosol_particles",
}
_FILL = 1e14
_DROPPED = (
    "fmissing_value",
    "missing_value",
    "vmax",
    "vmin",
    "valid_range",
    "_FillValue",
    "fullnamepath",
    "origname",
)


def open_merra2(
    paths: Source,
    *,
    variables: Iterable[str] | None = None,
    daily: bool = False,
    chunks: Mapping[str, int] | None = None,
) -> xr.Dataset:
    """Open MERRA-2 aerosol files (`tavg1_2d_aer_Nx`, whole or subset).

    Parameters
    ----------
    paths : path, glob, file-like object, Dataset, or a list of these
        In any order; all streams (100 to 401) and `.SUB.nc`.
    variables : iterable of str, optional
        All data variables by default.
    daily : bool
        Means of whole days (24 hours), stamped 12:00 UTC.
    chunks : mapping, optional
        Lazy on dask; read into memory when not given.

    Returns
    -------
    Dataset, dims (time, lat, lon)
        Fill values masked, times decoded and ascending, standard names and the wavelength of 550 nm set.

    Raises
    ------
    FileNotFoundError
        No file matches.
    ValueError
        A variable is not in the files.

    Warns
    -----
    UserWarning
        Time stamps occur twice (the first is kept), or days are not whole (left out of the daily means).
    """
    return _open(paths, variables, 24 if daily else None, chunks)


def open_g5nr(
    paths: Source,
    *,
    variables: Iterable[str] | None = None,
    daily: bool = False,
    chunks: Mapping[str, int] | None = None,
) -> xr.Dataset:
    """Open G5NR aerosol snapshots (`inst30mn_2d_aer1_Nx`), from files or OPeNDAP.

    Parameters
    ----------
    paths, variables, daily, chunks
        As `open_merra2`; a whole day has 48 snapshots, so that the run's first day (5 of 48) gives no daily
        mean.

    Returns
    -------
    Dataset, dims (time, lat, lon)
        Lower-case names of the data server are restored.

    Raises
    ------
    FileNotFoundError, ValueError
        As `open_merra2`.
    """
    return _open(paths, variables, 48 if daily else None, chunks)


def _open(
    paths: Source, variables: Iterable[str] | None, day: int | None, chunks: Mapping[str, int] | None
) -> xr.Dataset:
    names = None if variables is None else list(variables)
    parts = [_tidied(_decoded(source, chunks), names) for source in _found(paths)]
    times = np.concatenate([np.atleast_1d(part["time"].values) for part in parts])
    joined = (
        parts[0]
        if len(parts) == 1
        else xr.concat(
            parts,
            "time",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="override",
        )
    )
    joined = _ascending(joined, times)
    if chunks is None:
        joined = joined.load()
    return joined if day is None else _daily(joined, day)


def _found(paths: Source) -> list[Any]:
    """Sources one by one; globs are expanded, and a pattern that matches nothing is an error."""
    if isinstance(paths, (list, tuple)):
        return [source for path in paths for source in _found(path)]
    if not isinstance(paths, (str, os.PathLike)):
        return [paths]
    text = os.fspath(paths)
    if "://" in text or Path(text).exists():
        return [text]
    matches = sorted(glob(text))  # noqa: PTH207 - patterns may be absolute
    if not matches:
        raise FileNotFoundError(f"no file matches {text!r}: check the folder and the pattern")
    return list(matches)


def _decoded(source: Any, chunks: Mapping[str, int] | None) -> xr.Dataset:
    """One file by its own epoch."""
    if isinstance(source, xr.Dataset):
        undecoded = source["time"].dtype.kind in "iuf" if "time" in source else False
        return xr.decode_cf(source) if undecoded else source
    return xr.open_dataset(source, chunks=None if chunks is None else dict(chunks), decode_timedelta=False)


def _tidied(data: xr.Dataset, names: list[str] | None) -> xr.Dataset:
    """Upper-case variables, lat / lon / time, masked fills, CF attributes."""
    data = data.rename(
        {n: str(n).upper() for n in data.data_vars if str(n).islower() and str(n).isidentifier()}
    )
    axes = {"latitude": "lat", "longitude": "lon", "Latitude": "lat", "Longitude": "lon"}
    data = data.rename({a: b for a, b in axes.items() if a in data.dims or a in data.coords})
    if "time" in data.coords and "time" not in data.dims:
        data = data.expand_dims("time")
    chosen = names or [str(n) for n, v in data.data_vars.items() if {"lat", "lon"} <= set(v.dims)]
    missing = sorted(set(chosen) - set(map(str, data.data_vars)))
    if missing:
        raise ValueError(
            f"the files hold {sorted(map(str, data.data_vars))}, not {missing}: choose among those"
        )
    data = data[chosen]
    for name in chosen:
        data[name] = _labelled(data[name], name)
    wavelength = {"standard_name": "radiation_wavelength", "long_name": "wavelength", "units": "nm"}
    return data.assign_coords(radiation_wavelength=((), 550.0, wavelength))


def _labelled(field: xr.DataArray, name: str) -> xr.DataArray:
    attrs = {k: v for k, v in field.attrs.items() if k not in _DROPPED}
    if field.dtype.kind == "f":
        field = field.where(np.abs(field) < _FILL)
    if name in _STANDARD:
        attrs["standard_name"] = _STANDARD[name]
    elif " " in str(attrs.get("standard_name", "")):
        del attrs["standard_name"]
    return (
        field.assign_attrs(attrs)
        if attrs.get("units") is not None
        else field.assign_attrs({**attrs, "units": "1"})
    )


def _ascending(data: xr.Dataset, times: np.ndarray[Any, Any]) -> xr.Dataset:
    """Times in order, each once."""
    _, first = np.unique(times, return_index=True)
    if len(first) < len(times):
        count = len(times) - len(first)
        warnings.warn(
            f"{count} time stamps occur twice: the first of each is kept", UserWarning, stacklevel=4
        )
    return data if len(first) == len(times) and (np.diff(first) > 0).all() else data.isel(time=first)


def _daily(data: xr.Dataset, whole: int) -> xr.Dataset:
    """Means of the whole days, stamped at the centre, with bounds."""
    dates = data["time"].values.astype("datetime64[D]")
    days, counts = np.unique(dates, return_counts=True)
    partial = [str(d) for d in days[counts != whole]]
    if partial:
        warnings.warn(
            f"{len(partial)} days do not have {whole} times and are left out: {', '.join(partial[:5])}",
            UserWarning,
            stacklevel=4,
        )
    kept = days[counts == whole]
    if not kept.size:
        raise ValueError(f"no day has all of its {whole} times: expected whole days, or use daily=False")
    data = data.isel(time=np.isin(dates, kept))
    midnight = kept.astype("datetime64[ns]")
    shape = (len(kept), whole)
    mean = data.coarsen(time=whole).construct(time=("day", "hour")).mean("hour", keep_attrs=True)
    mean = mean.drop_vars("time", errors="ignore").rename(day="time")
    if mean.sizes["time"] != shape[0]:
        raise ValueError(f"expected {shape[0]} days, found {mean.sizes['time']}: the times are not ascending")
    stamps = (
        "time",
        midnight + np.timedelta64(12, "h"),
        {"standard_name": "time", "axis": "T", "bounds": "time_bnds"},
    )
    mean = mean.assign_coords(time=stamps)
    for name in list(mean.data_vars):
        mean[name].attrs["cell_methods"] = "time: mean"
        mean[name] = mean[name].astype("float32")
    bounds = np.stack([midnight, midnight + np.timedelta64(1, "D")], axis=1)
    return mean.assign_coords(time_bnds=(("time", "nv"), bounds))
