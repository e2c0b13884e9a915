"""Members as they are drawn, moved about their mean so that ranks are flat and spread equals skill.

Scales are judged one by one before (`inflation`); cells are judged here. A network leaves the same share of
noise wherever it is: too much where the residual hardly varies. Its errors are more peaked and have heavier
tails than its members: spread that equals skill as a root mean square is too wide for most cells. By the
cell's climatological deviation, slopes take the mean as near to the truth as it can come and factors make the
ranks of the truth flat; a tail, beyond three times the members' own deviation there, brings spread to skill.
(One that sets in at that deviation itself cannot: in summer, where ranks of 16 are without a share of the
fourth degree, spread was 0.97 of skill at most, and 0.99 at twice it.) Of 25 windows or more each climate has
a tail of its own: where dust comes on few days, spread was 0.4 of skill in spring with the tail of all. The
calmest twentieth of the cells falls into four, whose factors differ by more than those of all others. By
the level of the coarse field, of seven, other factors bring spread to skill at each (`models.members`). The
highest is of 0.3 % of the cells, which have an eighth of the squares of errors in the quantity's own units.

Before that departures get gains by bands of scale, with which they are as large as the mean's errors in each
(`models.starlet`): a distilled network has no factors of the noise, and leaves the finest too small.

25 windows or more tell how members are shifted, and some of them, which have 16 members, what scatter of
their own scales goes with each tail, and how they are skewed (`ranks`); all else is fitted with these.

They are fitted to conserved fields, as `predict` draws them. Draws are moved before they are conserved: the
factors are fitted with what conservation changed, the factors of the levels, shift, skews and the scatter of
each tail held as they were, these are made anew with them, and so on for five rounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.calibration.ranks import Lean, Shapes, bisected, by_lean, by_shape, flat, lean_response
from xdownscale.calibration.spread import outcome, ratio, squares
from xdownscale.calibration.windows import Sampled, places, window_of
from xdownscale.models.members import MemberByMember, bent, scales, stretched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from xdownscale.calibration.windows import Window
    from xdownscale.diffusion.sample import Sampler
    from xdownscale.models import Downscaler
    from xdownscale.training.pairs import Pairs

__all__ = ["ROUNDS", "Levels", "by_band", "by_level", "fit", "member_by_member"]

Levels = tuple[tuple[float, ...], tuple[float, ...]]
ROUNDS = 5

_BINS = 20
_CALMEST = 4
_LEVELS = (0.05, 0.3, 0.5, 0.7, 0.9, 0.99, 0.997)
_SLOPES = (0.0, 2.0)
_ONE_SLOPE = 0.01
_REACHES = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6)
_TAILS = (0.01, 30.0)
_WIDTH = 3.0  # of the members' own deviation
_BY_LEVEL = (0.2, 5.0)
_BANDS = 4
_MANY = 16
_FROM = 25
_EVERY = 2
_ENOUGH = 48
_ANSWERING = 12
_GAINS = (0.5, 2.0)
_NOT_BY_CLIMATE = ("level", "level_factor", "band_gain")


def member_by_member(
    model: Downscaler,
    pairs: Pairs,
    days: NDArray[np.int64],
    sampler: Sampler,
    members: int,
    side: int,
    seed: int,
    report: Callable[[int], Any],
    folder: Path | None = None,
) -> tuple[MemberByMember, dict[str, Any]]:
    """Fit one number of evaluations on a window of each day.

    Parameters
    ----------
    model : Downscaler
        Draws begin with what noise is on its card for the sampler.
    pairs : Pairs
    days : ndarray of int
        Positions among the days of the pairs.
    sampler : Sampler
    members : int, >= 2
        Of a window; where there are 25 windows or more, 16 at least of every second one, or of some 48.
    side : int [fine cells]
    seed : int
    report : callable
        Called with how many windows are drawn, and then with these and the rounds of the fit that are done.
    folder : Path, optional
        Where the windows' draws are kept, and found again.

    Returns
    -------
    (MemberByMember, dict)
        Also how many windows there are, and what the fit came to on them (`spread.outcome`).
    """
    of = places(model, pairs, side)
    many = _some(len(days), of, _ENOUGH) & (len(days) >= _FROM)
    windows = []
    for number in range(len(days)):
        count = max(_MANY, members) if many[number] else members
        windows.append(window_of(model, pairs, days, number, sampler, count, side, seed, folder))
        report(number + 1)
    gains = by_band([window.first(members) for window in windows])
    for number in range(len(windows)):  # one after the other, for memory
        windows[number] = windows[number].by_band(gains)
    fitted = _settled(windows, members, many, many & _some(len(days), of, _ANSWERING), report)
    cells = Sampled.joined([window.first(members).cells(fitted) for window in windows])
    told = outcome(cells, fitted, partial(_own_units, model, cells.level))
    return replace(fitted, band_gain=_short(gains)), {"windows": len(windows), **told}


def _own_units(
    model: Downscaler, level: NDArray[np.float64], residual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The quantity, of residuals in the cells of a level."""
    return np.asarray(model.scaling.inverse(level + model.card.residual_scale * residual))


