"""Fit your own: other grids, quantities and time steps go through the same doors as the bundled ones."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from xdownscale import TrainConfig, load, predict, save, train
from xdownscale.calibration import calibrate
from xdownscale.grid import MERRA2, coarsening
from xdownscale.training.grids import grid_of

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = TrainConfig(
    steps=40, batch=4, days=2, crop=48, border=0, channels=(8, 8, 16), blocks=1, transfer="none", ema=0.9,
    learning_rate=5e-3, state=0.0,
)  # fmt: skip


def pair(coordinates: dict[str, np.ndarray], coarse: dict[str, np.ndarray], step: str, **attrs: Any) -> Any:
    """Smooth noise on a fine grid, and its exact coarse mean."""
    rng = np.random.default_rng(0)
    names = tuple(coordinates)
    shape = tuple(v.size for v in coordinates.values())
    values = gaussian_filter(rng.normal(size=(24, *shape)), (0, 3, 3)) * 8
    time = {"time": np.datetime64("2018-11-15", "ns") + np.arange(24) * np.timedelta64(step[:-1], step[-1])}
    fine = xr.DataArray(values, time | coordinates, ("time", *names), name="T", attrs=attrs)
    template = xr.DataArray(np.zeros([v.size for v in coarse.values()]), coarse, names)
    a = coarsening(grid_of(fine, MERRA2), grid_of(template, MERRA2))
    means = np.stack([a(v) for v in values])
    return xr.DataArray(means, time | coarse, ("time", *names), name="T", attrs=attrs), fine


def metres(n: int, step: float, first: float) -> np.ndarray:
    return first + step * np.arange(n)


@pytest.fixture(scope="module")
def records() -> Any:
    fine = {"y": metres(80, 1e3, 500.0), "x": metres(96, 1e3, 500.0)}
    coarse = {"y": metres(10, 8e3, 4e3), "x": metres(12, 8e3, 4e3)}
    return pair(fine, coarse, "6h", units="K", long_name="temperature anomaly")


@pytest.fixture(scope="module")
def model(records: Any) -> Any:
    return train(*records, config=replace(CONFIG, transform="identity"), card={"name": "own"})


class TestPlane:
    """A temperature anomaly in kelvin on a projected grid in metres, six-hourly: signed, no log."""

    def test_the_card_says_what_it_is(self, model: Any) -> None:
        card = model.card
        assert (card.cadence, card.units, card.signed) == ("6h", "K", True)
        assert card.region == {"y": [0.0, 80e3], "x": [0.0, 96e3]}
        assert card.statics == ("season", "climatology")
        assert card.scaling["name"] == "identity"
        assert "y 0 to 80000" in str(card)

    def test_predict_conserves_and_keeps_the_plane(self, model: Any, records: Any, tmp_path: Path) -> None:
        coarse, fine = records
        save(model, tmp_path / "own.safetensors")
        out = predict(coarse[-2:], load(tmp_path / "own.safetensors"), members=2)
        np.testing.assert_allclose(out.y, fine.y)
        np.testing.assert_allclose(out.x, fine.x)
        assert float(out.min()) < -1 < 1 < float(out.max())
        a = coarsening(grid_of(fine, MERRA2), grid_of(coarse, MERRA2))
        for member in out.values:
            for day, given in zip(member, coarse.values[-2:], strict=True):
                assert np.abs(a(day) - given).max() < 1e-5 * given.std()

    def test_calibrates_with_six_hours_for_a_day(
        self, model: Any, records: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("xdownscale.calibration.fitting._BORDER", 8)
        found = calibrate(model, *records, evaluations=(2,), members=2, crops=4, crop=64)
        assert found.card.day_correlation < 0.2  # fields of independent noise
        assert list(found.card.inflation) == ["2"]

    def test_another_sampling_and_another_place_are_refused(self, model: Any, records: Any) -> None:
        coarse, _ = records
        hourly = coarse[:3].assign_coords(time=coarse.time.values[0] + np.arange(3) * np.timedelta64(1, "h"))
        with pytest.raises(ValueError, match=r"da\.resample\(time='6h'\)"):
            predict(hourly, model)
        moved = coarse.assign_coords(y=coarse.y + 800e3)
        with pytest.raises(ValueError, match="y runs from 804000 to 876000: own was trained on 0 to 80000"):
            predict(moved[:1], model)


def test_half_registered_degrees_with_gaps(tmp_path: Path) -> None:
    """The registration of GOES-16's product; three quarters of the truth missing."""
    fine = {"lat": metres(96, 0.0625, 20.03125), "lon": metres(100, 0.0625, -127.96875)}
    coarse = {"lat": metres(12, 0.5, 20.25), "lon": metres(10, 0.625, -127.6875)}
    low, high = pair(fine, coarse, "5m", units="1")
    low, high = 0.2 * np.exp(0.5 * low), 0.2 * np.exp(0.5 * high)
    holes = gaussian_filter(np.random.default_rng(1).normal(size=high.shape), (0, 4, 4))
    high = high.where(holes > np.quantile(holes, 0.5))
    model = train(low, high, config=CONFIG, card={"name": "gappy"})
    assert (model.card.cadence, model.card.signed) == ("5min", False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no standard name
        out = predict(low[-1:], model)
    np.testing.assert_allclose(out.lat, high.lat)
    assert np.isfinite(out.values).all()


class TestRefused:
    def test_no_encoder_and_none_given(self, records: Any) -> None:
        with pytest.raises(ValueError, match=r"transfer is 'frozen', and no encoder is given: pretrain one"):
            train(*records)

    def test_values_without_a_transform(self, records: Any) -> None:
        coarse, fine = records
        with pytest.raises(ValueError, match=r"values of the fine truth, the smallest -.*have no log"):
            train(np.abs(coarse) + 1, fine, config=CONFIG)

    def test_no_common_times(self, records: Any) -> None:
        coarse, fine = records
        later = fine.assign_coords(time=fine.time + np.timedelta64(400, "D"))
        with pytest.raises(ValueError, match="no day in common"):
            train(coarse, later, config=replace(CONFIG, transform="identity"))
