"""From a labelled coarse field to a labelled fine one: `predict`, and `explain`, which says what it would do.

Everything is checked before anything is computed. What is in memory gives a result in memory. What is on dask
gives a result on dask: nothing is read until it is computed, and then block by block (`inference.chunked`).
Both have the same bits, labels and attributes, but for two: `downscale_input` cannot hold a digest of values
that were not read, and `downscale_residual_before_conservation` is known in memory only.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xdownscale.cf import build, orientation
from xdownscale.inference.block import windows
from xdownscale.inference.day import lay
from xdownscale.inference.engine import draw
from xdownscale.inference.job import Job, prepare
from xdownscale.inference.plan import Blocks, Plan
from xdownscale.inference.provenance import attributes

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.diffusion.sample import Sampler
    from xdownscale.inference.domain import DomainCheck
    from xdownscale.inference.sequence import Coherence
    from xdownscale.models import Downscaler
    from xdownscale.patches import Tiling

__all__ = ["Plan", "explain", "labelled", "plan", "predict"]


def predict(
    da: xr.DataArray | xr.Dataset,
    model: Downscaler | str | os.PathLike[str],
    *,
    members: int = 1,
    seed: int = 0,
    product: Literal["draw", "mean"] = "draw",
    sampler: Sampler | str | None = None,
    tiling: Tiling | None = None,
    coherence: Coherence = "independent",
    state: xr.DataArray | None = None,
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
        Daily fields on the model's coarse grid, in memory or on dask with any chunks: any order of
        dimensions, either latitude order, any longitude convention, any crop. Earlier days in it are the
        history of later ones. A Dataset with one variable is taken for that variable.
    model : Downscaler, str or path-like
        A model, a name of `list_models`, the path of a checkpoint, or an ``hf://`` address.
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
    coherence : {"independent", "correlated", "autoregressive"}
        Of days in sequence. Independent draws; draws from noise with the card's correlation from day to day,
        each still a fair draw of its day; or each day told its own member's day before, one after another.
    state : DataArray, optional
        With "autoregressive": an earlier result, whose last day is the day before the first that is drawn.
        Days of `da` up to the state's are history only: keep as many as the model looks back on, and the run
        has the bits of one that was never interrupted. With a model whose encoder sees fine days
        (`TrainConfig(sees="fine")`), those before each day that is drawn, with any coherence it has.
    conserve : bool
        Make the conservative coarse mean of each member equal to the input (1e-6 relative).
    domain_check : {"raise", "warn", "ignore"}
        What to do with an input outside the model's region, months or values. Values on dask are judged where
        they are computed, each day by itself.
    dims : mapping, optional
        Names of dimensions where discovery cannot tell: ``{"lat": "row", "lon": "column", "time": "day"}``.
    device : str
        "auto", "cpu", "cuda" or another torch device. "auto" is settled here, for all blocks of a lazy
        result; give "cuda" where the workers of a cluster have a GPU and this process has none.
    progress : bool, optional
        Show a bar; by default on a terminal only. For a result on dask, dask shows its own.

    Returns
    -------
    DataArray, dims (realization, time, lat, lon), float32 [the model's units]
        On the exact fine grid, NaN where the input has gaps; CF metadata and provenance in its attributes. On
        dask if the input is: chunks are whole in space, one member and a chunk of the input's days each.

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

    Examples
    --------
    >>> import xdownscale
    >>> dust = xdownscale.open_sample().DUEXTTAU.isel(time=[0], lat=slice(20, 23), lon=slice(10, 13))
    >>> fine = predict(dust, "jja_asia", members=2, seed=1)
    >>> dict(fine.sizes)
    {'realization': 2, 'time': 1, 'lat': 25, 'lon': 31}
    >>> bool((predict(dust, "jja_asia", members=1, seed=1) == fine.isel(realization=[0])).all())
    True
    """
    job = prepare(
        da,
        model,
        members=members,
        seed=seed,
        product=product,
        sampler=sampler,
        tiling=tiling,
        coherence=coherence,
        state=state,
        conserve=conserve,
        domain_check=domain_check,
        dims=dims,
        device=device,
    )
    if job.values is None:
        from xdownscale.inference.chunked import lazily

        return labelled(job, lazily(job))
    values, residual = _in_memory(job, job.values, progress)
    return labelled(job, values, residual)


