"""Fields laid on their grid."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale.cf.raster import check_same_grid, check_same_units, raster


def field(lat, lon, names=("lat", "lon"), **attrs) -> xr.DataArray:
    values = np.arange(len(lat) * len(lon), dtype=float).reshape(len(lat), len(lon))
    return xr.DataArray(values, dict(zip(names, (lat, lon), strict=True)), names, attrs=attrs)


def test_falling_latitudes_and_any_order_of_dimensions_give_rising_rows() -> None:
    da = field([31.0, 30.5, 30.0], [40.0, 40.625])
    found = raster(da.T)
    assert found.fields.dims == ("lat", "lon")
    np.testing.assert_array_equal(found.fields.values, da.values[::-1])
    np.testing.assert_allclose(found.grid.y.values, [30.0, 30.5, 31.0])


def test_area_is_the_difference_of_sines_and_has_mean_one() -> None:
    area = raster(field([0.0, 60.0], [0.0, 60.0])).area
    assert area.mean() == pytest.approx(1.0)
    expected = (np.sin(np.pi / 2) - np.sin(np.pi / 6)) / (2 * np.sin(np.pi / 6))
    assert area[1, 0] / area[0, 0] == pytest.approx(expected)


def test_metres_are_a_plane_and_cells_are_equal() -> None:
    da = field([0.0, 1000.0], [0.0, 2000.0, 4000.0], names=("y", "x"))
    da.y.attrs.update(units="m", standard_name="projection_y_coordinate")
    found = raster(da)
    assert not found.spherical
    np.testing.assert_array_equal(found.area, 1.0)
    assert found.grid.x.period is None


def test_names_without_units_are_a_plane_unless_the_crs_says_degrees() -> None:
    da = field([10.0, 11.0], [20.0, 21.0], names=("y", "x"))
    assert not raster(da).spherical
    assert raster(da.rio.write_crs("EPSG:4326")).spherical


def test_samples_stay_in_front_and_lazy() -> None:
    da = field([0.0, 1.0], [0.0, 1.0]).expand_dims(realization=[0, 1, 2], time=[0, 1]).chunk(time=1)
    found = raster(da.transpose("lat", "time", "lon", "realization"))
    assert found.samples == ("time", "realization")
    assert found.fields.chunks is not None


def test_a_whole_circle_is_cyclic() -> None:
    assert raster(field([0.0, 1.0], np.arange(0.0, 360.0, 2.5))).grid.x.cyclic
    assert not raster(field([0.0, 1.0], np.arange(0.0, 350.0, 2.5))).grid.x.cyclic


def test_one_row_takes_the_other_axis_step() -> None:
    assert raster(field([10.0], [0.0, 0.5, 1.0])).grid.y.step == 0.5


def test_uneven_axes_and_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'lat' is not evenly spaced \(1 to 1.5\)"):
        raster(field([0.0, 1.0, 2.5], [0.0, 1.0]))
    with pytest.raises(ValueError, match="not finite"):
        raster(field([0.0, np.nan], [0.0, 1.0]))
    with pytest.raises(TypeError, match="expected real numbers"):
        raster(field([0.0, 1.0], [0.0, 1.0]).astype(complex))


def test_grids_are_the_same_across_the_dateline_and_in_either_convention() -> None:
    one = raster(field([0.0, 1.0], [179.0, 180.0, 181.0]))
    check_same_grid(one, raster(field([1.0, 0.0], [179.0, -180.0, -179.0])))
    with pytest.raises(
        ValueError, match=r"different grids, 3 cells of 1 from 179 and 3 cells of 1 from 179\.5"
    ):
        check_same_grid(one, raster(field([0.0, 1.0], [179.5, 180.5, 181.5])))


def test_units_that_differ_are_refused_and_missing_ones_pass() -> None:
    one = field([0.0, 1.0], [0.0, 1.0], units="1")
    check_same_units(one, field([0.0, 1.0], [0.0, 1.0], units="dimensionless"))
    check_same_units(one, field([0.0, 1.0], [0.0, 1.0]))
    with pytest.raises(ValueError, match="units differ, '1' and 'kg m-3'"):
        check_same_units(one, field([0.0, 1.0], [0.0, 1.0], units="kg m-3"))
