"""A card survives JSON, refuses what it must, and shows itself safely."""

from __future__ import annotations

import dataclasses
import html.parser
import json
from typing import TYPE_CHECKING, Any

import pytest

from xdownscale.models.card import SCHEMA_VERSION, Card
from xdownscale.models.members import MemberByMember

if TYPE_CHECKING:
    from collections.abc import Callable


def changed(card: Card, **changes: Any) -> str:
    content = json.loads(card.to_json())
    content.update(changes)
    return json.dumps(content)


MOVED = {
    "log_deviation": [0.0], "slope": [1.0], "factor": [0.9], "width": [3.0], "tail": [0.5],
    "level": [0.0, 1.0], "level_factor": [1.1, 0.9],
}  # fmt: skip
LATER: dict[str, list[float]] = {
    name: []
    for name in ("band_gain", "scatter", "scatter_skew", "shift", "skew", "near_skew", "far_slope", "reach")
}


def test_round_trip_is_exact(make_card: Callable[..., Card]) -> None:
    card = make_card(
        residual_scale=0.1 + 0.2, long_name='d"ust\u00e9 \U0001f335', times={"8": [1.0, 0.5, 0.0]}
    )
    again = Card.from_json(card.to_json())
    assert again == card
    assert again.to_json() == card.to_json()
    assert str(again) == str(card), "columns of the scores keep their order"
    assert again.residual_scale == 0.30000000000000004
    assert json.loads(card.to_json())["schema_version"] == SCHEMA_VERSION == 2


def test_what_the_encoder_sees_is_written_where_it_is_not_the_usual(make_card: Callable[..., Card]) -> None:
    """A card without the field is of a model that sees the coarse history, as all were before."""
    usual = make_card()
    assert usual.sees == "coarse"
    assert "sees" not in json.loads(usual.to_json())
    told = usual.to_json()[:-1] + ', "sees": "coarse"}'
    assert Card.from_json(told) == usual
    fine = make_card(sees="fine")
    assert json.loads(fine.to_json())["sees"] == "fine"
    assert Card.from_json(fine.to_json()) == fine
    assert "3 days of fine history, frozen" in str(fine)
    with pytest.raises(ValueError, match="card field 'sees': found 'stars', expected one of 'coarse'"):
        make_card(sees="stars")


def test_lists_and_tuples_give_the_same_card(make_card: Callable[..., Card]) -> None:
    assert make_card(months=[6, 7, 8], statics=["season"], authors=["X"]) == make_card(authors=("X",))


def test_a_card_does_not_follow_what_it_was_made_from(make_card: Callable[..., Card]) -> None:
    region = {"lat": [10.0, 20.0], "lon": [30.0, 40.0]}
    card = make_card(region=region)
    region["lat"][0] = -50.0
    assert card.region["lat"] == [10.0, 20.0]


