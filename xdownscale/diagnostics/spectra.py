"""Power spectra of labelled fields, by physical wavenumber.

On a sphere the spectrum is zonal: each row has its own metric, R cos(latitude), and its variance is brought
to one axis of wavenumbers without loss (`wavenumber.Bins`); rows are averaged by area within bands of
latitude. On a plane it is isotropic, modes sorted by the length of their wavenumber. `power` is a density
E(k), so that

    sum_k E(k) dk + beyond = variance

exactly, where `variance` is that of the detrended, tapered field, its mean left out, and `beyond` the part at
wavenumbers past the last bin: the Nyquist wavenumber of a band's widest row, or on a plane the smaller one.

Spectra are averaged, over time and members, never the fields: the mean of an ensemble is smoother than any of
its members. A row with a gap is left out (on a plane, the whole field), and `rows` says which share was kept;
nothing is filled in. Rows within 10 degrees of a pole are left out, being too short. What it is not: a
spherical harmonic analysis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from xdownscale.cf.raster import check_same_grid, check_same_units, raster
from xdownscale.diagnostics.sources import at_times
from xdownscale.diagnostics.wavenumber import (
    Bins,
    Detrend,
    Taper,
    line_bins,
    line_variance,
    mode_variance,
    ring_bins,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from xdownscale.cf.raster import Raster

__all__ = ["spectrum"]

Direction = Literal["auto", "zonal", "meridional", "isotropic"]

_EARTH_KM = 6371.0
_POLAR = 80.0


def spectrum(
    da: xr.DataArray,
    *,
    truth: xr.DataArray | None = None,
    direction: Direction = "auto",
    bands: int | Sequence[float] | None = None,
    detrend: Detrend = "linear",
    taper: Taper = "hann",
    pool: Sequence[Hashable] = ("time", "realization"),
    dims: Mapping[str, Hashable] | None = None,
) -> xr.Dataset:
    """Power spectrum of fields, and where they stop resembling the truth.

    Parameters
    ----------
    da : DataArray, dims in any order
        Fields on a regular grid; lazy ones give a lazy result, a block at a time.
    truth : DataArray, optional
        On the same grid, at the same times or more, with or without members. Rows must be whole in both.
    direction : {"auto", "zonal", "meridional", "isotropic"}
        `auto` is zonal on a sphere and isotropic on a plane. `isotropic` needs a plane.
    bands : int or sequence of float, optional [degree]
        Number of equal bands of latitude, or their edges, rising; one band by default. Zonal only.
    detrend : {"linear", "mean"} or None
        Not done along a whole circle of latitude, which has no ends.
    taper : {"hann"} or None
        As `detrend`.
    pool : sequence of hashable
        Dimensions over which spectra are averaged; the others stay.
    dims : mapping, optional
        `lat`, `lon`, `time` to names of dimensions, where discovery cannot tell.

    Returns
    -------
    Dataset
        `power` (..., [band,] wavenumber) and `variance`, `beyond`, `rows` (..., [band]); with a truth
        `truth_power`, `ratio`, and `effective_resolution` [km], the shortest wavelength down to which the
        power is within a factor of two of the truth's. Coordinates `wavenumber` [km-1], `wavelength` [km] and
        `band`, its middle, with `band_bounds`; a dimension only where `bands` were asked for. NaN where no
        row is whole.

    Raises
    ------
    TypeError
        If the values are no real numbers.
    ValueError
        If the grids or units differ, an option is unknown, or values are infinite.

    Examples
    --------
    >>> lat, lon = [0.0, 0.5], 0.5 * np.arange(64)
    >>> wave = xr.DataArray(
    ...     np.tile(np.cos(2 * np.pi * np.arange(64) / 8), (2, 1)), {"lat": lat, "lon": lon}, ("lat", "lon")
    ... )
    >>> found = spectrum(wave, detrend=None, taper=None)
    >>> float(found.wavelength[int(found.power.argmax("wavenumber"))].round(1))  # 8 cells of half a degree
    444.8
    """
    fields = raster(da, dims=dims)
    how = _plan(fields, direction, bands, detrend, taper)
    operands = [_labelled(fields)]
    if truth is not None:
        other = raster(truth, dims=dims)
        check_same_grid(fields, other)
        check_same_units(da, truth)
        operands.append(at_times(_labelled(other), operands[0], "the truth"))
    summed = _summed(how, operands, pool)
    found = _described(_finished(how, summed), how, da)
    return found.squeeze("band") if bands is None and "band" in found.dims else found


@dataclass(frozen=True, eq=False)
class _Plan:
    bins: Bins
    direction: str
    bounds: NDArray[np.float64] | None
    detrend: Detrend
    taper: Taper
    unit: str

    def __call__(self, *fields: NDArray[Any]) -> NDArray[np.float64]:
        """Sums for one or two arrays (..., ny, nx), shape (..., groups, arrays * (n + 1) + 2)."""
        shared = np.broadcast_shapes(*(field.shape for field in fields))[:-2]
        fields = tuple(np.broadcast_to(field, (*shared, *field.shape[-2:])) for field in fields)
        groups, n = self.bins.last.size, self.bins.wavenumber.size
        out = np.empty((*shared, groups, len(fields) * (n + 1) + 2))
        # one by one, so that many fields need no more memory than one
        for place in np.ndindex(shared):
            out[place] = self._one([field[place] for field in fields])
        return out

    def _one(self, fields: list[NDArray[Any]]) -> NDArray[np.float64]:
        if any(np.isinf(field).any() for field in fields):
            raise ValueError("the fields hold infinite values: mask them first, da.where(abs(da) < inf)")
        modes = [self._modes(field) for field in fields]
        valid = np.logical_and.reduce([np.isfinite(lines).all(axis=-1) for lines in modes])
        found = [self.bins(lines, valid) for lines in modes]
        whole = self.bins.weight.sum(axis=1)
        return np.concatenate([*(sums for sums, _ in found), found[0][1][:, None], whole[:, None]], axis=1)

    def _modes(self, field: NDArray[Any]) -> NDArray[np.float64]:
        """Variance by row and line; a plane is one row of all its modes."""
        if self.direction == "isotropic":
            modes = mode_variance(field, detrend=self.detrend, taper=self.taper)
            return modes.reshape(*field.shape[:-2], 1, -1)
        rows = np.swapaxes(field, -1, -2) if self.direction == "meridional" else field
        return line_variance(rows, detrend=self.detrend, taper=self.taper)


def _plan(fields: Raster, direction: Direction, bands: Any, detrend: Detrend, taper: Taper) -> _Plan:
    _check_options(fields, direction, bands, detrend, taper)
    found = direction if direction != "auto" else "zonal" if fields.spherical else "isotropic"
    (dy, dx), unit = _spacing(fields)
    ny, nx = fields.grid.shape
    if min(nx if found != "meridional" else ny, ny if found != "zonal" else nx) < 4:
        raise ValueError(f"a field of {ny} x {nx} cells: expected at least 4 along the spectrum's direction")
    bounds = None
    if found == "isotropic":
        bins = ring_bins((ny, nx), (dy, float(dx[0])))
    elif found == "meridional":
        bins = line_bins(np.full(nx, dy), ny, np.ones(nx))
    else:
        bounds, group = _bands(fields, bands)
        bins = line_bins(np.where(group >= 0, dx, dx.max()), nx, fields.grid.y.measure, group=group)
        if fields.grid.x.cyclic:
            detrend, taper = None, None
    return _Plan(bins, found, bounds, detrend, taper, unit)


def _check_options(fields: Raster, direction: str, bands: Any, detrend: Any, taper: Any) -> None:
    for name, value, known in (
        ("direction", direction, get_args(Direction)),
        ("detrend", detrend, ("linear", "mean", None)),
        ("taper", taper, ("hann", None)),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}: expected one of {list(known)}")
    if direction == "isotropic" and fields.spherical:
        raise ValueError(
            "an isotropic spectrum of latitudes and longitudes: degrees are no plane; take "
            "direction='zonal', or reproject the field to metres first"
        )
    if bands is not None and not (fields.spherical and direction in ("auto", "zonal")):
        raise ValueError("bands are of latitude: expected None on a plane or along meridians")


def _spacing(fields: Raster) -> tuple[tuple[float, NDArray[np.float64]], str]:
    """Distances between cells, along y and of each row along x, and the wavenumber's unit."""
    y, x = fields.grid.y, fields.grid.x
    if fields.spherical:
        degree = np.deg2rad(1.0) * _EARTH_KM
        return (degree * y.step, degree * x.step * np.cos(np.deg2rad(y.values))), "km-1"
    units = str(fields.fields[fields.axes.lon].attrs.get("units", "")).lower()
    scale = {"m": 1e-3, "metre": 1e-3, "meter": 1e-3, "metres": 1e-3, "meters": 1e-3}.get(units, 1.0)
    known = units in ("km", "kilometre", "kilometer") or scale != 1.0
    return (scale * y.step, np.full(y.size, scale * x.step)), "km-1" if known else f"({units or 'cell'})-1"


