"""Days in sequence: which are drawn first, and what a day is told of the one before.

An autoregressive run keeps, for each member, the residual of the last field it drew. A day is told of it if
it is the day after; else the run begins anew there. Since the residual is made from the finished float32
field alone, a run that goes on from a field on disk has the bits of one that was never interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from xdownscale.noise import DAY_US

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Coherence", "Last", "Past", "State", "check_rising", "follows", "in_order"]

Coherence = Literal["independent", "correlated", "autoregressive"]
_SLACK = 0.02


@dataclass(frozen=True, eq=False)
class State:
    """Fine fields of one day, from which an autoregressive run goes on.

    Attributes
    ----------
    values : ndarray, shape (member, NY, NX), float32 [the model's units]
        In the order of the members drawn; NaN where unknown.
    instant : int [microseconds since 1970]
    """

    values: NDArray[np.float32]
    instant: int


@dataclass(frozen=True, eq=False)
class Past:
    """Fine fields of days before those that are drawn, for a model whose encoder sees fine days.

    Attributes
    ----------
    values : ndarray, shape (time, NY, NX) [the model's units]
        On the fine grid of the result; NaN where unknown.
    instants : tuple of int [microseconds since 1970]
    """

    values: NDArray[np.float32]
    instants: tuple[int, ...]


class Last:
    """The members' own residuals of the last day drawn.

    Parameters
    ----------
    residual : callable
        A fine field, shape (NY, NX), to its residual on the extended domain.
    coherence : {"independent", "correlated", "autoregressive"}
        Nothing is kept unless it is the last of these.
    state : State, optional
        What the run goes on from.
    step : int [microseconds]
        From one day to the next.
    """

    def __init__(
        self,
        residual: Callable[[NDArray[np.float32]], Tensor],
        coherence: Coherence,
        state: State | None = None,
        step: int = DAY_US,
    ) -> None:
        self._step = step
        self._residual = residual
        self._wanted = coherence == "autoregressive"
        self._found: dict[int, tuple[int, Tensor]] = {}
        if state is not None:
            for place, field in enumerate(state.values):
                self.keep(place, state.instant, field)

    def keep(self, place: int, instant: int | None, field: NDArray[np.float32]) -> None:
        """Note the field that a member has on a day."""
        if self._wanted and instant is not None:
            self._found[place] = instant, self._residual(field)

    def before(self, place: int, instant: int | None) -> Tensor | None:
        """The residual of the day before, if that is the last one noted."""
        then, residual = self._found.get(place, (None, None))
        return residual if follows(then, instant, self._step) else None


def follows(then: int | None, instant: int | None, step: int = DAY_US) -> bool:
    """Whether an instant is a step after another, to a fiftieth.

    Examples
    --------
    >>> follows(0, DAY_US), follows(0, 2 * DAY_US), follows(None, DAY_US)
    (True, False, False)
    """
    return then is not None and instant is not None and abs(instant - then - step) < _SLACK * step


def check_rising(instants: Sequence[int | None], coherence: Coherence) -> None:
    """Refuse days that blocks cannot be chained along.

    Raises
    ------
    ValueError
        An autoregressive run is drawn in blocks, and its times do not rise.

    Examples
    --------
    >>> check_rising([0, DAY_US, 5 * DAY_US], "autoregressive")
    """
    if coherence == "autoregressive" and any(b <= a for a, b in pairwise(t or 0 for t in instants)):
        raise ValueError(
            "coherence is 'autoregressive', blocks are drawn one after another, and times do not rise: sort "
            "them, da = da.sortby('time')"
        )


def in_order(
    wanted: Sequence[int], instants: Sequence[int | None], coherence: Coherence
) -> list[tuple[int, int]]:
    """Places in the result and the days that stand there, in the order in which they are drawn.

    Examples
    --------
    >>> in_order([0, 1, 2], [20, 30, 10], "autoregressive")
    [(2, 2), (0, 0), (1, 1)]
    """
    places = list(enumerate(wanted))
    if coherence == "autoregressive":
        places.sort(key=lambda place: instants[place[1]] or 0)
    return places
