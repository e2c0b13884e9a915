"""Sorting by halves of the bits: as numpy sorts, to the bit, weights along."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xdownscale.diagnostics import ordering
from xdownscale.diagnostics.ordering import in_order

ANY = arrays(np.float32, st.integers(1, 60), elements=st.floats(allow_nan=False, width=32))


@pytest.fixture
def by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_FEW", 1)


@pytest.mark.usefixtures("by_halves")
class TestByHalves:
    @settings(deadline=None, max_examples=150)
    @given(ANY)
    def test_as_numpy_sorts(self, v: np.ndarray) -> None:
        before = v.copy()
        got, none = in_order(v)
        np.testing.assert_array_equal(got, np.sort(v))
        assert got.dtype == np.float32
        assert none is None
        np.testing.assert_array_equal(v, before)

    @settings(deadline=None, max_examples=150)
    @given(ANY)
    def test_weights_go_along_and_those_of_equal_values_stay_in_order(self, v: np.ndarray) -> None:
        v = np.repeat(v, 2)
        w = np.arange(v.size, dtype=float)
        order = np.argsort(v, kind="stable")
        got, along = in_order(v, w)
        np.testing.assert_array_equal(got, v[order])
        np.testing.assert_array_equal(along, w[order])

    @pytest.mark.parametrize("value", [0.0, -3.5, 1e-45, np.finfo(np.float32).max])
    def test_one_value_over_and_over(self, value: float) -> None:
        v = np.full(1000, value, dtype=np.float32)
        np.testing.assert_array_equal(in_order(v)[0], v)

    def test_both_zeros_are_equal(self) -> None:
        v = np.array([0.0, -0.0, 0.0, -0.0], dtype=np.float32)
        np.testing.assert_array_equal(in_order(v, np.arange(4.0))[1], np.arange(4.0))


@pytest.mark.parametrize(
    "make",
    [
        lambda rng, n: rng.lognormal(-2, 1, n),
        lambda rng, n: rng.normal(0, 1, n),
        lambda rng, n: rng.normal(280, 1e-3, n),
        lambda rng, n: rng.integers(0, 5, n),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_values(make, dtype: str) -> None:
    rng = np.random.default_rng(0)
    v, w = make(rng, 200_003).astype(dtype), rng.uniform(size=200_003)
    order = np.argsort(v, kind="stable")
    got, along = in_order(v, w)
    np.testing.assert_array_equal(got, v[order])
    np.testing.assert_array_equal(along, w[order])
    np.testing.assert_array_equal(in_order(v)[0], v[order])
