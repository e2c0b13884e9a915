"""Sums over the pairs of some cells: robust estimators, stations and curvilinear grids.

Where no transform applies, cells are drawn once, seeded, and all pairs of those that are valid are taken.
On a sphere they are points in space: pairs are told apart by their chord, 2 R sin(d / 2R), to which the lag
edges are converted, and distances are given back along the great circle. scikit-gstat's estimators turn the
differences of a class into its semivariance, field by field; fields are pooled by their numbers of pairs.

Genton's estimator looks at pairs of pairs, so it gets fewer cells and at most 500 pairs of a class. It is for
signed differences; `skgstat.Variogram` gives it absolute ones, which have less than half of the semivariance.

References
----------
Cressie and Hawkins (1980), Robust estimation of the variogram, doi:10.1007/BF01035243.
Dowd (1984), The variogram and kriging: robust and resistant estimators, doi:10.1007/978-94-009-3699-7_6.
Genton (1998), Highly robust variogram estimation, doi:10.1023/A:1021728614555.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import pdist

from xdownscale.diagnostics.variogram.cells import Cells
from xdownscale.diagnostics.variogram.lags import EARTH_RADIUS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.diagnostics.variogram.lags import Lags

__all__ = ["CELLS", "ESTIMATORS", "Sampled"]

CELLS = {"matheron": 2000, "cressie": 2000, "dowd": 2000, "genton": 400}
ESTIMATORS = tuple(CELLS)
_PAIRS = {"genton": 500}  # of a class: its work grows with the square


@dataclass(frozen=True, eq=False)
class Sampled:
    """Places of all cells and the order in which they are drawn.

    Attributes
    ----------
    places : ndarray, shape (n, 2)
        Latitude and longitude [degree], or y and x [unit of the CRS].
    spherical : bool
    lags : Lags
    estimator : {"matheron", "cressie", "dowd", "genton"}
    seed : int
        Of the order of the cells: one for all fields, so that fields on the same cells can be compared.

    Examples
    --------
    >>> from xdownscale.diagnostics.variogram.lags import Lags
    >>> places = np.array([[0.0, 179.5], [0.0, -179.5], [0.0, 0.0]])
    >>> sampled = Sampled(places, True, Lags((0.0, 120.0)), "matheron", 0)
    >>> squares, pairs, length, _ = sampled.add(np.array([[1.0, 3.0, 9.0]]))
    >>> (squares / pairs / 2).item(), round((length / pairs).item(), 3)  # across the dateline
    (2.0, 111.195)
    """

    places: NDArray[np.float64]
    spherical: bool
    lags: Lags
    estimator: str
    seed: int
    order: NDArray[np.intp] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        order = np.random.default_rng(self.seed).permutation(len(self.places))
        object.__setattr__(self, "order", order)

    def add(self, fields: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Sums by class of lag, shape (4, directions, bins), as those of `Plane.binned`.

        Parameters
        ----------
        fields : ndarray, shape (T, ...)
            As many cells each as there are places; NaN where missing.
        weights : None
            Estimators of single differences know none.
        """
        sums = np.zeros((4, *self.lags.shape))
        for values in fields:
            cells = Cells.of(values.ravel(), weights)
            drawn = self.order[cells.valid[self.order]][: CELLS[self.estimator]]
            if drawn.size > 1:
                sums += self._sums(cells.z[drawn], self.places[drawn])
        return sums

    def binned(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """What `add` gave; the counterpart of `Plane.binned`."""
        return sums

    def _sums(self, z: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
        distance, classes = self._separations(places)
        one, other = np.triu_indices(len(z), 1)
        apart = z[other] - z[one]
        counts = np.bincount(classes, minlength=self.lags.size + 1)
        together = np.split(np.argsort(classes, kind="stable"), np.cumsum(counts)[:-1])[:-1]
        most = _PAIRS.get(self.estimator, apart.size + 1)
        used = [part[:: -(-part.size // most) or 1] for part in together]
        found = np.array([self._estimated(apart[part]) for part in used])
        pairs = np.array([part.size for part in used], dtype=np.float64)
        length = np.array([distance[part].sum() for part in used])
        parts = np.array([2 * pairs * found, pairs, length, pairs])
        return np.where(np.isfinite(found), parts, 0.0).reshape(4, *self.lags.shape)

    def _estimated(self, apart: NDArray[np.float64]) -> float:
        """Semivariance of a class; NaN where the estimator has too few pairs."""
        if apart.size == 0:
            return np.nan
        from skgstat import estimators

        signed = self.estimator == "genton"
        return float(getattr(estimators, self.estimator)(apart if signed else np.abs(apart)))

    def _separations(self, places: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Distance and class of each pair, in the order of scipy's `pdist`."""
        if not self.spherical:
            distance = pdist(places)
            bins = np.searchsorted(self.lags.cuts, distance, side="right") - 1
        else:
            chord = pdist(_on_unit_sphere(places))
            half = np.minimum(self.lags.cuts / (2 * EARTH_RADIUS), np.pi / 2)
            edges = np.where(self.lags.cuts > np.pi * EARTH_RADIUS, np.inf, 2 * np.sin(half))
            bins = np.searchsorted(edges, chord, side="right") - 1
            distance = 2 * EARTH_RADIUS * np.arcsin(np.minimum(chord / 2, 1.0))
        azimuth = self._azimuth(places, distance) if self.lags.azimuths else None
        return distance, self.lags.combined(bins, azimuth)

    def _azimuth(self, places: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Clockwise from north, of a great circle at the middle of the pair."""
        one, other = np.triu_indices(len(places), 1)
        if not self.spherical:
            dy, dx = (places[other] - places[one]).T
            return np.asarray(np.rad2deg(np.arctan2(dx, dy)))
        phi, psi = np.deg2rad(places[one, 0]), np.deg2rad(places[other, 0])
        east = np.cos(phi) * np.cos(psi) * np.sin(np.deg2rad(places[other, 1] - places[one, 1]))
        north = np.cos(distance / (2 * EARTH_RADIUS)) * (np.sin(psi) - np.sin(phi))
        return np.asarray(np.rad2deg(np.arctan2(east, north)))


def _on_unit_sphere(places: NDArray[np.float64]) -> NDArray[np.float64]:
    phi, lam = np.deg2rad(places).T
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=1)
