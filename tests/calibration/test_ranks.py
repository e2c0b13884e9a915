"""What ranks of the truth say of members' factor and of the scatter of their scales."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from xdownscale.calibration import ranks as module
from xdownscale.calibration.members import fit
from xdownscale.calibration.ranks import Lean, Shapes, by_lean, by_shape, flat, lean_response
from xdownscale.calibration.windows import Sampled
from xdownscale.diagnostics.flatness import shares
from xdownscale.models.members import MemberByMember, scales, stretched

if TYPE_CHECKING:
    from numpy.typing import NDArray

FITTED = MemberByMember((0.0,), slope=(1.0,), factor=(1.0,), width=(1.0,), tail=(0.0,))


def mixed(seed: int, hidden: Any, members: int = 16, count: int = 40_000, skew: float = 0.0) -> Sampled:
    """Deviations that members know and errors miss by a random factor, of a scatter by the climate."""
    rng = np.random.default_rng(seed)
    climate = rng.uniform(-1, 1, count)
    known = np.exp(0.7 * rng.normal(size=count))
    doubt = hidden(climate) if callable(hidden) else hidden
    truth = known * scales(rng.normal(size=count), doubt, skew) * rng.normal(size=count)
    departure, chance = rng.normal(size=(2, members, count))
    nothing = np.zeros((members, count))
    one = np.ones(count)
    return Sampled(
        nothing,
        known * departure,
        nothing,
        truth,
        one,
        np.stack([0 * one, climate]),
        0 * one,
        chance,
    )


def ranks(given: Sampled, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frequency of each rank of the truth over that of equal ranks."""
    found = np.bincount((drawn < given.truth).sum(axis=0), minlength=len(drawn) + 1)
    return found / found.mean()


def test_the_factor_of_flat_ranks() -> None:
    given = mixed(0, 0.0)
    for by in (0.15, 0.5, 1.0, 4.0):
        assert flat(0 * given.departure, by * given.departure, given) == pytest.approx(1 / by, rel=0.02)


def test_the_factor_ends_where_none_will_do() -> None:
    given = mixed(0, 0.0, count=500)
    nowhere = 0 * given.departure
    assert flat(nowhere, nowhere, given) == pytest.approx(10)
    assert flat(nowhere, given.departure, replace(given, truth=0 * given.truth)) == pytest.approx(0.02)


class TestShapes:
    def test_between_climates_and_tails_and_level_beyond(self) -> None:
        own = np.array([[0.1, 0.1], [10.0, 5.0]])
        skew = np.array([[0.9, 0.5], [0.3, 0.1]])
        shapes = Shapes((0.1, 10.0), (-1.0, 1.0), np.array([[0.8, 0.4], [0.0, 0.2]]), skew, own)
        climates = np.array([-3.0, -1.0, 0.0, 1.0, 2.0])
        scatter, skewed = [0.8, 0.8, 0.6, 0.4, 0.4], [0.9, 0.9, 0.7, 0.5, 0.5]
        np.testing.assert_allclose(shapes.at(0.1, climates), [scatter, skewed, [0.1] * 5])
        np.testing.assert_allclose(shapes.at(0.01, climates), shapes.at(0.1, climates))
        np.testing.assert_allclose(shapes.at(1.0, climates)[0], [0.4, 0.4, 0.35, 0.3, 0.3], atol=1e-12)
        scatter, tail = [0.0, 0.0, 0.1, 0.2, 0.2], [10.0, 10.0, 7.5, 5.0, 5.0]
        np.testing.assert_allclose(shapes.at(99.0, climates), [scatter, [0.3, 0.3, 0.2, 0.1, 0.1], tail])

    def test_with_a_tail_of_each_climate(self) -> None:
        one, scatter = np.ones((2, 2)), np.array([[0.8, 0.4], [0.0, 0.2]])
        shapes = Shapes((0.1, 10.0), (-1.0, 1.0), scatter, 0 * one, one)
        climates, tails = np.array([-1.0, 0.0, 1.0]), np.array([10.0, 0.1, 1.0])
        expected = [[0.0, 0.6, 0.3], [0.0] * 3, [1.0] * 3]
        np.testing.assert_allclose(shapes.at(tails, climates), expected, atol=1e-12)


