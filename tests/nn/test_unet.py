"""The trunk: silent when fresh, local, the same at every cell."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from xdownscale.nn.unet import UNet


def randomised(module: Any, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            scale = math.sqrt(weight[0].numel()) if weight.ndim > 1 else 10.0
            weight.copy_(torch.randn(weight.shape, generator=generator) / scale + (weight.ndim == 1))
    return module.eval()


def field(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_fresh_says_nothing() -> None:
    torch.manual_seed(0)
    network = UNet(3, (8, 16, 16), 2, 8)
    assert (network(field(2, 3, 32, 16), field(2, 8)) == 0).all()


@pytest.mark.parametrize("channels", [(8,), (8, 16), (8, 8, 16, 16)])
def test_levels(channels: tuple[int, ...]) -> None:
    network = randomised(UNet(3, channels, 1, 8))
    size = 2 ** len(channels)
    out = network(field(1, 3, 3 * size, 2 * size), field(1, 8))
    assert out.shape == (1, 1, 3 * size, 2 * size)
    assert out.std() > 1e-2


def test_reach_is_what_the_layers_add_up_to() -> None:
    network = randomised(UNet(2, (8, 8, 8), 2, 8))
    x, e = field(1, 2, 256, 256), field(1, 8)
    # 10 cells of stride 2, 8 of stride 4, 4 of stride 8, and the blocks the cell lies in
    reach = 10 * 2 + 8 * 4 + 4 * 8
    moved = x.clone()
    moved[..., 128, 128] += 100
    with torch.inference_mode():
        changed = (network(moved, e) - network(x, e))[0, 0] != 0
    rows = torch.nonzero(changed.any(dim=1))[:, 0]
    assert 128 - reach - 8 <= rows.min() <= 128 - reach // 2
    assert 128 + reach // 2 <= rows.max() <= 128 + reach + 8


def test_translation_by_the_last_stride() -> None:
    network = randomised(UNet(2, (8, 8, 8), 1, 8))
    x, e = field(1, 2, 192, 128), field(1, 8)
    with torch.inference_mode():
        whole, shifted = network(x, e), network(x[..., 8:, :], e)
    torch.testing.assert_close(whole[..., 80:112, 48:80], shifted[..., 72:104, 48:80], atol=1e-5, rtol=1e-5)


def test_contexts_enter_at_their_levels() -> None:
    network = randomised(UNet(2, (8, 16, 24), 1, 8))
    x, e = field(1, 2, 64, 64), field(1, 8)
    context = [torch.zeros(1, c, 64 // s, 64 // s) for c, s in ((8, 2), (16, 4), (24, 8))]
    with torch.inference_mode():
        reference = network(x, e)
        assert torch.equal(network(x, e, context), reference)
        for level in range(3):
            moved = [c.clone() for c in context]
            moved[level][..., 3, 3] += 1
            assert (network(x, e, moved) - reference).abs().max() > 1e-3


def test_the_embedding_is_heard() -> None:
    network = randomised(UNet(2, (8, 16), 1, 8))
    x = field(1, 2, 16, 16)
    assert (network(x, field(1, 8)) - network(x, field(1, 8, seed=1))).abs().max() > 1e-2
