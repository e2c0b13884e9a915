"""One pass of the network over a field: against MONAI's sliding window, and against its convolutions alone.

The pass is the engine's own (`networks.merged_pass`): patches are cut, the denoiser is asked for x0, the
estimates are merged. MONAI is given the same network, condition and features, the same patch size and
spacing, and blends by its Gaussian window.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from measure import MEGA, Peak, alternate, apart
from networks import SMALL, days, merged_pass, network
from record import Figure, Result
from torch.nn.functional import conv2d

from xdownscale import Tiling
from xdownscale.diffusion.denoise import estimate
from xdownscale.inference.day import lay
from xdownscale.models import conditioning

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from xdownscale.models.downscaler import Downscaler

PATCH = 496
WIDE = (243, 194)  # coarse cells, 2048 x 2048 fine ones with the margin that a domain is given
LEVEL = 0.5


def merge_monai(asked: Any) -> Result:
    """One merged pass over 2048 x 2048 cells: time, memory, and distance from the field in one piece."""
    name, shape, patch = (SMALL, (10, 8), 160) if asked.small else (asked.network, WIDE, PATCH)
    model = network(name)
    given = days(model, shape)
    with torch.inference_mode():
        own, start = merged_pass(model, given, Tiling(patch=patch))
        theirs = by_monai(model, given, patch, start)
        rounds = 1 if asked.small else 2
        fields = {}

        def keep(who: str, job: Callable[[Tensor, float], Tensor]) -> None:
            fields[who] = job(start, LEVEL)

        jobs = {"ours": partial(keep, "ours", own), "monai": partial(keep, "monai", theirs)}
        seconds = alternate(jobs, rounds, warm=asked.small)
        whole = merged_pass(model, given, Tiling(patch=None))[0](start, LEVEL)
    inner = (Ellipsis, slice(48, -48), slice(48, -48))
    apart_by = {
        k: float((v[inner] - whole[inner]).square().mean().sqrt() / whole[inner].std())
        for k, v in fields.items()
    }
    del whole, own, theirs, jobs
    peak = {who: apart(memory, who, name, shape, patch, here=asked.small) for who in ("ours", "monai")}
    against = "MONAI sliding_window_inference, Gaussian"
    figures = (
        Figure.faster("processor time of a pass", seconds["ours"], seconds["monai"], against, at_least=1.0),
        Figure.as_much(
            "peak memory, the condition included", [peak["ours"] / MEGA], [peak["monai"] / MEGA], against,
            at_most=1.0, unit="MB",
        ),
        Figure.as_much(
            "rms difference from the field in one piece, in its deviations", [apart_by["ours"]],
            [apart_by["monai"]], against, unit="",
        ),
    )  # fmt: skip
    cells, spacing = f"{start.shape[-2]} x {start.shape[-1]} cells", Tiling(patch=patch).spacing
    notes = (
        f"{cells}, patches of {patch} every {spacing}; network {name}.",
        "Memory is that of a process of its own each, over what it held with the network loaded.",
        "The engine cuts condition and features once for all evaluations: that is not in its time.",
    )
    return Result(figures, rounds, notes)


def by_monai(
    model: Downscaler, given: tuple[Any, Any, Any], patch: int, start: Tensor
) -> Callable[[Tensor, float], Tensor]:
    """The same pass by MONAI; condition and features are laid on the same cells beforehand."""
    from monai.inferers import sliding_window_inference

    told, levels = conditions(model, given)
    overlap = 1 - (Tiling(patch=patch).spacing + 0.01) / patch

    def predict(window: Tensor, places: Any, level: Tensor) -> Tensor:
        (_, _, rows, columns) = places[0]
        x, c = window[:, :1], window[:, 1:]
        cut = None
        if levels is not None:
            cut = [
                h[..., rows.start // s : rows.stop // s, columns.start // s : columns.stop // s].contiguous(
                    memory_format=torch.channels_last
                )
                for h, s in zip(levels, model.denoiser.strides, strict=True)
            ]
        prediction = model.denoiser(x.contiguous(memory_format=torch.channels_last), level, c, cut)
        return estimate(model.schedule, x, prediction, level)

    def whole(x_t: Tensor, t: float) -> Tensor:
        both = torch.cat([x_t, told], dim=1)
        level = torch.full((1,), t)
        return sliding_window_inference(
            both, (patch, patch), 1, predict, overlap, mode="gaussian", with_coord=True, level=level
        )

    del start
    return whole


def conditions(model: Downscaler, given: tuple[Any, Any, Any]) -> tuple[Tensor, list[Tensor] | None]:
    """Condition and features of the last day on the extended domain."""
    values, grid, instants = given
    line = lay(model, grid, Tiling(patch=None))
    window = model.fine.window((line.y.start, line.y.size), (line.x.start, line.x.size))
    z = model.scaling.forward(values)
    maps = model.maps(z[None], np.ones_like(z, dtype=bool)[None], grid)
    card, valid = model.card, np.ones(grid.shape, dtype=bool)
    static = conditioning.statics(card.statics, window, instants[-1], card.months, model.climatology)
    told = conditioning.condition(z[-1], valid, grid, window, method=card.upsampling, maps=static)[None]
    return told, None if maps is None else conditioning.context(maps, grid, window, model.denoiser.strides)


def memory(who: str, name: str, shape: tuple[int, int], patch: int) -> float:
    """Peak resident memory of one pass and of its condition; in its own process."""
    torch.set_num_threads(1)
    model = network(name)
    if who == "monai":
        import monai.inferers  # noqa: F401
    with torch.inference_mode():
        warm = days(model, (4, 5))
        merged_pass(model, warm, Tiling())
        given = days(model, shape)
        with Peak() as peak:
            if who == "ours":
                denoise, start = merged_pass(model, given, Tiling(patch=patch))
            else:
                line = lay(model, given[1], Tiling(patch=None))
                start = torch.randn((1, 1, *line.shape))
                denoise = by_monai(model, given, patch, start)
            denoise(start, LEVEL)
    return peak.bytes


def ceiling(asked: Any) -> Result:
    """The engine's pass over one default patch against its conv2d calls alone, channels last, same shapes."""
    model = network(SMALL if asked.small else asked.network)
    given = days(model, (4, 5) if asked.small else (49, 39))
    denoise, start = merged_pass(model, given, Tiling())
    with torch.inference_mode():
        calls = convolutions(model, partial(denoise, start, LEVEL))
        buffers = {shape: _filled(shape) for _, shape in calls}

        def convolve() -> None:
            for layer, shape in calls:
                conv2d(buffers[shape], layer.weight, layer.bias, layer.stride, layer.padding)

        rounds = 2 if asked.small else 9
        seconds = alternate({"pass": partial(denoise, start, LEVEL), "convolutions": convolve}, rounds)
    against = "its conv2d calls alone"
    work = sum(_operations(layer, shape) for layer, shape in calls)
    found = Figure.as_much(
        "convolutions' share of the pass", seconds["convolutions"], seconds["pass"], "the pass"
    )
    figures = (
        Figure(
            "share of the convolution ceiling that the pass reaches", "share", found.value, "s", found.other,
            found.ours, against, at_least=0.7, lowest=found.lowest, highest=found.highest,
        ),
        Figure("the ceiling", "amount", work / (found.ours or 1.0) / 1e9, "GFLOP/s"),
    )  # fmt: skip
    cells = f"{start.shape[-2]} x {start.shape[-1]} cells in one default patch"
    told = f"{len(calls)} convolutions, {work / 1e9:.1f} GFLOP; network {model.card.name}"
    return Result(figures, rounds, (f"{cells}, {told}.",))


def convolutions(model: Downscaler, run: Callable[[], Any]) -> list[tuple[torch.nn.Conv2d, tuple[int, ...]]]:
    """The networks' convolutions in a run, with their inputs' shapes, without the first on x_t alone."""
    calls: list[tuple[torch.nn.Conv2d, tuple[int, ...]]] = []

    def seen(layer: torch.nn.Conv2d, inputs: tuple[Tensor, ...]) -> None:
        calls.append((layer, tuple(inputs[0].shape)))

    networks = [network for network in (model.denoiser, model.fast) if network is not None]
    layers = {m for network in networks for m in network.modules() if isinstance(m, torch.nn.Conv2d)}
    hooks = [layer.register_forward_pre_hook(seen) for layer in layers]
    run()
    for hook in hooks:
        hook.remove()
    return calls


def _filled(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def _operations(layer: torch.nn.Conv2d, shape: tuple[int, ...]) -> float:
    """Multiplications and additions of a convolution."""
    cells = shape[-2] * shape[-1] / (layer.stride[0] * layer.stride[1])
    return 2.0 * shape[0] * cells * layer.weight.numel()
