"""The overview figure: what is drawn where, with which colours."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import LogNorm, Normalize

from xdownscale.plot import fields as side_by_side
from xdownscale.plot import overview
from xdownscale.plot.geography import shift


def fields(members: int = 3, days: int = 2, **changes: Any) -> tuple[xr.DataArray, xr.DataArray]:
    """A coarse field of 4 x 6 cells and draws of it on 25 x 51 cells."""
    rng = np.random.default_rng(3)
    times = np.array(["2021-06-06", "2021-06-07"][:days], dtype="datetime64[ns]")
    lat, lon = np.linspace(30, 31.5, 4), np.linspace(60, 63.125, 6)
    fine_lat, fine_lon = np.linspace(30, 31.5, 25), np.linspace(60, 63.125, 51)
    attrs = {"units": "1", "long_name": "dust"}
    coarse = xr.DataArray(
        rng.lognormal(-2, 1, (days, 4, 6)), {"time": times, "lat": lat, "lon": lon}, ("time", "lat", "lon")
    )
    fine = xr.DataArray(
        rng.lognormal(-2, 1, (members, days, 25, 51)),
        {"realization": np.arange(members), "time": times, "lat": fine_lat, "lon": fine_lon},
        ("realization", "time", "lat", "lon"),
        attrs=attrs,
    )
    return coarse, fine


def maps(figure: Any) -> dict[str, Any]:
    return {axis.get_title(): axis.images[0] for axis in figure.axes if axis.get_title()}


def test_panels_and_shared_colours() -> None:
    coarse, fine = fields()
    found = maps(overview(coarse, fine, day=1))
    assert list(found) == ["coarse, 2021-06-07", "member 0", "member 1", "spread"]
    assert found["member 0"].norm is found["member 1"].norm is found["coarse, 2021-06-07"].norm
    assert found["spread"].norm is not found["member 0"].norm
    assert found["member 1"].get_cmap().name == "viridis"


def test_values_are_those_of_the_day() -> None:
    coarse, fine = fields()
    found = maps(overview(coarse, fine, day=1))
    norm = found["member 0"].norm
    want = np.maximum(fine.values[1, 1], norm.vmin)
    np.testing.assert_allclose(found["member 1"].get_array(), want, rtol=1e-12)
    spread = fine.values[:, 1].std(axis=0, ddof=1)
    shown = found["spread"]
    np.testing.assert_allclose(shown.get_array(), np.maximum(spread, shown.norm.vmin), rtol=1e-12)


def test_colours_span_at_most_three_decades() -> None:
    coarse, fine = fields()
    fine = fine.copy(data=np.logspace(-9, 0, fine.size).reshape(fine.shape))
    norm = maps(overview(coarse, fine))["member 0"].norm
    assert norm.vmax / norm.vmin == pytest.approx(1000)


def test_less_than_a_decade_or_below_zero_has_linear_colours() -> None:
    coarse, fine = fields()
    flat = fine.copy(data=np.linspace(1, 9, fine.size).reshape(fine.shape))
    near = maps(overview(1 + 0 * coarse, flat, day=-1))
    assert type(near["member 0"].norm) is Normalize
    assert near["member 0"].norm.vmin >= 1
    assert near["member 0"].norm.vmax == pytest.approx(float(flat[1, 1].max()), abs=0.1)
    signed = maps(overview(coarse - 0.2, fine - 0.2))
    assert type(signed["member 0"].norm) is Normalize
    np.testing.assert_array_equal(signed["member 0"].get_array(), fine.values[0, 0] - 0.2)
    assert type(signed["spread"].norm) is LogNorm


def test_colour_bars_have_plain_numbers() -> None:
    figure = overview(*fields())
    figure.draw_without_rendering()
    texts = {
        t.get_text()
        for axis in figure.axes
        if axis.get_label() == "<colorbar>"
        for t in axis.get_yticklabels()
    }
    assert {"0.1", "0.5"} <= texts


def test_descending_latitude_and_other_names_draw_the_same() -> None:
    coarse, fine = fields()
    want = maps(overview(coarse, fine))["member 0"]
    names = {"lat": "north", "lon": "east"}
    turned = (
        coarse.isel(lat=slice(None, None, -1)).rename(names),
        fine.isel(lat=slice(None, None, -1)).rename(names),
    )
    got = maps(overview(turned[0].transpose(), turned[1]))["member 0"]
    np.testing.assert_array_equal(got.get_array(), want.get_array())
    assert got.get_extent() == want.get_extent()


def test_extent_reaches_half_a_cell_beyond_the_centres() -> None:
    coarse, fine = fields()
    found = maps(overview(coarse, fine))
    np.testing.assert_allclose(found["member 0"].get_extent(), [59.96875, 63.15625, 29.96875, 31.53125])
    np.testing.assert_allclose(found["coarse, 2021-06-06"].get_extent(), [59.6875, 63.4375, 29.75, 31.75])


def test_dateline_is_unwrapped() -> None:
    coarse, fine = fields()
    wrapped = [(field["lon"] + 118 + 180) % 360 - 180 for field in (coarse, fine)]
    moved = [field.assign_coords(lon=lon.values) for field, lon in zip((coarse, fine), wrapped, strict=True)]
    image = maps(overview(*moved))["member 0"]
    left, right, _, _ = image.get_extent()
    east = shift(image.axes)
    assert (left + east, right + east) == pytest.approx((177.96875, 181.15625))


def test_missing_cells_are_masked() -> None:
    coarse, fine = fields()
    fine[:, :, 3, 4] = np.nan
    found = maps(overview(coarse, fine))
    for title in ("member 0", "member 1", "spread"):
        assert found[title].get_array().mask.sum() == 1


def test_one_member_has_no_spread() -> None:
    coarse, fine = fields(members=1)
    assert list(maps(overview(coarse, fine))) == ["coarse, 2021-06-06", "member 0"]
    assert list(maps(overview(coarse, fine.isel(realization=0)))) == ["coarse, 2021-06-06", "member 0"]


def test_colour_bars_name_quantity_and_units() -> None:
    coarse, fine = fields()
    labels = {axis.get_ylabel() for axis in overview(coarse, fine).axes}
    assert {"dust [1]", "standard deviation over members [1]"} <= labels


def test_nothing_positive_still_draws() -> None:
    coarse, fine = fields()
    assert len(maps(overview(coarse * 0, fine * 0))) == 4


def test_figure_is_saved_and_not_pyplots() -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    picture = io.BytesIO()
    overview(*fields()).savefig(picture, dpi=40)
    assert picture.getvalue().startswith(b"\x89PNG")
    assert plt.get_fignums() == before


@pytest.mark.parametrize("day", [2, -3])
def test_no_such_day(day: int) -> None:
    with pytest.raises(ValueError, match=f"day is {day}: 'time' has 2 steps"):
        overview(*fields(), day=day)


def test_other_dimensions() -> None:
    coarse, fine = fields()
    with pytest.raises(ValueError, match="expected 'lat' and 'lon'"):
        overview(coarse.rename(lat="row"), fine)


def test_any_fields_side_by_side() -> None:
    """Colours are shared, of each alone, or given; a third map stands alone in its row."""
    coarse, fine = fields()
    chosen = {"coarse": coarse[0], "member": fine[0, 0], "ten times": 10 * fine[0, 0]}
    figure = side_by_side(chosen)
    shared = maps(figure)
    assert len(figure.axes) == 6
    assert len({id(image.norm) for image in shared.values()}) == 1
    own = maps(side_by_side(chosen, shared=False))
    assert own["ten times"].norm.vmax == pytest.approx(10 * own["member"].norm.vmax)
    given = maps(side_by_side(chosen, limits=(0, 1), colours="cividis"))["coarse"]
    assert (given.norm.vmin, given.norm.vmax, given.get_cmap().name) == (0, 1, "cividis")
    assert type(given.norm) is Normalize


def test_fields_that_are_no_maps() -> None:
    coarse, _ = fields()
    with pytest.raises(ValueError, match=r"'all' has dimensions .*: expected two"):
        side_by_side({"all": coarse})
    with pytest.raises(ValueError, match="there are no fields"):
        side_by_side({})
