"""Samplers against closed forms.

With a Gaussian prior N(m, S) and noise of spectrum N, diagonal in Fourier space, the exact denoiser is

    x0 = m + alpha S / (alpha^2 S + sigma^2 N) (x_t - alpha m)

which is affine: so is a sampler, and zero and unit vectors give its mean and variance without sampling error.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from xdownscale.diffusion.sample import Sampler, mean, sample
from xdownscale.diffusion.schedule import Cosine, Flow, Latent, Regression, Schedule, from_name

PROCESS = {"midpoint": "flow", "euler": "flow", "ddim": "ddpm", "dpmpp": "ddpm", "ddpm": "ddpm"}
CENTRE = 0.7
_WAVES = np.arange(1, 33) / 64
RED = 1 / (1 + (30 * _WAVES) ** 2) ** 1.5
RED = RED / RED.mean()
WHITE = np.ones(4)

Denoise = Callable[[Tensor, float], Tensor]


def shares(process: Schedule, t: float) -> tuple[Tensor, Tensor]:
    level = torch.tensor(t, dtype=torch.float64)
    return process.alpha(level), process.sigma(level)


def gaussian(process: Schedule, prior: Tensor, noise: Tensor) -> Denoise:
    """Row 0 carries the mean, the others unit vectors of the noise."""

    def denoise(x: Tensor, t: float) -> Tensor:
        alpha, sigma = shares(process, t)
        gain = alpha * prior / (alpha**2 * prior + sigma**2 * noise)
        x0 = gain * x
        x0[0] = CENTRE + gain * (x[0] - alpha * CENTRE)
        return x0

    return denoise


def moments(
    sampler: Sampler, prior: np.ndarray, noise: np.ndarray, times: Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each Fourier mode of a sampler's draws, exactly."""
    process = from_name(PROCESS[sampler.name])
    s, n = (torch.as_tensor(v, dtype=torch.float64) for v in (prior, noise))
    steps = sampler.evaluations if sampler.name == "ddpm" else 0
    x = torch.zeros((2 + steps, len(s)), dtype=torch.float64)
    x[1] = n.sqrt()

    def drawn(step: int) -> Tensor:
        e = torch.zeros_like(x)
        e[2 + step] = n.sqrt()
        return e

    out = sample(gaussian(process, s, n), x, process, sampler, times=times, noise=drawn)
    return out[0].numpy(), (out[1:] ** 2).sum(dim=0).numpy()


def bimodal(process: Schedule) -> Denoise:
    """The exact denoiser of a mixture of two Gaussians, cell by cell."""
    centre, weight = (
        torch.tensor([-1.0, 1.5], dtype=torch.float64),
        torch.tensor([0.4, 0.6], dtype=torch.float64),
    )
    variance = 0.09

    def denoise(x: Tensor, t: float) -> Tensor:
        alpha, sigma = shares(process, t)
        total = alpha**2 * variance + sigma**2
        apart = x[..., None] - alpha * centre
        p = torch.softmax(weight.log() - 0.5 * apart**2 / total, dim=-1)
        return (p * (centre + alpha * variance / total * apart)).sum(dim=-1)

    return denoise


def by_log_snr(steps: int, low: float, high: float) -> Tensor:
    """Equal steps of log(alpha / sigma) of the squared cosine, closed by 1 and 0."""
    inner = 2 / torch.pi * torch.atan(torch.exp(-torch.linspace(low, high, steps - 1, dtype=torch.float64)))
    return torch.cat([torch.ones(1, dtype=torch.float64), inner, torch.zeros(1, dtype=torch.float64)])


