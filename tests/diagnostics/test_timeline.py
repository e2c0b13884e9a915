"""Times on their lattice: gaps stay gaps, and what is no lattice is refused with the way out."""

from __future__ import annotations

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from xdownscale.diagnostics.timeline import lag_pairs, places

LAW = settings(deadline=None, max_examples=40)


def time(*stamps: str) -> xr.DataArray:
    return xr.DataArray(np.array(stamps, dtype="M8[ns]"), dims="time", name="time")


@LAW
@given(st.sets(st.integers(0, 40), min_size=4, max_size=20), st.sampled_from([1, 3, 24]))
def test_days_missing_are_places_left_out(days: set[int], hours: int) -> None:
    """Whole steps are recovered wherever the commonest gap is the step."""
    place = np.array(sorted(days))
    found, counts = np.unique(np.diff(place), return_counts=True)
    stamps = np.datetime64("2021-06-01T00", "ns") + place * np.timedelta64(hours, "h")
    da = xr.DataArray(stamps, dims="time", name="time")
    if found[counts.argmax()] == 1:
        np.testing.assert_array_equal(places(da), place - place[0])


def test_calendars_without_leap_days() -> None:
    stamps = [
        cftime.DatetimeNoLeap(2020, 2, 27),
        cftime.DatetimeNoLeap(2020, 2, 28),
        cftime.DatetimeNoLeap(2020, 3, 1),
    ]
    np.testing.assert_array_equal(places(xr.DataArray(stamps, dims="time", name="time")), [0, 1, 2])
    stamps = [cftime.Datetime360Day(2020, 2, d) for d in (28, 29, 30)] + [cftime.Datetime360Day(2020, 3, 3)]
    np.testing.assert_array_equal(places(xr.DataArray(stamps, dims="time", name="time")), [0, 1, 2, 5])


def test_months_are_a_lattice_though_they_differ_in_length() -> None:
    np.testing.assert_array_equal(
        places(time("2021-01-15", "2021-02-15", "2021-03-15", "2021-06-15")), [0, 1, 2, 5]
    )
    stamps = [cftime.DatetimeGregorian(2020, m, 1) for m in (11, 12)] + [cftime.DatetimeGregorian(2021, 1, 1)]
    np.testing.assert_array_equal(places(xr.DataArray(stamps, dims="time", name="time")), [0, 1, 2])


def test_numbers() -> None:
    np.testing.assert_array_equal(
        places(xr.DataArray([0.0, 0.1, 0.2, 0.5], dims="lead", name="lead")), [0, 1, 2, 5]
    )
    assert places(time("2021-06-01")).tolist() == [0]


@pytest.mark.parametrize(
    ("stamps", "said"),
    [
        (
            ("2021-06-01", "2021-06-02", "2021-06-03T12", "2021-06-05"),
            "steps from 24 h to 36 h.*resample.*asfreq",
        ),
        (("2021-06-01", "2021-06-02", "2021-06-02T12", "2021-06-03T12"), "steps from 12 h to 24 h.*resample"),
        (("2021-01-15", "2021-02-14", "2021-03-15"), "not regular"),
        (("2021-06-02", "2021-06-01"), "does not rise: sort it"),
        (("2021-06-01", "2021-06-01"), "drop duplicates"),
    ],
)
def test_what_is_no_lattice(stamps: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        places(time(*stamps))


def test_numbers_that_are_no_lattice() -> None:
    with pytest.raises(ValueError, match=r"'lead' is not regular: steps from 1 to 1.5"):
        places(xr.DataArray([0.0, 1.0, 2.5], dims="lead", name="lead"))


@LAW
@given(st.sets(st.integers(0, 30), min_size=1), st.integers(0, 31))
def test_pairs_are_all_that_lie_a_lag_apart(days: set[int], lag: int) -> None:
    place = np.array(sorted(days))
    i, j = lag_pairs(place, lag)
    expected = [(a, b) for a in range(place.size) for b in range(place.size) if place[b] - place[a] == lag]
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected
