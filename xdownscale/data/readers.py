"""MERRA-2 and G5NR files, as labelled data that can be downscaled.

MERRA-2's `tavg1_2d_aer_Nx` is a file a day of 24 hourly means, with time as minutes since that day's 00:30:
the same integers in every file. Each file's time is therefore decoded by its own epoch before files are put
together. G5NR's `inst30mn_2d_aer1_Nx` is a file per half-hourly snapshot, with lower-case names where it
comes through a data server. Nothing is assumed of file names, and attributes are completed where CF asks for
them.

Files are put together by their stamps, whatever their order; a stamp that occurs twice counts once. A daily
mean is the plain mean of a complete day, missing where any part is, stamped 12:00 with `time_bnds`.
Coordinates stay in the file's order and convention. Fill values that were never decoded (1e15) are masked.

Not done here: no login, no download, no regridding. `earthaccess.open(...)` gives file-like objects, which
are taken as they are.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.data.days import Rows, daily_means, gathered
from xdownscale.data.sources import AXES, alike, on_one_grid, opened, tidied

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from xdownscale.data.sources import Part

__all__ = ["open_g5nr", "open_merra2"]

_STANDARD = {
    "DUEXTTAU": "atmosphere_optical_thickness_due_to_dust_ambient_aerosol_particles",
    "TOTEXTTAU": "atmosphere_optical_thickness_due_to_ambient_aerosol_particles",
}
_LIMITS = ("_FillValue", "missing_value", "fmissing_value", "vmax", "vmin", "valid_range")


def open_merra2(
    paths: Any,
    *,
    variables: str | Sequence[str] | None = None,
    daily: bool = False,
    chunks: Any = None,
    steps_per_day: int = 24,
) -> xr.Dataset:
    """Read MERRA-2 aerosol files (`tavg1_2d_aer_Nx`), whole or as a subsetter cut them.

    Parameters
    ----------
    paths : path, glob, file-like object, Dataset, or a sequence of these
    variables : str or sequence of str, optional
        All that have latitude and longitude by default.
    daily : bool
        Means of complete days instead of hours; days that are not complete are left out, with a warning.
    chunks : int, dict or "auto", optional
        As in `xarray.open_dataset`: the result is lazy. By default it is read into memory.
    steps_per_day : int
        Evenly spaced times that make a day complete.

    Returns
    -------
    Dataset, dims (time, lat, lon)
        Ascending in time; latitude and longitude as in the files; `radiation_wavelength` where a variable is
        an optical thickness.

    Raises
    ------
    FileNotFoundError
        If a path does not exist or a glob matches nothing.
    ValueError
        If a variable is not there, files differ in their grid, a time cannot be told, or no day is complete.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> hours = np.datetime64("2021-06-06T00:30", "ns") + np.arange(24) * np.timedelta64(1, "h")
    >>> values = np.ones((24, 1, 2), "float32")
    >>> values[7, 0, 1] = 1e15  # a fill that was never decoded: the cell has no mean
    >>> at = {"time": hours, "lat": [30.0], "lon": [45.0, 45.625]}
    >>> ds = open_merra2(xr.DataArray(values, at, name="DUEXTTAU").to_dataset(), daily=True)
    >>> ds.DUEXTTAU.values, ds.time.dt.hour.item()
    (array([[[ 1., nan]]], dtype=float32), 12)
    """
    return _read(paths, variables, chunks, steps_per_day, daily=daily)


def open_g5nr(
    paths: Any,
    *,
    variables: str | Sequence[str] | None = None,
    daily: bool = False,
    chunks: Any = None,
    steps_per_day: int = 48,
) -> xr.Dataset:
    """Read G5NR aerosol snapshots (`inst30mn_2d_aer1_Nx`), from files or a data server.

    Lower-case names of variables become upper-case ones. A snapshot whose time has no units takes it from the
    name of its file. The run's first day, 2005-05-15, has 5 of 48 snapshots and is never a daily mean.

    Parameters
    ----------
    paths : path, glob, address, file-like object, Dataset, or a sequence of these
    variables : str or sequence of str, optional
        In upper case; all that have latitude and longitude by default.
    daily : bool
        Means of complete days; days that are not complete are left out, with a warning.
    chunks : int, dict or "auto", optional
        As in `xarray.open_dataset`: the result is lazy. By default it is read into memory.
    steps_per_day : int
        Evenly spaced snapshots that make a day complete; 8 for a three-hourly selection.

    Returns
    -------
    Dataset, dims (time, lat, lon)

    Raises
    ------
    FileNotFoundError
        If a path does not exist or a glob matches nothing.
    ValueError
        If a variable is not there, files differ in their grid, a time cannot be told, or no day is complete.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> at = {"time": np.datetime64("2005-05-15T21:30", "ns"), "lat": [30.0], "lon": [45.0]}
    >>> snapshot = xr.DataArray(np.array([[1e15]]), at, ("lat", "lon"), "duexttau").to_dataset()
    >>> ds = open_g5nr(snapshot)
    >>> dict(ds.DUEXTTAU.sizes), ds.DUEXTTAU.item()
    ({'time': 1, 'lat': 1, 'lon': 1}, nan)
    """
    return _read(paths, variables, chunks, steps_per_day, daily=daily)


def _read(paths: Any, variables: Any, chunks: Any, steps_per_day: int, *, daily: bool) -> xr.Dataset:
    if steps_per_day < 1:
        raise ValueError(f"steps_per_day is {steps_per_day}: expected at least 1")
    wanted = [variables] if isinstance(variables, str) else variables
    with ExitStack() as stack:
        parts = [tidied(part, wanted) for part in opened(paths, chunks, stack)]
        parts = on_one_grid(alike(parts))
        rows = Rows.of(parts)
        dataset = daily_means(parts, rows, steps_per_day) if daily else gathered(parts, rows)
        dataset = _labelled(dataset, parts)
        if chunks is None and not any(part.data.chunks for part in parts):
            return dataset.load()
        stack.pop_all()
        return dataset


def _labelled(data: xr.Dataset, parts: Sequence[Part]) -> xr.Dataset:
    """CF names and units; attributes of the whole that all sources agree on; no encoding of one file."""
    data = data.drop_encoding()
    shared = parts[0].data.attrs
    for part in parts[1:]:
        shared = {k: v for k, v in shared.items() if k in part.data.attrs and _same(part.data.attrs[k], v)}
    data.attrs = dict(shared)
    for name, attrs in AXES.items():
        data[name].attrs |= attrs
    data["time"].attrs |= {"standard_name": "time", "axis": "T"}
    for field in data.data_vars.values():
        field.attrs = _variable_attrs(str(field.name), field.attrs)
    if set(_STANDARD) & set(data.data_vars):
        wavelength = {"standard_name": "radiation_wavelength", "long_name": "wavelength", "units": "nm"}
        data = data.assign_coords(radiation_wavelength=((), 550.0, wavelength))
    for stamp in {"time", "time_bnds"} & set(data.coords):
        data[stamp].encoding = {"units": "minutes since 1970-01-01", "dtype": "int64"}
    return data


def _same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def _variable_attrs(name: str, attrs: dict[str, Any]) -> dict[str, Any]:
    attrs = {k: v for k, v in attrs.items() if k not in _LIMITS}
    if " " in str(attrs.get("standard_name", "")):
        del attrs["standard_name"]  # the archives repeat the long name there, which is no CF name
    if name in _STANDARD:
        attrs |= {"standard_name": _STANDARD[name], "units": "1"}
    return attrs
