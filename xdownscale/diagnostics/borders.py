"""Whether patches can be seen in a field: what its gradient and its spread do at their borders.

Along each axis, J(i) is the root mean square of the second difference at cell i, over all other cells, times
and members, and S(i) the members' standard deviation. The index of a border is the mean of J in its
neighbourhood over that to either side, and of several borders their geometric mean: 1 where nothing is to be
seen. Dust is no smoother where a border happens to lie, so the same index is formed for borders moved along
by every number of cells that leaves the true ones out: where the index lies among these says whether it is
the patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xdownscale.cf.raster import raster
from xdownscale.grid import G5NR
from xdownscale.patches import line

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from xdownscale.cf.raster import Raster
    from xdownscale.grid import Axis, Grid
    from xdownscale.patches import Tiling

__all__ = ["seams"]

_REACH = 40
_LEVEL = 0.95


def seams(
    da: xr.DataArray,
    *,
    tiling: Tiling | None = None,
    borders: Mapping[str, Sequence[float]] | None = None,
    lattice: Grid | None = None,
    width: int | None = None,
    dims: Mapping[str, Hashable] | None = None,
) -> xr.Dataset:
    """Roughness and spread at the borders of patches, over those beside them.

    The ends of the domain are left out, also where it goes round the globe.

    Parameters
    ----------
    da : DataArray, dims in any order
        Fields in whose units a step is a step: take logarithms first where values span decades.
    tiling : Tiling, optional
        How the field was cut; its borders are found on `lattice`.
    borders : mapping from {"lat", "lon"} to sequence of float, optional [units of the coordinate]
        Where borders lie, instead of a tiling.
    lattice : Grid, optional
        The model's fine grid; G5NR's by default.
    width : int, >= 1, optional [cells]
        Cells this near to a border belong to it; half the patches' overlap, or 1 where borders are given.
    dims : mapping, optional
        `lat`, `lon`, `time` to names of dimensions, where discovery cannot tell.

    Returns
    -------
    Dataset
        Along `axis` (lat, lon): `roughness`, with members `spread`, and the central 95 percent of the same
        elsewhere, `roughness_elsewhere` and `spread_elsewhere` along `bound`; `borders`, their number. NaN
        along an axis without borders.

    Raises
    ------
    TypeError
        If the values are no real numbers.
    ValueError
        If not just one of `tiling` and `borders` is given, the field is not on the lattice, or it holds no
        border.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> lon = 0.5 * np.arange(200)
    >>> field = xr.DataArray(rng.normal(size=(50, 200)), {"lat": lon[:50], "lon": lon}, ("lat", "lon"))
    >>> field[:, 100:] += 5
    >>> bool(seams(field, borders={"lon": [49.75]}).roughness.sel(axis="lon") > 2)
    True
    """
    fields = raster(da, dims=dims)
    if (tiling is None) == (borders is None):
        raise ValueError("give either tiling= or borders=: where do the patches meet?")
    if tiling is not None:
        places, reach = _of_tiling(fields, tiling, lattice or G5NR)
    else:
        places, reach = _of_values(fields, borders or {}), 1
    width = max(1, reach) if width is None else width
    if width < 1:
        raise ValueError(f"width is {width!r}: expected a number of cells of at least 1")
    if not any(len(p) for p in places.values()):
        raise ValueError("no border lies in the domain: take a larger one, or smaller patches")
    return _compared(fields, places, int(width))


def _of_tiling(fields: Raster, tiling: Tiling, lattice: Grid) -> tuple[dict[str, NDArray[Any]], int]:
    """Positions of the borders, in cells from the first, and half the overlap of two patches."""
    if tiling.patch is None:
        raise ValueError("tiling has no patches: the whole domain in one piece has no borders")
    places = {}
    for name, axis, of in (("lat", lattice.y, fields.grid.y), ("lon", lattice.x, fields.grid.x)):
        window = axis.locate(of.values)
        patches = line(window.start, window.size, window.period if window.cyclic else None, tiling)
        middle = [
            0.5 * (after + tiling.halo + before + tiling.patch - tiling.halo - 1)
            for before, after in zip(patches.starts[:-1], patches.starts[1:], strict=True)
        ]
        places[name] = _inner(np.asarray(middle) - window.start, of)
    return places, (tiling.patch - 2 * tiling.halo - tiling.spacing) // 2


def _of_values(fields: Raster, borders: Mapping[str, Sequence[float]]) -> dict[str, NDArray[Any]]:
    unknown = sorted(set(borders) - {"lat", "lon"})
    if unknown:
        raise ValueError(f"borders names {unknown}: expected 'lat' and 'lon'")
    places = {}
    for name, axis in (("lat", fields.grid.y), ("lon", fields.grid.x)):
        position = (np.asarray(borders.get(name, ()), dtype=np.float64) - axis.values[0]) / axis.step
        if axis.period is not None:
            position = (position + 0.5) % axis.period - 0.5
        places[name] = _inner(position, axis)
    return places


def _inner(position: NDArray[np.float64], axis: Axis) -> NDArray[np.float64]:
    return np.unique(position[(position > 1) & (position < axis.size - 2)])


def _compared(fields: Raster, places: Mapping[str, NDArray[Any]], width: int) -> xr.Dataset:
    profiles = _profiles(fields)
    found: dict[str, Any] = {"borders": ("axis", [len(places[a]) for a in ("lat", "lon")])}
    words = {
        "roughness": "second differences at borders over those beside them",
        "spread": "members' standard deviation at borders over that beside them",
    }
    for key, per_axis in profiles.items():
        index, elsewhere = [], []
        for axis, profile in zip(("lat", "lon"), per_axis, strict=True):
            index.append(_index(profile, places[axis], width))
            elsewhere.append(_moved(profile, places[axis], width))
        found[key] = ("axis", index, {"long_name": words[key], "units": "1", "best": "1"})
        of = {"long_name": f"95 percent interval of {words[key]}, were they elsewhere", "units": "1"}
        found[f"{key}_elsewhere"] = (("axis", "bound"), elsewhere, of)
    out = xr.Dataset(found, {"axis": ["lat", "lon"], "bound": ["lower", "upper"]})
    out["borders"].attrs = {"long_name": "number of borders between patches", "units": "1"}
    out.attrs = {"width": width, "reach": _reach(width)}
    return out


def _profiles(fields: Raster) -> dict[str, list[NDArray[np.float64]]]:
    """Root mean squares by cell along latitude and along longitude, NaN at the two ends."""
    from dask.base import compute

    lat, lon = fields.axes.lat, fields.axes.lon
    area = xr.DataArray(fields.grid.y.measure, dims=(lat,))
    da = fields.fields.drop_vars([c for c in fields.fields.coords if c != "realization"])
    # a time after another, whatever was given
    da = da.chunk({d: 1 for d in fields.samples if d != "realization"}).astype(np.float64)
    squares = {("roughness", axis): da.diff(axis, 2) ** 2 for axis in (lat, lon)}
    if da.sizes.get("realization", 1) > 1:
        variance = da.var("realization", ddof=1, skipna=False)
        squares |= {("spread", axis): variance for axis in (lat, lon)}
    sums = {}
    for (key, axis), values in squares.items():
        others = [d for d in values.dims if d != axis]
        weight = values.notnull() * (area if axis == lon else 1.0)
        sums[f"{key} {axis}"] = (values * weight).sum(others)
        sums[f"{key} {axis} weight"] = weight.sum(others)
    # apart, since second differences have two cells fewer
    found = dict(zip(sums, compute(*sums.values()), strict=True))
    out: dict[str, list[NDArray[np.float64]]] = {}
    for key, axis in squares:
        total, weight = (found[f"{key} {axis}{of}"].values for of in ("", " weight"))
        mean = np.sqrt(np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0))
        out.setdefault(key, []).append(np.pad(mean, da.sizes[axis] - mean.size >> 1, constant_values=np.nan))
    return out


def _reach(width: int) -> int:
    return max(_REACH, 4 * width)


def _index(
    profile: NDArray[np.float64], places: NDArray[Any], width: int, hidden: NDArray[Any] | None = None
) -> float:
    """Geometric mean over borders of the profile near them over that to either side; NaN without any."""
    cell = np.arange(profile.size)
    known = np.isfinite(profile) & (profile > 0)
    if hidden is not None:
        known = known & ~hidden
    taken = _near(cell, places, width)
    logs = []
    for place in places:
        apart = np.abs(cell - place)
        at = known & (apart <= width)
        beside = known & ~taken & (apart <= width + _reach(width))
        if at.any() and beside.any():
            logs.append(np.log(profile[at].mean() / profile[beside].mean()))
    return float(np.exp(np.mean(logs))) if logs else np.nan


def _moved(profile: NDArray[np.float64], places: NDArray[Any], width: int) -> list[float]:
    """Central 95 percent of the index of borders that are moved along."""
    if len(places) == 0:
        return [np.nan, np.nan]
    hidden = _near(np.arange(profile.size), places, width)
    furthest = int(np.diff(places).min() / 2) if len(places) > 1 else profile.size
    found = []
    for shift in range(-furthest, furthest + 1):
        moved = places + shift
        moved = moved[(moved > width) & (moved < profile.size - 1 - width)]
        if abs(shift) > 2 * width and moved.size:
            found.append(_index(profile, moved, width, hidden))
    found = [value for value in found if np.isfinite(value)]
    if not found:
        return [np.nan, np.nan]
    return [float(v) for v in np.quantile(found, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])]


def _near(cell: NDArray[Any], places: NDArray[Any], width: int) -> NDArray[np.bool_]:
    return np.asarray((np.abs(cell[:, None] - places) <= width).any(axis=1))
