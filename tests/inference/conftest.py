"""Coarse days as a model wants them, a checkpoint on disk, and a scheduler that must not be asked."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
import xarray as xr

import xdownscale
from xdownscale.grid import MERRA2

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xdownscale.models.downscaler import Downscaler

QUICK = {
    "domain_check": "ignore",
    "sampler": xdownscale.Sampler("midpoint", 2),
    "tiling": xdownscale.Tiling(patch=None, halo=8),
    "device": "cpu",
}


@pytest.fixture
def quick() -> dict[str, Any]:
    """Options of a quick job."""
    return dict(QUICK)


@pytest.fixture
def days(tiny_model: Downscaler) -> Callable[..., xr.DataArray]:
    """July days over the Iranian plateau, 4 x 5 coarse cells; the same values for any number of days."""
    card = tiny_model.card

    def make(number: int = 5, y: tuple[int, int] = (240, 4), x: tuple[int, int] = (360, 5)) -> xr.DataArray:
        window = MERRA2.window(y, x)
        values = [np.random.default_rng(d).gamma(2.0, 0.15, window.shape) for d in range(number)]
        time = np.datetime64("2005-07-01T12", "ns") + np.arange(number) * np.timedelta64(1, "D")
        return xr.DataArray(
            np.stack(values),
            {"time": time, "lat": window.y.values, "lon": window.x.values},
            ("time", "lat", "lon"),
            card.variable,
            {"units": card.units, "standard_name": card.standard_name, "cell_methods": "time: mean"},
        )

    return make


@pytest.fixture
def checkpoint(tiny_model: Downscaler, tmp_path: Path) -> str:
    path = tmp_path / "tiny.safetensors"
    xdownscale.save(tiny_model, path)
    return str(path)


@pytest.fixture
def lazily() -> Any:
    """A context in which dask fails the test if it is asked to compute."""

    def scheduler(*_: Any, **__: Any) -> None:
        pytest.fail("computed while a lazy result was built")

    @contextlib.contextmanager
    def context() -> Any:
        with dask.config.set(scheduler=scheduler):
            yield

    return context
