"""Stage 2: the denoiser learns the fine residual, told by the frozen encoder what the coarse days were.

Scale, spectrum and climatology of r = (T(x) - U T(y)) / scale are measured on training days; then, for t
drawn on (0, 1] and e shaped like r, the network learns p from x_t = alpha r + sigma e. The encoder's weights
take no gradient, and their digest before and after is compared: a training that changed them ends in an
error, not in a checkpoint.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xdownscale.diffusion.denoise import target
from xdownscale.diffusion.schedule import even_snr
from xdownscale.grid import G5NR, MERRA2, Grid, upsampling
from xdownscale.models import Card, Downscaler, conditioning
from xdownscale.nn.encoder import digest
from xdownscale.noise import Spectrum, estimate
from xdownscale.training.climatology import Folds, measure
from xdownscale.training.config import TrainConfig
from xdownscale.training.encoder import Pretrained
from xdownscale.training.loop import Run, fit
from xdownscale.training.objective import coloured, levels, roughness, weighted_loss
from xdownscale.training.pairs import Batch, Pairs, Record, generator

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.models.climatology import Climatology

__all__ = ["train"]

_VALIDATION = 0.1
_GAP = 10
_MEASURED_DAYS = 24


def train(
    coarse: xr.DataArray,
    fine: xr.DataArray,
    pretrained: Pretrained | Downscaler,
    *,
    config: TrainConfig | None = None,
    card: Mapping[str, Any] | None = None,
    grids: tuple[Grid, Grid] = (MERRA2, G5NR),
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
        as well; its architecture must be the configuration's.
    config : TrainConfig, optional
    card : mapping, optional
        Fields of the card that the data cannot tell: name, licence, authors, region, months, limitations ...
    grids : (Grid, Grid)
        The coarse and the fine grid the coordinates belong to.
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
        out; if the model to go on from has another architecture.
    RuntimeError
        If the frozen encoder's weights changed.
    """
    config = config or TrainConfig()
    begun = pretrained if isinstance(pretrained, Downscaler) else None
    pretrained = Pretrained.of(pretrained) if isinstance(pretrained, Downscaler) else pretrained
    pairs = Pairs.of(Record.of(coarse, grids[0]), Record.of(fine, grids[1]))
    pairs = replace(pairs, coarse=pairs.coarse.within(pairs.inside(grids[0])))
    pairs.check_crop(config.crop)
    learn, held = _split(pairs)
    before = pretrained.digest
    found = _Measured.on(learn, pretrained, config)
    learn = replace(learn, folds=found.folds)
    model = _begin(learn, held, pretrained, config, grids, _told(fine) | dict(card or {}), found)
    if begun is not None:
        _go_on(model, begun)
    model.to(device).denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    stage = _Stage(model, learn, held, config, device)
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
    fit(model.denoiser, stage.loss, run, validate=stage.validate, report=report)
    encoder = model.to("cpu").encoder
    after = "" if encoder is None else digest(encoder)
    if after != before:
        raise RuntimeError(f"the frozen encoder changed in training: {before} before, {after} after")
    return model


@dataclass(frozen=True, eq=False)
class _Stage:
    """Loss and validation of one training."""

    model: Downscaler
    learn: Pairs
    held: Pairs
    config: TrainConfig
    device: str

    def loss(self, step: int) -> Tensor:
        batch = self.learn.batch(self.model, self.config, step)
        return self._loss(batch, generator(self.config.seed, step, 2), self.config.roughness)

    def validate(self) -> float:
        """Mean square error of the prediction on fixed crops and noise of the held-out days."""
        plain = replace(self.config, degrade=0.0, dropout=0.0, edges=0.0, state=0.0)
        values = []
        for i in range(4):
            batch = self.held.batch(self.model, plain, i, seed=self.config.seed + 1)
            values.append(float(self._loss(batch, generator(self.config.seed, i, 3), 0.0)))
        return float(np.mean(values))

    def _loss(self, batch: Batch, rng: np.random.Generator, share: float) -> Tensor:
        model, config = self.model, self.config
        r = batch.residual.to(self.device)
        e = coloured(model.kernel, (len(r), *r.shape[-2:]), rng).to(self.device)
        t = levels(len(r), config.noise_end, rng).to(self.device)
        alpha, sigma = (f(t).view(-1, 1, 1, 1) for f in (model.schedule.alpha, model.schedule.sigma))
        x_t = (alpha * r + sigma * e).contiguous(memory_format=torch.channels_last)
        condition = batch.condition.to(self.device).contiguous(memory_format=torch.channels_last)
        prediction = model.denoiser(x_t, t, condition, self._context(batch))
        wanted = target(model.schedule, r, e, t)
        return weighted_loss(prediction, wanted, batch.weight.to(self.device), roughness(model.kernel), share)

    def _context(self, batch: Batch) -> list[Tensor] | None:
        model, grid = self.model, self.learn.coarse.grid
        if model.encoder is None:
            return None
        with torch.no_grad():
            features = conditioning.encode(model.encoder, batch.history, batch.mask, grid)
        levels = conditioning.crops(model.denoiser, features, grid, batch.windows)
        return [level.contiguous(memory_format=torch.channels_last) for level in levels]


