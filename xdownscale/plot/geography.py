"""What lies under a field on a map: gridlines with degrees, and coastlines where they are at hand.

With cartopy (the extra ``maps``) a map is one of its axes, equidistant cylindrical; without it, and for
fields in metres or on a rotated pole, plain axes. Coastlines are Natural Earth's, and cartopy would download
them while it draws. Here nothing is downloaded: they are drawn if their file is on this machine already
(cartopy's own places, ``cartopy.config``), and left out in silence if not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Extent", "axes", "coastlines", "degrees", "dress", "is_geographic", "shift"]

Extent = tuple[float, float, float, float]
_PLANE = ("projection_x_coordinate", "projection_y_coordinate", "grid_longitude", "grid_latitude")
_METRES = ("m", "metre", "metres", "meter", "meters", "km")
_LINES: dict[str, Any] = {"color": "white", "linewidth": 0.4, "alpha": 0.4}
_SMALL = 15.0  # a map of fewer degrees shows the finest coastline


def is_geographic(field: xr.DataArray) -> bool:
    """Whether the last two dimensions, in order, are latitude and longitude.

    Examples
    --------
    >>> import xarray as xr
    >>> is_geographic(xr.DataArray(np.ones((2, 2)), {"lat": [0, 1], "lon": [359, 360]}, ("lat", "lon")))
    True
    >>> is_geographic(xr.DataArray(np.ones((2, 2)), {"y": [0, 9e3], "x": [0, 9e3]}, ("y", "x")))
    False
    """
    sides = [field[name] for name in field.dims[-2:]]
    if any(side.attrs.get("standard_name") in _PLANE or side.attrs.get("units") in _METRES for side in sides):
        return False
    y, x = (np.abs(np.asarray(side.values, dtype=float)).max(initial=0) for side in sides)
    return bool(y <= 90 and x <= 540)


def axes(figure: Figure, rows: int, columns: int, extent: Extent, *, geographic: bool) -> Sequence[Axes]:
    """Axes for maps of one extent, row by row.

    Parameters
    ----------
    figure : Figure
    rows, columns : int
    extent : (west, east, south, north)
    geographic : bool
        Of degrees; others have plain axes.

    Returns
    -------
    sequence of Axes
        Cartopy's, if it is installed and the field is geographic.
    """
    projection = _projection(extent) if geographic else None
    grid = figure.subplots(rows, columns, squeeze=False, subplot_kw={"projection": projection})
    return list(grid.flat)


def shift(axis: Axes) -> float:
    """The longitude that is zero on the axes: that of cartopy's projection, 0 on plain ones."""
    projection: Any = getattr(axis, "projection", None)
    if projection is None:
        return 0.0
    known = projection.proj4_params  # named by the version of cartopy
    return float(known.get("lon_0", known.get("pm", 0.0)))


def dress(axis: Axes, extent: Extent, *, geographic: bool) -> None:
    """Limits, gridlines, degrees along the outer sides, and coastlines if they are at hand.

    Parameters
    ----------
    axis : Axes
        Of `axes`.
    extent : (west, east, south, north)
    geographic : bool
    """
    west, east, south, north = extent
    axis.set_xlim(west - shift(axis), east - shift(axis))
    axis.set_ylim(south, north)
    if hasattr(axis, "projection"):
        _gridlines(axis)
        _coast(axis, extent)
        return
    axis.grid(**_LINES)
    if geographic:
        axis.xaxis.set_major_formatter(lambda value, _: degrees(value, "E", "W"))
        axis.yaxis.set_major_formatter(lambda value, _: degrees(value, "N", "S"))
    axis.label_outer()


def degrees(value: float, positive: str, negative: str) -> str:
    """A latitude or longitude as maps have it.

    Examples
    --------
    >>> degrees(42.5, "E", "W"), degrees(190, "E", "W"), degrees(-30, "N", "S"), degrees(180, "E", "W")
    ('42.5°E', '170°W', '30°S', '180°')
    """
    turned = round((value + 180) % 360 - 180, 6)
    letter = "" if turned in (0, -180) else positive if turned > 0 else negative
    return f"{abs(turned):g}°{letter}"


def coastlines(extent: Extent) -> list[Any]:
    """Coastlines from a file on this machine.

    Parameters
    ----------
    extent : (west, east, south, north)
        A small one asks for a fine coastline first.

    Returns
    -------
    list of shapely geometries
        In degrees; empty where cartopy or its file is missing, or the file cannot be read.
    """
    try:
        from cartopy import config
        from cartopy.io import Downloader
        from cartopy.io.shapereader import Reader
    except ImportError:
        return []
    small = max(extent[1] - extent[0], extent[3] - extent[2]) < _SMALL
    for resolution in ("10m", "50m", "110m") if small else ("50m", "10m", "110m"):
        asked = {"config": config, "resolution": resolution, "category": "physical", "name": "coastline"}
        known = Downloader.from_config(("shapefiles", "natural_earth", resolution, "physical", "coastline"))
        for path in (known.pre_downloaded_path(asked), known.target_path(asked)):
            if path is not None and path.is_file():
                try:
                    return list(Reader(path).geometries())
                except Exception:  # noqa: BLE001, S112 - whatever ails the file, a map can do without it
                    continue
    return []


def _projection(extent: Extent) -> Any:
    """Equidistant cylindrical, its seam away from the field; None without cartopy."""
    try:
        from cartopy.crs import PlateCarree
    except ImportError:
        return None
    west, east = extent[:2]
    beyond = west < -180 or east > 180
    return PlateCarree(central_longitude=round((west + east) / 2) if beyond else 0)


def _gridlines(axis: Any) -> None:
    place = axis.get_subplotspec()
    sides = {"bottom": "x"} if place.is_last_row() else {}
    if place.is_first_col():
        sides["left"] = "y"
    axis.gridlines(draw_labels=sides or False, **_LINES)


def _coast(axis: Any, extent: Extent) -> None:
    from cartopy.crs import PlateCarree

    lines = coastlines(extent)
    for colour, width in (("black", 1.4), ("white", 0.6)) if lines else ():
        axis.add_geometries(
            lines, crs=PlateCarree(), facecolor="none", edgecolor=colour, linewidth=width, zorder=2
        )
