"""Checkpoints: one safetensors file that holds the weights and, in its header, the card.

    8 bytes: length n of the header, little-endian | n bytes: JSON header | the weights' bytes

The header's ``__metadata__`` has one entry, ``xdownscale``: JSON text with the ``card`` and the ``sha256`` of
card and weights together. Everything is checked before a network is built: sizes, the card field by field,
names, shapes, types and places of the weights against what the card's architecture has, the digest, and that
every weight is finite. Nothing here ever unpickles; another format is refused, not tried.

Float weights are stored as float32, or the denoiser's as float16; the encoder's always as float32, because
its digest is in the card. They are float32 once loaded. The climatology is stored as the bytes it is.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import safetensors.torch
import torch

from xdownscale.models.card import Card
from xdownscale.models.downscaler import Downscaler

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CheckpointError", "fingerprint", "load", "read_card", "rewrite", "save"]

_KEY = "xdownscale"
_HEADER_LIMIT = 1_000_000
_FILE_LIMIT = 1 << 30
_TYPES = {"F32": torch.float32, "F16": torch.float16, "I8": torch.int8}
_FOREIGN = {b"PK\x03\x04": "a zip archive (torch.save writes those)", b"\x89HDF": "an HDF5 or netCDF4 file"}


class CheckpointError(ValueError):
    """A file is not a sound checkpoint of this package."""


def save(
    model: Downscaler,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    dtype: Literal["float32", "float16"] = "float32",
) -> str:
    """Write a model to one file, whole or not at all.

    Parameters
    ----------
    model : Downscaler
    path : path-like
        Written beside itself, then renamed.
    overwrite : bool
        Replace a file that exists.
    dtype : {"float32", "float16"}
        Type in which the denoiser's weights are stored.

    Returns
    -------
    str
        sha256 of the file, hex.

    Raises
    ------
    FileExistsError
        `path` exists and `overwrite` is false.
    CheckpointError
        A weight is not finite, or overflows float16; or the networks are not those of the card, so that the
        file could not be read again.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import xdownscale
    >>> file = pathlib.Path(tempfile.mkdtemp(), "mine.safetensors")
    >>> sha256 = save(xdownscale.resolve("jja_asia"), file)
    >>> load(file).sha256 == sha256
    True
    """
    target = Path(path)
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype {dtype!r}: expected 'float32' or 'float16'")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists: pass overwrite=True to replace it")
    state = {name: _stored(name, weight, dtype) for name, weight in model.state().items()}
    _check_own(model)
    card = model.card.to_json()
    entry = json.dumps({"card": card, "sha256": _digest(card, state)}, sort_keys=True)
    content = safetensors.torch.save(state, metadata={_KEY: entry})
    _replace(target, content)
    return hashlib.sha256(content).hexdigest()


def rewrite(path: str | os.PathLike[str], card: Card) -> str:
    """Give a checkpoint another card; its weights stay as they are stored.

    Parameters
    ----------
    path : path-like
    card : Card
        Of the same architecture.

    Returns
    -------
    str
        sha256 of the file, hex.

    Raises
    ------
    CheckpointError
        As `load`.
    ValueError
        If the architecture is another.
    """
    model = load(path)
    if card.architecture != model.card.architecture:
        raise ValueError(f"{os.fspath(path)}: the card's architecture is another: expected the file's own")
    stored = safetensors.torch.load(_read(Path(path)))
    half = any(weight.dtype == torch.float16 for weight in stored.values())
    return save(model.with_card(card), path, overwrite=True, dtype="float16" if half else "float32")


def load(path: str | os.PathLike[str]) -> Downscaler:
    """Read and verify a model.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Downscaler
        On the CPU, float32, with the file's `sha256`.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    CheckpointError
        The file is foreign, damaged, truncated or tampered with, or not one this version can read.

    Examples
    --------
    >>> import pathlib, pickle, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp(), "model.pt")
    >>> _ = file.write_bytes(pickle.dumps({"weight": [0.0] * 99}))
    >>> load(file)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    xdownscale.checkpoint.CheckpointError: ...model.pt: a pickle, which can run code and is never opened: ...
    """
    content = _read(Path(path))
    try:
        card, entry, weights = _understand(content)
        state = safetensors.torch.load(content)
        _verify(card, entry, state)
        state = {
            name: state[name].float() if state[name].is_floating_point() else state[name] for name in weights
        }
        return Downscaler.from_state(card, state, sha256=hashlib.sha256(content).hexdigest())
    except (ValueError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise _refusal(path, error) from error


def read_card(path: str | os.PathLike[str]) -> Card:
    """The card of a checkpoint, after the same checks but without building networks.

    Raises
    ------
    CheckpointError
        As `load`.
    """
    content = _read(Path(path))
    try:
        card, _, _ = _understand(content)
    except (ValueError, TypeError, RecursionError) as error:
        raise _refusal(path, error) from error
    return card


def fingerprint(model: Downscaler) -> str:
    """A sha256 of a model's card and weights, whether it was read from a file or not.

    Parameters
    ----------
    model : Downscaler

    Returns
    -------
    str
        Hex; that of the model in memory, which a float16 file holds in other bytes.
    """
    return _digest(model.card.to_json(), {name: w.detach().cpu() for name, w in model.state().items()})


def _stored(name: str, weight: torch.Tensor, dtype: str) -> torch.Tensor:
    half = dtype == "float16" and not name.startswith("encoder.")
    stored = weight.detach().cpu().contiguous()
    if weight.is_floating_point():
        stored = stored.to(torch.float16 if half else torch.float32)
    if not bool(torch.isfinite(stored).all()):
        raise CheckpointError(f"weight {name} is not finite as {stored.dtype}: such a model is not saved")
    return stored


def _digest(card: str, state: Mapping[str, torch.Tensor]) -> str:
    total = hashlib.sha256(card.encode())
    for name in sorted(state):
        weight = state[name]
        total.update(f"\n{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        total.update(weight.contiguous().numpy().tobytes())
    return total.hexdigest()


def _replace(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    """The file's bytes, after what can be told from its size and first bytes."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file: expected the path of a checkpoint, NAME.safetensors; bundled models are "
            "had by name, xdownscale.resolve('jja_asia')"
        )
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(10)
        length = int.from_bytes(first[:8], "little")
        if size < 10 or length > min(_HEADER_LIMIT, size - 8) or first[8:9] != b"{":
            raise CheckpointError(f"{path}: {_kind(first, size)}: expected a checkpoint, NAME.safetensors")
        if size > _FILE_LIMIT:
            raise CheckpointError(f"{path}: {size} bytes: expected at most {_FILE_LIMIT}")
        return first + file.read()


