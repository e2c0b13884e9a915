"""The sample: cut from a coarse twin, written small, opened from the package."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale.data import sample
from xdownscale.data.nature_run import NatureRun, to_datasets
from xdownscale.grid import MERRA2


@pytest.fixture(scope="module")
def coarse():
    return to_datasets(NatureRun("2005-07-01", days=3, region=(28.0, 33.0, 42.0, 49.0), stride=4, spinup=0))[
        1
    ]


def test_a_sample_is_a_cut_of_the_twin(tmp_path, coarse):
    path = tmp_path / "sample.nc"
    sample.make_sample(coarse, path, box=(slice(1, 3), slice(0, 6), slice(2, 8)))
    with xr.open_dataset(path) as read:
        assert dict(read.sizes) == {"time": 2, "lat": 6, "lon": 6}
        assert list(read.data_vars) == ["DUEXTTAU"]
        assert read.DUEXTTAU.dtype == np.float32
        np.testing.assert_array_equal(read.DUEXTTAU, coarse.DUEXTTAU[1:3, :6, 2:8])
        np.testing.assert_array_equal(read.time.values, coarse.time.values[1:])
        assert read.attrs["synthetic"] == "true"
        assert read.radiation_wavelength.item() == 550.0


def test_the_bundled_sample_can_be_downscaled():
    data = sample.open_sample()
    assert data.DUEXTTAU.dims == ("time", "lat", "lon")
    assert data.DUEXTTAU.dtype == np.float32
    MERRA2.y.locate(data.lat.values)
    MERRA2.x.locate(data.lon.values)
    assert set(data.time.dt.month.values) <= {6, 7, 8}
    assert data.attrs["synthetic"] == "true"
    assert float(data.DUEXTTAU.min()) >= 1e-4
    assert 0.01 < float(data.DUEXTTAU.mean()) < 1.0
