"""Sums over all pairs of cells of a latitude-longitude grid, by exact great-circle distance.

On one pair of rows the distance depends on the difference of longitude alone, so the pairs are summed by FFT
along longitude (as in `variogram.plane`), for every two rows with R |dphi| < the longest lag. The haversine

    sin^2(d / 2R) = sin^2(dphi / 2) + cos(phi_1) cos(phi_2) sin^2(dlambda / 2)

solved for dlambda cuts the lag edges exactly: no pair is compared with an edge by its rounded distance.
Rows are padded by zeros; where pairs meet on the far side of the globe, the transform is as long as the
parallel. Where neither that nor directions matter, pairs to the east and west are wanted together
(`variogram.halfway`), and pairs, being whole numbers, are counted in float32 where it counts exactly. A
pair's azimuth is the bearing of its great circle at its middle, with a = cos(phi_1) cos(phi_2) sin(dlambda),

    tan(azimuth) = a / (cos(d / 2R) (sin(phi_2) - sin(phi_1)))

Cells at a pole are one point: their pairs have distance 0 and are in the first bin if that begins at 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft

from xdownscale.diagnostics.variogram.cells import Cells
from xdownscale.diagnostics.variogram.halfway import Halfway, miss_alike
from xdownscale.diagnostics.variogram.lags import EARTH_RADIUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from xdownscale.diagnostics.variogram.lags import Lags
    from xdownscale.grid import Grid

__all__ = ["Sphere", "great_circle"]

_MERIDIAN = 1e-12  # below it, a pair at a pole or across one lies along a meridian
_BATCH = 2**27  # bytes of row spectra held at a time; one field at least
_COUNTED = 2**19  # cells of a row, of all fields held, that float32 counts to a tenth


@dataclass(frozen=True)
class Sphere:
    """A latitude-longitude grid and the lags of its pairs.

    Attributes
    ----------
    grid : Grid
        Longitudes may be cyclic or a window.
    lags : Lags [km]
    weighted : bool
        Whether weights will be given; pairs are then counted apart.

    Raises
    ------
    ValueError
        If latitudes pass the poles or longitudes go round more than once; or, where pairs meet on the far
        side, if the longitudes of a whole turn are not evenly spaced.

    Examples
    --------
    >>> from xdownscale.diagnostics.variogram.lags import Lags
    >>> from xdownscale.grid import MERRA2
    >>> pole = Sphere(MERRA2.window((360, 1), (0, 576)), Lags((0.0, 1.0)))
    >>> int(pole.add(np.ones((1, 1, 576)))[3].sum()) == 576 * 575 // 2  # all at distance 0
    True
    """

    grid: Grid
    lags: Lags
    weighted: bool = False

    def __post_init__(self) -> None:
        x, latitude = self.grid.x, self.grid.y.values
        if np.abs(latitude).max() > 90 + 1e-6:
            raise ValueError(f"latitude reaches {latitude[np.abs(latitude).argmax()]:g}: expected -90 to 90")
        if x.size > 360.0 / x.step + 1e-6:
            raise ValueError(
                f"{x.size} longitudes of {x.step:g} degrees go round more than once: drop those that repeat, "
                "da.isel(lon=slice(None, -1))"
            )
        if self.circular and x.period is None:
            raise ValueError(
                f"longitude steps of {x.step:g} do not divide 360 degrees, and pairs within "
                f"{self.lags.edges[-1]:g} km meet on the far side: take a smaller max_lag or fewer longitudes"
            )

    @cached_property
    def circular(self) -> bool:
        """Whether pairs of the window's outer columns meet on the far side of the globe."""
        turn, columns = 360.0 / self.grid.x.step, self.grid.x.size - 1
        return bool(columns > turn / 2 + 1e-6 and columns + self.widest > turn - 1e-6)

    @cached_property
    def widest(self) -> int:
        """Most columns between the cells of a pair within the longest lag, over all pairs of rows."""
        most = max(int(self._cuts(i, slice(-1, None)).max()) for i in range(self.grid.y.size)) - 1
        return int(np.clip(most, 0, min(self.grid.x.size - 1, int(180.0 / self.grid.x.step + 1e-6))))

    @property
    def length(self) -> int:
        """Length of the transforms along longitude."""
        if self.circular:
            return int(self.grid.x.period or 0)
        return 2 * int(fft.next_fast_len((self.grid.x.size + self.widest + 1) // 2, real=True))

    @property
    def even(self) -> bool:
        """Whether pairs to the east and west are summed together, by cosine transforms."""
        return not (self.circular or self.lags.azimuths)

    def add(self, fields: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Sums by class of lag.

        Parameters
        ----------
        fields : ndarray, shape (T, ny, nx)
            Both axes rising; NaN where missing.
        weights : ndarray, shape (ny, nx) or (T, ny, nx), optional
            Only if the sphere is `weighted`.

        Returns
        -------
        ndarray, shape (4, directions, bins)
            Weighted squared differences (twice the semivariance), weights, weights times distance [km], and
            pairs. Additive.
        """
        sums = np.zeros((4, self.lags.size + 1))
        alike = self.even and miss_alike(fields, weights)
        kept = 1 if alike else 3
        size = max(1, _BATCH // (16 * kept * self.grid.y.size * (self.length // 2 + 1)))
        for first in range(0, len(fields), size):
            some = slice(first, first + size)
            own = weights[some] if weights is not None and weights.ndim == 3 else weights
            if self.even:
                parts = self._parts(fields[some], own)
                self._add_even(Halfway.of(parts, len(fields[some]), self.length, alike=alike), sums)
                continue
            rows = self._transformed(fields[some], own)
            for i in range(self.grid.y.size):
                self._add_row(i, rows, sums)
        return sums[:, :-1].reshape(4, *self.lags.shape)

    def binned(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """What `add` gave; the counterpart of `Plane.binned`."""
        return sums

    @cached_property
    def _phi(self) -> NDArray[np.float64]:
        return np.deg2rad(np.clip(self.grid.y.values, -90.0, 90.0))

    @cached_property
    def _dlambda(self) -> float:
        return float(np.deg2rad(self.grid.x.step))

    @cached_property
    def _haversines(self) -> NDArray[np.float64]:
        """sin^2(d / 2R) at the edges; beyond half the circumference all pairs are nearer."""
        half = np.asarray(self.lags.edges) / (2 * EARTH_RADIUS)
        cut = np.sin(np.minimum(self.lags.cuts / (2 * EARTH_RADIUS), np.pi / 2)) ** 2
        return np.where(half > np.pi / 2, np.inf, cut)

    def _rows_near(self, i: int) -> slice:
        """Rows from i northwards within the longest lag."""
        reach = int(self.lags.edges[-1] / (EARTH_RADIUS * np.deg2rad(self.grid.y.step)) + 1e-6)
        return slice(i, min(i + reach + 1, self.grid.y.size))

    def _cuts(self, i: int, edges: slice = slice(None)) -> NDArray[np.int64]:
        """Columns apart from which on a pair is at or beyond each edge, shape (rows, edges)."""
        phi = self._phi[self._rows_near(i), None]
        across = np.cos(phi) * np.cos(self._phi[i])
        left = self._haversines[edges] - np.sin((phi - self._phi[i]) / 2) ** 2
        share = np.clip(left / np.maximum(across, 1e-300), 0.0, 1.0)
        columns = np.ceil(2 * np.arcsin(np.sqrt(share)) / self._dlambda)
        beyond = self.grid.x.size + round(360.0 / self.grid.x.step)
        return np.where(left >= across, beyond, np.where(left > 0, columns, 0)).astype(np.int64)

    def _parts(self, fields: NDArray[Any], weights: NDArray[Any] | None) -> Iterator[NDArray[np.float64]]:
        """Of each field w z^2, w, w z and, if weighted, the valid cells: (3 or 4, ny, nx)."""
        for t, field in enumerate(fields):
            cells = Cells.of(field, weights[t] if weights is not None and weights.ndim == 3 else weights)
            parts = [cells.w * cells.z**2, cells.w, cells.w * cells.z]
            yield np.stack([*parts, cells.valid] if self.weighted else parts)

    def _transformed(self, fields: NDArray[Any], weights: NDArray[Any] | None) -> NDArray[np.complex128]:
        """Their spectra along longitude: (T, 3 or 4, ny, F)."""
        return np.stack([fft.rfft(parts, self.length) for parts in self._parts(fields, weights)])

    def _add_even(self, halfway: Halfway, sums: NDArray[np.float64]) -> None:
        """Pairs of all rows, without directions."""
        count, each = halfway.valid, halfway.each
        if halfway.groups * self.grid.x.size <= _COUNTED:
            count = count.astype(np.float32)
        for i in range(self.grid.y.size):
            cuts = self._cuts(i)
            columns = min(int(cuts[:, -1].max()), self.widest + 1)
            if columns < 1:
                continue
            near = self._rows_near(i)
            pairs = each * np.rint(self._summed(_products(count[i], count[near]), columns))
            squares = self._summed(_products(halfway.across(i), halfway.rows[near]), columns)
            weight = pairs
            if self.weighted:
                ones = halfway.ones
                weight = each * self._summed(_products(ones[i], ones[near]), columns)
            length = weight * self._geometry(i, columns + 1)[0]
            found = [_between(p, cuts) for p in (squares, weight, length)]
            found.append(_between(pairs, cuts) if self.weighted else found[1])
            sums[:, :-1] += found

    def _summed(self, spectrum: NDArray[Any], columns: int) -> NDArray[np.float64]:
        """Sums over the pairs of a row with those near it, each once, by columns apart: (rows, columns + 1).

        The last column is 0.
        """
        even = fft.dct(spectrum, type=2, overwrite_x=True)
        out = np.zeros((len(even), columns + 1))
        np.multiply(even[:, :columns], 2 / self.length, out=out[:, :-1])
        out[:, 0] /= 2
        out[0] /= 2
        out[0, 0] = 0.0
        return out

    def _add_row(self, i: int, rows: NDArray[np.complex128], sums: NDArray[np.float64]) -> None:
        """Pairs of row i with itself and with the rows north of it."""
        cuts = self._cuts(i)
        columns = min(int(cuts[:, -1].max()), self.widest + 1)
        if columns < 1:
            return
        bins = _bins(cuts, columns)
        distance, azimuth = self._geometry(i, columns)
        parts = [self._sides(part, columns) for part in self._correlations(i, rows)]
        if azimuth is None:
            self._bin(bins, None, distance, [east + west for east, west in parts], sums)
        else:
            self._bin(bins, azimuth, distance, [east for east, _ in parts], sums)
            self._bin(bins, 180.0 - azimuth, distance, [west for _, west in parts], sums)

    def _bin(
        self,
        bins: NDArray[np.intp],
        azimuth: NDArray[np.float64] | None,
        distance: NDArray[np.float64],
        parts: list[NDArray[np.float64]],
        sums: NDArray[np.float64],
    ) -> None:
        squares, weight, pairs = parts
        classes = self.lags.combined(bins, azimuth).ravel()
        for k, part in enumerate((squares, weight, weight * distance, pairs)):
            sums[k] += np.bincount(classes, part.ravel(), self.lags.size + 1)

    def _correlations(self, i: int, rows: NDArray[np.complex128]) -> list[NDArray[np.float64]]:
        """Squares, weights and pairs of row i with those near it, by columns apart: each (rows, length)."""
        left, right = np.conj(rows[:, :, i]), rows[:, :, self._rows_near(i)]
        squares, weight, pairs = np.zeros((3, *right.shape[2:]), dtype=np.complex128)
        for (square, one, value, *valid), (Q, W, Z, *V) in zip(left, right, strict=True):
            squares += square * W + one * Q - 2 * (value * Z)
            weight += one * W
            if self.weighted:
                pairs += valid[0] * V[0]
        spectra = (squares, weight, pairs) if self.weighted else (squares, weight)
        found = [fft.irfft(s, self.length, overwrite_x=True) for s in spectra]
        found[-1] = np.rint(found[-1])
        return found if self.weighted else [*found, found[-1]]

    def _sides(
        self, part: NDArray[np.float64], columns: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pairs whose northern cell lies 0 to `columns` - 1 columns east, and west, of the southern one.

        Each pair once: those of a row with itself are on the east side, as are those of one meridian and
        those half the globe apart.
        """
        east = part[:, :columns].copy()
        west = np.roll(part[:, ::-1], 1, axis=1)[:, :columns].copy()
        east[0, 0] = 0.0
        west[0] = 0.0
        west[:, 0] = 0.0
        if 2 * (columns - 1) == self.length:
            east[0, -1] /= 2
            west[:, -1] = 0.0
        return east, west

    def _geometry(self, i: int, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Distance [km] and, for directions, azimuth [degree] of the east side, shape (rows, columns)."""
        phi, own = self._phi[self._rows_near(i), None], self._phi[i]
        dlambda = self._dlambda * np.arange(columns)
        across = np.cos(phi) * np.cos(own)
        near = np.sin((phi - own) / 2) ** 2 + across * np.sin(dlambda / 2) ** 2
        far = np.sin((phi + own) / 2) ** 2 + across * np.cos(dlambda / 2) ** 2
        distance = 2 * EARTH_RADIUS * np.arctan2(np.sqrt(near), np.sqrt(far))
        if not self.lags.azimuths:
            return distance, None
        east = across * np.sin(dlambda)
        north = np.sqrt(far) * (np.sin(phi) - np.sin(own))
        return distance, np.rad2deg(np.arctan2(np.where(east < _MERIDIAN, 0.0, east), north))


def great_circle(
    lat: NDArray[Any], lon: NDArray[Any], other_lat: NDArray[Any], other_lon: NDArray[Any]
) -> NDArray[np.float64]:
    """Distance on the sphere, exact for near and for antipodal points.

    Parameters
    ----------
    lat, lon, other_lat, other_lon : ndarray, broadcast against each other [degree]

    Returns
    -------
    ndarray [km]

    Examples
    --------
    >>> float(great_circle(0.0, 10.0, 0.0, -170.0).round(3))
    20015.087
    """
    phi, psi = np.deg2rad(lat), np.deg2rad(other_lat)
    half = np.deg2rad(np.subtract(other_lon, lon)) / 2
    across = np.cos(phi) * np.cos(psi)
    near = np.sin((psi - phi) / 2) ** 2 + across * np.sin(half) ** 2
    far = np.sin((psi + phi) / 2) ** 2 + across * np.cos(half) ** 2
    return np.asarray(2 * EARTH_RADIUS * np.arctan2(np.sqrt(near), np.sqrt(far)))


def _products(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Sums of a b over all axes but rows and F, shape (rows, F): a (..., F), b (rows, ..., F)."""
    flat = a.reshape(-1, a.shape[-1])
    return np.asarray(np.einsum("pf,rpf->rf", flat, b.reshape(len(b), *flat.shape)))


def _between(part: NDArray[np.float64], cuts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums between the cuts of each row, over all rows, shape (bins,); the last column is 0."""
    width = part.shape[1]
    at = np.minimum(cuts, width - 1) + width * np.arange(len(cuts))[:, None]
    found = np.add.reduceat(part.ravel(), at.ravel()).reshape(at.shape)[:, :-1]
    # between equal indices reduceat gives what stands there
    return np.asarray(np.where(at[:, :-1] < at[:, 1:], found, 0.0).sum(axis=0))


def _bins(cuts: NDArray[np.int64], columns: int) -> NDArray[np.intp]:
    """Bin of each pair of rows and number of columns apart, from where the edges cut."""
    rows, edges = np.nonzero(cuts < columns)
    marks = np.bincount(rows * columns + cuts[rows, edges], minlength=len(cuts) * columns)
    return np.cumsum(marks.reshape(len(cuts), columns), axis=1) - 1
