"""Fields lined up: grids, times, members, baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics.sources import at_times, line_up
from xdownscale.grid import G5NR, MERRA2, refined, upsampling

if TYPE_CHECKING:
    from collections.abc import Callable


def test_names_and_order_are_made_one(case: Callable) -> None:
    prediction, truth, coarse = case()
    names = {"lat": "latitude", "lon": "longitude", "time": "valid_time"}
    turned = (
        prediction.rename(names)
        .transpose("longitude", "valid_time", ...)
        .isel(latitude=slice(None, None, -1))
    )
    found = line_up(turned, truth, coarse, ["nearest"])
    assert [s.name for s in found.sources] == ["prediction", "nearest"]
    assert found.sources[0].fields.dims == ("time", "realization", "y", "x")
    np.testing.assert_array_equal(found.sources[0].fields.values, prediction.transpose("time", ...).values)
    assert found.coarse.shape == (3, 4, 5)
    assert found.to_coarse(truth.values[0]).shape == (4, 5)


def test_labelled_interpolation_is_lazy_and_right(case: Callable) -> None:
    prediction, truth, coarse = case()
    found = line_up(prediction.rename(lat="latitude"), truth, coarse, ["bicubic"])
    low = MERRA2.window((200, 4), (300, 5))
    operator = upsampling(low, refined(low, G5NR), "cubic")
    made = found.labelled(found.sources[1])
    assert made.dims == ("time", "latitude", "lon")
    assert made.chunks is not None
    np.testing.assert_allclose(made.values, operator(coarse.values), rtol=1e-14)
    logs = found.labelled(found.sources[1], floor=0.01)
    np.testing.assert_allclose(logs.values, operator(np.log(coarse.values + 0.01)), rtol=1e-14)
    np.testing.assert_allclose(
        found.labelled(found.sources[0], floor=0.01).transpose(*prediction.rename(lat="latitude").dims),
        np.log(prediction + 0.01).values,
        rtol=1e-14,
    )


def test_coarse_field_of_a_larger_domain_and_another_convention(case: Callable) -> None:
    prediction, truth, coarse = case(days=1)
    wide = MERRA2.window((198, 8), (298, 9))
    values = np.random.default_rng(0).random((1, 8, 9))
    cells = {"time": coarse.time, "lat": wide.y.values, "lon": wide.x.values % 360}
    whole = xr.DataArray(values, cells, ("time", "lat", "lon"))
    found = line_up(prediction, truth, whole, ["conservative"])
    made = found.labelled(found.sources[1]).values
    operator = upsampling(wide, refined(MERRA2.window((200, 4), (300, 5)), G5NR), "conservative")
    np.testing.assert_allclose(made, operator(values), rtol=1e-12)


def test_coarse_field_that_is_too_small(case: Callable) -> None:
    prediction, truth, coarse = case()
    with pytest.raises(ValueError, match=r"covers 25 of the 33 fine cells along y: cut the prediction"):
        line_up(prediction, truth, coarse.isel(lat=slice(1, None)))


def test_times(case: Callable) -> None:
    prediction, truth, _ = case(days=4)
    assert at_times(truth, prediction.isel(time=[2, 0]), "it").time.equals(truth.time[[2, 0]])
    assert "time" not in at_times(truth, prediction.isel(time=2), "it").dims
    bare = truth.isel(time=0, drop=True)
    assert at_times(bare, prediction.isel(time=0, drop=True), "it").dims == ("lat", "lon")
    for da, like, words in (
        (bare, prediction, "it has no time, the prediction 4"),
        (truth, prediction.isel(time=0, drop=True), "it has 4 times, the prediction none"),
        (truth.isel(time=[0, 0, 1, 2, 3]), prediction, "it holds a time twice"),
        (truth, prediction.isel(time=[0, 0]), "the prediction holds a time twice"),
        (truth.isel(time=slice(0, 3)), prediction, "it has no field at 2005-06-04T12"),
    ):
        with pytest.raises(ValueError, match=words):
            at_times(da, like, "it")


def test_dimensions_too_many(case: Callable) -> None:
    prediction, truth, coarse = case()
    one = prediction.expand_dims(lev=[1])
    assert line_up(one, truth).sources[0].members == 4
    with pytest.raises(ValueError, match="the prediction has a dimension 'lev' of 2"):
        line_up(xr.concat([one, one], "lev"), truth)
    with pytest.raises(ValueError, match="the truth has 4 realizations"):
        line_up(truth, prediction)
    with pytest.raises(ValueError, match="the coarse field has 2 realizations"):
        line_up(prediction, truth, coarse.expand_dims(realization=[0, 1]))


def test_baselines_of_other_kinds(case: Callable) -> None:
    prediction, truth, _ = case()
    with pytest.raises(TypeError, match="baselines is a str"):
        line_up(prediction, truth, None, "nearest")
    with pytest.raises(TypeError, match="baselines is a DataArray"):
        line_up(prediction, truth, None, truth)
    with pytest.raises(TypeError, match="baseline 'mine' is a ndarray"):
        line_up(prediction, truth, None, {"mine": truth.values})
    with pytest.raises(ValueError, match="a baseline is called 'prediction'"):
        line_up(prediction, truth, None, {"prediction": truth})


def test_a_sphere_and_a_plane(case: Callable) -> None:
    prediction, truth, coarse = case()
    flat = coarse.rename(lat="y", lon="x")
    flat.y.attrs.update(units="m", standard_name="projection_y_coordinate")
    with pytest.raises(ValueError, match="the coarse field is on a sphere and the fine one is not"):
        line_up(prediction, truth, flat)
