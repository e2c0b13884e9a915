"""Invertible transforms of values, standardised; the card holds which.

    Log       z = (log(x + floor) - mean) / std
    Sqrt      z = (sqrt(x) - mean) / std
    Identity  z = (x - mean) / std
    Quantile  z = Phi^-1(F(x)), F by quantiles; its inverse may be that of another distribution

They act on numpy arrays and torch tensors alike. The inverses of Log and Sqrt give no negative values.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

__all__ = ["Identity", "Log", "Quantile", "Scaling", "Sqrt", "fitted", "from_dict"]

_MOST_QUANTILES = 1001


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
        """Mean and standard deviation of the finite values' logarithms; ValueError at values <= -floor."""
        z = np.log(_above(_finite(values), -floor, "log"))
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
        """Mean and standard deviation of the finite values' roots; ValueError at values below 0."""
        z = np.sqrt(_above(_finite(values), 0.0, "sqrt"))
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


@dataclass(frozen=True)
class Quantile:
    """Normal scores by quantiles, linear between them and beyond the outermost.

    Attributes
    ----------
    levels : tuple of float, rising, in (0, 1)
    source : tuple of float, rising [units of the values]
        Quantiles of what `forward` is given.
    target : tuple of float, rising [units of the values]
        Quantiles of what `inverse` gives; those of the source make it the inverse of `forward`, others make
        the two together a quantile mapping.

    Examples
    --------
    >>> map_ = Quantile((0.25, 0.5, 0.75), (1.0, 2.0, 3.0), (10.0, 20.0, 40.0))
    >>> map_.inverse(map_.forward(np.array([2.0, 2.5, 4.0]))).round(9)
    array([20., 30., 60.])
    """

    levels: tuple[float, ...]
    source: tuple[float, ...]
    target: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("levels", "source", "target"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if not (2 <= values.size <= _MOST_QUANTILES and np.isfinite(values).all()):
                raise ValueError(
                    f"{name} holds {values.size} values: expected 2 to {_MOST_QUANTILES}, finite"
                )
            if values.size != len(self.levels) or not (np.diff(values) > 0).all():
                raise ValueError(f"{name}: expected {len(self.levels)} rising values")
            object.__setattr__(self, name, tuple(values.tolist()))
        if not 0 < self.levels[0] < self.levels[-1] < 1:
            raise ValueError(f"levels from {self.levels[0]} to {self.levels[-1]}: expected between 0 and 1")

    @classmethod
    def fit(cls, values: ArrayLike, target: ArrayLike | None = None, *, count: int = 201) -> Quantile:
        """Quantiles of the finite values, and of others that the inverse shall have.

        Parameters
        ----------
        values, target : array-like
        count : int
            Levels to begin with; those at which either distribution does not rise are left out.
        """
        x = _finite(values)
        y = x if target is None else _finite(target)
        p = (np.arange(count) + 0.5) / count
        p = np.concatenate([[1e-4, 1e-3], p, [1 - 1e-3, 1 - 1e-4]])
        p.sort()
        a, b = np.quantile(x, p), np.quantile(y, p)
        rises = np.concatenate([[True], np.minimum(_gains(a), _gains(b)) > 0])
        return cls(tuple(p[rises]), tuple(a[rises]), tuple(b[rises]))

    def forward(self, x: Any) -> Any:
        """Values to normal scores."""
        return _piecewise(x, self.source, ndtri(self.levels))

    def inverse(self, z: Any) -> Any:
        """Normal scores to values of the target's distribution."""
        return _piecewise(z, ndtri(self.levels), self.target)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the transform's name."""
        return {"name": "quantile", **{k: list(v) for k, v in asdict(self).items()}}


def fitted(name: str, values: ArrayLike) -> Scaling:
    """A transform fitted to the finite values.

    Parameters
    ----------
    name : {"log", "sqrt", "identity", "quantile"}
    values : array-like

    Raises
    ------
    ValueError
        If the name is unknown, or the values hold no two different finite numbers.
    """
    kinds: dict[str, type[Log | Sqrt | Identity | Quantile]] = {
        "log": Log,
        "sqrt": Sqrt,
        "identity": Identity,
        "quantile": Quantile,
    }
    if name not in kinds:
        raise ValueError(f"transform is {name!r}: expected one of {sorted(kinds)}")
    return kinds[name].fit(values)


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
    if name not in (*kinds, "quantile"):
        raise ValueError(f"transform is {name!r}: expected one of {sorted([*kinds, 'quantile'])}")
    try:
        if name == "quantile":
            return Quantile(**{key: tuple(map(float, value)) for key, value in rest.items()})
        return kinds[name](**{key: float(value) for key, value in rest.items()})
    except TypeError as error:
        raise ValueError(f"transform {name!r} with {sorted(rest)}: {error}") from error


def _gains(quantiles: Any) -> Any:
    """Steps between quantiles; what rises by next to nothing does not rise."""
    steps = np.diff(quantiles)
    return np.where(steps > 1e-9 * (quantiles[-1] - quantiles[0]), steps, 0.0)


def _piecewise(x: Any, nodes: Any, values: Any) -> Any:
    """Linear interpolation between nodes, and on along the outermost pieces."""
    library = _library(x)
    if library is np:
        x = np.asarray(x, dtype=np.result_type(np.asarray(x).dtype, np.float32))
        a, b = (np.asarray(v, dtype=x.dtype) for v in (nodes, values))
    else:
        a, b = (library.as_tensor(v, dtype=x.dtype, device=x.device) for v in (nodes, values))
    place = (library.searchsorted(a, x) - 1).clip(0, len(a) - 2)
    share = (x - a[place]) / (a[place + 1] - a[place])
    return b[place] + share * (b[place + 1] - b[place])


def _finite(values: ArrayLike) -> Any:
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if array.size == 0 or float(array.std()) == 0:
        raise ValueError(
            "the values to fit hold no two different finite numbers: check units, fill values and the "
            "variable"
        )
    return array


def _above(values: Any, least: float, name: str) -> Any:
    """Values counted from a bound, none below it."""
    above = values - least
    if above.min() < 0 or (name == "log" and above.min() == 0):
        raise ValueError(
            f"the smallest value is {values.min():g}: {name} takes values above {least:g}; clip or mask "
            "them, or choose another transform"
        )
    return above


def _library(x: Any) -> Any:
    """The module whose functions act on x."""
    if type(x).__module__.partition(".")[0] == "torch":
        import torch

        return torch
    return np
