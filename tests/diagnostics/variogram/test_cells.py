"""Values and weights made ready for sums over pairs."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale.cf.raster import raster
from xdownscale.diagnostics.variogram.cells import Cells, weights_of


def field(lat=(30.0, 30.5, 31.0), lon=(10.0, 10.5), days=2) -> xr.DataArray:
    values = np.arange(days * len(lat) * len(lon), dtype=float).reshape(days, len(lat), len(lon))
    return xr.DataArray(values, {"time": np.arange(days), "lat": list(lat), "lon": list(lon)})


def test_values_are_centred_and_missing_ones_are_zero() -> None:
    cells = Cells.of(np.array([[1.0, np.nan], [3.0, 8.0]]))
    np.testing.assert_allclose(cells.z, [[-3.0, 0.0], [-1.0, 4.0]])
    np.testing.assert_array_equal(cells.w, [[1.0, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(cells.valid, [[True, False], [True, True]])


def test_a_constant_field_is_zero_exactly() -> None:
    assert (Cells.of(np.full(1000, 0.1)).z == 0.0).all()


def test_weight_zero_leaves_a_cell_out() -> None:
    cells = Cells.of(np.array([1.0, 2.0, 9.0]), np.array([2.0, 1.0, 0.0]))
    np.testing.assert_array_equal(cells.valid, [True, True, False])
    np.testing.assert_allclose(cells.z, [-0.5, 0.5, 0.0])
    np.testing.assert_array_equal(cells.w, [2.0, 1.0, 0.0])


def test_integers_and_all_missing() -> None:
    np.testing.assert_array_equal(Cells.of(np.array([1, 3])).z, [-1.0, 1.0])
    none = Cells.of(np.full(3, np.nan))
    assert not none.valid.any()
    assert (none.z == 0).all()


def test_the_field_is_not_changed() -> None:
    values = np.array([1.0, np.nan])
    Cells.of(values)
    np.testing.assert_array_equal(values, [1.0, np.nan])


def test_infinite_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 values are infinite: mask them"):
        Cells.of(np.array([1.0, np.inf, -np.inf]))


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_of_valid_cells_must_be_finite_and_not_negative(bad) -> None:
    with pytest.raises(ValueError, match="1 weights of valid cells are negative or not finite"):
        Cells.of(np.array([1.0, 2.0]), np.array([1.0, bad]))
    assert Cells.of(np.array([1.0, np.nan]), np.array([1.0, bad])).w.tolist() == [1.0, 0.0]


def test_area_is_the_rasters() -> None:
    found = raster(field())
    own = weights_of("area", found)
    np.testing.assert_array_equal(own.values, found.area)
    assert weights_of(None, found) is None


def test_weights_are_laid_on_rising_rows() -> None:
    da = field(lat=(31.0, 30.5, 30.0))
    weights = xr.DataArray(np.arange(6.0).reshape(2, 3), {"lon": da.lon, "lat": da.lat}, ("lon", "lat"))
    own = weights_of(weights, raster(da))
    assert own.dims == ("lat", "lon")
    np.testing.assert_array_equal(own.values, [[2.0, 5.0], [1.0, 4.0], [0.0, 3.0]])


def test_weights_with_time_have_the_fields_shape() -> None:
    da = field()
    weights = (da.time + 1.0) * xr.ones_like(da.isel(time=0, drop=True))
    own = weights_of(weights.transpose("lat", "lon", "time"), raster(da))
    assert own.dims == da.dims
    np.testing.assert_array_equal(own.values[:, 0, 0], [1.0, 2.0])


def test_other_weights_are_refused() -> None:
    da = field()
    found = raster(da)
    with pytest.raises(TypeError, match="weights are list: expected None, 'area' or a DataArray"):
        weights_of([1.0], found)
    with pytest.raises(TypeError, match="weights are str"):
        weights_of("areas", found)
    with pytest.raises(ValueError, match="weights have dimensions"):
        weights_of(da.isel(lat=0), found)
    with pytest.raises(ValueError, match="weights and field differ in 'lat'"):
        weights_of(da.isel(time=0, drop=True).assign_coords(lat=[1.0, 2.0, 3.0]), found)
