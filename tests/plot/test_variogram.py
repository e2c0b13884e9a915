"""Figures of semivariograms: what is drawn where."""

from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from xdownscale.diagnostics import compare_semivariograms, fitted_semivariance
from xdownscale.diagnostics import semivariogram as measure
from xdownscale.plot import semivariogram
from xdownscale.plot.variogram import compared


def field(seed=0, days=6) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    axes = {"time": np.arange(days), "y": np.arange(30.0), "x": np.arange(30.0)}
    smooth = rng.normal(size=(days, 38, 38)).cumsum(1).cumsum(2)
    smooth = smooth[:, 8:, 8:] - smooth[:, :-8, 8:] - smooth[:, 8:, :-8] + smooth[:, :-8, :-8]
    da = xr.DataArray(smooth / 8 + 0.3 * rng.normal(size=smooth.shape), axes, ("time", "y", "x"))
    for name in ("y", "x"):
        da[name].attrs["units"] = "km"
    return da.assign_attrs(units="1", long_name="log AOD")


@pytest.fixture(scope="module")
def single() -> xr.Dataset:
    return measure(field(), intervals=20, lags=[0.0, 0.5, 1.5, 2.5, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0])


def test_bins_lie_at_their_mean_distance_and_grow_with_pairs(single) -> None:
    (bins, *_) = semivariogram(single).axes[0].collections
    full = single.pairs.values > 0
    assert full.tolist() == [False] + [True] * 8
    np.testing.assert_allclose(bins.get_offsets()[:, 0], single.distance[full])
    np.testing.assert_allclose(bins.get_offsets()[:, 1], single.semivariance[full])
    area, pairs = bins.get_sizes(), single.pairs.values[full]
    np.testing.assert_array_equal(np.argsort(area), np.argsort(pairs))
    slope = np.diff(area) / np.diff(pairs)
    np.testing.assert_allclose(slope, slope[0], rtol=1e-9)


def test_model_nugget_range_and_band_are_drawn(single) -> None:
    ax = semivariogram(single).axes[0]
    curve, nugget = ax.lines
    np.testing.assert_allclose(curve.get_ydata(), fitted_semivariance(single, curve.get_xdata()))
    assert nugget.get_xydata().tolist() == [[0.0, single.nugget.item()]]
    _, band, dropped = ax.collections
    low, high = single.semivariance_interval.transpose("quantile", "lag").values[:, 1:]
    edges = band.get_paths()[0].vertices
    assert edges[:, 1].min() == pytest.approx(low.min())
    assert edges[:, 1].max() == pytest.approx(high.max())
    (segment,) = dropped.get_segments()
    span = single["range"].item()
    np.testing.assert_allclose(segment, [[span, 0.0], [span, fitted_semivariance(single, span).item()]])


def test_the_legend_tells_the_parameters(single) -> None:
    ax = semivariogram(single).axes[0]
    (told,) = [t.get_text() for t in ax.get_legend().get_texts()]
    assert told == (
        f"spherical: nugget {single.nugget.item():.3g}, sill {single.sill.item():.3g}, "
        f"range {single['range'].item():.3g} km"
    )
    assert ax.get_xlabel() == "distance [km]"
    assert ax.get_ylabel() == "semivariance [1]"
    assert ax.get_title() == "semivariogram of log AOD"


def test_a_range_at_its_bound_is_no_estimate() -> None:
    ramp = field().isel(time=0, drop=True) * 0 + np.sqrt(np.arange(30.0))[:, None]
    ds = measure(ramp, max_lag=8.0)
    assert ds.range_at_bound
    ax = semivariogram(ds).axes[0]
    assert len(ax.collections) == 1  # the bins alone
    assert "(at its bound)" in ax.get_legend().get_texts()[0].get_text()


