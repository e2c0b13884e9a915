"""Distil a calibrated model into one that draws in two evaluations, by the score it is judged by.

The generator is the midpoint rule with one step: from noise e, half of the way to the conditional mean that
the model gives at the noise end, and from there to the end along the velocity of a second network,

    x_h = (mean(y) + e) / 2        x = e - 2 (x_h - x0'(x_h, 1/2, y))

The model gives the mean and stays as it is. The second network shares its way down, begins with its way up
(`nn.Second`), and learns x0' by the fair CRPS of two draws, of the field and of its Haar details, each over
its own spread:

    L = crps(x) + mean_kd crps(b_kd x) / s_kd,       crps = (|x - r| + |x' - r|) / 2 - |x - x'| / 2

b_kd x is the detail between boxes of 2^k cells and of twice as many, along latitude, along longitude or along
both; s_kd is its standard deviation in noise of the residual's spectrum. The CRPS is proper: the draws that
score best have the truth's distribution, spread and all (Gneiting & Raftery 2007,
doi:10.1198/016214506000001437); the details ask it of every scale and direction.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from xdownscale.diffusion.denoise import estimate
from xdownscale.diffusion.sample import Sampler, sample
from xdownscale.nn.denoiser import Second
from xdownscale.nn.encoder import Encoder, digest
from xdownscale.training.ahead import Ahead
from xdownscale.training.begin import Measured
from xdownscale.training.config import TrainConfig
from xdownscale.training.denoiser import split
from xdownscale.training.encoder import Pretrained
from xdownscale.training.loop import Run, fit
from xdownscale.training.objective import coloured
from xdownscale.training.pairs import Batch, Pairs, Record, generator

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    import xarray as xr

    from xdownscale.models import Downscaler

__all__ = ["USUAL", "distil", "fair_crps"]

_SCALES = 5
_STREAM = 8
FAST = Sampler("fast", 2)
USUAL = TrainConfig(steps=800, batch=8, crop=112, learning_rate=5e-4, ema=0.995)


def distil(
    model: Downscaler,
    coarse: xr.DataArray,
    fine: xr.DataArray,
    *,
    start: Downscaler | None = None,
    config: TrainConfig | None = None,
    folder: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    report: Callable[[int, float, float | None], Any] | None = None,
) -> Downscaler:
    """Give a model a second network, with which two evaluations make a draw.

    Parameters
    ----------
    model : Downscaler
        Trained, of the process `flow`; what it already draws, it draws as before.
    coarse, fine : DataArray, dims (time, lat, lon) in any order
        The days the model was trained on, of which the last tenth is held out again.
    start : Downscaler, optional
        A distilled model of one architecture with it, or itself, whose second network is gone on from.
    config : TrainConfig, optional
        Steps, batch, crop, learning rate and what befalls the input; what describes a network is the model's.
        `USUAL` when not given: 800 steps of 8 crops of 112 cells.
    folder : path, optional
        Where the state is kept, so that a killed training resumes.
    device : str
    report : callable, optional
        Called with step, running loss, last loss on days held out.

    Returns
    -------
    Downscaler
        The same networks and one more, for `sampler="fast"`; not calibrated (see `calibrate`).

    Raises
    ------
    ValueError
        If the model is not of the process `flow`, or `start` has no second network or one that does not fit;
        as `train` for the records.

    Examples
    --------
    >>> import xdownscale
    >>> from xdownscale import nature_run
    >>> run = nature_run.NatureRun("2005-07-01", days=4, region=(30, 33, 42, 46), spinup=0)
    >>> fine, coarse = (d.DUEXTTAU for d in nature_run.to_datasets(run))
    >>> config = TrainConfig(steps=1, batch=2, days=2, crop=32, border=4)
    >>> distil(xdownscale.resolve("jja_asia"), coarse, fine, config=config).card.distilled
    True
    """
    if model.card.process != "flow":
        raise ValueError(
            f"{model.card.name} is of the process {model.card.process!r}: expected 'flow', whose velocity is "
            "learned"
        )
    config = config or USUAL
    pairs = Pairs.of(Record.of(coarse, model.coarse), Record.of(fine, model.fine))
    pairs = replace(pairs, coarse=pairs.coarse.within(pairs.inside(model.coarse)))
    pairs.check_crop(config.crop)
    learn, held = split(pairs)
    if model.climatology is not None:
        upsampling: Any = model.card.upsampling
        described = replace(config, statics=model.card.statics, upsampling=upsampling)
        learn = replace(learn, folds=Measured.on(learn, _transform_of(model), described).folds)
    model.to(device).denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fast = _begun(model, start).to(device)
    networks = digest(model.denoiser), digest(fast)
    key = json.dumps([config.to_dict(), networks, learn.days[0], learn.days[-1]])
    where = None if folder is None else Path(folder)
    run = Run(config.steps, config.learning_rate, config.ema, config.precision, device, where, key)
    with _alone(fast), Ahead(lambda step: learn.batch(model, config, step), config.steps, device) as batches:
        stage = _Stage(model, fast, learn, held, config, device, _spreads(model), batches)
        fit(fast, stage.loss, run, validate=stage.validate, report=report)
    return model.to("cpu").with_fast(fast.cpu())


def _begun(model: Downscaler, start: Downscaler | None) -> Second:
    """The second network as it is before it learns: the model's own way up, or that of another's second."""
    fast = Second(model.denoiser)
    if start is None:
        return fast
    if start.fast is None:
        raise ValueError(
            f"start is {start.card.name}, which was not distilled: expected one with sampler='fast'"
        )
    own, other = fast.own(), start.fast.own()
    shapes = [{name: tuple(weight.shape) for name, weight in weights.items()} for weights in (own, other)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"start is {start.card.name}, of another architecture than {model.card.name}: expected a second "
            "network of the same channels and blocks"
        )
    fast.load_state_dict(other, strict=False)
    return fast


def _transform_of(model: Downscaler) -> Pretrained:
    """What measuring the residual wants of an encoder: the transform of the values."""
    return Pretrained(model.encoder or Encoder(1, (8, 8, 8)), model.scaling, {})


@contextmanager
def _alone(fast: Second) -> Iterator[None]:
    """Only what is its own takes a gradient."""
    own, weights = fast.own().keys(), dict(fast.named_parameters())
    before = {name: weight.requires_grad for name, weight in weights.items()}
    for name, weight in weights.items():
        weight.requires_grad_(name in own)
    try:
        yield
    finally:
        for name, weight in weights.items():
            weight.requires_grad_(before[name])


def fair_crps(one: Tensor, other: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean fair CRPS of two draws.

    Parameters
    ----------
    one, other, truth : Tensor, one shape
    weight : Tensor, >= 0
        Of the cells; not all zero.

    Returns
    -------
    Tensor, scalar

    Examples
    --------
    >>> zero = torch.zeros(4)
    >>> [float(fair_crps(zero - a, zero + 1, zero, zero + 1)) for a in (1, -1)]
    [0.0, 1.0]
    """
    score = ((one - truth).abs() + (other - truth).abs() - (one - other).abs()) / 2
    return (score * weight).sum() / weight.sum().clamp(min=1e-6)


