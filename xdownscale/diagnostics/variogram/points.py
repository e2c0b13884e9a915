"""Cells that lie on no regular grid: stations, curvilinear grids, and uneven axes when they are sampled.

A field's places are two coordinates: latitude and longitude, known by CF attributes or by name, or x and y of
stations. They share one dimension (stations), two (a curvilinear grid), or have one each (a grid, whose axes
may be uneven).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdownscale.cf.discover import discover
from xdownscale.cf.raster import raster
from xdownscale.diagnostics.variogram.lags import EARTH_RADIUS

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from numpy.typing import NDArray

__all__ = ["Points", "on_axes", "points", "span"]

_NAMES = {
    "lat": ("lat", "latitude", "Lat", "Latitude", "nav_lat", "XLAT", "TLAT", "y"),
    "lon": ("lon", "longitude", "Lon", "Longitude", "nav_lon", "XLONG", "TLONG", "x"),
}
_KEYS = {"lat": "latitude", "lon": "longitude"}


@dataclass(frozen=True, eq=False)
class Points:
    """Fields and the places of their cells.

    Attributes
    ----------
    fields : DataArray, dims (..., *space)
    space : tuple of hashable
    places : ndarray, shape (n, 2)
        Latitude and longitude [degree], or y and x, of the cells in the order of `space`.
    spherical : bool
    units : str
        Of y and x.
    """

    fields: xr.DataArray
    space: tuple[Hashable, ...]
    places: NDArray[np.float64]
    spherical: bool
    units: str

    @property
    def diagonal(self) -> float:
        """Extent of the places [km, or unit of y and x]; longitudes by the shortest arc that holds all."""
        height, width = np.ptp(self.places, axis=0)
        if not self.spherical:
            return float(np.hypot(height, width))
        turned = np.sort(self.places[:, 1] % 360.0)
        arc = 360.0 - np.diff(np.append(turned, turned[0] + 360.0)).max()
        middle = np.deg2rad(self.places[:, 0].min() + height / 2)
        return span(height, arc, float(np.cos(middle)))


def span(height: float, width: float, shrink: float) -> float:
    """Diagonal of a box of degrees, at most half the circumference [km].

    Parameters
    ----------
    height, width : float [degree]
    shrink : float, 0 to 1
        Cosine of the latitude of its middle.

    Examples
    --------
    >>> round(span(180.0, 360.0, 1.0)), round(span(3.0, 4.0, 1.0))
    (20015, 556)
    """
    degrees = float(np.hypot(height, shrink * min(width, 180.0)))
    return min(float(np.deg2rad(degrees)), np.pi) * EARTH_RADIUS


def on_axes(da: xr.DataArray, dims: Mapping[str, Hashable] | None = None) -> bool:
    """Whether latitude and longitude, or y and x, are dimensions; ValueError as `discover` if nothing fits.

    Examples
    --------
    >>> import xarray as xr
    >>> on_axes(xr.DataArray([1.0], {"lat": ("station", [3.0]), "lon": ("station", [4.0])}, "station"))
    False
    """
    found = _coordinates(da, dims)
    if found is None or da[found[0]].dims != da[found[1]].dims:
        discover(da, dims)
        return True
    space = da[found[0]].dims
    return len(space) == 2 and _measured(da.isel(dict.fromkeys(set(da.dims) - set(space), 0)), dims)


def points(da: xr.DataArray, dims: Mapping[str, Hashable] | None = None) -> Points:
    """Lay out the places of a field's cells.

    Parameters
    ----------
    da : DataArray
    dims : mapping, optional
        `lat`, `lon` to names of coordinates, where attributes and names do not tell.

    Raises
    ------
    TypeError
        If the values are no real numbers.
    ValueError
        If there are no such coordinates, or they are not finite or no latitudes.
    """
    if da.dtype.kind not in "fiu":
        raise TypeError(f"{da.name!r} holds {da.dtype} values: expected real numbers")
    found, spherical = _named(da, dims)
    y, x = (da[name] for name in found)
    y, x = xr.broadcast(y, x)
    places = np.stack([np.asarray(c.values, dtype=np.float64).ravel() for c in (y, x)], axis=1)
    _check(places, spherical, found)
    units = str(da[found[0]].attrs.get("units", ""))
    return Points(da.transpose(..., *y.dims), y.dims, places, spherical, units)


def _named(da: xr.DataArray, dims: Mapping[str, Hashable] | None) -> tuple[tuple[Hashable, Hashable], bool]:
    """Coordinates of the places, and whether they are on a sphere."""
    if not on_axes(da, dims):
        found = _coordinates(da, dims)
        if found is None:
            raise ValueError(f"no latitude and longitude, or y and x, among {[str(n) for n in da.coords]}")
        return found, _angles(da[found[0]])
    axes = discover(da, dims)
    try:
        spherical = raster(da, dims=dims).spherical
    except ValueError:  # uneven axes are sampled all the same
        spherical = False
    return (axes.lat, axes.lon), spherical or _angles(da[axes.lat])


def _coordinates(da: xr.DataArray, dims: Mapping[str, Hashable] | None) -> tuple[Hashable, Hashable] | None:
    """Names of latitude and longitude, or y and x, of the cells; None if both are not to be had."""
    import cf_xarray  # noqa: F401 - registers .cf

    names: list[Hashable] = []
    for axis in ("lat", "lon"):
        told = [(dims or {}).get(axis)]
        by_attributes = sorted(da.cf.coordinates.get(_KEYS[axis], []), key=lambda n: -da[n].ndim)
        given = [n for n in (*told, *by_attributes, *_NAMES[axis]) if n is not None and n in da.coords]
        if not given:
            return None
        names.append(given[0])
    return names[0], names[1]


def _measured(da: xr.DataArray, dims: Mapping[str, Hashable] | None) -> bool:
    """Whether a curvilinear grid has axes with units of their own, as a projection's."""
    try:
        axes = discover(da, dims)
    except ValueError:
        return False
    return all(da[name].attrs.get("units") for name in (axes.lat, axes.lon))


def _angles(y: xr.DataArray) -> bool:
    units, standard = (str(y.attrs.get(key, "")).lower() for key in ("units", "standard_name"))
    if units:
        return units.startswith("degree")
    return standard == "latitude" or "lat" in str(y.name).lower()


def _check(places: NDArray[np.float64], spherical: bool, names: tuple[Any, Any]) -> None:
    if not np.isfinite(places).all():
        raise ValueError(f"coordinates {names} have {int((~np.isfinite(places)).sum())} values not finite")
    if spherical and np.abs(places[:, 0]).max(initial=0.0) > 90 + 1e-6:
        raise ValueError(f"{names[0]!r} reaches {np.abs(places[:, 0]).max():g}: expected -90 to 90 degrees")
