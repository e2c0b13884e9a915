"""Invertible transforms of values, standardised; the card holds which.

    Log       z = (log(x + floor) - mean) / std
    Sqrt      z = (sqrt(x) - mean) / std
    Identity  z = (x - mean) / std

They act on numpy arrays and torch tensors alike. The inverses of Log and Sqrt give no negative values.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

__all__ = ["Identity", "Log", "Scaling", "Sqrt", "from_dict"]


class Scaling(Protocol):
    """A value transform."""

    def forward(self, x: Any) -> Any:
        """Values to standardised ones; array or tensor of any shape."""

    def inverse(self, z: Any) -> Any:
        """Back again."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the transform's name."""


@dataclass(frozen=True)
class _Standard:
    mean: float
    std: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mean) and np.isfinite(self.std) and self.std > 0):
            raise ValueError(f"mean {self.mean} and std {self.std}: expected finite numbers, std > 0")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the transform's name."""
        return {"name": type(self).__name__.lower(), **asdict(self)}


@dataclass(frozen=True)
class Log(_Standard):
    """Logarithm above a floor.

    Attributes
    ----------
    mean, std : float
        Of log(x + floor).
    floor : float, > 0 [units of the values]
        Values must exceed its negative.

    Examples
    --------
    >>> scaling = Log(mean=-2.0, std=1.5, floor=1e-3)
    >>> float(scaling.inverse(scaling.forward(0.25)).round(12))
    0.25
    """

    floor: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (np.isfinite(self.floor) and self.floor > 0):
            raise ValueError(f"floor is {self.floor}: expected a finite number > 0")

    @classmethod
    def fit(cls, values: ArrayLike, floor: float = 1e-3) -> Log:
        """Mean and standard deviation of the finite values."""
        z = np.log(_finite(values) + floor)
        return cls(float(z.mean()), float(z.std()), floor)

    def forward(self, x: Any) -> Any:
        """Values to standardised logarithms."""
        return (_library(x).log(x + self.floor) - self.mean) / self.std

    def inverse(self, z: Any) -> Any:
        """Back again, clipped at 0."""
        return (_library(z).exp(z * self.std + self.mean) - self.floor).clip(0)


@dataclass(frozen=True)
class Sqrt(_Standard):
    """Square root; values >= 0."""

    @classmethod
    def fit(cls, values: ArrayLike) -> Sqrt:
        """Mean and standard deviation of the finite values' roots."""
        z = np.sqrt(_finite(values))
        return cls(float(z.mean()), float(z.std()))

    def forward(self, x: Any) -> Any:
        """Values to standardised roots."""
        return (_library(x).sqrt(x) - self.mean) / self.std

    def inverse(self, z: Any) -> Any:
        """Back again; roots below 0 give 0."""
        return ((z * self.std + self.mean).clip(0)) ** 2


@dataclass(frozen=True)
class Identity(_Standard):
    """Standardised values."""

    @classmethod
    def fit(cls, values: ArrayLike) -> Identity:
        """Mean and standard deviation of the finite values."""
        z = _finite(values)
        return cls(float(z.mean()), float(z.std()))

    def forward(self, x: Any) -> Any:
        """Values to standardised ones."""
        return (x - self.mean) / self.std

    def inverse(self, z: Any) -> Any:
        """Back again."""
        return z * self.std + self.mean


def from_dict(content: Mapping[str, Any]) -> Scaling:
    """The transform that `to_dict` wrote.

    Raises
    ------
    ValueError
        If the name is unknown, or parameters are missing, unknown or out of range.

    Examples
    --------
    >>> from_dict({"name": "sqrt", "mean": 0.3, "std": 0.1})
    Sqrt(mean=0.3, std=0.1)
    """
    kinds: dict[str, type[Log | Sqrt | Identity]] = {
        "log": Log,
        "sqrt": Sqrt,
        "identity": Identity,
    }
    rest = dict(content)
    name = rest.pop("name", None)
    if name not in kinds:
        raise ValueError(f"transform is {name!r}: expected one of {sorted(kinds)}")
    try:
        return kinds[name](**{key: float(value) for key, value in rest.items()})
    except TypeError as error:
        raise ValueError(f"transform {name!r} with {sorted(rest)}: {error}") from error


def _finite(values: ArrayLike) -> Any:
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if array.size == 0 or float(array.std()) == 0:
        raise ValueError(
            "the values to fit hold no two different finite numbers: check units, fill values and the "
            "variable"
        )
    return array


def _library(x: Any) -> Any:
    """The module whose functions act on x."""
    if type(x).__module__.partition(".")[0] == "torch":
        import torch

        return torch
    return np