def test_several_fields_lie_over_each_other(single) -> None:
    edges = np.append(single.lag_bounds.values[:, 0], single.lag_bounds.values[-1, 1])
    members = measure(field(), lags=edges)
    mean = measure(field().mean("time"), lags=edges)
    ax = semivariogram(compare_semivariograms({"members": members, "their mean": mean})).axes[0]
    labels = [t.get_text().partition(":")[0] for t in ax.get_legend().get_texts()]
    assert labels == ["members", "spherical", "their mean", "spherical"]
    one, other = (c for c in ax.collections if c.get_label() in ("members", "their mean"))
    assert one.get_facecolor().tolist() != other.get_facecolor().tolist()
    assert one.get_sizes().max() > 2 * other.get_sizes().max()  # six times the pairs
    np.testing.assert_allclose(other.get_offsets()[:, 1], mean.semivariance[1:])


def test_directions_and_days_are_named() -> None:
    ax = semivariogram(measure(field(), directions=(0, 90), model=None)).axes[0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["direction 0", "direction 90"]
    dated = field(days=2).assign_coords(time=np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[ns]"))
    ax = semivariogram(measure(dated, pool=(), model=None)).axes[0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["2020-01-01", "2020-01-02"]


def test_without_a_model_there_are_bins_alone() -> None:
    ax = semivariogram(measure(field(), model=None)).axes[0]
    assert len(ax.collections) == 1
    assert not ax.lines
    assert ax.get_legend() is None


def test_several_structures_have_several_ranges() -> None:
    ds = measure(field(), model="spherical+exponential")
    told = semivariogram(ds).axes[0].get_legend().get_texts()[0].get_text()
    assert told.startswith("spherical+exponential: nugget ")
    assert told.count(",") == 3


def test_lazy_and_constant_and_empty_ones_are_drawn() -> None:
    lazy = measure(field().chunk(time=2))
    known = semivariogram(measure(field())).axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(semivariogram(lazy).axes[0].collections[0].get_offsets(), known, rtol=1e-9)
    with pytest.warns(UserWarning, match="constant"):
        flat = measure(field() * 0)
    assert (semivariogram(flat).axes[0].collections[0].get_offsets()[:, 1] == 0).all()
    with pytest.warns(UserWarning, match="no pairs"):
        nothing = measure(field() * np.nan)
    assert len(semivariogram(nothing).axes[0].collections[0].get_offsets()) == 0


def test_axes_may_be_given_and_the_figure_is_not_pyplots(single) -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    figure = Figure()
    ax = figure.subplots(1, 2)[1]
    assert semivariogram(single, ax=ax) is figure
    assert len(ax.lines) == 2
    picture = io.BytesIO()
    semivariogram(single).savefig(picture, dpi=40)
    assert picture.getvalue().startswith(b"\x89PNG")
    assert plt.get_fignums() == before


def test_too_much_for_one_figure_is_refused() -> None:
    with pytest.raises(ValueError, match="9 variograms along 'time': expected at most 8"):
        semivariogram(measure(field(days=9), pool=(), model=None))
    members = field(days=2).expand_dims(realization=[0, 1])
    with pytest.raises(
        ValueError, match=r"dimensions \['realization', 'time'\] beside the lag: expected one"
    ):
        semivariogram(measure(members, pool=(), model=None))


def test_compared_draws_every_source_and_the_truth(evaluated: xr.Dataset) -> None:
    (axis,) = compared(evaluated).axes
    lines = {line.get_label(): line for line in axis.get_lines()}
    assert set(lines) == {*(str(n) for n in evaluated.source.values), "truth"}
    np.testing.assert_array_equal(
        lines["prediction"].get_ydata(), evaluated.semivariogram_semivariance.sel(source="prediction")
    )
    np.testing.assert_array_equal(
        lines["truth"].get_ydata(), evaluated.semivariogram_truth_semivariance.isel(source=0)
    )
    with pytest.raises(ValueError, match="holds no semivariograms"):
        compared(evaluated.drop_vars("semivariogram_semivariance"))
