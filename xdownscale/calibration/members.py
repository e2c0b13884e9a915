"""Members as they are drawn, moved about their mean so that ranks are flat and spread equals skill.

Scales are judged one by one before (`inflation`); cells are judged here. A network leaves the same share of
noise wherever it is: too much where the residual hardly varies. Its errors are more peaked and have heavier
tails than its members: spread that equals skill as a root mean square is too wide for most cells. By the
cell's climatological deviation, slopes take the mean as near to the truth as it can come and factors make the
ranks of the truth flat; one tail, beyond the members' own deviation there, brings spread to skill. Over all
cells, that is: by the level of the coarse field, of six, other factors bring it there at each
(`models.members`).

Before that departures get gains by bands of scale, with which they are as large as the mean's errors in each
(`models.starlet`): a distilled network has no factors of the noise, and leaves the finest too small.

Of 25 windows or more every fifth has 16 members. On these the scatter of members' own scales is found
(`models.members`) with which the outermost ranks and those in the middle are no more frequent than those
between; of four members' five ranks that shape is not seen. All else is fitted with it.

They are fitted to conserved fields, as `predict` draws them. Draws are moved before they are conserved: the
factors are fitted with what conservation changed and the factors of the levels held as they were, both are
made anew with them, and so on for five rounds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.calibration.windows import Sampled, window_of
from xdownscale.models.members import MemberByMember, stretched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from xdownscale.calibration.windows import Window
    from xdownscale.diffusion.sample import Sampler
    from xdownscale.models import Downscaler
    from xdownscale.training.pairs import Pairs

__all__ = ["Levels", "by_band", "by_level", "by_shape", "fit", "member_by_member"]

Levels = tuple[tuple[float, ...], tuple[float, ...]]

_BINS = 20
_LEVELS = (0.05, 0.3, 0.5, 0.7, 0.9, 0.99)
_ROUNDS = 5
_FACTORS = (0.02, 10.0)
_SLOPES = (0.0, 2.0)
_TAILS = (0.01, 30.0)
_BY_LEVEL = (0.2, 5.0)
_BANDS = 4
_MANY = 16
_EVERY = 5
_LEAST = 5
_SCATTERS = (0.2, 0.5)
_SCATTER_ROUNDS = 3
_GAINS = (0.5, 2.0)
_HALVINGS = 14


def member_by_member(
    model: Downscaler,
    pairs: Pairs,
    days: NDArray[np.int64],
    sampler: Sampler,
    members: int,
    side: int,
    seed: int,
    report: Callable[[int], Any],
) -> MemberByMember:
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
        Of a window; 16 at least of every fifth, where there are 25 windows or more.
    side : int [fine cells]
    seed : int
    report : callable
        Called with the number of windows that are drawn.

    Returns
    -------
    MemberByMember
    """
    judges_scatter = len(days) >= _LEAST * _EVERY
    windows = []
    for number in range(len(days)):
        count = max(_MANY, members) if judges_scatter and number % _EVERY == 0 else members
        windows.append(window_of(model, pairs, days, number, sampler, count, side, seed))
        report(number + 1)
    gains = by_band([window.first(members) for window in windows])
    windows = [window.by_band(gains) for window in windows]
    scatter = by_shape(windows[::_EVERY]) if judges_scatter else 0.0
    fitted = _settled([window.first(members).scattered(scatter) for window in windows], _ROUNDS)
    return replace(fitted, band_gain=_short(gains), scatter=scatter)


def by_shape(windows: Sequence[Window]) -> float:
    """The scatter of members' scales with which the truth's ranks have no share of the fourth degree.

    Where spread is right in the mean but too narrow here and too wide there, outermost and middle ranks are
    too frequent. The share falls as the scatter's square grows, all else being fitted anew.

    Parameters
    ----------
    windows : sequence of Window
        Of many members.

    Returns
    -------
    float
        0 to 0.5; 0 where outermost and middle ranks are not too frequent.
    """
    tried, most = _SCATTERS
    plain = _share(windows, 0.0)
    if plain <= 0:
        return 0.0
    scattered = _share(windows, tried)
    square = tried**2 * plain / (plain - scattered) if scattered < plain else np.inf
    return _short([min(np.sqrt(square), most)])[0]


def _share(windows: Sequence[Window], scatter: float) -> float:
    """Of the truth's ranks, the coefficient of the fourth of the polynomials orthonormal over equal ranks."""
    scattered = [window.scattered(scatter) for window in windows]
    fitted = _settled(scattered, _SCATTER_ROUNDS)
    cells = Sampled.joined([window.cells(fitted) for window in scattered])
    drawn = cells.moved(fitted)
    ranks = np.arange(len(drawn) + 1) - len(drawn) / 2
    shapes, signs = np.linalg.qr(ranks[:, None] ** [0, 2, 4])
    shape = np.sqrt(len(ranks)) * shapes[:, 2] * np.sign(signs[2, 2])
    return float(np.average(shape[(drawn < cells.truth).sum(axis=0)], weights=cells.area))


