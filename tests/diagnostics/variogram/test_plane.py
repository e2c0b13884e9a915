"""All pairs of a planar grid, against their sum one by one and against GSTools."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.variogram.lags import Lags
from xdownscale.diagnostics.variogram.plane import Plane

FOUR = (0.0, 45.0, 90.0, 135.0)


def one_by_one(field, steps, lags, weights=None) -> np.ndarray:
    """Sums over all pairs, with no transform: squares, weights, weights times distance, pairs."""
    ny, nx = field.shape
    y, x = (c.ravel() for c in np.meshgrid(np.arange(ny) * steps[0], np.arange(nx) * steps[1], indexing="ij"))
    z = field.ravel()
    w = np.ones(z.size) if weights is None else weights.ravel()
    valid = np.flatnonzero(np.isfinite(z) & (w > 0))
    a, b = (valid[k] for k in np.triu_indices(valid.size, 1))
    distance = np.hypot(y[b] - y[a], x[b] - x[a])
    azimuth = np.rad2deg(np.arctan2(x[b] - x[a], y[b] - y[a]))
    classes = lags.classes(distance, azimuth)
    product = w[a] * w[b]
    parts = product * (z[a] - z[b]) ** 2, product, product * distance, np.ones(a.size)
    return np.reshape([np.bincount(classes, p, lags.size + 1)[:-1] for p in parts], (4, *lags.shape))


def noisy(shape, seed=0, missing=0.15) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = rng.lognormal(-2, 1, shape)
    field[rng.random(shape) < missing] = np.nan
    return field


@pytest.mark.parametrize("shape", [(9, 13), (1, 20), (20, 1), (7, 7)])
@pytest.mark.parametrize("azimuths", [(), FOUR, (20.0, 110.0)])
def test_sums_are_those_of_all_pairs(shape, azimuths) -> None:
    lags = Lags((0.0, 2.0, 4.1, 7.0, 13.3), azimuths)
    plane = Plane(shape, (2.0, 1.5), lags)
    field = noisy(shape)
    found, expected = plane.binned(plane.add(field[None])), one_by_one(field, (2.0, 1.5), lags)
    np.testing.assert_array_equal(found[3], expected[3])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_weighted_sums_are_those_of_all_pairs() -> None:
    lags = Lags((0.0, 1.1, 3.0, 5.0), FOUR)
    field, weights = noisy((8, 11)), np.random.default_rng(1).random((8, 11))
    weights[2, 3] = 0.0
    plane = Plane(field.shape, (1.0, 1.0), lags, weighted=True)
    found, expected = (
        plane.binned(plane.add(field[None], weights)),
        one_by_one(field, (1.0, 1.0), lags, weights),
    )
    np.testing.assert_array_equal(found[3], expected[3])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_weights_may_vary_from_field_to_field() -> None:
    lags = Lags((0.0, 1.1, 3.0))
    fields = np.stack([noisy((6, 7), seed) for seed in (0, 1)])
    weights = np.random.default_rng(1).random(fields.shape)
    plane = Plane((6, 7), (1.0, 1.0), lags, weighted=True)
    expected = sum(one_by_one(f, (1.0, 1.0), lags, w) for f, w in zip(fields, weights, strict=True))
    np.testing.assert_allclose(plane.binned(plane.add(fields, weights)), expected, rtol=1e-12)


def test_counts_of_a_full_grid_in_closed_form() -> None:
    ny, nx, lags = 40, 60, Lags((0.5, 1.2, 1.6, 2.0, 2.1))
    plane = Plane((ny, nx), (1.0, 1.0), lags)
    pairs = plane.binned(plane.add(np.zeros((1, ny, nx))))[3, 0]
    sides = ny * (nx - 1) + (ny - 1) * nx
    diagonals = 2 * (ny - 1) * (nx - 1)
    two_apart = ny * (nx - 2) + (ny - 2) * nx
    np.testing.assert_array_equal(pairs, [sides, diagonals, 0, two_apart])  # a lag of 2 is in the bin from 2


def test_a_ramp_in_closed_form() -> None:
    lags = Lags(tuple(np.arange(0.5, 9.0)))
    plane = Plane((1, 30), (1.0, 1.0), lags)
    squares, _, length, pairs = plane.binned(plane.add(np.arange(30.0)[None, None]))[:, 0]
    h = np.arange(1, 9)
    np.testing.assert_array_equal(pairs, 30 - h)
    np.testing.assert_allclose(squares / (2 * pairs), h**2 / 2, rtol=1e-12)
    np.testing.assert_allclose(length / pairs, h, rtol=1e-12)


def test_a_wave_in_closed_form() -> None:
    """Whole periods, along y: gamma(h) = 1/2 - cos(k h)/2 over pairs of all phases."""
    k = 2 * np.pi / 8
    wave = np.sin(k * np.arange(8 * 5 + 3))[:, None] * np.ones((1, 4))
    plane = Plane(wave.shape, (1.0, 10.0), Lags((2.5, 3.5), (0.0,)))
    squares, weight, _, pairs = plane.binned(plane.add(wave[None]))[:, 0, 0]
    assert pairs == 40 * 4
    assert squares / (2 * weight) == pytest.approx(0.5 * (1 - np.cos(3 * k)), abs=1e-12)


def test_constant_fields_have_no_semivariance_at_all() -> None:
    plane = Plane((20, 30), (1.0, 1.0), Lags((0.0, 5.0, 10.0)))
    assert (plane.binned(plane.add(np.full((2, 20, 30), 0.1)))[0] == 0.0).all()


def test_a_large_offset_costs_no_digits() -> None:
    lags = Lags((0.0, 2.0, 5.0))
    plane, field = Plane((9, 13), (1.0, 1.0), lags), noisy((9, 13))
    near, far = (plane.binned(plane.add(f[None])) for f in (field, field + 2.0**20))
    np.testing.assert_allclose(far, near, rtol=1e-8)


def test_spectra_add_up() -> None:
    fields = np.stack([noisy((9, 13), seed) for seed in range(4)])
    plane = Plane((9, 13), (1.0, 1.0), Lags((0.0, 2.0, 5.0)))
    whole = plane.add(fields)
    np.testing.assert_array_equal(whole, plane.add(fields[:3]) + plane.add(fields[3:]))
    expected = sum(one_by_one(f, (1.0, 1.0), plane.lags) for f in fields)
    np.testing.assert_allclose(plane.binned(whole), expected, rtol=1e-12)


def test_directions_add_up_to_all_pairs() -> None:
    field = noisy((15, 18))
    edges = (0.0, 2.0, 5.0, 9.0)
    every, apart = Plane((15, 18), (1.0, 1.5), Lags(edges)), Plane((15, 18), (1.0, 1.5), Lags(edges, FOUR))
    found = apart.binned(apart.add(field[None])).sum(axis=1)
    np.testing.assert_allclose(found, every.binned(every.add(field[None]))[:, 0], rtol=1e-12)


def test_lags_beyond_the_domain_have_no_pairs_and_no_padding() -> None:
    plane = Plane((5, 6), (1.0, 1.0), Lags((0.0, 4.0, 100.0, 1e9)))
    assert plane.reach == (4, 5)
    assert plane.padded == (9, 12)
    pairs = plane.binned(plane.add(np.zeros((1, 5, 6))))[3, 0]
    assert pairs[2] == 0
    assert pairs.sum() == 30 * 29 // 2


def test_equal_to_gstools() -> None:
    import gstools as gs

    field, edges = noisy((25, 30), missing=0.1), np.linspace(0.0, 12.0, 9)
    y, x = (c.ravel() for c in np.meshgrid(np.arange(25) * 2.0, np.arange(30) * 1.5, indexing="ij"))
    _, gamma, counts = gs.vario_estimate((x, y), field.ravel(), edges, return_counts=True)
    plane = Plane(field.shape, (2.0, 1.5), Lags(tuple(edges)))
    squares, weight, _, pairs = plane.binned(plane.add(field[None]))[:, 0]
    full = counts > 0
    np.testing.assert_array_equal(pairs, counts)
    np.testing.assert_allclose((squares / np.maximum(2 * weight, 1))[full], gamma[full], rtol=1e-12)
