"""The bundled sample: a few coarse days of the nature run, so that the demo needs no network."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import xarray as xr

if TYPE_CHECKING:
    import os

__all__ = ["make_sample", "open_sample"]

_FILE = "jja_asia.nc"


def open_sample() -> xr.Dataset:
    """The sample, in memory.

    Returns
    -------
    Dataset
        `DUEXTTAU` (time, lat, lon) on the MERRA-2 grid: simulated dust, days that no bundled model was
        trained on.

    Examples
    --------
    >>> open_sample().DUEXTTAU.dims
    ('time', 'lat', 'lon')
    """
    with as_file(files("xdownscale.data") / "bundled" / _FILE) as path, xr.open_dataset(path) as data:
        loaded: xr.Dataset = data.load()
    return loaded


def make_sample(coarse: xr.Dataset, path: str | os.PathLike[str], *, box: tuple[slice, slice, slice]) -> None:
    """Write a sample from a nature run's coarse twin.

    Parameters
    ----------
    coarse : Dataset
        From `nature_run.open_coarse`.
    path : path
    box : (slice, slice, slice)
        Positions along time, latitude and longitude.
    """
    cut = coarse[["DUEXTTAU"]].isel(time=box[0], lat=box[1], lon=box[2]).load()
    for name in cut.variables:
        cut[name].encoding = {}
    encoding = {"DUEXTTAU": {"zlib": True, "complevel": 9, "dtype": "float32"}}
    cut.to_netcdf(path, encoding=encoding)
