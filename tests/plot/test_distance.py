"""The figure of a distance: what is drawn, with which numbers."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics.distance import wasserstein
from xdownscale.plot.distance import quantiles

TIME = np.datetime64("2021-06-01", "ns") + np.arange(24) * np.timedelta64(1, "D")


def field(seed: int, by: float = 0.0) -> xr.DataArray:
    values = np.random.default_rng(seed).lognormal(-2 + by, 1.5, (24, 6, 5))
    cells = {"time": TIME, "y": np.arange(6.0), "x": np.arange(5.0)}
    return xr.DataArray(values, cells, ("time", "y", "x"), name="aod", attrs={"units": "kg"})


@pytest.fixture(scope="module")
def found() -> xr.Dataset:
    return wasserstein(field(0, 0.4), field(1), null=60)


def test_quantiles_lie_against_quantiles(found: xr.Dataset) -> None:
    axis = quantiles(found).axes[0]
    line = axis.lines[1]
    np.testing.assert_array_equal(line.get_xdata(), found.quantiles.sel(sample="other"))
    np.testing.assert_array_equal(line.get_ydata(), found.quantiles.sel(sample="da"))
    diagonal = axis.lines[0]
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("other [kg]", "aod [kg]")
    assert axis.get_xscale() == "log"  # they span more than two decades


def test_marks_are_where_the_parts_divide(found: xr.Dataset) -> None:
    axis = quantiles(found).axes[0]
    marks = [(float(m.get_xdata()[0]), float(m.get_ydata()[0])) for m in axis.lines[2:]]
    want = [
        tuple(
            float(found.quantiles.sel(sample=s).sel(probability=p, method="nearest")) for s in ("other", "da")
        )
        for p in (0.5, 0.9, 0.99)
    ]
    assert marks == want
    assert [t.get_text() for t in axis.texts] == ["0.5", "0.9", "0.99"]


def test_bars_are_the_parts_the_shift_and_the_shape(found: xr.Dataset) -> None:
    axis = quantiles(found).axes[1]
    heights = [b.get_height() for b in axis.patches]
    want = [*found.parts.values, abs(float(found["shift"])), float(found["shape"])]
    np.testing.assert_allclose(heights, want)
    assert axis.get_title() == f"W1 = {float(found.w1):.3g}"


def test_null_has_its_quantile_and_the_distance(found: xr.Dataset) -> None:
    axis = quantiles(found).axes[2]
    assert sum(b.get_height() for b in axis.patches) == 60
    at = [float(line.get_xdata()[0]) for line in axis.lines]
    assert at == [float(found.null_95), float(found.w1)]
    assert f"p = {float(found.p_value):.2g}" in axis.get_title()


def test_without_a_null_there_are_two_panels_and_bounds_are_told() -> None:
    lazy = wasserstein(
        field(0).where(field(0) > 0.01, 3000.0).chunk(time=4), field(1).chunk(time=4), normalize="std"
    )
    figure = quantiles(lazy)
    assert len(figure.axes) == 2
    assert "±" in figure.axes[1].get_title()
    assert figure.axes[1].get_ylabel() == "W1 / std"


def test_values_about_zero_are_drawn_linearly() -> None:
    figure = quantiles(wasserstein(np.log(field(0)), np.log(field(1))))
    assert figure.axes[0].get_xscale() == "linear"


def test_several_distances() -> None:
    with pytest.raises(ValueError, match=r"lie along \['time'\].*found.isel\(time=0\)"):
        quantiles(wasserstein(field(0), field(1), per="time"))
