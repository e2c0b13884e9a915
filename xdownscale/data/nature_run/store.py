"""A nature run on disk: zarr, one chunk a day, resumable.

The store's root holds the fine truth (absent in a coarse-only record), its group `coarse` the conservative
twin and the daily winds. Beside the store lies `STORE.state.npz` with all that the next day depends on; a run
that is killed goes on from there and ends with the bits of an uninterrupted one. Times are the days' centres.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdownscale.data.nature_run.simulate import Day, NatureRun, State, simulate

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from xdownscale.grid import Grid

__all__ = ["open_coarse", "open_fine", "to_datasets", "write"]

_SOURCE = "xdownscale nature run: a simulation of dust, not an observation and not a reanalysis"
_DUST = {
    "long_name": "dust extinction optical thickness at 550 nm",
    "standard_name": "atmosphere_optical_thickness_due_to_dust_ambient_aerosol_particles",
    "units": "1",
    "cell_methods": "time: mean area: mean",
}


def write(
    run: NatureRun,
    store: str | os.PathLike[str],
    *,
    fine: bool = True,
    every: int = 10,
    report: Callable[[int], Any] | None = None,
) -> Path:
    """Simulate a run into a zarr store, or go on with one that was interrupted.

    Parameters
    ----------
    run : NatureRun
    store : path
        Created with its full size first; days not yet simulated are NaN.
    fine : bool
        Keep the fine truth; False for a coarse-only record.
    every : int [days]
        Between two states on disk.
    report : callable, optional
        Called with the number of days done, after each.

    Returns
    -------
    Path
        The store.

    Raises
    ------
    ValueError
        If the store holds another run.
    """
    store = Path(store)
    identity = json.dumps({**run.to_dict(), "fine": fine}, sort_keys=True)
    state = _begin(run, store, identity, fine)
    for number, day in enumerate(simulate(run, state), 0 if state is None else state.day):
        _put(day, store, number, fine)
        if (number + 1) % every == 0 or number + 1 == run.fields:
            _save_state(store, identity, day.state)
        if report is not None:
            report(number + 1)
    return store


def open_fine(store: str | os.PathLike[str]) -> xr.Dataset:
    """The fine truth of a store, lazily: `DUEXTTAU` (time, lat, lon)."""
    dataset: xr.Dataset = xr.open_zarr(store, chunks=None, consolidated=False)
    return dataset


def open_coarse(store: str | os.PathLike[str]) -> xr.Dataset:
    """The coarse twin and winds of a store, lazily: `DUEXTTAU`, `U10M`, `V10M` (time, lat, lon)."""
    dataset: xr.Dataset = xr.open_zarr(store, group="coarse", chunks=None, consolidated=False)
    return dataset


def to_datasets(run: NatureRun) -> tuple[xr.Dataset, xr.Dataset]:
    """A short run in memory: the fine truth and its coarse twin.

    Parameters
    ----------
    run : NatureRun

    Returns
    -------
    (Dataset, Dataset)
        `DUEXTTAU` on the fine cells; `DUEXTTAU`, `U10M`, `V10M` on the coarse ones.

    Examples
    --------
    >>> box = NatureRun("2005-07-01", days=1, region=(28.0, 32.0, 44.0, 50.0), spinup=0)
    >>> fine, coarse = to_datasets(box)
    >>> fine.DUEXTTAU.shape, coarse.DUEXTTAU.shape
    ((1, 64, 96), (1, 7, 9))
    """
    days = list(simulate(run))
    fine, coarse = (
        _template(run, run.grid, ("DUEXTTAU",)),
        _template(run, run.coarse, ("DUEXTTAU", "U10M", "V10M")),
    )
    fine["DUEXTTAU"][:] = np.stack([d.fine for d in days])
    coarse["DUEXTTAU"][:] = np.stack([d.coarse for d in days])
    coarse["U10M"][:] = np.stack([d.wind[0] for d in days])
    coarse["V10M"][:] = np.stack([d.wind[1] for d in days])
    return fine, coarse


def _begin(run: NatureRun, store: Path, identity: str, fine: bool) -> State | None:
    """The state to go on from; a new store is laid out at full size."""
    side = _side(store)
    if not store.exists():
        side.unlink(missing_ok=True)
        if fine:
            _lay(_template(run, run.grid, ("DUEXTTAU",), lazy=True), store, None)
        _lay(_template(run, run.coarse, ("DUEXTTAU", "U10M", "V10M"), lazy=True), store, "coarse")
        _save_state(store, identity, None)
        return None
    if not side.exists():
        raise ValueError(f"{store} exists and is not a nature run that can be resumed: choose another path")
    with np.load(side, allow_pickle=False) as saved:
        if str(saved["identity"]) != identity:
            raise ValueError(
                f"{store} holds another run, {saved['identity']}: choose another path, or remove it"
            )
        if int(saved["day"]) < 0:
            return None
        return State(int(saved["day"]), saved["modes"], saved["column"])


def _save_state(store: Path, identity: str, state: State | None) -> None:
    side = _side(store)
    beside = side.with_suffix(".part.npz")
    empty = State(-1, np.zeros((0, 0), dtype=np.complex128), np.zeros((0, 0), dtype=np.float32))
    kept = state or empty
    np.savez(beside, identity=np.str_(identity), day=kept.day, modes=kept.modes, column=kept.column)
    beside.replace(side)


def _side(store: Path) -> Path:
    return store.with_name(store.name + ".state.npz")


def _lay(template: xr.Dataset, store: Path, group: str | None) -> None:
    sizes = {name: (1, *template[name].shape[1:]) for name in template.data_vars if name != "time_bnds"}
    encoding: dict[Any, Any] = {name: {"chunks": size} for name, size in sizes.items()}
    encoding["time"] = {"units": "hours since 1970-01-01", "dtype": "int64"}
    template.to_zarr(store, group=group, compute=False, mode="a", encoding=encoding, consolidated=False)


def _put(day: Day, store: Path, number: int, fine: bool) -> None:
    span = {"time": slice(number, number + 1)}
    coarse = {"DUEXTTAU": day.coarse, "U10M": day.wind[0], "V10M": day.wind[1]}
    _region(coarse).to_zarr(store, group="coarse", region=span, consolidated=False)
    if fine:
        _region({"DUEXTTAU": day.fine}).to_zarr(store, region=span, consolidated=False)


def _region(fields: dict[str, Any]) -> xr.Dataset:
    return xr.Dataset({name: (("time", "lat", "lon"), field[None]) for name, field in fields.items()})


def _template(run: NatureRun, grid: Grid, names: tuple[str, ...], *, lazy: bool = False) -> xr.Dataset:
    shape = (run.fields, *grid.shape)
    if lazy:
        import dask.array

        def empty() -> Any:
            return dask.array.full(shape, np.nan, dtype=np.float32, chunks=(1, -1, -1))
    else:

        def empty() -> Any:
            return np.full(shape, np.nan, dtype=np.float32)

    begin = run.date(0).astype("datetime64[ns]") + np.arange(run.fields) * np.timedelta64(run.hours, "h")
    return xr.Dataset(
        {name: (("time", "lat", "lon"), empty(), _attributes(name)) for name in names},
        coords={
            "time": (
                "time",
                begin + np.timedelta64(run.hours // 2, "h"),
                {"standard_name": "time", "axis": "T"},
            ),
            "lat": (
                "lat",
                grid.y.values,
                {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
            ),
            "lon": (
                "lon",
                grid.x.values,
                {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
            ),
            "radiation_wavelength": ((), 550.0, {"standard_name": "radiation_wavelength", "units": "nm"}),
        },
        attrs={"source": _SOURCE, "synthetic": "true", "nature_run": json.dumps(run.to_dict())},
    )


def _attributes(name: str) -> dict[str, str]:
    if name == "DUEXTTAU":
        return dict(_DUST)
    direction = "eastward" if name == "U10M" else "northward"
    return {
        "long_name": f"{direction} wind that moves the dust",
        "standard_name": f"{direction}_wind",
        "units": "m s-1",
        "cell_methods": "time: mean",
    }
