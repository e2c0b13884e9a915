"""What is judged: a prediction, its truth and the baselines, lined up on one grid and one time axis.

Arrays are brought to (time, realization, y, x), rows and columns rising; a field without time or members has
one of each. Times are matched by their stamps: the truth, the coarse field and the baselines may hold more of
them than the prediction, never fewer. Baselines are fields on the same grid, or names of interpolations of
the coarse field (`grid.upsampling`), which are made a day at a time and never held whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from xdownscale.cf.raster import Raster, check_same_grid, check_same_units, raster
from xdownscale.grid import INTERPOLATIONS, Separable, coarsening, conservative_matrix, upsampling

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from xdownscale.grid import Grid

    Baselines = Sequence[str] | Mapping[str, "str | xr.DataArray"]

__all__ = ["Comparison", "Source", "at_times", "line_up"]

_MEMBERS = "realization"


@dataclass(frozen=True, eq=False)
class Source:
    """Fields to be judged.

    Attributes
    ----------
    name : str
    fields : DataArray or None, dims (time, realization, y, x)
        None where they are an interpolation.
    operator : Separable or None
        From the coarse grid to the fine one.
    """

    name: str
    fields: xr.DataArray | None = None
    operator: Separable | None = None

    @property
    def members(self) -> int:
        """Its fields of one time."""
        return 1 if self.fields is None else int(self.fields.sizes[_MEMBERS])


@dataclass(frozen=True, eq=False)
class Comparison:
    """Sources, the prediction first, and what they are held against.

    Attributes
    ----------
    sources : tuple of Source
    truth : DataArray, dims (time, y, x)
    grid : Grid
        Of truth and sources.
    coarse : DataArray or None, dims (time, y, x)
    coarse_grid : Grid or None
    to_coarse : Separable or None
        Means of the fine cells over the coarse cells that lie wholly inside.
    inside : tuple of ndarray of bool
        Which coarse rows and columns these are.
    spatial, spatial_attrs : tuple
        The prediction's own names of y and x, and the attributes of these coordinates.
    """

    sources: tuple[Source, ...]
    truth: xr.DataArray
    grid: Grid
    coarse: xr.DataArray | None = None
    coarse_grid: Grid | None = None
    to_coarse: Separable | None = None
    inside: tuple[Any, ...] = ()
    spatial: tuple[Hashable, Hashable] = ("y", "x")
    spatial_attrs: tuple[dict[str, Any], dict[str, Any]] = field(default=({}, {}))

    def labelled(self, source: Source, floor: float | None = None) -> xr.DataArray:
        """The fields of a source, a lazy array whose blocks are single fields.

        Parameters
        ----------
        source : Source
        floor : float, optional [units of the values]
            Take ln(value + floor); an interpolation is then one of the logarithms.

        Returns
        -------
        DataArray, dims (time, realization, lat, lon) by the prediction's names
            An interpolation has no `realization`; no `time` where the prediction has none.
        """
        if source.fields is not None:
            return self._named(_one_by_one(source.fields, floor))
        made: xr.DataArray = xr.apply_ufunc(
            cast("Separable", source.operator),
            _one_by_one(cast("xr.DataArray", self.coarse), floor),
            input_core_dims=[["y", "x"]],
            output_core_dims=[["_y", "_x"]],
            dask="parallelized",
            output_dtypes=[np.float64],
            dask_gufunc_kwargs={"output_sizes": dict(zip(("_y", "_x"), self.grid.shape, strict=True))},
        )
        made = made.rename(_y="y", _x="x").assign_coords(y=self.truth.y, x=self.truth.x)
        made.attrs = dict(self.truth.attrs)
        return self._named(made)

    def seen(self, floor: float | None = None) -> xr.DataArray:
        """The truth, as `labelled` gives the sources."""
        return self._named(_one_by_one(self.truth, floor))

    def _named(self, da: xr.DataArray) -> xr.DataArray:
        if "time" not in da.coords:
            da = da.isel(time=0)
        renamed = da.rename(dict(zip(("y", "x"), self.spatial, strict=True)))
        for name, attrs in zip(self.spatial, self.spatial_attrs, strict=True):
            renamed[name].attrs = dict(attrs)
        return renamed


def line_up(
    prediction: xr.DataArray,
    truth: xr.DataArray,
    coarse: xr.DataArray | None = None,
    baselines: Baselines = (),
    *,
    dims: Mapping[str, Hashable] | None = None,
) -> Comparison:
    """Bring a prediction, its truth and baselines together; nothing is computed.

    Parameters
    ----------
    prediction, truth : DataArray
        On one grid; the truth has one field of a time.
    coarse : DataArray, optional
        What the prediction was made from.
    baselines : sequence of str, or mapping from name to str or DataArray
        Some of `nearest`, `bilinear`, `bicubic`, `conservative`, which need `coarse`; or fields.
    dims : mapping, optional
        `lat`, `lon`, `time` to names of dimensions, where discovery cannot tell.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError
        If values are no real numbers, or a baseline is neither a name nor a DataArray.
    ValueError
        If grids, units or times do not fit, a dimension is too many, or a name is unknown.
    """
    fields = raster(prediction, dims=dims)
    ours = _lined(fields, "the prediction")
    seen = _truth(fields, raster(truth, dims=dims), ours)
    low, low_grid = (None, None) if coarse is None else _coarse(fields, raster(coarse, dims=dims), ours)
    named = _named(baselines)
    sources = [Source("prediction", ours)]
    for name, baseline in named.items():
        if name in ("prediction", "truth"):
            raise ValueError(f"a baseline is called {name!r}: expected another name")
        sources.append(_baseline(str(name), baseline, fields, low_grid, ours, dims))
    to_coarse, inside = (None, ()) if low_grid is None else _coarsening(fields.grid, low_grid)
    spatial = fields.axes.lat, fields.axes.lon
    attrs = dict(prediction[spatial[0]].attrs), dict(prediction[spatial[1]].attrs)
    return Comparison(tuple(sources), seen, fields.grid, low, low_grid, to_coarse, inside, spatial, attrs)


def _one_by_one(da: xr.DataArray, floor: float | None) -> xr.DataArray:
    lazy = da.chunk(dict.fromkeys((d for d in da.dims if d not in ("y", "x")), 1) | {"y": -1, "x": -1})
    if floor is None:
        return lazy
    logs = lazy.copy(data=np.log(lazy.data + floor))
    logs.attrs = {**da.attrs, "units": "1"}
    return logs


def at_times(da: xr.DataArray, like: xr.DataArray, what: str) -> xr.DataArray:
    """The fields of a DataArray at the times of another one.

    Parameters
    ----------
    da, like : DataArray
        With a dimension `time`, a scalar coordinate of that name, or neither.
    what : str
        How the error calls `da`.

    Returns
    -------
    DataArray
        With a dimension `time` where `like` has one.

    Raises
    ------
    ValueError
        If a time is missing, or occurs twice.
    """
    if "time" not in da.dims:
        if like.sizes.get("time", 1) != 1:
            raise ValueError(f"{what} has no time, the prediction {like.sizes['time']}: give it a time axis")
        return da.drop_vars("time", errors="ignore")
    if "time" not in like.coords:
        if da.sizes["time"] != 1:
            raise ValueError(f"{what} has {da.sizes['time']} times, the prediction none: select one of them")
        return da.isel(time=0, drop=True)
    index, wanted = da.indexes["time"], np.atleast_1d(like["time"].values)
    for name, times in (
        (what, index),
        ("the prediction", like["time"].to_index() if like["time"].ndim else []),
    ):
        if len(set(times)) != len(times):
            raise ValueError(f"{name} holds a time twice: da.drop_duplicates('time') keeps the first")
    place = index.get_indexer(wanted)
    if (place < 0).any():
        raise ValueError(
            f"{what} has no field at {wanted[place < 0][0]}: {int((place < 0).sum())} of the prediction's "
            f"{wanted.size} times are missing; it runs from {index[0]} to {index[-1]}: stamps must be equal"
        )
    picked = da.isel(time=place)
    return picked if "time" in like.dims else picked.isel(time=0, drop=True)


def _lined(fields: Raster, what: str, *, like: xr.DataArray | None = None) -> xr.DataArray:
    """Dims (time, realization, y, x), at the times of another array if one is given."""
    names = {fields.axes.lat: "y", fields.axes.lon: "x"}
    if fields.axes.time is not None:
        names[fields.axes.time] = "time"
    da = fields.fields.rename({a: b for a, b in names.items() if a != b})
    da = da.squeeze([d for d in da.dims if d not in ("time", _MEMBERS, "y", "x") and da.sizes[d] == 1])
    extra = [d for d in da.dims if d not in ("time", _MEMBERS, "y", "x")]
    if extra:
        raise ValueError(
            f"{what} has a dimension {extra[0]!r} of {da.sizes[extra[0]]}: select one of it, or rename it to "
            f"{_MEMBERS!r} if it counts members"
        )
    kept = {c for c in ("time", _MEMBERS, "y", "x") if c in da.coords}
    da = da.drop_vars([c for c in da.coords if c not in kept])
    if like is not None:
        da = at_times(da, like, what)
    if "time" not in da.dims:
        da = da.expand_dims("time")
    if _MEMBERS not in da.dims:
        da = da.drop_vars(_MEMBERS, errors="ignore").expand_dims(_MEMBERS)
    return da.transpose("time", _MEMBERS, "y", "x")


def _truth(fields: Raster, seen: Raster, ours: xr.DataArray) -> xr.DataArray:
    check_same_grid(fields, seen)
    check_same_units(fields.fields, seen.fields)
    truth = _lined(seen, "the truth", like=ours)
    if truth.sizes[_MEMBERS] != 1:
        raise ValueError(f"the truth has {truth.sizes[_MEMBERS]} realizations: expected one field of a time")
    return truth.isel({_MEMBERS: 0}, drop=True).assign_coords(y=ours.y, x=ours.x)


def _coarse(fields: Raster, low: Raster, ours: xr.DataArray) -> tuple[xr.DataArray, Grid]:
    check_same_units(fields.fields, low.fields)
    if low.spherical != fields.spherical:
        raise ValueError("the coarse field is on a sphere and the fine one is not, or the other way round")
    da = _lined(low, "the coarse field", like=ours)
    if da.sizes[_MEMBERS] != 1:
        raise ValueError(f"the coarse field has {da.sizes[_MEMBERS]} realizations: expected one")
    for name in ("y", "x"):
        shares = conservative_matrix(getattr(low.grid, name), getattr(fields.grid, name)).sum(axis=1)
        if (shares <= 0).any():
            raise ValueError(
                f"the coarse field covers {int((shares > 0).sum())} of the {shares.size} fine cells along "
                f"{name}: cut the prediction to its domain, or give the whole coarse field"
            )
    return da.isel({_MEMBERS: 0}, drop=True), low.grid


def _named(baselines: Any) -> dict[str, Any]:
    if isinstance(baselines, str) or hasattr(baselines, "dims"):
        raise TypeError(f"baselines is a {type(baselines).__name__}: expected names, or a mapping to fields")
    if isinstance(baselines, Mapping):
        return {str(name): given for name, given in baselines.items()}
    return {str(name): name for name in baselines}


def _baseline(
    name: str, given: Any, fields: Raster, low: Grid | None, ours: xr.DataArray, dims: Any
) -> Source:
    if isinstance(given, str):
        if given not in INTERPOLATIONS:
            raise ValueError(f"baseline {given!r} is unknown: expected one of {sorted(INTERPOLATIONS)}")
        if low is None:
            raise ValueError(f"baseline {given!r} is made from the coarse field: give coarse=")
        return Source(name, operator=upsampling(low, fields.grid, INTERPOLATIONS[given]))
    if not hasattr(given, "dims"):
        raise TypeError(f"baseline {name!r} is a {type(given).__name__}: expected a name or a DataArray")
    other = raster(given, dims=dims)
    check_same_grid(fields, other)
    check_same_units(fields.fields, other.fields)
    return Source(name, _lined(other, f"baseline {name!r}", like=ours))


def _coarsening(fine: Grid, coarse: Grid) -> tuple[Separable | None, tuple[Any, ...]]:
    """The operator on the coarse cells that fine cells cover wholly; None if there are none."""
    whole = coarsening(fine, coarse)
    rows, columns = (np.asarray(m.sum(axis=1)) > 1 - 1e-6 for m in (whole.y, whole.x))
    if not (rows.any() and columns.any()):
        return None, ()
    return Separable(whole.y[np.flatnonzero(rows)], whole.x[np.flatnonzero(columns)]), (rows, columns)
