"""Seams: planted ones are found, where there are none nothing is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics.borders import seams
from xdownscale.grid import G5NR, Grid
from xdownscale.patches import Tiling, line

TILING = Tiling(patch=64, halo=8, ramp=8)


def window(ny: int = 120, nx: int = 200) -> Grid:
    return G5NR.window((1600, ny), (3300, nx))


def smooth(seed: int, members: int = 4, shape: tuple[int, int] = (120, 200)) -> xr.DataArray:
    """Random fields with a correlation length of a few cells."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(members, *shape))
    k = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
    field = np.fft.irfft2(np.fft.rfft2(noise) * np.exp(-((12 * k) ** 2)), shape)
    grid = window(*shape)
    cells = {"realization": np.arange(members), "lat": grid.y.values, "lon": grid.x.values}
    return xr.DataArray(field / field.std(), cells, ("realization", "lat", "lon"))


def middles(name: str) -> np.ndarray:
    """Middles of the overlaps, in cells of the window, from the layout's own weights."""
    axis = getattr(window(), name)
    patches = line(axis.start, axis.size, None, TILING)
    out = []
    for k in range(len(patches.starts) - 1):
        both = np.zeros((2, patches.size))
        for row in (0, 1):
            both[row, patches.index(k + row)] = patches.weights[k + row]
        shared = np.flatnonzero((both > 0).all(axis=0))
        out.append(shared.mean() + patches.start - axis.start)
    return np.array([m for m in out if 1 < m < axis.size - 2])


def test_without_seams_the_index_is_as_elsewhere() -> None:
    inside = 0
    for seed in range(8):
        found = seams(smooth(seed), tiling=TILING)
        for key in ("roughness", "spread"):
            low, high = found[f"{key}_elsewhere"].sel(axis="lon").values
            inside += low <= float(found[key].sel(axis="lon")) <= high
            assert float(found[key].sel(axis="lon")) == pytest.approx(1.0, abs=0.25)
    assert inside >= 13  # of 16, where 15.2 are expected


def test_borders_lie_where_two_patches_share_a_cell() -> None:
    """A kink at the layout's own overlaps is found, one between them is not."""
    field = smooth(0)
    for name, axis in (("x", "lon"), ("y", "lat")):
        places = middles(name)
        size = field.sizes[axis]
        at, between = (
            xr.DataArray(np.where(np.isin(np.arange(size), np.rint(p).astype(int)), 2.0, 0.0), dims=axis)
            for p in (places, places[:-1] + 20)
        )
        assert float(seams(field + at, tiling=TILING).roughness.sel(axis=axis)) > 2
        assert float(seams(field + between, tiling=TILING).roughness.sel(axis=axis)) < 1
        assert int(seams(field, tiling=TILING).borders.sel(axis=axis)) == len(places)


def test_lost_spread_is_found() -> None:
    """Averaging two independent draws in the overlap halves the variance there."""
    field = smooth(1, members=8)
    half = np.ones(field.sizes["lon"])
    for place in middles("x"):
        half[np.abs(np.arange(half.size) - place) <= 4] = 0.5**0.5
    found = seams(field * xr.DataArray(half, dims="lon"), tiling=TILING).sel(axis="lon")
    assert float(found.spread) == pytest.approx(0.5**0.5, abs=0.08)
    assert float(found.spread) < float(found.spread_elsewhere.sel(bound="lower"))


def test_by_hand() -> None:
    """Steps of one at a border in a field of alternating slope: root mean squares by the definition."""
    values = np.tile(np.where(np.arange(60) % 2, 0.1, 0.0), (5, 1))
    values[:, 30:] += 1.0
    da = xr.DataArray(values, {"y": np.arange(5.0), "x": np.arange(60.0)}, ("y", "x"))
    found = seams(da, borders={"lon": [29.5]}, width=1).sel(axis="lon")
    jump = np.abs(np.diff(values[0], 2))
    expected = jump[[28, 29]].mean() / jump[20]
    assert float(found.roughness) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(seams(da, borders={"lon": [29.5]}).roughness.sel(axis="lat"))


def test_lazy_is_the_same_and_one_member_has_no_spread() -> None:
    field = smooth(2)
    xr.testing.assert_allclose(
        seams(field, tiling=TILING), seams(field.chunk(realization=1), tiling=TILING), rtol=1e-12
    )
    single = seams(field.isel(realization=0), tiling=TILING)
    assert set(single.data_vars) == {"borders", "roughness", "roughness_elsewhere"}


def test_missing_cells_count_for_nothing() -> None:
    field = smooth(3)
    holes = field.where(np.random.default_rng(0).random(field.shape[1:]) > 0.01)
    found, whole = (seams(f, tiling=TILING).roughness.sel(axis="lon") for f in (holes, field))
    assert float(found) == pytest.approx(float(whole), abs=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give either tiling= or borders="),
        ({"tiling": TILING, "borders": {"lon": [50.0]}}, "give either tiling= or borders="),
        ({"tiling": Tiling(patch=None)}, "in one piece has no borders"),
        ({"tiling": Tiling(patch=496)}, "no border lies in the domain"),
        ({"borders": {"lon": [-170.0]}}, "no border lies in the domain"),
        ({"borders": {"x": [1.0]}}, "borders names"),
        ({"tiling": TILING, "width": 0}, "width is 0"),
    ],
)
def test_bad_input(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        seams(smooth(0, members=1, shape=(60, 80)), **options)


def test_a_field_off_the_lattice() -> None:
    field = smooth(0, members=1)
    with pytest.raises(ValueError, match="shifted by"):
        seams(field.assign_coords(lon=field.lon + 0.03), tiling=TILING)
