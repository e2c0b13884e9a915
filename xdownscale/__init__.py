"""From a coarse aerosol field to a fine one, as a conditional diffusion model sees it.

>>> import xdownscale
>>> fine = coarse.downscale.predict("jja_asia", members=4)  # doctest: +SKIP

The import registers the accessor ``DataArray.downscale`` and loads xarray, nothing heavier. Every other
public name is found on first use (PEP 562), and brings its own dependencies then.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xdownscale.accessor import DownscaleAccessor

if TYPE_CHECKING:
    from xdownscale import diagnostics, plot, testing
    from xdownscale.calibration import calibrate
    from xdownscale.cf import coarsen, to_dataset
    from xdownscale.checkpoint import CheckpointError, load, save
    from xdownscale.data import nature_run
    from xdownscale.data.readers import open_g5nr, open_merra2
    from xdownscale.data.sample import open_sample
    from xdownscale.diagnostics import evaluate
    from xdownscale.diffusion.sample import Sampler
    from xdownscale.grid import G5NR, MERRA2, Grid
    from xdownscale.inference.field import explain, predict
    from xdownscale.inference.ledger import verify
    from xdownscale.inference.store import to_zarr
    from xdownscale.models.card import Card
    from xdownscale.models.downscaler import Downscaler
    from xdownscale.patches import Tiling
    from xdownscale.registry import SyntheticModelWarning, list_models, resolve
    from xdownscale.training import PretrainConfig, TrainConfig, distil, pretrain, train

__version__ = "0.1.0"

__all__ = [
    "G5NR",
    "MERRA2",
    "Card",
    "CheckpointError",
    "DownscaleAccessor",
    "Downscaler",
    "Grid",
    "PretrainConfig",
    "Sampler",
    "SyntheticModelWarning",
    "Tiling",
    "TrainConfig",
    "calibrate",
    "coarsen",
    "diagnostics",
    "distil",
    "evaluate",
    "explain",
    "list_models",
    "load",
    "nature_run",
    "open_g5nr",
    "open_merra2",
    "open_sample",
    "plot",
    "predict",
    "pretrain",
    "resolve",
    "save",
    "testing",
    "to_dataset",
    "to_zarr",
    "train",
    "verify",
]

_MODULES = {
    "diagnostics": "diagnostics",
    "nature_run": "data.nature_run",
    "plot": "plot",
    "testing": "testing",
}
_ROOMS = {
    "calibration": ("calibrate",),
    "cf": ("coarsen", "to_dataset"),
    "checkpoint": ("CheckpointError", "load", "save"),
    "data.readers": ("open_g5nr", "open_merra2"),
    "data.sample": ("open_sample",),
    "diagnostics": ("evaluate",),
    "diffusion.sample": ("Sampler",),
    "grid": ("G5NR", "MERRA2", "Grid"),
    "inference.field": ("explain", "predict"),
    "inference.ledger": ("verify",),
    "inference.store": ("to_zarr",),
    "models.card": ("Card",),
    "models.downscaler": ("Downscaler",),
    "patches": ("Tiling",),
    "registry": ("SyntheticModelWarning", "list_models", "resolve"),
    "training": ("PretrainConfig", "TrainConfig", "distil", "pretrain", "train"),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = import_module(f"xdownscale.{_MODULES[name]}")
    elif name in _HOME:
        value = getattr(import_module(f"xdownscale.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'xdownscale' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
