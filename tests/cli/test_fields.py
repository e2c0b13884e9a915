"""`xdownscale predict`, `explain` and `models`, from files to files."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import xdownscale
from xdownscale.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from xdownscale.models.downscaler import Downscaler


@pytest.fixture
def model(tiny_model: Downscaler, tmp_path: Path) -> str:
    path = tmp_path / "tiny.safetensors"
    xdownscale.save(tiny_model, path)
    return str(path)


@pytest.fixture
def source(coarse_days: xr.DataArray, tmp_path: Path) -> str:
    path = tmp_path / "in put \u6c99.nc"
    data = coarse_days.to_dataset()
    data["TOTEXTTAU"] = 2 * data.DUEXTTAU
    data.to_netcdf(path)
    return str(path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


SMALL = ("--evaluations", 2, "--domain-check", "ignore")


def test_a_model_of_a_hub(source: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xdownscale.registry.fetch", lambda address: tmp_path / address.file)
    address = f"hf://org/repo@{4 * '0123456789'}/tiny.safetensors"
    result = run("explain", source, "--model", address)
    assert result.exit_code == 0, result.output
    assert result.output == run("explain", source, "--model", model).output
    assert run("models", address).output == run("models", model).output
    refused = run("predict", source, tmp_path / "out.nc", "--model", "hf://org/repo@main/tiny.safetensors")
    assert refused.exit_code == 2
    assert "'main' is no commit" in refused.output


def test_predict_equals_the_function(source: str, model: str, tmp_path: Path) -> None:
    target = tmp_path / "out.nc"
    result = run("predict", source, target, "--model", model, "--members", 2, "--seed", 3, *SMALL)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"wrote {target}\n"
    want = xdownscale.predict(
        xr.open_dataset(source).DUEXTTAU.load(),
        model,
        members=2,
        seed=3,
        sampler=xdownscale.Sampler("midpoint", 2),
        domain_check="ignore",
    )
    with xr.open_dataset(target) as found:
        assert found.DUEXTTAU.dims == ("realization", "time", "lat", "lon")
        np.testing.assert_array_equal(found.DUEXTTAU.values, want.values)
        np.testing.assert_allclose(found.lat.values[[0, -1]], want.lat.values[[0, -1]])
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".nc", ".nc", ".safetensors"]


class TestStore:
    ARGUMENTS = ("--members", 2, "--seed", 3, *SMALL)

    def test_predict_writes_what_the_function_draws(self, source: str, model: str, tmp_path: Path) -> None:
        target = tmp_path / "out é.zarr"
        result = run("predict", source, target, "--model", model, *self.ARGUMENTS)
        assert result.exit_code == 0, result.output
        assert result.stdout.endswith(f"wrote {target}\n")
        plan = result.stdout.splitlines()
        assert any(line.startswith("blocks ") for line in plan)
        assert any(line.startswith("time ") and "about" in line for line in plan)
        want = xdownscale.predict(
            xr.open_dataset(source).DUEXTTAU.load(),
            model,
            members=2,
            seed=3,
            sampler=xdownscale.Sampler("midpoint", 2),
            domain_check="ignore",
        )
        with xr.open_zarr(target, consolidated=False) as found:
            np.testing.assert_array_equal(found.DUEXTTAU.values, want.values)
        result = run("verify", target)
        assert result.exit_code == 0
        assert result.stdout.startswith(f"{target}: complete and sound, 2 of 2 blocks done\n")

    def test_the_same_command_goes_on(self, source: str, model: str, tmp_path: Path) -> None:
        target = tmp_path / "out.zarr"
        arguments = ("predict", source, target, "--model", model, *self.ARGUMENTS)
        assert run(*arguments).exit_code == 0
        chunk = target / "DUEXTTAU/c/1/0/0/0"
        before = chunk.read_bytes()
        chunk.unlink()
        result = run("verify", target)
        assert result.exit_code == 1
        assert "damaged: block (1, 0) is missing" in result.stdout
        assert result.stderr == f"Error: {target} is damaged: run predict again\n"
        assert run(*arguments).exit_code == 0
        assert chunk.read_bytes() == before

    def test_another_seed_is_refused(self, source: str, model: str, tmp_path: Path) -> None:
        target = tmp_path / "out.zarr"
        assert run("predict", source, target, "--model", model, *SMALL).exit_code == 0
        arguments = ("predict", source, target, "--model", model, "--seed", 1, *SMALL)
        result = run(*arguments)
        assert result.exit_code == 2
        assert "its seed is 0, here 1" in result.stderr
        assert run(*arguments, "--overwrite").exit_code == 0

    def test_what_is_not_finished_or_no_store(self, source: str, model: str, tmp_path: Path) -> None:
        target = tmp_path / "out.zarr"
        assert run("predict", source, target, "--model", model, *SMALL).exit_code == 0
        (target / "ledger/blocks/0.0.json").unlink()
        result = run("verify", target)
        assert result.exit_code == 1
        assert result.stderr == f"Error: {target} is not complete: run predict again\n"
        result = run("verify", tmp_path / "absent.zarr")
        assert result.exit_code == 2
        assert "expected a store that to_zarr wrote" in result.stderr
        result = run("predict", source, tmp_path / "absent" / "out.zarr", "--model", model)
        assert result.exit_code == 2
        assert "does not exist; make it first" in result.stderr


def test_another_variable_is_asked_for_by_name(source: str, model: str, tmp_path: Path) -> None:
    arguments = ("--model", model, "--product", "mean", *SMALL[2:])
    refused = run("predict", source, tmp_path / "a.nc", "--variable", "DUST", *arguments)
    assert refused.exit_code == 2
    assert (
        "the input holds ['DUEXTTAU', 'TOTEXTTAU'], not 'DUST': choose one with --variable" in refused.stderr
    )
    assert not (tmp_path / "a.nc").exists()


def test_several_files_are_one_record(model: str, coarse_days: xr.DataArray, tmp_path: Path) -> None:
    days = coarse_days
    for k in range(2):
        days[k : k + 1].to_netcdf(tmp_path / f"day{k}.nc")
    arguments = ("--model", model, *SMALL)
    assert run("predict", tmp_path / "day*.nc", tmp_path / "glob.nc", *arguments).exit_code == 0
    days.to_netcdf(tmp_path / "both.nc")
    assert run("predict", tmp_path / "both.nc", tmp_path / "one.nc", *arguments).exit_code == 0
    with xr.open_dataset(tmp_path / "glob.nc") as left, xr.open_dataset(tmp_path / "one.nc") as right:
        np.testing.assert_array_equal(left.DUEXTTAU.values, right.DUEXTTAU.values)


def test_hourly_granules_become_daily_means(model: str, coarse_days: xr.DataArray, tmp_path: Path) -> None:
    days = coarse_days
    hours = np.arange(24) * np.timedelta64(1, "h") + np.timedelta64(30, "m")
    swing = 1 + 0.5 * np.sin(2 * np.pi * np.arange(24) / 24)
    for k, stamp in enumerate(("20210606", "20210607")):
        hourly = days.isel(time=k, drop=True) * xr.DataArray(swing, dims="time")
        hourly = hourly.assign_coords(time=days.time.values[k] + hours).transpose("time", ...)
        hourly.attrs = {"units": "1", "long_name": "Dust Extinction AOT [550 nm]"}
        path = tmp_path / f"MERRA2_401.tavg1_2d_aer_Nx.{stamp}.nc4"
        hourly.astype("f4").to_dataset(name="DUEXTTAU").to_netcdf(path)
    arguments = ("--model", model, *SMALL, "--product", "mean")
    pattern, target = tmp_path / "MERRA2_*.nc4", tmp_path / "out.nc"
    assert run("predict", pattern, target, *arguments).exit_code == 2, "hourly fields into a daily model"
    result = run("predict", pattern, target, "--daily", *arguments)
    assert result.exit_code == 0, result.output
    with xr.open_dataset(target) as found:
        assert found.DUEXTTAU.sizes["time"] == 2
        centre = {"lat": slice(32.25, 32.75), "lon": slice(62.1875, 62.8125)}
        weights = np.ones((9, 11))
        weights[[0, -1], :] *= 0.5
        weights[:, [0, -1]] *= 0.5
        mean = (found.DUEXTTAU.isel(realization=0).sel(centre) * weights).sum(("lat", "lon")) / weights.sum()
        want = days.sel(lat=32.5, lon=62.5)
        np.testing.assert_allclose(mean, want, rtol=5e-3)  # weights without the cosine of latitude


def test_existing_output_is_refused_before_anything_is_read(model: str, tmp_path: Path) -> None:
    target = tmp_path / "out.nc"
    target.write_text("mine")
    result = run("predict", tmp_path / "absent.nc", target, "--model", model)
    assert result.exit_code == 2
    assert result.stderr == f"Error: output {target} exists: give --overwrite to replace it\n"
    assert target.read_text() == "mine"


def test_overwrite(source: str, model: str, tmp_path: Path) -> None:
    target = tmp_path / "out.nc"
    target.write_text("old")
    assert run("predict", source, target, "--model", model, "--overwrite", *SMALL).exit_code == 0
    assert target.read_bytes()[:4] == b"\x89HDF"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "jja_asai"), "no model is named 'jja_asai'"),
        (("--members", 0), "0 is not in the range x>=1"),
        (("--seed", -1), "-1 is not in the range x>=0"),
        (("--sampler", "heun"), "'heun' is not one of"),
        (("--evaluations", 0), "0 is not in the range x>=1"),
    ],
)
def test_bad_options(source: str, tmp_path: Path, arguments: tuple[Any, ...], message: str) -> None:
    result = run("predict", source, tmp_path / "out.nc", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "out.nc").exists()


@pytest.mark.parametrize("content", [None, b"no netCDF at all"])
def test_bad_input_file(model: str, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "in.nc"
    if content is not None:
        path.write_bytes(content)
    result = run("predict", path, tmp_path / "out.nc", "--model", model)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.output


def test_pickle_as_model(source: str, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"\x80\x04" + bytes(64))
    result = run("predict", source, tmp_path / "out.nc", "--model", tmp_path / "m.pt")
    assert result.exit_code == 2
    assert "never opened" in result.stderr


def test_explain_prints_the_plan(source: str, model: str, tmp_path: Path) -> None:
    result = run("explain", source, "--model", model, "--members", 3, *SMALL)
    assert result.exit_code == 0, result.output
    assert "tiny" in result.stdout
    assert [p.suffix for p in sorted(tmp_path.iterdir())] == [".nc", ".safetensors"]


def test_models_shows_a_card(model: str, tiny_model: Downscaler) -> None:
    result = run("models", model)
    assert result.exit_code == 0
    assert result.stdout == f"{tiny_model.card}\n"


def test_models_lists_names() -> None:
    result = run("models")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(xdownscale.list_models())


def test_version_and_help() -> None:
    assert xdownscale.__version__ in run("--version").stdout
    for command in main.commands:
        result = run(command, "--help")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: main {command}")


def test_help_loads_no_torch() -> None:
    code = (
        "import sys; from xdownscale.cli import main; main(['predict', '--help'], standalone_mode=False);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_module_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xdownscale.cli", "predict", "absent.nc", "/absent/out.nc"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "Error: output /absent/out.nc: the folder /absent does not exist; make it first\n"
