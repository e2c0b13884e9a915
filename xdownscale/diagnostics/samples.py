"""Fields as weighted samples: read block by block, cleaned, counted.

A sample is what two fields are compared as: the values of all cells, times and members, each with a weight
(its cell's area), after the average over coarser cells and the transform that were asked for. Missing values
and cells of zero weight are left out; what the transform is not defined for is counted, and refused at the
end. Lazy fields are counted in their own blocks, side by side, and never held whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.diagnostics.histogram import BINS, Histogram
from xdownscale.diagnostics.permutation import DAY_BINS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.grid import Separable

__all__ = ["Clean", "Recipe", "Sample", "Tally", "tally"]

_PIECE = 1 << 22
_FAN = 8


@dataclass(frozen=True, eq=False)
class Recipe:
    """What is done to a block before it is counted.

    Attributes
    ----------
    operator : Separable, optional
        Average over coarser cells, of those of which at least half is known.
    transform : callable, optional
        Of values; NaN or inf where it is not defined.
    """

    operator: Separable | None = None
    transform: Callable[[Any], Any] | None = None

    def clean(self, values: NDArray[Any], weights: NDArray[Any] | None, given: NDArray[Any] | None) -> Clean:
        """A block's values that count, with their weights and covariate, each of shape (n,)."""
        infinite = int(np.isinf(values).sum())
        if self.operator is not None:
            values = self.operator.mean(values, min_valid=0.5 - 1e-9)
        known = np.isfinite(values)
        if self.transform is not None:
            with np.errstate(invalid="ignore", divide="ignore"):
                values = np.asarray(self.transform(values))
        valid = np.isfinite(values)
        undefined = int((known & ~valid).sum())
        w = None
        if weights is not None:
            _check_weights(weights)
            valid &= weights > 0
            w = np.broadcast_to(weights, values.shape)[valid].astype(np.float64)
        g = None if given is None else np.broadcast_to(given, values.shape)[valid]
        return Clean(values[valid], w, g, infinite, undefined)


@dataclass(frozen=True, eq=False)
class Clean:
    """Values that count, those that are infinite and those without a transform."""

    values: NDArray[Any]
    weights: NDArray[np.float64] | None
    given: NDArray[Any] | None
    infinite: int
    undefined: int

    def within(self, chosen: NDArray[np.bool_]) -> Clean:
        """Some of the values."""
        w = None if self.weights is None else self.weights[chosen]
        return Clean(self.values[chosen], w, None, self.infinite, self.undefined)

    def bins(self, edges: NDArray[np.float64]) -> Iterator[Clean]:
        """The values by bins of the covariate, [low, high) and the last closed."""
        given = np.asarray(self.given, dtype=np.float64)
        inside = (given >= edges[0]) & (given <= edges[-1])
        place = np.clip(np.searchsorted(edges, given, side="right") - 1, 0, edges.size - 2)
        for k in range(edges.size - 1):
            yield self.within(inside & (place == k))


