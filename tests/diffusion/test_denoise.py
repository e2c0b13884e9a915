"""What is predicted, and what that says of the data."""

from __future__ import annotations

import pytest
import torch

from xdownscale.diffusion.denoise import estimate, target
from xdownscale.diffusion.schedule import Cosine, Flow, Latent, Regression, Schedule

PROCESSES = [Flow(), Cosine()]


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    r, e = (torch.randn((5, 1, 4, 6), generator=generator, dtype=torch.float64) for _ in range(2))
    return r, e


def noised(process: Schedule, r: torch.Tensor, e: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    shape = (-1, 1, 1, 1)
    return process.alpha(t).view(shape) * r + process.sigma(t).view(shape) * e


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
def test_a_perfect_prediction_gives_the_data(process: Schedule) -> None:
    r, e = pair()
    t = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0], dtype=torch.float64)
    found = estimate(process, noised(process, r, e, t), target(process, r, e, t), t)
    torch.testing.assert_close(found, r, atol=1e-14, rtol=0)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
def test_at_the_noise_end_the_state_does_not_enter(process: Schedule) -> None:
    """There x0 is read from the prediction alone: minus v for ddpm; e minus the prediction for flow."""
    r, e = pair()
    one = torch.ones(5, dtype=torch.float64)
    prediction = target(process, r, e, one)
    x0 = estimate(process, e, prediction, one)
    torch.testing.assert_close(
        x0, e - prediction if process.name == "flow" else -prediction, atol=1e-15, rtol=0
    )
    # a prediction of zero is an estimate of zero for ddpm, and the noise itself for flow
    silent = estimate(process, e, torch.zeros_like(e), one)
    assert torch.equal(silent, e if process.name == "flow" else torch.zeros_like(e))


def test_targets_by_hand() -> None:
    r, e = torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 5.0)
    assert target(Flow(), r, e, torch.tensor([0.25])).item() == 2.0
    half = torch.tensor([0.5], dtype=torch.float64)
    assert target(Cosine(), r.double(), e.double(), half).item() == pytest.approx(2 * 0.5**0.5, rel=1e-14)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: p.name)
def test_target_is_the_slope_of_the_path(process: Schedule) -> None:
    """d x_t / dt is the target for flow, and pi / 2 times it for the squared cosine."""
    r, e = pair()
    t, h = torch.full((5,), 0.3, dtype=torch.float64), 1e-6
    slope = (noised(process, r, e, t + h) - noised(process, r, e, t - h)) / (2 * h)
    scale = 1.0 if process.name == "flow" else torch.pi / 2
    torch.testing.assert_close(slope, scale * target(process, r, e, t), atol=1e-8, rtol=1e-8)


def test_every_sample_has_its_own_level() -> None:
    r, e = pair()
    t = torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0], dtype=torch.float64)
    together = target(Cosine(), r, e, t)
    for i in range(5):
        assert torch.equal(target(Cosine(), r[i : i + 1], e[i : i + 1], t[i : i + 1]), together[i : i + 1])


def test_a_decoder_sees_its_latent_alone() -> None:
    r, e = pair()
    t = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0], dtype=torch.float64)
    torch.testing.assert_close(noised(Latent(), r, e, t), e)
    torch.testing.assert_close(target(Latent(), r, e, t), r)
    torch.testing.assert_close(estimate(Latent(), e, r, t), r)


def test_regression_sees_neither_data_nor_noise() -> None:
    r, e = pair()
    t = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0], dtype=torch.float64)
    assert (noised(Regression(), r, e, t) == 0).all()
    torch.testing.assert_close(target(Regression(), r, e, t), r)
    torch.testing.assert_close(estimate(Regression(), e, r, t), r)
