"""Readers, on small files of the same schema as MERRA-2's and G5NR's, and on the real granules where they are."""

from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr

from xdownscale.data.readers import open_g5nr, open_merra2

LAT, LON = np.arange(28.0, 31.0, 0.5), np.arange(40.0, 44.0, 0.625)
DUST = "atmosphere_optical_thickness_due_to_dust_ambient_aerosol_particles"


def granule(date, *, hours=24, fill=None, seed=0, lon=LON, lat=LAT, name="DUEXTTAU"):
    """One day as GES DISC writes it: undecoded int32 minutes since that day 00:30, float fills."""
    values = np.random.default_rng(seed).uniform(0, 1, (hours, lat.size, lon.size)).astype("f4")
    if fill is not None:
        values[fill] = 1e15
    label = {
        "standard_name": "Dust Extinction AOT [550 nm]",
        "long_name": "Dust Extinction AOT [550 nm]",
        "units": "1",
    }
    extra = {
        "_FillValue": np.float32(1e15),
        "missing_value": np.float32(1e15),
        "fmissing_value": np.float32(1e15),
    }
    minutes = (60 * np.arange(hours)).astype("i4")
    time = ("time", minutes, {"units": f"minutes since {date} 00:30:00", "calendar": "standard"})
    fields = {name: (("time", "lat", "lon"), values, {**label, **extra})}
    return xr.Dataset(fields, {"time": time, "lat": ("lat", lat), "lon": ("lon", lon)})


def write(folder, date, stream=400, suffix="nc4", **given):
    path = folder / f"MERRA2_{stream}.tavg1_2d_aer_Nx.{date.replace('-', '')}.{suffix}"
    raw = granule(date, **given)
    fill = raw["DUEXTTAU"].attrs.pop("_FillValue")
    raw["DUEXTTAU"].encoding["_FillValue"] = fill
    del raw["DUEXTTAU"].attrs["missing_value"]
    raw.to_netcdf(path)
    return path


def test_equal_integers_and_other_epochs_give_other_days(tmp_path):
    for i, date in enumerate(("2021-06-06", "2021-06-07")):
        write(tmp_path, date, seed=i)
    data = open_merra2(str(tmp_path / "MERRA2_*.nc4"))
    assert data.sizes["time"] == 48
    assert data.time.values[0] == np.datetime64("2021-06-06T00:30") and data.time.values[24] == np.datetime64(
        "2021-06-07T00:30"
    )
    assert data.DUEXTTAU.attrs["standard_name"] == DUST
    assert float(data.radiation_wavelength) == 550.0


def test_streams_and_subsets_are_found_by_glob_and_put_in_order(tmp_path):
    late = write(tmp_path, "2021-06-08", stream=401, suffix="SUB.nc", seed=2)
    early = write(tmp_path, "2021-06-07", stream=400, seed=1)
    data = open_merra2([late, early], daily=True)
    assert [str(t)[:10] for t in data.time.values] == ["2021-06-07", "2021-06-08"]
    expected = granule("2021-06-08", seed=2).DUEXTTAU.values.mean(axis=0)
    np.testing.assert_allclose(data.DUEXTTAU.values[1], expected, rtol=1e-6)


def test_daily_means_are_stamped_at_noon_with_bounds(tmp_path):
    write(tmp_path, "2021-06-07")
    data = open_merra2(tmp_path / "MERRA2_400.tavg1_2d_aer_Nx.20210607.nc4", daily=True)
    assert data.time.values[0] == np.datetime64("2021-06-07T12:00")
    assert list(data.time_bnds.values[0]) == [np.datetime64("2021-06-07"), np.datetime64("2021-06-08")]
    assert data.DUEXTTAU.attrs["cell_methods"] == "time: mean"
    assert data.DUEXTTAU.dtype == np.float32


def test_partial_days_are_left_out_and_said(tmp_path):
    write(tmp_path, "2021-06-07")
    write(tmp_path, "2021-06-08", hours=5)
    with pytest.warns(UserWarning, match="1 days do not have 24 times.*2021-06-08"):
        data = open_merra2(str(tmp_path / "*.nc4"), daily=True)
    assert data.sizes["time"] == 1
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="no day has all of its 24 times"):
        open_merra2(str(tmp_path / "*0608.nc4"), daily=True)


def test_duplicate_stamps_are_dropped_with_a_warning(tmp_path):
    first, again = write(tmp_path, "2021-06-07", seed=1), write(tmp_path, "2021-06-07", stream=401, seed=2)
    with pytest.warns(UserWarning, match="24 time stamps occur twice"):
        data = open_merra2([first, again])
    np.testing.assert_array_equal(data.DUEXTTAU.values, granule("2021-06-07", seed=1).DUEXTTAU.values)


