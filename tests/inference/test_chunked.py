"""Lazy results: the same bits however they are cut, built without computing, small to send."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import cloudpickle
import dask
import numpy as np
import pytest
import torch
import xarray as xr

import xdownscale
from xdownscale import Tiling, explain, predict, registry
from xdownscale.inference import block

if TYPE_CHECKING:
    from xdownscale.models.downscaler import Downscaler

CHUNKS = [{"time": 1}, {"time": 2}, {"time": (3, 1, 1)}, {"time": -1}, {"time": 2, "lat": 3, "lon": 1}]


FORMS = [
    "south",
    "west",
    "transposed",
    "unsorted",
    "gap",
    "scalar",
    "timeless",
    "ensemble",
    "level",
    "empty",
    "f4",
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(members, days) of each block that is drawn."""
    seen: list[tuple[int, int]] = []
    original = block.draw

    def counting(
        model: Any, coarse: Any, grid: Any, instants: Any, options: Any, *, days: Any, state: Any
    ) -> Any:
        seen.append((len(options.members), len(days)))
        return original(model, coarse, grid, instants, options, days=days, state=state)

    monkeypatch.setattr(block, "draw", counting)
    return seen


class TestBits:
    @pytest.mark.parametrize("chunks", CHUNKS, ids=str)
    def test_any_chunks(
        self, days: Any, checkpoint: str, quick: dict[str, Any], lazily: Any, chunks: dict[str, Any]
    ) -> None:
        expected = predict(days(), checkpoint, members=2, **quick)
        with lazily():
            lazy = predict(days().chunk(chunks), checkpoint, members=2, **quick)
        for scheduler in ("synchronous", "threads"):
            found = lazy.compute(scheduler=scheduler)
            np.testing.assert_array_equal(found.values, expected.values)
        xr.testing.assert_equal(lazy.coords.to_dataset(), expected.coords.to_dataset())

    @pytest.mark.parametrize("batch", [1, 3])
    def test_any_batch(self, days: Any, tiny_model: Downscaler, quick: dict[str, Any], batch: int) -> None:
        tiling = Tiling(patch=48, halo=8, ramp=8)
        expected = predict(days(2), tiny_model, **(quick | {"tiling": tiling}))
        tiling = Tiling(patch=48, halo=8, ramp=8, batch=batch)
        lazy = predict(days(2).chunk(time=1), tiny_model, **(quick | {"tiling": tiling}))
        np.testing.assert_array_equal(lazy.compute(scheduler="threads").values, expected.values)

    @pytest.mark.parametrize(
        "change",
        [
            lambda d: d[:, ::-1],
            lambda d: d[:, :, ::-1],
            lambda d: d.transpose("lon", "time", "lat"),
            lambda d: d[[3, 0, 4, 2, 1]],
            lambda d: d.drop_isel(time=2),
            lambda d: d[0],
            lambda d: d[0].drop_vars("time"),
            lambda d: xr.concat([d, 2 * d], "number").assign_coords(number=[5, 9]),
            lambda d: d.expand_dims(lev=[0.0], axis=1),
            lambda d: d.where(d.time != d.time[1]),
            lambda d: d.astype("f4"),
        ],
        ids=FORMS,
    )
    @pytest.mark.filterwarnings("ignore:.*has gaps:UserWarning")
    def test_any_form(
        self, days: Any, tiny_model: Downscaler, quick: dict[str, Any], lazily: Any, change: Any
    ) -> None:
        da = change(days())
        expected = predict(da, tiny_model, **quick)
        with lazily():
            lazy = predict(da.chunk({d: 2 for d in ("time",) if d in da.dims}), tiny_model, **quick)
        found = lazy.compute(scheduler="synchronous")
        assert found.dims == expected.dims
        np.testing.assert_array_equal(found.values, expected.values)
        xr.testing.assert_equal(found.coords.to_dataset(), expected.coords.to_dataset())

    def test_the_mean(self, days: Any, tiny_model: Downscaler, quick: dict[str, Any]) -> None:
        expected = predict(days(2), tiny_model, product="mean", **quick)
        lazy = predict(days(2).chunk(time=1), tiny_model, product="mean", **quick)
        np.testing.assert_array_equal(lazy.compute(scheduler="synchronous").values, expected.values)


