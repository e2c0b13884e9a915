"""Power by wavenumber along one direction of a grid.

Each row is detrended by its mean, tapered by a Hann window (power restored by its mean square) and
transformed; |F|^2 is averaged over rows, days and members. Wavenumbers are cycles per cell, 0 to 1/2: a ratio
of two spectra on one grid needs no more. What it is not: an isotropic or spherical spectrum.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["band_ratio", "power"]


def power(fields: NDArray[Any], *, axis: int = -1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power spectrum along an axis.

    Parameters
    ----------
    fields : ndarray, shape (..., ny, nx)
        Without NaN.
    axis : {-1, -2}
        East-west or north-south.

    Returns
    -------
    wavenumber : ndarray, shape (n // 2,) [cycles per cell]
        Without the mean.
    power : ndarray, shape (n // 2,)
        Variance per bin: sums to the (tapered) variance along the axis.

    Examples
    --------
    >>> x = np.cos(2 * np.pi * np.arange(64) / 8)[None]
    >>> k, p = power(x)
    >>> float(k[p.argmax()]), round(float(p.sum()), 3)
    (0.125, 0.5)
    """
    rows = np.moveaxis(np.asarray(fields, dtype=np.float64), axis, -1)
    n = rows.shape[-1]
    taper = np.hanning(n + 1)[:-1]
    taper /= np.sqrt((taper**2).mean())
    spectrum = np.fft.rfft((rows - rows.mean(axis=-1, keepdims=True)) * taper)
    p = (np.abs(spectrum) ** 2).reshape(-1, spectrum.shape[-1]).mean(axis=0) / n**2
    p[1 : (n + 1) // 2] *= 2
    return np.asarray(np.fft.rfftfreq(n)[1:], dtype=np.float64), p[1:]


def band_ratio(
    ours: NDArray[Any], truth: NDArray[Any], wavenumber: NDArray[Any], wavelengths: Sequence[float]
) -> NDArray[np.float64]:
    """Ratio of two spectra summed over bands.

    Parameters
    ----------
    ours, truth : ndarray, shape (n,)
        From `power`.
    wavenumber : ndarray, shape (n,) [cycles per cell]
    wavelengths : sequence of float [cells]
        Edges of the bands, falling; the first may be `inf`.

    Returns
    -------
    ndarray, shape (len(wavelengths) - 1,)
        NaN where a band holds no wavenumber.
    """
    edges = 1.0 / np.asarray(wavelengths, dtype=np.float64)
    out = np.full(len(edges) - 1, np.nan)
    for i, (low, high) in enumerate(pairwise(edges)):
        band = (wavenumber > low) & (wavenumber <= high)
        if band.any():
            out[i] = ours[band].sum() / truth[band].sum()
    return out
