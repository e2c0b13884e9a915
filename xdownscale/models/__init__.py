"""A model: networks, scaling, grids and schedule, composed as one card says.

The card alone is read without torch; what needs the networks is found on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xdownscale.models.card import Card

if TYPE_CHECKING:
    from xdownscale.models.downscaler import Downscaler

__all__ = ["Card", "Downscaler"]


def __getattr__(name: str) -> Any:
    if name != "Downscaler":
        raise AttributeError(f"module 'xdownscale.models' has no attribute {name!r}")
    return import_module("xdownscale.models.downscaler").Downscaler
