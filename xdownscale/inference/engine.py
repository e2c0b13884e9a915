"""From coarse arrays to drawn fine arrays: the loop over days and members.

For each day: gaps are filled for the network only, the encoder sees the coarse history once, condition and
context are laid on the extended domain (the union of the patches, `Layout`). For each member: the field's own
noise e is cut from `noise.shaped(seed, member, instant, absolute cell)`, the sampler takes its steps on the
whole field, and inside every step the patches' estimates of x0 are merged with Hann weights. With
`merge="final"` each patch is sampled to the end with its own noise and the finished patches are averaged: the
paper's way, kept as the reference.

Patches are processed in groups of constant size and accumulated in a fixed order. Nothing here knows labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from xdownscale.diffusion.denoise import estimate
from xdownscale.diffusion.sample import Sampler, mean, sample
from xdownscale.grid import Grid, coarsening, conservative_matrix, refined, upsampling
from xdownscale.inference.conserve import conserve as _conserve
from xdownscale.models import conditioning
from xdownscale.noise import shaped
from xdownscale.patches import Layout, Tiling, layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xdownscale.models.downscaler import Downscaler

__all__ = ["Draw", "Options", "draw", "history", "lay"]

DAY_US = 86_400_000_000
_PATCH_STREAM = 1 << 20


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
    """

    members: tuple[int, ...]
    seed: int
    product: Literal["draw", "mean"]
    sampler: Sampler
    tiling: Tiling
    conserve: bool = True
    device: str = "cpu"


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
    advance : callable, optional
        Called with 1 after each field drawn.

    Returns
    -------
    Draw
        On `refined(grid, model.fine)`.
    """
    domain = _Domain(model, grid, lay(model, grid, options.tiling))
    fine = domain.fine.shape
    values = np.full((len(options.members), len(coarse), *fine), np.nan, dtype=np.float32)
    residual = np.full(values.shape[:2], np.nan)
    model.to(options.device).denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        for i, instant in enumerate(instants):
            if not np.isfinite(coarse[i]).any():
                continue
            day = _Day.of(domain, coarse, instants, i)
            for j, member in enumerate(options.members):
                r = _residual(day, options, member, instant)
                values[j, i], residual[j, i] = day.finish(r, options.conserve)
                if advance is not None:
                    advance(1)
    return Draw(values, residual)


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
    axes = ((a.start, a.size, a.period if a.cyclic else None) for a in (fine.y, fine.x))
    return layout(*axes, tiling)


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

    @cached_property
    def weights(self) -> list[Tensor]:
        return [torch.as_tensor(self.layout.weight(k)) for k in self.layout]

    def patch(self, k: tuple[int, int]) -> Grid:
        y, x = self.layout.y, self.layout.x
        return self.model.fine.window((y.starts[k[0]], y.patch), (x.starts[k[1]], x.patch))

    def covered(self, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Fine cells that overlap a valid coarse cell."""
        y = conservative_matrix(self.grid.y, self.fine.y) > 0
        x = conservative_matrix(self.grid.x, self.fine.x) > 0
        return np.asarray((y @ valid.astype(np.float32)) @ x.T > 0)


@dataclass(frozen=True, eq=False)
class _Day:
    """One day, ready for the denoiser on any window."""

    domain: _Domain
    z: NDArray[np.float64]
    coarse: NDArray[np.float64]
    valid: NDArray[np.bool_]
    maps: list[Tensor] | None
    instant: int | None

    @classmethod
    def of(
        cls, domain: _Domain, coarse: NDArray[Any], instants: Sequence[int | None], day: int
    ) -> _Day:
        model = domain.model
        valid = np.isfinite(coarse[day])
        past = history(instants, day, model.history)
        stack = np.stack([np.full_like(coarse[day], np.nan) if i is None else coarse[i] for i in past])
        known = np.isfinite(stack)
        z = np.where(known, model.scaling.forward(np.where(known, np.maximum(stack, 0.0), 0.0)), 0.0)
        maps = model.maps(z[None], known[None], domain.grid)
        return cls(domain, _filled(z[-1], valid), coarse[day], valid, maps, instants[day])

    def condition(self, window: Grid) -> Tensor:
        model = self.domain.model
        maps = conditioning.statics(model.card.statics, window, self.instant, model.card.months)
        return conditioning.condition(
            self.z, self.valid, self.domain.grid, window, method=model.card.upsampling, maps=maps
        )

    def context(self, window: Grid) -> list[Tensor] | None:
        if self.maps is None:
            return None
        return conditioning.context(self.maps, self.domain.grid, window, self.domain.model.denoiser.strides)

    def finish(self, r: Tensor, conserving: bool) -> tuple[NDArray[np.float32], float]:
        """Residual to field: back through T, conservation, gaps."""
        domain, model = self.domain, self.domain.model
        inner = domain.layout.inner((domain.fine.y.start, domain.fine.y.size), (domain.fine.x.start, domain.fine.x.size))
        residual = r.double().cpu().numpy()[inner]
        base = upsampling(domain.grid, domain.fine, model.card.upsampling)(self.z)  # type: ignore[arg-type]
        field = np.maximum(model.scaling.inverse(base + model.card.residual_scale * residual), 0.0)
        coarse = np.where(self.valid, np.maximum(self.coarse, 0.0), np.nan)
        result = _conserve(field, coarse, *domain.operators, passes=200 if conserving else 0)
        values = result.field.astype(np.float32)
        values[~domain.covered(self.valid)] = np.nan
        return values, result.before