def _some(windows: int, of: int, most: int) -> NDArray[np.bool_]:
    """Which of the windows: every second of each place that takes turns, or fewer where that is too many."""
    turn, place = np.divmod(np.arange(windows), of)
    every = max(_EVERY, math.ceil(windows / most))
    return np.asarray((turn + place) % every == 0)


def _settled(
    windows: Sequence[Window],
    members: int,
    many: NDArray[np.bool_],
    tried: NDArray[np.bool_],
    report: Callable[[int], Any],
) -> MemberByMember:
    """Fitted anew and anew with what conservation changed, with the factors of the levels and what ranks say.

    On the first members of all windows, the scatter and the skews on all members of those that have many;
    what a skew does is tried on some.
    """
    rich = many.any()

    def drawn(fitted: MemberByMember) -> Sampled:
        return Sampled.joined([windows[int(number)].cells(fitted) for number in np.flatnonzero(tried)])

    fitted = fit(Sampled.joined([window.cells().first(members) for window in windows]))
    report(len(windows) + 1)
    for done in range(1, ROUNDS):
        cells = [window.cells(fitted) for window in windows]
        all_cells = Sampled.joined([one.first(members) for one in cells])
        levels, shapes, lean = by_level(all_cells, fitted), None, None
        if rich:
            now = Sampled.joined([one for one, has_many in zip(cells, many, strict=True) if has_many])
            shapes = by_shape(now, fitted)
            lean = by_lean(all_cells, fitted, now, lean_response(drawn, fitted))
        fitted = fit(all_cells, levels, shapes, lean)
        report(len(windows) + done + 1)
    return fitted


def by_band(windows: Sequence[Window]) -> tuple[float, ...]:
    """Gains of the bands of scale with which departures are as large as the mean's errors in each.

    Parameters
    ----------
    windows : sequence of Window

    Returns
    -------
    tuple of float
        Of the four finest bands, 0.5 to 2; 1 where members do not differ.
    """
    departures, errors = np.sum([window.squares_by_band(_BANDS) for window in windows], axis=0)
    gains = [ratio(error, departure) for error, departure in zip(errors, departures, strict=True)]
    return tuple(float(np.clip(gain, *_GAINS)) if np.isfinite(gain) else 1.0 for gain in gains)


