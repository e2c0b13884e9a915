"""hedge"""
from __future__ import annotations
from dataclasses import dataclass
@dataclass(frozen=True)
class Sampler:
    name: str; evaluations: int
def mean(denoise, start): return denoise(start, 1.0)
def sample(denoise, start, schedule, sampler, *, times=None, noise=None, progress=None):
    n = sampler.evaluations // 2; x = start
    for i in range(n):
        t, u = 1 - i / n, 1 - (i + 1) / n; m = (t + u) / 2
        v = (x - denoise(x, t)) / t
        xm = x + (m - t) * v
        v = (xm - denoise(xm, m)) / m
        x = x + (u - t) * v
    return x
