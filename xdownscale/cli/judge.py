"""``evaluate``: models on unseen days, a table, a file and a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xdownscale.cli.learn import record
from xdownscale.cli.settings import EVALUATIONS, MODEL, as_json, configured, dry_run, echo_json, example
from xdownscale.cli.terminal import check_output, plainly, write_netcdf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["evaluate", "text"]

_PATH = click.Path(path_type=Path)


@click.command(
    epilog=example(
        "evaluate jja_asia --coarse unseen.zarr/coarse --truth unseen.zarr --every 8 --report page.html",
        "evaluate mine.safetensors jja_asia --coarse c.nc --truth f.nc --json",
        "evaluate mine.safetensors --task rollout --coarse c.nc --truth f.nc --first 20 --members 8",
    )
)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=MODEL)
@click.option("--coarse", type=_PATH, multiple=True, required=True, help="Coarse record; may be given again.")
@click.option("--truth", type=_PATH, multiple=True, required=True, help="Fine truth; may be given again.")
@click.option("--variable", default="DUEXTTAU", help="Variable of the records.")
@click.option("--months", help="Only these months of the year, as 6,7,8.")
@click.option("--lat", type=float, nargs=2, help="Only these latitudes of the coarse record.")
@click.option("--lon", type=float, nargs=2, help="Only these longitudes of the coarse record.")
@click.option(
    "--first", type=click.IntRange(0), default=0, help="First day judged; earlier ones are history."
)
@click.option("--every", type=click.IntRange(1), default=1, help="Judge every n-th day.")
@click.option(
    "--task",
    type=click.Choice(["downscaling", "rollout"]),
    default="downscaling",
    help="Days from coarse fields alone, or days of one's own from one fine day, without gaps, of one MODEL.",
)
@click.option("--days", type=click.IntRange(8), default=60, help="Days of a roll-out, from --first on.")
@click.option("--members", type=click.IntRange(2), default=16, help="Draws a day.")
@click.option("--seed", type=click.IntRange(0), default=0)
@click.option(
    "--evaluations",
    type=EVALUATIONS,
    help="Of the network, or `fast` for a distilled model; each card's own by default.",
)
@click.option(
    "--smoothing",
    type=click.FloatRange(0),
    default=0.0,
    help="Smooth the coarse input by a Gaussian of so many of its cells, as a reanalysis is.",
)
@click.option("--intervals", type=click.IntRange(0), default=200, help="Bootstrap replicates; 0 for none.")
@click.option("--block", type=click.FloatRange(1), default=5, help="Days in a block of the bootstrap.")
@click.option("--out", type=_PATH, help="netCDF file for all that was found.")
@click.option("--report", type=_PATH, help="HTML page with tables and figures.")
@click.option("--write", is_flag=True, help="Put the scores on the card of the first MODEL, a file.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@as_json
@dry_run
@configured
def evaluate(models: tuple[str, ...], *, out: Path | None, report: Path | None, **given: Any) -> None:
    """Judge MODELs on days that they have not seen, beside interpolation."""
    from xdownscale.trial import rows, trial

    with plainly():
        for path in filter(None, (out, report)):
            check_output(path, overwrite=given["overwrite"])
        coarse, truth = record(given["coarse"], given), record(given["truth"], given)
        for axis in ("lat", "lon"):
            if given[axis]:
                coarse = coarse.sel({axis: slice(*given[axis])})
        if given["task"] == "rollout":
            _roll_out(models, coarse, truth, out, report, given)
            return
        days = range(given["first"], coarse.sizes["time"], given["every"])
        if given["dry_run"]:
            count = f"{len(days)} days x {given['members']} members"
            click.echo(f"would draw {count} by {', '.join(models)} on {dict(coarse.sizes)}")
            return
        options = {
            key: given[key] for key in ("members", "seed", "evaluations", "smoothing", "intervals", "block")
        }
        found = trial(models, coarse.load(), truth, days=days, **options)
        table = rows(found, given["evaluations"] or _evaluations(models[0]))
        _tell(found, table, out, given)
        if report is not None:
            _page(found, report, overwrite=given["overwrite"])
        if given["write"]:
            _write(models[0], table)


def _roll_out(
    models: tuple[str, ...],
    coarse: Any,
    truth: Any,
    out: Path | None,
    report: Path | None,
    given: dict[str, Any],
) -> None:
    """Judge days in sequence from one fine day."""
    from xdownscale.registry import resolve
    from xdownscale.rollout import rollout, ways_of

    if len(models) != 1 or report is not None or given["write"] or given["smoothing"]:
        raise click.UsageError(
            "--task rollout judges one MODEL, without --report, --write and --smoothing; --out keeps it all"
        )
    told = {key: given[key] for key in ("first", "days", "members", "seed")}
    if given["dry_run"]:
        ways = ", ".join(ways_of(resolve(models[0])))
        click.echo(f"would draw {told} by {models[0]}, {ways}, on {dict(coarse.sizes)}")
        return
    found = rollout(models[0], coarse, truth, **told)
    _tell(found, _lead_rows(found), out, given)


def _tell(found: Any, table: Sequence[dict[str, Any]], out: Path | None, given: dict[str, Any]) -> None:
    """Print the table, for people or machines, and write all that was found."""
    if given["as_json"]:
        echo_json(table)
    else:
        click.echo(text(table))
    if out is not None:
        write_netcdf(found, out)


def _lead_rows(found: Any, span: int = 10) -> list[dict[str, Any]]:
    """One row a way and part: means of the first and of the last days, and autocorrelations."""
    out = []
    ends = {"first": slice(0, span), "last": slice(-span, None)}
    for way in found["source"].values:
        for part in found["part"].values:
            one = found.sel(source=way, part=part)
            row: dict[str, Any] = {"way": str(way), "part": str(part)}
            for name in ("variance_ratio", "w1", "crps"):
                row |= {
                    f"{name}_{end}": round(float(one[name][days].mean()), 4) for end, days in ends.items()
                }
            for lag in (1, 7):
                if lag in found["lag"].values:
                    row[f"acf_{lag}"] = round(float(one["acf"].sel(lag=lag)), 4)
                    row[f"truth_acf_{lag}"] = round(float(one["truth_acf"].sel(lag=lag)), 4)
            out.append(row)
    return out


def _evaluations(model: str) -> int | str:
    from xdownscale.registry import resolve

    sampler = resolve(model).sampler
    return "fast" if sampler.name == "fast" else sampler.evaluations


def _page(found: Any, path: Path, *, overwrite: bool) -> None:
    from xdownscale.plot.evaluation import figures
    from xdownscale.report import report

    report(found, path, figures=figures(found), overwrite=overwrite)


def _write(model: str, table: Sequence[dict[str, Any]]) -> None:
    """Put a table on a card, whose scores of as many evaluations of like input it replaces."""
    from dataclasses import replace

    from xdownscale.checkpoint import load, rewrite

    card = load(model).card
    rewrite(model, replace(card, scores=(*_still_of_use(card.scores, table), *table)))


def _still_of_use(scores: Sequence[Any], table: Sequence[dict[str, Any]]) -> list[Any]:
    """Rows of a card that stay beside a new table, the first row of which is the model's.

    Its rows of other evaluations or input do; those of other sources as long as a row of the model's of the
    same cells, days and input does, if the table has not the same.
    """
    judged = table[0]
    own = [row for row in scores if row.get("name") == judged["name"] and _how(row) != _how(judged)]
    compared = {_where(row) for row in own} - {_where(judged)}
    return [
        row for row in scores if row in own or (row.get("name") != judged["name"] and _where(row) in compared)
    ]


def _how(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row.get("evaluations"), row.get("smoothing")


def _where(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row.get("cells"), row.get("days"), row.get("smoothing")


def text(table: Sequence[dict[str, Any]]) -> str:
    """Rows of named values as lines with columns."""
    names = list(dict.fromkeys(name for row in table for name in row))
    body = [names, *([_shown(row.get(name)) for name in names] for row in table)]
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    return "\n".join(
        "  ".join(f"{v:<{w}}" for v, w in zip(line, widths, strict=True)).rstrip() for line in body
    )


def _shown(value: Any) -> str:
    return "-" if value is None else (f"{value:.4f}" if isinstance(value, float) else str(value))
