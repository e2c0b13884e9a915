"""The promises, one function each: what was found against what is expected, on example fields of a model.

A check never says more than it measured. Bits are compared as bits. Fields are small and drawn in one piece
unless a check is about patches, so that the whole suite takes a minute for a model of a million weights.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdownscale.cf import to_dataset
from xdownscale.checkpoint import load, save
from xdownscale.grid import coarsening, refined
from xdownscale.inference.field import predict
from xdownscale.models import Card
from xdownscale.patches import Tiling
from xdownscale.testing.example import example, home, room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from xdownscale.grid import Grid
    from xdownscale.models import Downscaler

__all__ = ["PROMISES", "Subject", "Verdict"]

_SHAPE = (6, 8)
_INWARDS = 128
_FRAMELESS = 1e-2
_CONSERVED = 1e-5
_SPREAD = (0.05, 5.0)


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes
    ----------
    kept : bool or None
        Whether the promise is kept; None where it does not apply.
    found, expected : str
    """

    kept: bool | None
    found: str
    expected: str


class Subject:
    """A model under examination, and the fields that several checks look at.

    Parameters
    ----------
    model : Downscaler
    seed : int
        Of the example fields and of the draws.
    device : str
    """

    def __init__(self, model: Downscaler, seed: int = 0, device: str = "cpu") -> None:
        self.model, self.card, self.seed, self.device = model, model.card, seed, device

    @cached_property
    def coarse(self) -> xr.DataArray:
        """Three days, canonical."""
        return example(self.model, shape=_SHAPE, seed=self.seed)

    @cached_property
    def drawn(self) -> xr.DataArray:
        """Two members of them."""
        return self.draw()

    @cached_property
    def grids(self) -> tuple[Grid, Grid]:
        """Windows of input and output."""
        grid = home(self.model, _SHAPE)
        return grid, refined(grid, self.model.fine)

    @property
    def random(self) -> bool:
        """Whether draws differ: there is a network, and it was trained to draw."""
        return self.card.architecture["denoiser"] is not None and self.card.process != "regression"

    def draw(self, da: xr.DataArray | None = None, model: Any = None, **options: Any) -> xr.DataArray:
        """Two members in one piece, unless options say otherwise."""
        usual: dict[str, Any] = {
            "members": 2,
            "seed": self.seed,
            "tiling": Tiling(patch=None, halo=8),
            "domain_check": "ignore",
            "device": self.device,
            "progress": False,
        }
        return predict(self.coarse if da is None else da, model or self.model, **(usual | options))

    def coarse_mean(self, field: NDArray[Any]) -> NDArray[np.float64]:
        """Conservative means of fine fields, shape (..., NY, NX)."""
        grid, fine = self.grids
        operator = coarsening(fine, grid)
        flat = field.reshape(-1, *field.shape[-2:])
        return np.stack([operator(f) for f in flat]).reshape(*field.shape[:-2], *grid.shape)


def card(subject: Subject) -> Verdict:
    """The card survives JSON."""
    again = Card.from_json(subject.card.to_json())
    return Verdict(again == subject.card, "equal" if again == subject.card else "another card", "equal")


def domain(subject: Subject) -> Verdict:
    """A field with the card's own quantiles, region and months is in the model's domain."""
    if not subject.card.source_quantiles:
        return _not_for("the card has no source quantiles")
    subject.draw(subject.coarse[:1], members=1, product="mean", domain_check="raise")
    return Verdict(True, "accepted", "accepted by domain_check='raise'")


def grid(subject: Subject) -> Verdict:
    """Output lies on the cells of the card's fine grid that the coarse cells cover, exactly."""
    fine, out = subject.grids[1], subject.drawn
    y, x = (out[d].values for d in out.dims[-2:])
    if (y.size, x.size) != fine.shape:
        return Verdict(False, f"{y.size} x {x.size} cells", f"{fine.shape[0]} x {fine.shape[1]}")
    apart = x - fine.x.values
    if fine.x.period:
        apart = (apart + 180.0) % 360.0 - 180.0
    worst = max(np.abs(y - fine.y.values).max(), np.abs(apart).max()) / fine.y.step
    return Verdict(bool(worst < 1e-6), f"off by {worst:.1e} cells", "below 1e-6 cells")


def units(subject: Subject) -> Verdict:
    """Units, standard name and name of the output are the card's."""
    wanted = {"units": subject.card.units, "standard_name": subject.card.standard_name}
    found = {k: subject.drawn.attrs.get(k, "") for k in wanted} | {"name": subject.drawn.name}
    wanted |= {"name": subject.card.variable}
    return Verdict(found == wanted, str(found), str(wanted))


