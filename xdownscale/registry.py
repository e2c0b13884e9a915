"""From what a user writes after ``model=`` to a verified model.

A model is a `Downscaler`, the path of a checkpoint, an ``hf://`` address (`hub`), or a name. Names are
lower-case letters, digits and ``_ . -``; they are those of the bundled checkpoints and of the entry points
that installed packages declare in the group ``xdownscale.models``. An entry point is the path of a
checkpoint, or a function that returns it; one that cannot be loaded is skipped with a warning. What is not a
known name and looks like a path is a path.

To another thread, process or machine a model travels as a `Reference`: its name, path or address, and its
sha256. It is loaded there once per process.
"""

from __future__ import annotations

import difflib
import os
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from xdownscale.checkpoint import CheckpointError, load, read_card
from xdownscale.hub import SCHEME, Address, fetch
from xdownscale.models.downscaler import Downscaler
from xdownscale.models.schema import NAME

if TYPE_CHECKING:
    from xdownscale.models.card import Card

__all__ = ["Reference", "SyntheticModelWarning", "list_models", "refer", "resolve"]

_GROUP = "xdownscale.models"
_SUFFIX = ".safetensors"
_LOADED: dict[str, Downscaler] = {}
_LOADING = Lock()


class SyntheticModelWarning(UserWarning):
    """A model was trained on simulated fields: its fine texture is plausible, not observed."""


def resolve(model: Downscaler | str | os.PathLike[str]) -> Downscaler:
    """The model that a name, a path, an address or a model stands for.

    Parameters
    ----------
    model : Downscaler, str or path-like
        A model, a name of `list_models`, the path of a checkpoint, or the address of one on a hub,
        ``hf://ORG/REPO@COMMIT/FILE.safetensors``.

    Returns
    -------
    Downscaler

    Raises
    ------
    ValueError
        No model has that name (the nearest names are listed), the address is none, or the file is no sound
        checkpoint.
    FileNotFoundError
        There is no file at that path.
    HubError
        An OSError: the file cannot be had from the hub.
    ImportError
        An address, without the extra ``hub``.

    Warns
    -----
    SyntheticModelWarning
        Once per process, for a model trained on simulated fields.

    Examples
    --------
    >>> resolve("hf://org/repo/dust.safetensors")
    Traceback (most recent call last):
        ...
    ValueError: model 'hf://org/repo/dust.safetensors': it names no commit, and what a branch holds can
    change: expected its 40 hex digits, hf://ORG/REPO@COMMIT/FILE.safetensors[#sha256=DIGEST]
    """
    if isinstance(model, Downscaler):
        return model
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"model is a {type(model).__name__}: expected a name, a path or a Downscaler")
    found = _verified(model)
    if found.card.synthetic:
        _warn_synthetic()
    return found


@dataclass(frozen=True)
class Reference:
    """A model by name, path or address, and the sha256 it must have: what travels instead of weights.

    Attributes
    ----------
    source : str
        A name, an absolute path that every process can read, or an address, fetched where it is loaded.
    sha256 : str
        Of the file, hex.

    Examples
    --------
    >>> str(Reference("jja_asia", 8 * "0a1b2c3d"))
    'jja_asia@0a1b2c3d0a1b'
    """

    source: str
    sha256: str

    def load(self) -> Downscaler:
        """The model, read and verified once per process, whatever number of threads ask for it.

        Raises
        ------
        ValueError
            The file there is not the one that was referred to.
        FileNotFoundError
            This process cannot see the file.
        HubError
            Nor can it fetch it.
        """
        with _LOADING:
            if self.sha256 not in _LOADED:
                _LOADED[self.sha256] = self._found()
            return _LOADED[self.sha256]

    def _found(self) -> Downscaler:
        found = _verified(self.source)
        if found.sha256 != self.sha256:
            raise ValueError(
                f"model {self.source} has sha256 {found.sha256} here, and {self.sha256} where the job was "
                "made: give every worker the same file"
            )
        return found

    def __str__(self) -> str:
        return f"{self.source}@{self.sha256[:12]}"


