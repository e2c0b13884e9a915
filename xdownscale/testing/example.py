"""Coarse days that a model must accept: made from its card alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from xdownscale.models.schema import STEPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.grid import Axis, Grid
    from xdownscale.models import Downscaler

__all__ = ["example", "home", "room"]


def example(
    model: Downscaler, *, days: int = 3, shape: tuple[int, int] = (6, 8), seed: int = 0
) -> xr.DataArray:
    """Smooth random coarse fields amid a model's region, in one of its months.

    Parameters
    ----------
    model : Downscaler
    days : int
        Steps of the card's cadence.
    shape : (int, int) [coarse cells]
        Cut to what the region has.
    seed : int

    Returns
    -------
    DataArray, dims (time, lat, lon) or (time, y, x), float64 [the model's units]
        The values have the card's source quantiles, from 2 to 98 %; without those, its transform's inverse of
        normal values.

    Examples
    --------
    >>> from xdownscale import resolve
    >>> example(resolve("jja_asia"), days=2).sizes
    Frozen({'time': 2, 'lat': 6, 'lon': 8})
    """
    card = model.card
    grid = home(model, shape)
    values = _values(model, days, grid.shape, seed)
    y, x = ("y", "x") if grid.y.kind == "plane" else ("lat", "lon")
    step = int(card.cadence.rstrip("Dhmins")) * STEPS[card.cadence.lstrip("0123456789")]
    first = np.datetime64(f"2005-{card.months[0]:02d}-10T12:00", "ns")
    time = first + np.arange(days) * np.timedelta64(step, "us").astype("timedelta64[ns]")
    attrs = {"units": card.units, "long_name": card.long_name, "standard_name": card.standard_name}
    da = xr.DataArray(
        values,
        {"time": time, y: grid.y.values, x: grid.x.values},
        ("time", y, x),
        card.variable,
        {k: v for k, v in attrs.items() if v},
    )
    return _on_the_plane(da, grid) if grid.y.kind == "plane" else da


def home(model: Downscaler, shape: tuple[int, int]) -> Grid:
    """The window of so many coarse cells amid a model's region; smaller where the region is."""
    grid, region = model.coarse, model.card.region
    if "lat" in region:
        y = _amid(grid.y, region["lat"], shape[0])
        return grid.window(y, _amid(grid.x, region["lon"], shape[1]))
    return grid.window(_amid(grid.y, region["y"], shape[0]), _amid(grid.x, region["x"], shape[1]))


def room(model: Downscaler) -> tuple[int, int]:
    """Coarse cells of a model's region, along each axis."""
    return home(model, (model.coarse.y.size, model.coarse.x.size)).shape


def _amid(axis: Axis, edges: list[float], wanted: int) -> tuple[int, int]:
    """Start and size of the window in the middle of a range of the axis."""
    values, low = axis.values, edges[0]
    if axis.kind == "longitude":
        beyond = (values - low) % 360.0
        inside = np.flatnonzero(beyond <= edges[1] - low)
        inside = inside[np.argsort(beyond[inside])]
    else:
        inside = np.flatnonzero((values >= low) & (values <= edges[1]))
    if not inside.size:
        raise ValueError(f"the card's region {edges} holds no cell of its coarse grid")
    size = min(wanted, inside.size)
    return axis.start + int(inside[(inside.size - size) // 2]), size


def _values(model: Downscaler, days: int, shape: tuple[int, int], seed: int) -> NDArray[np.float64]:
    card = model.card
    z = np.random.default_rng(seed).normal(size=(days, *shape))
    z = gaussian_filter(z, (0.5, 1.0, 1.0), mode="wrap")
    z = (z - z.mean()) / (z.std() or 1.0)
    if card.source_quantiles:
        share = 0.02 + 0.96 * ndtr(z)
        found = np.interp(share, np.linspace(0, 1, len(card.source_quantiles)), card.source_quantiles)
    else:
        found = np.clip(model.scaling.inverse(z), *card.value_range)
    return np.asarray(found, dtype=np.float64)


def _on_the_plane(da: xr.DataArray, grid: Grid) -> xr.DataArray:
    for name, axis in (("y", "Y"), ("x", "X")):
        da[name].attrs = {"standard_name": f"projection_{name}_coordinate", "axis": axis}
    if grid.crs:
        import rioxarray  # noqa: F401

        da = da.rio.write_crs(grid.crs)
    return da
