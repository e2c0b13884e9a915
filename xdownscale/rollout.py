"""Roll-out: from one fine day, days of one's own, beside other ways to link days.

The task is not downscaling (`trial`): the first day is told the fine truth of the day before, and no later
truth; an autoregressive model goes on from its own days. Beside it stand what is told nothing of yesterday
(`independent`), what shares noise with it (`correlated`), and `persistence`, the detail of the day before the
first, kept on each day's coarse field. A model that was not trained with a state has no autoregressive run.

All in log space: the field, ln(x + floor), and the detail, what is left of it without the interpolated coarse
field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdownscale.cf.raster import raster
from xdownscale.diagnostics.correlogram import acf
from xdownscale.diagnostics.rollout import drift
from xdownscale.diagnostics.skill import crps, mae
from xdownscale.inference.field import predict
from xdownscale.models.baselines import interpolation
from xdownscale.registry import resolve

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from xdownscale.models.downscaler import Downscaler

__all__ = ["WAYS", "rollout", "ways_of"]

WAYS = ("autoregressive", "correlated", "independent", "persistence")
_FLOOR = 1e-3


def rollout(
    model: Downscaler | str | os.PathLike[str],
    coarse: xr.DataArray,
    truth: xr.DataArray,
    *,
    first: int,
    days: int = 60,
    members: int = 8,
    seed: int = 0,
    ways: Sequence[str] | None = None,
    lags: int = 7,
) -> xr.Dataset:
    """Judge days that follow one fine day, by lead time.

    Parameters
    ----------
    model : Downscaler, str or path-like
    coarse, truth : DataArray, dims (time, lat, lon) in any order
        The truth covers the coarse cells' fine grid; its day before the first is told, the others judge.
    first : int, >= 1
        Position in the coarse record of the first day drawn; those before it are history.
    days : int, > lags
        Days in sequence.
    members, seed : int
    ways : sequence of {"autoregressive", "correlated", "independent", "persistence"}, optional
        All that the model can by default (`ways_of`).
    lags : int, >= 1 [time steps]
        Of the autocorrelation.

    Returns
    -------
    Dataset
        By `source` (the ways), `part` (field, detail) and `time` with its `lead`: `variance_ratio` over the
        truth's, `w1` over the truth's standard deviation, `crps` (of one field, its mean absolute error); by
        `lag`: `acf` of each cell about its own mean, pooled over cells, mean over members, and `truth_acf`.

    Raises
    ------
    ValueError
        If the days do not follow each other or are too few, the truth does not hold them and the day before
        them, or `autoregressive` is asked of a model that was not trained with a state.
    """
    found = resolve(model)
    ways = ways_of(found) if ways is None else ways
    _check(found, coarse, first, days, ways, lags)
    when = coarse["time"].values[first - 1 : first + days]
    coarse = coarse.isel(time=slice(max(0, first - found.history), first + days)).load()
    run = slice(coarse.sizes["time"] - days, None)
    floor = float(found.card.scaling.get("floor", _FLOOR))
    method = {"linear": "bilinear", "cubic": "bicubic"}.get(found.card.upsampling, found.card.upsampling)
    plain = interpolation(method, found.card)
    base = _log(predict(coarse, plain, conserve=False, domain_check="ignore"), floor)
    base = base.isel(realization=0, drop=True)
    fine = _truth(truth, base, when).load()
    before, true = fine.isel(time=slice(0, 1)), fine.isel(time=slice(1, None))
    judged: list[xr.Dataset] = []
    for way in ways:
        if way == "persistence":
            kept = _log(before, floor).isel(time=0) - base.isel(time=run.start - 1)
            ours = (base.isel(time=run) + kept.drop_vars("time", errors="ignore")).expand_dims("realization")
        else:
            ours = _log(_drawn(found, coarse, way, run, members, seed, before), floor)
        judged.append(_judged(ours, _log(true, floor), base.isel(time=run), lags))
    result = xr.concat(judged, xr.DataArray(list(ways), dims="source", name="source"))
    result["truth_acf"] = result["truth_acf"].isel(source=0, drop=True)
    return result.assign_attrs(
        model=found.card.name, members=members, seed=seed, first=str(when[1])[:10], space=f"ln(x + {floor:g})"
    )


def ways_of(model: Downscaler) -> list[str]:
    """What links a model's days: its state, its day correlation, and what every model can.

    Parameters
    ----------
    model : Downscaler

    Returns
    -------
    list of str
        Of `WAYS`, in their order.
    """
    able = {"autoregressive": model.card.state, "correlated": model.card.day_correlation > 0}
    return [way for way in WAYS if able.get(way, True)]


def _check(
    model: Downscaler, coarse: xr.DataArray, first: int, days: int, ways: Sequence[str], lags: int
) -> None:
    unknown = sorted(set(ways) - set(WAYS))
    if unknown or not ways:
        raise ValueError(f"ways are {list(ways)}: expected some of {list(WAYS)}")
    if "autoregressive" in ways and not model.card.state:
        raise ValueError(
            f"{model.card.name} was not trained with a state (TrainConfig.state): leave out "
            "'autoregressive', or give a model that was"
        )
    size = coarse.sizes["time"]
    if first < 1 or first + days > size:
        raise ValueError(
            f"first {first} and {days} days of a coarse record of {size}: expected a day before the first, "
            "and all days within the record"
        )
    if days <= lags:
        raise ValueError(f"{days} days and lags to {lags}: expected more days than lags")
    steps = np.diff(coarse["time"].values[first - 1 : first + days].astype("datetime64[us]").astype(np.int64))
    if (np.abs(steps - model.card.step) > model.card.step // 50).any():
        raise ValueError(
            f"the days do not follow each other by {model.card.cadence}: choose days without gaps"
        )


def _truth(truth: xr.DataArray, base: xr.DataArray, when: Any) -> xr.DataArray:
    """The truth on the cells and days of the run, in the order of the drawn fields."""
    y, x = (base[dim] for dim in base.dims[-2:])
    index = truth.indexes["time"]
    places = index.get_indexer(when, method="nearest", tolerance=np.timedelta64(1, "h"))
    if (places < 0).any():
        missing = str(when[int(np.flatnonzero(places < 0)[0])])[:10]
        raise ValueError(f"the truth lacks {missing}: expected each day of the run and the one before it")
    found = truth.isel(time=places).sel({y.name: y.values, x.name: x.values}, method="nearest")
    return found.assign_coords({"time": when, y.name: y.values, x.name: x.values}).transpose(
        "time", y.name, x.name
    )


def _drawn(
    model: Downscaler,
    coarse: xr.DataArray,
    way: Any,
    run: slice,
    members: int,
    seed: int,
    before: xr.DataArray,
) -> xr.DataArray:
    options: dict[str, Any] = {"members": members, "seed": seed, "domain_check": "ignore", "progress": False}
    if way == "autoregressive":
        return predict(coarse, model, coherence=way, state=before, **options)
    lazy = predict(coarse.chunk(time=1), model, coherence=way, **options)
    return lazy.isel(time=run).compute()


def _log(field: xr.DataArray, floor: float) -> xr.DataArray:
    logs: Any = np.log(field.astype("float64") + floor)
    return logs.assign_attrs(units="1")  # type: ignore[no-any-return]


def _judged(ours: xr.DataArray, true: xr.DataArray, base: xr.DataArray, lags: int) -> xr.Dataset:
    base = base.assign_coords({name: true[name] for name in true.dims})
    ours = ours.assign_coords({name: true[name] for name in true.dims})
    pairs: Mapping[str, tuple[xr.DataArray, xr.DataArray]] = {
        "field": (ours, true),
        "detail": ((ours - base).assign_attrs(units="1"), (true - base).assign_attrs(units="1")),
    }
    parts = [_part(*pair, lags) for pair in pairs.values()]
    return xr.concat(parts, xr.DataArray(list(pairs), dims="part", name="part"))


def _part(ours: xr.DataArray, true: xr.DataArray, lags: int) -> xr.Dataset:
    by_day = drift(ours, true)
    found = by_day[["variance_ratio", "w1"]].reset_coords(drop=True)
    found["w1"] = found["w1"] / float(true.std())
    found = found.assign_coords(lead=("time", np.arange(1, true.sizes["time"] + 1), {"units": "days"}))
    fields = ours.transpose("realization", *true.dims)
    area = raster(true).area
    judge = crps if fields.sizes["realization"] > 1 else lambda f, y, w: mae(f[0], y, w)
    scores = [judge(fields.isel(time=day).values, day_true.values, area) for day, day_true in enumerate(true)]
    found["crps"] = (
        "time",
        scores,
        {"long_name": "fair CRPS; of one field, its mean absolute error", "units": "1"},
    )
    each = [acf(one, lags, reduce="pooled")["acf"].values[1:] for one in fields]
    found["acf"] = ("lag", np.mean(each, axis=0), {"long_name": "autocorrelation", "units": "1"})
    found["truth_acf"] = ("lag", acf(true, lags, reduce="pooled")["acf"].values[1:], {"units": "1"})
    return found.assign_coords(lag=np.arange(1, lags + 1))
