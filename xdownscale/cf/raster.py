"""A DataArray on regular axes of its own: fields, cells and their areas.

Which dimensions are latitude and longitude (or y and x) is `cf.discover`'s word. Rows and columns are brought
into rising order; what else there is (time, realization, level) stays in front, in the array's order. On a
sphere a cell's area is the product of its longitudes and the difference of its sines of latitude; on a plane
that of its sides. Values are not read here, so a lazy array stays lazy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.cf.discover import Axes, discover
from xdownscale.grid import Axis, Grid

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["Raster", "check_same_grid", "check_same_units", "raster"]

_ANGLES = ("degree", "degrees")
_UNIFORM = 1e-3


@dataclass(frozen=True, eq=False)
class Raster:
    """Fields on a regular grid.

    Attributes
    ----------
    fields : DataArray, dims (..., y, x)
        Both axes rising; lazy if the source was.
    axes : Axes
        Names of its dimensions.
    grid : Grid
        The window the fields lie on, its first cell at index 0.
    """

    fields: xr.DataArray
    axes: Axes
    grid: Grid

    @property
    def spherical(self) -> bool:
        """Whether the axes are latitude and longitude."""
        return self.grid.y.kind == "latitude"

    @property
    def area(self) -> NDArray[np.float64]:
        """Relative areas of the cells, shape (ny, nx), mean 1."""
        area = self.grid.area
        return np.asarray(area / area.mean())

    @property
    def samples(self) -> tuple[Hashable, ...]:
        """Dimensions that are not space, in the array's order."""
        return tuple(d for d in self.fields.dims if d not in (self.axes.lat, self.axes.lon))


def raster(da: xr.DataArray, *, dims: Mapping[str, Hashable] | None = None) -> Raster:
    """Lay a DataArray on its grid.

    Parameters
    ----------
    da : DataArray, dims in any order
        Real numbers on 1-D, evenly spaced axes, rising or falling; longitudes may cross the dateline.
    dims : mapping, optional
        `lat`, `lon`, `time` to names of dimensions, where discovery cannot tell.

    Returns
    -------
    Raster

    Raises
    ------
    TypeError
        If the values are no real numbers.
    ValueError
        If an axis cannot be found or is not evenly spaced.

    Examples
    --------
    >>> import xarray as xr
    >>> cells = {"lat": [30.0, 29.5], "lon": [179.5, -180.0, -179.5]}
    >>> da = xr.DataArray(np.zeros((2, 3)), cells, ("lat", "lon"))
    >>> raster(da).grid.x.values
    array([179.5, 180. , 180.5])
    """
    if da.dtype.kind not in "fiu":
        raise TypeError(f"{da.name!r} holds {da.dtype} values: expected real numbers")
    axes = discover(da, dims)
    kinds = ("latitude", "longitude") if _on_sphere(da, axes) else ("plane", "plane")
    fields = da.transpose(..., axes.lat, axes.lon)
    found = []
    for name, kind in zip((axes.lat, axes.lon), kinds, strict=True):
        values = np.asarray(da[name].values, dtype=np.float64)
        if kind == "longitude":
            values = np.unwrap(values, period=360.0)
        if values.size > 1 and values[0] > values[-1]:
            values, fields = values[::-1], fields.isel({name: slice(None, None, -1)})
        found.append((values, kind, name))
    steps = [_step(values, name) for values, _, name in found]
    known = [s for s in steps if s is not None] or [1.0]
    y, x = (_axis(v, kind, s or known[0]) for (v, kind, _), s in zip(found, steps, strict=True))
    return Raster(fields, axes, Grid(y, x, _crs(da, kinds[0])))


def check_same_grid(one: Raster, other: Raster) -> None:
    """Refuse two fields whose cells are not the same.

    Raises
    ------
    ValueError
    """
    for a, b in ((one.grid.y, other.grid.y), (one.grid.x, other.grid.x)):
        if a.size != b.size or abs(a.step - b.step) > _UNIFORM * a.step or not _near(a, b):
            raise ValueError(
                f"the fields lie on different grids, {_told(a)} and {_told(b)}: bring them to one grid "
                "first, for example b = b.interp_like(a)"
            )


def check_same_units(one: xr.DataArray, other: xr.DataArray) -> None:
    """Refuse fields whose units attributes differ; units that are missing are taken to agree.

    Raises
    ------
    ValueError
    """
    a, b = (str(da.attrs.get("units", "")).strip() for da in (one, other))
    a, b = ("1" if unit in ("dimensionless", "unitless") else unit for unit in (a, b))
    if a and b and a != b:
        raise ValueError(f"units differ, {a!r} and {b!r}: convert one of the fields first")


def _on_sphere(da: xr.DataArray, axes: Axes) -> bool:
    name = str(axes.lat).lower()
    units = str(da[axes.lat].attrs.get("units", "")).lower()
    standard = str(da[axes.lat].attrs.get("standard_name", "")).lower()
    if standard in ("projection_y_coordinate", "grid_latitude"):
        return False
    if units.startswith(_ANGLES) or standard == "latitude" or "lat" in name:
        return True
    if units:
        return False
    found = _declared(da)
    return found is not None and bool(found.is_geographic)


def _declared(da: xr.DataArray) -> Any:
    import rioxarray  # noqa: F401 - registers .rio

    return da.rio.crs


def _crs(da: xr.DataArray, kind: str) -> str:
    if kind == "latitude":
        return "EPSG:4326"
    found = _declared(da)
    return "" if found is None else str(found.to_string())


def _step(values: NDArray[np.float64], name: Hashable) -> float | None:
    """Spacing of evenly spaced centres; None for a single one."""
    if not np.isfinite(values).all():
        raise ValueError(f"coordinate {name!r} has values that are not finite: drop them first")
    if values.size == 1:
        return None
    gaps = np.diff(values)
    step = float(gaps.mean())
    if step <= 0 or np.abs(gaps - step).max() > 2 * _UNIFORM * step:
        raise ValueError(
            f"coordinate {name!r} is not evenly spaced ({gaps.min():.6g} to {gaps.max():.6g}): expected a "
            "regular grid; interpolate to one first"
        )
    return step


def _axis(values: NDArray[np.float64], kind: Any, step: float) -> Axis:
    turn = 360.0 / step
    closed = kind == "longitude" and abs(turn - round(turn)) < _UNIFORM
    period = round(turn) if closed else None
    return Axis(float(values[0]), 360.0 / period if period else step, 0, values.size, kind, period)


def _near(a: Axis, b: Axis) -> bool:
    apart = np.abs(a.values[[0, -1]] - b.values[[0, -1]])
    if a.period is not None:
        turn = a.period * a.step
        apart = np.minimum(apart % turn, -apart % turn)
    return bool((apart <= 2 * _UNIFORM * a.step).all())


def _told(axis: Axis) -> str:
    return f"{axis.size} cells of {axis.step:g} from {axis.values[0]:g}"
