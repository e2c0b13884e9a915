"""Semivariograms: half the mean squared difference of a field's values, by the distance of its cells.

    gamma(h) = sum w_i w_j (z_i - z_j)^2 / 2 sum w_i w_j,    over all pairs with distance in the bin of h

Regular grids are summed over all pairs, exactly: on a plane by FFT (`variogram.plane`), on latitudes and
longitudes by great-circle distance (`variogram.sphere`). Robust estimators, stations and curvilinear grids
use some cells (`variogram.sampled`). Pairs are always of one day and one member: fields are pooled as
variograms, and the variogram of an ensemble's mean, which is smoother than any member, is never taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from xdownscale.cf.raster import Raster, raster
from xdownscale.diagnostics.variogram.cells import weights_of
from xdownscale.diagnostics.variogram.lags import EARTH_RADIUS, Lags
from xdownscale.diagnostics.variogram.models import Model
from xdownscale.diagnostics.variogram.plane import Plane
from xdownscale.diagnostics.variogram.points import on_axes, points, span
from xdownscale.diagnostics.variogram.sampled import CELLS, ESTIMATORS, Sampled
from xdownscale.diagnostics.variogram.sphere import Sphere
from xdownscale.diagnostics.variogram.sums import PairSums, gather
from xdownscale.diagnostics.variogram.table import Pooling, tabulate

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

__all__ = ["compare_semivariograms", "semivariogram"]


def semivariogram(
    da: xr.DataArray,
    *,
    lags: int | Sequence[float] | None = None,
    max_lag: float | None = None,
    directions: Sequence[float] | None = None,
    pool: str | Sequence[str] = ("time", "realization"),
    estimator: Literal["matheron", "cressie", "dowd", "genton"] = "matheron",
    model: str | None = "spherical",
    weights: Literal["area"] | xr.DataArray | None = None,
    method: Literal["auto", "exact", "sampled"] = "auto",
    intervals: int = 0,
    seed: int = 0,
    dims: Mapping[str, Hashable] | None = None,
) -> xr.Dataset:
    """Semivariogram of a field, with a fitted model.

    Parameters
    ----------
    da : DataArray, dims (..., lat, lon) or (..., y, x) or (..., station)
        NaN where missing. On dask the result is lazy.
    lags : int or sequence of float, optional
        Number of bins of equal width, or their edges; by default up to 24, none narrower than a cell.
    max_lag : float [km, or unit of the CRS where projected], optional
        By default a third of the domain's diagonal.
    directions : sequence of float [degree clockwise from north], optional
        One variogram for each azimuth, of pairs in a sector about it.
    pool : str or sequence of str
        Dimensions over which pairs are put together; others stay dimensions of the result.
    estimator : {"matheron", "cressie", "dowd", "genton"}
        All but the first are robust to outliers, and sampled.
    model : str or None
        "spherical", "exponential", "gaussian", "matern", "stable", or some joined by "+".
    weights : None, "area" or DataArray, >= 0
        Weight of a pair is the product of its cells'; 0 leaves a cell out.
    method : {"auto", "exact", "sampled"}
    intervals : int, >= 0
        Replicates of a bootstrap over blocks of days, for 95 % intervals; needs a pooled time.
    seed : int
        Of sampled cells and of the bootstrap.
    dims : mapping, optional
        `lat`, `lon`, `time` to names, where discovery cannot tell.

    Returns
    -------
    Dataset, dims (..., [direction], lag)
        `semivariance`, `pairs` and mean `distance` of the pairs of each bin; `nugget`, `partial_sill`,
        `sill` (their sum), effective `range`, `range_at_bound`, `rmse` of the fit. Bins without pairs are
        NaN; there is no fit, but a warning, where there are too few bins or the field is constant.

    Raises
    ------
    TypeError
        If values or weights are of another type.
    ValueError
        If an option is out of its range, coordinates do not fit, values are infinite, or weights negative.

    References
    ----------
    Matheron (1963), Principles of geostatistics, doi:10.2113/gsecongeo.58.8.1246.
    Marcotte (1996), Fast variogram computation with FFT, doi:10.1016/S0098-3004(96)00026-X.
    Maelicke (2022), SciKit-GStat 1.0, doi:10.5194/gmd-15-2505-2022.

    Examples
    --------
    >>> ramp = xr.DataArray(np.arange(6.0)[None], {"y": [0.0], "x": np.arange(6.0)}, ("y", "x"))
    >>> found = semivariogram(ramp, lags=[0.5, 1.5, 2.5], model=None)
    >>> found.semivariance.values, found.pairs.values
    (array([0.5, 2. ]), array([5, 4]))
    """
    _check_choice("estimator", estimator, ESTIMATORS)
    _check_choice("method", method, ("auto", "exact", "sampled"))
    fitted = None if model is None else Model.parse(model)
    laid = _lay(da, weights, estimator, method, seed, (lags, max_lag, directions), dims)
    pooling = Pooling.of(laid.fields, laid.space, pool, intervals, seed, dims)
    sums = gather(laid.fields, laid.weights, pooling.labels, laid.sums, laid.space)
    table = tabulate(sums, pooling, laid.sums.lags, fitted, da, laid.units)
    table.attrs |= laid.attrs | {"estimator": estimator}
    return table


def compare_semivariograms(variograms: Mapping[str, xr.Dataset], *, dim: str = "field") -> xr.Dataset:
    """Put semivariograms of several fields beside each other.

    Parameters
    ----------
    variograms : mapping of str to Dataset
        Of `semivariogram`, with equal lags and the same model.
    dim : str
        Dimension that holds the names.

    Returns
    -------
    Dataset
        With `dim` in front.

    Raises
    ------
    ValueError
        If there are none, or lags, units or models differ.

    Examples
    --------
    >>> da = xr.DataArray(np.eye(4), {"y": np.arange(4.0), "x": np.arange(4.0)}, ("y", "x"))
    >>> one = semivariogram(da, lags=2, model=None)
    >>> both = compare_semivariograms({"ours": one, "twice": semivariogram(2 * da, lags=2, model=None)})
    >>> (both.semivariance.sel(field="twice") / one.semivariance).values.round(12)
    array([nan,  4.])
    """
    if not variograms:
        raise ValueError("no semivariograms are given: expected names and Datasets")
    first, *others = variograms.values()
    for name, other in zip(list(variograms)[1:], others, strict=True):
        _check_alike(first, other, name)
    import pandas as pd

    return xr.concat(
        list(variograms.values()),
        dim=pd.Index(list(variograms), name=dim),
        data_vars="all",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="drop_conflicts",
    )


@dataclass(frozen=True, eq=False)
class _Laid:
    """Fields, what sums over their pairs, and how this is told."""

    fields: xr.DataArray
    weights: xr.DataArray | None
    space: tuple[Hashable, ...]
    sums: PairSums
    units: str
    attrs: dict[str, str]


def _lay(
    da: xr.DataArray,
    weights: Any,
    estimator: str,
    method: str,
    seed: int,
    lags: tuple[Any, Any, Any],
    dims: Mapping[str, Hashable] | None,
) -> _Laid:
    regular = on_axes(da, dims)
    if method == "exact" and (estimator != "matheron" or not regular):
        what = f"estimator {estimator!r}" if regular else "cells that lie on no regular grid"
        raise ValueError(
            f"method is 'exact' with {what}: expected 'matheron' on a regular grid, or 'sampled'"
        )
    if method == "sampled" or estimator != "matheron" or not regular:
        return _lay_points(da, weights, estimator, seed, lags, dims)
    return _lay_raster(_raster(da, dims), weights, lags)


def _raster(da: xr.DataArray, dims: Mapping[str, Hashable] | None) -> Raster:
    """The field's grid; that of a rotated pole has great circles as any other."""
    try:
        found = raster(da, dims=dims)
    except ValueError as error:
        if "evenly spaced" not in str(error):
            raise
        raise ValueError(f"{error}, or take method='sampled'") from error
    y, x = found.axes.lat, found.axes.lon
    if da[y].attrs.get("standard_name") != "grid_latitude":
        return found
    attrs = {y: {"standard_name": "latitude"}, x: {"standard_name": "longitude"}}
    plain = da.assign_coords({name: da[name].copy().assign_attrs(told) for name, told in attrs.items()})
    return raster(plain, dims={**(dims or {}), "lat": y, "lon": x})


