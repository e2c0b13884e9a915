"""The accessor hands on, whole and unchanged, and does nothing else."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import xarray as xr

import xdownscale
from xdownscale.accessor import DownscaleAccessor
from xdownscale.cf import coarsening
from xdownscale.diagnostics import (
    borders,
    correlogram,
    distance,
    evaluation,
    spectra,
    variogram,
    verification,
)
from xdownscale.inference import field, store

HOMES = {
    "predict": field,
    "explain": field,
    "to_zarr": store,
    "coarsen": coarsening,
    "semivariogram": variogram,
    "wasserstein": distance,
    "acf": correlogram,
    "pacf": correlogram,
    "lag_curves": correlogram,
    "spectrum": spectra,
    "scores": verification,
    "seams": borders,
    "evaluate": evaluation,
}


@pytest.fixture
def array() -> xr.DataArray:
    return xr.DataArray([[0.1, 0.2]], dims=("lat", "lon"))


@pytest.mark.parametrize("name", sorted(HOMES))
def test_signature_is_the_functions(name: str) -> None:
    method = inspect.signature(getattr(DownscaleAccessor, name)).parameters
    function = inspect.signature(getattr(HOMES[name], name)).parameters
    assert list(method)[1:] == list(function)[1:]
    for key in list(function)[1:]:
        assert method[key].default == function[key].default
        assert method[key].kind == function[key].kind


@pytest.mark.parametrize("name", sorted(HOMES))
def test_everything_is_handed_on(name: str, array: xr.DataArray, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def record(*args: Any, **kwargs: Any) -> str:
        calls.append((args, kwargs))
        return "done"

    monkeypatch.setattr(HOMES[name], name, record)
    parameters = list(inspect.signature(getattr(DownscaleAccessor, name)).parameters.values())[1:]
    placed = [object() for p in parameters if p.kind is not p.KEYWORD_ONLY]
    given = {p.name: object() for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert getattr(array.downscale, name)(*placed, **given) == "done"
    ((args, kwargs),) = calls
    assert args[0] is array
    assert all(a is b for a, b in zip(args[1:], placed, strict=True))
    assert kwargs.keys() == given.keys()
    assert all(kwargs[key] is value for key, value in given.items())


def test_keeps_only_the_array(array: xr.DataArray) -> None:
    assert vars(DownscaleAccessor(array)) == {"_obj": array}
    assert array.downscale._obj is array


def test_registered_for_arrays_and_datasets(array: xr.DataArray) -> None:
    for one in (array, array.to_dataset(name="x")):
        assert isinstance(one.downscale, xdownscale.DownscaleAccessor)


def test_repr(array: xr.DataArray) -> None:
    assert repr(array.downscale) == "<downscale of a DataArray, dimensions (lat: 1, lon: 2)>"


@pytest.mark.parametrize("name", sorted(HOMES))
def test_documented(name: str) -> None:
    doc = inspect.getdoc(getattr(DownscaleAccessor, name))
    assert doc is not None
    assert "Returns" in doc


class TestDataset:
    def test_its_one_variable_is_measured_and_drawn(self) -> None:
        da = xdownscale.open_sample()["DUEXTTAU"].isel(lat=slice(10, 14), lon=slice(8, 13)).load()
        ds = xr.Dataset({"DUEXTTAU": da, "lat_bnds": (("lat", "bnds"), [[0.0, 1.0]] * 4)})
        xr.testing.assert_identical(ds.downscale.coarsen((2, 1)), da.downscale.coarsen((2, 1)))
        xr.testing.assert_identical(
            ds.downscale.semivariogram(model=None), da.downscale.semivariogram(model=None)
        )
        ds = da.to_dataset()
        options = {"domain_check": "ignore", "members": 2}
        assert str(ds.downscale.explain("jja_asia", **options)) == str(
            da.downscale.explain("jja_asia", **options)
        )

    def test_several_are_named(self, array: xr.DataArray) -> None:
        ds = xr.Dataset({"a": array, "b": array})
        with pytest.raises(ValueError, match=r"the Dataset has the variables \['a', 'b'\]: choose one"):
            ds.downscale.spectrum()
        with pytest.raises(ValueError, match=r"choose one, dataset\['a'\]"):
            ds.downscale.predict("jja_asia")
