"""Some cells and scikit-gstat's estimators, against scikit-gstat and R gstat."""

from __future__ import annotations

import numpy as np
import pytest
import skgstat

from xdownscale.diagnostics.variogram.lags import EARTH_RADIUS, Lags
from xdownscale.diagnostics.variogram.plane import Plane
from xdownscale.diagnostics.variogram.sampled import CELLS, Sampled

# variogram(log(zinc)~1, meuse) and variogram(log(zinc)~x+y, meuse, alpha=c(0,45,90,135)), the first five bins
# of each direction, from R gstat's reference, https://r-spatial.github.io/gstat/reference/variogram.html
ALL = """
57 79.29244 0.1234479
299 163.97367 0.2162185
419 267.36483 0.3027859
457 372.73542 0.4121448
547 478.47670 0.4634128
533 585.34058 0.5646933
574 693.14526 0.5689683
564 796.18365 0.6186769
589 903.14650 0.6471479
543 1011.29177 0.6915705
500 1117.86235 0.7033984
477 1221.32810 0.6038770
452 1329.16407 0.6517158
457 1437.25620 0.5665318
415 1543.20248 0.5748227
"""
DIRECTIONS = """
12 84.36080 0.04114593
76 165.59800 0.19091543
109 270.29441 0.21867508
134 371.27824 0.23112878
158 478.06480 0.38337565
11 82.06663 0.07619858
91 165.75829 0.11957011
118 266.93093 0.20557549
136 374.24886 0.27864922
172 479.40618 0.23932562
16 78.75466 0.07583160
70 160.01667 0.20149652
97 267.68973 0.20686187
98 372.02688 0.28167260
118 479.76226 0.30366429
18 74.69621 0.19452856
62 163.83075 0.24550456
95 264.21071 0.28119200
89 373.39690 0.37803627
99 475.98691 0.35772223
"""


def table(text: str) -> np.ndarray:
    return np.array([line.split() for line in text.split("\n") if line], dtype=float)


def meuse() -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """Places (y, x), log(zinc) and gstat's default edges."""
    places, zinc = skgstat.data.meuse("zinc")["sample"]
    edges = np.linspace(0.0, np.hypot(*np.ptp(places, axis=0)) / 3, 16)
    return places[:, ::-1].astype(float), np.log(zinc.ravel()), tuple(edges)


def test_the_published_semivariogram_of_gstat() -> None:
    places, z, edges = meuse()
    squares, weight, length, pairs = Sampled(places, False, Lags(edges), "matheron", 0).add(z[None])[:, 0]
    known = table(ALL)
    np.testing.assert_array_equal(pairs, known[:, 0])
    np.testing.assert_allclose(length / pairs, known[:, 1], atol=5e-6)
    np.testing.assert_allclose(squares / (2 * weight), known[:, 2], atol=5e-8)


def test_the_published_directions_of_gstat() -> None:
    places, z, edges = meuse()
    trend = np.column_stack([np.ones(len(z)), places - places.mean(axis=0)])
    residual = z - trend @ np.linalg.lstsq(trend, z, rcond=None)[0]
    lags = Lags(edges, (0.0, 45.0, 90.0, 135.0))
    squares, weight, length, pairs = Sampled(places, False, lags, "matheron", 0).add(residual[None])
    known = table(DIRECTIONS).reshape(4, 5, 3)
    np.testing.assert_array_equal(pairs[:, :5], known[..., 0])
    np.testing.assert_allclose((length / pairs)[:, :5], known[..., 1], atol=5e-6)
    np.testing.assert_allclose((squares / (2 * weight))[:, :5], known[..., 2], atol=5e-9)