class TestChunks:
    def test_are_the_days_of_the_input_and_one_member(
        self, days: Any, checkpoint: str, quick: dict[str, Any]
    ) -> None:
        lazy = predict(days().chunk(time=(2, 3), lat=1), checkpoint, members=3, **quick)
        assert lazy.chunksizes["realization"] == (1, 1, 1)
        assert lazy.chunksizes["time"] == (2, 3)
        assert lazy.chunksizes["lat"] == (lazy.sizes["lat"],)

    def test_are_no_larger_than_dask_s(self, days: Any, checkpoint: str, quick: dict[str, Any]) -> None:
        one = predict(days(1), checkpoint, **quick).nbytes
        with dask.config.set({"array.chunk-size": f"{2 * one}B"}):
            assert predict(days().chunk(time=-1), checkpoint, **quick).chunksizes["time"] == (2, 2, 1)
        with dask.config.set({"array.chunk-size": "1B"}):
            assert predict(days().chunk(time=-1), checkpoint, **quick).chunksizes["time"] == (1,) * 5

    def test_only_what_is_asked_for_is_drawn(
        self, days: Any, checkpoint: str, quick: dict[str, Any], drawn: list[tuple[int, int]]
    ) -> None:
        lazy = predict(days().chunk(time=2), checkpoint, members=2, **quick)
        lazy.isel(realization=1, time=3).compute(scheduler="synchronous")
        assert drawn == [(1, 2)]


class TestGraph:
    def test_is_small(self, days: Any, checkpoint: str, quick: dict[str, Any]) -> None:
        """Under 5 kB a task, be the blocks long or many; the weights are in none."""
        for chunks in (1, 365):
            lazy = predict(days(365).chunk(time=chunks), checkpoint, members=2, **quick)
            layer = dict(lazy.data.dask.layers[lazy.data.name])
            assert len(layer) == 2 * 365 // chunks + 2
            assert len(cloudpickle.dumps(layer)) / len(layer) < 5000
            tasks = [cloudpickle.dumps(v) for k, v in layer.items() if isinstance(k, tuple)]
            assert max(map(len, tasks)) < 1000

    def test_a_model_in_memory_is_sent_once(self, days: Any, tiny_model: Downscaler, quick: Any) -> None:
        lazy = predict(days(30).chunk(time=1), tiny_model, **quick)
        layer = dict(lazy.data.dask.layers[lazy.data.name])
        weights = sum(w.numel() * w.element_size() for w in tiny_model.state().values())
        whole = len(cloudpickle.dumps(layer))
        assert weights < whole < 2 * weights
        assert max(len(cloudpickle.dumps(v)) for k, v in layer.items() if isinstance(k, tuple)) < 1000

    def test_same_call_same_name(self, days: Any, checkpoint: str, quick: dict[str, Any]) -> None:
        one, two = (predict(days().chunk(time=2), checkpoint, **quick).data.name for _ in range(2))
        assert one == two
        others = [
            predict(days().chunk(time=2), checkpoint, seed=1, **quick),
            predict(days().chunk(time=1), checkpoint, **quick),
            predict(2 * days().chunk(time=2).assign_attrs(days().attrs), checkpoint, **quick),
        ]
        assert one not in {o.data.name for o in others}

    def test_another_model_in_memory_has_another_name(
        self, days: Any, tiny_model: Downscaler, quick: Any
    ) -> None:
        before = predict(days().chunk(time=2), tiny_model, **quick).data.name
        with torch.no_grad():
            next(tiny_model.denoiser.parameters()).add_(1e-3)
        assert predict(days().chunk(time=2), tiny_model, **quick).data.name != before

    def test_pickle(self, days: Any, checkpoint: str, quick: dict[str, Any]) -> None:
        lazy = predict(days(2).chunk(time=1), checkpoint, **quick)
        again = pickle.loads(pickle.dumps(lazy))
        expected = predict(days(2), checkpoint, **quick)
        np.testing.assert_array_equal(again.compute(scheduler="synchronous").values, expected.values)

    def test_feeds_other_operations(self, days: Any, checkpoint: str, quick: dict[str, Any]) -> None:
        lazy = predict(days(2).chunk(time=1), checkpoint, members=2, **quick)
        expected = predict(days(2), checkpoint, members=2, **quick)
        mean = lazy.mean("realization").sel(lat=slice(30.2, 31)).compute(scheduler="threads")
        np.testing.assert_allclose(mean, expected.mean("realization").sel(lat=slice(30.2, 31)), rtol=1e-6)