@dataclass(frozen=True, eq=False)
class Sample:
    """Fields to be compared, and how.

    Attributes
    ----------
    fields : DataArray, dims (..., y, x)
    weights : DataArray, dims some of those after the recipe, optional
        Equal when None.
    given : DataArray, dims some of those after the recipe, optional
        A covariate.
    time : hashable, optional
        Name of the dimension of time.
    recipe : Recipe
    """

    fields: xr.DataArray
    weights: xr.DataArray | None = None
    given: xr.DataArray | None = None
    time: Hashable | None = None
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def lazy(self) -> bool:
        """Whether anything is yet to be read."""
        return any(a is not None and a.chunks is not None for a in (self.fields, self.weights, self.given))

    def clean(self, **place: Any) -> Clean:
        """All values, or those at positions (`isel`) of dimensions, read now."""
        part = self.fields.isel(place)
        w, g = (
            None if a is None else a.isel(place, missing_dims="ignore") for a in (self.weights, self.given)
        )
        return self.recipe.clean(
            part.values, *(None if a is None else np.asarray(_aligned(a, part.dims)) for a in (w, g))
        )

    def run(self, times: slice) -> Sample:
        """A run of times, read now."""
        place = {self.time: times}
        w, g = (
            None if a is None else a.isel(place, missing_dims="ignore").compute()
            for a in (self.weights, self.given)
        )
        return replace(self, fields=self.fields.isel(place).compute(), weights=w, given=g)

    def whole(self) -> xr.DataArray:
        """The fields with each field in one block, where they are averaged; as they are elsewhere."""
        if self.fields.chunks is None or self.recipe.operator is None:
            return self.fields
        y, x = self.fields.sizes[self.fields.dims[-2]], self.fields.sizes[self.fields.dims[-1]]
        chunks: dict[Hashable, int] = dict.fromkeys(self.fields.dims[:-2], 1)
        if chunks:
            chunks[self.fields.dims[-3]] = max(1, _PIECE // (y * x))
        return self.fields.chunk({**chunks, self.fields.dims[-2]: -1, self.fields.dims[-1]: -1})


@dataclass(frozen=True, eq=False)
class Tally:
    """What was counted.

    Attributes
    ----------
    groups : tuple of Histogram
        Of all values, then of those in each bin of the covariate.
    days : dict from position in time to Histogram
        Of `DAY_BINS` bins; empty unless asked for.
    infinite, undefined : int
        Values that are infinite, and those the transform is not defined for.
    """

    groups: tuple[Histogram, ...]
    days: dict[int, Histogram]
    infinite: int
    undefined: int

    def merge(self, other: Tally) -> Tally:
        """Of the values of both."""
        groups = tuple(a.merge(b) for a, b in zip(self.groups, other.groups, strict=True))
        days = dict(self.days)
        for day, counted in other.days.items():
            days[day] = days[day].merge(counted) if day in days else counted
        return Tally(groups, days, self.infinite + other.infinite, self.undefined + other.undefined)


def tally(
    samples: Sequence[Sample],
    *,
    edges: NDArray[np.float64] | None = None,
    daily: bool = False,
    bins: int = BINS,
) -> list[Tally]:
    """Count samples, block by block; lazy ones in one computation.

    Parameters
    ----------
    samples : sequence of Sample
    edges : ndarray, shape (m + 1,), rising, optional
        Of the bins of the covariate.
    daily : bool
        Count each time alone, too.
    bins : int

    Returns
    -------
    list of Tally
    """
    counted = [_tree(list(_counted(s, edges, daily, bins))) for s in samples]
    if any(s.lazy for s in samples):
        from dask.base import compute

        counted = list(compute(*counted))
    return counted


def _counted(sample: Sample, edges: NDArray[np.float64] | None, daily: bool, bins: int) -> Iterator[Any]:
    """A Tally for each block, or the promise of one."""
    fields = sample.whole()
    axis = fields.dims.index(sample.time) if daily else None
    count: Callable[..., Any] = _count
    blocks: Any = None
    if sample.lazy:
        from dask.delayed import delayed

        count = delayed(_count, pure=False)
        # optimised apart, two samples would not share what both are made of
        blocks = fields.data.to_delayed(optimize_graph=False) if fields.chunks is not None else None
    for number, part in _parts(fields):
        values = fields.data[part] if blocks is None else blocks[number]
        beside = part if sample.recipe.operator is None else (*part[:-2], slice(None), slice(None))
        w, g = (
            None if a is None else _cut(_aligned(a, fields.dims), beside)
            for a in (sample.weights, sample.given)
        )
        first = None if axis is None else part[axis].start
        yield count(values, w, g, sample.recipe, axis, first, edges, bins)


def _count(
    values: NDArray[Any],
    weights: NDArray[Any] | None,
    given: NDArray[Any] | None,
    recipe: Recipe,
    axis: int | None,
    first: int | None,
    edges: NDArray[np.float64] | None,
    bins: int,
) -> Tally:
    if axis is None or first is None:
        return _counts(recipe.clean(values, weights, given), edges, bins)
    found = []
    for day in range(values.shape[axis]):
        at = [slice(None)] * axis + [slice(day, day + 1)]
        w, g = (None if a is None else a[tuple(at)] if a.shape[axis] > 1 else a for a in (weights, given))
        clean = recipe.clean(values[tuple(at)], w, g)
        whole = _counts(clean, edges, bins)
        alone = {first + day: Histogram.count(clean.values, clean.weights, bins=DAY_BINS)}
        found.append(Tally(whole.groups, alone, whole.infinite, whole.undefined))
    total: Tally = _tree(found)
    return total


def _counts(clean: Clean, edges: NDArray[np.float64] | None, bins: int) -> Tally:
    groups = [clean, *([] if edges is None else clean.bins(edges))]
    counted = tuple(Histogram.count(c.values, c.weights, bins=bins) for c in groups)
    return Tally(counted, {}, clean.infinite, clean.undefined)


def _tree(parts: list[Any]) -> Any:
    """Merged by eights, so that few are held at a time."""
    while len(parts) > 1:
        parts = [_merged(parts[i : i + _FAN]) for i in range(0, len(parts), _FAN)]
    return parts[0]


def _merged(parts: list[Any]) -> Any:
    if isinstance(parts[0], Tally):
        return _fold(parts)
    from dask.delayed import delayed

    return delayed(_fold, pure=False)(parts)


def _fold(parts: list[Tally]) -> Tally:
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    return total


def _parts(fields: xr.DataArray) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Number and place of each block; blocks of arrays in memory are runs of their first dimension."""
    chunks = fields.chunks
    if chunks is None:
        rows = fields.shape[0]
        run = max(1, _PIECE * rows // fields.size) if fields.ndim > 2 else rows
        chunks = (tuple(min(run, rows - i) for i in range(0, rows, run)), *((n,) for n in fields.shape[1:]))
    ends = [np.concatenate([[0], np.cumsum(c)]).tolist() for c in chunks]
    spans = [[slice(a, b) for a, b in pairwise(e)] for e in ends]
    for number in product(*(range(len(along)) for along in spans)):
        yield number, tuple(along[n] for along, n in zip(spans, number, strict=True))


def _aligned(companion: xr.DataArray, dims: tuple[Hashable, ...]) -> Any:
    """Its array with as many axes as the fields, of length one where it lacks the dimension."""
    present = companion.transpose(*(d for d in dims if d in companion.dims)).data
    return present[tuple(slice(None) if d in companion.dims else None for d in dims)]


def _cut(array: Any, part: tuple[slice, ...]) -> Any:
    return array[tuple(p if n > 1 else slice(None) for p, n in zip(part, array.shape, strict=True))]


def _check_weights(weights: NDArray[Any]) -> None:
    if not np.isfinite(weights).all():
        raise ValueError(
            "weights hold NaN or inf: expected finite numbers >= 0; fill them, weights.fillna(0)"
        )
    if (weights < 0).any():
        raise ValueError(f"weights reach {weights.min():g}: expected numbers >= 0, such as areas")
