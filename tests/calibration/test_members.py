"""Members moved about their mean: flat ranks, and spread that equals skill, at once."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from xdownscale.calibration import calibrate, fitting
from xdownscale.calibration import members as module
from xdownscale.calibration.members import Sampled, by_band, by_level, fit
from xdownscale.calibration.ranks import Lean, Shapes, by_shape
from xdownscale.diffusion.sample import Sampler
from xdownscale.models.members import MemberByMember, scales, stretched
from xdownscale.nn.denoiser import Second

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.models.downscaler import Downscaler

Records = tuple["xr.DataArray", "xr.DataArray"]
MEMBERS = 4


def cells(seed: int, departs: Any, errs: Any, *, tails: float = np.inf, count: int = 60_000) -> Sampled:
    """Gaussian departures and Student errors, each with its deviation by the climate's logarithm."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(-1, 1, count)
    error = rng.standard_t(tails, count) if np.isfinite(tails) else rng.normal(size=count)
    mean = np.broadcast_to(rng.normal(size=count), (MEMBERS, count))
    departure = departs(c) * rng.normal(size=(MEMBERS, count))
    truth, area = mean[0] + errs(c) * error, rng.uniform(0.5, 1, count)
    return sampled(mean, departure, truth, area, np.stack([0 * c, c]))


def sampled(mean: Any, departure: Any, truth: Any, area: Any, climate: Any, chance: Any = None) -> Sampled:
    """Cells in which conservation changes nothing."""
    chance = 0 * departure if chance is None else chance
    return Sampled(mean, departure, 0 * departure, truth, area, climate, 0 * truth, chance)


def flat(given: Sampled) -> float:
    """The factor for all cells that makes ranks flat without a tail."""
    straight = replace(module._Bin.of(given, None), slopes=(1.0, 1.0, 1.0))
    return straight.factor(((0.0,), (1.0,)), (0.0, 0.0), 0.0)


def ranks(given: Sampled, drawn: NDArray[np.float64], members: int = MEMBERS) -> NDArray[np.float64]:
    """Frequency of each rank of the truth over that of equal ranks."""
    found = np.bincount((drawn < given.truth).sum(axis=0), weights=given.area, minlength=members + 1)
    return found / found.mean()


