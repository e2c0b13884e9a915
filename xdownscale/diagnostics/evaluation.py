"""All diagnostics of a prediction at once, each beside those of the baselines, in one Dataset.

Scores come first, in linear and in log space. What else there is stands in `DIAGNOSTICS`: functions of one
source's fields and the truth's, whose results are put side by side along `source` and named after them
(`spectrum_ratio`); `part` gives one of them back under its own names. Log space is ln(value + floor), and an
interpolation scored there is one of the logarithms.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdownscale.cf.raster import raster
from xdownscale.diagnostics.borders import seams
from xdownscale.diagnostics.distance import wasserstein
from xdownscale.diagnostics.sources import Source, line_up
from xdownscale.diagnostics.spectra import spectrum
from xdownscale.diagnostics.tally import Questions, Space
from xdownscale.diagnostics.variogram import semivariogram
from xdownscale.diagnostics.variogram.points import span
from xdownscale.diagnostics.verification import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from xdownscale.diagnostics.sources import Baselines, Comparison
    from xdownscale.patches import Tiling

__all__ = ["DIAGNOSTICS", "Diagnostic", "evaluate", "part"]

_SPACES: tuple[Space, ...] = ("linear", "log")
_USUAL = (0.5, 0.9, 0.99)
_FARTHEST_KM = 800.0


@dataclass(frozen=True)
class Diagnostic:
    """A function of a source's fields, run for every source.

    Attributes
    ----------
    name : str
        Put before the names of its variables.
    of : callable
        (fields, truth) -> Dataset, from lazy arrays (time, [realization,] lat, lon) and (time, lat, lon).
    spaces : tuple of {"linear", "log"}
        In which it is run.
    of_truth : callable, optional
        What `of` is given in the truth's place, made of it once for all sources.
    """

    name: str
    of: Callable[[xr.DataArray, Any], xr.Dataset]
    spaces: tuple[str, ...] = ("linear",)
    of_truth: Callable[[xr.DataArray], Any] | None = None


def _seen_semivariogram(truth: xr.DataArray) -> xr.Dataset:
    """The truth's, to at most 800 km."""
    return semivariogram(truth, model=None, max_lag=_farthest(truth)).compute()


def _semivariogram(fields: xr.DataArray, seen: xr.Dataset) -> xr.Dataset:
    """Members pooled as variograms, beside the truth's and over it, on the truth's lags."""
    bounds = seen["lag_bounds"].values
    edges = [float(edge) for edge in (*bounds[:, 0], bounds[-1, 1])]
    ours = semivariogram(fields, model=None, lags=edges)
    found = xr.Dataset(
        {
            "semivariance": ours["semivariance"],
            "truth_semivariance": seen["semivariance"],
            "ratio": ours["semivariance"] / seen["semivariance"],
            "distance": seen["distance"],
        }
    )
    found["ratio"].attrs |= {"long_name": "semivariance over the truth's, by lag", "units": "1", "best": 1.0}
    return found


def _farthest(truth: xr.DataArray) -> float | None:
    """A third of the domain's diagonal, or less where that is long and dear; on a plane the default."""
    grid = raster(truth).grid
    if grid.y.kind != "latitude":
        return None
    shrink = float(np.cos(np.deg2rad(np.clip(grid.y.values.mean(), -90.0, 90.0))))
    return min(span(grid.y.size * grid.y.step, grid.x.size * grid.x.step, shrink) / 3, _FARTHEST_KM)


def _wasserstein(fields: xr.DataArray, truth: xr.DataArray) -> xr.Dataset:
    """Of the values of all cells, times and members."""
    found = wasserstein(fields, truth)[["w1", "shift", "shape"]].reset_coords(drop=True)
    found["w1"].attrs["best"] = 0.0
    return found


DIAGNOSTICS = (
    Diagnostic("spectrum", lambda fields, truth: spectrum(fields, truth=truth), _SPACES),
    Diagnostic("semivariogram", _semivariogram, ("log",), _seen_semivariogram),
    Diagnostic("wasserstein", _wasserstein, _SPACES),
)


