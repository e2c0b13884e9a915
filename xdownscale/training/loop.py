"""One training loop for both stages.

AdamW with warm-up and cosine decay, gradients clipped to unit norm, exponential moving average of the
weights. The loss of step n is a function of n alone (the batch is drawn by a counter-based generator), so
that a killed training that resumes from its last state ends in the same weights as one that was left alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xdownscale.training.config import Precision

__all__ = ["Run", "autocast", "fit", "has_bfloat16"]

_BETAS = (0.9, 0.99)
_DECAY = 1e-4


@dataclass(frozen=True)
class Run:
    """How a loop is run: all that is not the model or the data.

    Attributes
    ----------
    steps : int
    learning_rate : float
    ema : float, 0-1
    precision : {"auto", "float32", "bfloat16"}
        As `autocast`.
    device : str
    folder : Path or None
        Where the state is kept; None keeps none, and a killed training is lost.
    key : str
        Identity of configuration and data; a state with another key is refused.
    every : int
        Steps between two states, and between two validations.
    """

    steps: int
    learning_rate: float
    ema: float
    precision: Precision = "auto"
    device: str = "cpu"
    folder: Path | None = None
    key: str = ""
    every: int = 250


def fit(
    module: nn.Module,
    loss: Callable[[int], Tensor],
    run: Run,
    *,
    validate: Callable[[], float] | None = None,
    report: Callable[[int, float, float | None], Any] | None = None,
) -> dict[str, Tensor]:
    """Train a module and leave the averaged weights in it.

    Parameters
    ----------
    module : nn.Module
        Its parameters that require gradients are trained.
    loss : callable
        Step number to a scalar Tensor.
    run : Run
    validate : callable, optional
        Score of the averaged weights, called with them in place.
    report : callable, optional
        Called with step, running loss and the last validation score (or None).

    Returns
    -------
    dict of str to Tensor
        The averaged weights.

    Raises
    ------
    ValueError
        If the folder holds the state of another training.
    FloatingPointError
        If the loss is not finite.

    Warns
    -----
    UserWarning
        If `bfloat16` is asked of a device that would imitate it: float32 is taken.
    """
    weights = {k: p for k, p in module.named_parameters() if p.requires_grad}
    average = {k: p.detach().clone() for k, p in weights.items()}
    optimiser = torch.optim.AdamW(weights.values(), lr=run.learning_rate, betas=_BETAS, weight_decay=_DECAY)
    first = _resume(run, weights, average, optimiser)
    _warn_of_precision(run)
    running, score = math.nan, None
    for step in range(first, run.steps):
        for group in optimiser.param_groups:
            group["lr"] = run.learning_rate * _rate(step, run.steps)
        module.train()
        with autocast(run.device, run.precision):
            value = loss(step)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        _average(average, weights, min(run.ema, (1 + step) / (10 + step)))
        number = float(value.detach())
        if not math.isfinite(number):
            raise FloatingPointError(
                f"the loss of step {step} is {number}: lower the learning rate or look at the data"
            )
        running = number if math.isnan(running) else 0.98 * running + 0.02 * number
        if (step + 1) % run.every == 0 or step + 1 == run.steps:
            if validate is not None:
                with _swapped(weights, average):
                    module.eval()
                    score = validate()
            _keep(run, step + 1, weights, average, optimiser)
        if report is not None:
            report(step + 1, running, score)
    for name, p in weights.items():
        p.data.copy_(average[name])
    module.eval()
    return average


def autocast(device: str, precision: Precision) -> torch.autocast:
    """Mixed precision where it is asked for, or by itself where a GPU has bfloat16.

    Parameters
    ----------
    device : str
    precision : {"auto", "float32", "bfloat16"}
        `bfloat16` is float32 on a device that has no such arithmetic, and would take ten times as long.

    Returns
    -------
    torch.autocast
    """
    kind = torch.device(device).type
    asked = precision == "bfloat16" or (precision == "auto" and kind == "cuda" and torch.cuda.is_available())
    return torch.autocast(kind, torch.bfloat16, enabled=asked and has_bfloat16(kind))


def has_bfloat16(kind: str) -> bool:
    """Whether devices of a kind, `cpu` or `cuda`, compute in bfloat16 and do not imitate it."""
    if kind == "cpu":
        return "AVX512" in torch.backends.cpu.get_cpu_capability()
    return kind != "cuda" or torch.cuda.is_bf16_supported()


def _warn_of_precision(run: Run) -> None:
    kind = torch.device(run.device).type
    if run.precision == "bfloat16" and not has_bfloat16(kind):
        warnings.warn(
            f"precision is 'bfloat16', and this {kind} has no such arithmetic: training in float32, which is "
            "faster here than to imitate it",
            UserWarning,
            stacklevel=3,
        )


def _rate(step: int, steps: int) -> float:
    warm = max(1, min(200, steps // 10))
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _average(average: dict[str, Tensor], weights: dict[str, nn.Parameter], decay: float) -> None:
    with torch.no_grad():
        for name, p in weights.items():
            average[name].lerp_(p, 1 - decay)


@contextmanager
def _swapped(weights: dict[str, nn.Parameter], average: dict[str, Tensor]) -> Iterator[None]:
    kept = {k: p.detach().clone() for k, p in weights.items()}
    try:
        for k, p in weights.items():
            p.data.copy_(average[k])
        with torch.no_grad():
            yield
    finally:
        for k, p in weights.items():
            p.data.copy_(kept[k])


def _state_file(run: Run) -> Path | None:
    return None if run.folder is None else Path(run.folder) / "state.safetensors"


def _identity(run: Run) -> str:
    text = json.dumps([run.key, run.steps, run.learning_rate, run.ema, run.precision])
    return hashlib.sha256(text.encode()).hexdigest()


def _keep(
    run: Run,
    step: int,
    weights: dict[str, nn.Parameter],
    average: dict[str, Tensor],
    optimiser: torch.optim.AdamW,
) -> None:
    path = _state_file(run)
    if path is None:
        return
    tensors: dict[str, Tensor] = {}
    for name, p in weights.items():
        moments = optimiser.state[p]
        tensors |= {
            f"weight.{name}": p.detach().contiguous(),
            f"average.{name}": average[name].contiguous(),
            f"first.{name}": moments["exp_avg"].contiguous(),
            f"second.{name}": moments["exp_avg_sq"].contiguous(),
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    save_file({k: v.cpu() for k, v in tensors.items()}, beside, {"step": str(step), "key": _identity(run)})
    beside.replace(path)


def _resume(
    run: Run, weights: dict[str, nn.Parameter], average: dict[str, Tensor], optimiser: torch.optim.AdamW
) -> int:
    path = _state_file(run)
    if path is None or not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        meta = file.metadata()
        if meta["key"] != _identity(run):
            raise ValueError(
                f"{path} is the state of another training (other data or configuration): "
                "choose an empty folder, or remove that file to begin again"
            )
        step = int(meta["step"])
        with torch.no_grad():
            for name, p in weights.items():
                p.copy_(file.get_tensor(f"weight.{name}"))
                average[name].copy_(file.get_tensor(f"average.{name}"))
                optimiser.state[p] = {
                    "step": torch.tensor(float(step)),
                    "exp_avg": file.get_tensor(f"first.{name}")
                    .to(p)
                    .clone(memory_format=torch.preserve_format),
                    "exp_avg_sq": file.get_tensor(f"second.{name}")
                    .to(p)
                    .clone(memory_format=torch.preserve_format),
                }
    return step
