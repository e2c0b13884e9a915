"""Mergeable histograms: exact counts and moments, and the same bins in any order of merging."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xdownscale.diagnostics.histogram import BINS, Histogram

LAW = settings(deadline=None, max_examples=40)
VALUES = st.floats(-1e6, 1e6, allow_subnormal=False)


def test_bins_and_places_by_hand() -> None:
    h = Histogram.count(np.array([-1.0, 0.25, 0.5, 2.75]), np.array([1.0, 2.0, 3.0, 4.0]), bins=4)
    assert (h.width, h.first) == (1.0, -1)
    np.testing.assert_array_equal(h.edges, [-1, 0, 1, 2, 3])
    np.testing.assert_array_equal(h.mass, [1, 5, 0, 4])
    np.testing.assert_array_equal(h.offset, [0, 2 * 0.25 + 3 * 0.5, 0, 3])
    np.testing.assert_array_equal(h.square, [0, 2 * 0.0625 + 3 * 0.25, 0, 4 * 0.5625])
    assert (h.low, h.high, h.valid) == (-1.0, 2.75, 4)


@LAW
@given(arrays(float, st.integers(1, 60), elements=VALUES), st.sampled_from([2, 5, 64, BINS]))
def test_every_value_in_its_bin_and_the_range_in_as_many_as_fit(values: np.ndarray, bins: int) -> None:
    h = Histogram.count(values, bins=bins)
    place = h.index(values)
    assert place.min() >= 0
    assert place.max() < h.mass.size <= bins
    np.testing.assert_array_equal(np.bincount(place, minlength=h.mass.size), h.mass)
    assert (h.edges[place] <= values).all()
    assert (values < h.edges[place + 1]).all()
    if np.ptp(values) > 1e-3:  # no finer lattice would do
        finer = h.width / 2
        assert math.floor(values.max() / finer) - math.floor(values.min() / finer) + 1 > bins


@LAW
@given(arrays(float, st.integers(1, 60), elements=VALUES), st.integers(0, 2**32 - 1))
def test_mean_and_variance_are_those_of_the_values(values: np.ndarray, seed: int) -> None:
    w = np.random.default_rng(seed).uniform(0.1, 2, values.size)
    h = Histogram.count(values, w, bins=16)
    mean = np.average(values, weights=w)
    spread = max(np.ptp(values), 1e-9 * np.abs(values).max(), 1e-300)
    assert h.mean == pytest.approx(mean, abs=1e-9 * spread + 1e-12 * abs(mean))
    assert h.variance == pytest.approx(np.average((values - mean) ** 2, weights=w), abs=1e-9 * spread**2)
    assert h.total == pytest.approx(w.sum(), rel=1e-12)


@LAW
@given(
    arrays(float, st.integers(2, 80), elements=VALUES),
    st.lists(st.integers(1, 79), max_size=4),
    st.randoms(use_true_random=False),
)
def test_chunks_sum_to_the_whole(values: np.ndarray, cuts: list[int], random) -> None:
    """In any order and grouping: the very bins of the whole, and its sums to rounding."""
    parts = [Histogram.count(p, bins=32) for p in np.split(values, sorted(c % values.size for c in cuts))]
    random.shuffle(parts)
    while len(parts) > 1:
        one, other = parts.pop(random.randrange(len(parts))), parts.pop(random.randrange(len(parts)))
        parts.append(one.merge(other))
    whole, merged = Histogram.count(values, bins=32), parts[0]
    assert (merged.exponent, merged.first, merged.valid) == (whole.exponent, whole.first, whole.valid)
    assert (merged.low, merged.high) == (whole.low, whole.high)
    np.testing.assert_array_equal(merged.mass, whole.mass)
    np.testing.assert_allclose(merged.sums, whole.sums, atol=1e-9 * values.size)


def test_coarsening_is_counting_on_the_coarser_lattice() -> None:
    values = np.random.default_rng(1).normal(size=500)
    fine, coarse = Histogram.count(values, bins=4096), Histogram.count(values, bins=16)
    again = fine.coarsen(coarse.exponent)
    assert again.first == coarse.first
    np.testing.assert_allclose(again.sums, coarse.sums, rtol=1e-12, atol=1e-12)


def test_coarsening_across_zero_by_many_octaves() -> None:
    h = Histogram.count(np.array([-1e-9, 1e-9]), bins=2).coarsen(70)
    np.testing.assert_array_equal(h.mass, [1, 1])
    assert h.first == -1
    assert h.edges[1] == 0.0


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).gamma(1.0, size=1000).astype(np.float32)
    w = np.linspace(0.5, 1.5, 1000)
    whole = Histogram.count(values, w, bins=64)
    monkeypatch.setattr("xdownscale.diagnostics.histogram._PIECE", 37)
    np.testing.assert_allclose(Histogram.count(values, w, bins=64).sums, whole.sums, rtol=1e-13)


@pytest.mark.parametrize("value", [0.0, 3.7, -1e-300, 1e300, 12345.678])
def test_constant_values(value: float) -> None:
    h = Histogram.count(np.full(5, value))
    assert h.mass.tolist() == [5.0]
    assert h.mean == pytest.approx(value, rel=1e-15)
    assert h.variance == 0.0


def test_integers_and_float32_are_counted_as_they_are() -> None:
    h = Histogram.count(np.array([3, 7, 7], dtype=np.int16), bins=8)
    assert (h.mean, h.high) == (pytest.approx(17 / 3, rel=1e-15), 7.0)
    tenth = np.full(3, 0.1, dtype=np.float32)
    assert Histogram.count(tenth).mean == pytest.approx(float(tenth[0]), rel=1e-15)


def test_nothing_is_neutral() -> None:
    empty, h = Histogram.empty(8), Histogram.count(np.array([1.0, 2.0]), bins=8)
    assert empty.merge(h) is h
    assert h.merge(empty) is h
    assert empty.merge(empty).valid == 0
    assert math.isnan(empty.mean)
    assert math.isnan(empty.variance)
    assert Histogram.count(np.zeros(0), bins=8).valid == 0


def test_placed_on_a_wider_lattice() -> None:
    h = Histogram.count(np.array([2.5, 3.0]), bins=2)
    wide = h.on(h.first - 2, h.mass.size + 5)
    np.testing.assert_array_equal(wide[:, 2 : 2 + h.mass.size], h.sums[:2])
    assert wide.sum() == h.sums[:2].sum()
