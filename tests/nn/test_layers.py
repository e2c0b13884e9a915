"""The layers: channel-wise statistics, identity when fresh, local."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xdownscale.nn.layers import NoiseEmbedding, ResBlock, RMSNorm, zeroed


def field(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class TestRMSNorm:
    def test_definition(self) -> None:
        norm = RMSNorm(6)
        with torch.no_grad():
            norm.weight.copy_(torch.arange(1.0, 7.0))
        x = field(2, 6, 3, 4)
        expected = x / (x.square().mean(dim=1, keepdim=True) + 1e-5).sqrt() * norm.weight.view(1, -1, 1, 1)
        torch.testing.assert_close(norm(x), expected)

    def test_every_cell_for_itself(self) -> None:
        norm = RMSNorm(6)
        x = field(1, 6, 8, 8).contiguous(memory_format=torch.channels_last)
        crop = x[..., 2:5, 3:7].contiguous(memory_format=torch.channels_last)
        assert torch.equal(norm(x)[..., 2:5, 3:7], norm(crop))

    def test_scale_does_not_matter(self) -> None:
        x = field(1, 6, 4, 4)
        torch.testing.assert_close(RMSNorm(6)(1000 * x), RMSNorm(6)(x), atol=1e-4, rtol=1e-4)

    def test_zeros(self) -> None:
        assert (RMSNorm(6)(torch.zeros(1, 6, 2, 2)) == 0).all()

    def test_keeps_channels_last(self) -> None:
        x = field(2, 6, 5, 7).contiguous(memory_format=torch.channels_last)
        out = RMSNorm(6)(x)
        assert out.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(out, RMSNorm(6)(x.contiguous()), atol=1e-6, rtol=1e-6)


class TestResBlock:
    def test_fresh_is_the_identity(self) -> None:
        x = field(2, 8, 6, 6)
        assert torch.equal(ResBlock(8)(x), x)
        assert torch.equal(ResBlock(8, 16)(x, field(2, 16)), x)

    def test_definition(self) -> None:
        torch.manual_seed(0)
        block = ResBlock(4, 3)
        for weight in block.parameters():
            nn.init.normal_(weight, std=0.3)
        x, e = field(2, 4, 5, 5), field(2, 3, seed=1)
        h = block.norm2(block.conv1(nn.functional.silu(block.norm1(x))))
        s, b = block.film(e)[:, :4, None, None], block.film(e)[:, 4:, None, None]
        expected = x + block.conv2(nn.functional.silu(h * (1 + s) + b))
        torch.testing.assert_close(block(x, e), expected)

    def test_reach_is_two_cells(self) -> None:
        torch.manual_seed(0)
        block = ResBlock(4)
        nn.init.normal_(block.conv2.weight)
        x = field(1, 4, 11, 11)
        moved = x.clone()
        moved[..., 5, 5] += 1
        changed = (block(moved) != block(x)).any(dim=1)[0]
        rows, columns = torch.nonzero(changed, as_tuple=True)
        assert (rows.min().item(), rows.max().item()) == (3, 7)
        assert (columns.min().item(), columns.max().item()) == (3, 7)

    def test_embedding_of_one_serves_a_batch(self) -> None:
        torch.manual_seed(0)
        block = ResBlock(4, 3)
        for weight in block.parameters():
            nn.init.normal_(weight, std=0.3)
        x, e = field(3, 4, 5, 5), field(1, 3, seed=1)
        torch.testing.assert_close(block(x, e), block(x, e.expand(3, -1)))


class TestNoiseEmbedding:
    def test_sines_and_cosines(self) -> None:
        embedding = NoiseEmbedding(8)
        embedding.net = nn.Identity()
        frequency = np.exp(np.linspace(0, np.log(1000.0), 4))
        out = embedding(torch.tensor([0.0, 0.3])).numpy()
        np.testing.assert_allclose(out[0], [0, 0, 0, 0, 1, 1, 1, 1])
        expected = np.concatenate([np.sin(0.3 * frequency), np.cos(0.3 * frequency)])
        np.testing.assert_allclose(out[1], expected, atol=1e-4)

    def test_levels_are_told_apart(self) -> None:
        torch.manual_seed(0)
        out = NoiseEmbedding(64)(torch.linspace(0, 1, 101))
        distance = torch.cdist(out, out) + 10 * torch.eye(101)
        assert distance.min() > 1e-3
        assert out.shape == (101, 64)


@pytest.mark.parametrize("layer", [nn.Linear(3, 2), nn.Linear(3, 2, bias=False), nn.Conv2d(3, 2, 3)])
def test_zeroed(layer: nn.Linear | nn.Conv2d) -> None:
    assert zeroed(layer) is layer
    assert all((weight == 0).all() for weight in layer.parameters())
