"""Both processes, `flow` and `ddpm`, after the same training: scores at 2, 4, 8 and 16 evaluations.

    python benchmarks/processes.py --run 2005.zarr --run 2006.zarr --encoder encoder.safetensors
        --unseen unseen.zarr [--steps 500] [--box 30 66 20 70] [--every 20] [--members 8] [--json OUT]

The same network, crops, frozen encoder and number of steps (the seconds are printed); `flow` starts from
noise shaped like the residual and is sampled by `midpoint`, `ddpm` starts from white noise and is sampled by
`dpmpp` at times of equal log SNR. Neither is calibrated: the figures are the processes' own. The scores are
those of `xdownscale.trial`, in log space, with intervals by days; the box is rows and columns of the coarse
record.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch
import xarray as xr

from xdownscale.cli.judge import text
from xdownscale.data.nature_run import open_coarse, open_fine
from xdownscale.training import Pretrained, TrainConfig, train
from xdownscale.trial import rows, trial

EVALUATIONS = (2, 4, 8, 16)


def main() -> None:
    asked = arguments()
    torch.set_num_threads(asked.threads)
    coarse = xr.concat([open_coarse(store).DUEXTTAU.load() for store in asked.run], "time")
    fine = xr.concat([open_fine(store).DUEXTTAU.load() for store in asked.run], "time")
    encoder = Pretrained.load(asked.encoder)
    config = TrainConfig(steps=asked.steps, batch=12, days=4, crop=112, precision=asked.precision)
    table: list[dict[str, object]] = []
    for process in ("flow", "ddpm"):
        began = time.monotonic()
        told = {"name": process, "training": {"data": "nature run", "synthetic": True}}
        model = train(coarse, fine, encoder, config=replace(config, process=process), card=told)
        seconds = time.monotonic() - began
        print(f"{process}: {asked.steps} steps in {seconds:.0f} s", flush=True)
        table += [row | {"training_s": seconds} for n in EVALUATIONS for row in judged(model, asked, n)]
    print(text(table))
    if asked.json:
        Path(asked.json).write_text(json.dumps(table, indent=1))


def judged(model, asked: argparse.Namespace, evaluations: int) -> list[dict[str, object]]:
    """The row of a model by so many evaluations."""
    first, last, left, right = asked.box
    coarse = open_coarse(asked.unseen).DUEXTTAU[:, first:last, left:right].load()
    days = range(asked.first, coarse.sizes["time"], asked.every)
    found = trial(
        [model], coarse, open_fine(asked.unseen).DUEXTTAU, days=days, members=asked.members,
        evaluations=evaluations, baselines=("bicubic",), intervals=200, block=1,
    )  # fmt: skip
    (row,) = (row for row in rows(found, evaluations) if row["name"] == "prediction")
    return [row | {"name": f"{model.card.name}, {evaluations}"}]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", action="append", required=True, help="a nature run to learn from; repeatable"
    )
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--unseen", required=True)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--box", type=int, nargs=4, default=[30, 66, 20, 70])
    parser.add_argument("--first", type=int, default=8)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
