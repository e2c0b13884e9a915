"""Samples: what is cleaned out, what is counted as a fault, and counting that no chunk changes."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics import samples
from xdownscale.diagnostics.samples import Recipe, Sample, tally
from xdownscale.grid import Axis, Grid, coarsening

NY, NX, DAYS = 6, 8, 5


def sample(lazy: dict[str, int] | None = None, **changes) -> Sample:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, DAYS, NY, NX))
    values[rng.random(values.shape) < 0.2] = np.nan
    fields = xr.DataArray(values, dims=("realization", "time", "lat", "lon"))
    if lazy is not None:
        fields = fields.chunk(lazy)
    weights = xr.DataArray(np.linspace(1, 2, NY), dims="lat")
    given = xr.DataArray(rng.normal(size=(DAYS, NX)), dims=("time", "lon"))
    return Sample(**({"fields": fields, "weights": weights, "given": given, "time": "time"} | changes))


def test_clean_by_hand() -> None:
    values = np.array([[1.0, np.nan, np.inf], [0.0, -2.0, 4.0]])
    weights = np.array([[1.0], [0.5]])
    found = Recipe(transform=np.log10).clean(values, weights, np.array([[1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(found.values, [0.0, np.log10(4.0)])
    np.testing.assert_array_equal(found.weights, [1.0, 0.5])
    np.testing.assert_array_equal(found.given, [1.0, 3.0])
    assert (found.infinite, found.undefined) == (1, 2)


def test_cells_of_zero_weight_are_left_out() -> None:
    found = Recipe().clean(np.ones((2, 2)), np.array([[0.0], [3.0]]), None)
    np.testing.assert_array_equal(found.weights, [3.0, 3.0])


@pytest.mark.parametrize(("weights", "said"), [([[-1.0, 1.0]], "reach -1"), ([[np.nan, 1.0]], "NaN or inf")])
def test_weights_that_are_none(weights: list[list[float]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Recipe().clean(np.ones((1, 2)), np.array(weights), None)


def test_the_average_comes_before_the_transform() -> None:
    A = coarsening(Grid(Axis(0, 1, 0, 2), Axis(0, 1, 0, 2)), Grid(Axis(0.5, 2, 0, 1), Axis(0.5, 2, 0, 1)))
    found = Recipe(A, np.log10).clean(np.array([[0.0, 10.0], [10.0, 20.0]]), None, None)
    np.testing.assert_allclose(found.values, [1.0])
    assert found.undefined == 0


def test_average_needs_half_of_the_cell() -> None:
    A = coarsening(Grid(Axis(0, 1, 0, 2), Axis(0, 1, 0, 4)), Grid(Axis(0.5, 2, 0, 1), Axis(0.5, 2, 0, 2)))
    values = np.array([[1.0, np.nan, np.nan, np.nan], [3.0, np.nan, np.nan, 9.0]])
    np.testing.assert_allclose(Recipe(A).clean(values, None, None).values, [2.0])


def test_bins_of_the_covariate_are_half_open_and_the_last_closed() -> None:
    given = np.array([0.0, 1.0, 1.5, 2.0, 2.1, np.nan, -0.1])
    clean = Recipe().clean(np.arange(7.0), None, given)
    found = [c.values.tolist() for c in clean.bins(np.array([0.0, 1.0, 2.0]))]
    assert found == [[0.0], [1.0, 2.0, 3.0]]
    assert [c.values.tolist() for c in Recipe().clean(np.ones(2), None, np.ones(2)).bins(np.ones(2))] == [
        [1.0, 1.0]
    ]


@pytest.mark.parametrize(
    "lazy",
    [None, {"time": 2}, {"realization": 1, "lat": 4, "lon": 3}, {"time": 1, "realization": 1, "lat": 1}],
)
def test_no_chunk_changes_what_is_counted(
    lazy: dict[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "_PIECE", 50)
    edges = np.array([-3.0, -0.2, 0.5, 3.0])
    (found,) = tally([sample(lazy)], edges=edges, daily=True, bins=64)
    clean = sample().clean()
    want = samples._counts(clean, edges, 64)
    for got, expected in zip(found.groups, want.groups, strict=True):
        assert (got.exponent, got.first, got.valid) == (expected.exponent, expected.first, expected.valid)
        np.testing.assert_allclose(got.sums, expected.sums, rtol=1e-12, atol=1e-12)
    assert sorted(found.days) == list(range(DAYS))
    for day, counted in found.days.items():
        alone = sample().clean(time=[day])
        assert counted.valid == alone.values.size
        assert counted.mean == pytest.approx(np.average(alone.values, weights=alone.weights), rel=1e-12)


def test_groups_sum_to_the_whole() -> None:
    (found,) = tally([sample()], edges=np.array([-9.0, 0.0, 9.0]))
    whole, *parts = found.groups
    assert sum(p.valid for p in parts) == whole.valid
    assert sum(p.total for p in parts) == pytest.approx(whole.total)


def test_lazy_companions_are_read_with_the_blocks() -> None:
    base = sample()
    want = tally([base], edges=np.array([-9.0, 0.0, 9.0]))[0]
    chunked = sample({"time": 2}, weights=base.weights.chunk(lat=4), given=base.given.chunk(time=3, lon=5))
    got = tally([chunked], edges=np.array([-9.0, 0.0, 9.0]))[0]
    for a, b in zip(got.groups, want.groups, strict=True):
        np.testing.assert_allclose(a.sums, b.sums, rtol=1e-12, atol=1e-12)
    eager = sample(given=base.given.chunk(time=3))  # only the covariate is lazy
    assert eager.lazy
    np.testing.assert_allclose(
        tally([eager], edges=np.array([-9.0, 0.0, 9.0]))[0].groups[1].sums, want.groups[1].sums, rtol=1e-12
    )


def test_two_lazy_samples_are_one_computation() -> None:
    """What both depend on is computed once."""
    calls = []

    def once(block: np.ndarray) -> np.ndarray:
        calls.append(block.shape)
        return block

    shared = sample({"time": 1}).fields.map_blocks(once, template=sample({"time": 1}).fields)
    with dask.config.set(scheduler="synchronous"):
        tally([Sample(shared), Sample(shared + 1)])
    assert len(calls) == DAYS


def test_averaged_fields_are_chunked_whole_and_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    A = coarsening(Grid(Axis(0, 1, 0, NY), Axis(0, 1, 0, NX)), Grid(Axis(0.5, 2, 0, 3), Axis(0.5, 2, 0, 4)))
    lazy = sample({"lat": 2, "lon": 3}, weights=None, given=None, recipe=Recipe(A))
    monkeypatch.setattr(samples, "_PIECE", 2 * NY * NX)
    assert lazy.whole().chunks == ((1, 1), (2, 2, 1), (NY,), (NX,))
    (found,) = tally([lazy])
    want = samples._counts(
        sample(weights=None, given=None, recipe=Recipe(A)).clean(), None, found.groups[0].bins
    )
    np.testing.assert_allclose(found.groups[0].sums, want.groups[0].sums, rtol=1e-12, atol=1e-12)


def test_a_run_of_times_reads_no_more_and_leaves_the_source_lazy() -> None:
    lazy = sample({"time": 2})
    run = lazy.run(slice(1, 3))
    assert not run.lazy
    np.testing.assert_array_equal(run.clean().values, sample().clean(time=slice(1, 3)).values)
    assert lazy.lazy
