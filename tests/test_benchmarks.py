"""Each benchmark runs once at its smallest; the store and the page hold what was found, and nothing else."""

from __future__ import annotations

import json
import math
import mmap
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

import bench
import draws
import measure
import networks
import page
import record
from catalogue import BENCHMARKS, Asked, Benchmark, carried_out

from xdownscale.checkpoint import save

FOLDER = Path(__file__).parents[1] / "benchmarks"
pytestmark = pytest.mark.filterwarnings("ignore")  # of the peers' own imports

SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if "def main(" in path.read_text())


def small(tmp_path: Path) -> Asked:
    return Asked(small=True, folder=tmp_path)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_it_runs(name: str, tmp_path: Path) -> None:
    benchmark = BENCHMARKS[name]
    entry = carried_out(benchmark, small(tmp_path))
    assert (entry.name, entry.small) == (name, True)
    if measure.missing(benchmark.needs):
        assert "not installed" in str(entry.absent)
        assert entry.figures == ()
        return
    assert entry.absent is None
    assert entry.rounds >= 1
    assert any(figure.value is not None for figure in entry.figures)
    for figure in entry.figures:
        assert (figure.value is None) == (figure.absent is not None), figure.quantity
        assert figure.value is None or math.isfinite(figure.value)
    assert record.Entry.from_dict(json.loads(json.dumps(record.asdict(entry)))) == entry


def test_results_that_must_be_equal_are(tmp_path: Path) -> None:
    for name in ("wasserstein", "conservative"):
        entry = carried_out(BENCHMARKS[name], small(tmp_path))
        (difference,) = [figure for figure in entry.figures if figure.kind == "difference"]
        assert difference.met is True, difference


def test_a_missing_peer_is_absent_and_not_filled_in(tmp_path: Path) -> None:
    benchmark = replace(BENCHMARKS["conservative"], needs=("json", "a_peer_that_is_not_there"))
    entry = carried_out(benchmark, small(tmp_path))
    assert entry.figures == ()
    assert entry.absent == (
        "a_peer_that_is_not_there not installed: pip install -e '.[bench]' -c constraints.txt"
    )
    store = tmp_path / "results.json"
    record.write({entry.name: entry}, store)
    assert record.read(store) == {entry.name: entry}
    assert f"**Absent**: {entry.absent}." in page.page({entry.name: entry})
    assert "absent: a_peer_that_is_not_there" in page.told(entry, 0.0)


def test_a_failure_is_absent_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    broken = Benchmark("broken", "Broken", ("measure", "exponent"))
    entry = carried_out(broken, Asked(small=True))
    assert entry.absent == "it failed: TypeError"
    assert entry.figures == ()
    assert "missing 1 required positional argument" in capsys.readouterr().err


def test_a_score_without_a_model_is_absent() -> None:
    found = draws.score(None, None, None, "the reference", absent="no model was given")
    assert (found.value, found.met, found.absent) == (None, None, "no model was given")


@pytest.mark.parametrize("name", ["draw_paper_64", "draw_diffusers"])
def test_a_model_of_the_process_is_scored(name: str, tmp_path: Path) -> None:
    if measure.missing(BENCHMARKS[name].needs):
        pytest.skip("diffusers is not installed")
    path = tmp_path / "ddpm.safetensors"
    save(networks.ancestral(networks.network("small")), path)
    asked = replace(small(tmp_path), model=str(path), members=2)
    entry = carried_out(BENCHMARKS[name], asked)
    assert entry.absent is None
    (found,) = [figure for figure in entry.figures if figure.quantity.startswith("CRPS")]
    assert found.absent is None
    assert found.value == pytest.approx(found.ours / found.other)
    assert min(found.ours, found.other) > 0


def test_one_run_keeps_the_other_entries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = tmp_path / "results.json"
    old = record.Entry("day", "A day", (record.Figure("time", "amount", 3.0, "s"),), date="2026-01-01")
    record.write({"day": old}, store)
    monkeypatch.setattr(sys, "argv", ["bench.py", "conservative", "--small", "--store", str(store)])
    assert bench.main() == 0
    stored = record.read(store)
    assert list(stored) == list(BENCHMARKS)
    assert stored["day"] == old
    assert stored["conservative"].figures
    assert stored["ceiling"].absent == "it was not run yet"


