"""A checkpoint comes back bit for bit, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch

from xdownscale import checkpoint
from xdownscale.checkpoint import CheckpointError, fingerprint, load, read_card, save

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xdownscale.models.downscaler import Downscaler


@pytest.fixture
def file(tiny_model: Downscaler, tmp_path: Path) -> Path:
    """A sound checkpoint."""
    path = tmp_path / "tiny.safetensors"
    save(tiny_model, path)
    return path


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def written(path: Path, header: dict[str, Any] | bytes, weights: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + weights)
    return path


def test_round_trip_is_exact(tiny_model: Downscaler, file: Path) -> None:
    again = load(file)
    assert again.card == tiny_model.card
    before, after = tiny_model.state(), again.state()
    assert list(before) == list(after)
    for name, weight in before.items():
        assert torch.equal(weight, after[name])
        assert after[name].dtype == torch.float32
    assert read_card(file) == tiny_model.card


def test_loaded_model_computes_the_same(tiny_model: Downscaler, file: Path) -> None:
    x, c = torch.randn(1, 1, 16, 16), torch.randn(1, 4, 16, 16)
    level = torch.full((1,), 0.3)
    with torch.inference_mode():
        want, got = (m.denoiser(x, level, c, None) for m in (tiny_model, load(file)))
    assert torch.equal(want, got)
    assert float(want.abs().max()) > 0


def test_sha256_is_the_files(tiny_model: Downscaler, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    sha = save(tiny_model, path)
    assert sha == hashlib.sha256(path.read_bytes()).hexdigest() == load(path).sha256


def test_same_model_same_bytes(tiny_model: Downscaler, file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    save(load(file), again)
    assert again.read_bytes() == file.read_bytes()
    save(tiny_model.with_card(replace(tiny_model.card, version="1.3")), again, overwrite=True)
    assert again.read_bytes() != file.read_bytes()


def test_other_tools_read_it(tiny_model: Downscaler, file: Path) -> None:
    state = safetensors.torch.load_file(file)
    assert set(state) == set(tiny_model.state())


def test_float16_halves_the_denoiser_and_keeps_the_encoder(tiny_model: Downscaler, tmp_path: Path) -> None:
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save(tiny_model, full)
    save(tiny_model, half, dtype="float16")
    saved = sum(w.numel() for n, w in tiny_model.state().items() if n.startswith("denoiser.")) * 2
    assert full.stat().st_size - half.stat().st_size == pytest.approx(saved, rel=0.01)
    for name, weight in load(half).state().items():
        exact = name.startswith("encoder.")
        assert torch.equal(
            weight, tiny_model.state()[name] if exact else tiny_model.state()[name].half().float()
        )


def test_existing_output_is_kept(tiny_model: Downscaler, file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save(tiny_model, file)
    assert file.read_bytes() == before
    save(tiny_model, file, overwrite=True)
    assert [p.name for p in file.parent.iterdir()] == ["tiny.safetensors"]


def test_failed_write_leaves_nothing(
    tiny_model: Downscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save(tiny_model, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_sick_weights_are_not_saved(tiny_model: Downscaler, tmp_path: Path) -> None:
    first = next(tiny_model.denoiser.parameters())
    with torch.no_grad():
        first.view(-1)[0] = 1e6
    with pytest.raises(CheckpointError, match=r"not finite as torch\.float16"):
        save(tiny_model, tmp_path / "a.safetensors", dtype="float16")
    with torch.no_grad():
        first.view(-1)[0] = float("nan")
    with pytest.raises(CheckpointError, match=r"not finite as torch\.float32"):
        save(tiny_model, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_other_dtype(tiny_model: Downscaler, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 'float32' or 'float16'"):
        save(tiny_model, tmp_path / "a.safetensors", dtype="int8")  # type: ignore[arg-type]


def test_odd_paths(tiny_model: Downscaler, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "mod\u00e8le \u6c99.safetensors"
    save(tiny_model, str(path))
    assert load(str(path)).card.name == "tiny"


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(tmp_path / "absent.safetensors")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no such file.*by name, xdownscale\.resolve\('jja_asia'\)"):
        load("jja_asia")


class Bomb:
    """Unpickling one is noticed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.abort, ()


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_pickle_is_never_opened(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps([Bomb()] * 10, protocol=protocol))
    with pytest.raises(CheckpointError, match="never opened" if protocol else "foreign"):
        load(path)


