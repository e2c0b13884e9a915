"""A DataArray placed on a grid: where it lies, which way it runs, which instants it holds.

The view that the engine gets is canonical: (time, latitude ascending, longitude ascending in absolute index),
cyclic fields beginning at index 0. How the user had it (order, convention, names) is kept, so that the result
can be given back that way. The input is never changed, and nothing is read here but coordinates.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.cf.discover import Axes, discover
from xdownscale.cf.orientation import Orientation
from xdownscale.grid import Axis, Grid
from xdownscale.noise import instant

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["Field", "check_bounds", "only_variable", "understand"]

_DAY_US = 86_400_000_000


@dataclass(frozen=True, eq=False)
class Field:
    """A DataArray understood.

    Attributes
    ----------
    source : DataArray
        The user's, without a duplicated seam column.
    axes : Axes
    grid : Grid
        Its window of the expected grid.
    descending : (bool, bool)
        Whether latitude, longitude run downwards in the source.
    roll : int
        For a field round the globe: absolute index of the source's first column.
    instants : tuple of (int or None)
        One per time; (None,) without time.
    """

    source: xr.DataArray
    axes: Axes
    grid: Grid
    descending: tuple[bool, bool]
    roll: int
    instants: tuple[int | None, ...]

    @property
    def days(self) -> int:
        """Number of times."""
        return len(self.instants)

    @property
    def others(self) -> dict[Hashable, int]:
        """Dimensions beside time and space that have a size above one, and their sizes."""
        return {d: self.source.sizes[d] for d in self.axes.others if self.source.sizes[d] > 1}

    @property
    def lazy(self) -> bool:
        """Whether the values are chunked: on dask, not read yet."""
        return self.source.chunks is not None

    def arranged(self) -> xr.DataArray:
        """The source with dimensions (*others, time, lat, lon) as far as it has them, otherwise as it is."""
        single = {d: 0 for d in self.axes.others if d not in self.others}
        names = [n for n in (self.axes.time, self.axes.lat, self.axes.lon) if n is not None]
        return self.source.isel(single).transpose(*self.others, *names)

    def values(self) -> NDArray[np.float64]:
        """The canonical array, shape (*others, time, ny, nx), float64; reads a lazy source."""
        array = np.asarray(self.arranged().values)
        if self.axes.time is None:
            array = array[..., None, :, :]
        return Orientation(self.descending, self.roll, 0).canonical(array)


def understand(da: xr.DataArray, grid: Grid, *, dims: Mapping[str, Hashable] | None = None) -> Field:
    """Place a DataArray on a grid.

    Parameters
    ----------
    da : DataArray
        Any order of dimensions, either latitude order, any longitude convention, crops, across the dateline.
    grid : Grid
        The whole grid that is expected.
    dims : mapping, optional
        Names that discovery cannot tell.

    Returns
    -------
    Field

    Raises
    ------
    ValueError
        If the coordinates are not the grid's, or cannot be understood; the message says what was found, what
        was expected and what to do.
    TypeError
        If the values are not real numbers.
    """
    _check_values(da)
    axes = discover(da, dims)
    if any(size == 0 for size in da.sizes.values()):
        raise ValueError(
            f"the array has a dimension of size 0: {dict(da.sizes)}; select at least one cell and one time"
        )
    _check_crs(da, grid)
    _check_levels(da, axes)
    lat = _coordinate(da, axes.lat, "latitude")
    lon = _coordinate(da, axes.lon, "longitude")
    _check_range(lat, lon, grid)
    if _seam(lon, grid):
        warnings.warn(
            f"{axes.lon!r} has its first meridian twice: the last column is dropped",
            UserWarning,
            stacklevel=3,
        )
        da, lon = da.isel({axes.lon: slice(None, -1)}), lon[:-1]
    down = _descends(lat, str(axes.lat)), grid.x.period is None and _descends(lon, str(axes.lon))
    y = _located(grid.y, lat[::-1] if down[0] else lat, str(axes.lat))
    x, backwards = _located_lon(grid.x, lon[::-1] if down[1] else lon, str(axes.lon))
    roll = x.start if x.cyclic else 0
    x = x.window(0, x.size) if x.cyclic else x
    return Field(da, axes, Grid(y, x, grid.crs), (down[0], down[1] or backwards), roll, _instants(da, axes))


def only_variable(dataset: xr.Dataset) -> xr.DataArray:
    """The one field of a Dataset; bounds are none.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    DataArray

    Raises
    ------
    ValueError
        If there is none, or more than one.

    Examples
    --------
    >>> import xarray as xr
    >>> cells = {"aod": (("lat", "lon"), [[0.1, 0.2]]), "lat_bnds": (("lat", "bnds"), [[0.0, 1.0]])}
    >>> only_variable(xr.Dataset(cells)).name
    'aod'
    """
    fields = dataset.data_vars
    names = [n for n, v in fields.items() if v.ndim >= 2 and not str(n).endswith(("_bnds", "_bounds"))]
    if len(names) != 1:
        raise ValueError(
            f"the Dataset has the variables {names}: choose one, "
            f"dataset[{str(names[0] if names else '...')!r}]"
        )
    return dataset[names[0]]


def check_bounds(dataset: xr.Dataset) -> xr.Dataset | None:
    """Refuse cells whose bounds do not lie about their coordinate; a DataArray cannot carry bounds.

    Parameters
    ----------
    dataset : Dataset
        Its coordinates name their bounds in their attributes, as CF has it. Bounds of time are not looked at.

    Returns
    -------
    Dataset or None
        Those whose bounds are on dask, for a check once they are computed.

    Raises
    ------
    ValueError
        If the middles of a coordinate's bounds are more than a hundredth of a cell away from it.
    """
    unread = []
    for coordinate in dataset.coords.values():
        bounds = coordinate.attrs.get("bounds", coordinate.encoding.get("bounds"))
        known = isinstance(bounds, str) and bounds in dataset.variables and coordinate.dtype.kind == "f"
        if not known or coordinate.ndim != 1 or coordinate.size < 2:
            continue
        if dataset[bounds].shape != (coordinate.size, 2) or dataset[bounds].dtype.kind not in "fiu":
            continue
        if dataset[bounds].chunks is not None:
            unread.append(bounds)
        else:
            _check_middles(coordinate, dataset[bounds])
    return dataset.reset_coords()[unread] if unread else None


def _check_middles(coordinate: xr.DataArray, bounds: xr.DataArray) -> None:
    values = np.asarray(coordinate.values, dtype=np.float64)
    apart = np.abs(np.asarray(bounds.values, dtype=np.float64).mean(axis=1) - values)
    inner = apart[1:-1] if apart.size > 2 else apart  # a polar cell's middle is not its centre
    if inner.max() > 0.01 * np.median(np.abs(np.diff(values))):
        raise ValueError(
            f"bounds {bounds.name!r} contradict {coordinate.name!r}: their middles are up to {inner.max():g} "
            f"away; correct or drop them, dataset = dataset.drop_vars({bounds.name!r})"
        )


def _check_values(da: xr.DataArray) -> None:
    if da.dtype.kind not in "fiu":
        raise TypeError(f"values are {da.dtype}: expected real numbers; convert them, da.astype('float32')")
    packed = sorted({"scale_factor", "add_offset"} & set(da.attrs))
    if packed:
        raise ValueError(
            f"attributes {packed} say that the values are still packed: decode them, xr.decode_cf(dataset)"
        )


def _coordinate(da: xr.DataArray, name: Hashable, word: str) -> NDArray[np.float64]:
    raw = da[name].values
    if raw.dtype.kind not in "fiu":
        raise ValueError(f"coordinate {name!r} is {raw.dtype}: expected numbers, the {word} in degrees")
    values = np.asarray(raw, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"coordinate {name!r} has NaN or inf: drop them, da = da.dropna({name!r})")
    if len(np.unique(values)) < len(values):
        raise ValueError(f"coordinate {name!r} has duplicates: drop them, da = da.drop_duplicates({name!r})")
    return values


def _descends(values: NDArray[np.float64], name: str) -> bool:
    steps = np.diff(values)
    if steps.size and not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError(f"coordinate {name!r} is not monotonic: sort it, da = da.sortby({name!r})")
    return bool(steps.size and steps[0] < 0)


def _check_range(lat: NDArray[np.float64], lon: NDArray[np.float64], grid: Grid) -> None:
    if grid.y.kind != "latitude":
        return
    if np.abs(lat).max() > 90 + 1e-6:
        hint = (
            "are latitude and longitude swapped? pass dims={'lat': ..., 'lon': ...}"
            if np.abs(lon).max() <= 90
            else "check its units"
        )
        raise ValueError(f"latitude reaches {lat[np.abs(lat).argmax()]:g}: expected -90 to 90; {hint}")
    if np.abs(lon).max() > 360 + 1e-6:
        raise ValueError(
            f"longitude reaches {lon[np.abs(lon).argmax()]:g}: expected -360 to 360 degrees; check its units"
        )
    spacing = np.median(np.abs(np.diff(lat))) if lat.size > 1 else np.inf
    if np.isclose(spacing, np.deg2rad(grid.y.step), rtol=1e-2):
        raise ValueError(
            f"latitude spacing is {spacing:.5f}, {grid.y.step:g} degrees in radians: convert, "
            "np.rad2deg(da.lat)"
        )


def _seam(lon: NDArray[np.float64], grid: Grid) -> bool:
    """Whether the last column is the first again, one turn on."""
    period = grid.x.period
    return (
        period is not None
        and lon.size == period + 1
        and bool(np.isclose(abs(lon[-1] - lon[0]), period * grid.x.step))
    )


def _located(axis: Axis, values: NDArray[np.float64], name: str) -> Axis:
    values = _polar(axis, values, name)
    try:
        return axis.locate(values)
    except ValueError as error:
        raise ValueError(f"coordinate {name!r}: {error}") from error


def _polar(axis: Axis, values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Archives that put polar cells' centres at their middle, +-89.875, mean the poles."""
    out = values.copy()
    quarter = 90 - 0.25 * axis.step
    for end, neighbour in ((0, 1), (-1, -2)):
        alone = (
            axis.kind == "latitude" and values.size > 1 and np.isclose(abs(values[end]), quarter, atol=1e-6)
        )
        if alone and np.isclose(abs(values[neighbour]), 90 - axis.step, atol=1e-6):
            out[end] = np.copysign(90.0, values[end])
    if (out != values).any():
        warnings.warn(
            f"{name!r} ends at +-{quarter:g}, the middle of the polar cell: taken for the pole",
            UserWarning,
            stacklevel=5,
        )
    return out


