"""Times as places on an even lattice, where a missing day is a place without a value.

The step is the commonest difference between neighbours, or a calendar month; every other difference must be a
whole multiple of it. What it is not: a resampler; times that lie on no lattice are refused with the call that
puts them on one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.noise import instant

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["lag_pairs", "places"]

_CLOSE = 1e-6


def places(time: xr.DataArray) -> NDArray[np.int64]:
    """Places of times on their lattice.

    Parameters
    ----------
    time : DataArray, shape (n,)
        Rising datetimes of any calendar, or numbers (lead days).

    Returns
    -------
    ndarray, shape (n,)
        From 0, rising; a jump of more than one is a gap.

    Raises
    ------
    ValueError
        If times are not rising, or lie on no even lattice.

    Examples
    --------
    >>> import xarray as xr
    >>> places(xr.DataArray(np.array(["2021-06-01", "2021-06-02", "2021-06-05"], "M8[ns]"), dims="time"))
    array([0, 1, 4])
    """
    values = np.asarray(time.values)
    if values.size < 2:
        return np.zeros(values.size, dtype=np.int64)
    numbers = values.astype(np.float64) if values.dtype.kind in "fiu" else _instants(values)
    gaps = np.diff(numbers)
    if not (gaps > 0).all():
        raise ValueError(
            f"{time.name!r} does not rise: sort it and drop duplicates, da.sortby({time.name!r})"
        )
    found, counts = np.unique(gaps, return_counts=True)
    steps = gaps / found[counts.argmax()]
    if np.abs(steps - np.round(steps)).max() > _CLOSE or steps.min() < 0.5:
        months = _months(values)
        if months is None:
            raise ValueError(_irregular(time, gaps))
        return months
    return np.asarray(np.concatenate([[0], np.cumsum(np.round(steps))]), dtype=np.int64)


def lag_pairs(place: NDArray[np.int64], lag: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the times that are `lag` steps apart, earlier and later, shapes (m,).

    >>> lag_pairs(np.array([0, 1, 4, 5]), 1)
    (array([0, 2]), array([1, 3]))
    """
    later = np.minimum(np.searchsorted(place, place + lag), place.size - 1)
    earlier = np.flatnonzero(place[later] == place + lag)
    return earlier, later[earlier]


def _instants(values: NDArray[Any]) -> NDArray[np.int64]:
    stamps = [instant(t) for t in values]
    return np.array(stamps, dtype=np.int64)


def _months(values: NDArray[Any]) -> NDArray[np.int64] | None:
    """Months from the first, where all stamps have one day and hour of the month."""
    if values.dtype.kind == "M":
        month = values.astype("datetime64[M]")
        rest, number = values - month, month.astype(np.int64)
    elif values.dtype.kind == "O":
        rest = np.array([(t.day, t.hour, t.minute, t.second) for t in values])
        number = np.array([12 * t.year + t.month for t in values], dtype=np.int64)
    else:
        return None
    return number - number[0] if (rest == rest[0]).all() else None


def _irregular(time: xr.DataArray, gaps: NDArray[Any]) -> str:
    kind = np.asarray(time.values).dtype.kind
    low, high = (f"{g:g}" if kind in "fiu" else f"{g / 3.6e9:g} h" for g in (gaps.min(), gaps.max()))
    name = time.name
    return (
        f"{name!r} is not regular: steps from {low} to {high}. Expected one step, with gaps of whole "
        f"steps; bring it to one first, da.resample({name}='1D').mean(), or .asfreq() where days are missing"
    )
