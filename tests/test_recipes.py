"""The recipes are configurations that exist; the paper's is trained and drawn, tiny."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xdownscale
from xdownscale import PretrainConfig, TrainConfig
from xdownscale.grid import G5NR, MERRA2, Grid, coarsening, refined

RECIPES = Path(__file__).parents[1] / "recipes"
PAPER = RECIPES / "paper"
CONFIGURATIONS = sorted(
    path for path in RECIPES.glob("*/*") if path.stem in ("pretrain", "train", "mean", "distil")
)
COARSE = MERRA2.window((240, 9), (360, 9))


def read(path: Path) -> dict[str, Any]:
    text = path.read_text()
    content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}


@pytest.fixture(scope="module")
def records() -> tuple[xr.DataArray, xr.DataArray]:
    """A coarse and a fine record of 480 days of noise."""
    fine = refined(COARSE, G5NR)
    values = np.random.default_rng(0).lognormal(-2, 0.5, (480, *fine.shape)).astype(np.float32)
    mean = coarsening(fine, COARSE)
    days = np.datetime64("2006-05-20T12", "ns") + np.arange(480) * np.timedelta64(1, "D")
    return labelled(np.stack([mean(day) for day in values]), COARSE, days), labelled(values, fine, days)


def labelled(values: np.ndarray, grid: Grid, days: np.ndarray) -> xr.DataArray:
    places = {"time": days, "lat": grid.y.values, "lon": grid.x.values}
    return xr.DataArray(values, places, ("time", "lat", "lon"), "DUEXTTAU", {"units": "1"})


@pytest.mark.skipif(not RECIPES.exists(), reason="no checkout: recipes are not installed")
class TestRecipes:
    @pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda p: f"{p.parent.name}/{p.name}")
    def test_are_configurations(self, path: Path) -> None:
        config = PretrainConfig if path.stem == "pretrain" else TrainConfig
        content = read(path)
        assert {k: getattr(config(**content), k) for k in content} == content

    def test_the_papers(self, records: tuple[xr.DataArray, xr.DataArray]) -> None:
        """40 days, 16 x 16 patches, past fine days through the frozen encoder, ancestral steps, stride 2."""
        first = replace(PretrainConfig(**read(PAPER / "pretrain.toml")), steps=2, batch=2, channels=(4, 4, 4))
        config = TrainConfig(**read(PAPER / "train.toml"))
        assert (first.history, first.crop, config.crop, config.sees) == (40, 16, 16, "fine")
        tiny = replace(first, crop=8)  # the record of this test is nine cells wide
        encoder = xdownscale.pretrain(records[0], config=tiny)
        config = replace(config, steps=2, batch=4, channels=(8, 8, 8), blocks=1)
        model = xdownscale.train(*records, encoder, config=config, card={"name": "paper"})
        assert (model.past, model.history, model.card.process) == (40, 1, "ddpm")
        assert model.card.encoder_digest == encoder.digest
        asked = read(PAPER / "predict.toml")
        sampler = xdownscale.Sampler(asked.pop("sampler"), asked.pop("evaluations"))
        assert sampler.evaluations == 1000
        sampler.check(model.schedule)
        cut = xdownscale.Tiling(
            **{k: asked.pop(k) for k in ("patch", "halo", "ramp", "stride", "merge", "batch")}
        )
        coarse = records[0].isel(time=[-1], lat=slice(3, 6), lon=slice(3, 6))
        fine = refined(MERRA2.window((243, 3), (363, 3)), G5NR)
        past = records[1].sel(lat=fine.y.values, lon=fine.x.values, method="nearest")[:-1]
        few = {"sampler": replace(sampler, evaluations=2), "tiling": cut, "domain_check": "ignore"}
        drawn = xdownscale.predict(coarse, model, state=past, **few, **asked)
        assert drawn.shape == (1, 1, *fine.shape)
        assert bool(np.isfinite(drawn).all())
