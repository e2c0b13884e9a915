"""Scores against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.skill import (
    bias,
    cell_crps,
    crps,
    mae,
    r2,
    r2_corr,
    rank_histogram,
    rmse,
    spread_skill,
)
from xdownscale.grid import MERRA2

RNG = np.random.default_rng(0)


def fair(ensemble: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> float:
    """The definition, pair by pair."""
    m, total, weight = len(ensemble), 0.0, 0.0
    for place in np.ndindex(truth.shape):
        x, y = ensemble[(slice(None), *place)], truth[place]
        if not np.isfinite([*x, y]).all():
            continue
        apart = sum(abs(a - b) for a in x for b in x)
        total += weights[place] * (np.abs(x - y).mean() - apart / (2 * m * (m - 1)))
        weight += weights[place]
    return total / weight


class TestCrps:
    @pytest.mark.parametrize("m", [2, 3, 7])
    def test_by_pairs(self, m: int) -> None:
        x, y, w = RNG.normal(size=(m, 4, 5)), RNG.normal(size=(4, 5)), RNG.random((4, 5))
        y[1, 2], x[0, 3, 3] = np.nan, np.nan
        assert crps(x, y, w) == pytest.approx(fair(x, y, w), rel=1e-12)
        assert crps(x, y) == pytest.approx(fair(x, y, np.ones((4, 5))), rel=1e-12)

    def test_does_not_depend_on_the_number_of_members(self) -> None:
        """Its expectation is that of infinitely many; members like the truth: 1 / sqrt(pi)."""
        n = 200_000
        y = RNG.normal(size=n)
        for m in (2, 3, 5, 20):
            found = crps(RNG.normal(size=(m, n)), y)
            assert found == pytest.approx(1 / np.pi**0.5, abs=5e-3)

    def test_of_a_gaussian(self) -> None:
        """Gneiting and Raftery's closed form for N(mu, s) and the truth 0."""
        from scipy.stats import norm

        for mu, s in ((0.0, 1.0), (1.5, 0.5), (-0.3, 2.0)):
            z = -mu / s
            expected = s * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.pi**0.5)
            found = crps(RNG.normal(mu, s, size=(8, 100_000)), np.zeros(100_000))
            assert found == pytest.approx(expected, abs=8e-3 * s)

    def test_certain_members_have_the_mean_absolute_error(self) -> None:
        field, y = RNG.normal(size=(6, 6)), RNG.normal(size=(6, 6))
        assert crps(np.stack([field] * 4), y) == pytest.approx(mae(field, y), rel=1e-14)

    def test_order_of_members_does_not_matter(self) -> None:
        x, y = RNG.normal(size=(5, 9)), RNG.normal(size=9)
        assert crps(x[::-1], y) == crps(x, y)

    def test_of_each_cell(self) -> None:
        x, y, w = RNG.normal(size=(5, 6)), RNG.normal(size=6), RNG.random(6)
        y[2] = np.nan
        found = cell_crps(x, y)
        alone = [crps(x[:, [i]], y[[i]]) for i in (0, 1, 3, 4, 5)]
        np.testing.assert_allclose(np.delete(found, 2), alone, rtol=1e-13)
        assert np.isnan(found[2])
        assert np.average(np.delete(found, 2), weights=np.delete(w, 2)) == pytest.approx(crps(x, y, w))

    def test_one_member(self) -> None:
        with pytest.raises(ValueError, match="the fair CRPS needs at least 2 members, found 1; use `mae`"):
            crps(np.zeros((1, 3)), np.zeros(3))


class TestSpreadSkill:
    @pytest.mark.parametrize("m", [2, 4, 16])
    def test_one_where_members_and_truth_are_alike(self, m: int) -> None:
        common = RNG.normal(size=100_000)
        x, y = common + RNG.normal(size=(m, 100_000)), common + RNG.normal(size=100_000)
        assert spread_skill(x, y) == pytest.approx(1.0, abs=0.015)

    def test_by_hand(self) -> None:
        # variance 2, error 1, M = 2: sqrt(3/2 * 2 / 1)
        assert spread_skill(np.array([[0.0], [2.0]]), np.array([2.0])) == pytest.approx(3**0.5, rel=1e-14)

    def test_half_the_spread_is_half(self) -> None:
        mean, truth = np.zeros(200_000), RNG.normal(size=200_000)
        x = mean + 0.5 * RNG.normal(size=(50, 200_000))
        assert spread_skill(x, truth) == pytest.approx(0.5, rel=0.02)

    def test_variances_are_averaged_before_the_root(self) -> None:
        x = np.array([[1.0, 10.0], [-1.0, -10.0]])
        y = np.array([1.0, 1.0])
        assert spread_skill(x, y) == pytest.approx((1.5 * (2 + 200) / 2 / 1.0) ** 0.5, rel=1e-14)


