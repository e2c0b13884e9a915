"""`xdownscale demo`, with a small model in the place of the bundled one."""

from __future__ import annotations

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
    return CliRunner().invoke(main, ["demo", *map(str, arguments)])


@pytest.fixture
def model(tiny_model: Downscaler, tmp_path: Path) -> Path:
    xdownscale.save(tiny_model, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


@pytest.fixture
def _small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """A corner of the sample: the demo's own size is for `make demo`."""
    from xdownscale.data import sample

    corner = sample.open_sample().isel(lat=slice(20, 32), lon=slice(20, 32)).load()
    monkeypatch.setattr(sample, "open_sample", lambda: corner)


@pytest.mark.usefixtures("_small_sample")
def test_demo_writes_a_field_and_a_figure(model: Path, tmp_path: Path) -> None:
    from xdownscale.data.sample import open_sample

    out = tmp_path / "a" / "b"
    result = run("--out", out, "--model", model)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in out.iterdir()) == ["demo.nc", "demo.png"]
    assert (out / "demo.png").read_bytes().startswith(b"\x89PNG")
    with xr.open_dataset(out / "demo.nc") as found:
        assert found.sizes["realization"] == 2
        assert found.DUEXTTAU.dtype == np.float32
        assert found.sizes["time"] == open_sample().sizes["time"]
    again = run("--out", out, "--model", model)
    assert again.exit_code == 2
    assert "give --overwrite" in again.stderr
    assert run("--out", out, "--model", model, "--overwrite").exit_code == 0


def test_one_member_has_no_spread(tmp_path: Path) -> None:
    result = run("--out", tmp_path, "--members", 1)
    assert result.exit_code == 2
    assert "1 is not in the range x>=2" in result.stderr
