"""Figures of fields: the coarse input, what was drawn from it, and how far the draws differ.

One colour scale for the input and all draws; the spread (standard deviation over members) has its own. Scales
are logarithmic where nothing is negative and the values span more than a decade, as aerosol does, and linear
elsewhere. Both colour maps rise evenly in lightness and read without colour vision. Cells without a value are
grey. Gridlines and coastlines: `plot.geography`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.plot.geography import axes as map_axes
from xdownscale.plot.geography import dress, is_geographic, shift

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from xdownscale.plot.geography import Extent

__all__ = ["Panel", "fields", "overview", "sheet"]

_DECADE, _DECADES = 10.0, 3.0
_WIDTH = 6.4
_MAP_SHARE = 0.85
SPREAD = "magma"
_GREY = "#d0d0d0"


def overview(coarse: xr.DataArray, fine: xr.DataArray, day: int = 0) -> Figure:
    """The coarse field, up to two members and the spread of one day.

    Parameters
    ----------
    coarse : DataArray, dimensions (time, lat, lon) in any order
    fine : DataArray, dimensions (realization, time, lat, lon)
        What `predict` made of `coarse`.
    day : int
        Position along time.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot: show it as a notebook's value, or ``savefig``.

    Raises
    ------
    ValueError
        If there is no such day, or the fields do not share their last two dimensions.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> coarse = xr.DataArray(np.full((2, 3), 0.1), {"lat": [0, 1], "lon": [0, 1, 2]}, ("lat", "lon"))
    >>> len(overview(coarse, coarse.expand_dims(realization=[0])).axes)  # two maps, each with its colour bar
    4
    """
    chosen = _chosen(coarse, fine, day)
    shared = _norm(*(field for title, field in chosen.items() if title != "spread"))
    panels = [Panel(title, field, shared, label=_label(fine)) for title, field in chosen.items()]
    if "spread" in chosen:
        label = f"standard deviation over members{_units(fine)}"
        panels[-1] = Panel("spread", chosen["spread"], _norm(chosen["spread"]), SPREAD, label)
    return sheet(panels, _WIDTH)


def fields(
    chosen: Mapping[str, xr.DataArray],
    *,
    shared: bool = True,
    colours: str = "viridis",
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Maps of any fields side by side.

    Parameters
    ----------
    chosen : mapping of str to DataArray, dimensions (lat, lon)
        By title; of one region, each on its own grid. Colour bars have their long names and units.
    shared : bool
        One colour scale for all.
    colours : str
        A colour map of matplotlib's.
    limits : (float, float), optional
        Of the colours, which are linear then: (0, 1) for probabilities.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot.

    Raises
    ------
    ValueError
        If there is no field, or one has not two dimensions.

    Examples
    --------
    >>> import xarray as xr
    >>> field = xr.DataArray(np.full((2, 3), 0.1), {"lat": [0, 1], "lon": [0, 1, 2]}, ("lat", "lon"))
    >>> [axis.get_title() for axis in fields({"one": field, "two": 2 * field}).axes[:2]]
    ['one', 'two']
    """
    from matplotlib.colors import Normalize

    if not chosen:
        raise ValueError("there are no fields: expected one at least, {'title': field}")
    for title, field in chosen.items():
        if field.ndim != 2:
            raise ValueError(f"{title!r} has dimensions {field.dims}: expected two, choose with isel or mean")
    whole = _norm(*chosen.values()) if limits is None else Normalize(*limits)
    single = limits is None and not shared
    panels = [
        Panel(title, field, _norm(field) if single else whole, colours, _label(field))
        for title, field in chosen.items()
    ]
    return sheet(panels, _WIDTH)


@dataclass(frozen=True)
class Panel:
    """A map: its title, field of two dimensions, colour scale and map, and the colour bar's label."""

    title: str
    field: xr.DataArray
    norm: Normalize
    colours: str = "viridis"
    label: str = ""


def sheet(panels: Sequence[Panel], width: float) -> Figure:
    """Maps of one region, two a row.

    Parameters
    ----------
    panels : sequence of Panel
    width : float [inches]
        Of a map with its colour bar.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot.
    """
    from matplotlib.figure import Figure

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    first = panels[0].field
    extent, geographic = _whole([panel.field for panel in panels]), is_geographic(first)
    height = rows * (width * _MAP_SHARE * _ratio(first) + 0.7)
    figure = Figure(figsize=(columns * width, height), layout="constrained")
    axes = map_axes(figure, rows, columns, extent, geographic=geographic)
    for axis in axes[len(panels) :]:
        axis.remove()
    for axis, panel in zip(axes, panels, strict=False):
        axis.set_facecolor(_GREY)
        image = _draw(axis, panel.field, panel.norm, panel.colours)
        axis.set_aspect(_aspect(first))
        dress(axis, extent, geographic=geographic)
        if not geographic:
            axis.set(xlabel=str(panel.field.dims[1]), ylabel=str(panel.field.dims[0]))
            axis.label_outer()
        axis.set_title(panel.title)
        _bar(figure, axis, image, panel.label)
    return figure


