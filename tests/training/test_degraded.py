"""A coarse field made as a reanalysis gives it: smoother, biased, its gaps where they were."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from xdownscale.training.degraded import degraded, smoothed
from xdownscale.training.pairs import generator


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(3).lognormal(-2, 0.5, (3, 20, 24)).astype(np.float32)


class TestSmoothed:
    def test_is_a_gaussian(self, values: np.ndarray) -> None:
        found = smoothed(values, np.isfinite(values), 1.2)
        assert found.dtype == np.float32
        for day, field in zip(found, values, strict=True):
            np.testing.assert_allclose(day, gaussian_filter(field, 1.2, mode="nearest"), rtol=1e-5)

    def test_a_constant_with_a_hole_stays(self) -> None:
        field = np.full((20, 24), 3.0)
        field[5:9, 7:12] = np.nan
        known = np.isfinite(field)
        np.testing.assert_allclose(smoothed(field, known, 1.0)[known], 3.0, rtol=1e-12)

    def test_no_width_is_no_change(self, values: np.ndarray) -> None:
        np.testing.assert_array_equal(smoothed(values, np.isfinite(values), 0.0), values)


class TestDegraded:
    def test_is_smoother_and_biased(self, values: np.ndarray) -> None:
        known = np.isfinite(values)
        assert degraded(values, known, generator(0, 0), 0.0) is values
        ratios, rough = [], []
        for n in range(60):
            out = degraded(values, known, generator(0, n), 1.0)
            ratios.append(np.log(out / smoothed(values, known, 8.0)).mean())
            rough.append(np.abs(np.diff(out)).mean() / np.abs(np.diff(values)).mean())
            assert (out > 0).all()
        assert np.std(ratios) > 0.005, "the bias is another each time"
        assert np.mean(rough) < 0.8

    def test_keeps_gaps(self, values: np.ndarray) -> None:
        values[:, 3, 4] = np.nan
        out = degraded(values, np.isfinite(values), generator(0, 1), 1.0)
        np.testing.assert_array_equal(np.isnan(out), np.isnan(values))

    def test_does_not_darken_beside_gaps(self) -> None:
        """A constant field with a hole stays constant up to its bias field."""
        values = np.full((1, 40, 40), 2.0, dtype=np.float32)
        values[:, 10:30, 10:30] = np.nan
        known = np.isfinite(values)
        for n in range(20):
            rows = degraded(values, known, generator(0, n), 1.0)
            full = degraded(np.full_like(values, 2.0), np.ones_like(known), generator(0, n), 1.0)
            np.testing.assert_allclose(rows[known], full[known], rtol=1e-5)
