"""Sums over all pairs of cells of a planar grid, exact, by FFT (Marcotte 1996).

With weights w, 0 where a cell is missing, and centred values z, both padded by zeros to n + L cells, where
L is the longest lag:

    N^ = |W|^2,    S^ = 2 Re(conj(W) F[w z^2]) - 2 |F[w z]|^2,    gamma(h) = S(h) / 2 N(h)

Both spectra are real and additive: those of many fields, members or blocks are summed before one inverse.
N(h) is the sum of the products of both weights, the number of pairs where they are 1. What it is not: a
variogram of degrees; those belong to `variogram.sphere`.

References
----------
Marcotte, D. (1996), Fast variogram computation with FFT, doi:10.1016/S0098-3004(96)00026-X.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft

from xdownscale.diagnostics.variogram.cells import Cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.diagnostics.variogram.lags import Lags

__all__ = ["Plane"]


@dataclass(frozen=True)
class Plane:
    """A planar grid and the lags of its pairs.

    Attributes
    ----------
    shape : (int, int)
        Cells (ny, nx), northwards and eastwards.
    steps : (float, float), > 0 [unit of the CRS]
        Spacing (y, x).
    lags : Lags
    weighted : bool
        Whether weights will be given; pairs are then counted apart.

    Examples
    --------
    >>> from xdownscale.diagnostics.variogram.lags import Lags
    >>> plane = Plane((1, 4), (1.0, 1.0), Lags((0.5, 1.5, 2.5)))
    >>> squares, pairs, _, _ = plane.binned(plane.add(np.array([[[0.0, 1.0, np.nan, 3.0]]])))
    >>> pairs.round(), (squares / pairs / 2).round(12)
    (array([[1., 1.]]), array([[0.5, 2. ]]))
    """

    shape: tuple[int, int]
    steps: tuple[float, float]
    lags: Lags
    weighted: bool = False

    @property
    def reach(self) -> tuple[int, int]:
        """Longest lag in cells (y, x)."""
        ly, lx = (
            min(n - 1, int(self.lags.edges[-1] / s * (1 + 1e-9)))
            for n, s in zip(self.shape, self.steps, strict=True)
        )
        return ly, lx

    @property
    def padded(self) -> tuple[int, int]:
        """Lengths of the transforms (y, x)."""
        (ny, nx), (ly, lx) = self.shape, self.reach
        return fft.next_fast_len(ny + ly), fft.next_fast_len(nx + lx, real=True)

    def add(self, fields: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Summed spectra of fields.

        Parameters
        ----------
        fields : ndarray, shape (T, ny, nx)
            NaN where missing.
        weights : ndarray, shape (ny, nx) or (T, ny, nx), optional
            Only if the plane is `weighted`.

        Returns
        -------
        ndarray, shape (2 or 3, py, px // 2 + 1), real
            S^, N^ and, if weighted, the spectrum of the number of pairs.
        """
        py, px = self.padded
        total = np.zeros((3 if self.weighted else 2, py, px // 2 + 1))
        for t, field in enumerate(fields):
            own = weights[t] if weights is not None and weights.ndim == 3 else weights
            self._add(Cells.of(field, own), total)
        return total

    def binned(self, spectra: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums by class of lag, from spectra that `add` gave or their sum.

        Returns
        -------
        ndarray, shape (4, directions, bins)
            Weighted squared differences (twice the semivariance), weights, weights times distance, and pairs.
        """
        distance, azimuth, half = self._separations()
        classes = self.lags.classes(distance, azimuth)[half]
        squares, weight, *counted = (self._map(s)[half] for s in spectra)
        pairs = np.rint(counted[0] if counted else weight)
        weight = weight if counted else pairs
        parts = squares, weight, weight * distance[half], pairs
        sums = [np.bincount(classes, part, self.lags.size + 1)[:-1] for part in parts]
        return np.reshape(sums, (4, *self.lags.shape))

    def _add(self, cells: Cells, total: NDArray[np.float64]) -> None:
        W, Z, Q = (self._transform(a) for a in (cells.w, cells.w * cells.z, cells.w * cells.z**2))
        total[0] += 2 * (W.real * Q.real + W.imag * Q.imag) - 2 * (Z.real**2 + Z.imag**2)
        total[1] += W.real**2 + W.imag**2
        if self.weighted:
            V = self._transform(cells.valid.astype(np.float64))
            total[2] += V.real**2 + V.imag**2

    def _transform(self, values: NDArray[np.float64]) -> NDArray[np.complex128]:
        return np.asarray(fft.rfft2(values, s=self.padded))

    def _map(self, spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lags 0 to Ly by -Lx to Lx; the other half is its mirror image."""
        ly, lx = self.reach
        whole = fft.irfft2(spectrum, s=self.padded)[: ly + 1]
        return np.concatenate([whole[:, whole.shape[1] - lx :], whole[:, : lx + 1]], axis=1)

    def _separations(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """Distance, azimuth, and which lags of the map stand for themselves."""
        ly, lx = self.reach
        i, j = np.arange(ly + 1)[:, None], np.arange(-lx, lx + 1)[None, :]
        dy, dx = i * self.steps[0], j * self.steps[1]
        return np.hypot(dy, dx), np.rad2deg(np.arctan2(dx, dy)), (i > 0) | (j > 0)
