"""What the fine residual is on average, cell by cell: a static map that a model carries with its weights.

Terrain, coasts and sources leave their mark on the fine field every day. The residual's time mean and the
logarithm of its standard deviation over the training days, in units of the residual's scale, are conditions
like latitude and longitude. They are kept as bytes q = -127 ... 127,

    m = span sinh(bend q / 127) / sinh(bend),    and without a bend    m = span q / 127,

and are zero outside their window, which a network reads as "nothing known here". The mean has a bend: where
dust hardly varies it is the truth but for a hundredth, and even steps, set by the largest mean of the domain,
would be seven times as wide. Its steps are seven times finer at zero and grow with the mean.
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
_LEVELS, _LOWEST = 127, -128
_BENDS = (4.0, 0.0)


@dataclass(frozen=True, eq=False)
class Climatology:
    """Maps of the residual's climate on a window of the fine grid.

    Attributes
    ----------
    maps : Tensor, shape (2, ny, nx), int8
        Mean and log standard deviation of the residual, as the numbers of their steps.
    spans : (float, float), > 0
        Largest size of each map.
    y, x : (int, int)
        Absolute start and size of the window.
    bends : (float, float), >= 0
        How much the steps of each map grow with its values; 0 for even steps.
    """

    maps: Tensor
    spans: tuple[float, ...]
    y: tuple[int, int]
    x: tuple[int, int]
    bends: tuple[float, ...] = _BENDS

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
        steps = np.stack([_steps(*each) for each in zip(known, spans, _BENDS, strict=True)])
        y, x = ((a.start, a.size) for a in (window.y, window.x))
        return cls(torch.from_numpy(steps.astype(np.int8)), spans, y, x)

    @classmethod
    def described(cls, spec: dict[str, Any], maps: Tensor | None = None) -> Climatology:
        """What `to_dict` described, with these maps; maps of zeros by default."""
        y, x = tuple(spec["y"]), tuple(spec["x"])
        if maps is None:
            maps = torch.zeros((len(MAPS), y[1], x[1]), dtype=torch.int8)
        return cls(maps, tuple(spec["spans"]), y, x, tuple(spec["bends"]))

    def to_dict(self) -> dict[str, Any]:
        """All but the maps, as a card's architecture holds it."""
        return {"y": list(self.y), "x": list(self.x), "spans": list(self.spans), "bends": list(self.bends)}

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
        steps = self.maps[:, torch.from_numpy(y)[:, None], torch.from_numpy(x)[None, :]].int() - _LOWEST
        tables = [_values(*each) for each in zip(self.spans, self.bends, strict=True)]
        values = torch.stack([table[of] for table, of in zip(tables, steps, strict=True)])
        out[:, torch.from_numpy(rows)[:, None], torch.from_numpy(columns)[None, :]] = values
        return out


def _steps(values: NDArray[np.float32], span: float, bend: float) -> NDArray[np.float64]:
    """The nearest steps."""
    share = values.astype(np.float64) / span
    even = np.arcsinh(share * np.sinh(bend)) / bend if bend else share
    return np.asarray(np.rint(even * _LEVELS))


def _values(span: float, bend: float) -> Tensor:
    """What each byte means, from the lowest on, float32."""
    steps = np.arange(_LOWEST, _LEVELS + 1)
    if not bend:
        return torch.from_numpy(steps.astype(np.float32) * np.float32(span / _LEVELS))
    return torch.from_numpy((span * np.sinh(bend * steps / _LEVELS) / np.sinh(bend)).astype(np.float32))


def _overlap(axis: Axis, span: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions on the axis that lie in the span, and where in the span they lie."""
    place = axis.index - span[0]
    if axis.period is not None:
        place = place % axis.period
    inside = np.flatnonzero((place >= 0) & (place < span[1]))
    return inside, place[inside]
