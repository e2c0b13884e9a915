"""A DataArray placed on a grid, however it lies."""

from __future__ import annotations

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xdownscale.cf import check_bounds, understand
from xdownscale.grid import MERRA2, Grid


def labelled(window: Grid, days: int = 2) -> xr.DataArray:
    """Every value its own."""
    values = np.arange(days * window.shape[0] * window.shape[1], dtype=float)
    time = np.datetime64("2005-07-01T12", "ns") + np.arange(days) * np.timedelta64(1, "D")
    return xr.DataArray(
        values.reshape(days, *window.shape),
        {"time": time, "lat": window.y.values, "lon": window.x.values},
        ("time", "lat", "lon"),
        "DUEXTTAU",
    )


@settings(deadline=None)  # a busy machine is no fault
@given(
    start=st.integers(0, 575),
    size=st.integers(2, 12),
    down=st.booleans(),
    west=st.booleans(),
    convention=st.sampled_from([-180.0, 0.0]),
    order=st.permutations(["time", "lat", "lon"]),
)
def test_one_field_however_it_lies(
    start: int, size: int, down: bool, west: bool, convention: float, order: list[str]
) -> None:
    """Any direction, longitude convention and order of dimensions, over the dateline or not."""
    window = MERRA2.window((200, 5), (start, size))
    plain = labelled(window)
    turned = plain.assign_coords(lon=(plain.lon - convention) % 360 + convention).transpose(*order)
    turned = turned.isel(lat=slice(None, None, -1 if down else 1), lon=slice(None, None, -1 if west else 1))
    field = understand(turned, MERRA2)
    assert (field.grid.y.start, field.grid.x.start, field.grid.shape) == (200, start, (5, size))
    np.testing.assert_array_equal(field.values(), plain.values)
    assert field.instants == tuple(plain.time.values.astype("datetime64[us]").astype(int).tolist())


@pytest.mark.parametrize("shift", [0, 1, 300])
def test_round_the_globe(shift: int) -> None:
    """Canonical columns start at the grid's first, wherever the user's do."""
    plain = labelled(MERRA2.window((200, 3), (0, 576)))
    field = understand(plain.roll(lon=shift, roll_coords=True), MERRA2)
    assert field.grid.x.start == 0
    assert field.roll == (-shift) % 576
    np.testing.assert_array_equal(field.values(), plain.values)


def test_the_seam_column_is_dropped() -> None:
    plain = labelled(MERRA2.window((200, 3), (0, 576)))
    twice = xr.concat([plain, plain[:, :, :1].assign_coords(lon=[180.0])], "lon")
    with pytest.warns(UserWarning, match="'lon' has its first meridian twice: the last column is dropped"):
        field = understand(twice, MERRA2)
    np.testing.assert_array_equal(field.values(), plain.values)


def test_polar_centres_at_the_middle_of_their_cells() -> None:
    plain = labelled(MERRA2.window((357, 4), (0, 4)))
    lat = plain.lat.values.copy()
    assert lat[-1] == 90.0
    lat[-1] = 89.875
    with pytest.warns(UserWarning, match="middle of the polar cell: taken for the pole"):
        assert understand(plain.assign_coords(lat=lat), MERRA2).grid.y.start == 357


def test_the_input_is_left_as_it_was() -> None:
    da = labelled(MERRA2.window((200, 4), (570, 12)))[:, ::-1]
    before = da.copy(deep=True)
    understand(da, MERRA2).values()[:] = -1.0
    xr.testing.assert_identical(da, before)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda da: da.assign_coords(lat=da.lat + 0.2), ValueError, "'lat': shifted by 0.4 of a cell"),
        (lambda da: da[:, ::2], ValueError, "'lat': another resolution: spacing is 1, expected 0.5"),
        (lambda da: da[:, [0, 1, 3]], ValueError, "'lat': not uniform: spacing from 0.5 to 1"),
        (lambda da: da[:, [1, 0, 2]], ValueError, "'lat' is not monotonic: sort it"),
        (lambda da: da[:, [0, 0, 1]], ValueError, "'lat' has duplicates"),
        (lambda da: da[:, :0], ValueError, "a dimension of size 0"),
        (lambda da: da.astype(complex), TypeError, "values are complex128: expected real numbers"),
        (lambda da: da.assign_attrs(scale_factor=0.1), ValueError, "still packed: decode them"),
        (lambda da: da.assign_coords(lat=np.deg2rad(da.lat)), ValueError, "0.5 degrees in radians: convert"),
        (lambda da: da.assign_coords(lon=da.lon + 720), ValueError, "expected -360 to 360 degrees"),
        (lambda da: da.assign_coords(lat=da.lat * 3), ValueError, "latitude reaches .* expected -90 to 90"),
    ],
)
def test_refused(change: object, error: type[Exception], message: str) -> None:
    da = labelled(MERRA2.window((250, 6), (400, 6)))
    with pytest.raises(error, match=message):
        understand(change(da), MERRA2)  # type: ignore[operator]


