"""Sums over pairs by lag, against loops; pooling, seasons and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics.lags import moments, series

LAT, LON = np.array([10.0, 11.0, 12.0]), np.array([0.0, 1.0])


def field(days: list[int], members: int = 2, gaps: float = 0.2, seed: int = 0) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    values = 5 + np.cumsum(rng.normal(size=(members, len(days), 3, 2)), axis=1)
    values[rng.random(values.shape) < gaps] = np.nan
    time = np.datetime64("2021-06-01", "ns") + np.array(days) * np.timedelta64(1, "D")
    cells = {"realization": np.arange(members), "time": time, "lat": LAT, "lon": LON}
    return xr.DataArray(values, cells, ("realization", "time", "lat", "lon"))


GAPPY = [0, 1, 2, 3, 5, 6, 7, 8, 9, 13, 14, 15]


def loop(x: np.ndarray, days: list[int], lag: int) -> np.ndarray:
    """Sums of one series, about its mean."""
    a = x - np.nanmean(x)
    at = {d: v for d, v in zip(days, a, strict=True) if np.isfinite(v)}
    pairs = np.array([(v, at[d + lag]) for d, v in at.items() if d + lag in at]).reshape(-1, 2)
    p, q = pairs.T
    return np.array([len(p), p.sum(), q.sum(), (p * p).sum(), (q * q).sum(), (p * q).sum()])


@pytest.mark.parametrize("chunks", [None, {"time": 3}, {"lat": 1, "realization": 1}])
def test_of_each_pixel(chunks) -> None:
    da = field(GAPPY)
    s = moments(series(da if chunks is None else da.chunk(chunks), "pixel", None, None), 6)
    s = {k: v.compute() for k, v in s.items()}
    assert s["n"].dims == ("lag", "realization", "lat", "lon")
    for lag in range(7):
        for m, i, j in np.ndindex(2, 3, 2):
            got = [float(s[k][lag, m, i, j]) for k in ("n", "x", "y", "xx", "yy", "xy")]
            np.testing.assert_allclose(got, loop(da.values[m, :, i, j], GAPPY, lag), atol=1e-10)


def test_pooled_about_each_pixels_mean() -> None:
    da = field(GAPPY)
    s = moments(series(da, "pooled", None, None), 4, about_mean=True)
    area = np.diff(np.sin(np.deg2rad([9.5, 10.5, 11.5, 12.5])))
    area = np.repeat(area / area.mean(), 2).reshape(3, 2)
    for lag in range(5):
        total = sum(area[i, j] * loop(da.values[m, :, i, j], GAPPY, lag) for m, i, j in np.ndindex(2, 3, 2))
        got = [float(s[k][lag]) for k in ("n", "x", "y", "xx", "yy", "xy")]
        np.testing.assert_allclose(got, total, rtol=1e-9, atol=1e-9)
    counts = np.isfinite(da.values).sum(axis=1)
    assert float(s["length"]) == pytest.approx((counts * area).sum() / (2 * area.sum()))


def test_pooled_about_one_mean() -> None:
    """All pairs of all pixels as one sample, their variance between pixels included."""
    da = field(GAPPY).rename(lat="y", lon="x")
    s = moments(series(da, "pooled", None, None), 2)
    v = da.values
    grand = np.nanmean(v)
    days = np.array(GAPPY)
    i, j = np.nonzero(days[None] - days[:, None] == 2)
    p, q = v[:, i] - grand, v[:, j] - grand
    both = np.isfinite(p) & np.isfinite(q)
    want = [
        both.sum(),
        p[both].sum(),
        q[both].sum(),
        (p[both] ** 2).sum(),
        (q[both] ** 2).sum(),
        (p * q)[both].sum(),
    ]
    got = [float(s[k][2]) for k in ("n", "x", "y", "xx", "yy", "xy")]
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def test_area_mean_is_weighted_and_of_each_member() -> None:
    da = field(GAPPY)
    of = series(da, "mean", None, None)
    assert of.values.dims == ("realization", "time")
    area = xr.DataArray(np.diff(np.sin(np.deg2rad([9.5, 10.5, 11.5, 12.5]))), {"lat": LAT}, "lat")
    xr.testing.assert_allclose(of.values, da.weighted(area).mean(["lat", "lon"]))


def test_lazy_stays_lazy_until_asked() -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    da = field(GAPPY).chunk(time=4)
    da.data = da.data.map_blocks(fail, dtype=float, meta=np.zeros((0,) * 4))
    for reduce in ("pixel", "pooled", "mean"):
        assert moments(series(da, reduce, None, None), 3)["xy"].chunks is not None


class TestSeasons:
    def test_means_of_months_are_taken_out(self) -> None:
        da = field(list(range(60)), gaps=0.1)
        of = series(da, "pixel", "month", None)
        assert of.values.dims == da.dims
        np.testing.assert_allclose(of.values.groupby("time.month").mean(), 0.0, atol=1e-12)
        np.testing.assert_allclose(
            of.values.sel(time="2021-06"), da.sel(time="2021-06") - da.sel(time="2021-06").mean("time")
        )

    def test_lazy_alike(self) -> None:
        da = field(list(range(60)))
        want, got = (series(d, "pixel", "month", None).values for d in (da, da.chunk(time=7)))
        assert got.chunks is not None
        xr.testing.assert_allclose(got.compute(), want)

    def test_a_single_one_of_a_kind(self) -> None:
        with pytest.raises(ValueError, match=r"deseason='dayofyear': 152 has one time.*'month'"):
            series(field(GAPPY), "pixel", "dayofyear", None)

    def test_words_and_dates(self) -> None:
        with pytest.raises(ValueError, match="deseason is 'week'"):
            series(field(GAPPY), "pixel", "week", None)
        with pytest.raises(ValueError, match="needs dates"):
            series(field(GAPPY).assign_coords(time=np.arange(12)), "pixel", "month", None)


class TestRefusals:
    def test_reduce(self) -> None:
        with pytest.raises(ValueError, match="reduce is 'all'"):
            series(field(GAPPY), "all", None, None)

    def test_no_time(self) -> None:
        with pytest.raises(ValueError, match="no dimension is time"):
            series(field([0]).isel(time=0, drop=True), "pixel", None, None)

    def test_irregular_time(self) -> None:
        da = field(GAPPY)
        uneven = da.assign_coords(time=da.time.values + np.arange(12) ** 2 * np.timedelta64(1, "h"))
        with pytest.raises(ValueError, match=r"not regular.*resample.*asfreq"):
            series(uneven, "pixel", None, None)

    @pytest.mark.parametrize("nlags", [0, 16])
    def test_lags(self, nlags: int) -> None:
        with pytest.raises(ValueError, match=f"nlags is {nlags}: expected 1 to 15"):
            moments(series(field(GAPPY), "pixel", None, None), nlags)

    def test_one_time(self) -> None:
        with pytest.raises(ValueError, match="expected 1 to 0"):
            moments(series(field([0]), "pixel", None, None), 1)

    def test_infinite_values_when_read(self) -> None:
        da = field(GAPPY)
        da[0, 0, 0, :] = np.inf
        with pytest.raises(ValueError, match="2 values are infinite"):
            moments(series(da, "pixel", None, None), 1)
        lazy = moments(series(da.chunk(time=2), "pixel", None, None), 1)["xy"]
        with pytest.raises(ValueError, match="2 values are infinite"):
            lazy.compute()
