"""The models that the package brings: whole, small, plain about what they are, and one encoder for all."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import xarray as xr

import xdownscale
from xdownscale.checkpoint import read_card
from xdownscale.grid import MERRA2

NAMES = ("djf_asia", "jja_asia", "mam_asia", "son_asia")


def path(name: str):  # type: ignore[no-untyped-def]
    return files("xdownscale") / "models" / "bundled" / f"{name}.safetensors"


def test_the_seasons_cover_the_year_once() -> None:
    cards = xdownscale.list_models()
    assert set(NAMES) <= set(cards)
    assert sorted(month for name in NAMES for month in cards[name].months) == list(range(1, 13))


@pytest.mark.parametrize("name", NAMES)
def test_card(name: str) -> None:
    assert path(name).stat().st_size <= 8_000_000
    card = read_card(path(name))
    assert card.synthetic
    assert "nature run" in card.training["data"]
    assert any("simulated dust" in text for text in card.limitations)
    assert {"2", "4", "8"} <= set(card.inflation)
    assert 0 < card.day_correlation < 0.9
    assert card.encoder_digest == read_card(path("jja_asia")).encoder_digest
    assert card.scores, "scores are measured, and on the card"


@pytest.mark.parametrize("name", NAMES)
def test_draws_a_day_of_its_season(name: str) -> None:
    """A smooth field stays within its bounds, keeps its mean, and has a spread."""
    model = xdownscale.load(path(name))
    grid = MERRA2.window((240, 4), (370, 4))
    y = 0.3 + 0.05 * np.random.default_rng(0).random(grid.shape)

    month = model.card.months[-1]
    coarse = xr.DataArray(
        y[None],
        {
            "time": [np.datetime64(f"2005-{month:02d}-15T12", "ns")],
            "lat": ("lat", grid.y.values, {"units": "degrees_north"}),
            "lon": ("lon", grid.x.values, {"units": "degrees_east"}),
        },
        ("time", "lat", "lon"),
        name="DUEXTTAU",
        attrs={"units": "1", "standard_name": model.card.standard_name},
    )
    fine = coarse.downscale.predict(model, members=3, domain_check="ignore")
    assert float(fine.mean()) == pytest.approx(float(y.mean()), rel=0.05)
    assert 0.005 < float(fine.std("realization").mean()) < 0.3
    assert float(fine.min()) >= 0
