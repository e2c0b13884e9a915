"""The paper's recipe as it is (arXiv 2512.05139), trained small, and scored beside ours in the same world.

    python benchmarks/paper_recipe.py FOLDER [--twin FLOW] [--steps 1200] [--members 4] [--days 2] [--size 64]
        [--kept DIR] [--out FILE.json] [--small]

FOLDER is that of `transfer_map.py`: its records are taken (they are simulated if they are not there), and the
recipe's encoder and network are kept in it. They are `recipes/paper/*.toml` but for their size, which is the
twins', and their steps: an encoder taught 40 coarse days -> the next, frozen, that looks at the 40 fine days
before the one drawn; ddpm; 64 crops of 16 x 16 a step, half as many cells as a step of the twins has. FLOW is
our network of the same size (`twins.py`; it is made in FOLDER if it is not given), which sees no fine day.

Drawn are unseen days, a window of SIZE fine cells a side in whole coarse cells; one coarse cell more on each
side is drawn and not scored, since no fine day is known beyond what is drawn:

    recipe   16 x 16 patches every 2 cells, each sampled to its end with its own noise in 1000 ancestral
             steps, averaged with Hann weights; not conserving; told the true fine days before
    layout   the same network and fine days, one field merged in every step, dpmpp 16, not conserving
    ours     FLOW by its default sampler, conserving

All in log space, ln(AOD + floor), area-weighted, pooled over the days: fair CRPS over the MAE of bicubic
interpolation; spread/skill; variance of the detail (what the interpolated coarse field does not give) over
that of the truth's; power over the truth's by wavelength in fine cells, mean of both directions; and, by the
cells drawn, the cells that networks looked at; processor seconds of a member of a day. The recipe's finished
patches are kept in DIR (FOLDER/kept by default) with the seconds they took: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from dataclasses import dataclass, fields
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import twins
from draws import Kept
from measure import both_clocks
from networks import ancestral, counted, located, options, sampling
from transfer_map import SMALL, Size, World

import xdownscale
from xdownscale import PretrainConfig, Sampler, Tiling, TrainConfig, pretrain, save, train
from xdownscale.diagnostics import band_ratio, crps, power
from xdownscale.grid import Grid, refined, upsampling
from xdownscale.inference import engine
from xdownscale.inference.sequence import Past
from xdownscale.nn.encoder import digest
from xdownscale.training import Pretrained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xdownscale.models.downscaler import Downscaler

RECIPE = Path(__file__).parents[1] / "recipes" / "paper"
BANDS = (64, 32, 16, 8)
MARGIN = 1
AFTER = 4  # the first day that may be judged is the last of 45 where 40 are looked back on


def main() -> None:
    asked = arguments()
    torch.set_num_threads(1)
    found = compared(asked)
    print(table(found["rows"]))
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1))


def compared(asked: argparse.Namespace) -> dict[str, Any]:
    """The rows of the table, and what they are of."""
    world, steps = World(asked.folder, SMALL if asked.small else Size()), 2 if asked.small else asked.steps
    paper = network(world, steps)
    ours = xdownscale.load(asked.twin or twins.make(asked.folder, world.size, steps)["flow"])
    scene = Scene.of(world, paper, asked.size, asked.days)
    reference, tiling = recipe(paper, 3 if asked.small else None)
    told = {"members": tuple(range(asked.members)), "conserve": False}
    plans = {
        "recipe": (reference, options(reference, tiling=tiling, **told)),
        "layout": (paper, options(paper, tiling=Tiling(patch=None), sampler=Sampler("dpmpp", 16), **told)),
        "ours": (ours, options(ours, members=told["members"])),
    }
    rows = [scene.row(name, *plan, asked.kept or asked.folder / "kept") for name, plan in plans.items()]
    about = {"days": [str(d) for d in scene.dates], "members": asked.members, "scored": scene.truth.shape[1:]}
    return about | {"training": paper.card.training, "rows": [*rows, scene.interpolated()]}


def read(name: str) -> dict[str, Any]:
    """A file of the recipe."""
    content = tomllib.loads((RECIPE / f"{name}.toml").read_text())
    return {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}


def encoder(world: World) -> Pretrained:
    """The recipe's encoder, of the size of the map's; trained if it is not in the folder."""
    path, names = world.folder / "paper-encoder.safetensors", ["steps", "batch", "channels", "precision"]
    if not path.exists():
        names += ["history", "crop"] if world.size is SMALL else []
        config = PretrainConfig(**(read("pretrain") | {k: getattr(world.size.pretrain, k) for k in names}))
        taught = pretrain(world.field("record", "coarse"), config=config, folder=path.with_suffix(""))
        taught.save(path)
        print(f"{path.name}: {taught.info['validation_l1']:.4f}, trivially {taught.info['trivial_l1']:.4f}")
    return Pretrained.load(path)


def network(world: World, steps: int) -> Downscaler:
    """The recipe's network, of the size of the twins'; trained if it is not in the folder."""
    path, size = world.folder / f"paper-{steps}.safetensors", world.size.train
    if not path.exists():
        channels = size.channels if world.size is SMALL else twins.CHANNELS
        shared = {"channels": channels, "blocks": size.blocks, "ema": 0.99, "precision": size.precision}
        config = TrainConfig(**(read("train") | shared | {"steps": steps}))
        about = {"data": "xdownscale nature run, a box of two summers and winters", "synthetic": True}
        card = {"name": "paper", "training": about}
        given = *(world.field("train", kind) for kind in ("coarse", "fine")), encoder(world)
        wall, spent, model = both_clocks(
            lambda: train(*given, config=config, card=card, folder=path.with_suffix(""))
        )
        save(model, path)
        print(f"{path.name}: {wall:.0f} s, {spent:.0f} s of processor", flush=True)
    return xdownscale.load(path)


def recipe(model: Downscaler, steps: int | None) -> tuple[Downscaler, Tiling]:
    """The network by the recipe's own sampler, and its patches."""
    asked = read("predict")
    tiling = Tiling(**{f.name: asked[f.name] for f in fields(Tiling) if f.name in asked})
    return ancestral(model, steps or asked["evaluations"]), tiling


