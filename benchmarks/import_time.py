"""How much longer `import xdownscale` takes than `import xarray` (target: at most 1.15 times).

Fresh interpreters, alternating; medians of the time between start and end of the import inside the process.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

RUNS = 21
TARGET = 1.15


def seconds(module: str) -> float:
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    names = ("xarray", "xdownscale")
    for name in names:
        seconds(name)
    rounds = [[seconds(name) for name in names] for _ in range(RUNS)]
    base, own = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"import xarray {base:.3f} s, import xdownscale {own:.3f} s: ratio {own / base:.3f} (target {TARGET})"
    )


if __name__ == "__main__":
    main()