class TestGaussianPrior:
    @pytest.mark.parametrize("prior", [WHITE, 0.25 * WHITE, 4 * WHITE, RED, 0.3 * RED], ids=str)
    def test_midpoint_in_eight(self, prior: np.ndarray) -> None:
        """With noise of the prior's spectrum every scale is as easy as every other."""
        centre, variance = moments(Sampler("midpoint", 8), prior, prior / prior.mean())
        np.testing.assert_allclose(centre, CENTRE, rtol=0.03)
        np.testing.assert_allclose(variance / prior, 1.0, atol=0.03)

    def test_midpoint_with_white_noise_loses_small_scales(self) -> None:
        """Why the noise is shaped: measured 0.47 of the variance at the smallest scale."""
        _, variance = moments(Sampler("midpoint", 8), RED, np.ones(32))
        assert (variance / RED)[-1] < 0.6
        assert variance.sum() / RED.sum() == pytest.approx(1.0, abs=0.03)

    @pytest.mark.parametrize("prior", [WHITE, 0.25 * WHITE], ids=str)
    def test_dpmpp_in_sixteen(self, prior: np.ndarray) -> None:
        centre, variance = moments(Sampler("dpmpp", 16), prior, WHITE)
        np.testing.assert_allclose(centre, CENTRE, rtol=0.02)
        np.testing.assert_allclose(variance / prior, 1.0, atol=0.02)

    def test_dpmpp_in_sixteen_of_a_red_prior(self) -> None:
        """Equal steps of t are not enough, equal steps of the log signal-to-noise ratio are."""
        noise = np.ones(32)
        _, plain = moments(Sampler("dpmpp", 16), RED, noise)
        assert (plain / RED)[-1] < 0.5
        centre, variance = moments(Sampler("dpmpp", 16), RED, noise, by_log_snr(16, -3, 4))
        np.testing.assert_allclose(centre, CENTRE, rtol=0.02)
        assert variance.sum() / RED.sum() == pytest.approx(1.0, abs=0.02)
        np.testing.assert_allclose(variance / RED, 1.0, atol=0.055)

    @pytest.mark.parametrize("prior", [WHITE, 0.25 * WHITE, 4 * WHITE], ids=str)
    def test_ddpm_in_a_thousand(self, prior: np.ndarray) -> None:
        centre, variance = moments(Sampler("ddpm", 1000), prior, WHITE)
        np.testing.assert_allclose(centre, CENTRE, rtol=0.02)
        np.testing.assert_allclose(variance / prior, 1.0, atol=0.02)

    def test_ddpm_in_a_thousand_of_a_red_prior(self) -> None:
        _, variance = moments(Sampler("ddpm", 1000), RED[::8], np.ones(4))
        np.testing.assert_allclose(variance / RED[::8], 1.0, atol=0.05)
        assert variance.sum() / RED[::8].sum() == pytest.approx(1.0, abs=0.02)

    def test_fields_in_float32(self) -> None:
        """The same through fast Fourier transforms, with sampled noise: what a network's user sees."""
        n = 64
        k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None, :])
        spectrum = torch.as_tensor(1 / (1 + (20 * k) ** 2) ** 1.5)
        white = torch.randn((200, n, n), generator=torch.Generator().manual_seed(0))
        start = torch.fft.irfft2(torch.fft.rfft2(white) * spectrum.sqrt(), s=(n, n)).float()
        start = start / start.std()
        prior = 0.36

        def denoise(x: Tensor, t: float) -> Tensor:
            alpha, sigma = (float(v) for v in shares(Flow(), t))
            return 0.5 + alpha * prior / (alpha**2 * prior + sigma**2) * (x - alpha * 0.5)

        out = sample(denoise, start, Flow(), Sampler("midpoint", 8))
        assert out.dtype == torch.float32
        assert out.mean().item() == pytest.approx(0.5, abs=0.02)
        assert out.var().item() == pytest.approx(prior, rel=0.03)
        power = torch.fft.rfft2(out - 0.5).abs().square().mean(dim=0) / torch.fft.rfft2(
            start
        ).abs().square().mean(dim=0)
        np.testing.assert_allclose(power.numpy(), prior, rtol=0.03)


