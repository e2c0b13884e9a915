"""From coarse arrays to drawn fine arrays: the loop over days and members.

What the network is told of a day is made once, patch by patch (`day`). For each member the field's own noise
e is cut from `noise.shaped(seed, member, instant, absolute cell)`, the sampler takes its steps on the whole
field, and inside every step the patches' estimates of x0 are merged with Hann weights. With `merge="final"`
each patch is sampled to the end with its own noise and the finished patches are averaged: the paper's way,
kept as the reference.

Patches are accumulated in a fixed order, one by one on a CPU, so that bits depend neither on batches nor on
threads. Nothing here knows labels.

With `coherence="correlated"` the noise of days in sequence is correlated (`noise.shaped`), and days are
still drawn apart. With `"autoregressive"` a member's own field x' of the day before is told to the denoiser,
as the residual T(x') - U T(A x'); where there is no such day, it begins anew (`sequence`). What that leaves
alike on two days the noise brings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from xdownscale.diffusion.denoise import estimate
from xdownscale.diffusion.sample import Sampler, mean, sample
from xdownscale.inference.day import Day, Domain, Told, lay
from xdownscale.inference.sequence import Coherence, Last, Past, State, in_order
from xdownscale.models import conditioning
from xdownscale.noise import shaped, smooth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from xdownscale.grid import Grid
    from xdownscale.models.downscaler import Downscaler
    from xdownscale.patches import Tiling

__all__ = ["Draw", "Options", "chance", "draw", "place", "sampled"]

_PATCH_STREAM = 1 << 20
_STATE_STREAM = 1 << 60
_SCALE_STREAM = 1 << 61
_PLACING = Lock()


@dataclass(frozen=True)
class Options:
    """How to draw: everything that is not data.

    Attributes
    ----------
    members : tuple of int, >= 0
        Which members; member m is the same whichever others are asked for.
    seed : int, >= 0
    product : {"draw", "mean"}
    sampler : Sampler
    tiling : Tiling
    conserve : bool
    device : str
        A torch device.
    coherence : {"independent", "correlated", "autoregressive"}
        Of days in sequence.
    """

    members: tuple[int, ...]
    seed: int
    product: Literal["draw", "mean"]
    sampler: Sampler
    tiling: Tiling
    conserve: bool = True
    device: str = "cpu"
    coherence: Coherence = "independent"


@dataclass(frozen=True, eq=False)
class Draw:
    """Drawn fields and how far each was from conserving.

    Attributes
    ----------
    values : ndarray, shape (member, time, NY, NX), float32
        NaN where the coarse input has none.
    residual : ndarray, shape (member, time), float64
        Largest relative error of the coarse mean before the correction (NaN for an empty day).
    """

    values: NDArray[np.float32]
    residual: NDArray[np.float64]


def draw(
    model: Downscaler,
    coarse: NDArray[Any],
    grid: Grid,
    instants: Sequence[int | None],
    options: Options,
    *,
    days: Sequence[int] | None = None,
    state: State | None = None,
    past: Past | None = None,
    advance: Callable[[int], Any] | None = None,
) -> Draw:
    """Downscale days on a window of the model's coarse grid.

    Parameters
    ----------
    model : Downscaler
    coarse : ndarray, shape (time, ny, nx) [the model's units]
        Latitude and longitude ascending, on `grid`; NaN where missing.
    grid : Grid
        Window of `model.coarse`.
    instants : sequence of int or None [microseconds since 1970]
        One per day. Earlier days among them are the history of later ones.
    options : Options
    days : sequence of int, optional
        Positions of the days to draw; the others are history only. All by default.
    state : State, optional
        Where an autoregressive run goes on from; told to the day after it.
    past : Past, optional
        Fine days that the encoder looks back on, for a model that sees them; needed by such a model.
    advance : callable, optional
        Called with 1 after each field drawn.

    Returns
    -------
    Draw
        On `refined(grid, model.fine)`.

    Raises
    ------
    ValueError
        If the model's encoder sees fine days, and none are given.
    """
    if model.past and past is None:
        raise ValueError(
            f"the encoder of {model.card.name} looks at the {model.past} fine days before the one drawn, and "
            "none are given: give them, predict(..., state=fine_days)"
        )
    batch = options.tiling.batch if options.device != "cpu" else 1
    domain = Domain(model, grid, lay(model, grid, options.tiling), options.device, batch)
    fine = domain.fine.shape
    wanted = range(len(coarse)) if days is None else days
    last = Last(domain.residual, options.coherence, state, model.card.step)
    values = np.full((len(options.members), len(wanted), *fine), np.nan, dtype=np.float32)
    residual = np.full(values.shape[:2], np.nan)
    place(model, options.device)
    with torch.inference_mode():
        for i, today in in_order(wanted, instants, options.coherence):
            if not np.isfinite(coarse[today]).any():
                continue
            day = Day.of(domain, coarse, instants, today, past)
            for j, member in enumerate(options.members):
                r = _residual(day, options, member, last.before(j, instants[today]))
                values[j, i], residual[j, i] = day.finish(r, options.conserve)
                last.keep(j, instants[today], values[j, i])
                if advance is not None:
                    advance(1)
    return Draw(values, residual)


def place(model: Downscaler, device: str) -> None:
    """Move the networks where they are not yet: a thread may be drawing with them already."""
    with _PLACING:
        networks = [n for n in (model.denoiser, model.fast) if n is not None]
        weights = [w for network in networks for w in network.parameters()]
        wanted = torch.empty(0, device=device).device
        there = all(w.device == wanted for w in weights)
        if not (
            there and all(w.is_contiguous(memory_format=torch.channels_last) for w in weights if w.ndim == 4)
        ):
            model.to(device)
            for network in networks:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def sampled(day: Day, options: Options, member: int, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The sampler's first estimate, which at the noise end is the conditional mean, and its draw.

    Residuals on the extended domain, shape (1, 1, H, W), neither calibrated nor conserved; `before` is the
    residual of the day before.
    """
    domain = day.domain
    noise = partial(_noise, domain.model, options, member, day.instant)
    state = None
    if before is not None:
        state = conditioning.state(before, noise(domain.extended, _STATE_STREAM)[0, 0])
    start = noise(domain.extended, 0).to(options.device) * float(domain.model.schedule.sigma(torch.ones(())))
    denoise = _merged(domain, options, day.told(state))
    if options.product == "mean":
        found = mean(denoise, start, domain.model.schedule)
        return found, found
    steps = partial(_next, partial(_on, noise, domain.extended, options.device))
    return _first_and_last(domain.model, options, denoise, start, steps)


def _residual(day: Day, options: Options, member: int, before: Tensor | None) -> Tensor:
    """Draw one residual on the extended domain, shape (H, W)."""
    if options.tiling.merge == "final" and options.product == "draw":
        return _finished_patches(day, options, member)
    first, last = sampled(day, options, member, before)
    if options.product == "draw":
        last = _calibrated(day, options, member, first, last, [day.domain.extended])
    return last[0, 0]


def _first_and_last(
    model: Downscaler,
    options: Options,
    denoise: Callable[[Tensor, float], Tensor],
    start: Tensor,
    noise: Callable[[int], Tensor],
) -> tuple[Tensor, Tensor]:
    """What the sampler first estimates, and what it ends with."""
    first: list[Tensor] = []

    def watched(x_t: Tensor, t: float) -> Tensor:
        x0 = denoise(x_t, t)
        if not first:
            first.append(x0)
        return x0

    times = model.card.times.get(str(options.sampler.evaluations))
    last = sample(
        watched,
        start,
        model.schedule,
        options.sampler,
        times=None if times is None else torch.tensor(times),
        noise=noise,
    )
    return (first or [last])[0], last  # a sampler that asks for no estimate ends where it begins


def _calibrated(
    day: Day, options: Options, member: int, first: Tensor, last: Tensor, windows: Sequence[Grid]
) -> Tensor:
    """Draws of a batch of windows, moved about the sampler's first estimate if that was fitted."""
    model = day.domain.model
    calibrate = model.member_by_member(options.sampler)
    if calibrate is None:
        return last
    climate = torch.stack([model.climate(w) for w in windows], dim=1)[:, :, None]
    level = torch.stack([day.level(w) for w in windows])[:, None]
    departure = calibrate.departure(first, last, windows[0].x.cyclic)
    unit = None
    if calibrate.scatter:
        unit = np.stack([chance(w, options.seed, member, day.instant) for w in windows])[:, None]
    moved: Tensor = calibrate.moved(first, departure, climate, level, unit)
    return moved


def chance(window: Grid, seed: int, member: int, instant: int | None) -> NDArray[np.float64]:
    """The unit noise that a member's scale is of, on a window of the fine grid, shape (H, W)."""
    y, x = window.y, window.x
    key: dict[str, Any] = {"seed": seed, "member": member, "instant": instant, "stream": _SCALE_STREAM}
    return smooth((y.start, y.size), (x.start, x.size), period=x.period, **key)


def _merged(domain: Domain, options: Options, told: Sequence[Told]) -> Callable[[Tensor, float], Tensor]:
    """The denoiser of the whole field: patches' estimates of x0, merged."""

    def denoise(x_t: Tensor, t: float) -> Tensor:
        total = torch.zeros_like(x_t)
        for group, seen, h in told:
            patches = torch.cat([domain.layout.extract(x_t, k) for k in group])
            domain.merge(total, group, _estimate(domain.model, options, patches, t, seen, h))
        return total

    return denoise


def _finished_patches(day: Day, options: Options, member: int) -> Tensor:
    """The paper's way: every patch sampled to its end with its own noise, then averaged."""
    domain, model = day.domain, day.domain.model
    total = torch.zeros((1, 1, *domain.layout.shape), device=options.device)
    for number, group in enumerate(domain.groups(options.tiling.batch)):
        windows = [domain.patch(k) for k in group]
        stream = 1 + number * options.tiling.batch
        noise = partial(_patch_noise, model, windows, stream, options, member, day.instant)
        denoise = _patch_denoiser(day, windows, options)
        steps = partial(_next, noise)
        first_and_last = _first_and_last(model, options, denoise, noise(0), steps)
        domain.merge(total, group, _calibrated(day, options, member, *first_and_last, windows))
    return total[0, 0]


def _patch_noise(
    model: Downscaler,
    windows: Sequence[Grid],
    first: int,
    options: Options,
    member: int,
    instant: int | None,
    step: int,
) -> Tensor:
    """Each patch's own noise: streams numbered by patch and step."""
    draws = [
        _noise(model, options, member, instant, w, step, _PATCH_STREAM * (first + i))
        for i, w in enumerate(windows)
    ]
    return torch.cat(draws).to(options.device)


def _patch_denoiser(day: Day, windows: Sequence[Grid], options: Options) -> Callable[[Tensor, float], Tensor]:
    seen, levels = day.look(windows), day.levels(windows)

    def denoise(x_t: Tensor, t: float) -> Tensor:
        return _estimate(day.domain.model, options, x_t, t, seen, levels)

    return denoise


def _estimate(
    model: Downscaler, options: Options, x_t: Tensor, t: float, seen: Tensor, h: list[Tensor] | None
) -> Tensor:
    level = torch.full((len(x_t),), t, device=x_t.device)
    x = x_t.contiguous(memory_format=torch.channels_last)
    prediction = model.predicted(x, level, seen, h, model.network(options.sampler, t))
    return estimate(model.schedule, x_t, prediction, level)


def _noise(
    model: Downscaler,
    options: Options,
    member: int,
    instant: int | None,
    window: Grid,
    step: int,
    first: int = 0,
) -> Tensor:
    """Noise of a step on a window, from stream `first + step`; a draw starts (step 0) from inflated noise."""
    starting = step == 0 and options.product == "draw"
    kernel = model.starting_kernel(options.sampler) if starting else model.kernel
    field = shaped(
        kernel,
        (window.y.start, window.y.size),
        (window.x.start, window.x.size),
        seed=options.seed,
        member=member,
        instant=instant,
        stream=first + step,
        period=window.x.period,
        memory=_memory(model, options),
        step=model.card.step,
    )
    return torch.from_numpy(field)[None, None]


def _memory(model: Downscaler, options: Options) -> float:
    """Correlation of the noise of two days in sequence."""
    card = model.card
    memories = {"correlated": card.day_correlation, "autoregressive": card.state_correlation}
    return memories.get(options.coherence, 0.0)


def _on(noise: Callable[[Grid, int], Tensor], window: Grid, device: str, stream: int) -> Tensor:
    return noise(window, stream).to(device)


def _next(noise: Callable[[int], Tensor], step: int) -> Tensor:
    """Noise of a step; stream 0 is the start's."""
    return noise(step + 1)
