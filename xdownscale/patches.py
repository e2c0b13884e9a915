"""Where patches lie and how their estimates are merged: integers and windows, nothing else.

Patches have one size P and sit at multiples of the spacing S on the absolute lattice of a grid, whatever the
domain. Along an axis a patch's weight is zero in its halo, rises over its ramp as sin^2 (half a Hann window)
and is one inside; on the outer edges of the extended domain, where there is no neighbour, it stays one.
Weights are divided by their sum, so that

    sum_k w_k = 1 everywhere,    merge(extract(x)) = x

The extended domain reaches `halo` beyond the domain (to a multiple of 8), unless the axis is cyclic; outer
patches are cut to it, so that nothing is computed which nobody sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Layout", "Line", "Tiling", "layout", "line"]

_MULTIPLE = 8


@dataclass(frozen=True)
class Tiling:
    """How a field is cut. A choice of memory and speed.

    Attributes
    ----------
    patch : int or None [fine cells]
        Side, a multiple of 8; None takes the whole domain in one piece.
    halo : int [fine cells]
        Estimates this near an inner edge get no weight.
    ramp : int [fine cells]
        Width over which the weight rises from zero to one.
    stride : int or None [fine cells]
        Spacing of the patches; by default they overlap by their halos and one ramp.
    merge : {"step", "final"}
        Merge estimates inside every step, or finished patches at the end (the paper's way; loses variance).
    batch : int
        Patches a call of the network, on a GPU or with merge="final"; on a CPU patches go one by one, since a
        convolution rounds differently for other batch sizes.

    Raises
    ------
    ValueError

    Examples
    --------
    >>> Tiling().spacing
    384
    >>> Tiling(patch=64, halo=48)
    Traceback (most recent call last):
        ...
    ValueError: patch is 64 with halos of 48 and a ramp of 16: nothing is left inside; expected a patch of at
    least 120
    """

    patch: int | None = 496
    halo: int = 48
    ramp: int = 16
    stride: int | None = None
    merge: Literal["step", "final"] = "step"
    batch: int = 1

    def __post_init__(self) -> None:
        if self.merge not in ("step", "final"):
            raise ValueError(f"merge is {self.merge!r}: expected 'step' or 'final'")
        for name, least in (("patch", 8), ("halo", 0), ("ramp", 0), ("batch", 1)):
            value = getattr(self, name)
            if name == "patch" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}: expected a whole number of at least {least}")
        if self.patch is None:
            if self.merge == "final" or self.stride is not None:
                raise ValueError("patch is None, the whole domain: expected merge='step' and no stride")
        else:
            self._check_spacing(self.patch)

    def _check_spacing(self, patch: int) -> None:
        if self.spacing < 1:
            need = -(-(2 * self.halo + self.ramp + 1) // _MULTIPLE) * _MULTIPLE
            raise ValueError(
                f"patch is {patch} with halos of {self.halo} and a ramp of {self.ramp}: nothing "
                "is left inside; "
                f"expected a patch of at least {need}"
            )
        if self.spacing > patch - 2 * self.halo:
            raise ValueError(
                f"stride is {self.stride}: expected at most {patch - 2 * self.halo}, or cells are missed"
            )
        step = self.spacing if self.merge == "step" else _MULTIPLE
        for name, value in (("patch", patch), ("stride", step)):
            if value % _MULTIPLE:
                raise ValueError(f"{name} is {value}: expected a multiple of {_MULTIPLE}")

    @property
    def spacing(self) -> int:
        """The stride in force; 0 for the whole domain in one piece."""
        if self.patch is None:
            return 0
        return self.patch - 2 * self.halo - self.ramp if self.stride is None else self.stride


@dataclass(frozen=True)
class Line:
    """Patches along one axis.

    Attributes
    ----------
    start, size : int
        Of the extended domain, absolute; the whole period where cyclic.
    patch, halo, ramp : int
    starts : tuple of int
        Absolute first cells of the patches, rising.
    cyclic : bool
    """

    start: int
    size: int
    patch: int
    halo: int
    ramp: int
    starts: tuple[int, ...]
    cyclic: bool

    def span(self, k: int) -> tuple[int, int]:
        """First cell, absolute, and size of patch k, cut to the extended domain."""
        if self.cyclic:
            return self.starts[k], self.patch
        first = max(self.starts[k], self.start)
        return first, min(self.starts[k] + self.patch, self.start + self.size) - first

    def index(self, k: int) -> NDArray[np.int64]:
        """Positions of patch k in the extended domain."""
        first, size = self.span(k)
        index = first - self.start + np.arange(size)
        return index % self.size if self.cyclic else index

    @cached_property
    def weights(self) -> tuple[NDArray[np.float32], ...]:
        """Weights of each patch along the axis; they sum to one over every cell."""
        raw = [self._raw(k) for k in range(len(self.starts))]
        total = np.zeros(self.size)
        for k, weight in enumerate(raw):
            np.add.at(total, self.index(k), weight)
        return tuple((weight / total[self.index(k)]).astype(np.float32) for k, weight in enumerate(raw))

    def _raw(self, k: int) -> NDArray[np.float64]:
        rise = np.ones(self.patch)
        rise[: self.halo] = 0.0
        span = slice(self.halo, min(self.halo + self.ramp, self.patch))
        rise[span] = np.sin(0.5 * np.pi * (np.arange(span.stop - span.start) + 0.5) / max(self.ramp, 1)) ** 2
        fall = rise[::-1].copy()
        if not self.cyclic and k == 0:
            rise = np.ones(self.patch)
        if not self.cyclic and k == len(self.starts) - 1:
            fall = np.ones(self.patch)
        first, size = self.span(k)
        return (rise * fall)[first - self.starts[k] :][:size]


@dataclass(frozen=True)
class Layout:
    """Patches on both axes. Iterating gives the patches (ky, kx) in the order in which they are merged."""

    y: Line
    x: Line

    @property
    def shape(self) -> tuple[int, int]:
        """Of the extended domain."""
        return self.y.size, self.x.size

    def __len__(self) -> int:
        return len(self.y.starts) * len(self.x.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(product(range(len(self.y.starts)), range(len(self.x.starts))))

    def index(self, k: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows (h, 1) and columns (1, w) of a patch in the extended domain."""
        return self.y.index(k[0])[:, None], self.x.index(k[1])[None, :]

    def weight(self, k: tuple[int, int]) -> NDArray[np.float32]:
        """Weights of a patch, shape (h, w)."""
        return np.outer(self.y.weights[k[0]], self.x.weights[k[1]])

    def extract(self, field: Any, k: tuple[int, int]) -> Any:
        """A patch of an array or tensor of shape (..., *shape), shape (..., h, w)."""
        return field[(..., *self._place(k))]

    def accumulate(self, total: Any, k: tuple[int, int], patch: Any, weight: Any = None) -> None:
        """Add a weighted patch, shape (..., h, w), to a total of shape (..., *shape), in place."""
        total[(..., *self._place(k))] += patch * (self.weight(k) if weight is None else weight)

    def inner(self, y: tuple[int, int], x: tuple[int, int]) -> tuple[slice, slice]:
        """A window (start, size) of each axis as slices of the extended domain."""
        first_y, first_x = y[0] - self.y.start, x[0] - self.x.start
        return slice(first_y, first_y + y[1]), slice(first_x, first_x + x[1])

    def _place(self, k: tuple[int, int]) -> tuple[Any, Any]:
        """Slices where the patch is in one piece, index arrays where it wraps."""
        iy, ix = self.index(k)
        whole = iy[-1, 0] - iy[0, 0] == iy.size - 1 and ix[0, -1] - ix[0, 0] == ix.size - 1
        if whole:
            return slice(int(iy[0, 0]), int(iy[-1, 0]) + 1), slice(int(ix[0, 0]), int(ix[0, -1]) + 1)
        return iy, ix


def line(start: int, size: int, period: int | None, tiling: Tiling) -> Line:
    """Patches along an axis that cover a domain.

    Parameters
    ----------
    start, size : int
        The domain's first cell, absolute, and its cells.
    period : int or None
        Cells round the globe where the domain is the whole circle.
    tiling : Tiling

    Returns
    -------
    Line

    Raises
    ------
    ValueError
        If a cyclic axis is not a multiple of the spacing, or shorter than a patch.

    Examples
    --------
    >>> patches = line(1000, 300, None, Tiling(patch=256))
    >>> patches.starts, [patches.span(k) for k in range(3)]
    ((864, 1008, 1152), [(952, 168), (1008, 256), (1152, 200)])
    """
    step, patch, halo = tiling.spacing, tiling.patch, tiling.halo
    if patch is None:
        return _whole(start, size, period, tiling)
    if period is not None and size == period:
        if period % step or patch > period:
            raise ValueError(
                f"{period} cells round the globe: expected a multiple of the patches' spacing {step} "
                "and at least a patch, "
                f"{patch}; choose another stride"
            )
        return Line(0, period, patch, halo, tiling.ramp, tuple(range(0, period, step)), True)
    low = (start - halo) // _MULTIPLE * _MULTIPLE
    high = -(-(start + size + halo) // _MULTIPLE) * _MULTIPLE
    first = low // step
    last = max(first, -(-(high - patch) // step))
    starts = tuple(k * step for k in range(first, last + 1))
    if tiling.merge == "final":
        low, high = starts[0], starts[-1] + patch
    return Line(low, high - low, patch, halo, tiling.ramp, starts, False)


def _whole(start: int, size: int, period: int | None, tiling: Tiling) -> Line:
    if period is not None and size == period:
        raise ValueError(
            "the domain goes round the globe and has no edge: give a patch size, such as Tiling(patch=256)"
        )
    first = (start - tiling.halo) // _MULTIPLE * _MULTIPLE
    patch = -(-(start + size + tiling.halo - first) // _MULTIPLE) * _MULTIPLE
    return Line(first, patch, patch, tiling.halo, tiling.ramp, (first,), False)


def layout(y: tuple[int, int, int | None], x: tuple[int, int, int | None], tiling: Tiling) -> Layout:
    """Patches that cover a domain.

    Parameters
    ----------
    y, x : (start, size, period or None)
    tiling : Tiling

    Returns
    -------
    Layout
    """
    return Layout(line(*y, tiling), line(*x, tiling))
