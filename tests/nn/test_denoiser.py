"""The denoiser: silent when fresh, local to a measured reach, the same bits in any batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from xdownscale.nn.denoiser import Climate, Denoiser, Second

CHANNELS = (48, 72, 128)


def randomised(module: Any, seed: int = 0) -> Any:
    """As unlike zero as a trained network's: convolutions keep the variance, biases stray by a tenth."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim > 1:
                weight.copy_(noise / math.sqrt(weight[0].numel()))
            else:
                weight.copy_(0.1 * noise + (not name.endswith("bias")))
    return module.eval().to(memory_format=torch.channels_last)


def field(*shape: int, seed: int = 0) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return randomised(Denoiser(5, (8, 12, 16)))


@pytest.fixture
def _two_threads() -> Any:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_fresh_says_nothing() -> None:
    torch.manual_seed(0)
    out = Denoiser(2)(field(1, 1, 16, 24), torch.tensor([0.5]), field(1, 2, 16, 24))
    assert out.shape == (1, 1, 16, 24)
    assert (out == 0).all()


def test_size_of_the_default() -> None:
    network = Denoiser(6, (32, 64, 96))
    weights = sum(p.numel() for p in network.parameters())
    assert 1.3e6 < weights < 1.7e6
    assert network.strides == (2, 4, 8)
    assert network.multiple == 8


def test_a_condition_seen_once_gives_what_it_gives_whole(denoiser: Denoiser) -> None:
    condition, level = field(2, 5, 24, 32, seed=1), torch.tensor([0.3, 0.8])
    x, others = field(2, 1, 24, 32, seed=2), field(2, 1, 24, 32, seed=3)
    with torch.no_grad():
        seen = denoiser.look(condition)
        assert seen.shape == (2, 48, 12, 16)
        for x_t in (x, others):
            whole = denoiser(x_t, level, condition)
            torch.testing.assert_close(denoiser.again(x_t, level, seen), whole, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="expected multiples of 8"):
        denoiser.again(field(1, 1, 12, 12), level[:1], seen)


@pytest.mark.parametrize("shape", [(20, 16), (16, 20), (12, 12)])
def test_sizes_that_do_not_divide_are_refused(denoiser: Denoiser, shape: tuple[int, int]) -> None:
    with pytest.raises(
        ValueError, match=rf"the field is \({shape[0]}, {shape[1]}\) cells: expected multiples of 8"
    ):
        denoiser(field(1, 1, *shape), torch.tensor([0.5]), field(1, 5, *shape))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"condition": 0}, r"condition is \[0\]: expected whole numbers from 1 to 256"),
        ({"condition": 300}, r"condition is \[300\]"),
        ({"context": (8, 0)}, r"context is \[8, 0\]"),
        ({"channels": (48, 4)}, r"channels is \[48, 4\]: expected whole numbers from 8 to 1024"),
        ({"channels": (48, 4096)}, r"channels is \[48, 4096\]"),
        ({"blocks": 0}, r"blocks is \[0\]: expected whole numbers from 1 to 8"),
        ({"embedding": 4}, r"embedding is \[4\]"),
    ],
)
def test_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Denoiser(**{"condition": 2, **change})


class TestProject:
    def test_is_a_convolution_of_the_stack(self, denoiser: Denoiser) -> None:
        features = [field(2, 8, 6, 10), field(2, 12, 3, 5), field(2, 16, 6, 10)]
        out = denoiser.project(features)
        assert [tuple(level.shape) for level in out] == [(2, c, 6, 10) for c in CHANNELS]
        second = torch.nn.functional.interpolate(
            features[1], size=(6, 10), mode="bilinear", align_corners=False
        )
        stack = torch.cat([features[0], second, features[2]], dim=1)
        weight, bias = denoiser.projections[1].weight[:, :, 0, 0], denoiser.projections[1].bias
        expected = torch.einsum("oc,bchw->bohw", weight, stack) + bias.view(1, -1, 1, 1)
        torch.testing.assert_close(out[1], expected, atol=1e-5, rtol=1e-5)

    def test_without_transfer(self) -> None:
        assert Denoiser(2).project([field(1, 8, 4, 4)]) == []


@pytest.fixture(scope="module")
def profile() -> np.ndarray:
    """A crop's largest difference from the whole, over its spread, at least so many cells from a cut."""
    network = randomised(Denoiser(5))
    x, c, t = field(1, 1, 336, 336), field(1, 5, 336, 336, seed=1), torch.tensor([0.6])
    cut = slice(64, 272)
    with torch.inference_mode():
        whole = network(x, t, c)
        part = network(x[..., cut, cut].contiguous(), t, c[..., cut, cut].contiguous())
    apart = ((part - whole[..., cut, cut]).abs() / whole.std())[0, 0].numpy()
    inwards = np.minimum(np.arange(208), 207 - np.arange(208))
    distance = np.minimum(inwards[:, None], inwards[None, :])
    return np.array([apart[distance >= d].max() for d in range(104)])


