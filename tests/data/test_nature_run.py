"""The nature run: the same world, seeded weather, exact coarse twin, resumable to the bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from xdownscale.data.nature_run import NatureRun, open_coarse, open_fine, simulate, to_datasets, write
from xdownscale.data.nature_run.geography import SOURCES, activity, sources, terrain
from xdownscale.data.nature_run.weather import EARTH, Eddies, mean_flow
from xdownscale.grid import coarsening

BOX = NatureRun("2005-07-01", days=3, seed=5, region=(28.0, 33.0, 42.0, 49.0), spinup=1)


@pytest.fixture(scope="module")
def days():
    return list(simulate(BOX))


def test_the_default_run_is_the_issues_domain():
    run = NatureRun()
    assert run.grid.shape == (736, 1616)
    assert (run.grid.y.values[0], run.grid.y.values[-1]) == (10.0, 55.9375)
    assert (run.grid.x.values[0], run.grid.x.values[-1]) == (34.0, 134.9375)
    assert run.coarse.shape == (91, 161)


def test_the_coarse_twin_is_the_conservative_mean(days):
    operator = coarsening(BOX.grid, BOX.coarse)
    for day in days:
        np.testing.assert_array_equal(day.coarse, operator(day.fine).astype(np.float32))


def test_same_seed_same_bits_other_seed_other_weather(days):
    again = next(simulate(BOX))
    np.testing.assert_array_equal(again.fine, days[0].fine)
    other = next(simulate(replace(BOX, seed=6)))
    assert np.abs(np.log(other.fine / days[0].fine)).mean() > 0.1


def test_means_of_six_hours_make_up_the_day(days):
    run = replace(BOX, hours=6)
    quarters = list(simulate(replace(run, days=1)))
    assert run.fields == 12
    assert {str(q.date) for q in quarters} == {"2005-07-01"}
    np.testing.assert_allclose(np.mean([q.fine for q in quarters], axis=0), days[0].fine, rtol=1e-5)
    assert np.abs(quarters[3].fine / quarters[0].fine - 1).max() > 0.05
    assert "hours" not in BOX.to_dict()
    assert run.to_dict()["hours"] == 6
    fine, coarse = to_datasets(replace(run, days=1, spinup=0))
    assert fine.time.dt.hour.values.tolist() == coarse.time.dt.hour.values.tolist() == [3, 9, 15, 21]
    with pytest.raises(ValueError, match="hours is 5: expected one of"):
        replace(BOX, hours=5)


def test_values_are_positive_and_of_the_right_size(days):
    fields = np.stack([d.fine for d in days])
    assert fields.min() >= 1e-4
    assert 0.01 < fields.mean() < 1.0
    assert np.isfinite(fields).all()


def test_going_on_from_a_state_gives_the_bits_of_going_through(days):
    rest = list(simulate(BOX, days[0].state))
    assert len(rest) == 2
    np.testing.assert_array_equal(rest[-1].fine, days[-1].fine)


def test_a_box_sees_the_world_of_the_whole():
    small, large = BOX.cells, NatureRun(region=(27.0, 35.0, 40.0, 50.0)).cells
    y, x = small.y.start - large.y.start, small.x.start - large.x.start
    window = slice(y, y + small.y.size), slice(x, x + small.x.size)
    np.testing.assert_allclose(terrain(small), terrain(large)[window], atol=1e-6)
    np.testing.assert_allclose(sources(small, 7.0), sources(large, 7.0)[window], atol=1e-5)


def test_a_coarser_run_sees_block_means_and_covers_the_same_cells():
    coarse = replace(BOX, stride=4)
    assert coarse.grid.shape == (20, 28)
    assert coarse.grid.y.values[0] == pytest.approx(28.0 + 1.5 / 16)
    assert coarse.coarse == BOX.coarse
    fields = [d.coarse for d in simulate(replace(coarse, days=2))]
    assert all(f.shape == BOX.coarse.shape and np.isfinite(f).all() for f in fields)


def test_eddies_have_the_prescribed_speed_and_memory():
    eddies = Eddies(3)
    modes = np.stack([eddies.draw(hour) for hour in range(12)])
    speed = np.sqrt(np.mean([(eddies.wind(m) ** 2).sum(axis=0).mean() for m in modes]))
    assert speed == pytest.approx(eddies.rms, rel=0.1)
    k = np.hypot(*eddies.wavenumbers)
    three = np.unravel_index(np.argmin(np.abs(k - 3)), k.shape)
    assert -1 / np.log(eddies.memory[three]) == pytest.approx(240.0, rel=0.05)
    hundred = np.unravel_index(np.argmin(np.abs(k - 100)), k.shape)
    assert -1 / np.log(eddies.memory[hundred]) == pytest.approx(240 * (100 / 3) ** (-2 / 3), rel=0.05)


def test_a_step_keeps_the_variance_and_the_lag():
    eddies, rng_hours = Eddies(4), range(1, 200)
    first = modes = eddies.draw(0)
    for hour in rng_hours:
        modes = eddies.step(modes, hour)
    large = eddies.amplitude > np.quantile(eddies.amplitude, 0.99)
    assert np.mean(np.abs(modes[large]) ** 2) == pytest.approx(1.0, rel=0.15)
    lag = np.real(np.vdot(first[large], modes[large])) / np.sum(np.abs(first[large]) ** 2)
    expected = np.mean(eddies.memory[large] ** len(rng_hours))
    assert lag == pytest.approx(expected, abs=0.15)


def test_the_eddy_wind_is_non_divergent_on_the_plane():
    eddies = Eddies(1)
    u, v = eddies.wind(eddies.draw(0)).astype(np.float64)
    y, x = eddies.wavenumbers
    divergence = np.fft.ifft2(1j * x * np.fft.fft2(u) + 1j * y * np.fft.fft2(v)).real
    gradient = np.fft.ifft2(1j * x * np.fft.fft2(u)).real
    assert divergence.std() < 1e-5 * gradient.std()


def test_seasons_peak_where_the_literature_puts_them():
    assert activity(7.3, 7.3, 1.7) == 1.0
    assert activity(1.0, 12.5, 2.0) == pytest.approx(activity(12.0, 12.5, 2.0))
    peaks = {box.name: box.peak for box in SOURCES}
    assert 6 <= peaks["Sistan"] <= 8
    assert 4 <= peaks["W Taklamakan"] <= 5.5
    assert 4 <= peaks["Gobi"] <= 5
    lat, lon = np.array([32.0]), np.array([61.5])
    assert mean_flow(lat, lon, 7.3)[1, 0, 0] == pytest.approx(-8.0, abs=0.5)
    assert abs(mean_flow(lat, lon, 1.0)[1, 0, 0]) < 0.5
    assert pytest.approx(6.371e6) == EARTH


def test_datasets_say_that_they_are_synthetic():
    fine, coarse = to_datasets(replace(BOX, days=1, spinup=0))
    assert fine.attrs["synthetic"] == "true"
    assert "simulation" in coarse.attrs["source"]
    assert fine.time.values[0] == np.datetime64("2005-07-01T12:00")
    assert set(coarse.data_vars) == {"DUEXTTAU", "U10M", "V10M"}
    assert coarse.U10M.attrs["units"] == "m s-1"


def test_a_store_holds_the_run_and_refuses_another(tmp_path, days):
    store = write(BOX, tmp_path / "run.zarr", every=1)
    np.testing.assert_array_equal(open_fine(store).DUEXTTAU.values, np.stack([d.fine for d in days]))
    np.testing.assert_array_equal(open_coarse(store).V10M.values, np.stack([d.wind[1] for d in days]))
    assert write(BOX, store) == store
    with pytest.raises(ValueError, match="holds another run"):
        write(replace(BOX, seed=9), store)
    (tmp_path / "else.zarr").mkdir()
    with pytest.raises(ValueError, match="not a nature run"):
        write(BOX, tmp_path / "else.zarr")


def test_a_coarse_only_record_keeps_no_fine_field(tmp_path):
    store = write(replace(BOX, days=1, stride=4, spinup=0), tmp_path / "record.zarr", fine=False)
    assert "DUEXTTAU" not in xr.open_zarr(store, chunks=None, consolidated=False)
    assert np.isfinite(open_coarse(store).DUEXTTAU.values).all()


def test_a_killed_run_ends_with_the_same_bits(tmp_path, days):
    store = tmp_path / "killed.zarr"
    code = (
        "from xdownscale.data.nature_run import NatureRun, write\n"
        f"run = NatureRun(**{BOX.to_dict()!r})\n"
        f"write(run, {str(store)!r}, every=1, report=lambda n: print(n, flush=True))"
    )
    job = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ})
    assert job.stdout is not None
    assert job.stdout.readline().strip() == b"1"
    time.sleep(0.05)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    job.stdout.close()
    write(BOX, store, every=1)
    np.testing.assert_array_equal(open_fine(store).DUEXTTAU.values, np.stack([d.fine for d in days]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"days": 0}, "days is 0: expected at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"region": (30.0, 20.0, 40.0, 50.0)}, "expected .south, north, west, east."),
        ({"region": (30.0, 30.5, 40.0, 50.0)}, "expected at least 16"),
        ({"start": "yesterday"}, "yesterday"),
    ],
)
def test_bad_configurations_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(BOX, **change)
