"""The Wasserstein distance of fields: scipy and the laws through labels, grids, chunks and days."""

from __future__ import annotations

from typing import ClassVar

import dask
import numpy as np
import pytest
import xarray as xr
from scipy.stats import iqr, rankdata, wasserstein_distance

from xdownscale.diagnostics import comparison, distance
from xdownscale.diagnostics.distance import wasserstein
from xdownscale.scaling import Log, Sqrt

DAYS, LAT, LON = 24, np.arange(30.0, 36.0), np.arange(50.0, 58.0)
TIME = np.datetime64("2021-06-01", "ns") + np.arange(DAYS) * np.timedelta64(1, "D")
AREA = np.diff(np.sin(np.deg2rad(np.concatenate([LAT - 0.5, [LAT[-1] + 0.5]]))))


def field(seed: int, by: float = 0.0, name: str = "aod", gaps: float = 0.1, **attrs) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    values = rng.lognormal(-2 + by, 1, (DAYS, LAT.size, LON.size))
    values[rng.random(values.shape) < gaps] = np.nan
    cells = {"time": TIME, "lat": LAT, "lon": LON}
    return xr.DataArray(values, cells, ("time", "lat", "lon"), name=name, attrs={"units": "1"} | attrs)


def on_plane(da: xr.DataArray) -> xr.DataArray:
    names = {"lat": "y", "lon": "x"}
    return da.rename(names)


def by_scipy(x: xr.DataArray, y: xr.DataArray, plain: bool = False) -> float:
    flat = [(d.values.ravel(), np.broadcast_to(AREA[:, None], d.shape).ravel()) for d in (x, y)]
    kept = [(v[np.isfinite(v)], None if plain else w[np.isfinite(v)]) for v, w in flat]
    (x_, wx), (y_, wy) = kept
    return float(wasserstein_distance(x_, y_, wx, wy))


A, B = field(1), field(2, 0.2)


class TestTotal:
    def test_area_weighted_is_scipys(self) -> None:
        found = wasserstein(A, B)
        assert float(found.w1) == pytest.approx(by_scipy(A, B), abs=1e-9)
        assert float(found.w1_bound) == float(found.shape_bound) == 0.0
        weighted = [d.weighted(xr.DataArray(AREA, {"lat": LAT}, "lat")).mean() for d in (A, B)]
        assert float(found["shift"]) == pytest.approx(float(weighted[0] - weighted[1]), rel=1e-12)
        assert float(found.parts.sum()) == pytest.approx(float(found.w1), rel=1e-12)
        np.testing.assert_array_equal(found.valid, [A.notnull().sum(), B.notnull().sum()])

    def test_cells_alike_are_scipys_without_weights(self) -> None:
        plain = by_scipy(A, B, plain=True)
        assert float(wasserstein(A, B, weights=None).w1) == pytest.approx(plain, abs=1e-9)
        assert float(wasserstein(on_plane(A), on_plane(B)).w1) == pytest.approx(plain, abs=1e-9)

    def test_ones_own_weights(self) -> None:
        w = xr.DataArray(np.random.default_rng(0).integers(0, 3, (LAT.size, LON.size)), dims=("lat", "lon"))
        w = w.assign_coords(lat=LAT, lon=LON)
        repeated = [
            np.repeat(d.values[:, i, j], int(w[i, j])) for d in (A, B) for i, j in np.ndindex(w.shape)
        ]
        half = len(repeated) // 2
        x, y = np.concatenate(repeated[:half]), np.concatenate(repeated[half:])
        want = wasserstein_distance(x[np.isfinite(x)], y[np.isfinite(y)])
        assert float(wasserstein(A, B, weights=w).w1) == pytest.approx(want, abs=1e-9)

    def test_nothing_of_the_labels_matters(self) -> None:
        turned = (
            A.isel(lat=slice(None, None, -1))
            .transpose("lon", "time", "lat")
            .rename(lat="latitude", lon="longitude")
        )
        assert float(wasserstein(turned, B).w1) == pytest.approx(float(wasserstein(A, B).w1), rel=1e-12)

    def test_shifted_copy_is_the_shift_exactly(self) -> None:
        found = wasserstein(A + 0.25, A)
        assert float(found.w1) == pytest.approx(0.25, abs=1e-14)
        assert float(found["shape"]) == pytest.approx(0.0, abs=1e-14)
        np.testing.assert_allclose(found.parts, 0.25 * np.array([0.5, 0.4, 0.09, 0.01]), atol=1e-14)

    def test_symmetric_and_zero_on_itself(self) -> None:
        there, back = wasserstein(A, B), wasserstein(B, A)
        assert float(there.w1) == pytest.approx(float(back.w1), rel=1e-13)
        assert float(there["shift"]) == -float(back["shift"])
        assert float(wasserstein(A, A).w1) == 0.0

    def test_members_and_a_single_field(self) -> None:
        members = xr.concat([A, B], "realization")
        got = float(wasserstein(members, B).w1)
        both = xr.concat([A, B.assign_coords(time=TIME + np.timedelta64(90, "D"))], "time")
        assert got == pytest.approx(by_scipy(both, B), abs=1e-9)
        one = A.isel(time=0, drop=True)
        assert float(wasserstein(one, B).w1) == pytest.approx(by_scipy(one, B), abs=1e-9)

    def test_attributes_and_units(self) -> None:
        found = wasserstein(field(1, units="kg m-2"), field(2, units="kg m-2"))
        assert found.w1.attrs["units"] == found.quantiles.attrs["units"] == "kg m-2"
        assert found.attrs | {"x": 1} == found.attrs | {
            "variable": "aod",
            "normalize": "None",
            "method": "exact",
            "x": 1,
        }
        scaled = wasserstein(field(1, units="kg m-2"), field(2, units="kg m-2"), normalize="std")
        assert (scaled.w1.attrs["units"], scaled.scale.attrs["units"]) == ("1", "kg m-2")

    def test_quantiles_are_those_of_the_values(self) -> None:
        found = wasserstein(on_plane(A), on_plane(B), weights=None).quantiles
        values = A.values[np.isfinite(A.values)]
        want = np.quantile(values, found.probability, method="inverted_cdf")
        np.testing.assert_array_equal(found.sel(sample="da"), want)


