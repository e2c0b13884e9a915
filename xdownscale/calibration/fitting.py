"""What `calibrate` does: for every number of evaluations its own fit, on the same held-out days."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xdownscale.calibration.days import correlation
from xdownscale.calibration.inflation import inflation
from xdownscale.calibration.members import ROUNDS, member_by_member
from xdownscale.calibration.windows import WIDTH
from xdownscale.training.config import TrainConfig
from xdownscale.training.pairs import Pairs, Record

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import xarray as xr

    from xdownscale.models import Downscaler

__all__ = ["calibrate", "work"]

_BORDER = 48  # as far as the network reaches


def calibrate(
    model: Downscaler,
    coarse: xr.DataArray,
    fine: xr.DataArray,
    *,
    evaluations: Sequence[int | Literal["fast"]] = (2, 4, 8, 16),
    members: int = 4,
    crops: int = 16,
    crop: int = 224,
    windows: int = 8,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
    report: Callable[[int], Any] | None = None,
) -> Downscaler:
    """Fit the spread for each number of evaluations, and the correlation of the starting noise by days.

    First the starting noise, scale by scale, on crops; then how members are moved about their mean, on
    windows as wide as a domain (`windows=0` leaves them where they are). A distilled network mixes its
    scales: `"fast"` has the second alone.

    Parameters
    ----------
    model : Downscaler
    coarse, fine : DataArray, dims (time, lat, lon)
        Days the model was not trained on; the coarse record may reach further back.
    evaluations : sequence of int, or "fast"
        Of the network; "fast" for the sampler of that name.
    members : int, >= 2
        Draws a crop or window.
    crops : int
        In all, four a batch.
    crop : int [fine cells]
        Side of a crop, more than 96.
    windows : int
        In all, of days evenly spread over the record. Its domain falls into equal ones of some 768 cells a
        side, which take turns. One with four members takes some 10 s of an idle core for each evaluation. Of
        25 or more every second one, but some 48 at most, has 16 members, and shift, skew and scatter of
        members are fitted, too.
    seed : int
    folder : path, optional
        Where the draws of windows are kept, 7 MB for each member and window; a calibration that was killed
        goes on from them. Draws of another model, day or seed lie beside them and are not used.
    report : callable, optional
        Called with how many crops, windows and rounds of fits to these are done, of `work` in all.

    Returns
    -------
    Downscaler
        The same networks; its card holds `inflation`, at 17 wavenumbers, and `member_by_member` for each of
        the numbers, what it held for others, `day_correlation` (0 where no two of the days follow each
        other) and, of a model with a state, `state_correlation`.

    Raises
    ------
    ValueError
        If there are fewer than two members, or less than no windows, the crop is not wider than twice the
        border that is left out, or the record has no room for it.

    Examples
    --------
    >>> from xdownscale import nature_run
    >>> run = nature_run.NatureRun("2005-07-01", days=2, region=(28, 36, 40, 48), spinup=0)
    >>> fine, coarse = (d.DUEXTTAU for d in nature_run.to_datasets(run))
    >>> from xdownscale import resolve
    >>> options = {"evaluations": [2], "members": 2, "crops": 4, "crop": 104, "windows": 1}
    >>> model = calibrate(resolve("jja_asia"), coarse, fine, **options)
    >>> len(model.card.inflation["2"]), len(model.card.member_by_member["2"]["band_gain"])
    (17, 4)
    """
    if members < 2:
        raise ValueError(f"members is {members}: expected at least two, for a spread")
    if windows < 0:
        raise ValueError(f"windows is {windows}: expected a number of windows, 0 for none")
    if crop <= 2 * _BORDER:
        raise ValueError(
            f"crop is {crop}: expected more than {2 * _BORDER}, since {_BORDER} cells a side are left out"
        )
    pairs = Pairs.of(Record.of(coarse, model.coarse), Record.of(fine, model.fine))
    pairs = replace(pairs, coarse=pairs.coarse.within(pairs.inside(model.coarse)))
    pairs.check_crop(crop)
    config = TrainConfig(
        batch=4, days=4, crop=crop, border=_BORDER, degrade=0.0, dropout=0.0, edges=0.0, seed=seed
    )
    batches = [pairs.batch(model, config, step) for step in range(math.ceil(crops / 4))]
    some = ((np.arange(windows) + 0.5) * len(pairs.days) / windows).astype(np.int64)
    where = None if folder is None else Path(folder)
    done, report = 0, report or _untold
    for number in evaluations:
        key, sampler = str(number), model.sampler_of(number)
        model = model.with_card(model.card.without(key))
        if number != "fast":
            factors = inflation(model, batches, _BORDER, sampler, members, seed, pairs.coarse.grid)
            model = model.with_card(replace(model.card, inflation=model.card.inflation | {key: factors}))
        if windows:
            told = partial(_further, report, done + work([number], crops, 0))
            fitted = member_by_member(model, pairs, some, sampler, members, WIDTH, seed, told, where)
            model = model.with_card(model.card.with_members(key, *fitted))
        done += work([number], crops, windows)
        report(done)
    alike = partial(correlation, model, pairs, steps=len(batches), seed=seed)
    told_all = replace(config, state=1.0)
    by_day, beyond = alike(config), alike(told_all) if model.card.state else 0.0
    return model.with_card(replace(model.card, day_correlation=by_day, state_correlation=beyond))


def work(evaluations: Sequence[int | Literal["fast"]], crops: int, windows: int) -> int:
    """How many crops and windows a calibration draws on, and rounds of fits to the windows.

    >>> work([2, "fast"], 16, 8)
    42
    """
    own = windows + ROUNDS if windows else 0
    return sum(own if number == "fast" else own + crops for number in evaluations)


def _untold(done: int) -> None:
    pass


def _further(report: Callable[[int], Any], before: int, done: int) -> None:
    report(before + done)