def _bands(fields: Raster, bands: Any) -> tuple[NDArray[np.float64] | None, NDArray[np.int64]]:
    """Bounds, shape (bands, 2), None on a plane, and the band of each row, -1 for none."""
    y = fields.grid.y
    if not fields.spherical:
        return None, np.zeros(y.size, dtype=np.int64)
    middle = np.abs(y.values) <= _POLAR
    if not middle.any():
        raise ValueError(f"all latitudes lie beyond {_POLAR:g}: too near to a pole for a zonal spectrum")
    low, high = np.clip(y.edges[[0, -1]], -_POLAR, _POLAR)
    if bands is None or isinstance(bands, int | np.integer):
        edges = np.linspace(low, high, (1 if bands is None else int(bands)) + 1)
    else:
        edges = np.asarray(bands, dtype=np.float64)
    if edges.size < 2 or (np.diff(edges) <= 0).any() or not np.isfinite(edges).all():
        raise ValueError(f"bands are {bands!r}: expected a number of at least 1, or edges that rise")
    group = np.searchsorted(edges, y.values, side="right") - 1
    group[y.values == edges[-1]] = edges.size - 2
    group[(group >= edges.size - 1) | ~middle] = -1
    empty = sorted(set(range(edges.size - 1)) - set(group.tolist()))
    if empty:
        found = f"{edges[empty[0]]:g} to {edges[empty[0] + 1]:g}"
        raise ValueError(f"the band from {found} holds no row within {_POLAR:g} degrees: take wider bands")
    return np.stack([edges[:-1], edges[1:]], axis=1), group


