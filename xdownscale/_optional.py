"""Packages that an extra brings: imported on use, with an error that names the extra."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["require"]


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional dependency.

    Parameters
    ----------
    module : str
        Dotted name to import.
    extra : str
        The extra of ``xarray-downscale`` that installs it.
    purpose : str
        What needs it, as the error says it ("reading hf:// models").

    Raises
    ------
    ImportError
        The module is not installed; the message holds the line that installs it.

    Examples
    --------
    >>> require("json", extra="hub", purpose="reading").__name__
    'json'
    >>> require("absent_module", extra="hub", purpose="reading hf:// models")
    Traceback (most recent call last):
        ...
    ImportError: reading hf:// models needs absent_module: pip install 'xarray-downscale[hub]'
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        raise ImportError(f"{purpose} needs {top}: pip install 'xarray-downscale[{extra}]'") from error
