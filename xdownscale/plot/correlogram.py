"""Figures of memory: autocorrelations with the bands of series that have none, and persistence by lag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["autocorrelations", "persistence"]

_BAND = "#c6dbef"


def autocorrelations(found: xr.Dataset, *others: xr.Dataset) -> Figure:
    """Autocorrelations or partial ones by lag, with their bands.

    Parameters
    ----------
    found : Dataset
        From `acf` or `pacf`, of one series: pooled, of the mean, or of a pixel.
    *others : Dataset
        More panels.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot. Stems outside the band are correlations that 95 % of series without any at
        that lag do not show.

    Raises
    ------
    ValueError
        If a Dataset holds no autocorrelation, or several series.

    Examples
    --------
    >>> import xarray as xr
    >>> from xdownscale.diagnostics.correlogram import acf, pacf
    >>> rng = np.random.default_rng(0)
    >>> cells = {"time": np.arange(9), "lat": [0.0, 1.0], "lon": [0.0, 1.0]}
    >>> da = xr.DataArray(rng.normal(size=(9, 2, 2)), cells)
    >>> figure = autocorrelations(acf(da, 3, reduce="pooled"), pacf(da, 3, reduce="pooled"))
    >>> [axis.get_ylabel() for axis in figure.axes]
    ['autocorrelation', 'partial autocorrelation']
    """
    from matplotlib.figure import Figure

    panels = [found, *others]
    figure = Figure(figsize=(5.4 * len(panels), 3.6), layout="constrained")
    for axis, one in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axis, one)
    return figure


def persistence(found: xr.Dataset) -> Figure:
    """Scores of persistence by lag.

    Parameters
    ----------
    found : Dataset
        From `lag_curves`, of one series.

    Returns
    -------
    matplotlib.figure.Figure
        Error on the left, both determinations on the right. Not attached to pyplot.

    Raises
    ------
    ValueError
        If the Dataset holds no such scores, or several series.

    Examples
    --------
    >>> import xdownscale
    >>> dust = xdownscale.open_sample().DUEXTTAU
    >>> [axis.get_ylabel() for axis in persistence(dust.downscale.lag_curves(2)).axes]
    ['RMSE [1]', 'determination']
    """
    from matplotlib.figure import Figure

    _check(found, "rmse")
    figure = Figure(figsize=(10.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    lag, low = found["lag"].values, float(found["r2"].min())
    left.plot(lag, found["rmse"].values, "o-", color="black", markersize=4)
    left.set(xlabel="lag [steps]", ylabel=f"RMSE [{found['rmse'].attrs.get('units', '1')}]")
    right.axhline(0.0, color="black", linewidth=0.8)
    right.plot(lag, found["r2"].values, "o-", color="tab:blue", markersize=4, label="1 - SSE / SST")
    right.plot(lag, found["r2_corr"].values, "s-", color="tab:orange", markersize=4, label="r2")
    right.set(xlabel="lag [steps]", ylabel="determination", ylim=(max(-1.0, low) - 0.05, 1.05))
    right.legend()
    return figure


def _draw(axis: Axes, found: xr.Dataset) -> None:
    name = "pacf" if "pacf" in found else "acf"
    _check(found, name)
    lag, values, band = (np.asarray(found[k].values) for k in ("lag", name, "band"))
    axis.fill_between(lag[1:], -band[1:], band[1:], color=_BAND, linewidth=0)
    axis.axhline(0.0, color="black", linewidth=0.8)
    axis.vlines(lag, 0.0, values, color="black", linewidth=1.2)
    axis.plot(lag, values, "o", color="black", markersize=4)
    words: dict[str, Any] = {"acf": "autocorrelation", "pacf": "partial autocorrelation"}
    axis.set(xlabel="lag [steps]", ylabel=words[name], title=str(found.attrs.get("reduce", "")))


def _check(found: xr.Dataset, name: str) -> None:
    if name not in found:
        raise ValueError(f"no {name!r} in the Dataset, which has {list(found.data_vars)}")
    if found[name].ndim != 1:
        rest = [d for d in found[name].dims if d != "lag"]
        raise ValueError(f"several series along {rest}: draw one, such as found.isel({rest[0]}=0)")
