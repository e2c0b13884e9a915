"""What is done in a store, and whether it still is: records beside the data, each with its own digest.

A store is a zarr group; its group `ledger` holds plain JSON files, so that a ledger moves with its store,

    ledger/job.json          what the store is for, its blocks, and the sha256 of every file of metadata
    ledger/blocks/i.j.json   the sha256 of a block's values, and of the coarse days that it is from

each behind a line with its sha256. A block's record is written after its values; `job.json` is written
first without the digests of the metadata, and once more when these are whole. So a job that is killed at any
moment leaves what can be gone on with, and every byte that was written can be checked.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.inference.place import Place

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["JOB", "DamagedError", "Ledger", "Report", "digest", "fault", "record", "verify"]

_FORMAT = 1
_FOLDER = "ledger"
JOB = f"{_FOLDER}/job.json"


class DamagedError(ValueError):
    """A record or a file of metadata is not what was written."""


@dataclass(frozen=True)
class Ledger:
    """The records of a store.

    Attributes
    ----------
    place : Place
    identity : mapping
        What the store is for: model, seed, options and the input's labels, as text.
    variable : str
    shape : tuple of int
        Sizes of the other dimensions, the members and the days.
    block : (int, int)
        Members and days of a block; the last ones may have fewer.
    timeless : bool
        Whether the variable has no dimension of time.
    metadata : mapping of str to str, or None
        sha256 of each file of metadata; None until they are whole.
    """

    place: Place
    identity: Mapping[str, str]
    variable: str
    shape: tuple[int, ...]
    block: tuple[int, int]
    timeless: bool
    metadata: Mapping[str, str] | None = None

    @classmethod
    def read(cls, place: Place) -> Ledger | None:
        """The ledger of a store; None where there is none.

        Raises
        ------
        DamagedError
            There is one, and it is not what was written.
        """
        try:
            content = _opened(place.read(JOB), JOB)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if content.pop("format", None) != _FORMAT:
            raise DamagedError(f"{place}/{JOB} has another format: expected {_FORMAT}")
        told: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        return cls(place, **told)

    def write(self) -> None:
        """Put `job.json` in its place."""
        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "place"}
        self.place.write(JOB, _sealed({"format": _FORMAT, **content}))

    @property
    def sizes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Members and days of all blocks, along each."""
        members, days = (_filled(n, b) for n, b in zip(self.shape[-2:], self.block, strict=True))
        return members, days

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return math.prod(self.shape[:-2]) * math.prod(map(len, self.sizes))

    def done(self) -> dict[tuple[int, ...], dict[str, Any] | None]:
        """The records of the blocks that are done; None for a record that is damaged."""
        found: dict[tuple[int, ...], dict[str, Any] | None] = {}
        there = set(self.place.keys(f"{_FOLDER}/blocks"))
        for index in np.ndindex(*self.shape[:-2], *map(len, self.sizes)):
            if (key := _record(index)) in there:
                try:
                    found[index] = _opened(self.place.read(key), key)
                except DamagedError:
                    found[index] = None
        return found

    def values(self, index: tuple[int, ...]) -> NDArray[np.float32]:
        """A block as it stands in the store.

        Raises
        ------
        DamagedError
            It cannot be decoded.
        """
        *other, i, j = index
        spans = [slice(k * b, (k + 1) * b) for k, b in zip((i, j), self.block, strict=True)]
        region = (*other, *(spans[:1] if self.timeless else spans))
        try:
            return np.asarray(self.place.array(self.variable, "r")[region])
        except OSError:
            raise
        except Exception as error:  # damaged bytes fail in any codec, by any error
            raise DamagedError(f"block {index} cannot be decoded: {error}") from error

    def altered(self) -> list[str]:
        """Files of metadata that are not what was written, with what is wrong."""
        wrong = []
        for key, expected in (self.metadata or {}).items():
            try:
                found = hashlib.sha256(self.place.read(key)).hexdigest()
            except FileNotFoundError:
                wrong.append(f"{key} is missing")
                continue
            if found != expected:
                wrong.append(f"{key} was changed")
        return wrong


