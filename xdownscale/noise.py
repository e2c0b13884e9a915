"""Noise that belongs to the field: keyed by seed, member, instant and absolute cell.

White noise is drawn by a counter-based generator (Philox) in blocks of 64 x 64 absolute cells,

    e[cell] = Philox(key = (seed, member), counter = (0, block, instant, stream))[cell in block]

so that any crop, chunk, worker or retry gives the same bits. Shaped noise is white noise convolved with a
compact kernel c,

    e = c * w,    |F c|^2 ~ P(k) + floor,    sum c^2 = 1

where P is the isotropic spectrum of training residuals; it needs white noise on a window wider by the
kernel's radius, and no more. Time enters as an instant: the same in s, ms, us or ns.

Days in sequence may be correlated. With w(t) the white noise of an instant and D a day,

    w'(t) = c sum_k rho^k w(t - k D),    k = 0 .. K,   rho^K < 1e-4

has unit variance and the correlation rho^n at a distance of n days, as an AR(1) process has, and any day can
be drawn without the others.

Smooth noise goes from knot to knot of a lattice of some 128 cells by the roots of Hann weights, whose squares
add up to one: unit variance everywhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.signal import fftconvolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["BLOCK", "DAY_US", "Spectrum", "estimate", "instant", "rings", "shaped", "smooth", "white"]

BLOCK = 64
DAY_US = 86_400_000_000
_TIMELESS = 1 << 63
_SPACING = 128
_OFFSET = 1 << 31


def instant(time: Any) -> int | None:
    """Microseconds since 1970 of a time of any kind.

    Parameters
    ----------
    time : datetime64 of any unit, datetime, cftime datetime, or None

    Returns
    -------
    int or None
        In the time's own calendar; None for None.

    Raises
    ------
    ValueError
        For NaT.

    Examples
    --------
    >>> instant(np.datetime64("1970-01-02", "s")) == instant(np.datetime64("1970-01-02", "ns"))
    True
    """
    if time is None:
        return None
    if hasattr(time, "calendar") and hasattr(time, "toordinal"):
        day = time.replace(year=1970, month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
        apart = time - day
        return int((apart.days * 86_400 + apart.seconds) * 1_000_000 + apart.microseconds)
    stamp = np.datetime64(time)
    if np.isnat(stamp):
        raise ValueError("a time is NaT: drop it, da = da.dropna('time')")
    return int(stamp.astype("datetime64[us]").astype(np.int64))


def white(
    y: tuple[int, int],
    x: tuple[int, int],
    *,
    seed: int,
    member: int,
    instant: int | None,
    stream: int = 0,
    period: int | None = None,
) -> NDArray[np.float32]:
    """Unit white noise on a window of absolute cells.

    Parameters
    ----------
    y, x : (start, size)
        Starts may be negative.
    seed, member : int, 0 to 2**64 - 1
    instant : int or None [microseconds since 1970]
    stream : int, 0 to 2**64 - 1
        Independent fields of one key: steps of an ancestral sampler, patches.
    period : int, optional
        Cells round the globe; columns are taken modulo it.

    Returns
    -------
    ndarray, shape (y size, x size), float32

    Examples
    --------
    >>> whole = white((-70, 200), (5740, 60), seed=1, member=0, instant=0, period=5760)
    >>> part = white((0, 10), (0, 10), seed=1, member=0, instant=0, period=5760)
    >>> bool((whole[70:80, 20:30] == part).all())
    True
    """
    rows, columns = y[0] + np.arange(y[1]), x[0] + np.arange(x[1])
    if period is not None:
        columns = columns % period
    when = _TIMELESS if instant is None else instant % 2**64
    out = np.empty((y[1], x[1]), dtype=np.float32)
    for by in np.unique(rows // BLOCK):
        iy = np.flatnonzero(rows // BLOCK == by)
        for bx in np.unique(columns // BLOCK):
            ix = np.flatnonzero(columns // BLOCK == bx)
            place = ((int(by) + _OFFSET) << 32) | (int(bx) + _OFFSET)
            block = _block(seed, member, place, when, stream)
            out[np.ix_(iy, ix)] = block[np.ix_(rows[iy] % BLOCK, columns[ix] % BLOCK)]
    return out


def shaped(
    kernel: NDArray[np.float64],
    y: tuple[int, int],
    x: tuple[int, int],
    *,
    seed: int,
    member: int,
    instant: int | None,
    stream: int = 0,
    period: int | None = None,
    memory: float = 0.0,
    step: int = DAY_US,
) -> NDArray[np.float32]:
    """Noise with a kernel's spectrum on a window of absolute cells, unit variance.

    Parameters
    ----------
    kernel : ndarray, shape (2 r + 1, 2 r + 1)
        From `Spectrum.kernel`.
    y, x, seed, member, instant, stream, period
        As `white`.
    memory : float, 0 to 0.99
        Correlation with the noise of the instant one `step` before; without an instant there is none.
    step : int [microseconds]

    Returns
    -------
    ndarray, shape (y size, x size), float32
        Any crop agrees with the whole to 1e-6.
    """
    r = len(kernel) // 2
    key: dict[str, Any] = {"seed": seed, "member": member, "stream": stream, "period": period}
    wide = np.zeros((y[1] + 2 * r, x[1] + 2 * r), dtype=np.float32)
    for lag, share in enumerate(_shares(0.0 if instant is None else memory)):
        when = None if instant is None else instant - lag * step
        wide += share * white((y[0] - r, y[1] + 2 * r), (x[0] - r, x[1] + 2 * r), instant=when, **key)
    if r == 0:
        return np.asarray(kernel[0, 0] * wide, dtype=np.float32)
    return np.asarray(fftconvolve(wide, kernel, mode="valid"), dtype=np.float32)


def smooth(
    y: tuple[int, int],
    x: tuple[int, int],
    *,
    seed: int,
    member: int,
    instant: int | None,
    stream: int = 0,
    period: int | None = None,
) -> NDArray[np.float64]:
    """Unit noise that hardly changes over tens of cells, on a window of absolute cells.

    Parameters
    ----------
    y, x, seed, member, instant, stream, period
        As `white`.

    Returns
    -------
    ndarray, shape (y size, x size), float64
        Correlated over some 128 cells, with no correlation beyond 256; any crop has the same bits.

    Examples
    --------
    >>> whole = smooth((0, 300), (5600, 300), seed=1, member=0, instant=0, period=5760)
    >>> part = smooth((100, 5), (40, 10), seed=1, member=0, instant=0, period=5760)
    >>> bool((whole[100:105, 200:210] == part).all())
    True
    """
    (row, down), (column, right) = _knots(y, None), _knots(x, period)
    top, left = int(row[0]), int(column[0])
    knots = white(
        (top, int(row[-1]) - top + 2),
        (left, int(column[-1]) - left + 2),
        seed=seed,
        member=member,
        instant=instant,
        stream=stream,
        period=None if period is None else _knots_round(period),
    ).astype(np.float64)
    rows, columns = row - top, column - left
    along = np.cos(down)[:, None] * knots[rows] + np.sin(down)[:, None] * knots[rows + 1]
    return np.asarray(np.cos(right) * along[:, columns] + np.sin(right) * along[:, columns + 1])


@dataclass(frozen=True)
class Spectrum:
    """An isotropic power spectrum by wavenumber in cycles per cell.

    Attributes
    ----------
    power : tuple of float, >= 0
        At equally spaced wavenumbers from 0 to 1/2.
    floor : float, >= 0
        White part, in units of the mean power.
    radius : int, >= 0 [cells]
        Of the kernel; 0 for white noise.
    """

    power: tuple[float, ...]
    floor: float
    radius: int

    def __post_init__(self) -> None:
        if (
            len(self.power) < 2
            or not all(np.isfinite(p) and p >= 0 for p in self.power)
            or not any(self.power)
        ):
            raise ValueError(
                f"power has {len(self.power)} values: expected at least two, finite, >= 0, not all zero"
            )
        if not 0 <= self.floor <= 1 or not 0 <= self.radius <= 512:
            raise ValueError(f"floor {self.floor} and radius {self.radius}: expected 0 to 1, and 0 to 512")

    @classmethod
    def white(cls) -> Spectrum:
        """All wavenumbers alike."""
        return cls((1.0, 1.0), 0.0, 0)

    def kernel(self, inflation: Sequence[float] = (1.0,)) -> NDArray[np.float64]:
        """The compact kernel with this spectrum; its squares sum to one where nothing is inflated.

        Parameters
        ----------
        inflation : sequence of float
            Factors on the amplitude at equally spaced wavenumbers from 0 to 1/2; one is for all. White noise
            of radius 0 takes their root mean square.

        Returns
        -------
        ndarray, shape (2 r + 1, 2 r + 1)
        """
        r = self.radius
        n = 8 * max(r, 8)
        k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)[None, :])
        power = np.interp(k, np.linspace(0, 0.5, len(self.power)), self.power)
        amplitude = np.sqrt(power + self.floor * power.mean())
        factor = np.interp(k, np.linspace(0, 0.5, len(inflation)), inflation)
        if r == 0:
            return np.asarray(np.sqrt((factor**2).mean(keepdims=True)))
        plain = _compact(amplitude, r)
        return np.asarray(_compact(factor * amplitude, r) / np.sqrt((plain**2).sum()))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "power": list(self.power)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Spectrum:
        """From what `to_dict` gave.

        Raises
        ------
        ValueError
            If keys are missing or values out of range.
        """
        if set(content) != {"power", "floor", "radius"}:
            raise ValueError(f"a spectrum has power, floor and radius: found {sorted(content)}")
        return cls(tuple(float(p) for p in content["power"]), float(content["floor"]), int(content["radius"]))


def estimate(residuals: NDArray[Any], *, bins: int = 33, radius: int = 32, floor: float = 1e-3) -> Spectrum:
    """The isotropic spectrum of fields, by Hann-windowed periodograms averaged over rings.

    Parameters
    ----------
    residuals : ndarray, shape (n, ny, nx)
        NaN counts as the mean.
    bins : int
        Wavenumbers from 0 to 1/2.
    radius : int [cells]
    floor : float

    Returns
    -------
    Spectrum
    """
    fields = np.asarray(residuals, dtype=np.float64)
    power = rings(np.nan_to_num(fields - np.nanmean(fields)), bins)
    return Spectrum(tuple(float(p) for p in power), floor, radius)


def rings(fields: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Mean Hann-windowed periodogram of fields by rings of wavenumber.

    Parameters
    ----------
    fields : ndarray, shape (n, ny, nx)
    bins : int
        Wavenumbers, equally spaced from 0 to 1/2.

    Returns
    -------
    ndarray, shape (bins,)
        A ring's mean over its modes; white noise of unit variance has 1 everywhere.
    """
    ny, nx = fields.shape[-2:]
    window = np.outer(np.hanning(ny), np.hanning(nx))
    window /= np.sqrt((window**2).mean())
    power = sum(np.abs(np.fft.fft2(f * window)) ** 2 for f in fields) / (len(fields) * ny * nx)
    k = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.fftfreq(nx)[None, :])
    ring = np.rint(2 * (bins - 1) * k).astype(int)
    inside = ring < bins
    sums = np.bincount(ring[inside], power[inside], bins)
    counts = np.bincount(ring[inside], minlength=bins)
    return np.asarray(sums / np.maximum(counts, 1))