def test_torch_save_is_never_opened(tiny_model: Downscaler, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save(tiny_model.state(), path)
    assert zipfile.is_zipfile(path)
    with pytest.raises(CheckpointError, match="zip archive"):
        load(path)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\0" * 8, b"\x89HDF\r\n\x1a\n" + b"\0" * 99, b"\xff" * 4096]
)
def test_foreign_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .*expected a checkpoint"):
        load(path)


def test_header_is_bounded(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", b"{" + b" " * 1_000_001, b"")
    with pytest.raises(CheckpointError, match="expected a checkpoint"):
        load(path)


def test_file_is_bounded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_FILE_LIMIT", 1000)
    with pytest.raises(CheckpointError, match="expected at most 1000"):
        load(file)


def test_safetensors_of_another_package(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(3)}, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="no xdownscale card"):
        load(path)


def test_truncated_anywhere(file: Path) -> None:
    content = file.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for size in {*range(10), header - 1, header, header + 1, len(content) - 1} | set(
        range(10, len(content), len(content) // 40)
    ):
        file.write_bytes(content[:size])
        for read in (load, read_card):
            with pytest.raises(CheckpointError, match=r"truncated|damaged"):
                read(file)


def test_trailing_bytes(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load(file)


def test_any_changed_byte_is_noticed(file: Path) -> None:
    content = file.read_bytes()
    rng = random.Random(0)
    header = 8 + int.from_bytes(content[:8], "little")
    for place in [rng.randrange(header) for _ in range(100)] + rng.sample(range(header, len(content)), 100):
        broken = bytearray(content)
        broken[place] ^= rng.randrange(1, 256)
        file.write_bytes(bytes(broken))
        with pytest.raises(CheckpointError):
            load(file)


def test_changed_card_is_noticed(file: Path) -> None:
    content = file.read_bytes()
    assert content.count(b"simulated dust only") == 1
    file.write_bytes(content.replace(b"simulated dust only", b"authentic dust only"))
    with pytest.raises(CheckpointError, match=r"sha256 .* \(damaged or tampered with\)"):
        load(file)


def first_weight(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(v for k, v in sorted(header.items()) if k.startswith("denoiser."))
    return found


def drop(header: dict[str, Any]) -> None:
    del header[next(k for k in sorted(header) if k.startswith("denoiser."))]


def overlap(header: dict[str, Any]) -> None:
    names = sorted((k for k in header if k != "__metadata__"), key=lambda k: header[k]["data_offsets"])
    header[names[1]]["data_offsets"] = [v - 4 for v in header[names[1]]["data_offsets"]]


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (drop, "in one of the two only"),
        (lambda h: h.update(evil={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}), r"\['evil'\]"),
        (lambda h: first_weight(h).update(shape=[10**9, 10**9]), "the card's architecture has"),
        (lambda h: first_weight(h).update(shape="12"), "the card's architecture has"),
        (lambda h: first_weight(h).update(dtype="F64"), "expected F32 or F16"),
        (lambda h: first_weight(h).update(dtype="F16"), "expected"),
        (lambda h: first_weight(h).update(dtype=["F32"]), "unhashable|expected F32"),
        (lambda h: first_weight(h).update(extra=1), "malformed"),
        (lambda h: first_weight(h).update(data_offsets=[-8, -4]), r"lies at \[-8, -4\]"),
        (lambda h: first_weight(h).update(data_offsets=[10**15, 10**15 + 4]), "lies at"),
        (lambda h: first_weight(h).update(data_offsets="0"), "."),
        (overlap, "tampered"),
        (lambda h: h.pop("__metadata__"), "no xdownscale card"),
        (lambda h: h.update(__metadata__={"xdownscale": 3}), "no xdownscale card"),
        (lambda h: h["__metadata__"].update(more="x"), "no xdownscale card"),
        (lambda h: h["__metadata__"].update(xdownscale="{}"), "expected card and sha256"),
        (lambda h: h["__metadata__"].update(xdownscale="nil"), "card entry is not JSON"),
    ],
)
def test_tampered_header(file: Path, tamper: Callable[[dict[str, Any]], Any], message: str) -> None:
    header, weights = parts(file)
    tamper(header)
    with pytest.raises(CheckpointError, match=f"tiny.safetensors: .*{message}"):
        load(written(file, header, weights))


def entry_with(file: Path, **changes: Any) -> Path:
    """The checkpoint with fields of its card replaced, and no digest to match."""
    header, weights = parts(file)
    entry = json.loads(header["__metadata__"]["xdownscale"])
    entry["card"] = json.dumps(json.loads(entry["card"]) | changes)
    header["__metadata__"]["xdownscale"] = json.dumps(entry)
    return written(file, header, weights)


def test_huge_architecture_is_refused_without_memory(file: Path) -> None:
    import tracemalloc

    header, _ = parts(file)
    card = json.loads(json.loads(header["__metadata__"]["xdownscale"])["card"])
    card["architecture"]["denoiser"] |= {"channels": [512, 512, 512], "blocks": 8}
    path = entry_with(file, architecture=card["architecture"])
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=r"the card's architecture|in one of the two only"):
        load(path)
    assert tracemalloc.get_traced_memory()[1] < 30e6
    tracemalloc.stop()


def test_card_out_of_bounds(file: Path) -> None:
    with pytest.raises(CheckpointError, match="card field 'process'"):
        load(entry_with(file, process="edm"))


def test_later_schema(file: Path) -> None:
    with pytest.raises(CheckpointError, match="schema version 3: this package reads version 2"):
        read_card(entry_with(file, schema_version=3))


def test_repeated_header_key(file: Path) -> None:
    header, weights = parts(file)
    text = json.dumps(header)
    twice = text[:-1] + ', "__metadata__": {}}'
    with pytest.raises(CheckpointError, match="names a key twice"):
        load(written(file, twice.encode(), weights))


def test_infinite_weights_are_refused_even_with_their_digest(tiny_model: Downscaler, tmp_path: Path) -> None:
    state = {k: v.clone() for k, v in tiny_model.state().items()}
    name = next(k for k in state if k.startswith("denoiser."))
    state[name].view(-1)[0] = float("inf")
    card = tiny_model.card.to_json()
    entry = json.dumps({"card": card, "sha256": checkpoint._digest(card, state)})
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(state, path, metadata={"xdownscale": entry})
    with pytest.raises(CheckpointError, match=f"{name} of tiny is not finite"):
        load(path)


def test_exchanged_encoder_is_refused(tiny_model: Downscaler, tmp_path: Path) -> None:
    state = {k: v.clone() for k, v in tiny_model.state().items()}
    state[next(k for k in state if k.startswith("encoder."))].view(-1)[0] += 1.0
    card = tiny_model.card.to_json()
    entry = json.dumps({"card": card, "sha256": checkpoint._digest(card, state)})
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(state, path, metadata={"xdownscale": entry})
    with pytest.raises(CheckpointError, match="encoder's digest"):
        load(path)


class TestFingerprint:
    def test_is_that_of_the_model_not_of_its_file(self, tiny_model: Downscaler, file: Path) -> None:
        assert fingerprint(load(file)) == fingerprint(tiny_model)
        assert fingerprint(tiny_model) != load(file).sha256

    def test_knows_every_weight_and_the_card(self, tiny_model: Downscaler) -> None:
        before = fingerprint(tiny_model)
        assert fingerprint(tiny_model.with_card(replace(tiny_model.card, residual_scale=0.3))) != before
        with torch.no_grad():
            list(tiny_model.denoiser.parameters())[-1].add_(1e-6)
        assert fingerprint(tiny_model) != before

    def test_does_not_depend_on_the_memory_layout(self, tiny_model: Downscaler) -> None:
        before = fingerprint(tiny_model)
        tiny_model.denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        assert fingerprint(tiny_model) == before


def test_a_network_of_one_s_own_is_not_written(tiny_model: Downscaler, tmp_path: Path) -> None:
    """What `load` would refuse is refused here."""
    tiny_model.denoiser.extra = torch.nn.Linear(2, 2)
    with pytest.raises(
        CheckpointError, match=r"are not those of its card, \['denoiser.extra.bias', .* differ"
    ):
        save(tiny_model, tmp_path / "own.safetensors")
    assert not list(tmp_path.iterdir())
