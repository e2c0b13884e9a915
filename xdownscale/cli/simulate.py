"""``nature-run``: the synthetic truth, to a zarr store."""

from __future__ import annotations

from pathlib import Path

import click

from xdownscale.cli.terminal import plainly, steps_done

__all__ = ["nature_run"]


@click.command("nature-run")
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
@click.option("--coarse-only", is_flag=True, help="Keep the coarse twin alone.")
def nature_run(
    store: Path,
    *,
    start: str,
    days: int,
    seed: int,
    region: tuple[float, float, float, float] | None,
    stride: int,
    coarse_only: bool,
) -> None:
    """Simulate dust and write fine days and their coarse twin to STORE (zarr); a killed run is resumed."""
    from xdownscale.data.nature_run import ASIA, NatureRun, write

    with plainly():
        run = NatureRun(start=start, days=days, seed=seed, region=region or ASIA, stride=stride)
        with steps_done(days, "nature run", unit="day") as report:
            write(run, store, fine=not coarse_only, report=report)
        click.echo(f"wrote {store}")
