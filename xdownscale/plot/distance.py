"""Figures of distances: quantiles against quantiles, the distance's parts, and what chance makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["quantiles"]

_MARKED = (0.5, 0.9, 0.99)
_GREY = "#8c8c8c"


def quantiles(found: xr.Dataset) -> Figure:
    """Quantile-quantile plot of two fields, the parts of their distance, and the null where there is one.

    Parameters
    ----------
    found : Dataset
        One distance, from `wasserstein`: select one day, bin or support of several.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot. Quantiles .5, .9 and .99, which divide the parts, are marked.

    Raises
    ------
    ValueError
        If the Dataset holds several distances.

    Examples
    --------
    >>> import xarray as xr
    >>> from xdownscale.diagnostics.distance import wasserstein
    >>> da = xr.DataArray(np.arange(6.0).reshape(2, 3), {"lat": [0, 1], "lon": [0, 1, 2]}, ("lat", "lon"))
    >>> figure = quantiles(wasserstein(da + 1, da))
    >>> [axis.get_title() for axis in figure.axes]
    ['quantiles', 'W1 = 1']
    """
    from matplotlib.figure import Figure

    if found["w1"].ndim:
        raise ValueError(
            f"the distances lie along {list(found['w1'].dims)}: draw one, such as "
            f"found.isel({found['w1'].dims[0]}=0)"
        )
    panels = 3 if "null_w1" in found else 2
    figure = Figure(figsize=(4.4 * panels, 4.2), layout="constrained")
    axes = figure.subplots(1, panels)
    _draw_quantiles(axes[0], found)
    _draw_parts(axes[1], found)
    if panels == 3:
        _draw_null(axes[2], found)
    return figure


def _draw_quantiles(axis: Axes, found: xr.Dataset) -> None:
    x, y = (found["quantiles"].sel(sample=s).values for s in ("other", "da"))
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    axis.plot(ends, ends, color=_GREY, linewidth=0.8, zorder=1)
    axis.plot(x, y, color="black", linewidth=1.0, marker=".", markersize=3)
    for p in _MARKED:
        at = int(np.abs(found["probability"].values - p).argmin())
        axis.plot(x[at], y[at], "o", color="tab:red", markersize=5)
        axis.annotate(f"{p:g}", (x[at], y[at]), (5, -9), textcoords="offset points", fontsize=8)
    if ends[0] > 0 and ends[1] > 100 * ends[0]:
        axis.set_xscale("log")
        axis.set_yscale("log")
    unit = _units(found["quantiles"])
    axis.set(xlabel=f"other{unit}", ylabel=f"{found.attrs.get('variable', 'da')}{unit}", title="quantiles")


def _draw_parts(axis: Axes, found: xr.Dataset) -> None:
    names = [*found["part"].values, "|shift|", "shape"]
    values = [*found["parts"].values, abs(float(found["shift"])), float(found["shape"])]
    colours = ["tab:blue"] * found.sizes["part"] + [_GREY] * 2
    axis.bar(names, values, color=colours)
    off = float(found["w1_bound"])
    title = f"W1 = {float(found['w1']):.3g}" + (f" ± {off:.1g}" if off else "")
    axis.set(ylabel=f"W1{_scaled(found)}", title=title)
    axis.tick_params(axis="x", rotation=30)


def _draw_null(axis: Axes, found: xr.Dataset) -> None:
    deals = found["null_w1"].values
    axis.hist(deals, bins=max(10, round(np.sqrt(deals.size))), color=_GREY)
    axis.axvline(float(found["null_95"]), color="black", linestyle="--", label="95 %")
    axis.axvline(float(found["w1"]), color="tab:red", label="W1")
    days = int(found["block"])
    axis.set(xlabel=f"W1{_scaled(found)}", ylabel="deals")
    axis.set_title(f"one process, blocks of {days}: p = {float(found['p_value']):.2g}")
    axis.legend()


def _units(variable: xr.DataArray) -> str:
    units: Any = variable.attrs.get("units", "")
    return f" [{units}]" if units else ""


def _scaled(found: xr.Dataset) -> str:
    normalize = found.attrs.get("normalize", "None")
    return _units(found["w1"]) if normalize == "None" else f" / {normalize}"
