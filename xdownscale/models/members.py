"""Member-by-member calibration: each member moved about the conditional mean, as far as its cell asks.

Of a draw x and the sampler's first estimate m, which at the noise end is the conditional mean, the calibrated
member is

    n + h(c) + b(c, m - n) (m - n) + g(z) s(c) (d + t(c) d q / (1 + q) + w(c) (k(c) f(q) + j(c) e(q))),
    d = x - m,    q = (d / w(c))**2,    f(q) = q / sqrt(1 + q / 9),    e(q) = 9 q / (1 + 9 q),

where n is the residual's climatological mean in the cell, c the logarithm of its deviation there, and z what
the coarse field of the day says there: the transformed value U T(y). Before that the departure's bands of
scale are multiplied, each by a number (`starlet`): a network may leave too little of the finest.

The slope b takes the mean back to the climate where the network knows no better: a first estimate scatters
with its noise, in cells that hardly vary by more than the residual does, so that a small offset m - n says
little and a large one much. From the one slope to the other it goes as the tail does (`bent`). The factor s
brings the spread right where a network leaves too much or too little of its noise; well beyond the width w a
member goes 1 + t times as far as near the mean, which gives members the peak and the tails that errors have
where deviations differ from cell to cell. Where the field is high a residual is another thing than where it
is low, in one climate too: g lets spread equal skill at every level, and so in the quantity's own units, in
which the highest levels are nearly all of both.

The shift h puts the truth in the middle of members where it is more often low or more often high among them,
as far as climates differ: what is the same in all cells of a coarse one, conservation takes back. There the
skew k helps, which sends members up that are far from the mean on either side: conservation takes the mean of
that from all of them, and the middle goes down. The near skew j does so with all that are not within a third
of a width, a deviation: with the two, one up and the other down, ranks lean neither in all nor by halves.

How large errors are on a day and in a region no calibration knows but roughly: where spread is right in the
mean, days are too narrow and too wide in turn, outermost ranks are too many and those beside them too few.
Members share that doubt if each departs by a factor of its own, exp(a(c) xi - a(c)**2) with smooth unit noise
xi (`noise.smooth`), whose square is 1 in the mean: a mixture of scales, as errors are. Of a spread known from
little data Student's t in place of the normal distribution is the same. The doubt is another where dust is
always about than where it comes on some days: there members that agree may all be far from the truth, but
seldom are much too wide, so that the logarithm scatters by a (1 + r) upward and by a (1 - r) downward, the
split normal distribution (Wallis 2014, doi:10.1214/13-STS417).

A member depends on nothing but itself. The kind of correction, not its form,
is that of Van Schaeybroeck and Vannitsem (2015, doi:10.1002/qj.2397).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["MemberByMember", "scales", "stretched"]

_KNEE = 3


@dataclass(frozen=True)
class MemberByMember:
    """What a member is moved by, by the cell's climatological deviation; linear between knots, level beyond.

    Attributes
    ----------
    log_deviation : tuple of float, ascending
        Knots: natural logarithm of the residual's standard deviation, as `Climatology` has it.
    slope : tuple of float
        Of the conditional mean's offset from the climatological mean where that is small, at each knot.
    factor : tuple of float, > 0
        Of a member's small departures from the mean, at each knot.
    width : tuple of float, > 0 [residual's scale]
        Departure at which a member goes half of the way to the tail, at each knot.
    tail : tuple of float, >= 0
        How much larger the factor is for large departures, at each knot; 0 for not at all.
    level : tuple of float, ascending [transformed value]
        Knots of another kind: what the upsampled coarse field is in the cell.
    level_factor : tuple of float, > 0
        What the factor is multiplied by, at each of these.
    band_gain : tuple of float, > 0
        What the departure's bands of scale are multiplied by, the finest first (`starlet.scaled`).
    scatter : tuple of float, >= 0
        Deviation of the logarithm of the random factor of a member's departures, at each of the first knots;
        empty for no such factor.
    scatter_skew : tuple of float, -1 to 1
        Of that deviation, how much more of it there is upward than in the mean, and less downward, at each of
        the first knots; empty for the same on either side.
    shift : tuple of float [residual's scale]
        How far up all members go, at each of the first knots; empty for nowhere.
    skew : tuple of float, -0.3 to 0.3 [width]
        How far up members go that are a width from the mean, on either side, at each of the first knots: with
        the square of the departure, and from three widths on three times as far for each; empty for nowhere.
    near_skew : tuple of float, -0.2 to 0.2 [width]
        How far up members go that are well beyond a third of a width from the mean, on either side, at each
        of the first knots; empty for nowhere.
    far_slope : tuple of float
        As the slope, where the offset is large, at each of the first knots; empty for the same.
    reach : tuple of float, > 0 [residual's scale]
        Offset at which the slope is half way to the far one, at each of the first knots; empty where there is
        none.

    Raises
    ------
    ValueError
        If the first five, with the last seven where they are not empty, or the two of the level, are not of
        one length, or knots do not ascend, or there is a far slope without a reach, or a reach without one.

    Examples
    --------
    >>> import torch
    >>> fitted = MemberByMember((0.0,), slope=(1.0,), factor=(0.5,), width=(1.0,), tail=(2.0,))
    >>> fitted.moved(torch.zeros(3), torch.tensor([0.0, 0.01, 1.0]), torch.zeros((2, 3)), torch.zeros(3))
    tensor([0.0000, 0.0050, 1.0000])
    """

    log_deviation: tuple[float, ...]
    slope: tuple[float, ...]
    factor: tuple[float, ...]
    width: tuple[float, ...]
    tail: tuple[float, ...]
    level: tuple[float, ...] = (0.0,)
    level_factor: tuple[float, ...] = (1.0,)
    band_gain: tuple[float, ...] = ()
    scatter: tuple[float, ...] = ()
    scatter_skew: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()
    skew: tuple[float, ...] = ()
    near_skew: tuple[float, ...] = ()
    far_slope: tuple[float, ...] = ()
    reach: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        names = [f.name for f in fields(self)]
        by_climate = [*names[:5], *(name for name in names[8:] if getattr(self, name))]
        for group in (by_climate, names[5:7]):
            lengths = [len(getattr(self, name)) for name in group]
            if len(set(lengths)) != 1 or not lengths[0]:
                raise ValueError(
                    f"{', '.join(group)} have {lengths} values: expected equally many, at least one"
                )
            knots = getattr(self, group[0])
            if any(b <= a for a, b in pairwise(knots)):
                raise ValueError(f"{group[0]} is {knots}: expected ascending knots")
        if bool(self.far_slope) != bool(self.reach):
            raise ValueError(
                f"far_slope is {self.far_slope} and reach {self.reach}: expected both or neither"
            )

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> MemberByMember:
        """What `to_dict` returned."""
        return cls(**{k: tuple(v) for k, v in content.items()})

    def to_dict(self) -> dict[str, list[float]]:
        """Lists, as a card holds them."""
        return {k: list(v) for k, v in asdict(self).items()}

    def departure(self, mean: Tensor, drawn: Tensor, cyclic: bool = False) -> Tensor:
        """How far members are from their mean, its bands of scale multiplied.

        Parameters
        ----------
        mean, drawn : Tensor, shape (..., H, W)
        cyclic : bool
            Whether the last axis goes round the globe.

        Returns
        -------
        Tensor, as the members
        """
        from xdownscale.models.starlet import scaled  # a card is read without torch

        return scaled(drawn - mean, self.band_gain, cyclic)

    def moved(
        self, mean: Any, departure: Any, climate: Any, level: Any, chance: NDArray[np.float64] | None = None
    ) -> Any:
        """Members calibrated; arrays or tensors.

        Parameters
        ----------
        mean, departure : array, shape (..., H, W) or (..., cells) [residual's scale]
            As `departure` gives it.
        climate : array, shape (2, H, W) or (2, cells)
            The residual's climatological mean and the logarithm of its deviation.
        level : array, shape (H, W) or (cells,) [transformed value]
            The upsampled coarse field.
        chance : ndarray, as `departure`, optional
            Each member's unit noise (`noise.smooth`); needed where there is a scatter.

        Returns
        -------
        array, as `departure`

        Raises
        ------
        ValueError
            If there is a scatter, and no noise.
        """
        return self.centre(mean, climate) + self.departing(departure, climate, level, chance)

    def centre(self, mean: Any, climate: Any) -> Any:
        """What a member departs from, of its mean and the climate as `moved` has them; as the mean."""
        normal, log_deviation = climate
        normal = normal if isinstance(mean, np.ndarray) else normal.to(mean)
        slopes = self.slope, self.far_slope or self.slope, self.reach or self.width
        slope, far_slope, reach, shift = self._by_climate(
            mean, log_deviation, *slopes, self.shift or (0.0,) * len(self.slope)
        )
        return normal + shift + bent(mean - normal, slope, far_slope, reach)

    def departing(
        self, departure: Any, climate: Any, level: Any, chance: NDArray[np.float64] | None = None
    ) -> Any:
        """How far a member departs from its centre, of what `moved` has; as the departure.

        Raises
        ------
        ValueError
            If there is a scatter, and no noise.
        """
        _, log_deviation = climate
        straight = (0.0,) * len(self.tail)
        if self.scatter:
            if chance is None:
                raise ValueError(
                    "members have scales of their own, and no noise is given to draw them: give chance"
                )
            forms = self.scatter, self.scatter_skew or straight
            doubt = [np.interp(_array(log_deviation), self.log_deviation, each) for each in forms]
            departure = departure * _like(departure, scales(chance, *doubt))
        skews = self.skew or straight, self.near_skew or straight
        factor, *form = self._by_climate(departure, log_deviation, self.factor, self.width, self.tail, *skews)
        by_level = _like(departure, np.interp(_array(level), self.level, self.level_factor))
        return by_level * factor * stretched(departure, *form)

    def _by_climate(self, like: Any, log_deviation: Any, *values: tuple[float, ...]) -> list[Any]:
        """Values between the knots of the climate."""
        at = _array(log_deviation)
        return [_like(like, np.interp(at, self.log_deviation, each)) for each in values]


def _array(x: Any) -> NDArray[Any]:
    return x if isinstance(x, np.ndarray) else np.asarray(x.cpu().numpy())


def _like(x: Any, values: NDArray[Any]) -> Any:
    """Values of the type of an array or a tensor."""
    return values.astype(x.dtype, copy=False) if isinstance(x, np.ndarray) else x.new_tensor(values)


def bent(offset: Any, near: Any, far: Any, reach: Any) -> Any:
    """An offset from the climate: as the near slope has it well within a reach, as the far one well beyond.

    >>> bent(np.array([-10.0, -1.0, 0.0, 0.01]), 0.2, 1.0, 1.0).round(3).tolist()
    [-9.921, -0.6, 0.0, 0.002]
    """
    square = (offset / reach) ** 2
    return offset * (near + (far - near) * square / (1 + square))


def stretched(departure: Any, width: Any, tail: Any, skew: Any = 0.0, near_skew: Any = 0.0) -> Any:
    """A departure from the mean, 1 + tail times as large well beyond a width, and up by the skews; any array.

    >>> stretched(np.array([-100.0, -1.0, 0.0, 1.0, 100.0]), 1.0, 0.5, 0.1).round(2).tolist()
    [-120.01, -1.16, 0.0, 1.34, 179.98]
    >>> stretched(np.array([-100.0, -1.0, 0.0, 1.0, 100.0]), 1.0, 0.0, 0.0, 0.1).round(2).tolist()
    [-99.9, -0.91, 0.0, 1.09, 100.1]
    """
    square = (departure / width) ** 2
    stretch = departure * (1 + tail * square / (1 + square))
    near = _KNEE**2 * square
    up = skew * square / (1 + square / _KNEE**2) ** 0.5 + near_skew * near / (1 + near)
    return stretch + width * up


def scales(chance: Any, scatter: Any, skew: Any = 0.0) -> NDArray[np.float64]:
    """A member's random factor, of unit noise: positive, its square 1 in the mean.

    >>> scales(np.array([0.0, 0.5]), 0.5).round(4).tolist()
    [0.7788, 1.0]
    >>> scales(np.array([-1.0, 0.0, 1.0]), 0.5, 0.6).round(4).tolist()
    [0.4215, 0.5148, 1.1458]
    """
    up, down = scatter * (1 + skew), scatter * (1 - skew)
    square = np.exp(2 * up**2) * ndtr(2 * up) + np.exp(2 * down**2) * ndtr(-2 * down)
    return np.asarray(np.exp(np.where(chance > 0, up, down) * chance) / np.sqrt(square))
