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

import os
import re
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["open_g5nr", "open_merra2"]

_STANDARD = {
    "DUEXTTAU": "atmosphere_optical_thickness_due_to_dust_ambient_aerosol_particles",
    "TOTEXTTAU": "atmosphere_optical_thickness_due_to_ambient_aerosol_particles",
}
_AXES = {
    "lat": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    "lon": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
}
_FILL = 1e14
_LIMITS = ("_FillValue", "missing_value", "fmissing_value", "vmax", "vmin", "valid_range")
_LONG = {"latitude": "lat", "longitude": "lon"}
_SNAPSHOT = re.compile(r"\.(\d{4})(\d{2})(\d{2})_(\d{2})(\d{2})z\.")
_YEAR = re.compile(r"(?<= since )\d{1,3}(?=-)")
_DAY = np.timedelta64(1, "D")


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


@dataclass(frozen=True, eq=False)
class _Part:
    """One source, tidied, and what errors call it."""

    data: xr.Dataset
    label: str


def _read(paths: Any, variables: Any, chunks: Any, steps_per_day: int, *, daily: bool) -> xr.Dataset:
    if steps_per_day < 1:
        raise ValueError(f"steps_per_day is {steps_per_day}: expected at least 1")
    wanted = [variables] if isinstance(variables, str) else variables
    with ExitStack() as stack:
        parts = [_tidied(part, wanted) for part in _opened(paths, chunks, stack)]
        parts = _on_one_grid(_alike(parts))
        rows = _Rows.of(parts)
        dataset = _daily(parts, rows, steps_per_day) if daily else _gathered(parts, rows)
        dataset = _labelled(dataset, parts)
        if chunks is None and not any(part.data.chunks for part in parts):
            return dataset.load()
        stack.pop_all()
        return dataset


def _opened(paths: Any, chunks: Any, stack: ExitStack) -> Iterator[_Part]:
    for number, source in enumerate(_sources(paths), 1):
        if isinstance(source, xr.Dataset):
            given = source if chunks is None else source.chunk(chunks)
            yield _Part(_decoded(given, f"dataset {number}"), f"dataset {number}")
            continue
        label = source if isinstance(source, str) else str(getattr(source, "name", f"file {number}"))
        opened = xr.open_dataset(source, chunks=chunks, decode_times=False)
        stack.callback(opened.close)
        yield _Part(_decoded(opened, label), label)


def _sources(paths: Any) -> list[Any]:
    """Files that exist, addresses, file-like objects and Datasets, one by one."""
    several = not isinstance(paths, str | os.PathLike | xr.Dataset) and not hasattr(paths, "read")
    found = [source for item in (paths if several else [paths]) for source in _expanded(item)]
    if not found:
        raise ValueError("there is nothing to read: paths is empty")
    return found


def _expanded(item: Any) -> list[Any]:
    if isinstance(item, xr.DataArray):
        raise TypeError("a DataArray was given: expected a path, a file-like object or a Dataset")
    if not isinstance(item, str | os.PathLike):
        return [item]
    path = str(Path(item).expanduser()) if "://" not in str(item) else str(item)
    if "://" in path or Path(path).exists():
        return [path]
    if not has_magic(path):
        raise FileNotFoundError(f"no such file: {path!r}")
    found = sorted(glob(path, recursive=True))  # noqa: PTH207 - absolute patterns too
    if not found:
        raise FileNotFoundError(f"no file matches {path!r}")
    return list(found)


def _decoded(data: xr.Dataset, label: str) -> xr.Dataset:
    """Times by this source's own epoch, to the second."""
    if "time" not in data.variables:
        raise ValueError(f"{label}: no variable 'time', there are {sorted(map(str, data.variables))}")
    time = data["time"]
    if time.dtype.kind in "iuf" and " since " in str(time.attrs.get("units", "")):
        if len(np.unique(time.values)) < time.size:
            raise ValueError(
                f"{label}: times repeat before they are decoded, as where files with different epochs were "
                "put together undecoded: give the files instead"
            )
        units = _YEAR.sub(lambda year: year[0].zfill(4), time.attrs["units"])  # "since 1-1-1" is warned of
        attrs = {**time.attrs, "units": units}
        data = xr.decode_cf(data.assign(time=time.assign_attrs(attrs)), decode_timedelta=False)
    elif time.dtype.kind in "iuf":
        named = _SNAPSHOT.search(label)
        if named is None or time.size != 1:
            raise ValueError(
                f"{label}: 'time' holds numbers without units ('... since ...'): set data.time.attrs['units']"
            )
        year, month, day, hour, minute = named.groups()
        stamp = np.datetime64(f"{year}-{month}-{day}T{hour}:{minute}", "ns")
        data = data.assign_coords(time=time.copy(data=np.full(time.shape, stamp)))
    if data["time"].ndim == 0:
        data = data.set_coords("time").expand_dims("time")
    if data["time"].dtype.kind != "M":
        raise ValueError(f"{label}: 'time' is {data['time'].dtype}: expected dates of the standard calendar")
    return data.assign_coords(time=_to_seconds(data["time"].values))


