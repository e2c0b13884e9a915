"""A second network learns, by its score, to draw in two evaluations; the first stays what it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from xdownscale import predict
from xdownscale.calibration import calibrate, fitting
from xdownscale.checkpoint import CheckpointError, load, save
from xdownscale.diagnostics import crps
from xdownscale.diffusion.sample import Sampler
from xdownscale.models import Downscaler
from xdownscale.nn.denoiser import Second
from xdownscale.nn.encoder import digest
from xdownscale.training import TrainConfig, distil, train
from xdownscale.training import distillation as module
from xdownscale.training.distillation import fair_crps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr

    from xdownscale.models import Card

Records = tuple["xr.DataArray", "xr.DataArray"]
CONFIG = TrainConfig(
    steps=2, batch=4, days=2, crop=48, border=0, learning_rate=4e-3, ema=0.9, degrade=0.0, edges=0.0, seed=1
)


@pytest.fixture
def card(make_card: Callable[..., Card]) -> Card:
    denoiser = make_card().architecture["denoiser"] | {"context": []}
    parts = {"encoder": None, "denoiser": denoiser, "climatology": None}
    return make_card(architecture=parts, inflation={}, upsampling="linear")


def white(records: Records, card: Card, spread: float) -> Records:
    """Days that are a constant, and a truth whose residual is white noise of a spread."""
    model = Downscaler.build(card)
    coarse, fine = (da.isel(time=slice(0, 12)).copy() for da in records)
    coarse[:] = 0.2
    noise = np.random.default_rng(0).normal(size=fine.shape)
    z = model.scaling.forward(0.2) + spread * card.residual_scale * noise
    fine[:] = np.asarray(model.scaling.inverse(z))
    return coarse, fine


class TestFairCRPS:
    def test_is_that_of_two_members(self) -> None:
        one, other, truth = np.random.default_rng(0).normal(size=(3, 50))
        ours = fair_crps(*map(torch.from_numpy, (one, other, truth)), torch.ones(50))
        assert float(ours) == pytest.approx(crps(np.stack([one, other]), truth), rel=1e-12)

    def test_weights(self) -> None:
        one, other, truth = (torch.tensor(v) for v in ([1.0, 9.0], [3.0, 7.0], [2.0, 0.0]))
        assert float(fair_crps(one, other, truth, torch.tensor([1.0, 0.0]))) == 0.0

    def test_is_least_at_the_truths_spread(self) -> None:
        """Expected scores of N(0, s) for a truth of N(0, 1): s = 1 is best, in the closed form's curve."""
        e, f, truth = torch.randn((3, 400_000), generator=torch.Generator().manual_seed(0))
        for s in (0.5, 0.8, 1.0, 1.25, 2.0):
            expected = np.sqrt(2 / np.pi) * np.sqrt(1 + s**2) - s / np.sqrt(np.pi)
            assert float(fair_crps(s * e, s * f, truth, torch.ones(1))) * (1 / len(e)) == pytest.approx(
                expected, rel=0.02
            ), s


class TestDetails:
    def test_are_orthogonal(self) -> None:
        """The energy of a field is that of its details, each a share of its box, and of the last means."""
        x = torch.randn((1, 1, 64, 96), generator=torch.Generator().manual_seed(0))
        details = sum(4 ** (k + 1) * float((d**2).sum()) for k, d in enumerate(module._details(x)))
        means = 4**5 * float((torch.nn.functional.avg_pool2d(x, 2**5) ** 2).sum())
        assert details + means == pytest.approx(float((x**2).sum()), rel=1e-5)

    def test_tell_directions_apart(self) -> None:
        """A wave from row to row is in the first details, one from column to column in the second ones."""
        wave = torch.cos(2 * torch.pi * (torch.arange(64.0) + 0.5) / 8)
        for x, direction in ((wave[:, None].expand(64, 64), 0), (wave[None].expand(64, 64), 1)):
            energy = torch.stack([(d**2).sum(dim=(0, 2, 3)) for d in module._details(x[None, None])])
            assert float(energy[:, direction].sum()) == pytest.approx(float(energy.sum()), rel=1e-6)

    def test_odd_sizes_lose_a_row(self) -> None:
        assert [tuple(d.shape[1:]) for d in module._details(torch.zeros((1, 1, 112, 112)))] == [
            (3, 56, 56), (3, 28, 28), (3, 14, 14), (3, 7, 7), (3, 3, 3)
        ]  # fmt: skip

    def test_a_gap_spoils_the_boxes_it_lies_in(self) -> None:
        weight = torch.ones((1, 1, 64, 64))
        weight[..., 5, 40] = 0
        lost = [int((known == 0).sum()) for known in module._inside(weight)]
        assert lost == [1, 1, 1, 1, 1]


