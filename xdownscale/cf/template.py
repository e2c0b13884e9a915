"""The output: a DataArray on the fine grid, built in one place, in the user's order, convention and names.

Dimensions are (other dimensions of size above one, realization, time, latitude, longitude). Coordinates come
from the fine grid, never from the array's size; latitude runs as the user's does, longitude in the user's
convention. Bounds ride as coordinates, so that plain `to_netcdf` keeps them; coordinates get no `_FillValue`;
the CRS is a `spatial_ref` as rioxarray reads it. Nothing is taken from the input's encoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdownscale.cf.orientation import Orientation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from xdownscale.cf.understand import Field
    from xdownscale.grid import Axis, Grid

__all__ = ["CONVENTIONS", "build", "orientation", "to_dataset"]

CONVENTIONS = "CF-1.11, ACDD-1.3"
_COMPRESSION = {"zlib": True, "complevel": 4, "shuffle": True}
_TIME = {"units": "hours since 1970-01-01 00:00:00", "dtype": "float64"}
_GLOBAL = (
    "Conventions",
    "title",
    "summary",
    "source",
    "history",
    "references",
    "date_created",
    "id",
    "naming_authority",
    "keywords",
    "license",
    "comment",
    "standard_name_vocabulary",
    "creator_name",
    "institution",
)


def build(
    data: Any,
    field: Field,
    fine: Grid,
    *,
    name: str,
    members: tuple[int, ...],
    attrs: Mapping[str, Any],
    wavelength_nm: float | None = None,
) -> xr.DataArray:
    """Labels for an array in the user's order; the array, lazy or not, is not looked at.

    Parameters
    ----------
    data : array, shape (*others, member, time, NY, NX), float32
        In the order of `orientation(field, fine).users`; without `time` where the input has none.
    field : Field
        The input, understood.
    fine : Grid
        Window of the fine grid.
    name : str
    members : tuple of int
    attrs : mapping
        Of the variable, those of the whole file among them.
    wavelength_nm : float, optional

    Returns
    -------
    DataArray, dims (*others, realization, time, lat, lon)
    """
    lat, lon = str(field.axes.lat), str(field.axes.lon)
    down, west = field.descending
    y_values, x_values = fine.y.values, _longitudes(field, fine.x)
    spatial = {
        lat: (lat, y_values[::-1] if down else y_values, _axis_attrs(fine.y, "Y")),
        lon: (lon, x_values[::-1] if west else x_values, _axis_attrs(fine.x, "X")),
    }
    dims = [*(str(d) for d in field.others), "realization", lat, lon]
    if field.axes.time is not None:
        dims.insert(-2, str(field.axes.time))
    out = xr.DataArray(data, dims=dims, name=name, attrs=dict(attrs))
    kept = {k: v for k, v in field.source.coords.items() if _kept(k, v, field)}
    out = _with_coordinates(out, kept, spatial, members, wavelength_nm)
    return _encoded(_with_crs(out, fine, lat, lon))


def orientation(field: Field, fine: Grid) -> Orientation:
    """How the user's rows and columns run, on the coarse grid and on a fine one.

    Parameters
    ----------
    field : Field
    fine : Grid
        Window of the fine grid.

    Returns
    -------
    Orientation
    """
    return Orientation(field.descending, field.roll, _first(field, fine.x) if fine.x.cyclic else 0)


def to_dataset(da: xr.DataArray) -> xr.Dataset:
    """A Dataset to write: bounds as variables, the file's attributes at the file's level.

    Parameters
    ----------
    da : DataArray
        From `predict`.

    Returns
    -------
    Dataset
        With `lat_bnds`, `lon_bnds` (by the names of the dimensions), and `time_bnds` of whole days where the
        values are means in time, stamped within their day.

    Examples
    --------
    >>> import xdownscale
    >>> coarse = xdownscale.open_sample().DUEXTTAU[:1, 20:24, 20:24]
    >>> fine = coarse.downscale.predict("jja_asia", product="mean")
    >>> sorted(to_dataset(fine).data_vars)
    ['DUEXTTAU', 'lat_bnds', 'lon_bnds', 'time_bnds']
    """
    dataset = da.to_dataset()
    dataset.attrs = {k: da.attrs[k] for k in _GLOBAL if k in da.attrs}
    variable = dataset[da.name]
    variable.attrs = {k: v for k, v in da.attrs.items() if k not in _GLOBAL}
    for name in da.dims[-2:]:
        _add_bounds(dataset, str(name), _cell_bounds(da[name]))
    time = [d for d in da.dims if da[d].attrs.get("standard_name") == "time" and da[d].dtype.kind == "M"]
    if time and "time: mean" in str(da.attrs.get("cell_methods", "")):
        midnight = da[time[0]].values.astype("datetime64[D]").astype("datetime64[ns]")
        _add_bounds(dataset, str(time[0]), np.stack([midnight, midnight + np.timedelta64(1, "D")], axis=1))
        dataset[f"{time[0]}_bnds"].encoding |= _TIME
    return dataset


def _add_bounds(dataset: xr.Dataset, name: str, bounds: NDArray[Any]) -> None:
    dataset[name].attrs["bounds"] = f"{name}_bnds"
    dataset[f"{name}_bnds"] = ((name, "bnds"), bounds)
    dataset[f"{name}_bnds"].encoding["_FillValue"] = None


def _cell_bounds(coordinate: xr.DataArray) -> NDArray[np.float64]:
    """Half a cell to either side, in the coordinate's direction; latitudes end at the poles."""
    values = np.asarray(coordinate.values, dtype=np.float64)
    steps = np.diff(values)
    half = 0.5 * float(np.median(steps)) if steps.size else 0.0
    bounds = values[:, None] + np.array([-half, half])
    if coordinate.attrs.get("standard_name") == "latitude":
        bounds = np.clip(bounds, -90.0, 90.0)
    return np.asarray(bounds)


