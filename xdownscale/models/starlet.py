"""The starlet transform: what a field has in bands of scale, in every cell, isotropic and undecimated.

A field is smoothed by the cubic spline's filter (1, 4, 6, 4, 1)/16 along both axes, then again with the
filter's steps twice as long, and so on; band j is what the smoothing of level j takes away. Bands and what
remains add up to the field. Band 0 is of waves below some 5 cells, band j most of all of those of 4 to 7
times 2**j.

Starck, Fadili and Murtagh (2007), The undecimated wavelet decomposition and its reconstruction,
doi:10.1109/TIP.2006.887733.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["bands", "scaled"]

_FILTER = (1 / 16, 1 / 4, 3 / 8, 1 / 4, 1 / 16)


def bands(field: Tensor, levels: int, cyclic: bool = False) -> list[Tensor]:
    """The bands of a field, the finest first.

    Parameters
    ----------
    field : Tensor, shape (..., H, W)
        Beyond its ends it goes on with its last values.
    levels : int, >= 0
    cyclic : bool
        Whether it goes on along the last axis with its other end.

    Returns
    -------
    list of Tensor, as the field
        As many as there are levels.

    Examples
    --------
    >>> [round(float(band[0, 4]), 3) for band in bands(torch.eye(9)[4:5].expand(9, 9), 2)]
    [0.625, 0.203]
    """
    found = []
    for level in range(levels):
        smooth = _smoothed(_smoothed(field, -2, 2**level, False), -1, 2**level, cyclic)
        found.append(field - smooth)
        field = smooth
    return found


def scaled(field: Tensor, gains: Sequence[float], cyclic: bool = False) -> Tensor:
    """A field with its bands multiplied, the finest first; what remains stays.

    Parameters
    ----------
    field : Tensor, shape (..., H, W)
    gains : sequence of float
    cyclic : bool
        As `bands`.

    Returns
    -------
    Tensor, as the field
        The field itself where there are no gains.
    """
    for gain, band in zip(gains, bands(field, len(gains), cyclic), strict=True):
        field = field + (gain - 1) * band
    return field


def _smoothed(field: Tensor, axis: int, step: int, cyclic: bool) -> Tensor:
    size = field.shape[axis]
    places = torch.arange(-2 * step, size + 2 * step, device=field.device)
    wide = field.index_select(axis, places % size if cyclic else places.clamp(0, size - 1))
    out = torch.zeros_like(field)
    for number, weight in enumerate(_FILTER):
        out += weight * wide.narrow(axis, number * step, size)
    return out
