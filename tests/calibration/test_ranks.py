"""What ranks of the truth say of members' factor and of the scatter of their scales."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from xdownscale.calibration import ranks as module
from xdownscale.calibration.members import fit
from xdownscale.calibration.ranks import Shapes, by_lean, by_shape, flat
from xdownscale.calibration.windows import Sampled
from xdownscale.models.members import MemberByMember, scales, stretched

if TYPE_CHECKING:
    from numpy.typing import NDArray

FITTED = MemberByMember((0.0,), slope=(1.0,), factor=(1.0,), width=(1.0,), tail=(0.0,))


def mixed(seed: int, hidden: Any, members: int = 16, count: int = 40_000) -> Sampled:
    """Deviations that members know and errors miss by a random factor, of a scatter by the climate."""
    rng = np.random.default_rng(seed)
    climate = rng.uniform(-1, 1, count)
    known = np.exp(0.7 * rng.normal(size=count))
    doubt = hidden(climate) if callable(hidden) else hidden
    truth = known * scales(rng.normal(size=count), doubt) * rng.normal(size=count)
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
        shapes = Shapes((0.1, 10.0), (-1.0, 1.0), np.array([[0.8, 0.4], [0.0, 0.2]]), own)
        climates = np.array([-3.0, -1.0, 0.0, 1.0, 2.0])
        np.testing.assert_allclose(shapes.at(0.1, climates), [[0.8, 0.8, 0.6, 0.4, 0.4], [0.1] * 5])
        np.testing.assert_allclose(shapes.at(0.01, climates), shapes.at(0.1, climates))
        np.testing.assert_allclose(shapes.at(1.0, climates)[0], [0.4, 0.4, 0.35, 0.3, 0.3], atol=1e-12)
        scatter, tail = [0.0, 0.0, 0.1, 0.2, 0.2], [10.0, 10.0, 7.5, 5.0, 5.0]
        np.testing.assert_allclose(shapes.at(99.0, climates), [scatter, tail])


class TestByShape:
    def test_finds_the_doubt_of_each_climate(self) -> None:
        given = mixed(1, lambda c: np.where(c > 0, 0.5, 0.0), count=120_000)
        found = by_shape(given, replace(FITTED, factor=(0.7,)))
        assert found.scatter.shape == (len(found.tail), 10)
        np.testing.assert_allclose(found.log_deviation, np.linspace(-0.9, 0.9, 10), atol=0.02)
        np.testing.assert_allclose(found.scatter[0, 5:], 0.5, atol=0.12)
        assert found.scatter[0, 5:].mean() == pytest.approx(0.5, abs=0.05)
        assert (found.scatter[0, :5] < 0.2).all()
        assert found.scatter[0, :5].mean() < 0.12
        assert (np.diff(found.scatter[:, 5:], axis=0) <= 0).all(), "a tail leaves less to do"
        assert (found.scatter[-1] < 0.1).all()

    def test_new_ranks_are_flat_with_it(self) -> None:
        """A tail beyond the climate's deviation does not do that."""
        given, other = mixed(2, 0.3), mixed(3, 0.3, count=100_000)
        plain = fit(given)
        doubtful = fit(given, shapes=by_shape(given, plain))
        off = [np.abs(ranks(other, other.moved(fitted)) - 1).max() for fitted in (plain, doubtful)]
        assert off[0] > 0.045
        assert off[1] < 0.035

    def test_goes_on_from_what_is_fitted(self) -> None:
        """Slopes, factors and conservation's changes count; a scatter of before does not."""
        given = mixed(4, 0.4)
        moved = replace(given, mean=given.mean + 2, departure=2 * given.departure, change=given.change - 1.0)
        fitted = replace(FITTED, slope=(0.5,), factor=(0.5,), width=(2.0,), tail=(3.0,), scatter=(0.9,))
        one, two = by_shape(given, FITTED), by_shape(moved, fitted)
        np.testing.assert_allclose(one.scatter[0], two.scatter[0], atol=0.02)

    def test_leaves_less_of_a_tail_where_it_is_too_much(self) -> None:
        """Members are as heavy-tailed as errors with a tail of a half, and scatter helps no more."""
        given = mixed(7, 0.0)
        truth = stretched(given.truth, 1.0, 0.5)
        found = by_shape(replace(given, departure=given.truth.std() * given.departure, truth=truth), FITTED)
        enough = np.array(found.tail) > 0.5
        np.testing.assert_allclose(found.own_tail[~enough], np.array(found.tail)[~enough, None] * np.ones(10))
        assert (found.scatter[enough] == 0).mean() > 0.9
        assert (found.scatter[0] > 0).all()
        assert (found.own_tail[enough] < 1.0).all()
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

    def leaning(self, shift: float, skew: float) -> MemberByMember:
        """Shifted up by a share of the climate's logarithm."""
        leans = {"shift": tuple(shift * np.array(self.KNOTS)), "skew": (skew,) * 10}
        return MemberByMember(self.KNOTS, self.ONE, self.ONE, self.THREE, tail=(0.0,) * 10, **leans)

    def given(self, seed: int, true: MemberByMember, count: int = 400_000) -> Sampled:
        """The truth is one more member, and all keep their coarse means."""
        plain = mixed(seed, 0.0, 9, count)
        one = replace(plain, departure=np.random.default_rng(seed).normal(size=(9, count)))
        names = ("mean", "departure", "change", "chance")
        others = {name: getattr(one, name)[1:] for name in names}
        return replace(one, truth=self.conserved(one, true)[0], **others)

    def conserved(self, one: Sampled, fitted: MemberByMember) -> NDArray[np.float64]:
        moved = one.moved(fitted)
        cells = moved.reshape(len(moved), -1, 80)
        return (cells - cells.mean(axis=-1, keepdims=True)).reshape(len(moved), -1)

    def test_finds_shift_and_skew_and_makes_ranks_flat(self) -> None:
        true, still = self.leaning(0.2, 0.18), self.leaning(0.0, 0.0)
        given, other = (self.given(seed, true) for seed in (0, 1))
        fitted = still
        for _ in range(4):
            change = self.conserved(given, fitted) - given.moved(fitted)
            found = by_lean(replace(given, change=change), fitted)
            shift = tuple(np.interp(self.KNOTS, found.log_deviation, found.shift))
            fitted = replace(still, shift=shift, skew=(found.skew,) * 10)
        assert found.skew == pytest.approx(0.18, abs=0.06)
        np.testing.assert_allclose(found.log_deviation, self.KNOTS, atol=0.01)
        np.testing.assert_allclose(found.shift - found.shift.mean(), true.shift, atol=0.03)
        for near in (other.climate[1] < -0.5, other.climate[1] > 0.5):
            here = other.of(near)
            off = [np.abs(ranks(here, self.conserved(other, f)[:, near]) - 1).max() for f in (still, fitted)]
            assert off[0] > 0.2
            assert off[1] < 0.035

    def test_is_bounded(self) -> None:
        given = self.given(2, FITTED, 8000)
        for far, skew in ((99.0, -0.3), (-99.0, 0.3)):
            found = by_lean(replace(given, truth=np.full(8000, far)), FITTED)
            assert found.skew == skew
            np.testing.assert_array_equal(found.shift, 0, "climates do not differ")
        one = replace(given, truth=np.where(given.climate[1] > 0, 99.0, given.truth))
        np.testing.assert_allclose(by_lean(one, FITTED).shift[6:], 0.9, atol=0.05, err_msg="a spread")
