"""Scores drawn side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from xdownscale.plot.scores import errors, neighbourhoods, quantile_ratios

if TYPE_CHECKING:
    import xarray as xr


def test_dots_are_the_scores(evaluated: xr.Dataset) -> None:
    figure = errors(evaluated, ["crps", "r2"])
    assert len(figure.axes) == 4  # two spaces, two scores
    dots = [line for line in figure.axes[2].lines if line.get_marker() == "o"]
    values = [float(dot.get_xdata()[0]) for dot in dots]
    np.testing.assert_allclose(values, evaluated.crps.sel(space="log"), rtol=1e-14)
    bars = [float(b.get_segments()[0][0, 0]) for b in figure.axes[2].collections]
    np.testing.assert_allclose(bars, evaluated.crps_interval.sel(space="log", bound="lower"), rtol=1e-14)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == list(evaluated.source.values)


def test_scores_that_are_not_there_are_left_out(evaluated: xr.Dataset) -> None:
    alone = evaluated.sel(source=["nearest"], space="log")
    titles = [axis.get_title() for axis in errors(alone).axes]
    assert titles == ["CRPS", "MAE", "RMSE", "bias", "R2"]  # no spread/skill without members
    with pytest.raises(ValueError, match="expected scores such as 'crps'"):
        errors(evaluated, ["wind"])


def test_quantiles_by_the_share_above(evaluated: xr.Dataset) -> None:
    (axis,) = quantile_ratios(evaluated).axes
    line = next(line for line in axis.lines if line.get_label() == "bicubic")
    np.testing.assert_allclose(line.get_xdata(), 1 - evaluated["quantile"], rtol=1e-12)
    np.testing.assert_allclose(line.get_ydata(), evaluated.quantile_ratio.sel(source="bicubic"))
    assert [t.get_text() for t in axis.get_xticklabels()] == ["0.5", "0.9", "0.95", "0.99", "0.999"]
    with pytest.raises(ValueError, match="ask for it with quantiles="):
        quantile_ratios(evaluated.drop_vars("quantile_ratio"))


def test_neighbourhoods_by_threshold(evaluated: xr.Dataset) -> None:
    panels = neighbourhoods(evaluated).axes
    assert len(panels) == evaluated.sizes["threshold"]
    line = next(line for line in panels[1].lines if line.get_label() == "nearest")
    np.testing.assert_allclose(line.get_ydata(), evaluated.fss.sel(source="nearest").isel(threshold=1))
    with pytest.raises(ValueError, match="ask for it with thresholds= and windows="):
        neighbourhoods(evaluated.drop_vars("fss"))