def _to_seconds(times: NDArray[Any]) -> NDArray[Any]:
    """Days since year 1, as data servers count, are floats with microseconds of rounding."""
    half = np.timedelta64(500_000_000, "ns")
    return (times.astype("datetime64[ns]") + half).astype("datetime64[s]").astype("datetime64[ns]")


def _tidied(part: _Part, wanted: Iterable[str] | None) -> _Part:
    """The variables wanted, in upper case, on clean coordinates; nothing is read."""
    data = part.data.rename({k: v for k, v in _LONG.items() if k in part.data.variables})
    missing = [name for name in _AXES if name not in data.dims or name not in data.coords]
    if missing:
        raise ValueError(
            f"{part.label}: no dimension {missing} with a coordinate, there are {dict(data.sizes)}"
        )
    needed = {"lat", "lon"} if data.sizes["time"] == 1 else {"time", "lat", "lon"}
    fields = [str(name) for name, field in data.data_vars.items() if needed <= set(field.dims)]
    names = {name: name.upper() if name.islower() else name for name in fields}
    data = data[fields].rename(names)
    if wanted is not None:
        absent = sorted(set(wanted) - set(names.values()))
        if absent:
            raise ValueError(f"{part.label}: no variable {absent}, there are {sorted(names.values())}")
        data = data[list(wanted)]
    axes = {name: (name, _clean(data[name]), data[name].attrs) for name in _AXES}
    data = data.assign_coords(axes).drop_vars(set(data.coords) - {"time", *_AXES})
    return _Part(data.map(_timed, keep_attrs=True), part.label)


def _clean(coordinate: xr.DataArray) -> NDArray[np.float64]:
    """MERRA-2's zero may be 1e-13."""
    values = np.asarray(coordinate.values, dtype=np.float64)
    return np.where(np.abs(values) < 1e-10, 0.0, values)


def _timed(da: xr.DataArray) -> xr.DataArray:
    return da if "time" in da.dims else da.expand_dims("time")


def _unfilled(da: xr.DataArray) -> xr.DataArray:
    return da.where(np.abs(da) < _FILL) if da.dtype.kind == "f" else da


def _alike(parts: list[_Part]) -> list[_Part]:
    """The variables of the first source, in every source."""
    names = list(parts[0].data.data_vars)
    for part in parts:
        absent = [name for name in names if name not in part.data]
        if absent:
            raise ValueError(
                f"{part.label}: no variable {absent}, which {parts[0].label} has; name those to read with "
                "variables=..."
            )
    return [_Part(part.data[names], part.label) for part in parts]


def _on_one_grid(parts: list[_Part]) -> list[_Part]:
    first = parts[0]
    for part in parts[1:]:
        for name in _AXES:
            here, there = part.data[name].values, first.data[name].values
            if here.shape != there.shape or not np.allclose(here, there, rtol=0, atol=1e-5):
                raise ValueError(
                    f"{part.label}: {name!r} runs {_span(here)}, in {first.label} {_span(there)}: read files "
                    "of one grid and one order together"
                )
    axes = {name: first.data[name] for name in _AXES}
    return [_Part(part.data.assign_coords(axes), part.label) for part in parts]


def _span(values: NDArray[np.float64]) -> str:
    return f"{values[0]:g} to {values[-1]:g} ({values.size} values)"


