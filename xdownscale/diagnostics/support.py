"""Two fields brought to comparable cells: each on its own grid, or the finer averaged over the coarser's.

The average is the exact conservative one of `grid.coarsening`. Of the coarser grid only cells count of which
the finer covers half at least, in both fields, so that both speak of the same region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from xdownscale.cf.raster import Raster, check_same_grid
from xdownscale.diagnostics.samples import Recipe, Sample
from xdownscale.grid import coarsening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xdownscale.grid import Grid, Separable

__all__ = ["Support", "paired"]

Support = Literal["native", "common", "coarse", "both"]
_CLOSE = 1e-3


def paired(
    one: Raster,
    other: Raster,
    support: Support,
    weights: xr.DataArray | Literal["area"] | None,
    given: xr.DataArray | None,
    transform: Callable[[Any], Any] | None,
) -> Iterator[tuple[str, tuple[Sample, Sample]]]:
    """Samples to compare, by the name of their support.

    Parameters
    ----------
    one, other : Raster
    support : {"native", "common", "coarse", "both"}
    weights : "area", DataArray or None
    given : DataArray, optional
        A covariate.
    transform : callable, optional

    Yields
    ------
    name : {"native", "common"}
    samples : (Sample, Sample)

    Raises
    ------
    ValueError
        If the grids differ and weights or covariate lie on one of them alone, or neither is the finer.

    Examples
    --------
    >>> from xdownscale.cf.raster import raster
    >>> fine = xr.DataArray(np.eye(4), {"y": np.arange(4.0), "x": np.arange(4.0)}, ("y", "x"))
    >>> coarse = xr.DataArray(np.eye(2), {"y": [0.5, 2.5], "x": [0.5, 2.5]}, ("y", "x"))
    >>> (name, (a, b)), = paired(raster(fine), raster(coarse), "common", "area", None, None)
    >>> name, a.clean().values
    ('common', array([0.5, 0. , 0. , 0.5]))
    """
    if support not in get_args(Support):
        raise ValueError(f"support is {support!r}: expected one of {list(get_args(Support))}")
    if isinstance(weights, str) and weights != "area":
        raise ValueError(f"weights is {weights!r}: expected 'area', a DataArray or None")
    if support in ("native", "both"):
        yield "native", _native(one, other, weights, given, transform)
    if support != "native":
        yield "common", _common(one, other, weights, given, transform)


def _native(
    one: Raster, other: Raster, weights: Any, given: xr.DataArray | None, transform: Any
) -> tuple[Sample, Sample]:
    same = _same(one, other)
    for what, used in (("weights", not isinstance(weights, str)), ("given", given is not None)):
        if used and not same:
            raise ValueError(
                f"{what} count the cells of one grid, and the fields lie on two, of {one.grid.shape} and "
                f"{other.grid.shape} cells: use weights='area' without given=, or support='common'"
            )
    recipe = Recipe(None, transform)
    cells = (one, one if same else other)
    first, second = (
        _sample(r, c, _weights(c, weights), given, recipe) for r, c in zip((one, other), cells, strict=True)
    )
    return first, second


def _common(
    one: Raster, other: Raster, weights: Any, given: xr.DataArray | None, transform: Any
) -> tuple[Sample, Sample]:
    if _same(one, other):
        return _native(one, other, weights, given, transform)
    fine, coarse = (one, other) if _finer(one.grid, other.grid) else (other, one)
    if not _finer(fine.grid, coarse.grid) or fine.grid.crs != coarse.grid.crs:
        steps = [f"{g.y.step:g} x {g.x.step:g} ({g.crs or 'plane'})" for g in (one.grid, other.grid)]
        raise ValueError(
            f"grids of {steps[0]} and {steps[1]}: expected one that is finer in both directions, of one "
            "reference system; regrid one of the fields, or use support='native'"
        )
    A = coarsening(fine.grid, coarse.grid)
    w = _covered(_weights(coarse, weights), coarse, A)
    recipes = {id(fine): Recipe(A, transform), id(coarse): Recipe(None, transform)}
    first, second = (_sample(r, coarse, w, given, recipes[id(r)]) for r in (one, other))
    return first, second


def _sample(
    r: Raster, cells: Raster, weights: xr.DataArray | None, given: xr.DataArray | None, recipe: Recipe
) -> Sample:
    if given is not None:
        given = _laid(given, "given", cells, r)
    pairs = (cells.axes.lat, r.axes.lat), (cells.axes.lon, r.axes.lon)
    names = {old: new for old, new in pairs if old != new}
    weights, given = (
        None if a is None else a.rename({d: n for d, n in names.items() if d in a.dims})
        for a in (weights, given)
    )
    return Sample(r.fields, weights, given, r.axes.time, recipe)


def _weights(cells: Raster, weights: Any) -> xr.DataArray | None:
    if weights is None:
        return None
    if isinstance(weights, xr.DataArray):
        return _laid(weights, "weights", cells, cells)
    # cells of one row are alike; on a plane all are
    measure = cells.grid.y.measure
    return xr.DataArray(measure / measure.mean(), dims=[cells.axes.lat]) if cells.spherical else None


def _covered(weights: xr.DataArray | None, coarse: Raster, A: Separable) -> xr.DataArray:
    """No weight for cells of which the finer grid covers less than half."""
    share = np.outer(A.y.sum(axis=1), A.x.sum(axis=1))
    inside = xr.DataArray((share >= 0.5 - 1e-9).astype(float), dims=[coarse.axes.lat, coarse.axes.lon])
    return inside if weights is None else inside * weights.drop_vars(list(weights.coords))


def _laid(companion: xr.DataArray, word: str, cells: Raster, r: Raster) -> xr.DataArray:
    """Weights or covariate in the order of the cells; other dimensions as the fields have them."""
    source = {d: (cells if d in (cells.axes.lat, cells.axes.lon) else r) for d in companion.dims}
    for name, laid in source.items():
        known = name in laid.fields.dims
        labels = laid.fields.indexes.get(name) if known else None
        own = companion.indexes.get(name)
        if known and labels is not None and own is not None and own.size == labels.size:
            if own.equals(labels):
                continue
            if own[::-1].equals(labels):
                companion = companion.isel({name: slice(None, None, -1)})
                continue
        sizes = dict(laid.fields.sizes)
        raise ValueError(
            f"{word} has the dimension {name!r} of {companion.sizes[name]} with labels that are not the "
            f"fields' {sizes}: bring it to their grid and times first, for example {word}.interp_like(...)"
        )
    return companion


def _same(one: Raster, other: Raster) -> bool:
    try:
        check_same_grid(one, other)
    except ValueError:
        return False
    return one.grid.crs == other.grid.crs


def _finer(one: Grid, other: Grid) -> bool:
    return all(a.step < b.step * (1 + _CLOSE) for a, b in ((one.y, other.y), (one.x, other.x))) and (
        one.y.step,
        one.x.step,
    ) != (other.y.step, other.x.step)
