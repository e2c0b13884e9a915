"""Scores against definitions, the library `scores`, and themselves in other chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr

from xdownscale.cf.raster import raster
from xdownscale.diagnostics import skill
from xdownscale.diagnostics.flatness import flat_probability
from xdownscale.diagnostics.verification import scores
from xdownscale.grid import G5NR, MERRA2, coarsening, refined, upsampling

if TYPE_CHECKING:
    from collections.abc import Callable

ALL = {
    "baselines": ("nearest", "bilinear", "bicubic", "conservative"),
    "thresholds": (0.1, 0.5),
    "quantiles": (0.5, 0.99),
    "windows": (1, 5, 9),
    "space": ("linear", "log"),
}


def holes(da: xr.DataArray, share: float, seed: int) -> xr.DataArray:
    return da.where(np.random.default_rng(seed).random(da.shape) > share)


class TestErrors:
    def test_a_known_offset(self, case: Callable) -> None:
        _, truth, _ = case()
        found = scores(truth + 0.25, truth).sel(source="prediction")
        for name in ("bias", "rmse", "mae", "crps"):
            assert float(found[name]) == pytest.approx(0.25, rel=1e-12)
        assert float(found.r2_corr) == pytest.approx(1.0, rel=1e-12)
        assert float(found.r2) == pytest.approx(1 - 0.0625 / _variance(truth), rel=1e-12)

    def test_a_known_factor_is_an_offset_in_log_space(self, case: Callable) -> None:
        _, truth, _ = case()
        twice = 2 * (truth + 0.01) - 0.01
        found = scores(twice, truth, space="log", floor=0.01).sel(source="prediction")
        assert float(found.bias) == pytest.approx(np.log(2), rel=1e-12)
        assert float(found.rmse) == pytest.approx(np.log(2), rel=1e-12)
        assert found.space.item() == "log"

    @pytest.mark.parametrize("space", ["linear", "log"])
    def test_all_days_and_gaps_by_the_array_kernels(self, case: Callable, space: str) -> None:
        """Daily sums put together are the scores of everything at once, cells missing in either left out."""
        prediction, truth, _ = case(days=5)
        prediction, truth = holes(prediction, 0.02, 1), holes(truth, 0.1, 2)
        found = scores(prediction, truth, space=space).sel(source="prediction")
        x, y = prediction.values, truth.values
        if space == "log":
            x, y = np.log(x + 1e-3), np.log(y + 1e-3)
        whole = np.isfinite(y) & np.isfinite(x).all(axis=0)
        w = np.broadcast_to(raster(truth).area, y.shape)[whole]
        x, y = x[:, whole], y[whole]
        mean = x.mean(axis=0)
        for name in ("bias", "rmse", "mae", "r2", "r2_corr"):
            assert float(found[name]) == pytest.approx(getattr(skill, name)(mean, y, w), rel=1e-11), name
        assert float(found.crps) == pytest.approx(skill.crps(x, y, w), rel=1e-12)
        assert float(found.spread_skill) == pytest.approx(skill.spread_skill(x, y, w), rel=1e-12)
        assert float(found.valid) == pytest.approx(w.sum() / raster(truth).area.sum() / 5, rel=1e-12)

    def test_of_far_from_zero_fields_nothing_is_lost(self, case: Callable) -> None:
        """1e6 + 1e-3 noise: sums of squares would have lost the variance."""
        prediction, truth, _ = case(days=4, members=1)
        shifted = scores(prediction * 1e-3 + 2.0**20, truth * 1e-3 + 2.0**20).isel(source=0)
        plain = scores(prediction * 1e-3, truth * 1e-3).isel(source=0)
        assert float(shifted.r2) == pytest.approx(float(plain.r2), rel=1e-5)
        assert float(shifted.r2_corr) == pytest.approx(float(plain.r2_corr), rel=1e-5)

    def test_areas_are_those_of_the_cells(self) -> None:
        lat = np.array([0.0, 60.0])
        truth = xr.DataArray(np.zeros((2, 1)), {"lat": lat, "lon": [0.0]}, ("lat", "lon"))
        wrong_north = truth + np.array([[0.0], [1.0]])
        north = np.sin(np.deg2rad(90)) - np.sin(np.deg2rad(30))
        expected = north / (2 * np.sin(np.deg2rad(30)) + north)
        assert scores(wrong_north, truth).mae.item() == pytest.approx(expected, rel=1e-12)

    def test_one_member_has_its_absolute_error_and_no_spread(self, case: Callable) -> None:
        prediction, truth, _ = case(members=1)
        found = scores(prediction, truth)
        assert float(found.crps[0]) == float(found.mae[0])
        assert np.isnan(found.spread_skill).all()
        assert "rank_histogram" not in found

    def test_constant_truth_has_no_r2(self, case: Callable) -> None:
        prediction, truth, _ = case()
        found = scores(prediction, truth * 0 + 0.1).isel(source=0)
        assert np.isnan(found.r2)
        assert np.isnan(found.r2_corr)
        assert np.isfinite(found.rmse)


class TestLibrary:
    """The Bureau of Meteorology's `scores` as oracle: weights by area, everything pooled."""

    def test_crps_brier_and_ranks(self, case: Callable) -> None:
        from scores.probability import brier_score_for_ensemble, crps_for_ensemble, rank_histogram

        prediction, truth, _ = case(members=7)
        found = scores(prediction, truth, thresholds=[0.1, 0.4]).sel(source="prediction")
        weights = xr.DataArray(
            raster(truth).area, dims=("lat", "lon"), coords=truth[0, :, :].coords
        ).drop_vars("time")
        crps = crps_for_ensemble(prediction, truth, "realization", method="fair", weights=weights)
        assert float(found.crps) == pytest.approx(float(crps), rel=1e-12)
        brier = brier_score_for_ensemble(prediction, truth, "realization", [0.1, 0.4], weights=weights)
        np.testing.assert_allclose(found.brier.values, brier.values, rtol=1e-12)
        ranks = rank_histogram(prediction, truth, "realization", weights=weights)
        np.testing.assert_allclose(found.rank_histogram.values, ranks.values, rtol=1e-10)

    def test_one_probability_of_all_ranks(self, case: Callable) -> None:
        from scores.probability import rank_histogram

        prediction, truth, _ = case(members=7)
        found = scores(prediction, truth, intervals=10, block=1)
        area = xr.DataArray(raster(truth).area, dims=("lat", "lon")).assign_coords(
            lat=truth.lat, lon=truth.lon
        )
        days = [
            rank_histogram(
                prediction.isel(time=[t]), truth.isel(time=[t]), "realization", weights=area
            ).values
            for t in range(truth.sizes["time"])
        ]
        expected = flat_probability(np.array(days))
        assert float(found.rank_histogram_p.sel(source="prediction")) == pytest.approx(expected, abs=1e-12)
        assert 0 < expected < 1
        assert "rank_histogram_p" not in scores(prediction, truth), "days are not resampled"
        assert "rank_histogram_p" not in scores(
            prediction.isel(realization=0, drop=True), truth, intervals=10, block=1
        )

    def test_contingency(self, case: Callable) -> None:
        from scores.categorical import BasicContingencyManager

        prediction, truth, _ = case(members=1)
        found = scores(prediction, truth, thresholds=[0.2]).isel(source=0, threshold=0)
        w = np.broadcast_to(raster(truth).area, truth.shape)
        ours, seen = prediction.values[0] >= 0.2, truth.values >= 0.2
        cells = {"tp": ours & seen, "fp": ours & ~seen, "fn": ~ours & seen, "tn": ~ours & ~seen}
        counts = {f"{key}_count": xr.DataArray(w[where].sum()) for key, where in cells.items()}
        counts["total_count"] = xr.DataArray(w.sum())
        table = BasicContingencyManager(counts)
        for ours_name, theirs in (
            ("pod", table.probability_of_detection()),
            ("far", table.false_alarm_ratio()),
            ("csi", table.critical_success_index()),
            ("ets", table.equitable_threat_score()),
            ("frequency_bias", table.frequency_bias()),
            ("base_rate", table.base_rate()),
        ):
            assert float(found[ours_name]) == pytest.approx(float(theirs), rel=1e-12), ours_name

    def test_fractions(self) -> None:
        """On a plane, whose cells are equal, as the library's are."""
        from scores.spatial import fss_2d

        rng = np.random.default_rng(3)
        cells = {"time": [0, 1, 2], "y": 1e3 * np.arange(30), "x": 1e3 * np.arange(40)}
        truth = xr.DataArray(rng.lognormal(size=(3, 30, 40)), cells, ("time", "y", "x"))
        ours = truth.roll(x=2) * rng.lognormal(0, 0.3, truth.shape)
        found = scores(ours, truth, thresholds=[1.0, 2.5], windows=[1, 3, 11]).isel(source=0)
        for threshold in (1.0, 2.5):
            for size in (1, 3, 11):
                theirs = fss_2d(
                    ours,
                    truth,
                    event_threshold=threshold,
                    window_size=(size, size),
                    spatial_dims=("y", "x"),
                    reduce_dims=["time", "y", "x"],
                )
                mine = float(found.fss.sel(threshold=threshold, window=size))
                assert mine == pytest.approx(float(theirs), rel=1e-12), (threshold, size)

    def test_errors(self, case: Callable) -> None:
        from scores.continuous import mae, mean_error, nse, rmse

        prediction, truth, _ = case(members=1)
        field = prediction.isel(realization=0, drop=True)
        weights = xr.DataArray(raster(truth).area, dims=("lat", "lon"))
        found = scores(field, truth).isel(source=0)
        for name, of in (("bias", mean_error), ("mae", mae), ("rmse", rmse)):
            assert float(found[name]) == pytest.approx(float(of(field, truth, weights=weights)), rel=1e-12)
        equal = scores(_plane(field), _plane(truth)).isel(source=0)
        assert float(equal.r2) == pytest.approx(float(nse(field, truth)), rel=1e-12)