class TestFit:
    def test_finds_each_climate_s_factor(self) -> None:
        """Members of one deviation everywhere, errors of the climate's: the factor is their quotient."""
        given = cells(0, lambda c: np.full_like(c, 0.5), np.exp)
        found = fit(given)
        assert len(found.factor) == 20
        np.testing.assert_allclose(found.factor, np.exp(found.log_deviation) / 0.5, rtol=0.08)
        other = cells(1, lambda c: np.full_like(c, 0.5), np.exp)
        np.testing.assert_allclose(ranks(other, other.moved(found)), 1, atol=0.04)
        centre = replace(other, departure=0 * other.departure).moved(found)
        assert np.sqrt(((centre - other.mean) ** 2).mean()) < 0.03, "slopes of 1, of means of deviation 1"
        assert module._reliability(other, found) == pytest.approx(1, abs=0.03)

    def test_single_precision_is_enough(self) -> None:
        """As windows are sampled; what is counted in it stays in it, or nothing would be gained."""
        given = cells(0, lambda c: np.full_like(c, 0.5), np.exp, tails=5.0)
        given = replace(given, chance=np.random.default_rng(4).normal(size=given.mean.shape))
        single = given.single()
        shapes = Shapes((0.1, 1.0), (-0.5, 0.5), *(np.full((2, 2), form) for form in (0.2, 0.6, 0.5)))
        lean = Lean((-0.5, 0.5), np.array([0.01, -0.02]), 0.05, -0.02)
        found, other = (fit(of, by_level(of, fit(of)), shapes, lean) for of in (single, given))
        for name, values in other.to_dict().items():
            np.testing.assert_allclose(getattr(found, name), values, rtol=2e-3, err_msg=name)
        assert single.moved(found).dtype == np.float32
        assert single.area is given.area

    def test_tails_of_errors_become_those_of_members(self) -> None:
        """Where errors have tails, a factor makes ranks flat or spread equal to skill; with a tail, both."""
        given, other = (cells(seed, np.exp, np.exp, tails=4.0, count=200_000) for seed in (0, 1))
        found = fit(given)
        plain = replace(found, factor=(flat(given),) * 20, tail=(0.0,) * 20)
        assert 0.3 < found.tail[0] < 5
        for moved, ratio, off in ((plain, 0.87, 0.06), (found, 1.0, 0.03)):
            assert ranks(other, other.moved(moved))[[0, -1]] == pytest.approx(1, abs=0.03)
            assert module._reliability(other, moved) == pytest.approx(ratio, abs=off)

    def test_ranks_of_many_members_are_flatter(self) -> None:
        """Deviations that the climate does not tell leave a peak and tails, of which the tail takes most."""
        rng = np.random.default_rng(6)
        members, one = 16, np.ones(200_000)
        hidden = np.exp(0.3 * rng.normal(size=one.size))
        departure, truth = rng.normal(size=(members, one.size)), hidden * rng.normal(size=one.size)

        def given(count: int) -> Sampled:
            nothing = np.zeros((count, one.size))
            return sampled(nothing, departure[:count], truth, one, np.zeros((2, one.size)))

        found = fit(given(4))
        plain = replace(found, factor=(flat(given(4)),), tail=(0.0,))
        many = given(members)
        off = [np.abs(ranks(many, many.moved(moved), members) - 1).max() for moved in (found, plain)]
        assert off[0] < 0.075
        assert off[1] > 0.1
        assert module._reliability(many, found) == pytest.approx(1, abs=0.01)
        assert module._reliability(many, plain) < 0.95

    def test_spread_comes_to_skill_where_tails_set_in_far_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that sets in at the deviation itself has too much of the fourth degree before it is enough."""
        rng = np.random.default_rng(8)
        departure, one = rng.normal(size=(16, 12_000)), np.ones(12_000)
        truth = stretched(rng.normal(size=one.size), 3.0, 2.0)
        given = sampled(0 * departure, departure, truth, one, np.zeros((2, one.size)))
        found = {}
        for width in (1.0, module._WIDTH):
            monkeypatch.setattr(module, "_WIDTH", width)
            found[width] = fit(given, shapes=by_shape(given, fit(given)))
        assert module._reliability(given, found[1.0]) < 0.96
        assert module._reliability(given, found[3.0]) == pytest.approx(1, abs=0.01)
        assert found[3.0].tail == (pytest.approx(2, abs=0.4),)

    def test_means_that_know_nothing_give_way_to_the_climate(self) -> None:
        """Where each member's own mean scatters more than the truth does, it goes back to the climate's."""
        rng = np.random.default_rng(3)
        truth, one = 5 + 0.5 * rng.normal(size=60_000), np.ones(60_000)
        mean, departure = 5 + rng.normal(size=(MEMBERS, 60_000)), rng.normal(size=(MEMBERS, 60_000))
        given = sampled(mean, departure, truth, one, np.stack([5 * one, 0 * one]))
        found = fit(given)
        assert found.slope == (pytest.approx(0, abs=0.02),)
        assert found.factor == (pytest.approx(0.5, rel=0.05),)
        np.testing.assert_allclose(ranks(given, given.moved(found)), 1, atol=0.03)
        assert found.log_deviation == (0.0,), "one climate, one knot"

    def test_means_that_know_a_part_keep_a_part(self) -> None:
        """The slope of signal and noise of equal variance is one half."""
        rng = np.random.default_rng(4)
        signal, one = rng.normal(size=60_000), np.ones(60_000)
        mean, departure = signal + rng.normal(size=(MEMBERS, 60_000)), rng.normal(size=(MEMBERS, 60_000))
        truth = signal + 0.3 * rng.normal(size=60_000)
        found = fit(sampled(mean, departure, truth, one, np.zeros((2, 60_000))))
        assert found.slope == (pytest.approx(0.5, abs=0.02),)

    def test_rare_signals_are_told_from_noise_by_their_size(self) -> None:
        """Means of noise, and now and then of a signal ten times as large: small offsets say nothing."""
        rng = np.random.default_rng(7)
        one = np.ones(100_000)
        signal = 3 * rng.normal(size=one.size) * (rng.random(one.size) < 0.05)
        mean = signal + 0.3 * rng.normal(size=(MEMBERS, one.size))
        given = sampled(mean, rng.normal(size=mean.shape), signal, one, np.zeros((2, one.size)))
        found = fit(given)
        assert found.slope == (pytest.approx(0, abs=0.1),)
        assert found.far_slope == (pytest.approx(1, abs=0.1),)
        assert 0.4 <= found.reach[0] <= 1.2

        def error(moved: MemberByMember) -> float:
            offset = replace(given, departure=0 * given.departure).moved(moved) - signal
            return float(np.sqrt((offset**2).mean()))

        straight = replace(found, slope=(0.83,), far_slope=(), reach=())  # signal over signal and noise
        assert error(found) < 0.75 * error(straight)

    def test_what_conservation_changes_counts(self) -> None:
        """A member that conservation brings nearer to the truth needs less spread."""
        given = cells(5, np.ones_like, lambda c: 2 + 0 * c)
        nearer = replace(given, change=np.broadcast_to((given.truth - given.mean[0]) / 2, given.mean.shape))
        far, near = (np.asarray(fit(each).factor) for each in (given, nearer))
        np.testing.assert_allclose(far, 2, rtol=0.08)
        np.testing.assert_allclose(near, 1, rtol=0.08)

    def test_members_that_do_not_differ(self) -> None:
        zero = np.zeros((2, 50))
        found = fit(sampled(zero, zero, np.ones(50), np.ones(50), np.zeros((2, 50))))
        assert np.isfinite([*found.factor, *found.width, *found.slope]).all()

    def test_no_cell_to_judge_by(self) -> None:
        empty = cells(0, np.exp, np.exp, count=0)
        with pytest.raises(ValueError, match="no cell of the windows has a fine value"):
            fit(empty)

    def test_large_cells_count_more(self) -> None:
        small, large = (cells(s, np.ones_like, lambda c, r=r: r + 0 * c) for s, r in ((0, 1.0), (1, 3.0)))
        tiny = replace(small, area=1e-6 * small.area)
        found = fit(Sampled.joined([tiny, large]))
        np.testing.assert_allclose(found.factor, 3, rtol=0.1)


class TestScatter:
    """Members with scales of their own, as a table of shapes says."""

    SHAPES = Shapes(
        (0.01, 3.0),
        (-0.5, 0.5),
        np.array([[0.6, 0.2]] * 2),
        np.array([[0.8, 0.4]] * 2),
        np.array([[0.01] * 2, [3.0] * 2]),
    )

    def given(self, seed: int, count: int = 200_000) -> Sampled:
        plain = cells(seed, np.exp, np.exp, count=count)
        rng = np.random.default_rng(seed + 100)
        error = (plain.truth - plain.mean[0]) * scales(rng.normal(size=count), *self.doubt(plain.climate[1]))
        noise = rng.normal(size=plain.departure.shape)
        return replace(plain, truth=plain.mean[0] + error, chance=noise)

    def doubt(self, climate: Any) -> Any:
        return [np.interp(climate, [-0.5, 0.5], ends) for ends in ([0.6, 0.2], [0.8, 0.4])]

    def test_is_the_climate_s_and_needs_no_tail(self) -> None:
        found = fit(self.given(0), shapes=self.SHAPES)
        expected = self.doubt(np.array(found.log_deviation))
        np.testing.assert_allclose([found.scatter, found.scatter_skew], expected, atol=0.02)
        np.testing.assert_allclose(found.factor, 1, rtol=0.08)
        assert found.tail[0] < 0.05

    def test_makes_ranks_flat_and_spread_equal_to_skill(self) -> None:
        found, other = fit(self.given(0), shapes=self.SHAPES), self.given(1)
        for near in (other, *other.by_climate(3)):
            np.testing.assert_allclose(ranks(near, near.moved(found)), 1, atol=0.04)
        assert module._reliability(other, found) == pytest.approx(1, abs=0.02)

    def test_none_without_shapes(self) -> None:
        found = fit(self.given(2))
        assert (found.scatter, found.scatter_skew) == ((), ())
        assert (found.shift, found.skew, found.near_skew) == ((), (), ())

    def test_each_climate_has_its_tail(self) -> None:
        """Of errors with tails in one half of the climates, which one tail for all serves nowhere."""
        none = Shapes((0.01, 10.0), (0.0,), *np.zeros((2, 2, 1)), np.array([[0.01], [10.0]]))

        def given(seed: int) -> Sampled:
            heavy, light = (cells(seed, np.exp, np.exp, tails=t, count=200_000) for t in (4.0, np.inf))
            calm = heavy.climate[1] < 0
            return Sampled.joined([heavy.of(calm), light.of(light.climate[1] >= 0)])

        found, alike, other = fit(given(0), shapes=none), fit(given(0)), given(1)
        knots, tails = np.array(found.log_deviation), np.array(found.tail)
        assert (tails[knots < -0.05] > 0.7).all()
        assert (tails[knots > 0.05] < 0.3).all()
        assert len(set(alike.tail)) == 1
        by_half = [other.of(other.climate[1] < -0.05), other.of(other.climate[1] > 0.05)]
        of_each, of_all = ([module._reliability(half, f) for half in by_half] for f in (found, alike))
        np.testing.assert_allclose(of_each, 1, atol=0.025)
        assert of_all[0] < 0.95

    def test_ranks_are_flat_where_the_calmest_cells_differ_most(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A deviation that is proportional to the climate's, whose logarithm goes far down in a twentieth."""
        none = Shapes((0.01, 10.0), (0.0,), *np.zeros((2, 2, 1)), np.array([[0.01], [10.0]]))

        def given(seed: int) -> Sampled:
            plain = cells(seed, np.ones_like, np.ones_like, count=400_000)
            c = np.maximum(plain.climate[1], -0.9)
            c = c - 3 * (c == -0.9) * np.random.default_rng(seed + 10).uniform(size=c.size)
            error = np.exp(c) * (plain.truth - plain.mean[0])
            return replace(plain, truth=plain.mean[0] + error, climate=np.stack([0 * c, c]))

        other = given(1)
        found = fit(given(0), shapes=none)
        assert len(found.factor) == 2 * (20 - 1 + 4) - 1
        at = -0.9 - np.linspace(0, 2.7, 7)
        factor = np.interp(at, found.log_deviation, found.factor)
        np.testing.assert_allclose(factor, np.exp(at), rtol=0.3)
        calm = other.of(other.climate[1] < np.quantile(other.climate[1], 0.1))
        off = [np.abs(ranks(one, one.moved(found)) - 1).max() for one in calm.by_climate(4)]
        assert max(off) < 0.1
        monkeypatch.setattr(module, "_CALMEST", 1)
        alike = fit(given(0), shapes=none)
        off = [np.abs(ranks(one, one.moved(alike)) - 1).max() for one in calm.by_climate(4)]
        assert max(off) > 0.3, "one factor for all of them is too large for some and too small for others"


