"""What an output says of its making: the attributes of the variable and of its file."""

from __future__ import annotations

import hashlib
import os
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from xdownscale.inference.job import Job

__all__ = ["attributes", "now"]


def attributes(job: Job, residual: float | None = None) -> dict[str, Any]:
    """Attributes of a job's result, those of the whole file among them.

    Parameters
    ----------
    job : Job
    residual : float, optional
        Largest relative error of the coarse mean before conservation; known only once all is drawn.

    Returns
    -------
    dict
        `downscale_input` has the sha256 of values in memory. Values on dask are not read for it: there it
        names the dask array, which is the same for the same files and operations.
    """
    card, options = job.model.card, job.options
    stamp = now()
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
        "downscale_coherence": options.coherence,
        "downscale_conserve": str(options.conserve).lower(),
        "downscale_package_version": version("xarray-downscale"),
        "downscale_input": _described(job),
    }
    if residual is not None:
        attrs["downscale_residual_before_conservation"] = residual
    return {k: v for k, v in attrs.items() if v != ""}


def now() -> str:
    """ISO 8601 in UTC; SOURCE_DATE_EPOCH decides where it is set."""
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", int(time.time())))
    return str(np.datetime64(seconds, "s")) + "Z"


def _methods(methods: str) -> str:
    """The user's cell methods, and that fine values are means over their cells."""
    if not methods:
        return "area: mean"
    return methods if "area:" in methods else f"{methods} area: mean"


def _described(job: Job) -> str:
    ny, nx = job.field.grid.shape
    return (
        f"{job.field.source.name or 'unnamed'}, {job.field.days} times, {ny} x {nx} cells, {_identified(job)}"
    )


def _identified(job: Job) -> str:
    if job.values is None:
        return f"dask array {job.field.source.data.name}, values not read"
    return f"sha256 {hashlib.sha256(np.ascontiguousarray(job.values).tobytes()).hexdigest()[:16]}"
