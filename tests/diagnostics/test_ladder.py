"""Quantiles from bins that need no range."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.ladder import RESOLUTION, Ladder, ladder, merged, stacked

RNG = np.random.default_rng(0)
Q = np.array([0.001, 0.1, 0.5, 0.9, 0.999])


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e12])
def test_within_the_bound_of_the_exact_quantile(scale: float) -> None:
    values = scale * RNG.lognormal(size=20_000)
    found = ladder(values, np.ones(values.size)).quantile(Q)
    np.testing.assert_allclose(found, np.quantile(values, Q, method="inverted_cdf"), rtol=RESOLUTION)


def test_of_few_values_they_are_the_values() -> None:
    values = np.array([1.0, 1.3, 2.0, 7.0])
    found = ladder(values, np.ones(4)).quantile([0.1, 0.25, 0.26, 0.5, 0.75, 0.76, 0.99])
    assert found.tolist() == [1.0, 1.0, 1.3, 1.3, 2.0, 7.0, 7.0]


def test_both_signs_and_zero() -> None:
    values = RNG.normal(size=5001)
    values[:100] = 0.0
    found = ladder(values, np.ones(values.size)).quantile(Q)
    np.testing.assert_allclose(found, np.quantile(values, Q, method="inverted_cdf"), rtol=RESOLUTION)


def test_weights_count_as_repetitions() -> None:
    values, times = RNG.lognormal(size=300), RNG.integers(1, 6, 300)
    repeated = np.repeat(values, times)
    one, other = ladder(values, times.astype(float)), ladder(repeated, np.ones(repeated.size))
    np.testing.assert_allclose(one.quantile(Q), other.quantile(Q), rtol=1e-13)


def test_equal_values_are_exact() -> None:
    found = ladder(np.full(7, 0.1), np.ones(7)).quantile([0.01, 0.5, 0.99])
    np.testing.assert_allclose(found, 0.1, rtol=1e-15)


def test_blocks_add_to_the_whole() -> None:
    values, weights = RNG.normal(size=6000), RNG.random(6000)
    parts = [ladder(values[i::7], weights[i::7]) for i in range(7)]
    whole, sum_of_parts = ladder(values, weights), merged(parts)
    np.testing.assert_array_equal(whole.keys, sum_of_parts.keys)
    np.testing.assert_allclose(whole.weight, sum_of_parts.weight, rtol=1e-12)
    np.testing.assert_allclose(whole.total, sum_of_parts.total, rtol=1e-10, atol=1e-12)
    each = stacked(parts)
    np.testing.assert_allclose(each.weight.sum(axis=0), whole.weight, rtol=1e-12)
    for row, part in enumerate(parts):
        one = Ladder(each.keys, each.weight[row], each.total[row])
        np.testing.assert_allclose(one.quantile(Q), part.quantile(Q), rtol=1e-14)


def test_nothing_has_no_quantile() -> None:
    empty = ladder(np.empty(0), np.empty(0))
    assert np.isnan(empty.quantile([0.5])).all()
    assert merged([empty, ladder(np.ones(2), np.ones(2))]).quantile([0.5]).tolist() == [1.0]
