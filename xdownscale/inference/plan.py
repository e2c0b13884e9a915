"""What a job would be: the value that `explain` returns."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xdownscale.diffusion.sample import Sampler
    from xdownscale.grid import Grid

__all__ = ["Plan"]

_PER_CELL = 1500


@dataclass(frozen=True)
class Plan:
    """The plan of a job; nothing in it was computed by a network.

    Attributes
    ----------
    model : str
    synthetic : bool
        Whether the model was trained on simulated fields.
    coarse, fine : Grid
        Windows of input and output.
    extended : (int, int) [fine cells]
        Domain with the patches' overhang.
    patches : int
    patch : (int, int) [fine cells]
    days, members : int
    sampler : Sampler
    product : str
    history : (int, int)
        Days a prediction looks at, and how many of them are missing over all days.
    distance : float or None [standard deviations]
        Of the input's values from the model's source.
    findings : tuple of str
        What lies outside the model's domain.
    device : str
    weights : int
    """

    model: str
    synthetic: bool
    coarse: Grid
    fine: Grid
    extended: tuple[int, int]
    patches: int
    patch: tuple[int, int]
    days: int
    members: int
    sampler: Sampler
    product: str
    history: tuple[int, int]
    distance: float | None
    findings: tuple[str, ...]
    device: str
    weights: int

    @property
    def evaluations(self) -> int:
        """Of the denoiser, a field."""
        return 1 if self.product == "mean" else self.sampler.evaluations

    @property
    def evaluations_per_cell(self) -> float:
        """Evaluations times cells computed over cells kept: the overlap of patches counts."""
        computed = self.patches * self.patch[0] * self.patch[1]
        return self.evaluations * computed / (self.fine.shape[0] * self.fine.shape[1])

    @property
    def output_bytes(self) -> int:
        """Of the result, which is in memory."""
        return 4 * self.members * self.days * self.fine.shape[0] * self.fine.shape[1]

    @property
    def working_bytes(self) -> int:
        """Bound on what one day needs beside the result."""
        return (
            _PER_CELL * (self.extended[0] * self.extended[1] + self.patch[0] * self.patch[1])
            + 4 * self.weights
        )

    def rows(self) -> list[tuple[str, str]]:
        """Labels and values, as they are shown."""
        length, missing = self.history
        rows = [
            ("model", self.model + (" (trained on simulated fields)" if self.synthetic else "")),
            ("input", _window(self.coarse)),
            ("output", _window(self.fine)),
            ("fields", f"{self.days} times x {self.members} members, product {self.product!r}"),
            (
                "patches",
                (
                    f"{self.patches} of {self.patch[0]} x {self.patch[1]} on {self.extended[0]} x "
                    f"{self.extended[1]} cells"
                ),
            ),
            (
                "evaluations",
                f"{self.evaluations} a field ({self.sampler.name}), {self.evaluations_per_cell:.1f} a cell",
            ),
            ("history", f"{length} days, {missing} of {length * self.days} masked"),
            ("memory", f"result {_size(self.output_bytes)}, work at most {_size(self.working_bytes)}"),
            ("device", self.device),
        ]
        if self.distance is not None:
            rows.append(("domain distance", f"{self.distance:.2f} standard deviations"))
        return rows + [("outside the domain", finding) for finding in self.findings]

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(label) for label, _ in rows)
        return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)

    def _repr_html_(self) -> str:
        cells = "".join(
            f'<tr><th style="text-align:left">{html.escape(label)}</th><td '
            f'style="text-align:left">{html.escape(value)}</td></tr>'
            for label, value in self.rows()
        )
        return f"<table>{cells}</table>"


def _window(grid: Grid) -> str:
    y, x = grid.y.values, grid.x.values
    return (
        f"{grid.shape[0]} x {grid.shape[1]} cells of {grid.y.step:g} x {grid.x.step:g}, {y[0]:g} to "
        f"{y[-1]:g}, {x[0]:g} to {x[-1]:g}"
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
