"""What the denoiser is told about a day, on any window of the fine grid.

Let y be the coarse field, z = T(y) its transformed values and U the fixed upsampling. On a window of the
fine grid the condition is the stack of channels

    U z | validity | static maps | season | climatology | state, its share

and the context is the list of the encoder's projected features, interpolated bilinearly from the coarse
grid to the denoiser's levels (strides 2, 4, 8 of the fine grid). Both are functions of the absolute
window only: cutting the day into patches or crops gives the cut of the whole. Training and inference
call these functions and no others.

The state is the fine residual of the day before, s, with noise e of its own level u, so that a sequence does
not feed on its own small faults: the channels are (1 - u) s + u e and 1 - u, both zero where there is no s.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from xdownscale.grid import Axis, Grid, interpolation_matrix
from xdownscale.models.climatology import MAPS, Climatology

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from xdownscale.nn.denoiser import Denoiser
    from xdownscale.nn.encoder import Encoder

__all__ = [
    "STATE_NOISE",
    "STATICS",
    "channels",
    "condition",
    "context",
    "crops",
    "encode",
    "filled",
    "lifted",
    "state",
    "statics",
    "upsampled",
    "validity",
]

STATICS = ("sphere", "fourier", "season", "climatology")
_SIZES = {"sphere": 4, "fourier": 12, "season": 2, "climatology": len(MAPS)}
STATE_NOISE = 0.1
_WAVENUMBERS = (5, 20, 80)
_YEAR_US = 365.2425 * 86_400e6
_ALIGN = 4
_WRAP = 32


def channels(names: Sequence[str], *, state: bool = False) -> int:
    """Number of condition channels for the named static maps.

    Parameters
    ----------
    names : sequence of str
        Any of `STATICS`.
    state : bool
        Whether the day before is among them.

    Returns
    -------
    int
        Two (upsampled field, validity), those of the maps, and two of the state.

    Raises
    ------
    ValueError
        If a name is not in `STATICS`.

    Examples
    --------
    >>> channels(["season"])
    4
    """
    unknown = sorted(set(names) - set(STATICS))
    if unknown:
        raise ValueError(f"unknown static maps {unknown}: expected some of {list(STATICS)}")
    return 2 + sum(_SIZES[name] for name in names) + 2 * state


def statics(
    names: Sequence[str],
    window: Grid,
    instant: int | None,
    months: Sequence[int] = (),
    climatology: Climatology | None = None,
) -> Tensor:
    """Static and seasonal maps on a window of the fine grid.

    Parameters
    ----------
    names : sequence of str
        `sphere`: sine and cosine of latitude and longitude; `fourier`: sines and cosines of both at 5, 20
        and 80 waves round the globe; `season`: sine and cosine of the time of year; `climatology`: mean and
        log deviation of the residual over the training days.
    window : Grid
        Window of the fine grid, H x W cells.
    instant : int or None [microseconds since 1970]
        None means no time: the middle of `months` is taken.
    months : sequence of int, 1-12
        The months a model was trained for.
    climatology : Climatology, optional
        Needed where it is named.

    Returns
    -------
    Tensor, shape (C, H, W), float32
    """
    maps: list[NDArray[Any]] = []
    y, x = np.deg2rad(window.y.values)[:, None], np.deg2rad(window.x.values)[None, :]
    if "sphere" in names:
        maps += [np.sin(y), np.cos(y), np.sin(x), np.cos(x)]
    if "fourier" in names:
        maps += [f(k * a) for k in _WAVENUMBERS for a in (y, x) for f in (np.sin, np.cos)]
    if "season" in names:
        phase = 2 * np.pi * _year_fraction(instant, months)
        maps += [np.full((1, 1), np.sin(phase)), np.full((1, 1), np.cos(phase))]
    if "climatology" in names:
        if climatology is None:
            raise ValueError("the static map 'climatology' is named, but no climatology is given")
        maps += list(climatology.on(window).numpy())
    if not maps:
        return torch.zeros((0, *window.shape))
    return torch.from_numpy(np.stack([np.broadcast_to(m, window.shape) for m in maps]).astype(np.float32))


def validity(valid: NDArray[np.bool_], coarse: Grid, window: Grid) -> Tensor:
    """One where a fine cell's centre lies in a valid coarse cell of the domain, else zero.

    Parameters
    ----------
    valid : ndarray of bool, shape (ny, nx)
    coarse, window : Grid
        Windows of the coarse and of the fine grid.

    Returns
    -------
    Tensor, shape (H, W), float32
    """
    inside = _inside(coarse.y, window.y)[:, None] & _inside(coarse.x, window.x)[None, :]
    near = _apply(torch.from_numpy(valid.astype(np.float32)), coarse, window, "nearest")
    return near * torch.from_numpy(inside.astype(np.float32))


def filled(z: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    """Gaps take their nearest valid neighbour's value, for the network only.

    Parameters
    ----------
    z : ndarray, shape (ny, nx)
    valid : ndarray of bool, shape (ny, nx)

    Returns
    -------
    ndarray, shape (ny, nx)
        `z` itself where there is no gap, or nothing to fill it with.

    Examples
    --------
    >>> filled(np.array([[1.0, np.nan, 3.0, np.nan]]), np.array([[True, False, True, False]])).tolist()
    [[1.0, 1.0, 3.0, 3.0]]
    """
    if valid.all() or not valid.any():
        return z
    nearest = distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return np.asarray(z[tuple(nearest)])


def state(before: Tensor | None, e: Tensor, level: float = STATE_NOISE) -> Tensor:
    """The channels of the day before.

    Parameters
    ----------
    before : Tensor, shape (H, W), or None
        Fine residual of the day before, NaN where unknown; None where there is none at all.
    e : Tensor, shape (H, W)
        Noise of the residual's spectrum.
    level : float, 0-1
        Share of the noise.

    Returns
    -------
    Tensor, shape (2, H, W), float32

    Examples
    --------
    >>> state(torch.tensor([[2.0, torch.nan]]), torch.tensor([[1.0, 1.0]]), 0.25).tolist()
    [[[1.75, 0.0]], [[0.75, 0.0]]]
    """
    if before is None:
        return torch.zeros((2, *e.shape))
    known = torch.isfinite(before)
    mixed = (1 - level) * torch.where(known, before, 0.0) + level * e
    return torch.stack([torch.where(known, mixed, 0.0), (1 - level) * known]).float()


def condition(
    z: NDArray[Any],
    valid: NDArray[np.bool_],
    coarse: Grid,
    window: Grid,
    *,
    method: str,
    maps: Tensor,
) -> Tensor:
    """The condition channels of one day.

    Parameters
    ----------
    z : ndarray, shape (ny, nx)
        Transformed coarse values, gaps filled.
    valid : ndarray of bool, shape (ny, nx)
    coarse, window : Grid
        Windows of the coarse and of the fine grid (H x W cells).
    method : {"linear", "cubic"}
        The fixed upsampling U.
    maps : Tensor, shape (S, H, W)
        From `statics`, and from `state` where the model has one.

    Returns
    -------
    Tensor, shape (2 + S, H, W), float32
        Channel 0 is U z.
    """
    base = upsampled(z, coarse, window, method)
    return torch.cat([torch.stack([base, validity(valid, coarse, window)]), maps])


def upsampled(z: NDArray[Any], coarse: Grid, window: Grid, method: str) -> Tensor:
    """U z on a window of the fine grid, shape (H, W), float32; for z, see `condition`."""
    return _apply(torch.from_numpy(np.ascontiguousarray(z, dtype=np.float32)), coarse, window, method)


def lifted(
    z: NDArray[Any], known: NDArray[np.bool_], coarse: Grid, window: Grid, method: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A coarse history on the cells of a fine window, and where it is known, for an encoder that sees those.

    Parameters
    ----------
    z : ndarray, shape (L, ny, nx)
        Transformed values.
    known : ndarray of bool, shape (L, ny, nx)
    coarse, window : Grid
    method : {"linear", "cubic"}

    Returns
    -------
    (ndarray, ndarray), shapes (L, H, W)
    """
    values = [
        upsampled(filled(day, there), coarse, window, method) for day, there in zip(z, known, strict=True)
    ]
    masks = [validity(there, coarse, window) for there in known]
    return torch.stack(values).numpy(), torch.stack(masks).numpy()


