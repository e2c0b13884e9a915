"""Models on the same unseen days: drawn, judged beside each other and beside interpolation.

The task is downscaling: a model sees the coarse days, and no fine truth. Days that it looks back on may lie
outside those that are judged. A day inside the period that a model learned from is warned of: its scores hold
only if the record is another realisation of the weather than the one it learned.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xdownscale.cf import discover
from xdownscale.diagnostics.evaluation import evaluate
from xdownscale.inference.field import predict
from xdownscale.models.baselines import climatology
from xdownscale.registry import resolve
from xdownscale.training.degraded import smoothed

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import xarray as xr

    from xdownscale.models.downscaler import Downscaler

__all__ = ["BANDS_KM", "rows", "trial"]

BANDS_KM = (np.inf, 800.0, 400.0, 200.0, 100.0, 50.0, 25.0)


def trial(
    models: Sequence[Downscaler | str | os.PathLike[str]],
    coarse: xr.DataArray,
    truth: xr.DataArray,
    *,
    days: Sequence[int] | None = None,
    members: int = 16,
    seed: int = 0,
    evaluations: int | Literal["fast"] | None = None,
    baselines: Sequence[str] = ("nearest", "bilinear", "bicubic", "climatology"),
    smoothing: float = 0.0,
    intervals: int = 0,
    block: float = 5,
) -> xr.Dataset:
    """Judge models on days that they have not seen.

    Parameters
    ----------
    models : sequence of Downscaler, str or path-like
        The first is the `prediction` of the result, the others are named as their cards; the conditional mean
        of the first is a source too, `mean`.
    coarse, truth : DataArray, dims (time, lat, lon) in any order
        The truth covers the coarse cells' fine grid.
    days : sequence of int, optional
        Positions in the coarse record of the days that are judged; all by default. The others are history.
    members, seed : int
    evaluations : int or "fast", optional
        Of the network, or the sampler of distilled models; each card's own by default.
    baselines : sequence of str
        Interpolations, and `climatology` (`models.baselines.climatology`) where the first model carries one.
    smoothing : float, >= 0 [coarse cells]
        The coarse field that all sources are given is smoothed by a Gaussian of this deviation, as a
        reanalysis is smoother than the mean over its cells.
    intervals, block
        As `diagnostics.evaluate`.

    Returns
    -------
    Dataset
        As `diagnostics.evaluate`; its attribute `smoothing` says how the coarse field was smoothed.

    Raises
    ------
    ValueError
        If no model is given, or two have one name; if `smoothing` is negative or not finite; as `predict` and
        `evaluate`.
    """
    found = [resolve(model) for model in models]
    names = [model.card.name for model in found]
    if not found or len(set(names)) < len(names):
        raise ValueError(f"models are {names}: expected one at least, each with a name of its own")
    if smoothing:
        coarse = _smoothed(coarse, smoothing)
    judged = list(range(coarse.sizes["time"])) if days is None else list(days)
    for model in found:
        _warn_of_days(model, coarse, judged)
    drawn = [_drawn(m, coarse, judged, members, seed, evaluations) for m in found]
    others: dict[str, Any] = {name: name for name in baselines if name != "climatology"}
    if "climatology" in baselines and found[0].climatology is not None and found[0].card.process == "flow":
        others["climatology"] = _drawn(climatology(found[0]), coarse, judged, members, seed, None)
    others |= dict(zip(names[1:], drawn[1:], strict=True))
    if found[0].card.process != "regression":
        others["mean"] = _drawn(found[0], coarse, judged, 1, seed, None, product="mean")
    y, x = (drawn[0][dim] for dim in drawn[0].dims[-2:])
    compared = evaluate(
        drawn[0],
        truth.sel({y.name: y.values, x.name: x.values}, method="nearest"),
        coarse.isel(time=judged),
        baselines=others,
        intervals=intervals,
        block=block,
        floor=float(found[0].card.scaling.get("floor", 1e-3)),
    )
    return compared.assign_attrs(smoothing=float(smoothing))


def rows(found: xr.Dataset, evaluations: int | str) -> list[dict[str, Any]]:
    """The scores of a trial as a card holds them, in log space or as they say, one row a source.

    Parameters
    ----------
    found : Dataset
        From `trial`, with bicubic interpolation among the sources.
    evaluations : int or "fast"
        Of the first model.

    Returns
    -------
    list of dict
        CRPS (of one field, its MAE) is divided by the MAE of bicubic interpolation; `low` and `high` bound
        it, where there are intervals. `skill` is 1 - CRPS of the prediction over that of the source, and its
        bounds are of the same days resampled for both: above zero the prediction is clear of the source;
        `spread_skill_low` and `spread_skill_high` are those of spread over skill.
        `spectrum` is power over the truth's in the bands between `BANDS_KM`,
        `semivariogram` the least and the largest semivariance over the truth's at any lag; `ranks` the least
        and the largest frequency of a rank over that of a flat histogram, `ranks_flat` how many of the
        `members` + 1 ranks have an interval with 1 in it, `ranks_p` the probability of all together
        (`diagnostics.flatness`); `smoothing` is there if the coarse
        field was smoothed. `linear_*` are in the quantity's own units.
    """
    log, linear = (found.sel(space=space) for space in ("log", "linear"))
    unit = float(log["mae"].sel(source="bicubic"))
    out = []
    for name in found["source"].values:
        one = log.sel(source=name)
        row: dict[str, Any] = {
            "name": str(name),
            "evaluations": evaluations if name == "prediction" else None,
            "members": int(one["members"]),
            "days": int(found.attrs["times"].partition(",")[0]),
            "cells": found.attrs["grid"].removesuffix(" cells").replace(" ", ""),
            "crps_over_bicubic_mae": _rounded(_error(one) / unit),
            "spread_skill": _rounded(one["spread_skill"]) if "spread_skill" in one else None,
            "r2": _rounded(one["r2"]),
            "quantile_0.99": _rounded(one["quantile_ratio"].sel(quantile=0.99)),
            "quantile_0.999": _rounded(one["quantile_ratio"].sel(quantile=0.999)),
        }
        row |= _linear(linear, str(name))
        if found.attrs.get("smoothing"):
            row["smoothing"] = found.attrs["smoothing"]
        if int(one["members"]) > 1:
            ranks = one["rank_histogram"].dropna("rank").values * (int(one["members"]) + 1)
            row["ranks"] = [_rounded(np.nanmin(ranks)), _rounded(np.nanmax(ranks))]
            if "rank_histogram_interval" in one:
                bounds = one["rank_histogram_interval"].transpose("bound", "rank").values * len(ranks)
                row["ranks_flat"] = int(((bounds[0] <= 1) & (bounds[1] >= 1)).sum())
            if "rank_histogram_p" in one:
                row["ranks_p"] = _rounded(one["rank_histogram_p"])
        row |= _texture(one) | _bounds(one, unit)
        if name != "prediction":
            row["skill"] = _rounded(one["crpss"])
        out.append(row)
    return out


def _bounds(one: xr.Dataset, unit: float) -> dict[str, Any]:
    """Of a source's CRPS over a unit, its spread over skill, and the skill of the prediction against it."""
    wanted = {"": ("crps", unit)}
    if int(one["members"]) > 1:
        wanted["spread_skill_"] = ("spread_skill", 1.0)
    if str(one["source"].values) != "prediction":
        wanted["skill_"] = ("crpss", 1.0)
    found: dict[str, Any] = {}
    for key, (name, by) in wanted.items():
        if f"{name}_interval" in one:
            low, high = one[f"{name}_interval"].values / by
            found |= {f"{key}low": _rounded(low), f"{key}high": _rounded(high)}
    return found


