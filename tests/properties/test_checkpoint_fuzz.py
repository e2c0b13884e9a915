"""A checkpoint from elsewhere is read right or refused by name: mutants of a sound one, thousands of them.

Half of the mutants are signed again, with the digest that their card and weights have and a header that fits,
so that they are refused, if at all, by what they say and not by a checksum.
"""

from __future__ import annotations

import json
import math
import random
import resource
import time
import unicodedata
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch

from xdownscale.checkpoint import CheckpointError, _digest, load, read_card, save
from xdownscale.models.card import Card
from xdownscale.models.downscaler import Downscaler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUICK, ALL = 1_000, 10_000
LONGEST = 5.0  # seconds, for one mutant
ROOM = 1 << 30  # bytes that the whole process may grow by
WORDS = 1_500  # characters of an error

DEEP: Any = []
for _ in range(150):
    DEEP = [DEEP]
JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 2**31, 2**63, -(2**63), 2**64, 10**30, 10**400, 0.5, -0.0, 1e-320,
    1e308, math.nan, math.inf, -math.inf, "", " ", "x", "0", "1", "nan", "1e999", "null", "\0", "\x1b[2J",
    "\x9b2J", "\ud800", "\u202e", "\ufeff", "caf\u00e9", "<script>alert(1)</script>", "../../etc/passwd",
    "a" * 300, "b" * 100_000, "{}", [], [[]], [0], [1, 2], [2, 1], [None], ["a"], [1] * 5000, {}, {"": 0},
    {"y": 1, "x": 2}, {"name": "log"}, {"__class__": "os.system"}, {"1": [0.5, 0.1]}, DEEP,
    {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}, "flow", "midpoint", "linear", "1D", "2026-01-31",
]  # fmt: skip
NUMBERS = [
    0, 1, 2, 3, 5, 7, 8, 9, 13, 16, 31, 64, 100, 128, 255, 256, 511, 512, 513, 1024, 4096, 10**6, 10**7,
]  # fmt: skip
TEXTS = [
    "NaN", "Infinity", "-Infinity", "1e999", "-1", "9" * 4000, "9" * 5000, "[" * 60_000, "{" * 500,
    '{"a":' * 3000, '"', "\\", '"\\ud800"', '"\\u0000"', "null", "", ",", "}", "]", "1.0", "tru", "\ufeff",
    "/**/", "'x'",
]  # fmt: skip


class Sound:
    """A sound checkpoint in its parts, and how to put others together from them."""

    def __init__(self, model: Downscaler, path: Path) -> None:
        save(model, path)
        self.content = path.read_bytes()
        self.end = 8 + int.from_bytes(self.content[:8], "little")
        self.weights = self.content[self.end :]
        self.state = safetensors.torch.load(self.content)
        self.card: dict[str, Any] = json.loads(model.card.to_json())

    @property
    def header(self) -> dict[str, Any]:
        """A copy, to be changed."""
        return dict(json.loads(self.content[8 : self.end]))

    def file(self, header: dict[str, Any] | str, weights: bytes | None = None) -> bytes:
        text = header if isinstance(header, str) else json.dumps(header)
        told = text.encode("utf-8", "surrogatepass")
        return len(told).to_bytes(8, "little") + told + (self.weights if weights is None else weights)

    def entry(self, card: str, sha256: Any = None) -> bytes:
        """The file with another card, signed unless a digest is given."""
        header = self.header
        if sha256 is None:
            try:
                sha256 = _digest(card, self.state)
            except UnicodeEncodeError:
                sha256 = "0" * 64
        header["__metadata__"]["xdownscale"] = json.dumps({"card": card, "sha256": sha256})
        return self.file(header)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ways to everything inside a JSON value."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def taken(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def length(rng: random.Random, sound: Sound) -> bytes:
    near = len(sound.content) - 8, sound.end - 8
    told = rng.choice(
        [0, 1, 2, 7, 10**6, 10**6 + 1, 2**31, 2**63, 2**64 - 1, rng.choice(near) + rng.randint(-9, 9)]
    )
    return told.to_bytes(8, "little") + sound.content[8:]


