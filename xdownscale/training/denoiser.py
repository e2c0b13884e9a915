"""Stage 2: the denoiser learns the fine residual, told by the frozen encoder what the coarse days were.

Scale, spectrum and climatology of r = (T(x) - U T(y)) / scale are measured on training days; then, for t
drawn on (0, 1] and e shaped like r, the network learns p from x_t = alpha r + sigma e. The encoder's weights
take no gradient, and their digest before and after is compared: a training that changed them ends in an
error, not in a checkpoint.

`TrainConfig.transfer` gives the variants that this is compared with: an encoder trained on with the denoiser,
one of fresh weights, frozen or trained, none; `TrainConfig.process` a deterministic network and a variational
autoencoder. `TrainConfig.sees` gives what it looks at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xdownscale.diffusion.denoise import target
from xdownscale.models import Downscaler
from xdownscale.nn.encoder import digest
from xdownscale.nn.vae import Posterior
from xdownscale.training.ahead import Ahead
from xdownscale.training.begin import Measured, begin, check_variable, go_on, told, unaided, untaught
from xdownscale.training.config import TrainConfig
from xdownscale.training.encoder import Pretrained
from xdownscale.training.grids import grids_of
from xdownscale.training.loop import Run, fit
from xdownscale.training.objective import bound, coloured, levels, roughness, weighted_loss
from xdownscale.training.pairs import Batch, Pairs, Record, generator

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    import xarray as xr

    from xdownscale.grid import Grid

__all__ = ["split", "train"]

_TRAINED = ("tuned", "scratch")
_VALIDATION = 0.1
_GAP = 10


def train(
    coarse: xr.DataArray,
    fine: xr.DataArray,
    pretrained: Pretrained | Downscaler | None = None,
    *,
    config: TrainConfig | None = None,
    card: Mapping[str, Any] | None = None,
    grids: tuple[Grid, Grid] | None = None,
    folder: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    report: Callable[[int, float, float | None], Any] | None = None,
) -> Downscaler:
    """Train a model on pairs of coarse and fine days.

    Parameters
    ----------
    coarse, fine : DataArray, dims (time, lat, lon) in any order
        Daily fields of one quantity; the coarse record may reach further back (history). Gaps in the fine
        truth are masked. The last tenth of the common days is held out, behind a gap of ten days.
    pretrained : Pretrained or Downscaler
        From `pretrain`: its encoder is frozen, its transform is used. From a whole model the denoiser goes on
        as well; its architecture must be the configuration's. None for a model without encoder
        (`TrainConfig(transfer="none")`), whose transform is then fitted to the coarse record.
    config : TrainConfig, optional
    card : mapping, optional
        Fields of the card that the data cannot tell: name, licence, authors, region, months, limitations ...
    grids : (Grid, Grid), optional
        The whole coarse and fine grids. By default MERRA-2's and G5NR's if the records lie on them, else the
        records' own.
    folder : path, optional
        Where the state is kept, so that a killed training resumes.
    device : str
    report : callable, optional
        Called with step, running loss, last validation loss.

    Returns
    -------
    Downscaler
        With averaged weights and a card; not calibrated (see `calibrate`).

    Raises
    ------
    ValueError
        If the records share no day, do not lie on the grids, have no room for a crop or leave no day to hold
        out; if the encoder learned another quantity, or looks at more fine days than there are; if the model
        to go on from has another architecture.
    RuntimeError
        If the frozen encoder's weights changed.

    References
    ----------
    Xiang et al., Spatiotemporal Satellite Image Downscaling with Transfer Encoders and Autoregressive
    Generative Models, arXiv 2512.05139.

    Examples
    --------
    >>> from xdownscale import nature_run
    >>> run = nature_run.NatureRun("2005-07-01", days=4, region=(30, 33, 42, 46), spinup=0)
    >>> fine, coarse = (d.DUEXTTAU for d in nature_run.to_datasets(run))
    >>> config = TrainConfig(
    ...     steps=1, batch=2, days=2, crop=32, border=4, channels=(8, 8), statics=(), transfer="none"
    ... )
    >>> train(coarse, fine, config=config, card={"name": "tiny"})
    <Downscaler tiny 0: flow, ... weights>
    """
    config = config or TrainConfig()
    begun = pretrained if isinstance(pretrained, Downscaler) else None
    pretrained = Pretrained.of(pretrained) if isinstance(pretrained, Downscaler) else pretrained
    grids = grids or grids_of(coarse, fine)
    if pretrained is None:
        pretrained = unaided(coarse, config)
    check_variable(pretrained, begun, str(fine.name or ""), (card or {}).get("variable"))
    if config.transfer in ("random", "scratch"):
        pretrained = untaught(pretrained, config.seed)
    pairs = Pairs.of(Record.of(coarse, grids[0]), Record.of(fine, grids[1]))
    pairs = replace(pairs, coarse=pairs.coarse.within(pairs.inside(grids[0])))
    pairs.check_crop(config.crop)
    learn, held = split(pairs)
    if config.sees == "fine":
        learn.check_past(pretrained.encoder.history, learn.fine.step)
    before = pretrained.digest
    found = Measured.on(learn, pretrained, config)
    learn = replace(learn, folds=found.folds)
    model = begin(learn, held, pretrained, config, grids, told(fine) | dict(card or {}), found)
    if begun is not None:
        go_on(model, begun)
    model.to(device).denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    start = None if begun is None else digest(begun.denoiser)
    key = json.dumps(
        [config.to_dict(), before, start, learn.days[0], learn.days[-1], model.card.residual_scale]
    )
    run = Run(
        config.steps,
        config.learning_rate,
        config.ema,
        config.precision,
        device,
        None if folder is None else Path(folder),
        key,
    )
    with Ahead(lambda step: learn.batch(model, config, step), config.steps, device) as batches:
        stage = _Stage(model, learn, held, config, device, batches, _posterior(model, config, device))
        fit(stage.learner, stage.loss, run, validate=stage.validate, report=report)
    return _finished(model.to("cpu"), before, config)


@dataclass(frozen=True, eq=False)
class _Stage:
    """Loss and validation of one training."""

    model: Downscaler
    learn: Pairs
    held: Pairs
    config: TrainConfig
    device: str
    batches: Ahead
    posterior: Posterior | None = None

    @property
    def learner(self) -> torch.nn.Module:
        """What is trained: the denoiser, an encoder that is tuned with it, and a decoder's posterior."""
        modules: list[torch.nn.Module] = [self.model.denoiser]
        if self.config.transfer in _TRAINED and self.model.encoder is not None:
            modules.append(self.model.encoder.requires_grad_(True))
        if self.posterior is not None:
            modules.append(self.posterior)
        return modules[0] if len(modules) == 1 else torch.nn.ModuleList(modules)

    def loss(self, step: int) -> Tensor:
        return self._loss(self.batches(step), generator(self.config.seed, step, 2), self.config.roughness)

    def validate(self) -> float:
        """Mean square error of the prediction, or a decoder's evidence bound, on fixed held-out crops."""
        plain = replace(self.config, degrade=0.0, dropout=0.0, edges=0.0, state=0.0)
        values = []
        for i in range(4):
            batch = self.held.batch(self.model, plain, i, seed=self.config.seed + 1)
            values.append(float(self._loss(batch, generator(self.config.seed, i, 3), 0.0)))
        return float(np.mean(values))

    def _loss(self, batch: Batch, rng: np.random.Generator, rough: float) -> Tensor:
        model, config = self.model, self.config
        r = batch.residual.to(self.device, non_blocking=True)
        e = coloured(model.kernel, (len(r), *r.shape[-2:]), rng).to(self.device)
        condition = batch.condition.to(self.device, non_blocking=True)
        condition = condition.contiguous(memory_format=torch.channels_last)
        weight, context = batch.weight.to(self.device, non_blocking=True), self._context(batch)
        if self.posterior is not None:
            mean, log_variance = self.posterior(r, condition)
            z = mean + (0.5 * log_variance).exp() * e
            decoded = model.denoiser(z, torch.ones(len(r), device=r.device), condition, context)
            return torch.stack(bound(decoded, r, weight, mean, log_variance)).sum()
        share = 1.0 if config.process == "regression" else config.noise_end
        t = levels(len(r), share, rng).to(self.device)
        alpha, sigma = (f(t).view(-1, 1, 1, 1) for f in (model.schedule.alpha, model.schedule.sigma))
        x_t = (alpha * r + sigma * e).contiguous(memory_format=torch.channels_last)
        prediction = model.denoiser(x_t, t, condition, context)
        wanted = target(model.schedule, r, e, t)
        return weighted_loss(prediction, wanted, weight, roughness(model.kernel), rough)

    def _context(self, batch: Batch) -> list[Tensor] | None:
        levels = batch.context(self.model, self.learn.coarse.grid)
        if levels is None:
            return None
        return [level.contiguous(memory_format=torch.channels_last) for level in levels]