class TestOrder:
    """Errors by halving of the step."""

    @pytest.mark.parametrize(
        ("name", "low", "high"), [("euler", 0.9, 1.15), ("ddim", 0.9, 1.15), ("midpoint", 1.8, 2.15)]
    )
    def test_on_a_bimodal_prior(self, name: str, low: float, high: float) -> None:
        process, x = from_name(PROCESS[name]), torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)
        each = 2 if name == "midpoint" else 1
        ends = [
            sample(bimodal(process), x, process, Sampler(name, each * n)) for n in (32, 64, 128, 256, 2048)
        ]
        errors = np.array([float((end - ends[-1]).abs().mean()) for end in ends[:-1]])
        orders = np.log2(errors[:-1] / errors[1:])
        assert ((low < orders) & (orders < high)).all()

    def test_dpmpp_on_equal_steps_of_log_snr(self) -> None:
        x, process = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64), Cosine()
        ends = [
            sample(bimodal(process), x, process, Sampler("dpmpp", n), times=by_log_snr(n, -4, 4))
            for n in (32, 64, 128, 256, 2048)
        ]
        errors = np.array([float((end - ends[-1]).abs().mean()) for end in ends[:-1]])
        np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 2.0, atol=0.15)

    def test_dpmpp_on_equal_steps_of_t(self) -> None:
        """lambda is infinite at both ends: the order is only approached."""
        errors = [abs(moments(Sampler("dpmpp", n), 4 * WHITE, WHITE)[1][0] / 4 - 1) for n in (64, 128, 256)]
        assert errors[0] < 0.01
        assert 1.5 < np.log2(errors[1] / errors[2]) < 2.0

    def test_midpoint_is_of_third_order_on_a_gaussian(self) -> None:
        errors = [
            abs(moments(Sampler("midpoint", 2 * n), 0.25 * WHITE, WHITE)[1][0] / 0.25 - 1)
            for n in (8, 16, 32)
        ]
        np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 3.0, atol=0.1)

    @pytest.mark.parametrize("name", ["euler", "ddim"])
    def test_first_order_on_a_gaussian(self, name: str) -> None:
        errors = [
            abs(moments(Sampler(name, n), 0.25 * WHITE, WHITE)[1][0] ** 0.5 / 0.5 - 1) for n in (64, 128, 256)
        ]
        np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 1.0, atol=0.05)


