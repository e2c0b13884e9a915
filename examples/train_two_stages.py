# %% [markdown]
# # A model of your own, in two stages
#
# Stage 1 learns an encoder from a long coarse record; stage 2 freezes it and trains the denoiser on the days
# for which a fine truth exists. Here both come from a small nature run and the training is far too short to
# be good: it shows the steps and how a model is judged. With real data, `open_merra2` and `open_g5nr` take
# the place of the simulation.

# %%
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

import xdownscale
from xdownscale import nature_run
from xdownscale.diagnostics import crps, mae
from xdownscale.training import PretrainConfig, TrainConfig

IRAQ = (29.0, 36.0, 41.0, 50.0)  # south, north, west, east
record = nature_run.NatureRun("2004-05-20", days=90, seed=2, region=IRAQ, stride=4)
season = nature_run.NatureRun("2005-06-01", days=48, seed=1, region=IRAQ)
unseen = nature_run.NatureRun("2005-07-01", days=8, seed=3, region=IRAQ)

# %%
_, long = nature_run.to_datasets(record)
fine, coarse = nature_run.to_datasets(season)
encoder = xdownscale.pretrain(long.DUEXTTAU, config=PretrainConfig(steps=40, batch=4, crop=12))
model = xdownscale.train(
    coarse.DUEXTTAU,
    fine.DUEXTTAU,
    encoder,
    config=TrainConfig(steps=60, batch=4, days=2, crop=64, channels=(16, 24, 32), blocks=1),
    card={"name": "iraq", "months": [6, 7], "training": {"data": "a small nature run", "synthetic": True}},
)
print(model.card)

# %% [markdown]
# On days of a seed that neither stage has seen: the fair CRPS of the members beside the error of their
# conditional mean, in log space.

# %%
truth, given = nature_run.to_datasets(unseen)
members = given.DUEXTTAU.downscale.predict(model, members=4, domain_check="ignore").isel(time=[-1])
truth = truth.DUEXTTAU.isel(time=[-1]).sel(lat=members.lat, lon=members.lon, method="nearest")
log_members, log_truth = np.log(members.values + 1e-3), np.log(truth.values + 1e-3)
print(f"CRPS {crps(log_members, log_truth):.3f}, MAE of one member {mae(log_members[0], log_truth):.3f}")

# %%
path = Path(mkdtemp()) / "iraq.safetensors"
digest = xdownscale.save(model, path, dtype="float16")
print(f"wrote {path}, sha256 {digest[:12]}: predict takes the path for a model")
