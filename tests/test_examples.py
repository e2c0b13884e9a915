"""Every example runs as it stands, and ends with what it promises."""

from __future__ import annotations

import json
import re
import runpy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xdownscale

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = EXAMPLES / "notebooks"


def run(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, object]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_all_are_known() -> None:
    known = {
        "dask_and_zarr",
        "diagnostics",
        "goes16",
        "members_and_uncertainty",
        "quickstart",
        "teaching_diffusion",
        "train_two_stages",
        "walk_beyond_the_record",
    }
    assert {path.stem for path in EXAMPLES.glob("*.py")} == known
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == known


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


@pytest.mark.slow
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


def test_members_and_uncertainty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Members agree with the coarse field, reach higher than it, and are rougher than their mean."""
    names: Any = run("members_and_uncertainty", monkeypatch, tmp_path)
    members, highest = names["members"], names["highest"]
    assert members.sizes == {"realization": 8, "lat": 81, "lon": 121}
    kept = xdownscale.coarsen(members, xdownscale.MERRA2)
    day = names["coarse"].isel(time=-1).sel(lat=kept.lat, lon=kept.lon)
    np.testing.assert_allclose(kept, day.expand_dims(realization=8).broadcast_like(kept), rtol=1e-4)
    assert highest["coarse"] < names["threshold"] < highest["mean"] < highest["members"]
    assert names["coarse_above"] == 0.0
    assert 0.0 < names["above"] < 0.1
    assert set(np.unique(names["probability"] * 8)) <= set(range(9))
    assert 0.5 < float(names["ratio"][0]) < 0.8
    assert 0.85 < float(names["ratio"][-1]) < 1.0
    assert (names["again"] == members.isel(realization=[0, 1])).all()
    assert {p.name for p in names["folder"].iterdir()} == {
        "probability.png",
        "semivariogram.png",
        "spread.png",
    }


def test_dask_and_zarr(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three blocks are kept, the rest is drawn, damage is found and mended; the bits are those in memory."""
    names: Any = run("dask_and_zarr", monkeypatch, tmp_path)
    said = capsys.readouterr().out
    assert "computed: False" in said
    assert "refused: " in said
    assert "its seed is 1, here 2" in said
    assert (names["interrupted"].done, names["interrupted"].blocks, names["interrupted"].sound) == (
        3,
        6,
        True,
    )
    assert names["finished"].complete
    assert len(names["damaged"].damaged) == 1
    assert names["mended"].complete
    np.testing.assert_array_equal(names["written"].values, names["whole"].values)
    np.testing.assert_array_equal(names["one"].values, names["whole"].values[1, 3])


@pytest.mark.slow
def test_diagnostics(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the page says of the bundled model and of interpolation."""
    names: Any = run("diagnostics", monkeypatch, tmp_path)
    texture, scores = names["texture"], names["scores"]
    assert 0.8 < float(texture["members"][0]) < 1.25
    assert float(texture["bilinear"][0]) < 0.6
    assert float(names["spectrum"].effective_resolution) < 0.3 * float(names["smooth"].effective_resolution)
    assert float(names["distance"].w1) < float(names["distance"].null_95)
    crps = {str(name): float(scores.crps.sel(source=name)) for name in scores.source.values}
    assert crps["prediction"] < 0.6 * crps["bicubic"]
    assert crps["bicubic"] < crps["bilinear"] < crps["nearest"]
    assert float(scores.r2.sel(source="nearest")) > 0.85
    assert 0.7 < float(scores.spread_skill.sel(source="prediction")) < 1.3
    page = names["page"].read_text()
    assert page.count("<svg") == 7
    assert "Semivariograms" in page


@pytest.mark.slow
def test_walk_beyond_the_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Thirty days neither fade nor run wild, and remember the day before better than days drawn alone."""
    names: Any = run("walk_beyond_the_record", monkeypatch, tmp_path)
    assert names["walks"]["autoregressive"].sizes["time"] == 30
    found, alone = (names["drifts"][name] for name in ("autoregressive", "independent"))
    assert float(abs(found.variance_ratio - 1).max()) < 0.15
    middle = {name: one.spectral_ratio.isel(band=2).values for name, one in names["drifts"].items()}
    assert 0.6 < middle["autoregressive"][:10].mean() < 1.2
    relative = middle["autoregressive"] / middle["independent"]
    assert 0.85 < relative[-10:].mean() / relative[:10].mean() < 1.15
    assert (alone.lead == found.lead).all()
    memories = names["memories"]
    assert memories["independent"] + 0.03 < memories["autoregressive"] < memories["truth"] + 0.1


@pytest.mark.slow
def test_teaching_diffusion(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each step shows what its text says, and has its figure."""
    names: Any = run("teaching_diffusion", monkeypatch, tmp_path)
    ratios, shares, variance = names["ratios"], names["shares"], names["variance"]
    assert max(names["errors"]) < 0.03
    assert ratios[2] == pytest.approx(0.8, abs=1e-6)
    assert 0.98 < ratios[4] < ratios[8] < ratios[16] < 1.01
    assert 3 < (1 - ratios[4]) / (1 - ratios[8]) < 6
    assert np.mean(names["losses"][-25:]) < 0.5 * np.mean(names["losses"][:25])
    rising = [shares[name][1] for name in ("mean", "2 evaluations", "4 evaluations", "8 evaluations")]
    assert rising == sorted(rising)
    assert shares["mean"][0] < 0.6
    assert 0.75 < shares["8 evaluations"][0] < 1.2
    assert names["missed"] < 0.4
    assert variance["averaged at the end"] == pytest.approx(float(names["kept"].mean()), abs=0.12)
    assert 0.8 < variance["merged inside every step"] < 1.2
    figures = {p.stem for p in names["folder"].glob("*.png")}
    assert figures == {"draws", "exact", "loss", "members", "noising", "order", "patches", "plume"}


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


def cells(script: str) -> list[tuple[str, str]]:
    """Kinds and sources of a script's cells, as jupytext's percent format has them."""
    found = []
    for part in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        kind = "markdown" if head.strip() == "[markdown]" else "code"
        mark = "# ?" if kind == "markdown" else "# (?=%)"
        found.append((kind, re.sub(f"^{mark}", "", body, flags=re.MULTILINE).strip("\n")))
    return found


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_notebook_is_its_script(script: Path) -> None:
    """`make notebooks` makes them; there are no outputs, and nothing of a machine is in them."""
    book = json.loads((NOTEBOOKS / f"{script.stem}.ipynb").read_text())
    assert [(c["cell_type"], "".join(c["source"])) for c in book["cells"]] == cells(script.read_text())
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert book["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_notebook_is_what_jupytext_makes(script: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of jupytext's own imports
        pytest.importorskip("jupytext")
        make = runpy.run_path(str(NOTEBOOKS / "make.py"))["notebook"]
        assert make(script) == (NOTEBOOKS / f"{script.stem}.ipynb").read_text()