def refer(model: Downscaler | str | os.PathLike[str], resolved: Downscaler) -> Reference | Downscaler:
    """What stands for a model in a job that runs elsewhere.

    Parameters
    ----------
    model : Downscaler, str or path-like
        As the user gave it.
    resolved : Downscaler
        What `resolve` made of it.

    Returns
    -------
    Reference, or Downscaler
        The model itself where it is in memory only.
    """
    if isinstance(model, Downscaler) or resolved.sha256 is None:
        return resolved
    kept = isinstance(model, str) and (
        model.startswith(SCHEME) or (NAME.fullmatch(model) is not None and _named(model) is not None)
    )
    return Reference(str(model) if kept else str(Path(model).absolute()), resolved.sha256)


def list_models() -> dict[str, Card]:
    """The cards of all models that can be had by name, bundled or from installed packages.

    Returns
    -------
    dict of str to Card, names ascending
        A checkpoint that cannot be read is left out with a warning.

    Examples
    --------
    >>> isinstance(list_models(), dict)
    True
    """
    cards = {}
    for name in _names():
        try:
            path = _named(name)
            if path is not None:
                cards[name] = read_card(path)
        except (CheckpointError, OSError) as error:
            warnings.warn(f"model {name!r} is skipped: {error}", stacklevel=2)
    return cards


def _verified(model: str | os.PathLike[str]) -> Downscaler:
    if not (isinstance(model, str) and model.startswith(SCHEME)):
        return load(_locate(model))
    address = Address.parse(model)
    path = fetch(address)
    try:
        found = load(path)
        if address.sha256 not in (None, found.sha256):
            raise CheckpointError(f"{path}: sha256 is {found.sha256}: expected {address.sha256}")
    except CheckpointError as error:
        raise CheckpointError(
            f"{address}: {error}; it is not used; if it was damaged on its way or in the cache, delete "
            f"{path.resolve()}, and it is fetched again"
        ) from error
    return found


def _locate(model: str | os.PathLike[str]) -> Path:
    if not isinstance(model, str):
        return Path(model)
    path = _named(model) if NAME.fullmatch(model) else None
    if path is not None:
        return path
    if "/" in model or os.sep in model or model.endswith(_SUFFIX) or Path(model).is_file():
        return Path(model)
    raise ValueError(_unknown(model))


def _unknown(model: str) -> str:
    names = _names()
    near = difflib.get_close_matches(model.lower(), names, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(map(repr, near))}" if near else f"there are {names or 'none'}"
    return (
        f"no model is named {model!r}: {hint}; a checkpoint of your own is given by its path, NAME{_SUFFIX}"
    )


def _names() -> list[str]:
    return sorted(_bundled().keys() | _registered().keys())


def _named(name: str) -> Path | None:
    """Where the checkpoint of that name is; a bundled one comes before an entry point."""
    bundled = _bundled().get(name)
    if bundled is not None:
        return bundled
    point = _registered().get(name)
    return None if point is None else _open(point)


def _bundled() -> dict[str, Path]:
    folder = Path(str(files("xdownscale"))) / "models" / "bundled"
    return {path.stem: path for path in sorted(folder.glob(f"*{_SUFFIX}"))}


def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=_GROUP) if NAME.fullmatch(point.name)}


def _open(point: EntryPoint) -> Path | None:
    try:
        value = point.load()
        return Path(value() if callable(value) else value)
    except Exception as error:  # noqa: BLE001  third-party code may raise anything; one plug-in must not break all
        warnings.warn(
            f"entry point {point.name!r} of {_GROUP} ({point.value}) is skipped: {error!r}", stacklevel=4
        )
        return None


@cache
def _warn_synthetic() -> None:
    warnings.warn(
        "this model was trained on simulated dust (a nature run), not on observations: the fine texture of "
        "its output is plausible, not observed; its card shows scores and limits",
        SyntheticModelWarning,
        stacklevel=4,
    )