def evaluate(
    prediction: xr.DataArray,
    truth: xr.DataArray,
    coarse: xr.DataArray | None = None,
    *,
    baselines: Baselines | None = None,
    thresholds: Sequence[float] | None = None,
    quantiles: Sequence[float] = (0.5, 0.9, 0.95, 0.99, 0.999),
    windows: Sequence[int] = (1, 9, 33),
    floor: float = 1e-3,
    tiling: Tiling | None = None,
    intervals: int = 0,
    block: float = 5,
    seed: int = 0,
    dims: Mapping[str, Hashable] | None = None,
) -> xr.Dataset:
    """Everything by which a downscaled field is judged.

    Fields are read once for the scores and once more for each diagnostic in each space: write a lazy
    prediction first, if it is dear to compute.

    Parameters
    ----------
    prediction, truth, coarse : DataArray
        As for `scores`.
    baselines : sequence of str, or mapping from name to str or DataArray, optional
        `nearest`, `bilinear` and `bicubic` by default, none without a coarse field.
    thresholds : sequence of float, optional [units of the values]
        The truth's quantiles 0.5, 0.9 and 0.99, to two digits, by default.
    quantiles : sequence of float, 0 to 1
    windows : sequence of int, odd [cells]
        Those larger than the domain are left out.
    floor : float, > 0 [units of the values]
    tiling : Tiling, optional
        How the prediction was cut, on the G5NR lattice: adds `seams_roughness` and `seams_spread`, in log
        space.
    intervals, block, seed
        As for `scores`.
    dims : mapping, optional
        `lat`, `lon`, `time` to names of dimensions, where discovery cannot tell.

    Returns
    -------
    Dataset
        In memory: what `scores` gives, with a dimension `space`, and the diagnostics along `source`. Its
        attributes say what was compared, how, and by which version.

    Raises
    ------
    TypeError, ValueError
        As for `scores`.

    Examples
    --------
    >>> cells = {"lat": np.arange(8.0), "lon": np.arange(16.0)}
    >>> truth = xr.DataArray(np.random.default_rng(0).lognormal(size=(8, 16)), cells, ("lat", "lon"))
    >>> found = evaluate(1.1 * truth, truth)
    >>> found.threshold.values.size, [round(float(v), 2) for v in part(found, "spectrum").ratio[0, 0, :2]]
    (3, [1.21, 1.21])
    """
    if baselines is None:
        baselines = () if coarse is None else ("nearest", "bilinear", "bicubic")
    comparison = line_up(prediction, truth, coarse, baselines, dims=dims)
    fitting = tuple(w for w in windows if w <= min(comparison.grid.shape))
    if thresholds is None:
        thresholds = _usual(comparison)
    asked = Questions(_SPACES, floor, tuple(thresholds), fitting if len(thresholds) else (), True, seed)
    found = judge(comparison, asked, quantiles, intervals=intervals, block=block)
    parts = [found, *(_run(one, comparison, floor) for one in DIAGNOSTICS)]
    if tiling is not None:
        logs = comparison.labelled(comparison.sources[0], floor)
        parts.append(_prefixed(seams(logs, tiling=tiling), "seams"))
    whole = xr.merge(parts, compat="no_conflicts", join="outer", combine_attrs="drop_conflicts")
    whole = whole.reindex(source=found.source, space=found.space).compute()
    whole.attrs = found.attrs | _provenance(prediction, truth, coarse, comparison)
    return whole


def part(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """What one diagnostic found, under its own names.

    Parameters
    ----------
    dataset : Dataset
        From `evaluate`.
    name : str
        Of a diagnostic: `spectrum`, `semivariogram`, `wasserstein`, `seams`.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If there is no such part.
    """
    prefix = f"{name}_"
    names = {v: str(v).removeprefix(prefix) for v in dataset.data_vars if str(v).startswith(prefix)}
    if not names:
        raise ValueError(f"the dataset has no part {name!r}: it holds {sorted(map(str, dataset.data_vars))}")
    return dataset[list(names)].rename(names)


def _usual(comparison: Comparison) -> tuple[float, ...]:
    """Quantiles of the truth, to two digits, without repetition."""
    itself = Source("truth", comparison.truth.expand_dims("realization", axis=1))
    alone = replace(comparison, sources=(itself,), coarse=None, to_coarse=None)
    found = judge(alone, Questions(quantiles=True), _USUAL)["truth_quantile"].values
    return tuple(sorted({float(f"{value:.2g}") for value in found}))


def _run(one: Diagnostic, comparison: Comparison, floor: float) -> xr.Dataset:
    names = [source.name for source in comparison.sources]
    spaces = []
    for space in one.spaces:
        low = floor if space == "log" else None
        truth = comparison.seen(low)
        given = truth if one.of_truth is None else one.of_truth(truth)
        each = [one.of(comparison.labelled(s, low), given).compute() for s in comparison.sources]
        spaces.append(xr.concat(each, xr.Variable("source", names), combine_attrs="drop_conflicts"))
    if len(spaces) == 1:
        return _prefixed(spaces[0], one.name)
    whole = xr.concat(spaces, xr.Variable("space", list(one.spaces)), combine_attrs="drop_conflicts")
    return _prefixed(whole, one.name)


def _prefixed(found: xr.Dataset, name: str) -> xr.Dataset:
    return found.rename({v: f"{name}_{v}" for v in found.data_vars})


def _provenance(
    prediction: xr.DataArray, truth: xr.DataArray, coarse: xr.DataArray | None, comparison: Comparison
) -> dict[str, Any]:
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", int(time.time())))
    out: dict[str, Any] = {
        "title": "evaluation of a downscaled field",
        "date_created": f"{np.datetime64(seconds, 's')}Z",
        "package": f"xdownscale {version('xarray-downscale')}",
        "grid": " x ".join(str(n) for n in comparison.grid.shape) + " cells",
    }
    if "time" in comparison.truth.coords:
        stamps = np.atleast_1d(comparison.truth["time"].values)
        if stamps.dtype.kind == "M":
            stamps = stamps.astype("datetime64[m]")
        out["times"] = f"{stamps.size}, {stamps[0]} to {stamps[-1]}"
    for what, da in (("prediction", prediction), ("truth", truth), ("coarse", coarse)):
        if da is not None:
            out[what] = str(da.name or "unnamed")
            kept = {k: v for k, v in da.attrs.items() if isinstance(v, str | int | float | np.number)}
            out |= {f"{what}_{key}": value for key, value in kept.items()}
    return out
