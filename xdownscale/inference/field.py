"""From a labelled coarse field to a labelled fine one: `predict`, and `explain`, which says what it would do.

Everything is checked before anything is computed. The coarse input is read into memory, days times a few
hundred kB; the result is in memory too, and `explain` says how large it is.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product as _product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from xdownscale.cf import Field, build, check_bounds, understand
from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import Grid, refined
from xdownscale.inference.domain import DomainCheck, Findings, check_labels, check_values, judge
from xdownscale.inference.engine import Options, draw, history, lay
from xdownscale.inference.plan import Plan
from xdownscale.patches import Tiling
from xdownscale.registry import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.models import Downscaler

__all__ = ["Plan", "explain", "predict"]


def predict(
    da: xr.DataArray | xr.Dataset,
    model: Downscaler | str | os.PathLike[str],
    *,
    members: int = 1,
    seed: int = 0,
    product: Literal["draw", "mean"] = "draw",
    sampler: Sampler | str | None = None,
    tiling: Tiling | None = None,
    conserve: bool = True,
    domain_check: DomainCheck = "raise",
    dims: Mapping[str, str] | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> xr.DataArray:
    """Downscale a coarse field.

    Parameters
    ----------
    da : DataArray [the model's units]
        Daily fields on the model's coarse grid: any order of dimensions, either latitude order, any longitude
        convention, any crop. Earlier days in it are the history of later ones. A Dataset with one variable is
        taken for that variable.
    model : Downscaler, str or path-like
        A model, a name of `list_models`, or the path of a checkpoint.
    members : int, >= 1
        Draws; member m is the same however many are asked for.
    seed : int, >= 0
        Same seed, same bits.
    product : {"draw", "mean"}
        Draws of the fine field, or the conditional mean (one evaluation, one member).
    sampler : Sampler or str, optional
        A sampler, or its name with the card's evaluations; the card's by default.
    tiling : Tiling, optional
        How the field is cut.
    conserve : bool
        Make the conservative coarse mean of each member equal to the input (1e-6 relative).
    domain_check : {"raise", "warn", "ignore"}
        What to do with an input outside the model's region, months or values.
    dims : mapping, optional
        Names of dimensions where discovery cannot tell: ``{"lat": "row", "lon": "column", "time": "day"}``.
    device : str
        "auto", "cpu", "cuda" or another torch device.
    progress : bool, optional
        Show a bar; by default on a terminal only.

    Returns
    -------
    DataArray, dims (realization, time, lat, lon), float32 [the model's units]
        On the exact fine grid, NaN where the input has gaps; CF metadata and provenance in its attributes.

    Raises
    ------
    ValueError, TypeError
        If the input or an option is not what it must be; nothing has been computed then.
    DomainError
        If the input lies outside the model's domain and `domain_check` is "raise".

    References
    ----------
    Xiang et al., Spatiotemporal Satellite Image Downscaling with Transfer Encoders and Autoregressive
    Generative Models, arXiv 2512.05139.
    """
    job = _prepare(da, model, members, seed, product, sampler, tiling, conserve, domain_check, dims, device)
    field, options, values = job.field, job.options, job.values
    fine = refined(field.grid, job.model.fine)
    shape = job.others
    out = np.empty((*shape, len(options.members), field.days, *fine.shape), dtype=np.float32)
    before = np.empty((*shape, len(options.members), field.days))
    with _bar(progress, len(options.members) * field.days * max(1, int(np.prod(shape)))) as bar:
        for place in np.ndindex(*shape):
            result = draw(job.model, values[place], field.grid, field.instants, options, advance=bar.update)
            out[place], before[place] = result.values, result.residual
    attrs = _attributes(job, float(np.nanmax(before, initial=0.0)) if np.isfinite(before).any() else None)
    card = job.model.card
    return build(
        out,
        field,
        fine,
        name=card.variable,
        members=options.members,
        attrs=attrs,
        wavelength_nm=card.wavelength_nm,
    )


def explain(
    da: xr.DataArray | xr.Dataset,
    model: Downscaler | str | os.PathLike[str],
    *,
    members: int = 1,
    seed: int = 0,
    product: Literal["draw", "mean"] = "draw",
    sampler: Sampler | str | None = None,
    tiling: Tiling | None = None,
    conserve: bool = True,
    domain_check: DomainCheck = "raise",
    dims: Mapping[str, str] | None = None,
    device: str = "auto",
    progress: bool | None = None,  # noqa: ARG001 - the interface of predict
) -> Plan:
    """Say what `predict` would do with the same arguments, and draw nothing.

    Parameters
    ----------
    da, model, members, seed, product, sampler, tiling, conserve, domain_check, dims, device, progress
        As `predict`. What lies outside the model's domain is listed, not raised, whatever `domain_check`
        says.

    Returns
    -------
    Plan
        Grids, patches, evaluations, memory, history and domain distance; readable as text and as HTML.

    Raises
    ------
    ValueError, TypeError
        As `predict`.
    """
    quiet: DomainCheck = "ignore"
    job = _prepare(da, model, members, seed, product, sampler, tiling, conserve, quiet, dims, device)
    if domain_check not in ("raise", "warn", "ignore"):
        raise ValueError(f"domain_check is {domain_check!r}: expected 'raise', 'warn' or 'ignore'")
    return _plan(job)


@dataclass(frozen=True, eq=False)
class _Job:
    """An input and options that passed every check."""

    model: Downscaler
    field: Field
    values: NDArray[np.float64]
    options: Options
    findings: Findings
    others: tuple[int, ...]


def _prepare(
    da: xr.DataArray | xr.Dataset,
    model: Downscaler | str | os.PathLike[str],
    members: int,
    seed: int,
    product: Any,
    sampler: Sampler | str | None,
    tiling: Tiling | None,
    conserve: bool,
    domain_check: DomainCheck,
    dims: Mapping[str, str] | None,
    device: str,
) -> _Job:
    if domain_check not in ("raise", "warn", "ignore"):
        raise ValueError(f"domain_check is {domain_check!r}: expected 'raise', 'warn' or 'ignore'")
    numbers = range(_whole("members", members, 1)) if product != "mean" else range(1)
    _whole("seed", seed, 0)
    array = _one_variable(da)
    resolved = resolve(model)
    options = Options(
        tuple(numbers),
        int(seed),
        _one_of("product", product, ("draw", "mean")),
        _sampler(sampler, resolved),
        _tiling(tiling),
        _flag("conserve", conserve),
        _device(device),
    )
    field = understand(array, resolved.coarse, dims=dims)
    check_labels(field, resolved.card)
    lay(resolved, field.grid, options.tiling)
    others = tuple(field.source.sizes[d] for d in field.axes.others if field.source.sizes[d] > 1)
    values = check_values(_all_values(field, others), resolved.card)
    findings = judge(field, values, resolved, domain_check)
    return _Job(resolved, field, values, options, findings, others)


def _all_values(field: Field, others: tuple[int, ...]) -> NDArray[np.float64]:
    """Canonical values, shape (*others, time, ny, nx)."""
    names = [d for d in field.axes.others if field.source.sizes[d] > 1]
    places = list(_product(*(range(n) for n in others)))
    parts = [field.values(dict(zip(names, place, strict=True))) for place in places]
    return np.stack(parts).reshape(*others, *parts[0].shape)


def _one_variable(da: xr.DataArray | xr.Dataset) -> xr.DataArray:
    import xarray as xr

    if isinstance(da, xr.DataArray):
        return da
    if isinstance(da, xr.Dataset):
        names = [
            n for n, v in da.data_vars.items() if v.ndim >= 2 and not str(n).endswith(("_bnds", "_bounds"))
        ]
        if len(names) == 1:
            check_bounds(da)
            return da[names[0]]
        raise ValueError(
            f"the Dataset has the variables {names}: choose one, "
            f"dataset[{str(names[0] if names else '...')!r}]"
        )
    raise TypeError(f"the input is a {type(da).__name__}: expected an xarray DataArray")


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}: expected a whole number")
    if not least <= value < 2**63:
        raise ValueError(f"{name} is {value}: expected at least {least}")
    return int(value)


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}: expected one of {list(choices)}")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r}: expected True or False")
    return bool(value)


def _sampler(sampler: Sampler | str | None, model: Downscaler) -> Sampler:
    if sampler is None:
        return model.sampler
    if isinstance(sampler, str):
        sampler = Sampler(sampler, model.sampler.evaluations)
    if not isinstance(sampler, Sampler):
        raise TypeError(f"sampler is {sampler!r}: expected a Sampler, its name or None")
    sampler.check(model.schedule)
    return sampler


def _tiling(tiling: Tiling | None) -> Tiling:
    if tiling is not None and not isinstance(tiling, Tiling):
        raise TypeError(f"tiling is {tiling!r}: expected a Tiling or None")
    return tiling or Tiling()


def _device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device is {device!r}: expected 'auto', 'cpu' or 'cuda'") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device is {device!r}, and torch finds no CUDA device here: expected 'auto' or 'cpu'"
        )
    return device


def _bar(progress: bool | None, total: int) -> Any:
    from tqdm.auto import tqdm

    shown = sys.stderr.isatty() if progress is None else progress
    return tqdm(total=total, unit="field", disable=not shown)


def _attributes(job: _Job, before: float | None) -> dict[str, Any]:
    card, options = job.model.card, job.options
    stamp = _now()
    source = f"{card.name} {card.version} (xdownscale {version('xarray-downscale')})"
    trained = "simulated fields (synthetic training data)" if card.synthetic else str(card.training["data"])
    methods = str(job.field.source.attrs.get("cell_methods", "")).strip()
    attrs: dict[str, Any] = {
        "standard_name": card.standard_name,
        "long_name": card.long_name,
        "units": card.units,
        "cell_methods": _methods(methods),
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": f"{card.variable} downscaled by {card.name}",
        "summary": f"Conditional {'mean' if options.product == 'mean' else 'draws'} of "
        f"{card.long_name} at fine resolution, given a coarse field.",
        "source": source,
        "references": "arXiv:2512.05139",
        "comment": f"Model trained on {trained}. " + " ".join(card.limitations),
        "date_created": stamp,
        "history": f"{stamp}: xdownscale predict, model {card.name}, seed {options.seed}",
        "downscale_model": card.name,
        "downscale_model_sha256": job.model.sha256 or "not read from a file",
        "downscale_training": "synthetic" if card.synthetic else "real",
        "downscale_product": options.product,
        "downscale_seed": options.seed,
        "downscale_sampler": options.sampler.name,
        "downscale_evaluations": 1 if options.product == "mean" else options.sampler.evaluations,
        "downscale_merge": options.tiling.merge,
        "downscale_conserve": str(options.conserve).lower(),
        "downscale_package_version": version("xarray-downscale"),
        "downscale_input": _described(job),
    }
    if before is not None:
        attrs["downscale_residual_before_conservation"] = before
    return {k: v for k, v in attrs.items() if v != ""}


def _methods(methods: str) -> str:
    """The user's cell methods, and that fine values are means over their cells."""
    if not methods:
        return "area: mean"
    return methods if "area:" in methods else f"{methods} area: mean"


def _described(job: _Job) -> str:
    data = np.ascontiguousarray(job.values)
    digest = hashlib.sha256(data.tobytes()).hexdigest()[:16]
    return (
        f"{job.field.source.name or 'unnamed'}, {job.field.days} times, {job.field.grid.shape[0]} x "
        f"{job.field.grid.shape[1]} cells, sha256 {digest}"
    )


def _now() -> str:
    """ISO 8601 in UTC; SOURCE_DATE_EPOCH decides where it is set."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", int(time.time())))
    return str(np.datetime64(seconds, "s")) + "Z"


def _plan(job: _Job) -> Plan:
    model, field, options = job.model, job.field, job.options
    fine: Grid = refined(field.grid, model.fine)
    patches = lay(model, field.grid, options.tiling)
    past = [history(field.instants, d, model.history) for d in range(field.days)]
    return Plan(
        model=repr(model),
        synthetic=model.card.synthetic,
        coarse=field.grid,
        fine=fine,
        extended=patches.shape,
        patches=len(patches),
        patch=(patches.y.patch, patches.x.patch),
        days=field.days * max(1, int(np.prod(job.others))),
        members=len(options.members),
        sampler=options.sampler,
        product=options.product,
        history=(model.history, sum(i is None for p in past for i in p)),
        distance=job.findings.distance,
        findings=job.findings.messages,
        device=options.device,
        weights=sum(p.numel() for p in model.denoiser.parameters()),
    )