def test_begins_as_the_midpoint_rule(tiny_model: Downscaler, records: Records) -> None:
    """Before it has learned anything the second network's draws are those of two evaluations, to the bit."""
    plain = tiny_model.with_card(replace(tiny_model.card, inflation={}))
    model = plain.with_fast(Second(plain.denoiser))
    coarse = records[0].isel(time=[4])
    two = predict(coarse, plain, sampler=Sampler("midpoint", 2), domain_check="ignore")
    np.testing.assert_array_equal(predict(coarse, model, sampler="fast", domain_check="ignore"), two)


class Gain(torch.nn.Module):
    """One weight g: with a fresh first network, which draws its noise e, two evaluations give (1 - g) e."""

    strides, multiple = (2, 4, 8), 8

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def own(self) -> dict[str, torch.Tensor]:
        return self.state_dict()

    def forward(self, x_t: torch.Tensor, *_: Any) -> torch.Tensor:
        return self.weight * x_t

    again = forward


def test_learns_the_spread(records: Records, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise of spread 1 becomes draws of the truth's spread, 0.6."""
    monkeypatch.setattr(module, "Second", lambda _: Gain())
    plain, pair = Downscaler.build(card), white(records, card, 0.6)
    model = distil(plain, *pair, config=replace(CONFIG, steps=50, crop=32, learning_rate=3e-2))
    options: dict[str, Any] = {"domain_check": "ignore", "conserve": False, "members": 2}
    coarse = pair[0].isel(time=[0])
    z = model.scaling.forward(predict(coarse, model, sampler="fast", **options).values)
    before = model.scaling.forward(predict(coarse, plain, **options).values)
    assert np.std(before) / card.residual_scale == pytest.approx(1.0, rel=0.03)
    assert np.std(z) / card.residual_scale == pytest.approx(0.6, rel=0.08)
    assert np.std(z[0] - z[1]) / np.sqrt(2) / card.residual_scale == pytest.approx(0.6, rel=0.08)


class TestTheModel:
    def test_stays_what_it_was(self, tiny_model: Downscaler, records: Records) -> None:
        before = {name: weight.clone() for name, weight in tiny_model.state().items()}
        seen: list[float | None] = []
        model = distil(tiny_model, *records, config=CONFIG, report=lambda *row: seen.append(row[2]))
        assert model.card == replace(tiny_model.card, distilled=True)
        assert seen[-1] is not None
        for name, weight in before.items():
            assert torch.equal(weight, model.state()[name]), name
        moved = Second(tiny_model.denoiser).state_dict()
        assert model.fast is not None
        assert any(not torch.equal(w, moved[k]) for k, w in model.fast.state_dict().items())
        coarse = records[0].isel(time=[4])
        draws = [predict(coarse, m, domain_check="ignore") for m in (tiny_model, model)]
        np.testing.assert_array_equal(*draws)

    def test_killed_resumes_to_the_same_weights(
        self, tiny_model: Downscaler, records: Records, tmp_path: Path, kill_at: Callable[..., Any]
    ) -> None:
        config = replace(CONFIG, steps=4)
        whole = distil(tiny_model, *records, config=config)
        killed = kill_at(module, 3)
        with pytest.raises(KeyboardInterrupt):
            distil(tiny_model, *records, config=config, folder=tmp_path, report=killed)
        steps: list[int] = []
        again = distil(
            tiny_model, *records, config=config, folder=tmp_path, report=lambda *row: steps.append(row[0])
        )
        assert steps == [3, 4]
        assert whole.fast is not None
        assert again.fast is not None
        assert digest(whole.fast) == digest(again.fast)

    def test_through_a_file(self, tiny_model: Downscaler, tmp_path: Path) -> None:
        model = tiny_model.with_fast(Second(tiny_model.denoiser))
        save(model, tmp_path / "fast.safetensors")
        again = load(tmp_path / "fast.safetensors")
        assert again.card.distilled
        for name, weight in model.state().items():
            assert torch.equal(weight, again.state()[name]), name

    def test_a_file_without_the_network_is_refused(self, tiny_model: Downscaler, tmp_path: Path) -> None:
        liar = replace(tiny_model.card, distilled=True)
        with pytest.raises(ValueError, match="there is a second network, and there is none"):
            tiny_model.with_card(liar)
        tiny_model.card = liar
        with pytest.raises(CheckpointError):
            save(tiny_model, tmp_path / "liar.safetensors")

    def test_calibrated_for_it(
        self, tiny_model: Downscaler, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fitting, "_BORDER", 8)
        model = tiny_model.with_fast(Second(tiny_model.denoiser))
        options: dict[str, Any] = {"members": 2, "crops": 4, "crop": 48, "windows": 2}
        both = calibrate(model, records[0], records[1].isel(time=[5, 9]), evaluations=(2, "fast"), **options)
        assert both.card.inflation.keys() - {"4", "8"} == {"2"}
        assert list(both.card.member_by_member) == ["2", "fast"]
        fitted = both.member_by_member(Sampler("fast", 2))
        assert fitted is not None
        assert fitted.to_dict() == both.card.member_by_member["fast"]
        assert both.inflation(Sampler("fast", 2)) == [1.0]


def test_without_an_encoder_with_a_climatology(records: Records) -> None:
    plain = replace(
        CONFIG, transfer="none", channels=(8, 8, 16), blocks=1, statics=("season", "climatology"), border=4
    )
    model = train(*records, config=plain, card={"name": "plain"})
    assert model.encoder is None
    assert distil(model, *records, config=CONFIG).card.distilled


def test_of_a_new_network_no_spread_is_fitted_yet(tiny_model: Downscaler) -> None:
    fitted = {"2": [1.2], "fast": [1.05]}
    names = ("log_deviation", "slope", "factor", "width", "tail")
    members = {"fast": {name: [0.9] for name in names}}
    model = tiny_model.with_fast(Second(tiny_model.denoiser))
    model = model.with_card(replace(model.card, inflation=fitted, member_by_member=members))
    assert model.inflation(Sampler("fast", 2)) == [1.05]
    found = model.with_fast(Second(model.denoiser)).card
    assert (found.inflation, found.member_by_member) == ({"2": [1.2]}, {})


class TestStart:
    def test_is_gone_on_from(self, tiny_model: Downscaler, records: Records) -> None:
        """At a rate of nearly nothing the second network stays what that of the start was."""
        other = distil(tiny_model, *records, config=CONFIG)
        still = replace(CONFIG, learning_rate=1e-12)
        model = distil(tiny_model, *records, start=other, config=still)
        fresh = distil(tiny_model, *records, config=still)
        assert other.fast is not None
        assert model.fast is not None
        assert fresh.fast is not None
        for name, weight in other.fast.own().items():
            torch.testing.assert_close(model.fast.own()[name], weight, rtol=0, atol=1e-7)
        apart = [float((w - fresh.fast.own()[k]).abs().max()) for k, w in model.fast.own().items()]
        assert max(apart) > 1e-4

    def test_without_a_second_network(self, tiny_model: Downscaler, records: Records) -> None:
        with pytest.raises(ValueError, match="start is tiny, which was not distilled"):
            distil(tiny_model, *records, start=tiny_model, config=CONFIG)

    def test_of_another_architecture(
        self, tiny_model: Downscaler, make_card: Callable[..., Card], records: Records
    ) -> None:
        parts = make_card().architecture
        wider = parts | {"denoiser": parts["denoiser"] | {"channels": [16, 16, 24]}}
        other = Downscaler.build(make_card(architecture=wider, encoder_digest=None))
        other = other.with_fast(Second(other.denoiser))
        with pytest.raises(ValueError, match="of another architecture than tiny: expected a second network"):
            distil(tiny_model, *records, start=other, config=CONFIG)


class TestRefused:
    def test_another_process(self, make_card: Callable[..., Card], records: Records) -> None:
        card = make_card(process="ddpm", sampler={"name": "dpmpp", "evaluations": 4})
        with pytest.raises(ValueError, match="tiny is of the process 'ddpm': expected 'flow'"):
            distil(Downscaler.build(card), *records, config=CONFIG)

    def test_sampler_of_a_model_that_was_not_distilled(
        self, tiny_model: Downscaler, records: Records
    ) -> None:
        with pytest.raises(ValueError, match="sampler is 'fast', and tiny was not distilled"):
            predict(records[0].isel(time=[0]), tiny_model, sampler="fast", domain_check="ignore")

    def test_other_numbers_of_evaluations(self) -> None:
        with pytest.raises(ValueError, match="fast takes 2: found 4 evaluations"):
            Sampler("fast", 4)


def test_gains_of_bands_are_fitted(records: Records, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first network that knows the mean, 0, and a second: draws (1 - g / 2) e of a truth of spread 0.9.

    Gains of bands are 0.9 / 0.6 for g = 0.8, and leave nothing to the factor; a Gaussian truth has no tails.
    """
    monkeypatch.setattr(fitting, "_BORDER", 8)
    knows, gain = (Gain(), Gain())
    knows.weight.data.fill_(1.0)
    gain.weight.data.fill_(0.8)
    plain, pair = Downscaler.build(card), white(records, card, 0.9)
    plain.denoiser = knows  # type: ignore[assignment]
    model = plain.with_fast(gain)  # type: ignore[arg-type]
    found = calibrate(model, *pair, evaluations=("fast",), members=4, crop=64, windows=12)
    fitted = found.card.member_by_member["fast"]
    assert fitted["band_gain"] == [pytest.approx(0.9 / 0.6, rel=0.04)] * 4
    assert fitted["factor"] == [pytest.approx(1, rel=0.04)]
    assert fitted["width"] == [pytest.approx(3 * 0.9, rel=0.02)]
    assert fitted["tail"][0] < 0.1