def header_bytes(rng: random.Random, sound: Sound) -> bytes:
    content = bytearray(sound.content)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 40])):
        place = rng.randrange(sound.end)
        kind = rng.randrange(3)
        if kind == 0:
            content[place] = rng.randrange(256)
        elif kind == 1:
            content[place:place] = rng.randbytes(rng.choice([1, 4]))
        else:
            del content[place : place + rng.choice([1, 3, 30])]
    return bytes(content)


def header_values(rng: random.Random, sound: Sound) -> bytes:
    header = sound.header
    name = rng.choice(sorted(header))
    kind = rng.randrange(6)
    if kind == 0:
        header[name] = rng.choice(JUNK)
    elif kind == 1:
        header[rng.choice(["", name + ".", "\0", "z" * 10_000, "denoiser", "encoder.0"])] = header.pop(name)
    elif kind == 2:
        header[rng.choice(["__metadata__", "extra"])] = rng.choice(JUNK)
    elif kind == 3:
        del header[name]
    elif name != "__metadata__":
        path = rng.choice(places(header[name]))
        put(header[name], path, rng.choice([*JUNK, *NUMBERS]))
    return sound.file(header)


def texts(rng: random.Random, sound: Sound) -> bytes:
    """Something put in place of a value, or a key twice, as no writer of JSON would."""
    text = json.dumps(sound.header)
    place = rng.choice([i for i, c in enumerate(text) if c in ':,[{"0123456789'])
    new = rng.choice(TEXTS)
    if rng.random() < 0.3:
        return sound.file(text[:-1] + f', "__metadata__": {new or 0}}}')
    return sound.file(text[:place] + new + text[place + rng.randrange(2) :])


def entries(rng: random.Random, sound: Sound) -> bytes:
    header = sound.header
    entry = json.loads(header["__metadata__"]["xdownscale"])
    kind = rng.randrange(4)
    if kind == 0:
        entry[rng.choice(["card", "sha256", "more"])] = rng.choice(JUNK)
    elif kind == 1:
        entry["sha256"] = rng.choice([entry["sha256"].upper(), entry["sha256"][1:], "0" * 64, "\ud800"])
    elif kind == 2:
        header["__metadata__"][rng.choice(["xdownscale", "format", ""])] = rng.choice(JUNK)
        return sound.file(header)
    text = json.dumps(entry)
    if kind == 3:
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice(TEXTS) + text[place + 1 :]
    header["__metadata__"]["xdownscale"] = text
    return sound.file(header)


def other_card(rng: random.Random, sound: Sound) -> dict[str, Any]:
    """A card with something else in one place, or in a few."""
    card = json.loads(json.dumps(sound.card))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        field = rng.choice(sorted(card))
        inside = places(card[field])
        path = (field, *rng.choice(inside)) if inside and rng.random() < 0.7 else (field,)
        kind = rng.randrange(8)
        if kind == 0:
            parent = taken(card, path[:-1])
            del parent[path[-1]]
        elif kind == 1:
            parent = taken(card, path[:-1])
            new = rng.choice(JUNK)
            parent.append(new) if isinstance(parent, list) else parent.update({rng.choice("abc"): new})
        elif kind < 4:
            put(card, path, rng.choice(NUMBERS))
        else:
            put(card, path, rng.choice(JUNK))
    return dict(card)


def cards(rng: random.Random, sound: Sound) -> bytes:
    return sound.entry(json.dumps(other_card(rng, sound)), "0" * 64)


def signed_cards(rng: random.Random, sound: Sound) -> bytes:
    return sound.entry(json.dumps(other_card(rng, sound), ensure_ascii=rng.random() < 0.8))


def signed_fields(rng: random.Random, sound: Sound) -> bytes:
    """One field, wholly replaced."""
    return sound.entry(json.dumps(sound.card | {rng.choice(sorted(sound.card)): rng.choice(JUNK)}))


