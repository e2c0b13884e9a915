"""The loop converges, resumes to the same bits, and leaves the averaged weights."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
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
        average = fit(module, lambda _: module(torch.ones(2, 3)).square().mean(), replace(RUN, steps=3))
        assert set(average) == {"0.weight", "0.bias"}
        assert torch.equal(module[1].weight, kept)

    def test_gradients_are_clipped(self) -> None:
        """A step of AdamW at rate lr moves a weight by lr at most, however large the gradient."""
        module = line()
        before = module.weight.detach().clone()
        run = Run(steps=1, learning_rate=0.01, ema=0.0)
        fit(module, lambda _: 1e8 * module(torch.ones(1, 3)).square().sum(), run)
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
            value = one(step)
            losses.append(float(value.detach()))
            return value

        fit(module, loss, replace(RUN, steps=3), report=lambda *row: seen.append(row[1]))
        a, b, c = losses
        assert seen == pytest.approx([a, 0.98 * a + 0.02 * b, 0.98 * (0.98 * a + 0.02 * b) + 0.02 * c])

    def test_average_is_what_is_left(self) -> None:
        """The module ends with the moving average of its weights, which is computed here beside it."""
        module = line()
        average = {k: p.detach().double() for k, p in module.named_parameters()}

        def follow(step: int, running: float, score: float | None) -> None:
            decay = min(0.8, step / (9 + step))
            for k, p in module.named_parameters():
                average[k] = decay * average[k] + (1 - decay) * p.detach().double()

        result = fit(module, regression(module), replace(RUN, steps=50, ema=0.8), report=follow)
        for k, p in module.named_parameters():
            assert torch.equal(p.detach(), result[k])
            torch.testing.assert_close(p.detach().double(), average[k], atol=1e-6, rtol=1e-6)

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


class TestResume:
    def test_interrupted_at_half_ends_in_the_same_bits(self, tmp_path: Path) -> None:
        whole, half = line(), line()
        fit(whole, regression(whole), RUN)
        run = replace(RUN, folder=tmp_path)
        with pytest.raises(Interrupted):
            fit(half, regression(half), run, report=stopping(70))
        again, steps = line(), []
        fit(again, regression(again), run, report=lambda *row: steps.append(row[0]))
        assert steps == list(range(61, 121))  # from the state of step 60
        assert not torch.equal(half.weight, again.weight)
        for a, b in zip(whole.parameters(), again.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_channels_last_network(self, tmp_path: Path) -> None:
        """Moments come back in the layout of their weights, or the next step rounds differently."""

        def network() -> nn.Module:
            torch.manual_seed(0)
            net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 1, 3))
            return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        def loss(net: nn.Module) -> Callable[[int], Tensor]:
            x = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))
            return lambda n: (net(x * (1 + n % 3)) - 1).square().mean()

        run = Run(steps=20, learning_rate=0.01, ema=0.9, every=5)
        whole, half = network(), network()
        fit(whole, loss(whole), run)
        with pytest.raises(Interrupted):
            fit(half, loss(half), replace(run, folder=tmp_path), report=stopping(13))
        fit(half, loss(half), replace(run, folder=tmp_path))
        for a, b in zip(whole.parameters(), half.parameters(), strict=True):
            assert torch.equal(a, b)

    def test_a_finished_training_is_not_run_again(self, tmp_path: Path) -> None:
        module, again = line(), line()
        run = replace(RUN, folder=tmp_path)
        fit(module, regression(module), run)

        def never(step: int) -> Tensor:
            raise AssertionError(step)

        fit(again, never, run)
        assert torch.equal(module.weight, again.weight)

    @pytest.mark.parametrize(
        "change",
        [
            {"key": "other data"},
            {"learning_rate": 0.04},
            {"ema": 0.8},
            {"steps": 200},
            {"precision": "bfloat16"},
        ],
    )
    def test_another_training_is_refused(self, tmp_path: Path, change: dict[str, object]) -> None:
        module = line()
        run = replace(RUN, steps=20, folder=tmp_path)
        fit(module, regression(module), run)
        kept = (tmp_path / "state.safetensors").read_bytes()
        with pytest.raises(
            ValueError, match=r"state of another training .*: choose an empty folder, or remove"
        ):
            fit(module, regression(module), replace(run, **change))
        assert (tmp_path / "state.safetensors").read_bytes() == kept

    def test_no_folder_writes_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        module = line()
        fit(module, regression(module), replace(RUN, steps=20))
        assert list(tmp_path.iterdir()) == []

    def test_killed_process(self, tmp_path: Path) -> None:
        """SIGKILL in the middle; what is on disk is whole, and the rest of the way gives the same bits."""
        fit(killed := line(), regression(killed), replace(RUN, folder=tmp_path / "whole"))
        done = subprocess.run([sys.executable, "-c", _CHILD, str(tmp_path)], check=False, capture_output=True)
        assert done.returncode == -9, done.stderr.decode()
        again, steps = line(), []
        fit(
            again,
            regression(again),
            replace(RUN, folder=tmp_path),
            report=lambda *row: steps.append(row[0]),
        )
        assert steps[0] == 41
        assert torch.equal(again.weight, killed.weight)


_CHILD = """
import os, signal, sys
from pathlib import Path
import torch
from torch import nn
from xdownscale.training.loop import Run, fit

torch.set_num_threads(1)
torch.manual_seed(3)
module, truth = nn.Linear(3, 1), torch.tensor([[0.5, -1.0, 2.0]])

def loss(step):
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(step))
    return (module(x) - x @ truth.T - 0.25).square().mean()

run = Run(steps=120, learning_rate=0.05, ema=0.9, every=20, key="regression", folder=Path(sys.argv[1]))
fit(module, loss, run, report=lambda n, *_: os.kill(os.getpid(), signal.SIGKILL) if n == 53 else None)
"""


class TestFailure:
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_loss_that_is_not_finite(self, tmp_path: Path, bad: float) -> None:
        module = line()
        inner = regression(module)
        run = replace(RUN, folder=tmp_path)
        with pytest.raises(
            FloatingPointError, match=r"loss of step 30 is (nan|inf): lower the learning rate"
        ):
            fit(module, lambda n: inner(n) * (bad if n == 30 else 1.0), run)
        again = line()  # the state on disk is the last sound one
        fit(again, regression(again), run)
        assert torch.isfinite(again.weight).all()


class TestAutocast:
    @pytest.mark.parametrize(
        ("precision", "capability", "dtype"),
        [
            ("auto", "AVX512", torch.float32),
            ("float32", "AVX512", torch.float32),
            ("bfloat16", "AVX512", torch.bfloat16),
            ("bfloat16", "AVX2", torch.float32),
            ("bfloat16", "DEFAULT", torch.float32),
        ],
    )
    def test_on_a_cpu(
        self, precision: str, capability: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        with autocast("cpu", precision):  # type: ignore[arg-type]
            assert line()(torch.ones(1, 3)).dtype == dtype

    def test_a_training_says_what_it_takes_in_its_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module, run = line(), replace(RUN, steps=2, precision="bfloat16")
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
        with pytest.warns(UserWarning, match="this cpu has no such arithmetic: training in float32"):
            fit(module, regression(module), run)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit(module, regression(module), replace(RUN, steps=2))
            fit(module, regression(module), run)
