"""What `explain` counts, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import G5NR, MERRA2, refined
from xdownscale.inference.plan import Blocks, Plan, measured

if TYPE_CHECKING:
    import torch

    from xdownscale.models.downscaler import Downscaler

COARSE = MERRA2.window((240, 10), (350, 12))
PLAN = Plan(
    model="jja",
    synthetic=True,
    coarse=COARSE,
    fine=refined(COARSE, G5NR),
    extended=(128, 192),
    patches=6,
    patch=(64, 64),
    days=3,
    members=5,
    sampler=Sampler("midpoint", 4),
    product="draw",
    history=(5, 7),
    distance=0.123,
    findings=("months [1] are not the model's [6, 7, 8]",),
    device="cpu",
    weights=1000,
)


def shown(plan: Plan) -> dict[str, str]:
    return dict(plan.rows())


def test_evaluations() -> None:
    assert PLAN.evaluations == 4
    assert replace(PLAN, product="mean").evaluations == 1


def test_overlap_costs() -> None:
    """Six patches of 64 x 64 for the cells that are kept, four times."""
    ny, nx = PLAN.fine.shape
    assert PLAN.evaluations_per_cell == pytest.approx(4 * 6 * 64 * 64 / (ny * nx))


def test_bytes() -> None:
    ny, nx = PLAN.fine.shape
    assert PLAN.output_bytes == 4 * 5 * 3 * ny * nx
    wider = replace(PLAN, extended=(256, 192))
    assert wider.working_bytes - PLAN.working_bytes == 1500 * 128 * 192
    assert replace(PLAN, days=300, members=50).working_bytes == PLAN.working_bytes


def test_rows() -> None:
    rows = shown(PLAN)
    assert rows["model"] == "jja (trained on simulated fields)"
    assert rows["fields"] == "3 times x 5 members, product 'draw'"
    assert rows["patches"] == "6 of 64 x 64 on 128 x 192 cells"
    assert rows["history"] == "5 days, 7 of 15 masked"
    assert rows["domain distance"] == "0.12 standard deviations"
    assert rows["outside the domain"] == "months [1] are not the model's [6, 7, 8]"
    assert rows["input"].startswith("10 x 12 cells of 0.5 x 0.625, 30 to 34.5, ")
    assert "domain distance" not in shown(replace(PLAN, distance=None))
    assert shown(replace(PLAN, synthetic=False))["model"] == "jja"


@pytest.mark.parametrize(("days", "text"), [(1, "MB"), (40_000, "GB")])
def test_sizes_are_readable(days: int, text: str) -> None:
    plan = replace(PLAN, days=days)
    size = float(shown(plan)["memory"].split()[1])
    assert size == pytest.approx(plan.output_bytes / {"MB": 1e6, "GB": 1e9}[text], rel=0.1)
    assert shown(plan)["memory"].split()[2] == f"{text},"


def test_text_has_a_line_a_row() -> None:
    lines = str(PLAN).splitlines()
    assert len(lines) == len(PLAN.rows())
    assert all(value in line for line, (_, value) in zip(lines, PLAN.rows(), strict=True))


def test_html_is_escaped() -> None:
    page = replace(PLAN, model="<script>alert(1)</script>")._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_block_s_bound() -> None:
    """Fields twice, coarse days and their history three times in float64, and the work of one day."""
    ny, nx = PLAN.fine.shape
    cut = replace(PLAN, blocks=Blocks(count=6, members=2, days=3, past=4))
    assert cut.block_bytes - PLAN.working_bytes == 2 * 4 * 2 * 3 * ny * nx + 3 * 8 * (3 + 4) * 10 * 12
    assert replace(cut, days=3000).block_bytes == cut.block_bytes
    assert PLAN.block_bytes == PLAN.output_bytes + PLAN.working_bytes


def test_blocks_are_shown() -> None:
    rows = shown(replace(PLAN, blocks=Blocks(count=6, members=2, days=3)))
    assert rows["blocks"] == "6 of at most 2 members x 3 days, whole in space"
    assert " in all, a block at most " in rows["memory"]
    merged = shown(replace(PLAN, blocks=Blocks(6, 2, 3, spatial=4)))["blocks"]
    assert merged.endswith("; 4 spatial chunks of the input are merged")
    assert "blocks" not in shown(PLAN)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3.2, "about 3 seconds"),
        (600, "about 10.0 minutes"),
        (9000, "about 2.5 hours"),
        (2e6, "about 23.1 days"),
    ],
)
def test_expected_time(seconds: float, text: str) -> None:
    assert shown(replace(PLAN, seconds=seconds))["time"] == f"{text} where one field is drawn after another"
    assert "time" not in shown(PLAN)


def test_measured_counts_evaluations(tiny_model: Downscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one patch, the second timed; times patches, evaluations, days and members."""
    shapes: list[tuple[int, ...]] = []
    forward = tiny_model.denoiser.forward

    def counting(x: torch.Tensor, *args: object) -> torch.Tensor:
        shapes.append(tuple(x.shape))
        return forward(x, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(tiny_model.denoiser, "forward", counting)
    clock = iter([0.0, 5.0, 7.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert measured(PLAN, tiny_model).seconds == (7.0 - 5.0) * 6 * 4 * 3 * 5
    assert shapes == [(1, 1, 64, 64)] * 2
