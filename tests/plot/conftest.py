"""An evaluation of small fields."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics.evaluation import evaluate
from xdownscale.grid import G5NR, MERRA2, coarsening, refined


def fields() -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Prediction, truth and coarse field of six days."""
    coarse = MERRA2.window((200, 4), (300, 5))
    fine = refined(coarse, G5NR)
    rng = np.random.default_rng(0)
    times = np.datetime64("2005-06-01T12", "ns") + np.arange(6) * np.timedelta64(1, "D")
    cells = {"time": times, "lat": fine.y.values, "lon": fine.x.values}
    attrs = {"units": "1", "long_name": "dust"}
    truth = xr.DataArray(rng.lognormal(-2, 1, (6, *fine.shape)), cells, ("time", "lat", "lon"), attrs=attrs)
    noise = xr.DataArray(rng.lognormal(0, 0.4, (3, *truth.shape)), dims=("realization", *truth.dims))
    prediction = (truth * noise).assign_coords(realization=[0, 1, 2]).assign_attrs(attrs)
    low = {"time": times, "lat": coarse.y.values, "lon": coarse.x.values}
    mean = coarsening(fine, coarse).mean(truth.values)
    return prediction, truth, xr.DataArray(mean, low, ("time", "lat", "lon"), attrs=attrs)


@pytest.fixture(scope="session")
def compared() -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    return fields()


@pytest.fixture(scope="session")
def evaluated(compared: tuple[xr.DataArray, xr.DataArray, xr.DataArray]) -> xr.Dataset:
    return evaluate(*compared, intervals=20, block=2)