@dataclass(frozen=True, eq=False)
class Scene:
    """Unseen days on a window, and their truth.

    Attributes
    ----------
    coarse : ndarray, shape (time, ny, nx)
        What is drawn from, a margin included.
    grid : Grid
        Its window of the coarse grid.
    instants : list of int [microseconds since 1970]
    fine : ndarray, shape (time, NY, NX)
        The truth of what is drawn.
    judged : list of int
        Positions of the days that are drawn.
    floor : float
        Of the logarithm.
    inner : (slice, slice)
        The fine cells that are scored.
    base, truth : ndarray, shape (days, ny, nx)
        Interpolated coarse field and truth, in log space, where it is scored.
    area : ndarray, shape (ny, nx)
    """

    coarse: NDArray[np.float64]
    grid: Grid
    instants: list[int | None]
    fine: NDArray[np.float32]
    judged: list[int]
    floor: float
    inner: tuple[slice, slice]
    base: NDArray[np.float64]
    truth: NDArray[np.float64]
    area: NDArray[np.float64]

    @classmethod
    def of(cls, world: World, model: Downscaler, size: int, days: int) -> Scene:
        """A window amid the box, on days evenly apart that have the fine days before them."""
        coarse, fine = (world.field("test", kind) for kind in ("coarse", "fine"))
        shape = max(2, size // 8), max(2, round(size / 10))
        rows, columns = (
            slice((n - m) // 2 - MARGIN, (n - m) // 2 + m + MARGIN)
            for n, m in zip(coarse.shape[1:], shape, strict=True)
        )
        values, grid, instants = located(model, coarse[:, rows, columns])
        drawn, scored = (refined(g, model.fine) for g in (grid, _within(grid, model.coarse)))
        truth = fine.sel(lat=drawn.y.values, lon=drawn.x.values, method="nearest").values
        judged = [int(d) for d in np.linspace(model.past + AFTER, len(values) - 1, days)]
        floor, inner = model.card.scaling["floor"], _inside(scored, drawn)
        up = upsampling(grid, drawn, "cubic")
        base = np.stack([up(np.log(values[d] + floor))[inner] for d in judged])
        right = np.log(truth[judged].astype(float) + floor)[:, *inner]
        area = np.broadcast_to(scored.area, scored.shape)
        return cls(values, grid, instants, truth, judged, floor, inner, base, right, area)

    @property
    def dates(self) -> list[np.datetime64]:
        """The days that are drawn."""
        return [np.datetime64(self.instants[d], "us").astype("M8[D]") for d in self.judged]

    def row(self, name: str, model: Downscaler, chosen: engine.Options, kept: Path) -> dict[str, Any]:
        """Draw all days, score them, and count what it took."""
        found = [self._draw(model, chosen, day, kept) for day in self.judged]
        members = np.log(np.stack([field for field, *_ in found]).astype(float) + self.floor)
        draws = len(self.judged) * len(chosen.members)
        cost = {
            "evaluations_a_cell": sum(cells for _, cells, _ in found) / draws / self.fine[0].size,
            "seconds_a_member": sum(seconds for *_, seconds in found) / draws,
        }
        how = f"{name}, {chosen.sampler.name} {chosen.sampler.evaluations}"
        return {"name": how} | self._scores(members[:, :, *self.inner]) | cost

    def _draw(
        self, model: Downscaler, chosen: engine.Options, day: int, kept: Path
    ) -> tuple[NDArray[np.float32], int, float]:
        """Members of a day, cells that were looked at, and processor seconds; patches by patches if final."""
        past = Past(self.fine, tuple(self.instants)) if model.past else None
        job = partial(
            engine.draw, model, self.coarse, self.grid, self.instants, chosen, days=[day], past=past
        )
        if chosen.tiling.merge != "final":
            with counted() as cells:
                _, spent, drawn = both_clocks(job)
            return drawn.values[:, 0], sum(cells), spent
        size = "x".join(map(str, self.fine.shape[1:]))
        key = f"{digest(model.denoiser)[:8]}-{size}-{day}-{chosen.sampler.evaluations}"
        store = Kept(kept / key)
        with sampling(store) as store.sample, counted() as cells:
            _, spent, drawn = both_clocks(job)
        return drawn.values[:, 0], sum(cells) + store.cells, spent + store.processor

    def _scores(self, members: NDArray[np.float64]) -> dict[str, Any]:
        """Of log fields, shape (days, members, ny, nx)."""
        n, pairs = members.shape[1], list(zip(members, self.truth, strict=True))
        spread = np.mean([self._mean(m.var(axis=0, ddof=1)) for m, _ in pairs])
        error = np.mean([self._mean((m.mean(axis=0) - t) ** 2) for m, t in pairs])
        total = np.mean([crps(m, t, self.area) for m, t in pairs])
        return {
            "crps_over_bicubic_mae": float(total / self.mae),
            "spread_skill": float(np.sqrt((n + 1) / n * spread / error)),
            "by_day": [float(crps(m, t, self.area)) for m, t in pairs],
        } | self._likeness(members)

    def _likeness(self, members: NDArray[np.float64]) -> dict[str, Any]:
        """Variance of the detail, and power by band, over the truth's."""
        detail, right = members - self.base[:, None], self.truth - self.base
        ratios = []
        for axis in (-1, -2):
            k, ours = power(members, axis=axis)
            ratios.append(band_ratio(ours, power(self.truth, axis=axis)[1], k, BANDS))
        bands = [float(v) if np.isfinite(v) else None for v in np.mean(ratios, axis=0)]
        kept = float(detail.var(axis=(-2, -1)).mean() / right.var(axis=(-2, -1)).mean())
        return {"variance_kept": kept, "power": bands}

    def interpolated(self) -> dict[str, Any]:
        """The row of bicubic interpolation."""
        return {"name": "bicubic", "crps_over_bicubic_mae": 1.0} | self._likeness(self.base[:, None])

    @property
    def mae(self) -> float:
        """Of bicubic interpolation."""
        return float(np.mean([self._mean(abs(b - t)) for b, t in zip(self.base, self.truth, strict=True)]))

    def _mean(self, values: NDArray[np.float64]) -> float:
        return float(np.average(values, weights=self.area))


def _within(grid: Grid, whole: Grid) -> Grid:
    """A window without its margin."""
    y, x = ((line.start + MARGIN, line.size - 2 * MARGIN) for line in (grid.y, grid.x))
    return whole.window(y, x)


def _inside(small: Grid, large: Grid) -> tuple[slice, slice]:
    """Where a window lies in another."""
    first = small.y.start - large.y.start, small.x.start - large.x.start
    y, x = (slice(start, start + n) for start, n in zip(first, small.shape, strict=True))
    return y, x


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    bands = " | ".join(f"{low}-{high}" for high, low in pairwise(BANDS))
    heads = (
        "| | CRPS or MAE over bicubic's MAE | spread/skill | variance of the detail over the truth's "
        f"| {bands} | evaluations a fine cell | processor seconds a member |"
    )
    lines = [heads, "|" + "---|" * (heads.count("|") - 1)]
    for row in rows:
        numbers = [row["crps_over_bicubic_mae"], row.get("spread_skill"), row["variance_kept"], *row["power"]]
        shown = ["-" if v is None else f"{v:.3f}" for v in numbers]
        cost = [row.get("evaluations_a_cell"), row.get("seconds_a_member")]
        shown += ["-" if v is None else f"{v:,.3g}" if v < 100 else f"{v:,.0f}" for v in cost]
        lines.append(f"| {' | '.join([row['name'], *shown])} |")
    return "\n".join(lines)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where records, encoder and network are kept")
    parser.add_argument("--twin", type=Path, help="our network; made in FOLDER by default")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--size", type=int, default=64, help="fine cells a side that are scored")
    parser.add_argument(
        "--kept", type=Path, help="where the recipe's patches are kept; FOLDER/kept by default"
    )
    parser.add_argument("--out", type=Path, help="a JSON file of what was found")
    parser.add_argument("--small", action="store_true", help="a tiny version, to see that it runs")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
