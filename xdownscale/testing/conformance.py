"""`check_model`: the promises examined one by one, and a result that people and machines can read."""

from __future__ import annotations

import html
import json
import time
import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from xdownscale.registry import resolve
from xdownscale.testing.checks import PROMISES, Subject

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from xdownscale.models import Downscaler

__all__ = ["CHECKS", "Check", "Conformance", "check_model"]

CHECKS = tuple(PROMISES)
"""Names of all checks, in the order in which they are made."""


@dataclass(frozen=True)
class Check:
    """One promise of a model.

    Attributes
    ----------
    name : str
        One of `CHECKS`.
    promise : str
        In a sentence.
    status : {"kept", "broken", "error", "not applicable"}
    found, expected : str
        With figures; for an error, what was raised.
    seconds : float

    Examples
    --------
    >>> Check("grid", "On the cells of the fine grid.", "kept", "off by 0 cells", "below 1e-6", 0.6).status
    'kept'
    """

    name: str
    promise: str
    status: Literal["kept", "broken", "error", "not applicable"]
    found: str
    expected: str
    seconds: float


@dataclass(frozen=True)
class Conformance:
    """What `check_model` found; true where no promise is broken.

    Attributes
    ----------
    model : str
        Name and version, by the card.
    sha256 : str or None
        Of the checkpoint, if the model was read from one.
    checks : tuple of Check

    Examples
    --------
    >>> check = Check("grid", "On the cells of the fine grid.", "broken", "off by 0.5", "below 1e-6", 0.6)
    >>> found = Conformance("mine 1", None, (check,))
    >>> bool(found), found.to_dict()["checks"][0]["found"]
    (False, 'off by 0.5')
    """

    model: str
    sha256: str | None
    checks: tuple[Check, ...]

    def __bool__(self) -> bool:
        return not self.broken

    @property
    def broken(self) -> tuple[Check, ...]:
        """The checks that a model must mend."""
        return tuple(c for c in self.checks if c.status in ("broken", "error"))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"passed": bool(self), **asdict(self)}

    def to_json(self) -> str:
        """As text."""
        return json.dumps(self.to_dict(), indent=1)

    def __str__(self) -> str:
        count = sum(c.status == "kept" for c in self.checks)
        lines = [f"{self.model}: {count} promises kept, {len(self.broken)} broken"]
        for c in self.checks:
            beside = f" (expected {c.expected})" if c.status == "broken" else ""
            lines.append(f"  {c.name:<20}{c.status:<16}{c.found}{beside}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cells = [("check", "status", "found", "expected")]
        cells += [(c.name, c.status, c.found, c.expected) for c in self.checks]
        rows = ("".join(f"<td>{html.escape(text)}</td>" for text in row) for row in cells)
        return f"<b>{html.escape(self.model)}</b><table><tr>{'</tr><tr>'.join(rows)}</tr></table>"


def check_model(
    model: Downscaler | str | os.PathLike[str],
    *,
    only: Sequence[str] | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Conformance:
    """Examine whether a model keeps what `predict` promises to its users.

    Parameters
    ----------
    model : Downscaler, str or path-like
        Ours or a third party's: a model, a name of `list_models`, or the path of a checkpoint.
    only : sequence of str, optional
        Some of `CHECKS`; all by default.
    seed : int
        Of the example fields, which are made from the card alone (`example`), and of the draws.
    device : str
        A torch device.

    Returns
    -------
    Conformance
        True where nothing is broken; prints as a table, `to_dict` and `to_json` for machines. A check that
        raises is counted as broken, and the others are made.

    Raises
    ------
    ValueError, FileNotFoundError
        As `resolve`; or a name in `only` is none of `CHECKS`.

    Notes
    -----
    Whether a model is any good is another question: `xdownscale evaluate`.

    Examples
    --------
    >>> print(check_model("jja_asia", only=["card", "grid", "units"]))
    jja_asia 0.12.0: 3 promises kept, 0 broken
      card                kept            equal
      grid                kept            off by ... cells
      units               kept            ...
    """
    unknown = sorted(set(only or ()) - set(CHECKS))
    if unknown:
        raise ValueError(
            f"no check is named {', '.join(map(repr, unknown))}: expected some of {list(CHECKS)}"
        )
    subject = Subject(resolve(model), seed, device)
    card = subject.card
    checks = tuple(_made(name, subject) for name in CHECKS if only is None or name in only)
    return Conformance(f"{card.name} {card.version}", subject.model.sha256, checks)


def _made(name: str, subject: Subject) -> Check:
    promise = (PROMISES[name].__doc__ or name).strip()
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            verdict = PROMISES[name](subject)
        except Exception as error:  # noqa: BLE001 - a model may break in any way; the other checks are made
            found = f"{type(error).__name__}: {error}"
            return Check(name, promise, "error", found, "no error", time.perf_counter() - began)
    status: Literal["kept", "broken", "not applicable"] = (
        "not applicable" if verdict.kept is None else "kept" if verdict.kept else "broken"
    )
    return Check(name, promise, status, verdict.found, verdict.expected, time.perf_counter() - began)