class TestScales:
    x, y = (v.values[np.isfinite(v.values)] for v in (field(1, gaps=0), field(2, 0.2, gaps=0)))
    pair = (on_plane(field(1, gaps=0)), on_plane(field(2, 0.2, gaps=0)))
    pooled = np.concatenate([x, y])

    @pytest.mark.parametrize(
        ("normalize", "scale"),
        [
            ("minmax", np.ptp(pooled)),
            ("std", pooled.std()),
            ("iqr", iqr(pooled, interpolation="inverted_cdf")),
        ],
    )
    def test_equal_sizes_are_scaled_by_the_pooled_values(self, normalize, scale: float) -> None:
        found = wasserstein(*self.pair, normalize=normalize)
        assert float(found.scale) == pytest.approx(scale, rel=1e-12)
        assert float(found.w1) == pytest.approx(wasserstein_distance(self.x, self.y) / scale, abs=1e-9)
        assert float(found.parts.sum()) == pytest.approx(float(found.w1), rel=1e-12)

    def test_ranks(self) -> None:
        rank = (rankdata(self.pooled) - 0.5) / self.pooled.size
        want = wasserstein_distance(rank[: self.x.size], rank[self.x.size :])
        assert float(wasserstein(*self.pair, normalize="rank").w1) == pytest.approx(want, abs=1e-9)

    def test_the_papers_figure(self) -> None:
        """Joint minimum and maximum of log10."""
        found = wasserstein(*self.pair, normalize="minmax", transform="log10")
        z = np.log10(self.pooled)
        z = (z - z.min()) / np.ptp(z)
        assert float(found.w1) == pytest.approx(
            wasserstein_distance(z[: self.x.size], z[self.x.size :]), abs=1e-9
        )

    def test_scale_invariance(self) -> None:
        for normalize in ("minmax", "std", "iqr", "rank"):
            one = wasserstein(A, B, normalize=normalize)
            ten = wasserstein(10 * A, 10 * B, normalize=normalize)
            assert float(one.w1) == pytest.approx(float(ten.w1), rel=1e-10)

    def test_transforms_of_the_package(self) -> None:
        x, y = self.pair
        floored = wasserstein(x, y, transform=Log(0.0, float(np.log(10)), 1e-3))
        want = wasserstein_distance(np.log10(self.x + 1e-3), np.log10(self.y + 1e-3))
        assert float(floored.w1) == pytest.approx(want, abs=1e-9)
        rooted = wasserstein(x, y, transform=Sqrt(0.0, 1.0))
        assert float(rooted.w1) == pytest.approx(wasserstein_distance(self.x**0.5, self.y**0.5), abs=1e-9)
        assert "Sqrt" in rooted.attrs["transform"]


