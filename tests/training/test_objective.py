"""The loss and the noise of stage 2."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from scipy.special import expit, ndtri

from xdownscale.noise import Spectrum, estimate, shaped
from xdownscale.training.objective import coloured, levels, roughness, weighted_loss

KERNEL = Spectrum(
    tuple(1.0 / (1.0 + (30.0 * k) ** 2) ** 1.5 for k in np.linspace(0, 0.5, 33)), 1e-3, 12
).kernel()


class TestColoured:
    def test_is_the_convolution(self) -> None:
        """No wrap-around: the same as a direct convolution's valid part."""
        found = coloured(KERNEL, (2, 20, 30), np.random.default_rng(3)).numpy()
        white = np.random.default_rng(3).standard_normal((2, 44, 54), dtype=np.float32)
        for ours, field in zip(found[:, 0], white, strict=True):
            np.testing.assert_allclose(ours, convolve2d(field, KERNEL, mode="valid"), atol=5e-6)

    def test_unit_variance(self) -> None:
        values = coloured(KERNEL, (64, 64, 64), np.random.default_rng(0))
        assert values.dtype == torch.float32
        assert values.mean().item() == pytest.approx(0.0, abs=0.03)
        assert values.var().item() == pytest.approx(1.0, rel=0.03)
        # at every place of the crop alike: opposite edges are no neighbours
        places = values.square().mean(dim=(0, 1))
        assert places[:4].mean().item() == pytest.approx(1.0, rel=0.12)
        edges = (values[:, 0, :, 0] * values[:, 0, :, -1]).mean().item()
        assert abs(edges) < 0.1

    def test_is_the_noise_of_inference(self) -> None:
        training = coloured(KERNEL, (12, 192, 192), np.random.default_rng(0))[:, 0].numpy()
        drawn = np.stack([shaped(KERNEL, (0, 192), (0, 192), seed=0, member=m, instant=0) for m in range(12)])
        ours, theirs = (np.array(estimate(f).power) for f in (training, drawn))
        np.testing.assert_allclose(ours[3:] / theirs[3:], 1.0, atol=0.2)
        assert abs(np.log(ours[6:] / theirs[6:]).mean()) < 0.02

    def test_white(self) -> None:
        found = coloured(np.ones((1, 1)), (3, 4, 5), np.random.default_rng(1))
        expected = np.random.default_rng(1).standard_normal((3, 4, 5), dtype=np.float32)
        assert (found[:, 0].numpy() == expected).all()


class TestLevels:
    def test_logit_normal_in_strata(self) -> None:
        n = 64
        found = levels(n, 0.0, np.random.default_rng(0)).double().numpy()
        assert ((found > 0) & (found < 1)).all()
        strata = expit(0.3 + ndtri(np.arange(n + 1) / n))
        counts, _ = np.histogram(found, strata)
        assert counts.tolist() == [1] * n

    def test_order_is_shuffled(self) -> None:
        found = levels(256, 0.0, np.random.default_rng(0))
        rank = np.corrcoef(np.arange(256), found)[0, 1]
        assert abs(rank) < 0.2

    @pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
    def test_share_at_the_noise_end(self, share: float) -> None:
        found = levels(20_000, share, np.random.default_rng(0))
        assert found.dtype == torch.float32
        assert (found == 1).float().mean().item() == pytest.approx(share, abs=0.01)

    def test_one(self) -> None:
        assert 0 < levels(1, 0.0, np.random.default_rng(0)).item() < 1


class TestRoughness:
    def test_white(self) -> None:
        assert roughness(np.ones((1, 1))) == 4.0

    def test_of_fields(self) -> None:
        e = np.stack([shaped(KERNEL, (0, 200), (0, 200), seed=0, member=m, instant=0) for m in range(8)])
        drawn = (np.diff(e, axis=1) ** 2).mean() + (np.diff(e, axis=2) ** 2).mean()
        assert roughness(KERNEL) == pytest.approx(drawn, rel=0.02)
        assert roughness(KERNEL) < 1


class TestLoss:
    def batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        p, q = (torch.randn((3, 1, 8, 9), generator=generator) for _ in range(2))
        return p, q, (torch.rand((3, 1, 8, 9), generator=generator) > 0.4).float()

    def test_plain(self) -> None:
        p, q, _ = self.batch()
        assert weighted_loss(p, q, torch.ones_like(p), 1.0, 0.0).item() == pytest.approx(
            ((p - q) ** 2).mean().item()
        )

    def test_by_loops(self) -> None:
        p, q, m = self.batch()
        e, w = (p - q)[:, 0].double().numpy(), m[:, 0].numpy()
        terms = {"value": [0.0, 0.0], "dy": [0.0, 0.0], "dx": [0.0, 0.0]}
        for b, i, j in np.ndindex(e.shape):
            for name, (k, n) in {"value": (i, j), "dy": (i - 1, j), "dx": (i, j - 1)}.items():
                if min(k, n) < 0 or not w[b, i, j] or not w[b, k, n]:
                    continue
                terms[name][0] += (e[b, i, j] if name == "value" else e[b, i, j] - e[b, k, n]) ** 2
                terms[name][1] += 1
        value, dy, dx = (total / count for total, count in terms.values())
        found = weighted_loss(p, q, m, 0.5, 0.25).item()
        assert found == pytest.approx(value + 0.25 * (dy + dx) / 0.5, rel=1e-5)

    def test_masked_cells_are_not_seen(self) -> None:
        p, q, m = self.batch()
        p.requires_grad_()
        other = torch.where(m > 0, q, torch.full_like(q, 1e3))
        losses = [weighted_loss(p, t, m, 0.5, 0.25) for t in (q, other)]
        assert losses[0].item() == losses[1].item()
        losses[0].backward()
        assert (p.grad[m == 0] == 0).all()
        assert (p.grad[m > 0] != 0).all()

    def test_nothing_known(self) -> None:
        p, q, m = self.batch()
        assert weighted_loss(p, q, torch.zeros_like(m), 0.5, 0.25).item() == 0.0

    def test_noise_costs_the_same_in_both_terms(self) -> None:
        """A prediction of zero for unit noise: one, and one more at share 1."""
        e = torch.as_tensor(
            np.stack([shaped(KERNEL, (0, 256), (0, 256), seed=0, member=m, instant=0) for m in range(6)])
        )
        loss = weighted_loss(
            torch.zeros(6, 1, 256, 256), e[:, None], torch.ones(6, 1, 256, 256), roughness(KERNEL), 1.0
        )
        assert loss.item() == pytest.approx(2.0, rel=0.05)

    def test_both_terms_are_least_at_the_mean(self) -> None:
        """The best single answer to many targets is their mean, with or without the gradient's term."""
        generator = torch.Generator().manual_seed(0)
        targets = torch.randn((40, 1, 6, 6), generator=generator, dtype=torch.float64)
        for share in (0.0, 1.0):
            p = torch.zeros((1, 1, 6, 6), dtype=torch.float32, requires_grad=True)
            with torch.no_grad():
                p.copy_(targets.mean(dim=0, keepdim=True))
            weighted_loss(p.expand(40, -1, -1, -1), targets, torch.ones_like(targets), 4.0, share).backward()
            assert p.grad.abs().max().item() < 1e-6