class TestMembers:
    def test_events_and_quantiles_are_the_members_not_their_means(self, case: Callable) -> None:
        prediction, truth, _ = case(members=6)
        found = scores(prediction, truth, thresholds=[0.5], quantiles=[0.9])
        each = [scores(prediction.isel(realization=[m]), truth, thresholds=[0.5]) for m in range(6)]
        mean = np.mean([one.frequency_bias.item() for one in each])
        assert found.frequency_bias.item() == pytest.approx(mean, rel=1e-12)
        pooled = np.quantile(prediction.values, 0.9) / np.quantile(truth.values, 0.9)
        assert found.quantile_ratio.item() == pytest.approx(pooled, rel=1e-2)
        averaged = scores(prediction.mean("realization"), truth, quantiles=[0.9])
        assert abs(averaged.quantile_ratio.item() / pooled - 1) > 0.01

    def test_ties_depend_on_the_seed_and_the_day_alone(self, case: Callable) -> None:
        prediction, truth, _ = case(days=4)
        coarse_values = (prediction * 5).round() / 5, (truth * 5).round() / 5
        one = scores(*coarse_values).rank_histogram
        assert (one == scores(*coarse_values).rank_histogram).all()
        assert (one != scores(*coarse_values, seed=1).rank_histogram).any()
        chunked = scores(*(da.chunk(time=1, lat=7) for da in coarse_values)).rank_histogram
        assert (one == chunked).all()

    def test_baselines_may_have_members(self, case: Callable) -> None:
        prediction, truth, _ = case(members=3)
        found = scores(prediction, truth, baselines={"wide": 2 * prediction, "one": truth})
        assert found.members.values.tolist() == [3, 3, 1]
        assert np.isfinite(found.rank_histogram.sel(source="wide")).all()
        assert np.isnan(found.rank_histogram.sel(source="one")).all()
        alone = scores(2 * prediction, truth).isel(source=0)
        assert float(found.crps.sel(source="wide")) == pytest.approx(float(alone.crps), rel=1e-14)


