"""The weather of the nature run: a random, non-divergent eddy flow on the sphere over a seasonal mean.

    psi(x, t) = sum_k a_k z_k(t) exp(i k x),   a_k ~ (k^2 + 120)^-2.2,  1.5 < k < 80 waves in 9400 km
    z_k: Ornstein-Uhlenbeck, decorrelation 240 h (k / 3)^(-2/3) within 12 to 300 h
    u = -(1/R) dpsi/dphi,   v = 1/(R cos phi) dpsi/dlambda

The spectrum is steep: eddies some 1000 km long stir dust into filaments and fronts, and none wrinkles them
below the coarse cell, so that the coarse field tells where they lie. psi lives on a doubly periodic plane of
11,500 km x 7,700 km, wider than the largest region, whose x axis is R cos(33 deg) times longitude; the
division by cos phi makes the flow non-divergent on the sphere. The draw of hour n depends on (seed, n) only,
so that a run resumes from its z. The mean flow is a westerly jet that wanders from 34 N in winter to 43 N in
summer, easterlies at 18 N, and the regional winds of `geography.WINDS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from xdownscale.data.nature_run.geography import WINDS, activity

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EARTH", "Eddies", "mean_flow"]

EARTH = 6.371e6
_REFERENCE = 9.4e6
_MIDDLE = np.cos(np.deg2rad(33.0))


@dataclass(frozen=True)
class Eddies:
    """The eddy flow's constants.

    Attributes
    ----------
    seed : int, >= 0
    rms : float [m/s]
        Root mean square of the eddy wind, both components together.
    spacing : float [m]
        Of the plane's grid.
    shape : (int, int)
        Of the plane's grid, y and x.
    """

    seed: int
    rms: float = 6.0
    spacing: float = 40e3
    shape: tuple[int, int] = (192, 288)

    @cached_property
    def wavenumbers(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Cycles per 9400 km along y (column) and x (row)."""
        y, x = (
            np.asarray(np.fft.fftfreq(n, self.spacing) * _REFERENCE, dtype=np.float64) for n in self.shape
        )
        return y[:, None], x[None, :]

    @cached_property
    def amplitude(self) -> NDArray[np.float64]:
        """Of psi's modes [m2/s], so that the wind has the prescribed rms."""
        k = np.hypot(*self.wavenumbers)
        a = np.where((k > 1.5) & (k < 80), (k**2 + 120) ** -2.2, 0.0)
        return np.asarray(a * self.rms / (2 * np.pi / _REFERENCE) / np.sqrt((a**2 * k**2).sum()))

    @cached_property
    def memory(self) -> NDArray[np.float64]:
        """Lag-one-hour autocorrelation of each mode."""
        k = np.maximum(np.hypot(*self.wavenumbers), 0.1)
        return np.asarray(np.exp(-1.0 / np.clip(240.0 * (k / 3) ** (-2 / 3), 12.0, 300.0)))

    def draw(self, hour: int) -> NDArray[np.complex128]:
        """Independent modes of unit variance, those of a real field; a function of seed and hour only."""
        rng = np.random.Generator(
            np.random.Philox(
                key=np.array([self.seed, 1], dtype=np.uint64),
                counter=np.array([0, 0, 0, hour % 2**64], dtype=np.uint64),
            )
        )
        return np.asarray(np.fft.fft2(rng.standard_normal(self.shape)) / np.sqrt(np.prod(self.shape)))

    def step(self, modes: NDArray[np.complex128], hour: int) -> NDArray[np.complex128]:
        """The modes one hour on."""
        return np.asarray(self.memory * modes + np.sqrt(1 - self.memory**2) * self.draw(hour))

    def wind(self, modes: NDArray[np.complex128]) -> NDArray[np.float32]:
        """Plane wind components (-dpsi/dy, dpsi/dx), shape (2, ny, nx) [m/s]."""
        psi = self.amplitude * modes * np.prod(self.shape)
        q = 2j * np.pi / _REFERENCE
        y, x = self.wavenumbers
        return np.stack([np.fft.ifft2(-q * y * psi).real, np.fft.ifft2(q * x * psi).real]).astype(np.float32)

    def places(
        self, lat: NDArray[np.float64], lon: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Latitudes and longitudes [degree] as grid_sample positions (-1 to 1) on the plane."""
        y = EARTH * np.deg2rad(lat - 10.0) / self.spacing + 12.0
        x = EARTH * _MIDDLE * np.deg2rad(lon - 34.0) / self.spacing + 12.0
        return tuple(
            (2 * (p + 0.5) / n - 1).astype(np.float32) for p, n in zip((y, x), self.shape, strict=True)
        )


def mean_flow(lat: NDArray[np.float64], lon: NDArray[np.float64], month: float) -> NDArray[np.float32]:
    """Seasonal mean wind.

    Parameters
    ----------
    lat : ndarray, shape (ny,) [degree]
    lon : ndarray, shape (nx,) [degree]
    month : float [month, 1-13)

    Returns
    -------
    ndarray, shape (2, ny, nx) [m/s]
        Eastward and northward.
    """
    summer = 0.5 - 0.5 * np.cos(2 * np.pi * (month - 1.3) / 12)
    jet = (13 - 5 * summer) * np.exp(-(((lat - 34 - 9 * summer) / 7) ** 2))
    easterlies = -(4 - 1.5 * summer) * np.exp(-(((lat - 18) / 6) ** 2))
    u = np.repeat((jet + easterlies)[:, None], lon.size, axis=1)
    v = np.zeros_like(u)
    for w in WINDS:
        place = np.exp(
            -(((lat[:, None] - w.lat) / w.south_north) ** 2) - ((lon[None, :] - w.lon) / w.west_east) ** 2
        )
        u = u + w.u * activity(month, w.peak, w.width) * place
        v = v + w.v * activity(month, w.peak, w.width) * place
    return np.stack([u, v]).astype(np.float32)