def _settled(windows: Sequence[Window], rounds: int) -> MemberByMember:
    """Fitted anew and anew with what conservation changed, and with the factors of the levels."""
    fitted = fit(Sampled.joined([window.cells() for window in windows]))
    for _ in range(rounds - 1):
        cells = Sampled.joined([window.cells(fitted) for window in windows])
        fitted = fit(cells, by_level(cells, fitted))
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
    gains = [_ratio(error, departure) for error, departure in zip(errors, departures, strict=True)]
    return tuple(float(np.clip(gain, *_GAINS)) if np.isfinite(gain) else 1.0 for gain in gains)


def fit(cells: Sampled, levels: Levels = ((0.0,), (1.0,))) -> MemberByMember:
    """Slopes and factors by twentieths of the climatological deviation, and the tail that goes with them.

    Parameters
    ----------
    cells : Sampled
    levels : (tuple of float, tuple of float)
        Knots of the level and the factors there, with which the rest is fitted.

    Returns
    -------
    MemberByMember
        Slopes between 0 and 2, by least squares; factors between 0.02 and 10; widths, the members' own
        deviation; the tail, 0.01 to 30.

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
    log_deviation = cells.climate[1]
    edges = np.unique(np.quantile(log_deviation, np.linspace(0, 1, _BINS + 1)))
    numbers = np.clip(np.searchsorted(edges, log_deviation, side="right") - 1, 0, max(len(edges) - 2, 0))
    bins = [cells.of(numbers == b) for b in np.unique(numbers)]
    knots = [float(np.average(b.climate[1], weights=b.area)) for b in bins]
    widths = [
        max(float(np.sqrt(np.average((b.departure**2).mean(axis=0), weights=b.area))), 1e-6) for b in bins
    ]
    slopes = [_slope(b) for b in bins]

    def fitted(tail: float) -> MemberByMember:
        factors = [
            _flat(b, slope, width, tail, levels) for b, slope, width in zip(bins, slopes, widths, strict=True)
        ]
        return MemberByMember(
            tuple(knots),
            _short(slopes),
            _short(factors),
            _short(widths),
            _short([tail] * len(bins)),
            levels[0],
            _short(levels[1]),
        )

    def too_narrow(tail: float) -> bool:
        return _reliability(cells, fitted(tail)) < 1

    return fitted(_bisected(too_narrow, *_TAILS))


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
    spread, error = _squares(cells, fitted)
    for number, hat in enumerate(np.eye(len(knots))):
        near = np.interp(cells.level, knots, hat)
        ratio = _ratio((near * spread).sum(), (near * error).sum())
        factors[number] = np.clip(factors[number] / max(ratio, 1e-6), *_BY_LEVEL)
    usual = np.average(np.log(np.interp(cells.level, knots, factors)), weights=cells.area)
    return tuple(map(float, knots)), tuple(map(float, factors / np.exp(usual)))


def _short(values: Iterable[float]) -> tuple[float, ...]:
    """To five digits; knots that nearly meet are not for this."""
    return tuple(float(f"{v:.5g}") for v in values)


def _bisected(short: Callable[[float], bool], low: float, high: float) -> float:
    """Where `short` ends on the way from low to high; the end if nowhere."""
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if short(middle) else (low, middle)
    return float(np.sqrt(low * high))


def _slope(cells: Sampled) -> float:
    """How far the truth goes from its climate for each step of the conditional mean; 1 if that never does."""
    normal = cells.climate[0]
    steps, goes = cells.conserved_mean - normal, cells.truth - normal
    square = float((cells.area * steps**2).sum())
    if square == 0:
        return 1.0
    return float(np.clip((cells.area * steps * goes).sum() / square, *_SLOPES))


def _flat(cells: Sampled, slope: float, width: float, tail: float, levels: Levels) -> float:
    """The factor with which outer ranks are neither too many nor too few."""
    normal = cells.climate[0]
    centre = normal + slope * (cells.mean - normal) + cells.change
    moved = np.interp(cells.level, *levels) * stretched(cells.departure, width, tail)
    ranks = np.arange(len(moved) + 1)
    outer = (ranks - ranks.mean()) ** 2

    def short(factor: float) -> bool:
        rank = (centre + factor * moved < cells.truth).sum(axis=0)
        return bool(np.average(outer[rank], weights=cells.area) > outer.mean())

    return _bisected(short, *_FACTORS)


def _reliability(cells: Sampled, fitted: MemberByMember) -> float:
    """Spread over skill of the cells with all slopes and factors."""
    spread, error = _squares(cells, fitted)
    return _ratio(spread.sum(), error.sum())


def _squares(cells: Sampled, fitted: MemberByMember) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each cell's share of the squares of spread and of the mean's error."""
    drawn = cells.moved(fitted)
    spread = cells.area * drawn.var(axis=0, ddof=1) * (1 + 1 / len(drawn))
    return spread, cells.area * (drawn.mean(axis=0) - cells.truth) ** 2


def _ratio(spread: float, error: float) -> float:
    return float(np.sqrt(spread / error)) if error > 0 else np.inf