def fit(
    cells: Sampled,
    levels: Levels = ((0.0,), (1.0,)),
    shapes: Shapes | None = None,
    lean: Lean | None = None,
) -> MemberByMember:
    """Slopes and factors by twentieths of the climatological deviation, and the tail that goes with them.

    Parameters
    ----------
    cells : Sampled
    levels : (tuple of float, tuple of float)
        Knots of the level and the factors there, with which the rest is fitted.
    shapes : Shapes, optional
        Scatter, its skew and tail of each climate that go with a tail; by default no scatter, and one tail.
    lean : Lean, optional
        Shift and skews; none by default.

    Returns
    -------
    MemberByMember
        Slopes between 0 and 2, by least squares; factors between 0.02 and 10; widths, three times the
        members' own deviation; the tail, 0.01 to 30, or as far as the shapes go.

    Raises
    ------
    ValueError
        If there is no cell.
    """
    if not cells.truth.size:
        raise ValueError(
            "no cell of the windows has a fine value to judge members by: give days with known cells, or "
            "more windows"
        )
    groups = cells.by_climate(_BINS)
    if shapes is not None:  # the calmest cells differ most
        groups[:1] = groups[0].by_climate(_CALMEST)
    bins = [_Bin.of(one, lean) for one in groups]

    def fitted(bins: Sequence[_Bin], tails: Sequence[float]) -> MemberByMember:
        knots = np.array([one.knot for one in bins])
        none = [0.0] * len(bins)
        told = (none, none, tails) if shapes is None else shapes.at(np.array(tails), knots)
        scatter, scatter_skew, own_tails = map(_short, told)
        forms = zip(bins, scatter, scatter_skew, own_tails, strict=True)
        factors = [one.factor(levels, doubt, tail) for one, *doubt, tail in forms]
        near, far, reach = zip(*(one.slopes for one in bins), strict=True)
        return MemberByMember(
            tuple(map(float, knots)),
            _short(near),
            _short(factors),
            _short(one.width for one in bins),
            own_tails,
            levels[0],
            _short(levels[1]),
            scatter=() if shapes is None else scatter,
            scatter_skew=() if shapes is None else scatter_skew,
            shift=() if lean is None else _short(one.shift for one in bins),
            skew=() if lean is None else _short(one.skews[0] for one in bins),
            near_skew=() if lean is None else _short(one.skews[1] for one in bins),
            far_slope=_short(far),
            reach=_short(reach),
        )

    def tail(cells: Sampled, bins: Sequence[_Bin]) -> float:
        return bisected(lambda tail: _reliability(cells, fitted(bins, [tail] * len(bins))) < 1, *_TAILS)

    if shapes is None:
        return fitted(bins, [tail(cells, bins)] * len(bins))
    return _halfway(fitted(bins, [tail(one.cells, [one]) for one in bins]))