class TestFields:
    x, y = RNG.normal(size=(2, 30, 40)) + 1
    w = RNG.random((30, 40))

    def test_definitions(self) -> None:
        e, w = self.x - self.y, self.w / self.w.sum()
        assert mae(self.x, self.y, self.w) == pytest.approx((w * abs(e)).sum(), rel=1e-12)
        assert rmse(self.x, self.y, self.w) == pytest.approx((w * e**2).sum() ** 0.5, rel=1e-12)
        assert bias(self.x, self.y, self.w) == pytest.approx((w * e).sum(), rel=1e-12)
        total = (w * (self.y - (w * self.y).sum()) ** 2).sum()
        assert r2(self.x, self.y, self.w) == pytest.approx(1 - (w * e**2).sum() / total, rel=1e-12)

    def test_correlation(self) -> None:
        expected = np.corrcoef(self.x.ravel(), self.y.ravel())[0, 1] ** 2
        assert r2_corr(self.x, self.y) == pytest.approx(expected, rel=1e-10)
        assert r2_corr(-3 * self.y + 7, self.y, self.w) == pytest.approx(1.0, rel=1e-12)

    def test_perfect_and_mean(self) -> None:
        assert r2(self.y, self.y, self.w) == 1.0
        assert r2(np.full_like(self.y, self.y.mean()), self.y) == pytest.approx(0.0, abs=1e-12)
        assert r2(2 * self.y, self.y) < r2_corr(2 * self.y, self.y)

    def test_areas(self) -> None:
        """A field that is wrong at the poles only is less wrong by area."""
        lat = MERRA2.y.measure[:, None]
        field = np.zeros(MERRA2.shape)
        field[[0, -1]] = 1.0
        equal, weighed = mae(field, np.zeros(MERRA2.shape)), mae(field, np.zeros(MERRA2.shape), lat)
        assert equal == pytest.approx(2 / 361, rel=1e-12)
        assert weighed == pytest.approx(1 - np.sin(np.deg2rad(89.75)), rel=1e-9)
        assert weighed < equal / 100

    @pytest.mark.parametrize("score", [mae, rmse, bias, r2, r2_corr])
    def test_missing_cells_count_for_nothing(self, score: object) -> None:
        hole = np.where(np.arange(40) < 7, np.nan, self.y)
        found = score(self.x, hole, self.w)  # type: ignore[operator]
        assert found == pytest.approx(score(self.x[:, 7:], self.y[:, 7:], self.w[:, 7:]), rel=1e-12)  # type: ignore[operator]
        # in the field instead
        other = np.where(np.arange(40) < 7, np.nan, self.x)
        assert score(other, self.y, self.w) == pytest.approx(found, rel=1e-12)  # type: ignore[operator]

    def test_float32_is_summed_in_double(self) -> None:
        x = np.full((1000, 1000), 1 / 3, dtype=np.float32)
        assert mae(x, np.zeros_like(x)) == pytest.approx(float(np.float32(1 / 3)), rel=1e-12)


class TestRanks:
    def test_flat_where_members_and_truth_are_alike(self) -> None:
        found = rank_histogram(RNG.normal(size=(7, 80_000)), RNG.normal(size=80_000))
        assert found.shape == (8,)
        np.testing.assert_allclose(found, 1 / 8, atol=0.006)

    def test_extremes(self) -> None:
        x = RNG.random((4, 100))
        assert rank_histogram(x, np.full(100, -1.0)).tolist() == [1, 0, 0, 0, 0]
        assert rank_histogram(x, np.full(100, 2.0)).tolist() == [0, 0, 0, 0, 1]

    def test_a_narrow_ensemble_has_full_outer_ranks(self) -> None:
        found = rank_histogram(0.3 * RNG.normal(size=(7, 50_000)), RNG.normal(size=50_000))
        assert min(found[0], found[-1]) > 2 / 8

    def test_ties_are_broken_evenly(self) -> None:
        found = rank_histogram(np.zeros((3, 40_000)), np.zeros(40_000))
        np.testing.assert_allclose(found, 0.25, atol=0.01)
        assert (found == rank_histogram(np.zeros((3, 40_000)), np.zeros(40_000))).all()
        assert (found != rank_histogram(np.zeros((3, 40_000)), np.zeros(40_000), seed=1)).any()

    def test_weights(self) -> None:
        x, y, w = RNG.random((4, 60)), RNG.random(60), RNG.integers(1, 5, 60)
        found = rank_histogram(x, y, w)
        expected = rank_histogram(np.repeat(x, w, axis=1), np.repeat(y, w))
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_missing_cells(self) -> None:
        truth = np.where(np.arange(100) < 50, np.nan, 2.0)
        assert rank_histogram(RNG.random((4, 100)), truth).tolist() == [0, 0, 0, 0, 1]
        assert rank_histogram(RNG.random((4, 5)), np.full(5, np.nan)).tolist() == [0] * 5
