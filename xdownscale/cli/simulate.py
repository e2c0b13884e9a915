"""``nature-run``: the synthetic truth, to a zarr store."""

from __future__ import annotations

from pathlib import Path

import click

from xdownscale.cli.settings import configured, dry_run, example
from xdownscale.cli.terminal import plainly, steps_done

__all__ = ["nature_run"]


@click.command(
    "nature-run",
    epilog=example(
        "nature-run season.zarr --start 2005-05-28 --days 96 --seed 3",
        "nature-run small.zarr --days 10 --region 28 34 44 52",
    ),
)
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--start", default="2005-05-15", help="First day, an ISO date.")
@click.option("--days", type=click.IntRange(1), default=763)
@click.option("--seed", type=click.IntRange(0), default=1, help="Of the weather; the world stays the same.")
@click.option(
    "--region",
    type=float,
    nargs=4,
    metavar="SOUTH NORTH WEST EAST",
    help="Degrees; the Asian dust belt by default.",
)
@click.option(
    "--stride", type=click.IntRange(1), default=1, help="Fine cells per simulated cell; 4 for long records."
)
@click.option(
    "--hours", type=click.IntRange(2, 24), default=24, help="Over which a mean is taken; divides 24."
)
@click.option("--coarse-only", is_flag=True, help="Keep the coarse twin alone.")
@dry_run
@configured
def nature_run(
    store: Path,
    *,
    start: str,
    days: int,
    seed: int,
    region: tuple[float, float, float, float] | None,
    stride: int,
    hours: int,
    coarse_only: bool,
    dry_run: bool,
) -> None:
    """Simulate dust and write fine days and their coarse twin to STORE (zarr); a killed run is resumed."""
    from xdownscale.data.nature_run import ASIA, NatureRun, write

    with plainly("the days that are done stay, and the same command goes on"):
        run = NatureRun(start, days, seed, region or ASIA, stride, hours=hours)
        if dry_run:
            ny, nx = run.cells.shape
            click.echo(
                f"{days} days of {ny} x {nx} fine cells from {start}, seed {seed}\nwould write {store}"
            )
            return
        with steps_done(run.fields, "nature run", unit="day") as report:
            write(run, store, fine=not coarse_only, report=report)
        click.echo(f"wrote {store}")
