"""Which grids two records lie on, where the user does not say.

MERRA-2 and G5NR where both records are windows of them, so that a model trained on a part serves the whole;
else each record's own grid, its first cell at index 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdownscale.cf.raster import raster
from xdownscale.grid import G5NR, MERRA2, Grid, factor

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["grid_of", "grids_of"]


def grid_of(da: xr.DataArray, known: Grid) -> Grid:
    """A known grid, if the array is a window of it; else the array's own.

    Parameters
    ----------
    da : DataArray
    known : Grid

    Raises
    ------
    ValueError, TypeError
        As `raster`.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> cells = {"lat": 20.25 + 0.5 * np.arange(3), "lon": 0.625 * np.arange(4)}
    >>> grid_of(xr.DataArray(np.zeros((3, 4)), cells, ("lat", "lon")), MERRA2).y.values
    array([20.25, 20.75, 21.25])
    """
    own = raster(da).grid
    try:
        known.y.locate(own.y.values)
        known.x.locate(own.x.values)
    except ValueError:
        return own
    return known if own.y.kind == known.y.kind else own


def grids_of(coarse: xr.DataArray, fine: xr.DataArray) -> tuple[Grid, Grid]:
    """The grids of a pair of records.

    Parameters
    ----------
    coarse, fine : DataArray

    Returns
    -------
    (Grid, Grid)

    Raises
    ------
    ValueError
        If one lies on a sphere and the other on a plane, or the coarse cells are not the larger ones.
    """
    found = grid_of(coarse, MERRA2), grid_of(fine, G5NR)
    if found[0] is not MERRA2 or found[1] is not G5NR:
        found = raster(coarse).grid, raster(fine).grid
    kinds = [grid.y.kind for grid in found]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"the coarse record's axis is a {kinds[0]}, the fine one's a {kinds[1]}: the two do not nest; "
            "reproject one of them"
        )
    if min(factor(*found)) < 1.5:
        raise ValueError(
            f"coarse cells of {found[0].y.step:g} x {found[0].x.step:g} and fine ones of "
            f"{found[1].y.step:g} x {found[1].x.step:g} do not nest: expected coarse cells at least 1.5 "
            "times as wide either way; are the two swapped?"
        )
    return found