def test_fills_are_masked_decoded_or_not(tmp_path):
    write(tmp_path, "2021-06-07", fill=(3, 1, 1))
    read = open_merra2(str(tmp_path / "*.nc4"))
    assert np.isnan(read.DUEXTTAU.values[3, 1, 1]) and np.isnan(read.DUEXTTAU.values).sum() == 1
    raw = granule("2021-06-07", fill=(3, 1, 1))
    for key in ("_FillValue", "missing_value"):
        del raw.DUEXTTAU.attrs[key]
    opened = open_merra2(raw)
    assert np.isnan(opened.DUEXTTAU.values[3, 1, 1]) and np.isnan(opened.DUEXTTAU.values).sum() == 1
    assert opened.time.values[0] == np.datetime64("2021-06-07T00:30")
    assert "fmissing_value" not in opened.DUEXTTAU.attrs


@pytest.mark.parametrize(
    ("lat", "lon"), [(LAT[::-1], LON), (LAT, LON + 320.0)], ids=["descending latitude", "0-360 longitude"]
)
def test_order_and_convention_stay_the_files_own(tmp_path, lat, lon):
    path = write(tmp_path, "2021-06-07", lat=lat, lon=lon)
    data = open_merra2(path)
    np.testing.assert_array_equal(data.lat.values, lat)
    np.testing.assert_array_equal(data.lon.values, lon)


def test_file_objects_and_chosen_variables(tmp_path):
    content = write(tmp_path, "2021-06-07").read_bytes()
    data = open_merra2(io.BytesIO(content), variables=["DUEXTTAU"])
    assert list(data.data_vars) == ["DUEXTTAU"] and data.sizes["time"] == 24
    with pytest.raises(ValueError, match=r"the files hold \['DUEXTTAU'\], not \['TOTEXTTAU'\]"):
        open_merra2(io.BytesIO(content), variables=["TOTEXTTAU"])


def test_no_match_names_the_pattern(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file matches .*MERRA2_\*"):
        open_merra2(str(tmp_path / "MERRA2_*.nc4"))


def test_chunks_stay_lazy(tmp_path):
    write(tmp_path, "2021-06-07")
    data = open_merra2(str(tmp_path / "*.nc4"), chunks={"time": 6}, daily=True)
    assert data.DUEXTTAU.chunks is not None
    np.testing.assert_allclose(
        data.DUEXTTAU.values[0], granule("2021-06-07").DUEXTTAU.values.mean(0), rtol=1e-6
    )


def snapshot(stamp, name="duexttau", value=0.5):
    values = np.full((LAT.size, LON.size), value, dtype="f4")
    coords = {"time": np.datetime64(stamp, "ns"), "lat": LAT, "lon": LON}
    return xr.Dataset({name: (("lat", "lon"), values, {"long_name": "dust"})}, coords)


def test_g5nr_snapshots_with_lower_case_names_and_a_partial_first_day():
    first = [snapshot(np.datetime64("2005-05-15T21:30") + np.timedelta64(30 * i, "m")) for i in range(5)]
    second = [
        snapshot(np.datetime64("2005-05-16T00:00") + np.timedelta64(30 * i, "m"), value=i / 48.0)
        for i in range(48)
    ]
    with pytest.warns(UserWarning, match="2005-05-15"):
        data = open_g5nr(first + second, daily=True)
    assert data.sizes["time"] == 1 and list(data.data_vars) == ["DUEXTTAU"]
    np.testing.assert_allclose(data.DUEXTTAU.values, np.arange(48).mean() / 48.0, rtol=1e-6)
    assert data.DUEXTTAU.attrs["units"] == "1" and data.DUEXTTAU.attrs["standard_name"] == DUST


def test_the_real_granules(real_data):
    pattern = str(real_data / "merra2" / "MERRA2_401*.SUB.nc")
    data = open_merra2(pattern, variables=["DUEXTTAU"], daily=True)
    assert [str(t) for t in data.time.values.astype("datetime64[D]")] == [
        f"2021-06-{d:02d}" for d in range(6, 11)
    ]
    hourly = open_merra2(pattern, variables=["DUEXTTAU"])
    assert hourly.sizes["time"] == 120
    np.testing.assert_allclose(
        data.DUEXTTAU.values, hourly.DUEXTTAU.values.reshape(5, 24, 76, 102).mean(axis=1), rtol=1e-5
    )
    assert 0.09 < float(data.DUEXTTAU.mean()) < 0.11
