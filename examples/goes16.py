# %% [markdown]
# # Your own data: aerosol from GOES-16, split by place
#
# One day of aerosol optical depth from NOAA's GOES-16, averaged to 0.0625 degrees: a real fine truth, three
# quarters of it missing. The coarse field is made from it, so the pairs are perfect; what is learned is how
# fine structure hangs on the coarse field. Five-minute steps of one day are all alike, so days cannot be held
# out: the model learns west of 100 W and is scored east of 98 W.
#
# The file is `goes16/goes16_aod_0p0625_20181115.nc` in the folder that `XDOWNSCALE_TEST_DATA` names.

# %%
import os
from pathlib import Path

import numpy as np
import torch
import xarray as xr

import xdownscale
from xdownscale import Sampler, TrainConfig
from xdownscale.diagnostics.skill import crps, mae, r2, spread_skill
from xdownscale.models.baselines import interpolation

folder = Path(os.environ.get("XDOWNSCALE_TEST_DATA", "../shared/data"))
steps = int(os.environ.get("GOES16_STEPS", "1500"))
torch.set_num_threads(int(os.environ.get("GOES16_THREADS", "2")))

# %% [markdown]
# Retrievals may be a little below zero; a logarithm has no place for that. Every 36th step is a field each
# three hours or so. A coarse cell counts where at least half of it was seen.

# %%
with xr.open_dataset(folder / "goes16" / "goes16_aod_0p0625_20181115.nc") as file:
    fine = file.AOD.isel(time=slice(None, None, 6)).clip(0).astype("float32").load()
coarse = xdownscale.coarsen(fine, (8, 10))
west, east = slice(None, -100.0), slice(-98.0, None)

# %%
config = TrainConfig(
    steps=steps,
    batch=8,
    days=4,
    crop=64,
    border=4,
    channels=(32, 48, 64),
    statics=(),
    transfer="none",
    ema=0.995,
)
model = xdownscale.train(
    coarse.sel(lon=west),
    fine.sel(lon=west),
    config=config,
    card={
        "name": "goes16",
        "version": "tutorial",
        "training": {"data": "GOES-16 ABI AOD", "synthetic": False},
    },
)
print(model.card)

# %% [markdown]
# Scores in the east, in log space, on all cells that were seen, beside the same scores of interpolation.

# %%
given = coarse.sel(lon=east).isel(time=[4, 16])
truth = fine.sel(lon=east, time=given.time)
options = {"domain_check": "ignore", "progress": False}


def logged(field: xr.DataArray) -> np.ndarray:
    """ln(AOD + 0.001) on the cells of the truth, shape (realization, time, lat, lon)."""
    return np.log(field.sel(lat=truth.lat, lon=truth.lon, method="nearest").values + 1e-3)


seen = np.log(truth.values + 1e-3)
members = logged(xdownscale.predict(given, model, members=8, sampler=Sampler("midpoint", 8), **options))
mean = logged(xdownscale.predict(given, model, product="mean", **options))[0]
known = np.isfinite(members).all(axis=0) & np.isfinite(seen)
seen = np.where(known, seen, np.nan)
scores = {"goes16": (crps(members, seen), r2(mean, seen))}
for name in ("nearest", "bilinear", "bicubic"):
    field = logged(xdownscale.predict(given, interpolation(name, model.card), **options))[0]
    scores[name] = mae(field, seen), r2(field, seen)
print(f"{int(known.sum())} cells, spread/skill {spread_skill(members, seen):.2f}")
print(f"{'':10} CRPS or MAE      R2")
for name, (error, fit) in scores.items():
    print(f"{name:10} {error:11.4f} {fit:7.3f}")
