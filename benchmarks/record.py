"""What a benchmark found, and the file in which it is kept.

A `Figure` is one comparison: a ratio, an exponent or an amount beside its target, or the reason why there is
none. An `Entry` is all figures of one benchmark with the day, the machine and the versions. The store is one
JSON file; the page in the documentation is made from it and from nothing else. No name of a machine and no
path is kept.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["STORE", "Entry", "Figure", "Result", "machine", "read", "write"]

STORE = Path(__file__).with_name("results.json")
_PACKAGES = ("xarray-downscale", "torch", "numpy", "scipy", "xarray", "dask")


@dataclass(frozen=True)
class Figure:
    """One number beside its target.

    Attributes
    ----------
    quantity : str
        What is measured.
    kind : str
        What the value is: "times faster", "times fewer", "times as much", "exponent", "share", "difference"
        or "amount".
    value : float or None
        None where it could not be measured.
    unit : str
        Of `ours` and `other`, and of the value where it is an amount.
    ours, other : float or None
        Medians behind a ratio.
    against : str
        What `other` is of.
    at_least, at_most : float or None
        The target.
    lowest, highest : float or None
        Of the value over the rounds.
    absent : str or None
        Why there is no value.
    """

    quantity: str
    kind: str
    value: float | None = None
    unit: str = ""
    ours: float | None = None
    other: float | None = None
    against: str = ""
    at_least: float | None = None
    at_most: float | None = None
    lowest: float | None = None
    highest: float | None = None
    absent: str | None = None

    @classmethod
    def faster(
        cls,
        quantity: str,
        ours: Sequence[float],
        other: Sequence[float],
        against: str,
        *,
        at_least: float | None = None,
        unit: str = "s",
        kind: str = "times faster",
    ) -> Figure:
        """The other's median over ours; rounds side by side."""
        return cls._ratio(quantity, kind, other, ours, unit, against, at_least=at_least, swap=True)

    @classmethod
    def as_much(
        cls,
        quantity: str,
        ours: Sequence[float],
        other: Sequence[float],
        against: str,
        *,
        at_most: float | None = None,
        unit: str = "s",
        kind: str = "times as much",
    ) -> Figure:
        """Our median over the other's; rounds side by side."""
        return cls._ratio(quantity, kind, ours, other, unit, against, at_most=at_most)

    @classmethod
    def _ratio(
        cls,
        quantity: str,
        kind: str,
        above: Sequence[float],
        below: Sequence[float],
        unit: str,
        against: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        swap: bool = False,
    ) -> Figure:
        top, bottom = statistics.median(above), statistics.median(below)
        each = [a / b for a, b in zip(above, below, strict=False)]
        ours, other = (bottom, top) if swap else (top, bottom)
        ends = (min(each), max(each)) if len(each) > 1 else (None, None)
        return cls(
            quantity, kind, top / bottom, unit, ours, other, against, at_least, at_most, ends[0], ends[1]
        )

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target or a value."""
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        low = -float("inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return low <= self.value <= high


@dataclass(frozen=True)
class Result:
    """What a benchmark's function gives: figures, rounds behind a median, and what else must be said."""

    figures: tuple[Figure, ...]
    rounds: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One benchmark as it is stored.

    Attributes
    ----------
    name, what : str
    figures : tuple of Figure
    rounds : int
        Behind each median.
    notes : tuple of str
    small : bool
        Whether it ran at a size that proves only that it runs.
    absent : str or None
        Why the benchmark could not run; then it has no figures.
    date : str
        ISO date of the run.
    machine : dict
        `machine()` at the run.
    """

    name: str
    what: str
    figures: tuple[Figure, ...] = ()
    rounds: int = 0
    notes: tuple[str, ...] = ()
    small: bool = False
    absent: str | None = None
    date: str = field(default_factory=lambda: dt.datetime.now(dt.UTC).date().isoformat())
    machine: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Entry:
        """The entry that `asdict` made."""
        figures = tuple(Figure(**one) for one in content["figures"])
        return cls(**(content | {"figures": figures, "notes": tuple(content["notes"])}))


def machine(peers: Sequence[str] = ()) -> dict[str, Any]:
    """Processor, memory, threads, load and versions; neither its name nor a path.

    Parameters
    ----------
    peers : sequence of str
        Distributions that the package is measured against.

    Returns
    -------
    dict
    """
    import torch

    versions = {"python": platform.python_version()}
    for name in (*_PACKAGES, *peers):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 1),
        "versions": versions,
    }


def _processor() -> str:
    """The processor's model, as the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def read(path: Path = STORE) -> dict[str, Entry]:
    """The stored entries by name; none where there is no file."""
    if not path.is_file():
        return {}
    return {one["name"]: Entry.from_dict(one) for one in json.loads(path.read_text(encoding="utf-8"))}


def write(entries: dict[str, Entry], path: Path = STORE) -> None:
    """Keep the entries, in their order; the file is replaced whole."""
    text = json.dumps([asdict(entry) for entry in entries.values()], indent=1, default=float)
    beside = path.with_suffix(".part")
    beside.write_text(_rounded(text) + "\n", encoding="utf-8")
    beside.replace(path)


def _rounded(text: str) -> str:
    """Four digits are all that a timing has."""
    kept = json.loads(text, parse_float=lambda digits: float(f"{float(digits):.4g}"))
    return json.dumps(kept, indent=1)