def _located_lon(axis: Axis, values: NDArray[np.float64], name: str) -> tuple[Axis, bool]:
    """A window modulo the period, and whether the columns run westwards."""
    if axis.period is None:
        return _located(axis, values, name), False
    turn = axis.period * axis.step
    steps = np.diff(values)
    wrapped = (steps + turn / 2) % turn - turn / 2
    backwards = bool(wrapped.size and (wrapped < 0).all())
    if backwards:
        values, wrapped = values[::-1], -wrapped[::-1]
    if wrapped.size and not (wrapped > 0).all():
        raise ValueError(f"coordinate {name!r} is not monotonic: sort it, da = da.sortby({name!r})")
    unwrapped = values[0] + np.concatenate([[0.0], np.cumsum(wrapped)])
    return _located(axis, unwrapped, name), backwards


def _check_crs(da: xr.DataArray, grid: Grid) -> None:
    """A grid mapping, if there is one, must be the grid's."""
    told = da.attrs.get("grid_mapping", da.encoding.get("grid_mapping", "spatial_ref"))
    name = str(told).partition(":")[0].strip()
    if name not in da.coords or not grid.crs:
        return
    attrs = da.coords[name].attrs
    text = attrs.get("crs_wkt") or attrs.get("spatial_ref")
    kind = attrs.get("grid_mapping_name")
    if text is None and kind in (None, "latitude_longitude"):
        return
    from pyproj import CRS

    found = _crs(name, text, dict(attrs))
    expected = CRS.from_user_input(grid.crs)
    if found.equals(expected, ignore_axis_order=True) or (
        expected.is_geographic and _plainly_geographic(found)
    ):
        return
    raise ValueError(
        f"the grid mapping {name!r} is {found.name}: expected {expected.name} ({grid.crs}); reproject it, "
        f"da = da.rio.reproject({grid.crs!r})"
    )


