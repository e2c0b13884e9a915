# %% [markdown]
# # From coarse to fine in one call
#
# The bundled sample is six coarse days of *simulated* dust (0.5 x 0.625 degree) that the bundled model has
# not seen. It is drawn on the grid of 0.0625 degree, as an ensemble; nothing is downloaded.

# %%
# %matplotlib inline
from pathlib import Path
from tempfile import mkdtemp

import xdownscale
from xdownscale.plot import overview

coarse = xdownscale.open_sample()["DUEXTTAU"].isel(lat=slice(18, 30), lon=slice(8, 22))
print(coarse)

# %% [markdown]
# The plan first: what was found in the input, on which grids and patches, and what it will cost.

# %%
print(coarse.downscale.explain("jja_asia", members=3))

# %% [markdown]
# Each day is drawn with the days before it as its history. A draw depends on the model, the input and the
# seed alone: members asked one by one, with longitudes from 0 to 360 or time in other units are the same.

# %%
fine = coarse.downscale.predict("jja_asia", members=3, seed=1)
print(fine)

# %% [markdown]
# Every member keeps the coarse mean of the input; they differ in what the coarse field does not tell.

# %%
last = fine.isel(time=-1)
print(f"AOD {float(last.min()):.3f} to {float(last.max()):.3f}")
print(f"standard deviation of the members, mean over cells: {float(last.std('realization').mean()):.4f}")

# %%
folder = Path(mkdtemp())
xdownscale.to_dataset(fine).to_netcdf(folder / "fine.nc")
figure = overview(coarse, fine, day=-1)
figure.savefig(folder / "fine.png")
print(f"wrote fine.nc and fine.png in {folder}")
figure
