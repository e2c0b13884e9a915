"""``demo``: the whole path on a bundled sample, without network."""

from __future__ import annotations

import time
from pathlib import Path

import click

from xdownscale.cli.settings import MODEL, example
from xdownscale.cli.terminal import beside, check_output, on_terminal, plainly, write_netcdf

__all__ = ["demo"]


@click.command(epilog=example("demo", "demo --out tour --members 4"))
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("xdownscale-demo"), help="Folder to write to."
)
@click.option("--model", type=MODEL, default="jja_asia", help="Name, or path of a checkpoint.")
@click.option("--members", type=click.IntRange(2), default=2, help="Number of draws.")
@click.option("--seed", type=click.IntRange(0), default=0, help="The same seed gives the same draws.")
@click.option("--overwrite", is_flag=True, help="Replace what an earlier demo wrote.")
def demo(out: Path, model: str, members: int, seed: int, overwrite: bool) -> None:
    """Downscale a bundled sample of simulated coarse days; write a netCDF and a figure."""
    from xdownscale.cf import to_dataset
    from xdownscale.data.sample import open_sample
    from xdownscale.inference.field import predict
    from xdownscale.plot import overview

    with plainly("what was written is whole"):
        out.mkdir(parents=True, exist_ok=True)
        netcdf, picture = out / "demo.nc", out / "demo.png"
        for path in (netcdf, picture):
            check_output(path, overwrite=overwrite)
        coarse = open_sample()["DUEXTTAU"].load()
        began = time.monotonic()
        fine = predict(coarse, model, members=members, seed=seed, progress=on_terminal())
        click.echo(f"{coarse.shape} -> {fine.shape} in {time.monotonic() - began:.0f} s")
        write_netcdf(to_dataset(fine), netcdf)
        with beside(picture) as part:
            overview(coarse, fine, day=-1).savefig(part, dpi=120)
        click.echo(f"wrote {netcdf}\nwrote {picture}")
