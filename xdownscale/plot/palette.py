"""Colours of what is compared: the truth black, the prediction blue, baselines by name or in turn.

They differ in lightness, so that they read without colour vision and in print (after Okabe and Ito 2008).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["GUIDE", "TRUTH", "colours"]

TRUTH = "#000000"
GUIDE = "#808080"
_KNOWN = {
    "prediction": "#0081c8",
    "nearest": "#999999",
    "bilinear": "#e69f00",
    "bicubic": "#d55e00",
    "conservative": "#009e73",
}
_OTHERS = ("#cc79a7", "#56b4e9", "#b3a125", "#7a5195")


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name.

    Examples
    --------
    >>> colours(["prediction", "mine"])
    {'prediction': '#0081c8', 'mine': '#cc79a7'}
    """
    out: dict[str, str] = {}
    for name in names:
        unknown = sum(n not in _KNOWN for n in out)
        out[name] = _KNOWN.get(name, _OTHERS[unknown % len(_OTHERS)])
    return out