@dataclass(frozen=True, eq=False)
class _Rows:
    """All times of all sources, ascending, each once: `time`, the source's number, the position in it."""

    time: NDArray[Any]
    part: NDArray[np.int64]
    position: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[_Part]) -> _Rows:
        sizes = [part.data.sizes["time"] for part in parts]
        time = np.concatenate([part.data["time"].values for part in parts])
        number = np.repeat(np.arange(len(parts)), sizes)
        position = np.concatenate([np.arange(size) for size in sizes])
        if np.isnat(time).any():
            raise ValueError(f"{parts[number[np.isnat(time)][0]].label}: a time is missing (NaT)")
        _, kept = np.unique(time, return_index=True)
        if kept.size < time.size:
            twice = np.sort(np.setdiff1d(np.arange(time.size), kept))
            _warn(
                f"{twice.size} duplicate times dropped, the first at {time[twice].min():.16}".replace(
                    "T", " "
                )
            )
        return cls(time[kept], number[kept], position[kept])

    def take(self, where: NDArray[Any]) -> _Rows:
        return _Rows(self.time[where], self.part[where], self.position[where])

    def runs(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Source and positions, for stretches of one source."""
        breaks = np.flatnonzero(np.diff(self.part)) + 1
        for stretch in np.split(np.arange(self.part.size), breaks):
            yield int(self.part[stretch[0]]), self.position[stretch]


def _gathered(parts: Sequence[_Part], rows: _Rows) -> xr.Dataset:
    pieces = [parts[number].data.isel(time=positions) for number, positions in rows.runs()]
    return _joined(pieces).map(_unfilled, keep_attrs=True)


def _joined(pieces: list[xr.Dataset]) -> xr.Dataset:
    if len(pieces) == 1:
        return pieces[0]
    return xr.concat(
        pieces, "time", join="exact", coords="minimal", compat="override", combine_attrs="override"
    )


def _daily(parts: Sequence[_Part], rows: _Rows, steps_per_day: int) -> xr.Dataset:
    """Means of the complete days, one day in memory at a time."""
    days = rows.time.astype("datetime64[D]")
    names, first = np.unique(days, return_index=True)
    grouped = dict(zip(names, np.split(np.arange(days.size), first[1:]), strict=True))
    spacing = _DAY.astype("timedelta64[ns]") / steps_per_day
    short = {}
    means = []
    for day, where in grouped.items():
        even = (np.diff(rows.time[where]) == spacing).all()
        if where.size != steps_per_day or not even:
            short[day] = where.size
            continue
        means.append(_mean(_gathered(parts, rows.take(where)), day))
    if not means:
        raise ValueError(
            f"no day is complete: expected {steps_per_day} evenly spaced times a day, found at most "
            f"{max(short.values())}, on {max(short, key=lambda day: short[day])}; give the whole day, or "
            "steps_per_day=..."
        )
    if short:
        listed = ", ".join(f"{day} ({size} of {steps_per_day} times)" for day, size in short.items())
        _warn(f"{len(short)} incomplete day{'s' * (len(short) > 1)} left out: {listed}")
    return _bounded(_joined(means))


def _mean(day: xr.Dataset, date: np.datetime64) -> xr.Dataset:
    mean = day.mean("time", skipna=False, dtype=np.float64, keep_attrs=True)
    mean = mean.map(lambda da: da.astype(day[da.name].dtype), keep_attrs=True)
    noon = date.astype("datetime64[ns]") + np.timedelta64(12, "h")
    placed = mean.expand_dims(time=[noon]).transpose("time", ...)
    return placed.chunk() if day.chunks else placed.load()


def _bounded(data: xr.Dataset) -> xr.Dataset:
    midnight = data["time"].values.astype("datetime64[D]").astype("datetime64[ns]")
    bounds = np.stack([midnight, midnight + np.timedelta64(1, "D")], axis=1)
    data = data.assign_coords(time_bnds=(("time", "bnds"), bounds))
    data["time"].attrs["bounds"] = "time_bnds"
    for name in data.data_vars:
        data[name].attrs["cell_methods"] = "time: mean"
    return data


def _labelled(data: xr.Dataset, parts: Sequence[_Part]) -> xr.Dataset:
    """CF names and units; attributes of the whole that all sources agree on; no encoding of one file."""
    data = data.drop_encoding()
    shared = parts[0].data.attrs
    for part in parts[1:]:
        shared = {k: v for k, v in shared.items() if k in part.data.attrs and _same(part.data.attrs[k], v)}
    data.attrs = dict(shared)
    for name, attrs in _AXES.items():
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


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=5)
