"""One day with the coarse grid and the truth beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from xdownscale.plot.day import beside

if TYPE_CHECKING:
    import xarray as xr


def test_panels_are_that_day(compared: tuple[xr.DataArray, ...]) -> None:
    prediction, truth, coarse = compared
    shuffled = truth.isel(time=[5, 4, 3, 2, 1, 0])
    figure = beside(coarse, prediction.chunk(time=1), shuffled, day=2)
    shown = {axis.get_title(): axis.images[0] for axis in figure.axes if axis.get_title()}
    assert list(shown) == ["coarse, 2005-06-03", "truth", "member 0", "spread"]
    norm = shown["truth"].norm
    assert norm is shown["member 0"].norm is shown["coarse, 2005-06-03"].norm
    np.testing.assert_allclose(shown["truth"].get_array(), np.maximum(truth[2], norm.vmin), rtol=1e-12)
    assert shown["coarse, 2005-06-03"].get_array().shape == (4, 5)
    spread = prediction.isel(time=2).std("realization", ddof=1)
    image = shown["spread"]
    np.testing.assert_allclose(image.get_array(), np.maximum(spread, image.norm.vmin), rtol=1e-12)


def test_one_member_has_its_error(compared: tuple[xr.DataArray, ...]) -> None:
    prediction, truth, coarse = compared
    figure = beside(coarse, prediction.isel(realization=0), truth)
    image = next(axis.images[0] for axis in figure.axes if axis.get_title() == "error")
    error = abs(prediction.isel(realization=0, time=0) - truth[0])
    np.testing.assert_allclose(image.get_array(), np.maximum(error, image.norm.vmin), rtol=1e-12)
    with pytest.raises(ValueError, match="day is 6: the prediction has 6 times"):
        beside(coarse, prediction, truth, day=6)
