"""``pretrain`` and ``train``: the two stages, from records to a checkpoint."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from xdownscale.cli.settings import EVALUATIONS, MODEL, check_names, configured, dry_run, example, read
from xdownscale.cli.terminal import check_output, plainly, steps_done

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

    from xdownscale.models.downscaler import Downscaler
    from xdownscale.training import Pretrained

__all__ = ["calibrate", "distil", "pretrain", "record", "train"]

_PATH = click.Path(path_type=Path)
_RECORD = "NetCDF file or zarr store (STORE.zarr/coarse of a nature run); may be given several times."
_SHARED = [
    click.option("--variable", default="DUEXTTAU", help="Variable of the records."),
    click.option("--months", help="Only these months of the year, as 6,7,8."),
    click.option("--config", type=_PATH, help="TOML, YAML or JSON file with fields of the configuration."),
    click.option("--steps", type=click.IntRange(1), help="Optimiser steps; the configuration's by default."),
    click.option("--seed", type=click.IntRange(0), help="The configuration's by default."),
    click.option("--folder", type=_PATH, help="Where the state is kept, so that a killed training resumes."),
    click.option("--device", default="cpu", help="A torch device."),
    click.option("--overwrite", is_flag=True, help="Replace the output if it exists."),
    dry_run,
]
_RESUMES = "give --folder, and the same command goes on from what is there"


def _learning(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SHARED):
        command = option(command)
    return command


@click.command(
    epilog=example(
        "pretrain encoder.safetensors --coarse record.zarr/coarse --config pretrain.toml --folder run"
    )
)
@click.argument("target", metavar="ENCODER", type=_PATH)
@click.option("--coarse", type=_PATH, multiple=True, required=True, help=_RECORD)
@_learning
def pretrain(target: Path, *, coarse: tuple[Path, ...], **given: Any) -> None:
    """Train the transfer encoder on a long coarse record and write it to ENCODER."""
    from xdownscale.training import PretrainConfig
    from xdownscale.training import pretrain as run

    with plainly(_RESUMES):
        check_output(target, overwrite=given["overwrite"])
        config = PretrainConfig(**_fields(given, PretrainConfig))
        field = record(coarse, given)
        if given["dry_run"]:
            click.echo(f"coarse record {_size(field)}\n{config}\nwould write {target}")
            return
        with steps_done(config.steps, "pretrain") as report:
            found = run(field, config=config, folder=given["folder"], device=given["device"], report=report)
        found.save(target, overwrite=given["overwrite"])
        click.echo(f"wrote {target}, encoder {found.digest}")


@click.command(
    epilog=example(
        "train mine.safetensors --encoder encoder.safetensors --coarse pairs.zarr/coarse --fine pairs.zarr",
        "train mine.safetensors --start jja_asia --coarse c.nc --fine f.nc --config train.toml --dry-run",
    )
)
@click.argument("target", metavar="MODEL", type=_PATH)
@click.option("--coarse", type=_PATH, multiple=True, required=True, help=_RECORD)
@click.option("--fine", type=_PATH, multiple=True, required=True, help=_RECORD)
@click.option("--encoder", type=_PATH, help="What pretrain wrote; it is frozen.")
@click.option("--start", type=MODEL, help="Model to go on from, encoder and denoiser: a name, or a path.")
@click.option("--card", type=_PATH, help="TOML, YAML or JSON file with fields of the card: name, licence ...")
@click.option("--half", is_flag=True, help="Store the denoiser's weights as float16.")
@click.option("--calibrate/--no-calibrate", default=True, help="Fit the spread on the days held out.")
@_learning
def train(
    target: Path,
    *,
    coarse: tuple[Path, ...],
    fine: tuple[Path, ...],
    encoder: Path | None,
    start: str | None,
    card: Path | None,
    **given: Any,
) -> None:
    """Train a model on pairs of coarse and fine days and write the checkpoint MODEL."""
    from xdownscale.calibration import calibrate
    from xdownscale.models.card import Card
    from xdownscale.training import TrainConfig
    from xdownscale.training import train as run

    with plainly(_RESUMES):
        check_output(target, overwrite=given["overwrite"])
        config = TrainConfig(**_fields(given, TrainConfig))
        begun = _begun(encoder, start, without=config.transfer == "none")
        fields = {} if card is None else read(card)
        check_names(card or target, fields, Card.__dataclass_fields__)
        low, high = record(coarse, given), record(fine, given)
        if given["dry_run"]:
            click.echo(
                f"coarse record {_size(low)}\nfine record {_size(high)}\n{config}\nwould write {target}"
            )
            return
        where = {"folder": given["folder"], "device": given["device"]}
        with steps_done(config.steps, "train") as report:
            model = run(low, high, begun, config=config, card=fields, report=report, **where)
        # of the last tenth of the days, which training holds out
        if given["calibrate"] and model.sampler.name != "direct":
            model = calibrate(model, low, high.isel(time=slice(-max(1, high.sizes["time"] // 10), None)))
        _keep(model, target, given)


@click.command(
    epilog=example(
        "calibrate mine.safetensors fitted.safetensors --coarse c.nc --fine f.nc --evaluations 2,4,8"
    )
)
@click.argument("source", metavar="MODEL", type=MODEL)
@click.argument("target", metavar="OUT", type=_PATH)
@click.option("--coarse", type=_PATH, multiple=True, required=True, help=_RECORD)
@click.option("--fine", type=_PATH, multiple=True, required=True, help=_RECORD)
@click.option("--variable", default="DUEXTTAU", help="Variable of the records.")
@click.option("--months", help="Only these months of the year, as 6,7,8.")
@click.option("--last", type=click.IntRange(1), help="Only the last days of the fine record.")
@click.option("--evaluations", default="2,4,8,16", help="Numbers of evaluations to fit for; `fast` too.")
@click.option(
    "--default", type=EVALUATIONS, help="What is drawn with where nothing is asked; kept if not given."
)
@click.option("--members", type=click.IntRange(2), default=4, help="Draws a crop or window.")
@click.option("--crops", type=click.IntRange(4), default=16, help="Crops in all.")
@click.option("--crop", type=click.IntRange(8), default=224, help="Side of a crop, in fine cells.")
@click.option(
    "--windows", type=click.IntRange(0), default=8, help="Windows in all, of some 768 fine cells a side."
)
@click.option("--seed", type=click.IntRange(0), default=0)
@click.option("--folder", type=_PATH, help="Where draws of windows are kept: a killed calibration resumes.")
@click.option("--half", is_flag=True, help="Store the denoiser's weights as float16.")
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@dry_run
@configured
def calibrate(source: str, target: Path, **given: Any) -> None:
    """Fit the spread of MODEL on days it was not trained on, and write the model to OUT."""
    from xdownscale.calibration import calibrate as run
    from xdownscale.calibration.fitting import work
    from xdownscale.registry import resolve

    with plainly(_RESUMES):
        check_output(target, overwrite=given["overwrite"])
        low, high = (record(given[name], given) for name in ("coarse", "fine"))
        last = given["last"] or high.sizes["time"]
        options = {name: given[name] for name in ("members", "crops", "crop", "windows", "seed", "folder")}
        numbers = [n if n == "fast" else int(n) for n in given["evaluations"].split(",")]
        model = resolve(source)
        if given["dry_run"]:
            click.echo(f"{model!r}\nfine record {_size(high)}, its last {last} days\nwould write {target}")
            return
        steps = work(numbers, given["crops"], given["windows"])
        with steps_done(steps, "calibrate") as report:
            fine = high.isel(time=slice(-last, None))
            model = run(model, low, fine, evaluations=numbers, report=report, **options)
        if given["default"] is not None:
            sampler = asdict(model.sampler_of(given["default"]))
            model = model.with_card(replace(model.card, sampler=sampler))
        _keep(model, target, given)
        for number in numbers if given["windows"] else ():
            click.echo(_came_to(number, model.card.training["calibration"][str(number)]))


def _came_to(number: int | str, told: dict[str, Any]) -> str:
    """A line on what a fit came to."""
    name = number if number == "fast" else f"{number} evaluations"
    spread, own = (
        "not known" if told[key] is None else f"{told[key]:.2f}"
        for key in ("spread_skill", "linear_spread_skill")
    )
    return (
        f"{name}, on the windows of the fit ({told['windows']}): spread over skill {spread}, "
        f"{own} in the units of the field; ranks of {told['members']} members "
        f"{min(told['ranks']):.2f} to {max(told['ranks']):.2f} of equal ones"
    )


@click.command(
    epilog=example(
        "distil mine.safetensors fast.safetensors --coarse c.nc --fine f.nc --steps 800 --folder run"
    )
)
@click.argument("source", metavar="MODEL", type=MODEL)
@click.argument("target", metavar="OUT", type=_PATH)
@click.option("--coarse", type=_PATH, multiple=True, required=True, help=_RECORD)
@click.option("--fine", type=_PATH, multiple=True, required=True, help=_RECORD)
@click.option("--start", type=MODEL, help="Distilled model whose second network is gone on from.")
@click.option("--half", is_flag=True, help="Store the denoisers' weights as float16.")
@_learning
def distil(
    source: str, target: Path, *, coarse: tuple[Path, ...], fine: tuple[Path, ...], **given: Any
) -> None:
    """Give MODEL a second network, with which two evaluations make a draw, and write the model to OUT."""
    from xdownscale.registry import resolve
    from xdownscale.training.config import TrainConfig
    from xdownscale.training.distillation import USUAL
    from xdownscale.training.distillation import distil as run

    with plainly(_RESUMES):
        check_output(target, overwrite=given["overwrite"])
        config = replace(USUAL, **_fields(given, TrainConfig))
        low, high, model = record(coarse, given), record(fine, given), resolve(source)
        start = None if given["start"] is None else resolve(given["start"])
        if given["dry_run"]:
            click.echo(f"{model!r}\nfine record {_size(high)}\n{config}\nwould write {target}")
            return
        where = {"folder": given["folder"], "device": given["device"]}
        with steps_done(config.steps, "distil") as report:
            model = run(model, low, high, start=start, config=config, report=report, **where)
        _keep(model, target, given)


def _keep(model: Downscaler, target: Path, given: dict[str, Any]) -> None:
    """Write a checkpoint, and say so."""
    from xdownscale.checkpoint import save

    stored: Literal["float32", "float16"] = "float16" if given["half"] else "float32"
    sha256 = save(model, target, overwrite=given["overwrite"], dtype=stored)
    click.echo(f"wrote {target}, sha256 {sha256}")


def _begun(encoder: Path | None, start: str | None, *, without: bool) -> Pretrained | Downscaler | None:
    from xdownscale.registry import resolve
    from xdownscale.training import Pretrained

    if without and encoder is None and start is None:
        return None
    if (encoder is None) == (start is None):
        raise click.UsageError(
            "give one of --encoder (what pretrain wrote) and --start (a model to go on from), or a "
            'configuration with transfer = "none"'
        )
    return Pretrained.load(encoder) if encoder is not None else resolve(str(start))


def record(paths: tuple[Path, ...], given: dict[str, Any]) -> xr.DataArray:
    """The variable and months asked for; one store is read day by day while it is learned from."""
    import xarray as xr

    fields = [_field(path, given["variable"]) for path in paths]
    field = fields[0] if len(fields) == 1 else xr.concat(fields, "time", join="exact")
    if given["months"] is None:
        return field
    months = [int(month) for month in given["months"].split(",")]
    return field.isel(time=field["time"].dt.month.isin(months).values)


def _field(path: Path, variable: str) -> xr.DataArray:
    import xarray as xr

    data = xr.open_zarr(path, chunks=None, consolidated=False) if path.is_dir() else xr.open_dataset(path)
    if variable not in data.data_vars:
        raise ValueError(
            f"{path} holds {sorted(map(str, data.data_vars))}, not {variable!r}: give --variable"
        )
    return data[variable]


def _fields(given: dict[str, Any], config: Any) -> dict[str, Any]:
    """Fields of a configuration: those of the file, then those of the command line; lists are tuples."""
    asked = {name: given[name] for name in ("steps", "seed") if given[name] is not None}
    path: Path | None = given["config"]
    if path is None:
        return asked
    content = read(path)
    check_names(path, content, config.__dataclass_fields__)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()} | asked


def _size(field: xr.DataArray) -> str:
    sizes = " x ".join(f"{n} {d}" for d, n in field.sizes.items())
    stamps = field["time"].values
    return f"{sizes}, {str(stamps[0])[:10]} to {str(stamps[-1])[:10]}"
