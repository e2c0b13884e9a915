"""Whether a roll-out drifts: its fields against the truth's, by lead day.

A roll-out whose state is its own yesterday may lose variance, invent some, or wander off, and slowly enough
for one day's scores not to show it. For each lead day: the ratio of the variances in space, the Wasserstein
distance of the values, and the ratio of the spectra by bands of wavelength. A ratio of one that stays is what
to look for; the truth's own weather moves it about by the day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from xdownscale.cf.raster import Raster, check_same_grid, check_same_units, raster
from xdownscale.diagnostics.distance import wasserstein
from xdownscale.diagnostics.timeline import places
from xdownscale.diagnostics.wavenumber import band_ratio, power

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["drift"]

_BANDS = (np.inf, 64.0, 16.0, 4.0, 2.0)


def drift(
    prediction: xr.DataArray,
    truth: xr.DataArray,
    *,
    wavelengths: Sequence[float] = _BANDS,
    dims: Mapping[str, Hashable] | None = None,
) -> xr.Dataset:
    """Variance ratio, Wasserstein distance and spectral ratio by lead day.

    Parameters
    ----------
    prediction : DataArray, dims (time, lat, lon), realization and others in any order
        Members are taken as fields of their own, never averaged.
    truth : DataArray, dims (time, lat, lon)
        On the same grid and times.
    wavelengths : sequence of float [cells]
        Edges of the bands of the spectrum along rows, falling.
    dims : mapping, optional
        `lat`, `lon`, `time` to names of dimensions, where discovery cannot tell.

    Returns
    -------
    Dataset
        `variance_ratio` (area-weighted, of the fields about their own means, averaged over members), `w1`
        [units of the fields], and `spectral_ratio` by `band`, along time, with the coordinates `lead` [steps]
        and `longest`, `shortest` [cells]. NaN for days without values, and for the spectra of days with a
        cell missing.

    Raises
    ------
    ValueError
        If there is no time, or grids, times or units differ.

    Examples
    --------
    >>> time = np.arange("2021-06-01", "2021-06-04", dtype="M8[D]").astype("M8[ns]")
    >>> cells = {"time": time, "lat": np.arange(4.0), "lon": np.arange(16.0)}
    >>> truth = xr.DataArray(np.random.default_rng(0).normal(size=(3, 4, 16)), cells)
    >>> fading = truth * xr.DataArray([1.0, 0.5, 0.0], {"time": time})
    >>> drift(fading, truth, wavelengths=(np.inf, 4, 2)).variance_ratio.values.round(12)
    array([1.  , 0.25, 0.  ])
    """
    one, two = raster(prediction, dims=dims), raster(truth, dims=dims)
    check_same_grid(one, two)
    check_same_units(prediction, truth)
    _check_times(one, two)
    time = str(two.axes.time)
    distance = wasserstein(prediction, truth, per="time", dims=dims)
    variance, spectra = _by_day(one, two, wavelengths)
    edges = np.asarray(wavelengths, dtype=np.float64)
    found = xr.Dataset(
        {
            "variance_ratio": (
                time,
                variance,
                {"long_name": "ratio of the variances in space", "units": "1"},
            ),
            "w1": distance["w1"].drop_vars("support"),
            "spectral_ratio": ((time, "band"), spectra, {"long_name": "ratio of the spectra", "units": "1"}),
        },
        {
            time: two.fields[time].variable,
            "lead": (time, places(two.fields[time]), {"long_name": "lead", "units": "steps"}),
            "longest": ("band", edges[:-1], {"units": "cells"}),
            "shortest": ("band", edges[1:], {"units": "cells"}),
        },
    )
    return found.assign_attrs(variable=str(prediction.name))


def _by_day(
    one: Raster, two: Raster, wavelengths: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    variances, spectra = [], []
    for day in range(two.fields.sizes[two.axes.time]):
        ours, true = (_fields(r, day) for r in (one, two))
        with np.errstate(invalid="ignore", divide="ignore"):
            variances.append(_variance(ours, two.area) / _variance(true, two.area))
            wavenumber, own = power(ours)
            spectra.append(band_ratio(own, power(true)[1], wavenumber, wavelengths))
    return np.array(variances), np.stack(spectra)


def _fields(r: Raster, day: int) -> NDArray[np.float64]:
    """All fields of a day, shape (n, ny, nx)."""
    values = np.asarray(r.fields.isel({r.axes.time: day}).values, dtype=np.float64)
    return values.reshape(-1, *values.shape[-2:])


def _variance(fields: NDArray[np.float64], area: NDArray[np.float64]) -> np.float64:
    """Mean over fields of the variance about the field's mean; NaN where there is no value."""
    valid = np.isfinite(fields)
    w = area * valid
    total = w.sum(axis=(1, 2))
    known = np.where(valid, fields, 0.0)
    mean = (w * known).sum(axis=(1, 2)) / total
    spread = (w * (known - mean[:, None, None]) ** 2).sum(axis=(1, 2)) / total
    return np.float64(spread[total > 0].mean() if (total > 0).any() else np.nan)


def _check_times(one: Raster, two: Raster) -> None:
    for word, r in (("prediction", one), ("truth", two)):
        if r.axes.time is None:
            raise ValueError(
                f"{word} has no time; there are {list(r.fields.dims)}: name it, dims={{'time': ...}}"
            )
    ours, true = (r.fields.indexes[r.axes.time] for r in (one, two) if r.axes.time is not None)
    if not ours.equals(true):
        raise ValueError(
            f"prediction and truth have other times, {ours.size} from {ours[0]} and {true.size} from "
            f"{true[0]}: choose those they share"
        )