def _first(field: Field, x: Axis) -> int:
    """Absolute index of the fine column that lies on the user's first one."""
    return int(round((_eastwards(field)[0] - x.origin) / x.step) % (x.period or x.size))


def _eastwards(field: Field) -> NDArray[np.float64]:
    """The user's longitudes, ascending in absolute index."""
    users = np.asarray(field.source[field.axes.lon].values, dtype=np.float64)
    return users[::-1] if field.descending[1] else users


def _longitudes(field: Field, x: Axis) -> NDArray[np.float64]:
    """Of the fine columns, in the user's convention."""
    values = x.values
    if x.period is None:
        return values
    turn, users = x.period * x.step, _eastwards(field)
    if x.cyclic:
        first = _first(field, x)
        shift = users[0] - x.origin - first * x.step
        straight = x.origin + x.step * (first + np.arange(x.size)) + turn * round(shift / turn)
        return _folded(straight, users, turn)
    middle = values[0] + 0.5 * field.grid.x.step
    return _folded(values + turn * round((users[0] - middle) / turn), users, turn)


def _folded(straight: NDArray[np.float64], users: NDArray[np.float64], turn: float) -> NDArray[np.float64]:
    """Running on where the user's longitudes do; folded where the user's are."""
    if not (np.diff(users) < 0).any():
        return straight
    last = users[: int(np.argmax(np.diff(users) < 0)) + 1].max()
    folded: NDArray[np.float64] = np.where(
        straight > last + 0.5 * abs(users[1] - users[0]) - 1e-9, straight - turn, straight
    )
    return folded


def _axis_attrs(axis: Axis, letter: str) -> dict[str, str]:
    if axis.kind == "plane":
        word = f"projection_{letter.lower()}_coordinate"
        return {"standard_name": word, "long_name": word.replace("_", " "), "units": "m", "axis": letter}
    units = {"latitude": "degrees_north", "longitude": "degrees_east"}[axis.kind]
    return {"standard_name": axis.kind, "long_name": axis.kind, "units": units, "axis": letter}


def _kept(name: Any, coordinate: xr.DataArray, field: Field) -> bool:
    """Scalars, times and what belongs to them; nothing that lies on the coarse cells."""
    gone = {field.axes.lat, field.axes.lon}
    if gone & set(coordinate.dims) or name in ("realization", "spatial_ref", "crs"):
        return False
    single = [d for d in coordinate.dims if d in field.axes.others and field.source.sizes[d] == 1]
    return not [
        d for d in coordinate.dims if d not in field.source.dims and d not in ("bnds", "nv", "nbnds")
    ] and (not single or coordinate.size == 1)


def _with_coordinates(
    out: xr.DataArray,
    kept: Mapping[Any, xr.DataArray],
    spatial: Mapping[str, Any],
    members: tuple[int, ...],
    wavelength_nm: float | None,
) -> xr.DataArray:
    scalars = {}
    for name, coordinate in kept.items():
        flat = coordinate.drop_vars([c for c in coordinate.coords if c != name])
        scalars[name] = (
            flat.variable
            if set(flat.dims) - {"bnds", "nv", "nbnds"} <= set(out.dims)
            else flat.variable.squeeze()
        )
    numbers = np.asarray(members, dtype=np.int32)
    realization = (
        "realization",
        numbers,
        {"standard_name": "realization", "long_name": "ensemble member", "units": "1"},
    )
    out = out.assign_coords({**scalars, **spatial, "realization": realization})
    for name in out.coords:
        out[name].encoding = {}
    if wavelength_nm is not None and "radiation_wavelength" not in out.coords:
        attrs = {"standard_name": "radiation_wavelength", "long_name": "wavelength", "units": "nm"}
        out = out.assign_coords(radiation_wavelength=((), float(wavelength_nm), attrs))
    for name in ("time",):
        if name in out.coords and not out[name].attrs.get("standard_name"):
            out[name].attrs["standard_name"] = "time"
            if name in out.dims:
                out[name].attrs["axis"] = "T"
    return out


def _with_crs(out: xr.DataArray, fine: Grid, lat: str, lon: str) -> xr.DataArray:
    import rioxarray  # noqa: F401 - registers .rio

    out = out.rio.set_spatial_dims(x_dim=lon, y_dim=lat, inplace=False)
    if not fine.crs:
        return out
    located: xr.DataArray = out.rio.write_crs(fine.crs, grid_mapping_name="spatial_ref")
    return located


def _encoded(out: xr.DataArray) -> xr.DataArray:
    chunks = tuple(1 if d not in out.dims[-2:] else out.sizes[d] for d in out.dims)
    out.encoding = {
        **_COMPRESSION,
        "dtype": "float32",
        "_FillValue": np.float32(np.nan),
        "chunksizes": chunks,
        "original_shape": out.shape,  # xarray's word for: forget the chunks once the shape has changed
    }
    for name in out.coords:
        out[name].encoding["_FillValue"] = None
        if out[name].dtype.kind == "M":
            out[name].encoding |= _TIME
            out[name].attrs.setdefault("units_metadata", "leap_seconds: none")
    out.attrs.pop("grid_mapping", None)
    out.encoding["grid_mapping"] = "spatial_ref"
    return out
