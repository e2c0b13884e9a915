"""Laws of lazy results and of stores: any cut on any scheduler, and jobs and workers killed at random."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Any, Self

import dask
import distributed
import numpy as np
import pytest
import xarray as xr

import xdownscale
from xdownscale import Sampler, Tiling, predict
from xdownscale.grid import MERRA2
from xdownscale.inference.ledger import verify
from xdownscale.inference.store import to_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from xdownscale.models.downscaler import Downscaler

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]

CHUNKS = [{"time": 1}, {"time": 2}, {"time": (3, 1, 2)}, {"time": -1}, {"time": 4, "lat": 3, "lon": 2}]
BATCHES = [1, 2, 5]
WINDOW = MERRA2.window((240, 3), (360, 4))
OPTIONS: dict[str, Any] = {
    "members": 2, "domain_check": "ignore", "sampler": Sampler("euler", 1), "device": "cpu",
}  # fmt: skip


def tiling(batch: int) -> Tiling:
    return Tiling(patch=48, halo=8, ramp=8, batch=batch)


@pytest.fixture
def coarse(tiny_model: Downscaler) -> xr.DataArray:
    """Six July days out of order, one of them empty."""
    card = tiny_model.card
    values = np.random.default_rng(5).gamma(2.0, 0.15, (6, *WINDOW.shape))
    values[2] = np.nan
    time = np.datetime64("2005-07-01T12", "ns") + np.array([3, 0, 1, 2, 5, 4]) * np.timedelta64(1, "D")
    coordinates = {"time": time, "lat": WINDOW.y.values, "lon": WINDOW.x.values}
    attrs = {"units": card.units, "standard_name": card.standard_name}
    return xr.DataArray(values, coordinates, ("time", "lat", "lon"), card.variable, attrs)


@pytest.fixture
def checkpoint(tiny_model: Downscaler, tmp_path: Path) -> str:
    xdownscale.save(tiny_model, tmp_path / "tiny.safetensors")
    return str(tmp_path / "tiny.safetensors")


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[distributed.Client]:
    """As many worker processes as asked for, one thread each."""
    options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.Client(n_workers=getattr(request, "param", 2), **options) as client:
        yield client


def check_all(coarse: xr.DataArray, model: Any, scheduler: str | None) -> None:
    """Five chunkings and three batch sizes give the bits of the field in memory."""
    expected = predict(coarse, model, tiling=tiling(1), **OPTIONS).values
    for chunks, batch in product(CHUNKS, BATCHES):
        lazy = predict(coarse.chunk(chunks), model, tiling=tiling(batch), **OPTIONS)
        np.testing.assert_array_equal(lazy.compute(scheduler=scheduler).values, expected)


class TestBits:
    @pytest.mark.parametrize("batch", BATCHES)
    def test_in_memory(self, coarse: xr.DataArray, checkpoint: str, batch: int) -> None:
        one, other = (predict(coarse, checkpoint, tiling=tiling(b), **OPTIONS).values for b in (1, batch))
        np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
    def test_schedulers(self, coarse: xr.DataArray, checkpoint: str, scheduler: str) -> None:
        with dask.config.set(num_workers=2):
            check_all(coarse, checkpoint, scheduler)

    def test_processes(self, coarse: xr.DataArray, checkpoint: str) -> None:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(2, spawn) as pool, dask.config.set(pool=pool):
            check_all(coarse, checkpoint, "processes")

    @pytest.mark.parametrize("cluster", [1, 2], indirect=True)
    def test_workers(self, coarse: xr.DataArray, checkpoint: str, cluster: distributed.Client) -> None:
        check_all(coarse, checkpoint, None)

    def test_a_model_in_memory_reaches_workers(
        self, coarse: xr.DataArray, tiny_model: Downscaler, cluster: distributed.Client
    ) -> None:
        lazy = predict(coarse.chunk(time=1), tiny_model, tiling=tiling(1), **OPTIONS)
        expected = predict(coarse, tiny_model, tiling=tiling(1), **OPTIONS)
        np.testing.assert_array_equal(lazy.compute().values, expected.values)

    def test_workers_of_several_threads(self, coarse: xr.DataArray, checkpoint: str) -> None:
        expected = predict(coarse, checkpoint, tiling=tiling(1), **OPTIONS)

        def inside_a_block() -> int:
            import torch

            from xdownscale.inference.block import _torch_threads

            torch.set_num_threads(2)
            with _torch_threads():
                return torch.get_num_threads()

        with distributed.Client(n_workers=1, threads_per_worker=3, dashboard_address=None) as client:
            lazy = predict(coarse.chunk(time=1), checkpoint, tiling=tiling(1), **OPTIONS)
            np.testing.assert_array_equal(lazy.compute().values, expected.values)
            inside = client.submit(inside_a_block, pure=False).result()
        assert inside == 1


class TestKilled:
    def test_jobs(self, coarse: xr.DataArray, checkpoint: str, tmp_path: Path, monkeypatch: Any) -> None:
        """Twenty SIGKILLs at random moments, each store gone on with: the bytes of one left alone."""
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
        given = OPTIONS | {"tiling": tiling(1), "chunks": {"time": 1}, "progress": False}
        with dask.config.set(scheduler="synchronous"):
            began = time.monotonic()
            to_zarr(coarse, tmp_path / "whole.zarr", checkpoint, **given)
            length = time.monotonic() - began
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["xdownscale.inference.store", "xdownscale.inference.chunked", "zarr"])
        rng, done = np.random.default_rng(1), []
        for number in range(20):
            store = tmp_path / f"{number}.zarr"
            process = context.Process(target=to_zarr, args=(coarse, store, checkpoint), kwargs=given)
            process.start()
            time.sleep(float(rng.uniform(0.1, 1.0 + 1.5 * length)))
            process.kill()
            process.join()
            again = given
            if (store / "ledger/job.json").exists():
                report = verify(store)
                assert report.sound, str(report)
                done.append(report.done)
                again = given | {"chunks": {"time": 3}} if report.done else given
            to_zarr(coarse, store, checkpoint, **again)
            assert self.tree(store) == self.tree(tmp_path / "whole.zarr"), f"job {number}"
        assert any(0 < n < 12 for n in done), f"no job was killed in the middle: {done}"

    def tree(self, folder: Path) -> dict[str, str]:
        files = (p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".part", ".partial"))
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    def test_a_worker(
        self, coarse: xr.DataArray, checkpoint: str, tmp_path: Path, cluster: distributed.Client
    ) -> None:
        """One of two is killed when some blocks are done: the rest is drawn, and the bits are the same."""
        given = OPTIONS | {"members": 4, "tiling": tiling(1), "chunks": {"time": 1}}
        expected = predict(coarse, checkpoint, **{k: v for k, v in given.items() if k != "chunks"})
        victims = list(cluster.run(os.getpid).values())
        killed: list[int] = []

        class Killing:
            """The bar of the job: its third step kills a worker."""

            def __enter__(self) -> Self:
                self.steps = 0
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def update(self, _: int = 1) -> None:
                self.steps += 1
                if self.steps == 3:
                    os.kill(victims[0], signal.SIGKILL)
                    killed.append(victims[0])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("xdownscale.inference.store._bar", lambda *_: Killing())
            to_zarr(coarse.chunk(time=1), tmp_path / "a.zarr", checkpoint, **given)
        assert killed == victims[:1]
        assert verify(tmp_path / "a.zarr").complete
        with xr.open_zarr(tmp_path / "a.zarr", consolidated=False) as found:
            np.testing.assert_array_equal(found.DUEXTTAU.values, expected.values)
        chunk = tmp_path / "a.zarr/DUEXTTAU/c/3/4/0/0"
        before = chunk.read_bytes()
        chunk.unlink()  # the cluster must not take it for done because it has done it before
        to_zarr(coarse.chunk(time=1), tmp_path / "a.zarr", checkpoint, **given)
        assert chunk.read_bytes() == before


class TestFull:
    def test_a_small_disk(self, coarse: xr.DataArray, checkpoint: str, tmp_path: Path) -> None:
        """A tmpfs of 160 kB, where this machine lets us mount one."""
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(disk)]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("a tmpfs cannot be mounted here")
        given = OPTIONS | {"tiling": tiling(1), "chunks": {"time": 1}, "progress": False}
        try:
            with pytest.raises(OSError, match=r"could not be written .*No space left on device"):
                to_zarr(coarse, disk / "a.zarr", checkpoint, **given)
            report = verify(disk / "a.zarr")
            assert report.sound, str(report)
            assert 0 < report.done < 12
            subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
            to_zarr(coarse, disk / "a.zarr", checkpoint, **given)
            expected = predict(coarse, checkpoint, tiling=tiling(1), **OPTIONS)
            with xr.open_zarr(disk / "a.zarr", consolidated=False) as found:
                np.testing.assert_array_equal(found.DUEXTTAU.values, expected.values)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