def _residual(day: _Day, options: Options, member: int, instant: int | None) -> Tensor:
    """Draw one residual on the extended domain, shape (H, W)."""
    if options.tiling.merge == "final" and options.product == "draw":
        return _finished_patches(day, options, member, instant)
    domain = day.domain
    window = domain.extended
    noise = partial(_noise, domain.model, seed=options.seed, member=member, instant=instant)
    factor = domain.model.inflation(options.sampler.evaluations) if options.product == "draw" else 1.0
    start = factor * noise(window, 0).to(options.device)
    denoise = _merged(day, options)
    if options.product == "mean":
        return mean(denoise, start)[0, 0]
    steps = partial(_per_step, noise, window, options.device)
    return sample(
        denoise, start, domain.model.schedule, options.sampler, times=_times(day, options), noise=steps
    )[0, 0]


def _merged(day: _Day, options: Options) -> Callable[[Tensor, float], Tensor]:
    """The denoiser of the whole field: patches' estimates of x0, merged."""
    domain, model = day.domain, day.domain.model
    condition = day.condition(domain.extended)[None].to(options.device)
    levels = day.context(domain.extended)
    patches = list(domain.layout)

    def denoise(x_t: Tensor, t: float) -> Tensor:
        total = torch.zeros_like(x_t)
        for group in _groups(range(len(patches)), options.tiling.batch):
            cuts = [patches[i] for i in group]
            x = torch.cat([domain.layout.extract(x_t, k) for k in cuts])
            c = torch.cat([domain.layout.extract(condition, k) for k in cuts])
            h = None if levels is None else _cut(levels, domain.layout, cuts, model.denoiser.strides)
            x0 = _estimate(model, x, t, c, h)
            for n, i in enumerate(dict.fromkeys(group)):
                domain.layout.accumulate(total, patches[i], x0[n : n + 1])
        return total

    return denoise


def _finished_patches(day: _Day, options: Options, member: int, instant: int | None) -> Tensor:
    """The paper's way: every patch sampled to its end with its own noise, then averaged."""
    domain, model = day.domain, day.domain.model
    patches = list(domain.layout)
    total = torch.zeros((1, 1, *domain.layout.shape), device=options.device)
    factor = model.inflation(options.sampler.evaluations)
    for group in _groups(range(len(patches)), options.tiling.batch):
        windows = [domain.patch(patches[i]) for i in group]
        c = torch.stack([day.condition(w) for w in windows]).to(options.device)
        contexts = [day.context(w) for w in windows]
        h = None if contexts[0] is None else [torch.cat(level) for level in zip(*contexts, strict=True)]  # type: ignore[arg-type]

        def noise(step: int, group: Sequence[int] = group, windows: Sequence[Grid] = windows) -> Tensor:
            streams = [_PATCH_STREAM * (1 + i) + step for i in group]
            draws = [_noise(model, w, s, seed=options.seed, member=member, instant=instant)
                     for w, s in zip(windows, streams, strict=True)]
            return torch.cat(draws).to(options.device)

        def denoise(x_t: Tensor, t: float, c: Tensor = c, h: list[Tensor] | None = h) -> Tensor:
            return _estimate(model, x_t, t, c, h)

        x0 = sample(denoise, factor * noise(0), model.schedule, options.sampler,
                    times=_times(day, options), noise=lambda step: noise(step + 1))  # noqa: B023
        for n, i in enumerate(dict.fromkeys(group)):
            domain.layout.accumulate(total, patches[i], x0[n : n + 1])
    return total[0, 0]


def _estimate(model: Downscaler, x_t: Tensor, t: float, c: Tensor, h: list[Tensor] | None) -> Tensor:
    level = torch.full((len(x_t),), t, device=x_t.device)
    x = x_t.contiguous(memory_format=torch.channels_last)
    prediction = model.denoiser(x, level, c.contiguous(memory_format=torch.channels_last), h)
    return estimate(model.schedule, x_t, prediction, level)


def _noise(model: Downscaler, window: Grid, stream: int, *, seed: int, member: int, instant: int | None) -> Tensor:
    spans = (window.y.start, window.y.size), (window.x.start, window.x.size)
    field = shaped(
        model.kernel, *spans, seed=seed, member=member, instant=instant, stream=stream, period=window.x.period
    )
    return torch.from_numpy(field)[None, None]


def _per_step(noise: Callable[[Grid, int], Tensor], window: Grid, device: str, step: int) -> Tensor:
    return noise(window, step + 1).to(device)


def _times(day: _Day, options: Options) -> Tensor | None:
    fitted = day.domain.model.card.times.get(str(options.sampler.evaluations))
    return None if fitted is None else torch.tensor(fitted)


def _cut(
    levels: list[Tensor], domain: Layout, cuts: Sequence[tuple[int, int]], strides: Sequence[int]
) -> list[Tensor]:
    """The patches' windows of the level maps; patches lie on multiples of the strides."""
    out = []
    for level, stride in zip(levels, strides, strict=True):
        index = [tuple(i[:: stride, :] // stride if a == 0 else i[:, ::stride] // stride
                       for a, i in enumerate(domain.index(k))) for k in cuts]
        out.append(torch.cat([level[..., iy, ix] for iy, ix in index]))
    return out


def _groups(items: Sequence[int], size: int) -> Iterator[list[int]]:
    """Groups of one size; the last is padded with its own first item."""
    for i in range(0, len(items), size):
        group = list(items[i : i + size])
        yield group + [group[0]] * (size - len(group))


def _filled(z: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Gaps take their nearest valid neighbour's value."""
    if valid.all():
        return z
    nearest = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return np.asarray(z[tuple(nearest)])
