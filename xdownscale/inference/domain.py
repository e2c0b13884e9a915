"""Whether an input is one that a model was made for.

Three kinds of answer. A refusal: another quantity, other units, another wavelength or sampling, values that
are no optical depth. A warning: what can be mended or must be known. A finding: outside the region, months or
values the model was trained on; the caller decides (`domain_check`) whether that stops him. The distance is
the Wasserstein distance between the quantiles of input and source,

    d = mean_q |T(Q_input(q)) - T(Q_source(q))|      in standard deviations of the transformed source.

A dust storm over a small window of a desert is 1.6 from the pooled source; per cent taken for optical depth
is beyond 3.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.cf import Field
    from xdownscale.models import Card, Downscaler

__all__ = ["DomainError", "Findings", "check_labels", "check_values", "judge", "judge_day"]

DomainCheck = Literal["raise", "warn", "ignore"]
FARTHEST = 2.5
SMALLEST = 3
_DAY_US = 86_400_000_000
_FILLS = (1e15, -9999.0, 9.969209968386869e36)
_GENERIC = re.compile(r"(?i)(aod|aot|tau|od)(_?550(nm)?)?|dust_?(aod|aot)")
_MERRA = re.compile(
    r"(?i)(TOT|BC|OC|SU|SS|DU|NI|BR)(EXTTAU|SCATAU|EXTT25|SCAT25|CMASS|SMASS|ANGSTR|FLUX[UV]|CMASS25|SMASS25)"
)
_DIMENSIONLESS = ("1", "", "dimensionless", "unitless")
_NANOMETRES = {"nm": 1.0, "nanometer": 1.0, "um": 1e3, "micrometer": 1e3, "µm": 1e3, "m": 1e9, "meter": 1e9}


class DomainError(ValueError):
    """The input lies outside what the model was trained for."""


@dataclass(frozen=True)
class Findings:
    """What was found outside the model's domain.

    Attributes
    ----------
    messages : tuple of str
        Empty inside the domain.
    distance : float or None [standard deviations]
        Of the input's values from the source's; None where the card has no quantiles.
    """

    messages: tuple[str, ...]
    distance: float | None


def check_labels(field: Field, card: Card) -> None:
    """Refuse another quantity, other units, another wavelength or sampling; warn where labels are missing.

    Parameters
    ----------
    field : Field
    card : Card

    Raises
    ------
    ValueError
    """
    da = field.source
    _check_quantity(da, card)
    _check_units(da, card)
    _check_wavelength(da, card)
    _check_sampling(field, card)
    if min(field.grid.shape) < SMALLEST:
        raise ValueError(
            f"the input is {field.grid.shape[0]} x {field.grid.shape[1]} coarse cells: expected at "
            f"least {SMALLEST} x {SMALLEST}; "
            "select a larger box"
        )


def check_values(values: NDArray[np.float64], card: Card) -> NDArray[np.float64]:
    """Refuse what is no field of the quantity; clip tiny negatives.

    Parameters
    ----------
    values : ndarray, shape (time, ny, nx)
    card : Card

    Returns
    -------
    ndarray
        A copy if anything was clipped.

    Raises
    ------
    ValueError
    """
    for fill in _FILLS:
        count = int(np.isclose(values, fill, rtol=1e-6, atol=0).sum())
        if count:
            raise ValueError(
                f"{count} values are {fill:g}, a fill value: mask them, da = da.where(da != {fill:g})"
            )
    if np.isinf(values).any():
        raise ValueError(
            f"{int(np.isinf(values).sum())} values are infinite: mask them, da = da.where(np.isfinite(da))"
        )
    low, high = card.value_range
    least, most = (float(f(values)) if np.isfinite(values).any() else 0.0 for f in (np.nanmin, np.nanmax))
    if least < -1e-3 and low >= 0:
        raise ValueError(
            f"the smallest value is {least:g}: {card.variable} is not negative; are these logarithms "
            "or anomalies? "
            "Give the field itself, or mask bad cells, da.where(da >= 0)"
        )
    if most > 100 * high:
        raise ValueError(
            f"the largest value is {most:g}, the model knows {low:g} to {high:g}: is it in percent? "
            "Divide by 100"
        )
    if most > high:
        warnings.warn(
            f"values reach {most:g}: the model was trained on {low:g} to {high:g}", UserWarning, stacklevel=4
        )
    if least < 0 <= low:
        warnings.warn(
            f"{int((values < 0).sum())} values down to {least:g} are below zero: taken for 0",
            UserWarning,
            stacklevel=4,
        )
        return np.where(values < 0, 0.0, values)
    return values


def judge(field: Field, values: NDArray[np.float64] | None, model: Downscaler, mode: DomainCheck) -> Findings:
    """Compare region, months and values with the model's; raise, warn or let pass.

    Parameters
    ----------
    field : Field
    values : ndarray, shape (..., time, ny, nx), or None
        None where they are not read yet: they are judged by `judge_day`.
    model : Downscaler
    mode : {"raise", "warn", "ignore"}

    Returns
    -------
    Findings

    Raises
    ------
    DomainError
        If something was found and `mode` is "raise".
    """
    card = model.card
    messages = [m for m in (_region(field, card), _months(field, card)) if m]
    distance = None if values is None else _distance(values, model)
    if distance is not None and distance > FARTHEST:
        messages.append(f"values {_far(distance)}")
    _settle(messages, mode)
    return Findings(tuple(messages), distance)


def judge_day(values: NDArray[np.float64], instant: int | None, model: Downscaler, mode: DomainCheck) -> None:
    """Compare the values of one day with the model's: what a block of a lazy input can tell.

    A day alone, so that the answer is the same however the days are chunked.

    Parameters
    ----------
    values : ndarray, shape (ny, nx)
    instant : int or None [microseconds since 1970]
    model : Downscaler
    mode : {"raise", "warn", "ignore"}

    Raises
    ------
    DomainError
        If the day is too far from the source and `mode` is "raise".
    """
    distance = None if mode == "ignore" else _distance(values, model)
    if distance is not None and distance > FARTHEST:
        day = "" if instant is None else f" of {np.datetime64(instant, 'us').astype('datetime64[s]')}"
        _settle([f"values{day} {_far(distance)}"], mode)


def _far(distance: float) -> str:
    return (
        f"differ from the model's source by {distance:.2f} standard deviations (Wasserstein, transformed): "
        f"expected at most {FARTHEST}"
    )


def _settle(messages: list[str], mode: DomainCheck) -> None:
    if messages and mode == "raise":
        raise DomainError("; ".join(messages) + "; use domain_check='warn' if that is meant")
    if messages and mode == "warn":
        warnings.warn("; ".join(messages), UserWarning, stacklevel=5)


def _check_quantity(da: xr.DataArray, card: Card) -> None:
    name, standard = str(da.name or ""), str(da.attrs.get("standard_name", ""))
    if standard == card.standard_name or (
        name.upper() == card.variable.upper() and not standard.startswith("atmosphere_")
    ):
        return
    other = standard if standard.startswith("atmosphere_") or (standard and " " not in standard) else ""
    if other or _MERRA.fullmatch(name):
        raise ValueError(
            f"the variable is {name!r} (standard_name {standard or 'not given'}): the model "
            f"{card.name} is for {card.variable} "
            f"({card.standard_name}); choose that variable, or another model"
        )
    if _GENERIC.fullmatch(name) or "units" not in da.attrs:
        warnings.warn(
            f"{name!r} has no standard_name: taken for {card.variable} ({card.standard_name})",
            UserWarning,
            stacklevel=5,
        )


def _check_units(da: xr.DataArray, card: Card) -> None:
    if "units" not in da.attrs:
        warnings.warn(f"{da.name!r} has no units: taken for {card.units!r}", UserWarning, stacklevel=5)
        return
    units = str(da.attrs["units"]).strip()
    if units == card.units or (card.units in _DIMENSIONLESS and units.lower() in _DIMENSIONLESS):
        return
    raise ValueError(
        f"units are {units!r}: expected {card.units!r}; convert the values and set da.attrs['units']"
    )


def _check_wavelength(da: xr.DataArray, card: Card) -> None:
    if (
        card.wavelength_nm is None
        or "radiation_wavelength" not in da.coords
        or da["radiation_wavelength"].size != 1
    ):
        return
    coordinate = da["radiation_wavelength"]
    scale = _NANOMETRES.get(str(coordinate.attrs.get("units", "nm")), 1.0)
    if coordinate.dtype.kind not in "fiu" or not np.isfinite(coordinate.values).all():
        raise ValueError(
            f"radiation_wavelength is {coordinate.values.reshape(-1)[0]!r}: expected a number, or drop it, "
            "da = da.drop_vars('radiation_wavelength')"
        )
    found = float(coordinate.values.reshape(-1)[0]) * scale
    if abs(found - card.wavelength_nm) > 1.0:
        raise ValueError(
            f"the wavelength is {found:g} nm: the model is for {card.wavelength_nm:g} nm; convert with "
            "an Angstrom exponent"
        )


def _check_sampling(field: Field, card: Card) -> None:
    stamps = np.unique(np.asarray([t for t in field.instants if t is not None], dtype=np.int64))
    if stamps.size < 2:
        return
    steps = np.diff(stamps)
    if card.cadence != "1D":
        if steps.min() < 0.98 * card.step:
            raise ValueError(
                f"times are {steps.min() / 60e6:g} minutes apart: the model takes fields every "
                f"{card.cadence}; da = da.resample(time={card.cadence!r}).mean()"
            )
        return
    if steps.min() < 0.98 * _DAY_US:
        hours = steps.min() / 3.6e9
        raise ValueError(
            f"times are {hours:g} hours apart: the model takes daily means; da = "
            "da.resample(time='1D').mean()"
        )
    if steps.min() >= 27 * _DAY_US:
        raise ValueError(
            f"times are at least {steps.min() / _DAY_US:.0f} days apart: the model takes daily means, "
            "not monthly ones; "
            "resample will not help, give daily fields"
        )


def _region(field: Field, card: Card) -> str:
    if "y" in card.region:
        return _plane_region(field, card)
    (south, north), (west, east) = card.region["lat"], card.region["lon"]
    y, x, dy, dx = field.grid.y.values, field.grid.x.values, field.grid.y.step, field.grid.x.step
    middle = 0.5 * (west + east)
    x = (
        middle + (x - middle + 180) % 360 - 180
        if field.grid.x.period is not None and east - west < 360 - dx
        else x
    )
    if (
        y.min() >= south - dy
        and y.max() <= north + dy
        and (east - west >= 360 - dx or (x.min() >= west - dx and x.max() <= east + dx))
    ):
        return ""
    return (
        f"the input lies on {y.min():g} to {y.max():g} N, {x.min():g} to {x.max():g} E: the model "
        f"{card.name} was trained on "
        f"{south:g} to {north:g} N, {west:g} to {east:g} E"
    )


def _plane_region(field: Field, card: Card) -> str:
    for name, axis in (("y", field.grid.y), ("x", field.grid.x)):
        (low, high), (first, last) = card.region[name], axis.values[[0, -1]]
        if first < low - axis.step or last > high + axis.step:
            return f"{name} runs from {first:g} to {last:g}: {card.name} was trained on {low:g} to {high:g}"
    return ""


def _months(field: Field, card: Card) -> str:
    stamps = np.asarray([t for t in field.instants if t is not None], dtype="datetime64[us]")
    found = sorted({int(m) % 12 + 1 for m in stamps.astype("datetime64[M]").astype(int)})
    outside = [m for m in found if m not in card.months]
    return f"months {outside} are not the model's {list(card.months)}" if outside and card.months else ""


def _distance(values: NDArray[np.float64], model: Downscaler) -> float | None:
    source = np.asarray(model.card.source_quantiles)
    known = values[np.isfinite(values)]
    if not source.size or not known.size:
        return None
    known = known if model.card.signed else np.maximum(known, 0.0)
    found: Any = np.quantile(known, np.linspace(0, 1, source.size))
    apart = np.abs(model.scaling.forward(found) - model.scaling.forward(source))
    return float(apart.mean() / np.std(model.scaling.forward(source)))
