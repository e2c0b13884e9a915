"""The page docs/validation.md, whose tables scripts put between marks of their own."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["PAGE", "put"]

PAGE = Path(__file__).parents[1] / "docs" / "validation.md"
_END = "<!-- end of what is made -->"


def put(page: str, text: str, begin: str) -> str:
    """The page with another text between a mark and the next end.

    Parameters
    ----------
    page, text : str
    begin : str
        What the mark says.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the mark is not there once, or no end follows it.
    """
    mark = f"<!-- {begin} -->"
    if page.count(mark) != 1 or _END not in page[page.index(mark) :]:
        raise ValueError(f"expected {mark!r} once in the page, and {_END!r} after it")
    return re.sub(
        f"{re.escape(mark)}.*?{re.escape(_END)}",
        lambda _: f"{mark}\n\n{text}\n\n{_END}",
        page,
        flags=re.DOTALL,
    )
