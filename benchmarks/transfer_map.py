"""Where transfer pays: what the encoder was taught, what it sees, how many fine days there are, what pairs.

    python benchmarks/transfer_map.py FOLDER [--out transfer.jsonl] [--only axis=transfer] [--table] [--write]

A nature run on a box with strong sources; other weather for the long coarse record, for training, for the
days that are judged, and for the coarse days that are not those of the fine truth (`unpaired`). Every cell of
the map is one training of a small denoiser, all with equally many steps; on the axis `time` with as many as
take the processor time of `none`, by the trainings that are there. The base is an encoder taught the
next day, that sees the coarse history, on paired daily fields, its input sharp. Two axes are crossed in full,
fine days x transfer; the others are varied one at a time, at two numbers of fine days, beside `none`.

Scored on unseen days of a summer: fair CRPS of 8 members (flow, midpoint, 4 evaluations, no conservation)
over the MAE of bicubic interpolation, in log space. Each cell is a line of OUT; cells that are there are not
made again. The table, which `--write` puts into docs/validation.md, gives means and ranges over the seeds and
differences to `none` and to `random` of the same seed, fine days and regime on the same days, with a 90 %
interval from days and seeds drawn anew. A seed is of the encoder, taught or not, of the denoiser, of the
batches, and of the block of days.

`degraded` smooths and biases each coarse day of training, and smooths those that are judged by a Gaussian of
one cell; `unpaired` gives training and test the coarse field of the same date in other weather; `6h` takes
means of six hours, in training, test and record.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter
from validation import PAGE, put

from xdownscale import PretrainConfig, Tiling, TrainConfig, pretrain, train
from xdownscale.data.nature_run import NatureRun, simulate
from xdownscale.diagnostics import crps
from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import Grid, refined, upsampling
from xdownscale.inference.engine import Options, draw
from xdownscale.inference.sequence import Past
from xdownscale.noise import instant
from xdownscale.training import Pretrained

FINE_DAYS = (3, 10, 30, 180, 730)
AT = (10, 180)
AXES = ("transfer", "pretext", "sees", "regime", "time")
PRETEXTS = {"next": "next day", "refine": "refine", "masked": "masked"}
REGIMES = {"degraded": "paired, degraded", "6h": "paired, 6-hourly"}
FIRST = ("frozen", "none")
OTHERS = ("none", "random")  # what the table compares with
TRANSFERS = ("frozen", "tuned", "scratch", "random", "none")
MADE = "made by benchmarks/transfer_map.py"
MIDDLE = np.datetime64("2006-07-15")  # of all training records, give or take 4 days a seed
OTHER_DAYS = 210
SEEDS = {"record": 101, "train": 102, "test": 103, "other_train": 104, "other_test": 105}


LEARNING = PretrainConfig(steps=800, batch=16, crop=24, history=5, channels=(16, 24, 32), precision="float32")
DENOISING = TrainConfig(
    steps=300, batch=8, days=4, crop=64, border=8, channels=(16, 32, 48), blocks=1, ema=0.98,
    statics=("sphere", "fourier", "season"), degrade=0.0, edges=0.0, precision="float32",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    region: tuple[float, float, float, float] = (24.0, 36.5, 42.0, 57.5)
    record_days: int = 1095
    train_days: int = 740
    test_days: int = 92
    judged: int = 12
    members: int = 8
    pretrain: PretrainConfig = LEARNING
    train: TrainConfig = DENOISING


SMALL = Size(
    (28.0, 32.0, 44.0, 49.0), 26, 14, 8, 2, 2,
    PretrainConfig(steps=2, batch=2, crop=8, history=2, channels=(4, 4, 4)),
    replace(DENOISING, steps=2, batch=2, days=2, crop=32, border=4, channels=(8, 8, 8)),
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One training of the map."""

    axis: str
    days: int
    transfer: str
    seed: int = 0
    pretext: str = "next"
    sees: str = "coarse"
    regime: str = "paired"
    matched: str = "steps"

    @property
    def key(self) -> str:
        """What a line of the output is known by; the axis is a heading, not a choice."""
        return "/".join(str(v) for k, v in asdict(self).items() if k != "axis")


