"""Time and memory of the exact semivariograms, and their ratio to scikit-gstat and GSTools on sampled cells.

    python benchmarks/semivariogram.py [--columns 1000 --rows 600 --days 90]

First the bins of one field with 10 % missing, on a plane to 100 cells and by great circle to 800 km, beside
the same bins from 8,000 of its cells by scikit-gstat and by GSTools, alternating, in seconds of CPU; medians.
Then one field with its fit, and days pooled lazily, each in a process of its own, whose largest resident
memory is told with that before beside it.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from typing import Any

import numpy as np
import xarray as xr
from measure import alternate, apart
from record import Figure, Result

from xdownscale.diagnostics import semivariogram

SAMPLE = 8000
ROUNDS = 3


def main() -> None:
    asked = arguments()
    shape = asked.rows, asked.columns
    print(f"{shape[0]} x {shape[1]} cells, 10 % missing; {asked.days} days, one a block")
    for name in FIELDS:
        print(apart(ratios, name, shape), flush=True)
    for name in JOBS:
        wall, cpu, memory, before, pairs = apart(measured, name, shape, asked.days)
        told = (
            f"{wall:.2f} s, {cpu:.2f} s of CPU, {memory:.0f} MB ({before:.0f} MB before), {pairs:.3g} pairs"
        )
        print(f"{name:34s} {told}", flush=True)


def planar(shape: tuple[int, int]) -> xr.DataArray:
    axes = {name: (name, np.arange(float(n)), {"units": "km"}) for name, n in zip("yx", shape, strict=True)}
    return xr.DataArray(noise(shape), axes, ("y", "x"))


def spherical(shape: tuple[int, int]) -> xr.DataArray:
    """From 15 north and 20 east, in steps of 1/16 degree."""
    axes = {"lat": 15.0 + np.arange(shape[0]) / 16, "lon": 20.0 + np.arange(shape[1]) / 16}
    return xr.DataArray(noise(shape), axes, ("lat", "lon"))


FIELDS = {"plane": (planar, 100.0), "great circle": (spherical, 800.0)}
JOBS = {
    "plane, to 100 cells": ("plane", False),
    "great circle, to 800 km": ("great circle", False),
    "plane, days pooled lazily": ("plane", True),
    "great circle, days pooled lazily": ("great circle", True),
}


def measured(name: str, shape: tuple[int, int], days: int) -> tuple[float, float, float, float, int]:
    """Seconds by the clock and of CPU, largest memory at the end and before [MB], and pairs of a job."""
    semivariogram(planar((9, 9)), max_lag=5.0)  # scikit-gstat is imported for the fit
    kind, pooled = JOBS[name]
    make, max_lag = FIELDS[kind]
    da = lazily(make(shape), days) if pooled else make(shape)
    before = largest()
    start, spent = time.perf_counter(), time.process_time()
    found = semivariogram(da, max_lag=max_lag).compute()
    wall, cpu = time.perf_counter() - start, time.process_time() - spent
    return wall, cpu, largest(), before, int(found.pairs.sum())


def ratios(name: str, shape: tuple[int, int]) -> str:
    """Medians of alternating runs, without fits."""
    cells, seconds = rounds(name, shape, SAMPLE, ROUNDS)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    ours = median.pop("ours")
    lines = [f"{name}: all {cells} cells, exact, {ours:.3f} s"]
    lines += [f"  {k} on {SAMPLE} of them {m:.3f} s: {m / ours:.1f} times ours" for k, m in median.items()]
    return "\n".join(lines)


def rounds(name: str, shape: tuple[int, int], size: int, count: int) -> tuple[int, dict[str, list[float]]]:
    """Valid cells of the field, and seconds of CPU of each program in each round."""
    make, max_lag = FIELDS[name]
    da = make(shape)
    y, x, z = sample(da, size)
    edges = np.linspace(0.0, max_lag, 25)
    runs = {"ours": lambda: semivariogram(da, max_lag=max_lag, model=None)}
    runs["GSTools"] = gstools(y, x, z, edges, latlon=name != "plane")
    if name == "plane":  # scikit-gstat has no great circles
        runs["scikit-gstat"] = scikit_gstat(y, x, z, edges)
    return int(np.isfinite(da.values).sum()), alternate(runs, count)


def against_peers(name: str, asked: Any) -> Result:
    """The exact semivariogram of a field against those of 8,000 of its cells by other programs."""
    shape, size, count = ((40, 60), 200, 1) if asked.small else ((600, 1000), SAMPLE, ROUNDS)
    cells, seconds = apart(rounds, name, shape, size, count, here=asked.small)
    ours = seconds.pop("ours")
    figures = tuple(
        Figure.faster(f"processor time, {peer}", ours, theirs, f"{peer} on {size:,} cells", at_least=50)
        for peer, theirs in seconds.items()
    )
    to = f"{FIELDS[name][1]:g} {'cells' if name == 'plane' else 'km'}"
    valid = f"{shape[0]} x {shape[1]} cells of which {cells:,} are valid"
    note = f"{valid}, exact, to {to} in 24 bins, without a fit."
    return Result(figures, count, (note,))


def scikit_gstat(y: np.ndarray, x: np.ndarray, z: np.ndarray, edges: np.ndarray):
    """What makes its experimental variogram, without a fit."""
    import skgstat

    return lambda: (
        skgstat.Variogram(np.column_stack([x, y]), z, bin_func=edges[1:], fit_method=None).experimental
    )


def gstools(y: np.ndarray, x: np.ndarray, z: np.ndarray, edges: np.ndarray, *, latlon: bool = False):
    """What makes its empirical variogram."""
    import gstools as gs

    if latlon:
        return lambda: gs.vario_estimate((y, x), z, edges.copy(), latlon=True, geo_scale=6371.0)
    return lambda: gs.vario_estimate((x, y), z, edges.copy())


def noise(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = rng.normal(size=shape).astype(np.float32)
    field[rng.random(shape) < 0.1] = np.nan
    return field


def lazily(da: xr.DataArray, days: int) -> xr.DataArray:
    """Days that are made when they are asked for, one a block."""
    from dask import delayed
    from dask.array import from_delayed, stack

    made = [from_delayed(delayed(noise)(da.shape, seed), da.shape, np.float32) for seed in range(days)]
    coords = {
        "time": np.datetime64("2020-06-01", "ns") + np.arange(days) * np.timedelta64(1, "D"),
        **da.coords,
    }
    return xr.DataArray(stack(made), coords, ("time", *da.dims))


def sample(da: xr.DataArray, size: int = SAMPLE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places and values of some valid cells."""
    valid = np.argwhere(np.isfinite(da.values))
    rows, columns = valid[np.random.default_rng(1).choice(len(valid), size, replace=False)].T
    y, x = (da[name].values for name in da.dims)
    return y[rows], x[columns], da.values[rows, columns].astype(np.float64)


def largest() -> float:
    """Largest resident memory so far [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--days", type=int, default=90)
    return parser.parse_args()


if __name__ == "__main__":
    main()
