"""Fields on small grids, with coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

from xdownscale.grid import G5NR, MERRA2, coarsening, refined

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdownscale.grid import Grid


@pytest.fixture
def case() -> Callable[..., tuple[xr.DataArray, xr.DataArray, xr.DataArray]]:
    """Prediction, truth and coarse field of `days` days on 33 x 51 cells at 10 to 12 degrees north."""
    coarse = MERRA2.window((200, 4), (300, 5))
    fine = refined(coarse, G5NR)

    def make(
        days: int = 3, members: int = 4, seed: int = 0
    ) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
        rng = np.random.default_rng(seed)
        truth = rng.lognormal(-2, 1, (days, *fine.shape))
        drawn = truth * rng.lognormal(0, 0.5, (members, days, *fine.shape))
        low = coarsening(fine, coarse).mean(truth)
        return (
            labelled(drawn, fine, ("realization", "time")),
            labelled(truth, fine, ("time",)),
            labelled(low, coarse, ("time",)),
        )

    return make


def labelled(values: np.ndarray, grid: Grid, lead: tuple[str, ...]) -> xr.DataArray:
    start = np.datetime64("2005-06-01T12", "ns")
    coordinates: dict[str, Any] = {"lat": grid.y.values, "lon": grid.x.values}
    for name, size in zip(lead, values.shape, strict=False):
        steps = np.arange(size)
        coordinates[name] = start + steps * np.timedelta64(1, "D") if name == "time" else steps
    return xr.DataArray(values, coordinates, (*lead, "lat", "lon"), name="aod", attrs={"units": "1"})