def _knots(span: tuple[int, int], period: int | None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The knot before each cell of an axis, and how far it is from there: 0 to pi / 2 at the next knot."""
    cells = span[0] + np.arange(span[1])
    turns, inside = (0 * cells, cells) if period is None else np.divmod(cells, period)
    count = 0 if period is None else _knots_round(period)
    place = inside / (_SPACING if period is None else period / count)
    before = np.floor(place).astype(np.int64)
    return before + turns * count, 0.5 * np.pi * (place - before)


def _knots_round(period: int) -> int:
    """Knots round the globe; two at least, for a cell lies between two."""
    return max(2, round(period / _SPACING))


def _shares(memory: float) -> NDArray[np.float32]:
    """Weights of the white noises of today and of the days before."""
    if not 0.0 <= memory < 1.0:
        raise ValueError(f"memory is {memory}: expected a correlation from 0 to below 1")
    count = 1 if memory == 0 else 1 + int(np.ceil(np.log(1e-4) / np.log(memory)))
    raw = memory ** np.arange(count)
    return np.asarray(raw / np.sqrt((raw**2).sum()), dtype=np.float32)


def _compact(amplitude: NDArray[np.float64], r: int) -> NDArray[np.float64]:
    """The middle of an amplitude's kernel, tapered to zero at radius r."""
    n = len(amplitude)
    middle = slice(n // 2 - r, n // 2 + r + 1)
    whole = np.fft.fftshift(np.fft.ifft2(amplitude).real)[middle, middle]
    distance = np.hypot(*np.mgrid[-r : r + 1, -r : r + 1]) / (r + 1)
    return np.asarray(whole * np.cos(0.5 * np.pi * np.minimum(distance, 1.0)) ** 2)


def _block(seed: int, member: int, place: int, when: int, stream: int) -> NDArray[np.float32]:
    key = np.array([seed, member], dtype=np.uint64)
    counter = np.array([0, place, when, stream], dtype=np.uint64)
    rng = np.random.Generator(np.random.Philox(key=key, counter=counter))
    return rng.standard_normal((BLOCK, BLOCK), dtype=np.float32)
