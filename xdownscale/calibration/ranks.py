"""What ranks of the truth say of members: whether they go far enough, lean, and are in doubt of their scale.

Ranks have shapes: of the polynomials that are orthonormal over equal ranks, the second is large where outer
ranks are too many, and one factor on all departures takes it away (`flat`). The first is large where the
truth is high among members more often than low, the third where it is so among the outer ranks and the other
way round among those between: members that lean as much take them away (`by_lean`). The fourth is large where
the outermost and the middle ones are too many and those between too few: spread is right in the mean, but too
narrow here and too wide there. Members that share this doubt, by scales of their own (`models.members`), take
that away (`by_shape`).

Each is another by the climate. On 24 windows of autumn members without scatter have shares of the fourth
degree of 0.86 to 0.25 in the four tenths of the cells that vary least, where dust comes on few days, and of
-0.01 to -0.03 in the four that vary most. In spring the two calmest have shares of the sixth of 0.010 and
0.016 without such a skew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq

from xdownscale.diagnostics.flatness import shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from xdownscale.calibration.windows import Sampled
    from xdownscale.models.members import MemberByMember

__all__ = ["Lean", "Shapes", "bisected", "by_lean", "by_shape", "flat", "frequencies", "lean_response"]

_FACTORS = (0.02, 10.0)
_GROUPS = 10
_SHAPED = 20  # groups that have a scatter of their own, which changes faster
_TAILS = (0.01, 0.1, 0.3, 1.0, 3.0)
_SCATTER_SKEWS = (0.0, 0.9)
_MOST = 1.0
_HALVINGS = 14
_SHAPE_HALVINGS = 6
_STEP, _CLOSE = 0.2, 5e-4  # of the logarithm of a factor
_SKEWED = 0.3, 0.2  # skew and near skew, at most
_TRIED = 0.03, 0.01  # of each, which adds some 0.003 to the first degree
_APART = 0.03  # of the larger of the responses to these


@dataclass(frozen=True)
class Shapes:
    """The scatter of members' scales that goes with a tail, by the climate.

    Attributes
    ----------
    tail : tuple of float, ascending
    log_deviation : tuple of float, ascending
        Knots of the climate.
    scatter : ndarray, shape (tails, knots)
    scatter_skew : ndarray, shape (tails, knots)
        How much further the scatter is upward.
    own_tail : ndarray, shape (tails, knots)
        The tail, or what is left of it where less will do.
    """

    tail: tuple[float, ...]
    log_deviation: tuple[float, ...]
    scatter: NDArray[np.float64]
    scatter_skew: NDArray[np.float64]
    own_tail: NDArray[np.float64]

    def at(
        self, tail: float | NDArray[np.float64], log_deviation: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What goes with a tail, or with one of each climate: scatter, its skew and own tail, (3, climates).

        Between tails linear in the tail's logarithm.
        """
        each = list(zip(np.log(np.broadcast_to(tail, log_deviation.shape)), log_deviation, strict=True))
        tables = (self.scatter, self.scatter_skew, self.own_tail)
        return np.array([[self._between(table, *one) for one in each] for table in tables])

    def _between(self, table: NDArray[np.float64], log_tail: float, log_deviation: float) -> float:
        with_tail = [np.interp(log_tail, np.log(self.tail), one) for one in table.T]
        return float(np.interp(log_deviation, self.log_deviation, with_tail))


def by_shape(cells: Sampled, fitted: MemberByMember) -> Shapes:
    """The scatter of members' scales with which ranks have no share of the fourth and the sixth degree.

    Where spread is right in the mean but too narrow here and too wide there, outermost and middle ranks are
    too frequent. The share of the fourth degree falls as the scatter grows, a factor being fitted anew, and
    as the tail does; where the tail alone takes it below none, that is made less. The share of the sixth that
    is left then falls with the scatter's skew.

    Parameters
    ----------
    cells : Sampled
        Of many members.
    fitted : MemberByMember
        What the cells are drawn with now.

    Returns
    -------
    Shapes
        By twentieths of the climate; each scatter 0 to 1, its skew 0 to 0.9.
    """
    groups = cells.by_climate(_SHAPED)
    found = np.array([[_shape(group, fitted, tail) for group in groups] for tail in _TAILS])
    return Shapes(_TAILS, _knots(groups), *np.moveaxis(found, -1, 0))


