"""A turn and its way back, against indexing by hand."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from xdownscale.cf import Orientation, orientation, understand
from xdownscale.grid import G5NR, MERRA2, refined

COARSE = np.arange(12.0).reshape(1, 3, 4)


@pytest.mark.parametrize("south", [False, True])
@pytest.mark.parametrize("west", [False, True])
@pytest.mark.parametrize("roll", [0, 1, 3])
def test_canonical(south: bool, west: bool, roll: int) -> None:
    found = Orientation((south, west), roll, 0).canonical(COARSE)
    for y in range(3):
        for x in range(4):
            user_row, user_column = 2 - y if south else y, (x - roll) % 4
            expected = COARSE[0, user_row, 3 - user_column if west else user_column]
            assert found[0, y, x] == expected


@pytest.mark.parametrize("south", [False, True])
@pytest.mark.parametrize("west", [False, True])
def test_users_undoes_canonical(south: bool, west: bool) -> None:
    """On one grid, a turn by k columns there and the same back."""
    turn = Orientation((south, west), 3, 3)
    np.testing.assert_array_equal(turn.users(turn.canonical(COARSE)), COARSE)


def test_the_input_is_not_touched() -> None:
    Orientation((False, False), 0, 0).canonical(COARSE)[:] = -1
    assert COARSE.min() == 0


@pytest.mark.parametrize("dtype", ["f4", ">f8", "i2"])
def test_any_numbers_become_float64(dtype: str) -> None:
    found = Orientation((True, False), 0, 0).canonical(COARSE.astype(dtype))
    assert found.dtype == np.float64
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, COARSE[:, ::-1])


def test_of_a_field() -> None:
    """A whole circle that begins at 0 E: 288 coarse and 2880 fine columns behind -180 E."""
    import xarray as xr

    window = MERRA2.window((240, 3), (0, 576))
    da = xr.DataArray(
        np.zeros(window.shape), {"lat": window.y.values[::-1], "lon": 0.625 * np.arange(576)}, ("lat", "lon")
    )
    field = understand(da, MERRA2)
    assert orientation(field, refined(field.grid, G5NR)) == Orientation((True, False), 288, 2880)
    part = understand(da[:, 10:20], MERRA2)
    assert orientation(part, refined(part.grid, G5NR)) == Orientation((True, False), 0, 0)


def test_is_small() -> None:
    assert len(pickle.dumps(Orientation((True, False), 288, 2880))) < 200
