"""Figures of fields: the coarse input, what was drawn from it, and how far the draws differ.

Aerosol spans decades, so colours are logarithmic, one scale for the input and all draws; the spread (standard
deviation over members) has its own. Both colour maps rise evenly in lightness and read without colour vision.
Cells without a value are grey.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["overview"]

_DECADES = 3.0
_WIDTH = 6.4
_MAP_SHARE = 0.85
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
    from matplotlib.figure import Figure

    maps = _maps(coarse, fine, day)
    shared = _norm(np.concatenate([field.values.ravel() for title, field in maps if title != "spread"]))
    rows = (len(maps) + 1) // 2
    size = (2 * _WIDTH, rows * (_WIDTH * _MAP_SHARE * _ratio(maps[0][1]) + 0.7))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, 2, sharex=True, sharey=True).flat
    for axis, (title, field) in zip(axes, maps, strict=True):
        spread = title == "spread"
        norm = _norm(field.values.ravel()) if spread else shared
        image = _draw(axis, field, norm, "magma" if spread else "viridis")
        axis.set_title(title)
        label = f"standard deviation over members{_units(fine)}" if spread else _label(fine)
        figure.colorbar(image, ax=axis, label=label, extend="both", pad=0.01, shrink=0.9)
    return figure


def _maps(coarse: xr.DataArray, fine: xr.DataArray, day: int) -> list[tuple[str, xr.DataArray]]:
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
    maps = [(f"coarse{stamp}", before.transpose(y, x))]
    maps += [
        (f"member {k}", members.isel(realization=k)) for k in range(min(2, members.sizes["realization"]))
    ]
    if members.sizes["realization"] > 1:
        maps.append(("spread", members.std("realization", ddof=1)))
    return maps


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


def _norm(values: NDArray[Any]) -> LogNorm:
    """Logarithmic colours over the top three decades of the values; any range if none is positive."""
    from matplotlib.colors import LogNorm

    positive = values[np.isfinite(values) & (values > 0)]
    if positive.size == 0:
        return LogNorm(1e-3, 1.0)
    low, high = np.quantile(positive, [0.02, 0.999])
    low = max(float(low), float(high) * 10**-_DECADES)
    return LogNorm(low, float(high) if high > low else 2 * low)


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


def _extent(field: xr.DataArray) -> tuple[float, float, float, float]:
    edges: list[float] = []
    for name in (field.dims[1], field.dims[0]):
        values = _coordinate(field, name)
        half = abs(values[-1] - values[0]) / max(values.size - 1, 1) / 2 or 0.5
        edges += [values.min() - half, values.max() + half]
    return edges[0], edges[1], edges[2], edges[3]


def _draw(axis: Axes, field: xr.DataArray, norm: LogNorm, colours: str) -> Any:
    values = np.ma.masked_invalid(np.asarray(field.values, dtype=float))
    for position, name in enumerate(field.dims):
        coordinate = _coordinate(field, name)
        if coordinate[0] > coordinate[-1]:
            values = np.flip(values, axis=position)
    axis.set_facecolor(_GREY)
    shown = np.ma.maximum(values, float(norm.vmin or 0))
    image = axis.imshow(
        shown, extent=_extent(field), origin="lower", norm=norm, cmap=colours, interpolation="nearest"
    )
    axis.set_aspect(_aspect(field))
    axis.grid(color="white", linewidth=0.4, alpha=0.4)
    axis.set_xlabel(str(field.dims[1]))
    axis.set_ylabel(str(field.dims[0]))
    axis.label_outer()
    return image
