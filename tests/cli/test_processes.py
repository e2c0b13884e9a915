"""Every command as a user runs it, in a process: it does its work, or says why not and leaves nothing.

Most are slow tests, a minute or two in all: the same is tested in one process beside.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import xarray as xr
from click.testing import CliRunner

from xdownscale.cli import main

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ("--model", "tiny.safetensors", "--domain-check", "ignore", "--evaluations", 2)
RECORDS = ("--coarse", "run.zarr/coarse", "--fine", "run.zarr")
SMALL_RUN = ("--days", 12, "--region", 30, 34, 44, 48, "--stride", 2)
SMALL = '{"steps": 2, "batch": 2, "days": 1, "crop": 16, "border": 0, "channels": [8, 8, 8], "blocks": 1}'
WORK: dict[str, list[tuple[Any, ...]]] = {
    "predict": [("predict", "coarse.nc", "out.nc", *QUICK)],
    "explain": [("explain", "coarse.nc", *QUICK)],
    "verify": [("predict", "coarse.nc", "out.zarr", *QUICK), ("verify", "out.zarr")],
    "models": [("models",), ("models", "tiny.safetensors")],
    "demo": [("demo", "--out", "tour", "--model", "tiny.safetensors")],
    "nature-run": [("nature-run", "run.zarr", *SMALL_RUN)],
    "diagnose": [("diagnose", "fine.nc", "--truth", "truth.nc", "--coarse", "coarse.nc")],
    "check": [("check", "tiny.safetensors", "--only", "card", "--only", "units")],
    "doctor": [("doctor",)],
    "evaluate": [
        ("evaluate", "tiny.safetensors", "--coarse", "coarse.nc", "--truth", "truth.nc", "--members", 2,
         "--evaluations", 2, "--intervals", 0),
    ],
}  # fmt: skip
LEARNING = ("pretrain", "train", "distil", "calibrate")  # at length in test_learn.py; their errors are below


def test_every_command_is_here() -> None:
    assert set(WORK) | set(LEARNING) == set(main.commands)


QUICK_ONES = ("explain", "doctor", "verify")


@pytest.mark.parametrize(
    "name", [name if name in QUICK_ONES else pytest.param(name, marks=pytest.mark.slow) for name in WORK]
)
def test_works(process: Any, name: str) -> None:
    for arguments in WORK[name]:
        done = process(*arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_learns(process: Any, folder: Path) -> None:
    (folder / "small.json").write_text(SMALL)
    (folder / "first.toml").write_text("steps = 2\nbatch = 2\ncrop = 8\nhistory = 2\nchannels = [4, 4]\n")
    for arguments in (
        ("nature-run", "run.zarr", "--days", 30, "--region", 30, 36, 44, 52, "--stride", 4),
        ("pretrain", "e.safetensors", "--coarse", "run.zarr/coarse", "--config", "first.toml"),
        ("train", "m.safetensors", "--encoder", "e.safetensors", *RECORDS, "--config", "small.json",
         "--no-calibrate"),
    ):  # fmt: skip
        done = process(*arguments)
        assert done.returncode == 0, done.stderr
    assert process("models", "m.safetensors").returncode == 0


MISSING = {
    "predict": ("predict", "absent.nc", "out.nc", *QUICK),
    "explain": ("explain", "absent.nc", *QUICK),
    "verify": ("verify", "absent.zarr"),
    "models": ("models", "absent.safetensors"),
    "pretrain": ("pretrain", "e.safetensors", "--coarse", "absent.nc"),
    "train": ("train", "m.safetensors", "--encoder", "absent.safetensors", "--coarse", "coarse.nc",
              "--fine", "truth.nc"),
    "calibrate": ("calibrate", "tiny.safetensors", "c.safetensors", "--coarse", "absent.nc",
                  "--fine", "truth.nc"),
    "evaluate": ("evaluate", "tiny.safetensors", "--coarse", "absent.nc", "--truth", "truth.nc"),
    "diagnose": ("diagnose", "absent.nc"),
    "check": ("check", "absent.safetensors"),
    "demo": ("demo", "--out", "tour", "--model", "absent.safetensors"),
}  # fmt: skip
UNKNOWN_MODEL = {
    "predict": ("predict", "coarse.nc", "out.nc", "--model", "jja_asi"),
    "explain": ("explain", "coarse.nc", "--model", "jja_asi"),
    "models": ("models", "jja_asi"),
    "train": ("train", "m.safetensors", "--start", "jja_asi", "--coarse", "coarse.nc", "--fine", "truth.nc"),
    "calibrate": ("calibrate", "jja_asi", "c.safetensors", "--coarse", "coarse.nc", "--fine", "truth.nc"),
    "evaluate": ("evaluate", "jja_asi", "--coarse", "coarse.nc", "--truth", "truth.nc"),
    "check": ("check", "jja_asi"),
    "demo": ("demo", "--out", "tour", "--model", "jja_asi"),
}
REFUSED = {
    "predict": (("predict", "truth.nc", "out.nc", *QUICK), "expected"),
    "explain": (("explain", "truth.nc", *QUICK), "expected"),
    "pretrain": (("pretrain", "e.safetensors", "--coarse", "coarse.nc", "--variable", "AOD"), "not 'AOD'"),
    "train": (("train", "m.safetensors", "--coarse", "coarse.nc", "--fine", "truth.nc"), "give one of"),
    "calibrate": (("calibrate", "tiny.safetensors", "c.safetensors", "--coarse", "truth.nc",
                   "--fine", "coarse.nc"), "expected"),
    "evaluate": (("evaluate", "jja_asia", "--coarse", "truth.nc", "--truth", "coarse.nc"), "expected"),
    "diagnose": (("diagnose", "fine.nc", "--truth", "coarse.nc"), "grid"),
    "nature-run": (("nature-run", "run.zarr", "--days", 0), "0 is not in the range"),
    "check": (("check", "coarse.nc"), "expected a checkpoint"),
    "verify": (("verify", "coarse.nc"), "expected a store"),
}  # fmt: skip
EXISTING = {
    "predict": ("predict", "coarse.nc", "mine", *QUICK),
    "pretrain": ("pretrain", "mine", "--coarse", "coarse.nc"),
    "train": ("train", "mine", "--start", "tiny.safetensors", "--coarse", "coarse.nc", "--fine", "truth.nc"),
    "calibrate": ("calibrate", "tiny.safetensors", "mine", "--coarse", "coarse.nc", "--fine", "truth.nc"),
    "evaluate": (
        "evaluate",
        "tiny.safetensors",
        "--coarse",
        "coarse.nc",
        "--truth",
        "truth.nc",
        "--out",
        "mine",
    ),
    "diagnose": ("diagnose", "fine.nc", "--out", "mine"),
    "nature-run": ("nature-run", "mine", *SMALL_RUN),
}


def refused(process: Any, folder: Path, arguments: tuple[Any, ...], said: str) -> None:
    before = sorted(p.name for p in folder.iterdir())
    done = process(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr
    after = sorted(p.name for p in folder.iterdir())
    assert [name for name in after if name != "tour"] == before, "something was written"


@pytest.mark.slow
@pytest.mark.parametrize("name", MISSING)
def test_missing_file(process: Any, folder: Path, name: str) -> None:
    refused(process, folder, MISSING[name], "absent")


@pytest.mark.slow
@pytest.mark.parametrize("name", UNKNOWN_MODEL)
def test_unknown_model(process: Any, folder: Path, name: str) -> None:
    refused(process, folder, UNKNOWN_MODEL[name], "did you mean 'jja_asia'")


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_refused_input(process: Any, folder: Path, name: str) -> None:
    refused(process, folder, *REFUSED[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", EXISTING)
def test_existing_output(process: Any, folder: Path, name: str) -> None:
    (folder / "mine").write_text("mine")
    refused(process, folder, EXISTING[name], "exists")
    assert (folder / "mine").read_text() == "mine"


def heeding() -> None:
    """Heed Ctrl-C, though these tests may run in the background of a shell, where it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(
    folder: Path, arguments: tuple[Any, ...], there: str = ""
) -> subprocess.CompletedProcess[str]:
    """Start a command, wait until it has written something, or has warned of its model; press Ctrl-C."""
    command = [sys.executable, "-m", "xdownscale.cli", *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        preexec_fn=heeding,  # noqa: PLW1509 - nothing else runs in this process
    ) as running:
        assert running.stderr is not None
        first = "" if there else running.stderr.readline()
        while there and not list(folder.glob(there)) and running.poll() is None:
            time.sleep(0.05)
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    return subprocess.CompletedProcess(command, running.returncode, out, first + err)