@pytest.mark.parametrize("estimator", ["matheron", "cressie", "dowd"])
def test_estimators_are_those_of_scikit_gstat(estimator) -> None:
    rng = np.random.default_rng(0)
    places, z = 10 * rng.random((60, 2)), rng.lognormal(0, 1, 60)
    edges = (0.5, 2.0, 3.0, 4.5)  # not from 0: scikit-gstat's first class, below 0.5, is left out
    own = skgstat.Variogram(places, z, estimator=estimator, bin_func=np.array(edges), fit_method=None)
    sampled = Sampled(places, False, Lags(edges), estimator, 0)
    squares, weight, _, pairs = sampled.add(z[None])[:, 0]
    np.testing.assert_array_equal(pairs, own.bin_count[1:])
    np.testing.assert_allclose(squares / (2 * weight), own.experimental[1:], rtol=1e-10)


def test_genton_is_that_of_scikit_gstat_on_signed_differences() -> None:
    """Normal values of variance 1: gamma is 1. From absolute differences, as in its Variogram, it is not."""
    rng = np.random.default_rng(0)
    places, z = rng.random((400, 2)), rng.normal(size=400)
    squares, weight, _, pairs = Sampled(places, False, Lags((0.0, 2.0)), "genton", 0).add(z[None])[:, 0, 0]
    assert 400 < pairs <= 500
    assert squares / (2 * weight) == pytest.approx(1.0, rel=0.15)
    differences = rng.normal(0, np.sqrt(2), 499)
    assert skgstat.estimators.genton(differences) == pytest.approx(1.0, rel=0.15)
    assert skgstat.estimators.genton(np.abs(differences)) < 0.5


def test_one_missing_value_does_not_poison_the_bins() -> None:
    """As it does in scikit-gstat, where every bin is NaN then."""
    rng = np.random.default_rng(0)
    places, z = 10 * rng.random((60, 2)), rng.normal(size=60)
    lags = Lags((0.0, 2.0, 4.0))
    z[17] = np.nan
    found = Sampled(places, False, lags, "matheron", 0).add(z[None])
    known = Sampled(np.delete(places, 17, 0), False, lags, "matheron", 0).add(np.delete(z, 17)[None])
    np.testing.assert_allclose(found, known, rtol=1e-12)


def test_a_small_reach_is_no_fraction() -> None:
    """scikit-gstat takes a largest lag below 1 for a share of the largest distance."""
    rng = np.random.default_rng(0)
    places, z = rng.random((50, 2)), rng.normal(size=50)
    far = Sampled(1000 * places, False, Lags((0.0, 200.0, 400.0)), "cressie", 0).add(z[None])
    near = Sampled(places, False, Lags((0.0, 0.2, 0.4)), "cressie", 0).add(z[None])
    np.testing.assert_array_equal(near[3], far[3])
    np.testing.assert_allclose(near[0], far[0], rtol=1e-12)


def test_a_grid_that_is_taken_whole_is_exact() -> None:
    rng = np.random.default_rng(0)
    field = rng.normal(size=(9, 12))
    field[2, 3] = np.nan
    y, x = np.meshgrid(np.arange(9.0), np.arange(12.0), indexing="ij")
    lags = Lags((0.0, 1.0, 2.5, 4.0), (0.0, 45.0, 90.0, 135.0))
    plane = Plane(field.shape, (1.0, 1.0), lags)
    sampled = Sampled(np.column_stack([y.ravel(), x.ravel()]), False, lags, "matheron", 0)
    np.testing.assert_allclose(sampled.add(field[None]), plane.binned(plane.add(field[None])), rtol=1e-11)


def test_chords_are_great_circles() -> None:
    """Pairs on the equator, across the dateline, and over a pole."""
    places = np.array([[0.0, 175.0], [0.0, -175.0], [80.0, 0.0], [80.0, 180.0]])
    degree = EARTH_RADIUS * np.pi / 180
    lags = Lags((0.0, 9.9 * degree, 10.1 * degree, 19.9 * degree, 20.1 * degree, 20016.0))
    _, _, length, pairs = Sampled(places, True, lags, "matheron", 0).add(np.zeros((1, 4)))[:, 0]
    np.testing.assert_array_equal(pairs, [0, 1, 0, 1, 4])
    np.testing.assert_allclose(length[[1, 3]], [10 * degree, 20 * degree], rtol=1e-12)


