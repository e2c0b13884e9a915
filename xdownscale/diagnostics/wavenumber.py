"""Variance by wavenumber, on arrays.

A row of n values, detrended and tapered (the taper's mean square is one), has the variance of its line j

    |F_j|^2 / n^2,  j = 0 .. n/2,  twice that between 0 and n/2,

so that its lines sum to its mean square (Parseval). `Bins` brings the lines of rows of different lengths to
one axis of physical wavenumbers: a line stands for the interval of one fundamental about it, and a bin takes
the share that it overlaps. Nothing is lost: what lies beyond the last bin is kept apart. On a plane the modes
of the two-dimensional transform are sorted by their distance from zero, and the axis ends where the coarser
of the two directions does, since no whole ring lies beyond.

`power` and `band_ratio` are the short way for rows of one length: wavenumbers in cycles per cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["Bins", "band_ratio", "line_bins", "line_variance", "mode_variance", "power", "ring_bins"]

Detrend = Literal["linear", "mean"] | None
Taper = Literal["hann"] | None


@dataclass(frozen=True, eq=False)
class Bins:
    """Where the lines of rows go.

    Attributes
    ----------
    wavenumber : ndarray, shape (n,)
        Middles of the bins.
    width : float
        Of a bin; the first reaches from zero to one and a half.
    last : ndarray, shape (groups,)
        Bins that a group of rows has, at most n.
    sort : csr_array, shape (groups * (n + 1), rows * lines)
        Shares, times the rows' weights; the last of each n + 1 takes what lies beyond.
    weight : ndarray, shape (groups, rows)
        Zero where a row is not in the group.
    """

    wavenumber: NDArray[np.float64]
    width: float
    last: NDArray[np.int64]
    sort: csr_array
    weight: NDArray[np.float64]

    def __call__(
        self, lines: NDArray[Any], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weighted sums of variance, shape (..., groups, n + 1), and of weights, shape (..., groups).

        Parameters
        ----------
        lines : ndarray, shape (..., rows, lines)
        valid : ndarray of bool, shape (..., rows)
            Rows that count.
        """
        lead, groups = valid.shape[:-1], len(self.last)
        kept = np.where(valid[..., None], lines, 0.0).reshape(-1, self.sort.shape[1])
        sums = (self.sort @ kept.T).T.reshape(*lead, groups, -1)
        return np.asarray(sums), np.asarray(valid @ self.weight.T)


