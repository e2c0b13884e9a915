"""From what a user writes after ``model=`` to a verified model.

A model is a `Downscaler`, the path of a checkpoint, or a name. Names are lower-case letters, digits and
``_ . -``; they are those of the bundled checkpoints and of the entry points that installed packages declare
in the group ``xdownscale.models``. An entry point is the path of a checkpoint, or a function that returns it;
one that cannot be loaded is skipped with a warning. What is not a known name and looks like a path is a path.
"""

from __future__ import annotations

import difflib
import os
import warnings
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from xdownscale.checkpoint import CheckpointError, load, read_card
from xdownscale.models.downscaler import Downscaler
from xdownscale.models.schema import NAME

if TYPE_CHECKING:
    from xdownscale.models.card import Card

__all__ = ["SyntheticModelWarning", "list_models", "resolve"]

_GROUP = "xdownscale.models"
_SUFFIX = ".safetensors"


class SyntheticModelWarning(UserWarning):
    """A model was trained on simulated fields: its fine texture is plausible, not observed."""


def resolve(model: Downscaler | str | os.PathLike[str]) -> Downscaler:
    """The model that a name, a path or a model stands for.

    Parameters
    ----------
    model : Downscaler, str or path-like
        A model, a name of `list_models`, or the path of a checkpoint.

    Returns
    -------
    Downscaler

    Raises
    ------
    ValueError
        No model has that name (the nearest names are listed), or the file is no sound checkpoint.
    FileNotFoundError
        There is no file at that path.

    Warns
    -----
    SyntheticModelWarning
        Once per process, for a model trained on simulated fields.

    Examples
    --------
    >>> resolve("hf://org/repo/file")
    Traceback (most recent call last):
        ...
    ValueError: model 'hf://org/repo/file': this version reads no hf:// models; download it and pass its path
    """
    if isinstance(model, Downscaler):
        return model
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"model is a {type(model).__name__}: expected a name, a path or a Downscaler")
    found = load(_locate(model))
    if found.card.synthetic:
        _warn_synthetic()
    return found


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


def _locate(model: str | os.PathLike[str]) -> Path:
    if not isinstance(model, str):
        return Path(model)
    if model.startswith("hf://"):
        raise ValueError(
            f"model {model!r}: this version reads no hf:// models; download it and pass its path"
        )
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