def _chosen(coarse: xr.DataArray, fine: xr.DataArray, day: int) -> dict[str, xr.DataArray]:
    """What `overview` shows of a day, by title."""
    y, x = fine.dims[-2:]
    if y not in coarse.dims or x not in coarse.dims:
        raise ValueError(
            f"coarse has dimensions {coarse.dims}: expected {y!r} and {x!r}, as the fine field has"
        )
    before = _day(coarse, {y, x}, day)
    members = _day(fine, {y, x, "realization"}, day).transpose(..., y, x)
    if "realization" not in members.dims:
        members = members.expand_dims("realization")
    stamp = f", {_stamp(before)}" if _stamp(before) else ""
    chosen = {f"coarse{stamp}": before.transpose(y, x)}
    for k in range(min(2, members.sizes["realization"])):
        chosen[f"member {k}"] = members.isel(realization=k)
    if members.sizes["realization"] > 1:
        chosen["spread"] = members.std("realization", ddof=1)
    return chosen


def _day(field: xr.DataArray, kept: set[Any], day: int) -> xr.DataArray:
    for name in [d for d in field.dims if d not in kept]:
        if not -field.sizes[name] <= day < field.sizes[name]:
            raise ValueError(f"day is {day}: {name!r} has {field.sizes[name]} steps")
        field = field.isel({name: day})
    return field


def _stamp(field: xr.DataArray) -> str:
    times = [c for c in field.coords.values() if c.ndim == 0 and c.dtype.kind == "M"]
    return str(times[0].values.astype("datetime64[D]")) if times else ""


def _label(field: xr.DataArray) -> str:
    return str(field.attrs.get("long_name", field.name)) + _units(field)


def _units(field: xr.DataArray) -> str:
    units = str(field.attrs.get("units", ""))
    return f" [{units}]" if units else ""


def _norm(*shown: xr.DataArray) -> Normalize:
    """Colours of some fields together, from the second percentile to the last thousandth of the values.

    Logarithmic over at most the top three decades, if nothing is negative and there is more than a decade.
    """
    from matplotlib.colors import LogNorm, Normalize

    values = np.concatenate([field.values.ravel() for field in shown])
    known = values[np.isfinite(values)]
    if known.size == 0:
        return Normalize(0.0, 1.0)
    low, high = (float(q) for q in np.quantile(known, [0.02, 0.999]))
    positive = known[known > 0]
    if known.min() >= 0 and positive.size:
        first, last = (float(q) for q in np.quantile(positive, [0.02, 0.999]))
        if last > _DECADE * first:
            return LogNorm(max(first, last * 10**-_DECADES), last)
    return Normalize(low, high if high > low else low + (abs(low) or 1.0))


def _ratio(field: xr.DataArray) -> float:
    left, right, low, high = _extent(field)
    return float(np.clip((high - low) * _aspect(field) / (right - left), 0.3, 2.0))


def _aspect(field: xr.DataArray) -> float:
    """Height of a unit of y over the width of a unit of x: a degree of longitude shrinks with latitude."""
    _, _, low, high = _extent(field)
    if max(abs(low), abs(high)) > 90:
        return 1.0
    return float(1 / max(np.cos(np.deg2rad((low + high) / 2)), 0.2))


def _coordinate(field: xr.DataArray, name: Any) -> NDArray[Any]:
    values = np.asarray(field[name].values, dtype=float)
    return np.unwrap(values, period=360.0) if np.abs(values).max(initial=0) <= 360 else values


def _extent(field: xr.DataArray) -> Extent:
    edges: list[float] = []
    for name in (field.dims[1], field.dims[0]):
        values = _coordinate(field, name)
        half = abs(values[-1] - values[0]) / max(values.size - 1, 1) / 2 or 0.5
        edges += [values.min() - half, values.max() + half]
    return edges[0], edges[1], edges[2], edges[3]


def _whole(shown: Sequence[xr.DataArray]) -> Extent:
    """The extent that holds them all."""
    west, east, south, north = zip(*(_extent(field) for field in shown), strict=True)
    return min(west), max(east), min(south), max(north)


def _draw(axis: Axes, field: xr.DataArray, norm: Normalize, colours: str) -> Any:
    from matplotlib.colors import LogNorm

    values = np.ma.masked_invalid(np.asarray(field.values, dtype=float))
    for position, name in enumerate(field.dims):
        coordinate = _coordinate(field, name)
        if coordinate[0] > coordinate[-1]:
            values = np.flip(values, axis=position)
    if isinstance(norm, LogNorm):
        values = np.ma.maximum(values, float(norm.vmin or 0))
    west, east, south, north = _extent(field)
    return axis.imshow(
        values,
        extent=(west - shift(axis), east - shift(axis), south, north),
        origin="lower",
        norm=norm,
        cmap=colours,
        interpolation="nearest",
    )


def _bar(figure: Figure, axis: Axes, image: Any, label: str) -> None:
    """A colour bar, with plain numbers."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    bar = figure.colorbar(image, ax=axis, label=label, extend="both", pad=0.01, shrink=0.9)
    if isinstance(image.norm, LogNorm):
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_locator(NullLocator())
