"""`benchmarks/transfer_map.py`: the map's cells, a tiny run of some, and its table."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import transfer_map as script

if TYPE_CHECKING:
    from pathlib import Path


def line(cell: Any, crps: list[float]) -> dict[str, Any]:
    from dataclasses import asdict

    ratio = sum(crps) / len(crps)
    return {
        "key": cell.key,
        **asdict(cell),
        "steps": 300,
        "ratio": ratio,
        "crps": crps,
        "mae": [1.0] * len(crps),
    }


def test_cells() -> None:
    """5 fine days x 5 transfers in full, and 19 others at two numbers of fine days; each once a seed."""
    found = script.cells(3)
    assert len({c.key for c in found}) == len(found) == 3 * (25 + 2 * 19)
    assert Counter(c.axis for c in found) == {
        "transfer": 75, "pretext": 12, "sees": 24, "regime": 48, "time": 30,
    }  # fmt: skip
    assert all(c.seed == 0 for c in found[:53])
    assert {c.transfer for c in found[53:-102]} == {"frozen", "none"}
    assert {c.matched for c in found[-30:]} == {"time"}, "after those whose times they take"


def test_equal_times() -> None:
    """What takes 1.5 times as long is trained for two thirds of the steps: medians, of the same fine days."""
    cell = script.Cell("time", 10, "tuned", 1, matched="time")
    lines = [
        line(script.Cell("transfer", days, transfer, seed), [1.0]) | {"seconds": {"train": took}}
        for days, transfer, seed, took in [
            (10, "none", 0, 2.0), (10, "none", 1, 4.0), (10, "tuned", 0, 4.5), (180, "tuned", 0, 99.0),
        ]
    ]  # fmt: skip
    assert script.steps_of(cell, lines, 300) == 200
    assert script.steps_of(script.Cell("transfer", 10, "tuned"), [], 300) == 300
    with pytest.raises(SystemExit, match=r"make .*10/tuned/0.* first"):
        script.steps_of(cell, lines[:2], 300)


def test_differences_are_of_the_same_seed_and_regime() -> None:
    cell = script.Cell
    lines = [
        line(cell("transfer", 10, "none", 0), [0.5, 0.7]),
        line(cell("transfer", 10, "none", 1), [0.9, 0.9]),
        line(cell("transfer", 10, "frozen", 0), [0.4, 0.6]),
        line(cell("transfer", 10, "frozen", 1), [0.8, 0.8]),
        line(cell("regime", 10, "frozen", 0, regime="6h"), [0.1, 0.1]),
        line(cell("sees", 10, "frozen", 0, sees="fine"), [0.3, 0.4]),
        line(cell("sees", 10, "random", 0, sees="fine"), [0.3, 0.6]),
    ]
    rows = script.table(lines, draws=50).splitlines()[2:]
    assert rows[0].endswith("| nothing | - | paired | 10 | none | 300, 2 | 0.750 (0.600 to 0.900) | - | - |")
    assert rows[1].endswith(
        "| frozen | 300, 2 | 0.650 (0.500 to 0.800) | **-0.100 (-0.100 to -0.100)** | - |"
    )
    assert "**-0.250 (-0.300 to -0.200)** | -0.100 (-0.200 to +0.000) |" in rows[2], "of one sight"
    assert "**-0.150 (-0.200 to -0.100)** | - |" in rows[3]
    assert rows[4].endswith("| paired, 6-hourly | 10 | frozen | 300, 1 | 0.100 (0.100 to 0.100) | - | - |")


def test_a_tiny_run_goes_on_where_it_was(noisy_world: Path, tmp_path: Path, capsys: Any) -> None:
    for path in noisy_world.glob("*.npz"):
        (tmp_path / path.name).symlink_to(path)
    given = [str(tmp_path), "--small", "--seeds", "1", "--days", "6", "--at", "6", "--only"]
    for only in (
        ["transfer=none", "regime=paired"],
        ["sees=fine,coarse", "regime=paired", "pretext=next"],
        ["matched=time", "regime=paired"],
    ):
        asked = script.arguments([*given, *only])
        script.fill(asked, tmp_path / "out.jsonl")
    lines = [json.loads(text) for text in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(lines) == len({found["key"] for found in lines}) == 11
    assert [found["transfer"] for found in lines].count("none") == 1
    assert all(0.2 < found["ratio"] < 2 and len(found["crps"]) == len(found["mae"]) == 2 for found in lines)
    assert all(found["steps"] == 2 for found in lines if found["matched"] == "steps")
    assert "11 cells, 10 to be made" in capsys.readouterr().out
