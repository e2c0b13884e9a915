"""Scores of a prediction and its baselines against the truth.

Every day is counted once (`tally.Tally`), lazily held days one by one, and the sums are put together
(`measures`); so scores do not depend on the chunks, and resampled days (`dayblocks`) give intervals without a
second reading. All sources are judged on the same cells, weighted by their areas: those at which none of them
is missing.

What is taken of an ensemble. Errors (bias, RMSE, MAE, R2) are those of the mean over members, formed in the
space in which it is scored. CRPS, Brier score, ranks and spread use the members, and are the fair ones: they
do not depend on how many members there are. Events, quantiles, neighbourhoods and the coarse residual take
each member as a field of its own and average the sums, since the mean of members has lost its extremes. A
single field's CRPS is its absolute error; it has neither spread nor ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import xarray as xr

from xdownscale.diagnostics.dayblocks import blocks_of, draws, expanded
from xdownscale.diagnostics.flatness import flat_probability
from xdownscale.diagnostics.ladder import RESOLUTION, Ladder, merged, stacked
from xdownscale.diagnostics.measures import BY_THRESHOLD, ERRORS, Measure, measures, total
from xdownscale.diagnostics.sources import line_up
from xdownscale.diagnostics.tally import Day, Questions, Space, Tally

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from xdownscale.diagnostics.sources import Baselines, Comparison

__all__ = ["judge", "scores"]

_NO_INTERVAL = ("truth_quantile", "conservation_max")
_FOLD = 16
_SUMMARIES = {
    "fss": Measure("fractions skill score", 1.0),
    "rank_histogram": Measure("relative frequency of the truth's rank among the members", np.nan),
    "rank_histogram_p": Measure(
        "probability that blocks of days of a flat rank histogram deviate together as much as these", np.nan
    ),
    "base_rate": Measure("share of the truth at or above the threshold", np.nan),
    "conservation_rms": Measure("root mean square of coarse mean minus input, over that of the input", 0.0),
    "conservation_max": Measure("largest relative difference of coarse mean and input", 0.0),
    "quantile_ratio": Measure("quantile over the truth's", 1.0),
}
_DIMS = {
    **dict.fromkeys(ERRORS, ("space", "source")),
    **dict.fromkeys(BY_THRESHOLD, ("threshold", "source")),
    "fss": ("threshold", "window", "source"),
    "rank_histogram": ("source", "rank"),
    "rank_histogram_p": ("source",),
    "base_rate": ("threshold",),
    "conservation_rms": ("source",),
    "conservation_max": ("source",),
    "quantile_ratio": ("quantile", "source"),
}


def scores(
    prediction: xr.DataArray,
    truth: xr.DataArray,
    *,
    coarse: xr.DataArray | None = None,
    baselines: Baselines = (),
    thresholds: Sequence[float] = (),
    quantiles: Sequence[float] = (),
    windows: Sequence[int] = (),
    space: Space | Sequence[Space] = "linear",
    floor: float = 1e-3,
    intervals: int = 0,
    block: float = 5,
    seed: int = 0,
    dims: Mapping[str, Hashable] | None = None,
) -> xr.Dataset:
    """Scores against the truth, each beside those of the baselines.

    Lazy fields are read a day at a time, each once; the result is in memory.

    Parameters
    ----------
    prediction : DataArray, dims in any order
        With or without `time` and `realization`.
    truth : DataArray
        On the same grid, at the same times or more.
    coarse : DataArray, optional
        What the prediction was made from: for interpolations and the conservation residual.
    baselines : sequence of str, or mapping from name to str or DataArray
        Some of `nearest`, `bilinear`, `bicubic`, `conservative`, or fields on the same grid. In log space an
        interpolation is one of the logarithms.
    thresholds : sequence of float [units of the values]
        An event is a value at or above, in either space.
    quantiles : sequence of float, 0 to 1
        Of the values themselves, in either space.
    windows : sequence of int, odd [cells]
        Sides of the fractions skill score's neighbourhoods, at each threshold.
    space : {"linear", "log"} or a sequence of them
        What errors are of: values, or ln(value + floor). A sequence gives a dimension `space`.
    floor : float, > 0 [units of the values]
    intervals : int
        Replicates of the day-block bootstrap; 0 for no intervals.
    block : float [days]
        Longer than the memory from day to day.
    seed : int
        Of the bootstrap, and of ties between ranks.
    dims : mapping, optional
        `lat`, `lon`, `time` to names of dimensions, where discovery cannot tell.

    Returns
    -------
    Dataset
        Along `source`, the prediction first: `bias`, `rmse`, `mae`, `r2` (1 - SSE/SST), `r2_corr`, `crps`,
        `crpss` (of the prediction against the source, on the same days in each replicate), `spread_skill`; by
        `threshold` `pod`, `far`, `csi`, `ets`, `frequency_bias`, `brier` and, by `window`, `fss`;
        `rank_histogram`; `quantile_ratio` and `truth_quantile`; with a coarse field `conservation_rms` and
        `conservation_max`. With intervals each has an `_interval` along `bound`, of 95 percent, and ranks one
        answer for all, `rank_histogram_p` (`flatness`).

    Raises
    ------
    TypeError
        If values are no real numbers.
    ValueError
        If grids, units or times do not fit, options are out of range, values are infinite, a value is too low
        for log space, or no cell has a value in all fields.

    Examples
    --------
    >>> cells = {"lat": [0.0, 1.0], "lon": [0.0, 1.0]}
    >>> truth = xr.DataArray([[1.0, 2.0], [3.0, np.nan]], cells, ("lat", "lon"))
    >>> found = scores(truth + 0.5, truth, thresholds=[2.5]).sel(source="prediction", threshold=2.5)
    >>> [round(float(found[name]), 3) for name in ("bias", "far", "valid")]
    [0.5, 0.5, 0.75]
    """
    spaces = (space,) if isinstance(space, str) else tuple(space)
    asked = Questions(spaces, floor, tuple(thresholds), tuple(windows), bool(len(quantiles)), seed)
    comparison = line_up(prediction, truth, coarse, baselines, dims=dims)
    found = judge(comparison, asked, quantiles, intervals=intervals, block=block)
    return found.squeeze("space") if isinstance(space, str) else found


def judge(
    comparison: Comparison,
    asked: Questions,
    quantiles: Sequence[float] = (),
    *,
    intervals: int = 0,
    block: float = 5,
) -> xr.Dataset:
    """The scores of a comparison, as `scores` gives them.

    Parameters
    ----------
    comparison : Comparison
    asked : Questions
    quantiles : sequence of float, 0 to 1
    intervals : int
    block : float [days]

    Returns
    -------
    Dataset
        Always with a dimension `space`.
    """
    _check_questions(asked, quantiles, intervals, comparison)
    days = comparison.truth.sizes["time"]
    groups, counts = np.arange(days) // _FOLD, None
    if intervals:
        stamped = "time" in comparison.truth.coords
        groups = blocks_of(comparison.truth["time"].values if stamped else np.arange(days), block)
        counts = draws(int(groups.max()) + 1, intervals, asked.seed)
    found = _tallied(comparison, asked, groups)
    once = found.scores(np.ones((1, days)), comparison, quantiles)
    values = {key: value[0] for key, value in once.items()}
    bounds: dict[str, NDArray[np.float64]] = {}
    if counts is not None:
        again = found.scores(counts[:, groups], comparison, quantiles)
        bounds = {
            key: _percentiles(v, counts.shape[1]) for key, v in again.items() if key not in _NO_INTERVAL
        }
        values["rank_histogram_p"] = found.flat(groups, asked.seed)
    return _labelled(values, bounds, comparison, asked, quantiles, found, (intervals, block))


@dataclass(frozen=True, eq=False)
class _Tallied:
    """Sums of all days, shapes (days, ...), and ladders of runs of days, which begin at `starts`."""

    sums: dict[str, NDArray[np.float64]]
    ladders: tuple[tuple[Ladder, ...], ...]
    starts: tuple[int, ...]

    def scores(
        self, counts: NDArray[np.float64], comparison: Comparison, quantiles: Sequence[float]
    ) -> dict[str, NDArray[np.float64]]:
        """Measures of weighted days, shapes (replicates, ...); days of a run have one weight."""
        out = measures(total(self.sums, counts), tuple(s.members for s in comparison.sources))
        if len(quantiles):
            found = []
            for place in range(len(comparison.sources) + 1):
                one = stacked([group[place] for group in self.ladders])
                w = counts[:, self.starts]
                found.append(Ladder(one.keys, w @ one.weight, w @ one.total).quantile(quantiles))
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.stack(found[1:], axis=-1) / found[0][..., None]
            out["quantile_ratio"] = np.where(np.isfinite(ratio), ratio, np.nan)
            out["truth_quantile"] = found[0]
        return out

    def flat(self, groups: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
        """Of the ranks of each source with members, shape (sources,); days of a group are one block."""
        ranks = np.moveaxis(self.sums["ranks"], 1, 0)
        blocks = [np.array([r[groups == g].sum(axis=0) for g in range(groups.max() + 1)]) for r in ranks]
        held = [b[:, np.isfinite(b).all(axis=0)] for b in blocks]
        return np.array([flat_probability(b, seed) if b.shape[1] > 1 else np.nan for b in held])


def _check_questions(
    asked: Questions, quantiles: Sequence[float], intervals: int, comparison: Comparison
) -> None:
    unknown = [s for s in asked.spaces if s not in get_args(Space)]
    if unknown or not asked.spaces or len(set(asked.spaces)) != len(asked.spaces):
        raise ValueError(f"space is {asked.spaces!r}: expected 'linear', 'log', or both")
    if not (np.isfinite(asked.floor) and asked.floor > 0):
        raise ValueError(f"floor is {asked.floor}: expected a finite number > 0, in the units of the values")
    if not all(np.isfinite(t) for t in asked.thresholds):
        raise ValueError(f"thresholds are {list(asked.thresholds)}: expected finite numbers")
    if any(not 0 < q < 1 for q in quantiles):
        raise ValueError(f"quantiles are {list(quantiles)}: expected numbers between 0 and 1")
    if not _whole(intervals) or intervals < 0:
        raise ValueError(f"intervals is {intervals!r}: expected a number of replicates, 0 for none")
    if asked.windows and not asked.thresholds:
        raise ValueError(
            "windows without thresholds: the fractions skill score needs events; give thresholds="
        )
    for size in asked.windows:
        largest = min(comparison.grid.shape)
        if not _whole(size) or size % 2 != 1 or not 1 <= size <= largest:
            raise ValueError(f"a window of {size!r}: expected an odd number of cells up to {largest}")


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _tallied(comparison: Comparison, asked: Questions, groups: NDArray[np.int64]) -> _Tallied:
    tally = Tally(
        asked,
        comparison.grid.area / comparison.grid.area.mean(),
        tuple(s.operator for s in comparison.sources),
        tuple(s.members for s in comparison.sources),
        comparison.grid.x.cyclic,
        comparison.to_coarse,
        comparison.inside,
        None if comparison.coarse_grid is None else comparison.coarse_grid.area,
    )
    edges = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), groups.size]
    arrays = [comparison.truth, comparison.coarse, *(s.fields for s in comparison.sources)]
    data = [None if a is None else a.data for a in arrays]
    if any(a is not None and a.chunks is not None for a in arrays):
        folded = _lazily(tally, data, edges)
    else:
        folded = [
            _fold([tally(t, *(_at(d, t) for d in data)) for t in range(first, last)])
            for first, last in pairwise(edges)
        ]
    sums = {key: np.concatenate([one[0][key] for one in folded]) for key in folded[0][0]}
    if not sums["weight"].any():
        raise ValueError(
            "no cell has a value in the truth and in every source at once: check fill values, and that the "
            "fields are of the same days and region"
        )
    return _Tallied(sums, tuple(one[1] for one in folded), tuple(edges[:-1]))


def _at(data: Any, day: int) -> Any:
    return None if data is None else data[day]


def _lazily(tally: Tally, data: list[Any], edges: list[int]) -> list[Any]:
    from dask.base import compute
    from dask.delayed import delayed

    # one node of the graph, since it holds the operators
    count, fold = delayed(tally, pure=False), delayed(_fold)
    tasks = [
        fold([count(t, *(_at(d, t) for d in data)) for t in range(first, last)])
        for first, last in pairwise(edges)
    ]
    return list(compute(*tasks))


def _fold(days: list[Day]) -> tuple[dict[str, NDArray[np.float64]], tuple[Ladder, ...]]:
    """Sums of days stacked, and their ladders added."""
    sums = {key: np.stack([day.sums[key] for day in days]) for key in days[0].sums}
    return sums, tuple(merged(each) for each in zip(*(day.ladders for day in days), strict=True))


def _percentiles(replicates: NDArray[np.float64], blocks: int) -> NDArray[np.float64]:
    """Bounds of the 95 percent interval, shape (..., 2); NaN where a replicate has no score."""
    return np.moveaxis(np.quantile(replicates, expanded(blocks), axis=0), 0, -1)


def _labelled(
    values: dict[str, NDArray[np.float64]],
    bounds: dict[str, NDArray[np.float64]],
    comparison: Comparison,
    asked: Questions,
    quantiles: Sequence[float],
    found: _Tallied,
    resampled: tuple[int, float],
) -> xr.Dataset:
    units = str(comparison.truth.attrs.get("units", "1"))
    out = xr.Dataset(coords=_coordinates(comparison, asked, quantiles, units))
    for key, value in values.items():
        if value.size and key in _DIMS and not (key.startswith("rank_") and not np.isfinite(value).any()):
            attrs = _described(key, units, asked)
            out[key] = _DIMS[key], value, attrs
            if key in bounds:
                of = {"long_name": f"95 percent interval of {attrs['long_name']}", "units": attrs["units"]}
                out[f"{key}_interval"] = (*_DIMS[key], "bound"), bounds[key], of
    if "truth_quantile" in values:
        bounded = {"units": units, "long_name": "quantile of the truth", "relative_error_bound": RESOLUTION}
        out["truth_quantile"] = ("quantile",), values["truth_quantile"], bounded
    share = found.sums["weight"].sum() / found.sums["whole"].sum()
    out["valid"] = (), float(share), {"long_name": "share of area and days that counted", "units": "1"}
    out["days"] = (), found.sums["weight"].size, {"long_name": "number of times", "units": "1"}
    optional = ("threshold", "window", "rank", "quantile")
    out = out.drop_vars([d for d in optional if d in out.coords and d not in _used(out)])
    out.attrs = {
        "weights": "cell areas",
        "cells": "those with a value in the truth and in every source",
        "log_space": f"ln(value + {asked.floor:g})",
    }
    if bounds:
        out = out.assign_coords(bound=["lower", "upper"])
        out.attrs["intervals"] = (
            f"95 percent, expanded, of {resampled[0]} resamplings of blocks of {resampled[1]:g} days, "
            f"seed {asked.seed}"
        )
    return out


def _described(key: str, units: str, asked: Questions) -> dict[str, str]:
    measure = ERRORS.get(key) or BY_THRESHOLD.get(key) or _SUMMARIES[key]
    linear = measure.dimensional and "linear" in asked.spaces
    attrs = {"long_name": measure.long_name, "units": units if linear else "1"}
    if linear and units != "1" and "log" in asked.spaces:
        attrs["comment"] = "a pure number in log space"
    if np.isfinite(measure.best):
        attrs["best"] = str(measure.best)
    return attrs


def _used(out: xr.Dataset) -> set[Hashable]:
    return {d for name in out.data_vars for d in out[name].dims}


def _coordinates(
    comparison: Comparison, asked: Questions, quantiles: Sequence[float], units: str
) -> dict[str, Any]:
    sources = comparison.sources
    return {
        "source": ("source", [s.name for s in sources], {"long_name": "what is judged"}),
        "members": ("source", [s.members for s in sources], {"long_name": "number of members", "units": "1"}),
        "space": ("space", list(asked.spaces), {"long_name": "space of errors"}),
        "threshold": ("threshold", list(asked.thresholds), {"long_name": "threshold", "units": units}),
        "window": (
            "window",
            list(asked.windows),
            {"long_name": "side of the neighbourhood, cells", "units": "1"},
        ),
        "quantile": ("quantile", list(quantiles), {"long_name": "quantile", "units": "1"}),
        "rank": ("rank", np.arange(max(s.members for s in sources) + 1), {"long_name": "rank", "units": "1"}),
    }
