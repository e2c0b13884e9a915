"""`xdownscale pretrain` and `train`: two steps each, on a small simulated box."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import xdownscale
from xdownscale.cli import main
from xdownscale.diffusion.sample import Sampler

if TYPE_CHECKING:
    from pathlib import Path

DAYS = 40
COARSE = {"config": {"batch": 2, "crop": 8, "history": 2, "channels": [8, 8, 8]}, "steps": 2}
FINE = {
    "batch": 2,
    "days": 1,
    "crop": 32,
    "border": 4,
    "channels": [8, 8, 8],
    "blocks": 1,
    "statics": ["season"],
}
CARD = {"name": "trained", "training": {"data": "a test", "synthetic": True}, "licence": "CC0-1.0"}


def record(lat: np.ndarray, lon: np.ndarray, seed: int) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    field = xr.DataArray(
        rng.lognormal(-2, 0.5, (DAYS, lat.size, lon.size)).astype("f4"),
        {
            "time": np.arange("2006-05-20", DAYS, dtype="M8[D]").astype("M8[ns]"),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
        ("time", "lat", "lon"),
        attrs={"units": "1"},
    )
    return field.to_dataset(name="DUEXTTAU")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Records of coarse and fine days, and configurations."""
    coarse = record(30 + 0.5 * np.arange(12), 60 + 0.625 * np.arange(12), 1)
    fine = record(30 + 0.0625 * np.arange(89), 60 + 0.0625 * np.arange(111), 2)
    coarse.to_netcdf(tmp_path / "coarse.nc")
    fine.to_zarr(tmp_path / "fine.zarr", zarr_format=2)
    for name, content in {"coarse": COARSE["config"], "fine": FINE, "card": CARD}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def stage1(folder: Path, *more: object) -> Result:
    return run(
        "pretrain", folder / "encoder.safetensors", "--coarse", folder / "coarse.nc",
        "--config", folder / "coarse.json", "--steps", 2, *more,
    )  # fmt: skip


def stage2(folder: Path, *more: object) -> Result:
    return run(
        "train", folder / "model.safetensors", "--coarse", folder / "coarse.nc",
        "--fine", folder / "fine.zarr", "--no-calibrate", "--encoder", folder / "encoder.safetensors",
        "--config", folder / "fine.json", "--steps", 2,
        "--card", folder / "card.json", *more,
    )  # fmt: skip


def test_both_stages_give_a_model(folder: Path) -> None:
    first = stage1(folder)
    assert first.exit_code == 0, first.output
    second = stage2(folder)
    assert second.exit_code == 0, second.output
    model = xdownscale.load(folder / "model.safetensors")
    assert model.sha256 is not None
    assert model.sha256 in second.stdout
    assert str(model.card.encoder_digest) in first.stdout, (
        "the frozen encoder is the one that was transferred"
    )
    assert (model.card.name, model.card.licence, model.card.synthetic) == ("trained", "CC0-1.0", True)


def test_goes_on_from_a_model(folder: Path) -> None:
    stage1(folder)
    stage2(folder)
    shared = [
        "--coarse",
        folder / "coarse.nc",
        "--fine",
        folder / "fine.zarr",
        "--no-calibrate",
        "--steps",
        2,
    ]
    given = ["--config", folder / "fine.json", "--card", folder / "card.json", *shared]
    result = run("train", folder / "next.safetensors", "--start", folder / "model.safetensors", *given)
    assert result.exit_code == 0, result.output
    first, then = (xdownscale.load(folder / f"{n}.safetensors") for n in ("model", "next"))
    assert then.card.encoder_digest == first.card.encoder_digest
    assert then.sha256 != first.sha256
    for both in ([], ["--start", "jja_asia", "--encoder", folder / "encoder.safetensors"]):
        refused = run("train", folder / "third.safetensors", *both, *given)
        assert refused.exit_code == 2
        assert "give one of --encoder" in refused.stderr
    assert not (folder / "third.safetensors").exists()


def test_calibrate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xdownscale.calibration import fitting as module

    monkeypatch.setattr(module, "_BORDER", 8)
    stage1(folder)
    stage2(folder)
    given = [
        folder / "model.safetensors", folder / "fitted.safetensors", "--coarse", folder / "coarse.nc",
        "--fine", folder / "fine.zarr", "--last", 3, "--evaluations", "2,4", "--members", 2, "--crops", 4,
        "--windows", 1, "--folder", folder / "windows",
    ]  # fmt: skip
    result = run("calibrate", *given, "--crop", 64)
    assert result.exit_code == 0, result.output
    assert [path.suffix for path in (folder / "windows").iterdir()] == [".safetensors"] * 2
    first, then = (xdownscale.load(folder / f"{n}.safetensors") for n in ("model", "fitted"))
    assert "calibration" not in first.card.training
    told = then.card.training["calibration"]
    assert list(told) == ["2", "4"]
    for number, said in zip(("2", "4"), result.stdout.splitlines()[-2:], strict=True):
        assert (told[number]["windows"], told[number]["members"]) == (1, 2)
        assert said.startswith(f"{number} evaluations, on the windows of the fit (1): spread over skill ")
        assert f" {told[number]['spread_skill']:.2f}, " in said
    assert sorted(then.card.inflation) == ["2", "4"]
    assert first.card.inflation == {}
    for name, weight in first.denoiser.state_dict().items():
        np.testing.assert_array_equal(weight, then.denoiser.state_dict()[name])
    refused = run("calibrate", *given, "--crop", 224, "--overwrite")
    assert refused.exit_code == 2
    assert "found crop 224; make the crop smaller" in refused.stderr