class TestQuantiles:
    def test_against_numpy(self, case: Callable) -> None:
        prediction, truth, _ = case(days=6)
        q = [0.5, 0.9, 0.99, 0.999]
        # on a plane, whose cells have equal weights
        found = scores(_plane(prediction), _plane(truth), quantiles=q).isel(source=0)
        ours, seen = (np.quantile(da.values, q, method="inverted_cdf") for da in (prediction, truth))
        np.testing.assert_allclose(found.truth_quantile, seen, rtol=2.0**-11)
        np.testing.assert_allclose(found.quantile_ratio, ours / seen, rtol=2.0**-10)

    def test_same_in_either_space(self, case: Callable) -> None:
        prediction, truth, _ = case()
        one, other = (scores(prediction, truth, quantiles=[0.5], space=s) for s in ("linear", "log"))
        assert float(one.quantile_ratio[0, 0]) == float(other.quantile_ratio[0, 0])

    def test_a_factor_of_two_is_two(self, case: Callable) -> None:
        _, truth, _ = case()
        found = scores(2 * truth, truth, quantiles=[0.5, 0.999])
        np.testing.assert_allclose(found.quantile_ratio, 2.0, rtol=1e-14)


class TestBaselines:
    def test_interpolations_are_the_operators(self, case: Callable) -> None:
        prediction, truth, coarse = case()
        found = scores(prediction, truth, coarse=coarse, baselines=["bilinear", "bicubic"])
        low, fine = MERRA2.window((200, 4), (300, 5)), refined(MERRA2.window((200, 4), (300, 5)), G5NR)
        w = np.broadcast_to(raster(truth).area, truth.shape)
        for name, method in (("bilinear", "linear"), ("bicubic", "cubic")):
            field = upsampling(low, fine, method)(coarse.values)  # type: ignore[arg-type]
            assert float(found.mae.sel(source=name)) == pytest.approx(
                skill.mae(field, truth.values, w), rel=1e-12
            )

    def test_in_log_space_the_logarithms_are_interpolated(self, case: Callable) -> None:
        prediction, truth, coarse = case()
        found = scores(prediction, truth, coarse=coarse, baselines=["bicubic"], space="log")
        low, fine = MERRA2.window((200, 4), (300, 5)), refined(MERRA2.window((200, 4), (300, 5)), G5NR)
        field = upsampling(low, fine, "cubic")(np.log(coarse.values + 1e-3))
        w = np.broadcast_to(raster(truth).area, truth.shape)
        expected = skill.mae(field, np.log(truth.values + 1e-3), w)
        assert float(found.mae.sel(source="bicubic")) == pytest.approx(expected, rel=1e-12)

    def test_a_field_of_ones_own_scores_as_the_prediction_would(self, case: Callable) -> None:
        prediction, truth, coarse = case()
        mine = prediction.isel(realization=1, drop=True)
        found = scores(
            prediction, truth, coarse=coarse, baselines={"mine": mine, "near": "nearest"}, **_few()
        )
        assert found.source.values.tolist() == ["prediction", "mine", "near"]
        alone = scores(mine, truth, coarse=coarse, **_few()).sel(source="prediction")
        xr.testing.assert_allclose(
            found.sel(source="mine").drop_vars(["source", "rank_histogram", "rank", "crpss"]),
            alone.drop_vars(["source", "crpss"]),
            rtol=1e-12,
        )

    def test_a_gap_in_one_source_is_a_gap_for_all(self, case: Callable) -> None:
        prediction, truth, _ = case()
        half = truth.where(truth.lon < truth.lon.mean())
        found = scores(prediction, truth, baselines={"half": half})
        kept = truth.lon < truth.lon.mean()
        alone = scores(prediction.where(kept), truth.where(kept))
        assert float(found.rmse[0]) == pytest.approx(float(alone.rmse[0]), rel=1e-14)


