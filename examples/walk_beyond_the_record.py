# %% [markdown]
# # A walk beyond the record
#
# Fine records are short, coarse ones long. Where the fine record ends, its last day is a seed: each following
# day is drawn from the coarse field of that day and from the fine field of the day before, which is the
# member's own. Here this goes on for thirty days, and is compared with days drawn each by itself.
#
# The model must have been trained to be told the day before: `TrainConfig(state=0.5)`. No bundled model was,
# so a tiny one is trained here within a minute or so, on a small box of simulated dust. It is far from a good
# model; what the page shows is how a walk is made and how it is watched.

# %%
# %matplotlib inline
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from matplotlib.figure import Figure

import xdownscale
from xdownscale import TrainConfig, nature_run
from xdownscale.diagnostics import drift
from xdownscale.models.baselines import interpolation
from xdownscale.plot import fields

folder = Path(mkdtemp())
IRAQ = (29.0, 36.0, 41.0, 50.0)  # south, north, west, east

# %%
simulated, twin = nature_run.to_datasets(nature_run.NatureRun("2005-06-05", days=40, seed=1, region=IRAQ))
model = xdownscale.train(
    twin["DUEXTTAU"],
    simulated["DUEXTTAU"],
    config=TrainConfig(
        steps=300,
        batch=4,
        days=2,
        crop=64,
        channels=(16, 24, 32),
        blocks=1,
        transfer="none",
        state=0.5,
        ema=0.98,
    ),
    card={
        "name": "walker",
        "months": [6, 7, 8],
        "training": {"data": "a small nature run", "synthetic": True},
    },
)

# %% [markdown]
# ## The walk
#
# Another seed is other weather. Its first day is the last of the fine record; of the thirty days that follow
# the model is told the coarse field alone. Their truth is kept for the judge.

# %%
simulated, twin = nature_run.to_datasets(nature_run.NatureRun("2005-07-01", days=31, seed=3, region=IRAQ))
coarse = twin["DUEXTTAU"].isel(time=slice(1, None))
smooth = coarse.downscale.predict(interpolation("bicubic", model.card), domain_check="ignore")
known = simulated["DUEXTTAU"].sel(lat=smooth["lat"], lon=smooth["lon"], method="nearest", tolerance=1e-3)
known = known.assign_coords(lat=smooth["lat"], lon=smooth["lon"])
seed, truth = known.isel(time=[0]), known.isel(time=slice(1, None))

options = {"members": 2, "seed": 1, "domain_check": "ignore"}
walks = {
    "autoregressive": coarse.downscale.predict(model, coherence="autoregressive", state=seed, **options),
    "independent": coarse.downscale.predict(model, **options),
}
last = {
    "truth": truth.isel(time=-1),
    "the walk's member 0": walks["autoregressive"].isel(time=-1, realization=0),
}
figure = fields(last)
figure.savefig(folder / "last_day.png")
figure

# %% [markdown]
# ## Does it drift?
#
# `drift` sets each day against the truth's, in ln(AOD + 0.001): the ratio of the variances, and that of the
# spectra by wavelength. A walk that feeds on itself may fade or run wild, and slowly. The weather moves the
# ratios too: days that are drawn each by itself cannot drift, so they are the ones to compare with. Here both
# rise and fall together, and the walk keeps the power it began with. On most days both have less than the
# truth: the training was short.


# %%
def log(field):
    """ln(AOD + 0.001), in which dust is nearer to Gaussian."""
    return np.log(field + 1e-3).assign_attrs(units="1")


drifts = {name: drift(log(walk), log(truth)) for name, walk in walks.items()}
figure = Figure(figsize=(10.0, 3.6), layout="constrained")
axes = figure.subplots(1, 2, sharex=True)
for name, found in drifts.items():
    days = found["lead"] + 1
    axes[0].plot(days, found["variance_ratio"], label=name)
    axes[1].plot(days, found["spectral_ratio"].isel(band=2), label=name)
for axis, title in zip(axes, ("variance", "power between 4 and 16 cells"), strict=True):
    axis.axhline(1.0, color="black", linewidth=0.8)
    axis.set(title=f"{title}, over the truth's", xlabel="day of the walk")
axes[0].legend()
figure.savefig(folder / "drift.png")
for name, found in drifts.items():
    small = found["spectral_ratio"].isel(band=2)
    first, second = float(small[:10].mean()), float(small[-10:].mean())
    print(
        f"{name:14} power between 4 and 16 cells: {first:.2f} in the first ten days, {second:.2f} in the last"
    )
figure

# %% [markdown]
# ## What the walk is for
#
# Days that are drawn each by itself know nothing of each other: what they have in common is what the coarse
# field and the place tell. So their detail (what a bicubic interpolation lacks) is remembered from day to day
# less than the truth's is. The walk is told the day before, and comes nearer.


# %%
def memory(field):
    """Correlation of the detail with that of the day before."""
    detail = log(field) - log(smooth.isel(realization=0).drop_vars("realization"))
    before, after = detail.isel(time=slice(None, -1)), detail.isel(time=slice(1, None))
    return float((before.values * after.values).mean() / (detail.values**2).mean())


memories = {name: memory(field) for name, field in {"truth": truth, **walks}.items()}
for name, value in memories.items():
    print(f"{name:14} correlation of detail with the day before: {value:.2f}")
print(f"figures are in {folder}")
