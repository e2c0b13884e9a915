"""All pairs of a latitude-longitude grid, against their sum one by one and against GSTools."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.variogram.halfway import Halfway
from xdownscale.diagnostics.variogram.lags import EARTH_RADIUS, Lags
from xdownscale.diagnostics.variogram.sphere import Sphere, great_circle
from xdownscale.grid import Axis, Grid

GRIDS = {
    "window": Grid(Axis(30.0, 5.0, 0, 9, "latitude"), Axis(50.0, 6.25, 0, 13, "longitude")),
    "across the dateline": Grid(Axis(-20.0, 5.0, 0, 9, "latitude"), Axis(170.0, 4.0, 0, 10, "longitude", 90)),
    "cyclic, even": Grid(Axis(-80.0, 20.0, 0, 9, "latitude"), Axis(-180.0, 30.0, 0, 12, "longitude", 12)),
    "cyclic, odd, with poles": Grid(
        Axis(-90.0, 22.5, 0, 9, "latitude"), Axis(-180.0, 24.0, 0, 15, "longitude", 15)
    ),
    "cyclic, even, with poles": Grid(
        Axis(-90.0, 22.5, 0, 9, "latitude"), Axis(0.0, 30.0, 0, 12, "longitude", 12)
    ),
    "three quarters of a turn": Grid(
        Axis(50.0, 5.0, 0, 9, "latitude"), Axis(0.0, 20.0, 0, 14, "longitude", 18)
    ),
    "half a turn": Grid(Axis(50.0, 5.0, 0, 9, "latitude"), Axis(0.0, 20.0, 0, 10, "longitude", 18)),
    "half a turn and a cell": Grid(
        Axis(50.0, 5.0, 0, 9, "latitude"), Axis(0.0, 20.0, 0, 11, "longitude", 18)
    ),
    "one row": Grid(Axis(75.0, 5.0, 0, 1, "latitude"), Axis(0.0, 20.0, 0, 18, "longitude", 18)),
    "one column": Grid(Axis(-30.0, 5.0, 0, 14, "latitude"), Axis(0.0, 20.0, 0, 1, "longitude", 18)),
}


def points(grid) -> np.ndarray:
    """Unit vectors of the cells, row by row."""
    lat, lon = (np.deg2rad(c.ravel()) for c in np.meshgrid(grid.y.values, grid.x.values, indexing="ij"))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def one_by_one(field, grid, lags, weights=None) -> np.ndarray:
    """Sums over all pairs, with distances from vectors and no transform."""
    vectors = points(grid)
    z = field.ravel()
    w = np.ones(z.size) if weights is None else weights.ravel()
    valid = np.flatnonzero(np.isfinite(z) & (w > 0))
    a, b = (valid[k] for k in np.triu_indices(valid.size, 1))
    cross = np.cross(vectors[a], vectors[b])
    distance = EARTH_RADIUS * np.arctan2(np.linalg.norm(cross, axis=1), (vectors[a] * vectors[b]).sum(axis=1))
    middle, along = vectors[a] + vectors[b], vectors[b] - vectors[a]
    east = middle[:, 0] * along[:, 1] - middle[:, 1] * along[:, 0]
    north = along[:, 2] * np.linalg.norm(middle, axis=1)
    east[np.abs(east) < 1e-12] = 0.0
    north[np.abs(north) < 1e-12] = 0.0
    classes = lags.classes(distance, np.rad2deg(np.arctan2(east, north)))
    product = w[a] * w[b]
    parts = product * (z[a] - z[b]) ** 2, product, product * distance, np.ones(a.size)
    return np.reshape([np.bincount(classes, p, lags.size + 1)[:-1] for p in parts], (4, *lags.shape))


def noisy(shape, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = rng.lognormal(-2, 1, shape)
    field[rng.random(shape) < 0.15] = np.nan
    return field


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("azimuths", [(), (10.0, 55.0, 100.0, 145.0)])
@pytest.mark.parametrize("edges", [(0.0, 700.0, 1500.0, 2300.0, 3333.3), (410.0, 9999.0, 20016.0)])
def test_sums_are_those_of_all_pairs(name, azimuths, edges) -> None:
    grid, lags = GRIDS[name], Lags(edges, azimuths)
    field, sphere = noisy(grid.shape), Sphere(grid, lags)
    found, expected = sphere.add(field[None]), one_by_one(field, grid, lags)
    np.testing.assert_array_equal(found[3], expected[3])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)
    full = expected[3] > 0
    gamma, known = (sums[0][full] / (2 * sums[1][full]) for sums in (found, expected))
    np.testing.assert_allclose(gamma, known, rtol=1e-12)


@pytest.mark.parametrize("name", ["window", "cyclic, even, with poles", "three quarters of a turn"])
def test_weighted_sums_are_those_of_all_pairs(name) -> None:
    grid, lags = GRIDS[name], Lags((0.0, 1500.0, 3333.3), (0.0, 45.0))
    field, weights = noisy(grid.shape), np.random.default_rng(1).random(grid.shape)
    weights[1] = 0.0
    found = Sphere(grid, lags, weighted=True).add(field[None], weights)
    expected = one_by_one(field, grid, lags, weights)
    np.testing.assert_array_equal(found[3], expected[3])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)


def test_transforms_are_as_long_as_the_parallel_only_where_pairs_meet_on_the_far_side() -> None:
    lags = Lags((0.0, 1000.0))
    assert Sphere(GRIDS["cyclic, even"], lags).length == 12
    assert not Sphere(GRIDS["window"], lags).circular
    wide = GRIDS["three quarters of a turn"]
    assert Sphere(wide, lags).circular
    tropics = Grid(Axis(-10.0, 5.0, 0, 5, "latitude"), wide.x)
    assert not Sphere(tropics, lags).circular  # 100 degrees without cells are more than 1000 km here
    assert Sphere(tropics, Lags((0.0, 12000.0))).circular


def test_ties_with_an_edge_are_in_the_upper_bin() -> None:
    """Whole rows and, on the equator, whole columns apart."""
    degree = EARTH_RADIUS * np.pi / 180
    grid = Grid(Axis(-1.0, 0.1, 0, 21, "latitude"), Axis(10.0, 0.1, 0, 1, "longitude", 3600))
    lags = Lags(tuple(degree * np.arange(0.1, 0.95, 0.1)))
    pairs = Sphere(grid, lags).add(np.zeros((1, 21, 1)))[3, 0]
    np.testing.assert_array_equal(pairs, 21 - np.arange(1, 9))
    row = Grid(Axis(0.0, 0.1, 0, 1, "latitude"), Axis(10.0, 0.1, 0, 21, "longitude", 3600))
    np.testing.assert_array_equal(Sphere(row, lags).add(np.zeros((1, 1, 21)))[3, 0], 21 - np.arange(1, 9))


def test_cells_at_a_pole_are_one_point() -> None:
    grid = Grid(Axis(-90.0, 10.0, 18, 1, "latitude"), Axis(0.0, 10.0, 0, 36, "longitude", 36))
    pairs = Sphere(grid, Lags((0.0, 1.0, 20016.0))).add(np.zeros((1, 1, 36)))[3, 0]
    np.testing.assert_array_equal(pairs, [36 * 35 // 2, 0])


def test_all_pairs_of_a_globe_are_counted_once() -> None:
    grid = GRIDS["cyclic, even, with poles"]
    assert Sphere(grid, Lags((0.0, 20016.0))).add(np.zeros((1, *grid.shape)))[3].sum() == 108 * 107 // 2


def test_turning_a_globe_changes_nothing() -> None:
    grid, field = GRIDS["cyclic, even"], noisy(GRIDS["cyclic, even"].shape)
    sphere = Sphere(grid, Lags((0.0, 2000.0, 4000.0), (0.0, 90.0)))
    np.testing.assert_allclose(
        sphere.add(np.roll(field, 5, axis=1)[None]), sphere.add(field[None]), rtol=1e-12
    )


def test_fields_add_up_in_any_batches(monkeypatch) -> None:
    fields = np.stack([noisy(GRIDS["window"].shape, seed) for seed in range(5)])
    sphere = Sphere(GRIDS["window"], Lags((0.0, 700.0, 2000.0)))
    whole = sphere.add(fields)
    np.testing.assert_allclose(whole, sum(sphere.add(f[None]) for f in fields), rtol=1e-12)
    monkeypatch.setattr("xdownscale.diagnostics.variogram.sphere._BATCH", 1)
    np.testing.assert_allclose(sphere.add(fields), whole, rtol=1e-12)


@pytest.mark.parametrize("weights", ["none", "of a cell", "of a cell and field", "of a field"])
@pytest.mark.parametrize("gaps", ["the same", "others"])
def test_fields_that_miss_the_same_cells_are_summed_as_others(monkeypatch, weights, gaps) -> None:
    fields = np.stack([noisy(GRIDS["window"].shape, seed) for seed in range(5)])
    if gaps == "the same":
        fields[:, np.isnan(fields).any(axis=0)] = np.nan
    own = np.random.default_rng(1).random((5, *GRIDS["window"].shape))
    given = {"none": None, "of a cell": own[0], "of a cell and field": own, "of a field": 0 * own + own[0]}
    sphere = Sphere(GRIDS["window"], Lags((0.0, 700.0, 2000.0)), weights != "none")
    batches, made = [], Halfway.of

    def noted(*args, **told):
        found = made(*args, **told)
        batches.append((found.groups, found.each))
        return found

    monkeypatch.setattr(Halfway, "of", noted)
    found = sphere.add(fields, given[weights])
    shared = gaps == "the same" and weights != "of a cell and field"
    assert batches == [(1, 5) if shared else (5, 1)]
    each = [
        given[weights][t] if weights in ("of a cell and field", "of a field") else given[weights]
        for t in range(5)
    ]
    alone = sum(
        one_by_one(field, GRIDS["window"], sphere.lags, w) for field, w in zip(fields, each, strict=True)
    )
    np.testing.assert_allclose(found, alone, rtol=1e-11)
    np.testing.assert_array_equal(found[3], alone[3])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("counted", [0, 2**19])
def test_cosine_transforms_give_what_whole_ones_give(monkeypatch, weighted, counted) -> None:
    grid = Grid(Axis(10.0, 0.5, 0, 41, "latitude"), Axis(40.0, 0.625, 0, 83, "longitude"))
    fields = 1e-3 * np.stack([noisy(grid.shape, seed) for seed in range(3)])
    weights = np.random.default_rng(9).uniform(0.0, 2.0, fields.shape).round(1) if weighted else None
    sphere = Sphere(grid, Lags((0.0, 50.0, 51.0, 300.0, 900.0)), weighted)
    assert sphere.even
    monkeypatch.setattr("xdownscale.diagnostics.variogram.sphere._COUNTED", counted)
    found = sphere.add(fields, weights)
    monkeypatch.setattr(Sphere, "even", False)
    whole = Sphere(grid, sphere.lags, weighted).add(fields, weights)
    np.testing.assert_allclose(found, whole, rtol=1e-12)
    np.testing.assert_array_equal(found[3], whole[3])


def test_float32_counts_as_many_pairs_as_it_is_trusted_with() -> None:
    grid = Grid(Axis(0.0, 0.01, 0, 2, "latitude"), Axis(0.0, 0.01, 0, 20_000, "longitude"))
    fields = np.zeros((26, *grid.shape))
    found = Sphere(grid, Lags((0.0, 0.5, 1.2))).add(fields)[3, 0]
    # beside one another, and above one another: 1.112 km apart
    assert found.tolist() == [0, 26 * (2 * 19_999 + 20_000)]


def test_constant_fields_have_no_semivariance_at_all() -> None:
    sphere = Sphere(GRIDS["window"], Lags((0.0, 700.0, 2000.0)))
    assert (sphere.add(np.full((1, 9, 13), 0.1))[0] == 0.0).all()


def test_a_function_of_latitude_in_closed_form() -> None:
    """z = latitude in degrees: north-south pairs k rows apart have gamma = (5 k)^2 / 2."""
    grid = GRIDS["one column"]
    degree = EARTH_RADIUS * np.pi / 180
    sphere = Sphere(grid, Lags(tuple(degree * np.array([2.5, 7.5, 12.5, 17.5]))))
    squares, weight, length, pairs = sphere.add(grid.y.values[None, :, None])[:, 0]
    np.testing.assert_allclose(squares / (2 * weight), np.array([5, 10, 15]) ** 2 / 2, rtol=1e-12)
    np.testing.assert_allclose(length / pairs, degree * np.array([5, 10, 15]), rtol=1e-12)


def test_degrees_are_not_planar() -> None:
    """A degree of longitude is half as long at 60 north, and a great circle shorter than the parallel."""
    grid = Grid(Axis(60.0, 1.0, 0, 1, "latitude"), Axis(0.0, 1.0, 0, 4, "longitude", 360))
    _, _, length, pairs = Sphere(grid, Lags((0.0, 60.0, 120.0))).add(np.zeros((1, 1, 4)))[:, 0]
    np.testing.assert_array_equal(pairs, [3, 2])
    np.testing.assert_allclose(length / pairs, [55.596934, 111.190693], rtol=1e-7)
    assert length[0] / pairs[0] < EARTH_RADIUS * np.deg2rad(1.0) / 2


def test_equal_to_gstools() -> None:
    import gstools as gs

    grid, edges = GRIDS["across the dateline"], np.linspace(0.0, 3000.0, 7)
    field = noisy(grid.shape)
    lat, lon = np.meshgrid(grid.y.values, (grid.x.values + 180) % 360 - 180, indexing="ij")
    _, gamma, counts = gs.vario_estimate(
        (lat.ravel(), lon.ravel()),
        field.ravel(),
        edges.copy(),  # it divides them in place
        latlon=True,
        geo_scale=EARTH_RADIUS,
        return_counts=True,
    )
    squares, weight, _, pairs = Sphere(grid, Lags(tuple(edges))).add(field[None])[:, 0]
    full = counts > 0
    np.testing.assert_array_equal(pairs, counts)
    np.testing.assert_allclose((squares / np.maximum(2 * weight, 1))[full], gamma[full], rtol=1e-12)


def test_great_circle_near_and_far() -> None:
    quarter = EARTH_RADIUS * np.pi / 2
    assert great_circle(0.0, 0.0, 90.0, 77.0) == pytest.approx(quarter, rel=1e-15)
    assert great_circle(30.0, 10.0, -30.0, -170.0) == pytest.approx(2 * quarter, rel=1e-15)
    assert great_circle(45.0, 0.0, 45.0 + 1e-9, 0.0) == pytest.approx(
        EARTH_RADIUS * np.deg2rad(1e-9), rel=1e-6
    )
    assert great_circle(0.0, 179.5, 0.0, -179.5) == pytest.approx(EARTH_RADIUS * np.deg2rad(1.0), rel=1e-14)


def test_other_globes_are_refused() -> None:
    x = Axis(0.0, 10.0, 0, 4, "longitude", 36)
    with pytest.raises(ValueError, match="latitude reaches 95"):
        Sphere(Grid(Axis(85.0, 5.0, 0, 3, "latitude"), x), Lags((0.0, 1.0)))
    y = Axis(0.0, 10.0, 0, 4, "latitude")
    with pytest.raises(ValueError, match="37 longitudes of 10 degrees go round more than once"):
        Sphere(Grid(y, Axis(0.0, 10.0, 0, 37, "longitude", 36)), Lags((0.0, 1.0)))
    uneven = Grid(y, Axis(0.0, 7.0, 0, 50, "longitude"))
    with pytest.raises(ValueError, match="do not divide 360 degrees"):
        Sphere(uneven, Lags((0.0, 3000.0)))
    assert not Sphere(uneven, Lags((0.0, 500.0))).circular  # no pair meets on the far side
