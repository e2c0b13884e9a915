"""One day of a prediction beside its coarse input and the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from xdownscale.diagnostics.sources import line_up
from xdownscale.plot import maps
from xdownscale.plot.maps import Panel, sheet

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from xdownscale.diagnostics.sources import Comparison

__all__ = ["beside"]

_WIDTH = 5.2


def beside(coarse: xr.DataArray, prediction: xr.DataArray, truth: xr.DataArray, *, day: int = 0) -> Figure:
    """Coarse input, truth, a member, and the members' spread or else the error.

    Parameters
    ----------
    coarse, prediction, truth : DataArray
        As for `diagnostics.evaluate`; of lazy fields one day is computed.
    day : int
        Position along the truth's times that the prediction has.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot. The first three share their colours.

    Raises
    ------
    ValueError
        If there is no such day, or the fields do not fit.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> cells = {"lat": [0.0, 1.0], "lon": [0.0, 1.0, 2.0]}
    >>> field = xr.DataArray(np.full((2, 3), 0.1), cells, ("lat", "lon"))
    >>> [axis.get_title() for axis in beside(field, field, field).axes[:4]]
    ['coarse', 'truth', 'prediction', 'error']
    """
    chosen = _panels(line_up(prediction, truth, coarse), day)
    shared = maps._norm(*(field for _, field in chosen[:3]))
    panels = [Panel(title, field, shared, label=maps._label(prediction)) for title, field in chosen[:3]]
    title, field = chosen[3]
    label = {"spread": "standard deviation over members", "error": "absolute error"}[title]
    last = Panel(title, field, maps._norm(field), maps.SPREAD, label + maps._units(prediction))
    return sheet([*panels, last], _WIDTH)


def _panels(comparison: Comparison, day: int) -> list[tuple[str, xr.DataArray]]:
    seen = comparison.seen()
    times = comparison.truth.sizes["time"]
    if not -times <= day < times:
        raise ValueError(f"day is {day}: the prediction has {times} times")
    truth, members = (
        da.isel({"time": day}, missing_dims="ignore").load()
        for da in (seen, comparison.labelled(comparison.sources[0]))
    )
    before = cast("xr.DataArray", comparison.coarse).isel(time=day).load()
    before = before.rename(dict(zip(before.dims, truth.dims, strict=True)))
    stamp = maps._stamp(truth)
    panels = [(f"coarse, {stamp}" if stamp else "coarse", before), ("truth", truth)]
    if members.sizes["realization"] > 1:
        last = "spread", members.std("realization", ddof=1)
        return [*panels, ("member 0", members.isel(realization=0)), last]
    single = members.isel(realization=0)
    return [*panels, ("prediction", single), ("error", abs(single - truth))]
