"""What a training is told: values only, checked at the door."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from xdownscale.models.schema import PROCESSES, SEES

__all__ = ["PretrainConfig", "TrainConfig"]

Precision = Literal["auto", "float32", "bfloat16"]
PRETEXTS = ("next", "refine", "masked")
TRANSFERS = ("frozen", "tuned", "random", "scratch", "none")


@dataclass(frozen=True)
class PretrainConfig:
    """Stage 1: the transfer encoder on a long coarse record.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    pretext : {"next", "refine", "masked"}
        What is to be given: the next day; today's field, from a record coarsened by 2 to 4 and brought back;
        blocks of today's field that were masked.
    batch : int
        Crops a step.
    crop : int [coarse cells]
        Side of a crop; a multiple of 4.
    history : int, 1-60 [days]
        Days the encoder sees, today included.
    channels : tuple of int
        Of the encoder's three scales.
    learning_rate : float
        Peak of the cosine decay.
    ema : float, 0-1
        Decay of the averaged weights.
    dropout : float, 0-1
        Share of samples in which part of the history is masked.
    transform : {"log", "sqrt", "identity", "quantile"}
        Of the values, for both stages; fitted to the record.
    seed : int, >= 0
    precision : {"auto", "float32", "bfloat16"}
        Mixed, `bfloat16` is float32 with a warning where a processor has no such arithmetic; `auto` is mixed
        on a GPU that has it.

    Examples
    --------
    >>> PretrainConfig(history=3).to_dict()["history"]
    3
    >>> PretrainConfig(crop=30)
    Traceback (most recent call last):
        ...
    ValueError: crop is 30: expected a multiple of 4
    """

    steps: int = 2000
    pretext: Literal["next", "refine", "masked"] = "next"
    batch: int = 16
    crop: int = 48
    history: int = 5
    channels: tuple[int, ...] = (32, 64, 96)
    learning_rate: float = 2e-3
    ema: float = 0.995
    dropout: float = 0.3
    transform: Literal["log", "sqrt", "identity", "quantile"] = "log"
    seed: int = 0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        _at_least(self, steps=1, batch=1, crop=8, history=1, seed=0)
        _multiple(self, "crop", 4)
        _one_of(self, transform=("log", "sqrt", "identity", "quantile"), pretext=PRETEXTS)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a card holds them."""
        return asdict(self)


@dataclass(frozen=True)
class TrainConfig:
    """Stage 2: the denoiser on pairs of coarse and fine fields.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    batch : int
        Crops a step, drawn from `days` days.
    days : int
        Different days a step; divides `batch`.
    crop : int [fine cells]
        Side of a crop; a multiple of 8. No smaller than the residual's decorrelation length.
    border : int [fine cells]
        Left out of the loss where a crop ends inside the domain.
    process : {"flow", "ddpm", "regression", "vae"}
        The last two are baselines of its size: a deterministic network, and a variational autoencoder whose
        decoder it is.
    transfer : {"frozen", "tuned", "random", "scratch", "none"}
        The encoder as it was pretrained and frozen; trained on; with fresh weights and frozen; with fresh
        weights and trained on; or none at all. All but the first are there to be compared with it.
    sees : {"coarse", "fine", "upsampled"}
        What the encoder looks at: the coarse history, today included; as many fine days before today, on
        their own cells; or the coarse history brought to the fine cells.
    channels : tuple of int
        Of the denoiser's three levels.
    blocks : int
        Residual blocks a level.
    statics : tuple of str
        Static maps (`xdownscale.models.conditioning.STATICS`); on a plane, those of latitude and longitude
        are left out.
    transform : {"log", "sqrt", "identity", "quantile"}
        Of the values, where no encoder brings one.
    upsampling : {"linear", "cubic"}
        The fixed operator U.
    learning_rate, ema : float
    roughness : float, >= 0
        Weight of the loss on gradients: the same minimiser, faster at small scales.
    degrade : float, 0-1
        Share of days whose coarse input is smoothed and biased, as a reanalysis is.
    dropout : float, 0-1
        Share of days in which part of the history is masked.
    edges : float, 0-1
        Share of days in which the domain ends inside the crops.
    state : float, 0-1
        Share of days on which the day before is told, with noise of a random level; 0 makes a model without
        `coherence="autoregressive"`.
    noise_end : float, 0-1
        Share of samples at the noise end, where `product="mean"` and the first step live.
    seed : int, >= 0
    precision : {"auto", "float32", "bfloat16"}
        Mixed, `bfloat16` is float32 with a warning where a processor has no such arithmetic; `auto` is mixed
        on a GPU that has it.

    Examples
    --------
    >>> TrainConfig(batch=6, days=4)
    Traceback (most recent call last):
        ...
    ValueError: batch is 6: expected a multiple of days, 4
    """

    steps: int = 6000
    batch: int = 16
    days: int = 4
    crop: int = 96
    border: int = 8
    process: Literal["flow", "ddpm", "regression", "vae"] = "flow"
    transfer: Literal["frozen", "tuned", "random", "scratch", "none"] = "frozen"
    sees: Literal["coarse", "fine", "upsampled"] = "coarse"
    channels: tuple[int, ...] = (48, 72, 128)
    blocks: int = 2
    statics: tuple[str, ...] = ("sphere", "fourier", "season", "climatology")
    transform: Literal["log", "sqrt", "identity", "quantile"] = "log"
    upsampling: Literal["linear", "cubic"] = "cubic"
    learning_rate: float = 2e-3
    ema: float = 0.999
    roughness: float = 0.5
    degrade: float = 0.3
    dropout: float = 0.3
    edges: float = 0.1
    state: float = 0.0
    noise_end: float = 0.1
    seed: int = 0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        _at_least(self, steps=1, batch=1, days=1, crop=16, border=0, seed=0, roughness=0)
        _multiple(self, "crop", 8)
        _one_of(self, process=PROCESSES, transfer=TRANSFERS, sees=SEES)
        _one_of(self, transform=("log", "sqrt", "identity", "quantile"))
        if self.sees != "coarse" and self.transfer == "none":
            raise ValueError(
                f"sees is {self.sees!r} and transfer 'none': there is no encoder to see it; expected "
                "sees='coarse', or an encoder"
            )
        if self.sees == "fine" and self.state > 0:
            raise ValueError(
                f"sees is 'fine' and state {self.state:g}: the fine history tells the day before already; "
                "expected one of the two"
            )
        if self.batch % self.days:
            raise ValueError(f"batch is {self.batch}: expected a multiple of days, {self.days}")
        if 2 * self.border >= self.crop:
            raise ValueError(f"border is {self.border}: expected less than half of the crop, {self.crop}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a card holds them."""
        return asdict(self)


def _at_least(config: Any, **least: int) -> None:
    for name, low in least.items():
        if getattr(config, name) < low:
            raise ValueError(f"{name} is {getattr(config, name)}: expected at least {low}")


def _one_of(config: Any, **choices: tuple[str, ...]) -> None:
    for name, known in choices.items():
        if getattr(config, name) not in known:
            raise ValueError(f"{name} is {getattr(config, name)!r}: expected one of {list(known)}")


def _multiple(config: Any, name: str, of: int) -> None:
    if getattr(config, name) % of:
        raise ValueError(f"{name} is {getattr(config, name)}: expected a multiple of {of}")
