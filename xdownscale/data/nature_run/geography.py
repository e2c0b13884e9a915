"""The fixed world of the nature run: terrain and dust sources by absolute latitude and longitude.

Terrain is the envelope of Gaussian massifs (heights in units of 4.5 km) roughened by a fractal texture;
sources are boxes with soft edges (flat-topped exp(-s^4)) and a broad, weak arid background, times a
log-normal texture with hot spots a few cells wide. Textures are noise keyed by the absolute cell of the G5NR
grid under one constant seed, so that any box and any coarser grid see the same world; only the weather
depends on a run's seed. Boxes and months: Ginoux et al. (2012), doi:10.1029/2012RG000388, rounded; what lies
between is invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from xdownscale.noise import Spectrum, shaped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.grid import Grid

__all__ = ["ARID", "MASSIFS", "SOURCES", "WINDS", "Box", "Massif", "Wind", "activity", "sources", "terrain"]

_SEED = 20_051_512
_HOTTEST = 12.0


@dataclass(frozen=True)
class Box:
    """A source region.

    Attributes
    ----------
    name : str
    lat, lon : (float, float) [degree]
    strength : float
        Relative to Mesopotamia's.
    peak : float [month, 1-13)
    width : float [months]
        Of the Gaussian annual cycle.
    """

    name: str
    lat: tuple[float, float]
    lon: tuple[float, float]
    strength: float
    peak: float
    width: float


@dataclass(frozen=True)
class Massif:
    """Mountains: an ellipse at (lat, lon) with e-fold half-axes [degree] and a height in units of 4.5 km."""

    lat: float
    lon: float
    south_north: float
    west_east: float
    height: float


@dataclass(frozen=True)
class Wind:
    """A seasonal low-level wind over a region: peak speeds [m/s] at (lat, lon), e-fold half-axes [degree]."""

    name: str
    lat: float
    lon: float
    south_north: float
    west_east: float
    u: float
    v: float
    peak: float
    width: float


SOURCES = (
    Box("Mesopotamia", (30.0, 34.0), (43.0, 47.5), 1.0, 6.5, 3.3),
    Box("NW Iraq and Syria", (34.5, 36.5), (39.0, 42.0), 0.8, 5.5, 2.5),
    Box("An Nafud", (27.5, 29.5), (38.5, 42.0), 0.5, 4.2, 2.8),
    Box("Ad Dahna", (24.0, 28.0), (44.0, 48.5), 0.6, 4.5, 3.3),
    Box("Rub al Khali", (17.5, 22.5), (46.0, 55.0), 0.9, 6.7, 2.2),
    Box("Tokar", (17.0, 19.5), (36.0, 40.0), 0.9, 7.2, 1.5),
    Box("Danakil", (11.0, 14.0), (40.0, 43.5), 0.8, 7.0, 1.6),
    Box("Sistan", (30.5, 31.8), (61.0, 62.5), 2.2, 7.3, 2.5),
    Box("Registan", (29.5, 31.5), (62.0, 66.0), 1.0, 7.2, 2.6),
    Box("SE Karakum", (36.5, 39.0), (61.0, 67.0), 1.0, 4.8, 2.4),
    Box("Kyzylkum and Aral", (41.0, 46.0), (58.0, 64.0), 0.8, 4.6, 2.2),
    Box("Dasht-e Kavir", (32.5, 35.5), (52.0, 57.5), 0.5, 6.8, 2.4),
    Box("Thar", (26.0, 29.0), (69.0, 73.5), 0.8, 5.8, 1.7),
    Box("W Taklamakan", (37.0, 40.0), (76.5, 80.5), 1.8, 5.4, 2.4),
    Box("E Taklamakan", (37.5, 41.0), (80.5, 88.0), 1.2, 5.3, 2.4),
    Box("Badain Jaran", (39.0, 42.0), (98.0, 106.0), 0.06, 4.2, 1.4),
    Box("Gobi", (41.5, 45.0), (96.0, 111.0), 0.04, 4.2, 1.3),
    Box("Horqin", (42.5, 45.0), (114.0, 122.0), 0.1, 4.3, 1.2),
)

ARID = (
    Box("Arabia", (14.0, 36.0), (36.0, 57.0), 0.16, 6.0, 4.5),
    Box("Iran and Pakistan", (25.0, 38.0), (51.0, 68.0), 0.13, 7.3, 3.2),
    Box("Central Asia", (36.0, 47.0), (52.0, 70.0), 0.12, 5.0, 2.6),
    Box("NW China and Mongolia", (36.0, 46.0), (75.0, 112.0), 0.03, 4.4, 2.0),
    Box("NW India", (23.0, 30.0), (68.0, 77.0), 0.14, 5.6, 2.0),
)

MASSIFS = (
    Massif(36.0, 70.0, 1.5, 4.0, 0.9),
    Massif(38.5, 73.0, 2.0, 2.5, 1.0),
    Massif(42.0, 77.0, 1.2, 6.0, 0.85),
    Massif(33.0, 88.0, 4.0, 9.0, 1.0),
    Massif(28.5, 85.0, 1.0, 8.0, 1.0),
    Massif(35.0, 76.0, 1.5, 3.0, 1.0),
    Massif(32.0, 49.5, 1.2, 4.0, 0.6),
    Massif(36.5, 52.0, 0.6, 3.5, 0.6),
    Massif(21.0, 41.0, 4.0, 0.8, 0.5),
    Massif(15.0, 44.2, 1.5, 0.8, 0.6),
    Massif(12.0, 38.5, 3.0, 1.5, 0.7),
    Massif(48.0, 90.0, 2.0, 4.0, 0.6),
    Massif(47.5, 100.0, 2.0, 4.0, 0.5),
    Massif(38.5, 99.0, 1.2, 4.0, 0.8),
    Massif(33.0, 102.0, 3.0, 3.0, 0.7),
    Massif(26.0, 100.0, 3.0, 3.0, 0.6),
)

WINDS = (
    Wind("Shamal", 30.0, 47.0, 5.0, 6.0, 3.5, -5.0, 7.0, 1.6),
    Wind("wind of 120 days", 32.0, 61.5, 3.5, 3.0, 0.5, -8.0, 7.3, 1.5),
    Wind("Somali jet's edge", 15.0, 55.0, 4.0, 8.0, 5.0, 4.5, 7.2, 1.5),
    Wind("Tokar gap", 18.0, 38.0, 1.5, 2.5, 6.0, 1.0, 7.2, 1.3),
    Wind("Taklamakan easterlies", 39.5, 84.0, 2.0, 6.0, -4.0, -1.5, 5.0, 2.5),
    Wind("Mongolian cyclones' rear", 43.5, 105.0, 4.0, 8.0, 4.0, -4.0, 4.2, 1.5),
)


def activity(month: float, peak: float, width: float) -> float:
    """Gaussian annual cycle.

    Parameters
    ----------
    month, peak : float [month, 1-13)
    width : float [months]

    Returns
    -------
    float, 0-1

    Examples
    --------
    >>> activity(12.5, 0.5, 2.0)
    1.0
    """
    apart = (month - peak + 6.0) % 12.0 - 6.0
    return float(np.exp(-((apart / width) ** 2)))


def terrain(window: Grid) -> NDArray[np.float32]:
    """Height in units of 4.5 km on a window of the G5NR grid, shape (ny, nx); slightly negative in basins."""
    envelope = np.zeros(window.shape)
    lat, lon = window.y.values[:, None], window.x.values[None, :]
    for m in MASSIFS:
        ellipse = ((lat - m.lat) / m.south_north) ** 2 + ((lon - m.lon) / m.west_east) ** 2
        envelope = np.maximum(envelope, m.height * np.exp(-ellipse))
    rough = (0.14 + 0.38 * envelope) * _texture(window, 40.0, -1.5, 1)
    return np.clip(envelope + rough, -0.3, 1.4).astype(np.float32)


def sources(window: Grid, month: float) -> NDArray[np.float32]:
    """Source strength on a window of the G5NR grid in a month, shape (ny, nx), >= 0, relative."""
    lat, lon = window.y.values, window.x.values
    total = np.zeros(window.shape)
    for box in SOURCES + ARID:
        weight = box.strength * activity(month, box.peak, box.width)
        total += weight * np.outer(_soft(lat, *box.lat), _soft(lon, *box.lon))
    return (total * _spots(window)).astype(np.float32)


def _soft(x: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return np.exp(-(((x - (low + high) / 2) / ((high - low) / 2)) ** 4))


@lru_cache(maxsize=1)
def _spots(window: Grid) -> NDArray[np.float64]:
    """Log-normal texture of mean about one: hot spots a few cells wide on patches of 100 km.

    The same every month; read-only, since it is kept.
    """
    log = 0.9 * _texture(window, 2.0, None, 2) + 0.7 * _texture(window, 6.0, None, 3)
    spots = np.minimum(np.exp(log - 0.5 * (0.9**2 + 0.7**2)), _HOTTEST)
    spots.flags.writeable = False
    return spots


def _texture(window: Grid, scale: float, slope: float | None, stream: int) -> NDArray[np.float32]:
    """Unit noise on absolute cells: Gaussian of `scale` cells, or a power law beyond 1 / `scale`."""
    k = np.linspace(0.0, 0.5, 257)
    power = np.exp(-((2 * np.pi * k * scale) ** 2)) if slope is None else (k**2 + scale**-2) ** slope
    kernel = Spectrum(tuple(power.tolist()), 0.0, 48).kernel()
    spans = (window.y.start, window.y.size), (window.x.start, window.x.size)
    return shaped(kernel, *spans, seed=_SEED, member=0, instant=None, stream=stream, period=window.x.period)
