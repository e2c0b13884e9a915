"""Samplers: loops of small steps from noise to data, told only what x0 seems to be.

With e^ = (x_t - alpha x0) / sigma the state at any earlier s follows from an estimate x0 at t,

    euler, ddim   x_s = alpha_s x0 + sigma_s e^
    midpoint      x_m so, at m = (t + s) / 2; then the velocity at m carries x_t to s (second order, flow)
    dpmpp         x_s = sigma_s / sigma_t x_t - alpha_s (exp(-h) - 1) D,  D = x0 + h / (2 h') (x0 - x0')
                  with lambda = log(alpha / sigma), h = lambda_s - lambda_t, primes for the step before
                  (DPM-Solver++ 2M, arXiv 2211.01095)
    ddpm          a draw of q(x_s | x_t, x0) (ancestral, arXiv 2006.11239)
    fast          midpoint in one step; the second x0 is that of a distilled network (`training.distillation`)
    direct        x0 itself (regression, vae)

`denoise(x_t, t)` is called exactly `evaluations` times. A sampler holds no state; noise between steps is
handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xdownscale.diffusion.schedule import grid

if TYPE_CHECKING:
    from xdownscale.diffusion.schedule import Schedule

__all__ = ["FIXED", "Sampler", "mean", "sample"]

Denoise = Callable[[Tensor, float], Tensor]
_FOR = {
    "midpoint": ("flow",),
    "euler": ("flow",),
    "fast": ("flow",),
    "ddpm": ("ddpm",),
    "ddim": ("ddpm",),
    "dpmpp": ("ddpm",),
    "direct": ("regression", "vae"),
}
FIXED = {"fast": 2, "direct": 1}


@dataclass(frozen=True)
class Sampler:
    """A sampler's name and its number of evaluations.

    Attributes
    ----------
    name : {"midpoint", "euler", "fast", "ddpm", "ddim", "dpmpp", "direct"}
        The first three for `flow`, the last for `regression` and `vae`, the others for `ddpm`; `fast` for
        models that were distilled.
    evaluations : int, 1-10000
        Even for `midpoint`, which takes two a step; 2 for `fast`, 1 for `direct`.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> Sampler("midpoint", 3)
    Traceback (most recent call last):
        ...
    ValueError: midpoint takes two evaluations a step: found 3, expected an even number
    """

    name: str
    evaluations: int

    def __post_init__(self) -> None:
        if self.name not in _FOR:
            raise ValueError(f"sampler is {self.name!r}: expected one of {sorted(_FOR)}")
        if isinstance(self.evaluations, bool) or not isinstance(self.evaluations, int):
            raise TypeError(f"evaluations is {self.evaluations!r}: expected a whole number")
        if not 1 <= self.evaluations <= 10_000:
            raise ValueError(f"evaluations is {self.evaluations}: expected 1 to 10000")
        if self.name == "midpoint" and self.evaluations % 2:
            raise ValueError(
                f"midpoint takes two evaluations a step: found {self.evaluations}, expected an even number"
            )
        fixed = FIXED.get(self.name, self.evaluations)
        if self.evaluations != fixed:
            raise ValueError(f"{self.name} takes {fixed}: found {self.evaluations} evaluations")

    def check(self, schedule: Schedule) -> None:
        """Raise ValueError if the sampler is not one of the process's."""
        if schedule.name not in _FOR[self.name]:
            fitting = sorted(k for k, v in _FOR.items() if schedule.name in v)
            served = " or ".join(map(repr, _FOR[self.name]))
            raise ValueError(
                f"sampler {self.name!r} is for process {served}, the model's is {schedule.name!r}: "
                f"expected one of {fitting}"
            )