class TestByShape:
    def test_finds_the_doubt_of_each_climate(self) -> None:
        given = mixed(1, lambda c: np.where(c > 0, 0.5, 0.0), count=120_000)
        found = by_shape(given, replace(FITTED, factor=(0.7,)))
        assert found.scatter.shape == (len(found.tail), 20)
        np.testing.assert_allclose(found.log_deviation, np.linspace(-0.95, 0.95, 20), atol=0.02)
        np.testing.assert_allclose(found.scatter[0, 10:], 0.5, atol=0.15)
        assert found.scatter[0, 10:].mean() == pytest.approx(0.5, abs=0.05)
        assert (found.scatter[0, :10] < 0.25).all()
        assert found.scatter[0, :10].mean() < 0.12
        assert (np.diff(found.scatter[:, 10:].mean(axis=1)) <= 0).all(), "a tail leaves less to do"
        assert (found.scatter[-1] < 0.1).all()

    def test_finds_whether_the_doubt_is_of_too_narrow_members(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Scales that scatter as far down as up ask for no skew, others for theirs, by the sixth degree."""
        monkeypatch.setattr(module, "_TAILS", (0.01,))
        skews = []
        for skew in (0.0, 0.9):
            given, other = (mixed(seed, 0.7, count=120_000, skew=skew) for seed in (8, 9))
            found = by_shape(given, FITTED)
            doubt = float(found.scatter[0].mean()), float(found.scatter_skew[0].mean())
            skews.append(doubt[1])
            assert doubt[0] == pytest.approx(0.7, abs=0.08)
            left = []
            for tried in (doubt, (doubt[0], 0.0)):
                moved = other.departure * scales(other.chance, *tried)
                moved = flat(0 * moved, moved, other) * moved
                left.append(module._share(other, moved, 6))
            assert abs(left[0]) < 0.01
        assert skews[0] < 0.3
        assert skews[1] > 0.6
        assert left[1] > 0.04, "without the skew there is a share"

    def test_new_ranks_are_flat_with_it(self) -> None:
        """A tail beyond the climate's deviation does not do that."""
        given, other = mixed(2, 0.3, count=80_000), mixed(3, 0.3, count=200_000)
        plain = fit(given)
        doubtful = fit(given, shapes=by_shape(given, plain))
        off = [np.abs(ranks(other, other.moved(fitted)) - 1).max() for fitted in (plain, doubtful)]
        assert off[0] > 0.07
        assert off[1] < 0.03

    def test_goes_on_from_what_is_fitted(self) -> None:
        """Slopes, factors and conservation's changes count; a scatter of before does not."""
        given = mixed(4, 0.4)
        moved = replace(given, mean=given.mean + 2, departure=2 * given.departure, change=given.change - 1.0)
        fitted = replace(FITTED, slope=(0.5,), factor=(0.5,), width=(2.0,), tail=(3.0,))
        fitted = replace(fitted, scatter=(0.9,), scatter_skew=(0.4,))
        one, two = by_shape(given, FITTED), by_shape(moved, fitted)
        np.testing.assert_allclose(one.scatter[0], two.scatter[0], atol=0.02)
        np.testing.assert_allclose(one.scatter_skew[0], two.scatter_skew[0], atol=0.05)

    def test_leaves_less_of_a_tail_where_it_is_too_much(self) -> None:
        """Members are as heavy-tailed as errors with a tail of a half, and scatter helps no more."""
        given = mixed(7, 0.0)
        truth = stretched(given.truth, 1.0, 0.5)
        found = by_shape(replace(given, departure=given.truth.std() * given.departure, truth=truth), FITTED)
        enough = np.array(found.tail) > 0.5
        kept = np.isclose(found.own_tail[~enough], np.array(found.tail)[~enough, None])
        assert kept.mean() > 0.9
        assert (found.scatter[enough] == 0).mean() > 0.9
        assert (found.scatter[0] > 0).all()
        assert (found.own_tail[enough] < 1.1).all()
        np.testing.assert_allclose(found.own_tail[enough].mean(axis=1), 0.5, atol=0.15)

    def test_is_hardly_seen_in_the_ranks_of_fewer_members(self) -> None:
        shares = []
        for members in (4, 8, 16):
            given = mixed(5, 0.3, members, 60_000)
            shares.append(module._share(given, given.departure, 4))
        assert shares[2] > 0.02
        assert shares[1] < 0.6 * shares[2]
        assert shares[0] < 0.4 * shares[2]

    def test_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given = mixed(6, 0.0, count=100)
        for share, expected in ((-0.01, 0.0), (0.01, 1.0)):
            monkeypatch.setattr(module, "_share", lambda *_, share=share: share)
            np.testing.assert_allclose(by_shape(given, FITTED).scatter, expected, atol=0.01)


class TestByLean:
    """Errors that lean, in coarse cells of eighty fine ones in each of which the climate varies."""

    KNOTS = tuple(np.linspace(-0.9, 0.9, 10))
    ONE, THREE = (1.0,) * 10, (3.0,) * 10
    NONE = Lean(KNOTS, np.zeros(10), 0.0, 0.0)
    TRUE = Lean(KNOTS, 0.2 * np.array(KNOTS), 0.18, -0.02)

    def leaning(self, lean: Lean) -> MemberByMember:
        leans = {
            "shift": tuple(np.interp(self.KNOTS, lean.log_deviation, lean.shift)),
            "skew": (lean.skew,) * 10,
            "near_skew": (lean.near_skew,) * 10,
        }
        return MemberByMember(self.KNOTS, self.ONE, self.ONE, self.THREE, tail=(0.0,) * 10, **leans)

    def given(self, seed: int, true: MemberByMember, count: int = 400_000) -> Sampled:
        """The truth is one more member, and all keep their coarse means."""
        plain = mixed(seed, 0.0, 9, count)
        one = replace(plain, departure=np.random.default_rng(seed).normal(size=(9, count)))
        names = ("mean", "departure", "change", "chance")
        others = {name: getattr(one, name)[1:] for name in names}
        return replace(one, truth=self.conserved(one, true)[0], **others)

    def conserved(self, one: Sampled, fitted: MemberByMember) -> NDArray[np.float64]:
        moved = replace(one, change=0 * one.change).moved(fitted)
        cells = moved.reshape(len(moved), -1, 80)
        return (cells - cells.mean(axis=-1, keepdims=True)).reshape(len(moved), -1)

    def drawn(self, one: Sampled, fitted: MemberByMember) -> Sampled:
        """With what conservation changes."""
        free = replace(one, change=0 * one.change)
        return replace(free, change=self.conserved(free, fitted) - free.moved(fitted))

    def test_finds_shift_and_skews_and_makes_ranks_flat(self) -> None:
        true, still = self.leaning(self.TRUE), self.leaning(self.NONE)
        given, other = (self.given(seed, true) for seed in (0, 1))
        fitted = still
        for _ in range(4):
            now = self.drawn(given, fitted)
            response = lean_response(lambda tried: self.drawn(given, tried), fitted)
            found = by_lean(now, fitted, now, response)
            fitted = self.leaning(found)
        assert found.skew == pytest.approx(0.18, abs=0.06)
        assert found.near_skew == pytest.approx(-0.02, abs=0.01)
        np.testing.assert_allclose(found.log_deviation, self.KNOTS, atol=0.01)
        np.testing.assert_allclose(found.shift - found.shift.mean(), self.TRUE.shift, atol=0.03)
        lean = [shares(ranks(other, self.conserved(other, f)), 3)[[0, 2]] for f in (still, fitted)]
        assert (np.abs(lean[0]) > 0.008).all()
        assert (np.abs(lean[1]) < 0.003).all()
        for near in (other.climate[1] < -0.5, other.climate[1] > 0.5):
            here = other.of(near)
            off = [np.abs(ranks(here, self.conserved(other, f)[:, near]) - 1).max() for f in (still, fitted)]
            assert off[0] > 0.2
            assert off[1] < 0.03

    def test_one_skew_leaves_a_third_degree(self) -> None:
        """With which ranks have no first one; so that two are needed."""
        given = self.given(4, self.leaning(replace(self.TRUE, shift=np.zeros(10))))
        first = [
            shares(ranks(given, self.conserved(given, self.leaning(replace(self.NONE, skew=skew)))), 3)
            for skew in np.linspace(-0.1, 0.3, 9)
        ]
        skewed = min(first, key=lambda found: abs(found[0]))
        assert abs(skewed[0]) < 0.003
        assert abs(skewed[2]) > 0.008

    def test_the_response_foretells_what_is_gained(self) -> None:
        fitted = self.leaning(replace(self.TRUE, shift=np.zeros(10)))
        given = self.given(5, fitted)
        response = lean_response(lambda tried: self.drawn(given, tried), fitted)
        other = self.leaning(replace(self.TRUE, shift=np.zeros(10), skew=0.14, near_skew=0.0))
        gained = [shares(ranks(given, self.conserved(given, f)), 3)[[0, 2]] for f in (other, fitted)]
        np.testing.assert_allclose(response @ (0.14 - 0.18, 0.0 + 0.02), gained[0] - gained[1], atol=2e-3)
        assert (response[0] > 0).all(), "both lift the first degree"
        assert (response[1] < 0).all(), "and take from the third"

    def test_goes_on_from_the_skews_that_are_fitted(self) -> None:
        given = self.given(3, FITTED, 8000)
        response, fitted = np.array([[0.1, 0.3], [-0.1, -0.4]]), self.leaning(self.TRUE)
        now = shares(ranks(given, given.moved(fitted)), 3)[[0, 2]]
        judged = by_lean(given, fitted, given, 100 * response)
        step = -np.linalg.solve(100 * response, now)
        np.testing.assert_allclose([judged.skew, judged.near_skew], np.array([0.18, -0.02]) + step)

    def test_is_bounded(self) -> None:
        given, response = self.given(2, FITTED, 8000), np.array([[0.1, 0.0], [0.0, 0.1]])
        for far, skews in ((99.0, (-0.3, -0.2)), (-99.0, (0.3, 0.2))):
            all_far = replace(given, truth=np.full(8000, far))
            found = by_lean(all_far, FITTED, all_far, response)
            assert (found.skew, found.near_skew) == skews
            np.testing.assert_array_equal(found.shift, 0, "climates do not differ")
        one = replace(given, truth=np.where(given.climate[1] > 0, 99.0, given.truth))
        found = by_lean(one, FITTED, one, response)
        np.testing.assert_allclose(found.shift[6:], 0.9, atol=0.05, err_msg="a spread")

    def test_where_nothing_answers_nothing_is_skewed(self) -> None:
        given = self.given(2, FITTED, 8000)
        found = by_lean(given, FITTED, replace(given, truth=given.truth + 1), np.zeros((2, 2)))
        assert (found.skew, found.near_skew) == (0.0, 0.0)
