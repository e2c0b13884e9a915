"""Rank histograms drawn."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale.plot.ranks import rank_histogram


def test_bars_are_frequencies_over_the_flat_ones(evaluated: xr.Dataset) -> None:
    (axis,) = rank_histogram(evaluated).axes
    heights = [bar.get_height() for bar in axis.patches]
    np.testing.assert_allclose(heights, 4 * evaluated.rank_histogram.sel(source="prediction"), rtol=1e-12)
    assert np.mean(heights) == pytest.approx(1.0)
    assert axis.get_title() == "prediction, 3 members"


def test_intervals(evaluated: xr.Dataset) -> None:
    (axis,) = rank_histogram(evaluated).axes
    ends = np.array([segment[:, 1] for segment in axis.collections[0].get_segments()])
    np.testing.assert_allclose(
        ends, 4 * evaluated.rank_histogram_interval.sel(source="prediction"), rtol=1e-12
    )
    plain = evaluated.drop_vars("rank_histogram_interval")
    assert not rank_histogram(plain).axes[0].collections


def test_without_members() -> None:
    with pytest.raises(ValueError, match="at least two members"):
        rank_histogram(xr.Dataset({"crps": ("source", [1.0])}))