class TestInterrupted:
    def test_a_store_is_gone_on_with(self, process: Any, folder: Path) -> None:
        arguments = ("predict", "coarse.nc", "out.zarr", *QUICK, "--members", 400)
        done = interrupted(folder, arguments, "out.zarr/ledger/blocks/*.json")
        assert done.returncode == 130, done.stderr
        assert done.stderr.endswith("Interrupted: what is done stays, and the same command goes on\n")
        shown = process("verify", "out.zarr")
        assert shown.returncode == 1
        assert "sound, not complete" in shown.stdout

    def test_a_simulation_is_gone_on_with(self, folder: Path, process: Any) -> None:
        arguments = ("nature-run", "run.zarr", "--days", 400, "--region", 30, 34, 44, 48, "--stride", 2)
        done = interrupted(folder, arguments, "run.zarr/DUEXTTAU/c/*")
        assert done.returncode == 130, done.stderr
        assert "the days that are done stay" in done.stderr
        with xr.open_zarr(folder / "run.zarr", consolidated=False) as found:
            assert found.sizes["time"] == 400

    def test_a_file_is_whole_or_absent(self, folder: Path) -> None:
        arguments = ("predict", "coarse.nc", "out.nc", *QUICK, "--members", 4000)
        done = interrupted(folder, arguments)
        assert done.returncode == 130, done.stderr
        assert done.stderr.endswith("Interrupted: nothing was written\n")
        assert not list(folder.glob("*out.nc*"))

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["demo", "evaluate"])
    def test_nothing_is_written(self, folder: Path, name: str) -> None:
        """The output of each comes at its end."""
        arguments: dict[str, tuple[Any, ...]] = {
            "demo": ("demo", "--out", "tour", "--model", "tiny.safetensors", "--members", 100),
            "evaluate": ("evaluate", "tiny.safetensors", "--coarse", "coarse.nc", "--truth", "truth.nc",
                         "--members", 9000, "--out", "scores.nc"),
        }  # fmt: skip
        done = interrupted(folder, arguments[name])
        assert done.returncode == 130, done.stderr
        assert "Interrupted: " in done.stderr
        assert not {"scores.nc", "demo.nc"} & {p.name for p in folder.rglob("*")}

    @pytest.mark.slow
    def test_a_training_is_gone_on_with(self, folder: Path, process: Any) -> None:
        config = '{"steps": 100000, "batch": 2, "crop": 8, "history": 2, "channels": [4, 4]}'
        (folder / "first.json").write_text(config)
        region = ("--days", 30, "--region", 30, 36, 44, 52, "--stride", 4)
        assert process("nature-run", "run.zarr", *region).returncode == 0
        arguments = ("pretrain", "e.safetensors", "--coarse", "run.zarr/coarse", "--config", "first.json",
                     "--folder", "state")  # fmt: skip
        done = interrupted(folder, arguments, "state/*")
        assert done.returncode == 130, done.stderr
        assert "the same command goes on from what is there" in done.stderr
        assert not (folder / "e.safetensors").exists()
        assert list((folder / "state").iterdir())


@pytest.mark.parametrize("said", [None, ("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "1000")])
def test_waiting_threads_leave_their_cores_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, said: tuple[str, str] | None
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # put back afterwards
        monkeypatch.delenv(name)
    if said is not None:
        monkeypatch.setenv(*said)
    assert CliRunner().invoke(main, ["models", "--help"]).exit_code == 0
    wanted = {"OMP_WAIT_POLICY": "PASSIVE"} if said is None else dict([said])
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    assert {name: os.environ[name] for name in names if name in os.environ} == wanted
