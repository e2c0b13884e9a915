"""The inflation that makes spread equal skill at every scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xdownscale import Tiling, predict
from xdownscale import calibration as module
from xdownscale.calibration import calibrate
from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import G5NR, MERRA2, refined
from xdownscale.models.downscaler import Downscaler
from xdownscale.nn.denoiser import Second
from xdownscale.noise import Spectrum
from xdownscale.training.pairs import Pairs, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr

    from xdownscale.models.card import Card


class Known(nn.Module):
    """The flow's exact denoiser where the residual is white noise of a known spread: E[e - r | x_t]."""

    strides, multiple = (2, 4, 8), 8

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = spread
        self.calls = 0
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(
        self, x_t: Tensor, level: Tensor, condition: Tensor, context: Sequence[Tensor] | None
    ) -> Tensor:
        self.calls += 1
        t = level.view(-1, 1, 1, 1)
        s2 = self.spread**2
        return x_t * (t - (1 - t) * s2) / ((1 - t) ** 2 * s2 + t**2)


def model_of(card: Card, spread: float) -> Downscaler:
    model = Downscaler.build(card)
    model.denoiser = Known(spread)  # type: ignore[assignment]
    return model


@pytest.fixture
def card(make_card: Callable[..., Card]) -> Card:
    denoiser = make_card().architecture["denoiser"] | {"context": []}
    return make_card(
        architecture={"encoder": None, "denoiser": denoiser, "climatology": None},
        inflation={},
        upsampling="linear",
    )


@pytest.fixture
def white(records: tuple[xr.DataArray, xr.DataArray], card: Card) -> tuple[xr.DataArray, xr.DataArray]:
    """Three days that are a constant, and a truth whose residual is white noise of unit spread."""
    model = Downscaler.build(card)
    coarse, fine = (da.isel(time=slice(0, 3)).copy() for da in records)
    coarse[:] = 0.2
    z = model.scaling.forward(0.2)
    noise = np.random.default_rng(0).normal(size=fine.shape)
    fine[:] = np.asarray(model.scaling.inverse(z + card.residual_scale * noise))
    return coarse, fine


Tried = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


@pytest.fixture
def calibrated(
    white: tuple[xr.DataArray, xr.DataArray], card: Card, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Downscaler, Tried]]:
    """Calibrate on small crops; with the factors tried, and the spread and error they gave."""

    def run(spread: float, **options: Any) -> tuple[Downscaler, Tried]:
        tried: Tried = []
        inner = module._by_wavenumber

        def watched(*args: Any) -> tuple[np.ndarray, np.ndarray]:
            spread, error = inner(*args)
            tried.append((args[-1], spread, error))
            return spread, error

        monkeypatch.setattr(module, "_BORDER", 8)
        monkeypatch.setattr(module, "_by_wavenumber", watched)
        settings = {"evaluations": (4,), "members": 4, "crops": 16, "crop": 64} | options
        return calibrate(model_of(card, spread), *white, **settings), tried

    return run


