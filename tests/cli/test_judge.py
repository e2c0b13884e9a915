"""`xdownscale evaluate`, from files to a table, a file, a page and a card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import xdownscale
from xdownscale.cli import main
from xdownscale.grid import G5NR, MERRA2, coarsening, refined

if TYPE_CHECKING:
    from pathlib import Path

    from xdownscale.models.downscaler import Downscaler

WINDOW = MERRA2.window((240, 5), (360, 6))


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Downscaler) -> Path:
    fine = refined(WINDOW, G5NR)
    values = np.exp(np.random.default_rng(5).normal(-2, 0.4, (3, *fine.shape)))
    a = coarsening(fine, WINDOW)
    time = np.datetime64("2005-07-01T12", "ns") + np.arange(3) * np.timedelta64(1, "D")
    for name, grid, data in (("fine", fine, values), ("coarse", WINDOW, np.stack([a(v) for v in values]))):
        coordinates = {"time": time, "lat": grid.y.values, "lon": grid.x.values}
        da = xr.DataArray(data, coordinates, ("time", "lat", "lon"), "DUEXTTAU", {"units": "1"})
        da.to_netcdf(tmp_path / f"{name}.nc")
    xdownscale.save(tiny_model, tmp_path / "model.safetensors", dtype="float16")
    return tmp_path


def run(folder: Path, *more: object) -> Result:
    given = [
        "evaluate", folder / "model.safetensors", "--coarse", folder / "coarse.nc", "--truth",
        folder / "fine.nc", "--first", 1, "--members", 2, "--intervals", 10, "--block", 1, *more,
    ]  # fmt: skip
    return CliRunner().invoke(main, [str(a) for a in given])


def test_table_file_page_and_card(folder: Path) -> None:
    before = xdownscale.load(folder / "model.safetensors")
    result = run(folder, "--out", folder / "out.nc", "--report", folder / "page.html", "--write")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split()[4:6] == ["cells", "crps_over_bicubic_mae"]
    assert [line.split()[0] for line in lines[1:]] == ["prediction", "nearest", "bilinear", "bicubic", "mean"]
    with xr.open_dataset(folder / "out.nc") as found:
        assert found.sizes["source"] == 5
        ratio = float(
            found.crps.sel(source="prediction", space="log") / found.mae.sel(source="bicubic", space="log")
        )
    assert float(lines[1].split()[5]) == pytest.approx(ratio, abs=1e-4)
    assert "<svg" in (folder / "page.html").read_text()
    after = xdownscale.load(folder / "model.safetensors")
    names = [row["name"] for row in after.card.scores]
    assert names == ["prediction", "nearest", "bilinear", "bicubic", "mean"]
    for name, weight in before.state().items():
        np.testing.assert_array_equal(weight, after.state()[name])
    assert (folder / "model.safetensors").stat().st_size < 1.1 * 2 * sum(
        w.numel() for w in before.state().values()
    ) + 60_000, "stored as halves as before"


def test_scores_of_smoothed_input_stand_beside_those_of_sharp(folder: Path) -> None:
    assert run(folder, "--write").exit_code == 0
    sharp = xdownscale.load(folder / "model.safetensors").card.scores
    for _ in range(2):  # the second time they are replaced
        result = run(folder, "--write", "--smoothing", 1)
        assert result.exit_code == 0, result.output
    scores = xdownscale.load(folder / "model.safetensors").card.scores
    assert scores[: len(sharp)] == sharp
    assert [row.get("smoothing") for row in scores] == [None] * len(sharp) + [1.0] * len(sharp)
    assert scores[1]["r2"] > scores[len(sharp) + 1]["r2"], "nearest interpolation of a smoother field"


def test_other_sources_stay_while_what_they_are_compared_with_does(folder: Path) -> None:
    """A box is scored by other evaluations, then by the first ones: rows of the whole stay till then."""

    def written(*more: object) -> list[tuple[str, object, str]]:
        result = run(folder, "--write", *more)
        assert result.exit_code == 0, result.output
        scores = xdownscale.load(folder / "model.safetensors").card.scores
        return [(row["name"], row["evaluations"], row["cells"]) for row in scores]

    whole = written("--evaluations", 2)
    box = ("--lat", *folder_box(folder))
    both = written("--evaluations", 4, *box)
    assert both[: len(whole)] == whole
    assert [row[0] for row in both[len(whole) :]] == [row[0] for row in whole]
    assert both[-1][2] != whole[0][2]
    assert written("--evaluations", 4, *box) == both, "replaced, not doubled"
    again = written("--evaluations", 2, *box)
    assert again == [both[len(whole)], ("prediction", 2, both[-1][2]), *both[len(whole) + 1 :]]


def folder_box(folder: Path) -> tuple[float, float]:
    """Bounds that leave out one row of coarse cells."""
    with xr.open_dataset(folder / "coarse.nc") as found:
        return float(found.lat[0]) - 0.1, float(found.lat[-2]) + 0.1


def test_outputs_are_kept(folder: Path) -> None:
    (folder / "out.nc").write_text("mine")
    result = run(folder, "--out", folder / "out.nc")
    assert result.exit_code == 2
    assert "give --overwrite" in result.stderr
    assert (folder / "out.nc").read_text() == "mine"


class TestRollOut:
    @pytest.fixture
    def days(self, tmp_path: Path, tiny_state: Downscaler) -> list[str]:
        fine = refined(WINDOW, G5NR)
        values = np.exp(np.random.default_rng(5).normal(-2, 0.4, (12, *fine.shape)))
        a = coarsening(fine, WINDOW)
        time = np.datetime64("2005-07-01T12", "ns") + np.arange(12) * np.timedelta64(1, "D")
        twin = np.stack([a(v) for v in values])
        for name, grid, data in (("fine", fine, values), ("coarse", WINDOW, twin)):
            coordinates = {"time": time, "lat": grid.y.values, "lon": grid.x.values}
            da = xr.DataArray(data, coordinates, ("time", "lat", "lon"), "DUEXTTAU", {"units": "1"})
            da.to_netcdf(tmp_path / f"{name}.nc")
        xdownscale.save(tiny_state, tmp_path / "model.safetensors")
        paths = [str(tmp_path / name) for name in ("model.safetensors", "coarse.nc", "fine.nc", "out.nc")]
        given = ["evaluate", paths[0], "--task", "rollout", "--coarse", paths[1], "--truth", paths[2]]
        return [*given, "--first", "2", "--days", "9", "--members", "2", "--out", paths[3]]

    def test_table_and_file(self, days: list[str]) -> None:
        result = CliRunner().invoke(main, days)
        assert result.exit_code == 0, result.output
        lines = [line.split() for line in result.stdout.splitlines()]
        assert lines[0][:4] == ["way", "part", "variance_ratio_first", "variance_ratio_last"]
        assert [line[:2] for line in lines[1:3]] == [
            ["autoregressive", "field"],
            ["autoregressive", "detail"],
        ]
        assert len(lines) == 1 + 3 * 2
        with xr.open_dataset(days[-1]) as found:
            one = found.sel(source="autoregressive", part="field")
            assert float(lines[1][2]) == pytest.approx(float(one.variance_ratio.mean()), abs=1e-4)

    def test_says_what_it_would_do(self, days: list[str]) -> None:
        result = CliRunner().invoke(main, [*days, "--dry-run"])
        assert result.exit_code == 0
        assert "autoregressive, independent, persistence" in result.stdout

    def test_one_task_at_a_time(self, days: list[str]) -> None:
        result = CliRunner().invoke(main, [*days, "--write"])
        assert result.exit_code == 2
        assert "--task rollout judges one MODEL, without --report, --write and --smoothing" in result.stderr
