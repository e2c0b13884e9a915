"""Places of cells that lie on no regular grid."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics.variogram.points import on_axes, points, span

RADIUS = 6371.0


def stations(lat, lon, names=("lat", "lon"), **attrs) -> xr.DataArray:
    coords = {n: ("station", np.asarray(v, float), attrs) for n, v in zip(names, (lat, lon), strict=True)}
    return xr.DataArray(np.arange(float(len(lat))), coords, "station")


def curvilinear() -> xr.DataArray:
    i, j = np.meshgrid(np.arange(3.0), np.arange(4.0), indexing="ij")
    lat = (("j", "i"), 30 + i + 0.1 * j, {"standard_name": "latitude", "units": "degrees_north"})
    lon = (("j", "i"), 50 + j - 0.1 * i, {"standard_name": "longitude", "units": "degrees_east"})
    return xr.DataArray(np.arange(24.0).reshape(2, 3, 4), {"lat2d": lat, "lon2d": lon}, ("time", "j", "i"))


def grid(lat=(30.0, 31.0, 32.0), lon=(50.0, 51.0)) -> xr.DataArray:
    return xr.DataArray(np.zeros((len(lat), len(lon))), {"lat": list(lat), "lon": list(lon)}, ("lat", "lon"))


def test_stations_by_latitude_and_longitude() -> None:
    da = stations([10.0, 20.0], [30.0, 40.0])
    assert not on_axes(da)
    found = points(da)
    np.testing.assert_array_equal(found.places, [[10.0, 30.0], [20.0, 40.0]])
    assert found.spherical
    assert found.space == ("station",)


def test_stations_in_metres_are_planar() -> None:
    found = points(stations([0.0, 300.0], [0.0, 400.0], names=("y", "x"), units="m"))
    assert not found.spherical
    assert found.units == "m"
    assert found.diagonal == pytest.approx(500.0)


def test_stations_by_name_alone() -> None:
    da = stations([0.0, 3.0], [0.0, 4.0], names=("north", "east"), units="km")
    found = points(da, {"lat": "north", "lon": "east"})
    np.testing.assert_array_equal(found.places, [[0.0, 0.0], [3.0, 4.0]])


def test_a_track_has_its_places_along_time() -> None:
    da = stations([1.0, 2.0], [3.0, 4.0]).rename(station="time").assign_coords(time=[0, 1])
    assert not on_axes(da)
    assert points(da).space == ("time",)


def test_curvilinear_cells_in_the_order_of_the_values() -> None:
    da = curvilinear()
    assert not on_axes(da)
    found = points(da.transpose("i", "time", "j", transpose_coords=False))
    assert found.fields.dims == ("time", "j", "i")
    np.testing.assert_allclose(found.places[[0, 1, 4]], [[30.0, 50.0], [30.1, 51.0], [31.0, 49.9]])
    assert found.spherical


def test_index_coordinates_do_not_make_a_curvilinear_grid_planar() -> None:
    da = curvilinear().rename(i="x", j="y").assign_coords(x=np.arange(4), y=np.arange(3))
    assert not on_axes(da)
    metres = {
        name: da[name].assign_attrs(units="m", standard_name=f"projection_{name}_coordinate")
        for name in ("x", "y")
    }
    assert on_axes(da.assign_coords(metres))


def test_grids_are_on_axes_and_give_places_too() -> None:
    da = grid().expand_dims(time=[0])
    assert on_axes(da)
    found = points(da)
    assert found.places.shape == (6, 2)
    np.testing.assert_array_equal(found.places[:3], [[30.0, 50.0], [30.0, 51.0], [31.0, 50.0]])
    assert found.fields.dims == ("time", "lat", "lon")


def test_uneven_axes_give_places() -> None:
    found = points(grid(lat=(30.0, 31.0, 35.0)))
    assert found.spherical
    np.testing.assert_array_equal(np.unique(found.places[:, 0]), [30.0, 31.0, 35.0])


def test_projected_axes_are_planar_even_beside_two_dimensional_degrees() -> None:
    da = curvilinear().isel(time=0).rename(i="x", j="y")
    attrs = [{"units": "m", "standard_name": f"projection_{name}_coordinate"} for name in "xy"]
    da = da.assign_coords(x=("x", np.arange(4.0) * 9000, attrs[0]), y=("y", np.arange(3.0) * 9000, attrs[1]))
    assert on_axes(da)
    found = points(da)
    assert not found.spherical
    assert found.units == "m"


def test_extent_takes_the_shortest_arc() -> None:
    across = points(stations([0.0, 0.0, 0.0], [179.0, -179.0, 180.0]))
    assert across.diagonal == pytest.approx(np.deg2rad(2.0) * RADIUS)
    north = points(stations([59.0, 61.0], [10.0, 20.0]))
    assert north.diagonal == pytest.approx(np.deg2rad(np.hypot(2.0, 5.0)) * RADIUS)


def test_no_distance_is_longer_than_half_the_circumference() -> None:
    assert span(180.0, 360.0, 1.0) == pytest.approx(np.pi * RADIUS)
    assert span(0.0, 300.0, 0.5) == pytest.approx(np.deg2rad(90.0) * RADIUS)


def test_places_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1 values not finite"):
        points(stations([10.0, np.nan], [30.0, 40.0]))
    with pytest.raises(ValueError, match="reaches 91: expected -90 to 90 degrees"):
        points(stations([10.0, 91.0], [30.0, 40.0]))
    with pytest.raises(TypeError, match="expected real numbers"):
        points(stations([10.0, 20.0], [30.0, 40.0]).astype(str))
    with pytest.raises(ValueError, match="no dimension is latitude"):
        points(xr.DataArray([1.0, 2.0], dims="station"))
    mixed = curvilinear()
    with pytest.raises(ValueError, match="two-dimensional"):
        points(mixed.assign_coords(lon2d=("i", np.arange(4.0), mixed.lon2d.attrs)))
