"""The loss of stage 2 and the noise it is trained with.

    L = E |m (p - p^)|^2  +  lambda E |m grad(p - p^)|^2 / E |grad e|^2

p is what the network predicts (e - r for `flow`, v for `ddpm`), m the mask. Both terms have the same
minimiser, the conditional mean of p; the second weighs small scales, which carry little variance and would be
learned last. A `vae` is trained by its evidence bound instead (`bound`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bound", "coloured", "levels", "roughness", "weighted_loss"]

_LOGIT_MEAN = 0.3


def coloured(kernel: NDArray[np.float64], shape: tuple[int, int, int], rng: np.random.Generator) -> Tensor:
    """Noise with a kernel's spectrum on crops, unit variance, free of wrap-around.

    Parameters
    ----------
    kernel : ndarray, shape (2 r + 1, 2 r + 1)
    shape : (B, H, W)
    rng : Generator

    Returns
    -------
    Tensor, shape (B, 1, H, W), float32
    """
    b, h, w = shape
    k = len(kernel) - 1
    white = torch.from_numpy(rng.standard_normal((b, h + k, w + k), dtype=np.float32))
    if k == 0:
        return float(kernel[0, 0]) * white.unsqueeze(1)
    size = white.shape[-2:]
    response = torch.fft.rfft2(torch.from_numpy(kernel.astype(np.float32)), s=size)
    full = torch.fft.irfft2(torch.fft.rfft2(white) * response, s=size)
    noise: Tensor = full[:, None, k:, k:].contiguous()
    return noise


def levels(batch: int, share: float, rng: np.random.Generator) -> Tensor:
    """Noise levels of a batch: logit-normal, stratified, with a share at the noise end.

    Parameters
    ----------
    batch : int
    share : float, 0-1
        Part of the samples at t = 1 exactly.
    rng : Generator

    Returns
    -------
    Tensor, shape (B,), in (0, 1]
    """
    u = (np.arange(batch) + rng.random(batch)) / batch
    t = torch.sigmoid(_LOGIT_MEAN + torch.special.ndtri(torch.from_numpy(np.clip(u, 1e-6, 1 - 1e-6))))
    t[torch.from_numpy(rng.random(batch) < share)] = 1.0
    return t[torch.from_numpy(rng.permutation(batch))].float()


def roughness(kernel: NDArray[np.float64]) -> float:
    """E |grad e|^2 of unit noise with a kernel: 4 for white noise, less for smooth noise."""
    dy, dx = (np.diff(np.pad(kernel, 1), axis=a) for a in (0, 1))
    return float((dy**2).sum() + (dx**2).sum())


def weighted_loss(prediction: Tensor, target: Tensor, weight: Tensor, rough: float, share: float) -> Tensor:
    """Masked mean squares of the error and of its gradient.

    Parameters
    ----------
    prediction, target, weight : Tensor, shape (B, 1, H, W)
    rough : float
        From `roughness`.
    share : float, >= 0
        Weight lambda of the second term.

    Returns
    -------
    Tensor, scalar
    """
    error = prediction.float() - target
    loss = _mean(error.square(), weight)
    if share == 0:
        return loss
    dy, wy = error.diff(dim=-2), weight[..., 1:, :] * weight[..., :-1, :]
    dx, wx = error.diff(dim=-1), weight[..., :, 1:] * weight[..., :, :-1]
    return loss + share * (_mean(dy.square(), wy) + _mean(dx.square(), wx)) / rough


def bound(
    decoded: Tensor, residual: Tensor, weight: Tensor, mean: Tensor, log_variance: Tensor
) -> tuple[Tensor, Tensor]:
    """What a variational autoencoder has yet to explain, and what its latent field tells, in nats a cell.

    The likelihood is Gaussian, its variance the mean square error itself, which is the likeliest one
    (Rybkin et al. 2021, Simple and effective VAE training with calibrated decoders, arXiv 2006.13202); so
    nothing is left to be tuned. The evidence bound is minus the sum of the two, but for a constant.

    Parameters
    ----------
    decoded, residual, weight : Tensor, shape (B, 1, H, W)
    mean, log_variance : Tensor, shape (B, 1, H, W)
        Of the latent field, N(0, 1) before the residual is seen.

    Returns
    -------
    (Tensor, Tensor), scalars
        log(rms error), and the mean Kullback-Leibler divergence.

    Examples
    --------
    >>> zero, one = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    >>> [round(float(part), 3) for part in bound(zero, 2 * one, one, one, zero)]
    [0.693, 0.5]
    """
    error = 0.5 * _mean((decoded.float() - residual).square(), weight).clamp(min=1e-12).log()
    return error, 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def _mean(square: Tensor, weight: Tensor) -> Tensor:
    return (square * weight).sum() / weight.sum().clamp(min=1.0)
