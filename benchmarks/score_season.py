"""Score a model on a season of the nature run it has never seen, beside interpolation.

    python benchmarks/score_season.py MODEL STORE [--every 6] [--box 20 60 40 100] [--members 16]
        [--evaluations 4 fast] [--json OUT] [--write]

STORE is a nature run (`xdownscale nature-run`) of a seed that was not trained on. Every n-th day of it is
drawn, with the days before as history. All in log space, ln(AOD + floor) with the model's floor,
area-weighted: fair CRPS over the MAE of bicubic interpolation, spread/skill, R2 (1 - SSE/SST, pooled) of
product="mean", and the ratio of power to the truth's by band of wavelength, along longitude and along
latitude. Interpolations are made in log space too. `--write` puts the rows on the model's card.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from xdownscale import Tiling, load, save
from xdownscale.data.nature_run import open_coarse, open_fine
from xdownscale.diagnostics import band_ratio, crps, power, rank_histogram
from xdownscale.grid import Grid, refined, upsampling
from xdownscale.inference.engine import Options, draw
from xdownscale.noise import instant

BANDS = (np.inf, 256, 128, 64, 32, 16, 8, 6)
INTERPOLATIONS = ("nearest", "linear", "cubic")


def main() -> None:
    asked = arguments()
    torch.set_num_threads(asked.threads)
    model = load(asked.model)
    season = Season(model, asked.store, slice(asked.first, asked.last, asked.every), asked.box)
    rows = [score(model, season, asked.members, n) for n in asked.evaluations] + [
        season.row(k) for k in INTERPOLATIONS
    ]
    show(rows)
    if asked.json:
        Path(asked.json).write_text(json.dumps(rows, indent=1))
    if asked.write:
        save(
            model.with_card(replace(model.card, scores=tuple(rows))),
            asked.model,
            overwrite=True,
            dtype="float16",
        )


class Season:
    """Some days of a season: coarse input, fine truth, and interpolations of the input, in log space."""

    def __init__(self, model, store: str, days: slice, box: list[int] | None) -> None:
        coarse, fine = open_coarse(store).DUEXTTAU.load(), open_fine(store).DUEXTTAU
        if box is not None:
            coarse = coarse[:, box[0] : box[1], box[2] : box[3]]
        grid = Grid(model.coarse.y.locate(coarse.lat.values), model.coarse.x.locate(coarse.lon.values))
        self.model, self.grid, self.fine = model, grid, refined(grid, model.fine)
        self.values = coarse.values.astype(np.float64)
        self.instants = [instant(t) for t in coarse.time.values]
        self.days = list(range(len(self.values)))[days]
        y, x = model.fine.y.locate(fine.lat.values), model.fine.x.locate(fine.lon.values)
        rows = slice(self.fine.y.start - y.start, self.fine.y.start - y.start + self.fine.y.size)
        columns = slice(self.fine.x.start - x.start, self.fine.x.start - x.start + self.fine.x.size)
        self.truth = np.stack([self.log(fine[d].values[rows, columns]) for d in self.days])
        self.weights = np.broadcast_to(self.fine.area, self.fine.shape)

    def log(self, values):
        """ln(values + floor)."""
        return np.log(values + self.model.card.scaling["floor"])

    def interpolated(self, method: str):
        """Interpolations of all days, shape (days, NY, NX)."""
        operator = upsampling(self.grid, self.fine, method)
        return np.stack([operator(self.log(self.values[d])) for d in self.days])

    def mae(self, fields) -> float:
        """Area-weighted mean absolute error over all days."""
        return float(np.average(np.abs(fields - self.truth).mean(axis=0), weights=self.weights))

    def r2(self, fields) -> float:
        """1 - SSE / SST, pooled over days and cells."""
        w = np.broadcast_to(self.weights, self.truth.shape)
        centre = np.average(self.truth, weights=w)
        return 1 - float(
            np.average((fields - self.truth) ** 2, weights=w)
            / np.average((self.truth - centre) ** 2, weights=w)
        )

    def ratios(self, fields) -> dict[str, list[float | None]]:
        """Power over the truth's by band, along longitude and latitude."""
        return {
            name: ratio(power(fields, axis=axis), power(self.truth, axis=axis))
            for name, axis in (("lon", -1), ("lat", -2))
        }

    def row(self, method: str) -> dict:
        """The scores of an interpolation."""
        fields = self.interpolated(method)
        mae = self.mae(fields)
        return {
            "name": {"linear": "bilinear", "cubic": "bicubic"}.get(method, method),
            "mae": mae,
            "crps_over_bicubic_mae": mae / self.mae(self.interpolated("cubic")),
            "r2": self.r2(fields),
            "spectrum": self.ratios(fields),
        }