class TestModel:
    def test_is_loaded_once(
        self, days: Any, checkpoint: str, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lazy = predict(days().chunk(time=1), checkpoint, **quick)
        monkeypatch.setattr(registry, "_LOADED", {})
        loaded: list[Any] = []
        original = registry.load
        monkeypatch.setattr(registry, "load", lambda path: loaded.append(path) or original(path))
        lazy.compute(scheduler="threads", num_workers=4)
        assert len(loaded) == 1

    def test_is_the_one_of_the_job(
        self, days: Any, tiny_model: Downscaler, checkpoint: str, quick: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lazy = predict(days(1).chunk(), checkpoint, **quick)
        with torch.no_grad():
            next(tiny_model.denoiser.parameters()).add_(1e-3)
        xdownscale.save(tiny_model, checkpoint, overwrite=True)
        monkeypatch.setattr(registry, "_LOADED", {})
        with pytest.raises(ValueError, match=r"has sha256 .* here, and .* where the job was made"):
            lazy.compute(scheduler="synchronous")

    def test_threads_of_torch_are_put_back(self, days: Any, checkpoint: str, quick: dict[str, Any]) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            predict(days().chunk(time=1), checkpoint, **quick).compute(scheduler="threads")
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)


class TestChecks:
    def test_labels_are_checked_at_once(self, days: Any, tiny_model: Downscaler, lazily: Any) -> None:
        winter = days().assign_coords(time=days().time - np.timedelta64(181, "D")).chunk()
        with lazily(), pytest.raises(xdownscale.inference.domain.DomainError, match="months"):
            predict(winter, tiny_model)
        with lazily():
            assert any("months" in finding for finding in explain(winter, tiny_model).findings)

    def test_values_are_checked_where_they_are_read(
        self, days: Any, tiny_model: Downscaler, quick: dict[str, Any]
    ) -> None:
        da = days()
        da[4, 0, 0] = -9999.0
        lazy = predict(da.chunk(time=1), tiny_model, **quick)
        lazy[:, :4].compute(scheduler="synchronous")
        with pytest.raises(ValueError, match="1 values are -9999, a fill value"):
            lazy.compute(scheduler="synchronous")

    def test_warned_of_where_they_are_read(self, days: Any, tiny_model: Downscaler, quick: Any) -> None:
        da = days(2)
        da[1, 0, 0] = -1e-5
        lazy = predict(da.chunk(time=1), tiny_model, **quick)
        with pytest.warns(UserWarning, match="1 values down to -1e-05 are below zero: taken for 0"):
            found = lazy.compute(scheduler="synchronous")
        with pytest.warns(UserWarning, match="taken for 0"):
            np.testing.assert_array_equal(found.values, predict(da, tiny_model, **quick).values)

    def test_bounds_on_dask(self, days: Any, tiny_model: Downscaler, quick: Any, lazily: Any) -> None:
        da = days(2)
        da.lat.attrs["bounds"] = "lat_bnds"
        edges = da.lat.values[:, None] + np.array([-0.25, 0.25])
        good = da.to_dataset().assign(lat_bnds=(("lat", "bnds"), edges)).chunk(time=1)
        bad = da.to_dataset().assign(lat_bnds=(("lat", "bnds"), edges + 0.2)).chunk(time=1)
        with lazily():
            lazy = [predict(d, tiny_model, **quick) for d in (good, bad)]
        expected = predict(days(2), tiny_model, **quick)
        np.testing.assert_array_equal(lazy[0].compute(scheduler="synchronous").values, expected.values)
        with pytest.raises(ValueError, match="bounds 'lat_bnds' contradict 'lat'"):
            lazy[1].compute(scheduler="synchronous")

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
    def test_cuda_is_left_to_a_cluster(
        self, days: Any, tiny_model: Downscaler, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from xdownscale.inference import job

        asked = quick | {"device": "cuda"}
        with pytest.raises(ValueError, match="torch finds no CUDA device here"):
            predict(days(1).chunk(), tiny_model, **asked)
        monkeypatch.setattr(job, "_has_cluster", lambda: True)
        predict(days(1).chunk(), tiny_model, **asked)
        with pytest.raises(ValueError, match="torch finds no CUDA device here"):
            predict(days(1), tiny_model, **asked)


class TestLabels:
    def test_attributes_but_two_are_those_in_memory(
        self, days: Any, checkpoint: str, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
        eager = predict(days(), checkpoint, **quick).attrs
        lazy = predict(days().chunk(time=2), checkpoint, **quick).attrs
        assert set(eager) - set(lazy) == {"downscale_residual_before_conservation"}
        assert {k for k in lazy if lazy[k] != eager[k]} == {"downscale_input"}
        assert "dask array xarray-<this-array>" in lazy["downscale_input"]
        assert lazy["downscale_input"].endswith("values not read")

    def test_explain(
        self, days: Any, tiny_model: Downscaler, lazily: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tiny_model.denoiser, "forward", pytest.fail)
        with lazily():
            plan = explain(days().chunk(time=2, lat=2), tiny_model, members=3)
        rows = dict(plan.rows())
        assert rows["blocks"].startswith("9 of at most 1 members x 2 days, whole in space; 2 spatial chunks")
        assert "a block at most" in rows["memory"]
        assert plan.distance is None
        assert explain(days(), tiny_model).blocks is None
