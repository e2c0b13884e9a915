"""A small model, small fields and a process: what the tests of commands share."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr

import xdownscale

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xdownscale.models.downscaler import Downscaler


@pytest.fixture
def coarse_days() -> xr.DataArray:
    """Two days of dust over 30-35 N, 60-66.25 E as MERRA-2 would give it."""
    rng = np.random.default_rng(5)
    lat, lon = np.arange(30, 35.01, 0.5), np.arange(60, 66.26, 0.625)
    return xr.DataArray(
        rng.lognormal(-1.5, 0.5, (2, lat.size, lon.size)),
        {"time": np.array(["2021-06-06", "2021-06-07"], dtype="M8[ns]"),
         "lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})},
        ("time", "lat", "lon"), "DUEXTTAU", {"units": "1"},
    )  # fmt: skip


@pytest.fixture
def folder(tiny_model: Downscaler, coarse_days: xr.DataArray, tmp_path: Path) -> Path:
    """A folder with `coarse.nc`, `fine.nc` of two members, `truth.nc` and `tiny.safetensors`."""
    xdownscale.save(tiny_model, tmp_path / "tiny.safetensors")
    coarse = coarse_days
    coarse.to_netcdf(tmp_path / "coarse.nc")
    options = {"domain_check": "ignore", "sampler": xdownscale.Sampler("midpoint", 2)}
    drawn = xdownscale.predict(coarse, tiny_model, members=3, **options)
    xdownscale.to_dataset(drawn[:2]).to_netcdf(tmp_path / "fine.nc")
    xdownscale.to_dataset(drawn[2:].isel(realization=0)).to_netcdf(tmp_path / "truth.nc")
    return tmp_path


@pytest.fixture
def process(folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command line as a user does, in the folder."""

    def run(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "xdownscale.cli", *map(str, arguments)],
            cwd=folder, capture_output=True, text=True, check=False, timeout=timeout,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip

    return run
