"""hedge"""
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from scipy.signal import fftconvolve

BLOCK = 64
def instant(time):
    if time is None: return None
    return int(np.datetime64(time).astype("datetime64[us]").astype(np.int64))

def white(y, x, *, seed, member, instant, stream=0, period=None):
    out = np.empty((y[1], x[1]), np.float32)
    iy = y[0] + np.arange(y[1]); ix = x[0] + np.arange(x[1])
    if period: ix = ix % period
    when = (1 << 63) if instant is None else instant % (1 << 64)
    for by in np.unique(iy // BLOCK):
        ry = np.flatnonzero(iy // BLOCK == by)
        for bx in np.unique(ix // BLOCK):
            rx = np.flatnonzero(ix // BLOCK == bx)
            block = ((int(by) + (1 << 31)) << 32) | (int(bx) + (1 << 31))
            g = np.random.Generator(np.random.Philox(key=np.array([seed, member], np.uint64), counter=np.array([0, block, when, stream], np.uint64)))
            b = g.standard_normal((BLOCK, BLOCK), dtype=np.float32)
            out[ry[:, None], rx[None]] = b[(iy[ry] % BLOCK)[:, None], (ix[rx] % BLOCK)[None]]
    return out

@dataclass(frozen=True)
class Spectrum:
    power: tuple
    floor: float
    radius: int
    def kernel(self):
        if self.radius == 0: return np.ones((1, 1))
        n = 8 * self.radius
        k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)[None])
        p = np.interp(k, np.linspace(0, 0.5, len(self.power)), self.power)
        p = p + self.floor * p.mean()
        c = np.fft.fftshift(np.fft.ifft2(np.sqrt(p)).real)
        m = n // 2; r = self.radius
        c = c[m - r : m + r + 1, m - r : m + r + 1]
        d = np.hypot(*np.mgrid[-r : r + 1, -r : r + 1]) / (r + 1)
        c = c * np.where(d < 1, np.cos(np.pi / 2 * np.clip(d, 0, 1)) ** 2, 0)
        return c / np.sqrt((c**2).sum())
    def to_dict(self): return {"power": list(self.power), "floor": self.floor, "radius": self.radius}
    @classmethod
    def from_dict(cls, d): return cls(tuple(d["power"]), d["floor"], d["radius"])
    @classmethod
    def white(cls): return cls((1.0, 1.0), 0.0, 0)

def estimate(residuals, *, bins=33, radius=32, floor=1e-3):
    r = np.asarray(residuals, np.float64); r = r - r.mean()
    ny, nx = r.shape[-2:]
    w = np.outer(np.hanning(ny), np.hanning(nx)); w /= np.sqrt((w**2).mean())
    p = (np.abs(np.fft.fft2(r * w)) ** 2).mean(0) / (ny * nx)
    k = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.fftfreq(nx)[None])
    i = np.clip(np.rint(k * 2 * (bins - 1)).astype(int), 0, bins - 1)
    ok = k <= 0.5 + 0.5 / (2 * (bins - 1))
    power = np.bincount(i[ok], p[ok], bins) / np.bincount(i[ok], minlength=bins)
    return Spectrum(tuple(float(v) for v in power), floor, radius)

def shaped(kernel, y, x, *, seed, member, instant, stream=0, period=None):
    r = len(kernel) // 2
    w = white((y[0] - r, y[1] + 2 * r), (x[0] - r, x[1] + 2 * r), seed=seed, member=member, instant=instant, stream=stream, period=period)
    return w if r == 0 else fftconvolve(w, kernel, mode="valid").astype(np.float32)