class TestConservation:
    def test_residual_of_the_truth_is_nothing(self, case: Callable) -> None:
        _, truth, coarse = case()
        found = scores(truth, truth, coarse=coarse).isel(source=0)
        assert float(found.conservation_rms) < 1e-14
        found = scores(1.1 * truth, truth, coarse=coarse).isel(source=0)
        assert float(found.conservation_rms) == pytest.approx(0.1, rel=1e-12)
        assert float(found.conservation_max) == pytest.approx(0.1, rel=1e-12)

    def test_members_each(self, case: Callable) -> None:
        prediction, truth, coarse = case()
        found = scores(prediction, truth, coarse=coarse).isel(source=0)
        low, fine = MERRA2.window((200, 4), (300, 5)), refined(MERRA2.window((200, 4), (300, 5)), G5NR)
        error = coarsening(fine, low)(prediction.values) - coarse.values
        assert float(found.conservation_max) == pytest.approx(
            float(abs(error / coarse.values).max()), rel=1e-10
        )
        w = low.area
        expected = np.sqrt((w * error**2).sum() / 4 / (w * coarse.values**2).sum())
        assert float(found.conservation_rms) == pytest.approx(expected, rel=1e-10)

    def test_coarse_cells_that_stick_out_do_not_count(self, case: Callable) -> None:
        _, truth, coarse = case()
        cut = {"lat": slice(6, None), "lon": slice(3, -2)}
        found = scores(1.1 * truth.isel(cut), truth.isel(cut), coarse=coarse).isel(source=0)
        assert float(found.conservation_max) == pytest.approx(0.1, rel=1e-12)


