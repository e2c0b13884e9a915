"""Which dimension is which."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xdownscale.cf import Axes, discover


def array(
    *dims: str, attrs: dict[str, dict[str, str]] | None = None, bare: tuple[str, ...] = ()
) -> xr.DataArray:
    """Two cells a dimension, each with a coordinate unless it is in `bare`."""
    da = xr.DataArray(np.zeros((2,) * len(dims)), dims=dims)
    da = da.assign_coords({d: [0.0, 1.0] for d in dims if d not in bare})
    for name, said in (attrs or {}).items():
        da[name].attrs.update(said)
    return da


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        (("time", "lat", "lon"), Axes("lat", "lon", "time", ())),
        (("longitude", "latitude"), Axes("latitude", "longitude", None, ())),
        (("lev", "valid_time", "y", "x"), Axes("y", "x", "valid_time", ("lev",))),
        (("b", "YDim", "a", "XDim"), Axes("YDim", "XDim", None, ("b", "a"))),
    ],
)
def test_by_names(dims: tuple[str, ...], expected: Axes) -> None:
    assert discover(array(*dims)) == expected


@pytest.mark.parametrize(
    "said",
    [
        ({"standard_name": "latitude"}, {"standard_name": "longitude"}),
        ({"units": "degrees_north"}, {"units": "degrees_east"}),
        ({"axis": "Y"}, {"axis": "X"}),
    ],
)
def test_by_attributes(said: tuple[dict[str, str], dict[str, str]]) -> None:
    da = array("north", "east", attrs={"north": said[0], "east": said[1]})
    assert discover(da) == Axes("north", "east", None, ())


def test_attributes_go_before_names() -> None:
    """A dimension called lat whose attributes say longitude is longitude."""
    da = array("lat", "lon", attrs={"lat": {"units": "degrees_east"}, "lon": {"units": "degrees_north"}})
    assert discover(da) == Axes("lon", "lat", None, ())


def test_given_names_go_before_all() -> None:
    da = array("lat", "lon", "a", "b")
    assert discover(da, {"lat": "a", "lon": "b"}) == Axes("a", "b", None, ("lat", "lon"))


@pytest.mark.parametrize(
    ("da", "dims", "message"),
    [
        (array("a", "lon"), None, r"no dimension is latitude; there are \['a', 'lon'\]: name it, dims="),
        (array("lat", "y", "lon"), None, r"several dimensions could be latitude: \['lat', 'y'\]"),
        (
            array("lat", "lon"),
            {"lat": "z"},
            r"dims\['lat'\] is 'z': the array has dimensions \['lat', 'lon'\]",
        ),
        (array("lat", "lon"), {"height": "lat"}, r"dims names \['height'\]: expected some of"),
        (array("lat", "lon"), {"lat": "lon"}, "latitude and longitude are both 'lon'"),
        (array("lat", "lon", bare=("lat",)), None, "dimension 'lat' has no coordinate: give it its values"),
    ],
)
def test_refused(da: xr.DataArray, dims: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        discover(da, dims)


@pytest.mark.parametrize("dims", [5, "lat", ["lat"], []])
def test_dims_is_a_mapping(dims: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a mapping, dims=\{'lat'"):
        discover(array("lat", "lon"), dims)


@pytest.mark.parametrize("name", [0, ("a", "b"), 1.5])
def test_names_that_are_no_text(name: Any) -> None:
    """`da[0]` is not the coordinate 0."""
    with pytest.raises(ValueError, match=r"named \[.*: expected text, da = da\.rename"):
        discover(xr.DataArray(np.zeros((2, 2)), dims=("lat", name)))
    with pytest.raises(ValueError, match="expected text"):
        discover(array("lat", "lon").assign_coords({name: 3.0}))


@pytest.mark.parametrize("key", ["coordinates", "grid_mapping", "axis", "standard_name", "units", "comment"])
@pytest.mark.parametrize("odd", [None, 3, ["lat"], {"a": 1}, np.array([1, 2]), "nowhere: lat lon"])
def test_attributes_that_tell_nothing(key: str, odd: Any) -> None:
    da = array("time", "lat", "lon")
    for place in (da.attrs, da.encoding, da["lat"].attrs, da["lat"].encoding, da["time"].attrs):
        place[key] = odd
        assert discover(da) == Axes("lat", "lon", "time", ())
    assert da.attrs[key] is da["lat"].attrs[key] is odd


def test_curvilinear_is_told_to_regrid() -> None:
    curved = (("j", "i"), np.zeros((2, 2)))
    da = array("j", "i", bare=("j", "i")).assign_coords(
        lat2=(*curved, {"standard_name": "latitude"}), lon2=(*curved, {"standard_name": "longitude"})
    )
    with pytest.raises(ValueError, match=r"\['lat2'\] are two-dimensional .* regrid"):
        discover(da)


def test_a_multiindex_is_told_to_unstack() -> None:
    index = pd.MultiIndex.from_product([[0.0, 1.0], [0.0, 1.0]], names=("lat", "lon"))
    coords = xr.Coordinates.from_pandas_multiindex(index, "cell")
    with pytest.raises(ValueError, match="'cell' is a MultiIndex: unstack it first"):
        discover(xr.DataArray(np.zeros(4), coords, ("cell",)))


def test_scalar_time_is_no_dimension() -> None:
    assert discover(array("lat", "lon").assign_coords(time=np.datetime64("2005-07-01", "ns"))).time is None