@dataclass(frozen=True)
class Lean:
    """How members lean, by the climate.

    Attributes
    ----------
    log_deviation : tuple of float, ascending
        Knots of the climate.
    shift : ndarray, shape (knots,) [residual's scale]
    skew, near_skew : float [width]
        The same in every climate.
    """

    log_deviation: tuple[float, ...]
    shift: NDArray[np.float64]
    skew: float
    near_skew: float


def by_lean(cells: Sampled, fitted: MemberByMember, judged: Sampled, response: NDArray[np.float64]) -> Lean:
    """Shift and skews of members with which ranks have less of the first and the third degree, or none.

    Shifts take away what climates differ by, and leave to each the share that all cells have together. That
    and a share of the third degree the two skews take away. What was conserved anew differs, and is for the
    next time.

    Parameters
    ----------
    cells : Sampled
        For the shifts.
    fitted : MemberByMember
        What all cells are drawn with now.
    judged : Sampled
        Of many members, for the skews: ranks of four hardly have a third degree.
    response : ndarray, shape (2, 2)
        As `lean_response` has it.

    Returns
    -------
    Lean
        By tenths of the climate; the skew -0.3 to 0.3, the near skew -0.2 to 0.2.
    """
    groups = cells.by_climate(_GROUPS)
    knots = _knots(groups)
    usual = _share(cells, cells.moved(fitted), 1)
    shift = np.array([_shift(group, group.moved(fitted), usual) for group in groups])
    if fitted.shift:
        shift += np.interp(knots, fitted.log_deviation, fitted.shift)
    by_trial = response * _TRIED
    missing = np.linalg.lstsq(by_trial, -_lean(judged, fitted), rcond=_APART)[0] * _TRIED
    skew, near_skew = np.clip(_skews(fitted) + missing, np.negative(_SKEWED), _SKEWED)
    return Lean(knots, shift, float(skew), float(near_skew))


def lean_response(drawn: Callable[[MemberByMember], Sampled], fitted: MemberByMember) -> NDArray[np.float64]:
    """What a lean gains for each unit of the skew and of the near skew, conservation included.

    What is alike in all cells of a coarse one conservation takes back, of each member; so that the answer is
    not of cells by themselves, and another from season to season: in spring the skew takes from the third
    degree 0.8 of what it adds to the first, and in autumn 0.3.

    Parameters
    ----------
    drawn : callable
        Cells of many members, conserved as they are moved by what it is given.
    fitted : MemberByMember

    Returns
    -------
    ndarray, shape (2, 2)
        Shares of the first and of the third degree, for the skew and for the near skew.
    """
    now, alike, base = _skews(fitted), len(fitted.tail), _lean(drawn(fitted), fitted)
    gained = []
    for step in np.diag(_TRIED):
        skew, near_skew = now + step
        tried = replace(fitted, skew=(skew,) * alike, near_skew=(near_skew,) * alike)
        gained.append((_lean(drawn(tried), tried) - base) / step.sum())
    return np.transpose(gained)


def _skews(fitted: MemberByMember) -> NDArray[np.float64]:
    """The skew and the near skew, which all climates have alike."""
    return np.array([np.mean(one) if one else 0.0 for one in (fitted.skew, fitted.near_skew)])


def _lean(cells: Sampled, fitted: MemberByMember) -> NDArray[np.float64]:
    """Shares of the first and of the third degree."""
    return shares(frequencies(cells, cells.moved(fitted)), 3)[[0, 2]]


def _shift(cells: Sampled, drawn: NDArray[np.float64], share: float) -> float:
    """What is added to members for ranks to have a share of the first degree, a spread at most."""
    if _share(cells, drawn, 1) == share:
        return 0.0
    spread = float(drawn.std(axis=0).mean())
    return _halved(lambda shift: _share(cells, drawn + shift, 1) > share, -spread, spread, _HALVINGS)