class TestLabels:
    def test_without_time_and_members(self, case: Callable) -> None:
        prediction, truth, coarse = case(days=1, members=1)
        whole = scores(prediction, truth, coarse=coarse, **ALL)
        bare = scores(
            prediction.isel(realization=0, time=0, drop=True),
            truth.isel(time=0, drop=True),
            coarse=coarse.isel(time=0, drop=True),
            **ALL,
        )
        xr.testing.assert_identical(whole, bare)

    def test_order_of_dimensions_and_rows_does_not_matter(self, case: Callable) -> None:
        prediction, truth, coarse = case()
        turned = prediction.transpose("lon", "time", "lat", "realization").isel(lat=slice(None, None, -1))
        other = scores(turned, truth.isel(lat=slice(None, None, -1)), coarse=coarse, **ALL)
        xr.testing.assert_allclose(scores(prediction, truth, coarse=coarse, **ALL), other, rtol=1e-13)

    def test_the_truth_may_hold_more_days_and_a_scalar_time_finds_its_own(self, case: Callable) -> None:
        prediction, truth, coarse = case(days=5)
        some = prediction.isel(time=[3, 1])
        found = scores(some, truth, coarse=coarse, baselines=["nearest"])
        same = scores(some, truth.isel(time=[3, 1]), coarse=coarse.isel(time=[3, 1]), baselines=["nearest"])
        xr.testing.assert_identical(found, same)
        one = scores(prediction.isel(time=2), truth)
        assert float(one.rmse[0]) == pytest.approx(
            float(scores(prediction.isel(time=[2]), truth.isel(time=[2])).rmse[0]), rel=1e-14
        )

    def test_units_and_best_values(self, case: Callable) -> None:
        prediction, truth, _ = case()
        prediction.attrs["units"] = truth.attrs["units"] = "kg m-2"
        found = scores(prediction, truth, thresholds=[0.1])
        assert found.rmse.attrs["units"] == "kg m-2"
        assert found.pod.attrs == {"long_name": "probability of detection", "units": "1", "best": "1.0"}
        assert found.threshold.attrs["units"] == "kg m-2"
        assert scores(prediction, truth, space="log").rmse.attrs["units"] == "1"
        both = scores(prediction, truth, space=("linear", "log")).rmse.attrs
        assert (both["units"], both["comment"]) == ("kg m-2", "a pure number in log space")


class TestChunks:
    def test_chunks_sum_to_the_whole_bit_by_bit(self, case: Callable) -> None:
        prediction, truth, coarse = case(days=7)
        eager = scores(prediction, truth, coarse=coarse, intervals=20, block=2, **ALL)
        lazy = scores(
            prediction.chunk(time=3, realization=1, lat=10),
            truth.chunk(time=2, lon=20),
            coarse=coarse.chunk(time=5),
            intervals=20,
            block=2,
            **ALL,
        )
        xr.testing.assert_identical(eager, lazy)

    def test_every_chunk_is_read_once(self, case: Callable) -> None:
        import dask.array as da

        prediction, truth, _ = case(days=4, members=2)
        reads: list[int] = []

        def read(block: np.ndarray) -> np.ndarray:
            reads.append(1)
            return block

        data = da.from_array(prediction.values, chunks=(1, 1, -1, -1)).map_blocks(
            read, meta=np.zeros((0,) * 4)
        )
        scores(prediction.copy(data=data), truth, quantiles=[0.5], thresholds=[0.1], space=("linear", "log"))
        assert len(reads) == 8

    @pytest.mark.slow
    def test_memory_is_that_of_a_day_not_of_the_record(self) -> None:
        """Forty days of four members, 19 MB as they stand, made as they are read."""
        import tracemalloc

        import dask
        import dask.array as da

        def made(members: int) -> xr.DataArray:
            shape = (members, 40, 100, 150)
            data = da.random.default_rng(1).lognormal(size=shape, chunks=(1, 1, -1, -1))
            cells = {"time": np.arange(40), "y": np.arange(100.0), "x": np.arange(150.0)}
            return xr.DataArray(data, cells, ("realization", "time", "y", "x"))

        prediction, truth = made(4), made(1).isel(realization=0)
        with dask.config.set(scheduler="synchronous"):
            scores(prediction[:, :1], truth[:1], thresholds=[1.0])  # imports are not counted
            tracemalloc.start()
            scores(prediction, truth, thresholds=[1.0])
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < 10e6


