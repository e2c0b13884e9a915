"""The coarse twin of a fine field: exact conservative means over blocks of cells, or on a given grid.

It makes the pairs of a perfect-model training, and says at common support what a fine field holds.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xdownscale.cf.raster import Raster, raster
from xdownscale.grid import Axis, Grid, coarsening, covered

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

__all__ = ["coarsen"]


def coarsen(
    da: xr.DataArray,
    to: tuple[int, int] | Grid,
    *,
    min_valid: float = 0.5,
    dims: Mapping[str, Hashable] | None = None,
) -> xr.DataArray:
    """Area-weighted means on coarser cells.

    Parameters
    ----------
    da : DataArray, dims (..., lat, lon) in any order
        On a regular grid; NaN where missing. May be lazy: it stays so.
    to : (int, int) or Grid
        Fine cells to a coarse cell, (rows, columns), counted from the south-west corner; or a grid, of which
        all cells are taken that the field covers wholly (`xdownscale.MERRA2`).
    min_valid : float, 0-1
        Least share of a cell's area that must be known; below it the cell is missing.
    dims : mapping, optional
        Names that discovery cannot tell.

    Returns
    -------
    DataArray
        Dimensions in the order of the input, latitude and longitude rising; name and attributes are kept.

    Raises
    ------
    ValueError
        If the blocks are smaller than one cell or larger than the field, the grid is of another kind, or
        `min_valid` is no share.

    Examples
    --------
    >>> cells = {"y": 0.5 + np.arange(4), "x": 0.5 + np.arange(6)}
    >>> coarsen(xr.DataArray(np.arange(24.0).reshape(4, 6), cells, ("y", "x")), (2, 3)).values
    array([[ 4.,  7.],
           [16., 19.]])
    """
    if not 0 <= min_valid <= 1:
        raise ValueError(f"min_valid is {min_valid}: expected a share from 0 to 1")
    found = raster(da, dims=dims)
    target = _target(found, to)
    operator = coarsening(found.grid, target)
    y, x = found.axes.lat, found.axes.lon
    out: xr.DataArray = xr.apply_ufunc(
        partial(operator.mean, min_valid=min_valid),
        found.fields,
        input_core_dims=[[y, x]],
        output_core_dims=[[y, x]],
        exclude_dims={y, x},
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {y: target.shape[0], x: target.shape[1]}, "allow_rechunk": True},
        output_dtypes=[np.float64],
        keep_attrs=True,
    )
    out = out.assign_coords(
        {name: (name, axis.values, da[name].attrs) for name, axis in ((y, target.y), (x, target.x))}
    )
    return out.transpose(*da.dims)


def _target(found: Raster, to: tuple[int, int] | Grid) -> Grid:
    if not isinstance(to, Grid):
        rows, columns = to
        return Grid(_blocks(found.grid.y, rows), _blocks(found.grid.x, columns), found.grid.crs)
    if to.y.kind != found.grid.y.kind:
        raise ValueError(f"the field's axis is a {found.grid.y.kind}, the grid's a {to.y.kind}: reproject it")
    return covered(found.grid, to)


def _blocks(axis: Axis, cells: int) -> Axis:
    """Cells of a number of the axis's own, the first edges in common."""
    if not 1 <= cells <= axis.size:
        raise ValueError(f"blocks of {cells} cells on {axis.size}: expected 1 to {axis.size}")
    step = cells * axis.step
    period = axis.period // cells if axis.period is not None and axis.period % cells == 0 else None
    return Axis(axis.edges[0] + 0.5 * step, step, 0, axis.size // cells, axis.kind, period)