def cells(seeds: int, fine_days=FINE_DAYS, at=AT) -> list[Cell]:
    """The star: all of the first seed; then, of the others, what is compared; what is left; equal times."""
    found: dict[str, Cell] = {}
    for seed in range(seeds):
        star = [Cell("transfer", n, t, seed) for n in fine_days for t in TRANSFERS]
        for n in at:
            star += [Cell("pretext", n, "frozen", seed, pretext=p) for p in ("refine", "masked")]
            star += [Cell("sees", n, "frozen", seed, sees=s) for s in ("fine", "upsampled")]
            star += [
                Cell("regime", n, t, seed, regime=r)
                for r in ("unpaired", "degraded", "6h")
                for t in ("frozen", "none")
            ]
            # the paper's own case; and what fine days bring to an encoder that was taught nothing
            star += [Cell("regime", n, t, seed, sees="fine", regime="unpaired") for t in ("frozen", "random")]
            star += [Cell("sees", n, t, seed, sees="fine") for t in ("random", "scratch")]
            star += [Cell("time", n, t, seed, matched="time") for t in ("frozen", "tuned", "scratch")]
            star += [
                Cell("time", n, t, seed, sees="fine", regime="unpaired", matched="time")
                for t in ("frozen", "random")
            ]
        for cell in star:
            found.setdefault(cell.key, cell)
    return sorted(
        found.values(),
        key=lambda c: (c.matched == "time", (c.seed > 0) + (c.seed > 0 and c.transfer not in FIRST)),
    )