class TestIntervals:
    @pytest.mark.slow
    def test_cover_the_known_bias(self) -> None:
        """Days of known offsets N(1, 1): the interval of the bias covers 1 as often as a bootstrap does."""
        rng = np.random.default_rng(5)
        covered = 0
        times = np.datetime64("2005-01-01", "ns") + np.arange(60) * np.timedelta64(1, "D")
        cells = {"time": times, "y": [0.0, 1.0], "x": [0.0, 1.0]}
        truth = xr.DataArray(np.zeros((60, 2, 2)), cells, ("time", "y", "x"))
        for trial in range(100):
            field = truth + rng.normal(1, 1, (60, 1, 1))
            low, high = scores(field, truth, intervals=200, block=1, seed=trial).bias_interval.values[0]
            covered += low <= 1 <= high
        assert 87 <= covered <= 99

    def test_blocks_keep_the_memory_of_days(self) -> None:
        """Offsets that stay for ten days: blocks of ten give intervals about sqrt(10) times as wide."""
        rng = np.random.default_rng(6)
        times = np.datetime64("2005-01-01", "ns") + np.arange(400) * np.timedelta64(1, "D")
        cells = {"time": times, "y": [0.0, 1.0], "x": [0.0, 1.0]}
        truth = xr.DataArray(np.zeros((400, 2, 2)), cells, ("time", "y", "x"))
        field = truth + np.repeat(rng.normal(size=40), 10)[:, None, None]
        width = {}
        for block in (1, 10):
            low, high = scores(field, truth, intervals=2000, block=block).bias_interval.values[0]
            width[block] = high - low
        assert width[10] / width[1] == pytest.approx(10**0.5, rel=0.1)

    def test_skill_against_a_source_is_of_the_same_days(self, case: Callable) -> None:
        """Hard and easy days widen the intervals of both scores, and not that of a skill that is the same."""
        prediction, truth, _ = case(days=8, members=1)
        hard = xr.DataArray(10.0 ** np.arange(8), dims="time")
        error = (prediction - truth) * hard
        found = scores(
            truth + error,
            truth,
            baselines={"twice": (truth + 2 * error).isel(realization=0, drop=True)},
            intervals=50,
            block=1,
        )
        assert found.crpss.values.tolist() == pytest.approx([0.0, 0.5], abs=1e-9)
        low, high = found.crpss_interval.sel(source="twice").values
        assert (low, high) == (pytest.approx(0.5, abs=1e-9), pytest.approx(0.5, abs=1e-9))
        low, high = found.crps_interval.sel(source="twice").values
        assert high > 10 * low

    def test_days_in_another_order_are_the_same_days(self, case: Callable) -> None:
        prediction, truth, coarse = case(days=7)
        asked = {"coarse": coarse, "intervals": 30, "block": 2, **ALL}
        turned = scores(prediction.isel(time=[4, 1, 6, 0, 5, 2, 3]), truth, **asked)
        xr.testing.assert_allclose(scores(prediction, truth, **asked), turned, rtol=1e-10)

    def test_every_score_has_one_but_the_maximum(self, case: Callable) -> None:
        prediction, truth, coarse = case(days=6)
        found = scores(prediction, truth, coarse=coarse, intervals=30, block=2, **ALL)
        plain = {"truth_quantile", "conservation_max", "rank_histogram_p", "valid", "days"}
        names = {str(n) for n in found.data_vars if not str(n).endswith("_interval")} - plain
        assert {f"{n}_interval" for n in names} == {str(n) for n in found.data_vars} - names - plain
        for name in ("crps", "quantile_ratio", "fss"):
            bounds = found[f"{name}_interval"]
            assert (bounds.sel(bound="lower") <= found[name] + 1e-12).all()
            assert (found[name] - 1e-12 <= bounds.sel(bound="upper")).all()

    def test_too_few_days(self, case: Callable) -> None:
        prediction, truth, _ = case(days=3)
        with pytest.raises(ValueError, match="at least 2 blocks of days, found 1"):
            scores(prediction, truth, intervals=10, block=5)


