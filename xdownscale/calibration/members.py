"""Members as they are drawn, moved about their mean so that ranks are flat and spread equals skill.

A distilled network mixes its scales, so that they cannot be judged one by one, and leaves the same share of
noise wherever it is: too much where the residual hardly varies. Its errors have heavier tails than its
members: spread that equals skill as a root mean square is too wide for most cells. Factors by the cell's
climatological deviation make the ranks of the truth flat, and one width, in units of the members' own
deviation there, brings spread to skill (`models.members`).

They are fitted to conserved fields, as `predict` draws them, on windows of the coarse grid as wide as a
domain: a window of 128 cells, drawn by itself, has 8 % more spread than the same cells in a wide one. Drawn
fields are conserved after they are moved; the fit moves conserved ones, which is the same to the size of what
conservation changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from xdownscale.grid import refined
from xdownscale.inference.engine import Options, draw
from xdownscale.inference.sequence import Past
from xdownscale.models.members import MemberByMember, stretched
from xdownscale.patches import Tiling
from xdownscale.training.pairs import Pairs, generator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from xdownscale.grid import Grid
    from xdownscale.models import Downscaler

__all__ = ["WIDTH", "Sampled", "fit", "member_by_member"]

WIDTH = 768
_EVERY = 3
_BINS = 10
_FACTORS = (0.02, 10.0)
_TAILS = (1.5, 100.0)
_HALVINGS = 14


@dataclass(frozen=True)
class Sampled:
    """Cells of held-out days.

    Attributes
    ----------
    mean, departure : ndarray, shape (members, cells) [residual's scale]
        Conditional mean of each member, and how far the member is from it.
    truth, log_deviation, area : ndarray, shape (cells,)
    """

    mean: NDArray[np.float64]
    departure: NDArray[np.float64]
    truth: NDArray[np.float64]
    log_deviation: NDArray[np.float64]
    area: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: Sequence[Sampled]) -> Sampled:
        """The cells of all parts."""
        names = ("mean", "departure", "truth", "log_deviation", "area")
        return cls(*(np.concatenate([getattr(p, name) for p in parts], axis=-1) for name in names))

    def of(self, chosen: NDArray[np.bool_]) -> Sampled:
        """Some of the cells."""
        here = self.mean[:, chosen], self.departure[:, chosen]
        return Sampled(*here, self.truth[chosen], self.log_deviation[chosen], self.area[chosen])


def member_by_member(
    model: Downscaler, pairs: Pairs, days: NDArray[np.int64], members: int, side: int, seed: int
) -> MemberByMember:
    """Fit `fast` on a window of each day.

    Parameters
    ----------
    model : Downscaler
        What is on its card for `fast` is left out.
    pairs : Pairs
    days : ndarray of int
        Positions among the days of the pairs.
    members : int, >= 2
    side : int [fine cells]
    seed : int

    Returns
    -------
    MemberByMember
    """
    return fit(
        Sampled.joined([_window_of(model, pairs, days, n, members, side, seed) for n in range(len(days))])
    )


def fit(cells: Sampled) -> MemberByMember:
    """Factors by tenths of the climatological deviation, and the width that goes with them.

    Parameters
    ----------
    cells : Sampled

    Returns
    -------
    MemberByMember
        Factors between 0.02 and 10; widths 1.5 to 100 times the members' own deviation.

    Raises
    ------
    ValueError
        If there is no cell.
    """
    if not cells.truth.size:
        raise ValueError(
            "no cell of the windows has a fine value to judge `fast` by: give days with known cells, or more "
            "crops"
        )
    edges = np.unique(np.quantile(cells.log_deviation, np.linspace(0, 1, _BINS + 1)))
    place = np.clip(np.searchsorted(edges, cells.log_deviation, side="right") - 1, 0, max(len(edges) - 2, 0))
    bins = [cells.of(place == b) for b in np.unique(place)]
    knots = [float(np.average(b.log_deviation, weights=b.area)) for b in bins]
    scales = [
        max(float(np.sqrt(np.average((b.departure**2).mean(axis=0), weights=b.area))), 1e-6) for b in bins
    ]

    def fitted(tail: float) -> MemberByMember:
        widths = [tail * scale for scale in scales]
        factors = [_flat(b, width) for b, width in zip(bins, widths, strict=True)]
        return MemberByMember(
            *(tuple(float(f"{v:.5g}") for v in values) for values in (knots, factors, widths))
        )

    def too_narrow(tail: float) -> bool:
        return _reliability(cells, fitted(tail)) < 1

    return fitted(_bisected(too_narrow, *reversed(_TAILS)))


def _bisected(short: Callable[[float], bool], low: float, high: float) -> float:
    """Where `short` ends on the way from low to high, which may be the smaller one; the end if nowhere."""
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if short(middle) else (low, middle)
    return float(np.sqrt(low * high))


def _flat(cells: Sampled, width: float) -> float:
    """The factor with which outer ranks are neither too many nor too few."""
    moved = stretched(cells.departure, width)
    ranks = np.arange(len(moved) + 1)
    outer = (ranks - ranks.mean()) ** 2

    def short(factor: float) -> bool:
        rank = (cells.mean + factor * moved < cells.truth).sum(axis=0)
        return bool(np.average(outer[rank], weights=cells.area) > outer.mean())

    return _bisected(short, *_FACTORS)


def _reliability(cells: Sampled, fitted: MemberByMember) -> float:
    """Spread over skill of the cells with all factors."""
    factor, width = fitted.at(cells.log_deviation)
    drawn = cells.mean + factor * stretched(cells.departure, width)
    spread = np.average(drawn.var(axis=0, ddof=1), weights=cells.area) * (1 + 1 / len(drawn))
    error = np.average((drawn.mean(axis=0) - cells.truth) ** 2, weights=cells.area)
    return float(np.sqrt(spread / error)) if error > 0 else np.inf


def _window_of(
    model: Downscaler, pairs: Pairs, days: NDArray[np.int64], number: int, members: int, side: int, seed: int
) -> Sampled:
    """Every third cell, both ways, of a window drawn and conserved."""
    coarse_day, fine_day = pairs.days[days[number]]
    grid = _window(pairs.coarse.grid, model.fine, side, generator(seed, number, 9))
    part, window = replace(pairs, coarse=pairs.coarse.within(grid)), refined(grid, model.fine)
    values, _ = part.history(coarse_day, model.history, model.card.step)
    today, last = part.coarse.instants[coarse_day], len(values) - 1
    instants = [today - (last - day) * model.card.step for day in range(len(values))]
    past = _past(part, fine_day, window, model) if model.past else None
    bare = model.with_card(model.card.without("fast"))

    def scaled(fields: NDArray[np.float32]) -> NDArray[np.float64]:
        z = np.asarray(model.scaling.forward(fields.astype(np.float64))) / model.card.residual_scale
        return z[..., ::_EVERY, ::_EVERY].reshape(*z.shape[:-2], -1)

    def drawn(product: Literal["draw", "mean"]) -> NDArray[np.float64]:
        options = Options(tuple(range(members)), seed, product, model.sampler_of("fast"), Tiling(patch=None))
        return scaled(draw(bare, values, grid, instants, options, days=[last], past=past).values[:, 0])

    mean, truth = drawn("mean"), scaled(part.cut(fine_day, window))
    deviation = model.log_deviation(window).double().numpy()
    area = np.broadcast_to(window.area, window.shape)
    deviation, area = (a[::_EVERY, ::_EVERY].ravel() for a in (deviation, area))
    cells = Sampled(mean, drawn("draw") - mean, truth, deviation, area)
    return cells.of(np.isfinite(cells.departure).all(axis=0) & np.isfinite(truth))


def _window(grid: Grid, fine: Grid, side: int, rng: np.random.Generator) -> Grid:
    """Somewhere on the coarse grid, as many of its cells as make a side of so many fine ones."""
    spans = []
    for axis, other in ((grid.y, fine.y), (grid.x, fine.x)):
        size = min(axis.size, max(1, round(side * other.step / axis.step)))
        spans.append((axis.start + int(rng.integers(axis.size - size + 1)), size))
    return grid.window(*spans)


def _past(pairs: Pairs, fine_day: int, window: Grid, model: Downscaler) -> Past:
    """The fine days before one on a window, for an encoder that sees them."""
    today, days = pairs.fine.instants[fine_day], pairs.past(fine_day, model.past, model.card.step)
    blank = np.full(window.shape, np.nan, dtype=np.float32)
    values = np.stack([blank if day is None else pairs.cut(day, window) for day in days])
    return Past(values, tuple(today - lag * model.card.step for lag in range(len(days), 0, -1)))
