"""A card: what a model is, what it was trained on, how well it did and where it must not be used.

The card is the JSON in a checkpoint's header, and all that is needed to build the networks, the grids and
the process around its weights. It is a value: checked field by field when it is made (`models.schema`),
then frozen. It holds no weights and imports no torch.
"""

from __future__ import annotations

import html
import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from xdownscale.models import schema

if TYPE_CHECKING:
    from xdownscale.models.members import MemberByMember

__all__ = ["SCHEMA_VERSION", "Card"]

SCHEMA_VERSION = 2
# fields that came after this version of the schema: in the JSON only where they are not what they were before
ADDED: dict[str, Any] = {
    "sees": "coarse",
    "distilled": False,
    "member_by_member": {},
    "state_correlation": 0.0,
}
_JSON_LIMIT = 1_000_000


@dataclass(frozen=True)
class Card:
    """The metadata of a model.

    Parameters
    ----------
    name : str
        Lower-case letters, digits, ``_ . -``.
    variable, units : str
        The quantity, as the training data name it.
    value_range : (float, float) [units]
        Values that the model may be given; a quantity whose range begins at 0 or above is never negative.
    scaling : dict
        The value transform, `scaling.from_dict`.
    coarse, fine : dict
        The whole grids, `Grid.from_dict`.
    region : dict
        ``{"lat": [south, north], "lon": [west, east]}`` [degree]; across the dateline east exceeds 180. On a
        plane ``{"y": [low, high], "x": [low, high]}`` [unit of the CRS].
    months : tuple of int, 1-12, ascending
    upsampling : {"nearest", "linear", "cubic", "conservative"}
    training : dict
        Free JSON with at least ``data`` (str) and ``synthetic`` (bool).
    encoder_digest : str or None
        Digest of the transferred encoder's weights, 64 hex digits.
    architecture : dict
        ``encoder`` (None, or history and channels), ``denoiser`` (condition, context, channels, blocks,
        embedding) and ``climatology`` (None, or the window, the spans and the bends of its maps).
    statics : tuple of str
        Names of the static and seasonal maps among the condition's channels.
    process : {"flow", "ddpm"}
    sampler : dict
        Default sampler, ``{"name": ..., "evaluations": ...}``.
    residual_scale : float, > 0
    spectrum : dict
        Spectrum of the starting noise, `Spectrum.from_dict`.
    version, licence : str
    authors : tuple of str
    created, package_version : str or None
        `created` is an ISO date, with or without the time of day.
    long_name, standard_name : str
        The quantity as CF names it.
    wavelength_nm : float or None [nm]
    cadence : str
        Time step as a pandas frequency, "1D", "6h", "5min".
    times : dict
        Noise levels, falling, by number of evaluations; empty for the process's own.
    inflation : dict
        Factors on the starting noise by number of evaluations, and for `"fast"`: at equally spaced
        wavenumbers from 0 to 1/2 cycles per cell, or one for all.
    sees : {"coarse", "fine", "upsampled"}
        What the encoder looks at: the coarse history; fine days before today; the coarse history on the fine
        cells.
    state : bool
        Whether the denoiser may be told the day before (`coherence="autoregressive"`).
    day_correlation : float, 0 to 0.99
        Of the starting noise of two days in sequence, for `coherence="correlated"`; 0 where not fitted.
    state_correlation : float, 0 to 0.99
        The same for `coherence="autoregressive"`: what is alike on two days beyond what a day is told.
    source_quantiles : tuple of float [units]
        The 0, 1, ... 100 % quantiles of the coarse training input; empty if the domain is not checked.
    scores : tuple of dict
        One row of a table each.
    limitations : tuple of str
    distilled : bool
        Whether a second network is carried, with which two evaluations make a draw (`sampler="fast"`).
    member_by_member : dict
        `MemberByMember.to_dict` by number of evaluations, and for `"fast"`: how members are moved about the
        conditional mean.

    Raises
    ------
    ValueError
        If a field does not hold what it must; the message names it.

    Examples
    --------
    >>> import xdownscale
    >>> card = xdownscale.list_models()["jja_asia"]
    >>> card.variable, card.months, card.synthetic
    ('DUEXTTAU', (6, 7, 8), True)
    >>> Card.from_json(card.to_json()) == card
    True
    """

    name: str
    variable: str
    units: str
    value_range: tuple[float, float]
    scaling: dict[str, Any]
    coarse: dict[str, Any]
    fine: dict[str, Any]
    region: dict[str, list[float]]
    months: tuple[int, ...]
    upsampling: str
    training: dict[str, Any]
    encoder_digest: str | None
    architecture: dict[str, Any]
    statics: tuple[str, ...]
    process: str
    sampler: dict[str, Any]
    residual_scale: float
    spectrum: dict[str, Any]
    version: str = "1"
    licence: str = "not stated"
    authors: tuple[str, ...] = ()
    created: str | None = None
    package_version: str | None = None
    long_name: str = ""
    standard_name: str = ""
    wavelength_nm: float | None = None
    cadence: str = "1D"
    times: dict[str, list[float]] = field(default_factory=dict)
    inflation: dict[str, list[float]] = field(default_factory=dict)
    sees: str = "coarse"
    state: bool = False
    day_correlation: float = 0.0
    state_correlation: float = 0.0
    source_quantiles: tuple[float, ...] = ()
    scores: tuple[dict[str, Any], ...] = ()
    limitations: tuple[str, ...] = ()
    distilled: bool = False
    member_by_member: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, schema.check(item.name, getattr(self, item.name)))

    @property
    def synthetic(self) -> bool:
        """Whether the model was trained on simulated fields."""
        return bool(self.training["synthetic"])

    @property
    def step(self) -> int:
        """The time step in microseconds."""
        number = self.cadence.rstrip("Dhmins")
        return int(number) * schema.STEPS[self.cadence[len(number) :]]

    @property
    def calibrated(self) -> tuple[str, ...]:
        """Numbers of evaluations that the spread was fitted for, and `"fast"`."""
        fitted = self.inflation.keys() | self.member_by_member.keys()
        return tuple(sorted(fitted, key=lambda key: (key == "fast", len(key), key)))

    @property
    def signed(self) -> bool:
        """Whether the quantity may be negative."""
        return self.value_range[0] < 0

    def without(self, key: str) -> Card:
        """The card with no spread fitted for a number of evaluations, or for `"fast"`."""
        told = _less(self._calibration, key)
        return replace(
            self,
            inflation=_less(self.inflation, key),
            member_by_member=_less(self.member_by_member, key),
            training=_less(self.training, "calibration") | ({"calibration": told} if told else {}),
        )

    def with_members(self, key: str, fitted: MemberByMember, told: dict[str, Any]) -> Card:
        """The card with members moved so for a number of evaluations, and what the fit came to."""
        members = self.member_by_member | {key: fitted.to_dict()}
        training = self.training | {"calibration": self._calibration | {key: told}}
        return replace(self, member_by_member=members, training=training)

    @property
    def _calibration(self) -> dict[str, Any]:
        """What the fits of the numbers came to; training is free JSON, and may hold anything."""
        found = self.training.get("calibration")
        return dict(found) if isinstance(found, dict) else {}

    def to_json(self) -> str:
        """The card as JSON text, fields in the order of the class."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        content = {k: v for k, v in content.items() if k not in ADDED or v != ADDED[k]}
        return json.dumps(content, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Read a card, trusting nothing.

        Parameters
        ----------
        text : str
            What `to_json` returned; at most a million characters.

        Raises
        ------
        ValueError
            If it is not JSON, has another schema version, lacks a field or has one too many, repeats a key,
            or a field does not hold what it must.

        Examples
        --------
        >>> Card.from_json('{"schema_version": 7}')
        Traceback (most recent call last):
            ...
        ValueError: card of schema version 7: this package reads version 2; install a newer xarray-downscale
        """
        content = _parse(text)
        version = content.pop("schema_version", None)
        if version != SCHEMA_VERSION or isinstance(version, bool):
            raise ValueError(
                f"card of schema version {version!r}: this package reads version {SCHEMA_VERSION}; "
                "install a newer xarray-downscale"
            )
        names = {item.name for item in fields(cls)}
        lacking = names - set(content) - set(ADDED)
        if lacking or not set(content) <= names:
            raise ValueError(
                f"card lacks {sorted(lacking)} and has unknown fields "
                f"{sorted(map(str, set(content) - names))[:5]}: expected exactly the fields of a Card"
            )
        return cls(**content)

    def __str__(self) -> str:
        head = self._head()
        width = max(len(label) for label, _ in self._rows())
        lines = [head, "=" * len(head)]
        lines += [f"{label:<{width}}  {value}" for label, value in self._rows()]
        if self.scores:
            lines += ["scores", *(f"  {line}" for line in _columns(self._score_table()))]
        lines += [f"limitation: {text}" for text in self.limitations]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='{_CELL}'>{label}</th><td style='{_CELL}'>{html.escape(value)}</td></tr>"
            for label, value in self._rows()
        )
        notes = "".join(f"<li>{html.escape(text)}</li>" for text in self.limitations)
        return (
            f"<div style='{_BOX}'><div style='font-weight:bold'>{html.escape(self._head())}</div>"
            f"<table style='{_TABLE}'>{rows}</table>{_html_scores(self._score_table())}"
            f"{'<ul>' + notes + '</ul>' if notes else ''}</div>"
        )

    def _head(self) -> str:
        return f"{self.name} {self.version}: {self.long_name or self.variable}"

    def _rows(self) -> list[tuple[str, str]]:
        """What both representations show, in reading order."""
        encoder, sampler = self.architecture["encoder"], self.sampler
        wavelength = "" if self.wavelength_nm is None else f", {self.wavelength_nm:g} nm"
        return [
            ("trained on", self.training["data"] + (" (SYNTHETIC)" if self.synthetic else "")),
            ("quantity", f"{self.variable} [{self.units}]{wavelength} {self.standard_name}".rstrip()),
            ("range", f"{self.value_range[0]:g} to {self.value_range[1]:g}"),
            ("grids", f"{_spacing(self.coarse)} -> {_spacing(self.fine)}"),
            ("region", _bounds(self.region)),
            ("months", " ".join(map(str, self.months)) + f", every {self.cadence}"),
            ("process", f"{self.process}, {sampler['name']}, {sampler['evaluations']} evaluations"),
            (
                "encoder",
                "none" if encoder is None else f"{encoder['history']} days of {_SEEN[self.sees]}, frozen",
            ),
            ("licence", ", ".join([self.licence, *self.authors, *filter(None, [self.created])])),
        ]

    def _score_table(self) -> list[list[str]]:
        names = list(dict.fromkeys(name for row in self.scores for name in row))
        body = [[_shown(row.get(name)) for name in names] for row in self.scores]
        return [names, *body] if names else []


