"""What `calibrate` does: for every number of evaluations its own fit, on the same held-out days."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from xdownscale.calibration.days import correlation
from xdownscale.calibration.inflation import inflation
from xdownscale.calibration.members import WIDTH, member_by_member
from xdownscale.training.config import TrainConfig
from xdownscale.training.pairs import Pairs, Record, generator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr

    from xdownscale.models import Downscaler

__all__ = ["calibrate"]

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
    seed: int = 0,
    report: Callable[[int], Any] | None = None,
) -> Downscaler:
    """Fit the spread for each number of evaluations, and the correlation of the starting noise by days.

    Parameters
    ----------
    model : Downscaler
    coarse, fine : DataArray, dims (time, lat, lon)
        Days the model was not trained on; the coarse record may reach further back.
    evaluations : sequence of int, or "fast"
        Of the network; "fast" for the sampler of that name.
    members, crops : int
        Draws a crop, at least two, and crops in all (four a batch). For "fast" there is a window for every
        crop, of another day each while there are days.
    crop : int [fine cells]
        Side of a crop, more than 96. A window has 768, or as many as the record has.
    seed : int
    report : callable, optional
        Called with the number of crops that are done, of `crops` for each number of evaluations.

    Returns
    -------
    Downscaler
        The same networks; its card holds `inflation` for each number of evaluations, at 17 wavenumbers,
        `member_by_member` for "fast", and `day_correlation` (0 where no two of the days follow each other).

    Raises
    ------
    ValueError
        If there are fewer than two members, the crop is not wider than twice the border that is left out,
        or the record has no room for it.

    Examples
    --------
    >>> from xdownscale import nature_run
    >>> run = nature_run.NatureRun("2005-07-01", days=2, region=(28, 36, 40, 48), spinup=0)
    >>> fine, coarse = (d.DUEXTTAU for d in nature_run.to_datasets(run))
    >>> from xdownscale import resolve
    >>> options = {"evaluations": [2], "members": 2, "crops": 4, "crop": 104}
    >>> model = calibrate(resolve("jja_asia"), coarse, fine, **options)
    >>> list(model.card.inflation), len(model.card.inflation["2"])
    (['2'], 17)
    """
    if members < 2:
        raise ValueError(f"members is {members}: expected at least two, for a spread")
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
    factors, moved = {}, {}
    report = report or _untold
    for before, number in enumerate(evaluations):
        if number == "fast":
            some = np.resize(generator(seed, 0, 8).permutation(len(pairs.days)), crops)
            told = partial(_further, report, before * crops)
            moved["fast"] = member_by_member(model, pairs, some, members, WIDTH, seed, told).to_dict()
        else:
            sampler = model.sampler_of(number)
            factors[str(number)] = inflation(
                model, batches, _BORDER, sampler, members, seed, pairs.coarse.grid
            )
        report((before + 1) * crops)
    by_day = correlation(model, pairs, config, len(batches), seed)
    return model.with_card(
        replace(model.card, inflation=factors, member_by_member=moved, day_correlation=by_day)
    )


def _untold(done: int) -> None:
    pass


def _further(report: Callable[[int], Any], before: int, done: int) -> None:
    report(before + done)
