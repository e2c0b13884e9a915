"""What the fine residual is on average, cell by cell: a static map that a model carries with its weights.

Terrain, coasts and sources leave their mark on the fine field every day. The residual's time mean and the
logarithm of its standard deviation over the training days, in units of the residual's scale, are conditions
like latitude and longitude. They are kept as bytes,

    m = span q / 127,   q = -127 ... 127

and are zero outside their window, which a network reads as "nothing known here".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.grid import Axis, Grid

__all__ = ["MAPS", "Climatology"]

MAPS = ("mean", "log deviation")
_LEVELS = 127


@dataclass(frozen=True, eq=False)
class Climatology:
    """Maps of the residual's climate on a window of the fine grid.

    Attributes
    ----------
    maps : Tensor, shape (2, ny, nx), int8
        Mean and log standard deviation of the residual, in steps of span / 127.
    spans : (float, float), > 0
        Largest size of each map.
    y, x : (int, int)
        Absolute start and size of the window.
    """

    maps: Tensor
    spans: tuple[float, ...]
    y: tuple[int, int]
    x: tuple[int, int]

    @classmethod
    def of(cls, maps: NDArray[Any], window: Grid) -> Climatology:
        """Round maps to bytes.

        Parameters
        ----------
        maps : ndarray, shape (2, ny, nx)
            NaN where nothing is known.
        window : Grid
            ny x nx cells.
        """
        known = np.nan_to_num(np.asarray(maps, dtype=np.float32))
        spans = tuple(float(max(np.abs(m).max(), 1e-6)) for m in known)
        steps = np.stack([np.rint(m / span * _LEVELS) for m, span in zip(known, spans, strict=True)])
        y, x = ((a.start, a.size) for a in (window.y, window.x))
        return cls(torch.from_numpy(steps.astype(np.int8)), spans, y, x)

    @classmethod
    def empty(cls, spec: dict[str, Any]) -> Climatology:
        """Maps of zeros as an architecture describes them."""
        y, x = tuple(spec["y"]), tuple(spec["x"])
        return cls(torch.zeros((len(MAPS), y[1], x[1]), dtype=torch.int8), tuple(spec["spans"]), y, x)

    def to_dict(self) -> dict[str, Any]:
        """All but the maps, as a card's architecture holds it."""
        return {"y": list(self.y), "x": list(self.x), "spans": list(self.spans)}

    def on(self, window: Grid) -> Tensor:
        """The maps on a window of the fine grid, zero where they do not reach.

        Parameters
        ----------
        window : Grid
            H x W cells, anywhere.

        Returns
        -------
        Tensor, shape (2, H, W), float32

        Examples
        --------
        >>> from xdownscale.grid import G5NR
        >>> here = Climatology.of(np.array([[[1.0, -2.0]], [[0.0, 0.5]]]), G5NR.window((0, 1), (5759, 2)))
        >>> here.on(G5NR.window((0, 1), (0, 2)))[:, 0].tolist()
        [[-2.0, 0.0], [0.5, 0.0]]
        """
        (rows, y), (columns, x) = _overlap(window.y, self.y), _overlap(window.x, self.x)
        out = torch.zeros((len(MAPS), *window.shape))
        steps = self.maps[:, torch.from_numpy(y)[:, None], torch.from_numpy(x)[None, :]].float()
        scale = torch.tensor([span / _LEVELS for span in self.spans])
        out[:, torch.from_numpy(rows)[:, None], torch.from_numpy(columns)[None, :]] = (
            steps * scale[:, None, None]
        )
        return out


def _overlap(axis: Axis, span: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions on the axis that lie in the span, and where in the span they lie."""
    place = axis.index - span[0]
    if axis.period is not None:
        place = place % axis.period
    inside = np.flatnonzero((place >= 0) & (place < span[1]))
    return inside, place[inside]
