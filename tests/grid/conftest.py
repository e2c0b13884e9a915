"""Windows of the coarse grid: all of it, at a pole, one column, across the dateline either way, one cell."""

from __future__ import annotations

import pytest

from xdownscale.grid import MERRA2, Grid

WINDOWS = [
    ((0, 361), (0, 576)),
    ((0, 5), (10, 7)),
    ((340, 21), (0, 1)),
    ((200, 4), (574, 6)),
    ((200, 4), (-3, 6)),
    ((180, 1), (300, 1)),
]


@pytest.fixture(params=WINDOWS, ids=str)
def coarse(request: pytest.FixtureRequest) -> Grid:
    return MERRA2.window(*request.param)
