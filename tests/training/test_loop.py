"""The loop converges, resumes to the same bits, and leaves the averaged weights."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from xdownscale.training.loop import Run, autocast, fit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRUTH = torch.tensor([[0.5, -1.0, 2.0]])
RUN = Run(steps=120, learning_rate=0.05, ema=0.9, every=20, key="regression")


def line() -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(3, 1)


def regression(module: nn.Module) -> Callable[[int], Tensor]:
    """y = 0.5 a - b + 2 c + 0.25, 64 samples a step, drawn by the step's number."""

    def loss(step: int) -> Tensor:
        x = torch.randn(64, 3, generator=torch.Generator().manual_seed(step))
        return (module(x) - x @ TRUTH.T - 0.25).square().mean()

    return loss


class Interrupted(Exception):  # noqa: N818 - a signal, not an error
    """What stops a training from outside."""


def stopping(at: int) -> Callable[[int, float, float | None], None]:
    def report(step: int, running: float, score: float | None) -> None:
        if step == at:
            raise Interrupted

    return report


class TestConvergence:
    def test_regression(self) -> None:
        module = line()
        fit(module, regression(module), replace(RUN, steps=400))
        torch.testing.assert_close(module.weight.detach(), TRUTH, atol=0.01, rtol=0)
        assert float(module.bias.detach()) == pytest.approx(0.25, abs=0.01)

    def test_frozen_parameters_stay(self) -> None:
        module = nn.Sequential(line(), line().requires_grad_(False))
        module[0] = nn.Linear(3, 3)
        kept = module[1].weight.clone()
        average = fit(module, lambda n: module(torch.ones(2, 3)).square().mean(), replace(RUN, steps=3))
        assert set(average) == {"0.weight", "0.bias"}
        assert torch.equal(module[1].weight, kept)

    def test_gradients_are_clipped(self) -> None:
        """A step of AdamW at rate lr moves a weight by lr at most, however large the gradient."""
        module = line()
        before = module.weight.detach().clone()
        run = Run(steps=1, learning_rate=0.01, ema=0.0)
        fit(module, lambda n: 1e8 * module(torch.ones(1, 3)).square().sum(), run)
        assert float((module.weight.detach() - before).abs().max()) < 0.011


class TestReport:
    def test_numbers(self) -> None:
        module, seen = line(), []
        fit(
            module,
            regression(module),
            replace(RUN, steps=45),
            validate=lambda: float(module.weight.detach().sum()),
            report=lambda *row: seen.append(row),
        )
        assert [row[0] for row in seen] == list(range(1, 46))
        assert all(row[2] is None for row in seen[:19])
        assert len({row[2] for row in seen[19:39]}) == 1  # a score holds until the next
        assert seen[39][2] != seen[38][2]
        assert seen[44][2] != seen[43][2]  # the last step is scored whatever `every`
        assert all(math.isfinite(row[1]) for row in seen)

    def test_running_loss(self) -> None:
        module, seen, losses = line(), [], []
        one = regression(module)

        def loss(step: int) -> Tensor:
            losses.append(one(step))
            return losses[-1]

        fit(module, loss, replace(RUN, steps=3), report=lambda *row: seen.append(row[1]))
        a, b, c = (float(v) for v in losses)
        assert seen == pytest.approx([a, 0.98 * a + 0.02 * b, 0.98 * (0.98 * a + 0.02 * b) + 0.02 * c])

    def test_average_is_what_is_left(self) -> None:
        """The module ends with the moving average, computed here beside it."""
        module = line()
        inner = regression(module)
        average: dict[str, Tensor] = {}
        weights: list[dict[str, Tensor]] = []

        def loss(step: int) -> Tensor:
            weights.append({k: p.detach().double().clone() for k, p in module.named_parameters()})
            return inner(step)

        run = replace(RUN, steps=30, ema=0.8)
        result = fit(module, loss, run, validate=lambda: 0.0)
        # weights[n] are those before step n; the last step's are not seen: undo the average instead
        average = dict(weights[0])
        for step, now in enumerate(weights[1:]):
            decay = min(0.8, (1 + step) / (10 + step))
            average = {k: decay * average[k] + (1 - decay) * now[k] for k in now}
        last = {
            k: (result[k].double() - 0.75 * average[k]) / 0.25 for k in average
        }  # decay of step 29: 30/39
        decay = 30 / 39
        last = {k: (result[k].double() - decay * average[k]) / (1 - decay) for k in average}
        for k, p in module.named_parameters():
            assert torch.equal(p.detach(), result[k])
            assert float((last[k] - weights[-1][k]).abs().max()) < 1.1 * 0.05 * 0.02  # the last, slow, step

    def test_validation_sees_the_average_and_leaves_no_trace(self) -> None:
        plain, scored, seen = line(), line(), []
        fit(plain, regression(plain), RUN)

        def validate() -> float:
            seen.append(scored.weight.detach().clone())
            assert not scored.training
            return 0.0

        fit(scored, regression(scored), RUN, validate=validate)
        assert torch.equal(plain.weight, scored.weight)
        assert torch.equal(seen[-1], scored.weight)
        assert len(seen) == 6