def test_frozen(make_card: Callable[..., Card]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_card().name = "other"  # type: ignore[misc]


def test_replace_validates(make_card: Callable[..., Card]) -> None:
    assert dataclasses.replace(make_card(), inflation={8: [1.2]}).inflation == {"8": [1.2]}
    with pytest.raises(ValueError, match=r"'inflation'.*found 0\.0, expected a number from 0\.1"):
        dataclasses.replace(make_card(), inflation={8: [0.0]})


def test_the_spread_that_was_fitted(make_card: Callable[..., Card]) -> None:
    """Of a card without the field nothing was moved member by member, as none was before."""
    usual = make_card(inflation={"16": [1.0], "2": [1.1], "fast": [1.2]})
    assert usual.calibrated == ("2", "16", "fast")
    assert "member_by_member" not in json.loads(usual.to_json())
    before = {key: values for key, values in MOVED.items() if not key.startswith("level")}
    known = make_card(member_by_member={"2": before}).member_by_member["2"]
    assert known == MOVED | {"level": [0.0], "level_factor": [1.0]} | LATER
    for one, each in ((0.285, [0.285]), (0.0, [])):  # of one scatter for all climates
        card = make_card(member_by_member={"fast": MOVED | {"scatter": one}})
        assert card.member_by_member["fast"]["scatter"] == each
    moved = make_card(inflation={"8": [1.0]}, member_by_member={"fast": MOVED})
    assert moved.calibrated == ("8", "fast")
    assert Card.from_json(moved.to_json()) == moved
    assert moved.without("fast").calibrated == ("8",)
    assert usual.without("fast").calibrated == ("2", "16")


def test_what_a_fit_came_to_goes_with_it(make_card: Callable[..., Card]) -> None:
    usual, fitted = make_card(), MemberByMember.from_dict(MOVED)
    both = usual.with_members("2", fitted, {"windows": 8}).with_members("fast", fitted, {"windows": 48})
    assert both.member_by_member == {"2": fitted.to_dict(), "fast": fitted.to_dict()}
    assert both.training == usual.training | {"calibration": {"2": {"windows": 8}, "fast": {"windows": 48}}}
    assert Card.from_json(both.to_json()) == both
    assert both.without("2").training["calibration"] == {"fast": {"windows": 48}}
    assert both.without("2").without("fast").training == usual.training
    other = make_card(training=usual.training | {"calibration": "by hand"})
    assert other.with_members("2", fitted, {}).training["calibration"] == {"2": {}}, (
        "training may hold anything"
    )


def test_synthetic_is_told(make_card: Callable[..., Card]) -> None:
    card = make_card()
    assert card.synthetic is True
    assert "SYNTHETIC" in str(card)
    assert "SYNTHETIC" in card._repr_html_()
    observed = make_card(training={"data": "GOES-16", "synthetic": False})
    assert observed.synthetic is False
    assert "SYNTHETIC" not in str(observed)


@pytest.mark.parametrize("version", [0, 1, "2", None, True, 1.5])
def test_other_schema_version(make_card: Callable[..., Card], version: Any) -> None:
    with pytest.raises(ValueError, match="this package reads version 2"):
        Card.from_json(changed(make_card(), schema_version=version))


def test_missing_and_unknown_fields(make_card: Callable[..., Card]) -> None:
    content = json.loads(make_card().to_json())
    del content["months"]
    content["moons"] = [1]
    with pytest.raises(ValueError, match=r"lacks \['months'\] and has unknown fields \['moons'\]"):
        Card.from_json(json.dumps(content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[1, 2]", "a JSON list"),
        ('{"a": 1, "a": 2}', "repeats a key"),
        ('{"a": NaN}', "holds NaN"),
        ('{"a": -Infinity}', "holds -Infinity"),
        ("[" * 100_000, "nested too deep|not JSON"),
        (" " * 1_000_001, "1000001 characters: expected at most 1000000"),
    ],
)
def test_foreign_text(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Card.from_json(text)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "Jja Asia", "text like"),
        ("name", "../jja", "text like"),
        ("name", "x" * 65, "text like"),
        ("version", 3, "found 3, expected text"),
        ("licence", "x\x00y", "control characters"),
        ("authors", "me", "a list of"),
        ("created", "yesterday", "text like"),
        ("wavelength_nm", "550", "a number from 1"),
        ("wavelength_nm", True, "a number from 1"),
        ("value_range", [6.0, 0.0], "ascending"),
        ("value_range", [0.0], "2 to 2 values"),
        ("scaling", {"name": "cube"}, "cube"),
        ("coarse", {"y": 1}, "exactly the keys"),
        ("fine", {"y": {"size": 10**12}, "x": {}, "crs": "EPSG:4326"}, "exactly the keys"),
        ("region", {"lat": [50, 10], "lon": [0, 1]}, "rise"),
        ("region", {"lat": [10, 50], "lon": [0, 361]}, "rise|from -360"),
        ("region", {"lat": [10, 50]}, "exactly the keys"),
        ("months", [0, 13], "whole number from 1 to 12"),
        ("months", [6, 6], "ascending"),
        ("months", [], "1 to 12 values"),
        ("cadence", "daily please", "text like"),
        ("upsampling", "lanczos", "one of 'nearest'"),
        ("training", {"data": "x"}, "synthetic"),
        ("training", {"data": "x", "synthetic": "no"}, "true or false"),
        ("training", {"data": "x", "synthetic": False, "a": {"b": [[[[[1]]]]]}}, "nested at most 4 deep"),
        ("encoder_digest", "abc", "text like"),
        ("process", "edm", "one of 'flow', 'ddpm'"),
        ("process", ["flow"], "one of 'flow', 'ddpm'"),
        ("sampler", {"name": "heun", "evaluations": 4}, "one of 'midpoint'"),
        ("sampler", {"name": "ddim", "evaluations": 0}, "from 1 to 9999"),
        ("times", {"8": [0.0, 1.0]}, "levels that fall"),
        ("times", {"eight": [1.0, 0.0]}, "number of evaluations"),
        ("inflation", {"8": [1e9]}, "from 0.1 to 10"),
        ("member_by_member", {"slow": {}}, "number of evaluations"),
        ("member_by_member", {"fast": {"factor": [1.0]}}, "exactly the keys"),
        ("member_by_member", {"fast": MOVED | {"width": [0.0]}}, "from 1e-06"),
        ("member_by_member", {"fast": MOVED | {"factor": [1.0, 1.0]}}, "expected equally many"),
        ("member_by_member", {"fast": MOVED | {"slope": [1.0, 1.0]}}, "expected equally many"),
        ("member_by_member", {"fast": MOVED | {"slope": [1000.0]}}, "from -100"),
        ("member_by_member", {"fast": MOVED | {"far_slope": [1.0]}}, "expected both or neither"),
        ("member_by_member", {"fast": MOVED | {"tail": [-1.0]}}, "from 0"),
        ("member_by_member", {"fast": MOVED | {"scatter": [-0.1]}}, "from 0"),
        ("member_by_member", {"fast": MOVED | {"scatter": [0.1, 0.2]}}, "expected equally many"),
        ("member_by_member", {"fast": MOVED | {"scatter_skew": [1.1]}}, "from -1 to 1"),
        ("member_by_member", {"fast": MOVED | {"scatter_skew": [0.1, 0.2]}}, "expected equally many"),
        ("member_by_member", {"fast": MOVED | {"skew": [0.4]}}, "from -0.3 to 0.3"),
        ("member_by_member", {"fast": MOVED | {"skew": [0.1, 0.2]}}, "expected equally many"),
        ("member_by_member", {"fast": MOVED | {"near_skew": [-0.3]}}, "from -0.2 to 0.2"),
        ("member_by_member", {"fast": MOVED | {"shift": [0.1, 0.2]}}, "expected equally many"),
        ("member_by_member", {"fast": MOVED | {"level": [0.0]}}, "expected equally many"),
        ("member_by_member", {"fast": MOVED | {"level_factor": [1.0, 0.0]}}, "from 0.001"),
        ("residual_scale", 0.0, "from 1e-09"),
        ("source_quantiles", [0.0, 1.0], "101 quantiles or none"),
        ("source_quantiles", [1.0] + [0.0] * 100, "ascending"),
        ("scores", [{"a": object}], "found <class 'object'>"),
        ("limitations", ["x" * 2001], "at most 2000 characters"),
    ],
)
def test_bad_field_is_named(make_card: Callable[..., Card], field: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"(?s)card field '{field}': .*({message})"):
        make_card(**{field: value})