@pytest.mark.parametrize(
    ("given", "message"), [(["--small"], "--small proves only"), (["nothing_such"], "unknown")]
)
def test_what_is_refused(
    given: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.py", *given])
    with pytest.raises(SystemExit, match="2"):
        bench.main()
    assert message in capsys.readouterr().err


def test_the_page_is_what_the_store_gives() -> None:
    stored = record.read()
    assert page.PAGE.read_text(encoding="utf-8") == page.page(bench.whole(stored)), (
        "make it: benchmarks/bench.py --page"
    )


def test_the_store_is_honest() -> None:
    stored = record.read()
    assert list(stored) == list(BENCHMARKS)
    text = record.STORE.read_text(encoding="utf-8")
    assert socket.gethostname() not in text
    assert re.search(r"[\"' ](/\w+)+/", text) is None, "a path of the machine"
    for entry in stored.values():
        assert not entry.small, f"{entry.name}: a figure that proves only that it runs"
        assert (entry.absent is None) == bool(entry.figures)
        if entry.figures:
            assert {"processor", "cores", "memory_gb", "load", "versions"} <= set(entry.machine)
            assert {*BENCHMARKS[entry.name].peers, "torch", "numpy", "python"} <= set(
                entry.machine["versions"]
            )
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", entry.date)


def test_jobs_take_turns_and_the_first_round_is_not_counted() -> None:
    order: list[str] = []
    seconds = measure.alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b"] * 3
    assert {name: len(found) for name, found in seconds.items()} == {"a": 2, "b": 2}


def test_a_job_apart_runs_elsewhere_and_its_failure_is_told() -> None:
    assert measure.apart(measure.missing, ["json", "no_such_module"]) == ["no_such_module"]
    with pytest.raises(RuntimeError, match=r"exponent in a process of its own(.|\n)*missing 1 required"):
        measure.apart(measure.exponent, [1.0])


def test_an_exponent() -> None:
    assert measure.exponent([1, 10, 100], [3.0, 30.0, 300.0]) == pytest.approx(1.0)
    assert measure.exponent([1, 4, 16], [2.0, 4.0, 8.0]) == pytest.approx(0.5)


def test_the_peak_of_memory_is_that_of_what_was_held_inside() -> None:
    """Fresh pages: what malloc gives may be memory that the process never gave back."""
    with measure.Peak() as peak, mmap.mmap(-1, 32_000_000) as held:
        for _ in range(32):
            held.write(b"1" * 1_000_000)
    assert 30e6 < peak.bytes < 60e6


def test_ratios_and_targets() -> None:
    faster = record.Figure.faster("t", [1.0, 2.0, 3.0], [10.0, 20.0, 60.0], "peer", at_least=10)
    assert (faster.value, faster.ours, faster.other, faster.met) == (10.0, 2.0, 20.0, True)
    assert (faster.lowest, faster.highest) == (10.0, 20.0)
    more = record.Figure.as_much("m", [3.0], [2.0], "peer", at_most=1.0)
    assert (more.value, more.ours, more.other, more.met) == (1.5, 3.0, 2.0, False)
    slope = record.Figure("s", "exponent", 1.02, at_least=0.95, at_most=1.05)
    assert slope.met is True
    assert replace(slope, value=0.9).met is False
    assert replace(slope, value=None, absent="why").met is None


def test_a_long_run_goes_on_where_it_was(tmp_path: Path) -> None:
    asked: list[float] = []

    def sample(denoise: Callable[..., torch.Tensor], start: torch.Tensor) -> torch.Tensor:
        return denoise(denoise(start, 1.0), 0.5)

    def denoise(x: torch.Tensor, t: float) -> torch.Tensor:
        asked.append(t)
        return x + t

    found = []
    for _ in range(2):
        kept = draws.Kept(tmp_path)
        kept.sample = sample
        found.append(kept(denoise, torch.zeros(3, 1, 4, 4)))
    assert asked == [1.0, 0.5], "the second run reads what the first one sampled"
    assert torch.equal(found[0], found[1])
    assert found[1].unique().tolist() == [1.5]
    assert kept.cells == 2 * 3 * 16
    assert kept.processor >= 0.0


def test_the_recipe_is_the_papers(tmp_path: Path) -> None:
    entry = carried_out(BENCHMARKS["draw_paper_64"], small(tmp_path))
    evaluations = entry.figures[0]
    assert "3 steps" in evaluations.against
    # 17 x 21 fine cells; whole patches of 16 x 16, three times
    assert evaluations.other == pytest.approx(entry.figures[0].value * evaluations.ours)
    assert evaluations.other * 17 * 21 % (3 * 256) == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_its_command_line_is_there(name: str) -> None:
    if "argparse" not in (FOLDER / f"{name}.py").read_text():
        pytest.skip("it takes no arguments, and runs at once")
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: ")
