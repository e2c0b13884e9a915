"""Lag bins and sectors: ties, defaults, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.variogram.lags import Lags


def choose(lags=None, max_lag=None, directions=None, diagonal=300.0, cell=1.0) -> Lags:
    return Lags.choose(lags, max_lag, directions, diagonal=diagonal, cell=cell)


def test_bins_hold_their_lower_edge() -> None:
    lags = Lags((1.0, 2.0, 4.0))
    found = lags.classes(np.array([0.5, 1.0, 1.999, 2.0, 3.9, 4.0]))
    np.testing.assert_array_equal(found, [2, 0, 0, 1, 1, 2])


def test_ties_by_rounding_fall_into_the_upper_bin() -> None:
    assert 3 * 0.1 > 0.3  # a lag of three cells, above the edge
    assert 0.3 < 0.1 + 0.2  # a lag of three cells, below
    lags = Lags((0.0, 0.1 + 0.2, 1.0))
    np.testing.assert_array_equal(lags.classes(np.array([0.3, 3 * 0.1])), [1, 1])
    np.testing.assert_array_equal(Lags((0.0, 0.3, 1.0)).classes(np.array([3 * 0.1])), [1])


def test_four_directions_share_all_pairs_out() -> None:
    lags = Lags((0.0, 1.0), (0.0, 45.0, 90.0, 135.0))
    azimuth = np.arange(-180.0, 360.0, 0.37)
    found = lags.classes(np.full(azimuth.shape, 0.5), azimuth)
    assert set(found) == {0, 1, 2, 3}
    nearest = np.round((azimuth % 180.0) / 45.0).astype(int) % 4
    np.testing.assert_array_equal(found, nearest)


def test_opposite_azimuths_are_one_direction() -> None:
    lags = Lags((0.0, 1.0), (30.0,))
    found = lags.classes(np.full(4, 0.5), np.array([30.0, 210.0, -150.0, 120.0]))
    np.testing.assert_array_equal(found, [0, 0, 0, 1])


@pytest.mark.parametrize(
    ("azimuths", "half"),
    [((), 90.0), ((10.0,), 22.5), ((0.0, 90.0), 22.5), ((0.0, 30.0), 15.0), ((175.0, 5.0), 5.0)],
)
def test_sectors_reach_half_the_way_to_their_neighbour(azimuths, half) -> None:
    assert Lags((0.0, 1.0), azimuths).half_width == pytest.approx(half)


def test_classes_count_directions_first() -> None:
    lags = Lags((0.0, 1.0, 2.0), (0.0, 90.0))
    assert lags.shape == (2, 2)
    found = lags.classes(np.array([0.5, 1.5, 0.5, 1.5]), np.array([1.0, 1.0, 91.0, 91.0]))
    np.testing.assert_array_equal(found, [0, 1, 2, 3])


def test_default_reach_is_a_third_of_the_diagonal_in_24_bins() -> None:
    lags = choose()
    assert lags.bins == 24
    assert lags.edges[0] == 0.0
    assert lags.edges[-1] == pytest.approx(100.0)


def test_no_default_bin_is_narrower_than_a_cell() -> None:
    assert choose(cell=20.0).edges == (0.0, 20.0, 40.0, 60.0, 80.0, 100.0)
    assert choose(cell=500.0).bins == 1
    assert choose(lags=30, cell=20.0).bins == 30  # asked for


def test_a_reach_below_one_is_a_distance_and_no_fraction() -> None:
    assert choose(max_lag=0.5, lags=5).edges[-1] == 0.5


def test_edges_are_taken_as_they_are() -> None:
    assert choose(lags=[1, 2.5, 7]).edges == (1.0, 2.5, 7.0)


@pytest.mark.parametrize(
    "lags", [[1.0], [2.0, 1.0], [0.0, 0.0, 1.0], [-1.0, 1.0], [0.0, np.nan], [[0.0, 1.0]]]
)
def test_edges_that_do_not_rise_are_refused(lags) -> None:
    with pytest.raises(ValueError, match="expected two or more, rising, from 0 on"):
        choose(lags=lags)


@pytest.mark.parametrize("lags", [0, -3, 2.5, True, "many"])
def test_numbers_of_bins_that_are_none_are_refused(lags) -> None:
    with pytest.raises(ValueError, match="expected a number of bins"):
        choose(lags=lags)


@pytest.mark.parametrize("reach", [0.0, -5.0, np.inf, np.nan])
def test_a_reach_must_be_positive_and_finite(reach) -> None:
    with pytest.raises(ValueError, match="expected a positive, finite distance"):
        choose(max_lag=reach)


def test_edges_and_reach_together_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of them"):
        choose(lags=[0.0, 1.0], max_lag=5.0)


def test_directions_are_checked() -> None:
    with pytest.raises(ValueError, match="180 degrees apart are the same"):
        choose(directions=(0.0, 180.0))
    with pytest.raises(ValueError, match="expected azimuths"):
        choose(directions=(np.nan,))
    with pytest.raises(ValueError, match="expected azimuths"):
        choose(directions=())
    assert choose(directions=(-45.0,)).azimuths == (135.0,)
