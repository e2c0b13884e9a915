"""What scores and spectra cost, beside one pass of the CRPS over the same days.

    python benchmarks/scoring.py [--days 6] [--members 8] [--shape 600 1000]

Simulated fields, made as they are read, on one thread. Times are over that of `skill.crps` alone, in the same
run; memory is the process's peak, in all and for each further day.
"""

from __future__ import annotations

import argparse
import resource
import time

import dask
import dask.array as da
import numpy as np
import xarray as xr

from xdownscale.diagnostics import crps, scores, spectrum
from xdownscale.grid import G5NR, MERRA2, coarsening, covered

THRESHOLDS, WINDOWS, QUANTILES = (0.1, 0.3, 1.0), (1, 9, 33), (0.5, 0.9, 0.99, 0.999)
BASELINES = ("nearest", "bilinear", "bicubic")


def main() -> None:
    asked = arguments()
    fine = G5NR.window((1600, asked.shape[0]), (3300, asked.shape[1]))
    coarse = covered(fine, MERRA2)
    prediction, truth = made(fine, asked.days, asked.members), made(fine, asked.days, None)
    low = xr.DataArray(
        da.map_blocks(coarsening(fine, coarse).mean, truth.data, chunks=(1, *coarse.shape), dtype=float),
        {"time": truth.time, "lat": coarse.y.values, "lon": coarse.x.values},
        ("time", "lat", "lon"),
    )
    inner = {"lat": slice(*coarse.y.edges[[0, -1]]), "lon": slice(*coarse.x.edges[[0, -1]])}
    prediction, truth = prediction.sel(inner), truth.sel(inner)
    plain = timed("crps alone", None, lambda: days_of_crps(prediction, truth))
    timed("scores, errors only", plain, lambda: scores(prediction, truth))
    timed("scores, both spaces", plain, lambda: scores(prediction, truth, space=("linear", "log")))
    with_all = {
        "coarse": low,
        "baselines": BASELINES,
        "thresholds": THRESHOLDS,
        "quantiles": QUANTILES,
        "space": ("linear", "log"),
    }
    timed("scores, baselines, events, quantiles", plain, lambda: scores(prediction, truth, **with_all))
    timed(
        "the same and neighbourhoods", plain, lambda: scores(prediction, truth, windows=WINDOWS, **with_all)
    )
    timed("spectrum with its ratio", plain, lambda: spectrum(prediction, truth=truth).compute())


def made(grid, days: int, members: int | None) -> xr.DataArray:
    """Fields of a seed, a block each, float32."""
    lead = ("realization", "time") if members else ("time",)
    sizes = (members, days) if members else (days,)
    blocks = ((1,) * n for n in sizes)
    data = da.random.default_rng(1).lognormal(-2, 1, (*sizes, *grid.shape), chunks=(*blocks, *grid.shape))
    cells = {name: np.arange(n) for name, n in zip(lead, sizes, strict=True)}
    cells |= {"lat": grid.y.values, "lon": grid.x.values}
    return xr.DataArray(data.astype(np.float32), cells, (*lead, "lat", "lon"))


def days_of_crps(prediction: xr.DataArray, truth: xr.DataArray) -> None:
    for t in range(truth.sizes["time"]):
        crps(prediction.isel(time=t).values, truth.isel(time=t).values)


def timed(name: str, plain: float | None, run) -> float:
    began = time.process_time()
    run()
    taken = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:40} {taken:7.1f} s  {taken / (plain or taken):6.2f}  peak {peak:6.0f} MB", flush=True)
    return taken


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=6)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--shape", type=int, nargs=2, default=(600, 1000))
    return parser.parse_args()


if __name__ == "__main__":
    with dask.config.set(scheduler="synchronous"):
        main()