class TestCalibrate:
    @pytest.mark.parametrize("spread", [0.7, 0.8, 1.4])
    def test_wrong_spread_at_all_scales(self, calibrated: Callable[..., Any], spread: float) -> None:
        """The sampler is linear here: the third round finds spread 1, and an error of 1 + 1 / M."""
        model, tried = calibrated(spread)
        factors = np.array(model.card.inflation["4"])
        assert len(factors) == 17
        (ones, first, _), _, (_, third, error) = tried
        assert (ones == 1).all()
        assert np.median(third) == pytest.approx(1.0, rel=0.03)
        assert np.median(error) == pytest.approx(1.25, rel=0.03)
        np.testing.assert_allclose(np.median(factors), 1 / np.sqrt(np.median(first)), rtol=0.05)
        assert np.mean((factors - 1) * (1 - spread) > 0) > 0.9

    def test_wrong_spread_at_small_scales(
        self, calibrated: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Noise too smooth for a white truth is raised where it lacks, and there alone."""
        short = Spectrum(tuple(np.where(np.arange(33) < 16, 1.0, 0.64)), 0.0, 16)
        monkeypatch.setattr(Downscaler, "inflated", lambda _, inflation: short.kernel(inflation))
        model, _ = calibrated(1.0, evaluations=(32,))
        factors = np.array(model.card.inflation["32"])
        assert factors[10:].mean() / factors[:6].mean() == pytest.approx(1 / 0.8, rel=0.05)

    def test_exact_denoiser_needs_little(self, calibrated: Callable[..., Any]) -> None:
        """With enough steps the known denoiser has the truth's spread: 1 to the noise of the score."""
        model, tried = calibrated(1.0, evaluations=(32,))
        assert np.median(model.card.inflation["32"]) == pytest.approx(1.0, abs=0.02)
        assert tried[0][1].mean() == pytest.approx(1.0, abs=0.03)

    def test_one_factor_for_each_number(self, calibrated: Callable[..., Any]) -> None:
        model, tried = calibrated(0.7, evaluations=(2, 8))
        assert sorted(model.card.inflation) == ["2", "8"]
        two, eight = (np.mean(model.card.inflation[n]) for n in ("2", "8"))
        assert two > eight > 1.0
        assert len(tried) == 6
        assert model.denoiser.calls == (2 + 8) * 3 * 4 * 4 + 2 * 4  # and the means of two days
        assert model.inflation(Sampler("midpoint", 8)) == model.card.inflation["8"]

    def test_days_are_as_correlated_as_what_is_left_unexplained(
        self, white: tuple[xr.DataArray, xr.DataArray], card: Card, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A day's noise is 0.7 of the day before's; the mean of a residual that nothing tells is zero."""
        monkeypatch.setattr(module, "_BORDER", 8)
        coarse, fine = white
        model, rng = model_of(card, 1.0), np.random.default_rng(1)
        e = [rng.normal(size=fine.shape[1:])]
        for _ in range(2):
            e.append(0.7 * e[-1] + np.sqrt(0.51) * rng.normal(size=fine.shape[1:]))
        z = model.scaling.forward(0.2)
        fine[:] = np.asarray(model.scaling.inverse(z + card.residual_scale * np.stack(e)))
        found = calibrate(model, coarse, fine, evaluations=(2,), members=2, crops=8, crop=64)
        assert found.card.day_correlation == pytest.approx(0.7, abs=0.03)
        apart = fine.isel(time=[0, 2])
        lone = calibrate(model, coarse, apart, evaluations=(2,), members=2, crops=4, crop=64)
        assert lone.card.day_correlation == 0.0

    def test_reproducible(self, calibrated: Callable[..., Any]) -> None:
        torch.manual_seed(1)
        a, _ = calibrated(0.7)
        torch.manual_seed(2)
        b, _ = calibrated(0.7)
        c, _ = calibrated(0.7, seed=1)
        assert a.card.inflation == b.card.inflation
        assert a.card.inflation != c.card.inflation

    def test_crop_too_small(self, white: tuple[xr.DataArray, xr.DataArray], card: Card) -> None:
        with pytest.raises(ValueError, match="crop is 96: expected more than 96, since 48 cells a side"):
            calibrate(model_of(card, 1.0), *white, crop=96)

    def test_gaps_do_not_count(
        self, white: tuple[xr.DataArray, xr.DataArray], calibrated: Callable[..., Any]
    ) -> None:
        plain, _ = calibrated(0.7)
        holes = np.random.default_rng(3).random(white[1].shape) < 0.3
        white[1].values[holes] = np.nan
        gappy, tried = calibrated(0.7)
        assert np.isfinite(tried).all()
        ratio = np.divide(gappy.card.inflation["4"], plain.card.inflation["4"])
        assert np.median(ratio) == pytest.approx(1.0, abs=0.08)

    def test_with_an_encoder(
        self,
        records: tuple[xr.DataArray, xr.DataArray],
        tiny_model: Downscaler,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(module, "_BORDER", 8)
        coarse, fine = records
        model = calibrate(
            tiny_model, coarse, fine.isel(time=[5, 9]), evaluations=(2,), members=2, crops=4, crop=48
        )
        assert list(model.card.inflation) == ["2"]
        assert all(0.333 <= f <= 3 for f in model.card.inflation["2"])
        assert replace(model.card, inflation=tiny_model.card.inflation) == tiny_model.card
        assert model.denoiser is tiny_model.denoiser


class TestReliability:
    def test_of_a_reliable_ensemble(self) -> None:
        assert module._reliability(np.full(3, 0.7), np.full(3, 0.7 * 1.25), 4) == pytest.approx(1.0)

    def test_half_the_spread(self) -> None:
        assert module._reliability(np.full(3, 0.25), np.full(3, 1.0 + 0.25 / 4), 4) == pytest.approx(0.5)

    def test_less_error_than_the_members_scatter(self) -> None:
        found = module._reliability(np.ones(1), np.full(1, 0.1), 4)
        assert np.isfinite(found).all()
        assert found > 5

    def test_no_spread_at_all(self) -> None:
        assert module._reliability(np.zeros(1), np.ones(1), 4) == pytest.approx(0.0, abs=1e-12)


class TestNext:
    def test_first_step_is_cautious(self) -> None:
        assert module._next([np.ones(2)], [np.array([0.81, 1.21])]) == pytest.approx([1 / 0.9, 1 / 1.1])

    @pytest.mark.parametrize("power", [1.0, 1.7, 3.5])
    def test_lands_where_the_ratio_is_a_power_of_the_factor(self, power: float) -> None:
        tried = [np.ones(2), np.array([1.1, 1.2])]
        found = [np.array([0.8, 0.7]) * f**power for f in tried]
        assert module._next(tried, found) == pytest.approx(np.array([0.8, 0.7]) ** (-1 / power))

    @pytest.mark.parametrize(("ratio", "factor"), [(1e-3, 1.5), (1e3, 1 / 1.5)])
    def test_steps_are_bounded(self, ratio: float, factor: float) -> None:
        assert module._next([np.ones(1)], [np.array([ratio])]) == pytest.approx(factor)

    def test_factors_are_bounded(self) -> None:
        assert module._next([np.array([2.9])], [np.array([0.1])]) == pytest.approx(3.0)


def test_waves_longer_than_a_coarse_cell_are_not_fitted() -> None:
    assert module._free((MERRA2, G5NR)) == 4  # 8 cells; the next ring has 10.7


class TestAsDrawn:
    """What the one factor of `fast` is fitted to."""

    def test_is_of_conserved_fields_as_predict_gives_them(
        self, tiny_model: Downscaler, records: tuple[xr.DataArray, xr.DataArray]
    ) -> None:
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        model = fast.with_card(replace(fast.card, inflation={"fast": [1.3]}))
        pairs = whole(model, *records)
        days = np.array([7])
        spread, error = module._as_drawn(fast, pairs, days, 3, 10_000, 5, np.array([1.3]))
        given: dict[str, Any] = {"members": 3, "seed": 5, "sampler": "fast", "domain_check": "ignore"}
        coarse, fine = records[0], records[1].isel(time=7)
        drawn = predict(coarse, model, tiling=Tiling(patch=None), **given).isel(time=7)
        x, y = (np.log(f.values.astype(float) + model.card.scaling["floor"]) for f in (drawn, fine))
        area = refined(pairs.coarse.grid, model.fine).area * np.ones(y.shape)
        deviation = model.scaling.to_dict()["std"]
        for found, squares in ((spread, x.var(axis=0, ddof=1)), (error, (x.mean(axis=0) - y) ** 2)):
            assert float(found[0]) == pytest.approx(float((area * squares).sum()) / deviation**2, rel=1e-4)

    def test_windows_are_wide_and_of_different_days(
        self,
        tiny_model: Downscaler,
        records: tuple[xr.DataArray, xr.DataArray],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        asked: list[tuple[list[int], int]] = []

        def judged(model: Any, pairs: Any, days: Any, members: int, side: int, *_: Any) -> Any:
            asked.append((days.tolist(), side))
            return np.ones(1), np.full(1, 1 + 1 / members)

        monkeypatch.setattr(module, "_BORDER", 8)
        monkeypatch.setattr(module, "_as_drawn", judged)
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        model = calibrate(fast, *records, evaluations=("fast",), members=2, crops=8, crop=48)
        assert model.card.inflation["fast"] == [1.0], "spread is skill already"
        days, side = asked[0]
        assert len(set(days)) == len(days) == 4
        assert side == 768
        assert asked == [asked[0]] * 3, "the same windows in every round"

    def test_windows_lie_inside_and_differ(self, tiny_model: Downscaler) -> None:
        grid = MERRA2.window((216, 12), (352, 13))
        found = [module._window(grid, G5NR, 48, np.random.default_rng(n)) for n in range(20)]
        assert {w.shape for w in found} == {(6, 5)}, "48 cells of 1/16 degree, in cells of 1/2 and 5/8"
        assert len({(w.y.start, w.x.start) for w in found}) > 10
        for w in found:
            assert 216 <= w.y.start <= 222
            assert 352 <= w.x.start <= 360

    def test_an_encoder_of_fine_days_is_shown_them(
        self,
        tiny_model: Downscaler,
        records: tuple[xr.DataArray, xr.DataArray],
        monkeypatch: pytest.MonkeyPatch,
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
