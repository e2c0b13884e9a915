"""The main job: real hourly MERRA-2 granules, daily means, the bundled model, CF output."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

import xdownscale
from xdownscale.cf import to_dataset
from xdownscale.grid import G5NR, MERRA2, Grid, coarsening, refined

if TYPE_CHECKING:
    import pathlib

    import xarray as xr

pytestmark = pytest.mark.filterwarnings("ignore::xdownscale.registry.SyntheticModelWarning")


@pytest.fixture(scope="module")
def coarse(real_data: pathlib.Path) -> xr.DataArray:
    """Five daily means over central Asia, the Taklamakan storm among them."""
    data = xdownscale.open_merra2(
        str(real_data / "merra2" / "MERRA2_*.nc"), variables=["DUEXTTAU"], daily=True
    )
    return data.DUEXTTAU.sel(lat=slice(34.0, 44.0), lon=slice(74.0, 92.0))


@pytest.fixture(scope="module")
def fine(coarse: xr.DataArray) -> xr.DataArray:
    return coarse.downscale.predict(model="jja_asia", members=2, seed=3).isel(time=[2, 4])


def test_the_grid_is_exact(coarse: xr.DataArray, fine: xr.DataArray) -> None:
    np.testing.assert_array_equal(fine.lat.values, 33.75 + 0.0625 * np.arange(fine.sizes["lat"]))
    assert fine.sizes["lat"] == 8 * 21 + 1
    west = float(coarse.lon[0]) - 0.3125
    np.testing.assert_array_equal(fine.lon.values, west + 0.0625 * np.arange(10 * coarse.sizes["lon"] + 1))


def test_the_coarse_mean_is_the_input(coarse: xr.DataArray, fine: xr.DataArray) -> None:
    grid = Grid(MERRA2.y.locate(coarse.lat.values), MERRA2.x.locate(coarse.lon.values))
    mean = coarsening(refined(grid, G5NR), grid)(fine.values)
    np.testing.assert_allclose(mean, np.broadcast_to(coarse.values[[2, 4]], mean.shape), rtol=1e-5)


def test_members_differ_and_hold_more_detail_than_the_input(coarse: xr.DataArray, fine: xr.DataArray) -> None:
    logs = np.log(fine.values + 1e-3)
    assert np.std(logs[0] - logs[1]) > 0.05
    assert np.abs(np.diff(logs, axis=-1)).mean() > 0.005


def test_the_file_passes_the_compliance_checker(fine: xr.DataArray, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "fine.nc"
    to_dataset(fine).to_netcdf(path)
    code = (
        "import sys; from compliance_checker.runner import ComplianceChecker, CheckSuite\n"
        "CheckSuite.load_all_available_checkers()\n"
        f"ok, errors = ComplianceChecker.run_checker({str(path)!r}, ['cf:1.11'], 0, 'normal',"
        " output_format='text')\n"
        "sys.exit(0 if ok and not errors else 1)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # affine, called by rioxarray
def test_a_raster_opens_again(fine: xr.DataArray, tmp_path: pathlib.Path) -> None:
    import rioxarray

    path = tmp_path / "fine.tif"
    fine.isel(realization=0, time=0).rio.to_raster(path)
    with rioxarray.open_rasterio(path) as again:
        assert again.rio.crs.to_epsg() == 4326
        west, south, east, north = again.rio.bounds()
    half = 0.03125
    assert (south, north) == pytest.approx((float(fine.lat[0]) - half, float(fine.lat[-1]) + half))
    assert (west, east) == pytest.approx((float(fine.lon[0]) - half, float(fine.lon[-1]) + half))
