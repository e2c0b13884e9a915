"""Whole draws: against the paper's recipe, against `diffusers`, and in absolute figures.

The paper's recipe is 16 x 16 patches every 2 cells, each sampled to its end with its own noise in 1000
ancestral steps, averaged with Hann weights (`Tiling(merge="final")`). It runs in full. Its patches are kept
in a folder as they are finished, with the seconds they took, so that a run that was stopped goes on.

Scores need a network that was trained for the paper's process (`--model`); weights trained for another one
cost the same and mean nothing.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from measure import MEGA, Peak, alternate, apart, both_clocks, timed
from networks import SMALL, ancestral, counted, days, draw, located, network, options, sampling
from record import Figure, Result

from xdownscale import Tiling, nature_run
from xdownscale.diagnostics.skill import crps
from xdownscale.grid import refined
from xdownscale.inference.day import lay
from xdownscale.models import conditioning
from xdownscale.noise import shaped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr
    from torch import Tensor

    from xdownscale.models.downscaler import Downscaler

PAPER = Tiling(patch=16, halo=4, ramp=4, stride=2, merge="final", batch=256)
REGION = (25.0, 37.0, 40.0, 54.0)
CORNER = (25.0, 28.0, 40.0, 43.0)
ASIA = (93, 162)  # coarse rows and columns: 10-56 N, 34.375-135 E
FLOOR = 1e-3
_COSTS_ONLY = "no network trained for the paper's process was given (--model): only the cost was measured"


def draw_paper(size: int, asked: Any) -> Result:
    """One draw of `size` fine cells a side: the default, and the paper's recipe in full."""
    size, steps = (16, 3) if asked.small else (size, 1000)
    name = SMALL if asked.small else asked.network
    model = network(name)
    coarse, truth = world(model, size, small=asked.small)
    given = located(model, coarse)
    with counted() as looked:
        (own,) = draw(model, given, options(model))
    once = partial(draw, model, given, options(model))
    turns = [both_clocks(once) for _ in range(3)]
    wall, processor, cells, _ = recipe(ancestral(model, steps), given, size, asked.folder)
    turns += [both_clocks(once) for _ in range(3)]
    clocks = {"wall": ([t[0] for t in turns], [wall]), "processor": ([t[1] for t in turns], [processor])}
    each = sum(looked) / own.size, cells / own.size
    recipe_name = f"the paper's recipe, {steps} steps, the same architecture"
    least = 8000 if size == 128 else None  # what is asked is asked there
    scored, scorers = _scored(model, coarse, truth, recipe_name, (size, steps), asked)
    figures = (
        Figure.faster(
            "evaluations a fine cell",
            [each[0]],
            [each[1]],
            recipe_name,
            at_least=least,
            unit="",
            kind="times fewer",
        ),
        *(
            Figure.faster(f"{name} time of a draw", ours, other, recipe_name, at_least=least)
            for name, (ours, other) in clocks.items()
        ),
        scored,
    )
    sizes = (
        f"{own.shape[-2]} x {own.shape[-1]} fine cells ({coarse.shape[-2]} x {coarse.shape[-1]} coarse ones)"
    )
    margin = "our evaluations count the margin that the domain is given on each side"
    order = "The recipe ran in full; ours three times before it and three times after it."
    return Result(figures, len(turns), (f"{sizes}; network {name}; {margin}.", order, *scorers))


def recipe(
    reference: Downscaler, given: tuple[Any, Any, Any], size: int, folder: Path, member: int = 0
) -> tuple[float, float, int, np.ndarray]:
    """The paper's recipe in full: seconds by the clock and of the processor, cells looked at, the field."""
    kept = Kept(folder / f"paper-{_key(reference)}-{size}-{member}")
    chosen = options(reference, members=(member,), tiling=PAPER, conserve=False)
    with sampling(kept) as kept.sample, counted() as few:
        wall, processor, field = both_clocks(partial(draw, reference, given, chosen))
    return wall + kept.wall, processor + kept.processor, sum(few) + kept.cells, field[0]