class TestLean:
    def test_ranks_are_flat_and_spread_is_skill_with_the_lean_as_given(self) -> None:
        """Of errors that lean so, by the climate."""
        lean = Lean((-0.5, 0.5), np.array([0.3, -0.2]), 0.08, -0.05)

        def given(seed: int) -> Sampled:
            plain = cells(seed, np.exp, np.exp, count=200_000)
            width, error = module._WIDTH * np.exp(plain.climate[1]), plain.truth - plain.mean[0]
            shift = np.interp(plain.climate[1], lean.log_deviation, lean.shift)
            leaning = stretched(error, width, 0.0, lean.skew, lean.near_skew)
            return replace(plain, truth=plain.mean[0] + shift + leaning)

        found, other, plain = fit(given(0), lean=lean), given(1), fit(given(0))
        np.testing.assert_allclose(
            found.shift, np.interp(found.log_deviation, lean.log_deviation, lean.shift), rtol=1e-4
        )
        assert (set(found.skew), set(found.near_skew)) == ({0.08}, {-0.05})
        np.testing.assert_allclose(found.factor, 1, rtol=0.08)
        for near in other.by_climate(3):
            np.testing.assert_allclose(ranks(near, near.moved(found)), 1, atol=0.04)
        off = [np.abs(ranks(near, near.moved(plain)) - 1).max() for near in other.by_climate(3)]
        assert off[0] > 0.2, "not so without it"
        assert module._reliability(other, found) == pytest.approx(1, abs=0.02)


