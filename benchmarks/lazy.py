"""The lazy path: memory against its stated bound, overhead against the eager loop, one worker and two.

    python benchmarks/lazy.py [--model jja_asia] [--box 4 5] [--days 1 10 100]
        [--parts memory overhead workers]

Memory: the peak resident set of a process of its own while it draws one block of so many days, over what it
held before, against `Plan.block_bytes` (Linux). Overhead: 30 days x 4 members on dask's synchronous scheduler
against `predict` in memory, in one process, in turns; the ratio of the best turns, in processor seconds.
Workers: the same job on a cluster of one and of two processes of one thread each, in turns, after each has
loaded its model. The load of the machine is printed with each figure: on a busy one the last says little.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
import xarray as xr
from measure import MEGA, Peak, alternate
from record import Figure, Result

import xdownscale
from xdownscale.grid import MERRA2


def main() -> None:
    asked = arguments()
    if asked.block:
        print(json.dumps(block(asked.model, asked.box, asked.block)))
        return
    torch.set_num_threads(1)
    parts = {"memory": memory, "overhead": overhead, "workers": workers}
    for name in asked.parts:
        parts[name](asked)


def memory(asked: argparse.Namespace) -> None:
    for days in asked.days:
        command = [sys.executable, __file__, "--model", asked.model, "--block", str(days)]
        done = subprocess.run(
            [*command, "--box", *map(str, asked.box)], check=True, capture_output=True, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"memory, {days} days in a block: peak {found['peak'] / MEGA:.0f} MB, bound "
            f"{found['bound'] / MEGA:.0f} MB, ratio {found['peak'] / found['bound']:.2f}",
            flush=True,
        )


def block(model: str, box: list[int], days: int) -> dict[str, float]:
    """Draw one block; peak of the resident set above what was there before, and the bound."""
    torch.set_num_threads(1)
    da = coarse(days, box).chunk(time=-1)
    options = {"domain_check": "ignore", "device": "cpu"}
    lazy = xdownscale.predict(da, model, **options)
    plan = xdownscale.explain(da, model, **options)
    with Peak() as peak:
        lazy.compute(scheduler="synchronous")
    return {"peak": peak.bytes, "bound": float(plan.block_bytes)}


def overhead(asked: argparse.Namespace) -> None:
    seconds = both_ways(asked.model, asked.box, 30, 4, asked.turns)
    for turn, taken in enumerate(zip(*seconds.values(), strict=True)):
        print(f"turn {turn}: in memory {taken[0]:.2f} s, on dask {taken[1]:.2f} s of processor", flush=True)
    best = [min(taken) for taken in seconds.values()]
    share = 100 * (best[1] / best[0] - 1)
    print(f"overhead of the lazy path, 30 days x 4 members: {share:+.1f} % (load {load()})")


def both_ways(model: str, box: list[int], days: int, members: int, turns: int) -> dict[str, list[float]]:
    """Processor seconds of a prediction in memory and on dask's synchronous scheduler, in turns."""
    da = coarse(days, box)
    chunked = da.chunk(time=1)
    options = {"members": members, "domain_check": "ignore", "device": "cpu", "progress": False}
    jobs = {
        "in memory": lambda: xdownscale.predict(da, model, **options),
        "on dask": lambda: xdownscale.predict(chunked, model, **options).compute(scheduler="synchronous"),
    }
    return alternate(jobs, turns, warm=False)


def lazy_overhead(asked: Any) -> Result:
    """A prediction on dask's synchronous scheduler against the same in memory."""
    days, members, turns = (1, 1, 1) if asked.small else (8, 2, 9)
    seconds = both_ways(asked.network, [4, 5], days, members, turns)
    figure = Figure.as_much(
        "processor time", seconds["on dask"], seconds["in memory"], "in memory", at_most=1.05
    )
    return Result(
        (figure,),
        turns,
        (f"{days} days x {members} members, 33 x 51 fine cells, one day and member a block.",),
    )


def workers(asked: argparse.Namespace) -> None:
    import distributed

    da = coarse(asked.job_days, asked.box).chunk(time=1)
    lazy = xdownscale.predict(da, asked.model, members=4, domain_check="ignore", device="cpu")
    best = {1: np.inf, 2: np.inf}
    for turn in range(asked.turns):
        for count in (1, 2):
            with distributed.Client(n_workers=count, threads_per_worker=1, dashboard_address=None):
                lazy[:, : 2 * count].mean().compute()
                began = time.perf_counter()
                lazy.mean().compute()
                taken = time.perf_counter() - began
            best[count] = min(best[count], taken)
            print(f"turn {turn}: {count} workers {taken:.2f} s (load {load()})", flush=True)
    print(f"two workers over one: {best[1] / best[2]:.2f} times (load {load()})")


def load() -> str:
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"


def coarse(days: int, box: list[int]) -> xr.DataArray:
    """July days over the Iranian plateau."""
    window = MERRA2.window((240, box[0]), (360, box[1]))
    values = np.random.default_rng(0).gamma(2.0, 0.15, (days, *window.shape))
    stamps = np.datetime64("2005-07-01T12", "ns") + np.arange(days) * np.timedelta64(1, "D")
    name = "atmosphere_optical_thickness_due_to_dust_ambient_aerosol_particles"
    return xr.DataArray(
        values,
        {"time": stamps, "lat": window.y.values, "lon": window.x.values},
        ("time", "lat", "lon"),
        "DUEXTTAU",
        {"units": "1", "standard_name": name},
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="jja_asia")
    parser.add_argument("--box", type=int, nargs=2, default=[4, 5], metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--days", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--job-days", type=int, default=8, help="of the job on workers")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--parts", nargs="+", default=["memory", "overhead", "workers"])
    parser.add_argument("--block", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
