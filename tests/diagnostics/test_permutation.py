"""The null of dealt blocks: exact where it can be counted out, honest in size, and able to see a shift."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from xdownscale.diagnostics.histogram import Histogram
from xdownscale.diagnostics.permutation import Null, Series, decorrelation, permuted, series


def counted(fields: np.ndarray, bins: int = 512) -> dict[int, Histogram]:
    return {t: Histogram.count(f, bins=bins) for t, f in enumerate(fields)}


def both(x: np.ndarray, y: np.ndarray, bins: int = 512) -> tuple[Series, Series, np.ndarray]:
    one, other, edges = series(counted(x, bins), counted(y, bins), (np.arange(len(x)), np.arange(len(y))))
    return one, other, np.diff(edges)


def process(rng: np.random.Generator, days: int, phi: float, cells: int = 60, modes: int = 4) -> np.ndarray:
    """Unit AR(1) fields whose cells share a few modes, shape (days, cells)."""
    a = rng.normal(size=modes)
    rows = []
    for _ in range(days):
        a = phi * a + np.sqrt(1 - phi**2) * rng.normal(size=modes)
        rows.append(a)
    mixing = np.random.default_rng(99).normal(size=(modes, cells))
    return np.stack(rows) @ (mixing / np.sqrt((mixing**2).sum(axis=0)))


def called_different(seed: int, days: int, phi: float, by: float, modes: int = 4) -> bool:
    rng = np.random.default_rng(seed)
    x, y = (process(rng, days, phi, modes=modes) for _ in range(2))
    one, other, step = both(x, y + by)
    return permuted(one, other, step, deals=99, block=None, seed=seed).p < 0.05


def test_the_observed_is_the_distance() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 50)), rng.normal(0.5, 1.2, size=(9, 50))
    one, other, step = both(x, y, bins=4096)
    found = permuted(one, other, step, deals=1, block=2, seed=0)
    assert found.observed == pytest.approx(wasserstein_distance(x.ravel(), y.ravel()), rel=2e-3)


def test_deals_are_splits_of_blocks() -> None:
    """Every distance dealt is that of one of the splits, counted out with scipy."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(8, 20)), rng.normal(0.3, 1, size=(8, 20))
    blocks = np.concatenate([x, y]).reshape(8, 2 * 20)
    splits = [
        wasserstein_distance(blocks[list(c)].ravel(), blocks[[k for k in range(8) if k not in c]].ravel())
        for c in combinations(range(8), 4)
    ]
    one, other, step = both(x, y, bins=65536)
    found = permuted(one, other, step, deals=400, block=2, seed=0)
    nearest = np.abs(found.draws[:, None] - np.array(splits)).min(axis=1)
    assert nearest.max() < 2e-5
    share = (1 + (np.array(splits) >= found.observed - 2e-5).mean() * 400) / 401
    assert found.p == pytest.approx(share, abs=0.06)


def test_seed_decides() -> None:
    one, other, step = both(*np.random.default_rng(2).normal(size=(2, 20, 30)))
    a, b, c = (permuted(one, other, step, deals=50, block=2, seed=s).draws for s in (7, 7, 8))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_more_deals_begin_with_the_fewer() -> None:
    one, other, step = both(*np.random.default_rng(2).normal(size=(2, 20, 30)))
    few, many = (permuted(one, other, step, deals=n, block=2, seed=1).draws for n in (40, 90))
    np.testing.assert_allclose(many[:40], few, rtol=1e-12)


def test_p_counts_the_observed_among_the_deals() -> None:
    assert Null(np.array([1.0, 2.0, 3.0]), 2.5, 1).p == 0.5
    assert Null(np.array([1.0, 2.0, 3.0]), 9.0, 1).p == 0.25
    assert Null(np.array([2.0 - 1e-15]), 2.0, 1).p == 1.0


