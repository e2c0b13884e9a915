"""Why the ensemble's mean is no field: its semivariogram beside the members' and the truth's.

    python benchmarks/member_variogram.py STORE [--model jja_asia] [--members 8] [--out FIGURE]

STORE is a nature run of a seed that the model was not trained on. Two days on a box from Iraq to Iran, in log
space. Prints the semivariance over the truth's at the shortest lag and at 100 km, and draws the three curves.
"""

from __future__ import annotations

import argparse

import numpy as np

import xdownscale
from xdownscale.data.nature_run import open_coarse, open_fine
from xdownscale.diagnostics import compare_semivariograms, semivariogram
from xdownscale.plot import semivariogram as draw

BOX = {"lat": slice(28, 38), "lon": slice(40, 55)}
DAYS = [40, 60]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--model", default="jja_asia")
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--out", default="docs/figures/member_variogram.png")
    asked = parser.parse_args()
    coarse = open_coarse(asked.store).DUEXTTAU.sel(BOX).load()
    lazy = coarse.chunk(time=1).downscale.predict(asked.model, members=asked.members, domain_check="ignore")
    members = lazy.isel(time=DAYS).load()
    truth = open_fine(asked.store).DUEXTTAU.isel(time=DAYS)
    truth = truth.sel(lat=members.lat.values, lon=members.lon.values, method="nearest").load()
    fields = {
        "truth": truth,
        "members": members,
        "ensemble mean": members.mean("realization", keep_attrs=True),
    }
    lags = [7.0 * n for n in range(1, 19)]
    found = {
        name: semivariogram(np.log(da + 1e-3).assign_attrs(units="1"), lags=lags, model=None)
        for name, da in fields.items()
    }
    for name, one in found.items():
        ratio = one.semivariance / found["truth"].semivariance
        print(
            f"{name:14} {float(ratio[0]):.3f} at {float(one.distance[0]):.0f} km, "
            f"{float(ratio[13]):.3f} at {float(one.distance[13]):.0f} km"
        )
    draw(compare_semivariograms(found)).savefig(asked.out, dpi=110)
    print(f"wrote {asked.out}, xdownscale {xdownscale.__version__}")


if __name__ == "__main__":
    main()
