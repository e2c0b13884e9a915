"""``predict``, ``explain`` and ``models``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xdownscale.cli.terminal import check_output, on_terminal, plainly, write_netcdf

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

    from xdownscale.diffusion.sample import Sampler
    from xdownscale.models.downscaler import Downscaler

__all__ = ["explain", "models", "predict"]

_SAMPLERS = ["midpoint", "ddpm", "ddim", "dpmpp", "euler"]
_SETTINGS = [
    click.option("--members", type=click.IntRange(1), default=1, help="Number of draws."),
    click.option("--seed", type=click.IntRange(0), default=0, help="The same seed gives the same draws."),
    click.option(
        "--product", type=click.Choice(["draw", "mean"]), default="draw", help="Draws, or their mean."
    ),
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
    click.option("--model", default="jja_asia", help="Bundled name, or path of a checkpoint."),
    click.option("--variable", help="Variable of IN; the model's by default."),
    click.option("--daily", is_flag=True, help="IN is hourly MERRA-2: take daily means first."),
    click.option("--sampler", type=click.Choice(_SAMPLERS), help="The model's own by default."),
    click.option("--evaluations", type=click.IntRange(1), help="Of the network, per draw."),
]


def _downscaling(command: Callable[..., None]) -> Callable[..., None]:
    """Options that `predict` and `explain` share, handed over as the coarse field, the model and settings."""

    @functools.wraps(command)
    def run(
        *,
        sources: tuple[str, ...],
        model: str,
        variable: str | None,
        daily: bool,
        sampler: str | None,
        evaluations: int | None,
        **settings: Any,
    ) -> None:
        from xdownscale.registry import resolve

        with plainly():
            own = {name: settings.pop(name) for name in ("target", "overwrite") if name in settings}
            if own:
                check_output(own["target"], overwrite=own["overwrite"])
            loaded = resolve(model)
            coarse = _open(sources, variable or loaded.card.variable, named=variable is not None, daily=daily)
            settings |= {"sampler": _sampler(loaded, sampler, evaluations), "progress": on_terminal()}
            command(coarse, loaded, settings, **({"target": own["target"]} if own else {}))

    for option in reversed([*_SOURCE, *_SETTINGS]):
        run = option(run)
    return run


@click.command()
@click.argument("sources", metavar="IN...", nargs=-1, required=True)
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@_downscaling
def predict(coarse: xr.DataArray, model: Downscaler, settings: dict[str, Any], target: Path) -> None:
    """Draw fine fields from the coarse field in IN (netCDF files or patterns) and write them to OUT."""
    from xdownscale.inference.field import predict as run

    write_netcdf(run(coarse, model, **settings), target)
    click.echo(f"wrote {target}")


@click.command()
@click.argument("sources", metavar="IN...", nargs=-1, required=True)
@_downscaling
def explain(coarse: xr.DataArray, model: Downscaler, settings: dict[str, Any]) -> None:
    """Say what predict would do with the coarse field in IN, and compute nothing."""
    from xdownscale.inference.field import explain as run

    click.echo(str(run(coarse, model, **settings)))


@click.command()
@click.argument("name", required=False)
def models(name: str | None) -> None:
    """List the models that can be had by name, or show the card of one (a name or a path)."""
    from xdownscale.registry import list_models, resolve

    with plainly():
        if name is not None:
            click.echo(str(resolve(name).card))
            return
        for found, card in list_models().items():
            click.echo(f"{found:<20} {card.long_name or card.variable}; trained on {card.training['data']}")


def _open(sources: tuple[str, ...], variable: str, *, named: bool, daily: bool) -> xr.DataArray:
    """The coarse field in the files, in memory."""
    from glob import glob

    import xarray as xr

    if daily:
        from xdownscale.data.readers import open_merra2

        data = open_merra2(list(sources), daily=True)
    else:
        paths = [path for source in sources for path in sorted(glob(source)) or [source]]  # noqa: PTH207
        parts = [xr.open_dataset(path) for path in paths]
        data = parts[0] if len(parts) == 1 else xr.concat(parts, "time", data_vars="minimal", join="exact")
    if variable in data.data_vars:
        return data[variable].load()
    if named or len(data.data_vars) != 1:
        found = sorted(map(str, data.data_vars))
        raise ValueError(f"{sources[0]} holds {found}, not {variable!r}: choose one with --variable")
    return data[next(iter(data.data_vars))].load()


def _sampler(model: Downscaler, name: str | None, evaluations: int | None) -> Sampler | str | None:
    from xdownscale.diffusion.sample import Sampler

    if evaluations is None:
        return name
    return Sampler(name or model.sampler.name, evaluations)
