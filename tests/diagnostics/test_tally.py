"""A day's sums by brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xdownscale.diagnostics.tally import Questions, Tally
from xdownscale.grid import Axis, Grid, coarsening, upsampling

RNG = np.random.default_rng(0)
FINE = Grid(Axis(0.0, 1.0, 0, 8), Axis(0.0, 1.0, 0, 12), "plane")
COARSE = Grid(Axis(1.5, 4.0, 0, 2), Axis(1.5, 4.0, 0, 3), "plane")
EVERYWHERE = (np.ones(2, dtype=bool), np.ones(3, dtype=bool))


def tally(*, operators: Any = (None,), members: tuple[int, ...] = (5,), **asked: Any) -> Tally:
    area = np.random.default_rng(1).random(FINE.shape) + 0.5
    low = {"to_coarse": coarsening(FINE, COARSE), "inside": EVERYWHERE, "coarse_area": COARSE.area}
    return Tally(Questions(**asked), area, operators, members, **low)


def fields(members: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth, x = RNG.lognormal(size=FINE.shape), RNG.lognormal(size=(members, *FINE.shape))
    truth[2, 3], x[1, 5, 5] = np.nan, np.nan
    return truth, x, RNG.lognormal(size=COARSE.shape)


def test_events_cell_by_cell_and_member_by_member() -> None:
    truth, x, coarse = fields()
    one = tally(thresholds=(1.0,))
    found = one(0, truth, coarse, x).sums
    table = dict.fromkeys(("hits", "false_alarms", "misses", "rejections"), 0.0)
    brier = 0.0
    for place in np.ndindex(FINE.shape):
        values, seen = x[(slice(None), *place)], truth[place]
        if not np.isfinite([*values, seen]).all():
            continue
        for value in values:
            pair = value >= 1, seen >= 1
            names = {(True, True): "hits", (True, False): "false_alarms", (False, True): "misses"}
            table[names.get(pair, "rejections")] += one.area[place] / 5
        i = (values >= 1).astype(float)
        pairs = sum(abs(a - b) for a in i for b in i) / (2 * 5 * 4)
        brier += one.area[place] * (np.abs(i - (seen >= 1)).mean() - pairs)  # the CRPS of the event
    for name, expected in table.items():
        assert found[name].item() == pytest.approx(expected, rel=1e-12), name
    assert found["brier"].item() == pytest.approx(brier, rel=1e-12)
    assert sum(table.values()) == pytest.approx(float(found["weight"]), rel=1e-12)


def test_residual_of_each_member_where_it_is_known() -> None:
    truth, x, coarse = fields()
    coarse[0, 2] = np.nan
    found = tally()(0, truth, coarse, x).sums
    error, size, largest = 0.0, 0.0, 0.0
    for member in x:
        for i, j in np.ndindex(COARSE.shape):
            mean = member[4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean()
            if np.isfinite(mean) and np.isfinite(coarse[i, j]):
                error += 16 * (mean - coarse[i, j]) ** 2 / 5
                size += 16 * coarse[i, j] ** 2 / 5
                largest = max(largest, abs(mean - coarse[i, j]) / coarse[i, j])
    assert found["residual"].item() == pytest.approx(error, rel=1e-12)
    assert found["input"].item() == pytest.approx(size, rel=1e-12)
    assert found["largest"].item() == pytest.approx(largest, rel=1e-12)


def test_pieces_add_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, x, coarse = fields()
    whole = tally()(0, truth, coarse, x).sums
    monkeypatch.setattr("xdownscale.diagnostics.tally._PIECE", 7)
    pieces = tally()(0, truth, coarse, x).sums
    for name in ("crps", "spread"):
        assert pieces[name].item() == pytest.approx(whole[name].item(), rel=1e-12)


def test_an_interpolation_is_made_in_the_space_of_the_score() -> None:
    truth, _, coarse = fields()
    operator = upsampling(COARSE, FINE, "linear")
    one = tally(operators=(operator,), members=(1,), spaces=("linear", "log"), floor=0.1)
    found = one(0, truth, coarse, None).sums
    known = np.isfinite(truth)
    w = one.area[known]
    linear = np.abs(operator(coarse) - truth)[known]
    logs = np.abs(operator(np.log(coarse + 0.1)) - np.log(truth + 0.1))[known]
    np.testing.assert_allclose(found["sae"][:, 0], [w @ linear, w @ logs], rtol=1e-12)
    assert np.isnan(found["ranks"]).all()


def test_a_day_without_a_common_cell_adds_nothing() -> None:
    truth, x, coarse = fields()
    found = tally(spaces=("linear", "log"), thresholds=(1.0,), windows=(3,), quantiles=True)(
        0, truth * np.nan, coarse * np.nan, x
    )
    for name in ("weight", "sse", "crps", "hits", "brier", "fss_most", "residual"):
        assert not found.sums[name].any(), name
    assert all(one.keys.size == 0 for one in found.ladders)
