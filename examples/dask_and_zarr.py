# %% [markdown]
# # Long records: dask, a store, and a job that is killed
#
# A record of years does not fit in memory, and a job of hours does not always end. Here a small one is broken
# off in the middle and gone on with. All of it is as with a long one; see also docs/dask_and_zarr.md.

# %%
from pathlib import Path
from tempfile import mkdtemp

import dask
import xarray as xr
from dask.callbacks import Callback

import xdownscale

folder = Path(mkdtemp())
sample = xdownscale.open_sample()["DUEXTTAU"].isel(lat=slice(20, 26), lon=slice(10, 16))

# %% [markdown]
# ## Lazy in, lazy out
#
# Input on dask gives a result on dask. Nothing is drawn until something is asked for, and then only that.

# %%
coarse = sample.chunk(time=2)
lazy = coarse.downscale.predict("jja_asia", members=2, seed=1)
print(f"{lazy.sizes}, chunks {lazy.chunksizes['time']}, computed: {not dask.is_dask_collection(lazy)}")
one = lazy.isel(realization=1, time=3).load()
print(f"one day of one member, mean AOD {float(one.mean()):.3f}")

# %% [markdown]
# ## A store
#
# `to_zarr` writes block by block, here a member and two days each, six in all. Somebody presses Ctrl-C when
# three are done.

# %%
store = folder / "fine.zarr"
job = {"members": 2, "seed": 1, "chunks": {"time": 2}}


class CtrlC(Callback):
    """An interrupt after some blocks."""

    def _posttask(self, *_):
        if len(list((store / "ledger" / "blocks").glob("*.json"))) == 3:
            raise KeyboardInterrupt


try:
    with CtrlC(), dask.config.set(scheduler="synchronous"):
        coarse.downscale.to_zarr(store, "jja_asia", **job)
except KeyboardInterrupt:
    print("interrupted")
interrupted = xdownscale.verify(store)
print(f"{interrupted.done} of {interrupted.blocks} blocks are done, sound: {interrupted.sound}")

# %% [markdown]
# ## Going on
#
# The same call goes on: it reads what is done, and draws what is not. A call with another seed is refused.

# %%
try:
    coarse.downscale.to_zarr(store, "jja_asia", **(job | {"seed": 2}))
except ValueError as error:
    print(f"refused: {error}")
coarse.downscale.to_zarr(store, "jja_asia", **job)
finished = xdownscale.verify(store)
print(finished)

# %% [markdown]
# The bits are those of the lazy result, and of one that was never on dask.

# %%
with xr.open_zarr(store, consolidated=False) as stored:
    written = stored["DUEXTTAU"].load()
whole = sample.downscale.predict("jja_asia", members=2, seed=1)
print("as in memory:", bool((written.values == whole.values).all()))
print("as the one lazy day:", bool((written.isel(realization=1, time=3).values == one.values).all()))

# %% [markdown]
# ## Damage
#
# A flipped bit in a chunk is found by `verify`, and the same call draws that block anew.

# %%
chunk = min(path for path in (store / "DUEXTTAU" / "c").rglob("*") if path.is_file())
content = bytearray(chunk.read_bytes())
content[len(content) // 2] ^= 1
chunk.write_bytes(content)
damaged = xdownscale.verify(store)
print(damaged)
coarse.downscale.to_zarr(store, "jja_asia", **job)
mended = xdownscale.verify(store)
print(f"mended: {mended.complete}")