def sample(
    denoise: Denoise,
    start: Tensor,
    schedule: Schedule,
    sampler: Sampler,
    *,
    times: Tensor | None = None,
    noise: Callable[[int], Tensor] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Tensor:
    """Draw from noise.

    Parameters
    ----------
    denoise : callable
        (x_t, t) to the estimate x0.
    start : Tensor
        Noise at t = 1.
    schedule : Schedule
    sampler : Sampler
    times : Tensor, shape (steps + 1,), falling from 1 to 0, optional
        Equal steps of t when not given; `dpmpp` on red spectra wants `schedule.even_snr`.
    noise : callable, optional
        Step number to unit noise of the process's spectrum; for `ddpm`.
    progress : callable, optional
        Called with the step's number after each.

    Returns
    -------
    Tensor
        Like `start`.

    Raises
    ------
    ValueError
        If the sampler is not the process's, the times are not its steps, or `ddpm` has no noise.

    Examples
    --------
    >>> from xdownscale.diffusion.schedule import Flow
    >>> sample(lambda x, t: torch.full_like(x, 3.0), torch.randn(2), Flow(), Sampler("euler", 1))
    tensor([3., 3.])
    """
    sampler.check(schedule)
    if sampler.name == "direct":
        return denoise(start, 1.0)
    second_order = sampler.name in ("midpoint", "fast")
    steps = sampler.evaluations // 2 if second_order else sampler.evaluations
    knots = grid(steps) if times is None else times.double()
    if len(knots) != steps + 1 or knots[0] != 1 or knots[-1] != 0 or not bool((knots.diff() < 0).all()):
        raise ValueError(f"times are {knots.tolist()}: expected {steps + 1} values falling from 1 to 0")
    if sampler.name == "ddpm" and noise is None:
        raise ValueError("sampler 'ddpm' draws noise at every step: hand in noise=")
    advance = _midpoint if second_order else _direct
    if sampler.name == "dpmpp":
        return _multistep(denoise, start, schedule, knots, progress)
    x = start
    for i in range(steps):
        t, s = float(knots[i]), float(knots[i + 1])
        x = (
            _ancestral(denoise, x, schedule, t, s, noise, i)
            if sampler.name == "ddpm"
            else advance(denoise, x, schedule, t, s)
        )
        if progress is not None:
            progress(i)
    return x


def mean(denoise: Denoise, start: Tensor, schedule: Schedule) -> Tensor:
    """The conditional mean, in one evaluation: at the noise end; of a `vae`, for a latent of zero."""
    return denoise(torch.zeros_like(start) if schedule.name == "vae" else start, 1.0)


def _shares(schedule: Schedule, t: float) -> tuple[float, float]:
    level = torch.tensor(t, dtype=torch.float64)
    return float(schedule.alpha(level)), float(schedule.sigma(level))


def _moved(x: Tensor, x0: Tensor, schedule: Schedule, t: float, s: float) -> Tensor:
    """From t to s along the line through x0 and the noise it implies."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = _shares(schedule, t), _shares(schedule, s)
    noise = (x - alpha_t * x0) / sigma_t
    moved: Tensor = alpha_s * x0 + sigma_s * noise
    return moved


def _direct(denoise: Denoise, x: Tensor, schedule: Schedule, t: float, s: float) -> Tensor:
    return _moved(x, denoise(x, t), schedule, t, s)


def _midpoint(denoise: Denoise, x: Tensor, schedule: Schedule, t: float, s: float) -> Tensor:
    """The velocity at the middle, (x_m - x0) / m, carries the whole step."""
    m = 0.5 * (t + s)
    x_m = _direct(denoise, x, schedule, t, m)
    return x + (s - t) / m * (x_m - denoise(x_m, m))


def _ancestral(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    t: float,
    s: float,
    noise: Callable[[int], Tensor] | None,
    step: int,
) -> Tensor:
    x0 = denoise(x, t)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = _shares(schedule, t), _shares(schedule, s)
    ratio = alpha_t / alpha_s
    lost = sigma_t**2 - ratio**2 * sigma_s**2
    from_x, from_x0 = ratio * sigma_s**2 / sigma_t**2, alpha_s * lost / sigma_t**2
    centre: Tensor = from_x * x + from_x0 * x0
    if s == 0 or noise is None:
        return centre
    drawn: Tensor = centre + (lost**0.5 * sigma_s / sigma_t) * noise(step)
    return drawn


def _multistep(
    denoise: Denoise, x: Tensor, schedule: Schedule, knots: Tensor, progress: Callable[[int], object] | None
) -> Tensor:
    """DPM-Solver++ 2M; lambda is infinite at both ends: DDIM's first step, and the last lands on x0."""
    before: Tensor | None = None
    h_before = 0.0
    for i, (t, s) in enumerate(zip(knots[:-1].tolist(), knots[1:].tolist(), strict=True)):
        x0 = denoise(x, t)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = _shares(schedule, t), _shares(schedule, s)
        d, h = x0, 0.0
        if alpha_t > 0 and sigma_s > 0:
            h = float(torch.tensor(alpha_s / sigma_s * sigma_t / alpha_t, dtype=torch.float64).log())
            if before is not None and h_before > 0:
                d = x0 + h / (2 * h_before) * (x0 - before)
        x = (sigma_s / sigma_t) * x + (alpha_s - sigma_s * alpha_t / sigma_t) * d
        before, h_before = x0, h
        if progress is not None:
            progress(i)
    return x
