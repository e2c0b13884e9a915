"""Where members are reliable: spread over skill and the truth's ranks, by how much the fine residual varies.

    python benchmarks/by_climate.py MODEL RUN [RUN ...] --months 3,4,5 [--members 16] [--groups 10]

RUN is a nature run of a seed that the model was not trained on; days are those that `make score_SEASON_asia`
takes. Cells are put into groups of equal area by the residual's deviation in the model's climatology, which
is known beforehand: grouped by the members' own spread, or by the truth, ranks would not be flat however good
the members (Siegert, Broecker and Kantz 2012, doi:10.1175/MWR-D-11-00302.1; Bellier et al. 2017,
doi:10.1175/MWR-D-16-0487.1).

All in log space. The share of a degree is the coefficient of the ranks' histogram along the polynomial of
that degree, orthonormal over equal ranks, with its standard error by the days: 0 where ranks are flat, above
it where the truth lies high among members (1), where members are too narrow (2), where they are too narrow
here and too wide there (4); a skew leaves some of the third, a tail of another form than the errors' some of
the sixth. Faults of either sign cancel in the last line, which is of all cells.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import xdownscale
from xdownscale.cli.learn import record
from xdownscale.diagnostics import rank_histogram
from xdownscale.diagnostics.dayblocks import draws, expanded
from xdownscale.diagnostics.flatness import flat_probability, shares
from xdownscale.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEGREE = 6
REPLICATES = 2000


def main(given: list[str] | None = None) -> None:
    asked = arguments(given)
    model = xdownscale.resolve(asked.model)
    if model.climatology is None:
        raise SystemExit(f"{model.card.name} carries no climatology: there is nothing to group cells by")
    floor = float(model.card.scaling["floor"])
    options = {"variable": asked.variable, "months": asked.months}
    coarse, truth = (
        record(paths, options) for paths in (tuple(run / "coarse" for run in asked.runs), tuple(asked.runs))
    )
    days = range(asked.first, coarse.sizes["time"], asked.every)
    if len(days) < 2 or asked.members < DEGREE:
        raise SystemExit(
            f"{len(days)} days and {asked.members} members: expected at least 2 days and {DEGREE} members"
        )
    lazy = coarse.load().chunk(time=1)
    lazy = lazy.downscale.predict(model, members=asked.members, domain_check="ignore")
    y, x = (lazy[dim] for dim in lazy.dims[-2:])
    grid = Grid(model.fine.y.locate(y.values), model.fine.x.locate(x.values))
    deviation = np.exp(model.climatology.on(grid).numpy()[1].astype(np.float64))
    group = grouped(deviation, grid.area, asked.groups)
    counted = []
    for seed, day in enumerate(days):
        drawn = lazy.isel(time=day).transpose("realization", ...).values
        seen = truth.isel(time=day).sel({y.name: y.values, x.name: x.values}, method="nearest").values
        logs = (np.log(each.astype(np.float64) + floor) for each in (drawn, seen))
        counted.append(Counted.of(*logs, grid.area, group, seed))
    print("\n".join(table(counted, bounds(deviation, group))))
    print(
        f"\n{len(counted)} days, {model.card.name} {model.card.version}, xdownscale {xdownscale.__version__}"
    )


@dataclass(frozen=True)
class Counted:
    """Of a day, and one row for each group of cells.

    Attributes
    ----------
    squares : ndarray, shape (groups, 2)
        Of the spread, with Fortin's factor, and of the error of the members' mean, times areas.
    ranks : ndarray, shape (groups, members + 1)
        Areas by the truth's rank.
    """

    squares: NDArray[np.float64]
    ranks: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        members: NDArray[np.float64],
        truth: NDArray[np.float64],
        area: NDArray[np.float64],
        group: NDArray[np.int64],
        seed: int,
    ) -> Counted:
        """Count cells with a value in the truth and in all members; the seed is of ties between ranks."""
        known = np.isfinite(truth) & np.isfinite(members).all(axis=0)
        m = len(members)
        squares, ranks = [], []
        for number in range(group.max() + 1):
            here = known & (group == number)
            x, t, w = members[:, here], truth[here], area[here]
            squares.append([w @ x.var(axis=0, ddof=1) * (m + 1) / m, w @ (x.mean(axis=0) - t) ** 2])
            ranks.append(rank_histogram(x, t, w, seed=(seed, number)) * w.sum())
        return cls(np.array(squares), np.array(ranks))


def grouped(values: NDArray[np.float64], area: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The number of each cell's group, rising with the values; groups have equal areas, but for ties."""
    order = np.argsort(values, axis=None, kind="stable")
    below = np.cumsum(area.flat[order])
    edges = values.flat[order][np.searchsorted(below, below[-1] * np.arange(1, count) / count)]
    number = np.searchsorted(edges, values, side="right")
    # where many cells have one value some numbers stand for none
    return np.unique(number, return_inverse=True)[1].reshape(values.shape)


def bounds(values: NDArray[np.float64], group: NDArray[np.int64]) -> list[str]:
    """The least and the largest value of each group."""
    each = [values[group == number] for number in range(group.max() + 1)]
    return [f"{v.min():.3f} to {v.max():.3f}" for v in each]


def table(days: list[Counted], names: list[str]) -> list[str]:
    """A line for each group, and one for all cells."""
    squares = np.stack([day.squares for day in days])
    ranks = np.stack([day.ranks for day in days])
    head = [
        "deviation",
        "spread/skill",
        *(f"share {n}" for n in range(1, DEGREE + 1)),
        "outermost ranks over flat",
        "p",
    ]
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for number, name in enumerate(names):
        out.append(_line(name, squares[:, number], ranks[:, number]))
    return [*out, _line("all", squares.sum(axis=1), ranks.sum(axis=1))]


def _line(name: str, squares: NDArray[np.float64], ranks: NDArray[np.float64]) -> str:
    """Of squares (days, 2) and ranks (days, ranks)."""
    counts = draws(len(squares), REPLICATES, 0)
    ratio = np.sqrt(np.divide(*squares.sum(axis=0)))
    low, high = np.quantile(np.sqrt(np.divide(*(counts @ squares).T)), expanded(len(squares)))
    pooled, again = ranks.sum(axis=0), shares(counts @ ranks, DEGREE)
    told = [f"{v:+.3f} ({e:.3f})" for v, e in zip(shares(pooled, DEGREE), again.std(axis=0), strict=True)]
    ends = pooled[[0, -1]] / pooled.mean()
    cells = [
        name,
        f"{ratio:.3f} ({low:.3f}-{high:.3f})",
        *told,
        f"{ends[0]:.3f}, {ends[1]:.3f}",
        f"{flat_probability(ranks):.3f}",
    ]
    return "| " + " | ".join(cells) + " |"


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--variable", default="DUEXTTAU")
    parser.add_argument("--months", help="only these, as 3,4,5")
    parser.add_argument("--first", type=int, default=10, help="of the days of these months")
    parser.add_argument("--every", type=int, default=12)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--groups", type=int, default=10)
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