def signed_texts(rng: random.Random, sound: Sound) -> bytes:
    text = json.dumps(sound.card)
    place = rng.randrange(len(text))
    return sound.entry(text[:place] + rng.choice(TEXTS) + text[place + rng.randrange(3) :])


def plausible(rng: random.Random, sound: Sound) -> bytes:
    """Numbers of the kind that belongs there: many are sound, and must come back as they are."""
    card = json.loads(json.dumps(sound.card))
    for _ in range(rng.choice([1, 2, 4])):
        path = rng.choice([p for p in places(card) if isinstance(taken(card, p), (int, float, str))])
        old = taken(card, path)
        if isinstance(old, bool):
            put(card, path, not old)
        elif isinstance(old, str):
            put(
                card, path, rng.choice([old.upper(), old[:1], old + "2", old * 3, "\u6c99 & <b>", old + "\n"])
            )
        else:
            put(card, path, rng.choice([-old, old + 1, old * 1.0001, old / 3, float(old), round(old * 8)]))
    return sound.entry(json.dumps(card))


def architectures(rng: random.Random, sound: Sound) -> bytes:
    """Another architecture, with a header that fits it; the bytes, at most a megabyte, are short of it."""
    card = json.loads(json.dumps(sound.card))
    parts = card["architecture"]
    size = lambda: rng.choice([8, 16, 64, 500, 512])  # noqa: E731
    if rng.random() < 0.8:
        parts["denoiser"]["channels"] = [size() for _ in range(rng.randint(1, 5))]
        parts["denoiser"]["blocks"] = rng.choice([1, 2, 8, 9])
        parts["denoiser"]["embedding"] = rng.choice([2, 7, 8, 16, 1024])
        parts["denoiser"]["condition"] = rng.choice([1, 4, 256])
    if rng.random() < 0.4:
        parts["encoder"] = rng.choice([None, {"history": 64, "channels": [size()] * 5}])
        card["encoder_digest"] = rng.choice([None, card["encoder_digest"]])
    if rng.random() < 0.5:
        window = rng.choice([[0, 3], [0, 0], [5, -2], [-7, 1], [0, 10**7], [10**7, 10**4]])
        spans = rng.choice([[1.0, 1.0], [1e9, 1e-9], [1.0, 0.0], [1.0]])
        bends = rng.choice([[0.0, 0.0], [4.0, 0.0], [20.0, 20.0], [-1.0, 0.0], [4.0]])
        place = {"y": window, "x": rng.choice([window, [0, 2]])}
        parts["climatology"] = place | {"spans": spans, "bends": bends}
    if rng.random() < 0.2:
        parts = card["architecture"] = {"encoder": None, "denoiser": None, "climatology": None}
    card["spectrum"] = {"power": [1.0, 1.0], "floor": 0.0, "radius": rng.choice([0, 8, 256])}
    try:
        expected = Downscaler.expected(Card.from_json(json.dumps(card)))
    except ValueError:
        return sound.entry(json.dumps(card))
    header, position = {}, 0
    for name in sorted(expected):
        shape, kind = expected[name]
        end = position + math.prod(shape) * (4 if kind.is_floating_point else 1)
        told = "F32" if kind.is_floating_point else "I8"
        header[name] = {"dtype": told, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    weights = bytes(max(0, min(position, 1 << 20)))
    text = json.dumps(card)
    entry = {"card": text, "sha256": "0" * 64}
    if 0 <= position <= len(weights):
        entry["sha256"] = _digest(text, safetensors.torch.load(sound.file(header, weights)))
    return sound.file({**header, "__metadata__": {"xdownscale": json.dumps(entry)}}, weights)


def weights(rng: random.Random, sound: Sound) -> bytes:
    """Other bytes of weights: signed, so that only what is not finite, or not the encoder's, can be told."""
    content = bytearray(sound.weights)
    kind = rng.randrange(3)
    if kind == 0:
        return sound.content[: rng.randrange(len(sound.content))]
    if kind == 1:
        return sound.content + rng.randbytes(rng.choice([1, 8, 1000]))
    place = 4 * rng.randrange(len(content) // 4)
    content[place : place + 4] = rng.choice([b"\0\0\xc0\x7f", b"\0\0\x80\x7f", rng.randbytes(4)])
    header = sound.header
    state = safetensors.torch.load(sound.file(header, bytes(content)))
    text = json.dumps(sound.card)
    entry = {"card": text, "sha256": _digest(text, state)}
    header["__metadata__"]["xdownscale"] = json.dumps(entry)
    return sound.file(header, bytes(content))


KINDS: list[Callable[[random.Random, Sound], bytes]] = [
    length, header_bytes, header_values, texts, entries, cards,
    signed_cards, signed_fields, signed_texts, plausible, architectures, weights,
]  # fmt: skip


@contextmanager
def bounded(room: int) -> Iterator[None]:
    """An allocation that takes this process beyond its present size and `room` fails."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def meaning(card: str) -> Any:
    """What a card's JSON says: an empty digest is none, 1 is 1.0, and neither is true."""
    content: dict[str, Any] = json.loads(card)
    return told_apart(content | {"encoder_digest": content["encoder_digest"] or None})


def told_apart(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: told_apart(item) for key, item in value.items()}
    if isinstance(value, list):
        return [told_apart(item) for item in value]
    return (type(value).__name__, value) if isinstance(value, (bool, str)) else value


def card_text(content: bytes) -> str:
    end = 8 + int.from_bytes(content[:8], "little")
    return str(json.loads(json.loads(content[8:end])["__metadata__"]["xdownscale"])["card"])


def tried(reads: Callable[[Path], Any], path: Path) -> Any:
    """What is read, or None where the file is refused."""
    try:
        return reads(path)
    except CheckpointError as error:
        said = str(error)
    assert said.startswith(f"{path}: ")
    assert len(said) < WORDS
    return None


def check(content: bytes, path: Path) -> str:
    """A mutant is refused, or read and written back as what it says."""
    path.write_bytes(content)
    card, model = tried(read_card, path), tried(load, path)
    if card is None:
        assert model is None, "load accepts what read_card refuses"
        return "refused"
    assert meaning(card.to_json()) == meaning(card_text(content))
    odd = {c for c in str(card) if unicodedata.category(c) in ("Cc", "Cs")}
    assert odd <= {"\n", "\t"}
    assert "<script" not in card._repr_html_()
    assert Card.from_json(card.to_json()) == card
    if model is None:
        return "refused with its card read"
    assert model.card == card
    again = path.with_name("again.safetensors")
    save(model, again, overwrite=True)
    assert load(again).card == card
    return "read"


@pytest.mark.parametrize("count", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)])
def test_every_mutant_is_read_right_or_refused(
    count: int, tiny_model: Downscaler, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = Sound(tiny_model, tmp_path / "sound.safetensors")
    found: Counter[str] = Counter()
    slowest, high = 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with bounded(ROOM):
        for number in range(count):
            rng = random.Random(f"{count} {number}")
            kind = KINDS[number % len(KINDS)]
            content = kind(rng, sound)
            began = time.perf_counter()
            try:
                found[f"{kind.__name__}: {check(content, tmp_path / 'mutant.safetensors')}"] += 1
            except BaseException as error:
                error.add_note(f"mutant {number} of {count}, {kind.__name__}")
                raise
            slowest = max(slowest, time.perf_counter() - began)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - high) * 1024
    with capsys.disabled():
        read = sum(n for kind, n in found.items() if kind.endswith(": read"))
        print(f"\n{count} mutants, {read} read; slowest {slowest:.2f} s; grew by {grown / 1e6:.0f} MB")  # noqa: T201
    assert sum(found.values()) == count
    assert slowest < LONGEST
    assert grown < ROOM
    assert found["plausible: read"] > count / 100, "mutants that are sound are tried too"
    assert found["signed_cards: refused"] > count / 100
    assert found["weights: read"] > 0