def record(place: Place, index: tuple[int, ...], content: Mapping[str, Any]) -> None:
    """Say in a store's ledger that a block is done.

    Parameters
    ----------
    place : Place
    index : tuple of int
    content : mapping
        `sha256` of its values, `input` of its coarse days, `residual` before conservation.
    """
    place.write(_record(index), _sealed(content))


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    Attributes
    ----------
    store : str
    blocks, done : int
        In all, and with a record.
    damaged : tuple of str
        Blocks, records and metadata that are not what was written.
    residual : float or None
        Largest relative error of the coarse mean before conservation, over the blocks that are done.
    """

    store: str
    blocks: int
    done: int
    damaged: tuple[str, ...]
    residual: float | None

    @property
    def sound(self) -> bool:
        """Whether all that was written is still there."""
        return not self.damaged

    @property
    def complete(self) -> bool:
        """Whether every block is done and sound."""
        return self.sound and self.done == self.blocks

    def __str__(self) -> str:
        state = "complete and sound" if self.complete else "sound, not complete" if self.sound else "damaged"
        lines = [f"{self.store}: {state}, {self.done} of {self.blocks} blocks done"]
        if self.residual is not None:
            lines.append(
                f"largest relative error of the coarse mean before conservation: {self.residual:.2g}"
            )
        return "\n".join([*lines, *(f"damaged: {what}" for what in self.damaged)])


def verify(store: str | os.PathLike[str]) -> Report:
    """Read a store again, and check each byte that was written against its digests.

    Parameters
    ----------
    store : path or fsspec URL
        Written by `to_zarr`, finished or not.

    Returns
    -------
    Report
        A damaged block is remade by the same call of `to_zarr`.

    Raises
    ------
    FileNotFoundError
        There is no store with a ledger.
    DamagedError
        The ledger itself cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import xdownscale
    >>> dust = xdownscale.open_sample().DUEXTTAU.isel(time=[0], lat=slice(20, 23), lon=slice(10, 13))
    >>> report = verify(xdownscale.to_zarr(dust, Path(mkdtemp()) / "fine.zarr", "jja_asia"))
    >>> report.complete, report.sound
    (True, True)
    """
    place = Place.of(store)
    ledger = Ledger.read(place)
    if ledger is None:
        raise FileNotFoundError(f"{place} has no {JOB}: expected a store that to_zarr wrote")
    if ledger.metadata is None:
        return Report(str(place), ledger.blocks, 0, (), None)
    damaged, done = ledger.altered(), ledger.done()
    if not damaged:  # without sound metadata no block can be read
        found = (fault(ledger, index, record) for index, record in done.items())
        damaged = [wrong for wrong in found if wrong is not None]
    residuals = [r["residual"] for r in done.values() if r is not None and r["residual"] is not None]
    return Report(str(place), ledger.blocks, len(done), tuple(damaged), max(residuals, default=None))


def fault(ledger: Ledger, index: tuple[int, ...], record: Mapping[str, Any] | None) -> str | None:
    """What is wrong with a block that has a record; None where nothing is."""
    if record is None:
        return f"the record of block {index}"
    try:
        values = ledger.values(index)
    except DamagedError as error:
        return str(error)
    if digest(values) == record["sha256"]:
        return None
    return f"block {index} is {'missing' if np.isnan(values).all() else 'not what was written'}"


def digest(values: NDArray[Any]) -> str:
    """The sha256 of an array's values, whatever its memory layout; all NaN are alike."""
    plain = np.where(np.isnan(values), np.nan, values).astype(values.dtype.newbyteorder("<"))
    return hashlib.sha256(np.ascontiguousarray(plain).tobytes()).hexdigest()


def _record(index: tuple[int, ...]) -> str:
    return f"{_FOLDER}/blocks/{'.'.join(map(str, index))}.json"


def _filled(length: int, size: int) -> tuple[int, ...]:
    """Parts of one size, and what is left."""
    whole, rest = divmod(length, size)
    return (size,) * whole + ((rest,) if rest else ())


def _sealed(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def _opened(content: bytes, key: str) -> dict[str, Any]:
    stated, _, text = content.partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != stated:
        raise DamagedError(f"{key} is damaged: its digest is another")
    found: dict[str, Any] = json.loads(text)
    return found
