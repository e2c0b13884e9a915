"""The inflation that makes spread equal skill."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xdownscale.models.downscaler import Downscaler
from xdownscale.training import calibrate as module
from xdownscale.training.calibrate import calibrate

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


@pytest.fixture
def calibrated(
    white: tuple[xr.DataArray, xr.DataArray], card: Card, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Downscaler, list[tuple[float, float]]]]:
    """Calibrate on small crops; with the factors tried and the ratios they gave."""

    def run(spread: float, **options: Any) -> tuple[Downscaler, list[tuple[float, float]]]:
        tried: list[tuple[float, float]] = []
        inner = module._ratio

        def watched(*args: Any) -> float:
            ratio = inner(*args)
            tried.append((args[-1], ratio))
            return ratio

        monkeypatch.setattr(module, "_BORDER", 8)
        monkeypatch.setattr(module, "_ratio", watched)
        settings = {"evaluations": (4,), "members": 4, "crops": 4, "crop": 64} | options
        return calibrate(model_of(card, spread), *white, **settings), tried

    return run


class TestCalibrate:
    @pytest.mark.parametrize("spread", [0.6, 0.8])
    def test_spread_too_small(self, calibrated: Callable[..., Any], spread: float) -> None:
        model, tried = calibrated(spread)
        factor = model.card.inflation["4"]
        assert tried[0][0] == 1.0
        assert tried[0][1] < 0.9
        assert factor > 1.1
        assert abs(tried[-1][1] - 1) < 0.25 * abs(tried[0][1] - 1)
        # the sampler is linear here: spread s f, and an error of 1 + (s f)^2 / M, M = 4 members
        squares = [5 / 4 * (f / factor) ** 2 / (1 + (f / factor) ** 2 / 4) for f, _ in tried]
        assert [ratio for _, ratio in tried] == pytest.approx(np.sqrt(squares), rel=0.01)

    def test_spread_too_large(self, calibrated: Callable[..., Any]) -> None:
        model, tried = calibrated(1.5)
        assert model.card.inflation["4"] < 0.85
        assert abs(tried[-1][1] - 1) < 0.2 * abs(tried[0][1] - 1)

    def test_exact_denoiser_needs_little(self, calibrated: Callable[..., Any]) -> None:
        """With enough steps the known denoiser has the truth's spread: 1 to the noise of the score."""
        model, tried = calibrated(1.0, evaluations=(32,))
        assert model.card.inflation["32"] == pytest.approx(1.0, abs=0.02)
        assert tried[0][1] == pytest.approx(1.0, abs=0.02)

    def test_one_factor_for_each_number(self, calibrated: Callable[..., Any]) -> None:
        model, tried = calibrated(0.7, evaluations=(2, 8))
        assert sorted(model.card.inflation) == ["2", "8"]
        assert model.card.inflation["2"] > model.card.inflation["8"] > 1.0
        assert len(tried) == 6
        assert model.denoiser.calls == (2 + 8) * 3 * 4
        assert model.inflation(8) == model.card.inflation["8"]

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
        assert all(math.isfinite(ratio) for _, ratio in tried)
        assert gappy.card.inflation["4"] == pytest.approx(plain.card.inflation["4"], rel=0.03)

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
        assert 0.2 < model.card.inflation["2"] < 5.0
        assert replace(model.card, inflation=tiny_model.card.inflation) == tiny_model.card
        assert model.denoiser is tiny_model.denoiser


class TestNext:
    def test_first_step_is_in_proportion(self) -> None:
        assert module._next([1.0], [0.8]) == pytest.approx(1.25)

    def test_secant(self) -> None:
        """ratio = 0.8 f^0.5: the second step lands on 1."""
        assert module._next([1.0, 1.25], [0.8, 0.8 * 1.25**0.5]) == pytest.approx(1 / 0.64)

    @pytest.mark.parametrize(("ratio", "factor"), [(1e-3, math.exp(0.4)), (1e3, math.exp(-0.4))])
    def test_steps_are_bounded(self, ratio: float, factor: float) -> None:
        assert module._next([1.0], [ratio]) == pytest.approx(factor)

    def test_a_flat_response_does_not_explode(self) -> None:
        assert module._next([1.0, 1.2], [0.9, 0.9]) == pytest.approx(1.2 * 0.9 ** (-1 / 0.3))