def _kind(first: bytes, size: int) -> str:
    for magic, name in _FOREIGN.items():
        if first.startswith(magic):
            return name
    if first[:1] == b"\x80" and first[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle, which can run code and is never opened"
    return f"{size} bytes that do not begin as a safetensors file (foreign, truncated or damaged)"


def _refusal(path: str | os.PathLike[str], error: Exception) -> CheckpointError:
    """The error of a reader; what it quotes of the file may be as long as the file's header."""
    said = str(error)
    return CheckpointError(f"{os.fspath(path)}: {said if len(said) <= 1000 else said[:1000] + '...'}")


def _understand(content: bytes) -> tuple[Card, dict[str, str], list[str]]:
    """Card, metadata entry and weight names, the header's every statement checked."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = _object(content[8:end].decode("utf-8"), "header")
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or set(metadata) != {_KEY} or not isinstance(metadata[_KEY], str):
        raise ValueError("its header holds no xdownscale card: a safetensors file of another package")
    entry = _object(metadata[_KEY], "card entry")
    if set(entry) != {"card", "sha256"} or not all(isinstance(v, str) for v in entry.values()):
        raise ValueError(f"its card entry has the keys {sorted(entry)}: expected card and sha256, both text")
    card = Card.from_json(entry["card"])
    _check_weights(card, header)
    _check_places(header, len(content) - end)
    return card, entry, sorted(header)


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        content = json.loads(text, object_pairs_hook=_unique)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"its {what} is not JSON (damaged or truncated): {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"its {what} is not a JSON object")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("its header names a key twice")
    return content


def _check_own(model: Downscaler) -> None:
    """A model that is written can be read: its weights are those of the card's architecture."""
    found = {name: tuple(weight.shape) for name, weight in model.state().items()}
    wanted = {name: shape for name, (shape, _) in Downscaler.expected(model.card).items()}
    if found != wanted:
        odd = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
        raise CheckpointError(
            f"the networks of {model.card.name} are not those of its card, {odd[:3]} differ: a network of "
            "one's own cannot be written as a checkpoint"
        )


def _check_weights(card: Card, header: Mapping[str, Any]) -> None:
    expected = Downscaler.expected(card)
    if set(header) != set(expected):
        odd = sorted(set(header) ^ set(expected))
        raise ValueError(f"weights and the card's architecture differ: {odd[:3]} are in one of the two only")
    for name, (shape, kind) in expected.items():
        place, wanted = header[name], list(shape)
        if not isinstance(place, dict) or set(place) != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"its entry for {name} is malformed")
        if place["shape"] != wanted:
            raise ValueError(
                f"weight {name} has shape {place['shape']}: the card's architecture has {wanted}"
            )
        allowed = ("F32", "F16") if kind.is_floating_point else ("I8",)
        if place["dtype"] not in allowed:
            raise ValueError(f"weight {name} is {place['dtype']}: expected {' or '.join(allowed)}")


def _check_places(header: Mapping[str, Any], size: int) -> None:
    """The weights lie one after another and fill the file: no gap, no overlap, nothing behind."""
    position = 0
    for name, place in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        end = position + math.prod(place["shape"]) * _TYPES[place["dtype"]].itemsize
        if place["data_offsets"] != [position, end]:
            raise ValueError(
                f"weight {name} lies at {place['data_offsets']}: expected {[position, end]} (tampered with)"
            )
        position = end
    if position != size:
        raise ValueError(f"{size} bytes of weights: expected {position} (truncated or damaged)")


def _verify(card: Card, entry: Mapping[str, str], state: Mapping[str, torch.Tensor]) -> None:
    found = _digest(entry["card"], state)
    if found != entry["sha256"]:
        raise ValueError(f"sha256 {found}: its header says {entry['sha256']} (damaged or tampered with)")
    for name, weight in state.items():
        if not bool(torch.isfinite(weight).all()):
            raise ValueError(f"weight {name} of {card.name} is not finite")
