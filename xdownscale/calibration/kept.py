"""Draws of a window kept on disk, so that a calibration that was killed goes on from them.

A file is named by what its draws depend on. Those of other draws lie beside it, and are let alone.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

__all__ = ["kept"]


def kept(folder: Path | None, asked: str, draw: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """What was drawn before, or is drawn now and kept.

    Parameters
    ----------
    folder : Path or None
        Made if there is none; nothing is kept without.
    asked : str
        All that the draws depend on.
    draw : callable
        Returns means and members.

    Returns
    -------
    (Tensor, Tensor)
        Of a file that cannot be read they are drawn anew.
    """
    if folder is None:
        return draw()
    folder.mkdir(parents=True, exist_ok=True)  # before anything is drawn that could not be kept
    path = folder / f"{hashlib.sha256(asked.encode()).hexdigest()[:32]}.safetensors"
    try:
        found = load_file(path)
        return found["mean"], found["drawn"]
    except (FileNotFoundError, SafetensorError):
        mean, drawn = draw()
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        save_file({"mean": mean.contiguous(), "drawn": drawn.contiguous()}, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return mean, drawn
