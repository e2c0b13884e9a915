"""Wasserstein distances: 1e7 against 1e7 values beside scipy, and 5e7 area-weighted values lazily.

    python benchmarks/wasserstein.py [--size 10000000] [--rounds 3]

Exact distances of float32 values in memory, alternating with `scipy.stats.wasserstein_distance` on the same
arrays: medians, their ratio and the difference of the results (targets: under 2 s, 20 times faster, equal to
1e-9), for samples that differ, for two of one distribution, for a shifted copy (which crosses everywhere, so
that nothing is gained over sorting), and weighted. Then, in a process of its own, two lazy fields of 50 days
of 1000 x 1000 cells on the sphere: the time, the bound of the error, and the peak of the process's memory
(target: under 1 GB, its libraries included).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from measure import timed as measured
from record import Figure, Result
from scipy.stats import wasserstein_distance

from xdownscale.diagnostics import wasserstein
from xdownscale.diagnostics.quantiles import compare, condense


def main() -> None:
    asked = arguments()
    if asked.lazy:
        lazily()
        return
    samples = made(asked.size)
    for name, (one, other, w) in samples.items():
        alternate(name, one, other, w, asked.rounds)
    labelled(samples["different"][0], samples["different"][1], asked.rounds)
    subprocess.run([sys.executable, __file__, "--lazy"], check=True)


def made(size: int) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Pairs of samples, and weights."""
    rng = np.random.default_rng(0)
    x = rng.lognormal(-2, 1, size).astype(np.float32)
    weights = rng.uniform(0.5, 1, size)
    return {
        "different": (x, rng.lognormal(-1.9, 1, size).astype(np.float32), None),
        "one distribution": (x, rng.lognormal(-2, 1, size).astype(np.float32), None),
        "shifted copy": (x, x + np.float32(0.25), None),
        "weighted": (x, rng.lognormal(-1.9, 1, size).astype(np.float32), weights),
    }


def alternate(name: str, x, y, w, rounds: int) -> None:
    """Medians of alternating runs of both."""
    ours, theirs, found, true = turns(x, y, w, rounds)
    own, base = statistics.median(ours), statistics.median(theirs)
    print(
        f"{name}, {x.size:.0e} each: {own:.2f} s, scipy {base:.2f} s, {base / own:.1f} times faster; "
        f"{found:.9g}, apart by {abs(found - true):.1e}",
        flush=True,
    )


def turns(x, y, w, rounds: int, clock=time.perf_counter) -> tuple[list[float], list[float], float, float]:
    """Seconds of ours and of scipy's in turns, and what each found."""
    ours, theirs = [], []
    for _ in range(rounds):
        seconds, found = measured(lambda: compare(*condense(x, w, y, w)).w1, clock)
        ours.append(seconds)
        seconds, true = measured(lambda: wasserstein_distance(x, y, w, w), clock)
        theirs.append(seconds)
    return ours, theirs, float(found), float(true)


def against_scipy(asked: Any) -> Result:
    """Exact distances of two samples of ten million float32 values against scipy's, in memory."""
    size, rounds = (10_000, 1) if asked.small else (10_000_000, 3)
    figures, worst = [], 0.0
    for name, (x, y, w) in made(size).items():
        ours, theirs, found, true = turns(x, y, w, rounds, time.process_time)
        worst = max(worst, abs(found - true))
        figures.append(
            Figure.faster(
                f"processor time, {name}", ours, theirs, "scipy.stats.wasserstein_distance", at_least=20
            )
        )
    figures.append(Figure("largest difference of the distances", "difference", worst, at_most=1e-9))
    note = f"{size:,} values each; a shifted copy crosses everywhere."
    return Result(tuple(figures), rounds, (note,))


def labelled(x, y, rounds: int) -> None:
    """The whole call, on fields of the plane."""
    side = int(np.sqrt(x.size / 10))
    cells = {"time": np.arange(10), "y": np.arange(side, dtype=float), "x": np.arange(side, dtype=float)}
    fields = [xr.DataArray(v[: 10 * side**2].reshape(10, side, side), cells) for v in (x, y)]
    seconds = statistics.median(
        measured(lambda: wasserstein(*fields), time.perf_counter)[0] for _ in range(rounds)
    )
    print(f"wasserstein(da, other), {10 * side**2:.1e} each, in all: {seconds:.2f} s (target 2)", flush=True)


def lazily() -> None:
    import dask.array

    cells = {
        "time": np.arange(50),
        "lat": np.linspace(10, 60, 1000),
        "lon": np.linspace(40, 120, 1000),
    }
    rng = dask.array.random.default_rng(0)
    one, other = (
        xr.DataArray(
            rng.lognormal(m, 1, size=(50, 1000, 1000), chunks=(1, 1000, 1000)).astype(np.float32), cells
        )
        for m in (-2, -1.9)
    )
    before = peak()
    seconds, found = measured(lambda: wasserstein(one, other), time.perf_counter)
    print(
        f"lazy, {one.size:.0e} area-weighted values each, made as they are read: {seconds:.1f} s, "
        f"W1 {float(found.w1):.6g}, off by {float(found.w1_bound):.1e} at most; peak of the process "
        f"{peak():.2f} GB (target 1), {before:.2f} GB before"
    )


def peak() -> float:
    """The most memory this process ever held, in GB, as Linux tells it; getrusage would tell its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e6


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lazy", action="store_true", help="only the lazy fields, in this process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
