"""Figures of semivariograms: bins, model, and the model's nugget, sill and range.

Bins are circles at the mean distance of their pairs, with an area that grows with the number of pairs; a
bin without pairs is not drawn. The model is a line, its nugget a mark on the axis, its range a dropped line
down from the curve; a range that is at a bound of its fit is no estimate and is not drawn. Intervals are
shaded. The legend gives the nugget, the sill and the range. Variograms along one more dimension (fields,
directions, days, members) lie over each other, each with its colour, and colours read without colour
vision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.diagnostics.variogram.models import fitted_semivariance
from xdownscale.plot.palette import TRUTH, colours

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["compared", "semivariogram"]

# Okabe and Ito's palette, https://jfly.uni-koeln.de/color
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
_SMALLEST, _LARGEST = 12.0, 110.0  # areas of the circles [points^2]
_POINTS = 200


def semivariogram(variogram: xr.Dataset, ax: Axes | None = None) -> Figure:
    """Draw semivariograms.

    Parameters
    ----------
    variogram : Dataset
        Of `diagnostics.semivariogram` or `diagnostics.compare_semivariograms`, with at most one dimension
        beside the lag, of at most 8.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.figure.Figure
        A new one is not attached to pyplot: show it as a notebook's value, or ``savefig``.

    Raises
    ------
    ValueError
        If there are more dimensions, or too many variograms.

    Examples
    --------
    >>> import xarray as xr
    >>> from xdownscale.diagnostics import semivariogram as measure
    >>> da = xr.DataArray(np.eye(4), {"y": np.arange(4.0), "x": np.arange(4.0)}, ("y", "x"))
    >>> semivariogram(measure(da, lags=3, max_lag=3.0, model=None)).axes[0].get_xlabel()
    'distance'
    """
    from matplotlib.figure import Figure

    if ax is None:
        ax = Figure(figsize=(6.4, 4.4), layout="constrained").subplots()
    curves = _curves(variogram)
    most = max(float(one.pairs.max()) for _, one in curves)
    for colour, (label, one) in zip(_COLOURS, curves, strict=False):
        _draw(ax, one.load(), label, colour, most)
    _label(ax, variogram)
    figure: Any = ax.figure
    return figure  # type: ignore[no-any-return]


def compared(dataset: xr.Dataset) -> Figure:
    """Semivariograms of an evaluation's sources, and the truth's.

    Parameters
    ----------
    dataset : Dataset
        From `diagnostics.evaluate`.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot.

    Raises
    ------
    ValueError
        If the dataset holds no semivariograms.

    Examples
    --------
    >>> import xarray as xr
    >>> from xdownscale.diagnostics import evaluate
    >>> cells = {"realization": [0, 1], "lat": np.arange(8.0), "lon": np.arange(16.0)}
    >>> values = np.random.default_rng(0).lognormal(size=(2, 8, 16))
    >>> fields = xr.DataArray(values, cells)
    >>> found = evaluate(fields, fields.mean("realization"))
    >>> len(compared(found).axes[0].lines)  # the prediction and the truth
    2
    """
    from matplotlib.figure import Figure

    if "semivariogram_semivariance" not in dataset:
        raise ValueError("the dataset holds no semivariograms: expected what diagnostics.evaluate gives")
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axis = figure.subplots()
    found = dataset["semivariogram_semivariance"]
    names = [str(n) for n in found["source"].values]
    lags = dataset["semivariogram_distance"].isel(source=0)
    for name in names:
        axis.plot(lags, found.sel(source=name), color=colours(names)[name], label=name, linewidth=1.4)
    seen = dataset["semivariogram_truth_semivariance"].isel(source=0)
    axis.plot(lags, seen, color=TRUTH, label="truth", linewidth=1.8, linestyle="--")
    units = dataset["semivariogram_distance"].attrs.get("units", "")
    axis.set_xlabel(f"distance [{units}]" if units else "distance")
    axis.set_ylabel("semivariance, log space")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)
    return figure


def _curves(variogram: xr.Dataset) -> list[tuple[str, xr.Dataset]]:
    """Single variograms and their names."""
    more = [d for d in variogram.semivariance.dims if d != "lag"]
    if len(more) > 1:
        raise ValueError(
            f"dimensions {more} beside the lag: expected one; choose, for example .isel({more[0]}=0)"
        )
    if not more:
        return [("", variogram)]
    (name,) = more
    size = variogram.sizes[name]
    if size > len(_COLOURS):
        raise ValueError(f"{size} variograms along {name!r}: expected at most {len(_COLOURS)}; choose some")
    told = [_named(variogram, name, k) for k in range(size)]
    return [(label, variogram.isel({name: k})) for k, label in enumerate(told)]


def _named(variogram: xr.Dataset, name: Any, k: int) -> str:
    if name not in variogram.coords:
        return f"{name} {k}"
    value = variogram[name].values[k]
    if variogram[name].dtype.kind == "M":
        return str(value.astype("datetime64[D]"))
    return str(value) if isinstance(value, str) else f"{name} {value:g}"


def _draw(ax: Axes, one: xr.Dataset, label: str, colour: str, most: float) -> None:
    full = one.isel(lag=np.flatnonzero(one.pairs.values > 0))
    area = _SMALLEST + (_LARGEST - _SMALLEST) * full.pairs.values / max(most, 1.0)
    ax.scatter(
        full.distance, full.semivariance, s=area, color=colour, label=label or None, alpha=0.75, linewidth=0
    )
    if "semivariance_interval" in full:
        low, high = full.semivariance_interval.transpose("quantile", "lag").values
        ax.fill_between(full.distance.values, low, high, color=colour, alpha=0.18, linewidth=0)
    if "nugget" in one and np.isfinite(one.nugget.item()):
        _draw_model(ax, one, colour)


def _draw_model(ax: Axes, one: xr.Dataset, colour: str) -> None:
    reach = float(one.lag_bounds.max())
    h = np.linspace(reach / (1000 * _POINTS), reach, _POINTS)
    ax.plot(h, fitted_semivariance(one, h), color=colour, linewidth=1.4, label=_summary(one))
    ax.plot(
        [0.0], [one.nugget.item()], marker="_", markersize=14, markeredgewidth=2, color=colour, clip_on=False
    )
    spans, bounds = np.atleast_1d(one["range"].values), np.atleast_1d(one.range_at_bound.values)
    for span in spans[~bounds & (spans <= reach)]:
        ax.vlines(span, 0.0, fitted_semivariance(one, span), color=colour, linewidth=0.9, linestyle="--")


def _summary(one: xr.Dataset) -> str:
    """Parameters of the fit, as the legend tells them."""
    spans = ", ".join(f"{span:.3g}" for span in np.atleast_1d(one["range"].values))
    units = str(one["range"].attrs.get("units", ""))
    bound = " (at its bound)" if np.any(one.range_at_bound.values) else ""
    told = f"nugget {one.nugget.item():.3g}, sill {one.sill.item():.3g}, range {spans} {units}".rstrip()
    return f"{one.attrs['model']}: {told}{bound}"


def _label(ax: Axes, variogram: xr.Dataset) -> None:
    ax.set_xlim(left=0.0, right=float(variogram.lag_bounds.max()))
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("distance" + _units(variogram.lag))
    ax.set_ylabel("semivariance" + _units(variogram.semivariance))
    ax.set_title(variogram.attrs.get("title", ""))
    ax.grid(color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if any(label for label in ax.get_legend_handles_labels()[1]):
        ax.legend(frameon=False, fontsize="small")


def _units(variable: xr.DataArray) -> str:
    units = str(variable.attrs.get("units", ""))
    return f" [{units}]" if units else ""
