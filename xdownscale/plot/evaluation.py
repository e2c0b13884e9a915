"""The figures of an evaluation, by title: what the report shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdownscale.plot.day import beside
from xdownscale.plot.ranks import rank_histogram
from xdownscale.plot.scores import errors, neighbourhoods, quantile_ratios
from xdownscale.plot.spectrum import power_spectrum
from xdownscale.plot.variogram import compared

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["figures"]

_PREFIX = "spectrum_"


def figures(
    dataset: xr.Dataset,
    *,
    prediction: xr.DataArray | None = None,
    truth: xr.DataArray | None = None,
    coarse: xr.DataArray | None = None,
    day: int = 0,
) -> dict[str, Figure]:
    """Every figure for which the dataset has the numbers.

    Parameters
    ----------
    dataset : Dataset
        From `diagnostics.evaluate`.
    prediction, truth, coarse : DataArray, optional
        For maps; none are drawn without all three.
    day : int
        Position along the prediction's time of the maps.

    Returns
    -------
    dict of matplotlib.figure.Figure
        By title.
    """
    out: dict[str, Figure] = {}
    if prediction is not None and truth is not None and coarse is not None:
        out["One day"] = beside(coarse, prediction, truth, day=day)
    out["Errors"] = errors(dataset)
    if "spectrum_power" in dataset:
        names = {v: str(v).removeprefix(_PREFIX) for v in dataset.data_vars if str(v).startswith(_PREFIX)}
        out["Power by wavenumber"] = power_spectrum(dataset[list(names)].rename(names))
    for title, key, draw in (
        ("Semivariograms", "semivariogram_semivariance", compared),
        ("Ranks", "rank_histogram", rank_histogram),
        ("Quantiles", "quantile_ratio", quantile_ratios),
        ("Neighbourhoods", "fss", neighbourhoods),
    ):
        if key in dataset:
            out[title] = draw(dataset)
    return out
