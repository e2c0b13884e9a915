"""Two small networks of one architecture, for the paper's process and for ours, from the same days and steps.

    python benchmarks/twins.py FOLDER [--steps 1200] [--small]

FOLDER is that of `transfer_map.py`, whose training record is taken (it is simulated if it is not there).
Written to it: `ddpm.safetensors`, and `flow.safetensors`, which is distilled for a third of the steps and
calibrated on the last tenth of the days, its default sampler `fast`. With them the recipe is scored in full:

    python benchmarks/bench.py draw_paper_64 --network FOLDER/flow.safetensors --model FOLDER/ddpm.safetensors
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from transfer_map import SMALL, Size, World

import xdownscale
from xdownscale import calibrate, distil, save, train
from xdownscale.training.distillation import USUAL

CHANNELS = (24, 36, 48)


def main() -> None:
    asked = arguments()
    torch.set_num_threads(1)
    make(asked.folder, SMALL if asked.small else Size(), 2 if asked.small else asked.steps)


def make(folder: Path, size: Size, steps: int) -> dict[str, Path]:
    """Train both and write them; the paths by process."""
    world = World(folder, size)
    coarse, fine = (world.field("train", part) for part in ("coarse", "fine"))
    channels = size.train.channels if size is SMALL else CHANNELS
    shared = replace(size.train, steps=steps, channels=channels, transfer="none", ema=0.99)
    about = {
        "training": {"data": "xdownscale nature run, a box of two summers and winters", "synthetic": True}
    }
    paths = {}
    for process in ("ddpm", "flow"):
        card = about | {"name": f"small_{process}", "licence": "Apache-2.0"}
        model = train(coarse, fine, config=replace(shared, process=process), card=card)
        if process == "flow":
            short = replace(USUAL, **{k: getattr(shared, k) for k in ("batch", "days", "crop", "border")})
            model = distil(model, coarse, fine, config=replace(short, steps=max(1, steps // 3)))
            model = spread(model, coarse, fine, size)
        paths[process] = folder / f"{process}.safetensors"
        save(model, paths[process], overwrite=True)
        print(f"wrote {paths[process]}", flush=True)
    return paths


def spread(model: xdownscale.Downscaler, coarse, fine, size: Size) -> xdownscale.Downscaler:
    """Calibrated on the last tenth of the days, with `fast` its default; not where a crop is too small."""
    if size is not SMALL:
        held_out = fine[-len(fine) // 10 :]
        model = calibrate(model, coarse, held_out, evaluations=(4, "fast"), crop=152, windows=16)
    return model.with_card(replace(model.card, sampler={"name": "fast", "evaluations": 2}))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--small", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
