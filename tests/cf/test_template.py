"""The output in the user's order, convention and names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from xdownscale.cf import build, orientation, to_dataset, understand
from xdownscale.grid import G5NR, MERRA2, Grid, refined

WINDOW = MERRA2.window((250, 3), (574, 4))  # 178.75 E to 179.4 W


def coarse(window: Grid = WINDOW) -> xr.DataArray:
    return xr.DataArray(
        np.zeros((2, *window.shape)),
        {
            "time": np.array(["2005-07-01T12", "2005-07-02T12"], "datetime64[ns]"),
            "lat": window.y.values,
            "lon": window.x.values,
        },
        ("time", "lat", "lon"),
        "DUEXTTAU",
    )


def fine(da: xr.DataArray, **told: Any) -> tuple[xr.DataArray, np.ndarray, Grid]:
    """Each value its own place: member, day, row, column of the canonical field."""
    field = understand(da, MERRA2)
    grid = refined(field.grid, G5NR)
    shape = (2, field.days, *grid.shape)
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    attrs = {"units": "1", "cell_methods": "time: mean", "title": "a field"} | told
    data = orientation(field, grid).users(values)
    data = data[:, 0] if field.axes.time is None else data
    return build(data, field, grid, name="DUEXTTAU", members=(3, 7), attrs=attrs), values, grid


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("convention", [-180.0, 0.0])
def test_every_value_lies_at_its_place(down: bool, convention: float) -> None:
    da = coarse()
    da = da.assign_coords(lon=(da.lon - convention) % 360 + convention)
    da = da[:, ::-1] if down else da
    out, values, grid = fine(da)
    assert out.dims == ("realization", "time", "lat", "lon")
    assert out.realization.values.tolist() == [3, 7]
    assert bool((np.diff(out.lat) < 0).all()) is down
    assert convention - 1 <= float(out.lon.min()) < float(out.lon.max()) <= convention + 361
    rows = grid.y.locate(out.lat.values[:: -1 if down else 1]).start - grid.y.start
    assert rows == 0
    np.testing.assert_array_equal(out.values[:, :, :: -1 if down else 1], values)
    apart = (out.lon.values - grid.x.values + 180) % 360 - 180
    np.testing.assert_allclose(apart, 0.0, atol=1e-9)


@pytest.mark.parametrize("shift", [0, 288])
def test_round_the_globe(shift: int) -> None:
    """Columns turn with the user's, and keep their places on the globe."""
    da = coarse(MERRA2.window((250, 3), (0, 576))).roll(lon=shift, roll_coords=True)
    out, values, grid = fine(da)
    for column in (0, 1000, 5759):
        place = float(out.lon[column])
        found = int(np.argmin(np.abs((grid.x.values - place + 180) % 360 - 180)))
        np.testing.assert_array_equal(out.values[..., column], values[..., found])


def test_lazy_values_are_not_looked_at() -> None:
    import dask.array

    def scheduler(*_: Any, **__: Any) -> None:
        pytest.fail("computed while labels were put on")

    field = understand(coarse()[:, ::-1], MERRA2)
    grid = refined(field.grid, G5NR)
    data = dask.array.zeros((2, 2, *grid.shape), dtype="f4", chunks=(1, 1, -1, -1))
    with dask.config.set(scheduler=scheduler):
        out = build(data, field, grid, name="DUEXTTAU", members=(3, 7), attrs={"units": "1"})
        to_dataset(out)
    assert out.data.name == data.name
    assert (np.diff(out.lat) < 0).all()


def test_without_time() -> None:
    out, values, _ = fine(coarse().isel(time=0))
    assert out.dims == ("realization", "lat", "lon")
    assert "time" in out.coords
    np.testing.assert_array_equal(out.values, values[:, 0])


def test_names_are_the_user_s() -> None:
    out, _, _ = fine(coarse().rename(lat="latitude", lon="longitude", time="t"))
    assert out.dims == ("realization", "t", "latitude", "longitude")
    assert set(to_dataset(out).data_vars) >= {"latitude_bnds", "longitude_bnds"}


def test_bounds_enclose_whole_days_and_cells() -> None:
    ds = to_dataset(fine(coarse()[:, ::-1])[0])
    assert (ds.time_bnds.values[:, 0] == np.array(["2005-07-01", "2005-07-02"], "datetime64[ns]")).all()
    assert (ds.time_bnds.values[:, 1] == np.array(["2005-07-02", "2005-07-03"], "datetime64[ns]")).all()
    np.testing.assert_allclose(ds.lat_bnds.mean("bnds"), ds.lat)
    np.testing.assert_allclose(ds.lat_bnds.values[:-1, 1], ds.lat_bnds.values[1:, 0])
    assert (ds.lat_bnds.values[:, 0] > ds.lat_bnds.values[:, 1]).all(), "in the coordinate's direction"


def test_latitudes_end_at_the_poles() -> None:
    ds = to_dataset(fine(coarse(MERRA2.window((358, 3), (0, 4))))[0])
    assert float(ds.lat_bnds.max()) == 90.0


def test_means_alone_have_bounds_in_time() -> None:
    assert "time_bnds" not in to_dataset(fine(coarse(), cell_methods="area: mean")[0])


def test_attributes_of_the_file_and_of_the_variable() -> None:
    ds = to_dataset(fine(coarse())[0])
    assert ds.attrs["title"] == "a field"
    assert "title" not in ds.DUEXTTAU.attrs
    assert ds.DUEXTTAU.attrs["units"] == "1"


def test_the_crs_is_read_by_rioxarray() -> None:
    assert fine(coarse(MERRA2.window((250, 3), (300, 4))))[0].rio.crs.to_epsg() == 4326


@pytest.mark.parametrize("part", [{"realization": 0}, {"time": slice(1)}, {"lat": slice(3)}], ids=str)
def test_a_part_can_be_written(part: Any, tmp_path: Any) -> None:
    """The chunks of the whole are no chunks of a part."""
    out, _, _ = fine(coarse())
    some = out.isel(part)
    to_dataset(some).to_netcdf(tmp_path / "part.nc")
    some.drop_encoding().to_dataset().to_zarr(tmp_path / "part.zarr", consolidated=False)
    with xr.open_dataset(tmp_path / "part.nc") as found:
        np.testing.assert_array_equal(found.DUEXTTAU, some)
    to_dataset(out).to_netcdf(tmp_path / "whole.nc")
    with xr.open_dataset(tmp_path / "whole.nc") as found:
        assert found.DUEXTTAU.encoding["chunksizes"] == (1, 1, *out.shape[2:])
