"""Sums put together, and the scores they give."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.measures import measures, total

RNG = np.random.default_rng(0)


def day(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> dict[str, np.ndarray]:
    """Sums of one source in one space, from the definitions."""
    mean_x, mean_y = np.average(x, weights=w), np.average(y, weights=w)
    one = {
        "mean_x": mean_x,
        "mean_y": mean_y,
        "xx": w @ (x - mean_x) ** 2,
        "yy": w @ (y - mean_y) ** 2,
        "xy": w @ ((x - mean_x) * (y - mean_y)),
        "sse": w @ (x - y) ** 2,
        "sae": w @ abs(x - y),
        "crps": w @ abs(x - y),
        "spread": np.nan,
    }
    out = {key: np.array([[value]]) for key, value in one.items()}
    table = {key: np.zeros((0, 1)) for key in ("hits", "false_alarms", "misses", "rejections", "brier")}
    empty = np.zeros((0, 0, 1))
    return (
        out
        | table
        | {
            "weight": np.asarray(w.sum()),
            "ranks": np.full((1, 2), np.nan),
            "fss_apart": empty,
            "fss_most": empty,
        }
    )


def stacked(days: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.stack([one[key] for one in days]) for key in days[0]}


def test_days_put_together_are_all_cells_at_once() -> None:
    parts = [(RNG.normal(d, 1, 50 + d), RNG.normal(d, 1, 50 + d), RNG.random(50 + d)) for d in range(6)]
    sums = total(stacked([day(*part) for part in parts]), np.array([[1.0] * 6, [2, 0, 0, 1, 0, 3]]))
    for row, counts in enumerate(([1] * 6, [2, 0, 0, 1, 0, 3])):
        repeated = [part for part, count in zip(parts, counts, strict=True) for _ in range(count)]
        whole = day(*(np.concatenate(p) for p in zip(*repeated, strict=True)))
        for key in ("mean_x", "mean_y", "xx", "yy", "xy", "sse", "sae"):
            assert sums[key][row].item() == pytest.approx(whole[key].item(), rel=1e-11), key


def table(h: float, f: float, m: float, r: float) -> dict[str, float]:
    base = stacked([day(RNG.normal(size=9), RNG.normal(size=9), np.ones(9))])
    events = {"hits": h, "false_alarms": f, "misses": m, "rejections": r, "brier": 0.0}
    base |= {key: np.full((1, 1, 1), value) for key, value in events.items()}
    found = measures(total(base, np.ones((1, 1))), (1,))
    return {key: found[key].item() for key in ("pod", "far", "csi", "ets", "frequency_bias", "base_rate")}


def test_finleys_tornadoes() -> None:
    """Wilks (2019), table 9.1: 28 hits, 72 false alarms, 23 misses, 2680 rejections."""
    found = table(28, 72, 23, 2680)
    expected = {"pod": 0.549, "far": 0.720, "csi": 0.228, "ets": 0.216, "frequency_bias": 1.96}
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=5e-4 if key != "frequency_bias" else 5e-3), key
    assert found["base_rate"] == pytest.approx(51 / 2803, rel=1e-12)


def test_no_event_at_all_is_nan_and_not_a_warning() -> None:
    found = table(0, 0, 0, 10)
    assert found["base_rate"] == 0.0
    assert all(np.isnan(found[key]) for key in ("pod", "far", "csi", "ets", "frequency_bias"))