def _lay_raster(found: Raster, weights: Any, lags: tuple[Any, Any, Any]) -> _Laid:
    grid, space = found.grid, (found.axes.lat, found.axes.lon)
    own = weights_of(weights, found)
    told = {"weights": "none" if own is None else ("area" if isinstance(weights, str) else "given")}
    ny, nx = grid.shape
    if not found.spherical:
        units = _plane_units(found)
        steps = (grid.y.step, grid.x.step)
        diagonal = float(np.hypot(ny * steps[0], nx * steps[1]))
        chosen = Lags.choose(*lags, diagonal=diagonal, cell=max(steps))
        plane = Plane((ny, nx), steps, chosen, own is not None)
        return _Laid(found.fields, own, space, plane, units, {"method": "all pairs, planar FFT", **told})
    shrink = float(np.cos(np.deg2rad(np.clip(grid.y.values.mean(), -90.0, 90.0))))
    diagonal = span(ny * grid.y.step, nx * grid.x.step, shrink)
    cell = float(np.deg2rad(max(grid.y.step, shrink * grid.x.step))) * EARTH_RADIUS
    sphere = Sphere(grid, Lags.choose(*lags, diagonal=diagonal, cell=cell), own is not None)
    told |= {"method": "all pairs, great-circle distance", "earth_radius": f"{EARTH_RADIUS} km"}
    return _Laid(found.fields, own, space, sphere, "km", told)