def _scored(
    model: Downscaler, coarse: xr.DataArray, truth: np.ndarray, against: str, how: tuple[int, int], asked: Any
) -> tuple[Figure, tuple[str, ...]]:
    """CRPS over the recipe's, by networks that were trained for either process."""
    if not asked.model:
        return score(None, None, truth, against, absent=_COSTS_ONLY), ()
    size, steps = how
    twin, trained = network(asked.twin) if asked.twin else model, ancestral(network(asked.model), steps)
    given, members = located(twin, coarse), range(asked.members)
    own = draw(twin, given, options(twin, members=tuple(members)))
    theirs = np.stack([recipe(trained, given, size, asked.folder, member)[3] for member in members])
    found = score(own, theirs, truth, against, absent=None)
    told = f"CRPS: {asked.members} members of networks {twin.card.name} and {trained.card.name}."
    return found, (told,)


def draw_diffusers(asked: Any) -> Result:
    """Our draw, and the same network in one piece under the loop of `diffusers` with as many evaluations."""
    shape = (4, 5) if asked.small else ASIA
    model = network(SMALL if asked.small else asked.network)
    reference, evaluations = ancestral(model), model.sampler.evaluations
    given = days(model, shape)
    jobs = {
        "ours": partial(draw, model, given, options(model)),
        "diffusers": partial(by_diffusers, reference, given, evaluations, 0),
    }
    rounds = 1 if asked.small else 3
    seconds = alternate(jobs, rounds)
    against = f"DPMSolverMultistepScheduler, {evaluations} evaluations, whole field in one piece"
    fine = refined(given[1], model.fine).shape
    figures = [
        Figure.faster(
            "processor time of a draw", seconds["ours"], seconds["diffusers"], against, at_least=1.0
        )
    ]
    own = theirs = truth = None
    if asked.model:
        twin = network(asked.twin) if asked.twin else model
        trained = ancestral(network(asked.model))
        coarse, truth = world(twin, 16 if asked.small else 128, small=asked.small)
        real = located(twin, coarse)
        own = draw(twin, real, options(twin, members=tuple(range(asked.members))))
        theirs = np.stack([by_diffusers(trained, real, evaluations, m) for m in range(asked.members)])
    figures.append(score(own, theirs, truth, against, absent=None if asked.model else _COSTS_ONLY))
    ours = "Ours has patches of 496 cells, shaped noise, the encoder and exact conservation"
    without = "theirs the encoder, white noise and no conservation"
    sizes = f"{fine[0]} x {fine[1]} fine cells; network {model.card.name}"
    notes = [f"{sizes}.", f"{ours}; {without}."]
    if own is not None:
        notes.append(
            f"CRPS: {asked.members} members on {own.shape[-2]} x {own.shape[-1]} cells of unseen weather, "
            f"networks {twin.card.name} and {trained.card.name}, of one architecture, data and steps."
        )
    return Result(tuple(figures), rounds, tuple(notes))


def by_diffusers(model: Downscaler, given: tuple[Any, Any, Any], evaluations: int, member: int) -> np.ndarray:
    """The last day drawn in one piece by the scheduler's loop."""
    from diffusers import DPMSolverMultistepScheduler

    values, grid, instants = given
    layout = lay(model, grid, Tiling(patch=None))
    y, x = layout.y, layout.x
    window = model.fine.window((y.start, y.size), (x.start, x.size))
    scheduler = DPMSolverMultistepScheduler(
        beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", timestep_spacing="trailing"
    )
    scheduler.set_timesteps(evaluations)
    with torch.inference_mode():
        z = model.scaling.forward(values)
        maps = model.maps(z[None], np.ones_like(z, dtype=bool)[None], grid)
        card = model.card
        static = conditioning.statics(card.statics, window, instants[-1], card.months, model.climatology)
        valid = np.ones(grid.shape, dtype=bool)
        told = conditioning.condition(z[-1], valid, grid, window, method=card.upsampling, maps=static)[None]
        levels = None if maps is None else conditioning.context(maps, grid, window, model.denoiser.strides)
        state = torch.randn((1, 1, *window.shape), generator=torch.Generator().manual_seed(member))
        for t in scheduler.timesteps:
            level = torch.full((1,), float(t + 1) / scheduler.config.num_train_timesteps)
            predicted = model.denoiser(state, level, told, levels)
            state = scheduler.step(predicted, t, state).prev_sample
        residual = state[0, 0].numpy()
    fine = refined(grid, model.fine)
    inner = layout.inner((fine.y.start, fine.y.size), (fine.x.start, fine.x.size))
    base = told[0, 0].numpy()[inner]
    return np.maximum(model.scaling.inverse(base + card.residual_scale * residual[inner]), 0.0)