class TestReach:
    def test_effective_reach(self, profile: np.ndarray) -> None:
        assert profile[0] > 0.1
        # measured: 1e-3 at 52 cells, 1e-5 at 66; the tiling's halo of 48 is 1e-3 in the mean square
        assert profile[56] < 1e-3
        assert profile[72] < 1e-5

    def test_bit_equal_beyond_the_field_of_view(self, profile: np.ndarray) -> None:
        assert profile[92] == 0.0

    def test_crop_at_the_domains_edge_is_the_whole_there(self) -> None:
        network = randomised(Denoiser(2, channels=(8, 16, 16)))
        x, c, t = field(1, 1, 256, 128), field(1, 2, 256, 128, seed=1), torch.tensor([0.3])
        with torch.inference_mode():
            whole, part = network(x, t, c), network(x[..., :192, :], t, c[..., :192, :])
        torch.testing.assert_close(part[..., :96, :], whole[..., :96, :], atol=1e-5, rtol=0)


def batches(network: Denoiser, size: int, level: torch.Tensor) -> list[torch.Tensor]:
    """The first sample's output alone and in batches of 2, 3, 4; `level` of one serves all."""
    x, c = field(4, 1, size, size), field(4, 5, size, size, seed=1)
    context = [
        field(4, k, size // s, size // s, seed=s) for k, s in zip(CHANNELS, network.strides, strict=True)
    ]
    with torch.inference_mode():
        return [network(x[:n], level[:n], c[:n], [h[:n] for h in context])[0] for n in (1, 2, 3, 4)]


class TestBatch:
    def test_same_bits_in_any_batch(self, denoiser: Denoiser) -> None:
        """With one level for the batch: a linear layer's rounding depends on the rows it is given."""
        alone, *rest = batches(denoiser, 128, torch.tensor([0.37]))
        assert all(torch.equal(out, alone) for out in rest)

    @pytest.mark.usefixtures("_two_threads")
    def test_same_bits_on_two_threads(self, denoiser: Denoiser) -> None:
        alone, *rest = batches(denoiser, 128, torch.tensor([0.37]))
        assert all(torch.equal(out, alone) for out in rest)
        torch.set_num_threads(1)
        assert torch.equal(batches(denoiser, 128, torch.tensor([0.37]))[0], alone)

    def test_same_bits_of_every_sample(self, denoiser: Denoiser) -> None:
        x, c = field(4, 1, 128, 128), field(4, 5, 128, 128, seed=1)
        with torch.inference_mode():
            whole = denoiser(x, torch.tensor([0.9]), c)
            for i in range(4):
                assert torch.equal(denoiser(x[i : i + 1], torch.tensor([0.9]), c[i : i + 1])[0], whole[i])

    def test_a_level_for_each_sample_is_near(self, denoiser: Denoiser) -> None:
        alone, *rest = batches(denoiser, 64, torch.full((4,), 0.37))
        assert max(float((out - alone).abs().max()) for out in rest) < 2e-5

    def test_small_fields_agree_from_two_on(self, denoiser: Denoiser) -> None:
        """Below some 112 cells PyTorch convolves a batch of one by another algorithm."""
        alone, *rest = batches(denoiser, 64, torch.tensor([0.37]))
        assert all(torch.equal(out, rest[0]) for out in rest)
        assert float((alone - rest[0]).abs().max()) < 2e-5

    def test_levels_differ_within_a_batch(self, denoiser: Denoiser) -> None:
        x, c = field(1, 1, 64, 64).expand(2, -1, -1, -1), field(1, 5, 64, 64).expand(2, -1, -1, -1)
        with torch.inference_mode():
            both = denoiser(x, torch.tensor([0.1, 0.9]), c)
            alone = denoiser(x[:1], torch.tensor([0.9]), c[:1])
        torch.testing.assert_close(both[1:], alone, atol=2e-5, rtol=1e-5)
        assert (both[0] - both[1]).abs().max() > 1e-2


class TestSecond:
    """Shares the way down with the first, weight by weight, and answers by itself."""

    def test_begins_as_the_first(self, denoiser: Denoiser) -> None:
        second = Second(denoiser)
        given = field(1, 1, 32, 32), torch.tensor([0.5]), field(1, 5, 32, 32, seed=1)
        with torch.no_grad():
            assert torch.equal(second(*given), denoiser(*given))

    def test_answers_by_itself_and_leaves_the_first_alone(self, denoiser: Denoiser) -> None:
        second = Second(denoiser)
        given = field(1, 1, 32, 32), torch.tensor([0.5]), field(1, 5, 32, 32, seed=1)
        with torch.no_grad():
            before = denoiser(*given)
            for weight in second.own().values():
                weight.add_(0.1)
            assert torch.equal(denoiser(*given), before)
            assert not torch.allclose(second(*given), before)

    def test_what_is_its_own(self, denoiser: Denoiser) -> None:
        second = Second(denoiser)
        own = second.own()
        assert {name.split(".")[1] for name in own} == {"up", "ups", "norm", "head"}
        assert not any(name.endswith("film.weight") for name in own)
        assert any(name.endswith("film.bias") for name in own)
        assert sum(w.numel() for w in own.values()) < 0.25 * sum(w.numel() for w in denoiser.parameters())
        assert second.unet.stem is denoiser.unet.stem
        shared = set(second.state_dict()) - set(own)
        first = denoiser.state_dict()
        assert all(second.state_dict()[name].data_ptr() == first[name].data_ptr() for name in shared)


def test_climate_is_mean_and_deviation() -> None:
    """At the noise end e less the prediction is m + exp(d) e."""
    e, condition = field(1, 1, 8, 8), field(1, 5, 8, 8, seed=1)
    x0 = e - Climate()(e, torch.ones(1), condition)
    torch.testing.assert_close(x0, condition[:, 3:4] + condition[:, 4:].exp() * e)
