"""All times of all sources in one order, and the means of complete days."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from xdownscale.data.sources import Part

__all__ = ["Rows", "daily_means", "gathered"]

_FILL = 1e14
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class Rows:
    """All times of all sources, ascending, each once: `time`, the source's number, the position in it."""

    time: NDArray[Any]
    part: NDArray[np.int64]
    position: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Rows:
        """Of these sources; times that occur twice are warned of, a missing one is a ValueError."""
        sizes = [part.data.sizes["time"] for part in parts]
        time = np.concatenate([part.data["time"].values for part in parts])
        number = np.repeat(np.arange(len(parts)), sizes)
        position = np.concatenate([np.arange(size) for size in sizes])
        if np.isnat(time).any():
            raise ValueError(f"{parts[number[np.isnat(time)][0]].label}: a time is missing (NaT)")
        _, kept = np.unique(time, return_index=True)
        if kept.size < time.size:
            twice = np.sort(np.setdiff1d(np.arange(time.size), kept))
            _warn(
                f"{twice.size} duplicate times dropped, the first at {time[twice].min():.16}".replace(
                    "T", " "
                )
            )
        return cls(time[kept], number[kept], position[kept])

    def take(self, where: NDArray[Any]) -> Rows:
        """Those at some places."""
        return Rows(self.time[where], self.part[where], self.position[where])

    def runs(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Source and positions, for stretches of one source."""
        breaks = np.flatnonzero(np.diff(self.part)) + 1
        for stretch in np.split(np.arange(self.part.size), breaks):
            yield int(self.part[stretch[0]]), self.position[stretch]


def gathered(parts: Sequence[Part], rows: Rows) -> xr.Dataset:
    """The fields at these times, one after the other, missing where they hold fill values."""
    pieces = [parts[number].data.isel(time=positions) for number, positions in rows.runs()]
    return _joined(pieces).map(_unfilled, keep_attrs=True)


def _joined(pieces: list[xr.Dataset]) -> xr.Dataset:
    if len(pieces) == 1:
        return pieces[0]
    return xr.concat(
        pieces, "time", join="exact", coords="minimal", compat="override", combine_attrs="override"
    )


def daily_means(parts: Sequence[Part], rows: Rows, steps_per_day: int) -> xr.Dataset:
    """Means of the complete days, one day in memory at a time."""
    days = rows.time.astype("datetime64[D]")
    names, first = np.unique(days, return_index=True)
    grouped = dict(zip(names, np.split(np.arange(days.size), first[1:]), strict=True))
    spacing = _DAY.astype("timedelta64[ns]") / steps_per_day
    short = {}
    means = []
    for day, where in grouped.items():
        even = (np.diff(rows.time[where]) == spacing).all()
        if where.size != steps_per_day or not even:
            short[day] = where.size
            continue
        means.append(_mean(gathered(parts, rows.take(where)), day))
    if not means:
        raise ValueError(
            f"no day is complete: expected {steps_per_day} evenly spaced times a day, found at most "
            f"{max(short.values())}, on {max(short, key=lambda day: short[day])}; give the whole day, or "
            "steps_per_day=..."
        )
    if short:
        listed = ", ".join(f"{day} ({size} of {steps_per_day} times)" for day, size in short.items())
        _warn(f"{len(short)} incomplete day{'s' * (len(short) > 1)} left out: {listed}")
    return _bounded(_joined(means))


def _mean(day: xr.Dataset, date: np.datetime64) -> xr.Dataset:
    mean = day.mean("time", skipna=False, dtype=np.float64, keep_attrs=True)
    mean = mean.map(lambda da: da.astype(day[da.name].dtype), keep_attrs=True)
    noon = date.astype("datetime64[ns]") + np.timedelta64(12, "h")
    placed = mean.expand_dims(time=[noon]).transpose("time", ...)
    return placed.chunk() if day.chunks else placed.load()


def _bounded(data: xr.Dataset) -> xr.Dataset:
    midnight = data["time"].values.astype("datetime64[D]").astype("datetime64[ns]")
    bounds = np.stack([midnight, midnight + np.timedelta64(1, "D")], axis=1)
    data = data.assign_coords(time_bnds=(("time", "bnds"), bounds))
    data["time"].attrs["bounds"] = "time_bnds"
    for name in data.data_vars:
        data[name].attrs["cell_methods"] = "time: mean"
    return data


def _unfilled(da: xr.DataArray) -> xr.DataArray:
    return da.where(np.abs(da) < _FILL) if da.dtype.kind == "f" else da


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=5)