def day(asked: Any) -> Result:
    """One member of one day of the whole Asian domain: seconds and memory, and a season computed from it."""
    shape = (4, 5) if asked.small else ASIA
    name = SMALL if asked.small else asked.network
    model = network(name)
    given = days(model, shape)
    rounds = 1 if asked.small else 3
    seconds = alternate({"day": partial(draw, model, given, options(model))}, rounds)["day"]
    peak, pixels = apart(memory, name, shape, here=asked.small)
    middle = float(np.median(seconds))
    figures = (
        _amount("one day, one member, processor time", middle, "s", seconds),
        _amount("the same, per megapixel of output", middle / pixels * MEGA, "s"),
        _amount("memory of the draw, per megapixel of output", peak / pixels, "MB"),
        _amount("a season of 92 days, one member, computed as 92 times the day", 92 * middle / 60, "min"),
    )
    return Result(figures, rounds, (_box(model, given, name),))


def day_members(asked: Any) -> Result:
    """Sixteen members of one day of the whole Asian domain, in full, and a season computed from them."""
    shape, members = ((4, 5), 3) if asked.small else (ASIA, 16)
    name = SMALL if asked.small else asked.network
    model = network(name)
    given = days(model, shape)
    seconds, _ = timed(
        partial(draw, model, given, options(model, members=tuple(range(members)))), time.process_time
    )
    computed = f"a season of 92 days, {members} members, computed as 92 times the day"
    figures = (
        _amount(f"one day, {members} members, processor time", seconds / 60, "min"),
        _amount(computed, 92 * seconds / 3600, "h"),
    )
    return Result(figures, 1, (_box(model, given, name),))


def noise(asked: Any) -> Result:
    """Shaped noise of the whole Asian domain against `torch.randn` of its size, and its share of a draw."""
    shape = (4, 5) if asked.small else ASIA
    model = network(SMALL if asked.small else asked.network)
    given = days(model, shape)
    layout = lay(model, given[1], Tiling())
    y, x = ((line.start, line.size) for line in (layout.y, layout.x))
    kernel = model.starting_kernel(model.sampler)
    jobs = {
        "shaped": partial(shaped, kernel, y, x, seed=0, member=0, instant=given[2][-1]),
        "randn": partial(torch.randn, layout.shape),
        "draw": partial(draw, model, given, options(model)),
    }
    rounds = 1 if asked.small else 3
    seconds = alternate(jobs, rounds)
    figures = (
        Figure.as_much("processor time of the noise", seconds["shaped"], seconds["randn"], "torch.randn"),
        Figure.as_much(
            "share of a draw",
            seconds["shaped"],
            seconds["draw"],
            "the whole draw",
            at_most=0.03,
            kind="share",
        ),
    )
    return Result(figures, rounds, (f"{y[1]} x {x[1]} cells; network {model.card.name}.",))


def memory(name: str, shape: tuple[int, int]) -> tuple[float, int]:
    """Peak resident memory of a draw [bytes], and its cells; in its own process."""
    torch.set_num_threads(1)
    model = network(name)
    draw(model, days(model, (4, 5)), options(model))
    given = days(model, shape)
    with Peak() as peak:
        field = draw(model, given, options(model))
    return peak.bytes, field.size


