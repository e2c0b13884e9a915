"""Where the time of one draw goes, and how near the network comes to its convolutions alone.

    python benchmarks/profile_draw.py [--model jja_asia] [--threads 1] [--members 2] [--rounds 3]

Draws of one day on a box of 600 x 800 fine cells by the engine, default tiling, the card's sampler, two
members so that a further one can be told from the first. First each part's share of the second member (its
own time, without that of parts inside it; medians of rounds), then one call of the network by operation, and
the ceiling: the same convolutions, called with the same tensors in the same layout, alternating with the
network. Seconds are of CPU with one thread, of the clock with more. Tables are Markdown, for
docs/profile.md; `--bf16` adds the network under bfloat16 autocast, `--compile` under torch.compile.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
import warnings
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import conv2d, pixel_unshuffle

import xdownscale
from xdownscale.diffusion import sample as sampling
from xdownscale.inference import day, engine
from xdownscale.inference.day import Day
from xdownscale.inference.engine import Options, draw
from xdownscale.models import conditioning
from xdownscale.models.downscaler import Downscaler
from xdownscale.nn.denoiser import Denoiser
from xdownscale.patches import Layout, Tiling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAY = 86_400_000_000
JULY = 12_600 * DAY
OPERATIONS = {
    "convolutions": ("convolution", "_slow_conv2d_forward", "mkldnn", "thnn_conv2d"),
    "norm": ("rms_norm", "pow", "sum", "rsqrt", "mean", "linalg", "div", "square"),
    "silu": ("silu", "sigmoid"),
    "products (norm, FiLM)": ("mul", "addcmul"),
    "sums": ("add",),
    "shuffles, copies, joins": ("copy", "clone", "contiguous", "cat", "shuffle", "upsample", "fill", "zero"),
}
# each part with the function whose own time it is
PARTS: tuple[tuple[str, Any, str], ...] = (
    ("encoder", Downscaler, "maps"),
    ("condition", conditioning, "condition"),
    ("condition: static maps", conditioning, "statics"),
    ("context", conditioning, "context"),
    ("first layer on the condition", Denoiser, "look"),
    ("told, other", Day, "_told"),
    ("noise", engine, "shaped"),
    ("network", Denoiser, "again"),
    ("estimate", engine, "_estimate"),
    ("merging: extract", Layout, "extract"),
    ("merging: accumulate", Layout, "accumulate"),
    ("steps and merging, other", engine, "sample"),
    ("steps: along the line", sampling, "_moved"),
    ("back through the transform", Day, "finish"),
    ("conservation", day, "_conserve"),
)


def main() -> None:
    asked = arguments()
    torch.set_num_threads(asked.threads)
    warnings.simplefilter("ignore")
    model = xdownscale.resolve(asked.model)
    grid = box(model)
    clock = time.process_time if asked.threads == 1 else time.perf_counter
    field = coarse(grid.shape, model.history)
    options = Options(tuple(range(asked.members)), 0, "draw", model.sampler, Tiling())
    parts, whole, first, calls = drawn(model, field, grid, options, asked.rounds, clock)
    print(f"{torch.__version__}, {asked.threads} thread(s), {torch.backends.cpu.get_cpu_capability()}")
    sizes = [tuple(call[0].shape[-2:]) for call in calls]
    print(f"{len(sizes)} calls of the network a member, patches {sorted(set(sizes))}")
    print(f"first member {first:.3f} s, each further {whole:.3f} s\n")
    rows = sorted(parts.items(), key=lambda row: -row[1])
    rows.append(("everything else", whole - sum(parts.values())))
    told("part of a further member's draw", rows, whole)
    network, ceiling = pass_and_ceiling(model, calls, asked.rounds, clock)
    operations(model, calls)
    print(
        f"\none evaluation of the field: network {network:.3f} s, its convolutions alone {ceiling:.3f} s: "
        f"{ceiling / network:.0%} of the ceiling (target 70 %); of the draw {4 * ceiling / whole:.0%}"
    )
    if asked.bf16:
        bf16(model, field, grid, options, calls, clock)
    if asked.compile:
        compiled(model, calls, clock)


def box(model: Any) -> Any:
    """75 x 80 coarse cells of the model's region: 600 x 800 fine ones."""
    south, west = model.card.region["lat"][0], model.card.region["lon"][0]
    y = round((south + 5 - model.coarse.y.values[0]) / model.coarse.y.step)
    x = round((west + 20 - model.coarse.x.values[0]) / model.coarse.x.step)
    return model.coarse.window((y, 75), (x, 80))


