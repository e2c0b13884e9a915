"""Moments against numpy, and no day told about itself."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from xdownscale.grid import G5NR
from xdownscale.training.climatology import measure

WINDOW = G5NR.window((1600, 4), (3400, 6))


@pytest.fixture
def days() -> Any:
    rng = np.random.default_rng(1)
    return (rng.normal(size=(23, *WINDOW.shape)) + rng.normal(size=WINDOW.shape)).astype(np.float32)


def close(found: Any, expected: Any, bend: float = 4.0) -> None:
    """Within the half step that bytes leave, which grows with a bend."""
    span = np.abs(expected).max()
    step = np.hypot(bend * expected, span * bend / np.sinh(bend)) / 127 if bend else span / 127
    assert (np.abs(found - expected) <= 0.52 * step).all()


def test_moments_of_all_days(days: Any) -> None:
    mean, deviation = measure(days, len(days), WINDOW).whole.on(WINDOW).numpy()
    close(mean, days.mean(axis=0))
    close(deviation, np.log(days.std(axis=0)), bend=0.0)


def test_missing_cells_do_not_count(days: Any) -> None:
    days[np.random.default_rng(2).random(days.shape) < 0.4] = np.nan
    days[:, 0, 0], days[0, 0, 0] = np.nan, 1.0
    mean = measure(days, len(days), WINDOW).whole.on(WINDOW).numpy()[0]
    assert mean[0, 0] == 0.0, "one day is no climate"
    close(mean.ravel()[1:], np.nanmean(days, axis=0).ravel()[1:])


@pytest.mark.parametrize("blocks", [1, 2, 6])
def test_no_day_is_told_about_itself(days: Any, blocks: int) -> None:
    """The map shown on a day does not change with the day, and is the mean of the other blocks."""
    folds = measure(days, len(days), WINDOW, blocks)
    assert len(folds.without) == blocks
    edges = [0, *folds.edges, len(days)]
    for first, last in pairwise(edges):
        others = np.delete(days, np.arange(first, last), axis=0)
        for day in (first, last - 1):
            shown = folds.unseen(day).on(WINDOW).numpy()[0]
            close(shown, others.mean(axis=0) if len(others) else np.zeros(WINDOW.shape))


def test_few_days(days: Any) -> None:
    """Fewer days than blocks: each day is a block."""
    folds = measure(days[:3], 3, WINDOW)
    close(folds.unseen(1).on(WINDOW).numpy()[0], days[[0, 2]].mean(axis=0))
