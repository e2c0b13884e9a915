"""Laws of the nature run: weather as prescribed, one world for all runs, resumed to the bit."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from xdownscale.data.nature_run import NatureRun, open_coarse, open_fine, simulate, write
from xdownscale.data.nature_run.geography import SOURCES, activity, sources, terrain
from xdownscale.data.nature_run.simulate import _World
from xdownscale.data.nature_run.weather import EARTH, Eddies, mean_flow
from xdownscale.grid import Axis, Grid, coarsening

pytestmark = pytest.mark.slow

BOX = NatureRun("2005-06-20", days=7, seed=11, region=(27.0, 34.0, 42.0, 50.0), spinup=1)
ROOT = pathlib.Path(__file__).resolve().parents[2]


def digest(store, *, fine=True):
    """Of all that a store holds of the simulation."""
    fields = [open_coarse(store)[name].values for name in ("DUEXTTAU", "U10M", "V10M")]
    fields += [open_fine(store).DUEXTTAU.values] if fine else []
    assert all(np.isfinite(field).all() for field in fields)
    return hashlib.sha256(b"".join(field.tobytes() for field in fields)).hexdigest()


@pytest.mark.parametrize("fine", [True, False], ids=["fine", "coarse only"])
def test_killed_at_any_day_it_ends_with_the_same_digest(tmp_path, fine):
    run = BOX if fine else replace(BOX, stride=4)
    whole = digest(write(run, tmp_path / "whole.zarr", fine=fine), fine=fine)
    store = tmp_path / "killed.zarr"
    code = (
        "from xdownscale.data.nature_run import NatureRun, write\n"
        f"run = NatureRun(**{run.to_dict()!r})\n"
        f"write(run, {str(store)!r}, fine={fine}, every=3, report=lambda n: print(n, flush=True))"
    )
    for last in (2, 4):  # before the first state on disk, and between two
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ}
        ) as job:
            assert job.stdout is not None
            for line in job.stdout:
                if int(line) >= last:
                    break
            os.kill(job.pid, signal.SIGKILL)
        assert job.returncode == -signal.SIGKILL
    assert not np.isfinite(open_coarse(store).DUEXTTAU.values[-1]).any()
    assert digest(write(run, store, fine=fine, every=3), fine=fine) == whole


def test_the_twin_is_exact_on_every_day_and_stride():
    for run in (BOX, replace(BOX, stride=2, days=2), replace(BOX, stride=4, days=2)):
        operator = coarsening(run.grid, run.coarse)
        for day in simulate(run):
            np.testing.assert_array_equal(day.coarse, operator(day.fine).astype(np.float32))
            area = run.grid.area
            assert day.coarse.min() >= day.fine.min() >= 1e-4
            assert day.coarse.max() <= day.fine.max()
            assert day.coarse.mean() == pytest.approx((day.fine * area).sum() / area.sum(), rel=0.15)


def test_another_seed_gives_other_weather_in_the_same_world():
    worlds = [_World(replace(BOX, seed=seed)) for seed in (1, 2)]
    assert torch.equal(worlds[0].height, worlds[1].height)
    winds = [world.eddies.wind(world.eddies.draw(0)) for world in worlds]
    assert abs(np.corrcoef(winds[0].ravel(), winds[1].ravel())[0, 1]) < 0.15  # a hundred modes count
    one, other = ([day.fine for day in simulate(replace(BOX, seed=seed, days=3))] for seed in (1, 2))
    a, b = (np.log(np.stack(x)) - np.log(np.stack(x)).mean(axis=0) for x in (one, other))
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.4  # three days are few


@pytest.mark.parametrize("stride", [2, 4])
def test_a_coarser_run_sees_block_means_of_the_world(stride):
    run = replace(BOX, stride=stride)
    ny, nx = run.grid.shape
    blocks = terrain(run.cells).reshape(ny, stride, nx, stride).mean(axis=(1, 3))
    np.testing.assert_allclose(_World(run).height.numpy(), blocks, atol=1e-6)
    assert run.grid.y.edges[0] == pytest.approx(run.cells.y.edges[0])
    assert run.grid.x.edges[-1] == pytest.approx(run.cells.x.edges[-1])


def test_a_coarser_run_has_the_finer_ones_weather():
    fine = np.stack([day.coarse for day in simulate(replace(BOX, days=5, spinup=4))])
    coarse = np.stack([day.coarse for day in simulate(replace(BOX, days=5, spinup=4, stride=4))])
    assert np.corrcoef(np.log(fine).ravel(), np.log(coarse).ravel())[0, 1] > 0.95
    assert coarse.mean() == pytest.approx(fine.mean(), rel=0.1)


@pytest.mark.parametrize(
    "region", [(28.0, 34.0, 44.0, 52.0), (36.0, 42.0, 74.0, 84.0), (10.0, 13.0, 34.0, 39.0)]
)
def test_a_boxs_world_is_the_crop_of_the_whole(region):
    small, whole = NatureRun(region=region).cells, NatureRun(region=(10.0, 44.0, 34.0, 88.0)).cells
    y, x = small.y.start - whole.y.start, small.x.start - whole.x.start
    crop = (slice(y, y + small.y.size), slice(x, x + small.x.size))
    np.testing.assert_allclose(terrain(small), terrain(whole)[crop], atol=2e-6)
    np.testing.assert_allclose(sources(small, 5.0), sources(whole, 5.0)[crop], rtol=2e-5, atol=1e-6)


def test_a_boxs_weather_is_the_crop_of_the_wholes():
    small, large = (NatureRun(days=1, spinup=0, region=r) for r in ((30, 34, 44, 48), (28, 36, 40, 52)))
    one, other = (next(simulate(run)).wind for run in (small, large))
    y = round((small.coarse.y.values[0] - large.coarse.y.values[0]) / 0.5)
    x = round((small.coarse.x.values[0] - large.coarse.x.values[0]) / 0.625)
    crop = other[:, y : y + one.shape[1], x : x + one.shape[2]]
    np.testing.assert_allclose(one, crop, atol=1e-4)


def test_eddies_have_the_prescribed_rms_and_spectrum():
    eddies = Eddies(5)
    modes = np.stack([eddies.draw(hour) for hour in range(40)])
    power = (np.abs(modes) ** 2).mean(axis=0)
    assert power.mean() == pytest.approx(1.0, rel=0.01)
    wind = np.mean([(eddies.wind(m).astype(np.float64) ** 2).sum(axis=0).mean() for m in modes])
    assert np.sqrt(wind) == pytest.approx(eddies.rms, rel=0.05)
    k = np.hypot(*eddies.wavenumbers)
    energy = (np.abs(eddies.amplitude) ** 2 * k**2 * power).astype(np.float64)
    bands = [(2, 6), (6, 15), (15, 40), (40, 80)]
    measured = np.array([energy[(k >= low) & (k < high)].sum() for low, high in bands])
    shape = np.where((k > 1.5) & (k < 80), (k**2 + 120) ** -4.4 * k**2, 0.0)
    expected = np.array([shape[(k >= low) & (k < high)].sum() for low, high in bands])
    np.testing.assert_allclose(measured / measured.sum(), expected / expected.sum(), rtol=0.1)
    assert eddies.amplitude[(k <= 1.5) | (k >= 80)].max() == 0.0


def test_modes_forget_at_the_prescribed_rate():
    eddies, lag, hours = Eddies(6), 24, 240
    history = [eddies.draw(0)]
    for hour in range(1, hours):
        history.append(eddies.step(history[-1], hour))
    z = np.stack(history)
    k = np.hypot(*eddies.wavenumbers)
    for low, high in ((4, 8), (8, 20), (20, 50), (50, 100)):
        band = (k >= low) & (k < high)
        product = np.real(z[lag:, band] * z[:-lag, band].conj()).mean()
        expected = (eddies.memory[band] ** lag).mean()
        assert product / (np.abs(z[:, band]) ** 2).mean() == pytest.approx(expected, abs=0.03)
        prescribed = np.clip(240.0 * (k[band] / 3) ** (-2 / 3), 12.0, 300.0)
        np.testing.assert_allclose(eddies.memory[band], np.exp(-1 / prescribed), rtol=1e-12)


def test_the_eddy_wind_has_no_divergence_on_the_sphere():
    """At the plane's nodes, where reading is exact: div = (du/dlambda + d(v cos phi)/dphi) / (R cos phi)."""
    eddies = Eddies(7)
    plane = eddies.wind(eddies.draw(0))
    degree = np.rad2deg(eddies.spacing / EARTH)
    middle = np.cos(np.deg2rad(33.0))
    y = Axis(10.0 - 12 * degree, degree, 12, 120, "latitude")
    x = Axis(34.0 - 12 * degree / middle, degree / middle, 12, 150, "longitude")
    u, v = _World(BOX)._reader(Grid(y, x))(torch.from_numpy(plane)).numpy()
    cos = np.cos(np.deg2rad(y.values))[:, None]
    nodes = (slice(12, 132), slice(12, 162))
    np.testing.assert_allclose(u, plane[0][nodes], atol=2e-3)
    np.testing.assert_allclose(v * cos / middle, plane[1][nodes], atol=2e-3)
    # so that R cos(phi) div is the plane's divergence; exact there, mode by mode
    ky, kx = (2 * np.pi * k / 9.4e6 for k in eddies.wavenumbers)
    hat = [np.fft.fft2(part.astype(np.float64)) for part in plane]
    divergence = np.fft.ifft2(1j * kx * hat[0] + 1j * ky * hat[1]).real
    vorticity = np.fft.ifft2(1j * kx * hat[1] - 1j * ky * hat[0]).real
    assert divergence.std() < 1e-5 * vorticity.std()