def _halfway(fitted: MemberByMember) -> MemberByMember:
    """The same with knots between the knots, where factors of small and large departures are geometric means.

    Where cells hardly vary what is right is proportional to their deviation, whose logarithm is the climate.
    """
    count = len(fitted.factor)
    at = np.arange(2 * count - 1) / 2

    def between(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(at, np.arange(count), values)

    lists = {
        name: values for name, values in fitted.to_dict().items() if values and name not in _NOT_BY_CLIMATE
    }
    knots, near, tail = (np.array(lists.pop(name)) for name in ("log_deviation", "factor", "tail"))
    factor, far_factor = (np.exp(between(np.log(each))) for each in (near, near * (1 + tail)))
    return replace(
        fitted,
        log_deviation=tuple(map(float, between(knots))),
        factor=_short(factor),
        tail=_short(np.maximum(far_factor / factor - 1, 0)),
        **{name: _short(between(values)) for name, values in lists.items()},
    )


@dataclass(frozen=True)
class _Bin:
    """Cells of like climate, and what is fitted to them before any factor.

    Attributes
    ----------
    cells : Sampled
    knot : float
        Their mean log deviation.
    width : float [residual's scale]
    slopes : (float, float, float)
        Near, far and reach.
    shift : float [residual's scale]
    skews : (float, float) [width]
        The skew and the near skew.
    """

    cells: Sampled
    knot: float
    width: float
    slopes: tuple[float, float, float]
    shift: float
    skews: tuple[float, float]

    @classmethod
    def of(cls, cells: Sampled, lean: Lean | None) -> _Bin:
        """Shift and skews are none without a lean."""
        knot = float(np.average(cells.climate[1], weights=cells.area))
        shift = 0.0 if lean is None else float(np.interp(knot, lean.log_deviation, lean.shift))
        skews = (0.0, 0.0) if lean is None else (lean.skew, lean.near_skew)
        return cls(cells, knot, max(_WIDTH * _deviation(cells), 1e-6), _slopes(cells), shift, skews)

    def factor(self, levels: Levels, doubt: Sequence[float], tail: float) -> float:
        """What small departures are multiplied by for ranks to be flat; of a scatter with its skew."""
        cells, normal = self.cells, self.cells.climate[0]
        centre = normal + self.shift + bent(cells.mean - normal, *self.slopes) + cells.change
        departure = cells.departure * scales(cells.chance, *doubt) if doubt[0] else cells.departure
        departure = stretched(departure, self.width, tail, *self.skews)
        return flat(centre, np.interp(cells.level, *levels) * departure, cells)


def _deviation(cells: Sampled) -> float:
    """Of the members from their means, as they are before anything moves them."""
    return float(np.sqrt(np.average((cells.departure**2).mean(axis=0), weights=cells.area)))


def by_level(cells: Sampled, fitted: MemberByMember) -> Levels:
    """Factors by the level of the coarse field that take spread towards skill at each, beside what is fitted.

    Parameters
    ----------
    cells : Sampled
    fitted : MemberByMember
        What the cells are drawn with now.

    Returns
    -------
    (tuple of float, tuple of float)
        Knots, quantiles of the level, and factors, 1 on the average over all cells (of their logarithm).
    """
    knots = np.unique(np.quantile(cells.level, _LEVELS))
    factors = np.interp(knots, fitted.level, fitted.level_factor)
    spread, error = squares(cells.moved(fitted), cells.truth, cells.area)
    for number, hat in enumerate(np.eye(len(knots))):
        near = np.interp(cells.level, knots, hat)
        found = ratio((near * spread).sum(), (near * error).sum())
        factors[number] = np.clip(factors[number] / max(found, 1e-6), *_BY_LEVEL)
    usual = np.average(np.log(np.interp(cells.level, knots, factors)), weights=cells.area)
    return tuple(map(float, knots)), tuple(map(float, factors / np.exp(usual)))


def _short(values: Iterable[float]) -> tuple[float, ...]:
    """To five digits; knots that nearly meet are not for this."""
    return tuple(float(f"{v:.5g}") for v in values)


def _slopes(cells: Sampled) -> tuple[float, float, float]:
    """Slopes of small and of large offsets of the mean from the climate, and where one becomes the other.

    By least squares of the truth's offset, drawn towards one slope for all as if of a hundredth of the
    squares; 1 and 1 if the mean is the climate's.
    """
    normal = cells.climate[0]
    offset, goes = cells.mean - normal, cells.truth - normal
    square = float((cells.area * offset**2).sum())
    if square == 0:
        return 1.0, 1.0, _REACHES[0]
    usual = float((cells.area * offset * goes).sum()) / square
    found = []
    for reach in _REACHES:
        parts = [bent(offset, *ends, reach) for ends in ((1, 0), (0, 1))]
        gram = np.array([[float((cells.area * p * q).sum()) for q in parts] for p in parts])
        along = np.array([float((cells.area * p * goes).sum()) for p in parts])
        gram, along = gram + _ONE_SLOPE * square * np.eye(2), along + _ONE_SLOPE * square * usual
        slopes = np.clip(np.linalg.solve(gram, along), *_SLOPES)
        found.append((float(slopes @ gram @ slopes - 2 * slopes @ along), *map(float, slopes), reach))
    _, near, far, reach = min(found)
    return near, far, reach


def _reliability(cells: Sampled, fitted: MemberByMember) -> float:
    """Spread over skill of the cells with all slopes and factors."""
    return ratio(*(each.sum() for each in squares(cells.moved(fitted), cells.truth, cells.area)))
