"""Files, addresses and Datasets, opened one by one and made alike; nothing is read but coordinates."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import ExitStack

    from numpy.typing import NDArray

__all__ = ["AXES", "Part", "alike", "on_one_grid", "opened", "tidied"]

AXES = {
    "lat": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    "lon": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
}
_LONG = {"latitude": "lat", "longitude": "lon"}
_SNAPSHOT = re.compile(r"\.(\d{4})(\d{2})(\d{2})_(\d{2})(\d{2})z\.")
_YEAR = re.compile(r"(?<= since )\d{1,3}(?=-)")


@dataclass(frozen=True, eq=False)
class Part:
    """One source, tidied, and what errors call it."""

    data: xr.Dataset
    label: str


def opened(paths: Any, chunks: Any, stack: ExitStack) -> Iterator[Part]:
    """Each source by its own epoch; files are closed with the stack."""
    for number, source in enumerate(_sources(paths), 1):
        if isinstance(source, xr.Dataset):
            given = source if chunks is None else source.chunk(chunks)
            yield Part(_decoded(given, f"dataset {number}"), f"dataset {number}")
            continue
        label = source if isinstance(source, str) else str(getattr(source, "name", f"file {number}"))
        opened = xr.open_dataset(source, chunks=chunks, decode_times=False)
        stack.callback(opened.close)
        yield Part(_decoded(opened, label), label)


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


def tidied(part: Part, wanted: Iterable[str] | None) -> Part:
    """The variables wanted, in upper case, on clean coordinates; nothing is read."""
    data = part.data.rename({k: v for k, v in _LONG.items() if k in part.data.variables})
    missing = [name for name in AXES if name not in data.dims or name not in data.coords]
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
    axes = {name: (name, _clean(data[name]), data[name].attrs) for name in AXES}
    data = data.assign_coords(axes).drop_vars(set(data.coords) - {"time", *AXES})
    return Part(data.map(_timed, keep_attrs=True), part.label)


def _clean(coordinate: xr.DataArray) -> NDArray[np.float64]:
    """MERRA-2's zero may be 1e-13."""
    values = np.asarray(coordinate.values, dtype=np.float64)
    return np.where(np.abs(values) < 1e-10, 0.0, values)


def _timed(da: xr.DataArray) -> xr.DataArray:
    return da if "time" in da.dims else da.expand_dims("time")


def alike(parts: list[Part]) -> list[Part]:
    """The variables of the first source, in every source."""
    names = list(parts[0].data.data_vars)
    for part in parts:
        absent = [name for name in names if name not in part.data]
        if absent:
            raise ValueError(
                f"{part.label}: no variable {absent}, which {parts[0].label} has; name those to read with "
                "variables=..."
            )
    return [Part(part.data[names], part.label) for part in parts]


def on_one_grid(parts: list[Part]) -> list[Part]:
    """On the coordinates of the first; a ValueError where one differs."""
    first = parts[0]
    for part in parts[1:]:
        for name in AXES:
            here, there = part.data[name].values, first.data[name].values
            if here.shape != there.shape or not np.allclose(here, there, rtol=0, atol=1e-5):
                raise ValueError(
                    f"{part.label}: {name!r} runs {_span(here)}, in {first.label} {_span(there)}: read files "
                    "of one grid and one order together"
                )
    axes = {name: first.data[name] for name in AXES}
    return [Part(part.data.assign_coords(axes), part.label) for part in parts]


def _span(values: NDArray[np.float64]) -> str:
    return f"{values[0]:g} to {values[-1]:g} ({values.size} values)"