def encode(encoder: Encoder, history: NDArray[Any], mask: NDArray[Any], coarse: Grid) -> list[Tensor]:
    """Features of the coarse history on the whole window, independent of where the window begins.

    The window is padded to absolute multiples of the encoder's largest stride, so that a crop is pooled on
    the same lattice as the whole; cyclic windows are wrapped.

    Parameters
    ----------
    encoder : Encoder
    history : ndarray, shape (B, L, ny, nx)
        Transformed values, oldest day first, today last; zero where masked.
    mask : ndarray, shape (B, L, ny, nx)
        One where the history is known.
    coarse : Grid
        The window seen; a fine one where the encoder sees fine cells.

    Returns
    -------
    list of Tensor, each of shape (B, C_i, ny, nx)
        One per scale, all on the cells seen.

    Raises
    ------
    ValueError
        If the history does not lie on the window.
    """
    if history.shape[-2:] != coarse.shape:
        raise ValueError(
            f"the history has {history.shape[-2:]} cells, the window {coarse.shape}: expected equal shapes; "
            "an encoder that sees fine cells (the card's `sees`) is given a window of the fine grid"
        )
    device = next(encoder.parameters()).device
    y, x = _padding(coarse.y), _padding(coarse.x)
    pads = ((0, 0), (0, 0), y, (0, 0)), ((0, 0), (0, 0), (0, 0), x)
    mode: Any = "wrap" if coarse.x.cyclic else "constant"
    stack = [np.pad(np.pad(a.astype(np.float32), pads[0]), pads[1], mode=mode) for a in (history, mask)]
    features = encoder(*(torch.from_numpy(a).to(device) for a in stack))
    ny, nx = coarse.shape
    size = stack[0].shape[-2:]
    return [_native(f, size)[..., y[0] : y[0] + ny, x[0] : x[0] + nx] for f in features]


