"""`benchmarks/paper_recipe.py`: a tiny run on records of noise, what it counts, and what the recipe sees."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import draws
import numpy as np
import paper_recipe
import pytest
import torch
from networks import options
from transfer_map import SMALL, World

from xdownscale import Sampler, Tiling, load
from xdownscale.inference.day import lay

if TYPE_CHECKING:
    from pathlib import Path

    from xdownscale.models.downscaler import Downscaler

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not paper_recipe.RECIPE.exists(), reason="no checkout: recipes are not installed"),
]


@pytest.fixture(scope="module")
def folder(noisy_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one's own with the records."""
    own = tmp_path_factory.mktemp("paper")
    for path in noisy_world.glob("*.npz"):
        (own / path.name).symlink_to(path)
    return own


@pytest.fixture(scope="module")
def asked(folder: Path) -> Any:
    given = ["--small", "--size", "16", "--members", "2", "--days", "1"]
    return paper_recipe.arguments([str(folder), *given])


@pytest.fixture(scope="module")
def found(asked: Any) -> dict[str, Any]:
    return json.loads(json.dumps(paper_recipe.compared(asked)))


@pytest.fixture(scope="module")
def paper(found: dict[str, Any], folder: Path) -> Downscaler:
    return load(folder / "paper-2.safetensors")


@pytest.fixture(scope="module")
def scene(paper: Downscaler, folder: Path) -> Any:
    return paper_recipe.Scene.of(World(folder, SMALL), paper, 16, 1)


def test_rows(found: dict[str, Any]) -> None:
    names = ["recipe, ddpm 3", "layout, dpmpp 16", "ours, fast 2", "bicubic"]
    assert [row["name"] for row in found["rows"]] == names
    for row in found["rows"]:
        numbers = [v for k, v in row.items() if k not in ("name", "by_day", "power")]
        assert np.isfinite([*numbers, *row.get("by_day", []), *filter(None, row["power"])]).all()
        assert row["power"][0] is None, "the window holds no wave of 32 cells"
    *drawn, bicubic = found["rows"]
    assert (bicubic["crps_over_bicubic_mae"], bicubic["variance_kept"]) == (1.0, 0.0)
    assert all(row["spread_skill"] > 0 and row["seconds_a_member"] > 0 for row in drawn)
    lines = paper_recipe.table(found["rows"]).splitlines()
    assert len(lines) == 6
    assert len({line.count("|") for line in lines}) == 1


def test_it_is_the_papers(found: dict[str, Any], scene: Any, paper: Downscaler) -> None:
    told = found["training"]["config"]
    wanted = {"sees": "fine", "process": "ddpm", "crop": 16, "batch": 64, "transfer": "frozen"}
    assert {k: told[k] for k in wanted} == wanted
    reference, tiling = paper_recipe.recipe(paper, None)
    assert (reference.sampler, tiling) == (Sampler("ddpm", 1000), draws.PAPER)
    assert paper.past == SMALL.pretrain.history
    assert scene.judged == [paper.past + paper_recipe.AFTER]


def test_what_is_looked_at(found: dict[str, Any], scene: Any, paper: Downscaler) -> None:
    """Patches of 256 cells at every step; or the field and its margins at every evaluation."""
    tiling, cells = draws.PAPER, scene.fine[0].size
    patches = np.prod([(n - tiling.patch) // tiling.stride + 1 for n in lay(paper, scene.grid, tiling).shape])
    wide, usual = (np.prod(lay(paper, scene.grid, t).shape) for t in (Tiling(patch=None), Tiling()))
    looked = [row["evaluations_a_cell"] for row in found["rows"][:3]]
    assert looked == pytest.approx([3 * patches * 256 / cells, 16 * wide / cells, 2 * usual / cells])


def test_patches_and_members_have_noise_of_their_own(found: dict[str, Any], asked: Any) -> None:
    (kept,) = (asked.folder / "kept").iterdir()
    groups = [torch.load(path, weights_only=True)["x0"] for path in sorted(kept.iterdir())]
    each = len(groups) // 2
    first, second = torch.cat(groups[:each]), torch.cat(groups[each:])
    assert first.shape == second.shape
    assert (first - second).abs().amax(dim=(1, 2, 3)).min() > 0.1
    assert (first[0, 0, :, 2:] - first[1, 0, :, :-2]).abs().max() > 0.1


def test_a_run_that_was_stopped_goes_on(found: dict[str, Any], asked: Any, capsys: Any) -> None:
    (kept,) = (asked.folder / "kept").iterdir()
    (kept / "00001.pt").unlink()
    again = paper_recipe.compared(asked)
    assert capsys.readouterr().err.count("group") == 1
    for row, other in zip(found["rows"], again["rows"], strict=True):
        assert {k: v for k, v in row.items() if k != "seconds_a_member"} == {
            k: v for k, v in other.items() if k != "seconds_a_member"
        }


def test_it_sees_the_fine_days_before_and_not_today(scene: Any, paper: Downscaler, tmp_path: Path) -> None:
    chosen = options(paper, members=(0, 1), tiling=Tiling(patch=None), sampler=Sampler("dpmpp", 4))
    (today,) = scene.judged
    hidden, other = scene.fine.copy(), scene.fine.copy()
    hidden[today:], other[today - 1] = np.nan, 3.0
    scores = [
        replace(scene, fine=fine).row("", paper, chosen, tmp_path)["by_day"]
        for fine in (scene.fine, hidden, other)
    ]
    assert scores[0] == scores[1]
    assert scores[0] != scores[2]
