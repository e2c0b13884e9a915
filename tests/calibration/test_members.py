"""Members moved about their mean: flat ranks, and spread that equals skill, at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from xdownscale import Tiling, predict
from xdownscale.calibration import calibrate, fitting
from xdownscale.calibration import members as module
from xdownscale.calibration.members import Sampled, fit
from xdownscale.grid import G5NR, MERRA2, refined
from xdownscale.models.downscaler import Downscaler
from xdownscale.models.members import stretched
from xdownscale.nn.denoiser import Second
from xdownscale.training.pairs import Pairs, Record

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

Records = tuple["xr.DataArray", "xr.DataArray"]
MEMBERS = 4


def cells(seed: int, departs: Any, errs: Any, *, tails: float = np.inf, count: int = 60_000) -> Sampled:
    """Gaussian departures and Student errors, each with its deviation by the climate's logarithm."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(-1, 1, count)
    error = rng.standard_t(tails, count) if np.isfinite(tails) else rng.normal(size=count)
    mean = np.broadcast_to(rng.normal(size=count), (MEMBERS, count))
    departure = departs(c) * rng.normal(size=(MEMBERS, count))
    return Sampled(mean, departure, mean[0] + errs(c) * error, c, rng.uniform(0.5, 1, count))


def ranks(given: Sampled, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frequency of each rank of the truth over that of equal ranks."""
    found = np.bincount((drawn < given.truth).sum(axis=0), weights=given.area, minlength=MEMBERS + 1)
    return found / found.mean()


class TestFit:
    def test_finds_each_climate_s_factor(self) -> None:
        """Members of one deviation everywhere, errors of the climate's: the factor is their quotient."""
        given = cells(0, lambda c: np.full_like(c, 0.5), np.exp)
        found = fit(given)
        assert len(found.factor) == 10
        np.testing.assert_allclose(found.factor, np.exp(found.log_deviation) / 0.5, rtol=0.08)
        other = cells(1, lambda c: np.full_like(c, 0.5), np.exp)
        factor, width = found.at(other.log_deviation)
        drawn = other.mean + factor * stretched(other.departure, width)
        np.testing.assert_allclose(ranks(other, drawn), 1, atol=0.04)
        assert module._reliability(other, found) == pytest.approx(1, abs=0.03)

    def test_tails_of_errors_become_those_of_members(self) -> None:
        """Where errors have tails, a factor makes ranks flat or spread equal to skill; with a width, both."""
        given, other = (cells(seed, np.exp, np.exp, tails=4.0, count=200_000) for seed in (0, 1))
        found = fit(given)
        for tail, ratio in ((1e6, 0.87), (None, 1.0)):
            widths = found.width if tail is None else (tail,) * 10
            factors = found.factor
            if tail is not None:
                factors = (module._flat(given, tail),) * 10
            moved = replace(found, factor=factors, width=widths)
            factor, width = moved.at(other.log_deviation)
            drawn = other.mean + factor * stretched(other.departure, width)
            assert ranks(other, drawn)[[0, -1]] == pytest.approx(1, abs=0.03)
            assert module._reliability(other, moved) == pytest.approx(ratio, abs=0.06), tail

    def test_means_that_differ_count_as_spread(self) -> None:
        """Where each member's own mean scatters as the truth does, departures go."""
        rng = np.random.default_rng(3)
        mean, truth = rng.normal(size=(MEMBERS, 30_000)), rng.normal(size=30_000)
        departure = rng.normal(size=mean.shape)
        one = np.ones(30_000)
        found = fit(Sampled(mean, departure, truth, 0 * one, one))
        assert found.factor == (pytest.approx(0.02, abs=0.15),)
        assert found.log_deviation == (0.0,), "one climate, one knot"

    def test_members_that_do_not_differ(self) -> None:
        zero = np.zeros((2, 50))
        found = fit(Sampled(zero, zero, np.ones(50), np.zeros(50), np.ones(50)))
        assert np.isfinite([*found.factor, *found.width]).all()

    def test_no_cell_to_judge_by(self) -> None:
        empty = cells(0, np.exp, np.exp, count=0)
        with pytest.raises(ValueError, match="no cell of the windows has a fine value"):
            fit(empty)

    def test_large_cells_count_more(self) -> None:
        small, large = (cells(s, np.ones_like, lambda c, r=r: r + 0 * c) for s, r in ((0, 1.0), (1, 3.0)))
        tiny = replace(small, area=1e-6 * small.area)
        found = fit(Sampled.joined([tiny, large]))
        np.testing.assert_allclose(found.factor, 3, rtol=0.08)


class TestWindows:
    def test_are_of_conserved_fields_as_predict_gives_them(
        self, tiny_model: Downscaler, records: Records
    ) -> None:
        """Whatever is on the card for `fast`, the fit is to draws without it."""
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        marked = {"log_deviation": [0.0], "factor": [0.1], "width": [1.0]}
        old = fast.with_card(replace(fast.card, inflation={"fast": [2.0]}, member_by_member={"fast": marked}))
        pairs = whole(fast, *records)
        found = module._window_of(old, pairs, np.array([7]), 0, 3, 10_000, 5)
        given: dict[str, Any] = {"members": 3, "seed": 5, "sampler": "fast", "domain_check": "ignore"}
        drawn, mean = (
            predict(records[0], fast, tiling=Tiling(patch=None), product=product, **given).isel(time=7)
            for product in ("draw", "mean")
        )

        def scaled(field: xr.DataArray) -> NDArray[np.float64]:
            z = fast.scaling.forward(field.values.astype(float)) / fast.card.residual_scale
            return np.asarray(z)[..., ::3, ::3].reshape(*field.shape[:-2], -1)

        np.testing.assert_allclose(found.mean[:1], scaled(mean), atol=2e-4)
        np.testing.assert_allclose(found.mean + found.departure, scaled(drawn), atol=2e-4)
        np.testing.assert_allclose(found.truth, scaled(records[1].isel(time=7)), atol=2e-4)
        area = refined(pairs.coarse.grid, fast.fine).area * np.ones(records[1].shape[1:])
        np.testing.assert_array_equal(found.area, area[::3, ::3].ravel())

    def test_cells_that_are_not_known_are_left_out(self, tiny_model: Downscaler, records: Records) -> None:
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        coarse, fine = records[0], records[1].copy()
        fine[7, :30] = np.nan
        found, full = (
            module._window_of(fast, whole(fast, coarse, f), np.array([7]), 0, 2, 10_000, 5)
            for f in (fine, records[1])
        )
        assert np.isfinite(found.truth).all()
        assert len(full.truth) - len(found.truth) == 10 * len(range(0, fine.shape[2], 3))

    def test_are_wide_and_of_different_days(
        self, tiny_model: Downscaler, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[int, int, int]] = []

        def window(model: Any, pairs: Any, days: Any, number: int, members: int, side: int, seed: int) -> Any:
            asked.append((int(days[number]), members, side))
            return cells(number, np.ones_like, lambda c: 2 + 0 * c, count=5_000)

        monkeypatch.setattr(fitting, "_BORDER", 8)
        monkeypatch.setattr(module, "_window_of", window)
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        model = calibrate(fast, *records, evaluations=("fast",), members=2, crops=4, crop=48)
        assert model.card.inflation == {}
        assert model.card.calibrated == ("fast",)
        np.testing.assert_allclose(model.card.member_by_member["fast"]["factor"], 2, rtol=0.15)
        assert len({day for day, *_ in asked}) == len(asked) == 4
        assert {row[1:] for row in asked} == {(2, 768)}

    def test_lie_inside_and_differ(self, tiny_model: Downscaler) -> None:
        grid = MERRA2.window((216, 12), (352, 13))
        found = [module._window(grid, G5NR, 48, np.random.default_rng(n)) for n in range(20)]
        assert {w.shape for w in found} == {(6, 5)}, "48 cells of 1/16 degree, in cells of 1/2 and 5/8"
        assert len({(w.y.start, w.x.start) for w in found}) > 10
        for w in found:
            assert 216 <= w.y.start <= 222
            assert 352 <= w.x.start <= 360

    def test_an_encoder_of_fine_days_is_shown_them(
        self, tiny_model: Downscaler, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pairs = whole(tiny_model, *records)
        window = refined(pairs.coarse.grid, tiny_model.fine)
        monkeypatch.setattr(Downscaler, "past", property(lambda _: 3))
        found = module._past(pairs, 2, window, tiny_model)
        assert found.instants == tuple(pairs.fine.instants[2] - lag * 86_400_000_000 for lag in (3, 2, 1))
        assert np.isnan(found.values[0]).all(), "there is no day before the first"
        np.testing.assert_array_equal(found.values[1:], records[1].values[:2])


def whole(model: Downscaler, coarse: xr.DataArray, fine: xr.DataArray) -> Pairs:
    pairs = Pairs.of(Record.of(coarse, model.coarse), Record.of(fine, model.fine))
    return replace(pairs, coarse=pairs.coarse.within(pairs.inside(model.coarse)))