def _knots(groups: Sequence[Sampled]) -> tuple[float, ...]:
    """The mean log deviation of each group."""
    return tuple(float(np.average(group.climate[1], weights=group.area)) for group in groups)


def _shape(cells: Sampled, fitted: MemberByMember, tail: float) -> tuple[float, float, float]:
    """Scatter, its skew and the tail with which shares of the fourth and sixth degree are none, if it can be.

    Of members of these in place of what was fitted, one factor on all departures fitted anew.
    """
    centre = fitted.centre(cells.mean, cells.climate) + cells.change

    def share(scatter: float, tail: float, skew: float, degree: int = 4) -> float:
        knots = len(fitted.tail)
        forms = {"tail": tail, "scatter": scatter, "scatter_skew": skew}
        tried = replace(fitted, **{name: (one,) * knots for name, one in forms.items()})
        moved = tried.departing(cells.departure, cells.climate, cells.level, cells.chance)
        return _share(cells, centre + flat(centre, moved, cells) * moved, degree)

    if share(0.0, tail, 0.0) <= 0:
        return 0.0, 0.0, _least(lambda tail: share(0.0, tail, 0.0), tail)
    scatter = [_least(partial(share, tail=tail, skew=skew), _MOST) for skew in _SCATTER_SKEWS]
    left, right = (
        share(each, tail, skew, degree=6) for each, skew in zip(scatter, _SCATTER_SKEWS, strict=True)
    )
    part = float(np.clip(left / (left - right), 0, 1)) if 0 < left > right else 0.0
    between, skew = (float(a + part * (b - a)) for a, b in (scatter, _SCATTER_SKEWS))
    return between, skew, tail


def _least(share: Callable[[float], float], most: float) -> float:
    """From where on the share is none; halved linearly, for 0 is an answer too."""
    return 0.0 if share(0.0) <= 0 else _halved(lambda x: share(x) > 0, 0.0, most, _SHAPE_HALVINGS)


def _halved(short: Callable[[float], bool], low: float, high: float, halvings: int) -> float:
    """Where `short` ends on the way from low to high, in equal steps; `bisected` takes equal ratios."""
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return (low + high) / 2


def _share(cells: Sampled, drawn: NDArray[np.float64], degree: int) -> float:
    """Of the truth's ranks among members, the coefficient of a polynomial orthonormal over equal ranks."""
    return float(shares(frequencies(cells, drawn), degree)[-1])


def frequencies(cells: Sampled, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often the truth has each rank among members, beside equal ranks, shape (members + 1,)."""
    return _frequencies(drawn, np.broadcast_to(cells.truth, drawn.shape), cells.area)


def _frequencies(
    drawn: Iterable[NDArray[np.float64]], truth: NDArray[np.float64], area: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of each member's own truth; of one member after the other, so that few cells are copied."""
    ranks = np.zeros(truth.shape[1], dtype=np.int16)
    for member, known in zip(drawn, truth, strict=True):
        ranks += member < known
    found = np.bincount(ranks, weights=area, minlength=len(truth) + 1)
    return np.asarray(found / found.mean())


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
    to_go = cells.truth - centre

    def too_many(log_factor: float) -> float:
        factor = float(np.exp(log_factor))
        found = _frequencies((factor * one for one in moved), to_go, cells.area)
        return float((outer * found).mean() - outer.mean())

    return float(np.exp(_root(too_many, *np.log(_FACTORS))))


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function is zero, searched for from 0 on; if nowhere, the end that is nearest to it."""
    known = cache(falling)
    sign = float(np.sign(known(0.0)))
    if sign == 0:
        return 0.0
    near, far, step = 0.0, 0.0, _STEP
    while known(far) * sign > 0:
        if far in (low, high):
            return far
        near, far, step = far, float(np.clip(far + sign * step, low, high)), 2 * step
    return float(brentq(known, near, far, xtol=_CLOSE))


def bisected(short: Callable[[float], bool], low: float, high: float) -> float:
    """Where `short` ends on the way from low to high; the end if nowhere."""
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if short(middle) else (low, middle)
    return float(np.sqrt(low * high))
