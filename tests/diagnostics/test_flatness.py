"""One question about all ranks: closed forms, scipy's permutation test, and the share of false alarms."""

import numpy as np
import pytest
from scipy.stats import permutation_test

from xdownscale.diagnostics.flatness import flat_probability, shares


def ranked(rng: np.random.Generator, blocks: int, ranks: int, spread: float = 0.1) -> np.ndarray:
    """Weights of blocks of unlike sizes, whose ranks deviate together."""
    mixed = rng.standard_t(4, size=(blocks, 3)) @ rng.normal(size=(3, ranks))
    mixed += rng.normal(size=mixed.shape)
    deviations = spread * (mixed - mixed.mean(axis=1, keepdims=True)) / ranks
    return rng.uniform(1, 3, size=(blocks, 1)) * (1 / ranks + deviations)


@pytest.mark.parametrize("blocks", [2, 3, 8, 12])
def test_blocks_that_agree_have_the_least_probability(blocks: int) -> None:
    weights = np.tile([3.0, 1.0, 1.0, 3.0], (blocks, 1))
    assert flat_probability(weights) == 2.0 ** (1 - blocks)


@pytest.mark.parametrize("ranks", [2, 5, 17])
def test_is_that_of_scipys_permutation_test(ranks: int) -> None:
    weights = ranked(np.random.default_rng(ranks), 8, ranks)
    deviations = weights - weights.mean(axis=1, keepdims=True)
    numbers = np.arange(8)

    # scipy exchanges the two halves of a pair: block b is +1 or -1
    def largest(one: np.ndarray, other: np.ndarray) -> float:
        signs = np.sign(one - other)
        return float(np.max(np.abs(signs @ deviations) / np.sqrt((deviations**2).sum(axis=0))))

    pairs = (1.0 + numbers, -1.0 - numbers)
    found = permutation_test(
        pairs,
        largest,
        permutation_type="samples",
        vectorized=False,
        alternative="greater",
        n_resamples=np.inf,
    )
    assert flat_probability(weights) == pytest.approx(found.pvalue, abs=1e-12)


@pytest.mark.parametrize("blocks", [8, 16])
def test_flat_histograms_are_found_wanting_as_often_as_told(blocks: int) -> None:
    rng = np.random.default_rng(7)
    found = np.array([flat_probability(ranked(rng, blocks, 17)) for _ in range(600)])
    for level in (0.05, 0.2, 0.5):
        share = (found <= level + 1e-9).mean()
        # 600 trials: three standard errors, and the steps of 1/128
        assert abs(share - level) < 3 * np.sqrt(level / 600) + 1 / 128, (level, share)


def test_what_days_agree_about_is_found() -> None:
    rng = np.random.default_rng(3)
    tilt = np.linspace(-1, 1, 17)
    tilted = [ranked(rng, 16, 17) * (1 + 0.6 * tilt) for _ in range(100)]
    assert np.mean([flat_probability(w) <= 0.05 for w in tilted]) > 0.9


def test_order_of_blocks_and_ranks_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    weights = ranked(rng, 7, 9)
    shuffled = weights[rng.permutation(7)][:, rng.permutation(9)]
    assert flat_probability(shuffled) == flat_probability(weights) == flat_probability(1e6 * weights)


def test_blocks_that_hold_nothing_do_not_count() -> None:
    weights = ranked(np.random.default_rng(2), 6, 5)
    assert flat_probability(np.concatenate([weights, np.zeros((2, 5))])) == flat_probability(weights)


@pytest.mark.parametrize("weights", [np.ones((6, 4)), np.array([[1.0, 2.0]]), np.zeros((4, 3))])
def test_nothing_to_ask(weights: np.ndarray) -> None:
    assert np.isnan(flat_probability(weights))


def test_shares_are_orthonormal_coefficients() -> None:
    """Of five ranks the orthogonal polynomials are known in integers (Fisher and Yates, table XXIII)."""
    known = np.array([[-2, -1, 0, 1, 2], [2, -1, -2, -1, 2], [-1, 2, 0, -2, 1], [1, -4, 6, -4, 1]])
    unit = known / np.sqrt((known**2).mean(axis=1, keepdims=True))
    given = np.array([0.03, -0.02, 0.01, 0.05])
    np.testing.assert_allclose(shares(7.0 * (1 + given @ unit), 4), given, atol=1e-12)
    np.testing.assert_allclose(shares(np.ones((2, 17)), 4), np.zeros((2, 4)), atol=1e-12)


@pytest.mark.parametrize("degree", [0, 5])
def test_a_degree_that_ranks_do_not_have_is_refused(degree: int) -> None:
    with pytest.raises(ValueError, match=f"degree is {degree} of 5 ranks"):
        shares(np.ones(5), degree)