def coarse(shape: tuple[int, int], days: int) -> np.ndarray:
    """Smooth lognormal fields, as optical depth is."""
    rng = np.random.default_rng(0)
    k = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    spectra = np.fft.rfft2(rng.normal(size=(days, *shape))) / (1 + (12 * k) ** 2)
    smooth = np.fft.irfft2(spectra, s=shape)
    return np.exp(-1.6 + 0.8 * smooth / smooth.std())


def drawn(
    model: Any, field: np.ndarray, grid: Any, options: Options, rounds: int, clock: Callable[[], float]
) -> tuple[dict[str, float], float, float, list[Any]]:
    """Seconds by part and in all of a further member, of the first one, and the network's inputs."""
    instants = [JULY + i * DAY for i in range(len(field))]
    days = [len(field) - 1]
    draw(model, field, grid, instants, options, days=days)
    parts, further, first = defaultdict(list), [], []
    calls: list[Any] = []
    for number in range(rounds):
        with own_times(PARTS, clock) as spent, keeping(calls if number == 0 else []):
            marks, before = [clock()], [dict(spent)]

            def mark(_: int, marks=marks, before=before, spent=spent) -> None:
                marks.append(clock())
                before.append(dict(spent))

            draw(model, field, grid, instants, options, days=days, advance=mark)
        first.append(marks[1] - marks[0])
        further.append(marks[-1] - marks[-2])
        for name in before[-1]:
            parts[name].append(before[-1][name] - before[-2].get(name, 0.0))
    each = len(calls) // len(options.members)
    median = {name: statistics.median(values) for name, values in parts.items()}
    return median, statistics.median(further), statistics.median(first), calls[:each]


@contextlib.contextmanager
def own_times(parts: Any, clock: Callable[[], float]) -> Iterator[dict[str, float]]:
    """Seconds by part, of its own: what is spent in a part inside another counts there alone."""
    spent: dict[str, float] = defaultdict(float)
    inside: list[float] = []

    def wrapped(name: str, function: Any) -> Any:
        def run(*given: Any, **named: Any) -> Any:
            began = clock()
            inside.append(0.0)
            try:
                return function(*given, **named)
            finally:
                whole = clock() - began
                spent[name] += whole - inside.pop()
                if inside:
                    inside[-1] += whole

        return run

    kept = [(owner, name, owner.__dict__[name]) for _, owner, name in parts if name in owner.__dict__]
    for label, owner, name in parts:
        if name in owner.__dict__:
            setattr(owner, name, wrapped(label, owner.__dict__[name]))
    try:
        yield spent
    finally:
        for owner, name, function in kept:
            setattr(owner, name, function)


@contextlib.contextmanager
def keeping(calls: list[Any]) -> Iterator[None]:
    """The network's inputs, as it is given them."""
    again = Denoiser.again

    def kept(self: Any, *given: Any) -> Any:
        calls.append(given)
        return again(self, *given)

    Denoiser.again = kept  # type: ignore[method-assign]
    try:
        yield
    finally:
        Denoiser.again = again  # type: ignore[method-assign]