def _posterior(model: Downscaler, config: TrainConfig, device: str) -> Posterior | None:
    """What a decoder is trained with; None for the other processes."""
    if config.process != "vae":
        return None
    torch.manual_seed(config.seed)
    parts = model.card.architecture["denoiser"]
    found = Posterior(parts["condition"], config.channels, config.blocks).to(device)
    return found.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def split(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """Days to learn from, and the last tenth, behind a gap of at most ten days.

    Raises
    ------
    ValueError
        If there are too few days for both.
    """
    n = len(pairs.days)
    held = max(1, round(n * _VALIDATION))
    gap = min(_GAP, n // 10)
    if n - held - gap < 1:
        raise ValueError(f"{n} days in common: expected at least 3, to train and to hold some out")
    return pairs.part(range(n - held - gap)), pairs.part(range(n - held, n))


def _finished(model: Downscaler, before: str, config: TrainConfig) -> Downscaler:
    """The trained model, its encoder what it was; or, where that was tuned, its new digest on the card."""
    if model.encoder is None:
        return model
    after = digest(model.encoder)
    if config.transfer in _TRAINED:
        model.encoder.requires_grad_(False)
        return model.with_card(replace(model.card, encoder_digest=after))
    if after != before:
        raise RuntimeError(f"the frozen encoder changed in training: {before} before, {after} after")
    return model
