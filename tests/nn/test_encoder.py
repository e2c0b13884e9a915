"""The transfer encoder: what is masked cannot be seen, what is frozen has a digest."""

from __future__ import annotations

import copy
import hashlib
import math
from typing import Any

import pytest
import torch
from torch import nn

from xdownscale.nn.encoder import Encoder, TemporalUNet, digest


def randomised(module: Any, seed: int = 0) -> Any:
    """Weights none of which is zero, so that nothing is hidden by a fresh network's zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            scale = math.sqrt(weight[0].numel()) if weight.ndim > 1 else 10.0
            weight.copy_(torch.randn(weight.shape, generator=generator) / scale + (weight.ndim == 1))
    return module.eval()


def days(seed: int = 0, shape: tuple[int, ...] = (2, 4, 16, 24)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class TestTemporalUNet:
    def test_fresh_says_tomorrow_is_like_today(self) -> None:
        network, history = TemporalUNet(4, (8, 16, 16)), days()
        assert torch.equal(network(history, torch.ones_like(history)), history[:, -1:])

    def test_unknown_cells_of_today_are_zero(self) -> None:
        network, history = TemporalUNet(4, (8, 16, 16)), days()
        mask = torch.ones_like(history)
        mask[:, -1, :5] = 0
        out = network(history, mask)
        assert (out[:, :, :5] == 0).all()
        assert torch.equal(out[:, :, 5:], history[:, -1:, 5:])

    @pytest.mark.parametrize("garbage", [1e6, float("nan"), float("inf")])
    def test_masked_history_cannot_be_seen(self, garbage: float) -> None:
        network = randomised(TemporalUNet(4, (8, 16, 16)))
        history = days()
        mask = (days(1) > 0).float()
        other = torch.where(mask > 0, history, torch.full_like(history, garbage))
        assert torch.equal(network(other, mask), network(history, mask))
        for ours, theirs in zip(network.encoder(other, mask), network.encoder(history, mask), strict=True):
            assert torch.equal(ours, theirs)

    def test_what_is_known_is_seen(self) -> None:
        network = randomised(TemporalUNet(4, (8, 16, 16)))
        history, mask = days(), torch.ones(2, 4, 16, 24)
        reference = network(history, mask)
        for day in range(4):
            moved = history.clone()
            moved[:, day, 8, 12] += 1
            assert (network(moved, mask) - reference).abs().max() > 1e-3
            hidden = mask.clone()
            hidden[:, day, 8, 12] = 0
            assert (network(history, hidden) - reference).abs().max() > 1e-3

    def test_samples_do_not_mix(self) -> None:
        network = randomised(TemporalUNet(4, (8, 16, 16)))
        history, mask = days(), torch.ones(2, 4, 16, 24)
        both = network(history, mask)
        torch.testing.assert_close(network(history[1:], mask[1:]), both[1:], atol=1e-5, rtol=1e-5)


class TestEncoder:
    def test_scales(self) -> None:
        features = Encoder(4, (8, 16, 24))(days(), torch.ones(2, 4, 16, 24))
        assert [tuple(f.shape) for f in features] == [(2, 8, 16, 24), (2, 16, 8, 12), (2, 24, 4, 6)]

    def test_is_part_of_the_whole(self) -> None:
        network = randomised(TemporalUNet(4, (8, 16, 16)))
        alone = Encoder(4, (8, 16, 16))
        alone.load_state_dict(network.encoder.state_dict())
        mask = torch.ones(2, 4, 16, 24)
        for ours, theirs in zip(alone(days(), mask), network.encoder(days(), mask), strict=True):
            assert torch.equal(ours, theirs)

    def test_local(self) -> None:
        """A change moves the features of its surroundings only."""
        encoder = randomised(Encoder(2, (8, 16, 16)))
        history, mask = days(2, (1, 2, 96, 96)), torch.ones(1, 2, 96, 96)
        moved = history.clone()
        moved[..., 48, 48] += 1
        # 5 cells at stride 1, then 4 more at strides 2 and 4 each
        for stride, reach, ours, theirs in zip(
            (1, 2, 4), (5, 13 + 1, 29 + 3), encoder(moved, mask), encoder(history, mask), strict=True
        ):
            rows, columns = torch.nonzero((ours != theirs).any(dim=1)[0], as_tuple=True)
            for index in (rows, columns):
                assert 48 - reach <= stride * index.min().item()
                assert stride * index.max().item() <= 48 + reach

    @pytest.mark.parametrize(
        ("history", "channels", "message"),
        [
            (0, (8,), r"history is \[0\]: expected whole numbers from 1 to 60"),
            (61, (8,), r"history is \[61\]"),
            (3, (), r"channels is \[\]"),
            (3, (8, 0), r"channels is \[8, 0\]: expected whole numbers from 1 to 1024"),
            (3, (8, 2048), r"channels is \[8, 2048\]"),
        ],
    )
    def test_refused(self, history: int, channels: tuple[int, ...], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Encoder(history, channels)


class TestDigest:
    module = randomised(Encoder(2, (4, 8)))

    def test_by_hand(self) -> None:
        layer = nn.Linear(1, 1)
        with torch.no_grad():
            layer.weight.fill_(1.0)
            layer.bias.fill_(0.0)
        text = b"bias:(1,):torch.float32;" + bytes(4) + b"weight:(1, 1):torch.float32;" + b"\x00\x00\x80\x3f"
        assert digest(layer) == hashlib.sha256(text).hexdigest()

    def test_equal_weights(self) -> None:
        again = copy.deepcopy(self.module).to(memory_format=torch.channels_last)
        assert digest(again) == digest(self.module)
        again.train().requires_grad_(False)
        assert digest(again) == digest(self.module)

    def test_the_last_bit_of_any_weight_counts(self) -> None:
        before = digest(self.module)
        for name, _ in self.module.named_parameters():
            other = copy.deepcopy(self.module)
            weight = other.get_parameter(name).data.view(-1)
            weight[-1:].view(torch.int32).bitwise_xor_(torch.tensor([1], dtype=torch.int32))
            assert digest(other) != before, name

    def test_shapes_and_names_count(self) -> None:
        a, b, c = nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False), nn.Linear(6, 1, bias=False)
        values = torch.arange(6.0)
        for layer in (a, b, c):
            layer.weight.data.copy_(values.view(layer.weight.shape))
        named = nn.ModuleDict({"other": copy.deepcopy(a)})
        assert len({digest(m) for m in (a, b, c, named, copy.deepcopy(a).double())}) == 5
