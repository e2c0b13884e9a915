"""Sums over pairs, gathered over fields: whole, in groups, or block by block on dask.

A method of summing pairs (`Plane`, `Sphere`, `Sampled`) gives additive numbers for some fields. Fields that
are pooled have one label; their numbers are added, over blocks too, and only then turned into lag bins.
With many labels each block's numbers are binned at once, for bins are smaller than spectra. On dask nothing
is computed here; a block must hold whole fields and is rechunked if it does not. Small blocks of one label
are put together, for fields that are summed at once share transforms.
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.diagnostics.variogram.lags import Lags

__all__ = ["PairSums", "gather"]

_FAN_IN = 8
_TOGETHER = 2**26  # bytes of fields that one task takes


class PairSums(Protocol):
    """What sums over the pairs of cells of fields."""

    @property
    def lags(self) -> Lags:
        """Classes of lag."""

    def add(self, fields: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Additive numbers of fields, shape (T, ...)."""

    def binned(self, total: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums by class, shape (4, directions, bins): squares, weights, weights times distance, pairs."""


def gather(
    fields: xr.DataArray,
    weights: xr.DataArray | None,
    labels: NDArray[np.intp],
    sums: PairSums,
    space: Sequence[Any],
) -> Any:
    """Sums by label and class of lag.

    Parameters
    ----------
    fields : DataArray, dims (..., *space)
    weights : DataArray, dims (*space) or those of the fields, optional
    labels : ndarray of int, shape of the fields without space
        Group of each field, from 0 on without gaps.
    sums : PairSums
    space : sequence of hashable
        Last dimensions of the fields.

    Returns
    -------
    ndarray or dask array, shape (groups, 4, directions, bins)
        Lazy if the fields are.
    """
    groups = int(labels.max()) + 1
    if fields.chunks is None:
        own = None if weights is None else np.asarray(weights.values)
        return _stacked(_block(fields.values, own, labels, sums, groups > 1), groups, sums)
    from dask.array import from_delayed
    from dask.delayed import delayed

    shared = delayed(sums, traverse=False)
    block = delayed(_block)
    parts = [
        block(values, own, place, shared, groups > 1)
        for values, own, place in _blocks(fields, weights, labels, space)
    ]
    merge = delayed(_merged)
    while len(parts) > 1:
        parts = [merge(parts[k : k + _FAN_IN]) for k in range(0, len(parts), _FAN_IN)]
    whole = delayed(_stacked)(parts[0], groups, shared)
    return from_delayed(whole, (groups, 4, *sums.lags.shape), dtype=np.float64)


def _blocks(
    fields: xr.DataArray, weights: xr.DataArray | None, labels: NDArray[np.intp], space: Sequence[Any]
) -> Iterator[tuple[Any, Any, NDArray[np.intp]]]:
    """Delayed values and weights, and the labels, of blocks that hold whole fields."""
    from dask.delayed import delayed

    whole = fields.chunk(dict.fromkeys(space, -1))
    if not labels.any():
        whole = whole.chunk(_larger(whole, space))
    values = whole.data.to_delayed()
    samples = whole.ndim - len(space)
    own = None
    if weights is not None and weights.ndim > len(space):
        own = weights.chunk(dict(zip(whole.dims, whole.data.chunks, strict=True))).data.to_delayed()
    elif weights is not None:
        shared = delayed(weights.data)
    spans = [
        [slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))]
        for sizes in whole.data.chunks[:samples]
    ]
    for place in np.ndindex(values.shape[:samples]):
        at = (*place, *(0 for _ in space))
        mine = own[at] if own is not None else (None if weights is None else shared)
        yield values[at], mine, labels[tuple(s[k] for s, k in zip(spans, place, strict=True))]


def _larger(whole: xr.DataArray, space: Sequence[Any]) -> dict[Any, int]:
    """Sizes of blocks of the other dimensions, the last first, by which a block holds more fields."""
    left = _TOGETHER // (whole.dtype.itemsize * math.prod(whole.sizes[d] for d in space))
    sizes: dict[Any, int] = {}
    for dim in reversed(whole.dims[: whole.ndim - len(space)]):
        size, most = whole.sizes[dim], max(*whole.chunksizes[dim], left)
        sizes[dim] = math.ceil(size / math.ceil(size / most))
        left //= sizes[dim]
    return sizes


def _block(
    values: NDArray[Any], weights: NDArray[Any] | None, labels: NDArray[np.intp], sums: PairSums, early: bool
) -> dict[int, NDArray[np.float64]]:
    """Numbers of each label's fields, binned if `early`."""
    shape = values.shape[labels.ndim :]
    fields, flat = values.reshape(-1, *shape), labels.ravel()
    varying = weights is not None and weights.ndim > len(shape)
    own = weights.reshape(-1, *shape) if varying and weights is not None else weights
    found = {}
    for label in np.unique(flat):
        mine: Any = slice(None) if (flat == label).all() else flat == label
        total = sums.add(fields[mine], own[mine] if varying and own is not None else own)
        found[int(label)] = sums.binned(total) if early else total
    return found


def _merged(parts: list[dict[int, NDArray[np.float64]]]) -> dict[int, NDArray[np.float64]]:
    total = {label: part.copy() for label, part in parts[0].items()}
    for part in parts[1:]:
        for label, numbers in part.items():
            total[label] = total[label] + numbers if label in total else numbers
    return total


def _stacked(found: dict[int, NDArray[np.float64]], groups: int, sums: PairSums) -> NDArray[np.float64]:
    if groups == 1:
        return sums.binned(found[0])[None]
    return np.stack([found[label] for label in range(groups)])