def test_azimuths_on_the_sphere() -> None:
    places = np.array([[10.0, 20.0], [11.0, 20.0], [10.0, 21.0]])
    lags = Lags((0.0, 120.0), (0.0, 45.0, 90.0, 135.0))
    pairs = Sampled(places, True, lags, "matheron", 0).add(np.zeros((1, 3)))[3, :, 0]
    np.testing.assert_array_equal(pairs, [1, 0, 1, 0])  # the third pair is longer than 120 km
    pairs = Sampled(places, True, Lags((0.0, 200.0), lags.azimuths), "matheron", 0).add(np.zeros((1, 3)))[
        3, :, 0
    ]
    np.testing.assert_array_equal(pairs, [1, 0, 1, 1])


def test_robust_estimators_withstand_an_outlier() -> None:
    rng = np.random.default_rng(0)
    places, z = 10 * rng.random((300, 2)), rng.normal(size=300)
    hit = z.copy()
    hit[:3] = 100.0
    lags = Lags((0.0, 10.0))

    def gamma(values, estimator) -> float:
        squares, weight, _, _ = Sampled(places, False, lags, estimator, 0).add(values[None])[:, 0, 0]
        return squares / (2 * weight)

    assert gamma(hit, "matheron") > 50 * gamma(z, "matheron")
    for estimator in ("cressie", "dowd", "genton"):
        assert gamma(z, estimator) == pytest.approx(1.0, rel=0.3)
        assert gamma(hit, estimator) < 2.5 * gamma(z, estimator)


def test_cells_are_drawn_by_the_seed_and_are_valid() -> None:
    rng = np.random.default_rng(0)
    places, z = rng.random((5000, 2)), rng.normal(size=5000)
    z[::2] = np.nan
    lags = Lags((0.0, 2.0))
    one, same, other = (Sampled(places, False, lags, "matheron", seed).add(z[None]) for seed in (1, 1, 2))
    assert one[3, 0, 0] == 2000 * 1999 / 2
    np.testing.assert_array_equal(one, same)
    assert one[0, 0, 0] != other[0, 0, 0]
    assert one[0, 0, 0] / (2 * one[1, 0, 0]) == pytest.approx(1.0, rel=0.1)


def test_fields_are_pooled_by_their_pairs() -> None:
    rng = np.random.default_rng(0)
    places, fields = 10 * rng.random((40, 2)), rng.lognormal(0, 1, (2, 40))
    fields[1, :25] = np.nan
    sampled = Sampled(places, False, Lags((0.0, 3.0, 6.0)), "dowd", 0)
    both, first, second = sampled.add(fields), sampled.add(fields[:1]), sampled.add(fields[1:])
    np.testing.assert_allclose(both, first + second, rtol=1e-12)
    gamma = [part[0] / (2 * part[1]) for part in (both, first, second)]
    share = first[3] / both[3]
    np.testing.assert_allclose(gamma[0], share * gamma[1] + (1 - share) * gamma[2], rtol=1e-12)


@pytest.mark.parametrize("estimator", CELLS)
@pytest.mark.parametrize(
    "z", [[np.nan, np.nan, np.nan], [1.0, np.nan, np.nan], [2.0, 2.0, 2.0], [1.0, 2.0, np.nan]]
)
def test_fields_that_hardly_are_one_raise_nothing(estimator, z) -> None:
    places = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    found = Sampled(places, False, Lags((0.0, 5.0)), estimator, 0).add(np.array([z]))[:, 0, 0]
    valid = int(np.isfinite(z).sum())
    pairs = valid * (valid - 1) // 2
    assert found[3] == (0 if estimator == "genton" and pairs == 1 else pairs)  # Genton needs pairs of pairs
    assert np.isfinite(found).all()
    if valid == 3:
        assert found[0] == 0.0
