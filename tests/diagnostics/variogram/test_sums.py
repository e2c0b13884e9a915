"""Sums over fields: whole, in groups and by blocks."""

from __future__ import annotations

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics.variogram.lags import Lags
from xdownscale.diagnostics.variogram.plane import Plane
from xdownscale.diagnostics.variogram.sums import gather

SPACE = ("y", "x")


def fields(members=3, days=5, shape=(7, 9)) -> xr.DataArray:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(members, days, *shape))
    values[rng.random(values.shape) < 0.1] = np.nan
    return xr.DataArray(values, dims=("realization", "time", *SPACE))


def plane(weighted=False) -> Plane:
    return Plane((7, 9), (1.0, 1.0), Lags((0.0, 1.5, 3.0), (0.0, 90.0)), weighted)


LABELS = {
    "one": np.zeros((3, 5), dtype=int),
    "by member": np.repeat(np.arange(3)[:, None], 5, axis=1),
    "by day": np.repeat(np.arange(5)[None], 3, axis=0),
    "each": np.arange(15).reshape(3, 5),
}
CHUNKS = ({"time": 2}, {"realization": 1, "time": 1}, {"y": 3, "x": 4}, {"time": 3, "x": 5}, {})


def expected(da, labels, weights=None) -> np.ndarray:
    """Field by field."""
    sums, out = plane(weights is not None), np.zeros((labels.max() + 1, 4, 2, 2))
    for place in np.ndindex(labels.shape):
        own = None if weights is None else (weights if weights.ndim == 2 else weights[place])
        out[labels[place]] += sums.binned(sums.add(da.values[place][None], own))
    return out


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_groups_are_sums_of_their_fields(labels) -> None:
    da = fields()
    found = gather(da, None, labels, plane(), SPACE)
    np.testing.assert_allclose(found, expected(da, labels), rtol=1e-12)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_blocks_add_up_to_the_whole(labels, chunks) -> None:
    da = fields()
    found = gather(da.chunk(chunks), None, labels, plane(), SPACE)
    assert isinstance(found, dask.array.Array)
    np.testing.assert_allclose(found.compute(), gather(da, None, labels, plane(), SPACE), rtol=1e-12)


@pytest.mark.parametrize("chunks", [None, *CHUNKS], ids=str)
@pytest.mark.parametrize("varying", [False, True])
def test_weights_go_with_their_fields(chunks, varying) -> None:
    da = fields()
    rng = np.random.default_rng(1)
    weights = xr.DataArray(rng.random(da.shape if varying else (7, 9)), dims=da.dims if varying else SPACE)
    labels = LABELS["by member"]
    lazy = da if chunks is None else da.chunk(chunks)
    found = gather(lazy, weights, labels, plane(weighted=True), SPACE)
    np.testing.assert_allclose(np.asarray(found), expected(da, labels, weights.values), rtol=1e-12)


def test_small_blocks_of_one_label_are_summed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    da, seen = fields(), []

    class Noted(Plane):
        def add(self, values, weights=None):
            seen.append(len(values))
            return super().add(values, weights)

    sums = Noted((7, 9), (1.0, 1.0), Lags((0.0, 1.5, 3.0), (0.0, 90.0)))
    each = da.nbytes // 15
    for held, blocks in ((15, [15]), (10, [5, 10]), (4, [2, 2, 2, 3, 3, 3]), (0, [1] * 15)):
        monkeypatch.setattr("xdownscale.diagnostics.variogram.sums._TOGETHER", held * each)
        seen.clear()
        found = gather(da.chunk(realization=1, time=1), None, LABELS["one"], sums, SPACE).compute()
        assert sorted(seen) == blocks
        np.testing.assert_allclose(found, expected(da, LABELS["one"]), rtol=1e-12)
    seen.clear()
    gather(da.chunk(realization=1, time=1), None, LABELS["by day"], sums, SPACE).compute()
    assert seen == [1] * 15


def test_many_blocks_are_merged_in_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xdownscale.diagnostics.variogram.sums._TOGETHER", 0)
    da = xr.concat([fields(1, 1)] * 70, "time")
    found = gather(da.chunk(time=1), None, np.zeros((1, 70), dtype=int), plane(), SPACE)
    np.testing.assert_allclose(
        found.compute()[0], 70 * expected(fields(1, 1), np.zeros((1, 1), int))[0], rtol=1e-12
    )


def test_a_field_without_samples() -> None:
    da = fields()[0, 0]
    known = plane().binned(plane().add(da.values[None]))
    for lazy in (da, da.chunk(y=3)):
        found = gather(lazy, None, np.zeros((), dtype=int), plane(), SPACE)
        np.testing.assert_allclose(np.asarray(found), known[None], rtol=1e-12)


def test_building_computes_nothing() -> None:
    def refuse(block):
        raise AssertionError("computed")

    touched = dask.array.map_blocks(
        refuse, dask.array.zeros((2, 7, 9), chunks=(1, 7, 9)), dtype=float, meta=np.empty((0, 0, 0))
    )
    da = xr.DataArray(touched, dims=("time", *SPACE))
    found = gather(da, None, np.zeros(2, dtype=int), plane(), SPACE)
    with pytest.raises(AssertionError, match="computed"):
        found.compute()
