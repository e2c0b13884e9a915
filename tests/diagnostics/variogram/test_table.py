"""From sums to the Dataset: pooling, days, names and units."""

from __future__ import annotations

import cftime
import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics.variogram.lags import Lags
from xdownscale.diagnostics.variogram.models import Model
from xdownscale.diagnostics.variogram.table import Pooling, tabulate

SPACE = ("y", "x")


def fields(members=2, times=3, step="D") -> xr.DataArray:
    time = np.datetime64("2020-01-30") + np.arange(times) * np.timedelta64(1, step)
    coords = {"realization": np.arange(members) + 10, "time": time.astype("datetime64[ns]")}
    return xr.DataArray(np.zeros((members, times, 2, 2)), coords, ("realization", "time", *SPACE))


def pooling(da, pool=("time", "realization"), intervals=0, dims=None) -> Pooling:
    return Pooling.of(da, SPACE, pool, intervals, 0, dims)


def test_everything_is_pooled_by_default() -> None:
    found = pooling(fields())
    np.testing.assert_array_equal(found.labels, np.zeros((2, 3)))
    assert found.kept.dims == ()
    assert found.pooled == ("realization", "time")


def test_kept_dimensions_number_the_groups() -> None:
    np.testing.assert_array_equal(pooling(fields(), "time").labels, [[0, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(pooling(fields(), ("realization",)).labels, [[0, 1, 2]] * 2)
    none = pooling(fields(), ())
    np.testing.assert_array_equal(none.labels, [[0, 1, 2], [3, 4, 5]])
    assert none.kept.dims == ("realization", "time")


def test_another_dimension_is_kept_or_pooled_by_name() -> None:
    da = fields().expand_dims(level=[1, 2, 3, 4])
    assert pooling(da).kept.dims == ("level",)
    assert pooling(da, ("time", "level", "realization")).kept.dims == ()
    with pytest.raises(ValueError, match=r"pool names \['height'\]: expected some of"):
        pooling(da, "height")


def test_time_is_known_by_its_dates_or_by_dims() -> None:
    da = fields().rename(time="valid")
    assert pooling(da).pooled == ("realization", "valid")
    plain = da.assign_coords(valid=[1.0, 2.0, 3.0])
    assert pooling(plain).pooled == ("realization",)
    assert pooling(plain, dims={"time": "valid"}).pooled == ("realization", "valid")


def test_hours_of_a_day_are_resampled_together() -> None:
    found = pooling(fields(times=60, step="h"), intervals=5)
    assert found.days == 3
    np.testing.assert_array_equal(np.bincount(found.labels[0]), [24, 24, 12])


def test_days_of_other_calendars() -> None:
    da = fields(times=4)
    days = [cftime.DatetimeNoLeap(2020, 2, 27 + k // 2, 12 * (k % 2)) for k in range(4)]
    found = pooling(da.assign_coords(time=days), intervals=5)
    np.testing.assert_array_equal(found.labels[0], [0, 0, 1, 1])


def test_times_without_dates_are_days_themselves() -> None:
    found = pooling(fields().assign_coords(time=[4, 5, 9]), "time", intervals=5)
    np.testing.assert_array_equal(found.labels, [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("da", "pool"),
    [(fields(), "realization"), (fields(times=1), "time"), (fields(times=5, step="h"), "time")],
)
def test_intervals_need_days(da, pool) -> None:
    with pytest.raises(ValueError, match="expected a pooled time of at least 2 days"):
        pooling(da, pool, intervals=10)


@pytest.mark.parametrize("intervals", [-1, 2.5, True, "many"])
def test_intervals_are_a_number_of_replicates(intervals) -> None:
    with pytest.raises(ValueError, match="expected a number of replicates"):
        pooling(fields(), intervals=intervals)


def sums(groups, directions=1, bins=6) -> np.ndarray:
    """A spherical semivariogram with range 4 and sill 1 + nugget 0.5, and no pairs in the second bin."""
    h = np.arange(bins) + 0.6
    gamma = 0.5 + np.where(h < 4, 1.5 * h / 4 - 0.5 * (h / 4) ** 3, 1.0)
    pairs = np.full(bins, 50.0)
    pairs[1] = 0.0
    part = np.stack([2 * pairs * gamma, pairs, pairs * h, pairs])
    return np.broadcast_to(part[None, :, None], (groups, 4, directions, bins)).copy()


def test_bins_and_fit() -> None:
    da = fields().assign_attrs(units="kg m-2", long_name="dust column")
    lags = Lags(tuple(np.arange(7.0)))
    ds = tabulate(sums(2), pooling(da, "time"), lags, Model.parse("spherical"), da, "km")
    assert ds.semivariance.dims == ("realization", "lag")
    np.testing.assert_array_equal(ds.realization, [10, 11])
    assert np.isnan(ds.semivariance[:, 1]).all()
    assert np.isnan(ds.distance[:, 1]).all()
    assert ds.pairs.dtype == np.int64
    np.testing.assert_array_equal(ds.pairs[0], [50, 0, 50, 50, 50, 50])
    np.testing.assert_allclose(ds.distance[0, [0, 2]], [0.6, 2.6])
    np.testing.assert_allclose(ds.nugget, 0.5, rtol=1e-6)
    np.testing.assert_allclose(ds["range"], 4.0, rtol=1e-6)
    np.testing.assert_allclose(ds.sill, ds.nugget + ds.partial_sill, rtol=0)
    assert ds.range_at_bound.dtype == bool
    assert not ds.range_at_bound.any()


def test_structures_are_a_dimension_where_there_are_several() -> None:
    da, lags = fields(), Lags(tuple(np.arange(13.0)))
    ds = tabulate(sums(1, bins=12), pooling(da), lags, Model.parse("spherical+stable"), da, "km")
    assert ds.partial_sill.dims == ("structure",)
    assert ds.structure.values.tolist() == ["spherical", "stable"]
    assert ds.sill.item() == pytest.approx(ds.nugget.item() + ds.partial_sill.sum().item())
    assert np.isnan(ds["shape"].values[0])
    assert 0.1 <= ds["shape"].values[1] <= 2.0


def test_directions_are_a_dimension_where_asked_for() -> None:
    da, lags = fields(), Lags(tuple(np.arange(7.0)), (0.0, 90.0))
    ds = tabulate(sums(1, 2), pooling(da), lags, None, da, "km")
    assert ds.semivariance.dims == ("direction", "lag")
    assert ds.direction.attrs["units"] == "degree"
    assert ds.attrs["sector"] == "22.5 degrees to each side of the direction"
    assert "nugget" not in ds


def test_names_units_and_methods() -> None:
    da = fields().assign_attrs(units="kg m-2", long_name="dust column")
    lags = Lags(tuple(np.arange(7.0)))
    ds = tabulate(sums(3), pooling(da, intervals=20), lags, Model.parse("spherical"), da, "km")
    assert {n: ds[n].attrs["units"] for n in ("semivariance", "nugget", "partial_sill", "sill", "rmse")} == (
        dict.fromkeys(("semivariance", "nugget", "partial_sill", "sill", "rmse"), "(kg m-2)2")
    )
    assert {ds[n].attrs["units"] for n in ("lag", "lag_bounds", "distance", "range", "range_interval")} == {
        "km"
    }
    assert ds.pairs.attrs["units"] == "1"
    assert all(ds[n].attrs["long_name"] for n in ds.data_vars)
    assert ds.lag.attrs["bounds"] == "lag_bounds"
    np.testing.assert_array_equal(ds.lag_bounds, [[k, k + 1] for k in range(6)])
    np.testing.assert_array_equal(ds.lag, np.arange(6) + 0.5)
    assert ds.attrs["title"] == "semivariogram of dust column"
    assert ds.attrs["pooled_over"] == "realization time"
    assert ds.attrs["intervals"] == "95 %, 20 replicates of blocks of 2 of 3 days, seed 0"


def test_fields_without_units_have_none_squared() -> None:
    lags = Lags((0.0, 1.0, 2.0))
    for units, known in (("1", "1"), ("", ""), ("K", "(K)2")):
        da = fields().assign_attrs(units=units)
        found = tabulate(sums(1, bins=2), pooling(da), lags, None, da, "m")
        assert found.semivariance.attrs["units"] == known
