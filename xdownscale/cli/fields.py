"""``predict``, ``explain``, ``verify`` and ``models``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xdownscale.cli.settings import MODEL, as_json, configured, dry_run, echo_json, example
from xdownscale.cli.terminal import Wanting, check_folder, check_output, on_terminal, plainly, write_netcdf

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

    from xdownscale.diffusion.sample import Sampler
    from xdownscale.models.downscaler import Downscaler
    from xdownscale.patches import Tiling

__all__ = ["explain", "models", "predict", "verify"]

_SAMPLERS = ["midpoint", "fast", "ddpm", "ddim", "dpmpp", "euler"]
_SETTINGS = [
    click.option("--members", type=click.IntRange(1), default=1, help="Number of draws."),
    click.option("--seed", type=click.IntRange(0), default=0, help="The same seed gives the same draws."),
    click.option(
        "--product", type=click.Choice(["draw", "mean"]), default="draw", help="Draws, or their mean."
    ),
    click.option(
        "--coherence",
        type=click.Choice(["independent", "correlated", "autoregressive"]),
        default="independent",
        help="Of days in sequence.",
    ),
    click.option("--state", type=click.Path(), help="Fine days to go on from, or to look at (netCDF)."),
    click.option("--patch", type=click.IntRange(8), help="Side of the patches, in fine cells."),
    click.option("--halo", type=click.IntRange(0), help="Their edge that gets no weight."),
    click.option("--ramp", type=click.IntRange(0), help="Over which their weight rises."),
    click.option("--stride", type=click.IntRange(1), help="Their spacing."),
    click.option("--merge", type=click.Choice(["step", "final"]), help="In every step, or at the end."),
    click.option("--batch", type=click.IntRange(1), help="Patches a call of the network."),
    click.option("--conserve/--no-conserve", default=True, help="Keep the coarse mean of the input."),
    click.option(
        "--domain-check",
        type=click.Choice(["raise", "warn", "ignore"]),
        default="raise",
        help="Input that the model was not trained for.",
    ),
    click.option("--device", default="auto", help="A torch device."),
]
_SOURCE = [
    click.option(
        "--model", type=MODEL, default="jja_asia", help="Name, path of a checkpoint, or hf:// model."
    ),
    click.option("--variable", help="Variable of IN; the model's by default."),
    click.option("--daily", is_flag=True, help="IN is hourly MERRA-2: take daily means first."),
    click.option("--sampler", type=click.Choice(_SAMPLERS), help="The model's own by default."),
    click.option("--evaluations", type=click.IntRange(1), help="Of the network, per draw."),
]


def _downscaling(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that `predict` and `explain` share."""
    for option in reversed([*_SOURCE, *_SETTINGS]):
        command = option(command)
    return configured(command)


@click.command(
    epilog=example(
        "predict coarse.nc fine.nc --model jja_asia --members 4",
        "predict 'MERRA2_*.nc4' fine.zarr --daily --members 20 --config season.toml",
        "predict coarse.nc fine.nc --dry-run",
    )
)
@click.argument("sources", metavar="IN...", nargs=-1, required=True)
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@dry_run
@_downscaling
def predict(target: Path, overwrite: bool, dry_run: bool, **asked: Any) -> None:
    """Draw fine fields from the coarse field in IN (netCDF files or patterns) and write them to OUT.

    OUT is a netCDF file; or, if its name ends in .zarr, a zarr store, which is written block by block: the
    same command goes on with one that was interrupted.
    """
    stored = target.suffix == ".zarr"
    with plainly("what is done stays, and the same command goes on" if stored else "nothing was written"):
        if dry_run:
            click.echo(f"{_planned(target, overwrite, asked)}\nwould write {target}")
            return
        (_write_store if stored else _write_file)(target, overwrite, asked)
        click.echo(f"wrote {target}")


@click.command(epilog=example("explain coarse.nc --members 4", "explain coarse.nc --json"))
@click.argument("sources", metavar="IN...", nargs=-1, required=True)
@as_json
@_downscaling
def explain(as_json: bool, **asked: Any) -> None:
    """Say what predict would do with the coarse field in IN, and compute nothing."""
    from xdownscale.inference.field import explain as run

    with plainly():
        coarse, model, settings = _understood(asked)
        plan = run(coarse, model, **settings)
        if as_json:
            echo_json(plan.to_dict())
        else:
            click.echo(str(plan))


