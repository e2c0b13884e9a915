"""Autocorrelations: statsmodels to 1e-12, gaps kept, closed forms; persistence as `skill` scores it."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from statsmodels.tsa import stattools

from xdownscale.diagnostics import skill
from xdownscale.diagnostics.correlogram import acf, effective_sample_size, lag_curves, pacf

NLAGS = 8


def field(
    days: int = 60, gaps: float = 0.0, seed: int = 0, phi: float = 0.7, members: int | None = None
) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    shape = (members or 1, days, 3, 4)
    values = rng.normal(size=shape)
    for t in range(1, days):
        values[:, t] = phi * values[:, t - 1] + np.sqrt(1 - phi**2) * values[:, t]
    values += 3.0
    values[rng.random(shape) < gaps] = np.nan
    time = np.datetime64("2021-06-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
    cells = {"time": time, "y": np.arange(3.0), "x": np.arange(4.0)}
    da = xr.DataArray(values, cells, ("realization", "time", "y", "x"), attrs={"units": "K"})
    return da if members else da.isel(realization=0)


def theirs(x: np.ndarray, adjusted: bool = False, **options) -> np.ndarray:
    missing = "conservative" if np.isnan(x).any() else "none"
    return stattools.acf(x, nlags=NLAGS, adjusted=adjusted, missing=missing, fft=False, **options)


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("gaps", [0.0, 0.3])
class TestAgainstStatsmodels:
    def test_acf_of_each_pixel(self, gaps: float, adjusted: bool) -> None:
        da = field(gaps=gaps)
        found = acf(da, NLAGS, adjusted=adjusted).acf
        for i, j in np.ndindex(3, 4):
            np.testing.assert_allclose(found[:, i, j], theirs(da.values[:, i, j], adjusted), atol=1e-12)

    def test_pacf_of_each_pixel(self, gaps: float, adjusted: bool) -> None:
        da = field(gaps=gaps)
        found = pacf(da, NLAGS, adjusted=adjusted).pacf
        for i, j in np.ndindex(3, 4):
            rho = theirs(da.values[:, i, j], adjusted)
            want = stattools.levinson_durbin(rho, nlags=NLAGS, isacov=True).pacf
            np.testing.assert_allclose(found[:, i, j], want, atol=1e-12)

    def test_days_left_out_are_days_missing(self, gaps: float, adjusted: bool) -> None:
        """A day that is not there, and one of NaN, are one and the same."""
        da = field(gaps=gaps)
        gone = [4, 5, 17, 40]
        blank, shorter = da.copy(), da.drop_isel(time=gone)
        blank[gone] = np.nan
        for function in (acf, pacf, lag_curves):
            one, other = function(blank, NLAGS), function(shorter, NLAGS)
            for name in one.data_vars:
                np.testing.assert_allclose(one[name], other[name], atol=1e-12)


def test_pacf_is_their_biased_one() -> None:
    da = field()
    want = stattools.pacf(da.values[:, 1, 2], nlags=NLAGS, method="ldbiased")
    np.testing.assert_allclose(pacf(da, NLAGS).pacf[:, 1, 2], want, atol=1e-12)


def test_bartletts_bands_are_theirs() -> None:
    da = field()
    found = acf(da, NLAGS)
    rho, interval = theirs(da.values[:, 0, 0], alpha=0.05, result_object=False, qstat=False)[:2]
    np.testing.assert_allclose(found.band[:, 0, 0], interval[:, 1] - rho, atol=1e-12)
    partial, interval = stattools.pacf(da.values[:, 0, 0], nlags=NLAGS, method="ldb", alpha=0.05)[:2]
    np.testing.assert_allclose(pacf(da, NLAGS).band[:, 0, 0], interval[:, 1] - partial, atol=1e-12)


def test_white_noise_stays_in_its_bands() -> None:
    found = acf(field(days=2000, phi=0.0, seed=4), 30)
    outside = (np.abs(found.acf) > found.band).isel(lag=slice(1, None)).mean()
    assert 0.025 < float(outside) < 0.08


def test_an_autoregressive_process_is_recognised() -> None:
    da = field(days=4000, phi=0.7)
    np.testing.assert_allclose(acf(da, 5, reduce="pooled").acf, 0.7 ** np.arange(6), atol=0.02)
    np.testing.assert_allclose(pacf(da, 5, reduce="pooled").pacf, [1, 0.7, 0, 0, 0, 0], atol=0.02)


class TestReduce:
    def test_pooled_is_the_ratio_of_sums(self) -> None:
        da = field(gaps=0.2, members=2)
        a = (da - da.mean("time")).fillna(0.0).values
        S = [(a[:, : 60 - k] * a[:, k:]).sum() for k in range(NLAGS + 1)]
        np.testing.assert_allclose(acf(da, NLAGS, reduce="pooled").acf, np.array(S) / S[0], atol=1e-12)

    def test_pooled_weighs_by_area(self) -> None:
        da = field().rename(y="lat", x="lon").assign_coords(lat=[0.0, 30.0, 60.0])
        area = np.diff(np.sin(np.deg2rad([-15.0, 15.0, 45.0, 75.0])))
        a = (da - da.mean("time")).values
        S = [np.einsum("tij,tij,i", a[: 60 - k], a[k:], area) for k in range(NLAGS + 1)]
        np.testing.assert_allclose(acf(da, NLAGS, reduce="pooled").acf, np.array(S) / S[0], atol=1e-12)

    def test_mean_is_the_series_of_means(self) -> None:
        da = field(members=2)
        found = acf(da, NLAGS, reduce="mean").acf
        assert found.dims == ("lag", "realization")
        want = theirs(da.values[1].mean(axis=(1, 2)))
        np.testing.assert_allclose(found[:, 1], want, atol=1e-12)

    def test_the_three_differ_where_space_matters(self) -> None:
        """Slow common weather under fast noise: the mean remembers more than the pixels do."""
        da = field(phi=0.0, days=500)
        slow = field(phi=0.9, days=500, seed=7).isel(y=0, x=0)
        both = da + slow
        lag = {r: float(acf(both, 1, reduce=r).acf[1]) for r in ("pooled", "mean")}
        assert lag["mean"] > lag["pooled"] + 0.2

    @pytest.mark.parametrize("reduce", ["pixel", "pooled", "mean"])
    def test_lazy_is_lazy_and_the_same(self, reduce) -> None:
        da = field(gaps=0.1, members=2)
        for function in (acf, pacf, lag_curves):
            eager, lazy = function(da, 4, reduce=reduce), function(da.chunk(time=7, y=2), 4, reduce=reduce)
            assert all(v.chunks is not None for v in lazy.data_vars.values())
            xr.testing.assert_allclose(lazy.compute(), eager, rtol=1e-11)

    def test_order_and_direction_of_dimensions(self) -> None:
        da = field(gaps=0.1)
        turned = da.isel(y=slice(None, None, -1)).transpose("x", "time", "y")
        xr.testing.assert_allclose(acf(turned, 4).acf.sortby("y").transpose("lag", "y", "x"), acf(da, 4).acf)
        xr.testing.assert_allclose(acf(turned, 4, reduce="pooled"), acf(da, 4, reduce="pooled"))


class TestPersistence:
    def test_pooled_scores_are_the_array_scores(self) -> None:
        da = field(gaps=0.2) * xr.DataArray([1.0, 2.0, 5.0], dims="y")
        found = lag_curves(da, 5)
        for k in range(1, 6):
            before, after = da.values[:-k], da.values[k:]
            assert float(found.rmse[k]) == pytest.approx(skill.rmse(before, after), rel=1e-10)
            assert float(found.r2[k]) == pytest.approx(skill.r2(before, after), rel=1e-9)
            assert float(found.r2_corr[k]) == pytest.approx(skill.r2_corr(before, after), rel=1e-9)
        assert found.rmse.attrs["units"] == "K"

    def test_of_each_pixel(self) -> None:
        da = field()
        found = lag_curves(da, 3, reduce="pixel")
        x, y = da.values[:-3, 2, 1], da.values[3:, 2, 1]
        assert float(found.r2[3, 2, 1]) == pytest.approx(skill.r2(x, y), rel=1e-10)
        assert float(found.r2_corr[3, 2, 1]) == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2, rel=1e-10)

    def test_at_lag_zero_it_is_perfect(self) -> None:
        found = lag_curves(field(gaps=0.3), 2).isel(lag=0)
        assert [float(found[k]) for k in ("rmse", "r2", "r2_corr")] == pytest.approx([0, 1, 1], abs=1e-12)

    def test_white_noise_has_r2_minus_one(self) -> None:
        found = lag_curves(field(days=3000, phi=0.0), 2)
        assert float(found.r2[2]) == pytest.approx(-1.0, abs=0.05)
        assert float(found.r2_corr[2]) < 1e-3


class TestEffectiveSampleSize:
    @pytest.mark.parametrize("phi", [0.0, 0.5, 0.8])
    def test_of_an_autoregressive_process(self, phi: float) -> None:
        found = effective_sample_size(field(days=5000, phi=phi), nlags=100, reduce="pooled")
        assert float(found.decorrelation_time) == pytest.approx((1 + phi) / (1 - phi), rel=0.12)
        assert float(found.effective_sample_size) <= 5000 == float(found.valid)
        product = found.effective_sample_size * found.decorrelation_time
        assert float(product) == pytest.approx(5000)

    def test_it_tells_the_variance_of_means(self) -> None:
        """Var(mean) = Var / n_eff, over many series."""
        rng = np.random.default_rng(3)
        e = rng.normal(size=(400, 3000))
        x = np.zeros_like(e)
        for t in range(400):
            x[t] = 0.6 * (x[t - 1] if t else 0) + np.sqrt(1 - 0.36) * e[t]
        cells = {"time": np.arange(400), "y": np.arange(3000.0), "x": [0.0]}
        da = xr.DataArray(x[:, :, None], cells, ("time", "y", "x"))
        n = float(effective_sample_size(da, nlags=30, reduce="pooled").effective_sample_size)
        assert x.mean(axis=0).var() * n == pytest.approx(1.0, rel=0.1)

    def test_gaps_do_not_weaken_it(self) -> None:
        whole, holes = (
            effective_sample_size(field(days=3000, gaps=g), nlags=40, reduce="pooled") for g in (0.0, 0.4)
        )
        assert float(holes.decorrelation_time) == pytest.approx(float(whole.decorrelation_time), rel=0.1)

    def test_by_hand(self) -> None:
        da = field(days=6)
        da[:] = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])[:, None, None]
        rho = stattools.acf(np.arange(6.0), adjusted=True, nlags=3, fft=False)
        tau = 1 + 2 * sum(rho[k] * (1 - k / 6) for k in (1, 2) if rho[k] > 0)
        assert rho[1] > 0
        found = effective_sample_size(da, nlags=2)
        assert float(found.decorrelation_time[0, 0]) == pytest.approx(tau, rel=1e-12)


class TestPlainCases:
    def test_constant_and_empty_pixels_are_nan_and_the_others_not(self) -> None:
        da = field()
        da[:, 0, 0] = 0.1
        da[:, 1, 1] = np.nan
        for found in (acf(da, 3), pacf(da, 3), effective_sample_size(da), lag_curves(da, 3, reduce="pixel")):
            for name in set(found.data_vars) & {"acf", "pacf", "effective_sample_size", "r2", "r2_corr"}:
                bad = np.isnan(found[name].transpose("y", "x", ...).values.reshape(3, 4, -1)).any(axis=-1)
                assert {tuple(map(int, at)) for at in np.argwhere(bad)} == {(0, 0), (1, 1)}

    def test_an_empty_pixel_does_not_harm_the_pool(self) -> None:
        da = field(members=2)
        holes = da.copy()
        holes[:, :, 1, 1] = np.nan
        kept = holes.stack(cell=("realization", "y", "x")).dropna("cell", how="all").values
        a = kept - kept.mean(axis=0)
        want = (a[1:] * a[:-1]).sum() / (a * a).sum()
        assert float(acf(holes, 1, reduce="pooled").acf[1]) == pytest.approx(want, rel=1e-12)
        assert float(acf(da * np.nan, 1, reduce="pooled").acf.isnull().all())

    def test_seasons_are_taken_out_before(self) -> None:
        da = field(days=730, phi=0.0)
        season = 10 * np.cos(2 * np.pi * da.time.dt.dayofyear / 365)
        seen = float(acf(da + season, 30, reduce="pooled").acf[30])
        gone = float(acf(da + season, 30, reduce="pooled", deseason="dayofyear").acf[30])
        assert seen > 0.7
        assert abs(gone) < 0.05

    def test_attributes(self) -> None:
        found = acf(field(), 2, reduce="pooled", deseason="month", adjusted=True)
        assert found.attrs == {"reduce": "pooled", "deseason": "month", "estimate": "adjusted"}
        assert found.lag.attrs["units"] == "steps"

    def test_refusals_come_through(self) -> None:
        for function in (acf, pacf, lag_curves):
            with pytest.raises(ValueError, match="nlags is 60"):
                function(field(), 60)
        with pytest.raises(ValueError, match="reduce is 'none'"):
            effective_sample_size(field(), reduce="none")
