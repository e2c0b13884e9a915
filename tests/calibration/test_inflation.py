"""The inflation that makes spread equal skill at every scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xdownscale.calibration import calibrate, fitting
from xdownscale.calibration import inflation as module
from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import G5NR, MERRA2
from xdownscale.models.downscaler import Downscaler
from xdownscale.noise import Spectrum

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


class HalfOfTheState(nn.Module):
    """x0 = s / 2, or 0 where no day before is told: the flow's prediction at t = 1 is x_t - x0."""

    strides, multiple = (2, 4, 8), 8

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(
        self, x_t: Tensor, level: Tensor, condition: Tensor, context: Sequence[Tensor] | None
    ) -> Tensor:
        return x_t - 0.5 * condition[:, -2:-1]


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

        monkeypatch.setattr(fitting, "_BORDER", 8)
        monkeypatch.setattr(module, "_by_wavenumber", watched)
        settings = {"evaluations": (4,), "members": 4, "crops": 16, "crop": 64, "windows": 0} | options
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
        monkeypatch.setattr(fitting, "_BORDER", 8)
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

    def test_what_is_alike_beyond_the_state(
        self,
        records: tuple[xr.DataArray, xr.DataArray],
        tiny_state: Downscaler,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """r = 0.5 s + n, and n is 0.4 of the day before's: the network makes 0.5 of the state it is told."""
        monkeypatch.setattr(fitting, "_BORDER", 8)
        monkeypatch.setattr("xdownscale.training.pairs._NOISIEST", 0.0)
        model = tiny_state.with_card(replace(tiny_state.card, upsampling="linear"))
        model.denoiser = HalfOfTheState()  # type: ignore[assignment]
        coarse, fine = (da.isel(time=slice(0, 12)).copy() for da in records)
        coarse[:] = 0.2
        rng, days = np.random.default_rng(1), [np.zeros((2, *fine.shape[1:]))]
        for _ in range(12):
            n = 0.4 * days[-1][1] + rng.normal(size=fine.shape[1:])
            days.append(np.stack([0.5 * days[-1][0] + n, n]))
        z, r = model.scaling.forward(0.2), np.stack([r for r, _ in days[1:]])
        fine[:] = np.asarray(model.scaling.inverse(z + model.card.residual_scale * r))
        options: dict[str, Any] = {"members": 2, "crops": 32, "crop": 64, "windows": 0}
        found = calibrate(model, coarse, fine, evaluations=(2,), **options).card
        assert found.state_correlation == pytest.approx(0.4, abs=0.04)
        assert found.day_correlation == pytest.approx((0.5 + 0.4) / (1 + 0.5 * 0.4), abs=0.05)

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

    def test_a_single_member(self, white: tuple[xr.DataArray, xr.DataArray], card: Card) -> None:
        with pytest.raises(ValueError, match="members is 1: expected at least two, for a spread"):
            calibrate(model_of(card, 1.0), *white, members=1)

    def test_less_than_no_windows(self, white: tuple[xr.DataArray, xr.DataArray], card: Card) -> None:
        with pytest.raises(ValueError, match="windows is -1: expected a number of windows, 0 for none"):
            calibrate(model_of(card, 1.0), *white, windows=-1)

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
        monkeypatch.setattr(fitting, "_BORDER", 8)
        coarse, fine = records
        model = calibrate(
            tiny_model,
            coarse,
            fine.isel(time=[5, 9]),
            evaluations=(2,),
            members=2,
            crops=4,
            crop=48,
            windows=1,
        )
        found = {"inflation": model.card.inflation["2"], "member_by_member": model.card.member_by_member["2"]}
        assert all(0.333 <= f <= 3 for f in found["inflation"])
        assert found["member_by_member"]["log_deviation"] == [0.0], "it has no climatology"
        told = model.card.training["calibration"]["2"]
        assert (told["windows"], told["members"], len(told["ranks"])) == (1, 2, 3)
        kept = {name: getattr(tiny_model.card, name) | {"2": value} for name, value in found.items()}
        kept["training"] = tiny_model.card.training | {"calibration": {"2": told}}
        assert model.card == replace(tiny_model.card, **kept)
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
