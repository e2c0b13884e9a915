"""What the network predicts, and what that says of the data.

    flow   p = e - r                  x0 = x_t - t p
    ddpm   p = v = alpha e - sigma r  x0 = alpha x_t - sigma v     (Salimans & Ho 2022, arXiv 2202.00512)
    regression, vae   p = r           x0 = p

The first two targets are finite at the noise end, where x0 is the conditional mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from xdownscale.diffusion.schedule import Schedule

__all__ = ["estimate", "target"]

_WITHOUT_PROCESS = ("regression", "vae")


def target(schedule: Schedule, r: Tensor, e: Tensor, t: Tensor) -> Tensor:
    """What the network should predict.

    Parameters
    ----------
    schedule : Schedule
    r, e : Tensor, shape (B, 1, H, W)
        Data and noise.
    t : Tensor, shape (B,), in [0, 1]

    Returns
    -------
    Tensor, shape (B, 1, H, W)
    """
    if schedule.name in _WITHOUT_PROCESS:
        return r
    if schedule.name == "flow":
        return e - r
    alpha, sigma = _shares(schedule, t, r)
    return alpha * e - sigma * r


def estimate(schedule: Schedule, x_t: Tensor, prediction: Tensor, t: Tensor) -> Tensor:
    """The estimate x0 of the data from a prediction.

    Parameters
    ----------
    schedule : Schedule
    x_t, prediction : Tensor, shape (B, 1, H, W)
    t : Tensor, shape (B,), in [0, 1]

    Returns
    -------
    Tensor, shape (B, 1, H, W)
    """
    if schedule.name in _WITHOUT_PROCESS:
        return prediction
    alpha, sigma = _shares(schedule, t, x_t)
    if schedule.name == "flow":
        return x_t - sigma * prediction
    return alpha * x_t - sigma * prediction


def _shares(schedule: Schedule, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    shape = (-1,) + (1,) * (like.ndim - 1)
    return schedule.alpha(t).view(shape), schedule.sigma(t).view(shape)
