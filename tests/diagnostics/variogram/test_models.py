"""Models: the published fit of R gstat, and what scikit-gstat and GSTools get."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics import fitted_semivariance, semivariogram, to_gstools, to_skgstat
from xdownscale.diagnostics.variogram.models import Model

MODELS = ("spherical", "exponential", "gaussian", "stable", "matern")


@pytest.mark.parametrize("name", ["cubic", "", "spherical+", "nugget", "spherical-gaussian"])
def test_other_models_are_refused(name) -> None:
    with pytest.raises(ValueError, match=r"model is .*: expected one of"):
        Model.parse(name)


def test_packing_and_unpacking() -> None:
    model = Model.parse("matern + spherical")
    assert model.size == 6
    cof = np.array([10.0, 1.0, 0.5, 20.0, 2.0, 0.1])
    structures = model.unpack(cof)
    np.testing.assert_array_equal(structures, [[10.0, 1.0, 0.5], [20.0, 2.0, np.nan]])
    np.testing.assert_array_equal(model.pack(structures, 0.1), cof)


def meuse() -> xr.DataArray:
    """Logarithm of zinc at 155 places; after Pebesma and Bivand (2005), R News 5(2)."""
    import skgstat

    places, zinc = skgstat.data.meuse("zinc")["sample"]
    x, y = places.T.astype(float)
    coords = {"x": ("station", x, {"units": "m"}), "y": ("station", y, {"units": "m"})}
    return xr.DataArray(np.log(zinc.ravel()), coords, "station", name="zinc")


def gstat_edges(da) -> np.ndarray:
    """R gstat's default: 15 bins up to a third of the diagonal."""
    return np.linspace(0.0, np.hypot(np.ptp(da.x.values), np.ptp(da.y.values)) / 3, 16)


def test_the_published_fit_of_gstat() -> None:
    """fit.variogram(variogram(log(zinc)~1, meuse), vgm("Sph")), r-spatial.org, 14 February 2016.

    Two starts are printed there, which agree to four digits: 0.05065971, 0.59060511, 897.0011 and
    0.05066243, 0.59060780, 897.0209. Ours lies between.
    """
    da = meuse()
    ds = semivariogram(da, lags=gstat_edges(da))
    assert 0.05065971 <= ds.nugget.item() <= 0.05066243
    assert 0.59060511 <= ds.partial_sill.item() <= 0.59060780
    assert 897.0011 <= ds["range"].item() <= 897.0209
    assert ds.sill.item() == ds.nugget.item() + ds.partial_sill.item()
    assert not ds.range_at_bound.item()


def test_our_fit_is_better_than_that_of_scikit_gstat_by_itself() -> None:
    """By the criterion of N / h^2 at the mean distances; its own abscissa is the upper edge."""
    import skgstat

    da = meuse()
    edges = gstat_edges(da)
    ds = semivariogram(da, lags=edges)
    places = np.column_stack([da.x, da.y])
    own = skgstat.Variogram(places, da.values, bin_func=edges[1:], use_nugget=True, fit_sigma="linear")
    weights = ds.pairs.values / ds.distance.values**2

    def cost(curve) -> float:
        return float((weights * (curve - ds.semivariance.values) ** 2).sum())

    ours, theirs = fitted_semivariance(ds, ds.distance.values), own.fitted_model(ds.distance.values)
    assert cost(ours) < 0.9 * cost(theirs)


@pytest.fixture(scope="module")
def fitted() -> xr.Dataset:
    da = meuse()
    return semivariogram(da, lags=gstat_edges(da))


def test_scikit_gstat_gets_the_bins_and_the_fit(fitted) -> None:
    import skgstat

    variogram = to_skgstat(fitted)
    assert isinstance(variogram, skgstat.Variogram)
    np.testing.assert_array_equal(variogram.bins, fitted.distance)
    np.testing.assert_array_equal(variogram.experimental, fitted.semivariance)
    np.testing.assert_array_equal(variogram.bin_count, fitted.pairs)
    assert [g.size for g in variogram.lag_classes()] == fitted.pairs.values.tolist()
    span, partial_sill, nugget = variogram.parameters
    assert (span, partial_sill, nugget) == (fitted["range"], fitted.partial_sill, fitted.nugget)
    assert variogram.describe()["sill"] == fitted.partial_sill.item()  # scikit-gstat's word for it
    assert variogram.rmse == pytest.approx(fitted.rmse.item(), rel=1e-12)
    np.testing.assert_allclose(variogram.fitted_model([1e9]), fitted.sill, rtol=1e-12)


