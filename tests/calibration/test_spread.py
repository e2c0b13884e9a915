"""Spread over skill, and what is told of a fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xdownscale.calibration.spread import outcome, ratio, squares
from xdownscale.calibration.windows import Sampled
from xdownscale.models.members import MemberByMember


def given(deviation: float, members: int = 4, count: int = 200_000, bias: float = 0.0) -> Sampled:
    """Normal members of one deviation, and a truth of deviation one that lies higher by a bias."""
    rng = np.random.default_rng(0)
    departure, nothing = deviation * rng.normal(size=(members, count)), np.zeros((members, count))
    area, truth = rng.uniform(0.5, 1, count), bias + rng.normal(size=count)
    return Sampled(nothing, departure, nothing, truth, area, np.zeros((2, count)), np.zeros(count), nothing)


STILL = MemberByMember((0.0,), slope=(1.0,), factor=(1.0,), width=(1.0,), tail=(0.0,))


@pytest.mark.parametrize("members", [2, 4, 16])
def test_members_like_the_truth_have_the_spread_of_their_skill(members: int) -> None:
    cells = given(1.0, members)
    spread, error = squares(cells.departure, cells.truth, cells.area)
    assert spread.shape == error.shape == cells.truth.shape
    assert ratio(spread.sum(), error.sum()) == pytest.approx(1, abs=0.01)
    half = squares(given(0.5, members).departure, cells.truth, cells.area)
    expected = 0.5 * np.sqrt((1 + 1 / members) / (1 + 0.25 / members))
    assert ratio(*(each.sum() for each in half)) == pytest.approx(expected, rel=0.01)


def test_nothing_errs() -> None:
    assert ratio(1.0, 0.0) == np.inf


class TestOutcome:
    def test_tells_what_members_come_to_with_a_fit(self) -> None:
        half = given(0.5)
        narrow, right = (
            outcome(half, MemberByMember((0.0,), (1.0,), (factor,), (1.0,), (0.0,)), np.exp)
            for factor in (1.0, 2.0)
        )
        assert right["members"] == 4
        assert right["spread_skill"] == pytest.approx(1, abs=0.01)
        np.testing.assert_allclose(right["ranks"], 1, atol=0.02)
        assert len(right["ranks"]) == 5
        assert narrow["spread_skill"] < 0.6
        assert narrow["ranks"][0] > 1.5
        assert narrow["ranks"][-1] > 1.5

    def test_what_is_not_a_number_is_not_told(self) -> None:
        """A card is JSON, and holds none."""
        still = given(0.0)
        told = outcome(replace(still, truth=0 * still.truth), STILL, np.exp)
        assert (told["spread_skill"], told["linear_spread_skill"]) == (None, None)

    def test_ranks_are_from_the_lowest_on(self) -> None:
        ranks = outcome(given(1.0, bias=1.0), STILL, np.exp)["ranks"]
        assert ranks == sorted(ranks)
        assert np.mean(ranks) == pytest.approx(1, abs=1e-3)

    def test_of_own_units_is_what_they_are(self) -> None:
        """Lognormal members and truth of the same law are reliable there as well; narrower ones are not."""
        own = lambda residual: np.exp(0.3 * residual)  # noqa: E731
        assert outcome(given(1.0), STILL, own)["linear_spread_skill"] == pytest.approx(1, abs=0.02)
        narrow = outcome(given(0.5), STILL, own)
        spread, error = np.exp(0.09 * 0.25) * (np.exp(0.09 * 0.25) - 1), np.exp(0.09) * (np.exp(0.09) - 1)
        apart = np.exp(0.09 / 2) - np.exp(0.09 * 0.25 / 2)
        expected = np.sqrt(spread * 1.25 / (error + spread / 4 + apart**2))
        assert narrow["linear_spread_skill"] == pytest.approx(expected, rel=0.02)
