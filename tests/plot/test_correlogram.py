"""Figures of memory: stems, bands, and persistence by lag."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics.correlogram import acf, lag_curves, pacf
from xdownscale.plot.correlogram import autocorrelations, persistence

RNG = np.random.default_rng(0)
CELLS = {"time": np.arange(30), "y": np.arange(3.0), "x": np.arange(4.0)}
DA = xr.DataArray(np.cumsum(RNG.normal(size=(30, 3, 4)), axis=0), CELLS, attrs={"units": "K"})


def test_stems_are_the_correlations_and_bands_are_bartletts() -> None:
    found = acf(DA, 6, reduce="pooled")
    (axis,) = autocorrelations(found).axes
    np.testing.assert_array_equal(axis.lines[-1].get_xdata(), np.arange(7))
    np.testing.assert_array_equal(axis.lines[-1].get_ydata(), found.acf)
    corners = axis.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(corners[:, 1].max(), float(found.band.max()))
    np.testing.assert_allclose(corners[:, 1].min(), -float(found.band.max()))
    stems = axis.collections[1].get_segments()
    np.testing.assert_allclose([s[1, 1] for s in stems], found.acf)


def test_one_panel_each() -> None:
    one, other = autocorrelations(acf(DA, 6, reduce="pooled"), pacf(DA, 6, reduce="pooled")).axes
    assert (one.get_ylabel(), other.get_ylabel()) == ("autocorrelation", "partial autocorrelation")
    np.testing.assert_array_equal(other.lines[-1].get_ydata(), pacf(DA, 6, reduce="pooled").pacf)


def test_persistence_has_error_and_both_determinations() -> None:
    found = lag_curves(DA, 5)
    left, right = persistence(found).axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), found.rmse)
    assert left.get_ylabel() == "RMSE [K]"
    np.testing.assert_array_equal(right.lines[1].get_ydata(), found.r2)
    np.testing.assert_array_equal(right.lines[2].get_ydata(), found.r2_corr)
    assert [t.get_text() for t in right.get_legend().get_texts()] == ["1 - SSE / SST", "r2"]


def test_figures_are_not_pyplots() -> None:
    before = plt.get_fignums()
    autocorrelations(acf(DA, 3, reduce="pooled"))
    assert plt.get_fignums() == before


def test_refusals() -> None:
    with pytest.raises(
        ValueError, match=r"several series along \['y', 'x'\]: draw one, such as found.isel\(y=0\)"
    ):
        autocorrelations(acf(DA, 3))
    with pytest.raises(ValueError, match="no 'acf' in the Dataset"):
        autocorrelations(lag_curves(DA, 3))
    with pytest.raises(ValueError, match="no 'rmse' in the Dataset"):
        persistence(acf(DA, 3, reduce="pooled"))
