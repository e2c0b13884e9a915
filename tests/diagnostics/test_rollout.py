"""Drift of a roll-out: each figure against a field whose drift is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import uniform_filter1d
from scipy.stats import wasserstein_distance

from xdownscale.diagnostics.rollout import drift

DAYS, NY, NX = 5, 12, 64
TIME = np.datetime64("2021-06-01", "ns") + np.arange(DAYS) * np.timedelta64(1, "D")


def truth(seed: int = 0) -> xr.DataArray:
    cells = {"time": TIME, "y": np.arange(float(NY)), "x": np.arange(float(NX))}
    values = np.random.default_rng(seed).normal(size=(DAYS, NY, NX))
    return xr.DataArray(values, cells, ("time", "y", "x"), name="aod", attrs={"units": "1"})


FADE = xr.DataArray(1 - 0.1 * np.arange(DAYS), {"time": TIME}, "time")


def test_truth_does_not_drift_from_itself() -> None:
    found = drift(truth(), truth())
    np.testing.assert_allclose(found.variance_ratio, 1.0, rtol=1e-12)
    np.testing.assert_array_equal(found.w1, 0.0)
    np.testing.assert_allclose(found.spectral_ratio[:, 1:], 1.0, rtol=1e-12)
    np.testing.assert_array_equal(found.lead, np.arange(DAYS))


def test_fading_amplitude_is_seen_by_day() -> None:
    found = drift(truth() * FADE, truth())
    np.testing.assert_allclose(found.variance_ratio, FADE**2, rtol=1e-12)
    np.testing.assert_allclose(
        found.spectral_ratio[:, 1:], np.tile(FADE.values[:, None] ** 2, (1, 3)), rtol=1e-12
    )
    for day in range(DAYS):
        y = truth().values[day].ravel()
        assert float(found.w1[day]) == pytest.approx(wasserstein_distance(FADE.values[day] * y, y), abs=1e-9)


def test_a_wandering_mean_is_in_w1_alone() -> None:
    moved = truth() + xr.DataArray(0.2 * np.arange(DAYS), {"time": TIME}, "time")
    found = drift(moved, truth())
    np.testing.assert_allclose(found.w1, 0.2 * np.arange(DAYS), atol=1e-12)
    np.testing.assert_allclose(found.variance_ratio, 1.0, rtol=1e-10)


def test_smoothing_takes_small_scales_first() -> None:
    smooth = truth().copy(data=uniform_filter1d(truth().values, 3, axis=-1))
    found = drift(smooth, truth(), wavelengths=(np.inf, 16, 4, 2)).spectral_ratio.mean("time")
    assert float(found[0]) > 0.85
    assert float(found[0]) > float(found[1]) > float(found[2])
    assert float(found[2]) < 0.15


def test_members_are_not_averaged() -> None:
    """Of members as variable as the truth the ratio is about 1, not 1 / members."""
    members = xr.concat([truth(k) for k in range(1, 9)], "realization")
    found = drift(members, truth())
    np.testing.assert_allclose(found.variance_ratio, 1.0, atol=0.2)
    alone = [drift(truth(k), truth()).variance_ratio for k in range(1, 9)]
    np.testing.assert_allclose(found.variance_ratio, np.mean(alone, axis=0), rtol=1e-12)


def test_variance_is_weighted_by_area_and_leaves_out_missing_cells() -> None:
    da = truth().rename(y="lat", x="lon").assign_coords(lat=np.arange(0.0, 60.0, 5.0))
    holes = da.where(da.lon > 3)
    found = drift(holes, da)
    area = np.diff(np.sin(np.deg2rad(np.arange(-2.5, 60.0, 5.0))))
    w = np.broadcast_to(area[:, None], (NY, NX))

    def variance(v: np.ndarray, u: np.ndarray) -> float:
        return float(np.average((v - np.average(v, weights=u)) ** 2, weights=u))

    for day in range(DAYS):
        ours = variance(da.values[day][:, 4:], w[:, 4:])
        assert float(found.variance_ratio[day]) == pytest.approx(
            ours / variance(da.values[day], w), rel=1e-10
        )
    assert found.spectral_ratio.isnull().all()


def test_days_without_values_and_constant_truth() -> None:
    empty = truth().copy()
    empty[2] = np.nan
    found = drift(empty, truth())
    assert found.variance_ratio.isnull().values.tolist() == [False, False, True, False, False]
    assert np.isnan(found.w1[2])
    flat = drift(truth(), xr.zeros_like(truth()))
    assert np.isinf(flat.variance_ratio).all()


def test_lazy_and_gaps_in_the_lead() -> None:
    days = [0, 1, 3, 4]
    found = drift((truth() * FADE).isel(time=days).chunk(time=1), truth().isel(time=days))
    np.testing.assert_array_equal(found.lead, days)
    np.testing.assert_allclose(found.variance_ratio, FADE.values[days] ** 2, rtol=1e-12)


def test_bands_are_named_by_wavelength() -> None:
    found = drift(truth(), truth(), wavelengths=(32.0, 8.0, 2.0))
    assert (found.longest.values.tolist(), found.shortest.values.tolist()) == ([32.0, 8.0], [8.0, 2.0])
    assert found.w1.attrs["units"] == "1"


def test_refusals() -> None:
    with pytest.raises(ValueError, match="prediction and truth have other times, 5 from 2021-06-01"):
        drift(truth(), truth().isel(time=slice(1, None)))
    with pytest.raises(ValueError, match="truth has no time"):
        drift(truth(), truth().isel(time=0, drop=True))
    with pytest.raises(ValueError, match="different grids"):
        drift(truth(), truth().isel(x=slice(1, None)))
    with pytest.raises(ValueError, match="units differ"):
        drift(truth(), truth().assign_attrs(units="K"))
