"""``diagnose`` and ``check``: a field, or a model, looked at for whether it can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xdownscale.cli.judge import text
from xdownscale.cli.settings import MODEL, as_json, configured, echo_json, example
from xdownscale.cli.terminal import Wanting, check_output, plainly, write_netcdf

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["check", "diagnose"]

_PATH = click.Path(path_type=Path)
_SCORES = ("bias", "mae", "rmse", "r2", "crps", "spread_skill", "wasserstein_w1")


@click.command(
    epilog=example(
        "diagnose fine.nc --coarse coarse.nc",
        "diagnose fine.nc --truth truth.nc --coarse coarse.nc --report page.html",
        "diagnose fine.zarr --json",
    )
)
@click.argument("source", metavar="FIELD", type=_PATH)
@click.option("--truth", type=_PATH, help="Fine truth on the same cells and times.")
@click.option(
    "--coarse", type=_PATH, help="The coarse input: is its mean kept? With a truth: interpolations of it."
)
@click.option("--variable", help="Variable of all files; the only one of FIELD by default.")
@click.option("--intervals", type=click.IntRange(0), default=0, help="Bootstrap replicates; 0 for none.")
@click.option("--out", type=_PATH, help="netCDF file for all that was found.")
@click.option("--report", type=_PATH, help="HTML page with tables and figures; needs --truth.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@as_json
@configured
def diagnose(source: Path, **given: Any) -> None:
    """Say what FIELD (netCDF or zarr) is like: values, texture, spectrum; beside a truth, its scores."""
    with plainly():
        for path in filter(None, (given["out"], given["report"])):
            check_output(path, overwrite=given["overwrite"])
        if given["report"] is not None and given["truth"] is None:
            raise click.UsageError("--report is a page of scores: give --truth")
        fine = _opened(source, given["variable"])
        beside = {
            name: None if given[name] is None else _opened(given[name], str(fine.name))
            for name in ("truth", "coarse")
        }
        summary, found = _described(fine, beside["coarse"])
        table: list[dict[str, Any]] = []
        if beside["truth"] is not None:
            found = _judged(fine, beside["truth"], beside["coarse"], given)
            table = _scores(found)
        if given["as_json"]:
            echo_json({**summary, "scores": table})
        else:
            click.echo("\n".join(f"{name:<28}{_shown(value)}" for name, value in summary.items()))
            click.echo(f"\n{text(table)}" if table else "", nl=bool(table))
        if given["out"] is not None:
            write_netcdf(found, given["out"])


@click.command(epilog=example("check mine.safetensors", "check jja_asia --only seed --only crop --json"))
@click.argument("model", type=MODEL)
@click.option("--only", multiple=True, help="Name of a check; may be given again.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the example fields and the draws.")
@click.option("--device", default="cpu", help="A torch device.")
@as_json
def check(model: str, only: tuple[str, ...], seed: int, device: str, as_json: bool) -> None:
    """Examine whether MODEL, ours or a third party's, keeps the promises of predict."""
    from xdownscale.testing import check_model

    with plainly():
        found = check_model(model, only=only or None, seed=seed, device=device)
        if as_json:
            echo_json(found.to_dict())
        else:
            click.echo(str(found))
        if not found:
            raise Wanting(f"{found.model} breaks {len(found.broken)} promises")


def _opened(path: Path, variable: str | None) -> xr.DataArray:
    import xarray as xr

    data = xr.open_zarr(path, consolidated=False) if path.is_dir() else xr.open_dataset(path)
    names = [str(n) for n, v in data.data_vars.items() if v.ndim >= 2 and not str(n).endswith("_bnds")]
    name = variable or (names[0] if len(names) == 1 else None)
    if name not in names:
        raise ValueError(f"{path} holds {sorted(names)}: choose one with --variable")
    return data[name].load()


def _described(fine: xr.DataArray, coarse: xr.DataArray | None) -> tuple[dict[str, Any], xr.Dataset]:
    """Figures for people, and the curves that they are from."""
    import numpy as np

    from xdownscale.diagnostics import semivariogram, spectrum

    values = fine.values
    quantiles = np.nanquantile(values, [0.5, 0.99, 0.999]) if np.isfinite(values).any() else [np.nan] * 3
    summary: dict[str, Any] = {
        "variable": str(fine.name),
        "sizes": ", ".join(f"{d} {n}" for d, n in fine.sizes.items()),
        "units": str(fine.attrs.get("units", "")),
        "training of the model": str(fine.attrs.get("downscale_training", "not stated")),
        "missing": float(np.isnan(values).mean()),
        "least": float(np.nanmin(values)),
        "mean": float(np.nanmean(values)),
        "median": float(quantiles[0]),
        "99 %": float(quantiles[1]),
        "99.9 %": float(quantiles[2]),
        "largest": float(np.nanmax(values)),
    }
    curves = semivariogram(fine), spectrum(fine)
    for name in ("nugget", "sill", "range"):
        if name in curves[0]:
            summary[f"semivariogram, {name}"] = float(curves[0][name])
    if coarse is not None:
        summary["coarse mean, error"] = _coarse_error(fine, coarse)
    return summary, _together(*curves)


def _together(variogram: xr.Dataset, power: xr.Dataset) -> xr.Dataset:
    import xarray as xr

    named = (
        d.rename({str(v): f"{name}_{v}" for v in [*d.data_vars, *d.coords] if v not in d.dims})
        for name, d in (("semivariogram", variogram), ("spectrum", power))
    )
    return xr.merge(named, compat="override", combine_attrs="drop_conflicts")


def _coarse_error(fine: xr.DataArray, coarse: xr.DataArray) -> float:
    """Largest error of the coarse mean over the input's largest value, where both are known."""
    import numpy as np

    from xdownscale.cf import coarsen
    from xdownscale.cf.raster import raster

    low = raster(coarse)
    mean = coarsen(fine, low.grid)
    y, x = mean.dims[-2:]
    same = {y: mean[y].values, x: mean[x].values}
    given = low.fields.rename({low.axes.lat: y, low.axes.lon: x}).sel(same, method="nearest", tolerance=1e-3)
    given = given.assign_coords(same)
    return float(np.abs(mean - given).max() / np.abs(given).max())


def _judged(
    fine: xr.DataArray, truth: xr.DataArray, coarse: xr.DataArray | None, given: dict[str, Any]
) -> xr.Dataset:
    from xdownscale.diagnostics import evaluate
    from xdownscale.plot.evaluation import figures
    from xdownscale.report import report

    found = evaluate(fine, truth, coarse, intervals=given["intervals"])
    if given["report"] is not None:
        report(found, given["report"], figures=figures(found), overwrite=given["overwrite"])
    return found


def _scores(found: xr.Dataset) -> list[dict[str, Any]]:
    names = [name for name in _SCORES if name in found]
    return [
        {"source": str(source), "space": str(space)}
        | {name: float(found[name].sel(source=source, space=space)) for name in names}
        for space in found["space"].values
        for source in found["source"].values
    ]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
