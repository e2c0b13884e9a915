"""Models judged beside each other: the numbers are those of predict and scores, called by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from xdownscale import predict
from xdownscale.diagnostics import scores
from xdownscale.grid import G5NR, MERRA2, coarsening, refined
from xdownscale.models.baselines import interpolation
from xdownscale.trial import rows, trial

if TYPE_CHECKING:
    from xdownscale.models.downscaler import Downscaler

WINDOW = MERRA2.window((240, 5), (360, 6))
FINE = refined(WINDOW, G5NR)


@pytest.fixture
def pair(tiny_model: Downscaler) -> tuple[xr.DataArray, xr.DataArray]:
    """Four July days of a lognormal field, and their coarse twin."""
    card = tiny_model.card
    values = np.exp(np.random.default_rng(5).normal(-2, 0.4, (4, *FINE.shape)))
    a = coarsening(FINE, WINDOW)
    time = np.datetime64("2005-07-01T12", "ns") + np.arange(4) * np.timedelta64(1, "D")
    attrs = {"units": card.units, "standard_name": card.standard_name, "cell_methods": "time: mean"}

    def labelled(values: np.ndarray, grid: Any) -> xr.DataArray:
        coordinates = {"time": time, "lat": grid.y.values, "lon": grid.x.values}
        return xr.DataArray(values, coordinates, ("time", "lat", "lon"), card.variable, attrs)

    return labelled(np.stack([a(v) for v in values]), WINDOW), labelled(values, FINE)


@pytest.fixture
def judged(tiny_model: Downscaler, pair: Any) -> xr.Dataset:
    other = tiny_model.with_card(replace(tiny_model.card, name="other", inflation={}))
    plain = interpolation("bilinear", tiny_model.card)
    plain = plain.with_card(replace(plain.card, name="plain"))
    return trial([tiny_model, other, plain], *pair, days=[1, 3], members=3, intervals=20, block=1)


def test_sources(judged: xr.Dataset) -> None:
    names = judged.source.values.tolist()
    assert names == ["prediction", "nearest", "bilinear", "bicubic", "other", "plain", "mean"]
    assert judged.members.values.tolist() == [3, 1, 1, 1, 3, 1, 1]


def test_numbers_are_those_by_hand_with_history(
    judged: xr.Dataset, tiny_model: Downscaler, pair: Any
) -> None:
    coarse, truth = pair
    drawn = predict(coarse, tiny_model, members=3, domain_check="ignore").isel(time=[1, 3])
    by_hand = scores(drawn, truth, coarse=coarse, space="log").sel(source="prediction")
    ours = judged.sel(source="prediction", space="log")
    for name in ("crps", "spread_skill", "rmse", "bias"):
        assert float(ours[name]) == pytest.approx(float(by_hand[name]), rel=1e-9), name


def test_the_mean_is_the_product_and_others_differ(
    judged: xr.Dataset, tiny_model: Downscaler, pair: Any
) -> None:
    coarse, truth = pair
    mean = predict(coarse, tiny_model, product="mean", domain_check="ignore").isel(time=[1, 3])
    by_hand = scores(mean, truth, space="log").sel(source="prediction")
    assert float(judged.r2.sel(source="mean", space="log")) == pytest.approx(float(by_hand.r2), rel=1e-9)
    crps = judged.crps.sel(space="log")
    assert float(crps.sel(source="other")) != float(crps.sel(source="prediction"))


def test_rows_are_in_units_of_bicubic(judged: xr.Dataset) -> None:
    table = {row["name"]: row for row in rows(judged, 4)}
    assert table["bicubic"]["crps_over_bicubic_mae"] == 1.0
    assert table["prediction"]["evaluations"] == 4
    assert table["nearest"]["evaluations"] is None
    log = judged.sel(space="log")
    expected = float(log.crps.sel(source="prediction") / log.mae.sel(source="bicubic"))
    found = table["prediction"]
    assert (found["days"], found["cells"]) == (2, "41x61")
    power = log.sel(source="prediction")
    band = (power.wavelength <= 50) & (power.wavelength > 25)
    ratio = float(power.spectrum_power[band].sum() / power.spectrum_truth_power[band].sum())
    assert found["spectrum"][-1] == pytest.approx(ratio, abs=1e-4)
    assert found["spectrum"][0] is None, "the window holds no wave of 800 km"
    assert found["semivariogram"][1] == pytest.approx(float(power.semivariogram_ratio.max()), abs=1e-4)
    assert found["crps_over_bicubic_mae"] == pytest.approx(expected, abs=1e-4)
    ranks = power.rank_histogram.values[:4]
    assert ranks.sum() == pytest.approx(1.0)
    assert found["ranks"] == pytest.approx([4 * ranks.min(), 4 * ranks.max()], abs=1e-4)
    low, high = 4 * power.rank_histogram_interval.transpose("bound", "rank").values[:, :4]
    flat = sum(a <= 1 <= b for a, b in zip(low, high, strict=True))
    assert found["ranks_flat"] == flat < 4, "random weights are not reliable"
    assert found["ranks_p"] == pytest.approx(float(power.rank_histogram_p), abs=1e-4)
    assert found["spread_skill_low"] <= found["spread_skill"] <= found["spread_skill_high"]
    assert not {"ranks", "ranks_flat", "ranks_p", "spread_skill_low"} & set(table["bicubic"])
    raw = judged.sel(space="linear")
    assert found["linear_crps_over_bicubic_mae"] == pytest.approx(
        float(raw.crps.sel(source="prediction") / raw.mae.sel(source="bicubic")), abs=1e-4
    )
    assert found["linear_r2"] == pytest.approx(float(raw.r2.sel(source="prediction")), abs=1e-4)
    assert "linear_skill" not in found
    low, high = raw.crps_interval.sel(source="prediction") / raw.mae.sel(source="bicubic")
    assert (found["linear_low"], found["linear_high"]) == pytest.approx((float(low), float(high)), abs=1e-4)
    low, high = raw.spread_skill_interval.sel(source="prediction")
    assert found["linear_spread_skill_low"] == pytest.approx(float(low), abs=1e-4)
    assert found["linear_spread_skill_high"] == pytest.approx(float(high), abs=1e-4)
    low, high = raw.crpss_interval.sel(source="bicubic")
    assert table["bicubic"]["linear_skill_low"] == pytest.approx(float(low), abs=1e-4)
    assert table["bicubic"]["linear_skill_high"] == pytest.approx(float(high), abs=1e-4)
    assert "linear_spread_skill_low" not in table["bicubic"]
    assert "linear_spread_skill" not in table["bicubic"]
    assert table["bicubic"]["linear_skill"] == pytest.approx(
        1 - found["linear_crps_over_bicubic_mae"], abs=2e-4
    )
    assert found["low"] <= found["crps_over_bicubic_mae"] <= found["high"]
    against = table["bicubic"]
    assert against["skill"] == pytest.approx(1 - expected, abs=1e-4)
    assert against["skill_low"] <= against["skill"] <= against["skill_high"]
    assert "skill" not in found


def test_days_of_the_training_are_warned_of(tiny_model: Downscaler, pair: Any) -> None:
    told = tiny_model.card.training | {"first": "2005-06-01", "last": "2005-07-01"}
    model = tiny_model.with_card(replace(tiny_model.card, training=told))
    with pytest.warns(UserWarning, match="1 of 1 days lie in the period that tiny learned from"):
        trial([model], *pair, days=[3], members=2)


def test_smoothed_input(tiny_model: Downscaler, pair: Any) -> None:
    """As if the record had been smoothed by hand, in any order of dimensions; gaps stay gaps."""
    coarse, truth = pair
    values = coarse.values.copy()
    values[:, 0, 0] = np.nan
    seen = np.isfinite(values).astype(float)
    smooth, share = (gaussian_filter(v, (0, 0.8, 0.8), mode="nearest") for v in (np.nan_to_num(values), seen))
    by_hand = coarse.copy(data=np.where(seen, smooth / share, np.nan))
    gapped = coarse.copy(data=values).transpose("lon", "time", "lat")
    options: dict[str, Any] = {"days": [1, 3], "members": 2}
    found = trial([tiny_model], gapped, truth, smoothing=0.8, **options)
    expected = trial([tiny_model], by_hand, truth, **options)
    for name in ("crps", "mae"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9)
    whole = trial([tiny_model], xr.ones_like(coarse).astype(int), truth, smoothing=0.8, **options)
    assert float(whole.mae.sel(source="nearest", space="linear")) == pytest.approx(
        float(abs(1 - truth[[1, 3]]).weighted(np.cos(np.deg2rad(truth.lat))).mean()), rel=1e-3
    ), "whole numbers are smoothed as numbers"
    assert rows(found, 2)[0]["smoothing"] == 0.8
    assert "smoothing" not in rows(expected, 2)[0]
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"smoothing is .*: expected a number of coarse cells"):
            trial([tiny_model], coarse, truth, smoothing=wrong, **options)


def test_refused(tiny_model: Downscaler, pair: Any) -> None:
    with pytest.raises(ValueError, match=r"models are \['tiny', 'tiny'\]: expected one at least"):
        trial([tiny_model, tiny_model], *pair)
    with pytest.raises(ValueError, match=r"models are \[\]"):
        trial([], *pair)