@dataclass(frozen=True, eq=False)
class _Stage:
    """Loss and validation of one distillation."""

    model: Downscaler
    fast: Second
    learn: Pairs
    held: Pairs
    config: TrainConfig
    device: str
    spreads: list[Tensor]
    batches: Ahead

    def loss(self, step: int) -> Tensor:
        return self._loss(self.batches(step), self.learn, step, 0)

    def validate(self) -> float:
        """The loss on fixed crops and noise of the held-out days, their input as it is."""
        plain = replace(self.config, degrade=0.0, dropout=0.0, edges=0.0, state=0.0)
        batches = [self.held.batch(self.model, plain, i, seed=self.config.seed + 1) for i in range(4)]
        return float(np.mean([float(self._loss(b, self.held, i, 1)) for i, b in enumerate(batches)]))

    def _loss(self, batch: Batch, pairs: Pairs, step: int, stream: int) -> Tensor:
        r, weight = (t.to(self.device, non_blocking=True) for t in (batch.residual, batch.weight))
        denoise = self._denoiser(batch, pairs)
        rng = generator(self.config.seed, step, _STREAM + stream)
        draws = []
        for _ in range(2):
            start = coloured(self.model.kernel, (len(r), *r.shape[-2:]), rng).to(self.device)
            draws.append(sample(denoise, start, self.model.schedule, FAST).float())
        one, other = draws
        total = fair_crps(one, other, r, weight)
        scales = zip(*(_details(x) for x in (one, other, r)), _inside(weight), self.spreads, strict=True)
        for a, b, truth, known, spread in scales:
            s = spread.to(r)
            total = total + fair_crps(a / s, b / s, truth / s, known.expand_as(a)) / _SCALES
        return total

    def _denoiser(self, batch: Batch, pairs: Pairs) -> Callable[[Tensor, float], Tensor]:
        """The estimate x0 on the crops: the model's at the noise end, the second network's half way."""
        model, grid = self.model, pairs.coarse.grid
        condition = batch.condition.to(self.device, non_blocking=True)
        condition = condition.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            levels = batch.context(model, grid) or []
            context = [level.contiguous(memory_format=torch.channels_last) for level in levels] or None

        def denoise(x_t: Tensor, t: float) -> Tensor:
            level = torch.full((len(x_t),), t, device=x_t.device)
            x = x_t.contiguous(memory_format=torch.channels_last)
            network = model.network(FAST, t, self.fast)
            with torch.set_grad_enabled(torch.is_grad_enabled() and network is self.fast):
                return estimate(model.schedule, x_t, network(x, level, condition, context).float(), level)

        return denoise


def _details(x: Tensor) -> list[Tensor]:
    """Haar details from the smallest boxes of 2 x 2 on, shape (B, 3, h, w): along rows, columns and both."""
    details = []
    for _ in range(_SCALES):
        x = _even(x)
        a, b, c, d = (x[..., i::2, j::2] for i in (0, 1) for j in (0, 1))
        details.append(torch.cat([a + b - c - d, a - b + c - d, a - b - c + d], dim=1) / 4)
        x = (a + b + c + d) / 4
    return details


def _inside(weight: Tensor) -> list[Tensor]:
    """For each scale, one where the whole box is known, shape (B, 1, h, w)."""
    known = []
    for _ in range(_SCALES):
        weight = (avg_pool2d(_even(weight), 2) == 1).to(weight)
        known.append(weight)
    return known


def _even(x: Tensor) -> Tensor:
    """Without the last row or column where their number is odd."""
    h, w = x.shape[-2:]
    return x[..., : h - h % 2, : w - w % 2]


def _spreads(model: Downscaler) -> list[Tensor]:
    """Standard deviation of each detail in noise of the residual's spectrum, shapes (3, 1, 1)."""
    noise = coloured(model.kernel, (8, 256, 256), np.random.default_rng(0))
    return [detail.std(dim=(0, 2, 3))[:, None, None] for detail in _details(noise)]
