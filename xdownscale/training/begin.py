"""Where stage 2 begins: what the training days say, a card that holds it, and weights to start from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xdownscale.diffusion.schedule import even_snr
from xdownscale.grid import Grid, upsampling
from xdownscale.models import Card, Downscaler, conditioning
from xdownscale.models.schema import STEPS
from xdownscale.nn.encoder import Encoder
from xdownscale.noise import Spectrum, estimate
from xdownscale.scaling import fitted
from xdownscale.training.climatology import Folds, measure
from xdownscale.training.encoder import Pretrained

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.models.climatology import Climatology
    from xdownscale.scaling import Scaling
    from xdownscale.training.config import TrainConfig
    from xdownscale.training.pairs import Pairs, Record

__all__ = ["Measured", "begin", "check_variable", "go_on", "told", "unaided", "untaught"]

_MEASURED_DAYS = 24
_STEM = "unet.stem.weight"
_SAMPLER = {"flow": ("midpoint", 4), "ddpm": ("dpmpp", 8), "regression": ("direct", 1), "vae": ("direct", 1)}


def begin(
    learn: Pairs,
    held: Pairs,
    pretrained: Pretrained,
    config: TrainConfig,
    grids: tuple[Grid, Grid],
    told: dict[str, Any],
    found: Measured,
) -> Downscaler:
    """A fresh denoiser around an encoder, with all that the data tell on its card.

    Parameters
    ----------
    learn, held : Pairs
        Days to learn from, and days held out.
    pretrained : Pretrained
    config : TrainConfig
    grids : (Grid, Grid)
        The whole coarse and fine grids.
    told : dict
        Fields of the card that the data do not tell.
    found : Measured

    Returns
    -------
    Downscaler
    """
    without = config.transfer == "none"
    coarse = learn.coarse
    climatology = None if found.folds is None else found.folds.whole
    told = {
        "region": _region(coarse.grid),
        "months": _months(coarse, learn),
        "cadence": _cadence(learn.fine.step),
    } | told
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
        "encoder_digest": None if without else pretrained.digest,
        "architecture": _architecture(pretrained, config, climatology, grids[1]),
        "statics": _statics(config, grids[1]),
        "process": config.process,
        "sees": config.sees,
        "state": config.state > 0,
        "residual_scale": found.scale,
        "spectrum": (Spectrum.white() if config.process == "vae" else found.spectrum).to_dict(),
        "source_quantiles": found.quantiles,
    }
    free: dict[str, Any] = {
        "value_range": found.range,
        "sampler": dict(zip(("name", "evaluations"), _SAMPLER[config.process], strict=True)),
        "times": {str(n): even_snr(n).tolist() for n in (2, 4, 8, 16)} if config.process == "ddpm" else {},
    }
    card = Card(**(free | told | measured))
    torch.manual_seed(config.seed)
    fresh = Downscaler.build(replace(card, encoder_digest=None))
    if fresh.encoder is not None:
        fresh.encoder.load_state_dict(pretrained.encoder.state_dict())
    return Downscaler(card, fresh.denoiser, fresh.encoder, climatology)


def unaided(coarse: xr.DataArray, config: TrainConfig) -> Pretrained:
    """What stands for an encoder where there is none: a transform fitted to the coarse record.

    Raises
    ------
    ValueError
        If the configuration wants an encoder.
    """
    if config.transfer != "none":
        raise ValueError(
            f"transfer is {config.transfer!r}, and no encoder is given: pretrain one, "
            "xdownscale.pretrain(coarse), or train without, TrainConfig(transfer='none')"
        )
    scaling = fitted(config.transform, coarse.values)
    return Pretrained(Encoder(1, (8, 8, 8)).eval(), scaling, {"none": True})


def untaught(pretrained: Pretrained, seed: int) -> Pretrained:
    """An encoder of the same architecture and transform whose weights learned nothing."""
    torch.manual_seed(seed)
    encoder = Encoder(pretrained.encoder.history, pretrained.encoder.channels)
    return Pretrained(encoder.eval(), pretrained.scaling, {"random": True})


def check_variable(pretrained: Pretrained, begun: Downscaler | None, *names: str | None) -> None:
    """Refuse an encoder that is known to have learned another quantity than those named.

    Raises
    ------
    ValueError
    """
    learned = pretrained.info.get("variable") if begun is None else begun.card.variable
    known = [name for name in names if name]
    if learned and known and learned not in known:
        raise ValueError(
            f"the encoder learned {learned}, the fine record holds {known[0]}: its transform and its "
            f"features are another quantity's; pretrain one on a coarse record of {known[0]}, or rename the "
            "record if the two are one"
        )


def go_on(model: Downscaler, begun: Downscaler) -> None:
    """Begin with the weights of another model's denoiser, in place.

    Raises
    ------
    ValueError
        If the two denoisers are not built alike; a state that is new to the model is no difference.
    """
    ours, theirs = (
        {
            "process": m.card.process,
            "sees": m.card.sees,
            "statics": list(m.card.statics),
            **m.card.architecture["denoiser"],
        }
        for m in (model, begun)
    )
    weights = begun.denoiser.state_dict()
    if model.card.state and not begun.card.state:
        weights[_STEM] = _widened(weights[_STEM], model.denoiser.state_dict()[_STEM])
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
    wide = torch.zeros_like(wanted)
    wide[:, : stem.shape[1]] = stem
    return wide


def told(fine: xr.DataArray) -> dict[str, Any]:
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
        "training": {"data": "unnamed", "synthetic": False},
    }


def _architecture(
    pretrained: Pretrained, config: TrainConfig, climatology: Climatology | None, grid: Grid
) -> dict[str, Any]:
    without = config.transfer == "none"
    channels = [] if without else list(pretrained.encoder.channels)
    return {
        "encoder": None if without else {"history": pretrained.encoder.history, "channels": channels},
        "denoiser": {
            "condition": conditioning.channels(_statics(config, grid), state=config.state > 0),
            "context": channels,
            "channels": list(config.channels),
            "blocks": config.blocks,
            "embedding": 64,
        },
        "climatology": None if climatology is None else climatology.to_dict(),
    }


@dataclass(frozen=True, eq=False)
class Measured:
    """What the training days say of the residual and of the coarse input.

    Attributes
    ----------
    scale : float
        Standard deviation of T(x) - U T(y).
    spectrum : Spectrum
        Of the residual in units of its scale; white where the process wants that.
    quantiles : list of float [units of the values]
        The 0, 1 ... 100 % quantiles of the coarse input.
    range : (float, float) [units of the values]
        What the model may be given: from 0, where nothing is negative, to twice the largest.
    folds : Folds or None
        The residual's climatology, where the model shall have it.
    """

    scale: float
    spectrum: Spectrum
    quantiles: list[float]
    range: tuple[float, float]
    folds: Folds | None

    @classmethod
    def on(cls, learn: Pairs, pretrained: Pretrained, config: TrainConfig) -> Measured:
        """Measure on some of the days; the climatology on all.

        Raises
        ------
        ValueError
            If the fine truth has no valid cell.
        """
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
        low, high = float(min(seen.min(), 0.0)), float(seen.max())
        return cls(scale, spectrum, quantiles, (2.0 * low, 2.0 * high if high > 0 else 1.0), folds)


def _residuals(
    learn: Pairs, pretrained: Pretrained, config: TrainConfig, numbers: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    """T(x) - U T(y) of some of the days, on the whole window of the fine record."""
    from_coarse = upsampling(learn.coarse.grid, learn.fine.grid, config.upsampling)
    for number in numbers:
        coarse_day, fine_day = learn.days[number]
        z = _transformed(learn.coarse.day(coarse_day), pretrained.scaling)
        x = _transformed(learn.fine.day(fine_day), pretrained.scaling)
        yield (x - from_coarse(z)).astype(np.float32)


def _transformed(values: NDArray[np.float32], scaling: Scaling) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore", divide="ignore"):
        x = np.asarray(scaling.forward(values))
    lost = np.isfinite(values) & ~np.isfinite(x)
    if lost.any():
        raise ValueError(
            f"{int(lost.sum())} values of the fine truth, the smallest {values[lost].min():g}, have no "
            f"{scaling.to_dict()['name']} transform: clip or mask them, or choose another transform"
        )
    return x


def _statics(config: TrainConfig, grid: Grid) -> tuple[str, ...]:
    """Maps of latitude and longitude have no place on a plane."""
    return tuple(s for s in config.statics if grid.y.kind == "latitude" or s not in ("sphere", "fourier"))


def _date(record: Record, day: int) -> str:
    return str(np.datetime64(record.instants[day], "us").astype("datetime64[D]"))


def _region(grid: Grid) -> dict[str, list[float]]:
    names = ("lat", "lon") if grid.y.kind == "latitude" else ("y", "x")
    return {
        name: [float(axis.edges[0]), float(axis.edges[-1])]
        for name, axis in zip(names, (grid.y, grid.x), strict=True)
    }


def _cadence(step: int) -> str:
    """The step in its largest whole unit, to the second."""
    seconds = max(1, round(step / STEPS["s"]))
    for unit in ("D", "h", "min", "s"):
        size = STEPS[unit] // STEPS["s"]
        if abs(seconds - size * round(seconds / size)) <= seconds // 50 and seconds >= 0.98 * size:
            return f"{round(seconds / size)}{unit}"
    return f"{seconds}s"


def _months(coarse: Record, learn: Pairs) -> list[int]:
    stamps = (
        np.asarray([coarse.instants[c] for c, _ in learn.days])
        .astype("datetime64[us]")
        .astype("datetime64[M]")
    )
    return sorted({int(m) % 12 + 1 for m in stamps.astype(int)})
