"""The page of the documentation, from the stored entries and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from record import Entry, Figure

__all__ = ["PAGE", "page", "told"]

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_TOP = """\
<!-- made by `python benchmarks/bench.py --page` from benchmarks/results.json; a test compares them -->

# Performance

What `make bench` found, as stored in `benchmarks/results.json`. Every ratio is of medians measured side by
side in one run, the two taking turns, with one thread; the range over the rounds is in brackets. Processor
seconds are those of one thread: on a quiet machine, of the clock. *Times faster* is the other's time over
ours, *times as much* ours over the other's. Targets that are missed are listed as such, and what could not
be measured is told as absent.
"""


def page(entries: dict[str, Entry]) -> str:
    """The page.

    Parameters
    ----------
    entries : dict of str to Entry
        The store.

    Returns
    -------
    str
        Markdown.
    """
    rows = [(entry, figure) for entry in entries.values() for figure in entry.figures]
    parts = [_TOP, _counted(entries, [f for _, f in rows]), *map(_section, entries.values())]
    return "\n".join(parts)


def told(entry: Entry, seconds: float) -> str:
    """An entry for the terminal."""
    lines = [f"{entry.name}: {entry.what}{' (small)' if entry.small else ''}, {seconds:.0f} s"]
    if entry.absent:
        return "\n".join([*lines, f"  absent: {entry.absent}"])
    for figure in entry.figures:
        _, found, target, met, _, _ = _cells(figure)
        lines.append(f"  {figure.quantity}: {found}" + (f" (target {target}: {met})" if target else ""))
    return "\n".join(lines)


def _counted(entries: dict[str, Entry], figures: list[Figure]) -> str:
    met = [f.met for f in figures]
    absent = sum(e.absent is not None for e in entries.values()) + sum(f.absent is not None for f in figures)
    yes, no = met.count(True), met.count(False)
    summary = f"Of {yes + no} figures with a target {yes} meet it; {absent} are absent."
    return f"{summary}\n\n" + _table(
        ("benchmark", "quantity", "found", "target", "met"),
        (
            (f"[{e.name}](#{e.name})", *_cells(f)[:4])
            for e in entries.values()
            for f in e.figures
            if f.at_least is not None or f.at_most is not None
        ),
    )


def _section(entry: Entry) -> str:
    lines = [f"## {entry.name}\n", f"{entry.what}.\n"]
    if entry.absent:
        lines.append(f"**Absent**: {entry.absent}.\n")
    else:
        head = ("quantity", "found", "target", "met", "ours", "against")
        lines += [_table(head, map(_cells, entry.figures))]
        lines += [f"* {note}" for note in entry.notes]
    if entry.machine:
        lines.append(f"* {entry.date}; {_rounds(entry)}{_machine(entry.machine)}.")
    return "\n".join(lines).rstrip("\n") + "\n"


def _rounds(entry: Entry) -> str:
    return f"{entry.rounds} round{'s' if entry.rounds > 1 else ''}; " if entry.rounds else ""


def _machine(found: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{found['processor']}, {found['cores']} cores, {found['threads']} thread used, "
        f"{found['memory_gb']:g} GB, {found['system']}, load {found['load']:g} at the start; {versions}"
    )


def _cells(figure: Figure) -> tuple[str, ...]:
    """Quantity, what was found, target, whether it is met, ours, and the other."""
    if figure.absent:
        return figure.quantity, f"absent: {figure.absent}", _target(figure), "absent", "", figure.against
    unit = f" {figure.unit}" if figure.unit else ""
    found = f"{_number(figure.value)}{unit if figure.kind == 'amount' else ''}"
    if figure.kind.startswith("times"):
        found += f" {figure.kind}"
    if figure.lowest is not None and figure.highest is not None:
        found += f" ({_number(figure.lowest)} to {_number(figure.highest)})"
    ours = "" if figure.ours is None else f"{_number(figure.ours)}{unit}"
    other = "" if figure.other is None else f"{_number(figure.other)}{unit}, {figure.against}"
    met = {None: "", True: "yes", False: "**no**"}[figure.met]
    return figure.quantity, found, _target(figure), met, ours, other


def _target(figure: Figure) -> str:
    low, high = figure.at_least, figure.at_most
    if low is not None and high is not None:
        return f"{_number(low)} to {_number(high)}"
    if low is not None:
        return f"at least {_number(low)}"
    return "" if high is None else f"at most {_number(high)}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:.1e}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