class TestBadInput:
    def test_nothing_in_common(self, case: Callable) -> None:
        prediction, truth, _ = case()
        with pytest.raises(ValueError, match="no cell has a value in the truth and in every source"):
            scores(prediction, truth * np.nan)

    def test_one_valid_cell(self, case: Callable) -> None:
        prediction, truth, _ = case(days=1)
        one = truth.where((truth.lat == truth.lat[3]) & (truth.lon == truth.lon[4]))
        found = scores(prediction, one).isel(source=0)
        expected = float(prediction[:, 0, 3, 4].mean() - truth[0, 3, 4])
        assert float(found.bias) == pytest.approx(expected, rel=1e-12)
        assert np.isnan(found.r2)

    @pytest.mark.parametrize("which", [0, 1])
    def test_infinite_values(self, case: Callable, which: int) -> None:
        fields = list(case()[:2])
        fields[which][..., 2, 2] = np.inf
        for lazy in (False, True):
            with pytest.raises(ValueError, match="holds infinite values: mask them first"):
                scores(*(f.chunk(time=1) if lazy else f for f in fields))

    def test_other_grids_and_units(self, case: Callable) -> None:
        prediction, truth, coarse = case()
        with pytest.raises(ValueError, match="different grids"):
            scores(prediction, truth.isel(lat=slice(1, None)))
        with pytest.raises(ValueError, match="different grids"):
            scores(prediction, truth, baselines={"other": truth.isel(lon=slice(1, None))})
        with pytest.raises(ValueError, match="units differ"):
            scores(prediction, truth.assign_attrs(units="kg m-2"))
        with pytest.raises(ValueError, match="units differ"):
            scores(prediction, truth, coarse=coarse.assign_attrs(units="kg m-2"))

    def test_log_of_what_has_none(self, case: Callable) -> None:
        prediction, truth, _ = case()
        with pytest.raises(ValueError, match=r"a value of -1: expected values above -0\.001"):
            scores(prediction - prediction - 1, truth, space="log")

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"space": "root"}, "space is"),
            ({"space": ()}, "space is"),
            ({"floor": 0.0}, "floor is 0.0"),
            ({"thresholds": [np.nan]}, "thresholds are"),
            ({"quantiles": [1.0]}, "expected numbers between 0 and 1"),
            ({"intervals": -1}, "intervals is -1"),
            ({"intervals": 5, "block": 0}, "block is 0"),
            ({"windows": [3]}, "windows without thresholds"),
            (
                {"windows": [4], "thresholds": [0.1]},
                "a window of 4: expected an odd number of cells up to 33",
            ),
            ({"windows": [35], "thresholds": [0.1]}, "a window of 35"),
            ({"baselines": ["spline"]}, "baseline 'spline' is unknown"),
            ({"baselines": ["nearest"]}, "made from the coarse field: give coarse="),
        ],
    )
    def test_options(self, case: Callable, options: dict, words: str) -> None:
        prediction, truth, _ = case()
        with pytest.raises(ValueError, match=words):
            scores(prediction, truth, **options)


def _few() -> dict:
    return {"thresholds": [0.2], "quantiles": [0.9], "windows": [3]}


def _plane(da: xr.DataArray) -> xr.DataArray:
    da = da.rename(lat="y", lon="x")
    return da.assign_coords(y=np.arange(da.sizes["y"]), x=np.arange(da.sizes["x"]))


def _variance(truth: xr.DataArray) -> float:
    w = np.broadcast_to(raster(truth).area, truth.shape)
    mean = np.average(truth.values, weights=w)
    return float(np.average((truth.values - mean) ** 2, weights=w))
