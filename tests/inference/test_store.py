"""`to_zarr`: what `predict` draws, on a disk; killed, gone on with, refused, replaced."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import xarray as xr
import zarr

from xdownscale import Sampler, Tiling, predict
from xdownscale.inference import store as module
from xdownscale.inference.ledger import DamagedError, Ledger, verify
from xdownscale.inference.place import Place
from xdownscale.inference.store import to_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xdownscale.models.downscaler import Downscaler


@pytest.fixture(autouse=True)
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def put(tiny_model: Downscaler, quick: dict[str, Any]) -> Any:
    """`to_zarr` of two members in blocks of two days."""

    def run(da: Any, store: Any, model: Any = tiny_model, **options: Any) -> Any:
        given = {"members": 2, "chunks": {"time": 2}, "progress": False} | quick | options
        return to_zarr(da, store, model, **given)

    return run


def opened(store: Any) -> xr.DataArray:
    with xr.open_zarr(store, consolidated=False, decode_coords="all") as dataset:
        return dataset.DUEXTTAU.load()


def tree(folder: Path) -> dict[str, str]:
    """Digest of every file that is not left over from an interrupted write."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".part", ".partial"))
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


class TestContent:
    @pytest.mark.parametrize("chunks", [None, {"time": 1}, {"time": 3, "lat": 2}, {"time": -1}], ids=str)
    def test_is_what_predict_gives(
        self, days: Any, tiny_model: Downscaler, quick: Any, put: Any, tmp_path: Path, chunks: Any
    ) -> None:
        da = days() if chunks is None else days().chunk(chunks)
        assert put(da, tmp_path / "a.zarr") == tmp_path / "a.zarr"
        found, expected = opened(tmp_path / "a.zarr"), predict(days(), tiny_model, members=2, **quick)
        np.testing.assert_array_equal(found.values, expected.values)
        xr.testing.assert_allclose(found.coords.to_dataset(), expected.coords.to_dataset())
        assert found.attrs["downscale_seed"] == 0
        assert found.attrs["units"] == "1"
        assert found.encoding["grid_mapping"] == "spatial_ref"
        assert verify(tmp_path / "a.zarr").complete

    @pytest.mark.parametrize(
        "change",
        [
            lambda d: d[:, ::-1].transpose("lon", "lat", "time"),
            lambda d: d[[3, 0, 4, 2, 1]],
            lambda d: d[0],
            lambda d: d[0].drop_vars("time"),
            lambda d: xr.concat([d, 2 * d], "number").assign_coords(number=[5, 9]),
            lambda d: d.where(d.time != d.time[1]),
        ],
        ids=["south", "unsorted", "scalar time", "no time", "ensemble", "empty day"],
    )
    @pytest.mark.parametrize("lazy", [False, True])
    def test_any_form(
        self, days: Any, tiny_model: Downscaler, quick: Any, put: Any, tmp_path: Path, change: Any, lazy: bool
    ) -> None:
        da = change(days(5))
        put(da.chunk() if lazy else da, tmp_path / "a.zarr", members=1)
        expected = predict(da, tiny_model, **quick)
        found = opened(tmp_path / "a.zarr")
        assert found.dims == expected.dims
        np.testing.assert_array_equal(found.values, expected.values)
        assert verify(tmp_path / "a.zarr").complete

    def test_cells_and_days_have_bounds(self, days: Any, put: Any, tmp_path: Path) -> None:
        put(days(), tmp_path / "a.zarr")
        with xr.open_zarr(tmp_path / "a.zarr", consolidated=False) as ds:
            assert {"lat_bnds", "lon_bnds", "time_bnds"} <= set(ds.variables)
            assert ds.attrs["Conventions"] == "CF-1.11, ACDD-1.3"

    def test_chunks_end_in_a_checksum(self, days: Any, put: Any, tmp_path: Path) -> None:
        put(days(), tmp_path / "a.zarr")
        array = zarr.open_group(tmp_path / "a.zarr", mode="r")["DUEXTTAU"]
        assert array.chunks == (1, 2, *array.shape[2:])
        assert type(array.compressors[-1]).__name__ == "Crc32cCodec"
        assert np.isnan(array.fill_value)

    def test_what_is_not_done_is_nan(self, days: Any, put: Any, tmp_path: Path) -> None:
        with failing_at(2), pytest.raises(KeyboardInterrupt):
            put(days(), tmp_path / "a.zarr")
        found = opened(tmp_path / "a.zarr")
        assert np.isfinite(found.values[0, :4]).all()
        assert np.isnan(found.values[1]).all()

    @pytest.mark.parametrize("url", ["memory://{}/a.zarr", "file://{}/a.zarr"])
    def test_urls(self, days: Any, put: Any, tmp_path: Path, url: str) -> None:
        url = url.format(tmp_path if url.startswith("file") else uuid.uuid4().hex)
        with failing_at(3), pytest.raises(KeyboardInterrupt):
            put(days().chunk(time=1), url)
        assert 0 < verify(url).done < 6
        put(days(), url)
        put(days(), tmp_path / "b.zarr")
        np.testing.assert_array_equal(opened(url).values, opened(tmp_path / "b.zarr").values)
        assert verify(url).complete

    def test_default_blocks(self, days: Any, put: Any, tmp_path: Path) -> None:
        """One member, and all days that fit into 16 MiB."""
        put(days(), tmp_path / "a.zarr", chunks=None)
        ledger = Ledger.read(Place.of(tmp_path / "a.zarr"))
        assert ledger is not None
        assert (ledger.block, ledger.blocks) == ((1, 5), 2)

    @pytest.mark.parametrize(
        ("chunks", "said"),
        [({"lat": 3}, r"chunks names \['lat'\]: expected some of"), ({"time": 0}, r"chunks\['time'\] is 0"),
         ({"realization": 1.5}, r"chunks\['realization'\] is 1.5")],
    )  # fmt: skip
    def test_bad_chunks(self, days: Any, put: Any, tmp_path: Path, chunks: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            put(days(), tmp_path / "a.zarr", chunks=chunks)
        assert not (tmp_path / "a.zarr").exists()

    def test_the_plan_comes_first(self, days: Any, put: Any, tmp_path: Path) -> None:
        plans: list[Any] = []

        def report(plan: Any) -> None:
            assert verify(tmp_path / "a.zarr").done == 0
            plans.append(plan)

        put(days(), tmp_path / "a.zarr", report=report)
        (plan,) = plans
        rows = dict(plan.rows())
        assert rows["blocks"].startswith("6 of at most 1 members x 2 days")
        assert rows["time"].startswith("about ")
        assert 0 < plan.seconds < 60


class TestGoingOn:
    def test_what_is_done_is_not_drawn_again(
        self, days: Any, put: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(days(), tmp_path / "a.zarr")
        before = tree(tmp_path / "a.zarr")
        monkeypatch.setattr(module, "drawn", lambda *_: pytest.fail("drawn again"))
        put(days(), tmp_path / "a.zarr", chunks={"time": 1})
        put(days().chunk(time=3), tmp_path / "a.zarr")
        assert tree(tmp_path / "a.zarr") == before

    @pytest.mark.parametrize("first", [0, 4])
    def test_same_files_as_in_one_go(self, days: Any, put: Any, tmp_path: Path, first: int) -> None:
        put(days(), tmp_path / "whole.zarr")
        with failing_at(first), pytest.raises(KeyboardInterrupt):
            put(days(), tmp_path / "a.zarr")
        put(days().chunk(time=1), tmp_path / "a.zarr", chunks={"time": 3})
        assert tree(tmp_path / "a.zarr") == tree(tmp_path / "whole.zarr")

    @pytest.mark.parametrize("when", ["job", "groups", "template", "seal"])
    def test_interrupted_before_the_first_block(
        self, days: Any, put: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        put(days(), tmp_path / "whole.zarr")
        broken = {
            "job": (Place, "write"), "groups": (zarr, "open_group"), "template": (module, "_template"),
            "seal": (Place, "keys"),
        }[when]  # fmt: skip

        def stop(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            if when == "seal":
                put_keys = Place.keys
                patch.setattr(
                    Place,
                    "keys",
                    lambda p, f="": stop() if (tmp_path / "a.zarr").exists() else put_keys(p, f),
                )
            else:
                patch.setattr(*broken, stop)
            with pytest.raises(KeyboardInterrupt):
                put(days(), tmp_path / "a.zarr")
        put(days(), tmp_path / "a.zarr")
        assert tree(tmp_path / "a.zarr") == tree(tmp_path / "whole.zarr")

    @pytest.mark.parametrize("lazy", [False, True])
    def test_what_is_damaged_is_made_again(self, days: Any, put: Any, tmp_path: Path, lazy: bool) -> None:
        put(days(), tmp_path / "a.zarr")
        before = tree(tmp_path / "a.zarr")
        (tmp_path / "a.zarr/DUEXTTAU/c/0/0/0/0").unlink()
        chunk, record = tmp_path / "a.zarr/DUEXTTAU/c/1/1/0/0", tmp_path / "a.zarr/ledger/blocks/0.2.json"
        for file in (chunk, record):
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        assert len(verify(tmp_path / "a.zarr").damaged) == 3
        put(days().chunk() if lazy else days(), tmp_path / "a.zarr")
        assert tree(tmp_path / "a.zarr") == before

    def test_damaged_metadata_are_not_gone_on_with(self, days: Any, put: Any, tmp_path: Path) -> None:
        put(days(), tmp_path / "a.zarr")
        (tmp_path / "a.zarr/lat/c/0").unlink()
        with pytest.raises(DamagedError, match=r"lat/c/0 is missing.*Restore it"):
            put(days(), tmp_path / "a.zarr")
        put(days(), tmp_path / "b.zarr")
        (tmp_path / "b.zarr/ledger/job.json").write_bytes(b"torn")
        with pytest.raises(DamagedError, match="overwrite=True"):
            put(days(), tmp_path / "b.zarr")
        put(days(), tmp_path / "b.zarr", overwrite=True)
        assert verify(tmp_path / "b.zarr").complete


class TestAutoregressive:
    """Blocks in chains: what `predict` draws in one go."""

    @pytest.fixture
    def chain(self, put: Any, tiny_state: Downscaler) -> Any:
        return partial(put, model=tiny_state, coherence="autoregressive")

    @pytest.fixture
    def expected(self, days: Any, tiny_state: Downscaler, quick: Any) -> xr.DataArray:
        return predict(days(), tiny_state, members=2, coherence="autoregressive", **quick)

    @pytest.mark.parametrize("block", [{"time": 2}, {"time": 1, "realization": 2}, None], ids=str)
    @pytest.mark.parametrize("lazy", [False, True])
    def test_is_what_predict_gives(
        self, days: Any, chain: Any, expected: xr.DataArray, tmp_path: Path, block: Any, lazy: bool
    ) -> None:
        chain(days().chunk(time=1) if lazy else days(), tmp_path / "a.zarr", chunks=block)
        np.testing.assert_array_equal(opened(tmp_path / "a.zarr").values, expected.values)
        assert verify(tmp_path / "a.zarr").complete

    def test_any_orientation_and_other_dimensions(
        self, days: Any, chain: Any, tiny_state: Downscaler, quick: Any, tmp_path: Path
    ) -> None:
        da = xr.concat([days(), 2 * days()], "number").assign_coords(number=[5, 9])
        da = da[..., ::-1, :].transpose("lon", "time", "lat", "number")
        chain(da, tmp_path / "a.zarr")
        expected = predict(da, tiny_state, members=2, coherence="autoregressive", **quick)
        found = opened(tmp_path / "a.zarr").transpose(*expected.dims)
        np.testing.assert_array_equal(found.values, expected.values)

    @pytest.mark.parametrize("lazy", [False, True])
    @pytest.mark.parametrize("first", [1, 2, 4])
    def test_goes_on(
        self, days: Any, chain: Any, expected: xr.DataArray, tmp_path: Path, first: int, lazy: bool
    ) -> None:
        with failing_at(first), pytest.raises(KeyboardInterrupt):
            chain(days(), tmp_path / "a.zarr")
        chain(days().chunk(time=3) if lazy else days(), tmp_path / "a.zarr")
        np.testing.assert_array_equal(opened(tmp_path / "a.zarr").values, expected.values)

    def test_what_follows_a_damaged_block_is_made_again(
        self, days: Any, chain: Any, expected: xr.DataArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chain(days(), tmp_path / "a.zarr")
        (tmp_path / "a.zarr/DUEXTTAU/c/1/1/0/0").unlink()
        made, draw = [], module.drawn

        def noted(*given: Any) -> Any:
            made.append(given[2].index)
            return draw(*given)

        monkeypatch.setattr(module, "drawn", noted)
        chain(days(), tmp_path / "a.zarr")
        assert made == [(1, 1), (1, 2)]
        np.testing.assert_array_equal(opened(tmp_path / "a.zarr").values, expected.values)

    def test_goes_on_from_an_earlier_result(
        self, days: Any, chain: Any, tiny_state: Downscaler, quick: Any, tmp_path: Path
    ) -> None:
        options = {"members": 2, "coherence": "autoregressive", **quick}
        state = predict(days(2), tiny_state, **options)[:, -1:]
        chain(days()[2:], tmp_path / "a.zarr", state=state)
        expected = predict(days()[2:], tiny_state, state=state, **options)
        np.testing.assert_array_equal(opened(tmp_path / "a.zarr").values, expected.values)
        with pytest.raises(ValueError, match=r"its state is .*, here .*"):
            chain(days()[2:], tmp_path / "a.zarr", state=2 * state)

    def test_times_that_do_not_rise(self, days: Any, chain: Any, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="times do not rise: sort them"):
            chain(days()[::-1], tmp_path / "a.zarr")
        assert not (tmp_path / "a.zarr").exists()


class TestAnotherJob:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"seed": 1}, "its seed is 0, here 1"),
            ({"members": 3}, "its members is 2, here 3"),
            ({"product": "mean"}, "its product is draw, here mean"),
            ({"sampler": Sampler("euler", 2)}, "its sampler is .*midpoint.* here .*euler"),
            ({"tiling": Tiling(patch=256)}, "its tiling is .*None.* here .*256"),
            ({"conserve": False}, "its conserve is True, here False"),
        ],
        ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
    )
    def test_another_option(self, days: Any, put: Any, tmp_path: Path, options: Any, said: str) -> None:
        with failing_at(1), pytest.raises(KeyboardInterrupt):
            put(days(), tmp_path / "a.zarr")
        before = tree(tmp_path / "a.zarr")
        with pytest.raises(ValueError, match=said):
            put(days(), tmp_path / "a.zarr", **options)
        assert tree(tmp_path / "a.zarr") == before

    def test_what_changes_no_bit_is_not_asked(self, days: Any, put: Any, tmp_path: Path) -> None:
        put(days(), tmp_path / "a.zarr", tiling=Tiling(batch=1))
        put(days(), tmp_path / "a.zarr", tiling=Tiling(batch=3), domain_check="warn", progress=False)

    def test_another_model(
        self, days: Any, put: Any, tiny_model: Downscaler, checkpoint: str, tmp_path: Path
    ) -> None:
        put(days(), tmp_path / "a.zarr")
        put(days(), tmp_path / "a.zarr", checkpoint)  # the same, from a file
        other = tiny_model.with_card(replace(tiny_model.card, residual_scale=0.3))
        with pytest.raises(ValueError, match=r"its model is tiny 1\.2, .* here tiny 1\.2, "):
            put(days(), tmp_path / "a.zarr", other)
        with pytest.raises(ValueError, match="compiled"):
            put(days(), tmp_path / "a.zarr", tiny_model.compiled(backend="eager"))

    @pytest.mark.parametrize("lazy", [False, True])
    def test_another_input(self, days: Any, put: Any, tmp_path: Path, lazy: bool) -> None:
        with failing_at(2), pytest.raises(KeyboardInterrupt):
            put(days(), tmp_path / "a.zarr")  # days 0 to 3 of the first member are done
        other = days()
        other[1, 0, 0] += 1e-9
        with pytest.raises(ValueError, match="other values of the input, among them those of times 0 to 1"):
            put(other.chunk(time=1) if lazy else other, tmp_path / "a.zarr")
        later = days().assign_coords(time=days().time + np.timedelta64(1, "D"))
        with pytest.raises(ValueError, match=r"its times is 5, .* here 5, "):
            put(later, tmp_path / "a.zarr")
        with pytest.raises(ValueError, match=r"its times is 5, .* here 6, "):
            put(days(6), tmp_path / "a.zarr")
        with pytest.raises(ValueError, match="its grid is "):
            put(days(5, y=(241, 4)), tmp_path / "a.zarr")

    def test_values_that_no_block_has_seen_yet_may_differ(self, days: Any, put: Any, tmp_path: Path) -> None:
        """What is done is also what the new input gives: the result is wholly the new input's."""
        with failing_at(1), pytest.raises(KeyboardInterrupt):
            put(days(), tmp_path / "a.zarr")  # days 0 and 1
        other = days()
        other[4] *= 1.5
        put(other, tmp_path / "a.zarr")
        put(other, tmp_path / "b.zarr")
        np.testing.assert_array_equal(opened(tmp_path / "a.zarr").values, opened(tmp_path / "b.zarr").values)


class TestWhatIsThere:
    def test_another_store_is_replaced_when_asked(self, days: Any, put: Any, tmp_path: Path) -> None:
        put(days(), tmp_path / "a.zarr", seed=1)
        put(days(), tmp_path / "a.zarr", overwrite=True)
        put(days(), tmp_path / "b.zarr")
        assert tree(tmp_path / "a.zarr") == tree(tmp_path / "b.zarr")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]

    def test_the_same_job_is_gone_on_with(
        self, days: Any, put: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(days(), tmp_path / "a.zarr")
        monkeypatch.setattr(Place, "remove", lambda _: pytest.fail("removed what has the same bits"))
        put(days(), tmp_path / "a.zarr", overwrite=True)

    def test_nothing_is_removed_before_all_is_checked(self, days: Any, put: Any, tmp_path: Path) -> None:
        put(days(), tmp_path / "a.zarr", seed=1)
        before = tree(tmp_path / "a.zarr")
        for bad in ({"members": 0}, {"chunks": {"time": 0}}, {"sampler": "heun"}):
            with pytest.raises(ValueError, match=r"0|heun"):
                put(days(), tmp_path / "a.zarr", overwrite=True, **bad)
        assert tree(tmp_path / "a.zarr") == before

    @pytest.mark.parametrize("kind", ["folder", "file"])
    def test_what_is_no_store_is_never_removed(self, days: Any, put: Any, tmp_path: Path, kind: str) -> None:
        target = tmp_path / "home"
        if kind == "folder":
            target.mkdir()
            (target / "thesis.txt").write_text("mine")
        else:
            target.write_text("mine")
        with pytest.raises(FileExistsError, match="exists and is no store"):
            put(days(), target)
        with pytest.raises(FileExistsError, match="is no zarr store: it is not replaced"):
            put(days(), target, overwrite=True)
        assert (target / "thesis.txt" if kind == "folder" else target).read_text() == "mine"

    def test_an_empty_folder_is_room(self, days: Any, put: Any, tmp_path: Path) -> None:
        (tmp_path / "a.zarr").mkdir()
        put(days(), tmp_path / "a.zarr")
        assert verify(tmp_path / "a.zarr").complete


class TestFaults:
    @pytest.mark.parametrize(("lazy", "scheduler"), [(False, "synchronous"), (True, "threads")])
    def test_a_full_disk(
        self, days: Any, put: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lazy: bool, scheduler: str
    ) -> None:
        """No chunk is written behind the second: a clear error, no wrong number, and then the same bits."""
        from zarr.storage import LocalStore

        da = days().chunk(time=1) if lazy else days()
        write, chunks = LocalStore.set, []

        async def full(self: Any, key: str, value: Any) -> None:
            if "DUEXTTAU/c/" in key:
                chunks.append(key)
                if len(chunks) > 2:
                    raise OSError(28, "No space left on device")
            await write(self, key, value)

        with monkeypatch.context() as patch, ThreadPoolExecutor(2) as pool:
            patch.setattr(LocalStore, "set", full)  # until the last thread has ended: some outlive the error
            with (
                dask.config.set(scheduler=scheduler, pool=pool),
                pytest.raises(OSError, match=r"block \(\d, \d\) of .*a\.zarr could not be written") as told,
            ):
                put(da, tmp_path / "a.zarr")
        assert told.value.errno == 28
        assert "the same call goes on" in str(told.value)
        report = verify(tmp_path / "a.zarr")
        assert (report.sound, report.done) == (True, 2)
        put(da, tmp_path / "a.zarr")
        put(days(), tmp_path / "b.zarr")
        np.testing.assert_array_equal(opened(tmp_path / "a.zarr").values, opened(tmp_path / "b.zarr").values)

    def test_killed(self, days: Any, put: Any, checkpoint: str, quick: Any, tmp_path: Path) -> None:
        """SIGKILL of the job, two times at random moments; then gone on with."""
        put(days(), tmp_path / "whole.zarr", checkpoint)
        kill_and_go_on(days(), tmp_path, checkpoint, quick, kills=2, seed=0)
        put(days(), tmp_path / "a.zarr", checkpoint)
        assert tree(tmp_path / "a.zarr") == tree(tmp_path / "whole.zarr")


def kill_and_go_on(da: Any, folder: Path, model: str, quick: Any, *, kills: int, seed: int) -> list[int]:
    """Start the job in a process of its own and kill it, several times; the blocks done after each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["xdownscale.inference.store", "xdownscale.inference.chunked", "zarr"])
    options = {"members": 2, "chunks": {"time": 2}, "progress": False} | quick
    rng, done = np.random.default_rng(seed), []
    for _ in range(kills):
        process = context.Process(target=to_zarr, args=(da, folder / "a.zarr", model), kwargs=options)
        process.start()
        time.sleep(float(rng.uniform(0.05, 2.0)))
        process.kill()
        process.join()
        report = verify(folder / "a.zarr") if (folder / "a.zarr/ledger/job.json").exists() else None
        assert report is None or report.sound, str(report)
        done.append(0 if report is None else report.done)
    return done


class failing_at:  # noqa: N801 - a context
    """Nothing more is recorded behind so many blocks: as if the job were killed there."""

    def __init__(self, blocks: int) -> None:
        self.left, self.write = blocks, Place.write

    def __enter__(self) -> None:
        def stopping(place: Place, key: str, content: bytes) -> None:
            if "/blocks/" in key:
                self.left -= 1
                if self.left < 0:
                    raise KeyboardInterrupt
            self.write(place, key, content)

        Place.write = stopping  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        Place.write = self.write  # type: ignore[method-assign]