def test_scikit_gstat_fits_another_model_to_the_same_bins(fitted) -> None:
    variogram = to_skgstat(fitted)
    variogram.model = "exponential"
    span, sill, nugget = variogram.parameters
    np.testing.assert_array_equal(variogram.bins, fitted.distance)
    ours = semivariogram(meuse(), lags=gstat_edges(meuse()), model="exponential")
    np.testing.assert_allclose(
        [span, sill], [ours["range"], ours.partial_sill], rtol=5e-2
    )  # its sill is bounded
    assert nugget < 0.01


def test_scikit_gstats_variogram_survives_copies_and_pickles(fitted) -> None:
    variogram = to_skgstat(fitted)
    for other in (pickle.loads(pickle.dumps(variogram)), copy.deepcopy(variogram), variogram.clone()):
        assert other.parameters == variogram.parameters
        np.testing.assert_array_equal(other.experimental, variogram.experimental)


def test_scikit_gstat_draws_it(fitted) -> None:
    figure = to_skgstat(fitted).plot(show=False)
    offsets = figure.axes[0].lines[0].get_xydata()
    np.testing.assert_allclose(offsets, np.column_stack([fitted.distance, fitted.semivariance]))


@pytest.mark.parametrize("model", [*MODELS, "spherical+exponential"])
def test_gstools_gets_the_same_curve(model) -> None:
    da = meuse()
    ds = semivariogram(da, lags=gstat_edges(da), model=model)
    covariance = to_gstools(ds)
    h = np.linspace(1.0, 1500.0, 40)
    np.testing.assert_allclose(covariance.variogram(h), fitted_semivariance(ds, h), rtol=1e-9)
    assert covariance.sill == pytest.approx(ds.sill.item(), rel=1e-12)
    assert covariance.nugget == pytest.approx(ds.nugget.item(), rel=1e-12)


def test_the_nugget_is_not_taken_off_twice(fitted) -> None:
    """What scikit-gstat's own export does: its variance is the partial sill less the nugget."""
    from skgstat.interfaces.gstools import skgstat_to_gstools

    variogram = to_skgstat(fitted)
    assert skgstat_to_gstools(variogram).var == pytest.approx((fitted.partial_sill - fitted.nugget).item())
    for covariance in (variogram.to_gstools(), to_gstools(fitted)):
        assert covariance.var == fitted.partial_sill.item()
        assert covariance.dim == 2


def test_gstools_gets_a_model_of_the_sphere_in_kilometres() -> None:
    rng = np.random.default_rng(0)
    axes = {"lat": np.linspace(20.0, 24.0, 17), "lon": np.linspace(50.0, 54.0, 17)}
    ds = semivariogram(xr.DataArray(rng.normal(size=(17, 17)).cumsum(0), axes), max_lag=200.0)
    covariance = to_gstools(ds)
    assert covariance.latlon
    assert covariance.geo_scale == 6371.0
    assert covariance.len_scale == ds["range"].item()
    np.testing.assert_allclose(covariance.variogram([50.0]), fitted_semivariance(ds, 50.0), rtol=1e-12)


def test_without_gstools_the_extra_is_named(fitted, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gstools", None)
    with pytest.raises(
        ImportError, match=r"to_gstools needs gstools: pip install 'xarray-downscale\[gstools\]'"
    ):
        to_gstools(fitted)


@pytest.mark.parametrize("use", [to_skgstat, to_gstools, lambda ds: fitted_semivariance(ds, 1.0)])
def test_one_fitted_semivariogram_is_needed(use, fitted) -> None:
    several = xr.concat([fitted, fitted], "time")
    with pytest.raises(ValueError, match=r"several variograms, along \['time'\]: choose one"):
        use(several)
    with pytest.raises(ValueError, match="holds no fit"):
        use(fitted.drop_vars("nugget"))
    with pytest.raises(ValueError, match="its parameters are NaN"):
        use(fitted.assign(nugget=np.nan))


def test_the_package_is_imported_without_scikit_gstat_and_torch() -> None:
    heavy = {"skgstat", "gstools", "matplotlib", "torch", "dask"}
    loaded = "{n.partition('.')[0] for n in sys.modules}"
    code = f"import sys, xdownscale.diagnostics\nprint(*{loaded} & {heavy!r})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
