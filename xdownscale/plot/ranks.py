"""Rank histograms: where the truth falls among the members."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xdownscale.plot.palette import GUIDE, TRUTH, colours

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["rank_histogram"]


def rank_histogram(dataset: xr.Dataset) -> Figure:
    """Draw the rank histogram of `scores`, with its interval if there is one.

    Parameters
    ----------
    dataset : Dataset
        From `diagnostics.scores` or `evaluate`.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot. A panel for each source with members; 1 is flat.

    Raises
    ------
    ValueError
        If no source has members.

    Examples
    --------
    >>> import xarray as xr
    >>> from xdownscale.diagnostics import evaluate
    >>> cells = {"realization": [0, 1], "lat": np.arange(8.0), "lon": np.arange(16.0)}
    >>> values = np.random.default_rng(0).lognormal(size=(2, 8, 16))
    >>> fields = xr.DataArray(values, cells)
    >>> found = evaluate(fields, fields.mean("realization"))
    >>> rank_histogram(found).axes[0].get_title()
    'prediction, 2 members'
    """
    from matplotlib.figure import Figure

    if "rank_histogram" not in dataset:
        raise ValueError("the dataset holds no rank histogram: ranks need a source with at least two members")
    found = dataset["rank_histogram"]
    names = [str(n) for n in found["source"].values if np.isfinite(found.sel(source=n)).any()]
    figure = Figure(figsize=(5.2 * len(names), 3.0), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for axis, name in zip(panels, names, strict=True):
        line = found.sel(source=name).dropna("rank")
        ranks, height = line["rank"].values, line.values * line.size
        axis.bar(ranks, height, width=0.9, color=colours(names)[name], alpha=0.85)
        axis.axhline(1.0, color=TRUTH, linewidth=1.0)
        if "rank_histogram_interval" in dataset:
            bounds = dataset["rank_histogram_interval"].sel(source=name, rank=ranks).values * line.size
            axis.vlines(ranks, bounds[:, 0], bounds[:, 1], color=GUIDE, linewidth=1.6)
        axis.set_title(f"{name}, {line.size - 1} members")
        axis.set_xlabel("members below the truth")
        axis.xaxis.get_major_locator().set_params(integer=True)
    panels[0].set_ylabel("frequency over that of equal ranks")
    return figure