class World:
    """The records, simulated once and kept in a folder, and the encoders taught on them."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.folder, self.size = folder, size
        self.kept: dict[tuple[str, str, bool], xr.DataArray] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, name: str) -> NatureRun:
        """A record's run, by means of six hours; for the coarse field alone, simulated at stride 4."""
        size, around = self.size, str(MIDDLE - self.size.train_days // 2)
        other = min(size.train_days, OTHER_DAYS)
        start, days, stride = {
            "record": ("2000-01-01", size.record_days, 4),
            "train": (around, size.train_days, 1),
            "test": ("2008-06-01", size.test_days, 1),
            "other_train": (str(MIDDLE - other // 2), other, 4),
            "other_test": ("2008-06-01", size.test_days, 4),
        }[name]
        return NatureRun(start, days, SEEDS[name], size.region, stride, hours=6)

    def field(self, name: str, kind: str, daily: bool = True) -> xr.DataArray:
        """The coarse or the fine fields of a record, means of a day or of six hours."""
        key = name, kind, daily
        if key not in self.kept:
            self.kept[key] = self._field(*key)
        return self.kept[key]

    def _field(self, name: str, kind: str, daily: bool) -> xr.DataArray:
        run, values = self.run(name), self.values(name, kind)
        hours = 24 if daily else 6
        if daily:
            values = values.reshape(-1, 4, *values.shape[1:]).mean(axis=1)
        begin = run.date(0).astype("M8[ns]") + np.timedelta64(hours // 2, "h")
        stamps = begin + np.timedelta64(hours, "h") * np.arange(len(values))
        grid = run.coarse if kind == "coarse" else run.grid
        places = {"time": stamps, "lat": grid.y.values, "lon": grid.x.values}
        return xr.DataArray(values, places, ("time", "lat", "lon"), "DUEXTTAU", {"units": "1"})

    def values(self, name: str, kind: str) -> np.ndarray:
        """Means of six hours, simulated where they are not there yet."""
        path = self.folder / f"{name}.npz"
        if not path.exists():
            self._simulate(name, path)
        with np.load(path) as saved:
            return saved[kind]

    def _simulate(self, name: str, path: Path) -> None:
        run, began = self.run(name), time.time()
        fields: dict[str, list[np.ndarray]] = {"coarse": [], "fine": []}
        for found in simulate(run):
            fields["coarse"].append(found.coarse)
            if run.stride == 1:
                fields["fine"].append(found.fine)
        beside = path.with_suffix(".part.npz")
        np.savez(beside, **{kind: np.stack(v) for kind, v in fields.items() if v})
        beside.replace(path)
        print(f"{name}: {run.days} days in {time.time() - began:.0f} s", flush=True)

    def encoder(self, pretext: str, daily: bool, seed: int = 0) -> Pretrained:
        """The encoder taught a pretext on the long record."""
        path = self.folder / f"encoder-{pretext}-{'daily' if daily else '6h'}-{seed}.safetensors"
        if not path.exists():
            began = time.time()
            config = replace(self.size.pretrain, pretext=pretext, seed=seed)
            taught = pretrain(self.field("record", "coarse", daily), config=config)
            taught.save(path)
            scores = f"{taught.info['validation_l1']:.4f}, trivially {taught.info['trivial_l1']:.4f}"
            print(f"{path.name}: {scores}, {time.time() - began:.0f} s", flush=True)
        return Pretrained.load(path)

    def training(self, cell: Cell) -> tuple[xr.DataArray, xr.DataArray]:
        """Coarse and fine days to learn from; the coarse ones reach back as far as the encoder looks."""
        daily, size = cell.regime != "6h", self.size
        fine = self.field("train", "fine", daily)
        coarse = self.field("other_train" if cell.regime == "unpaired" else "train", "coarse", daily)
        a_day = 1 if daily else 4
        middle = size.train_days // 2 - cell.days // 2 + 4 * cell.seed
        first = min(max(middle, size.pretrain.history), size.train_days - cell.days)
        fine = fine.isel(time=slice(a_day * first, a_day * (first + cell.days)))
        return coarse, fine

    def test(self, cell: Cell) -> tuple[xr.DataArray, xr.DataArray]:
        """Coarse and fine days of the summer that is judged; the coarse ones on the middle of the box."""
        daily = cell.regime != "6h"
        coarse = self.field("other_test" if cell.regime == "unpaired" else "test", "coarse", daily)
        if cell.regime == "degraded":
            coarse = coarse.copy(data=gaussian_filter(coarse.values, (0, 1, 1), mode="nearest"))
        ny, nx = (n // 6 for n in coarse.shape[1:])
        return coarse[:, ny:-ny, nx:-nx], self.field("test", "fine", daily)

    def judged(self, cell: Cell) -> list[int]:
        """Positions of the fields that are judged: one a day, of days evenly apart."""
        first = self.size.pretrain.history
        days = np.linspace(first, self.size.test_days - 1, self.size.judged).astype(int)
        return [int(d) if cell.regime != "6h" else 4 * int(d) + 2 for d in days]


def trained(world: World, cell: Cell, steps: int):
    """The model of a cell."""
    coarse, fine = world.training(cell)
    config = replace(
        world.size.train,
        steps=steps,
        transfer=cell.transfer,
        sees=cell.sees,
        seed=cell.seed,
        degrade=1.0 if cell.regime == "degraded" else 0.0,
    )
    return train(coarse, fine, world.encoder(cell.pretext, cell.regime != "6h", cell.seed), config=config)


def steps_of(cell: Cell, lines: list[dict], usual: int) -> int:
    """How many steps a cell is trained: the usual number, or what takes the processor time of `none`.

    Raises
    ------
    SystemExit
        If what the times are taken from is not there yet.
    """
    if cell.matched == "steps":
        return usual
    took = {}
    for other in (cell, replace(cell, transfer="none", sees="coarse")):
        keys = {replace(other, seed=n, matched="steps").key for n in range(cell.seed + 1)}
        seconds = [line["seconds"]["train"] for line in lines if line["key"] in keys]
        if not seconds:
            raise SystemExit(f"{cell.key} is to take the time of `none`: make {', '.join(keys)} first")
        took[other.transfer] = float(np.median(seconds))
    return max(1, round(usual * took["none"] / took[cell.transfer]))


def scored(world: World, cell: Cell, model) -> dict[str, list[float]]:
    """CRPS of the members and MAE of bicubic interpolation, day by day, in log space."""
    coarse, fine = world.test(cell)
    grid = Grid(model.coarse.y.locate(coarse.lat.values), model.coarse.x.locate(coarse.lon.values))
    window = refined(grid, model.fine)
    y, x = model.fine.y.locate(fine.lat.values), model.fine.x.locate(fine.lon.values)
    rows = slice(window.y.start - y.start, window.y.start - y.start + window.y.size)
    columns = slice(window.x.start - x.start, window.x.start - x.start + window.x.size)
    truth, floor = fine.values[:, rows, columns], model.card.scaling["floor"]
    instants = [instant(t) for t in coarse.time.values]
    options = Options(
        tuple(range(world.size.members)), 7, "draw", Sampler("midpoint", 4), Tiling(patch=None, halo=8), False
    )
    up = upsampling(grid, window, "cubic")
    weights = np.broadcast_to(window.area, window.shape)
    past = Past(truth, tuple(instants)) if model.past else None
    out: dict[str, list[float]] = {"crps": [], "mae": []}
    for day in world.judged(cell):
        drawn = draw(model, coarse.values.astype(float), grid, instants, options, days=[day], past=past)
        now = np.log(truth[day].astype(float) + floor)
        members = np.log(drawn.values[:, 0].astype(float) + floor)
        out["crps"].append(round(crps(members, now, weights), 6))
        error = np.abs(up(np.log(coarse.values[day].astype(float) + floor)) - now)
        out["mae"].append(round(float(np.average(error, weights=weights)), 6))
    return out


def made(world: World, cell: Cell, lines: list[dict]) -> dict:
    """One line of the map, beside those that are there; seconds are the processor's."""
    world.encoder(cell.pretext, cell.regime != "6h", cell.seed)
    steps = steps_of(cell, lines, world.size.train.steps)
    began = time.process_time()
    model = trained(world, cell, steps)
    middle = time.process_time()
    scores = scored(world, cell, model)
    ratio = sum(scores["crps"]) / sum(scores["mae"])
    seconds = {"train": round(middle - began, 2), "score": round(time.process_time() - middle, 2)}
    told = {"steps": steps, "ratio": round(ratio, 4), "seconds": seconds}
    return {"key": cell.key, **asdict(cell), **told, **scores}


def read(path: Path) -> list[dict]:
    """The lines that are there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(lines: list[dict], draws: int = 2000) -> str:
    """Means and ranges over the seeds, and differences to `none` on the same days; bold gains are clear."""
    by_key = {line["key"]: line for line in lines}
    groups: dict[tuple, list[dict]] = {}
    for line in sorted(lines, key=lambda row: (AXES.index(row["axis"]), row["days"])):
        place = (*(line[k] for k in ("axis", "pretext", "sees", "regime", "days", "transfer")),)
        groups.setdefault(place, []).append(line)
    out = [
        (
            "| encoder taught | it sees | pairs | fine days | transfer | steps, seeds "
            "| CRPS over bicubic's MAE (range of seeds) | minus `none` (90 %) | minus `random` (90 %) |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (_, pretext, sees, regime, days, transfer), found in groups.items():
        ratios = [line["ratio"] for line in found]
        shown = f"{np.mean(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        apart = " | ".join(against(found, by_key, draws, other) for other in OTHERS)
        taught = PRETEXTS[pretext] if transfer in ("frozen", "tuned") else "nothing"
        seen = "-" if transfer == "none" else f"{sees} history"
        length = f"{np.mean([line['steps'] for line in found]):.0f}, {len(found)}"
        cells = (taught, seen, REGIMES.get(regime, regime), days, transfer, length, shown, apart)
        out.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(out)


def against(found: list[dict], by_key: dict[str, dict], draws: int, transfer: str) -> str:
    """Difference to another transfer of the same seeds, days, regime and, but for `none`, of the same sight.

    The interval draws days and seeds anew. In bold if it lies below zero.
    """
    pairs = []
    for line in found:
        alike = {} if transfer == "none" else {"sees": line["sees"], "matched": line["matched"]}
        other = Cell("", line["days"], transfer, line["seed"], regime=line["regime"], **alike).key
        if line["transfer"] != transfer and other in by_key:
            pairs.append((line["crps"], by_key[other]["crps"], line["mae"]))
    if not pairs:
        return "-"
    ours, others, unit = np.moveaxis(np.array(pairs), 1, 0)
    difference = (ours - others).sum() / unit.sum()
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(draws):
        seeds = rng.integers(len(ours), size=len(ours))[:, None]
        days = rng.integers(ours.shape[1], size=ours.shape[1])[None]
        drawn.append((ours - others)[seeds, days].sum() / unit[seeds, days].sum())
    low, high = np.quantile(drawn, (0.05, 0.95))
    told = f"{difference:+.3f} ({low:+.3f} to {high:+.3f})"
    return f"**{told}**" if high < 0 else told


def main() -> None:
    asked = arguments()
    torch.set_num_threads(1)
    out = asked.out or asked.folder / "transfer.jsonl"
    if not asked.table:
        fill(asked, out)
    text = table(read(out))
    if asked.write:
        PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), text, MADE), encoding="utf-8")
    print(text)


def fill(asked: argparse.Namespace, out: Path) -> None:
    """Make the cells that are lacking, one after another."""
    size = SMALL if asked.small else Size()
    if asked.steps:
        size = replace(size, train=replace(size.train, steps=asked.steps))
    world = World(asked.folder, size)
    wanted = cells(asked.seeds, asked.days, asked.at)
    for choice in asked.only:
        name, _, values = choice.partition("=")
        wanted = [cell for cell in wanted if str(getattr(cell, name)) in values.split(",")]
    lines = read(out)
    there = {line["key"] for line in lines}
    lacking = [cell for cell in wanted if cell.key not in there]
    print(f"{len(wanted)} cells, {len(lacking)} to be made", flush=True)
    began = time.time()
    for number, cell in enumerate(lacking, 1):
        line = made(world, cell, lines)
        lines.append(line)
        with out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        left = (time.time() - began) / number * (len(lacking) - number) / 60
        print(f"{cell.key}: {line['ratio']:.4f} {line['seconds']}, {left:.0f} minutes left", flush=True)


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where records and encoders are kept")
    parser.add_argument("--out", type=Path, help="FOLDER/transfer.jsonl by default")
    parser.add_argument("--only", nargs="*", default=[], metavar="FIELD=A,B", help="only such cells")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--days", type=int, nargs="+", default=FINE_DAYS, help="numbers of fine days")
    parser.add_argument("--at", type=int, nargs="*", default=AT, help="at which the other axes are varied")
    parser.add_argument("--steps", type=int, help="of the denoisers, all alike; give another --out")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    parser.add_argument("--write", action="store_true", help="put the table into docs/validation.md")
    parser.add_argument("--small", action="store_true", help="a tiny version, to see that it runs")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
