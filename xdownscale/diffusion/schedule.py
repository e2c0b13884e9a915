"""Processes: how much of the data and how much of the noise is in x_t.

    x_t = alpha(t) r + sigma(t) e,    t from 0 (data) to 1 (noise)

    flow   alpha = 1 - t,             sigma = t               (rectified flow; arXiv 2209.03003)
    ddpm   alpha = cos(pi t / 2),     sigma = sin(pi t / 2)   (squared-cosine variance, zero terminal SNR;
                                                               Nichol & Dhariwal 2021, arXiv 2102.09672;
                                                               Lin et al. 2024, arXiv 2305.08891)

    regression   alpha = sigma = 0                         (no process: one look at the condition)
    vae          alpha = 0, sigma = 1                      (no process: one look at condition and latent)

The first two have alpha(1) = 0 exactly: the start is pure noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Cosine", "Flow", "Latent", "Regression", "Schedule", "even_snr", "from_name", "grid"]


class Schedule(Protocol):
    """A process."""

    @property
    def name(self) -> str:
        """What a card calls it."""

    def alpha(self, t: Tensor) -> Tensor:
        """Share of the data at t in [0, 1]; 1 at 0, 0 at 1."""

    def sigma(self, t: Tensor) -> Tensor:
        """Share of the noise at t in [0, 1]; 0 at 0, 1 at 1."""


@dataclass(frozen=True)
class Flow:
    """Straight lines from noise to data."""

    name: str = "flow"

    def alpha(self, t: Tensor) -> Tensor:
        """1 - t."""
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        """Share of the noise, t itself."""
        return t


@dataclass(frozen=True)
class Cosine:
    """Variance-preserving squared cosine."""

    name: str = "ddpm"

    def alpha(self, t: Tensor) -> Tensor:
        """cos(pi t / 2), exactly 0 at t = 1."""
        return torch.where(t >= 1, torch.zeros_like(t), torch.cos(0.5 * math.pi * t))

    def sigma(self, t: Tensor) -> Tensor:
        """sin(pi t / 2)."""
        return torch.sin(0.5 * math.pi * t)


@dataclass(frozen=True)
class Regression:
    """Neither data nor noise is seen."""

    name: str = "regression"

    def alpha(self, t: Tensor) -> Tensor:
        """Zero."""
        return torch.zeros_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """Zero."""
        return torch.zeros_like(t)


@dataclass(frozen=True)
class Latent(Regression):
    """Noise alone is seen, the latent variable of a decoder."""

    name: str = "vae"

    def sigma(self, t: Tensor) -> Tensor:
        """One."""
        return torch.ones_like(t)


def from_name(name: str) -> Schedule:
    """The process that a card names.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> from_name("flow").alpha(torch.tensor(0.25))
    tensor(0.7500)
    """
    processes: dict[str, Schedule] = {p.name: p for p in (Flow(), Cosine(), Regression(), Latent())}
    if name not in processes:
        raise ValueError(f"process is {name!r}: expected one of {sorted(processes)}")
    return processes[name]


def grid(steps: int) -> Tensor:
    """Equal steps of t from 1 to 0, shape (steps + 1,), float64.

    Examples
    --------
    >>> grid(2)
    tensor([1.0000, 0.5000, 0.0000], dtype=torch.float64)
    """
    return torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64)


def even_snr(steps: int) -> Tensor:
    """Times of the cosine process at equal steps of log(alpha / sigma) from -3 to 4, closed by 1 and 0.

    Parameters
    ----------
    steps : int, >= 1

    Returns
    -------
    Tensor, shape (steps + 1,), float64

    Examples
    --------
    >>> round(float(even_snr(2)[1]), 4)
    0.3471
    """
    ends = torch.tensor([1.0, 0.0], dtype=torch.float64)
    count = steps - 1
    level = torch.linspace(-3.0, 4.0, count, dtype=torch.float64) if count > 1 else torch.full((count,), 0.5)
    inner = torch.atan(torch.exp(-level.double())) * (2 / math.pi)
    return torch.cat([ends[:1], inner, ends[1:]])