_SEEN = {"coarse": "history", "fine": "fine history", "upsampled": "history on fine cells"}
_BOX = "color:inherit;background:transparent;font-size:90%;max-width:60em"
_TABLE = "border-collapse:collapse;margin:.4em 0;color:inherit"
_CELL = "text-align:left;vertical-align:top;padding:.1em .8em .1em 0;border:0;background:transparent"


def _less(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in content.items() if k != key}


def _parse(text: str) -> dict[str, Any]:
    if len(text) > _JSON_LIMIT:
        raise ValueError(f"card of {len(text)} characters: expected at most {_JSON_LIMIT}")
    try:
        content = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("card nested too deep to be a card") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"card is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"card is a JSON {type(content).__name__}: expected an object")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError(f"card repeats a key among {[key for key, _ in pairs][:20]}")
    return content


def _refuse(constant: str) -> Any:
    raise ValueError(f"card holds {constant}: expected finite numbers")


def _spacing(grid: dict[str, Any]) -> str:
    return f"{grid['y']['step']:g} x {grid['x']['step']:g} ({grid['crs'] or 'a plane'})"


def _bounds(region: dict[str, list[float]]) -> str:
    if "y" in region:
        return ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in region.items())
    return f"{_degrees(region['lat'], 'S', 'N')}, {_degrees(region['lon'], 'W', 'E')}"


def _degrees(pair: list[float], negative: str, positive: str) -> str:
    return " to ".join(f"{abs(v):g}{negative if v < 0 else positive}" for v in pair)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _columns(table: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(f"{v:<{w}}" for v, w in zip(row, widths, strict=True)).rstrip() for row in table]


def _html_scores(table: list[list[str]]) -> str:
    if not table:
        return ""
    rows = [
        "<tr>" + "".join(f"<{tag} style='{_CELL}'>{html.escape(v)}</{tag}>" for v in row) + "</tr>"
        for tag, row in zip(["th"] + ["td"] * (len(table) - 1), table, strict=True)
    ]
    return f"<table style='{_TABLE}'>{''.join(rows)}</table>"
