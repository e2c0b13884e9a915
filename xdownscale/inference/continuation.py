"""What a day needs beside the coarse field: a model that can, and the fine days to go on from or look at."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from xdownscale.cf import understand
from xdownscale.grid import refined
from xdownscale.inference.sequence import Past, State, follows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from xdownscale.cf import Field
    from xdownscale.grid import Grid
    from xdownscale.inference.engine import Options
    from xdownscale.models import Downscaler

__all__ = ["check_sequence", "past_of", "split", "state_of"]


def check_sequence(field: Field, model: Downscaler, options: Options, state: State | None) -> None:
    """Refuse a coherence that the model or the input cannot have; warn where a run begins anew.

    Parameters
    ----------
    field : Field
    model : Downscaler
    options : Options
    state : State or None

    Raises
    ------
    ValueError
    """
    card, coherence = model.card, options.coherence
    if coherence == "independent":
        return
    if any(t is None for t in field.instants):
        raise ValueError(f"coherence is {coherence!r}, and the input has no time: days in sequence need it")
    if coherence == "correlated" and not card.day_correlation:
        raise ValueError(
            f"coherence is 'correlated', and {card.name} has no day correlation on its card: calibrate it on "
            "days in sequence, xdownscale.calibrate(...)"
        )
    if coherence == "autoregressive":
        if not card.state:
            raise ValueError(
                f"coherence is 'autoregressive', and {card.name} was not trained to be told the day before: "
                "expected a model trained with TrainConfig(state=0.5), or coherence='correlated'"
            )
        if options.tiling.merge == "final":
            raise ValueError("coherence is 'autoregressive': expected merge='step', found 'final'")
        _warn_of_breaks(field, state, card.step)


def state_of(
    da: xr.DataArray | None, field: Field, model: Downscaler, members: Sequence[int], coherence: str
) -> State | None:
    """The fine fields of the day before the first, as the engine goes on from them.

    Parameters
    ----------
    da : DataArray or None
        Fine fields on the exact grid of the result, of which the last day is taken; members by their number
        in `realization`, or one field for all.
    field : Field
        The coarse input, with days after the state's.
    model : Downscaler
    members : sequence of int
    coherence : str

    Returns
    -------
    State or None

    Raises
    ------
    TypeError
        If it is no DataArray.
    ValueError
        If it is not of the day before, on another grid, or lacks a member.
    """
    if da is None:
        return None
    if coherence != "autoregressive":
        raise ValueError(f"a state is given with coherence={coherence!r}: expected 'autoregressive'")
    found, expected = _located(_chosen(_checked(da), members), field, model)
    last = max(t or 0 for t in found.instants)
    later = [t for t in field.instants if t is not None and t > last]
    if not later:
        raise ValueError(f"the state is of {_date(last)}, and the input has no later day: nothing to draw")
    if not follows(last, min(later), model.card.step):
        raise ValueError(
            f"the state is of {_date(last)}, the first day after it in the input is {_date(min(later))}: "
            "expected the next; give the last result, result.isel(time=[-1])"
        )
    values = found.values()[..., found.instants.index(last), :, :].astype(np.float32)
    return State(np.broadcast_to(values, (len(members), *expected.shape)), last)


def past_of(da: xr.DataArray | None, field: Field, model: Downscaler) -> Past | None:
    """The fine days that the encoder of a model looks back on; None where it looks at the coarse field.

    Parameters
    ----------
    da : DataArray or None
        Fine fields on the exact grid of the result, one or more times.
    field : Field
        The coarse input.
    model : Downscaler

    Returns
    -------
    Past or None

    Raises
    ------
    TypeError
        If it is no DataArray.
    ValueError
        If there is none, the input is lazy, it lies on another grid, or a day has no fine day before it.
    """
    if not model.past:
        return None
    name = model.card.name
    if da is None:
        raise ValueError(
            f"the encoder of {name} looks at the {model.past} fine days before the one drawn, and none are "
            "given: give them, predict(..., state=fine_days), observed or drawn before"
        )
    if field.lazy or any(t is None for t in field.instants):
        raise ValueError(
            f"the encoder of {name} looks at fine days: expected an input in memory, with a time; load it, "
            "da.load()"
        )
    found, _ = _located(_checked(da), field, model)
    if found.others:
        raise ValueError(f"the state has {dict(found.others)} fields a day: expected one, of one member")
    days = tuple(-1 if t is None else t for t in found.instants)
    for today in field.instants:
        lags = [(today - t) / model.card.step for t in days if today is not None]
        if not any(0.98 < lag < model.past + 0.02 for lag in lags):
            raise ValueError(
                f"the encoder of {name} looks at the {model.past} fine days before the one drawn, and the "
                f"state has none before {_date(today or 0)}: expected the day before at least"
            )
    return Past(found.values().astype(np.float32), days)


def _checked(da: xr.DataArray) -> xr.DataArray:
    if not hasattr(da, "dims"):
        raise TypeError(f"state is a {type(da).__name__}: expected a DataArray, an earlier result")
    return da


def _located(da: xr.DataArray, field: Field, model: Downscaler) -> tuple[Field, Grid]:
    """Fine fields understood, on the grid that the result will have."""
    found, expected = understand(da, model.fine), refined(field.grid, model.fine)
    if found.grid != expected:
        raise ValueError(
            f"the state lies on {_told(found.grid)}, the result will lie on {_told(expected)}: give an "
            "earlier result for the same coarse cells"
        )
    return found, expected


def split(field: Field, state: State | None, history: int) -> tuple[Field, Field]:
    """The days that are looked at, and those of them that are drawn: the ones after the state's.

    Parameters
    ----------
    field : Field
    state : State or None
    history : int
        Days that a day looks back on.

    Returns
    -------
    (Field, Field)
        One and the same without a state.

    Raises
    ------
    ValueError
        If days up to the state's do not all come before the others.
    """
    if state is None:
        return field, field
    past = [t is not None and t <= state.instant for t in field.instants]
    count = sum(past)
    if not all(past[:count]):
        raise ValueError("the input has days before and after the state's, mixed: sort it, da.sortby('time')")
    return _days(field, max(0, count - history)), _days(field, count)


def _days(field: Field, first: int) -> Field:
    if not first:
        return field
    source = field.source.isel({field.axes.time: slice(first, None)})
    return replace(field, source=source, instants=field.instants[first:])


def _chosen(da: xr.DataArray, members: Sequence[int]) -> xr.DataArray:
    if "realization" not in da.dims:
        return da
    known = (
        da["realization"].values.tolist() if "realization" in da.coords else range(da.sizes["realization"])
    )
    lacking = sorted(set(members) - set(known))
    if lacking:
        raise ValueError(f"the state has the members {list(known)}: expected {lacking} too")
    return da.isel(realization=[list(known).index(m) for m in members])


def _warn_of_breaks(field: Field, state: State | None, step: int) -> None:
    stamps = sorted({t for t in field.instants if t is not None})
    before = [None if state is None else state.instant, *stamps[:-1]]
    breaks = sum(not follows(a, b, step) for a, b in zip(before, stamps, strict=True)) - (state is None)
    if breaks:
        warnings.warn(
            f"the days have {breaks} gaps: the autoregressive run begins anew behind each",
            UserWarning,
            stacklevel=4,
        )


def _told(grid: Grid) -> str:
    y, x = grid.y.values, grid.x.values
    return f"{y.size} x {x.size} cells, {y[0]:g} to {y[-1]:g}, {x[0]:g} to {x[-1]:g}"


def _date(instant: int) -> str:
    return str(np.datetime64(instant, "us").astype("datetime64[m]"))