class TestLevels:
    """Errors that are larger where the coarse field is high, in one climate."""

    KNOTS = np.array([-1.0, 3.0])

    def given(self, seed: int) -> Sampled:
        rng = np.random.default_rng(seed)
        count = 200_000
        level = rng.uniform(-1, 3, count)
        truth = np.interp(level, self.KNOTS, [0.5, 1.5]) * rng.normal(size=count)
        one, departure = np.ones(count), rng.normal(size=(MEMBERS, count))
        return replace(sampled(0 * departure, departure, truth, one, np.zeros((2, count))), level=level)

    def fitted(self, cells: Sampled) -> MemberByMember:
        found = fit(cells)
        for _ in range(module.ROUNDS - 1):
            found = fit(cells, by_level(cells, found))
        return found

    def test_spread_equals_skill_at_each(self) -> None:
        given, other = self.given(0), self.given(1)
        found, plain = self.fitted(given), fit(given)
        assert len(found.level) == 7
        expected = np.interp(found.level, self.KNOTS, [0.5, 1.5])
        np.testing.assert_allclose(np.array(found.level_factor) * found.factor[0], expected, rtol=0.06)
        for level in (-0.5, 1.0, 2.5):
            near = other.of(np.abs(other.level - level) < 0.3)
            assert module._reliability(near, found) == pytest.approx(1, abs=0.03)
        low = other.of(other.level < 0)
        assert module._reliability(low, plain) > 1.25
        np.testing.assert_allclose(ranks(other, other.moved(found)), 1, atol=0.03)

    def test_and_in_the_quantity_s_own_units(self) -> None:
        """There the highest levels are nearly all of spread and skill."""
        given = self.given(2)

        def own(moved: MemberByMember) -> float:
            drawn, truth = (np.exp(given.level + 0.1 * r) for r in (given.moved(moved), given.truth))
            spread = (drawn.var(axis=0, ddof=1) * (1 + 1 / MEMBERS)).sum()
            return float(np.sqrt(spread / ((drawn.mean(axis=0) - truth) ** 2).sum()))

        assert own(fit(given)) < 0.87
        assert own(self.fitted(given)) == pytest.approx(1, abs=0.03)

    def test_factors_are_one_on_the_average(self) -> None:
        given = self.given(3)
        knots, factors = by_level(given, fit(given))
        log_factor = np.log(np.interp(given.level, knots, factors))
        assert np.average(log_factor, weights=given.area) == pytest.approx(0, abs=1e-9)

    def test_levels_and_climates_that_nearly_meet(self) -> None:
        given = self.given(5)
        rng = np.random.default_rng(6)
        near = 2 + 1e-7 * rng.random((2, given.truth.size))
        close = replace(given, level=near[0], climate=np.stack([0 * near[1], near[1]]))
        found = fit(close, by_level(close, fit(close)))
        assert (len(found.level), len(found.log_deviation)) == (7, 20)

    def test_of_one_level_or_of_no_spread_are_one(self) -> None:
        given = self.given(4)
        one = replace(given, level=0 * given.level)
        assert by_level(one, fit(one)) == ((0.0,), (1.0,))
        still = replace(given, departure=0 * given.departure)
        np.testing.assert_allclose(by_level(still, fit(still))[1], 1, rtol=1e-9)


