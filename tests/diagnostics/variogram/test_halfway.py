"""Spectra halfway between wavenumbers, against correlations cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft

from xdownscale.diagnostics.variogram.halfway import Halfway, miss_alike

LENGTH = 12


def parts(fields: int, columns: int, *, alike: bool, weighted: bool) -> np.ndarray:
    """w z^2, w, w z and valid cells of random fields of three rows, shape (T, 3 or 4, 3, nx)."""
    rng = np.random.default_rng(3)
    z, w = rng.normal(size=(2, fields, 3, columns))
    w = np.abs(w[:1] if alike else w) * np.ones_like(z)
    return np.stack([w * z**2, w, w * z, w > 0][: 3 + weighted], axis=1)


def both_ways(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """c(j) + c(-j), from j = 0 on."""
    return np.array([
        sum(a[k] * b[k + j] for k in range(a.size - j)) + sum(b[k] * a[k + j] for k in range(a.size - j))
        for j in range(a.size)
    ])  # fmt: skip


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_products_are_spectra_of_correlations_both_ways(alike: bool, weighted: bool) -> None:
    given = parts(4, 6, alike=alike, weighted=weighted)
    found = Halfway.of(iter(given), 4, LENGTH, alike=alike)
    assert (found.groups, found.each) == ((1, 4) if alike else (4, 1))

    def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return fft.dct((a * b).sum(axis=(0, 1)), type=2)[:6] / LENGTH * 2

    for i, j in ((0, 0), (0, 2), (1, 2)):
        squares = sum(
            both_ways(one[i], q[j]) + both_ways(q[i], one[j]) - 2 * both_ways(v[i], v[j])
            for q, one, v, *_ in given
        )
        np.testing.assert_allclose(correlation(found.across(i), found.rows[j]), squares, atol=1e-12)
        weight = sum(both_ways(one[i], one[j]) for _, one, *_ in given)
        ours = found.each * correlation(found.ones[i], found.ones[j])
        np.testing.assert_allclose(ours, weight, atol=1e-12)
        last = -1 if weighted else 1
        pairs = sum(both_ways(part[last][i], part[last][j]) for part in given)
        valid = found.each * correlation(found.valid[i], found.valid[j])
        np.testing.assert_allclose(valid, pairs, atol=1e-12)


def test_alike_are_fields_with_the_same_gaps_and_weights() -> None:
    fields = np.random.default_rng(0).normal(size=(3, 4, 5))
    weights = np.ones((3, 4, 5))
    assert miss_alike(fields, None)
    assert miss_alike(fields[:1], None)
    assert miss_alike(fields, weights)
    assert miss_alike(fields, np.arange(20.0).reshape(4, 5))
    assert not miss_alike(fields, weights * np.arange(1, 4)[:, None, None])
    fields[:, 1, 2] = np.nan
    assert miss_alike(fields, None)
    fields[2, 0, 0] = np.nan
    assert not miss_alike(fields, None)
