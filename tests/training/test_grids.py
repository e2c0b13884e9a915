"""Which grids records lie on."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale.grid import G5NR, MERRA2
from xdownscale.training.grids import grid_of, grids_of


def record(lat: np.ndarray, lon: np.ndarray, names: tuple[str, str] = ("lat", "lon")) -> xr.DataArray:
    coordinates = {"time": np.arange("2005-07-01", 2, dtype="M8[D]").astype("M8[ns]")}
    coordinates |= dict(zip(names, (lat, lon), strict=True))
    return xr.DataArray(np.zeros((2, lat.size, lon.size)), coordinates, ("time", *names))


COARSE = record(30 + 0.5 * np.arange(5), 60 + 0.625 * np.arange(5))
FINE = record(30 + 0.0625 * np.arange(33), 60 + 0.0625 * np.arange(41))


def test_known_grids_by_any_convention() -> None:
    assert grids_of(COARSE, FINE) == (MERRA2, G5NR)
    assert (
        grid_of(COARSE.isel(lat=slice(None, None, -1)).assign_coords(lon=COARSE.lon - 360), MERRA2) is MERRA2
    )


def test_another_registration_is_the_records_own() -> None:
    shifted = FINE.assign_coords(lat=FINE.lat + 0.03125, lon=FINE.lon + 0.03125)
    coarse, fine = grids_of(COARSE, shifted)
    assert coarse.y.origin == 30.0
    assert fine.y.origin == 30.03125
    assert fine.x.period == 5760


def test_planes() -> None:
    coarse = record(8e3 * np.arange(6), 8e3 * np.arange(6), ("y", "x"))
    fine = record(1e3 * np.arange(48), 1e3 * np.arange(48), ("y", "x"))
    assert [g.y.kind for g in grids_of(coarse, fine)] == ["plane", "plane"]
    with pytest.raises(ValueError, match="coarse record's axis is a latitude, the fine one's a plane"):
        grids_of(COARSE, fine)


def test_swapped_records() -> None:
    with pytest.raises(ValueError, match=r"fine ones of 0\.5 x 0\.625 do not nest: expected coarse"):
        grids_of(FINE, COARSE)
