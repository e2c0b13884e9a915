"""Run benchmarks, print and store what they find, and make the page of the documentation from the store.

    python benchmarks/bench.py                         # all that take minutes (make bench)
    python benchmarks/bench.py ceiling import          # some; the other stored entries stay
    python benchmarks/bench.py draw_paper_128          # a long one: stopped, it goes on where it was
    python benchmarks/bench.py draw_paper_128 --model ddpm.safetensors --members 4   # with scores
    python benchmarks/bench.py --page                  # docs/performance.md from the store
    python benchmarks/bench.py --list

One thread, in turns, medians; each entry is stored as soon as it is found. Ends with 1 if a benchmark failed
or could not run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

from catalogue import BENCHMARKS, Asked, Benchmark, carried_out
from page import PAGE, page, told
from record import STORE, Entry, read, write

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main() -> int:
    asked = arguments()
    if asked.list:
        for one in BENCHMARKS.values():
            print(f"{one.name:22s} {one.what}{' (long)' if one.long else ''}")
        return 0
    if asked.page:
        PAGE.write_text(page(whole(read(asked.store))), encoding="utf-8")
        print(f"wrote {PAGE.name}")
        return 0
    os.environ |= dict.fromkeys(
        _THREADS, "1"
    )  # before numpy and torch are loaded, here and in processes apart
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of the peers' own imports
    found = [run(one, asked) for one in chosen(asked)]
    return int(any(entry.absent for entry in found))


def chosen(asked: argparse.Namespace) -> list[Benchmark]:
    """Those named; without names all, the long ones only if asked for."""
    if asked.names:
        return [BENCHMARKS[name] for name in asked.names]
    return [one for one in BENCHMARKS.values() if asked.long or asked.small or not one.long]


def run(benchmark: Benchmark, asked: argparse.Namespace) -> Entry:
    """Run one, print it, and store it among the others."""
    began = time.monotonic()
    wanted = Asked(asked.small, asked.network, asked.model, asked.twin, asked.members, asked.folder)
    entry = carried_out(benchmark, wanted)
    print(told(entry, time.monotonic() - began), flush=True)
    write(whole(read(asked.store) | {entry.name: entry}), asked.store)
    return entry


def whole(stored: dict[str, Entry]) -> dict[str, Entry]:
    """All benchmarks in their order; those that never ran are told as absent."""
    return {
        name: stored.get(name) or Entry(name, one.what, absent="it was not run yet", date="")
        for name, one in BENCHMARKS.items()
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all but the long ones by default")
    parser.add_argument("--long", action="store_true", help="the long ones too")
    parser.add_argument("--small", action="store_true", help="the smallest size, to see that they run")
    parser.add_argument("--network", default="jja_asia", help="what is timed: a name, a path, or 'small'")
    parser.add_argument("--model", help="a checkpoint trained for 'ddpm', for scores of the reference")
    parser.add_argument("--twin", help="draw_diffusers: one trained alike for our process, for its score")
    parser.add_argument("--members", type=int, default=4, help="behind a score")
    parser.add_argument("--folder", type=Path, default=Path("work") / "bench", help="of long runs")
    parser.add_argument(
        "--store", type=Path, default=None, help="the JSON file; the one beside this by default"
    )
    parser.add_argument("--page", action="store_true", help="make docs/performance.md from the store")
    parser.add_argument("--list", action="store_true", help="what there is")
    asked = parser.parse_args()
    if asked.store is None:
        if asked.small:
            parser.error("--small proves only that a benchmark runs: give --store, so that no figure is lost")
        asked.store = STORE
    if unknown := [name for name in asked.names if name not in BENCHMARKS]:
        parser.error(f"unknown {unknown}: expected some of {list(BENCHMARKS)}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
