"""The Wasserstein distance of two fields: how far apart the distributions of their values are.

W1 = int |F - G| dx of the area-weighted distribution functions, with its shift, its shape and its parts by
quantile (see `quantiles`), in total, by day or by bins of a covariate, on each field's own grid or with the
finer averaged over the coarser's cells, and beside it what two samples of one process differ by (see
`permutation`). Arrays in memory of up to 1e7 values are compared exactly; others, by mergeable histograms
with a bound of the error. It compares distributions: that values stand in the right place, it does not see.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from xdownscale.cf.raster import check_same_units, raster
from xdownscale.diagnostics.comparison import (
    PROBABILITIES,
    Found,
    Normalize,
    binned,
    covariate_edges,
    daily,
    exactly,
)
from xdownscale.diagnostics.histogram import BINS
from xdownscale.diagnostics.permutation import DAY_BINS, permuted, series
from xdownscale.diagnostics.quantiles import LEVELS
from xdownscale.diagnostics.samples import Sample, tally
from xdownscale.diagnostics.support import Support, paired
from xdownscale.diagnostics.timeline import places

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from xdownscale.scaling import Scaling

__all__ = ["wasserstein"]

_MOST = 10_000_000
_PARTS = [f"{a:g}-{b:g}" for a, b in pairwise(LEVELS)]
_LONG = {
    "w1": "1-Wasserstein distance",
    "shift": "difference of the means",
    "shape": "1-Wasserstein distance with the means made equal",
    "parts": "part of the 1-Wasserstein distance",
    "w1_bound": "error of w1 and of its parts, at most",
    "shape_bound": "error of shape, at most",
    "scale": "what the distances are in units of",
    "valid": "values compared",
    "quantiles": "quantiles, not scaled",
    "null_w1": "distance of two samples of one process",
    "null_mean": "mean distance of two samples of one process",
    "null_95": "95 % of the distances of two samples of one process are smaller",
    "p_value": "share of samples of one process that differ as much",
    "block": "length of the blocks of time",
}


def wasserstein(
    da: xr.DataArray,
    other: xr.DataArray,
    *,
    normalize: Normalize | None = None,
    transform: Literal["log10"] | Scaling | None = None,
    per: Literal["time"] | None = None,
    given: xr.DataArray | None = None,
    bins: int = 10,
    weights: Literal["area"] | xr.DataArray | None = "area",
    support: Support = "native",
    null: int = 0,
    block: int | None = None,
    seed: int = 0,
    dims: Mapping[str, Hashable] | None = None,
) -> xr.Dataset:
    """1-Wasserstein distance of two fields' values.

    Parameters
    ----------
    da, other : DataArray, dims (..., lat, lon) in any order
        On regular grids, not necessarily the same. All times and members count together.
    normalize : {"minmax", "std", "iqr", "rank"}, optional
        Divide by the range, standard deviation or interquartile range of both together, each with half of the
        weight; or compare mid-ranks, 0 to 1, instead of values.
    transform : "log10" or Scaling, optional
        Of the values, before everything else but the average over coarser cells. log10 refuses zeros;
        ``Log(0.0, np.log(10), floor)`` is log10(x + floor).
    per : "time", optional
        A distance for each time that both share, all normalised alike.
    given : DataArray, dims (lat, lon) and optionally time, optional
        A covariate (elevation, the truth's own values); distances in `bins` quantile bins of equal area.
    bins : int, >= 1
    weights : "area", DataArray >= 0, or None
        Cell areas, one's own on one common grid, or every cell alike.
    support : {"native", "common", "coarse", "both"}
        Each field on its own grid; or the finer averaged over the coarser's cells (exact means, of cells that
        are half known at least), which "coarse" means as well; or one after the other.
    null : int, >= 0
        Number of random deals of blocks of time: what two samples of one process differ by. It assumes that
        the process is stationary over both and forgets within a block, and takes the samples for independent:
        for two fields of the same days it is the difference to expect of other days, hence lenient. With
        supports that differ, so do the processes.
    block : int, >= 1, optional [time steps]
        Six decorrelation times of the daily distributions when not given, but four blocks at least.
    seed : int
        Of the deals.
    dims : mapping, optional
        `lat`, `lon`, `time` to names of dimensions, where discovery cannot tell.

    Returns
    -------
    Dataset
        `w1`, `shift` (mean of da less that of other), `shape` (W1 once the means are equal) and `parts` of w1
        by quantile (they add up to it), all in units of `scale`; `w1_bound`, `shape_bound` >= 0: errors of
        counting in bins, 0 where exact; `valid` values and `quantiles` by `sample`; with `null`: `null_w1` by
        `deal`, its `null_mean` and `null_95`, `p_value`, and `block`. Along `time`, bins of the covariate or
        `support` where asked; NaN where one of the two has no value.

    Raises
    ------
    ValueError
        For infinite values, values that the transform is not defined for, negative weights, fields without a
        valid value, other units, grids that the options cannot bring together, constant fields to be
        normalised, or options out of their range.

    Notes
    -----
    Lazy fields are read here, block by block.

    Examples
    --------
    >>> cells = {"lat": [0.0, 1.0], "lon": [10.0, 11.0]}
    >>> da = xr.DataArray([[0.0, 1.0], [np.nan, 2.0]], cells, ("lat", "lon"))
    >>> found = wasserstein(da + 0.25, da)
    >>> float(found["w1"]), float(found["shift"]), found["valid"].values
    (0.25, 0.25, array([3, 3]))
    """
    _check_options(normalize, per, given, bins, null, block)
    one, two = raster(da, dims=dims), raster(other, dims=dims)
    check_same_units(da, other)
    results = []
    for name, samples in paired(one, two, support, weights, given, _function(transform)):
        found = _compared(samples, normalize, per, bins)
        if null:
            found = found.merge(_null(samples, normalize, float(found.scale), null, block, seed))
        results.append(found.assign_coords(support=name))
    result = results[0] if len(results) == 1 else xr.concat(results, "support")
    return _told(result, da, normalize, transform, weights)


def _compared(
    samples: tuple[Sample, Sample], normalize: Normalize | None, per: str | None, bins: int
) -> xr.Dataset:
    edges = None if samples[0].given is None else covariate_edges(samples[0], bins)
    if per is not None:
        found, scale = daily(samples, normalize)
        time = samples[0].fields[samples[0].time]
        return _dataset(found, scale, str(time.name), {str(time.name): time.variable})
    large = any(s.lazy or s.fields.size > _MOST for s in samples)
    if large:
        found, scale = binned(tally(samples, edges=edges), normalize)
    else:
        found, scale = exactly(samples, normalize, edges)
    coords: dict[str, Any] = {}
    if edges is not None and samples[0].given is not None:
        attrs = dict(samples[0].given.attrs)
        coords = {"low": ("bin", edges[:-1], attrs), "high": ("bin", edges[1:], attrs)}
    method = f"histograms of up to {BINS} bins" if large else "exact"
    return _dataset(found, scale, "bin" if coords else None, coords).assign_attrs(method=method)


def _dataset(found: Sequence[Found], scale: float, dim: str | None, coords: Mapping[str, Any]) -> xr.Dataset:
    """One distance, or those along a dimension."""

    def laid(values: Any, *dims: str) -> tuple[tuple[str, ...], NDArray[Any]]:
        array = np.asarray(values)
        return (dims, array[0]) if dim is None else ((dim, *dims), array)

    return xr.Dataset(
        {
            "w1": laid([f.distance.w1 for f in found]),
            "shift": laid([f.distance.shift for f in found]),
            "shape": laid([f.distance.shape for f in found]),
            "parts": laid([f.distance.parts for f in found], "part"),
            "w1_bound": laid([f.bounds[0] for f in found]),
            "shape_bound": laid([f.bounds[1] for f in found]),
            "scale": ((), scale),
            "valid": laid([f.valid for f in found], "sample"),
            "quantiles": laid([f.quantiles for f in found], "sample", "probability"),
        },
        {**coords, "part": _PARTS, "sample": ["da", "other"], "probability": PROBABILITIES},
    )


def _null(
    samples: tuple[Sample, Sample], normalize: Any, scale: float, deals: int, block: int | None, seed: int
) -> xr.Dataset:
    """What two samples of one process differ by."""
    if any(s.time is None for s in samples):
        raise ValueError(
            "the null deals blocks of time, and a field has no time: use null=0, or name it in dims="
        )
    on_lattice = tuple(places(s.fields[s.time]) for s in samples)
    days = [t.days for t in tally(samples, daily=True, bins=DAY_BINS)]
    one, other, edges = series(days[0], days[1], on_lattice)
    step = np.diff(edges) / scale
    if normalize == "rank":
        step = (one.mass.mean(axis=0) + other.mass.mean(axis=0)) / 2
    found = permuted(one, other, step, deals=deals, block=block, seed=seed)
    return xr.Dataset(
        {
            "null_w1": ("deal", found.draws),
            "null_mean": ((), found.draws.mean()),
            "null_95": ((), np.quantile(found.draws, 0.95)),
            "p_value": ((), found.p),
            "block": ((), found.block),
        }
    )


def _told(result: xr.Dataset, da: xr.DataArray, normalize: Any, transform: Any, weights: Any) -> xr.Dataset:
    """Units, names and methods in the attributes."""
    raw = str(da.attrs.get("units", "1")) if transform is None else "1"
    for name, variable in result.data_vars.items():
        plain = name in ("scale", "quantiles")
        units = raw if plain or normalize is None else "1"
        variable.attrs = {"long_name": _LONG[str(name)], "units": units}
    for name in ("valid", "p_value", "block"):
        if name in result:
            result[name].attrs["units"] = "1"
    result.attrs = {
        "variable": str(da.name),
        "normalize": str(normalize),
        "transform": str(transform),
        "weights": weights if isinstance(weights, str) else "none" if weights is None else "given",
        "method": result.attrs.get("method", "exact"),
    }
    return result


def _function(transform: Any) -> Callable[[Any], Any] | None:
    if transform is None:
        return None
    if isinstance(transform, str):
        if transform != "log10":
            raise ValueError(f"transform is {transform!r}: expected 'log10', a Scaling or None")
        return np.log10
    if not callable(getattr(transform, "forward", None)):
        raise TypeError(f"transform is {type(transform).__name__}: expected 'log10', a Scaling or None")
    forward: Callable[[Any], Any] = transform.forward
    return forward


def _check_options(normalize: Any, per: Any, given: Any, bins: int, null: int, block: int | None) -> None:
    if normalize is not None and normalize not in get_args(Normalize):
        raise ValueError(f"normalize is {normalize!r}: expected one of {list(get_args(Normalize))} or None")
    if per not in (None, "time"):
        raise ValueError(f"per is {per!r}: expected 'time' or None")
    if given is not None and not isinstance(given, xr.DataArray):
        raise TypeError(f"given is {type(given).__name__}: expected a DataArray")
    groups = [word for word, used in (("per=", per is not None), ("given=", given is not None)) if used]
    if len(groups) > 1:
        raise ValueError("per= and given= together: expected one of them; call once for each")
    if groups and (normalize == "rank" or null):
        what = "normalize='rank'" if normalize == "rank" else "null="
        raise ValueError(f"{what} is of all values together: leave out {groups[0]}")
    if bins < 1 or null < 0 or (block is not None and block < 1):
        raise ValueError(
            f"bins {bins}, null {null}, block {block}: expected bins >= 1, null >= 0, block >= 1"
        )