def _crs(name: str, text: Any, attrs: dict[Any, Any]) -> Any:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(text) if text is not None else CRS.from_cf(attrs)
    except (CRSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ValueError(
            f"the grid mapping {name!r} cannot be read ({error}): correct or drop it, "
            f"da = da.drop_vars({name!r})"
        ) from error


def _plainly_geographic(crs: Any) -> bool:
    """Latitude and longitude on some figure of the Earth, poles where they belong."""
    return bool(crs.is_geographic and not crs.is_derived)


def _check_levels(da: xr.DataArray, axes: Axes) -> None:
    for name in axes.others:
        vertical = str(name).lower() in {
            "lev",
            "level",
            "levels",
            "plev",
            "height",
            "depth",
            "altitude",
            "pressure",
            "z",
        }
        attrs = da[name].attrs if name in da.coords else {}
        if (vertical or attrs.get("axis") == "Z" or "positive" in attrs) and da.sizes[name] > 1:
            raise ValueError(
                f"dimension {name!r} is vertical with {da.sizes[name]} levels: choose one, "
                f"da.isel({{{name!r}: 0}})"
            )


def _instants(da: xr.DataArray, axes: Axes) -> tuple[int | None, ...]:
    name = (
        axes.time
        if axes.time is not None
        else ("time" if "time" in da.coords and da["time"].ndim == 0 else None)
    )
    if name is None:
        return (None,)
    values = np.atleast_1d(da[name].values)
    if values.dtype.kind in "fiu":
        raise ValueError(
            f"{name!r} holds numbers ({da[name].attrs.get('units', 'no units')}): decode them, "
            "xr.decode_cf(dataset, decode_times=True)"
        )
    if values.dtype.kind == "M" and np.isnat(values).any():
        raise ValueError(f"{name!r} has NaT: drop them, da = da.dropna({name!r})")
    odd = [t for t in values if not _is_time(t)]
    if odd:
        raise ValueError(
            f"{name!r} holds {odd[0]!r} ({values.dtype}): expected datetime64 or cftime, without a time zone"
        )
    found = tuple(instant(t) for t in values)
    _warn_of_gaps(found, str(name))
    return found


def _is_time(value: Any) -> bool:
    """Of datetime64, cftime or datetime; a time zone is no part of CF's times."""
    known = isinstance(value, (np.datetime64, date)) or hasattr(value, "calendar")
    return known and getattr(value, "tzinfo", None) is None


def _warn_of_gaps(instants: tuple[int | None, ...], name: str) -> None:
    stamps = np.sort(np.asarray(instants, dtype=np.int64))
    steps = np.diff(stamps)
    if (steps == 0).any():
        warnings.warn(
            f"{name!r} has duplicate times: each is downscaled, with the same noise",
            UserWarning,
            stacklevel=5,
        )
    if steps.size and np.median(steps) == _DAY_US and (steps > _DAY_US).any():
        warnings.warn(
            f"{name!r} has gaps: the history of the days behind them is masked", UserWarning, stacklevel=5
        )