def test_sources_follow_their_months():
    months = np.arange(1.0, 13.0)
    for box in SOURCES:
        lat, lon = np.mean(box.lat), np.mean(box.lon)
        window = NatureRun(region=(lat - 0.6, lat + 0.6, lon - 0.6, lon + 0.6)).cells
        year = np.array([sources(window, month).mean() for month in months])
        apart = abs((months[year.argmax()] - box.peak + 6) % 12 - 6)
        assert apart <= 1.2, box.name
        assert year.max() > 4 * year.min(), box.name
    assert [round(activity(m, 7.3, 1.7), 4) for m in (7.3, 9.0, 1.3)] == [1.0, 0.3679, 0.0]
    np.testing.assert_allclose(activity(12.9, 1.0, 1.0), activity(1.1, 1.0, 1.0), rtol=1e-12)


def test_the_jet_follows_the_sun():
    lat, lon = np.arange(20.0, 56.0), np.array([130.0])
    winter, summer = (lat[mean_flow(lat, lon, month)[0, :, 0].argmax()] for month in (1.3, 7.3))
    assert (winter, summer) == (34.0, 43.0)


def test_the_acceptance_benchmark_runs():
    script = ROOT / "benchmarks" / "nature_run_acceptance.py"
    done = subprocess.run(
        [sys.executable, str(script)], check=True, capture_output=True, text=True, env={**os.environ}
    )
    table = done.stdout.splitlines()
    assert table[0] == "| quantity | measured | target | met |"
    assert any(
        re.match(r"\| coarse twin = A.fine.*\| same bits \| same bits \| yes \|", line) for line in table
    )
    measured = next(line for line in table if "west-east |" in line and "decorrelation" in line)
    assert 50 < float(measured.split("|")[2].split()[0]) < 600