def _lay_points(
    da: xr.DataArray,
    weights: Any,
    estimator: str,
    seed: int,
    lags: tuple[Any, Any, Any],
    dims: Mapping[str, Hashable] | None,
) -> _Laid:
    if weights is not None:
        raise ValueError("weights are given for sampled cells: expected None, or the exact method")
    found = points(da, dims)
    diagonal = found.diagonal or 1.0
    chosen = Lags.choose(*lags, diagonal=diagonal, cell=diagonal / 1000)
    sums = Sampled(found.places, found.spherical, chosen, estimator, seed)
    cells = min(CELLS[estimator], len(found.places))
    told = {
        "method": f"all pairs of {cells} of {len(found.places)} cells, by scikit-gstat",
        "weights": "none",
    }
    if found.spherical:
        told["earth_radius"] = f"{EARTH_RADIUS} km"
    units = "km" if found.spherical else found.units
    return _Laid(found.fields, None, found.space, sums, units, told)


def _plane_units(found: Raster) -> str:
    y, x = (str(found.fields[d].attrs.get("units", "")) for d in (found.axes.lat, found.axes.lon))
    if y != x:
        raise ValueError(f"y is in {y!r} and x in {x!r}: bring them to one unit")
    if y.startswith("degree"):
        raise ValueError(
            f"{found.axes.lat!r} is in {y!r} but is no latitude: degrees are not planar; "
            "set its standard_name to 'latitude' or 'grid_latitude'"
        )
    return y


def _check_choice(name: str, value: Any, expected: Sequence[str]) -> None:
    if value not in expected:
        raise ValueError(f"{name} is {value!r}: expected one of {list(expected)}")


def _check_alike(first: xr.Dataset, other: xr.Dataset, name: str) -> None:
    if not np.array_equal(first.lag_bounds.values, other.lag_bounds.values):
        raise ValueError(f"{name!r} has other lags than the first: give both the same `lags`, as edges")
    for key, told in (("units", "units of lag"), ("model", "model")):
        one, two = (ds.lag.attrs.get(key) if key == "units" else ds.attrs.get(key) for ds in (first, other))
        if one != two:
            raise ValueError(f"{name!r} has another {told}, {two!r}, than the first, {one!r}")