@pytest.mark.parametrize(
    "denoiser",
    [
        {"channels": [48, 64, 100_000]},
        {"blocks": 10**9},
        {"blocks": True},
        {"embedding": 64.0},
        {"channels": [8] * 6},
        {"condition": 0},
        {"os.system": 1},
    ],
)
def test_architecture_is_bounded(make_card: Callable[..., Card], denoiser: dict[str, Any]) -> None:
    sound = make_card().architecture
    with pytest.raises(ValueError, match="card field 'architecture'"):
        make_card(architecture={**sound, "denoiser": {**sound["denoiser"], **denoiser}})


@pytest.mark.parametrize(
    ("key", "value"), [("size", 10**12), ("step", 0.0), ("kind", "time"), ("period", -1)]
)
def test_grid_is_bounded(make_card: Callable[..., Card], key: str, value: Any) -> None:
    fine = make_card().fine
    with pytest.raises(ValueError, match="card field 'fine': found"):
        make_card(fine={**fine, "x": {**fine["x"], key: value}})


def test_without_encoder(make_card: Callable[..., Card]) -> None:
    denoiser = {**make_card().architecture["denoiser"], "context": []}
    card = make_card(architecture={"encoder": None, "denoiser": denoiser, "climatology": None})
    assert Card.from_json(card.to_json()).architecture["encoder"] is None
    assert "none" in str(card)


def test_text_shows_what_a_reader_asks(make_card: Callable[..., Card]) -> None:
    text = str(make_card(region={"lat": [-10.0, 56.0], "lon": [-5.0, 135.0]}))
    for part in (
        "tiny 1.2: dust optical thickness",
        "nature run, seed 1",
        "DUEXTTAU [1], 550 nm",
        "0.5 x 0.625 (EPSG:4326) -> 0.0625 x 0.0625",
        "10S to 56N, 5W to 135E",
        "6 7 8, every 1D",
        "midpoint, 4 evaluations",
        "0.0143",
        "limitation: simulated dust only",
    ):
        assert part in text
    lines = [line for line in text.splitlines() if "bicubic" in line]
    assert lines == ["  bicubic     0.031   -"]


class Tags(html.parser.HTMLParser):
    """Names of the tags and attributes of a page, and whether tags are balanced."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {tag, *(name for name, _ in attrs)}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_escapes_everything(make_card: Callable[..., Card]) -> None:
    bad = "<script>alert('x')</script>\" onload=\"&"
    card = make_card(
        version=bad,
        licence=bad,
        authors=(bad,),
        variable=bad,
        long_name=bad,
        standard_name=bad,
        units="<b>",
        training={"data": bad, "synthetic": False},
        scores=({bad: bad},),
        limitations=(bad,),
    )
    tags = Tags(card._repr_html_())
    assert tags.names == {"div", "table", "tr", "th", "td", "ul", "li", "style"}
    assert tags.open == []


def test_html_leaves_colours_to_the_theme(make_card: Callable[..., Card]) -> None:
    page = make_card()._repr_html_()
    assert "color:inherit" in page
    assert "#" not in page
