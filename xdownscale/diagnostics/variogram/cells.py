"""A field's values and weights as the pair sums take them.

Missing cells (NaN, or weight zero) get weight 0. Values are centred, which changes no difference and keeps
the sums small: first by one of them, so that a constant field is zero exactly, then by the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.cf.raster import Raster

__all__ = ["Cells", "weights_of"]


@dataclass(frozen=True, eq=False)
class Cells:
    """One field, ready for sums over pairs.

    Attributes
    ----------
    z : ndarray, float64
        Centred; 0 where missing.
    w : ndarray, float64, >= 0
        0 where missing.
    valid : ndarray of bool

    Examples
    --------
    >>> Cells.of(np.array([5.0, np.nan, 7.0])).z
    array([-1.,  0.,  1.])
    """

    z: NDArray[np.float64]
    w: NDArray[np.float64]
    valid: NDArray[np.bool_]

    @classmethod
    def of(cls, field: NDArray[Any], weights: NDArray[Any] | None = None) -> Cells:
        """From values and weights of one shape.

        Raises
        ------
        ValueError
            If a value is infinite, or a weight of a valid cell is negative or not finite.
        """
        z = np.array(field, dtype=np.float64)
        valid = ~np.isnan(z)
        infinite = int(np.isinf(z).sum())
        if infinite:
            raise ValueError(f"{infinite} values are infinite: mask them, da.where(np.isfinite(da))")
        w = valid.astype(np.float64)
        if weights is not None:
            w = np.where(valid, weights, 0.0)
            _check_weights(w)
            valid = w > 0
        z[~valid] = 0.0
        if valid.any():
            z[valid] -= z[valid][0]
            z[valid] -= z[valid].mean()
        return cls(z, w, valid)


def weights_of(weights: Any, raster: Raster) -> xr.DataArray | None:
    """Weights laid on the raster's cells.

    Parameters
    ----------
    weights : None, "area" or DataArray
        A DataArray has the raster's latitudes and longitudes, in any order, and may have more dimensions.
    raster : Raster

    Returns
    -------
    DataArray or None
        Dims (y, x), or those of the fields where the weights vary with time or member.

    Raises
    ------
    TypeError
        If they are anything else.
    ValueError
        If they lie on other cells.
    """
    space = (raster.axes.lat, raster.axes.lon)
    if weights is None:
        return None
    if isinstance(weights, str) and weights == "area":
        return xr.DataArray(raster.area, dims=space)
    if not isinstance(weights, xr.DataArray):
        raise TypeError(f"weights are {type(weights).__name__}: expected None, 'area' or a DataArray")
    foreign = [d for d in weights.dims if d not in raster.fields.dims]
    if foreign or not set(space) <= set(weights.dims):
        raise ValueError(f"weights have dimensions {weights.dims}: expected {space}, the field's")
    for name in weights.dims:
        if name in weights.coords and not weights.indexes[name].sort_values().equals(
            raster.fields.indexes[name].sort_values()
        ):
            raise ValueError(f"weights and field differ in {name!r}: expected the same coordinate")
    laid = weights.reindex({d: raster.fields[d] for d in weights.dims if d in weights.coords})
    if set(laid.dims) == set(space):
        return laid.transpose(*space)
    return laid.broadcast_like(raster.fields).transpose(*raster.fields.dims)


def _check_weights(w: NDArray[np.float64]) -> None:
    wrong = ~(np.isfinite(w) & (w >= 0))
    if wrong.any():
        raise ValueError(
            f"{int(wrong.sum())} weights of valid cells are negative or not finite, the first "
            f"{w[wrong][0]:g}: expected weights >= 0, 0 to leave a cell out"
        )
