"""Windows by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.neighbourhood import Windows, fss_sums

RNG = np.random.default_rng(0)


def brute(event: np.ndarray, valid: np.ndarray, size: int, cyclic: bool) -> np.ndarray:
    half = size // 2
    if cyclic:
        pad = ((0, 0), (half, half))
        event, valid = (np.pad(a, pad, mode="wrap") for a in (event, valid))
    out = np.full((event.shape[0] - 2 * half, event.shape[1] - 2 * half), np.nan)
    for i, j in np.ndindex(out.shape):
        known = valid[i : i + size, j : j + size]
        if known.sum() >= 0.5 * size**2:
            out[i, j] = (event[i : i + size, j : j + size] & known).sum() / known.sum()
    return out


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_shares(size: int, cyclic: bool) -> None:
    event = RNG.random((9, 12)) > 0.6
    valid = RNG.random((9, 12)) > 0.3
    windows = Windows(valid, size, cyclic=cyclic)
    expected = brute(event, valid, size, cyclic)
    np.testing.assert_array_equal(windows.counted, np.isfinite(expected))
    found = windows.shares(event & valid)
    np.testing.assert_allclose(found[windows.counted], expected[windows.counted], rtol=1e-14)


@pytest.mark.parametrize("cyclic", [False, True])
def test_sums_are_weighted_by_the_middle_cell(cyclic: bool) -> None:
    members = RNG.random((3, 9, 12)) > 0.6
    truth, valid = RNG.random((9, 12)) > 0.6, RNG.random((9, 12)) > 0.2
    area = RNG.random((9, 12))
    members, truth = members & valid, truth & valid
    windows = Windows(valid, 3, cyclic=cyclic)
    seen = brute(truth, valid, 3, cyclic)
    middle = area[1:-1] if cyclic else area[1:-1, 1:-1]
    ours = [brute(m, valid, 3, cyclic) for m in members]
    apart = np.mean([np.nansum(middle * (o - seen) ** 2) for o in ours])
    most = np.mean([np.nansum(middle * (o**2 + seen**2)) for o in ours])
    found = fss_sums(members, truth, windows, area)
    assert found == pytest.approx((apart, most), rel=1e-13)


def test_same_events_are_perfect_and_disjoint_ones_are_not() -> None:
    event = RNG.random((20, 20)) > 0.5
    windows = Windows(np.ones((20, 20), dtype=bool), 1)
    assert fss_sums(event[None], event, windows, np.ones((20, 20)))[0] == 0
    apart, most = fss_sums(~event[None], event, windows, np.ones((20, 20)))
    assert apart == most
