"""Distances of weighted samples: scipy to 1e-9, the laws, and condensing that changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata, wasserstein_distance

from xdownscale.diagnostics import quantiles
from xdownscale.diagnostics.histogram import Histogram
from xdownscale.diagnostics.quantiles import (
    LEVELS,
    Distribution,
    bound,
    compare,
    condense,
    mixture,
    rank_bound,
    ranked,
)

LAW = settings(deadline=None, max_examples=40)
VALUES = st.floats(-100, 100, allow_subnormal=False).map(lambda v: round(v, 6))
SAMPLE = arrays(float, st.integers(1, 40), elements=VALUES)


def weights(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.05, 3, n)


def parts_by_brute_force(x: np.ndarray, y: np.ndarray, n: int = 400_000) -> np.ndarray:
    """Midpoint sums of |Q_F - Q_G| over each part."""
    p = (np.arange(n) + 0.5) / n
    gap = np.abs(np.sort(x)[(p * x.size).astype(int)].astype(float) - np.sort(y)[(p * y.size).astype(int)])
    which = np.searchsorted(LEVELS, p) - 1
    return np.bincount(which, gap, minlength=4) / n


class TestAgainstScipy:
    @LAW
    @given(SAMPLE, SAMPLE)
    def test_plain(self, x: np.ndarray, y: np.ndarray) -> None:
        found = compare(Distribution.of(x), Distribution.of(y))
        assert found.w1 == pytest.approx(wasserstein_distance(x, y), abs=1e-10)

    @LAW
    @given(SAMPLE, SAMPLE, st.integers(0, 1000))
    def test_weighted(self, x: np.ndarray, y: np.ndarray, seed: int) -> None:
        wx, wy = weights(x.size, seed), weights(y.size, seed + 1)
        found = compare(Distribution.of(x, wx), Distribution.of(y, wy))
        assert found.w1 == pytest.approx(wasserstein_distance(x, y, wx, wy), abs=1e-10)

    @LAW
    @given(SAMPLE, SAMPLE, st.integers(0, 1000))
    def test_shape_is_the_distance_of_centred_samples(self, x: np.ndarray, y: np.ndarray, seed: int) -> None:
        wx, wy = weights(x.size, seed), weights(y.size, seed + 1)
        mx, my = np.average(x, weights=wx), np.average(y, weights=wy)
        found = compare(Distribution.of(x, wx), Distribution.of(y, wy))
        assert found.shift == pytest.approx(mx - my, abs=1e-10)
        assert found.shape == pytest.approx(wasserstein_distance(x - mx, y - my, wx, wy), abs=1e-9)

    @LAW
    @given(SAMPLE, SAMPLE)
    def test_ranks(self, x: np.ndarray, y: np.ndarray) -> None:
        y = np.resize(y, x.size)
        rank = (rankdata(np.concatenate([x, y])) - 0.5) / (2 * x.size)
        found = compare(*ranked(Distribution.of(x), Distribution.of(y)))
        expected = wasserstein_distance(rank[: x.size], rank[x.size :])
        assert found.w1 == pytest.approx(expected, abs=1e-12)


class TestLaws:
    def test_equal_sizes_are_the_mean_of_sorted_differences(self) -> None:
        x, y = np.random.default_rng(0).normal(size=(2, 501))
        found = compare(Distribution.of(x), Distribution.of(y))
        assert found.w1 == pytest.approx(np.abs(np.sort(x) - np.sort(y)).mean(), rel=1e-14)

    @LAW
    @given(SAMPLE, SAMPLE, st.integers(0, 1000))
    def test_symmetric(self, x: np.ndarray, y: np.ndarray, seed: int) -> None:
        one, other = Distribution.of(x, weights(x.size, seed)), Distribution.of(y)
        there, back = compare(one, other), compare(other, one)
        assert there.w1 == pytest.approx(back.w1, abs=1e-11)
        assert there.shift == -back.shift
        np.testing.assert_allclose(there.parts, back.parts, atol=1e-11)

    @LAW
    @given(SAMPLE, st.integers(0, 1000))
    def test_zero_on_itself_in_any_order(self, x: np.ndarray, seed: int) -> None:
        w = weights(x.size, seed)
        order = np.random.default_rng(seed).permutation(x.size)
        found = compare(Distribution.of(x), Distribution.of(x[order]))
        assert (found.w1, found.shape, found.parts) == (0.0, 0.0, (0.0,) * 4)
        assert compare(Distribution.of(x, w), Distribution.of(x[order], w[order])).w1 < 1e-12

    @LAW
    @given(SAMPLE, st.floats(-50, 50), st.floats(0.01, 100))
    def test_shifted_copies_and_scale(self, x: np.ndarray, by: float, scale: float) -> None:
        found = compare(Distribution.of(x + by), Distribution.of(x))
        assert found.w1 == pytest.approx(abs(by), abs=1e-12)
        assert found.shape == pytest.approx(0.0, abs=1e-12)
        np.testing.assert_allclose(found.parts, np.diff(LEVELS) * abs(by), atol=1e-12)
        y = x**2 / 50
        one, two = Distribution.of(x), Distribution.of(y)
        scaled = compare(Distribution.of(-scale * x), Distribution.of(-scale * y))
        assert scaled.w1 == pytest.approx(scale * compare(one, two).w1, rel=1e-9, abs=1e-9)

    @LAW
    @given(SAMPLE, SAMPLE)
    def test_shift_and_shape_enclose_it(self, x: np.ndarray, y: np.ndarray) -> None:
        found = compare(Distribution.of(x), Distribution.of(y))
        assert abs(found.shift) <= found.w1 + 1e-10
        assert found.w1 <= abs(found.shift) + found.shape + 1e-10
        assert sum(found.parts) == pytest.approx(found.w1, abs=1e-12)
        assert min(found.parts) >= -1e-12

    @LAW
    @given(SAMPLE, SAMPLE, st.integers(0, 1000))
    def test_weights_are_repeated_values(self, x: np.ndarray, y: np.ndarray, seed: int) -> None:
        times = np.random.default_rng(seed).integers(1, 5, x.size)
        one = compare(Distribution.of(x, times.astype(float)), Distribution.of(y))
        other = compare(Distribution.of(np.repeat(x, times)), Distribution.of(y))
        assert one.w1 == pytest.approx(other.w1, abs=1e-10)
        np.testing.assert_allclose(one.parts, other.parts, atol=1e-10)

    def test_triangle(self) -> None:
        a, b, c = (Distribution.of(np.random.default_rng(k).gamma(k + 1, size=77 + k)) for k in range(3))
        assert compare(a, c).w1 <= compare(a, b).w1 + compare(b, c).w1

    @pytest.mark.parametrize("sizes", [(1000, 1000), (1000, 730), (37, 41), (10, 10)])
    def test_parts_by_brute_force(self, sizes: tuple[int, int]) -> None:
        rng = np.random.default_rng(3)
        x, y = rng.lognormal(0, 1, sizes[0]), rng.lognormal(0.2, 0.8, sizes[1])
        found = compare(Distribution.of(x), Distribution.of(y))
        np.testing.assert_allclose(found.parts, parts_by_brute_force(x, y), atol=2e-4)

    def test_scaled(self) -> None:
        found = compare(Distribution.of(np.array([0.0, 4.0])), Distribution.of(np.array([1.0, 1.0])))
        half = found.scaled(2.0)
        assert (half.w1, half.shift, half.shape) == (1.0, 0.5, 1.0)
        assert sum(half.parts) == 1.0


class TestDistribution:
    def test_quantiles_are_the_inverse_of_the_distribution_function(self) -> None:
        d = Distribution.of(np.array([30.0, 10.0, 20.0, 40.0]))
        np.testing.assert_array_equal(
            d.quantile([0, 0.25, 0.26, 0.5, 0.75, 0.76, 1]), [10, 10, 20, 20, 30, 40, 40]
        )
        w = Distribution.of(np.array([1.0, 2.0]), np.array([9.0, 1.0]))
        np.testing.assert_array_equal(w.quantile([0.9, 0.91]), [1, 2])

    def test_float32_keeps_its_values_and_means_in_double(self) -> None:
        v = np.random.default_rng(0).normal(300, 1e-2, 100_001).astype(np.float32)
        d = Distribution.of(v)
        assert d.values.dtype == np.float32
        assert d.mean == pytest.approx(v.astype(float).mean(), rel=1e-13)
        assert d.variance == pytest.approx(v.astype(float).var(), rel=1e-9)

    def test_mixture_gives_each_half(self) -> None:
        x, y = np.random.default_rng(1).normal(size=300), 3 + np.random.default_rng(2).normal(size=100)
        both = mixture(Distribution.of(x), Distribution.of(y))
        w = np.concatenate([np.full(300, 1 / 600), np.full(100, 1 / 200)])
        v = np.concatenate([x, y])
        assert both.mean == pytest.approx(np.average(v, weights=w))
        assert both.variance == pytest.approx(np.average((v - both.mean) ** 2, weights=w))
        assert both.masses.sum() == pytest.approx(1.0)
        assert (np.diff(both.values) >= 0).all()

    def test_from_histogram_is_as_good_as_the_values_where_they_do_not_cross(self) -> None:
        x = np.random.default_rng(0).uniform(0, 1, 2000)
        y = x + 2.0
        hx, hy = Histogram.count(x, bins=16), Histogram.count(y, bins=16)
        found = compare(Distribution.from_histogram(hx), Distribution.from_histogram(hy))
        assert found.w1 == pytest.approx(2.0, rel=1e-13)


class TestCondense:
    """With the threshold lowered, against whole sorting."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quantiles, "_FEW", 16)
        monkeypatch.setattr(quantiles, "_FINE", 64)
        monkeypatch.setattr(quantiles, "_MOST", 1.0)

    @LAW
    @given(
        arrays(float, st.integers(9, 80), elements=VALUES),
        arrays(float, st.integers(9, 80), elements=VALUES),
        st.integers(0, 1000),
        st.booleans(),
    )
    def test_same_distance(self, x: np.ndarray, y: np.ndarray, seed: int, weighted: bool) -> None:
        wx, wy = (weights(x.size, seed), weights(y.size, seed + 1)) if weighted else (None, None)
        got = compare(*condense(x, wx, y, wy))
        want = compare(Distribution.of(x, wx), Distribution.of(y, wy))
        assert got.w1 == pytest.approx(want.w1, abs=1e-10)
        assert got.shape == pytest.approx(want.shape, abs=1e-10)
        assert got.shift == pytest.approx(want.shift, abs=1e-10)
        np.testing.assert_allclose(got.parts, want.parts, atol=1e-10)

    def test_it_does_condense(self) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.uniform(size=5000), rng.uniform(0.1, 1.5, size=4000)
        one, other = condense(x, None, y, None)
        assert one.values.size + other.values.size < 2000
        assert (one.valid, other.valid) == (5000, 4000)
        assert (one.low, one.high) == (x.min(), x.max())
        assert one.variance == pytest.approx(x.var(), rel=1e-12)

    def test_copies_cross_everywhere_and_are_sorted_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quantiles, "_MOST", 0.5)
        x = np.random.default_rng(0).normal(size=1000)
        one, other = condense(x, None, x[::-1].copy(), None)
        assert one.mass is None
        assert compare(one, other).w1 == 0.0


