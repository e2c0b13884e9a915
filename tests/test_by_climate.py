"""`benchmarks/by_climate.py`: groups of equal area, and a truth that is one of the members."""

from __future__ import annotations

from typing import TYPE_CHECKING

import by_climate
import numpy as np
import pytest
import xarray as xr

from xdownscale import predict
from xdownscale.checkpoint import save
from xdownscale.grid import G5NR, MERRA2, refined
from xdownscale.models.baselines import climatology
from xdownscale.models.climatology import Climatology
from xdownscale.models.downscaler import Downscaler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xdownscale.models.card import Card

WINDOW = MERRA2.window((240, 6), (360, 7))
FINE = refined(WINDOW, G5NR)
DAYS = 6


def test_groups_have_equal_areas_and_rise() -> None:
    rng = np.random.default_rng(2)
    values, area = rng.normal(size=(60, 50)), rng.uniform(0.5, 1.0, (60, 50))
    group = by_climate.grouped(values, area, 4)
    np.testing.assert_allclose(np.bincount(group.ravel(), area.ravel()) / area.sum(), 0.25, atol=1e-3)
    assert all(values[group == n].max() < values[group == n + 1].min() for n in range(3))
    tied = by_climate.grouped(np.where(values < 0.5, 0.0, values), area, 4)
    assert np.unique(tied).tolist() == list(range(tied.max() + 1)), "no group is empty"


def test_faults_of_either_sign_cancel_in_all_cells() -> None:
    """Members too wide where cells are calm, too narrow elsewhere: the last line shows neither."""
    rng = np.random.default_rng(3)
    group = np.repeat([0, 1], 20_000).reshape(2, -1)
    wide = np.where(group == 0, 1 / 0.8, 0.8)
    days = [
        by_climate.Counted.of(
            wide * rng.normal(size=(8, *group.shape)),
            rng.normal(size=group.shape),
            np.ones(group.shape),
            group,
            n,
        )
        for n in range(DAYS)
    ]
    lines = by_climate.table(days, ["calm", "lively"])[2:]
    calm, lively, every = ([cell.split()[0] for cell in line.split("|")[2:-1]] for line in lines)
    assert float(calm[2]) < -0.1 < 0.1 < float(lively[2])
    assert abs(float(every[2])) < abs(float(lively[2])) / 2
    # of members of width s and a truth of width 1: sqrt((M + 1)/M s**2 / (1 + s**2/M))
    for found, s in ((calm, 1 / 0.8), (lively, 0.8)):
        assert float(found[0]) == pytest.approx(np.sqrt(9 / 8 * s**2 / (1 + s**2 / 8)), abs=0.01)


@pytest.fixture
def model(make_card: Callable[..., Card]) -> Downscaler:
    """The residual's climatology without a network."""
    deviation = np.broadcast_to(np.linspace(-2.5, -0.5, FINE.shape[1]), FINE.shape)
    known = Climatology.of(np.stack([np.zeros(FINE.shape), deviation]), FINE)
    parts = make_card().architecture | {"climatology": known.to_dict(), "encoder": None}
    card = make_card(architecture=parts, statics=("climatology", "season"))
    return climatology(Downscaler(card, Downscaler.build(card).denoiser, climatology=known))


def test_a_truth_that_is_a_member_has_flat_ranks(
    model: Downscaler, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    time = np.datetime64("2005-07-01T12", "ns") + np.arange(DAYS) * np.timedelta64(1, "D")
    values = np.exp(np.random.default_rng(5).normal(-2, 0.4, (DAYS, *WINDOW.shape)))
    coordinates = {"time": time, "lat": WINDOW.y.values, "lon": WINDOW.x.values}
    attrs = {"units": "1", "standard_name": model.card.standard_name, "cell_methods": "time: mean"}
    coarse = xr.DataArray(values, coordinates, ("time", "lat", "lon"), "DUEXTTAU", attrs)
    truth = predict(coarse, model, members=1, seed=99, domain_check="ignore").isel(realization=0, drop=True)
    run, checkpoint = tmp_path / "run.zarr", tmp_path / "climatology.safetensors"
    save(model, checkpoint)
    coarse.to_dataset().to_zarr(run / "coarse", consolidated=False)
    truth.drop_attrs().to_dataset(name="DUEXTTAU").to_zarr(run, consolidated=False, mode="a")
    every = ["--first", "0", "--every", "1", "--members", "8", "--groups", "3"]
    by_climate.main([str(checkpoint), str(run), *every])
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    lines = [line.split("|")[1:-1] for line in printed[1:]]
    assert [line[0].strip() for line in lines][-1] == "all"
    assert len(lines) == 4
    edges = [float(end) for line in lines[:-1] for end in line[0].split(" to ")]
    assert edges == sorted(edges)
    assert edges[0] == pytest.approx(np.exp(-2.5), rel=0.01)
    for line in lines:
        ratio, *shares = (float(cell.split()[0]) for cell in line[1:6])
        assert ratio == pytest.approx(1.0, abs=0.1)
        assert max(map(abs, shares)) < 0.1


def test_a_model_without_climatology_is_refused(tiny_model: Downscaler, tmp_path: Path) -> None:
    save(tiny_model, tmp_path / "m.safetensors")
    with pytest.raises(SystemExit, match="carries no climatology"):
        by_climate.main([str(tmp_path / "m.safetensors"), str(tmp_path / "none.zarr")])


@pytest.mark.parametrize("few", [["--members", "5"], ["--first", "9"]])
def test_too_little_is_refused(
    few: list[str], model: Downscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(model, tmp_path / "m.safetensors")
    ten = xr.DataArray(np.ones((10, 2, 2)), dims=("time", "lat", "lon"))
    monkeypatch.setattr(by_climate, "record", lambda *_: ten)
    with pytest.raises(SystemExit, match="expected at least 2 days and 6 members"):
        by_climate.main([str(tmp_path / "m.safetensors"), str(tmp_path / "none.zarr"), *few])
