"""``pretrain`` and ``train``: the two stages, from records to a checkpoint."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xdownscale.cli.terminal import check_output, on_terminal, plainly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import xarray as xr

__all__ = ["pretrain", "train"]

_PATH = click.Path(path_type=Path)
_SHARED = [
    click.option("--variable", default="DUEXTTAU", help="Variable of the records."),
    click.option("--months", help="Only these months of the year, as 6,7,8."),
    click.option("--config", type=_PATH, help="JSON file with fields of the configuration."),
    click.option("--steps", type=click.IntRange(1), help="Optimiser steps; the configuration's by default."),
    click.option("--seed", type=click.IntRange(0), help="The configuration's by default."),
    click.option("--folder", type=_PATH, help="Where the state is kept, so that a killed training resumes."),
    click.option("--device", default="cpu", help="A torch device."),
    click.option("--overwrite", is_flag=True, help="Replace the output if it exists."),
]


def _learning(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SHARED):
        command = option(command)
    return command


@click.command()
@click.argument("record", type=_PATH)
@click.argument("target", metavar="ENCODER", type=_PATH)
@_learning
def pretrain(record: Path, target: Path, *, variable: str, months: str | None, **given: Any) -> None:
    """Train the transfer encoder on the long coarse RECORD (netCDF or zarr) and write it to ENCODER."""
    from xdownscale.training import PretrainConfig
    from xdownscale.training import pretrain as run

    with plainly():
        check_output(target, overwrite=given["overwrite"])
        config = PretrainConfig(**_fields(given))
        coarse = _record(record, variable, months)
        with _progress(config.steps, "pretrain") as report:
            found = run(coarse, config=config, folder=given["folder"], device=given["device"], report=report)
        found.save(target, overwrite=given["overwrite"])
        click.echo(f"wrote {target}, encoder {found.digest}")


@click.command()
@click.argument("coarse", type=_PATH)
@click.argument("fine", type=_PATH)
@click.argument("target", metavar="MODEL", type=_PATH)
@click.option("--encoder", type=_PATH, required=True, help="What pretrain wrote.")
@click.option("--card", type=_PATH, help="JSON file with fields of the card: name, licence, training ...")
@click.option("--half", is_flag=True, help="Store the denoiser's weights as float16.")
@_learning
def train(
    coarse: Path, fine: Path, target: Path, *, encoder: Path, card: Path | None, half: bool, **given: Any
) -> None:
    """Train a model on days of COARSE and FINE (netCDF or zarr) and write the checkpoint MODEL."""
    from xdownscale.checkpoint import save
    from xdownscale.training import Pretrained, TrainConfig
    from xdownscale.training import train as run

    with plainly():
        check_output(target, overwrite=given["overwrite"])
        config = TrainConfig(**_fields(given))
        low, high = (_record(path, given["variable"], given["months"]) for path in (coarse, fine))
        with _progress(config.steps, "train") as report:
            model = run(
                low,
                high,
                Pretrained.load(encoder),
                config=config,
                card=_json(card),
                folder=given["folder"],
                device=given["device"],
                report=report,
            )
        sha256 = save(model, target, overwrite=given["overwrite"], dtype="float16" if half else "float32")
        click.echo(f"wrote {target}, sha256 {sha256}")


def _record(path: Path, variable: str, months: str | None) -> xr.DataArray:
    """A record read day by day while it is learned from."""
    import xarray as xr

    data = xr.open_zarr(path, chunks=None) if path.is_dir() else xr.open_dataset(path)
    if variable not in data.data_vars:
        raise ValueError(
            f"{path} holds {sorted(map(str, data.data_vars))}, not {variable!r}: give --variable"
        )
    field = data[variable]
    if months is None:
        return field
    return field.isel(time=field["time"].dt.month.isin([int(m) for m in months.split(",")]).values)


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """Fields of a configuration: those of the file, then those of the command line; JSON lists are tuples."""
    asked = {name: given[name] for name in ("steps", "seed") if given[name] is not None}
    stored = {k: tuple(v) if isinstance(v, list) else v for k, v in _json(given["config"]).items()}
    return stored | asked


def _json(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a JSON {type(content).__name__}: expected an object of named fields")
    return content


@contextmanager
def _progress(steps: int, label: str) -> Iterator[Callable[[int, float, float | None], None]]:
    """A bar with the running loss and the last validation score, on a terminal only."""
    from tqdm import tqdm

    with tqdm(total=steps, desc=label, unit="step", disable=not on_terminal()) as bar:

        def report(step: int, loss: float, score: float | None) -> None:
            bar.update(step - bar.n)
            bar.set_postfix(loss=f"{loss:.4f}", validation="-" if score is None else f"{score:.4f}")

        yield report
