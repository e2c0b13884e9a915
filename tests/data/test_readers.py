"""Readers, on small files of the same schema as MERRA-2's and G5NR's, and on the real granules if there."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import xarray as xr

from xdownscale.data.readers import open_g5nr, open_merra2
from xdownscale.grid import MERRA2

LAT, LON = np.arange(28.0, 31.0, 0.5), np.arange(40.0, 44.0, 0.625)
DUST = "atmosphere_optical_thickness_due_to_dust_ambient_aerosol_particles"
TOTAL = "atmosphere_optical_thickness_due_to_ambient_aerosol_particles"
LONG = "Dust Extinction AOT [550 nm]"


def granule(date, *, hours=24, fill=None, seed=0, lon=LON, lat=LAT, names=("DUEXTTAU",)):
    """One day as GES DISC writes it: undecoded int32 minutes since that day 00:30, float fills."""
    rng = np.random.default_rng(seed)
    attrs = {"standard_name": LONG, "long_name": LONG, "units": "1", "fmissing_value": np.float32(1e15)}
    attrs |= {"missing_value": np.float32(1e15), "vmax": np.float32(1e15), "vmin": np.float32(-1e15)}
    fields = {}
    for name in names:
        values = rng.uniform(0, 1, (hours, lat.size, lon.size)).astype("f4")
        if fill is not None:
            values[fill] = 1e15
        fields[name] = (("time", "lat", "lon"), values, dict(attrs))
    minutes = (60 * np.arange(hours)).astype("i4")
    time = ("time", minutes, {"units": f"minutes since {date} 00:30:00", "calendar": "standard"})
    whole = {"Institution": "NASA", "RangeBeginningDate": date, "VersionID": np.int32(5)}
    return xr.Dataset(fields, {"time": time, "lat": ("lat", lat), "lon": ("lon", lon)}, whole)


def write(folder, date, stream=400, suffix="nc4", **given):
    path = folder / f"MERRA2_{stream}.tavg1_2d_aer_Nx.{date.replace('-', '')}.{suffix}"
    raw = granule(date, **given)
    for field in raw.data_vars.values():
        field.encoding["_FillValue"] = field.attrs["missing_value"]
        field.attrs.pop("missing_value")
    raw.to_netcdf(path)
    return path


def values(date, seed=0, **given):
    return granule(date, seed=seed, **given).DUEXTTAU.values


def test_equal_integers_and_other_epochs_give_other_days(tmp_path):
    for i, date in enumerate(("2021-06-06", "2021-06-07")):
        path = write(tmp_path, date, seed=i)
        with xr.open_dataset(path, decode_times=False) as raw:
            assert raw.time.dtype == np.int32
            np.testing.assert_array_equal(raw.time, 60 * np.arange(24))
    data = open_merra2(str(tmp_path / "MERRA2_*.nc4"))
    expected = np.datetime64("2021-06-06T00:30", "ns") + np.arange(48) * np.timedelta64(1, "h")
    np.testing.assert_array_equal(data.time.values, expected)
    np.testing.assert_array_equal(
        data.DUEXTTAU.values, np.concatenate([values("2021-06-06", 0), values("2021-06-07", 1)])
    )


def test_datasets_are_decoded_one_by_one_too(tmp_path):
    days = [granule("2021-06-06", seed=0), granule("2021-06-07", seed=1)]
    data = open_merra2(days, daily=True)
    np.testing.assert_allclose(data.DUEXTTAU[1], values("2021-06-07", 1).mean(axis=0), rtol=1e-6)
    assert days[0].time.dtype == np.int32
    assert days[0].DUEXTTAU.attrs["standard_name"] == LONG


def test_files_put_together_undecoded_are_refused():
    collapsed = xr.concat([granule("2021-06-06"), granule("2021-06-07")], "time", combine_attrs="override")
    with pytest.raises(ValueError, match="dataset 1: times repeat before they are decoded"):
        open_merra2(collapsed)


def test_streams_and_subsets_are_found_by_glob_and_put_in_order(tmp_path):
    write(tmp_path, "2021-06-08", stream=100, suffix="SUB.nc", seed=3)
    write(tmp_path, "2021-06-06", stream=401, suffix="SUB.nc", seed=1)
    write(tmp_path, "2021-06-07", stream=400, suffix="SUB.nc", seed=2)
    data = open_merra2(tmp_path / "MERRA2_*.SUB.nc", daily=True)
    assert [str(t)[:10] for t in data.time.values] == ["2021-06-06", "2021-06-07", "2021-06-08"]
    for i in range(3):
        expected = values(f"2021-06-0{6 + i}", 1 + i).mean(axis=0)
        np.testing.assert_allclose(data.DUEXTTAU[i], expected, rtol=1e-6)


def test_cf_names_and_units_and_wavelength(tmp_path):
    path = write(tmp_path, "2021-06-07", names=("DUEXTTAU", "TOTEXTTAU", "DUSCATAU"))
    data = open_merra2(path)
    assert data.DUEXTTAU.attrs == {"standard_name": DUST, "long_name": LONG, "units": "1"}
    assert data.TOTEXTTAU.attrs["standard_name"] == TOTAL
    assert "standard_name" not in data.DUSCATAU.attrs  # the long name is no standard name
    assert data.radiation_wavelength.item() == 550.0
    assert data.radiation_wavelength.attrs["units"] == "nm"
    assert data.lat.attrs["units"] == "degrees_north"
    assert data.lon.attrs["standard_name"] == "longitude"
    assert "radiation_wavelength" not in open_merra2(path, variables="DUSCATAU").coords


def test_attributes_of_the_whole_are_those_that_files_share(tmp_path):
    paths = [write(tmp_path, date) for date in ("2021-06-06", "2021-06-07")]
    assert open_merra2(paths).attrs == {"Institution": "NASA", "VersionID": 5}
    assert open_merra2(paths[0]).attrs["RangeBeginningDate"] == "2021-06-06"


def test_daily_means_are_stamped_at_noon_with_bounds(tmp_path):
    data = open_merra2(write(tmp_path, "2021-06-07", names=("DUEXTTAU", "DUCMASS")), daily=True)
    assert data.DUEXTTAU.dims == ("time", "lat", "lon")
    assert data.DUEXTTAU.dtype == np.float32
    np.testing.assert_array_equal(data.time.values, [np.datetime64("2021-06-07T12:00")])
    np.testing.assert_array_equal(
        data.time_bnds.values, [[np.datetime64("2021-06-07"), np.datetime64("2021-06-08")]]
    )
    assert data.time.attrs == {"bounds": "time_bnds", "standard_name": "time", "axis": "T"}
    assert data.DUEXTTAU.attrs["cell_methods"] == data.DUCMASS.attrs["cell_methods"] == "time: mean"


def test_daily_means_go_through_netcdf(tmp_path):
    data = open_merra2([granule("2021-06-06"), granule("2021-06-07", seed=1)], daily=True)
    data.to_netcdf(tmp_path / "daily.nc")
    with xr.open_dataset(tmp_path / "daily.nc", decode_coords="all") as back:
        xr.testing.assert_equal(back.load(), data)
        assert back.time.encoding["units"] == "minutes since 1970-01-01"


def test_partial_days_are_left_out_and_said(tmp_path):
    write(tmp_path, "2021-06-07")
    write(tmp_path, "2021-06-08", hours=5)
    write(tmp_path, "2021-06-09", hours=23)
    with pytest.warns(UserWarning, match="incomplete") as caught:
        data = open_merra2(str(tmp_path / "*.nc4"), daily=True)
    assert data.sizes["time"] == 1
    assert str(caught[0].message) == (
        "2 incomplete days left out: 2021-06-08 (5 of 24 times), 2021-06-09 (23 of 24 times)"
    )
    assert caught[0].filename == __file__  # the user's line, not ours
    assert open_merra2(str(tmp_path / "*.nc4")).sizes["time"] == 52  # hours are kept
    with pytest.raises(ValueError, match=r"expected 24 evenly spaced .* at most 5, on 2021-06-08"):
        open_merra2(str(tmp_path / "*0608.nc4"), daily=True)


def test_a_day_may_lie_in_two_files(tmp_path):
    whole = xr.decode_cf(granule("2021-06-07"))
    data = open_merra2([whole.isel(time=slice(9, None)), whole.isel(time=slice(9))], daily=True)
    np.testing.assert_allclose(data.DUEXTTAU[0], values("2021-06-07").mean(axis=0), rtol=1e-6)


def test_as_many_times_as_a_day_needs_must_be_evenly_spaced():
    day = xr.decode_cf(granule("2021-06-07"))
    three_hourly = open_merra2(day.isel(time=slice(None, None, 3)), daily=True, steps_per_day=8)
    np.testing.assert_allclose(three_hourly.DUEXTTAU[0], values("2021-06-07")[::3].mean(axis=0), rtol=1e-6)
    with pytest.raises(ValueError, match="expected 8 evenly spaced"):
        open_merra2(day.isel(time=slice(8)), daily=True, steps_per_day=8)
    with pytest.raises(ValueError, match="steps_per_day is 0"):
        open_merra2(day, steps_per_day=0)


def test_duplicate_stamps_are_dropped_with_a_warning(tmp_path):
    first, again = write(tmp_path, "2021-06-07", seed=1), write(tmp_path, "2021-06-07", stream=401, seed=2)
    with pytest.warns(UserWarning, match="24 duplicate times dropped, the first at 2021-06-07 00:30"):
        data = open_merra2([first, again])
    np.testing.assert_array_equal(data.DUEXTTAU.values, values("2021-06-07", 1))
    with pytest.warns(UserWarning, match="24 duplicate times"):
        daily = open_merra2([again, first], daily=True)
    np.testing.assert_allclose(daily.DUEXTTAU[0], values("2021-06-07", 2).mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("decoded", [True, False], ids=["fill declared", "fill undeclared"])
def test_fills_are_masked(tmp_path, decoded):
    raw = granule("2021-06-07", fill=(3, 1, 1))
    source = write(tmp_path, "2021-06-07", fill=(3, 1, 1)) if decoded else raw
    if not decoded:
        del raw.DUEXTTAU.attrs["missing_value"]
    hourly = open_merra2(source).DUEXTTAU.values
    assert np.isnan(hourly[3, 1, 1])
    assert np.isnan(hourly).sum() == 1
    daily = open_merra2(source, daily=True).DUEXTTAU.values
    assert np.isnan(daily[0, 1, 1])
    assert np.isnan(daily).sum() == 1
    assert raw.DUEXTTAU.values[3, 1, 1] == np.float32(1e15)  # the caller's data stay as they are


@pytest.mark.parametrize(
    ("lat", "lon"),
    [(LAT[::-1], LON), (LAT, LON + 320.0), (LAT[::-1], LON + 320.0)],
    ids=["descending latitude", "0-360 longitude", "both"],
)
def test_order_and_convention_stay_the_files_own(tmp_path, lat, lon):
    data = open_merra2(write(tmp_path, "2021-06-07", lat=lat, lon=lon), daily=True)
    np.testing.assert_array_equal(data.lat.values, lat)
    np.testing.assert_array_equal(data.lon.values, lon)


def test_a_coordinate_that_is_nearly_zero_is_zero(tmp_path):
    lat = np.array([-0.5, 1e-13, 0.5])
    lon = np.array([-0.625, -1.8e-13, 0.625, 1.25])
    one = write(tmp_path, "2021-06-06", lat=lat, lon=lon)
    other = write(tmp_path, "2021-06-07", lat=np.array([-0.5, 0.0, 0.5]), lon=lon)
    data = open_merra2([one, other])
    assert data.sizes == {"time": 48, "lat": 3, "lon": 4}
    assert data.lat.values[1] == 0.0
    assert data.lon.values[1] == 0.0
    assert MERRA2.y.locate(data.lat.values).start == 179


def test_files_of_other_grids_or_orders_are_not_mixed(tmp_path):
    one, other = granule("2021-06-06"), granule("2021-06-07", lat=LAT[::-1])
    with pytest.raises(
        ValueError, match=r"dataset 2: 'lat' runs 30.5 to 28 \(6 values\), in dataset 1 28 to 30"
    ):
        open_merra2([one, other])
    with pytest.raises(ValueError, match=r"'lon' runs .* \(6 values"):
        open_merra2([one, granule("2021-06-07", lon=LON[:6])])


def test_file_objects_and_chosen_variables(tmp_path):
    content = write(tmp_path, "2021-06-07", names=("DUEXTTAU", "DUCMASS", "TOTEXTTAU")).read_bytes()
    data = open_merra2(io.BytesIO(content), variables=["TOTEXTTAU", "DUEXTTAU"])
    assert set(data.data_vars) == {"DUEXTTAU", "TOTEXTTAU"}
    assert data.sizes["time"] == 24
    with pytest.raises(
        ValueError, match=r"file 1: no variable \['BCEXTTAU'\], there are \['DUCMASS', 'DUEXT"
    ):
        open_merra2(io.BytesIO(content), variables="BCEXTTAU")


def test_an_open_file_of_a_path_is_named_in_errors(tmp_path):
    with write(tmp_path, "2021-06-07").open("rb") as opened:
        assert open_merra2(opened).sizes["time"] == 24
    with (
        write(tmp_path, "2021-06-07").open("rb") as opened,
        pytest.raises(ValueError, match=r"20210607\.nc4: no"),
    ):
        open_merra2(opened, variables=["X"])


def test_a_variable_that_only_some_files_have(tmp_path):
    both, one = granule("2021-06-06", names=("DUEXTTAU", "DUCMASS")), granule("2021-06-07")
    with pytest.raises(ValueError, match=r"dataset 2: no variable \['DUCMASS'\], which dataset 1 has"):
        open_merra2([both, one])
    assert open_merra2([both, one], variables="DUEXTTAU").sizes["time"] == 48


def test_static_fields_are_left_out_of_many_times():
    data = granule("2021-06-06")
    data["PHIS"] = (("lat", "lon"), np.ones((LAT.size, LON.size), "f4"))
    assert list(open_merra2(data).data_vars) == ["DUEXTTAU"]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file matches .*MERRA2_\*\.nc4"):
        open_merra2(str(tmp_path / "MERRA2_*.nc4"))
    with pytest.raises(FileNotFoundError, match=r"no such file: .*absent\.nc4"):
        open_merra2(tmp_path / "absent.nc4")
    with pytest.raises(ValueError, match="paths is empty"):
        open_merra2([])
    with pytest.raises(TypeError, match="a DataArray was given"):
        open_merra2([granule("2021-06-06").DUEXTTAU])
    with pytest.raises(ValueError, match=r"no dimension \['lat', 'lon'\].* there are {'time': 24, 'y'"):
        open_merra2(granule("2021-06-06").rename(lat="y", lon="x"))
    with pytest.raises(ValueError, match="dataset 1: no variable 'time', there are"):
        open_merra2(granule("2021-06-06").isel(time=0, drop=True))


def test_latitude_and_longitude_by_their_long_names():
    data = open_merra2(granule("2021-06-06").rename(lat="latitude", lon="longitude"))
    assert data.DUEXTTAU.dims == ("time", "lat", "lon")


@pytest.mark.parametrize("daily", [False, True])
def test_chunks_stay_lazy_and_give_the_same_values(tmp_path, daily):
    for i, date in enumerate(("2021-06-06", "2021-06-07")):
        write(tmp_path, date, seed=i)
    pattern = str(tmp_path / "*.nc4")
    lazy, eager = (open_merra2(pattern, chunks=chunks, daily=daily) for chunks in ({"time": 6}, None))
    assert lazy.DUEXTTAU.chunks is not None
    assert eager.DUEXTTAU.chunks is None
    np.testing.assert_allclose(lazy.DUEXTTAU.values, eager.DUEXTTAU.values, rtol=1e-6)
    assert lazy.DUEXTTAU.attrs == eager.DUEXTTAU.attrs
    assert lazy.time.identical(eager.time)


def test_lazy_datasets_stay_lazy_and_read_files_are_closed(tmp_path):
    path = write(tmp_path, "2021-06-06")
    with xr.open_dataset(path, chunks={}) as opened:
        assert open_merra2(opened).DUEXTTAU.chunks is not None
        assert open_merra2(opened.load()).DUEXTTAU.chunks is None
    data = open_merra2(path)
    path.unlink()
    np.testing.assert_array_equal(data.DUEXTTAU.values, values("2021-06-06"))


def snapshot(stamp, value=0.5, name="duexttau"):
    """As a data server gives it: lower case, one time, no attributes."""
    fields = {name: (("lat", "lon"), np.full((LAT.size, LON.size), value, dtype="f4"))}
    return xr.Dataset(fields, {"time": np.datetime64(stamp, "ns"), "lat": LAT, "lon": LON})


def half_hours(start, number):
    return np.datetime64(start, "ns") + np.arange(number) * np.timedelta64(30, "m")


def test_g5nr_snapshots_with_lower_case_names_and_a_partial_first_day():
    first = [snapshot(stamp) for stamp in half_hours("2005-05-15T21:30", 5)]
    second = [snapshot(stamp, i / 48.0) for i, stamp in enumerate(half_hours("2005-05-16T00:00", 48))]
    with pytest.warns(UserWarning, match=r"1 incomplete day left out: 2005-05-15 \(5 of 48 times\)"):
        data = open_g5nr(first + second, daily=True)
    assert data.sizes["time"] == 1
    assert list(data.data_vars) == ["DUEXTTAU"]
    np.testing.assert_allclose(data.DUEXTTAU.values, np.arange(48).mean() / 48.0, rtol=1e-6)
    assert data.DUEXTTAU.attrs == {"standard_name": DUST, "units": "1", "cell_methods": "time: mean"}
    assert data.lat.attrs["units"] == "degrees_north"


def test_g5nr_files_of_one_time_each(tmp_path):
    for i, stamp in enumerate(half_hours("2005-05-15T21:30", 3)):
        text = str(stamp)[:16].replace("-", "").replace("T", "_").replace(":", "")
        data = snapshot(stamp, 0.1 * i, "DUEXTTAU").expand_dims("time")
        data.to_netcdf(tmp_path / f"c1440_NR.inst30mn_2d_aer1_Nx.{text}z.nc4")
    data = open_g5nr(str(tmp_path / "c1440_NR.inst30mn_2d_aer1_Nx.*.nc4"))
    np.testing.assert_array_equal(data.time.values, half_hours("2005-05-15T21:30", 3))
    np.testing.assert_allclose(data.DUEXTTAU.mean(("lat", "lon")), [0.0, 0.1, 0.2], rtol=1e-6)


def test_a_time_without_units_comes_from_the_files_name(tmp_path):
    raw = snapshot("2005-05-15T21:30").drop_vars("time").expand_dims("time").assign_coords(time=[0.0])
    path = tmp_path / "c1440_NR.inst30mn_2d_aer1_Nx.20050515_2130z.nc4"
    raw.to_netcdf(path)
    np.testing.assert_array_equal(open_g5nr(path).time.values, [np.datetime64("2005-05-15T21:30")])
    with pytest.raises(ValueError, match="dataset 1: 'time' holds numbers without units"):
        open_g5nr(raw)


def test_days_since_the_year_one_are_rounded_to_seconds():
    """Data servers count days in float64 from 1-1-1: a half hour is off by microseconds."""
    units = "days since 1-1-1 00:00:0.0"
    stamps = half_hours("2005-05-15T21:30", 5)
    encoded = [732_082.0 + 21.5 / 24 + i / 48 for i in range(5)]
    parts = [snapshot(stamps[0]).assign_coords(time=((), t, {"units": units})) for t in encoded]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = open_g5nr(parts)
    np.testing.assert_array_equal(np.diff(data.time.values), np.diff(stamps))
    np.testing.assert_array_equal(data.time.values, stamps)


@pytest.fixture(scope="module")
def granules(real_data):
    paths = sorted((real_data / "merra2").glob("MERRA2_401*.SUB.nc"))
    if not paths:
        pytest.skip(f"no MERRA-2 granules in {real_data}")
    return paths


def test_real_daily_means_are_plain_means_of_the_raw_hours(granules):
    import netCDF4

    data = open_merra2(granules[0].parent / "MERRA2_401*.SUB.nc", variables="DUEXTTAU", daily=True)
    assert data.sizes == {"time": 5, "lat": 76, "lon": 102, "bnds": 2}
    for day, path in zip(data.DUEXTTAU.values, granules, strict=True):
        with netCDF4.Dataset(path) as raw:
            raw.set_auto_mask(False)
            hours = raw["DUEXTTAU"][:].astype(np.float64)
        assert hours.shape == (24, 76, 102)
        np.testing.assert_allclose(day, hours.mean(axis=0), rtol=1e-7)


def test_real_hours_keep_their_days(granules):
    data = open_merra2(granules)
    expected = np.datetime64("2021-06-06T00:30", "ns") + np.arange(120) * np.timedelta64(1, "h")
    np.testing.assert_array_equal(data.time.values, expected)
    assert sorted(data.data_vars) == ["DUCMASS", "DUEXTTAU", "DUFLUXU", "DUFLUXV", "DUSCATAU", "DUSMASS"]
    assert data.DUEXTTAU.attrs["standard_name"] == DUST
    assert float(data.DUEXTTAU.min()) > 0.0005
    assert 2.0 < float(data.DUEXTTAU.max()) < 2.02
    assert float(data.DUEXTTAU.mean()) == pytest.approx(0.102, abs=0.001)


def test_real_grid_is_a_window_of_merra2(granules):
    data = open_merra2(granules[:1], daily=True)
    assert (MERRA2.y.locate(data.lat.values).start, MERRA2.x.locate(data.lon.values).start) == (217, 402)
