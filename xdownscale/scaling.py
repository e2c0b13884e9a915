"""Invertible transforms of values, for numpy and torch alike."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

__all__ = ["Identity", "Log", "Scaling", "Sqrt", "from_dict"]


class Scaling(Protocol):
    def forward(self, x: Any) -> Any: ...
    def inverse(self, z: Any) -> Any: ...
    def to_dict(self) -> dict[str, Any]: ...


def _library(x: Any) -> Any:
    if type(x).__module__.startswith("torch"):
        import torch

        return torch
    return np


@dataclass(frozen=True)
class Log:
    floor: float
    mean: float
    std: float

    @classmethod
    def fit(cls, values: Any, floor: float = 1e-3) -> Log:
        z = np.log(np.asarray(values, dtype=np.float64) + floor)
        return cls(floor, float(z.mean()), float(z.std()))

    def forward(self, x: Any) -> Any:
        return (_library(x).log(x + self.floor) - self.mean) / self.std

    def inverse(self, z: Any) -> Any:
        return (_library(z).exp(z * self.std + self.mean) - self.floor).clip(0)

    def to_dict(self) -> dict[str, Any]:
        return {"name": "log", **asdict(self)}


def from_dict(d: Any) -> Scaling:
    d = dict(d)
    return {"log": Log}[d.pop("name")](**d)