def ratio(ours, truth) -> list[float | None]:
    """Power by band; None where the box is too small to hold the band."""
    found = band_ratio(ours[1], truth[1], ours[0], BANDS)
    return [round(float(v), 4) if np.isfinite(v) else None for v in found]


def score(model, season: Season, members: int, evaluations: int | str) -> dict:
    """One row: draws of all members, day by day, and the conditional mean."""
    sampler, tiling = model.sampler_of(evaluations), Tiling(patch=None)
    options = Options(tuple(range(members)), 20_210_606, "draw", sampler, tiling)
    spread = error = total = before = 0.0
    spectra = {"lon": 0.0, "lat": 0.0}
    ranks, means, began = np.zeros(members + 1), [], time.time()
    for number, day in enumerate(season.days):
        drawn = draw(model, season.values, season.grid, season.instants, options, days=[day])
        fields, truth = season.log(drawn.values[:, 0].astype(np.float64)), season.truth[number]
        total += crps(fields, truth, season.weights)
        spread += float(np.average(fields.var(axis=0, ddof=1), weights=season.weights))
        error += float(np.average((fields.mean(axis=0) - truth) ** 2, weights=season.weights))
        for name, axis in (("lon", -1), ("lat", -2)):
            spectra[name] = spectra[name] + power(fields, axis=axis)[1]
        ranks += rank_histogram(fields[:, ::7, ::7], truth[::7, ::7])
        before = max(before, float(drawn.residual.max()))
        mean = replace(options, members=(0,), product="mean")
        means.append(
            season.log(
                draw(model, season.values, season.grid, season.instants, mean, days=[day]).values[0, 0]
            )
        )
        print(f"day {number + 1} of {len(season.days)}, {time.time() - began:.0f} s", flush=True)
    n = len(season.days)
    compared = {}
    for name, axis in (("lon", -1), ("lat", -2)):
        k, truth_power = power(season.truth, axis=axis)
        compared[name] = ratio((k, spectra[name] / n), (k, truth_power))
    return {
        "name": f"{model.card.name}, {sampler.name} {sampler.evaluations}",
        "evaluations": evaluations,
        "members": members,
        "days": n,
        "crps": total / n,
        "crps_over_bicubic_mae": total / n / season.mae(season.interpolated("cubic")),
        "spread_skill": float(np.sqrt((members + 1) / members * spread / error)),
        "r2": season.r2(np.stack(means)),
        "spectrum": compared,
        "rank_histogram": [round(float(v), 4) for v in ranks / n],
        "residual_before_conservation": before,
    }


def show(rows: list[dict]) -> None:
    bands = " ".join(f"{a:>5g}-{b:<3g}" for a, b in pairwise(BANDS))
    print(f"{'':24} CRPS/MAEcub spread/skill  R2mean  power over truth's by wavelength [cells] {bands}")
    for row in rows:
        for name in ("lon", "lat"):
            values = " ".join(f"{np.nan if v is None else v:9.3f}" for v in row["spectrum"][name])
            scores = row["crps_over_bicubic_mae"], row.get("spread_skill", np.nan), row["r2"]
            print(f"{row['name']:24} {scores[0]:11.4f} {scores[1]:12.3f} {scores[2]:7.4f}  {name} {values}")


def number(text: str) -> int | str:
    return text if text == "fast" else int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("store")
    parser.add_argument("--every", type=int, default=6)
    parser.add_argument("--first", type=int, default=8)
    parser.add_argument("--last", type=int)
    parser.add_argument("--box", type=int, nargs=4, metavar=("ROW", "ROW", "COLUMN", "COLUMN"))
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--evaluations", type=number, nargs="+", default=[4], help="numbers, or fast")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
