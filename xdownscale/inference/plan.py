"""What a job would be: the value that `explain` returns."""

from __future__ import annotations

import html
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xdownscale.diffusion.sample import Sampler
    from xdownscale.grid import Grid
    from xdownscale.models import Downscaler

__all__ = ["Blocks", "Plan", "measured"]

_PER_CELL = 1500


@dataclass(frozen=True)
class Blocks:
    """How a job is cut where it is not drawn in one go.

    Attributes
    ----------
    count : int
    members, days : int
        Of the largest block.
    past : int
        Days of history before a block.
    spatial : int
        Chunks of the input along its most cut dimension of space; they are merged.
    """

    count: int
    members: int
    days: int
    past: int = 0
    spatial: int = 1


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
        Of the largest; patches are cut to the extended domain.
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
    blocks : Blocks, optional
        None where all is drawn in one go, into memory.
    seconds : float, optional
        Expected for all fields, one after another; from `measured`.
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
    blocks: Blocks | None = None
    seconds: float | None = None

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
        """Of the result, which is in memory unless there are blocks."""
        return 4 * self.members * self.days * self.fine.shape[0] * self.fine.shape[1]

    @property
    def working_bytes(self) -> int:
        """Bound on what one day needs beside the result."""
        return (
            _PER_CELL * (self.extended[0] * self.extended[1] + self.patch[0] * self.patch[1])
            + 4 * self.weights
        )

    @property
    def block_bytes(self) -> int:
        """Bound on a block: its fields, as drawn and as handed over, its coarse days, and the work."""
        if self.blocks is None:
            return self.output_bytes + self.working_bytes
        (ny, nx), (NY, NX) = self.coarse.shape, self.fine.shape
        fields = 2 * 4 * self.blocks.members * self.blocks.days * NY * NX
        coarse = 3 * 8 * (self.blocks.days + self.blocks.past) * ny * nx
        return fields + coarse + self.working_bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: the attributes, and what follows from them."""
        derived = ("evaluations", "evaluations_per_cell", "output_bytes", "working_bytes", "block_bytes")
        return asdict(self) | {name: getattr(self, name) for name in derived}

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
            *self._cut(),
            ("device", self.device),
        ]
        if self.seconds is not None:
            rows.append(("time", f"{_duration(self.seconds)} where one field is drawn after another"))
        if self.distance is not None:
            rows.append(("domain distance", f"{self.distance:.2f} standard deviations"))
        return rows + [("outside the domain", finding) for finding in self.findings]

    def _cut(self) -> list[tuple[str, str]]:
        """Blocks, and what is needed at a time."""
        result, work = _size(self.output_bytes), _size(self.working_bytes)
        if self.blocks is None:
            return [("memory", f"result {result}, work at most {work}")]
        cut = self.blocks
        merged = f"; {cut.spatial} spatial chunks of the input are merged" if cut.spatial > 1 else ""
        return [
            (
                "blocks",
                f"{cut.count} of at most {cut.members} members x {cut.days} days, whole in space{merged}",
            ),
            ("memory", f"result {result} in all, a block at most {_size(self.block_bytes)}"),
        ]

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


def measured(plan: Plan, model: Downscaler) -> Plan:
    """A plan that says how long it will take, from one evaluation of the network on one patch.

    Parameters
    ----------
    plan : Plan
    model : Downscaler
        The plan's.

    Returns
    -------
    Plan
        With `seconds`: evaluations alone, which are nearly all of the work.
    """
    seconds = _evaluation(model, plan.patch, plan.device)
    return replace(plan, seconds=seconds * plan.days * plan.members * plan.evaluations * plan.patches)


def _evaluation(model: Downscaler, patch: tuple[int, int], device: str) -> float:
    """Seconds for one evaluation on one patch; the first of two is not counted."""
    import torch

    spec = model.card.architecture["denoiser"]
    denoiser = model.to(device).denoiser
    levels = zip(spec["channels"], denoiser.strides, strict=True) if spec["context"] else ()
    with torch.inference_mode():
        x, condition = (torch.zeros((1, n, *patch), device=device) for n in (1, int(spec["condition"])))
        sizes = [(1, n, patch[0] // s, patch[1] // s) for n, s in levels]
        context = [torch.zeros(size, device=device) for size in sizes] or None
        for _ in range(2):
            began = time.perf_counter()
            float(denoiser(x, torch.ones(1, device=device), condition, context).sum())
    return time.perf_counter() - began


def _window(grid: Grid) -> str:
    y, x = grid.y.values, grid.x.values
    return (
        f"{grid.shape[0]} x {grid.shape[1]} cells of {grid.y.step:g} x {grid.x.step:g}, {y[0]:g} to "
        f"{y[-1]:g}, {x[0]:g} to {x[-1]:g}"
    )


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"about {seconds / length:.1f} {unit}"
    return f"about {seconds:.0f} seconds"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
