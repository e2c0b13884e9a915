"""Member-by-member calibration: each member moved about the conditional mean, as far as its cell asks.

Of a draw x and the sampler's first estimate m, which at the noise end is the conditional mean, the calibrated
member is

    m + s(c) d sqrt(1 + (d / w(c))**2),    d = x - m,

where c is the logarithm of the residual's climatological deviation in the cell. The factor s brings the
spread right where a network leaves too much or too little of its noise; beyond the width w a member goes
further than in proportion, which gives members the heavy tails that errors have. A member depends on nothing
but itself. The kind of correction, not its form, is that of Van Schaeybroeck and Vannitsem (2015,
doi:10.1002/qj.2397).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["MemberByMember", "stretched"]


@dataclass(frozen=True)
class MemberByMember:
    """Factors and widths by the cell's climatological deviation; straight lines between knots, level beyond.

    Attributes
    ----------
    log_deviation : tuple of float, ascending
        Knots: natural logarithm of the residual's standard deviation, as `Climatology` has it.
    factor : tuple of float, > 0
        Of a member's departure from the mean, at each knot.
    width : tuple of float, > 0 [residual's scale]
        Departure at which a member goes sqrt(2) times as far as the factor says, at each knot.

    Raises
    ------
    ValueError
        If the three are not of one length, or the knots do not ascend.

    Examples
    --------
    >>> import torch
    >>> fitted = MemberByMember((0.0,), (0.5,), (1.0,))
    >>> fitted(torch.zeros(3), torch.tensor([0.0, 0.01, 1.0]), torch.zeros(3))
    tensor([0.0000, 0.0050, 0.7071])
    """

    log_deviation: tuple[float, ...]
    factor: tuple[float, ...]
    width: tuple[float, ...]

    def __post_init__(self) -> None:
        lengths = [len(v) for v in (self.log_deviation, self.factor, self.width)]
        if len(set(lengths)) != 1 or not lengths[0]:
            raise ValueError(f"log_deviation, factor and width have {lengths} values: expected equally many")
        if any(b <= a for a, b in pairwise(self.log_deviation)):
            raise ValueError(f"log_deviation is {self.log_deviation}: expected ascending knots")

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> MemberByMember:
        """What `to_dict` returned."""
        return cls(*(tuple(content[name]) for name in ("log_deviation", "factor", "width")))

    def to_dict(self) -> dict[str, list[float]]:
        """The three lists, as a card holds them."""
        return {name: list(getattr(self, name)) for name in ("log_deviation", "factor", "width")}

    def at(self, log_deviation: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Factor and width in cells of these deviations, each of the same shape."""
        factor, width = (np.interp(log_deviation, self.log_deviation, v) for v in (self.factor, self.width))
        return factor, width

    def __call__(self, mean: Tensor, drawn: Tensor, log_deviation: Tensor) -> Tensor:
        """Calibrate draws.

        Parameters
        ----------
        mean, drawn : Tensor, shape (..., H, W) [residual's scale]
        log_deviation : Tensor, shape (..., H, W)

        Returns
        -------
        Tensor, as `drawn`
        """
        factor, width = (drawn.new_tensor(v) for v in self.at(log_deviation.cpu().numpy()))
        moved: Tensor = mean + factor * stretched(drawn - mean, width)
        return moved


def stretched(departure: Any, width: Any) -> Any:
    """A departure from the mean that grows faster than itself beyond a width; arrays or tensors."""
    return departure * (1 + (departure / width) ** 2) ** 0.5
