"""Classes of separation: lag bins and, if asked for, directions.

Bin b holds the pairs with edges[b] <= h < edges[b + 1]; a separation that equals an edge up to rounding, as
whole cells often do, is in the upper bin. A direction is an azimuth, clockwise from north, of the line
through both cells, so that 30 and 210 degrees are one. A sector reaches to half the way to its neighbour,
at most 22.5 degrees to each side: four directions 45 degrees apart share all pairs out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["EARTH_RADIUS", "Lags"]

EARTH_RADIUS = 6371.0  # km, mean radius
_BINS = 24
_SECTOR = 22.5
_TIE = 1e-10


@dataclass(frozen=True)
class Lags:
    """Edges of the lag bins and azimuths of the directions.

    Attributes
    ----------
    edges : tuple of float, n + 1 of them, rising, >= 0 [km, or unit of the CRS]
    azimuths : tuple of float, in [0, 180) [degree clockwise from north]
        Empty for pairs of all directions together.

    Examples
    --------
    >>> Lags((0.0, 10.0, 20.0)).classes(np.array([9.99, 10.0, 20.0]))
    array([0, 1, 2])
    """

    edges: tuple[float, ...]
    azimuths: tuple[float, ...] = ()

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """Directions (1 if all are taken together) and bins."""
        return max(1, len(self.azimuths)), self.bins

    @property
    def size(self) -> int:
        """Number of classes; as an index, the place of pairs that are in none."""
        return self.shape[0] * self.shape[1]

    @property
    def cuts(self) -> NDArray[np.float64]:
        """Edges lowered by a rounding error, so that ties fall into the upper bin."""
        return np.asarray(self.edges) * (1 - _TIE)

    @property
    def half_width(self) -> float:
        """Half the opening of a sector [degree]."""
        if not self.azimuths:
            return 90.0
        turned = np.sort(self.azimuths)
        gaps = np.diff(np.append(turned, turned[0] + 180.0))
        return float(min(_SECTOR, gaps.min() / 2))

    def classes(self, distance: NDArray[Any], azimuth: NDArray[Any] | None = None) -> NDArray[np.intp]:
        """Class of each pair, direction by direction and bin by bin; `size` where there is none.

        Parameters
        ----------
        distance : ndarray [km, or unit of the CRS]
        azimuth : ndarray, of the same shape [degree]
            Needed where there are directions.
        """
        return self.combined(np.searchsorted(self.cuts, distance, side="right") - 1, azimuth)

    def combined(self, bins: NDArray[np.intp], azimuth: NDArray[Any] | None) -> NDArray[np.intp]:
        """Class from a bin's number, outside of 0 to n - 1 for none, and an azimuth."""
        inside = (bins >= 0) & (bins < self.bins)
        if not self.azimuths or azimuth is None:
            return np.where(inside, bins, self.size)
        sector = np.full(np.shape(azimuth), -1)
        for k, middle in enumerate(self.azimuths):
            turned = (azimuth - middle + self.half_width + 1e-9) % 180.0
            sector[(turned < 2 * self.half_width) & (sector < 0)] = k
        return np.where(inside & (sector >= 0), sector * self.bins + bins, self.size)

    @classmethod
    def choose(
        cls,
        lags: int | Sequence[float] | None,
        max_lag: float | None,
        directions: Sequence[float] | None,
        *,
        diagonal: float,
        cell: float,
    ) -> Lags:
        """From what the user asked for, with gstat's default reach, a third of the domain's diagonal.

        Parameters
        ----------
        lags : int or sequence of float, optional
            Number of bins of equal width, or their edges; up to 24 by default, none narrower than a cell.
        max_lag : float, > 0, optional
            Upper edge of the last bin; not together with edges.
        directions : sequence of float, optional
            Azimuths.
        diagonal, cell : float, > 0
            Extent of the domain and larger spacing of its cells.

        Raises
        ------
        ValueError
            If a value is out of its range, or edges do not rise.

        Examples
        --------
        >>> Lags.choose(None, None, None, diagonal=90.0, cell=10.0).edges
        (0.0, 10.0, 20.0, 30.0)
        """
        azimuths = _azimuths(directions)
        if lags is not None and np.ndim(lags) > 0:
            if max_lag is not None:
                raise ValueError("lags are edges and max_lag is given too: expected one of them")
            return cls(_edges(np.asarray(lags, dtype=np.float64)), azimuths)
        reach = diagonal / 3 if max_lag is None else float(max_lag)
        if not (np.isfinite(reach) and reach > 0):
            raise ValueError(f"max_lag is {max_lag}: expected a positive, finite distance")
        count = _count(lags) if lags is not None else int(np.clip(reach / cell * (1 + 1e-9), 1, _BINS))
        return cls(tuple(float(e) for e in np.linspace(0.0, reach, count + 1)), azimuths)


def _count(lags: Any) -> int:
    if isinstance(lags, bool) or not isinstance(lags, int | np.integer) or lags < 1:
        raise ValueError(f"lags is {lags!r}: expected a number of bins, at least 1, or their edges")
    return int(lags)


def _edges(edges: NDArray[np.float64]) -> tuple[float, ...]:
    rising = edges.ndim == 1 and edges.size >= 2 and np.isfinite(edges).all() and (np.diff(edges) > 0).all()
    if not rising or edges[0] < 0:
        raise ValueError(f"lags are the edges {edges.tolist()}: expected two or more, rising, from 0 on")
    return tuple(float(e) for e in edges)


def _azimuths(directions: Sequence[float] | None) -> tuple[float, ...]:
    if directions is None:
        return ()
    given = np.atleast_1d(np.asarray(directions, dtype=np.float64))
    if given.ndim != 1 or given.size == 0 or not np.isfinite(given).all():
        raise ValueError(f"directions are {directions!r}: expected azimuths in degrees from north")
    turned = given % 180.0
    if np.unique(turned.round(9)).size < turned.size:
        raise ValueError(f"directions {given.tolist()} repeat: azimuths 180 degrees apart are the same")
    return tuple(float(a) for a in turned)
