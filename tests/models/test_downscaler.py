"""The composer: what a card says is what is built, and nothing else is taken."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import G5NR, MERRA2
from xdownscale.models.downscaler import Downscaler
from xdownscale.models.members import MemberByMember
from xdownscale.nn.denoiser import Second
from xdownscale.nn.encoder import digest
from xdownscale.noise import Spectrum
from xdownscale.scaling import Log
from xdownscale.testing.example import example

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from xdownscale.models.card import Card


@pytest.fixture(params=["transfer", "plain", "two levels"])
def card(request: pytest.FixtureRequest, make_card: Callable[..., Card]) -> Card:
    """Cards of several architectures."""
    if request.param == "transfer":
        return make_card()
    denoiser = {"condition": 4, "context": [], "channels": [8, 16, 16], "blocks": 1, "embedding": 16}
    if request.param == "two levels":
        denoiser |= {"channels": [8, 16], "blocks": 2}
    return make_card(architecture={"encoder": None, "denoiser": denoiser, "climatology": None})


class TestState:
    def test_expected_is_what_is_built(self, card: Card) -> None:
        state = Downscaler.build(card).state()
        assert Downscaler.expected(card) == {k: (tuple(w.shape), w.dtype) for k, w in state.items()}
        assert {k.partition(".")[0] for k in state} <= {"denoiser", "encoder"}

    def test_round_trip(self, card: Card) -> None:
        torch.manual_seed(1)
        model = Downscaler.build(card)
        torch.manual_seed(2)
        again = Downscaler.from_state(card, model.state(), sha256="ab" * 32)
        assert again.sha256 == "ab" * 32
        assert digest(again.denoiser) == digest(model.denoiser)
        assert all(torch.equal(w, again.state()[k]) for k, w in model.state().items())

    def test_half_precision_weights_are_widened(self, make_card: Callable[..., Card]) -> None:
        model = Downscaler.build(make_card())
        half = {k: w.to(torch.bfloat16) for k, w in model.state().items()}
        again = Downscaler.from_state(make_card(), half)
        for k, w in again.state().items():
            assert w.dtype == torch.float32
            assert torch.equal(w, half[k].float())

    @pytest.mark.parametrize("network", ["denoiser", "encoder"])
    def test_refuses_a_missing_and_an_unknown_name(self, tiny_model: Downscaler, network: str) -> None:
        state = tiny_model.state()
        first = next(k for k in state if k.startswith(network))
        lost = {k: w for k, w in state.items() if k != first}
        with pytest.raises(
            ValueError, match=rf"{network}: weights .* are \[None\], the card's architecture has"
        ):
            Downscaler.from_state(tiny_model.card, lost)
        with pytest.raises(ValueError, match=rf"{network}: weights \['backdoor'\] are \[\(1,\)\]"):
            Downscaler.from_state(tiny_model.card, state | {f"{network}.backdoor": torch.zeros(1)})

    def test_refuses_other_shapes(self, tiny_model: Downscaler) -> None:
        state = tiny_model.state()
        name = next(k for k, w in state.items() if w.ndim == 4)
        wrong = state | {name: state[name][:-1]}
        with pytest.raises(ValueError, match="architecture has"):
            Downscaler.from_state(tiny_model.card, wrong)

    def test_refuses_another_encoder(self, tiny_model: Downscaler) -> None:
        """One bit of the frozen encoder is enough."""
        state = {k: w.clone() for k, w in tiny_model.state().items()}
        name = next(k for k in state if k.startswith("encoder"))
        value = state[name].view(-1)
        value[0] = torch.nextafter(value[0], torch.tensor(9.0))
        with pytest.raises(ValueError, match=r"the encoder's digest is [0-9a-f]{64}, the card says"):
            Downscaler.from_state(tiny_model.card, state)

    def test_refuses_a_card_with_a_digest_and_no_encoder(self, make_card: Callable[..., Card]) -> None:
        card = make_card()
        spec = {"encoder": None, "denoiser": card.architecture["denoiser"], "climatology": None}
        with pytest.raises(ValueError, match="digest is None, the card says"):
            Downscaler.build(replace(card, architecture=spec, encoder_digest="0" * 64))


class TestParts:
    def test_named_by_the_card(self, make_card: Callable[..., Card]) -> None:
        spectrum = Spectrum(tuple(np.linspace(1.0, 0.1, 9)), 1e-3, 6)
        model = Downscaler.build(
            make_card(
                process="ddpm", sampler={"name": "dpmpp", "evaluations": 8}, spectrum=spectrum.to_dict()
            )
        )
        assert (model.coarse, model.fine) == (MERRA2, G5NR)
        assert model.schedule.name == "ddpm"
        assert model.sampler == Sampler("dpmpp", 8)
        assert isinstance(model.scaling, Log)
        assert float(model.scaling.inverse(0.0)) == pytest.approx(np.exp(-2.0) - 1e-3)
        np.testing.assert_allclose(model.kernel, spectrum.kernel(), rtol=1e-12)
        assert model.history == 3

    def test_without_encoder(self, make_card: Callable[..., Card]) -> None:
        denoiser = make_card().architecture["denoiser"] | {"context": []}
        model = Downscaler.build(
            make_card(architecture={"encoder": None, "denoiser": denoiser, "climatology": None})
        )
        assert model.history == 1
        grid = MERRA2.window((200, 4), (300, 4))
        assert model.maps(np.zeros((1, 1, 4, 4)), np.ones((1, 1, 4, 4)), grid) is None

    def test_maps_lie_on_the_coarse_grid(self, tiny_model: Downscaler) -> None:
        grid = MERRA2.window((201, 6), (303, 7))
        maps = tiny_model.maps(np.zeros((1, 3, 6, 7)), np.ones((1, 3, 6, 7)), grid)
        assert maps is not None
        assert [tuple(m.shape) for m in maps] == [(1, 8, 6, 7), (1, 16, 6, 7), (1, 16, 6, 7)]

    def test_encoder_takes_no_gradient(self, tiny_model: Downscaler) -> None:
        assert tiny_model.encoder is not None
        assert not any(p.requires_grad for p in tiny_model.encoder.parameters())
        assert all(p.requires_grad for p in tiny_model.denoiser.parameters())

    def test_with_card_shares_the_networks(self, tiny_model: Downscaler) -> None:
        other = tiny_model.with_card(replace(tiny_model.card, version="9"))
        assert other.denoiser is tiny_model.denoiser
        assert (other.card.version, tiny_model.card.version) == ("9", "1.2")

    def test_compiled_asks_a_function_that_is_made_once(
        self, tiny_model: Downscaler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[dict[str, Any]] = []

        def compile_(function: Callable[..., Tensor], **options: Any) -> Callable[..., Tensor]:
            made.append(options)
            return lambda *given: 2 * function(*given)

        monkeypatch.setattr(torch, "compile", compile_)
        model = tiny_model.compiled(mode="default")
        spec = tiny_model.card.architecture["denoiser"]
        x, level = torch.randn(1, 1, 16, 16), torch.ones(1)
        seen = tiny_model.seen(torch.randn(1, spec["condition"], 16, 16))
        with torch.no_grad():
            plain = tiny_model.predicted(x, level, seen, None, tiny_model.denoiser)
            assert made == []
            for _ in range(2):
                assert torch.equal(model.predicted(x, level, seen, None, model.denoiser), 2 * plain)
        assert made == [{"mode": "default"}]
        again = pickle.loads(pickle.dumps(model))
        assert again.compiling == {"mode": "default"}
        assert again._calls == {}

    def test_compiled_by_torch_draws_the_same(self, tiny_model: Downscaler) -> None:
        """By a backend that only traces, so that no compiler is needed."""
        from xdownscale import predict

        coarse = example(tiny_model, days=1)
        plain = predict(coarse, tiny_model, domain_check="ignore")
        traced = predict(coarse, tiny_model.compiled(backend="eager"), domain_check="ignore")
        np.testing.assert_allclose(traced, plain, rtol=1e-5)

    def test_repr(self, tiny_model: Downscaler) -> None:
        weights = sum(w.numel() for k, w in tiny_model.state().items() if k.startswith("denoiser"))
        assert repr(tiny_model) == f"<Downscaler tiny 1.2: flow, {weights:,} weights>"


@pytest.mark.parametrize(
    ("fitted", "asked", "factors"),
    [
        ({"2": [1.4], "4": [1.2, 1.3], "16": [1.05]}, 4, [1.2, 1.3]),
        ({"2": [1.4], "4": [1.2, 1.3], "16": [1.05]}, 1, [1.4]),
        ({"2": [1.4], "4": [1.2, 1.3], "16": [1.05]}, 9, [1.2, 1.3]),
        (
            {"2": [1.4], "4": [1.2, 1.3], "16": [1.05]},
            10,
            [1.2, 1.3],
        ),  # 4 and 16 are as far: the smaller
        ({"2": [1.4], "4": [1.2, 1.3], "16": [1.05]}, 11, [1.05]),
        ({"2": [1.4], "4": [1.2, 1.3], "16": [1.05]}, 1000, [1.05]),
        ({}, 4, [1.0]),
    ],
)
def test_inflation_of_the_nearest(
    make_card: Callable[..., Card], fitted: dict[str, Any], asked: int, factors: list[float]
) -> None:
    assert Downscaler.build(make_card(inflation=fitted)).inflation(Sampler("euler", asked)) == factors


@pytest.mark.parametrize(("asked", "noise", "moves"), [(2, 1.4, True), (4, 1.4, True), (8, 1.1, False)])
def test_noise_and_moves_are_those_of_one_number(
    make_card: Callable[..., Card], asked: int, noise: float, moves: bool
) -> None:
    """Where only one of two numbers has moves, the other's noise does not go with them."""
    moved = {"2": MemberByMember((0.0,), (1.0,), (0.5,), (1.0,), (0.0,)).to_dict()}
    model = Downscaler.build(make_card(inflation={"2": [1.4], "8": [1.1]}, member_by_member=moved))
    sampler = Sampler("euler", asked)
    assert model.inflation(sampler) == [noise]
    assert (model.member_by_member(sampler) is not None) == moves


