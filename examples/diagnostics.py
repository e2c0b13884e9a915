# %% [markdown]
# # Is it right? A downscaled field beside its truth
#
# A judgement needs a truth. Here it comes from the package's nature run: a few days of simulated dust over
# Mesopotamia, on the fine grid, in weather that `jja_asia` was not trained on. Its coarse mean is the input.
# What comes out says how the model does in its own simulated world, and nothing about the real one.

# %%
# %matplotlib inline
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

import xdownscale
from xdownscale import nature_run
from xdownscale.diagnostics import compare_semivariograms
from xdownscale.models.baselines import interpolation
from xdownscale.plot import errors, power_spectrum
from xdownscale.plot import semivariogram as draw
from xdownscale.plot.day import beside

folder = Path(mkdtemp())
run = nature_run.NatureRun("2005-06-20", days=12, seed=3, region=(26.0, 34.0, 42.0, 51.0))
simulated, twin = nature_run.to_datasets(run)
coarse = twin["DUEXTTAU"]
print(coarse.sizes, "to", simulated["DUEXTTAU"].sizes)

# %% [markdown]
# Eight days are drawn, four members each, with up to four days before them as their history. The truth is cut
# to the cells of the result: those that whole coarse cells cover.

# %%
lazy = coarse.chunk(time=1).downscale.predict("jja_asia", members=4, seed=1)
fine = lazy.isel(time=slice(4, None)).load()
truth = simulated["DUEXTTAU"].sel(time=fine["time"])
truth = truth.sel(lat=fine["lat"], lon=fine["lon"], method="nearest", tolerance=1e-3)
truth = truth.assign_coords(lat=fine["lat"], lon=fine["lon"])
given = coarse.sel(time=fine["time"])
figure = beside(given, fine, truth, day=3)
figure.savefig(folder / "day.png")
figure

# %% [markdown]
# ## Is the texture right?
#
# Semivariograms of ln(AOD + 0.001): half the mean squared difference of two cells by their distance. A ratio
# of one is what to look for, at short distances above all: further apart the coarse field does the work.


# %%
def log(field):
    """ln(AOD + 0.001), in which dust is nearer to Gaussian."""
    return np.log(field + 1e-3).assign_attrs(units="1")


model = xdownscale.resolve("jja_asia")
bilinear = given.downscale.predict(interpolation("bilinear", model.card))
lags = [7.0 * n for n in range(1, 25)]
curves = {
    name: log(field).downscale.semivariogram(lags=lags, model=None)
    for name, field in (("truth", truth), ("members", fine), ("bilinear", bilinear))
}
texture = {name: curve.semivariance / curves["truth"].semivariance for name, curve in curves.items()}
away = curves["truth"].distance
for name in ("members", "bilinear"):
    near, far = float(texture[name][0]), float(texture[name][-1])
    print(
        f"{name:8} over truth: {near:.2f} at {float(away[0]):.0f} km, {far:.2f} at {float(away[-1]):.0f} km"
    )
figure = draw(compare_semivariograms(curves))
figure.savefig(folder / "semivariogram.png")
figure

# %% [markdown]
# ## By wavenumber
#
# The spectrum asks the same of waves. The *effective resolution* is the shortest wavelength down to which the
# power is within a factor of two of the truth's.

# %%
spectrum = log(fine).downscale.spectrum(truth=log(truth))
smooth = log(bilinear).downscale.spectrum(truth=log(truth))
for name, one in (("members", spectrum), ("bilinear", smooth)):
    print(f"effective resolution of {name}: {float(one.effective_resolution):.0f} km")
figure = power_spectrum(spectrum)
figure.savefig(folder / "spectrum.png")
figure

# %% [markdown]
# ## Are the values right, wherever they lie?
#
# The Wasserstein distance is how far values must be moved to make one distribution of the other. Two samples
# of one process differ too: with `null=200` days are dealt at random 200 times to show by how much. A
# distance below the 95 % line is no more than chance. With so few days that is a weak test: failing to see a
# difference is not seeing that there is none. And the days are the same in both, which makes it weaker still.

# %%
distance = fine.downscale.wasserstein(truth, transform="log10", null=200)
print(f"W1 {float(distance.w1):.4f} of log10(AOD)")
print(f"by chance below {float(distance.null_95):.4f} in 95 of 100 deals; p = {float(distance.p_value):.2f}")

# %% [markdown]
# ## Are they right where they lie?
#
# The CRPS is the error of an ensemble, and the mean absolute error where there is a single field. Spread over
# skill is one where the members' spread is as large as the error of their mean. All of it is beside
# interpolation, since a perfect coarse mean alone scores well: `r2` shows it. In log space an interpolation
# is one of the logarithms and keeps no coarse mean, hence its bias.

# %%
scores = fine.downscale.scores(truth, coarse=given, baselines=["nearest", "bilinear", "bicubic"], space="log")
for name in scores["source"].values:
    one = scores.sel(source=name)
    print(f"{name:10} CRPS {float(one.crps):.4f}   R2 {float(one.r2):.3f}   bias {float(one.bias):+.4f}")
print(f"spread/skill of the prediction {float(scores.spread_skill.sel(source='prediction')):.2f}")
figure = errors(scores)
figure.savefig(folder / "errors.png")
figure

# %% [markdown]
# ## All of it on one page
#
# `evaluate` gives everything as one Dataset, `report` as one page of HTML with its figures inside.

# %%
everything = fine.downscale.evaluate(truth, given)
page = fine.downscale.report(folder / "report.html", truth, given)
print(f"{len(everything.data_vars)} variables; the page has {page.stat().st_size / 1e6:.1f} MB: {page}")