class TestLazy:
    """With one value so large that each bin holds several of the others."""

    a, b = A.copy(), B.copy()
    a[3, 2, 1] = 900.0
    b[5, 0, 2] = 800.0
    chunks: ClassVar = {"time": 5, "lat": 4}

    @pytest.mark.parametrize("normalize", [None, "minmax", "std", "iqr", "rank"])
    def test_within_the_bound_of_the_exact(self, normalize) -> None:
        exact = wasserstein(self.a, self.b, normalize=normalize)
        lazy = wasserstein(self.a.chunk(self.chunks), self.b.chunk(time=7), normalize=normalize)
        assert lazy.attrs["method"].startswith("histograms")
        assert 0 < float(lazy.w1_bound) < 0.8 * float(exact.w1)
        assert abs(float(lazy.w1) - float(exact.w1)) <= float(lazy.w1_bound)
        assert abs(float(lazy["shape"]) - float(exact["shape"])) <= float(lazy.shape_bound)
        assert np.abs(lazy.parts - exact.parts).max() <= float(lazy.w1_bound)
        np.testing.assert_array_equal(lazy.valid, exact.valid)

    def test_chunks_make_no_difference(self) -> None:
        one = wasserstein(self.a.chunk(time=1), self.b.chunk(time=1))
        other = wasserstein(self.a.chunk(lat=2, lon=3), self.b.chunk(time=-1))
        for name in ("w1", "shape", "w1_bound", "parts"):
            np.testing.assert_allclose(one[name], other[name], rtol=1e-11)

    def test_large_arrays_in_memory_are_binned_alike(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lazy = wasserstein(self.a.chunk(self.chunks), self.b.chunk(self.chunks))
        monkeypatch.setattr(distance, "_MOST", self.a.size - 1)
        large = wasserstein(self.a, self.b)
        assert large.attrs["method"].startswith("histograms")
        np.testing.assert_allclose(large.w1, lazy.w1, rtol=1e-12)

    def test_every_block_is_read_once(self) -> None:
        blocks = []

        def read(block: np.ndarray) -> np.ndarray:
            blocks.append(1)
            return block

        lazy = self.a.chunk(time=6).copy()
        lazy.data = lazy.data.map_blocks(read, dtype=float, meta=np.zeros((0, 0, 0)))
        with dask.config.set(scheduler="synchronous"):
            wasserstein(lazy, self.b.chunk(time=6), normalize="std")
        assert len(blocks) == 4

    def test_days_are_exact_and_read_in_their_chunks(self) -> None:
        exact, lazy = (
            wasserstein(self.a, self.b, per="time"),
            wasserstein(self.a.chunk(time=5), self.b.chunk(time=3), per="time"),
        )
        np.testing.assert_allclose(lazy.w1, exact.w1, rtol=1e-13)
        half = wasserstein(self.a, self.b.chunk(time=3), per="time")
        np.testing.assert_array_equal(half.w1, exact.w1)
        assert float(lazy.w1_bound.max()) == 0.0

    def test_covariate(self) -> None:
        given = xr.DataArray(np.random.default_rng(0).normal(size=A.shape), A.coords, A.dims)
        edges_exact = wasserstein(self.a, self.b, given=given, bins=4)
        lazy = wasserstein(self.a.chunk(time=5), self.b.chunk(time=5), given=given, bins=4)
        np.testing.assert_allclose(lazy.w1, edges_exact.w1, atol=float(lazy.w1_bound.max()))


class TestGroups:
    def test_each_day_alone(self) -> None:
        found = wasserstein(A, B, per="time")
        assert found.w1.dims == ("time",)
        np.testing.assert_array_equal(found.time, TIME)
        for day in (0, 7, DAYS - 1):
            want = by_scipy(A.isel(time=day), B.isel(time=day))
            assert float(found.w1[day]) == pytest.approx(want, abs=1e-9)
        np.testing.assert_allclose(found.parts.sum("part"), found.w1, rtol=1e-12)

    def test_days_share_one_scale(self) -> None:
        plain, scaled = wasserstein(A, B, per="time"), wasserstein(A, B, per="time", normalize="minmax")
        assert float(scaled.scale) == pytest.approx(
            float(wasserstein(A, B, normalize="minmax").scale), rel=1e-12
        )
        np.testing.assert_allclose(scaled.w1 * scaled.scale, plain.w1, rtol=1e-12)

    def test_a_day_without_values_is_nan(self) -> None:
        holes = A.copy()
        holes[3] = np.nan
        found = wasserstein(holes, B, per="time")
        assert np.isnan(found.w1[3])
        assert found.valid[3, 0] == 0
        assert found.w1.notnull().sum() == DAYS - 1

    def test_bins_of_a_covariate(self) -> None:
        height = xr.DataArray(
            np.arange(48.0).reshape(6, 8), {"lat": LAT, "lon": LON}, ("lat", "lon"), attrs={"units": "m"}
        )
        found = wasserstein(A, B, given=height, bins=3)
        np.testing.assert_array_equal(found.high[:-1], found.low[1:])
        assert (float(found.low[0]), float(found.high[-1])) == (0.0, 47.0)
        assert found.low.attrs["units"] == "m"
        for k, (low, high) in enumerate(zip(found.low.values, found.high.values, strict=True)):
            inside = (height >= low) & ((height < high) | (k == 2))
            assert float(found.w1[k]) == pytest.approx(by_scipy(A.where(inside), B.where(inside)), abs=1e-9)

    def test_bins_hold_equal_areas(self) -> None:
        given = xr.DataArray(np.random.default_rng(5).normal(size=A.shape), A.coords, A.dims)
        found = wasserstein(field(1, gaps=0), field(2, gaps=0), given=given, bins=8)
        share = [
            float((((given >= a) & (given < b)) * xr.DataArray(AREA, dims="lat")).sum())
            for a, b in zip(found.low, found.high, strict=True)
        ]
        np.testing.assert_allclose(np.array(share) / sum(share), 1 / 8, atol=2e-3)

    def test_ties_leave_fewer_bins_and_a_constant_one(self) -> None:
        land = xr.DataArray((LON > 53).astype(float), {"lon": LON}, ("lon",))
        found = wasserstein(A, B, given=land, bins=10)
        assert found.sizes["bin"] == 1  # 0 and 1 are the two ends of it
        assert float(found.w1[0]) == pytest.approx(float(wasserstein(A, B).w1), rel=1e-12)
        assert wasserstein(A, B, given=0 * land, bins=3).sizes["bin"] == 1

    def test_a_covariate_that_explains_the_difference(self) -> None:
        """Equal within each stratum, different in total."""
        dry = xr.DataArray(
            np.repeat([[0.0, 1.0]], 6, 0).repeat(4, 1), {"lat": LAT, "lon": LON}, ("lat", "lon")
        )
        more = dry.where(dry.lon < 56, 0.5)
        one, other = (xr.ones_like(A) * d for d in (dry, dry))
        found = wasserstein(one, other, given=more, bins=3)
        assert float(np.nanmax(found.w1)) == 0.0


class TestSupport:
    fine = field(1, gaps=0)
    coarse = fine.coarsen(lat=2, lon=2).mean() * 1.0

    def test_common_cells_of_a_plane_agree_exactly(self) -> None:
        both = wasserstein(on_plane(self.fine), on_plane(self.coarse), support="both")
        assert both.support.values.tolist() == ["native", "common"]
        assert float(both.w1.sel(support="common")) < 1e-15
        native = wasserstein_distance(self.fine.values.ravel(), self.coarse.values.ravel())
        assert float(both.w1.sel(support="native")) == pytest.approx(native, abs=1e-9)
        assert both.valid.sel(support="common").values.tolist() == [DAYS * 12, DAYS * 12]

    def test_lazy_common_is_the_same(self) -> None:
        other = self.coarse + 0.05
        exact = wasserstein(self.fine, other, support="common")
        lazy = wasserstein(self.fine.chunk(time=5, lat=2), other.chunk(time=7), support="coarse")
        assert abs(float(lazy.w1 - exact.w1)) <= float(lazy.w1_bound) + 1e-12
        assert lazy.support == "common"

    def test_native_of_two_grids_is_weighted_by_area(self) -> None:
        x, y = self.fine.values.ravel(), self.coarse.values.ravel()
        coarse_area = AREA.reshape(3, 2).sum(axis=1)
        wx = np.broadcast_to(AREA[:, None], self.fine.shape).ravel()
        wy = np.broadcast_to(coarse_area[:, None], self.coarse.shape).ravel()
        got = float(wasserstein(self.fine, self.coarse).w1)
        assert got == pytest.approx(wasserstein_distance(x, y, wx, wy), abs=1e-9)


class TestNull:
    def test_against_fields_of_one_process_and_of_another(self) -> None:
        same = wasserstein(field(1, gaps=0), field(2, gaps=0), null=199)
        other = wasserstein(field(1, gaps=0), field(2, 0.3, gaps=0), null=199)
        assert float(same.p_value) > 0.05
        assert float(other.p_value) < 0.05
        assert float(other.w1) > 1.5 * float(other.null_95)
        assert same.null_w1.sizes["deal"] == 199
        assert float(same.null_mean) == pytest.approx(float(same.null_w1.mean()))
        assert float(same.null_95) == pytest.approx(np.quantile(same.null_w1, 0.95))

    @pytest.mark.parametrize("normalize", ["std", "rank"])
    def test_scaled_alike(self, normalize) -> None:
        plain, scaled = (wasserstein(A, B, null=50, normalize=n, block=4) for n in (None, normalize))
        if normalize == "std":
            np.testing.assert_allclose(scaled.null_w1 * scaled.scale, plain.null_w1, rtol=1e-10)
        assert 0.3 < float(scaled.null_95 / scaled.w1) / float(plain.null_95 / plain.w1) < 3
        assert int(scaled.block) == 4

    def test_lazy_deals_the_same(self) -> None:
        eager, lazy = wasserstein(A, B, null=30), wasserstein(A.chunk(time=5), B.chunk(lat=3), null=30)
        np.testing.assert_allclose(lazy.null_w1, eager.null_w1, rtol=1e-9)
        assert int(lazy.block) == int(eager.block)

    def test_members_of_a_day_stay_together(self) -> None:
        """A day told ten times over tells no more: the same null."""
        ten = xr.concat([A] * 10, "realization")
        one, many = wasserstein(A, B, null=40, seed=3), wasserstein(ten, B, null=40, seed=3)
        np.testing.assert_allclose(many.null_w1, one.null_w1, rtol=1e-9)

    def test_gaps_in_time_are_no_neighbours(self) -> None:
        late = A.assign_coords(time=np.concatenate([TIME[:12], TIME[12:] + np.timedelta64(300, "D")]))
        assert float(wasserstein(late, B, null=9, block=3).p_value) > 0

    def test_both_supports(self) -> None:
        fine = field(1, gaps=0)
        coarse = fine.coarsen(lat=2, lon=2).mean()
        found = wasserstein(on_plane(fine), on_plane(coarse), support="both", null=20)
        assert found.p_value.dims == ("support",)
        assert float(found.p_value.sel(support="common")) == 1.0


class TestRefusals:
    @pytest.mark.parametrize("lazy", [False, True])
    def test_infinite_values(self, lazy: bool) -> None:
        bad = A.copy()
        bad[2, 3, 4] = np.inf
        bad[5, 0, 0] = -np.inf
        bad = bad.chunk(time=2) if lazy else bad
        with pytest.raises(ValueError, match="other holds 2 infinite values"):
            wasserstein(B, bad)
        with pytest.raises(ValueError, match="da holds 2 infinite values"):
            wasserstein(bad, B, per="time")

    @pytest.mark.parametrize("lazy", [False, True])
    def test_zeros_of_log10_are_counted(self, lazy: bool) -> None:
        bad = A.fillna(1.0)
        bad[:, 0, :3] = 0.0
        bad[0, 1, 0] = -1.0
        bad = bad.chunk(time=2) if lazy else bad
        with pytest.raises(
            ValueError, match=rf"not defined for {3 * DAYS + 1} values of da.*Log\(0.0, np.log\(10\)"
        ):
            wasserstein(bad, B, transform="log10")

    @pytest.mark.parametrize("lazy", [False, True])
    def test_nothing_valid(self, lazy: bool) -> None:
        empty = A * np.nan
        with pytest.raises(ValueError, match="da has no valid value"):
            wasserstein(empty.chunk(time=4) if lazy else empty, B)
        with pytest.raises(ValueError, match="other has no valid value"):
            wasserstein(A, empty)
        none = xr.DataArray(np.zeros(6), {"lat": LAT}, ("lat",))
        with pytest.raises(ValueError, match="no valid value of positive weight"):
            wasserstein(A.chunk(time=4) if lazy else A, B, weights=none)

    def test_negative_weights(self) -> None:
        w = xr.DataArray(np.linspace(-1, 1, 6), {"lat": LAT}, ("lat",))
        with pytest.raises(ValueError, match="weights reach -1"):
            wasserstein(A, B, weights=w)
        with pytest.raises(ValueError, match="weights reach -1"):
            wasserstein(A.chunk(time=3), B, weights=w)

    def test_constant_fields_have_a_distance_but_no_scale(self) -> None:
        flat = xr.ones_like(A)
        assert float(wasserstein(flat, flat).w1) == 0.0
        assert float(wasserstein(flat + 2, flat).w1) == 2.0
        for normalize in ("minmax", "std", "iqr"):
            with pytest.raises(ValueError, match="spread to normalise by is 0"):
                wasserstein(flat, flat, normalize=normalize)

    def test_one_valid_cell_each(self) -> None:
        one, other = A.where(A.max() == A), B.where(B.max() == B)
        assert float(wasserstein(one, other).w1) == pytest.approx(abs(float(A.max() - B.max())))

    def test_units(self) -> None:
        with pytest.raises(ValueError, match="units differ"):
            wasserstein(field(1, units="1"), field(2, units="kg m-2"))

    def test_times_that_differ_by_day(self) -> None:
        with pytest.raises(ValueError, match="same times in both, found 24 and 20"):
            wasserstein(A, B[:20], per="time")
        with pytest.raises(ValueError, match="found None and 24"):
            wasserstein(A[0].drop_vars("time"), B, per="time")

    def test_null_needs_a_regular_time(self) -> None:
        with pytest.raises(ValueError, match="a field has no time"):
            wasserstein(A[0].drop_vars("time"), B, null=9)
        uneven = A.assign_coords(time=TIME + np.arange(DAYS) ** 2 * np.timedelta64(1, "h"))
        with pytest.raises(ValueError, match=r"not regular.*resample"):
            wasserstein(uneven, B, null=9)
        with pytest.raises(ValueError, match="smaller block="):
            wasserstein(A, B, null=9, block=12)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"normalize": "max"}, "normalize is 'max'"),
            ({"transform": "log"}, "transform is 'log'"),
            ({"per": "day"}, "per is 'day'"),
            ({"bins": 0}, "bins 0"),
            ({"null": -1}, "null -1"),
            ({"block": 0}, "block 0"),
            ({"per": "time", "normalize": "rank"}, "leave out per="),
            ({"per": "time", "null": 9}, "leave out per="),
            ({"given": A, "null": 9}, "leave out given="),
            ({"given": A, "per": "time"}, "one of them"),
            ({"given": A * np.nan}, "given has no valid value"),
        ],
    )
    def test_options(self, options, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            wasserstein(A, B, **options)

    def test_types(self) -> None:
        with pytest.raises(TypeError, match="transform is int"):
            wasserstein(A, B, transform=3)
        with pytest.raises(TypeError, match="given is ndarray"):
            wasserstein(A, B, given=A.values)


def test_scale_that_may_be_off_widens_the_bound() -> None:
    plain = comparison.Found(
        distance=wasserstein_found(2.0), bounds=(0.1, 0.2), valid=(1, 1), quantiles=np.zeros((2, 1))
    )
    off = plain.scaled(4.0, 1.0)
    assert off.distance.w1 == 0.5
    assert off.bounds == (pytest.approx(2.1 / 3 - 0.5), pytest.approx(2.2 / 3 - 0.5))
    assert plain.scaled(4.0, 4.0).bounds == (np.inf, np.inf)
    assert plain.scaled(4.0).bounds == (0.025, 0.05)


def wasserstein_found(w1: float) -> comparison.Distance:
    return comparison.Distance(w1, 0.0, w1, (w1, 0.0, 0.0, 0.0))
