"""Patches: seams, agreement with one patch for the whole field, and what averaging finished patches loses.

    python benchmarks/merging.py MODEL STORE [--day 20] [--box 30 66 20 70] [--members 8]

On one day of a nature run: the rms difference of the field merged from 256-cell patches to the field in one
piece, over the members' spread; the jumps of the residual's gradient, and the members' spread, at patch
borders over those elsewhere, beside the same of the field in one piece (dust is no smoother where a border
happens to lie); and the share of the residual's variance that `merge="final"` keeps, with the
patches of `Tiling(patch=256)` and with the paper's (16 cells, stride 2, halo 4), beside merging in every
step.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import torch

from xdownscale import Tiling, load
from xdownscale.data.nature_run import open_coarse
from xdownscale.grid import Grid, refined, upsampling
from xdownscale.inference.day import lay
from xdownscale.inference.engine import Options, draw
from xdownscale.noise import instant

PAPER = Tiling(patch=16, halo=4, ramp=4, stride=2, merge="final", batch=64)


def main() -> None:
    asked = arguments()
    torch.set_num_threads(asked.threads)
    model = load(asked.model)
    coarse = open_coarse(asked.store).DUEXTTAU.load()[: asked.day + 1]
    box = coarse[:, asked.box[0] : asked.box[1], asked.box[2] : asked.box[3]]
    patched, whole = (
        members(model, box, asked.members, tiling) for tiling in (Tiling(patch=256), Tiling(patch=None))
    )
    spread = np.sqrt(patched.var(axis=0, ddof=1).mean())
    difference = np.sqrt(((patched - whole) ** 2).mean()) / spread
    print(f"256-cell patches against one piece: rms difference / spread {difference:.2e}")
    found, own = seams(model, box, patched), seams(model, box, whole)
    for name, merged, one in zip(("roughness", "spread"), found, own, strict=True):
        print(
            f"{name} at patch borders over elsewhere: {merged:.4f} merged, {one:.4f} in one piece, "
            f"which has no borders: ratio {merged / one:.4f}"
        )
    small = coarse[:, asked.box[0] : asked.box[0] + 8, asked.box[2] : asked.box[2] + 8]
    for name, tiling, part in (
        ("256 cells", Tiling(patch=256, merge="final"), box),
        ("the paper's, 16 cells", PAPER, small),
    ):
        step = members(model, part, asked.members, Tiling(patch=None))
        kept = (
            members(model, part, asked.members, tiling).var(axis=0, ddof=1).mean()
            / step.var(axis=0, ddof=1).mean()
        )
        print(
            f"merge='final', {name}: keeps {kept:.3f} of the members' variance that merging in every step has"
        )


def members(model, box, count: int, tiling: Tiling):
    """Log fields of the last day, shape (members, NY, NX)."""
    grid = located(model, box)
    options = Options(tuple(range(count)), 7, "draw", model.sampler, tiling)
    instants = [instant(t) for t in box.time.values]
    drawn = draw(
        model,
        box.values.astype(np.float64),
        grid,
        instants,
        replace(options, conserve=False),
        days=[len(instants) - 1],
    )
    return np.log(drawn.values[:, 0].astype(np.float64) + model.card.scaling["floor"])


def seams(model, box, fields) -> tuple[float, float]:
    """Second differences and spread on the borders between patches, over those elsewhere."""
    grid = located(model, box)
    fine, tiling = refined(grid, model.fine), Tiling(patch=256)
    line = lay(model, grid, tiling).x
    borders = [s + 256 - tiling.halo - tiling.ramp // 2 - fine.x.start for s in line.starts[:-1]]
    near = np.unique([b + k for b in borders for k in range(-tiling.ramp // 2, tiling.ramp // 2 + 1)])
    near = near[(near > 1) & (near < fine.x.size - 2)]
    residual = fields - upsampling(grid, fine, "cubic")(
        np.log(box.values[-1].astype(np.float64) + model.card.scaling["floor"])
    )
    jump = np.sqrt((np.diff(residual, n=2, axis=-1) ** 2).mean(axis=(0, 1)))
    width = np.sqrt(fields.var(axis=0, ddof=1).mean(axis=0))
    around = np.setdiff1d(np.arange(near.min() - 40, near.max() + 41), near)
    around = around[(around > 1) & (around < fine.x.size - 2)]
    return float(jump[near - 1].mean() / jump[around - 1].mean()), float(
        width[near].mean() / width[around].mean()
    )


def located(model, box) -> Grid:
    """The box's window of the coarse grid."""
    return Grid(model.coarse.y.locate(box.lat.values), model.coarse.x.locate(box.lon.values))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("store")
    parser.add_argument("--day", type=int, default=20)
    parser.add_argument(
        "--box", type=int, nargs=4, default=(30, 66, 20, 70), metavar=("ROW", "ROW", "COLUMN", "COLUMN")
    )
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
