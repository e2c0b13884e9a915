"""Stage 1: a temporal U-Net learns from a long coarse record; its encoder is what is kept.

    L1 = E |target - net(T(y)_{d-L+1..d})|

on crops of the native coarse grid, with part of the history masked at random. What is asked of it is the
pretext, and what costs nothing to answer its trivial score:

    next      the target is T(y)_{d+1}; trivially, today
    refine    the input is the record coarsened by 2, 3 or 4 and brought back bilinearly, the target T(y)_d;
              trivially, the input's last day
    masked    blocks of the last day are unknown, and are the target; trivially, their nearest neighbours

The score reported is that loss on days held out at the end of the record, beside the trivial one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from xdownscale import scaling as _scaling
from xdownscale.grid import MERRA2, Grid
from xdownscale.models.conditioning import filled
from xdownscale.nn.encoder import Encoder, TemporalUNet, digest
from xdownscale.training.config import PretrainConfig
from xdownscale.training.grids import grid_of
from xdownscale.training.loop import Run, fit
from xdownscale.training.pairs import Record, generator

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.models import Downscaler

__all__ = ["Pretrained", "pretrain"]

_VALIDATION = 0.1
_MASKS = 6


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained encoder, the transform its input had, and what it learned from.

    Attributes
    ----------
    encoder : Encoder
    scaling : Scaling
    info : dict
        Configuration, period, score of the held-out days and the trivial one.
    """

    encoder: Encoder
    scaling: _scaling.Scaling
    info: dict[str, Any]

    @property
    def digest(self) -> str:
        """sha256 over the encoder's weights."""
        return digest(self.encoder)

    @classmethod
    def of(cls, model: Downscaler) -> Pretrained:
        """The encoder that a finished model carries, to be transferred to another.

        Parameters
        ----------
        model : Downscaler

        Returns
        -------
        Pretrained

        Raises
        ------
        ValueError
            If the model has no encoder.
        """
        if model.encoder is None:
            raise ValueError(f"{model.card.name} has no encoder: give a model that has one, or use pretrain")
        return cls(model.encoder, model.scaling, dict(model.card.training.get("pretraining", {})))

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write one safetensors file; an existing one is kept unless `overwrite`.

        Raises
        ------
        FileExistsError
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists: give another name, or overwrite=True")
        meta = {
            "scaling": self.scaling.to_dict(),
            "info": self.info,
            "digest": self.digest,
            "architecture": _parts(self.encoder),
        }
        beside = path.with_name(path.name + ".part")
        save_file(
            {k: v.contiguous() for k, v in self.encoder.state_dict().items()},
            beside,
            {"encoder": json.dumps(meta)},
        )
        beside.replace(path)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Pretrained:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is not an encoder's, or its weights are not those of its digest.
        """
        try:
            with safe_open(path, framework="pt") as file:
                meta = json.loads((file.metadata() or {})["encoder"])
                weights = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - not a dict
            encoder = Encoder(int(meta["architecture"]["history"]), tuple(meta["architecture"]["channels"]))
            encoder.load_state_dict(weights)
            scaling, info, expected = _scaling.from_dict(meta["scaling"]), meta["info"], meta["digest"]
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"{path} is not an encoder written by xdownscale.pretrain: {error}") from error
        if digest(encoder) != expected:
            raise ValueError(f"{path}: the weights are not those of its digest; the file is damaged")
        return cls(encoder.eval(), scaling, info)


def pretrain(
    coarse: xr.DataArray,
    *,
    config: PretrainConfig | None = None,
    grid: Grid | None = None,
    folder: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    report: Callable[[int, float, float | None], Any] | None = None,
) -> Pretrained:
    """Train the transfer encoder on a long coarse record.

    Parameters
    ----------
    coarse : DataArray, dims (time, lat, lon) in any order [model's units]
        Daily fields; the last tenth of the days is held out for the score.
    config : PretrainConfig, optional
    grid : Grid, optional
        The grid the coordinates belong to; by default MERRA-2's if they are a window of it, else their own.
    folder : path, optional
        Where the state is kept, so that a killed training resumes.
    device : str
    report : callable, optional
        Called with step, running loss, last validation score.

    Returns
    -------
    Pretrained

    Raises
    ------
    ValueError
        If the record is shorter than the history needs or not on the grid.

    Examples
    --------
    >>> from xdownscale import nature_run
    >>> run = nature_run.NatureRun("2005-07-01", days=24, region=(30, 33, 42, 46), spinup=0)
    >>> fine, coarse = (d.DUEXTTAU for d in nature_run.to_datasets(run))
    >>> config = PretrainConfig(steps=1, batch=2, crop=8, history=2, channels=(4, 4, 4))
    >>> found = pretrain(coarse, config=config)
    >>> found.encoder.history, len(found.digest)
    (2, 64)
    """
    config = config or PretrainConfig()
    record = Record.of(coarse, grid or grid_of(coarse, MERRA2))
    z, scaling = _transformed(record, config.transform)
    days = _days(record, config.history)
    split = int(len(days) * (1 - _VALIDATION))
    train, held = days[:split], days[split + config.history :]
    if len(train) < 1 or len(held) < 1:
        raise ValueError(
            f"the record has {len(record.instants)} days, {len(days)} of them with a next day: "
            f"expected at least {12 * config.history}, to train and to hold some out"
        )
    torch.manual_seed(config.seed)
    network = TemporalUNet(config.history, config.channels).to(device)

    def loss(step: int) -> Tensor:
        return _loss(network, *_batch(z, train, config, generator(config.seed, step), device))

    score = _Score(network, z, held, config, device)
    key = json.dumps([config.to_dict(), _fingerprint(z)])
    run = Run(
        config.steps,
        config.learning_rate,
        config.ema,
        config.precision,
        device,
        None if folder is None else Path(folder),
        key,
    )
    fit(network, loss, run, validate=score, report=report)
    info = {
        "config": config.to_dict(),
        "days": len(record.instants),
        "variable": str(coarse.name or ""),
        "validation_l1": score(),
        "trivial_l1": score.trivial(),
        "first": _day(record.instants[0]),
        "last": _day(record.instants[-1]),
    }
    return Pretrained(network.encoder.cpu().eval(), scaling, info)


@dataclass(frozen=True, eq=False)
class _Score:
    """L1 on fixed crops of the held-out days."""

    network: TemporalUNet
    z: NDArray[np.float32]
    days: list[int]
    config: PretrainConfig
    device: str

    def _batches(self) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        return [
            _batch(self.z, self.days, self.config, generator(self.config.seed, i, 1), self.device)
            for i in range(6)
        ]

    def __call__(self) -> float:
        self.network.eval()
        with torch.no_grad():
            return float(np.mean([float(_loss(self.network, *b)) for b in self._batches()]))

    def trivial(self) -> float:
        return float(np.mean([float(_l1(_nearest(h, m), t, w)) for h, m, t, w in self._batches()]))


def _transformed(record: Record, transform: str) -> tuple[NDArray[np.float32], _scaling.Scaling]:
    values = np.stack([record.day(i) for i in range(len(record.instants))])
    scaling = _scaling.fitted(transform, values)
    return np.asarray(scaling.forward(values), dtype=np.float32), scaling


def _days(record: Record, history: int) -> list[int]:
    """Positions with a full history behind them and a next day after."""
    steps = np.diff(np.asarray(record.instants))
    whole = np.abs(steps - record.step) <= record.step // 50
    return [i for i in range(history - 1, len(record.instants) - 1) if whole[i - history + 1 : i + 1].all()]


def _batch(
    z: NDArray[np.float32], days: list[int], config: PretrainConfig, rng: np.random.Generator, device: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """History, its mask, the target, and where that is known and asked for."""
    past, known, wanted, asked = [], [], [], []
    size = min(config.crop, *(n - n % 4 for n in z.shape[1:]))
    for day in rng.choice(days, size=config.batch):
        y, x = (4 * int(rng.integers(0, (n - size) // 4 + 1)) for n in z.shape[1:])
        cut = z[day - config.history + 1 : day + 2, y : y + size, x : x + size]
        seen = np.isfinite(cut[:-1])
        if rng.random() < config.dropout and config.history > 1:
            seen = seen & (np.arange(config.history) >= rng.integers(1, config.history))[:, None, None]
        given, after = cut[:-1], cut[-1:] if config.pretext == "next" else cut[-2:-1]
        where = np.isfinite(after)
        if config.pretext == "refine":
            given = _coarser(given, int(rng.integers(2, 5)))
            seen = seen & np.isfinite(given)
        elif config.pretext == "masked":
            hidden = _blocks(size, rng)
            seen[-1] &= ~hidden
            where = where & hidden
        past.append(np.where(seen, given, 0.0))
        known.append(seen)
        wanted.append(np.nan_to_num(after))
        asked.append(where)
    history, mask, target, weight = (
        torch.from_numpy(np.stack(a).astype(np.float32)).to(device) for a in (past, known, wanted, asked)
    )
    return history, mask, target, weight


def _coarser(fields: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Fields, shape (L, P, P), as means over blocks of cells, brought back bilinearly; gaps stay."""
    known = torch.from_numpy(np.isfinite(fields).astype(np.float32))[:, None]
    values = torch.from_numpy(np.nan_to_num(fields))[:, None]
    size = (max(1, fields.shape[-2] // factor), max(1, fields.shape[-1] // factor))
    share = adaptive_avg_pool2d(known, size)
    mean = adaptive_avg_pool2d(values, size) / share.clamp(min=1e-6)
    back = interpolate(mean, size=fields.shape[-2:], mode="bilinear", align_corners=False)
    whole: NDArray[np.float32] = torch.where(known > 0, back, torch.nan)[:, 0].numpy()
    return whole


def _blocks(size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Squares of a quarter of the crop's side, somewhere; about a third of the cells are in one."""
    hidden = np.zeros((size, size), dtype=bool)
    side = max(2, size // 4)
    for y, x in rng.integers(0, size - side + 1, size=(_MASKS, 2)):
        hidden[y : y + side, x : x + side] = True
    return hidden


def _nearest(history: Tensor, mask: Tensor) -> Tensor:
    """The last day, cells that are unknown filled from their nearest neighbours."""
    pairs = zip(history[:, -1].cpu().numpy(), mask[:, -1].cpu().numpy() > 0, strict=True)
    return torch.from_numpy(np.stack([filled(day, known) for day, known in pairs]))[:, None].to(history)


def _loss(network: TemporalUNet, history: Tensor, mask: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return _l1(network(history, mask).float(), target, weight)


def _l1(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return ((prediction - target).abs() * weight).sum() / weight.sum().clamp(min=1.0)


def _parts(encoder: Encoder) -> dict[str, Any]:
    return {"history": encoder.history, "channels": list(encoder.channels)}


def _fingerprint(z: NDArray[np.float32]) -> list[Any]:
    return [list(z.shape), float(np.nanmean(z[:: max(1, len(z) // 50)], dtype=np.float64))]


def _day(when: int) -> str:
    return str(np.datetime64(when, "us").astype("datetime64[D]"))