def values(subject: Subject) -> Verdict:
    """Draws are finite, within 100 times the card's range, and not negative where the quantity is not."""
    drawn, (low, high) = subject.drawn.values, subject.card.value_range
    floor = -100 * abs(low) if subject.card.signed else 0.0
    kept = bool(np.isfinite(drawn).all() and drawn.min() >= floor and drawn.max() <= 100 * abs(high))
    return Verdict(kept, f"{drawn.min():.3g} to {drawn.max():.3g}", f"{floor:.3g} to {100 * abs(high):.3g}")


def seed(subject: Subject) -> Verdict:
    """The same seed gives the same bits; another seed, where the model draws, another field."""
    same = _same(subject.draw(), subject.drawn)
    if not subject.random or not same.kept:
        return same
    other = subject.draw(seed=subject.seed + 1)
    share = float(np.mean(other.values == subject.drawn.values))
    return Verdict(
        share < 0.5, f"another seed repeats {share:.0%} of the values", "the same bits; below 50 %"
    )


def members(subject: Subject) -> Verdict:
    """A member is the same however many are asked for."""
    return _same(subject.draw(members=1), subject.drawn[:1])


def spread(subject: Subject) -> Verdict:
    """Members differ in every coarse cell, by an amount of the order of the residual that was learned."""
    if not subject.random:
        return _not_for("draws of this model are all the same")
    drawn = np.asarray(subject.model.scaling.forward(subject.draw(members=8)[:, 0].values), dtype=np.float64)
    deviation = drawn.std(axis=0, ddof=1)
    least = float(subject.coarse_mean(deviation).min())
    ratio = float(deviation.mean()) / subject.card.residual_scale
    kept = least > 0 and _SPREAD[0] < ratio < _SPREAD[1]
    return Verdict(
        kept,
        f"{ratio:.2f} residual scales, at least {least / subject.card.residual_scale:.2f} in any coarse cell",
        f"{_SPREAD[0]} to {_SPREAD[1]}, nowhere 0",
    )


def coarse_consistency(subject: Subject) -> Verdict:
    """The conservative coarse mean of each draw, and of the mean, is the input."""
    given = subject.coarse.values
    scale = np.abs(given) if not subject.card.signed else np.full_like(given, given.std())
    mean = subject.draw(product="mean")
    worst = max(
        float(np.max(np.abs(subject.coarse_mean(out.values) - given) / np.maximum(scale, 1e-12)))
        for out in (subject.drawn, mean)
    )
    return Verdict(worst < _CONSERVED, f"off by {worst:.1e}", f"below {_CONSERVED} of the input")


def flip(subject: Subject) -> Verdict:
    """Rows in falling order: the same bits, in the user's order."""
    return _same(subject.draw(subject.coarse[:, ::-1])[..., ::-1, :], subject.drawn)


def roll(subject: Subject) -> Verdict:
    """Longitudes a whole turn away: the same bits."""
    if subject.grids[0].x.kind != "longitude":
        return _not_for("the card's grid is a plane")
    x = subject.coarse.dims[-1]
    turn = 360.0 if float(subject.coarse[x].mean()) < 0 else -360.0
    moved = subject.draw(subject.coarse.assign_coords({x: subject.coarse[x] + turn}))
    return _same(moved, subject.drawn)


def dimensions(subject: Subject) -> Verdict:
    """Dimensions in another order: the same bits."""
    time, y, x = subject.coarse.dims
    out = subject.draw(subject.coarse.transpose(x, time, y))
    return _same(out.transpose(*subject.drawn.dims), subject.drawn)


def dtype(subject: Subject) -> Verdict:
    """float32, big-endian and read-only values: the bits of the same values in float64."""
    single = subject.coarse.astype(np.float32)
    verdict = _same(subject.draw(single), subject.draw(single.astype(np.float64)))
    if not verdict.kept:
        return verdict
    foreign = subject.coarse.copy(data=subject.coarse.values.astype(">f8"))
    foreign.values.flags.writeable = False
    return _same(subject.draw(foreign), subject.drawn)


def time_unit(subject: Subject) -> Verdict:
    """Times in s, ms and us: the bits of those in ns."""
    stamps = subject.coarse["time"].values
    found = [
        _same(subject.draw(subject.coarse.assign_coords(time=stamps.astype(f"M8[{u}]"))), subject.drawn)
        for u in ("s", "ms", "us")
    ]
    return next((v for v in found if not v.kept), found[0])


def batch(subject: Subject) -> Verdict:
    """Patches one by one and three by three: the same bits."""
    tiling = {n: Tiling(patch=48, halo=8, ramp=8, batch=n) for n in (1, 3)}
    return _same(*(subject.draw(subject.coarse[:1], tiling=t) for t in tiling.values()))