def context(maps: Sequence[Tensor], coarse: Grid, window: Grid, strides: Sequence[int]) -> list[Tensor]:
    """Projected features interpolated to the denoiser's levels on a window of the fine grid.

    Parameters
    ----------
    maps : sequence of Tensor, each of shape (B, C_l, ny, nx)
        From `Denoiser.project`.
    coarse, window : Grid
        Windows of the coarse and of the fine grid (H x W cells).
    strides : sequence of int
        Fine cells per level cell; H and W are multiples of each.

    Returns
    -------
    list of Tensor, shapes (B, C_l, H / s_l, W / s_l)
    """
    return [_apply(m, coarse, _strided(window, s), "linear") for m, s in zip(maps, strides, strict=True)]


def crops(
    denoiser: Denoiser, features: Sequence[Tensor], coarse: Grid, windows: Sequence[tuple[int, Grid]]
) -> list[Tensor]:
    """The context of many crops at once: what `project` and `context` give, cut before it is computed.

    Parameters
    ----------
    denoiser : Denoiser
    features : sequence of Tensor, each of shape (days, C_i, ny, nx)
        From `encode`.
    coarse : Grid
    windows : sequence of (int, Grid)
        For each crop its day and its window of the fine grid; all of one size.

    Returns
    -------
    list of Tensor, shapes (B, C_l, H / s_l, W / s_l)
    """
    near = [_nearby(coarse, window) for _, window in windows]
    cuts = [_place(coarse, grid) for grid in near]
    stacks = [
        torch.stack([f[w[0]][(slice(None), *c)] for w, c in zip(windows, cuts, strict=True)])
        for f in features
    ]
    out = []
    for level, stride in zip(denoiser.project(stacks), denoiser.strides, strict=True):
        targets = [_strided(window, stride) for _, window in windows]
        y = torch.stack([_dense(n.y, t.y, "linear") for n, t in zip(near, targets, strict=True)]).to(level)
        x = torch.stack([_dense(n.x, t.x, "linear") for n, t in zip(near, targets, strict=True)]).to(level)
        out.append(torch.matmul(torch.matmul(y[:, None], level), x.mT[:, None]))
    return out


