"""Models that are trained to be compared with: one small network as a diffusion, a U-Net and an autoencoder.

    python benchmarks/baselines.py FOLDER [--twins TWINS] [--steps 1200] [--out baselines.json] [--small]

FOLDER is that of `transfer_map.py`, whose training and test records are taken; TWINS that of `twins.py`,
FOLDER by default, whose `flow` and `ddpm` are made there if they are lacking. With their architecture, days,
crops and steps, without encoder: `unet` (one field, the conditional mean) and `vae`; and `unet_small`,
of half the channels. Judged by `xdownscale.trial` on days of another summer, in log space, beside
interpolation and quantile mapping; intervals and skills by days.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
import twins
from transfer_map import SMALL, Size, World

import xdownscale
from xdownscale import save, train
from xdownscale.cli.judge import text
from xdownscale.models.baselines import quantile_mapping
from xdownscale.trial import rows, trial

RIVALS = {"unet": "regression", "vae": "vae", "unet_small": "regression"}


def main() -> None:
    asked = arguments()
    torch.set_num_threads(1)
    size = SMALL if asked.small else Size()
    steps = 2 if asked.small else asked.steps
    table = judged(asked.folder, asked.twins or asked.folder, size, steps)
    print(text(table))
    if asked.out:
        asked.out.write_text(json.dumps(table, indent=1))


def judged(folder: Path, pair: Path, size: Size, steps: int) -> list[dict[str, object]]:
    """The table's rows, the diffusion first."""
    world = World(folder, size)
    if not all((pair / f"{name}.safetensors").exists() for name in ("flow", "ddpm")):
        twins.make(pair, size, steps)
    flow, ddpm = (xdownscale.load(pair / f"{name}.safetensors") for name in ("flow", "ddpm"))
    rivals = [rival(world, folder, name, steps) for name in RIVALS]
    low, high = world.field("train", "coarse"), world.field("train", "fine")
    mapped = quantile_mapping(flow.card, low.values, high.values[::10])
    coarse, truth = world.field("test", "coarse"), world.field("test", "fine")
    ny, nx = (n // 6 for n in coarse.shape[1:])
    days = [int(d) for d in torch.linspace(size.pretrain.history, size.test_days - 1, size.judged)]
    found = trial(
        [flow, ddpm, *rivals, mapped], coarse[:, ny:-ny, nx:-nx], truth, days=days,
        members=size.members, intervals=200, block=1,
    )  # fmt: skip
    return rows(found, "fast")


def rival(world: World, folder: Path, name: str, steps: int) -> xdownscale.Downscaler:
    """A baseline by its name, trained if it is not in the folder."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        size = world.size
        channels = size.train.channels if size is SMALL else twins.CHANNELS
        if name == "unet_small":
            channels = tuple(max(8, c // 2) for c in channels)
        config = replace(
            size.train, process=RIVALS[name], steps=steps, channels=channels, transfer="none", ema=0.99
        )
        low, high = (world.field("train", part) for part in ("coarse", "fine"))
        card = {"name": name, "training": {"data": "xdownscale nature run, a box", "synthetic": True}}
        save(train(low, high, config=config, card=card), path)
        print(f"wrote {path.name}", flush=True)
    return xdownscale.load(path)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--twins", type=Path)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--small", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
