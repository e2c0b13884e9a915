"""Which dimension is which: explicit names first, then CF attributes, then unique exact names.

Latitude and longitude (or y and x of a projection) and, if there is one, time. What is left over may be a
dimension of size one, or an ensemble that is broadcast. Nothing is guessed: where two coordinates fit, or
none, the error lists them and gives the line that settles it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    import xarray as xr

__all__ = ["Axes", "discover"]

_NAMES = {
    "lat": ("lat", "latitude", "y", "YDim", "Lat", "Latitude", "nav_lat"),
    "lon": ("lon", "longitude", "x", "XDim", "Lon", "Longitude", "nav_lon"),
    "time": ("time", "Time", "t", "valid_time"),
}
_TELLING = (
    "standard_name",
    "units",
    "axis",
    "positive",
    "_CoordinateAxisType",
    "cartesian_axis",
    "grads_dim",
)
_KEYS = {"lat": ("latitude", "Y"), "lon": ("longitude", "X"), "time": ("time", "T")}


@dataclass(frozen=True)
class Axes:
    """Names of a DataArray's dimensions.

    Attributes
    ----------
    lat, lon : hashable
    time : hashable or None
        None where time is a scalar coordinate or absent.
    others : tuple of hashable
        In the array's order.
    """

    lat: Hashable
    lon: Hashable
    time: Hashable | None
    others: tuple[Hashable, ...]


def discover(da: xr.DataArray, dims: Mapping[str, Hashable] | None = None) -> Axes:
    """Find latitude, longitude and time.

    Parameters
    ----------
    da : DataArray
    dims : mapping, optional
        `lat`, `lon`, `time` to names of dimensions, where discovery cannot tell.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If an axis has no candidate or several, a dimension has no coordinate, the coordinates are
        two-dimensional, or a name is no text.
    TypeError
        If `dims` is no mapping.

    Examples
    --------
    >>> import xarray as xr
    >>> da = xr.DataArray([[1.0]], {"latitude": [10.0], "x": [20.0]}, ("latitude", "x"))
    >>> discover(da)
    Axes(lat='latitude', lon='x', time=None, others=())
    """
    if not (dims is None or isinstance(dims, Mapping)):
        raise TypeError(f"dims is {dims!r}: expected a mapping, dims={{'lat': ..., 'lon': ...}}")
    given = dict(dims or {})
    unknown = sorted(set(given) - set(_NAMES), key=str)
    if unknown:
        raise ValueError(f"dims names {unknown}: expected some of {sorted(_NAMES)}")
    _refuse_odd_names(da)
    _refuse_stacked(da)
    lat, lon = (_named(da, axis, given) for axis in ("lat", "lon"))
    if lat == lon:
        raise ValueError(
            f"latitude and longitude are both {lat!r}: name them, dims={{'lat': ..., 'lon': ...}}"
        )
    time = _named(da, "time", given, required=False)
    return Axes(lat, lon, time, tuple(d for d in da.dims if d not in (lat, lon, time)))


def _named(
    da: xr.DataArray, axis: str, given: Mapping[str, Hashable], *, required: bool = True
) -> Hashable | None:
    if axis in given:
        if given[axis] not in da.dims:
            raise ValueError(f"dims[{axis!r}] is {given[axis]!r}: the array has dimensions {list(da.dims)}")
        found = [given[axis]]
    else:
        found = _by_attributes(da, axis) or [n for n in _NAMES[axis] if n in da.dims]
    if len(found) == 1:
        _has_coordinate(da, found[0], axis)
        return found[0]
    if not found and not required:
        return None
    raise ValueError(_explained(da, axis, found))


def _by_attributes(da: xr.DataArray, axis: str) -> list[Hashable]:
    """Dimensions whose coordinate says by CF attributes that it is the axis."""
    import cf_xarray  # noqa: F401 - registers .cf

    bare = _bare(da)
    names: set[Hashable] = set()
    for key in _KEYS[axis]:
        names |= set(bare.cf.coordinates.get(key, [])) | set(bare.cf.axes.get(key, []))
    flat = [n for n in names if n in da.dims]
    curved = sorted(str(n) for n in names if da[n].ndim == 2)
    if curved and not flat:
        raise ValueError(
            f"{curved} are two-dimensional (a curvilinear grid): regrid to 1-D latitude and longitude first, "
            "for example with xesmf or rioxarray's rio.reproject"
        )
    return sorted(flat, key=list(da.dims).index)


def _bare(da: xr.DataArray) -> xr.DataArray:
    """The array with nothing but what tells an axis: cf-xarray falls over other attributes, and odd ones."""
    bare = da.copy(deep=False)
    bare.attrs, bare.encoding = {}, {}
    for name in bare.coords:
        attrs = bare[name].attrs
        bare[name].attrs = {key: attrs[key] for key in _TELLING if isinstance(attrs.get(key), str)}
        bare[name].encoding = {}
    return bare


def _has_coordinate(da: xr.DataArray, name: Hashable, axis: str) -> None:
    if name not in da.coords:
        raise ValueError(
            f"dimension {name!r} has no coordinate: give it its values, da = "
            f"da.assign_coords({{{name!r}: ...}})"
        )
    if axis != "time" and da[name].ndim != 1:
        raise ValueError(f"coordinate {name!r} has {da[name].ndim} dimensions: expected one")


def _refuse_odd_names(da: xr.DataArray) -> None:
    odd = [name for name in (*da.dims, *da.coords) if not isinstance(name, str)]
    if odd:
        raise ValueError(
            f"dimensions or coordinates are named {odd}: expected text, da = da.rename({{{odd[0]!r}: '...'}})"
        )


def _refuse_stacked(da: xr.DataArray) -> None:
    import pandas as pd

    for name, index in da.indexes.items():
        if isinstance(index, pd.MultiIndex):
            raise ValueError(f"{name!r} is a MultiIndex: unstack it first, da.unstack({name!r})")


def _explained(da: xr.DataArray, axis: str, found: list[Hashable]) -> str:
    word = {"lat": "latitude", "lon": "longitude", "time": "time"}[axis]
    curved = [str(n) for n in da.coords if da[n].ndim == 2]
    if not found and curved:
        return (
            f"no one-dimensional {word}; {curved} are two-dimensional (a curvilinear grid): regrid to "
            "1-D latitude and longitude "
            "first, for example with xesmf or rioxarray's rio.reproject"
        )
    said = (
        f"several dimensions could be {word}: {found}"
        if found
        else f"no dimension is {word}; there are {list(da.dims)}"
    )
    known = {name for names in _NAMES.values() for name in names}
    pick = next((d for d in found or da.dims if found or d not in known), "...")
    return f"{said}: name it, dims={{{axis!r}: {pick!r}}}"
