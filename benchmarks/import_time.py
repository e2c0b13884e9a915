"""How much longer `import xdownscale` takes than `import xarray` (target: at most 1.1 times).

    python benchmarks/import_time.py

Fresh interpreters, alternating; medians of the time between start and end of the import inside the process.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import Any

from record import Figure, Result

RUNS = 21
TARGET = 1.1
NAMES = ("xarray", "xdownscale")


def seconds(module: str) -> float:
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def rounds(count: int) -> dict[str, list[float]]:
    """Seconds of each import, in turns; the first turn is not counted."""
    found = [[seconds(name) for name in NAMES] for _ in range(1 + count)][1:]
    return dict(zip(NAMES, (list(column) for column in zip(*found, strict=True)), strict=True))


def import_time(asked: Any) -> Result:
    """Importing the package against importing xarray, in fresh interpreters."""
    count = 1 if asked.small else RUNS
    found = rounds(count)
    figure = Figure.as_much(
        "wall time of the import", found["xdownscale"], found["xarray"], "import xarray", at_most=TARGET
    )
    return Result((figure,), count)


def main() -> None:
    base, own = (statistics.median(values) for values in rounds(RUNS).values())
    print(
        f"import xarray {base:.3f} s, import xdownscale {own:.3f} s: ratio {own / base:.3f} (target {TARGET})"
    )


if __name__ == "__main__":
    main()
