"""Semivariograms of DataArrays: what is asked for, how, and what is refused."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics import compare_semivariograms, semivariogram
from xdownscale.diagnostics.variogram.sphere import great_circle

EXACT = ("semivariance", "pairs", "distance")


def plane(seed=0, shape=(14, 18), days=None, members=None, **attrs) -> xr.DataArray:
    """Noise with 10 % missing, 2 km by 1.5 km cells."""
    rng = np.random.default_rng(seed)
    extra = {"realization": members, "time": days}
    lead = {d: np.arange(n) for d, n in extra.items() if n is not None}
    values = rng.normal(size=(*(len(v) for v in lead.values()), *shape)).cumsum(axis=-1)
    values[rng.random(values.shape) < 0.1] = np.nan
    axes = {
        "y": ("y", 2.0 * np.arange(shape[0]), {"units": "km"}),
        "x": ("x", 1.5 * np.arange(shape[1]), {"units": "km"}),
    }
    return xr.DataArray(values, {**lead, **axes}, (*lead, "y", "x"), attrs=attrs)


def globe(seed=0, days=3) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    lat, lon = np.arange(40.0, 49.0, 0.5), np.arange(170.0, 182.0, 0.625)
    time = np.datetime64("2020-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
    values = rng.normal(size=(days, lat.size, lon.size)).cumsum(axis=1)
    values[rng.random(values.shape) < 0.1] = np.nan
    return xr.DataArray(
        values, {"time": time, "lat": lat, "lon": lon}, ("time", "lat", "lon"), attrs={"units": "1"}
    )


def simulated(model, shape, days, seed=0, nugget=0.0) -> np.ndarray:
    """Gaussian fields with a given variogram, exactly, by circulant embedding."""
    rng = np.random.default_rng(seed)
    ny, nx = (2 * n for n in shape)
    dy, dx = (np.minimum(np.arange(n), n - np.arange(n)) for n in (ny, nx))
    covariance = 1.0 - model(np.hypot(dy[:, None], dx[None, :]))
    root = np.sqrt(np.maximum(np.fft.fft2(covariance).real, 0.0))
    noise = rng.normal(size=(days, ny, nx)) + 1j * rng.normal(size=(days, ny, nx))
    smooth = np.fft.ifft2(root * np.fft.fft2(noise, norm="ortho"), norm="ortho").real
    field = smooth[:, : shape[0], : shape[1]]
    return field + np.sqrt(nugget) * rng.normal(size=field.shape)


def same(found, known, rtol=1e-12) -> None:
    for name in EXACT:
        np.testing.assert_allclose(found[name], known[name], rtol=rtol, err_msg=name)


def test_a_plane_is_summed_pair_by_pair() -> None:
    da = plane()
    ds = semivariogram(da, lags=6, max_lag=12.0, model=None)
    y, x = (c.ravel() for c in np.meshgrid(da.y, da.x, indexing="ij"))
    z = da.values.ravel()
    a, b = np.triu_indices(z.size, 1)
    valid = np.isfinite(z[a] + z[b])
    h, square = np.hypot(y[a] - y[b], x[a] - x[b])[valid], ((z[a] - z[b]) ** 2)[valid]
    for k, (low, high) in enumerate(ds.lag_bounds.values):
        within = (h >= low * (1 - 1e-9)) & (h < high * (1 - 1e-9))
        assert ds.pairs[k] == within.sum()
        assert ds.semivariance[k].item() == pytest.approx(square[within].mean() / 2, rel=1e-12)
        assert ds.distance[k].item() == pytest.approx(h[within].mean(), rel=1e-12)
    assert ds.attrs["method"] == "all pairs, planar FFT"
    assert ds.lag.attrs["units"] == "km"


def test_latitudes_and_longitudes_are_summed_by_great_circle() -> None:
    da = globe()
    ds = semivariogram(da, lags=[0.0, 100.0, 300.0, 555.5], model=None)
    lat, lon = (c.ravel() for c in np.meshgrid(da.lat, da.lon, indexing="ij"))
    a, b = np.triu_indices(lat.size, 1)
    h = great_circle(lat[a], lon[a], lat[b], lon[b])
    square = (da.values.reshape(3, -1)[:, a] - da.values.reshape(3, -1)[:, b]) ** 2
    for k, (low, high) in enumerate(ds.lag_bounds.values):
        within = square[:, (h >= low) & (h < high)]
        assert ds.pairs[k] == np.isfinite(within).sum()
        assert ds.semivariance[k].item() == pytest.approx(np.nanmean(within) / 2, rel=1e-12)
    assert ds.attrs["method"] == "all pairs, great-circle distance"
    assert ds.attrs["earth_radius"] == "6371.0 km"
    assert ds.lag.attrs["units"] == "km"


def test_the_order_of_rows_dimensions_and_longitudes_does_not_matter() -> None:
    da = globe()
    known = semivariogram(da, max_lag=400.0, directions=(0, 45, 90, 135))
    turned = da.assign_coords(lon=(da.lon + 180) % 360 - 180).isel(lat=slice(None, None, -1))
    same(
        semivariogram(turned.transpose("lon", "time", "lat"), max_lag=400.0, directions=(0, 45, 90, 135)),
        known,
    )


def test_a_whole_parallel_may_begin_anywhere() -> None:
    rng = np.random.default_rng(0)
    axes = {"lat": np.arange(-85.0, 90.0, 10.0), "lon": np.arange(0.0, 360.0, 10.0)}
    da = xr.DataArray(rng.normal(size=(18, 36)), axes, ("lat", "lon"))
    known = semivariogram(da, max_lag=3000.0, model=None)
    rolled = da.roll(lon=13, roll_coords=True)
    turned = rolled.assign_coords(lon=(rolled.lon + 180) % 360 - 180)
    same(semivariogram(turned, max_lag=3000.0, model=None), known)
    cut = semivariogram(da.isel(lon=slice(0, 35)), max_lag=3000.0, model=None)
    assert known.pairs.sum() > cut.pairs.sum()


def test_a_rotated_pole_has_great_circles_too() -> None:
    da = globe()
    known = semivariogram(da, max_lag=400.0)
    names = {"lat": "rlat", "lon": "rlon"}
    rotated = da.rename(names)
    rotated.rlat.attrs.update(standard_name="grid_latitude", units="degrees", axis="Y")
    rotated.rlon.attrs.update(standard_name="grid_longitude", units="degrees", axis="X")
    found = semivariogram(rotated, max_lag=400.0)
    same(found, known)
    assert found.lag.attrs["units"] == "km"
    assert rotated.rlat.attrs["standard_name"] == "grid_latitude"  # the input is not changed


def test_metres_stay_metres() -> None:
    da = plane()
    metres = da.assign_coords({d: (d, 1000 * da[d].values, {"units": "m"}) for d in ("y", "x")})
    found, known = semivariogram(metres, max_lag=12_000.0), semivariogram(da, max_lag=12.0)
    np.testing.assert_allclose(found.semivariance, known.semivariance, rtol=1e-12)
    np.testing.assert_allclose(found.distance, 1000 * known.distance, rtol=1e-12)
    assert found["range"].attrs["units"] == "m"


def test_anisotropy_is_seen_along_its_directions() -> None:
    """A ramp along x: gamma = dx^2 / 2, and dx = h sin(azimuth) within 22.5 degrees of each direction."""
    ramp = plane() * 0 + plane().x
    ds = semivariogram(ramp, directions=(0.0, 90.0), max_lag=12.0, lags=6, model=None)
    shares = 2 * ds.semivariance / ds.distance**2
    north, east = (shares.sel(direction=d).dropna("lag").values for d in (0.0, 90.0))
    assert north.size >= 5
    assert east.size >= 5
    assert (north <= np.sin(np.deg2rad(22.5)) ** 2 * 1.2).all()
    assert (east >= np.cos(np.deg2rad(22.5)) ** 2 * 0.9).all()


def test_fields_are_pooled_as_variograms_and_never_averaged_first() -> None:
    da = plane(members=4, days=3)
    pooled = semivariogram(da, max_lag=9.0, model=None)
    apart = semivariogram(da, max_lag=9.0, model=None, pool=())
    assert apart.semivariance.dims == ("realization", "time", "lag")
    np.testing.assert_array_equal(pooled.pairs, apart.pairs.sum(("realization", "time")))
    weighted = (apart.semivariance * apart.pairs).sum(("realization", "time")) / pooled.pairs
    np.testing.assert_allclose(pooled.semivariance, weighted, rtol=1e-12)
    single = semivariogram(da.isel(realization=2, time=1), max_lag=9.0, model=None)
    np.testing.assert_allclose(apart.semivariance[2, 1], single.semivariance, rtol=1e-12)


def test_the_members_variogram_is_not_that_of_their_mean() -> None:
    """Of M independent members the mean has a semivariance M times smaller."""
    rng = np.random.default_rng(0)
    da = plane(members=8) * 0 + rng.normal(size=(8, 14, 18))
    members = semivariogram(da, max_lag=9.0, model=None)
    mean = semivariogram(da.mean("realization", skipna=False), max_lag=9.0, model=None)
    ratio = (members.semivariance / mean.semivariance).isel(lag=slice(1, None))
    np.testing.assert_allclose(ratio, 8.0, rtol=0.35)
    both = compare_semivariograms({"members": members, "ensemble mean": mean})
    assert both.semivariance.dims == ("field", "lag")


@pytest.mark.parametrize("source", [plane(days=7, members=2), globe(days=7)], ids=["plane", "globe"])
@pytest.mark.parametrize("chunks", [{"time": 1}, {"time": 3}, {"time": -1}], ids=str)
def test_chunks_of_days_add_up_to_the_whole(source, chunks) -> None:
    known = semivariogram(source, intervals=8, model="exponential")
    lazy = semivariogram(source.chunk(chunks), intervals=8, model="exponential")
    assert all(lazy[name].chunks is not None for name in lazy.data_vars)
    found = lazy.compute()
    same(found, known)
    np.testing.assert_allclose(found.semivariance_interval, known.semivariance_interval, rtol=1e-12)
    np.testing.assert_allclose(found.sill, known.sill, rtol=1e-6)


def test_chunks_of_space_and_other_results_are_lazy_too() -> None:
    da = plane(days=4)
    for options in (
        {"directions": (0, 90)},
        {"pool": ()},
        {"estimator": "cressie"},
        {"weights": da.y + 1 + 0 * da.x},
    ):
        known = semivariogram(da, max_lag=9.0, **options)
        lazy = semivariogram(da.chunk(y=5, x=4, time=2), max_lag=9.0, **options)
        assert lazy.nugget.chunks is not None
        same(lazy.compute(), known)


def test_building_computes_nothing() -> None:
    def refuse(block):
        raise AssertionError("computed")

    raw = dask.array.zeros((3, 14, 18), chunks=(1, 14, 18))
    touched = dask.array.map_blocks(refuse, raw, dtype=float, meta=np.empty((0, 0, 0)))
    da = plane(days=3).copy(data=touched)
    for options in (
        {},
        {"intervals": 5},
        {"estimator": "dowd"},
        {"weights": "area"},
        {"pool": (), "model": None},
    ):
        lazy = semivariogram(da, max_lag=9.0, **options)
        with pytest.raises(AssertionError, match="computed"):
            lazy.compute()


def test_weights() -> None:
    da = globe()
    area = semivariogram(da, max_lag=300.0, model=None, weights="area")
    cos = np.cos(np.deg2rad(da.lat)) + 0 * da.isel(time=0).fillna(0.0)
    same(semivariogram(da, max_lag=300.0, model=None, weights=cos), area, rtol=1e-9)  # equal up to a factor
    ones = semivariogram(da, max_lag=300.0, model=None, weights=xr.ones_like(cos))
    plain = semivariogram(da, max_lag=300.0, model=None)
    same(ones, plain)
    np.testing.assert_array_equal(area.pairs, plain.pairs)
    assert (np.abs(area.semivariance / plain.semivariance - 1) > 1e-6).any()
    assert (area.attrs["weights"], ones.attrs["weights"], plain.attrs["weights"]) == ("area", "given", "none")
    left_out = cos.where(da.lat < 44.0, 0.0)
    same(
        semivariogram(da, max_lag=300.0, model=None, weights=left_out * 0 + (left_out > 0)),
        semivariogram(da.where(da.lat < 44.0), max_lag=300.0, model=None),
    )


def test_sampled_estimators_agree_with_the_exact_one() -> None:
    da = globe()
    exact = semivariogram(da, lags=[0.0, 100.0, 300.0, 500.0], model=None)
    sampled = semivariogram(da, lags=[0.0, 100.0, 300.0, 500.0], model=None, method="sampled")
    same(sampled, exact, rtol=1e-9)  # all cells are taken
    assert sampled.attrs["method"] == "all pairs of 360 of 360 cells, by scikit-gstat"
    robust = semivariogram(da, lags=[0.0, 100.0, 300.0, 500.0], model=None, estimator="cressie")
    np.testing.assert_array_equal(robust.pairs, exact.pairs)
    assert robust.attrs["estimator"] == "cressie"
    np.testing.assert_allclose(robust.semivariance, exact.semivariance, rtol=0.5)


def test_curvilinear_cells_and_uneven_axes_are_sampled() -> None:
    da = globe()
    flat = da.rename(lat="j", lon="i").drop_vars(["j", "i"])
    lat, lon = np.meshgrid(da.lat, da.lon, indexing="ij")
    curved = flat.assign_coords(
        lat2d=(("j", "i"), lat, {"standard_name": "latitude"}),
        lon2d=(("j", "i"), lon, {"standard_name": "longitude"}),
    )
    known = semivariogram(da, lags=[0.0, 100.0, 300.0], model=None)
    same(semivariogram(curved, lags=[0.0, 100.0, 300.0], model=None), known, rtol=1e-9)
    uneven = da.isel(lat=[0, 1, 2, 4, 7, 8])
    with pytest.raises(ValueError, match=r"not evenly spaced .* or take method='sampled'"):
        semivariogram(uneven)
    gaps = da.where(da.lat.isin(uneven.lat))
    same(
        semivariogram(uneven, lags=[0.0, 100.0, 300.0], model=None, method="sampled"),
        semivariogram(gaps, lags=[0.0, 100.0, 300.0], model=None),
        rtol=1e-9,
    )


def test_intervals_hold_the_estimate() -> None:
    values = simulated(lambda h: 1 - np.exp(-h / 4.0), (40, 40), 24)
    da = xr.DataArray(
        values, {"time": np.arange(24), "y": np.arange(40.0), "x": np.arange(40.0)}, ("time", "y", "x")
    )
    ds = semivariogram(da, model="exponential", intervals=30, seed=3)
    low, high = ds.semivariance_interval.transpose("quantile", "lag").values
    full = ds.pairs.values > 0
    assert ((low < ds.semivariance.values) & (ds.semivariance.values < high))[full].all()
    assert ds["quantile"].values.tolist() == [0.025, 0.975]
    for name in ("nugget", "sill", "partial_sill", "range"):
        assert ds[f"{name}_interval"].dims == ("quantile",)
        assert ds[f"{name}_interval"][0] <= ds[name] <= ds[f"{name}_interval"][1]
    again = semivariogram(da, model="exponential", intervals=30, seed=3)
    np.testing.assert_array_equal(again.range_interval, ds.range_interval)


@pytest.mark.parametrize(("model", "curve"), [
    ("spherical", lambda h: np.where(h < 30, 1.5 * h / 30 - 0.5 * (h / 30) ** 3, 1.0)),
    ("exponential", lambda h: 1 - np.exp(-3 * h / 30)),
    ("gaussian", lambda h: 1 - np.exp(-4 * (h / 30) ** 2)),
])  # fmt: skip
def test_parameters_of_simulated_fields_are_recovered(model, curve) -> None:
    """Nugget 0.3, partial sill 1 and effective range 30 cells, within 10 %; 10 % of the cells are missing."""
    values = simulated(curve, (200, 240), 12, seed=1, nugget=0.3)
    values[np.random.default_rng(2).random(values.shape) < 0.1] = np.nan
    axes = {"time": np.arange(12), "y": np.arange(200.0), "x": np.arange(240.0)}
    ds = semivariogram(xr.DataArray(values, axes, ("time", "y", "x")), max_lag=60.0, lags=30, model=model)
    assert ds.nugget.item() == pytest.approx(0.3, rel=0.1)
    assert ds.sill.item() == pytest.approx(1.3, rel=0.1)
    assert ds["range"].item() == pytest.approx(30.0, rel=0.1)
    assert not ds.range_at_bound.item()


def test_a_covariance_of_gstools_on_the_sphere_is_recovered() -> None:
    """200 fields drawn exactly, by the root of the covariance matrix; nugget 0.2, sill 1.2, range 300 km."""
    import gstools as gs

    lat, lon = np.arange(20.0, 26.0, 0.25), np.arange(60.0, 66.5, 0.25)
    covariance = gs.Exponential(latlon=True, var=1.0, len_scale=300.0, rescale=3.0, geo_scale=6371.0)
    y, x = (c.ravel() for c in np.meshgrid(lat, lon, indexing="ij"))
    apart = great_circle(y[:, None], x[:, None], y, x)
    root = np.linalg.cholesky(covariance.cov_yadrenko(apart) + 0.2 * np.eye(y.size))
    values = (root @ np.random.default_rng(0).normal(size=(y.size, 200))).T.reshape(200, lat.size, lon.size)
    da = xr.DataArray(values, {"time": np.arange(200), "lat": lat, "lon": lon}, ("time", "lat", "lon"))
    ds = semivariogram(da, max_lag=500.0, lags=15, model="exponential")
    assert ds.nugget.item() == pytest.approx(0.2, rel=0.1)
    assert ds.sill.item() == pytest.approx(1.2, rel=0.1)
    assert ds["range"].item() == pytest.approx(300.0, rel=0.1)


def test_the_result_goes_to_netcdf_and_back(tmp_path) -> None:
    ds = semivariogram(globe(), directions=(0, 90), intervals=5, model="spherical+exponential")
    ds.to_netcdf(tmp_path / "variogram.nc")
    with xr.open_dataset(tmp_path / "variogram.nc") as back:
        xr.testing.assert_allclose(back.load(), ds)
        assert back.range_at_bound.dtype == bool
        assert back.attrs == ds.attrs


def test_comparison_lays_fields_beside_each_other() -> None:
    one, two = plane(0), plane(1) * 2
    edges = np.arange(0.0, 13.0, 1.5)
    found = {"truth": semivariogram(one, lags=edges), "ours": semivariogram(two, lags=edges)}
    both = compare_semivariograms(found, dim="run")
    assert both.run.values.tolist() == ["truth", "ours"]
    assert both.semivariance.dims == ("run", "lag")
    assert both.lag_bounds.dims == ("lag", "bnds")
    xr.testing.assert_equal(both.sel(run="ours", drop=True).semivariance, found["ours"].semivariance)
    assert both.attrs["model"] == "spherical"


def test_what_cannot_be_compared_is_refused() -> None:
    one = semivariogram(plane(), max_lag=12.0, model=None)
    with pytest.raises(ValueError, match="'b' has other lags than the first"):
        compare_semivariograms({"a": one, "b": semivariogram(plane(), max_lag=9.0, model=None)})
    with pytest.raises(ValueError, match="'b' has another model, 'spherical', than the first, 'none'"):
        compare_semivariograms({"a": one, "b": semivariogram(plane(), max_lag=12.0)})
    other = one.assign_coords(lag=one.lag.assign_attrs(units="m"))
    with pytest.raises(ValueError, match="'b' has another units of lag, 'm', than the first, 'km'"):
        compare_semivariograms({"a": one, "b": other})
    with pytest.raises(ValueError, match="no semivariograms are given"):
        compare_semivariograms({})


def test_all_missing_has_no_pairs_and_no_fit() -> None:
    for da in (plane() * np.nan, globe() * np.nan):
        with pytest.warns(UserWarning, match="no pairs of valid cells within the lags"):
            ds = semivariogram(da)
        assert (ds.pairs == 0).all()
        assert np.isnan(ds.semivariance).all()
        assert np.isnan([ds.nugget, ds.sill, ds["range"], ds.rmse]).all()
        assert not ds.range_at_bound


def test_a_constant_field_is_zero_and_has_no_fit() -> None:
    flat, round_ = plane() * 0 + 0.1, globe() * 0 + 0.1
    cases = (
        (flat, {}),
        (round_, {}),
        (round_, {"method": "sampled"}),
        (flat, {"estimator": "genton", "lags": 3}),
    )
    for da, options in cases:
        with pytest.warns(UserWarning, match="no model was fitted: the field is constant"):
            ds = semivariogram(da, **options)
        full = ds.pairs.values > 0
        assert full.any()
        assert (ds.semivariance.values[full] == 0.0).all()
        assert np.isnan(ds.sill)


def test_one_valid_cell_has_no_pairs() -> None:
    da = plane()
    alone = da.where((da.y == 4.0) & (da.x == 3.0), np.nan).fillna(np.nan)
    alone[2, 2] = 1.0
    for options in ({}, {"method": "sampled"}, {"estimator": "dowd"}, {"directions": (0, 90)}):
        with pytest.warns(UserWarning, match="no pairs"):
            ds = semivariogram(alone, **options)
        assert (ds.pairs == 0).all()
    with pytest.warns(UserWarning, match="no pairs"):
        assert semivariogram(da.isel(y=[0], x=[0])).pairs.sum() == 0


def test_one_day_without_values_among_others() -> None:
    da = globe()
    da[1] = np.nan
    pooled = semivariogram(da, model=None)
    same(pooled, semivariogram(da.isel(time=[0, 2]), model=None))
    with pytest.warns(UserWarning, match="no pairs"):
        apart = semivariogram(da, pool=())
    np.testing.assert_array_equal(np.isfinite(apart.nugget), [True, False, True])


def test_lags_beyond_the_domain_are_empty() -> None:
    for da in (plane(), globe()):
        ds = semivariogram(da, lags=[0.0, 5e2, 1e5, 1e6], model=None)
        np.testing.assert_array_equal(ds.pairs.values > 0, [True, "lat" in da.dims, False])
        with pytest.warns(UserWarning, match="no pairs"):
            assert (semivariogram(da, lags=[1e5, 1e6]).pairs == 0).all()


def test_too_few_bins_for_the_model() -> None:
    with pytest.warns(UserWarning, match=r"2 bins with pairs, 4 parameters of 'matern'"):
        assert np.isnan(semivariogram(plane(), lags=[1.0, 4.0, 8.0], model="matern").nugget)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("make", [plane, globe])
def test_infinite_values_and_negative_weights_are_refused(lazy, make) -> None:
    da = make()
    weights = xr.ones_like(da)
    weights[..., 3, 3] = -1.0
    bad = da.copy()
    bad[..., 2, 2] = np.inf
    chunks = dict.fromkeys(da.dims, -1) if lazy else None
    bad, sound = (v if chunks is None else v.chunk(chunks) for v in (bad, da.fillna(0.0)))
    for options in ({}, {"method": "sampled"}):
        with pytest.raises(ValueError, match="values are infinite: mask them"):
            semivariogram(bad, **options).compute()
    with pytest.raises(ValueError, match="weights of valid cells are negative or not finite, the first -1"):
        semivariogram(sound, weights=weights).compute()


def test_weights_of_zero_everywhere_leave_nothing() -> None:
    with pytest.warns(UserWarning, match="no pairs"):
        ds = semivariogram(plane(), weights=xr.zeros_like(plane()))
    assert (ds.pairs == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "minmax"}, r"estimator is 'minmax': expected one of \['matheron', "),
        ({"method": "fft"}, r"method is 'fft': expected one of \['auto', "),
        ({"method": "exact", "estimator": "dowd"}, "method is 'exact' with estimator 'dowd'"),
        ({"model": "cubic"}, "model is 'cubic': expected one of"),
        ({"lags": 0}, "lags is 0: expected a number of bins"),
        ({"max_lag": -1.0}, "max_lag is -1.0: expected a positive"),
        ({"lags": [3.0, 1.0]}, "expected two or more, rising"),
        ({"directions": (0, 180)}, "180 degrees apart are the same"),
        ({"pool": "level"}, r"pool names \['level'\]"),
        ({"intervals": 10}, "expected a pooled time of at least 2 days"),
        ({"weights": "area", "method": "sampled"}, "weights are given for sampled cells"),
        ({"dims": {"lat": "row"}}, "the array has dimensions"),
    ],
)
def test_options_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        semivariogram(plane(), **options)


def test_arrays_that_are_no_fields_are_refused() -> None:
    with pytest.raises(TypeError, match="expected real numbers"):
        semivariogram(plane().astype(complex))
    with pytest.raises(TypeError, match="expected None, 'area' or a DataArray"):
        semivariogram(plane(), weights=np.ones((14, 18)))
    with pytest.raises(ValueError, match="no dimension is latitude"):
        semivariogram(xr.DataArray(np.zeros((3, 3)), dims=("a", "b")))
    stations = xr.DataArray([1.0, 2.0], {"lat": ("s", [1.0, 2.0]), "lon": ("s", [1.0, 2.0])}, "s")
    with pytest.raises(ValueError, match="method is 'exact' with cells that lie on no regular grid"):
        semivariogram(stations, method="exact")
    degrees = plane()
    degrees.y.attrs.update(units="degrees", standard_name="projection_y_coordinate")
    degrees.x.attrs.update(units="degrees", standard_name="projection_x_coordinate")
    with pytest.raises(ValueError, match="degrees are not planar"):
        semivariogram(degrees)
    mixed = plane()
    mixed.x.attrs["units"] = "m"
    with pytest.raises(ValueError, match="y is in 'km' and x in 'm'"):
        semivariogram(mixed)


def test_the_input_is_not_changed() -> None:
    da = globe()
    before = da.copy(deep=True)
    semivariogram(da, weights="area", directions=(0, 90))
    xr.testing.assert_identical(da, before)
