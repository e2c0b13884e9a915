"""What each field of a card may hold: closed sets, bounded numbers, bounded text.

A check takes a value as JSON gives it (or as Python code writes it: tuples for lists) and returns it in
the one form that a card stores: tuples for the card's own sequences, plain JSON types inside mappings.
A checkpoint from elsewhere is read through these checks before anything is built from it, so sizes are
bounded: a card that passes is a few pages of text and an architecture that some machine can hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any
from unicodedata import category

from xdownscale import scaling
from xdownscale.grid import Grid
from xdownscale.models.members import MemberByMember
from xdownscale.noise import Spectrum

__all__ = ["FIELDS", "NAME", "PROCESSES", "SAMPLERS", "SEES", "STEPS", "check"]

Check = Callable[[Any], Any]

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?")
_HEX = re.compile("[0-9a-f]{64}")
PROCESSES = ("flow", "ddpm", "regression", "vae")
SEES = ("coarse", "fine", "upsampled")
SAMPLERS = ("midpoint", "fast", "ddpm", "ddim", "dpmpp", "euler", "direct")
STEPS = {"D": 86_400_000_000, "h": 3_600_000_000, "min": 60_000_000, "s": 1_000_000}
_UPSAMPLINGS = ("nearest", "linear", "cubic", "conservative")
_DEPTH = 4


def check(field: str, value: Any) -> Any:
    """The value in the form a card stores.

    Parameters
    ----------
    field : str
        Name of a field of `Card`.
    value : JSON value

    Raises
    ------
    ValueError
        If the field does not hold such a value; the message names the field, what was found and expected.

    Examples
    --------
    >>> check("months", [6, 7, 8])
    (6, 7, 8)
    >>> check("process", "score")
    Traceback (most recent call last):
        ...
    ValueError: card field 'process': found 'score', expected one of 'flow', 'ddpm', 'regression', 'vae'
    """
    try:
        return FIELDS[field](value)
    except RecursionError as error:  # a value that was just shallow enough to be read
        raise ValueError(f"card field {field!r}: nested too deep") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"card field {field!r}: {error}") from error


def _fail(value: Any, expected: str) -> ValueError:
    shown = repr(value)
    return ValueError(f"found {shown if len(shown) <= 80 else shown[:77] + '...'}, expected {expected}")


def _text(limit: int = 300, *, empty: bool = False, pattern: re.Pattern[str] | None = None) -> Check:
    def run(value: Any) -> str:
        if not isinstance(value, str) or len(value) > limit or not (value.strip() or empty):
            raise _fail(value, f"text of at most {limit} characters")
        if any(category(c) in ("Cc", "Cs") and c not in "\n\t" for c in value):
            raise _fail(value, "text without control characters and half characters")
        if pattern is not None and not pattern.fullmatch(value):
            raise _fail(value, f"text like {pattern.pattern}")
        return value

    return run


def _number(low: float, high: float, *, whole: bool = False) -> Check:
    kind = "a whole number" if whole else "a number"

    def run(value: Any) -> float | int:
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise _fail(value, f"{kind} from {low} to {high}")
        if not (math.isfinite(value) and low <= value <= high):
            raise _fail(value, f"{kind} from {low} to {high}")
        return value if whole else float(value)

    return run


def _choice(*values: str) -> Check:
    def run(value: Any) -> str:
        if value not in values or not isinstance(value, str):
            raise _fail(value, "one of " + ", ".join(map(repr, values)))
        return value

    return run


def _optional(inner: Check) -> Check:
    return lambda value: None if value is None else inner(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _fail(value, "true or false")
    return value


def _sequence(inner: Check, low: int, high: int) -> Callable[[Any], tuple[Any, ...]]:
    def run(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence) or not low <= len(value) <= high:
            raise _fail(value, f"a list of {low} to {high} values")
        return tuple(inner(item) for item in value)

    return run


def _listed(inner: Check, low: int, high: int) -> Check:
    rule = _sequence(inner, low, high)
    return lambda value: list(rule(value))


def _record(**rules: Check) -> Check:
    def run(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or set(value) != set(rules):
            raise _fail(value, f"exactly the keys {sorted(rules)}")
        return {key: rule(value[key]) for key, rule in rules.items()}

    return run


def _table(key: Check, inner: Check, limit: int = 64) -> Check:
    def run(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) > limit:
            raise _fail(value, f"a mapping of at most {limit} entries")
        return {key(str(name)): inner(item) for name, item in value.items()}

    return run


def _json(value: Any, depth: int = 0) -> Any:
    if depth > _DEPTH:
        raise _fail(value, f"JSON nested at most {_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(2000, empty=True)(value)
    if isinstance(value, (int, float)):
        return value if isinstance(value, int) else _FINITE(value)
    if isinstance(value, Mapping):
        return _table(_text(100), lambda item: _json(item, depth + 1))(value)
    return _listed(lambda item: _json(item, depth + 1), 0, 1000)(value)


def _evaluations(value: Any) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", value):
        raise _fail(value, "a number of evaluations from 1 to 9999")
    return str(value)


def _sampled(value: Any) -> str:
    return "fast" if value == "fast" else _evaluations(value)


def _ascending(inner: Callable[[Any], tuple[Any, ...]], *, strict: bool = True) -> Check:
    def run(value: Any) -> tuple[Any, ...]:
        found = inner(value)
        if any(b < a or (strict and b == a) for a, b in pairwise(found)):
            raise _fail(value, "ascending values")
        return found

    return run


def _levels(value: Any) -> list[float]:
    found: list[float] = _listed(_number(0, 1), 2, 10_000)(value)
    if any(b >= a for a, b in pairwise(found)):
        raise _fail(value, "noise levels that fall")
    return found


def _quantiles(value: Any) -> tuple[float, ...]:
    found: tuple[float, ...] = _ascending(_sequence(_number(-1e6, 1e6), 0, 101), strict=False)(value)
    if len(found) not in (0, 101):
        raise _fail(value, f"101 quantiles or none ({len(found)} found)")
    return found


def _training(value: Any) -> dict[str, Any]:
    found = _table(_text(100), _json)(value)
    if not {"data", "synthetic"} <= set(found):
        raise _fail(sorted(found), "the keys data (what was learned from) and synthetic (true or false)")
    _text(500)(found["data"])
    _boolean(found["synthetic"])
    return dict(found)


def _region(value: Any) -> dict[str, list[float]]:
    if isinstance(value, Mapping) and set(value) == {"y", "x"}:
        plane = _record(y=_PAIR, x=_PAIR)(value)
        if not all(low < high for low, high in plane.values()):
            raise _fail(value, "y and x ranges that rise")
        return dict(plane)
    edges = _record(lat=_listed(_number(-90, 90), 2, 2), lon=_listed(_number(-360, 360), 2, 2))(value)
    if not edges["lat"][0] < edges["lat"][1] or not 0 < edges["lon"][1] - edges["lon"][0] <= 360:
        raise _fail(value, "lat and lon ranges that rise, lon by at most 360")
    return dict(edges)


def _grid(value: Any) -> dict[str, Any]:
    return Grid.from_dict(_record(y=_AXIS, x=_AXIS, crs=_text(10_000, empty=True))(value)).to_dict()


def _scaling(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _fail(value, "a transform's name and numbers")
    numbers = _table(_text(20), _parameter)({key: item for key, item in value.items() if key != "name"})
    found = scaling.from_dict({"name": value.get("name"), **numbers}).to_dict()
    if set(found) != set(value):
        raise _fail(sorted(value), f"exactly the keys {sorted(found)}")
    return dict(found)


def _parameter(value: Any) -> Any:
    return _listed(_FINITE, 2, 1001)(value) if isinstance(value, (list, tuple)) else _FINITE(value)


def _window(value: Any) -> list[int]:
    start, size = _listed(_INDEX, 2, 2)(value)
    return [start, _SIZE(size)]


def _spectrum(value: Any) -> dict[str, Any]:
    power = _number(0, math.inf)
    found = Spectrum.from_dict(
        _record(power=_listed(power, 1, 4096), floor=power, radius=_number(0, 256, whole=True))(value)
    )
    return dict(found.to_dict())


def _member_by_member(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):  # older cards know nothing of these, or one scatter
        of_scale = ("band_gain", "scatter", "scatter_skew")
        of_mean = ("shift", "skew", "near_skew", "far_slope", "reach")
        later: dict[str, list[float]] = {name: [] for name in (*of_scale, *of_mean)}
        value = {"level": [0.0], "level_factor": [1.0]} | later | dict(value)
        if isinstance(one := value["scatter"], float) and isinstance(value.get("log_deviation"), list):
            value["scatter"] = [one] * len(value["log_deviation"]) if one else []
    found = _record(
        log_deviation=_listed(_number(-100, 100), 1, 64),
        slope=_listed(_number(-100, 100), 1, 64),
        factor=_listed(_number(1e-3, 1e3), 1, 64),
        width=_listed(_number(1e-6, 1e6), 1, 64),
        tail=_listed(_number(0, 1e3), 1, 64),
        level=_listed(_number(-1e9, 1e9), 1, 64),
        level_factor=_listed(_number(1e-3, 1e3), 1, 64),
        band_gain=_listed(_number(1e-3, 1e3), 0, 8),
        scatter=_listed(_number(0, 2), 0, 64),
        scatter_skew=_listed(_number(-1, 1), 0, 64),
        shift=_listed(_number(-100, 100), 0, 64),
        skew=_listed(_number(-0.3, 0.3), 0, 64),
        near_skew=_listed(_number(-0.2, 0.2), 0, 64),
        far_slope=_listed(_number(-100, 100), 0, 64),
        reach=_listed(_number(1e-6, 1e6), 0, 64),
    )(value)
    return dict(MemberByMember.from_dict(found).to_dict())


def _climatology(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):  # older maps have even steps
        value = {"bends": [0.0, 0.0]} | dict(value)
    two = _listed(_number(1e-9, 1e9), 2, 2), _listed(_number(0, 20), 2, 2)
    return dict(_record(y=_window, x=_window, spans=two[0], bends=two[1])(value))


_FINITE = _number(-math.inf, math.inf)
_PAIR = _listed(_number(-1e9, 1e9), 2, 2)
_INDEX = _number(-10_000_000, 10_000_000, whole=True)
_SIZE = _number(1, 10_000_000, whole=True)
_AXIS = _record(
    origin=_number(-1e9, 1e9),
    step=_number(1e-9, 1e9),
    start=_INDEX,
    size=_SIZE,
    kind=_choice("latitude", "longitude", "plane"),
    period=_optional(_SIZE),
)
_ENCODER = _record(
    history=_number(1, 64, whole=True),
    channels=_listed(_number(1, 512, whole=True), 1, 5),
)
_DENOISER = _record(
    condition=_number(1, 256, whole=True),
    context=_listed(_number(1, 512, whole=True), 0, 5),
    channels=_listed(_number(1, 512, whole=True), 1, 5),
    blocks=_number(1, 8, whole=True),
    embedding=_number(2, 1024, whole=True),
)
FIELDS: dict[str, Check] = {
    "name": _text(pattern=NAME),
    "version": _text(50),
    "licence": _text(100),
    "authors": _sequence(_text(200), 0, 100),
    "created": _optional(_text(40, pattern=_DATE)),
    "package_version": _optional(_text(50)),
    "variable": _text(100),
    "long_name": _text(empty=True),
    "standard_name": _text(empty=True),
    "units": _text(50),
    "wavelength_nm": _optional(_number(1, 1e6)),
    "value_range": _ascending(_sequence(_number(-1e6, 1e6), 2, 2)),
    "scaling": _scaling,
    "coarse": _grid,
    "fine": _grid,
    "region": _region,
    "months": _ascending(_sequence(_number(1, 12, whole=True), 1, 12)),
    "cadence": _text(20, pattern=re.compile(r"[1-9][0-9]{0,3}(D|h|min|s)")),
    "upsampling": _choice(*_UPSAMPLINGS),
    "training": _training,
    "encoder_digest": lambda value: _optional(_text(64, pattern=_HEX))(value or None),
    "architecture": _record(
        encoder=_optional(_ENCODER), denoiser=_optional(_DENOISER), climatology=_optional(_climatology)
    ),
    "sees": _choice(*SEES),
    "statics": _sequence(_text(50), 0, 32),
    "process": _choice(*PROCESSES),
    "sampler": _record(name=_choice(*SAMPLERS), evaluations=_number(1, 9999, whole=True)),
    "times": _table(_evaluations, _levels),
    "inflation": _table(_sampled, _listed(_number(0.1, 10), 1, 64)),
    "member_by_member": _table(_sampled, _member_by_member),
    "state": _boolean,
    "day_correlation": _number(0, 0.99),
    "state_correlation": _number(0, 0.99),
    "residual_scale": _number(1e-9, 1e9),
    "spectrum": _spectrum,
    "source_quantiles": _quantiles,
    "scores": _sequence(_table(_text(100), _json), 0, 200),
    "limitations": _sequence(_text(2000), 0, 50),
    "distilled": _boolean,
}