def _linear(found: xr.Dataset, name: str) -> dict[str, Any]:
    """Errors, reliability and explained variance of a source in linear space."""
    one, unit = found.sel(source=name), float(found["mae"].sel(source="bicubic"))
    scores = {
        "crps_over_bicubic_mae": _error(one) / unit,
        "r2": one["r2"],
        "spread_skill": one["spread_skill"] if int(one["members"]) > 1 else None,
        "skill": one["crpss"] if name != "prediction" else None,
    }
    known = {key: _rounded(value) for key, value in scores.items() if value is not None}
    return {f"linear_{key}": value for key, value in (known | _bounds(one, unit)).items()}


def _texture(one: xr.Dataset) -> dict[str, Any]:
    """Power over the truth's by band of wavelength, and the range of semivariances over the truth's."""
    out: dict[str, Any] = {}
    if "spectrum_power" in one:
        power, truth = one["spectrum_power"].values, one["spectrum_truth_power"].values
        length = one["wavelength"].values
        bands = [(length <= longest) & (length > shortest) for longest, shortest in pairwise(BANDS_KM)]
        ratios = [float(power[b].sum() / truth[b].sum()) if truth[b].any() else np.nan for b in bands]
        out["spectrum"] = [_rounded(ratio) for ratio in ratios]
    if "semivariogram_ratio" in one:
        ratio = one["semivariogram_ratio"].values
        out["semivariogram"] = [_rounded(np.nanmin(ratio)), _rounded(np.nanmax(ratio))]
    return out


