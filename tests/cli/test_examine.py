"""`xdownscale diagnose` and `check`: what they print is what the functions find."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import xdownscale
from xdownscale.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from xdownscale.models.downscaler import Downscaler


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


class TestDiagnose:
    def test_a_field_alone(self, folder: Path) -> None:
        found = run("diagnose", folder / "fine.nc", "--coarse", folder / "coarse.nc", "--json")
        assert found.exit_code == 0, found.output
        content = json.loads(found.stdout)
        with xr.open_dataset(folder / "fine.nc") as data:
            fine = data.DUEXTTAU.load()
        assert content["largest"] == pytest.approx(float(fine.max()))
        assert content["99 %"] == pytest.approx(float(np.quantile(fine, 0.99)))
        assert content["training of the model"] == "synthetic"
        assert content["semivariogram, sill"] == pytest.approx(float(fine.downscale.semivariogram().sill))
        assert content["coarse mean, error"] < 1e-5
        assert content["scores"] == []

    def test_a_field_that_does_not_keep_the_mean(self, folder: Path) -> None:
        with xr.open_dataset(folder / "fine.nc") as data:
            (1.1 * data[["DUEXTTAU"]]).to_netcdf(folder / "more.nc")
        found = run("diagnose", folder / "more.nc", "--coarse", folder / "coarse.nc", "--json")
        assert json.loads(found.stdout)["coarse mean, error"] == pytest.approx(0.1, rel=1e-3)

    def test_beside_a_truth(self, folder: Path) -> None:
        arguments = ("--truth", folder / "truth.nc", "--coarse", folder / "coarse.nc")
        outputs = ("--out", folder / "found.nc", "--report", folder / "page.html")
        found = run("diagnose", folder / "fine.nc", *arguments, *outputs)
        assert found.exit_code == 0, found.output
        assert "bicubic" in found.stdout
        with xr.open_dataset(folder / "found.nc") as written:
            assert {"prediction", "bicubic"} <= set(written.source.values)
            crps = float(written.crps.sel(source="prediction", space="linear"))
        content = json.loads(run("diagnose", folder / "fine.nc", *arguments, "--json").stdout)
        row = next(r for r in content["scores"] if (r["source"], r["space"]) == ("prediction", "linear"))
        assert row["crps"] == pytest.approx(crps)
        assert "<html" in (folder / "page.html").read_text()

    def test_curves_are_written(self, folder: Path) -> None:
        assert run("diagnose", folder / "fine.nc", "--out", folder / "found.nc").exit_code == 0
        with xr.open_dataset(folder / "found.nc") as written:
            assert {"semivariogram_semivariance", "spectrum_power"} <= set(written.variables)

    def test_refused(self, folder: Path) -> None:
        (folder / "there.nc").write_text("mine")
        for arguments, said in (
            (("absent.nc",), "No such file"),
            ((folder / "fine.nc", "--report", folder / "p.html"), "give --truth"),
            ((folder / "fine.nc", "--out", folder / "there.nc"), "give --overwrite"),
            ((folder / "fine.nc", "--variable", "AOD"), "holds ['DUEXTTAU']: choose one with --variable"),
            ((folder / "fine.nc", "--truth", folder / "coarse.nc"), "grid"),
        ):
            found = run("diagnose", *arguments)
            assert found.exit_code == 2, found.output
            assert said in found.stderr
        assert (folder / "there.nc").read_text() == "mine"


class TestCheck:
    def test_a_sound_model(self, folder: Path) -> None:
        found = run("check", folder / "tiny.safetensors", "--only", "card", "--only", "seed")
        assert found.exit_code == 0, found.output
        assert found.stdout.startswith("tiny 1.2: 2 promises kept, 0 broken\n")

    def test_a_model_that_does_not_draw(self, folder: Path, tiny_model: Downscaler) -> None:
        card = replace(tiny_model.card, residual_scale=1e-9)
        xdownscale.save(tiny_model.with_card(card), folder / "flat.safetensors")
        found = run("check", folder / "flat.safetensors", "--only", "spread", "--json")
        assert found.exit_code == 1
        content = json.loads(found.stdout)
        assert (content["passed"], content["checks"][0]["status"]) == (False, "broken")
        assert found.stderr.endswith("Error: tiny 1.2 breaks 1 promises\n")

    def test_refused(self, folder: Path) -> None:
        for arguments, said in (
            (("jja_asi",), "did you mean 'jja_asia'"),
            ((folder / "tiny.safetensors", "--only", "beauty"), "no check is named 'beauty'"),
            ((folder / "coarse.nc",), "expected a checkpoint"),
        ):
            found = run("check", *arguments)
            assert found.exit_code == 2
            assert said in found.stderr
