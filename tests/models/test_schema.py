"""Checks of single fields."""

from __future__ import annotations

import dataclasses

import pytest

from xdownscale.models import schema
from xdownscale.models.card import Card


def test_there_is_a_check_for_every_field_and_no_other() -> None:
    assert set(schema.FIELDS) == {field.name for field in dataclasses.fields(Card)}


def test_numbers_become_floats_and_sequences_tuples() -> None:
    assert schema.check("residual_scale", 1) == 1.0
    assert type(schema.check("residual_scale", 1)) is float
    assert schema.check("months", range(1, 13)) == tuple(range(1, 13))


def test_keys_of_numbers_become_text() -> None:
    assert schema.check("inflation", {4: [1], 16: [1.5, 2]}) == {"4": [1.0], "16": [1.5, 2.0]}


def test_empty_digest_is_none() -> None:
    assert schema.check("encoder_digest", "") is None
    assert schema.check("encoder_digest", "0" * 64) == "0" * 64


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(ValueError, match="found 'x") as caught:
        schema.check("process", "x" * 10_000)
    assert len(str(caught.value)) < 200


def test_huge_whole_number_is_refused_not_an_overflow() -> None:
    with pytest.raises(ValueError, match="residual_scale"):
        schema.check("residual_scale", 10**400)


@pytest.mark.parametrize("depth", range(100, 1000, 7))
def test_deep_values_are_refused_at_any_depth(depth: int) -> None:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    for field in ("months", "training", "scaling", "coarse"):
        with pytest.raises(ValueError, match=f"card field '{field}'"):
            schema.check(field, value)


@pytest.mark.parametrize("text", ["a\0", "\x1b[2J", "\x9b2J", "\x7f", "half \ud800"])
def test_text_that_a_terminal_or_a_file_cannot_take(text: str) -> None:
    with pytest.raises(ValueError, match="without control characters and half characters"):
        schema.check("limitations", [text])
    with pytest.raises(ValueError, match="without control characters"):
        schema.check("training", {"data": "x", "synthetic": True, "note": {text: 1}})


@pytest.mark.parametrize("odd", ["1", True, None, 10**400, [0.1, "0.2"], [0.1, float("nan")], {"a": 1}])
def test_parameters_of_a_transform_are_numbers(odd: object) -> None:
    with pytest.raises(ValueError, match="card field 'scaling'"):
        schema.check("scaling", {"name": "log", "mean": -2.0, "std": odd, "floor": 0.001})


@pytest.mark.parametrize("window", [[0, 0], [5, -2], [0, 10**8], [0], [0.0, 1]])
def test_a_climatology_has_cells(window: list[float]) -> None:
    parts = {"encoder": None, "denoiser": None, "climatology": {"y": window, "x": [0, 2], "spans": [1, 1]}}
    with pytest.raises(ValueError, match="card field 'architecture'"):
        schema.check("architecture", parts)


@pytest.mark.parametrize("name", ["a", "jja_asia", "0.x-y_z", "a" * 64])
def test_names(name: str) -> None:
    assert schema.check("name", name) == name


@pytest.mark.parametrize("name", ["", "A", ".a", "a/b", "a b", "a\n", "\u00e9"])
def test_no_names(name: str) -> None:
    with pytest.raises(ValueError, match="card field 'name'"):
        schema.check("name", name)


def test_samplers_and_processes_are_those_of_the_package() -> None:
    from xdownscale.diffusion.sample import FIXED, Sampler
    from xdownscale.diffusion.schedule import from_name

    for name in schema.SAMPLERS:
        assert Sampler(name, FIXED.get(name, 4)).name == name
    for name in schema.PROCESSES:
        assert from_name(name).name == name
