"""Records with known answers: smooth fields that are carried eastward, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr

from xdownscale.grid import G5NR, MERRA2, Grid, coarsening, refined
from xdownscale.noise import Spectrum, shaped

if TYPE_CHECKING:
    from collections.abc import Callable

_SMOOTH = Spectrum(tuple(1.0 / (1.0 + (30.0 * k) ** 2) ** 2 for k in np.linspace(0, 0.5, 33)), 1e-4, 24)
COARSE = MERRA2.window((216, 12), (352, 13))


def _dataarray(values: np.ndarray, grid: Grid, first: str = "2005-07-01T12") -> xr.DataArray:
    time = np.datetime64(first, "ns") + np.arange(len(values)) * np.timedelta64(1, "D")
    lat = ("lat", grid.y.values, {"standard_name": "latitude", "units": "degrees_north"})
    lon = ("lon", grid.x.values, {"standard_name": "longitude", "units": "degrees_east"})
    coordinates = {"time": ("time", time), "lat": lat, "lon": lon}
    attributes = {"units": "1", "long_name": "dust optical thickness"}
    return xr.DataArray(
        values.astype(np.float32), coordinates, ("time", "lat", "lon"), name="DUEXTTAU", attrs=attributes
    )


@pytest.fixture(scope="session")
def dataarray() -> Callable[..., xr.DataArray]:
    """(values (time, ny, nx), grid, first day) to a labelled DataArray."""
    return _dataarray


@pytest.fixture(scope="session")
def carried() -> Callable[..., np.ndarray]:
    """(grid, days, cells a day) to a lognormal field that moves east without change."""

    def make(grid: Grid, days: int, speed: int, seed: int = 0) -> np.ndarray:
        kernel = _SMOOTH.kernel()
        y = (grid.y.start, grid.y.size)
        return np.stack(
            [
                np.exp(
                    shaped(kernel, y, (grid.x.start - speed * d, grid.x.size), seed=seed, member=0, instant=0)
                    - 1
                )
                for d in range(days)
            ]
        )

    return make


@pytest.fixture(scope="session")
def records(
    dataarray: Callable[..., xr.DataArray], carried: Callable[..., np.ndarray]
) -> tuple[xr.DataArray, xr.DataArray]:
    """Thirty days on 12 x 13 coarse cells, and the fine truth of which they are the means."""
    fine = refined(COARSE, G5NR)
    truth = carried(fine, 30, 10)
    a = coarsening(fine, COARSE)
    return dataarray(np.stack([a(day) for day in truth]), COARSE), dataarray(truth, fine)