def _error(one: xr.Dataset) -> float:
    crps = float(one["crps"])
    return crps if np.isfinite(crps) else float(one["mae"])


def _rounded(value: Any) -> float | None:
    number = float(value)
    return round(number, 4) if np.isfinite(number) else None


def _drawn(
    model: Downscaler,
    coarse: xr.DataArray,
    days: Sequence[int],
    members: int,
    seed: int,
    evaluations: int | Literal["fast"] | None,
    product: Any = "draw",
) -> xr.DataArray:
    sampler = model.sampler
    if evaluations is not None and sampler.name != "direct" and model.card.architecture["denoiser"]:
        sampler = model.sampler_of(evaluations)
    count = 1 if model.card.process == "regression" else members
    lazy = predict(
        coarse.chunk(time=1), model, members=count, seed=seed, sampler=sampler, product=product,
        domain_check="ignore",
    )  # fmt: skip
    return lazy.isel(time=list(days)).load()


def _smoothed(coarse: xr.DataArray, sigma: float) -> xr.DataArray:
    """The coarse record, each field smoothed where it is known."""
    if not (np.isfinite(sigma) and sigma > 0):
        raise ValueError(f"smoothing is {sigma}: expected a number of coarse cells, 0 or more")
    axes = discover(coarse)
    stack = coarse.transpose(..., axes.lat, axes.lon)
    values = stack.values.astype(np.result_type(stack.dtype, np.float32))
    known = np.isfinite(values)
    smooth = stack.copy(data=np.where(known, smoothed(values, known, sigma), values))
    return smooth.transpose(*coarse.dims)


def _warn_of_days(model: Downscaler, coarse: xr.DataArray, days: Sequence[int]) -> None:
    told = model.card.training
    if not {"first", "last"} <= set(told):
        return
    stamps = coarse["time"].values[list(days)].astype("datetime64[D]")
    gap = np.timedelta64(model.history, "D")
    first, last = (np.datetime64(str(told[key])) for key in ("first", "last"))
    inside = int(((stamps >= first - gap) & (stamps <= last + gap)).sum())
    if inside:
        warnings.warn(
            f"{inside} of {len(days)} days lie in the period that {model.card.name} learned from, {first} to "
            f"{last}, or within {model.history} days of it: the scores hold only if the record is another "
            "realisation",
            UserWarning,
            stacklevel=3,
        )