def explain(
    da: xr.DataArray | xr.Dataset,
    model: Downscaler | str | os.PathLike[str],
    *,
    members: int = 1,
    seed: int = 0,
    product: Literal["draw", "mean"] = "draw",
    sampler: Sampler | str | None = None,
    tiling: Tiling | None = None,
    coherence: Coherence = "independent",
    state: xr.DataArray | None = None,
    conserve: bool = True,
    domain_check: DomainCheck = "raise",
    dims: Mapping[str, str] | None = None,
    device: str = "auto",
    progress: bool | None = None,  # noqa: ARG001 - the interface of predict
) -> Plan:
    """Say what `predict` would do with the same arguments, and draw nothing.

    Parameters
    ----------
    da, model, members, seed, product, sampler, tiling, coherence, state, conserve, dims, device, progress
        As `predict`.
    domain_check : {"raise", "warn", "ignore"}
        What lies outside the model's domain is listed, not raised, whatever this says.

    Returns
    -------
    Plan
        Grids, patches, evaluations, memory, history and domain distance; readable as text and as HTML.

    Raises
    ------
    ValueError, TypeError
        As `predict`.

    Examples
    --------
    >>> import xdownscale
    >>> dust = xdownscale.open_sample().DUEXTTAU.isel(time=[0], lat=slice(20, 23), lon=slice(10, 13))
    >>> print(str(explain(dust, "jja_asia", members=2)).splitlines()[2])
    output           25 x 31 cells of 0.0625 x 0.0625, 27.75 to 29.25, 44.0625 to 45.9375
    """
    job = prepare(
        da,
        model,
        members=members,
        seed=seed,
        product=product,
        sampler=sampler,
        tiling=tiling,
        coherence=coherence,
        state=state,
        conserve=conserve,
        domain_check=domain_check,
        dims=dims,
        device=device,
        quiet=True,
    )
    return plan(job, _blocks(job))


def labelled(job: Job, values: Any, residual: float | None = None) -> xr.DataArray:
    """A job's result with its labels and provenance: the one template of all results.

    Parameters
    ----------
    job : Job
    values : array, shape `job.shape`, without time where the input has none
        In the user's order, lazy or not.
    residual : float, optional
        Largest relative error of the coarse mean before conservation, where it is known.

    Returns
    -------
    DataArray
    """
    card = job.model.card
    return build(
        values,
        job.field,
        job.fine,
        name=card.variable,
        members=job.options.members,
        attrs=attributes(job, residual),
        wavelength_nm=card.wavelength_nm,
    )


def _in_memory(
    job: Job, coarse: NDArray[np.float64], progress: bool | None
) -> tuple[NDArray[np.float32], float | None]:
    """The fields in the user's order, and how far they were from conserving."""
    out = np.empty(job.shape, dtype=np.float32)
    before = np.empty(job.shape[:-2])
    with _bar(progress, before.size) as bar:
        for place in np.ndindex(*job.field.others.values()):
            field = job.field
            result = draw(
                job.model,
                coarse[place],
                field.grid,
                job.looked.instants,
                job.options,
                days=range(job.first, job.looked.days),
                state=job.state,
                past=job.past,
                advance=bar.update,
            )
            out[place], before[place] = result.values, result.residual
    values = orientation(job.field, job.fine).users(out)
    residual = float(np.nanmax(before)) if np.isfinite(before).any() else None
    return (values[..., 0, :, :] if job.field.axes.time is None else values), residual


def _bar(progress: bool | None, total: int) -> Any:
    from tqdm.auto import tqdm

    shown = sys.stderr.isatty() if progress is None else progress
    return tqdm(total=total, unit="field", disable=not shown)


def plan(job: Job, blocks: Blocks | None) -> Plan:
    """The plan of a job; nothing is drawn or measured.

    Parameters
    ----------
    job : Job
    blocks : Blocks or None
        How it is cut.

    Returns
    -------
    Plan
    """
    model, field, options = job.model, job.field, job.options
    patches = lay(model, field.grid, options.tiling)
    seen = windows(job.looked.instants, model.history, model.card.step)[job.first :]
    return Plan(
        model=repr(model),
        synthetic=model.card.synthetic,
        coarse=field.grid,
        fine=job.fine,
        extended=patches.shape,
        patches=len(patches),
        patch=(min(patches.y.patch, patches.y.size), min(patches.x.patch, patches.x.size)),
        days=field.days * math.prod(field.others.values()),
        members=len(options.members),
        sampler=options.sampler,
        product=options.product,
        history=(model.history, model.history * field.days - sum(map(len, seen))),
        distance=job.findings.distance,
        findings=job.findings.messages,
        device=options.device,
        weights=sum(p.numel() for p in model.denoiser.parameters()),
        blocks=blocks,
    )


def _blocks(job: Job) -> Blocks | None:
    if job.values is not None:
        return None
    from xdownscale.inference.chunked import sizes

    members, days = sizes(job)
    data = job.field.source
    spatial = max(len(data.chunksizes[d]) for d in (job.field.axes.lat, job.field.axes.lon))
    count = len(members) * len(days) * math.prod(job.field.others.values())
    return Blocks(count, max(members), max(days), job.model.history - 1, spatial)
