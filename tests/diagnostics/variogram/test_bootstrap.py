"""Block bootstrap of days: what is drawn, and whether the intervals cover."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.dayblocks import expanded
from xdownscale.diagnostics.variogram.bootstrap import bands, block_length, draws
from xdownscale.diagnostics.variogram.models import Model


@pytest.mark.parametrize(("days", "length"), [(2, 2), (8, 2), (9, 3), (27, 3), (64, 4), (90, 5)])
def test_blocks_grow_with_the_cube_root(days, length) -> None:
    assert block_length(days) == length


@pytest.mark.parametrize("days", [2, 7, 8, 30, 91])
def test_each_replicate_has_as_many_days(days) -> None:
    drawn = draws(days, 50, 3)
    assert drawn.shape == (50, days)
    np.testing.assert_array_equal(drawn.sum(axis=1), days)


def test_each_day_is_as_likely() -> None:
    drawn = draws(20, 20_000, 0)
    np.testing.assert_allclose(drawn.mean(axis=0), 1.0, atol=0.05)


def test_days_are_drawn_in_blocks() -> None:
    """Neighbours are drawn together: blocks of 3 share two of three neighbours, on a circle."""
    drawn = draws(27, 20_000, 0).astype(float)
    own = drawn - 1.0
    neighbours = (own * np.roll(own, 1, axis=1)).mean() / (own**2).mean()
    far = (own * np.roll(own, 10, axis=1)).mean() / (own**2).mean()
    assert neighbours == pytest.approx(2 / 3, abs=0.05)
    assert far < 0.0  # days are drawn instead of each other


def test_the_seed_decides() -> None:
    np.testing.assert_array_equal(draws(10, 5, 1), draws(10, 5, 1))
    assert (draws(10, 5, 1) != draws(10, 5, 2)).any()


def test_bands_are_percentiles_of_resampled_sums() -> None:
    rng = np.random.default_rng(0)
    squares, pairs = rng.random((12, 3)), rng.integers(1, 9, (12, 3)).astype(float)
    sums = np.stack([squares, pairs, pairs * [1.0, 2.0, 3.0], pairs], axis=1)
    drawn = draws(12, 400, 0)
    gamma, parameters = bands(sums, drawn=drawn, model=None, reach=3.0)
    known = (drawn @ squares) / (2 * drawn @ pairs)
    np.testing.assert_allclose(gamma, np.quantile(known, expanded(12 / 3), axis=0), rtol=1e-12)
    assert parameters.shape == (2, 0)


def test_days_alike_have_bands_without_width() -> None:
    h = np.linspace(10.0, 200.0, 12)
    curve = 0.2 + 0.5 * (1 - np.exp(-3 * h / 120.0))
    day = np.stack([2 * 100 * curve, np.full(12, 100.0), 100 * h, np.full(12, 100.0)])
    gamma, found = bands(
        np.stack([day] * 6), drawn=draws(6, 30, 0), model=Model.parse("exponential"), reach=210.0
    )
    np.testing.assert_allclose(gamma, [curve, curve], rtol=1e-12)
    for low_high in (found[:, 0], found[:, 2], found[:, 3], found[:, -1]):
        assert low_high[0] == pytest.approx(low_high[1], rel=1e-6)
    np.testing.assert_allclose(found[0, [0, 2, 3, -1]], [0.2, 120.0, 0.5, 0.7], rtol=1e-4)


def test_bins_without_pairs_stay_without() -> None:
    sums = np.zeros((4, 4, 2))
    sums[:, :, 0] = 1.0
    gamma, _ = bands(sums, drawn=draws(4, 10, 0), model=None, reach=2.0)
    np.testing.assert_allclose(gamma[:, 0], 0.5)
    assert np.isnan(gamma[:, 1]).all()


@pytest.mark.slow
def test_intervals_of_dependent_days_cover() -> None:
    """Days with an AR(1) variance: 95 % intervals in blocks hold the mean far more often than day by day."""
    rng = np.random.default_rng(0)
    covered = {"blocks": 0, "days": 0}
    trials, days = 300, 125
    for trial in range(trials):
        noise = rng.normal(size=days)
        level = np.empty(days)
        level[0] = noise[0]
        for t in range(1, days):
            level[t] = 0.6 * level[t - 1] + 0.8 * noise[t]
        pairs = np.ones((days, 1))
        sums = np.stack([2 * (5.0 + level)[:, None], pairs, pairs, pairs], axis=1)
        single = np.stack([np.bincount(r, minlength=days) for r in rng.integers(0, days, (300, days))])
        for name, drawn in (("blocks", draws(days, 300, trial)), ("days", single)):
            low, high = bands(sums, drawn=drawn, model=None, reach=1.0)[0][:, 0]
            covered[name] += low <= 5.0 <= high
    assert covered["blocks"] / trials > 0.84
    assert covered["blocks"] - covered["days"] > 0.08 * trials
