"""A job: an input and options that passed every check which can be made before a field is drawn.

Labels, options and, for values in memory, the values are checked here. Values on dask are not read: those of
a block are checked where the block is drawn (`inference.block`).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xdownscale.cf import Field, check_bounds, only_variable, understand
from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import Grid, refined
from xdownscale.inference.continuation import check_sequence, past_of, split, state_of
from xdownscale.inference.day import lay
from xdownscale.inference.domain import DomainCheck, Findings, check_labels, check_values, judge
from xdownscale.inference.engine import Options
from xdownscale.patches import Tiling
from xdownscale.registry import Reference, refer, resolve

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.inference.sequence import Coherence, Past, State
    from xdownscale.models import Downscaler

__all__ = ["Job", "prepare"]


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be drawn, from what, by which model.

    Attributes
    ----------
    model : Downscaler
    carried : Reference or Downscaler
        What stands for the model where a block is drawn.
    field : Field
        The days of the input that are drawn, understood.
    looked : Field
        Those, and the days before them that are history only: a run that goes on from a state has some.
    values : ndarray, shape (*others, time, ny, nx), or None
        Of `looked`, canonical and checked; None for an input on dask.
    options : Options
    domain_check : {"raise", "warn", "ignore"}
    findings : Findings
        Of the labels, and of the values unless they are on dask.
    bounds : Dataset or None
        Coordinates whose bounds are on dask; they are checked before the first block is drawn.
    state : State or None
        What an autoregressive run goes on from.
    past : Past or None
        Fine days that the encoder looks at, for a model that sees them.
    """

    model: Downscaler
    carried: Reference | Downscaler
    field: Field
    looked: Field
    values: NDArray[np.float64] | None
    options: Options
    domain_check: DomainCheck
    findings: Findings
    bounds: xr.Dataset | None = None
    state: State | None = None
    past: Past | None = None

    @property
    def first(self) -> int:
        """Number of days that are looked at and not drawn."""
        return self.looked.days - self.field.days

    @property
    def fine(self) -> Grid:
        """The window of the fine grid that is drawn."""
        return refined(self.field.grid, self.model.fine)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result with time: (*others, member, time, NY, NX)."""
        return (*self.field.others.values(), len(self.options.members), self.field.days, *self.fine.shape)


def prepare(
    da: xr.DataArray | xr.Dataset,
    model: Downscaler | str | os.PathLike[str],
    *,
    members: int,
    seed: int,
    product: Any,
    sampler: Sampler | str | None,
    tiling: Tiling | None,
    conserve: bool,
    domain_check: DomainCheck,
    dims: Mapping[str, str] | None,
    device: str,
    coherence: Coherence = "independent",
    state: xr.DataArray | None = None,
    quiet: bool = False,
) -> Job:
    """Check an input and options; nothing is drawn, and nothing on dask is computed.

    Parameters
    ----------
    da, model, members, seed, product, sampler, tiling, conserve, domain_check, dims, device, coherence, state
        As `predict`.
    quiet : bool
        List what lies outside the model's domain, and raise nothing for it.

    Returns
    -------
    Job

    Raises
    ------
    ValueError, TypeError, DomainError
        As `predict`.
    """
    _one_of("domain_check", domain_check, ("raise", "warn", "ignore"))
    numbers = range(_whole("members", members, 1)) if product != "mean" else range(1)
    _whole("seed", seed, 0)
    array, bounds = _one_variable(da)
    resolved = resolve(model)
    options = Options(
        tuple(numbers),
        int(seed),
        _one_of("product", product, ("draw", "mean")),
        _sampler(sampler, resolved),
        _tiling(tiling),
        _flag("conserve", conserve),
        _device(device, lazy=array.chunks is not None),
        _one_of("coherence", coherence, ("independent", "correlated", "autoregressive")),
    )
    given = understand(array, resolved.coarse, dims=dims)
    check_labels(given, resolved.card)
    lay(resolved, given.grid, options.tiling)
    past = past_of(state, given, resolved)
    told = None if past else state_of(state, given, resolved, options.members, coherence)
    looked, field = split(given, told, resolved.history - 1)
    check_sequence(field, resolved, options, told)
    values = None if field.lazy else check_values(looked.values(), resolved.card)
    drawn = None if values is None else values[..., looked.days - field.days :, :, :]
    findings = judge(field, drawn, resolved, "ignore" if quiet else domain_check)
    carried = refer(model, resolved)
    return Job(resolved, carried, field, looked, values, options, domain_check, findings, bounds, told, past)


def _one_variable(da: xr.DataArray | xr.Dataset) -> tuple[xr.DataArray, xr.Dataset | None]:
    """The one variable, and the Dataset where it has bounds that only reading could check."""
    import xarray as xr

    if isinstance(da, xr.DataArray):
        return da, None
    if not isinstance(da, xr.Dataset):
        raise TypeError(f"the input is a {type(da).__name__}: expected an xarray DataArray")
    array = only_variable(da)
    return array, check_bounds(da)


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
        sampler = model.sampler_named(sampler)
    if not isinstance(sampler, Sampler):
        raise TypeError(f"sampler is {sampler!r}: expected a Sampler, its name or None")
    sampler.check(model.schedule)
    model.network(sampler, 0.5)
    return sampler


def _tiling(tiling: Tiling | None) -> Tiling:
    if tiling is not None and not isinstance(tiling, Tiling):
        raise TypeError(f"tiling is {tiling!r}: expected a Tiling or None")
    return tiling or Tiling()


def _device(device: str, *, lazy: bool) -> str:
    """A device that is there. For blocks drawn by a cluster, "cuda" is looked for where they are drawn."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device is {device!r}: expected 'auto', 'cpu' or 'cuda'") from error
    if kind == "cuda" and not torch.cuda.is_available() and not (lazy and _has_cluster()):
        raise ValueError(
            f"device is {device!r}, and torch finds no CUDA device here: expected 'auto' or 'cpu'"
        )
    return device


def _has_cluster() -> bool:
    """Whether a client of dask.distributed is at work in this process."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        distributed.get_client()
    except ValueError:
        return False
    return True
