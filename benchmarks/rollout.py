"""Whether days drawn one from another stay true: sixty days of own days, beside other ways to link days.

    python benchmarks/rollout.py STORE MODEL [--days 60] [--members 8] [--box 28 38 40 55] [--json OUT]

STORE is a nature run of a seed that MODEL was not trained on; MODEL was trained with `state`. The first day
of the run is told the truth's day before (the fine seed); every later day is told the member's own. Beside
it: `correlated`, `independent`, and persistence (the detail of the seed, kept for all days, on the given
coarse field). All in log space, on the field, and on the detail that the coarse field does not give,
ln(x) - U ln(y).

Printed, for the first and the last ten days: the ratio of the members' variance in space to the truth's, and
the Wasserstein distance to the truth over the truth's standard deviation; and, over all days, the
autocorrelation of the detail at lags of 1 to 7 days, of truth and members.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import xdownscale
from xdownscale.data.nature_run import open_coarse, open_fine
from xdownscale.diagnostics import acf, drift
from xdownscale.grid import Grid, refined, upsampling

if TYPE_CHECKING:
    import xarray as xr

LAGS = 7
SPAN = 10


def main() -> None:
    asked = arguments()
    torch.set_num_threads(asked.threads)
    days = Days(asked)
    table = {}
    for way in asked.ways:
        table[way] = days.judged(days.drawn(way))
        show(way, table[way])
    for name, found in table[asked.ways[0]].items():
        print(f"{'truth':15}{name:7} acf {spaced(found['acf of the truth'])}")
    if asked.json:
        Path(asked.json).write_text(json.dumps(table, indent=1))


class Days:
    """The days of a run: coarse input, fine truth, the fine day before, and the detail of a field."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.model = xdownscale.resolve(asked.model)
        self.members, self.floor = asked.members, self.model.card.scaling["floor"]
        south, north, west, east = asked.box
        box = {"lat": slice(south, north), "lon": slice(west, east)}
        past = self.model.history
        coarse = open_coarse(asked.store).DUEXTTAU.sel(box).isel(time=slice(asked.first - past, None))
        self.coarse = coarse.isel(time=slice(0, past + asked.days)).load()
        self.past = past
        grid = Grid.from_dict(self.model.card.coarse)
        self.grid = Grid(
            grid.y.locate(self.coarse.lat.values), grid.x.locate(self.coarse.lon.values), grid.crs
        )
        fine = refined(self.grid, self.model.fine)
        truth = open_fine(asked.store).DUEXTTAU.sel(
            lat=fine.y.values, lon=fine.x.values, time=self.coarse.time, method="nearest"
        )
        truth = truth.assign_coords(time=self.coarse.time).load()
        self.seed, self.truth = truth[past - 1 : past], truth[past:]
        self.base = self.upsampled(self.coarse)

    def upsampled(self, coarse: xr.DataArray) -> np.ndarray:
        """U ln(y), shape (time, NY, NX), of the days that are judged."""
        up = upsampling(self.grid, refined(self.grid, self.model.fine), self.model.card.upsampling)
        return np.stack([up(np.log(day + self.floor)) for day in coarse.values[self.past :]])

    def detail(self, field: xr.DataArray) -> xr.DataArray:
        """ln(x) less what the coarse field gives."""
        return (np.log(field + self.floor) - self.base).assign_attrs(units="1")

    def drawn(self, way: str) -> xr.DataArray:
        """Members of the days, dims (realization, time, lat, lon)."""
        options = {"members": self.members, "domain_check": "ignore", "progress": False}
        if way == "persistence":
            last = np.log(self.seed.values[0] + self.floor)
            up = upsampling(self.grid, refined(self.grid, self.model.fine), self.model.card.upsampling)
            kept = last - up(np.log(self.coarse.values[self.past - 1] + self.floor))
            return self.truth.copy(data=np.exp(self.base + kept) - self.floor).expand_dims("realization")
        if way == "autoregressive":
            return xdownscale.predict(self.coarse, self.model, coherence=way, state=self.seed, **options)
        lazy = xdownscale.predict(self.coarse.chunk(time=1), self.model, coherence=way, **options)
        return lazy.isel(time=slice(self.past, None)).compute(scheduler="synchronous")

    def judged(self, members: xr.DataArray) -> dict[str, dict[str, list[float]]]:
        """Of field and detail: variance ratio and W1 of the first and last days, autocorrelations."""
        pairs = {
            "field": [np.log(f + self.floor).assign_attrs(units="1") for f in (members, self.truth)],
            "detail": [self.detail(f) for f in (members, self.truth)],
        }
        found = {}
        for name, (ours, true) in pairs.items():
            by_day = drift(ours.astype("float64"), true.astype("float64"))
            w1 = by_day.w1 / float(true.std())
            spans = slice(0, SPAN), slice(-SPAN, None)
            found[name] = {
                "variance": [float(by_day.variance_ratio[s].mean()) for s in spans],
                "w1": [float(w1[s].mean()) for s in spans],
                "acf": autocorrelation(ours),
                "acf of the truth": autocorrelation(true),
            }
        return found


def autocorrelation(fields: xr.DataArray) -> list[float]:
    """At lags of 1 to 7 days, each cell about its own mean, pooled; the mean over members."""
    several = fields if "realization" in fields.dims else fields.expand_dims("realization")
    each = [acf(one, LAGS, reduce="pooled").acf.values[1:] for one in several]
    return [float(v) for v in np.mean(each, axis=0)]


def show(way: str, row: dict[str, dict[str, list[float]]]) -> None:
    for name, found in row.items():
        first, last = zip(found["variance"], found["w1"], strict=True)
        print(
            f"{way:15}{name:7} variance ratio {first[0]:.3f} first {SPAN} days, {last[0]:.3f} last; W1 over "
            f"sigma {first[1]:.3f}, {last[1]:.3f}; acf {spaced(found['acf'])}",
            flush=True,
        )


def spaced(values: list[float]) -> str:
    return " ".join(f"{v:.3f}" for v in values)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("model")
    parser.add_argument("--first", type=int, default=20, help="first day that is judged")
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--box", type=float, nargs=4, default=[28, 38, 40, 55], help="south north west east")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json")
    parser.add_argument(
        "--ways", nargs="*", default=["persistence", "independent", "correlated", "autoregressive"]
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