def test_blocks_are_runs_of_time_of_nearly_one_length_and_gaps_stay() -> None:
    place = np.array([0, 1, 2, 3, 4, 5, 6, 10, 11])
    mass = np.eye(9)
    blocks = Series(place, mass, mass).blocks(4)
    np.testing.assert_array_equal(blocks[0].sum(axis=1), [4, 3, 2])  # 12 places: 0-3, 4-7, 8-11
    np.testing.assert_array_equal(blocks[0, 1], [0, 0, 0, 0, 1, 1, 1, 0, 0])
    assert Series(place, mass, mass).blocks(100).shape == (2, 1, 9)


def test_days_weigh_alike_whatever_the_number_of_cells() -> None:
    rng = np.random.default_rng(3)
    fine, coarse = rng.normal(size=(10, 400)), rng.normal(size=(10, 25))
    one, other, _ = both(fine, coarse)
    assert one.mass.sum() == pytest.approx(10.0)
    assert other.mass.sum() == pytest.approx(10.0)


def test_days_without_values_are_left_out() -> None:
    x = np.random.default_rng(4).normal(size=(6, 10))
    days = counted(x)
    days[2] = Histogram.empty(512)
    one, _, _ = series(days, counted(x), (np.arange(6), np.arange(6)))
    assert one.place.tolist() == [0, 1, 3, 4, 5]


class TestDecorrelation:
    @pytest.mark.parametrize("phi", [0.0, 0.5, 0.8])
    def test_of_an_autoregressive_process(self, phi: float) -> None:
        """For a field that is one Gaussian number, its indicators have r = 1 - sqrt(1 - rho) together."""
        rng = np.random.default_rng(5)
        a, rows = 0.0, []
        for _ in range(4000):
            a = phi * a + np.sqrt(1 - phi**2) * rng.normal()
            rows.append([a])
        one, _, step = both(np.array(rows), np.zeros((1, 1)), bins=128)
        true = 1 + 2 * (1 - np.sqrt(1 - phi ** np.arange(1, 80))).sum()
        assert decorrelation((one,), step) == pytest.approx(true, rel=0.12)

    def test_of_constant_fields(self) -> None:
        one, other, step = both(np.ones((9, 4)), np.ones((9, 4)))
        assert decorrelation((one, other), step) == 1.0

    def test_sets_the_block_but_leaves_four(self) -> None:
        rng = np.random.default_rng(6)
        for phi, low, high in ((0.0, 6, 9), (0.95, 25, 25)):
            one, other, step = both(process(rng, 100, phi), process(rng, 100, phi))
            assert low <= permuted(one, other, step, deals=1, block=None, seed=0).block <= high


def test_too_few_blocks() -> None:
    one, other, step = both(*np.random.default_rng(2).normal(size=(2, 20, 30)))
    with pytest.raises(ValueError, match=r"blocks of 6 steps: 3 and 3 of them.*smaller block="):
        permuted(one, other, step, deals=9, block=6, seed=0)


TRIALS = [20, pytest.param(200, marks=pytest.mark.slow)]


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("phi", [0.0, 0.6])
def test_one_process_is_not_called_different(phi: float, trials: int) -> None:
    """In 95 % of the trials, within two standard errors of that share."""
    called = sum(called_different(seed, 120, phi, 0.0) for seed in range(trials))
    assert called <= trials * 0.05 + 2 * np.sqrt(trials * 0.05 * 0.95)


@pytest.mark.parametrize("trials", TRIALS)
def test_a_shift_of_a_quarter_of_a_deviation_is(trials: int) -> None:
    """In 95 % of the trials, where there are days enough: 120 fields of 16 modes."""
    assert sum(called_different(seed, 120, 0.0, 0.25, modes=16) for seed in range(trials)) >= 0.95 * trials


def test_copies_are_never_called_different() -> None:
    x = process(np.random.default_rng(9), 60, 0.5)
    one, other, step = both(x, x)
    assert permuted(one, other, step, deals=99, block=None, seed=0).p == 1.0
