"""The networks that are timed, the days they are given, and the one seam at which the engine is looked into.

`network("small")` is a miniature of random weights with the grids of `jja_asia`: its draws mean nothing, but
it makes every step of the path visible beside the network's own time. `ancestral` gives a network the
paper's process: the same cost whatever the weights were trained for, and worthless scores unless they were
trained for it.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import xdownscale
from xdownscale.grid import Grid
from xdownscale.inference import engine
from xdownscale.models.downscaler import Downscaler
from xdownscale.noise import DAY_US, Spectrum, instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import xarray as xr
    from torch import Tensor

__all__ = ["SMALL", "ancestral", "counted", "days", "draw", "merged_pass", "network", "options", "sampling"]

SMALL = "small"
_FIRST_DAY = instant(np.datetime64("2005-07-14T12", "ns")) or 0


def network(name: str) -> Downscaler:
    """A model by name or path; `SMALL` for the miniature."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xdownscale.SyntheticModelWarning)
        return _miniature() if name == SMALL else xdownscale.resolve(name)


def ancestral(model: Downscaler, steps: int = 1000) -> Downscaler:
    """The same networks under the paper's process: white noise, ancestral steps."""
    card = replace(
        model.card,
        process="ddpm",
        sampler={"name": "ddpm", "evaluations": steps},
        times={},
        inflation={},
        spectrum=Spectrum.white().to_dict(),
    )
    return model.with_card(card)


def _miniature() -> Downscaler:
    card = xdownscale.list_models()["jja_asia"]
    parts = {
        "encoder": None,
        "denoiser": {"condition": 4, "context": [], "channels": [8, 8, 8], "blocks": 1, "embedding": 16},
        "climatology": None,
    }
    torch.manual_seed(0)
    model = Downscaler.build(
        replace(card, name=SMALL, architecture=parts, statics=("season",), encoder_digest=None)
    )
    with torch.no_grad():
        for weight in model.denoiser.parameters():  # the zero-initialised ones too
            weight.add_(0.02 * torch.randn(weight.shape))
    return model


def days(
    model: Downscaler, shape: tuple[int, int], count: int | None = None
) -> tuple[np.ndarray, Grid, list[int]]:
    """Coarse July days on a window amid the fine grid's Asian part.

    Parameters
    ----------
    model : Downscaler
    shape : (int, int) [coarse cells]
    count : int, optional
        Days; by default what the encoder looks at.

    Returns
    -------
    (ndarray, shape (count, *shape); Grid; list of int [microseconds since 1970])
    """  # fmt: skip
    count = model.history if count is None else count
    y, x = model.coarse.y.size, model.coarse.x.size
    rows = min(max(0, 246 - shape[0] // 2), y - shape[0])
    columns = min(max(0, 424 - shape[1] // 2), x - shape[1])
    grid = model.coarse.window((rows, shape[0]), (columns, shape[1]))
    values = np.random.default_rng(0).gamma(2.0, 0.15, (count, *shape))
    return values, grid, [_FIRST_DAY + n * DAY_US for n in range(count)]


def located(model: Downscaler, da: xr.DataArray) -> tuple[np.ndarray, Grid, list[int | None]]:
    """The same of a labelled field on the model's coarse grid."""
    grid = Grid(model.coarse.y.locate(da.lat.values), model.coarse.x.locate(da.lon.values))
    return da.values.astype(np.float64), grid, [instant(t) for t in da.time.values]


def options(model: Downscaler, **changes: Any) -> engine.Options:
    """What `predict` would draw by default: one member, the card's sampler, default patches, conserving."""
    given = {
        "members": (0,),
        "seed": 0,
        "product": "draw",
        "sampler": model.sampler,
        "tiling": xdownscale.Tiling(),
    }
    return engine.Options(**(given | changes))  # fmt: skip


def draw(model: Downscaler, given: tuple[Any, Grid, Any], chosen: engine.Options) -> np.ndarray:
    """The last day's fields, shape (members, NY, NX)."""
    values, grid, instants = given
    return engine.draw(model, values, grid, instants, chosen, days=[len(values) - 1]).values[:, 0]


@contextmanager
def sampling(instead: Callable[..., Tensor]) -> Iterator[Callable[..., Tensor]]:
    """Let the engine call something else where it would sample; gives the sampler that it calls otherwise."""
    own = engine.sample
    engine.sample = instead
    try:
        yield own
    finally:
        engine.sample = own


def merged_pass(
    model: Downscaler, given: tuple[Any, Grid, Any], tiling: xdownscale.Tiling
) -> tuple[Callable[[Tensor, float], Tensor], Tensor]:
    """The engine's own denoiser of a whole field, patches merged, and the noise that it would begin with.

    Call the first inside `torch.inference_mode()`.
    """
    caught = []

    def catch(denoise: Callable[..., Tensor], start: Tensor, *_: object, **__: object) -> Tensor:
        caught.append((denoise, start))
        return torch.zeros_like(start)

    bare = model.with_card(model.card.without("fast"))  # nothing is drawn that could be calibrated
    with sampling(catch):
        draw(bare, given, options(bare, tiling=tiling, conserve=False))
    return caught[0]


@contextmanager
def counted() -> Iterator[list[int]]:
    """Cells that networks looked at for the engine inside the `with`, one number a call."""
    cells: list[int] = []
    own = engine._estimate

    def count(model: Downscaler, chosen: engine.Options, x_t: Tensor, *given: Any) -> Tensor:
        cells.append(x_t.numel())
        return own(model, chosen, x_t, *given)

    engine._estimate = count
    try:
        yield cells
    finally:
        engine._estimate = own
