"""Fits to bins: parameters that were put in come out, and what allows no fit is told."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.variogram.fit import fit_bins
from xdownscale.diagnostics.variogram.models import Model

H = np.linspace(5.0, 235.0, 24)
N = np.full(24, 1000.0)
TRUTH = {"nugget": 0.1, "partial_sill": 0.6, "range": 120.0}
CURVES = {
    "spherical": lambda t: np.where(t < 1, 1.5 * t - 0.5 * t**3, 1.0),
    "exponential": lambda t: 1 - np.exp(-3 * t),
    "gaussian": lambda t: 1 - np.exp(-4 * t**2),
    "stable": lambda t: 1 - np.exp(-3 * t**1.4),
    "matern": lambda t: 1 - (1 + 4 * np.sqrt(1.5) * t) * np.exp(-4 * np.sqrt(1.5) * t),  # smoothness 3/2
}


def fit(gamma, model, h=H, n=N, reach=240.0, **options) -> np.ndarray:
    return fit_bins(h, gamma, n, model=Model.parse(model), reach=reach, **options)


@pytest.mark.parametrize("model", CURVES)
@pytest.mark.parametrize("scale", [(1.0, 1.0), (1e-18, 1e-3), (1e6, 1e3)])
def test_parameters_that_were_put_in_come_out(model, scale) -> None:
    gamma = 0.1 + 0.6 * CURVES[model](H / 120.0)
    squared, length = scale
    found = fit(gamma * squared, model, h=H * length, reach=240.0 * length)
    nugget, rmse, span, sill, shape, at_bound = found
    np.testing.assert_allclose(
        [nugget / squared, sill / squared, span / length], list(TRUTH.values()), rtol=1e-4, atol=1e-6
    )
    assert rmse < 1e-6 * squared
    assert at_bound == 0
    known = {"stable": 1.4, "matern": 1.5}
    assert np.isnan(shape) if model not in known else shape == pytest.approx(known[model], rel=1e-3)


def test_two_structures_come_out() -> None:
    gamma = 0.05 + 0.3 * CURVES["spherical"](H / 40.0) + 0.5 * CURVES["exponential"](H / 200.0)
    found = fit(gamma, "spherical+exponential")
    np.testing.assert_allclose(found[[0, 2, 3, 6, 7]], [0.05, 40.0, 0.3, 200.0, 0.5], rtol=1e-2)


def test_empty_bins_are_dropped() -> None:
    gamma = 0.1 + 0.6 * CURVES["spherical"](H / 120.0)
    n = N.copy()
    n[[0, 7]] = 0
    gamma[[0, 7]] = np.nan
    np.testing.assert_allclose(fit(gamma, "spherical", n=n)[[0, 2, 3]], [0.1, 120.0, 0.6], rtol=1e-4)


def test_bins_count_by_pairs_over_squared_distance() -> None:
    """At the least squares of N / h^2 the weighted residuals are orthogonal to the nugget and to the sill."""
    rng = np.random.default_rng(0)
    gamma = 0.1 + 0.6 * CURVES["spherical"](H / 120.0) + 0.05 * rng.normal(size=24)
    n = rng.integers(100, 10_000, 24).astype(float)
    nugget, rmse, span, sill, _, _ = fit(gamma, "spherical", n=n)
    shape = CURVES["spherical"](H / span)
    residual, weight = nugget + sill * shape - gamma, n / H**2
    assert rmse == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-9)
    for direction in (1.0, shape):
        assert abs((weight * direction * residual).sum()) < 1e-5 * (weight * np.abs(residual)).sum()
        assert abs((n * direction * residual).sum()) > 1e-2 * (n * np.abs(residual)).sum()


def test_a_range_beyond_the_lags_is_told() -> None:
    nugget, _, span, _, _, at_bound = fit(0.1 + 0.001 * H, "spherical")
    assert at_bound == 1
    assert span == pytest.approx(480.0, rel=1e-2)  # twice the longest lag
    assert nugget == pytest.approx(0.1, rel=0.1)


def test_a_pure_nugget_has_no_range() -> None:
    nugget, _, _, sill, _, at_bound = fit(np.full(24, 0.7), "exponential")
    assert nugget + sill == pytest.approx(0.7, rel=1e-6)
    assert at_bound == 1


@pytest.mark.parametrize(
    ("gamma", "n", "why"),
    [
        (np.zeros(24), N, "the field is constant"),
        (np.full(24, np.nan), np.zeros(24), "no pairs of valid cells within the lags"),
        (np.ones(24), np.r_[1.0, 1.0, np.zeros(22)], "2 bins with pairs, 3 parameters"),
    ],
)
def test_bins_that_allow_no_fit_give_nan_and_a_warning(gamma, n, why) -> None:
    with pytest.warns(UserWarning, match=f"no model was fitted: .*{why}"):
        assert np.isnan(fit(gamma, "spherical", n=n)).all()
    assert np.isnan(fit(gamma, "spherical", n=n, quiet=True)).all()


def test_fits_in_threads_leave_the_filters_of_warnings_alone() -> None:
    import warnings
    from concurrent.futures import ThreadPoolExecutor

    before = list(warnings.filters)
    gamma = 0.1 + 0.6 * CURVES["exponential"](H / 120.0)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: fit(gamma, "exponential"), range(24)))
    np.testing.assert_array_equal(found, [found[0]] * 24)
    assert list(warnings.filters) == before
