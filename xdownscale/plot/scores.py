"""Scores of all sources side by side: errors, quantiles and neighbourhoods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.plot.palette import GUIDE, TRUTH, colours

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["errors", "neighbourhoods", "quantile_ratios"]

_ERRORS = ("crps", "mae", "rmse", "bias", "r2", "spread_skill")
_WORDS = {"crps": "CRPS", "mae": "MAE", "rmse": "RMSE", "r2": "R2", "spread_skill": "spread/skill"}


def errors(dataset: xr.Dataset, names: Sequence[str] = _ERRORS) -> Figure:
    """A row of dots for each source, a panel for each score, with intervals if there are any.

    Parameters
    ----------
    dataset : Dataset
        From `diagnostics.scores` or `evaluate`.
    names : sequence of str
        Scores to draw; those that the dataset lacks, or that are all NaN, are left out.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot. A row of panels for each space; a line marks the best value.

    Raises
    ------
    ValueError
        If none of the scores is there.

    Examples
    --------
    >>> import xarray as xr
    >>> from xdownscale.diagnostics import evaluate
    >>> cells = {"realization": [0, 1], "lat": np.arange(8.0), "lon": np.arange(16.0)}
    >>> values = np.random.default_rng(0).lognormal(size=(2, 8, 16))
    >>> fields = xr.DataArray(values, cells)
    >>> found = evaluate(fields, fields.mean("realization"))
    >>> [axis.get_title() for axis in errors(found, ["crps", "mae"]).axes[:2]]
    ['CRPS', 'MAE']
    """
    from matplotlib.figure import Figure

    names = [n for n in names if n in dataset and np.isfinite(dataset[n]).any()]
    if not names:
        raise ValueError(f"the dataset holds {sorted(map(str, dataset))}: expected scores such as 'crps'")
    spaces = [str(s) for s in np.atleast_1d(dataset["space"].values)] if "space" in dataset.coords else [""]
    sources = [str(s) for s in dataset["source"].values]
    size = 2.1 * len(names) + 1.0, len(spaces) * (0.28 * len(sources) + 1.1)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(spaces), len(names), squeeze=False, sharey=True)
    for row, space in zip(panels, spaces, strict=True):
        for axis, name in zip(row, names, strict=True):
            _dots(axis, dataset, name, space, sources)
        row[0].set_ylabel(f"{space} space" if space else "")
    return figure


def quantile_ratios(dataset: xr.Dataset) -> Figure:
    """Quantiles over the truth's, by the share of values above, so that the tail has room.

    Parameters
    ----------
    dataset : Dataset
        From `diagnostics.scores` or `evaluate`, with quantiles.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are no quantiles.

    Examples
    --------
    >>> import xarray as xr
    >>> from xdownscale.diagnostics import evaluate
    >>> cells = {"realization": [0, 1], "lat": np.arange(8.0), "lon": np.arange(16.0)}
    >>> values = np.random.default_rng(0).lognormal(size=(2, 8, 16))
    >>> fields = xr.DataArray(values, cells)
    >>> found = evaluate(fields, fields.mean("realization"))
    >>> quantile_ratios(found).axes[0].get_xlabel()
    'quantile'
    """
    found = _asked(dataset, "quantile_ratio", "quantiles=")
    figure, axis = _single()
    above = 1 - found["quantile"].values
    for name, colour in colours(map(str, found["source"].values)).items():
        line = found.sel(source=name)
        axis.semilogx(above, line, color=colour, marker="o", markersize=4, label=name)
        if "quantile_ratio_interval" in dataset:
            bounds = dataset["quantile_ratio_interval"].sel(source=name)
            axis.fill_between(
                above, *bounds.transpose("bound", ...).values, color=colour, alpha=0.15, linewidth=0
            )
    axis.axhline(1.0, color=TRUTH, linewidth=0.8)
    axis.set_xticks(above, [f"{q:g}" for q in found["quantile"].values])
    axis.minorticks_off()
    axis.invert_xaxis()
    axis.set_xlabel("quantile")
    axis.set_ylabel("over the truth's")
    axis.legend(frameon=False, fontsize="small")
    return figure


def neighbourhoods(dataset: xr.Dataset) -> Figure:
    """Fractions skill score by the window's side, a panel for each threshold.

    Parameters
    ----------
    dataset : Dataset
        From `diagnostics.scores` or `evaluate`, with thresholds and windows.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such score.

    Examples
    --------
    >>> import xarray as xr
    >>> from xdownscale.diagnostics import evaluate
    >>> cells = {"realization": [0, 1], "lat": np.arange(8.0), "lon": np.arange(16.0)}
    >>> values = np.random.default_rng(0).lognormal(size=(2, 8, 16))
    >>> fields = xr.DataArray(values, cells)
    >>> found = evaluate(fields, fields.mean("realization"))
    >>> neighbourhoods(found).axes[0].get_ylabel()
    'fractions skill score'
    """
    from matplotlib.figure import Figure

    found = _asked(dataset, "fss", "thresholds= and windows=")
    count = found.sizes["threshold"]
    figure = Figure(figsize=(3.2 * count + 0.4, 2.9), layout="constrained")
    panels = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    units = str(found["threshold"].attrs.get("units", ""))
    for axis, threshold in zip(panels, found["threshold"].values, strict=True):
        for name, colour in colours(map(str, found["source"].values)).items():
            line = found.sel(source=name, threshold=threshold)
            axis.plot(found["window"].values, line, color=colour, marker="o", markersize=4, label=name)
        axis.set_xscale("log", base=2)
        axis.set_xticks(found["window"].values, [str(w) for w in found["window"].values])
        axis.minorticks_off()
        axis.set_ylim(0, 1.02)
        axis.grid(color=GUIDE, alpha=0.25, linewidth=0.5)
        axis.set_title(f"at least {threshold:g}" + (f" {units}" if units not in ("", "1") else ""))
        axis.set_xlabel("window [cells]")
    panels[0].set_ylabel("fractions skill score")
    panels[0].legend(frameon=False, fontsize="small")
    return figure


def _dots(axis: Axes, dataset: xr.Dataset, name: str, space: str, sources: list[str]) -> None:
    line = dataset[name]
    bounds = dataset.get(f"{name}_interval")
    if "space" in line.dims:
        line = line.sel(space=space)
        bounds = None if bounds is None else bounds.sel(space=space)
    place = np.arange(len(sources))[::-1]
    for y, source, colour in zip(place, sources, colours(sources).values(), strict=True):
        if bounds is not None:
            axis.hlines(y, *bounds.sel(source=source).values, color=colour, linewidth=2.5, alpha=0.5)
        axis.plot(line.sel(source=source), y, "o", color=colour, markersize=6)
    if line.attrs.get("best"):
        axis.axvline(float(line.attrs["best"]), color=GUIDE, linewidth=0.8, linestyle="--")
    axis.set_yticks(place, sources)
    axis.set_ylim(-0.6, len(sources) - 0.4)
    axis.set_title(_WORDS.get(name, name.replace("_", " ")), fontsize="medium")
    axis.margins(x=0.12)
    axis.locator_params(axis="x", nbins=4)
    axis.grid(axis="x", color=GUIDE, alpha=0.25, linewidth=0.5)


def _asked(dataset: xr.Dataset, name: str, option: str) -> xr.DataArray:
    if name not in dataset:
        raise ValueError(f"the dataset holds no {name!r}: ask for it with {option}")
    return dataset[name]


def _single() -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    return figure, figure.subplots()
