"""Member-by-member calibration: each member moved about the conditional mean, as far as its cell asks.

Of a draw x and the sampler's first estimate m, which at the noise end is the conditional mean, the calibrated
member is

    n + b(c) (m - n) + s(c) d (1 + t(c) q / (1 + q)),    d = x - m,    q = (d / w(c))**2,

where n is the residual's climatological mean in the cell and c the logarithm of its deviation there. The
slope b takes the mean back to the climate where the network knows no better: in cells that hardly vary, a
first estimate scatters with its noise by more than the residual varies. The factor s brings the spread right
where a network leaves too much or too little of its noise; well beyond the width w a member goes 1 + t times
as far as near the mean, which gives members the peak and the tails that errors have where deviations differ
from cell to cell. A member depends on nothing but itself. The kind of correction, not its form, is that of
Van Schaeybroeck and Vannitsem (2015, doi:10.1002/qj.2397).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["MemberByMember", "stretched"]


@dataclass(frozen=True)
class MemberByMember:
    """What a member is moved by, by the cell's climatological deviation; linear between knots, level beyond.

    Attributes
    ----------
    log_deviation : tuple of float, ascending
        Knots: natural logarithm of the residual's standard deviation, as `Climatology` has it.
    slope : tuple of float
        Of the conditional mean's distance from the climatological mean, at each knot.
    factor : tuple of float, > 0
        Of a member's small departures from the mean, at each knot.
    width : tuple of float, > 0 [residual's scale]
        Departure at which a member goes half of the way to the tail, at each knot.
    tail : tuple of float, >= 0
        How much larger the factor is for large departures, at each knot; 0 for not at all.

    Raises
    ------
    ValueError
        If the five are not of one length, or the knots do not ascend.

    Examples
    --------
    >>> import torch
    >>> fitted = MemberByMember((0.0,), slope=(1.0,), factor=(0.5,), width=(1.0,), tail=(2.0,))
    >>> fitted.moved(torch.zeros(3), torch.tensor([0.0, 0.01, 1.0]), torch.zeros((2, 3)))
    tensor([0.0000, 0.0050, 1.0000])
    """

    log_deviation: tuple[float, ...]
    slope: tuple[float, ...]
    factor: tuple[float, ...]
    width: tuple[float, ...]
    tail: tuple[float, ...]

    def __post_init__(self) -> None:
        lengths = [len(getattr(self, f.name)) for f in fields(self)]
        if len(set(lengths)) != 1 or not lengths[0]:
            raise ValueError(
                f"log_deviation, slope, factor, width and tail have {lengths} values: expected equally many"
            )
        if any(b <= a for a, b in pairwise(self.log_deviation)):
            raise ValueError(f"log_deviation is {self.log_deviation}: expected ascending knots")

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> MemberByMember:
        """What `to_dict` returned."""
        return cls(**{name: tuple(values) for name, values in content.items()})

    def to_dict(self) -> dict[str, list[float]]:
        """The lists, as a card holds them."""
        return {f.name: list(getattr(self, f.name)) for f in fields(self)}

    def moved(self, mean: Any, departure: Any, climate: Any) -> Any:
        """Members calibrated; arrays or tensors.

        Parameters
        ----------
        mean, departure : array, shape (..., H, W) or (..., cells) [residual's scale]
        climate : array, shape (2, H, W) or (2, cells)
            The residual's climatological mean and the logarithm of its deviation.

        Returns
        -------
        array, as `departure`
        """
        normal, log_deviation = climate
        tensors = not isinstance(mean, np.ndarray)
        if tensors:
            normal, log_deviation = normal.to(mean), log_deviation.cpu().numpy()
        slope, factor, width, tail = (
            mean.new_tensor(found) if tensors else found
            for found in (
                np.interp(log_deviation, self.log_deviation, values)
                for values in (self.slope, self.factor, self.width, self.tail)
            )
        )
        return normal + slope * (mean - normal) + factor * stretched(departure, width, tail)


def stretched(departure: Any, width: Any, tail: Any) -> Any:
    """A departure from the mean, 1 + tail times as large well beyond a width; arrays or tensors."""
    square = (departure / width) ** 2
    return departure * (1 + tail * square / (1 + square))
