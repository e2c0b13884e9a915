"""What one day adds to the scores: sums, so that days, chunks and resampled days add up to the whole.

Only cells at which the truth and every field of every source have a value count, so that all sources are
judged on the same cells. Their mean, slope and error are those of the members' mean; CRPS, Brier score and
ranks use the members; events, quantiles, neighbourhoods and the coarse residual take each member as a field
of its own and average the sums. Means and centred second moments are kept day by day, and put together at the
end without cancellation (Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xdownscale.diagnostics.ladder import Ladder, ladder
from xdownscale.diagnostics.neighbourhood import Windows, fss_sums
from xdownscale.diagnostics.skill import cell_crps, rank_histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xdownscale.grid import Separable

__all__ = ["Day", "Questions", "Tally"]

Space = Literal["linear", "log"]

_PIECE = 1 << 16
_TINY = 1e-6


@dataclass(frozen=True)
class Questions:
    """What is counted.

    Attributes
    ----------
    spaces : tuple of {"linear", "log"}
    floor : float, > 0 [units of the values]
        Log space is ln(value + floor).
    thresholds : tuple of float [units of the values]
        An event is a value at or above.
    windows : tuple of int [cells]
    quantiles : bool
        Whether values are sorted into bins.
    seed : int
        Of ties between ranks.
    """

    spaces: tuple[Space, ...] = ("linear",)
    floor: float = 1e-3
    thresholds: tuple[float, ...] = ()
    windows: tuple[int, ...] = ()
    quantiles: bool = False
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Day:
    """Sums of one day.

    Attributes
    ----------
    sums : dict of ndarray
    ladders : tuple of Ladder
        Of the truth and of each source; empty where none were asked for.
    """

    sums: dict[str, NDArray[np.float64]]
    ladders: tuple[Ladder, ...] = ()


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts a day.

    Attributes
    ----------
    questions : Questions
    area : ndarray, shape (ny, nx)
    operators : tuple of Separable or None
        One for each source; None where its fields are given.
    members : tuple of int
        Of each source.
    cyclic : bool
    to_coarse : Separable or None
    inside : tuple of ndarray of bool
        As `sources.Comparison`.
    coarse_area : ndarray or None
    """

    questions: Questions
    area: NDArray[np.float64]
    operators: tuple[Separable | None, ...]
    members: tuple[int, ...]
    cyclic: bool = False
    to_coarse: Separable | None = None
    inside: tuple[Any, ...] = field(default=())
    coarse_area: NDArray[np.float64] | None = None

    def __call__(self, number: int, truth: Any, coarse: Any, *fields: Any) -> Day:
        """Sums of a day.

        Parameters
        ----------
        number : int
            Position of the day, which keys its ties.
        truth : ndarray, shape (ny, nx)
        coarse : ndarray, shape (my, mx), or None
        *fields : ndarray, shape (M, ny, nx), or None
            One for each source, None where it is an interpolation.

        Raises
        ------
        ValueError
            At infinite values, or in log space at values of the negative floor or below.
        """
        truth = np.asarray(truth, dtype=np.float64)
        stacks = [
            self._stack(f, operator, coarse) for f, operator in zip(fields, self.operators, strict=True)
        ]
        valid = np.isfinite(truth)
        for stack in stacks:
            valid = valid & np.isfinite(stack).all(axis=0)
        for name, values in (("truth", truth), *(("prediction or a baseline", s) for s in stacks)):
            self._check(name, values)
        w, y = self.area[valid], truth[valid]
        cells = [stack[:, valid] for stack in stacks]
        sums = {"weight": np.asarray(w.sum()), "whole": np.asarray(self.area.sum())}
        sums |= self._errors(cells, y, w, valid, coarse)
        sums |= self._events(cells, y, w)
        sums |= self._ranks(cells, y, w, number)
        sums |= self._fractions(stacks, truth, valid)
        sums |= self._residuals(stacks, coarse)
        return Day(sums, self._ladders(cells, y, w))

    def _stack(self, given: Any, operator: Separable | None, coarse: Any) -> NDArray[np.float64]:
        if operator is None:
            return np.asarray(given, dtype=np.float64)
        return operator(np.asarray(coarse, dtype=np.float64))[None]

    def _check(self, name: str, values: NDArray[np.float64]) -> None:
        if np.isinf(values).any():
            raise ValueError(f"the {name} holds infinite values: mask them first, da.where(abs(da) < inf)")

    def _log(self, values: Any) -> NDArray[np.float64]:
        floor = self.questions.floor
        lowest = np.fmin.reduce(values, axis=None, initial=np.inf)
        if lowest <= -floor:
            raise ValueError(
                f"log space of ln(value + {floor:g}) and a value of {lowest:g}: expected values above "
                f"{-floor:g}; give a larger floor, or score in linear space"
            )
        return np.asarray(np.log(np.asarray(values, dtype=np.float64) + floor))

    def _errors(
        self, cells: list[NDArray[Any]], y: NDArray[Any], w: NDArray[Any], valid: NDArray[Any], coarse: Any
    ) -> dict[str, NDArray[np.float64]]:
        """Moments and errors, shape (spaces, sources)."""
        rows = []
        for space in self.questions.spaces:
            truth = y if space == "linear" else self._log(y)
            row = []
            for x, operator in zip(cells, self.operators, strict=True):
                if space == "linear":
                    ours = x
                elif operator is None:
                    ours = self._log(x)
                else:
                    # an interpolation is made in the space in which it is scored, where it is at its best
                    ours = operator(self._log(coarse))[None][:, valid]
                row.append(_moments(ours, truth, w))
            rows.append(row)
        return {key: np.array([[cell[key] for cell in row] for row in rows]) for key in rows[0][0]}

    def _events(self, cells: list[NDArray[Any]], y: NDArray[Any], w: NDArray[Any]) -> dict[str, Any]:
        """Weights of hits, false alarms and so on, shape (thresholds, sources)."""
        shape = len(self.questions.thresholds), len(cells)
        out = {key: np.zeros(shape) for key in ("hits", "false_alarms", "misses", "rejections", "brier")}
        for i, threshold in enumerate(self.questions.thresholds):
            seen = y >= threshold
            for j, x in enumerate(cells):
                m, count = len(x), (x >= threshold).sum(axis=0)
                share = count / m
                out["hits"][i, j] = w[seen] @ share[seen]
                out["misses"][i, j] = w[seen] @ (1 - share[seen])
                out["false_alarms"][i, j] = w[~seen] @ share[~seen]
                out["rejections"][i, j] = w[~seen] @ (1 - share[~seen])
                fair = share * (1 - share) / (m - 1) if m > 1 else 0.0
                out["brier"][i, j] = w @ ((share - seen) ** 2 - fair)
        return out

    def _ranks(self, cells: list[NDArray[Any]], y: NDArray[Any], w: NDArray[Any], day: int) -> dict[str, Any]:
        """Weights by rank, shape (sources, most members + 1); NaN where there is no such rank."""
        out = np.full((len(cells), max(self.members) + 1), np.nan)
        for j, x in enumerate(cells):
            if len(x) > 1:
                found = rank_histogram(x, y, w, seed=(self.questions.seed, day, j))
                out[j, : len(x) + 1] = found * w.sum()
        return {"ranks": out}

    def _fractions(
        self, stacks: list[NDArray[Any]], truth: NDArray[Any], valid: NDArray[Any]
    ) -> dict[str, Any]:
        """Sums of the fractions skill score, shape (thresholds, windows, sources)."""
        asked = self.questions
        windows = [Windows(valid, size, self.area, cyclic=self.cyclic) for size in asked.windows]
        sums = np.zeros((len(asked.thresholds), len(stacks), len(windows), 2))
        for i, threshold in enumerate(asked.thresholds):
            seen = (truth >= threshold) & valid
            for j, stack in enumerate(stacks):
                sums[i, j] = fss_sums((stack >= threshold) & valid, seen, windows)
        apart, most = np.moveaxis(sums, (3, 2), (0, 2))
        return {"fss_apart": apart, "fss_most": most}

    def _residuals(self, stacks: list[NDArray[Any]], coarse: Any) -> dict[str, Any]:
        """Squares of A x - y and of y, and the largest relative error, shape (sources,)."""
        if self.to_coarse is None or self.coarse_area is None:
            return {}
        y = np.asarray(coarse, dtype=np.float64)[np.ix_(*self.inside)]
        w = self.coarse_area[np.ix_(*self.inside)]
        out = {key: np.zeros(len(stacks)) for key in ("residual", "input", "largest")}
        for j, stack in enumerate(stacks):
            error = self.to_coarse(stack) - y
            known = np.isfinite(error)
            error = np.where(known, error, 0.0)
            out["residual"][j] = (w * error**2).sum() / len(stack)
            out["input"][j] = (w * np.where(known, y, 0.0) ** 2).sum() / len(stack)
            relative = np.abs(error) / np.maximum(np.abs(np.where(known, y, 1.0)), _TINY)
            out["largest"][j] = relative.max(initial=0.0)
        return out

    def _ladders(self, cells: Sequence[NDArray[Any]], y: NDArray[Any], w: NDArray[Any]) -> tuple[Ladder, ...]:
        if not self.questions.quantiles:
            return ()
        pooled = [ladder(x.ravel(), np.tile(w / len(x), len(x))) for x in cells]
        return (ladder(y, w), *pooled)


def _moments(x: NDArray[Any], y: NDArray[Any], w: NDArray[Any]) -> dict[str, float]:
    """Sums over cells for members (M, n) and truth (n,), a piece at a time."""
    mean = x.mean(axis=0)
    total = w.sum()
    mean_x, mean_y = (float(w @ v / total) if total > 0 else 0.0 for v in (mean, y))
    dx, dy, error = mean - mean_x, y - mean_y, mean - y
    out = {
        "mean_x": mean_x,
        "mean_y": mean_y,
        "xx": float(w @ dx**2),
        "yy": float(w @ dy**2),
        "xy": float(w @ (dx * dy)),
        "sse": float(w @ error**2),
        "sae": float(w @ np.abs(error)),
        "crps": 0.0,
        "spread": 0.0,
    }
    if len(x) == 1:
        # a single field is a forecast without doubt, and its CRPS is its absolute error
        return out | {"crps": out["sae"], "spread": np.nan}
    for start in range(0, y.size, _PIECE):
        part = slice(start, start + _PIECE)
        out["crps"] += float(w[part] @ cell_crps(x[:, part], y[part]))
        out["spread"] += float(w[part] @ x[:, part].var(axis=0, ddof=1))
    return out
