"""How things are measured: in turns, in fresh processes, in processor seconds and in resident memory.

Jobs that are compared run one after the other, round after round, in one process, so that a busy machine is
busy for all of them; the first round is not counted. Memory is the peak of the resident set of a process of
its own, over what it held before the job (Linux).
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["MEGA", "Peak", "alternate", "apart", "both_clocks", "exponent", "missing", "resident", "timed"]

MEGA = 1e6


def both_clocks(job: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock and of the processor that a job takes, and what it gives."""
    wall, spent = time.perf_counter(), time.process_time()
    found = job()
    return time.perf_counter() - wall, time.process_time() - spent, found


def timed(job: Callable[[], Any], clock: Callable[[], float] = time.process_time) -> tuple[float, Any]:
    """Seconds that a job takes, and what it gives."""
    began = clock()
    found = job()
    return clock() - began, found


def alternate(
    jobs: Mapping[str, Callable[[], Any]],
    rounds: int,
    *,
    clock: Callable[[], float] = time.process_time,
    warm: bool = True,
) -> dict[str, list[float]]:
    """Seconds of each job in each round, the jobs taking turns.

    Parameters
    ----------
    jobs : mapping of str to callable
    rounds : int, >= 1
    clock : callable
        Processor seconds of this process, which other work on the machine disturbs less than the clock's;
        with one thread on a quiet machine they are the same.
    warm : bool
        Whether a round that is not counted goes first.

    Returns
    -------
    dict of str to list of float [s], of length `rounds`
    """
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds + warm):
        for name, job in jobs.items():
            spent, _ = timed(job, clock)
            if turn >= warm:
                seconds[name].append(spent)
    return seconds


def apart(job: Callable[..., Any], *given: object, here: bool = False) -> Any:
    """What a function of one of these modules gives in a fresh process.

    Parameters
    ----------
    job : callable
        Named in a module of this folder.
    *given : object
        Arguments, as JSON has them; so is the result.
    here : bool
        Call it in this process instead: enough to see that it runs.
    """
    if here:
        return job(*given)
    command = [sys.executable, __file__, job.__module__, job.__name__, json.dumps(given)]
    if job.__module__ == "__main__":
        command[2] = Path(sys.argv[0]).stem
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{job.__name__} in a process of its own: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of log(value) by log(size), least squares."""
    import numpy as np

    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def missing(modules: Iterable[str]) -> list[str]:
    """Which of the modules are not installed."""
    return [name for name in modules if importlib.util.find_spec(name) is None]


class Peak:
    """Peak of the resident set inside a `with` over what was there before: `bytes`, a page at least."""

    bytes: float = 0.0

    def __enter__(self) -> Self:
        self._before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew here
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = max(4096.0, resident("VmHWM") - self._before)


def resident(name: str) -> float:
    """A figure of this process [bytes], as Linux keeps it: VmRSS now, VmHWM at most so far."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return 1024.0 * int(lines[name].split()[0])


def _called(module: str, name: str, given: str) -> None:
    """A function of a module, by `apart`."""
    found = getattr(importlib.import_module(module), name)(*json.loads(given))
    print(json.dumps(found, default=float))


if __name__ == "__main__":
    _called(*sys.argv[1:])