def test_distil_then_calibrate_for_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xdownscale.calibration import fitting as module

    monkeypatch.setattr(module, "_BORDER", 8)
    stage1(folder)
    stage2(folder)
    records = ["--coarse", folder / "coarse.nc", "--fine", folder / "fine.zarr"]
    given = [
        folder / "model.safetensors",
        folder / "fast.safetensors",
        *records,
        "--config",
        folder / "fine.json",
        "--steps",
        2,
    ]
    said = run("distil", *given, "--dry-run")
    assert said.exit_code == 0, said.output
    assert "would write" in said.stdout
    assert not (folder / "fast.safetensors").exists()
    result = run("distil", *given)
    assert result.exit_code == 0, result.output
    first, then = (xdownscale.load(folder / f"{n}.safetensors") for n in ("model", "fast"))
    assert (first.card.distilled, then.card.distilled) == (False, True)
    assert then.sampler == first.sampler, "what is drawn with by default does not change by itself"
    for name, weight in first.denoiser.state_dict().items():
        np.testing.assert_array_equal(weight, then.denoiser.state_dict()[name])
    fit = [
        "--last",
        3,
        "--members",
        2,
        "--crops",
        4,
        "--crop",
        64,
        "--crops",
        4,
        "--evaluations",
        "2,fast",
        "--default",
        "fast",
    ]
    result = run("calibrate", folder / "fast.safetensors", folder / "fitted.safetensors", *records, *fit)
    assert result.exit_code == 0, result.output
    fitted = xdownscale.load(folder / "fitted.safetensors")
    assert fitted.sampler == Sampler("fast", 2)
    assert fitted.card.calibrated == ("2", "fast")


def test_months_half_and_seed(folder: Path) -> None:
    assert stage1(folder, "--months", "6", "--seed", 5).exit_code == 0
    result = stage2(folder, "--months", "6", "--half")
    assert result.exit_code == 0, result.output
    card = xdownscale.load(folder / "model.safetensors").card
    assert card.months == (6,)
    assert card.training["pretraining"]["config"]["seed"] == 5


def test_same_seed_same_file(folder: Path) -> None:
    stage1(folder)
    before = (folder / "encoder.safetensors").read_bytes()
    assert stage1(folder, "--overwrite").exit_code == 0
    assert (folder / "encoder.safetensors").read_bytes() == before


def test_outputs_are_kept(folder: Path) -> None:
    for name, stage in (("encoder", stage1), ("model", stage2)):
        (folder / f"{name}.safetensors").write_text("mine")
        result = stage(folder)
        assert result.exit_code == 2
        assert "give --overwrite" in result.stderr
        assert (folder / f"{name}.safetensors").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "holds a list: expected an object"),
        ('{"stepz": 3}', "stepz"),
        ('{"crop": 9}', "multiple of 4"),
    ],
)
def test_bad_configuration(folder: Path, content: str, message: str) -> None:
    (folder / "coarse.json").write_text(content)
    result = stage1(folder)
    assert result.exit_code == 2
    assert message in result.stderr


def test_other_variable(folder: Path) -> None:
    result = stage1(folder, "--variable", "TOTEXTTAU")
    assert result.exit_code == 2
    assert "holds ['DUEXTTAU'], not 'TOTEXTTAU': give --variable" in result.stderr


def test_foreign_encoder(folder: Path) -> None:
    (folder / "encoder.safetensors").write_bytes(b"\x80\x04" + bytes(50))
    result = stage2(folder)
    assert result.exit_code == 2
    assert "encoder.safetensors" in result.stderr


@pytest.mark.parametrize("process", ["regression", "vae"])
def test_a_baseline_without_encoder(folder: Path, process: str) -> None:
    """Nothing to begin from, and no spread to fit, though calibration is the default."""
    plain = FINE | {"transfer": "none", "process": process, "steps": 2}
    (folder / "plain.json").write_text(json.dumps(plain))
    given = [
        "train", folder / "plain.safetensors", "--coarse", folder / "coarse.nc",
        "--fine", folder / "fine.zarr", "--config", folder / "plain.json", "--card", folder / "card.json",
    ]  # fmt: skip
    result = run(*given)
    assert result.exit_code == 0, result.output
    model = xdownscale.load(folder / "plain.safetensors")
    assert model.encoder is None
    assert (model.card.process, model.card.inflation) == (process, {})
    (folder / "plain.json").write_text(json.dumps(FINE))
    refused = run(*given, "--overwrite")
    assert refused.exit_code == 2
    assert 'or a configuration with transfer = "none"' in refused.stderr