class TestContract:
    @pytest.mark.parametrize("evaluations", [1, 2, 7, 10])
    @pytest.mark.parametrize("name", list(PROCESS))
    def test_exactly_so_many_calls(self, name: str, evaluations: int) -> None:
        evaluations += name == "midpoint" and evaluations % 2
        levels: list[float] = []
        steps: list[int] = []
        asked: list[int] = []

        def denoise(x: Tensor, t: float) -> Tensor:
            levels.append(t)
            return torch.full_like(x, 3.0)

        def noise(step: int) -> Tensor:
            asked.append(step)
            return torch.zeros(5)

        process = from_name(PROCESS[name])
        out = sample(
            denoise, torch.randn(5), process, Sampler(name, evaluations), noise=noise, progress=steps.append
        )
        # whatever the sampler, a denoiser that is certain is believed
        torch.testing.assert_close(out, torch.full((5,), 3.0), atol=1e-5, rtol=0)
        assert len(levels) == evaluations
        assert levels[0] == 1.0
        assert all(0 < b < a for a, b in pairwise(levels))
        assert steps == list(range(evaluations // 2 if name == "midpoint" else evaluations))
        # the last step of an ancestral sampler draws nothing
        assert asked == (list(range(evaluations - 1)) if name == "ddpm" else [])

    def test_the_start_is_not_changed(self) -> None:
        for name, process in PROCESS.items():
            start = torch.randn(4, 4)
            before = start.clone()
            sample(
                lambda x, _: 0.5 * x,
                start,
                from_name(process),
                Sampler(name, 4),
                noise=lambda _: torch.ones(4, 4),
            )
            assert torch.equal(start, before)

    @pytest.mark.parametrize("name", list(PROCESS))
    def test_the_other_process_is_refused(self, name: str) -> None:
        other = Cosine() if PROCESS[name] == "flow" else Flow()
        message = (
            rf"sampler '{name}' is for process '{PROCESS[name]}', the model's is '{other.name}': expected"
        )
        with pytest.raises(ValueError, match=message):
            sample(lambda x, _: x, torch.randn(2), other, Sampler(name, 2))

    def test_ddpm_needs_noise(self) -> None:
        with pytest.raises(ValueError, match=r"sampler 'ddpm' draws noise at every step: hand in noise="):
            sample(lambda x, _: x, torch.randn(2), Cosine(), Sampler("ddpm", 2))

    @pytest.mark.parametrize(
        "times",
        [
            [1.0, 0.0],
            [1.0, 0.5, 0.4, 0.0],
            [0.9, 0.5, 0.0],
            [1.0, 0.5, 0.1],
            [1.0, 1.0, 0.0],
            [1.0, np.nan, 0.0],
        ],
    )
    def test_times_that_are_not_its_steps(self, times: list[float]) -> None:
        with pytest.raises(ValueError, match="expected 3 values falling from 1 to 0"):
            sample(lambda x, _: x, torch.randn(2), Flow(), Sampler("euler", 2), times=torch.tensor(times))

    def test_times_of_midpoint_are_its_steps(self) -> None:
        seen: list[float] = []

        def denoise(x: Tensor, t: float) -> Tensor:
            seen.append(t)
            return x

        sample(denoise, torch.randn(2), Flow(), Sampler("midpoint", 4), times=torch.tensor([1.0, 0.25, 0.0]))
        assert seen == [1.0, 0.625, 0.25, 0.125]

    @pytest.mark.parametrize(
        ("name", "evaluations", "message"),
        [
            ("heun", 4, "sampler is 'heun': expected one of"),
            ("midpoint", 5, "midpoint takes two evaluations a step: found 5, expected an even number"),
            ("euler", 0, "evaluations is 0: expected 1 to 10000"),
            ("euler", 20_000, "evaluations is 20000"),
        ],
    )
    def test_refused(self, name: str, evaluations: int, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Sampler(name, evaluations)

    @pytest.mark.parametrize("evaluations", [4.0, "4", True, None])
    def test_other_types_are_refused(self, evaluations: object) -> None:
        with pytest.raises(TypeError, match="expected a whole number"):
            Sampler("euler", evaluations)  # type: ignore[arg-type]


class TestMean:
    def test_is_one_evaluation_at_the_noise_end(self) -> None:
        calls: list[float] = []

        def denoise(x: Tensor, t: float) -> Tensor:
            calls.append(t)
            return 2 * x

        assert mean(denoise, torch.tensor([1.5]), Flow()).item() == 3.0
        assert calls == [1.0]

    @pytest.mark.parametrize("process", [Flow(), Cosine()], ids=lambda p: p.name)
    def test_is_the_priors_mean(self, process: Schedule) -> None:
        """At t = 1 the state says nothing of the data."""
        start = torch.randn((3, 32), dtype=torch.float64)
        denoise = gaussian(process, torch.as_tensor(RED), torch.ones(32, dtype=torch.float64))
        assert torch.equal(mean(denoise, start, process)[0], torch.full((32,), CENTRE, dtype=torch.float64))
        # the unit vectors have mean zero
        assert (mean(denoise, start, process)[1:] == 0).all()

    def test_of_a_decoder_is_its_answer_to_a_latent_of_zero(self) -> None:
        start = torch.randn(5)
        assert torch.equal(mean(lambda x, _: x + 3, start, Latent()), torch.full((5,), 3.0))
        assert torch.equal(sample(lambda x, _: x + 3, start, Latent(), Sampler("direct", 1)), start + 3)


def test_direct_is_one_look_at_the_noise_end() -> None:
    seen: list[float] = []

    def denoise(x: torch.Tensor, t: float) -> torch.Tensor:
        seen.append(t)
        return x + 2

    found = sample(denoise, torch.zeros(3), Regression(), Sampler("direct", 1))
    assert found.tolist() == [2.0, 2.0, 2.0]
    assert seen == [1.0]
    with pytest.raises(ValueError, match="direct takes 1: found 4 evaluations"):
        Sampler("direct", 4)
    with pytest.raises(ValueError, match=r"expected one of \['direct'\]"):
        Sampler("euler", 1).check(Regression())
