"""`benchmarks/transfer_map.py`: the map's cells, a tiny run of some, and its table."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "transfer_map.py"


@pytest.fixture(scope="module")
def script() -> Any:
    if not SCRIPT.exists():
        pytest.skip("no checkout: benchmarks are not installed")
    spec = importlib.util.spec_from_file_location("transfer_map", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["transfer_map"] = module
    spec.loader.exec_module(module)
    return module


def line(cell: Any, crps: list[float]) -> dict[str, Any]:
    from dataclasses import asdict

    ratio = sum(crps) / len(crps)
    return {"key": cell.key, **asdict(cell), "ratio": ratio, "crps": crps, "mae": [1.0] * len(crps)}


def test_cells(script: Any) -> None:
    """5 fine days x 5 transfers in full, and 14 others at two numbers of fine days; each once a seed."""
    found = script.cells(3)
    assert len({c.key for c in found}) == len(found) == 3 * (25 + 2 * 14)
    assert Counter(c.axis for c in found) == {"transfer": 75, "pretext": 12, "sees": 24, "regime": 48}
    assert all(c.seed == 0 for c in found[:53])
    assert {c.transfer for c in found[53:-72]} == {"frozen", "none"}


def test_differences_are_of_the_same_seed_and_regime(script: Any) -> None:
    cell = script.Cell
    lines = [
        line(cell("transfer", 10, "none", 0), [0.5, 0.7]),
        line(cell("transfer", 10, "none", 1), [0.9, 0.9]),
        line(cell("transfer", 10, "frozen", 0), [0.4, 0.6]),
        line(cell("transfer", 10, "frozen", 1), [0.8, 0.8]),
        line(cell("regime", 10, "frozen", 0, regime="6h"), [0.1, 0.1]),
    ]
    rows = script.table(lines, draws=50).splitlines()[2:]
    assert rows[0].endswith("| none | 2 | 0.750 (0.600 to 0.900) | - |")
    assert rows[1].endswith("| frozen | 2 | 0.650 (0.500 to 0.800) | -0.100 (-0.100 to -0.100) |")
    assert rows[2].endswith("| 6h | frozen | 1 | 0.100 (0.100 to 0.100) | - |")


@pytest.mark.slow
def test_a_tiny_run_goes_on_where_it_was(script: Any, tmp_path: Path, capsys: Any) -> None:
    given = [str(tmp_path), "--small", "--seeds", "1", "--days", "6", "--at", "6", "--only"]
    for only in (["transfer=none", "regime=paired"], ["sees=fine,coarse", "regime=paired", "pretext=next"]):
        asked = script.arguments([*given, *only])
        script.fill(asked, tmp_path / "out.jsonl")
    lines = [json.loads(text) for text in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(lines) == len({found["key"] for found in lines}) == 8
    assert [found["transfer"] for found in lines].count("none") == 1
    assert all(0.2 < found["ratio"] < 2 and len(found["crps"]) == len(found["mae"]) == 2 for found in lines)
    assert "8 cells, 7 to be made" in capsys.readouterr().out
