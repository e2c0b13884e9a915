"""Windows by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.neighbourhood import Windows, _table, fss_sums

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
def test_counts_of_any_size_are_of_one_table(cyclic: bool) -> None:
    event = RNG.random((9, 12)) > 0.6
    valid = RNG.random((9, 12)) > 0.3
    for wrapped in (3, 5) if cyclic else (0,):
        table = _table(event & valid, wrapped)
        for size in (1, 3, 7):
            windows = Windows(valid, size, np.ones((9, 12)), cyclic=cyclic)
            expected = brute(event, valid, size, cyclic)
            counted = windows.weight > 0
            np.testing.assert_array_equal(counted, np.isfinite(expected))
            found = windows.counts(table, wrapped) / np.maximum(windows.known, 1)
            np.testing.assert_allclose(found[counted], expected[counted], rtol=1e-14)


@pytest.mark.parametrize("cyclic", [False, True])
def test_sums_are_weighted_by_the_middle_cell(cyclic: bool) -> None:
    members = RNG.random((3, 9, 12)) > 0.6
    truth, valid = RNG.random((9, 12)) > 0.6, RNG.random((9, 12)) > 0.2
    area = RNG.random((9, 12))
    members, truth = members & valid, truth & valid
    sizes = (1, 3, 7)
    found = fss_sums(members, truth, [Windows(valid, size, area, cyclic=cyclic) for size in sizes])
    for size, sums in zip(sizes, found, strict=True):
        half = size // 2
        seen = brute(truth, valid, size, cyclic)
        middle = area[half : 9 - half] if cyclic else area[half : 9 - half, half : 12 - half]
        ours = [brute(m, valid, size, cyclic) for m in members]
        apart = np.mean([np.nansum(middle * (o - seen) ** 2) for o in ours])
        most = np.mean([np.nansum(middle * (o**2 + seen**2)) for o in ours])
        assert sums == pytest.approx((apart, most), rel=1e-13)


def test_same_events_are_perfect_and_disjoint_ones_are_not() -> None:
    event, whole = RNG.random((20, 20)) > 0.5, np.ones((20, 20))
    windows = [Windows(whole > 0, 1, whole)]
    assert fss_sums(event[None], event, windows)[0, 0] == 0
    ((apart, most),) = fss_sums(~event[None], event, windows)
    assert apart == most