class TestBands:
    def given(self, departures: list[float], errors: list[float]) -> Any:
        return SimpleNamespace(squares_by_band=lambda _: np.array([departures, errors]))

    def test_departures_become_as_large_as_errors_in_each(self) -> None:
        windows = [self.given([1.0, 2.0, 8.0, 1.0], [2.0, 1.0, 2.0, 1.0]), self.given([1.0] * 4, [1.0] * 4)]
        np.testing.assert_allclose(by_band(windows), np.sqrt([3 / 2, 2 / 3, 3 / 9, 1.0]))

    def test_are_bounded_and_one_where_nothing_is_known(self) -> None:
        assert by_band([self.given([1.0, 1.0, 0.0, 0.0], [99.0, 0.0, 1.0, 0.0])]) == (2.0, 0.5, 1.0, 1.0)


class TestCalibrate:
    def test_many_windows_have_some_of_many_members(
        self, tiny_model: Downscaler, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every second, of each place, on which the scatter is found; the rest is of the first of all."""
        asked: list[int] = []
        judged: list[tuple[int, ...]] = []

        class Window:
            def __init__(self, _: Any, pairs: Any, days: Any, number: int, __: Any, members: int, *___: Any):
                self.number, self.members = number, members
                asked.append(members)

            def first(self, members: int) -> Any:
                found = copy(self)
                found.members = members
                return found

            def squares_by_band(self, levels: int) -> NDArray[np.float64]:
                assert self.members == 3
                return np.ones((2, levels))

            def by_band(self, gains: Any) -> Window:
                return self

            def cells(self, fitted: MemberByMember | None = None) -> Sampled:
                rng = np.random.default_rng(self.number)
                departure, one = rng.normal(size=(self.members, 300)), np.ones(300)
                return sampled(0 * departure, departure, rng.normal(size=300), one, np.zeros((2, 300)))

        def shape(given: Sampled, fitted: MemberByMember) -> Shapes:
            judged.append((*given.mean.shape, len(fitted.scatter)))
            return Shapes((1.0,), (0.0,), *(np.array([[form]]) for form in (0.25, 0.75, 0.5)))

        def lean(given: Sampled, fitted: MemberByMember, many: Sampled, response: Any) -> Any:
            assert response == (16, 5 * 300), "of windows 0, 11, 12, 23 and 24, which are of both places"
            judged.append((*given.mean.shape, len(fitted.skew)))
            return Lean((0.0,), np.array([0.25]), 0.0625, -0.125)

        monkeypatch.setattr(module, "window_of", Window)
        monkeypatch.setattr(module, "by_shape", shape)
        monkeypatch.setattr(module, "by_lean", lean)
        monkeypatch.setattr(module, "lean_response", lambda drawn, fitted: drawn(fitted).mean.shape)
        monkeypatch.setattr(module, "places", lambda *_: 2)
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        monkeypatch.setattr(fitting, "_BORDER", 8)
        given: dict[str, Any] = {"evaluations": ("fast",), "members": 3, "crop": 48, "crops": 4}
        for windows, ranked in ((26, [[0.25], [0.75], [0.25], [0.0625], [-0.125]]), (24, [[]] * 5)):
            asked.clear()
            judged.clear()
            found = calibrate(fast, *records, windows=windows, **given).card.member_by_member["fast"]
            names = ("scatter", "scatter_skew", "shift", "skew", "near_skew")
            assert [found[name] for name in names] == ranked
            assert (found["tail"] == [0.5]) == (windows == 26)
            if windows == 24:
                assert asked == [3] * 24
                assert judged == []
                continue
            many = np.flatnonzero(np.array(asked) == 16)
            assert many.tolist() == [0, 3, 4, 7, 8, 11, 12, 15, 16, 19, 20, 23, 24], "of both places in turn"
            each = [(16, 13 * 300), (3, 26 * 300)]
            assert judged == [(*shape, before) for before in (0, 1, 1, 1) for shape in each]

    @pytest.mark.parametrize("of", range(1, 8))
    @pytest.mark.parametrize(
        ("windows", "most", "every"), [(25, 48, 2), (48, 48, 2), (96, 48, 2), (120, 48, 3), (96, 12, 8)]
    )
    def test_some_windows_lie_in_every_place(self, windows: int, most: int, every: int, of: int) -> None:
        some = module._some(windows, of, most)
        in_place = np.bincount(np.arange(windows) % of, weights=some, minlength=of)
        assert in_place.min() >= windows // of // every
        assert np.ptp(in_place) <= 1
        assert some.sum() <= most + 1

    def test_a_killed_one_goes_on_to_the_same_fit(
        self, tiny_model: Downscaler, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fitting, "_BORDER", 8)
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        given: dict[str, Any] = {"members": 2, "crop": 48, "crops": 4, "windows": 3, "evaluations": ("fast",)}
        whole = calibrate(fast, *records, **given).card
        drawn: list[int] = []

        def killed(done: int) -> None:
            drawn.append(done)
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            calibrate(fast, *records, folder=tmp_path, report=killed, **given)
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        assert len(kept) == 2
        assert calibrate(fast, *records, folder=tmp_path, **given).card == whole
        assert len(list(tmp_path.iterdir())) == 3
        told = {"4": whole.training["calibration"]["fast"]}
        other = replace(
            fast.card,
            member_by_member={"4": whole.member_by_member["fast"]},
            training={**fast.card.training, "calibration": told},
        )
        again = calibrate(fast.with_card(other), *records, folder=tmp_path, **given).card
        assert again.member_by_member["fast"] == whole.member_by_member["fast"]
        assert len(list(tmp_path.iterdir())) == 3, "moves of before do not count"
        assert all(path.stat().st_mtime_ns == at for path, at in kept.items())

    def test_windows_are_wide_and_of_days_spread_evenly(
        self, tiny_model: Downscaler, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[int, ...]] = []
        rounds: list[MemberByMember | None] = []
        multiplied: list[Any] = []

        class Window:
            def __init__(self, model: Any, pairs: Any, days: Any, number: int, *options: Any) -> None:
                asked.append((int(days[number]), *options[:3]))
                self.number = number

            def squares_by_band(self, levels: int) -> NDArray[np.float64]:
                return np.array([[1.0] * levels, [0.25 * self.number] * levels])

            def by_band(self, gains: Any) -> Window:
                multiplied.append(gains)
                return self

            def first(self, members: int) -> Window:
                return self

            def cells(self, fitted: MemberByMember | None = None) -> Sampled:
                rounds.append(fitted)
                return cells(self.number, np.ones_like, lambda c: 2 + 0 * c, count=5_000)

        monkeypatch.setattr(fitting, "_BORDER", 8)
        monkeypatch.setattr(module, "window_of", Window)
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        done: list[int] = []
        model = calibrate(
            fast, *records, evaluations=("fast",), members=4, crop=48, windows=4, report=done.append
        )
        assert done == [1, 2, 3, 4, 5, 6, 7, 8, 9, 9], "four windows, and five rounds of the fit"
        assert model.card.inflation == fast.card.inflation
        assert list(model.card.member_by_member) == ["fast"]
        np.testing.assert_allclose(model.card.member_by_member["fast"]["factor"], 2, rtol=0.2)
        gains = np.sqrt([1.5 / 4] * 4)
        np.testing.assert_allclose(model.card.member_by_member["fast"]["band_gain"], gains, rtol=1e-4)
        np.testing.assert_allclose(multiplied, [gains] * 4)
        assert [day for day, *_ in asked] == [3, 11, 18, 26], "evenly over the thirty"
        assert {row[1:] for row in asked} == {(Sampler("fast", 2), 4, 768)}
        assert [r is None for r in rounds] == [True] * 4 + [False] * 20, "each round goes on from the last"
        assert len({id(r) for r in rounds}) == 6, "and what came of the last is told"

    def test_windows_of_a_number_begin_with_its_own_noise_and_leave_others_alone(
        self, tiny_model: Downscaler, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun: list[Any] = []

        def window(model: Downscaler, *_: Any) -> Any:
            begun.append((dict(model.card.inflation), dict(model.card.member_by_member)))
            found = SimpleNamespace(
                cells=lambda *_: cells(0, np.ones_like, np.ones_like, count=500),
                squares_by_band=lambda levels: np.ones((2, levels)),
            )
            found.by_band = found.first = lambda _: found
            return found

        monkeypatch.setattr(fitting, "_BORDER", 8)
        monkeypatch.setattr(module, "window_of", window)
        moved = MemberByMember((0.0,), (1.0,), (0.1,), (1.0,), (0.0,)).to_dict()
        kept = {"inflation": {"2": [0.5], "8": [0.7]}, "member_by_member": {"2": moved, "8": moved}}
        given: dict[str, Any] = {"evaluations": (2,), "members": 2, "crops": 4, "crop": 48}
        old = tiny_model.with_card(replace(tiny_model.card, **kept))
        done: list[int] = []
        card = calibrate(old, *records, windows=1, report=done.append, **given).card
        assert done == [5, 6, 7, 8, 9, 10, 10]
        assert begun == [({"8": [0.7], "2": card.inflation["2"]}, {"8": moved})]
        assert card.inflation["8"] == [0.7]
        assert card.member_by_member["8"] == moved
        assert card.inflation["2"] != [0.5]
        assert card.member_by_member["2"] != moved
        card = calibrate(old, *records, windows=0, **given).card
        assert card.member_by_member == {"8": moved}, "none without windows, and none of before"
