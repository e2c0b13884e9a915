"""From coarse arrays to drawn fine arrays: the loop over days and members.

For each day: gaps are filled for the network only, the encoder sees the coarse history once, condition and
context are laid on the extended domain (the union of the patches, `Layout`) and cut to patches, and the
network's first layer, which is linear, sees each patch's condition once for all evaluations and members. For
each member: the field's own noise e is cut from `noise.shaped(seed, member, instant, absolute cell)`, the
sampler takes its steps on the whole field, and inside every step the patches' estimates of x0 are merged with
Hann weights. With `merge="final"` each patch is sampled to the end with its own noise and the finished
patches are averaged: the paper's way, kept as the reference.

Patches are accumulated in a fixed order, one by one on a CPU, so that bits depend neither on batches nor on
threads. Nothing here knows labels.

With `coherence="correlated"` the noise of days in sequence is correlated (`noise.shaped`), and days are
still drawn apart. With `"autoregressive"` a member's own field x' of the day before is told to the denoiser,
as the residual T(x') - U T(A x'); where there is no such day, it begins anew (`sequence`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from xdownscale.diffusion.denoise import estimate
from xdownscale.diffusion.sample import Sampler, mean, sample
from xdownscale.grid import Grid, coarsening, conservative_matrix, refined, upsampling
from xdownscale.inference.conserve import conserve as _conserve
from xdownscale.inference.sequence import Coherence, Last, Past, State, in_order
from xdownscale.models import conditioning
from xdownscale.noise import DAY_US, shaped
from xdownscale.patches import Layout, Tiling, layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from xdownscale.grid import Separable
    from xdownscale.models.downscaler import Downscaler

__all__ = ["Draw", "Options", "draw", "history", "lay"]

_PATCH_STREAM = 1 << 20
_STATE_STREAM = 1 << 60
_PLACING = Lock()

# a group of patches, what the network's first layer makes of their condition, and their context
_Told = tuple[list[tuple[int, int]], Tensor, list[Tensor] | None]


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
    domain = _Domain(model, grid, lay(model, grid, options.tiling), options.device, batch)
    fine = domain.fine.shape
    wanted = range(len(coarse)) if days is None else days
    last = Last(domain.residual, options.coherence, state, model.card.step)
    values = np.full((len(options.members), len(wanted), *fine), np.nan, dtype=np.float32)
    residual = np.full(values.shape[:2], np.nan)
    _place(model, options.device)
    with torch.inference_mode():
        for i, today in in_order(wanted, instants, options.coherence):
            if not np.isfinite(coarse[today]).any():
                continue
            day = _Day.of(domain, coarse, instants, today, past)
            for j, member in enumerate(options.members):
                r = _residual(day, options, member, last.before(j, instants[today]))
                values[j, i], residual[j, i] = day.finish(r, options.conserve)
                last.keep(j, instants[today], values[j, i])
                if advance is not None:
                    advance(1)
    return Draw(values, residual)


def _place(model: Downscaler, device: str) -> None:
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


def lay(model: Downscaler, grid: Grid, tiling: Tiling) -> Layout:
    """Where the patches lie for a window of the coarse grid.

    Parameters
    ----------
    model : Downscaler
    grid : Grid
        Window of the coarse grid.
    tiling : Tiling

    Returns
    -------
    Layout
    """
    fine = refined(grid, model.fine)
    y, x = ((a.start, a.size, a.period if a.cyclic else None) for a in (fine.y, fine.x))
    return layout(y, x, tiling)


def history(instants: Sequence[int | None], day: int, length: int, step: int = DAY_US) -> list[int | None]:
    """Which of the given days are the history of one of them.

    Parameters
    ----------
    instants : sequence of int or None [microseconds since 1970]
    day : int
        Position of today.
    length : int
        Days wanted, today included.
    step : int [microseconds]

    Returns
    -------
    list of int or None
        Positions, oldest first, today last; None where a day is not given.

    Examples
    --------
    >>> history([2 * DAY_US, 0, 1 * DAY_US], 0, 4)
    [None, 1, 2, 0]
    """
    today = instants[day]
    found: dict[int, int] = {}
    for i, other in enumerate(instants):
        if today is None or other is None:
            continue
        lag = (today - other) / step
        if abs(lag - round(lag)) < 0.02:
            found.setdefault(round(lag), i)
    return [found.get(lag) for lag in range(length - 1, 0, -1)] + [day]


@dataclass(frozen=True, eq=False)
class _Domain:
    """What does not change from day to day."""

    model: Downscaler
    grid: Grid
    layout: Layout
    device: str = "cpu"
    batch: int = 1

    @cached_property
    def fine(self) -> Grid:
        return refined(self.grid, self.model.fine)

    @cached_property
    def extended(self) -> Grid:
        y, x = self.layout.y, self.layout.x
        return self.model.fine.window((y.start, y.size), (x.start, x.size))

    @cached_property
    def operators(self) -> tuple[Any, Any]:
        return coarsening(self.fine, self.grid), upsampling(self.grid, self.fine, "linear")

    @property
    def least(self) -> float:
        """What no value of the quantity is below."""
        return -np.inf if self.model.card.signed else 0.0

    @cached_property
    def base(self) -> Separable:
        method: Any = self.model.card.upsampling
        return upsampling(self.grid, self.fine, method)

    @cached_property
    def weights(self) -> dict[tuple[int, int], Tensor]:
        return {k: torch.from_numpy(self.layout.weight(k)).to(self.device) for k in self.layout}

    def merge(self, total: Tensor, group: Sequence[tuple[int, int]], x0: Tensor) -> None:
        """Add the estimates of a group's patches, in their order, in place."""
        for n, k in enumerate(group):
            self.layout.accumulate(total, k, x0[n : n + 1], self.weights[k])

    def groups(self, size: int) -> Iterator[list[tuple[int, int]]]:
        """Patches in their order, in groups of one shape and at most `size`."""
        group: list[tuple[int, int]] = []
        for k in self.layout:
            if group and (len(group) == size or self.patch(k).shape != self.patch(group[0]).shape):
                yield group
                group = []
            group.append(k)
        yield group

    def patch(self, k: tuple[int, int]) -> Grid:
        return self.model.fine.window(self.layout.y.span(k[0]), self.layout.x.span(k[1]))

    def covered(self, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Fine cells that overlap a valid coarse cell."""
        y = conservative_matrix(self.grid.y, self.fine.y) > 0
        x = conservative_matrix(self.grid.x, self.fine.x) > 0
        return np.asarray((y @ valid.astype(np.float32)) @ x.T > 0)

    def residual(self, field: NDArray[np.float32]) -> Tensor:
        """The residual of a fine field on the extended domain, shape (H, W); NaN where it is unknown."""
        model = self.model
        mean = self.operators[0].mean(field)
        z = model.scaling.forward(np.maximum(mean, self.least))
        base = self.base(conditioning.filled(z, np.isfinite(mean)))
        wide = np.full(self.layout.shape, np.nan, dtype=np.float32)
        wide[self.inner] = (model.scaling.forward(field) - base) / model.card.residual_scale
        return torch.from_numpy(wide)

    def past(self, past: Past, instant: int | None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Transformed fine days before an instant on the extended domain, and where they are known."""
        model, n = self.model, len(past.instants)
        places = history([*past.instants, instant], n, model.past + 1, model.card.step)[:-1]
        wide = np.full((model.past, *self.layout.shape), np.nan, dtype=np.float32)
        for row, place in enumerate(places):
            if place is not None:
                wide[(row, *self.inner)] = past.values[place]
        known = np.isfinite(wide)
        z = np.asarray(model.scaling.forward(np.maximum(np.where(known, wide, 0.0), self.least)))
        return np.where(known, z, 0.0), known

    @cached_property
    def inner(self) -> tuple[slice, slice]:
        """Where the domain lies in the extended one."""
        y, x = self.fine.y, self.fine.x
        return self.layout.inner((y.start, y.size), (x.start, x.size))


@dataclass(frozen=True, eq=False)
class _Day:
    """One day, ready for the denoiser on any window."""

    domain: _Domain
    z: NDArray[np.float64]
    coarse: NDArray[np.float64]
    valid: NDArray[np.bool_]
    maps: list[Tensor] | None
    seen: Grid
    instant: int | None

    @classmethod
    def of(
        cls,
        domain: _Domain,
        coarse: NDArray[Any],
        instants: Sequence[int | None],
        day: int,
        fine: Past | None = None,
    ) -> _Day:
        model = domain.model
        valid = np.isfinite(coarse[day])
        past = history(instants, day, model.history, model.card.step)
        stack = np.stack([np.full_like(coarse[day], np.nan) if i is None else coarse[i] for i in past])
        known = np.isfinite(stack)
        z = np.where(known, model.scaling.forward(np.where(known, np.maximum(stack, domain.least), 0.0)), 0.0)
        seen, shown = domain.grid, (z, known)
        if model.card.sees != "coarse":
            seen = domain.extended
            if fine is not None and model.past:
                shown = domain.past(fine, instants[day])
            else:
                shown = conditioning.lifted(z, known, domain.grid, seen, model.card.upsampling)
        maps = model.maps(shown[0][None], shown[1][None], seen)
        return cls(domain, conditioning.filled(z[-1], valid), coarse[day], valid, maps, seen, instants[day])

    def condition(self, window: Grid, state: Tensor | None = None) -> Tensor:
        model = self.domain.model
        card = model.card
        maps = conditioning.statics(card.statics, window, self.instant, card.months, model.climatology)
        if card.state:
            maps = torch.cat([maps, torch.zeros((2, *window.shape)) if state is None else state])
        return conditioning.condition(
            self.z, self.valid, self.domain.grid, window, method=model.card.upsampling, maps=maps
        )

    def told(self, state: Tensor | None = None) -> list[_Told]:
        """What the network is told of the whole field, group by group of patches."""
        return self._shared if state is None else self._told(state)

    @cached_property
    def _shared(self) -> list[_Told]:
        """What all members are told that have no state."""
        return self._told(None)

    def _told(self, state: Tensor | None) -> list[_Told]:
        layout = self.domain.layout
        out = []
        for group, windows, levels in self._contexts:
            states = [None if state is None else layout.extract(state[None], k)[0] for k in group]
            out.append((group, self.look(windows, states), levels))
        return out

    @cached_property
    def _contexts(self) -> list[tuple[list[tuple[int, int]], list[Grid], list[Tensor] | None]]:
        groups = list(self.domain.groups(self.domain.batch))
        windows = [[self.domain.patch(k) for k in group] for group in groups]
        return [(group, w, self.levels(w)) for group, w in zip(groups, windows, strict=True)]

    def look(self, windows: Sequence[Grid], states: Sequence[Tensor | None] | None = None) -> Tensor:
        """What the network makes of the condition on windows of one size."""
        states = [None] * len(windows) if states is None else states
        told = torch.stack([self.condition(w, s) for w, s in zip(windows, states, strict=True)])
        return self.domain.model.seen(told.to(self.domain.device))

    def levels(self, windows: Sequence[Grid]) -> list[Tensor] | None:
        """The context of windows of one size."""
        contexts = [levels for w in windows if (levels := self.context(w)) is not None]
        joined = [torch.cat(level) for level in zip(*contexts, strict=True)]
        return [level.contiguous(memory_format=torch.channels_last) for level in joined] or None

    def context(self, window: Grid) -> list[Tensor] | None:
        if self.maps is None:
            return None
        return conditioning.context(self.maps, self.seen, window, self.domain.model.denoiser.strides)

    def finish(self, r: Tensor, conserving: bool) -> tuple[NDArray[np.float32], float]:
        """Residual to field: back through T, conservation, gaps."""
        domain, model = self.domain, self.domain.model
        residual = r.double().cpu().numpy()[domain.inner]
        base = domain.base(self.z)
        field = model.scaling.inverse(base + model.card.residual_scale * residual)
        field = np.maximum(field, domain.least)
        coarse = np.where(self.valid, np.maximum(self.coarse, domain.least), np.nan)
        passes = 200 if conserving else 0
        result = _conserve(field, coarse, *domain.operators, passes=passes, signed=model.card.signed)
        values = result.field.astype(np.float32)
        values[~domain.covered(self.valid)] = np.nan
        return values, result.before


def _residual(day: _Day, options: Options, member: int, before: Tensor | None) -> Tensor:
    """Draw one residual on the extended domain, shape (H, W)."""
    if options.tiling.merge == "final" and options.product == "draw":
        return _finished_patches(day, options, member)
    domain = day.domain
    window = domain.extended
    noise = partial(_noise, domain.model, options, member, day.instant)
    start = noise(window, 0).to(options.device) * float(domain.model.schedule.sigma(torch.ones(())))
    state = None
    if before is not None:
        state = conditioning.state(before, noise(window, _STATE_STREAM)[0, 0])
    denoise = _merged(domain, options, day.told(state))
    if options.product == "mean":
        return mean(denoise, start)[0, 0]
    steps = partial(_next, partial(_on, noise, window, options.device))
    return sample(
        denoise, start, domain.model.schedule, options.sampler, times=_times(day, options), noise=steps
    )[0, 0]


def _merged(domain: _Domain, options: Options, told: Sequence[_Told]) -> Callable[[Tensor, float], Tensor]:
    """The denoiser of the whole field: patches' estimates of x0, merged."""

    def denoise(x_t: Tensor, t: float) -> Tensor:
        total = torch.zeros_like(x_t)
        for group, seen, h in told:
            patches = torch.cat([domain.layout.extract(x_t, k) for k in group])
            domain.merge(total, group, _estimate(domain.model, options, patches, t, seen, h))
        return total

    return denoise


def _finished_patches(day: _Day, options: Options, member: int) -> Tensor:
    """The paper's way: every patch sampled to its end with its own noise, then averaged."""
    domain, model = day.domain, day.domain.model
    total = torch.zeros((1, 1, *domain.layout.shape), device=options.device)
    for number, group in enumerate(domain.groups(options.tiling.batch)):
        windows = [domain.patch(k) for k in group]
        first = 1 + number * options.tiling.batch
        noise = partial(_patch_noise, model, windows, first, options, member, day.instant)
        denoise = _patch_denoiser(day, windows, options)
        steps = partial(_next, noise)
        x0 = sample(
            denoise,
            noise(0),
            model.schedule,
            options.sampler,
            times=_times(day, options),
            noise=steps,
        )
        domain.merge(total, group, x0)
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


def _patch_denoiser(
    day: _Day, windows: Sequence[Grid], options: Options
) -> Callable[[Tensor, float], Tensor]:
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
        memory=model.card.day_correlation if options.coherence == "correlated" else 0.0,
        step=model.card.step,
    )
    return torch.from_numpy(field)[None, None]


def _on(noise: Callable[[Grid, int], Tensor], window: Grid, device: str, stream: int) -> Tensor:
    return noise(window, stream).to(device)


def _next(noise: Callable[[int], Tensor], step: int) -> Tensor:
    """Noise of a step; stream 0 is the start's."""
    return noise(step + 1)


def _times(day: _Day, options: Options) -> Tensor | None:
    fitted = day.domain.model.card.times.get(str(options.sampler.evaluations))
    return None if fitted is None else torch.tensor(fitted)