def _split(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """Days to learn from, and the last tenth behind a gap."""
    n = len(pairs.days)
    held = max(1, round(n * _VALIDATION))
    gap = min(_GAP, n // 10)
    if n - held - gap < 1:
        raise ValueError(f"{n} days in common: expected at least 3, to train and to hold some out")
    return pairs.part(range(n - held - gap)), pairs.part(range(n - held, n))


def _begin(
    learn: Pairs,
    held: Pairs,
    pretrained: Pretrained,
    config: TrainConfig,
    grids: tuple[Grid, Grid],
    told: dict[str, Any],
    found: _Measured,
) -> Downscaler:
    """A fresh denoiser around the frozen encoder, with all that the data tell on its card."""
    shape_like = config.process == "flow"
    coarse = learn.coarse
    climatology = None if found.folds is None else found.folds.whole
    told = {"region": _region(coarse.grid), "months": _months(coarse, learn)} | told
    told["training"] = told["training"] | {
        "config": config.to_dict(),
        "pretraining": pretrained.info,
        "days": len(learn.days),
        "first": _date(coarse, learn.days[0][0]),
        "last": _date(coarse, learn.days[-1][0]),
        "held_out": [_date(coarse, held.days[0][0]), _date(coarse, held.days[-1][0])],
    }
    measured: dict[str, Any] = {
        "scaling": pretrained.scaling.to_dict(),
        "coarse": grids[0].to_dict(),
        "fine": grids[1].to_dict(),
        "upsampling": config.upsampling,
        "encoder_digest": pretrained.digest,
        "architecture": _architecture(pretrained, config, climatology),
        "statics": config.statics,
        "process": config.process,
        "state": config.state > 0,
        "residual_scale": found.scale,
        "spectrum": found.spectrum.to_dict(),
        "source_quantiles": found.quantiles,
    }
    free: dict[str, Any] = {
        "value_range": (0.0, 2.0 * found.largest),
        "sampler": {"name": "midpoint", "evaluations": 4}
        if shape_like
        else {"name": "dpmpp", "evaluations": 8},
        "times": {} if shape_like else {str(n): even_snr(n).tolist() for n in (2, 4, 8, 16)},
    }
    card = Card(**(free | told | measured))
    torch.manual_seed(config.seed)
    fresh = Downscaler.build(replace(card, encoder_digest=None))
    if fresh.encoder is not None:
        fresh.encoder.load_state_dict(pretrained.encoder.state_dict())
    return Downscaler(card, fresh.denoiser, fresh.encoder, climatology)


def _go_on(model: Downscaler, begun: Downscaler) -> None:
    """Begin with the weights of another model's denoiser."""
    ours, theirs = (
        {"process": m.card.process, "statics": list(m.card.statics), **m.card.architecture["denoiser"]}
        for m in (model, begun)
    )
    weights = begun.denoiser.state_dict()
    if model.card.state and not begun.card.state:
        weights["unet.stem.weight"] = _widened(weights["unet.stem.weight"], model.denoiser.unet.stem.weight)
        theirs["condition"] += 2
    if ours != theirs:
        other = {k: (theirs[k], ours[k]) for k in ours if ours[k] != theirs[k]}
        raise ValueError(
            f"{begun.card.name} cannot be gone on from, (its, the configuration's): {other}; give the "
            "configuration its values, or begin from its encoder alone, Pretrained.of(model)"
        )
    model.denoiser.load_state_dict(weights)


def _widened(stem: Tensor, wanted: Tensor) -> Tensor:
    """A stem's weights with zeros for the channels that are new, which stand last."""
    wide = torch.zeros_like(wanted.detach())
    wide[:, : stem.shape[1]] = stem
    return wide


def _told(fine: xr.DataArray) -> dict[str, Any]:
    """What the fine record's attributes say, for all that the caller does not."""
    attrs = fine.attrs
    wavelength = fine.coords.get("radiation_wavelength")
    return {
        "name": "unnamed",
        "version": "0",
        "licence": "unknown",
        "authors": ("unknown",),
        "created": str(np.datetime64("now", "D")),
        "package_version": version("xarray-downscale"),
        "variable": str(fine.name or "unnamed"),
        "long_name": str(attrs.get("long_name", fine.name)),
        "standard_name": str(attrs.get("standard_name", "")),
        "units": str(attrs.get("units", "1")),
        "wavelength_nm": None if wavelength is None else float(wavelength),
        "cadence": "1D",
        "training": {"data": "unnamed", "synthetic": False},
    }


def _architecture(
    pretrained: Pretrained, config: TrainConfig, climatology: Climatology | None
) -> dict[str, Any]:
    channels = list(pretrained.encoder.channels)
    return {
        "encoder": {"history": pretrained.encoder.history, "channels": channels},
        "denoiser": {
            "condition": conditioning.channels(config.statics, state=config.state > 0),
            "context": channels,
            "channels": list(config.channels),
            "blocks": config.blocks,
            "embedding": 64,
        },
        "climatology": None if climatology is None else climatology.to_dict(),
    }


@dataclass(frozen=True, eq=False)
class _Measured:
    """What the training days say of the residual and of the coarse input."""

    scale: float
    spectrum: Spectrum
    quantiles: list[float]
    largest: float
    folds: Folds | None

    @classmethod
    def on(cls, learn: Pairs, pretrained: Pretrained, config: TrainConfig) -> _Measured:
        some = np.unique(np.linspace(0, len(learn.days) - 1, _MEASURED_DAYS).astype(int))
        residuals = np.stack(list(_residuals(learn, pretrained, config, some)))
        if not np.isfinite(residuals).any():
            raise ValueError(
                "the fine truth has no valid cell on the days in common: check its fill value and its grid"
            )
        scale = float(np.nanstd(residuals))
        spectrum = estimate(residuals / scale) if config.process == "flow" else Spectrum.white()
        seen = np.concatenate([learn.coarse.day(learn.days[number][0]).ravel() for number in some])
        seen = seen[np.isfinite(seen)]
        folds = None
        if "climatology" in config.statics:
            every = _residuals(learn, pretrained, config, np.arange(len(learn.days)))
            folds = measure((r / np.float32(scale) for r in every), len(learn.days), learn.fine.grid)
        quantiles = [float(q) for q in np.quantile(seen, np.linspace(0, 1, 101))]
        return cls(scale, spectrum, quantiles, float(seen.max()), folds)


def _residuals(
    learn: Pairs, pretrained: Pretrained, config: TrainConfig, numbers: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    """T(x) - U T(y) of some of the days, on the whole window of the fine record."""
    from_coarse = upsampling(learn.coarse.grid, learn.fine.grid, config.upsampling)
    for number in numbers:
        coarse_day, fine_day = learn.days[number]
        z = np.asarray(pretrained.scaling.forward(learn.coarse.day(coarse_day)))
        x = np.asarray(pretrained.scaling.forward(learn.fine.day(fine_day)))
        yield (x - from_coarse(z)).astype(np.float32)


def _date(record: Record, day: int) -> str:
    return str(np.datetime64(record.instants[day], "us").astype("datetime64[D]"))


def _region(grid: Grid) -> dict[str, list[float]]:
    return {
        "lat": [float(grid.y.edges[0]), float(grid.y.edges[-1])],
        "lon": [float(grid.x.edges[0]), float(grid.x.edges[-1])],
    }


def _months(coarse: Record, learn: Pairs) -> list[int]:
    stamps = (
        np.asarray([coarse.instants[c] for c, _ in learn.days])
        .astype("datetime64[us]")
        .astype("datetime64[M]")
    )
    return sorted({int(m) % 12 + 1 for m in stamps.astype(int)})
