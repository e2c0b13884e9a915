"""Fields brought to comparable cells: exact averages, one region, and what cannot be paired."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale.cf.raster import raster
from xdownscale.diagnostics.support import paired
from xdownscale.grid import G5NR, MERRA2, coarsening, refined

COARSE = MERRA2.window((200, 4), (300, 5))
FINE = refined(COARSE, G5NR)


def on(grid, seed: int = 0, days: int = 2, turn: float = 0.0) -> xr.DataArray:
    values = np.random.default_rng(seed).gamma(2.0, size=(days, *grid.shape))
    cells = {"time": np.arange(days), "lat": grid.y.values, "lon": grid.x.values + turn}
    return xr.DataArray(values, cells, ("time", "lat", "lon"))


def only(one: xr.DataArray, other: xr.DataArray, support="common", weights="area", given=None):
    ((_, samples),) = paired(raster(one), raster(other), support, weights, given, None)
    return samples


@pytest.mark.parametrize("turn", [0.0, 360.0])
def test_common_is_the_exact_conservative_mean(turn: float) -> None:
    fine, coarse = on(FINE, turn=turn), on(COARSE, 1)
    ours, theirs = only(fine, coarse)
    expected = coarsening(FINE, COARSE)(fine.values)
    np.testing.assert_allclose(ours.clean().values, expected.ravel(), rtol=1e-12)
    np.testing.assert_array_equal(theirs.clean().values, coarse.values.ravel())
    np.testing.assert_allclose(ours.clean().weights, theirs.clean().weights)


def test_either_may_be_the_finer() -> None:
    fine, coarse = on(FINE), on(COARSE, 1)
    a, b = only(fine, coarse)
    c, d = only(coarse, fine)
    np.testing.assert_array_equal(a.clean().values, d.clean().values)
    np.testing.assert_array_equal(b.clean().values, c.clean().values)


def test_weights_are_the_coarse_areas_on_the_sphere() -> None:
    ours, _ = only(on(FINE), on(COARSE))
    area = COARSE.area / COARSE.area.mean()
    got = ours.clean(time=[0]).weights.reshape(COARSE.shape)
    np.testing.assert_allclose(got / got.mean(), area, rtol=1e-9)


def test_cells_that_the_finer_covers_by_less_than_half_are_left_out_of_both() -> None:
    wide = MERRA2.window((198, 8), (300, 5))
    ours, theirs = only(on(FINE), on(wide))
    assert ours.clean().values.size == theirs.clean().values.size == 2 * 4 * 5
    np.testing.assert_array_equal(theirs.clean().values, on(wide).values[:, 2:6].ravel())


def test_gaps_in_the_finer_are_averaged_over_or_left_out() -> None:
    fine = on(FINE, days=1)
    A = coarsening(FINE, COARSE)
    holes = fine.where(fine.lat > FINE.y.values[6])
    ours, _ = only(holes, on(COARSE, days=1))
    share = (A.y @ (FINE.y.values > FINE.y.values[6]))[:, None] * np.ones(COARSE.x.size)
    expected = A.mean(holes.values[0])
    np.testing.assert_allclose(ours.clean().values, expected[share >= 0.5], rtol=1e-12)


def test_native_leaves_each_as_it_is_and_both_gives_both() -> None:
    fine, coarse = on(FINE), on(COARSE, 1)
    names = [n for n, _ in paired(raster(fine), raster(coarse), "both", "area", None, None)]
    assert names == ["native", "common"]
    ours, theirs = only(fine, coarse, "native")
    np.testing.assert_array_equal(ours.clean().values, fine.values.ravel())
    np.testing.assert_array_equal(theirs.clean().values, coarse.values.ravel())


def test_coarse_is_another_word_for_common() -> None:
    ((name, _),) = paired(raster(on(FINE)), raster(on(COARSE)), "coarse", "area", None, None)
    assert name == "common"


def test_on_a_plane_cells_of_one_grid_weigh_alike() -> None:
    plane = xr.DataArray(np.eye(4), {"y": np.arange(4.0), "x": np.arange(4.0)}, ("y", "x"))
    ours, _ = only(plane, plane)
    assert ours.weights is None
    assert ours.clean().weights is None


def test_falling_companions_follow_the_cells() -> None:
    da = on(COARSE, days=1)
    height = xr.DataArray(np.arange(4.0), {"lat": COARSE.y.values}, ("lat",))
    for field in (da, da.isel(lat=slice(None, None, -1))):
        for companion in (height, height.isel(lat=slice(None, None, -1))):
            ours, _ = only(field, field, given=companion, weights=companion + 1)
            np.testing.assert_array_equal(ours.clean().given, np.repeat(np.arange(4.0), 5))
            np.testing.assert_array_equal(ours.clean().weights, np.repeat(np.arange(4.0) + 1, 5))


def test_names_of_dimensions_may_differ() -> None:
    fine, coarse = on(FINE), on(COARSE, 1).rename(lat="latitude", lon="longitude")
    height = xr.DataArray(np.arange(4.0), {"latitude": COARSE.y.values}, ("latitude",))
    ours, theirs = only(fine, coarse, given=height)
    same, _ = only(fine, on(COARSE, 1))
    np.testing.assert_array_equal(ours.clean().weights, same.clean().weights)
    np.testing.assert_array_equal(ours.clean().given, theirs.clean().given)
    renamed = coarse.rename(latitude="lat", longitude="lon")
    ours, theirs = only(coarse, renamed, "native", given=height, weights=height + 1)
    np.testing.assert_array_equal(ours.clean().weights, theirs.clean().weights)
    np.testing.assert_array_equal(theirs.clean().given, np.tile(np.repeat(np.arange(4.0), 5), 2))


class TestRefusals:
    def test_grids_of_which_neither_is_the_finer(self) -> None:
        one = xr.DataArray(np.eye(4), {"y": np.arange(4.0), "x": 3 * np.arange(4.0)}, ("y", "x"))
        other = xr.DataArray(np.eye(4), {"y": 3 * np.arange(4.0), "x": np.arange(4.0)}, ("y", "x"))
        with pytest.raises(ValueError, match=r"1 x 3 \(plane\) and 3 x 1 .* finer in both directions"):
            only(one, other)

    def test_reference_systems_that_differ(self) -> None:
        plane = xr.DataArray(np.eye(4), {"y": np.arange(4.0), "x": np.arange(4.0)}, ("y", "x"))
        with pytest.raises(ValueError, match="of one reference system"):
            only(on(FINE), plane)

    @pytest.mark.parametrize("weights", [None, xr.DataArray(np.ones(4), dims="lat")])
    def test_cells_counted_on_two_grids(self, weights) -> None:
        with pytest.raises(ValueError, match=r"weights count the cells of one grid.*use weights='area'"):
            only(on(FINE), on(COARSE), "native", weights)

    def test_a_covariate_on_two_grids(self) -> None:
        with pytest.raises(ValueError, match="given count the cells of one grid"):
            only(on(FINE), on(COARSE), "native", given=on(FINE))

    def test_labels_that_are_not_the_fields(self) -> None:
        shifted = on(COARSE).assign_coords(lat=COARSE.y.values + 0.1)
        with pytest.raises(ValueError, match="given has the dimension 'lat' of 4 with labels that are not"):
            only(on(COARSE), on(COARSE), "native", given=shifted)
        with pytest.raises(ValueError, match="weights has the dimension 'level'"):
            only(on(COARSE), on(COARSE), "native", on(COARSE).rename(time="level"))

    @pytest.mark.parametrize(("option", "value"), [("support", "fine"), ("weights", "areas")])
    def test_options(self, option: str, value: str) -> None:
        with pytest.raises(ValueError, match=f"{option} is '{value}': expected"):
            only(on(COARSE), on(COARSE), **{option: value})