@click.command(epilog=example("verify fine.zarr", "verify s3://bucket/fine.zarr --json"))
@click.argument("store")
@as_json
def verify(store: str, as_json: bool) -> None:
    """Check each byte of a zarr STORE that predict wrote, a folder or a URL."""
    from dataclasses import asdict

    from xdownscale.inference.ledger import verify as run

    with plainly():
        report = run(store)
        if as_json:
            echo_json(asdict(report) | {"sound": report.sound, "complete": report.complete})
        else:
            click.echo(str(report))
        if not report.complete:
            state = "not complete" if report.sound else "damaged"
            raise Wanting(f"{store} is {state}: run predict again")


@click.command(epilog=example("models", "models jja_asia", "models jja_asia --json"))
@click.argument("name", required=False, type=MODEL)
@as_json
def models(name: str | None, as_json: bool) -> None:
    """List the models that can be had by name, or show the card of one (a name or a path)."""
    import json

    from xdownscale.registry import list_models, resolve

    with plainly():
        cards = list_models() if name is None else {name: resolve(name).card}
        if as_json:
            content = {found: json.loads(card.to_json()) for found, card in cards.items()}
            echo_json(content if name is None else content[name])
            return
        for found, card in cards.items():
            line = f"{found:<20} {card.long_name or card.variable}; trained on {card.training['data']}"
            click.echo(line if name is None else str(card))


def _planned(target: Path, overwrite: bool, asked: dict[str, Any]) -> str:
    """The plan of what predict would do, after every check that it makes before it draws."""
    from xdownscale.inference.field import plan
    from xdownscale.inference.job import prepare

    if target.suffix == ".zarr":
        check_folder(target)
    else:
        check_output(target, overwrite=overwrite)
    coarse, model, settings = _understood(asked)
    del settings["progress"]
    return str(plan(prepare(coarse, model, dims=None, **settings), None))


def _write_file(target: Path, overwrite: bool, asked: dict[str, Any]) -> None:
    from xdownscale.cf import to_dataset
    from xdownscale.inference.field import predict as run

    check_output(target, overwrite=overwrite)
    coarse, model, settings = _understood(asked)
    write_netcdf(to_dataset(run(coarse, model, **settings)), target)


def _write_store(target: Path, overwrite: bool, asked: dict[str, Any]) -> None:
    from xdownscale.inference.store import to_zarr

    check_folder(target)
    coarse, model, settings = _understood(asked)
    to_zarr(coarse, target, model, **settings, overwrite=overwrite, report=click.echo)


def _understood(asked: dict[str, Any]) -> tuple[xr.DataArray, Downscaler, dict[str, Any]]:
    """The coarse field, the model, and the arguments of `predict` that the options stand for."""
    from xdownscale.registry import resolve

    source = {
        name: asked.pop(name) for name in ("sources", "model", "variable", "daily", "sampler", "evaluations")
    }
    data = _open(source["sources"], daily=source["daily"])
    model = resolve(source["model"])
    coarse = _chosen(data, source["variable"], model.card.variable)
    sampler = _sampler(model, source["sampler"], source["evaluations"])
    cut = {name: asked.pop(name) for name in ("patch", "halo", "ramp", "stride", "merge", "batch")}
    state = None if asked["state"] is None else _chosen(_open((asked["state"],)), None, model.card.variable)
    settings = {"sampler": sampler, "tiling": _tiling(cut), "state": state, "progress": on_terminal()}
    return coarse, model, asked | settings


def _tiling(cut: dict[str, Any]) -> Tiling | None:
    from xdownscale.patches import Tiling

    given = {name: value for name, value in cut.items() if value is not None}
    return Tiling(**given) if given else None


def _open(sources: tuple[str, ...], *, daily: bool = False) -> xr.Dataset:
    from glob import glob

    import xarray as xr

    if daily:
        from xdownscale.data.readers import open_merra2

        return open_merra2(list(sources), daily=True)
    paths = [path for source in sources for path in sorted(glob(source)) or [source]]  # noqa: PTH207
    parts = [xr.open_dataset(path) for path in paths]
    return parts[0] if len(parts) == 1 else xr.concat(parts, "time", data_vars="minimal", join="exact")


def _chosen(data: xr.Dataset, asked: str | None, usual: str) -> xr.DataArray:
    """The variable asked for, else the model's, else the only one; in memory."""
    names = list(data.data_vars)
    name = asked or (usual if usual in names or len(names) != 1 else names[0])
    if name not in names:
        raise ValueError(
            f"the input holds {sorted(map(str, names))}, not {name!r}: choose one with --variable"
        )
    return data[name].load()


def _sampler(model: Downscaler, name: str | None, evaluations: int | None) -> Sampler | str | None:
    if evaluations is None:
        return name
    return model.sampler_of(evaluations, name)
