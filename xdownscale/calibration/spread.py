"""Spread over skill of members, and what a fit came to on the windows it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.calibration.ranks import frequencies

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from xdownscale.calibration.windows import Sampled
    from xdownscale.models.members import MemberByMember

__all__ = ["outcome", "ratio", "squares"]


def outcome(
    cells: Sampled, fitted: MemberByMember, own: Callable[[NDArray[np.float64]], NDArray[Any]]
) -> dict[str, Any]:
    """What members that are drawn with a fit are like in the cells it was made of.

    Parameters
    ----------
    cells : Sampled
        Conserved as the fit moves them.
    fitted : MemberByMember
    own : callable
        From residuals, shape (..., cells), to the quantity's own units.

    Returns
    -------
    dict
        ``members``; ``spread_skill`` of the residual and ``linear_spread_skill`` in own units; ``ranks``, how
        often the truth has each of the ranks from the lowest on, beside equal ones. As a card holds them;
        None for what is not a number, as where nothing errs.
    """
    drawn = cells.moved(fitted)

    def of(drawn: NDArray[Any], truth: NDArray[Any]) -> float | None:
        found = ratio(*(each.sum() for each in squares(drawn, truth, cells.area)))
        return round(found, 4) if np.isfinite(found) else None

    return {
        "members": len(drawn),
        "spread_skill": of(drawn, cells.truth),
        "linear_spread_skill": of(own(drawn), own(cells.truth)),
        "ranks": [round(float(f), 4) for f in frequencies(cells, drawn)],
    }


def squares(
    drawn: NDArray[Any], truth: NDArray[Any], area: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each cell's share of the squares of spread and of the mean's error.

    Parameters
    ----------
    drawn : ndarray, shape (members, cells)
    truth, area : ndarray, shape (cells,)

    Returns
    -------
    (ndarray, ndarray), shape (cells,)
        Equal in the mean where members are reliable.
    """
    spread = area * drawn.var(axis=0, ddof=1) * (1 + 1 / len(drawn))
    return spread, area * (drawn.mean(axis=0) - truth) ** 2


def ratio(spread: float, error: float) -> float:
    """Of spread to skill, from their squares; infinite where nothing errs."""
    return float(np.sqrt(spread / error)) if error > 0 else np.inf
