"""The posterior of a latent field is the prior until it has learned, and local."""

from __future__ import annotations

import pytest
import torch

from xdownscale.nn.vae import Posterior
from xdownscale.training.objective import bound


def test_a_fresh_one_is_the_prior() -> None:
    network = Posterior(3, (8, 8, 16), 1)
    mean, log_variance = network(torch.randn(2, 1, 16, 24), torch.randn(2, 3, 16, 24))
    assert mean.shape == log_variance.shape == (2, 1, 16, 24)
    assert not mean.any()
    assert not log_variance.any()


def test_tells_mean_and_variance_apart_and_bounds_the_latter() -> None:
    network = Posterior(1, (8,), 1)
    with torch.no_grad():
        network.unet.head.bias.copy_(torch.tensor([2.0] * 4 + [50.0] * 4))
    mean, log_variance = network(torch.randn(1, 1, 8, 8), torch.randn(1, 1, 8, 8))
    assert (mean == 2).all()
    assert (log_variance == 10).all()


def test_the_divergence_is_that_of_torch() -> None:
    mean, log_variance = torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(
        normal(mean, (0.5 * log_variance).exp()), normal(torch.zeros(()), torch.ones(()))
    )
    zero = torch.zeros_like(mean)
    _, found = bound(zero, zero + 1, zero + 1, mean, log_variance)
    torch.testing.assert_close(found, expected.mean())


def test_the_likelihood_is_of_the_cells_that_count() -> None:
    residual, weight = torch.tensor([3.0, 100.0]), torch.tensor([1.0, 0.0])
    error, _ = bound(torch.zeros(2), residual, weight, torch.zeros(2), torch.zeros(2))
    assert float(error) == pytest.approx(float(torch.tensor(3.0).log()))