def world(model: Downscaler, size: int, *, small: bool) -> tuple[xr.DataArray, xr.DataArray]:
    """Coarse days of a nature run that no model has seen, and the last day's fine truth."""
    region, spinup = (CORNER, 0) if small else (REGION, 10)
    run = nature_run.NatureRun("2005-07-14", days=5, seed=3, region=region, spinup=spinup)
    truth, coarse = (field.DUEXTTAU for field in nature_run.to_datasets(run))
    rows, columns = max(2, size // 8), max(2, round(size / 10))
    coarse = coarse[:, 1 : 1 + rows, 1 : 1 + columns].load()
    fine = refined(located(model, coarse)[1], model.fine)
    return coarse, truth[-1].sel(lat=fine.y.values, lon=fine.x.values, method="nearest").load()


def score(own: Any, theirs: Any, truth: Any, against: str, *, absent: str | None) -> Figure:
    """CRPS in log space, ours over theirs, where the reference was trained for its process."""
    name = "CRPS of ln(AOD + 0.001)"
    if absent or own is None or theirs is None:
        return Figure(name, "times as much", against=against, at_most=1.0, absent=absent)
    target = np.log(truth.values + FLOOR)
    weights = np.cos(np.deg2rad(truth.lat.values))[:, None]
    found = [crps(np.log(np.maximum(f, 0) + FLOOR), target, weights) for f in (own, theirs)]
    return Figure.as_much(name, found[:1], found[1:], against, at_most=1.0, unit="")


class Kept:
    """A sampler whose results are files: what was sampled before is read, with the seconds it took then.

    Parameters
    ----------
    folder : Path
    """

    sample: Callable[..., Tensor]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wall = self.processor = 0.0
        self.cells = 0
        self._count = 0
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, denoise: Callable[..., Tensor], start: Tensor, *given: Any, **more: Any) -> Tensor:
        """What the sampler gives, from the file if there is one."""
        path = self.folder / f"{self._count:05d}.pt"
        self._count += 1
        if path.is_file():
            kept = torch.load(path, weights_only=True)
            self.wall += kept["wall"]
            self.processor += kept["processor"]
            self.cells += kept["evaluations"] * start.numel()
            return kept["x0"]
        calls = 0

        def looked(x_t: Tensor, t: float) -> Tensor:
            nonlocal calls
            calls += 1
            return denoise(x_t, t)

        wall, processor, x0 = both_clocks(lambda: self.sample(looked, start, *given, **more))
        part = path.with_suffix(".part")
        told = {"x0": x0.clone(), "wall": wall, "processor": processor, "evaluations": calls}
        torch.save(told, part)
        part.replace(path)
        print(
            f"{self.folder.name}: group {self._count}, {processor:.1f} s of processor",
            file=sys.stderr,
            flush=True,
        )
        return x0


def _key(model: Downscaler) -> str:
    """Which network and recipe kept patches are of."""
    weights = sum(float(w.double().abs().sum()) for w in model.denoiser.parameters())
    return f"{model.card.name}-{model.sampler.evaluations}-{weights:.6g}"


def _amount(quantity: str, value: float, unit: str, rounds: list[float] | None = None) -> Figure:
    ends = (min(rounds), max(rounds)) if rounds else (None, None)
    return Figure(quantity, "amount", value, unit, lowest=ends[0], highest=ends[1])


def _box(model: Downscaler, given: tuple[Any, Any, Any], name: str) -> str:
    grid = given[1]
    fine = refined(grid, model.fine)
    y, x = grid.y.values, grid.x.values
    box = f"Coarse cells from {y[0]:g} to {y[-1]:g} N and {x[0]:g} to {x[-1]:g} E"
    how = f"network {name}, {model.sampler.evaluations} evaluations, conservation included"
    return f"{box}, {fine.shape[0]} x {fine.shape[1]} fine cells; {how}."