def _labelled(fields: Raster) -> xr.DataArray:
    names = {fields.axes.lat: "_y", fields.axes.lon: "_x"}
    if fields.axes.time is not None:
        names[fields.axes.time] = "time"
    out = fields.fields.rename(names)
    out = out.drop_vars([c for c in out.coords if {"_y", "_x"} & set(out[c].dims)])
    return out if out.chunks is None else out.chunk({"_y": -1, "_x": -1})


def _summed(how: _Plan, operands: list[xr.DataArray], pool: Sequence[Hashable]) -> xr.DataArray:
    groups = how.bins.last.size
    size = len(operands) * (how.bins.wavenumber.size + 1) + 2
    sums: xr.DataArray = xr.apply_ufunc(
        how,
        *operands,
        input_core_dims=[["_y", "_x"]] * len(operands),
        output_core_dims=[["band", "_part"]],
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={"output_sizes": {"band": groups, "_part": size}},
    )
    return sums.sum([d for d in pool if d in sums.dims and d not in ("band", "_part")])


def _finished(how: _Plan, sums: xr.DataArray) -> xr.Dataset:
    bins = how.bins
    n = bins.wavenumber.size
    weight = sums.isel(_part=-2, drop=True)
    weight = weight.where(weight > 0)
    out = {"rows": weight.fillna(0.0) / sums.isel(_part=-1, drop=True)}
    held = xr.DataArray(np.arange(n) < bins.last[:, None], dims=("band", "wavenumber"))
    for k, prefix in enumerate(("", "truth_")[: (sums.sizes["_part"] - 2) // (n + 1)]):
        part = sums.isel(_part=slice(k * (n + 1), (k + 1) * (n + 1))) / weight
        lines = part.isel(_part=slice(0, n)).rename(_part="wavenumber")
        out[f"{prefix}power"] = lines.where(held) / bins.width
        out[f"{prefix}variance"] = part.sum("_part", skipna=False)
        out[f"{prefix}beyond"] = part.isel(_part=-1, drop=True)
    found = xr.Dataset(out).assign_coords(wavenumber=bins.wavenumber)
    if "truth_power" in found:
        found["ratio"] = found["power"] / found["truth_power"]
        found["effective_resolution"] = xr.apply_ufunc(
            _resolution,
            found["ratio"],
            kwargs={"wavenumber": bins.wavenumber},
            input_core_dims=[["wavenumber"]],
            dask="parallelized",
            output_dtypes=[np.float64],
        )
    if how.bounds is None:
        return found.squeeze("band", drop=True)
    return found.assign_coords(band=how.bounds.mean(axis=1), band_bounds=(("band", "bnds"), how.bounds))


def _resolution(ratio: NDArray[np.float64], wavenumber: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wavelength at which a ratio first leaves [1/2, 2]; that of the last bin if it never does."""
    flat = ratio.reshape(-1, wavenumber.size)
    out = np.full(len(flat), np.nan)
    for i, row in enumerate(flat):
        known = np.flatnonzero(np.isfinite(row) & (row > 0))
        if known.size == 0:
            continue
        off, k = np.abs(np.log2(row[known])), np.log(wavenumber[known])
        past = np.flatnonzero(off > 1)
        if past.size == 0:
            out[i] = 1 / wavenumber[known[-1]]
        elif past[0] == 0:
            out[i] = np.inf
        else:
            p = past[0]
            out[i] = np.exp(-np.interp(1.0, off[p - 1 : p + 1], k[p - 1 : p + 1]))
    return out.reshape(ratio.shape[:-1])


def _described(found: xr.Dataset, how: _Plan, da: xr.DataArray) -> xr.Dataset:
    length = how.unit.removesuffix("-1").strip("()")
    words = _words(da, length)
    for name in found.data_vars:
        long_name, unit = words[str(name)]
        found[name].attrs = {"long_name": long_name, "units": unit}
    found["wavenumber"].attrs = {"long_name": "wavenumber, cycles per unit of length", "units": how.unit}
    wavelength = ("wavenumber", 1 / found["wavenumber"].values, {"long_name": "wavelength", "units": length})
    found = found.assign_coords(wavelength=wavelength)
    if "band" in found.dims:
        found["band"].attrs = {
            "long_name": "latitude band",
            "units": "degrees_north",
            "bounds": "band_bounds",
        }
    found.attrs = {
        "direction": how.direction,
        "detrend": str(how.detrend).lower(),
        "taper": str(how.taper).lower(),
        "bin_width": how.bins.width,
        "pooling": "spectra are averaged, never the fields",
        "gaps": "rows with a missing cell are left out",
    }
    return found


def _words(da: xr.DataArray, length: str) -> dict[str, tuple[str, str]]:
    """Long name and units of each variable."""
    units = str(da.attrs.get("units", ""))
    square = f"({units})2" if units not in ("", "1") else "1"
    density = f"{square} {length}" if square != "1" else length
    of = str(da.attrs.get("long_name", da.name or "field"))
    return {
        "power": (f"power spectral density of {of}", density),
        "truth_power": (f"power spectral density of the truth of {of}", density),
        "variance": ("variance after detrending and tapering", square),
        "truth_variance": ("variance of the truth after detrending and tapering", square),
        "beyond": ("variance at wavenumbers past the last", square),
        "truth_beyond": ("variance of the truth at wavenumbers past the last", square),
        "rows": ("share of area in rows without gaps", "1"),
        "ratio": ("power over the truth's", "1"),
        "effective_resolution": (
            "shortest wavelength with power within a factor of two of the truth's",
            length,
        ),
    }