def pass_and_ceiling(
    model: Any, calls: list[Any], rounds: int, clock: Callable[[], float]
) -> tuple[float, float]:
    """Seconds of one evaluation of the field, and of its convolutions alone, alternating."""
    some = calls[: len(calls) // model.sampler.evaluations]
    convolutions: list[Any] = []
    hooks = [
        module.register_forward_pre_hook(lambda m, given: convolutions.append((m, given[0])))
        for module in model.denoiser.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    with torch.inference_mode():
        for given in some:
            model.denoiser.again(*given)
        for hook in hooks:
            hook.remove()
        stem = model.denoiser.unet.stem
        first = partial(conv2d, weight=stem.weight[:, :4], padding=1)
        for given in some:
            x = pixel_unshuffle(given[0], 2).contiguous(memory_format=torch.channels_last)
            convolutions.append((first, x))
        passes, alone = [], []
        for _ in range(rounds):
            passes.append(timed(lambda: [model.denoiser.again(*given) for given in some], clock))
            alone.append(timed(lambda: [module(x) for module, x in convolutions], clock))
    return statistics.median(passes), statistics.median(alone)


def operations(model: Any, calls: list[Any]) -> None:
    """One call of the network by operation, on its first patch."""
    with (
        torch.inference_mode(),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile,
    ):
        model.denoiser.again(*calls[0])
    spent: dict[str, float] = defaultdict(float)
    for event in profile.key_averages():
        name = event.key.removeprefix("aten::").strip("_")
        group = next((g for g, words in OPERATIONS.items() if any(w in name for w in words)), "other")
        spent[group] += event.self_cpu_time_total / 1e6
    print()
    told("operation of one call of the network", sorted(spent.items(), key=lambda row: -row[1]))


def told(what: str, rows: list[tuple[str, float]], whole: float | None = None) -> None:
    whole = sum(seconds for _, seconds in rows) if whole is None else whole
    print(f"| {what} | s | share |\n| --- | ---: | ---: |")
    for name, seconds in rows:
        print(f"| {name} | {seconds:.4f} | {seconds / whole:.1%} |")


def bf16(model: Any, field: Any, grid: Any, options: Options, calls: Any, clock: Any) -> None:
    """The network under autocast: its time, and the draw's difference over the members' spread."""
    given = calls[0]
    half = torch.autocast("cpu", dtype=torch.bfloat16)
    with torch.inference_mode():
        plain, short = [], []
        for _ in range(3):
            plain.append(timed(lambda: model.denoiser.again(*given), clock))
            with half:
                short.append(timed(lambda: model.denoiser.again(*given), clock))
    days, instants = [len(field) - 1], [JULY + i * DAY for i in range(len(field))]
    one = draw(model, field, grid, instants, options, days=days).values
    with half:
        other = draw(model, field, grid, instants, options, days=days).values
    spread = np.log(one + 1e-3).std(axis=0, ddof=1)
    off = np.abs(np.log(other + 1e-3) - np.log(one + 1e-3))
    print(
        f"bfloat16: {statistics.median(short):.3f} s against {statistics.median(plain):.3f} s a call; rms "
        f"difference over the members' spread, in ln(value + 0.001): "
        f"{np.sqrt((off**2).mean() / (spread**2).mean()):.2e}"
    )


def compiled(model: Any, calls: Any, clock: Any) -> None:
    """The network under torch.compile: what compiling takes, and a call."""
    given = calls[0]
    network = torch.compile(model.denoiser.again)
    with torch.inference_mode():
        began = time.perf_counter()
        network(*given)
        took = time.perf_counter() - began
        plain = [timed(lambda: model.denoiser.again(*given), clock) for _ in range(3)]
        fast = [timed(lambda: network(*given), clock) for _ in range(3)]
    print(
        f"torch.compile: {statistics.median(fast):.3f} s against {statistics.median(plain):.3f} s a call, "
        f"after {took:.0f} s of compiling"
    )


def timed(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    began = clock()
    call()
    return clock() - began


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="jja_asia")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
