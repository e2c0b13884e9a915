"""Days in sequence from one fine day: the numbers are those of predict and drift, called by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from xdownscale import predict
from xdownscale.diagnostics import crps, drift
from xdownscale.grid import G5NR, MERRA2, coarsening, refined
from xdownscale.models.baselines import interpolation
from xdownscale.rollout import WAYS, rollout, ways_of

if TYPE_CHECKING:
    from xdownscale.models.downscaler import Downscaler

WINDOW = MERRA2.window((240, 5), (360, 6))
FINE = refined(WINDOW, G5NR)
DAYS, FIRST = 9, 2


@pytest.fixture
def pair(tiny_state: Downscaler) -> tuple[xr.DataArray, xr.DataArray]:
    """Twelve July days of a lognormal field, and their coarse twin."""
    card = tiny_state.card
    values = np.exp(np.random.default_rng(5).normal(-2, 0.4, (12, *FINE.shape)))
    a = coarsening(FINE, WINDOW)
    time = np.datetime64("2005-07-01T12", "ns") + np.arange(12) * np.timedelta64(1, "D")
    attrs = {"units": card.units, "standard_name": card.standard_name, "cell_methods": "time: mean"}

    def labelled(values: np.ndarray, grid: Any) -> xr.DataArray:
        coordinates = {"time": time, "lat": grid.y.values, "lon": grid.x.values}
        return xr.DataArray(values, coordinates, ("time", "lat", "lon"), card.variable, attrs)

    return labelled(np.stack([a(v) for v in values]), WINDOW), labelled(values, FINE)


def logs(field: xr.DataArray) -> xr.DataArray:
    return np.log(field.astype("float64") + 1e-3).assign_attrs(units="1")


def test_numbers_are_those_by_hand(tiny_state: Downscaler, pair: Any) -> None:
    coarse, truth = pair
    found = rollout(tiny_state, coarse, truth, first=FIRST, days=DAYS, members=2, lags=3)
    assert found.source.values.tolist() == ["autoregressive", "independent", "persistence"]
    seed, true = truth.isel(time=[FIRST - 1]), logs(truth.isel(time=slice(FIRST, FIRST + DAYS)))
    options: dict[str, Any] = {"members": 2, "domain_check": "ignore", "coherence": "autoregressive"}
    part = coarse.isel(time=slice(FIRST - 1, FIRST + DAYS))
    ours = logs(predict(part, tiny_state, state=seed, **options))
    assert ours.sizes["time"] == DAYS
    ours = ours.assign_coords({name: true[name] for name in true.dims})
    by_hand = drift(ours, true)
    one = found.sel(source="autoregressive", part="field")
    np.testing.assert_allclose(one.variance_ratio, by_hand.variance_ratio, rtol=1e-9)
    np.testing.assert_allclose(one.w1, by_hand.w1 / float(true.std()), rtol=1e-9)
    area = np.broadcast_to(FINE.area, FINE.shape)
    by_hand = crps(ours.transpose("realization", "time", ...)[:, 4].values, true[4].values, area)
    assert float(one.crps[4]) == pytest.approx(by_hand, rel=1e-9)
    assert one.lead.values.tolist() == list(range(1, DAYS + 1))


def test_persistence_keeps_the_detail(tiny_state: Downscaler, pair: Any) -> None:
    """Of days that repeat, it is exact; and detail is what the coarse field does not give."""
    coarse, truth = (da.isel(time=[1] * 12).assign_coords(time=da.time) for da in pair)
    given = {"first": FIRST, "days": DAYS, "lags": 2}
    found = rollout(tiny_state, coarse, truth, ways=["persistence"], **given)
    one = found.sel(source="persistence")
    np.testing.assert_allclose(one.crps, 0, atol=1e-6)
    np.testing.assert_allclose(one.variance_ratio, 1, rtol=1e-5)
    plain = interpolation("bicubic", tiny_state.card)
    base = logs(predict(coarse, plain, conserve=False, domain_check="ignore")).isel(realization=0, time=4)
    detail = logs(truth)[4].values - base.values
    found = rollout(tiny_state, *pair, ways=["independent"], members=2, **given)
    assert detail.std() < logs(truth)[4].values.std(), "what the coarse field gives is taken away"
    assert not np.allclose(found.w1.sel(part="detail"), found.w1.sel(part="field"))


def test_ways_are_those_the_model_can(tiny_state: Downscaler, tiny_model: Downscaler) -> None:
    linked = tiny_state.with_card(replace(tiny_state.card, day_correlation=0.3))
    assert ways_of(linked) == list(WAYS)
    assert ways_of(tiny_model) == ["independent", "persistence"]


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"first": 0}, "first 0 and 9 days of a coarse record of 12: expected a day before"),
            ({"days": 11}, "first 2 and 11 days of a coarse record of 12"),
            ({"days": 3}, "3 days and lags to 7: expected more days than lags"),
            ({"ways": ["forecast"]}, "ways are \\['forecast'\\]: expected some of"),
        ],
    )
    def test_options(self, tiny_state: Downscaler, pair: Any, changes: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            rollout(tiny_state, *pair, **({"first": FIRST, "days": DAYS} | changes))

    def test_a_model_without_a_state(self, tiny_model: Downscaler, pair: Any) -> None:
        with pytest.raises(ValueError, match="tiny was not trained with a state"):
            rollout(tiny_model, *pair, first=FIRST, days=DAYS, ways=["autoregressive"])

    def test_gaps(self, tiny_state: Downscaler, pair: Any) -> None:
        coarse, truth = pair
        with pytest.raises(ValueError, match="do not follow each other by 1D"):
            rollout(tiny_state, coarse.isel(time=[*range(5), *range(6, 12)]), truth, first=2, days=9, lags=2)
        with pytest.raises(ValueError, match="the truth lacks 2005-07-05"):
            rollout(tiny_state, coarse, truth.isel(time=[*range(4), *range(5, 12)]), first=2, days=9, lags=2)
