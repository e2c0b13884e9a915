"""Every example runs as it stands, and ends with what it promises."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xdownscale

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, object]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_all_are_known() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"goes16", "quickstart", "train_two_stages"}


def test_quickstart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = run("quickstart", monkeypatch, tmp_path)
    fine, folder = names["fine"], names["folder"]
    assert isinstance(fine, xr.DataArray)
    assert isinstance(folder, Path)
    assert fine.sizes["realization"] == 3
    assert float(fine.std("realization").mean()) > 0.001
    with xr.open_dataset(folder / "fine.nc") as written:
        np.testing.assert_array_equal(written.DUEXTTAU.values, fine.values)
    assert (folder / "fine.png").stat().st_size > 10_000


def test_train_two_stages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run("train_two_stages", monkeypatch, tmp_path)
    found = re.search(r"CRPS (\S+), MAE of one member (\S+)", capsys.readouterr().out)
    assert found is not None
    assert 0 < float(found[1]) < float(found[2])
    read, model = xdownscale.load(str(names["path"])), names["model"]
    assert isinstance(model, xdownscale.Downscaler)
    assert read.card == model.card


@pytest.mark.slow
def test_goes16(
    real_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With next to no training: all cells that were seen are scored, and interpolations are what they are."""
    monkeypatch.setenv("GOES16_STEPS", "20")
    monkeypatch.setenv("GOES16_THREADS", "1")
    monkeypatch.setenv("XDOWNSCALE_TEST_DATA", str(real_data))
    names = run("goes16", monkeypatch, tmp_path)
    assert "cells, spread/skill" in capsys.readouterr().out
    scores = names["scores"]
    assert isinstance(scores, dict)
    assert 0.6 < scores["bicubic"][0] < scores["nearest"][0] < 0.8
    assert 0.6 < scores["nearest"][1] < scores["bicubic"][1] < 0.8