class TestManyValues:
    """As many as are dealt out, counted and summed piece by piece, against scipy."""

    N = 150_000

    @staticmethod
    def sample(kind: str, n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        made = {
            "continuous": lambda: rng.lognormal(-2 + 0.1 * seed, 1, n),
            "signed": lambda: rng.normal(0.1 * seed, 1, n),
            "ties": lambda: np.round(rng.lognormal(0.1 * seed, 1, n), 1),
            "constant": lambda: np.full(n, 1.5 + seed),
        }
        return made[kind]().astype(np.float32)

    @pytest.mark.parametrize("kind", ["continuous", "signed", "ties", "constant"])
    @pytest.mark.parametrize("fewer", [0, 7, 149_990])
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("shifted", [False, True])
    def test_as_scipy(self, kind: str, fewer: int, weighted: bool, shifted: bool) -> None:
        x, y = self.sample(kind, self.N, 0), self.sample(kind, self.N - fewer, 1)
        if shifted:
            y = x[: y.size] + np.float32(0.25)
        wx, wy = (weights(x.size, 0), weights(y.size, 1)) if weighted else (None, None)
        found = compare(*condense(x, wx, y, wy))
        assert found.w1 == pytest.approx(wasserstein_distance(x, y, wx, wy), abs=1e-9)
        mx, my = (np.average(v.astype(float), weights=w) for v, w in ((x, wx), (y, wy)))
        assert found.shift == pytest.approx(mx - my, abs=1e-9)
        assert found.shape == pytest.approx(wasserstein_distance(x - mx, y - my, wx, wy), abs=1e-9)
        assert sum(found.parts) == pytest.approx(found.w1, abs=1e-12)

    def test_parts_and_pieces_do_not_depend_on_each_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x, y = self.sample("signed", 9_999, 0), self.sample("signed", 9_999, 1)
        w = weights(x.size, 0)
        pairs = [(Distribution.of(x), Distribution.of(y)), (Distribution.of(x, w), Distribution.of(y[:-3]))]
        whole = [compare(*pair) for pair in pairs]
        monkeypatch.setattr(quantiles, "_PIECE", 13)
        for pair, want in zip(pairs, whole, strict=True):
            got = compare(*pair)
            np.testing.assert_allclose(got.parts, want.parts, rtol=1e-12)
            assert got.shape == pytest.approx(want.shape, rel=1e-12)
        np.testing.assert_allclose(whole[0].parts, parts_by_brute_force(x, y), atol=2e-4)

    def test_quantiles_need_no_distribution_function(self) -> None:
        d = Distribution.of(self.sample("signed", 70_001, 0))
        p = np.linspace(0, 1, 1234)
        place = np.searchsorted(d.cumulative, p - 1e-12)
        np.testing.assert_array_equal(d.quantile(p), d.values[np.minimum(place, 70_000)])


class TestBounds:
    @LAW
    @given(SAMPLE, SAMPLE, st.integers(0, 1000), st.sampled_from([2, 8, 64]))
    def test_binned_is_within_the_bound(self, x: np.ndarray, y: np.ndarray, seed: int, bins: int) -> None:
        wx, wy = weights(x.size, seed), weights(y.size, seed + 1)
        hx, hy = Histogram.count(x, wx, bins=bins), Histogram.count(y, wy, bins=bins)
        got = compare(Distribution.from_histogram(hx), Distribution.from_histogram(hy))
        want = compare(Distribution.of(x, wx), Distribution.of(y, wy))
        w1, shape = bound(hx, hy)
        assert abs(got.w1 - want.w1) <= w1 + 1e-9
        assert abs(got.shape - want.shape) <= shape + 1e-9
        assert np.abs(np.subtract(got.parts, want.parts)).max() <= w1 + 1e-9

    @LAW
    @given(SAMPLE, SAMPLE, st.sampled_from([2, 8, 64]))
    def test_binned_ranks_are_within_theirs(self, x: np.ndarray, y: np.ndarray, bins: int) -> None:
        hx, hy = Histogram.count(x, bins=bins), Histogram.count(y, bins=bins)
        exponent = max(hx.exponent, hy.exponent)
        pair = [Distribution.from_histogram(h.coarsen(exponent), centred=True) for h in (hx, hy)]
        got = compare(*ranked(*pair)).w1
        want = compare(*ranked(Distribution.of(x), Distribution.of(y))).w1
        assert abs(got - want) <= rank_bound(*pair) + 1e-12

    def test_it_is_narrower_than_a_bin_and_shrinks(self) -> None:
        rng = np.random.default_rng(0)
        x, y = rng.lognormal(-2, 1, 20_000), rng.lognormal(-1.9, 1, 20_000)
        found = []
        for bins in (4096, 16384, 65536):
            hx, hy = Histogram.count(x, bins=bins), Histogram.count(y, bins=bins)
            found.append(bound(hx, hy)[0])
            assert found[-1] < 0.2 * max(hx.width, hy.width)
        assert found[0] > 5 * found[1] > 25 * found[2]

    def test_nothing_to_bound_where_nothing_crosses(self) -> None:
        hx, hy = Histogram.count(np.array([0.1, 0.3]), bins=2), Histogram.count(np.array([5.1, 5.3]), bins=2)
        levels_only = bound(hx, hy)[0]
        assert levels_only <= 0.2  # the median divides a bin of two values
        assert compare(*(Distribution.from_histogram(h) for h in (hx, hy))).w1 == pytest.approx(5.0)
