"""`benchmarks/baselines.py`: a tiny run on records of noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import baselines
import pytest
from transfer_map import SMALL

import xdownscale

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore")


def test_all_are_trained_once_and_judged_on_the_same_days(noisy_world: Path, tmp_path: Path) -> None:
    for path in noisy_world.glob("*.npz"):
        (tmp_path / path.name).symlink_to(path)
    table = {row["name"]: row for row in baselines.judged(tmp_path, tmp_path, SMALL, 2)}
    assert {"prediction", "bicubic", "small_ddpm", "unet", "vae", "unet_small", "quantile_mapping"} <= set(
        table
    )
    assert {row["days"] for row in table.values()} == {SMALL.judged}
    assert {name: table[name]["members"] for name in ("prediction", "vae", "unet")} == {
        "prediction": SMALL.members, "vae": SMALL.members, "unet": 1,
    }  # fmt: skip
    for name, row in table.items():
        if name != "prediction":
            ratio = table["prediction"]["crps_over_bicubic_mae"] / row["crps_over_bicubic_mae"]
            assert row["skill"] == pytest.approx(1 - ratio, abs=1e-3), name
    cards = {name: xdownscale.load(tmp_path / f"{name}.safetensors").card for name in baselines.RIVALS}
    assert {name: card.process for name, card in cards.items()} == baselines.RIVALS
    before = {name: (tmp_path / f"{name}.safetensors").stat().st_mtime_ns for name in baselines.RIVALS}
    again = {row["name"]: row for row in baselines.judged(tmp_path, tmp_path, SMALL, 2)}
    assert again == table
    assert before == {n: (tmp_path / f"{n}.safetensors").stat().st_mtime_ns for n in baselines.RIVALS}