def chunk(subject: Subject) -> Verdict:
    """On dask in any chunks: the bits of the field in memory, and nothing computed before it is asked for."""
    found = []
    for chunks in ({"time": 1}, {"time": 2}, {"time": -1, subject.coarse.dims[1]: 2}):
        lazy = subject.draw(subject.coarse.chunk(chunks))
        if lazy.chunks is None:
            return Verdict(False, "computed at once", "lazy")
        found.append(_same(lazy.compute(scheduler="threads"), subject.drawn))
    return next((v for v in found if not v.kept), found[0])


def crop(subject: Subject) -> Verdict:
    """Well inside a crop the field is that of the whole: what a cell becomes does not depend on the frame."""
    coarse, fine = subject.grids
    ratio = coarse.y.step / fine.y.step, coarse.x.step / fine.x.step
    inner = [2 * int(np.ceil(_INWARDS / r)) + 4 for r in ratio]
    beyond = [int(np.ceil(24 / r)) for r in ratio]
    shape = (inner[0] + 2 * beyond[0], inner[1] + 2 * beyond[1])
    if any(have < want for have, want in zip(room(subject.model), shape, strict=True)):
        return _not_for(f"the region has fewer than {shape[0]} x {shape[1]} coarse cells")
    whole = example(subject.model, days=1, shape=shape, seed=subject.seed)
    part = whole[:, beyond[0] : beyond[0] + inner[0], beyond[1] : beyond[1] + inner[1]]
    options: dict[str, Any] = {"members": 1, "conserve": False, "tiling": Tiling(patch=None)}
    a, b = subject.draw(whole, **options), subject.draw(part, **options)
    y, x = b.dims[-2:]
    b = b.isel({y: slice(_INWARDS, -_INWARDS), x: slice(_INWARDS, -_INWARDS)})
    a = a.sel({y: b[y], x: b[x]}, method="nearest")
    forward = subject.model.scaling.forward
    apart = np.asarray(forward(a.values)) - np.asarray(forward(b.values))
    off = float(np.sqrt(np.mean(apart**2))) / subject.card.residual_scale
    return Verdict(
        off < _FRAMELESS, f"off by {off:.1e} residual scales", f"below {_FRAMELESS}, {_INWARDS} cells inside"
    )


def gaps(subject: Subject) -> Verdict:
    """A missing coarse cell is missing in the output, but for cells that a known neighbour shares."""
    da = subject.coarse.copy()
    i, j = da.shape[1] // 2, da.shape[2] // 2
    da[1, i, j] = np.nan
    out = subject.draw(da)
    before = _same(out[:, :1], subject.drawn[:, :1])
    if not before.kept:
        return Verdict(False, f"the day before: {before.found}", "the same bits")
    share = subject.coarse_mean(np.isnan(out.values[0, 1]).astype(float))
    own, share[i, j] = share[i, j], 0.0
    coarse, fine = subject.grids
    least = (1 - fine.y.step / coarse.y.step) * (1 - fine.x.step / coarse.x.step) - 1e-6
    return Verdict(
        bool(own >= least and share.max() <= 1 - least),
        f"{own:.0%} of the cell, up to {share.max():.0%} of a neighbour",
        f"at least {least:.0%}, at most {1 - least:.0%}",
    )


def empty_day(subject: Subject) -> Verdict:
    """A day without values is missing in the output; the day before has the same bits."""
    da = subject.coarse.copy()
    da[1] = np.nan
    out = subject.draw(da)
    known = bool(np.isnan(out.values[:, 1]).all() and np.isfinite(out.values[:, 2]).all())
    return _same(out[:, :1], subject.drawn[:, :1]) if known else Verdict(False, "values", "NaN that day only")


def save_and_load(subject: Subject) -> Verdict:
    """A checkpoint written and read again: the same card, the same bits."""
    with tempfile.TemporaryDirectory() as folder:
        save(subject.model, Path(folder, "model.safetensors"))
        again = load(Path(folder, "model.safetensors"))
    if again.card != subject.card:
        return Verdict(False, "another card", "the same card and bits")
    return _same(subject.draw(subject.coarse[:1], again), subject.draw(subject.coarse[:1]))


def pickled(subject: Subject) -> Verdict:
    """The model, and a lazy result, sent through pickle: the same bits."""
    lazy = pickle.loads(pickle.dumps(subject.draw(subject.coarse.chunk(time=1))))  # noqa: S301 - our own
    verdict = _same(lazy.compute(scheduler="synchronous"), subject.drawn)
    if not verdict.kept:
        return verdict
    again = pickle.loads(pickle.dumps(subject.model))  # noqa: S301
    return _same(subject.draw(model=again), subject.drawn)