def _nearby(coarse: Grid, window: Grid) -> Grid:
    """Coarse cells around a fine window: as many for every window of one size, inside the coarse window."""
    spans = []
    for c, f in ((coarse.y, window.y), (coarse.x, window.x)):
        size = min(c.size, int(np.ceil(f.size * f.step / c.step)) + 4)
        first = round((f.values[0] - c.values[0]) / c.step) - 2
        spans.append((c.start + (first if c.cyclic else min(max(first, 0), c.size - size)), size))
    return coarse.window(spans[0], spans[1])


def _place(coarse: Grid, inner: Grid) -> tuple[slice, Any]:
    y, x = inner.y.start - coarse.y.start, inner.x.start - coarse.x.start
    if coarse.x.cyclic:
        return slice(y, y + inner.y.size), (x + np.arange(inner.x.size)) % coarse.x.size
    return slice(y, y + inner.y.size), slice(x, x + inner.x.size)


def _native(feature: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring a strided feature to the native cells, bilinearly, cell centres in register."""
    if feature.shape[-2:] == size:
        return feature
    return torch.nn.functional.interpolate(feature, size=size, mode="bilinear", align_corners=False)


def _apply(field: Tensor, coarse: Grid, window: Grid, method: str) -> Tensor:
    matrix_y = _dense(coarse.y, window.y, method).to(field)
    matrix_x = _dense(coarse.x, window.x, method).to(field)
    return torch.matmul(torch.matmul(matrix_y, field), matrix_x.T)


@lru_cache(maxsize=2048)
def _dense(source: Axis, target: Axis, method: Any) -> Tensor:
    return torch.from_numpy(interpolation_matrix(source, target, method).toarray().astype(np.float32))


@lru_cache(maxsize=2048)
def _inside(source: Axis, target: Axis) -> NDArray[np.bool_]:
    if source.cyclic:
        return np.ones(target.size, dtype=bool)
    low, high = source.edges[0], source.edges[-1]
    values = target.values
    if source.period is not None:
        turn = source.period * source.step
        values = low + np.mod(values - low + 1e-9 * turn, turn) - 1e-9 * turn
    slack = 1e-6 * target.step
    return np.asarray((values >= low - slack) & (values <= high + slack))


def _strided(window: Grid, stride: int) -> Grid:
    return Grid(_strided_axis(window.y, stride), _strided_axis(window.x, stride), window.crs)


def _strided_axis(axis: Axis, stride: int) -> Axis:
    beside = axis.start % stride  # the paper's patches do not begin on the level's lattice
    origin = axis.origin + (beside + 0.5 * (stride - 1)) * axis.step
    period = None if axis.period is None else axis.period // stride
    return Axis(origin, axis.step * stride, axis.start // stride, axis.size // stride, axis.kind, period)


def _padding(axis: Axis) -> tuple[int, int]:
    if axis.cyclic:
        return _WRAP, _WRAP
    before = axis.start % _ALIGN
    return before, -(before + axis.size) % _ALIGN


def _year_fraction(instant: int | None, months: Sequence[int]) -> float:
    if instant is not None:
        return float(instant / _YEAR_US % 1.0)
    angles = 2 * np.pi * (np.asarray(months or [7], dtype=float) - 0.5) / 12
    return float(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean()) / (2 * np.pi) % 1.0)