@pytest.mark.parametrize(
    "odd",
    ["x", None, object(), 3, pd.Timestamp("2005-07-02", tz="UTC"), dt.timedelta(1)],
    ids=["text", "none", "object", "number", "zone", "difference"],
)
def test_times_that_are_none(odd: object) -> None:
    da = labelled(MERRA2.window((250, 4), (400, 4)))
    values = np.array([dt.datetime(2005, 7, 1), odd], dtype=object)  # noqa: DTZ001 - CF has no zones
    changed = da.drop_vars("time").assign_coords(time=("time", xr.Variable("time", values).values))
    with pytest.raises(
        ValueError, match=r"'time' (holds|has) .*: (expected datetime64 or cftime|decode|drop)"
    ):
        understand(changed, MERRA2)


@pytest.mark.parametrize(
    "attrs",
    [
        {"crs_wkt": "banana"},
        {"crs_wkt": 5},
        {"spatial_ref": ["EPSG:4326"]},
        {"grid_mapping_name": "banana"},
        {"grid_mapping_name": 3},
        {"grid_mapping_name": "lambert_conformal_conic", "standard_parallel": "x"},
    ],
)
def test_grid_mappings_that_cannot_be_read(attrs: dict[str, object]) -> None:
    da = labelled(MERRA2.window((250, 4), (400, 4))).assign_coords(crs=((), 0, attrs))
    for told in ("crs", "crs: lat lon"):
        with pytest.raises(ValueError, match=r"grid mapping 'crs' cannot be read \(.*da\.drop_vars\('crs'\)"):
            understand(da.assign_attrs(grid_mapping=told), MERRA2)


@pytest.mark.parametrize("told", [None, 3, [], ["crs"], "nowhere"])
def test_grid_mappings_that_are_nowhere(told: object) -> None:
    da = labelled(MERRA2.window((250, 4), (400, 4))).assign_attrs(grid_mapping=told)
    assert understand(da, MERRA2).grid.shape == (4, 4)


def test_a_gap_in_time_is_told() -> None:
    da = labelled(MERRA2.window((250, 4), (400, 4)), days=6)
    with pytest.warns(UserWarning, match="'time' has gaps"):
        understand(da.isel(time=[0, 1, 2, 5]), MERRA2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        understand(da, MERRA2)


class TestBounds:
    def dataset(self, offset: float) -> xr.Dataset:
        ds = labelled(MERRA2.window((250, 5), (400, 5))).to_dataset()
        middle = ds.lat.values[:, None] + offset
        ds["lat_bnds"] = (("lat", "bnds"), middle + np.array([-0.25, 0.25]))
        ds.lat.attrs["bounds"] = "lat_bnds"
        return ds

    def test_about_the_centre(self) -> None:
        check_bounds(self.dataset(0.0))

    @pytest.mark.parametrize("told", [None, 3, ["lat_bnds"], {"a": 1}, "nowhere", "lat", "words"])
    def test_none(self, told: object) -> None:
        ds = self.dataset(0.25).assign(words=(("lat", "bnds"), np.full((5, 2), "x")))
        ds.lat.attrs["bounds"] = told
        assert check_bounds(ds) is None

    def test_beside_it(self) -> None:
        with pytest.raises(ValueError, match=r"bounds 'lat_bnds' contradict 'lat': .* up to 0.25 away"):
            check_bounds(self.dataset(0.25))
