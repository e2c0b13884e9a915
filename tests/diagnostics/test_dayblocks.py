"""Blocks of days and how often they are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.dayblocks import blocks_of, draws, expanded


def test_consecutive_days() -> None:
    times = np.datetime64("2005-06-01T12", "ns") + np.arange(12) * np.timedelta64(1, "D")
    assert blocks_of(times, 5).tolist() == [0] * 5 + [1] * 5 + [2] * 2
    assert blocks_of(times, 1).tolist() == list(range(12))


def test_half_days_and_gaps_go_by_the_calendar() -> None:
    hours = np.array([0, 12, 24, 36, 240, 252, 960])
    times = np.datetime64("2005-06-01", "ns") + hours * np.timedelta64(1, "h")
    assert blocks_of(times, 1).tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert blocks_of(times, 20).tolist() == [0] * 6 + [1]


def test_other_times_are_consecutive_days() -> None:
    assert blocks_of(np.array([10, 3, 8, 1]), 2).tolist() == [0, 0, 1, 1]


def test_rows_sum_to_the_blocks_and_follow_the_seed() -> None:
    found = draws(9, 500, seed=3)
    assert found.shape == (500, 9)
    assert (found.sum(axis=1) == 9).all()
    np.testing.assert_array_equal(found, draws(9, 500, seed=3))
    assert (found != draws(9, 500, seed=4)).any()
    # multinomial: mean 1, variance 1 - 1/9
    assert found.mean(axis=0) == pytest.approx(1.0, abs=0.15)
    assert found.var() == pytest.approx(8 / 9, rel=0.05)


@pytest.mark.parametrize(("blocks", "least"), [(4, 0.84), (6, 0.90), (12, 0.92), (40, 0.93)])
def test_expanded_intervals_hold_a_mean_as_often_as_they_say(blocks: int, least: float) -> None:
    """Four values cannot be resampled beyond themselves: at most 1 - 2 / 2**4 of the trials."""
    trials = 600
    values = np.random.default_rng(0).normal(size=(trials, blocks))
    counts = draws(blocks, 1000, seed=0) / blocks
    means = values @ counts.T
    held = {}
    for name, levels in {"expanded": expanded(blocks), "plain": np.array([0.025, 0.975])}.items():
        low, high = np.quantile(means, levels, axis=1)
        held[name] = ((low <= 0) & (high >= 0)).mean()
    assert least < held["expanded"] < 0.97
    assert held["expanded"] - held["plain"] > 0.15 / blocks


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="block is nan: expected a number of days > 0"):
        blocks_of(np.arange(3), np.nan)
    with pytest.raises(ValueError, match="at least 2 blocks of days, found 1"):
        draws(1, 10, seed=0)