def line_variance(
    fields: NDArray[Any], *, detrend: Detrend = "linear", taper: Taper = "hann"
) -> NDArray[np.float64]:
    """Variance of the lines of each row.

    Parameters
    ----------
    fields : ndarray, shape (..., rows, n)
        Rows with NaN give NaN.
    detrend : {"linear", "mean"} or None
    taper : {"hann"} or None

    Returns
    -------
    ndarray, shape (..., rows, n // 2 + 1)
        Sums along its last axis to the mean square of the detrended and tapered row.

    Examples
    --------
    >>> row = 3 * np.cos(2 * np.pi * np.arange(8) / 4)[None]
    >>> line_variance(row, detrend=None, taper=None).round(12)
    array([[0. , 0. , 4.5, 0. , 0. ]])
    """
    rows = _level(np.asarray(fields, dtype=np.float64), detrend)
    n = rows.shape[-1]
    if taper == "hann":
        rows = rows * _hann(n)
    lines = np.abs(np.fft.rfft(rows)) ** 2 / n**2
    lines[..., 1 : (n + 1) // 2] *= 2
    return np.asarray(lines)


def mode_variance(
    fields: NDArray[Any], *, detrend: Detrend = "linear", taper: Taper = "hann"
) -> NDArray[np.float64]:
    """Variance of the modes of each field.

    Parameters
    ----------
    fields : ndarray, shape (..., ny, nx)
        Fields with NaN give NaN.
    detrend : {"linear", "mean"} or None
        `linear` takes the best plane off.
    taper : {"hann"} or None
        Along both directions.

    Returns
    -------
    ndarray, shape (..., ny, nx // 2 + 1)
        Sums to the mean square of the detrended and tapered field.
    """
    x = np.asarray(fields, dtype=np.float64)
    ny, nx = x.shape[-2:]
    if detrend == "linear":
        # on a whole rectangle the two slopes are orthogonal, so the plane is the rows' trend and the columns'
        x = x - _trend(x.mean(axis=-2, keepdims=True)) - _trend(x.mean(axis=-1, keepdims=True), axis=-2)
        x = x - x.mean(axis=(-2, -1), keepdims=True)
    elif detrend == "mean":
        x = x - x.mean(axis=(-2, -1), keepdims=True)
    if taper == "hann":
        x = x * (_hann(ny)[:, None] * _hann(nx))
    modes = np.abs(np.fft.rfft2(x)) ** 2 / (nx * ny) ** 2
    modes[..., 1 : (nx + 1) // 2] *= 2
    return np.asarray(modes)


def line_bins(spacing: ArrayLike, n: int, weight: ArrayLike, *, group: ArrayLike | None = None) -> Bins:
    """Bins for the lines of rows of one number of cells and different lengths.

    Parameters
    ----------
    spacing : array-like, shape (rows,), > 0
        Distance between the cells of each row.
    n : int
        Cells of a row.
    weight : array-like, shape (rows,), >= 0
        Areas of the rows.
    group : array-like of int, shape (rows,), optional
        To which group a row belongs, from 0; -1 for none. One group by default.

    Returns
    -------
    Bins
        As wide as the fundamental of the shortest row, up to the Nyquist wavenumber of each group's coarsest.

    Examples
    --------
    >>> bins = line_bins([10.0], 8, [1.0])
    >>> bins.wavenumber, bins.width
    (array([0.0125, 0.025 , 0.0375, 0.05  ]), 0.0125)
    """
    spacing, weight = (np.asarray(a, dtype=np.float64) for a in (spacing, weight))
    of = np.zeros(spacing.size, dtype=np.int64) if group is None else np.asarray(group)
    used = np.flatnonzero(of >= 0)
    fundamental = 1.0 / (n * spacing)
    width = float(fundamental[used].max())
    groups = int(of.max()) + 1
    nyquist = np.array([0.5 / spacing[of == g].max() for g in range(groups)])
    last = np.floor(nyquist / width + 1e-9).astype(np.int64)
    count = int(last.max())
    rows, columns, shares = [], [], []
    for r in used:
        bins, lines, share = _overlap(fundamental[r], n // 2, width, count, int(last[of[r]]))
        rows.append(of[r] * (count + 1) + bins)
        columns.append(r * (n // 2 + 1) + lines)
        shares.append(weight[r] * share)
    joined = [np.concatenate(p) for p in (shares, rows, columns)]
    shape = groups * (count + 1), spacing.size * (n // 2 + 1)
    sort = csr_array((joined[0], (joined[1], joined[2])), shape=shape)
    weights = np.where(of == np.arange(groups)[:, None], weight, 0.0)
    return Bins(_middles(width, count), width, last, sort, weights)


def ring_bins(shape: tuple[int, int], spacing: tuple[float, float]) -> Bins:
    """Bins for the modes of a plane, by the length of their wavenumber.

    Parameters
    ----------
    shape : (ny, nx)
    spacing : (dy, dx)

    Returns
    -------
    Bins
        One group, one row of all modes; as wide as the larger fundamental, up to the smaller Nyquist.

    Examples
    --------
    >>> ring_bins((8, 8), (1.0, 2.0)).wavenumber
    array([0.125, 0.25 ])
    """
    (ny, nx), (dy, dx) = shape, spacing
    k = np.hypot(np.fft.fftfreq(ny, dy)[:, None], np.fft.rfftfreq(nx, dx)).ravel()
    width = max(1 / (ny * dy), 1 / (nx * dx))
    count = int(min(0.5 / dy, 0.5 / dx) / width + 1e-9)
    ring = np.clip(np.floor(k / width + 0.5 + 1e-9).astype(np.int64), 1, count + 1) - 1
    modes = np.flatnonzero(k > 0)
    sort = csr_array((np.ones(modes.size), (ring[modes], modes)), shape=(count + 1, k.size))
    return Bins(_middles(width, count), width, np.array([count]), sort, np.ones((1, 1)))


def power(fields: NDArray[Any], *, axis: int = -1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power spectrum along an axis.

    Each row is detrended by its mean and tapered by a Hann window.

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
    lines = line_variance(rows, detrend="mean")
    p = lines.reshape(-1, lines.shape[-1]).mean(axis=0)
    return np.asarray(np.fft.rfftfreq(rows.shape[-1])[1:], dtype=np.float64), p[1:]


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

    Examples
    --------
    >>> k = np.array([0.1, 0.2, 0.4])
    >>> band_ratio(np.array([1.0, 1.0, 1.0]), np.array([1.0, 1.0, 4.0]), k, (np.inf, 4.0, 2.0))
    array([1.  , 0.25])
    """
    edges = 1.0 / np.asarray(wavelengths, dtype=np.float64)
    out = np.full(len(edges) - 1, np.nan)
    for i, (low, high) in enumerate(pairwise(edges)):
        band = (wavenumber > low) & (wavenumber <= high)
        if band.any():
            out[i] = ours[band].sum() / truth[band].sum()
    return out


def _middles(width: float, count: int) -> NDArray[np.float64]:
    return np.asarray(width * np.arange(1, count + 1), dtype=np.float64)


def _level(rows: NDArray[np.float64], detrend: Detrend) -> NDArray[np.float64]:
    if detrend == "mean":
        return np.asarray(rows - rows.mean(axis=-1, keepdims=True))
    return rows - _trend(rows) if detrend == "linear" else rows


def _trend(rows: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Best line through each row, mean included."""
    x = np.moveaxis(rows, axis, -1)
    t = np.arange(x.shape[-1]) - (x.shape[-1] - 1) / 2
    slope = (x @ t) / max(float(t @ t), 1.0)
    return np.moveaxis(x.mean(axis=-1, keepdims=True) + slope[..., None] * t, -1, axis)


def _hann(n: int) -> NDArray[np.float64]:
    taper = np.hanning(n + 1)[:-1]
    return np.asarray(taper / np.sqrt((taper**2).mean()))


def _overlap(
    fundamental: float, lines: int, width: float, count: int, last: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Bin, line and share of the lines 1 to `lines` of a row; bin `count` is what lies beyond `last`."""
    j = np.arange(1, lines + 1)
    low, high = (j - 0.5) * fundamental / width + 0.5, (j + 0.5) * fundamental / width + 0.5
    first = np.floor(low + 1e-9).astype(np.int64)
    split = np.clip(np.minimum(high, first + 1) - low, 0, None) / (high - low)
    # a row is at least as long as the shortest, so its lines are no wider than a bin and reach into two
    whole = split > 1 - 1e-9
    bins = np.concatenate([first, first + 1])
    share = np.concatenate([np.where(whole, 1.0, split), np.where(whole, 0.0, 1 - split)])
    kept = share > 0
    bins = np.maximum(bins[kept], 1) - 1
    return np.where(bins >= last, count, bins), np.concatenate([j, j])[kept], share[kept]
