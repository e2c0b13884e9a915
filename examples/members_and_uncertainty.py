# %% [markdown]
# # Members, and what they know together
#
# A coarse field does not say what lies below its cells. An ensemble answers with several fields that all fit
# it. This page makes eight of them and asks three things: where do they differ, how likely is an aerosol
# optical depth (AOD) above 0.7, and why is the ensemble's mean no field of its own?
#
# The sample is *simulated* dust. There is no truth beside it, so nothing here says whether the members are
# right: `diagnostics.py` asks that, where a truth is known.

# %%
# %matplotlib inline
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

import xdownscale
from xdownscale.diagnostics import compare_semivariograms, semivariogram
from xdownscale.plot import fields
from xdownscale.plot import semivariogram as draw

folder = Path(mkdtemp())
coarse = xdownscale.open_sample()["DUEXTTAU"].isel(lat=slice(18, 28), lon=slice(8, 20))

# %% [markdown]
# The input is put on dask, so that only what is asked for is drawn: the last day, with the days before it as
# its history.

# %%
lazy = coarse.chunk(time=1).downscale.predict("jja_asia", members=8, seed=1)
members = lazy.isel(time=-1).load()
mean = members.mean("realization", keep_attrs=True)
spread = members.std("realization", ddof=1, keep_attrs=True)
print(members.sizes)

# %% [markdown]
# ## Where do they differ?
#
# The spread is the standard deviation over members. It is large where there is much dust, so its share of the
# mean tells more: that is what the coarse field leaves open.

# %%
share = (spread / mean).assign_attrs(long_name="spread over mean", units="1")
low, high = (float(share.quantile(q)) for q in (0.05, 0.95))
print(f"the spread is {low:.2f} to {high:.2f} of the mean in 90 % of the cells")
figure = fields({"spread": spread, "spread over mean": share}, shared=False, colours="magma")
figure.savefig(folder / "spread.png")
figure

# %% [markdown]
# ## How likely is an AOD above 0.7?
#
# At each fine cell, the share of members above it. Eight members know eighths only, and a probability is
# worth as much as the model's spread is: `jja_asia` has its scores on its card.

# %%
threshold = 0.7
probability = (members > threshold).mean("realization")
probability.attrs = {"long_name": f"share of members with AOD > {threshold}", "units": "1"}
figure = fields({"probability": probability}, limits=(0, 1), colours="cividis")
figure.savefig(folder / "probability.png")
figure

# %% [markdown]
# No coarse cell of this day is above it: they are means over some 50 by 60 km. Fine cells inside of them are.
# The highest values belong to single members, and their mean is lower.

# %%
weight = np.cos(np.deg2rad(members["lat"]))
day = coarse.isel(time=-1)
highest = {
    "coarse": float(day.max()),
    "mean": float(mean.max()),
    "members": float(members.max(["lat", "lon"]).mean()),
}
above = float(probability.weighted(weight).mean())
coarse_above = float((day > threshold).mean())
print(f"above {threshold}: {above:.1%} of the area in the members, {coarse_above:.1%} of the coarse cells")
print("highest AOD:", ", ".join(f"{name} {value:.2f}" for name, value in highest.items()))

# %% [markdown]
# ## The mean is no field
#
# Where members disagree their mean takes the middle, and fine structure goes. The semivariogram shows it:
# half the mean squared difference of two cells by their distance, here of ln(AOD + 0.001). At short distances
# the mean has less than the members; far apart, where the coarse field rules, they agree. So scores of single
# cells are for the mean, and texture, extremes and plumes are for members.


# %%
def log(field):
    """ln(AOD + 0.001), in which dust is nearer to Gaussian."""
    return np.log(field + 1e-3).assign_attrs(units="1")


lags = [7.0 * n for n in range(1, 25)]
curves = {
    "members": semivariogram(log(members), lags=lags, model=None),
    "ensemble mean": semivariogram(log(mean), lags=lags, model=None),
}
ratio = curves["ensemble mean"].semivariance / curves["members"].semivariance
distance = curves["members"].distance
for k in (0, len(ratio) - 1):
    print(f"at {float(distance[k]):.0f} km the mean has {float(ratio[k]):.2f} of the members' semivariance")
figure = draw(compare_semivariograms(curves))
figure.savefig(folder / "semivariogram.png")
figure

# %% [markdown]
# ## The same seed, the same bits
#
# Noise is keyed by seed, member, time and cell. Ask for two members, or for a part of the region, and they
# are what they were among eight.

# %%
again = coarse.chunk(time=1).downscale.predict("jja_asia", members=2, seed=1).isel(time=-1).load()
print("the first two members have the same bits:", bool((again == members.isel(realization=[0, 1])).all()))
print(f"figures are in {folder}")