def cf(subject: Subject) -> Verdict:
    """Written as netCDF and read again: conventions, axes, bounds, grid mapping and values are there."""
    import xarray as xr

    with tempfile.TemporaryDirectory() as folder:
        to_dataset(subject.drawn).to_netcdf(Path(folder, "out.nc"))
        with xr.open_dataset(Path(folder, "out.nc"), decode_coords="all") as dataset:
            found = dataset.load()
    y, x = subject.drawn.dims[-2:]
    variable = found[subject.card.variable]
    lacking = [
        name
        for name, there in {
            "Conventions": "CF-1" in str(found.attrs.get("Conventions", "")),
            "units": variable.attrs.get("units") == subject.card.units,
            "axes": all(found[d].attrs.get("axis") == a for d, a in ((y, "Y"), (x, "X"))),
            "bounds": all(f"{d}_bnds" in found.variables for d in (y, x)),
            "grid mapping": "grid_mapping" in variable.encoding or "grid_mapping" in variable.attrs,
            "training": "downscale_training" in variable.attrs,
            "values": np.array_equal(variable.values, subject.drawn.values),
        }.items()
        if not there
    ]
    return Verdict(not lacking, f"without {', '.join(lacking)}" if lacking else "all there", "all there")


def synthetic(subject: Subject) -> Verdict:
    """A model trained on simulated fields says so in its output."""
    found = str(subject.drawn.attrs.get("downscale_training"))
    wanted = "synthetic" if subject.card.synthetic else "real"
    return Verdict(found == wanted, found, wanted)


def continuation(subject: Subject) -> Verdict:
    """An autoregressive run heeds the day before, and drawn day by day it has the bits of one in one go."""
    if not subject.card.state:
        return _not_for("the model is not told the day before")
    whole = subject.draw(coherence="autoregressive")
    if _same(whole[:, 2:], subject.drawn[:, 2:]).kept:
        return Verdict(False, "the day before changes nothing", "another field than without it")
    lazy = subject.draw(subject.coarse.chunk(time=1), coherence="autoregressive")
    return _same(lazy.compute(scheduler="threads"), whole)


def memory(subject: Subject) -> Verdict:
    """The peak of a block's draw, in a process of its own, stays under the bound that `explain` states."""
    if not Path("/proc/self/clear_refs").exists():
        return _not_for("the peak of a process can be read on Linux only")
    with tempfile.TemporaryDirectory() as folder:
        save(subject.model, Path(folder, "model.safetensors"))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _BLOCK, str(Path(folder, "model.safetensors"))],
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    if done.returncode:
        return Verdict(False, done.stderr.strip().splitlines()[-1], "a draw")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return Verdict(
        found["peak"] <= found["bound"], f"{found['peak'] / 1e6:.0f} MB", f"{found['bound'] / 1e6:.0f} MB"
    )


_BLOCK = """
import json, pathlib, sys
import torch
import xdownscale
from xdownscale.testing import example

def now(name):
    lines = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(lines[name].split()[0])

torch.set_num_threads(1)
model = xdownscale.load(sys.argv[1])
options = {"domain_check": "ignore", "device": "cpu"}
da = example(model, days=4, shape=(16, 16)).chunk(time=-1)
lazy = xdownscale.predict(da, model, **options)
bound = xdownscale.explain(da, model, **options).block_bytes
before = now("VmRSS")
pathlib.Path("/proc/self/clear_refs").write_text("5")
lazy.compute(scheduler="synchronous")
print(json.dumps({"peak": now("VmHWM") - before, "bound": bound}))
"""


def _not_for(why: str) -> Verdict:
    return Verdict(None, why, "")


def _same(a: xr.DataArray, b: xr.DataArray) -> Verdict:
    if a.shape != b.shape:
        return Verdict(False, f"shape {a.shape}", f"shape {b.shape}")
    x, y = a.values, b.values
    differ = int(np.sum((x != y) & ~(np.isnan(x) & np.isnan(y))))
    if not differ:
        return Verdict(True, "the same bits", "the same bits")
    most = float(np.nanmax(np.abs(x.astype(np.float64) - y)))
    return Verdict(False, f"{differ} of {x.size} values differ, by up to {most:.2g}", "the same bits")


PROMISES: Mapping[str, Callable[[Subject], Verdict]] = {
    function.__name__: function
    for function in (
        card, domain, grid, units, synthetic, values, seed, members, spread, coarse_consistency, flip, roll,
        dimensions, dtype, time_unit, batch, chunk, crop, gaps, empty_day, save_and_load, pickled, cf,
        continuation, memory,
    )
}  # fmt: skip