def test_a_changed_card_is_not_that_of_the_file(tiny_model: Downscaler) -> None:
    model = Downscaler(tiny_model.card, tiny_model.denoiser, tiny_model.encoder, sha256="a" * 64)
    assert model.with_card(model.card).sha256 == "a" * 64
    assert model.with_card(replace(model.card, version="2")).sha256 is None


class TestSamplers:
    """What is asked by a number of evaluations or a name, whatever the card's own is."""

    @pytest.mark.parametrize("own", [Sampler("midpoint", 8), Sampler("fast", 2)])
    def test_of_a_flow(self, make_card: Callable[..., Card], own: Sampler) -> None:
        card = make_card(sampler={"name": own.name, "evaluations": own.evaluations})
        model = Downscaler.build(card)
        assert model.sampler_of(4) == Sampler("midpoint", 4)
        assert model.sampler_of("fast") == Sampler("fast", 2)
        assert model.sampler_of(3, "euler") == Sampler("euler", 3)
        assert model.sampler_named("fast") == Sampler("fast", 2)
        assert model.sampler_named("midpoint") == Sampler("midpoint", 8 if own.name == "midpoint" else 4)

    def test_networks(self, tiny_model: Downscaler) -> None:
        second = Second(tiny_model.denoiser)
        model = tiny_model.with_fast(second)
        assert model.network(Sampler("fast", 2), 0.5) is model.fast
        assert model.network(Sampler("fast", 2), 1.0) is model.denoiser
        assert model.network(Sampler("midpoint", 2), 0.5) is model.denoiser
