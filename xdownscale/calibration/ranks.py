"""What ranks of the truth say of members: whether they go far enough, and whether their scale is in doubt.

Ranks have shapes: of the polynomials that are orthonormal over equal ranks, the second is large where outer
ranks are too many, and one factor on all departures takes it away (`flat`). The fourth is large where the
outermost and the middle ones are too many and those between too few: spread is right in the mean, but too
narrow here and too wide there. Members that share this doubt, by scales of their own (`models.members`), take
that away (`by_shape`).

It is another by the climate. On seven autumn days the tenth of the cells that varies least had 0.9 times as
many outermost ranks as flat, which no scatter mends, those of a deviation of a tenth 1.28, and all together
hardly any share of the fourth degree: one scatter for all would have been none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from xdownscale.calibration.windows import Sampled
    from xdownscale.models.members import MemberByMember

__all__ = ["Shapes", "bisected", "by_shape", "flat"]

_FACTORS = (0.02, 10.0)
_GROUPS = 10
_TAILS = (0.01, 0.1, 0.3, 1.0, 3.0)
_MOST = 1.0
_HALVINGS = 14
_SCATTER_HALVINGS = 6


@dataclass(frozen=True)
class Shapes:
    """The scatter of members' scales that goes with a tail, by the climate.

    Attributes
    ----------
    tail : tuple of float, ascending
    log_deviation : tuple of float, ascending
        Knots of the climate.
    scatter : ndarray, shape (tails, knots)
    """

    tail: tuple[float, ...]
    log_deviation: tuple[float, ...]
    scatter: NDArray[np.float64]

    def at(self, tail: float, log_deviation: NDArray[np.float64]) -> NDArray[np.float64]:
        """The scatter that goes with a tail, in climates; between tails linear in the tail's logarithm."""
        of_tail = [np.interp(np.log(tail), np.log(self.tail), one) for one in self.scatter.T]
        return np.asarray(np.interp(log_deviation, self.log_deviation, of_tail))


def by_shape(cells: Sampled, fitted: MemberByMember) -> Shapes:
    """The scatter of members' scales with which the truth's ranks have no share of the fourth degree.

    Where spread is right in the mean but too narrow here and too wide there, outermost and middle ranks are
    too frequent. The share falls as the scatter grows, a factor being fitted anew; and as the tail does.

    Parameters
    ----------
    cells : Sampled
        Of many members.
    fitted : MemberByMember
        What the cells are drawn with now.

    Returns
    -------
    Shapes
        By tenths of the climate; each scatter 0 to 1, 0 where outermost and middle ranks are not too
        frequent.
    """
    groups = cells.by_climate(_GROUPS)
    knots = [float(np.average(group.climate[1], weights=group.area)) for group in groups]
    scatter = [[_scatter(group, fitted, tail) for group in groups] for tail in _TAILS]
    return Shapes(_TAILS, tuple(knots), np.array(scatter))


def _scatter(cells: Sampled, fitted: MemberByMember, tail: float) -> float:
    """Where the share of the fourth degree is none; halved linearly, for none is an answer too."""
    here = replace(fitted, tail=(tail,) * len(fitted.tail))
    if _share(cells, here, 0.0) <= 0:
        return 0.0
    low, high = 0.0, _MOST
    for _ in range(_SCATTER_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _share(cells, here, middle) > 0 else (low, middle)
    return (low + high) / 2


def _share(cells: Sampled, fitted: MemberByMember, scatter: float) -> float:
    """Of the truth's ranks, the coefficient of the fourth of the polynomials orthonormal over equal ranks.

    Of members of this scatter in place of what was fitted, one factor on all departures fitted anew.
    """
    here = replace(fitted, scatter=(scatter,) * len(fitted.factor))
    still = replace(cells, departure=0 * cells.departure)
    centre = still.moved(here)
    moved = cells.moved(here) - centre
    ranks = np.arange(len(moved) + 1) - len(moved) / 2
    shapes, signs = np.linalg.qr(ranks[:, None] ** [0, 2, 4])
    shape = np.sqrt(len(ranks)) * shapes[:, 2] * np.sign(signs[2, 2])
    drawn = centre + flat(centre, moved, cells) * moved
    return float(np.average(shape[(drawn < cells.truth).sum(axis=0)], weights=cells.area))


def flat(centre: NDArray[np.float64], moved: NDArray[np.float64], cells: Sampled) -> float:
    """The factor on departures with which outer ranks are neither too many nor too few.

    Parameters
    ----------
    centre, moved : ndarray, shape (members, cells)
        What members depart from, and how far.
    cells : Sampled
        For their truth and area.

    Returns
    -------
    float
        0.02 to 10.
    """
    ranks = np.arange(len(moved) + 1)
    outer = (ranks - ranks.mean()) ** 2

    def short(factor: float) -> bool:
        rank = (centre + factor * moved < cells.truth).sum(axis=0)
        return bool(np.average(outer[rank], weights=cells.area) > outer.mean())

    return bisected(short, *_FACTORS)


def bisected(short: Callable[[float], bool], low: float, high: float) -> float:
    """Where `short` ends on the way from low to high; the end if nowhere."""
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if short(middle) else (low, middle)
    return float(np.sqrt(low * high))
