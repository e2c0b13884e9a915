"""Whatever a field says of itself: it is understood as what it is, or refused in words of ours.

A sound coarse field is given metadata that are odd in one to four ways. Ways that leave its meaning alone
must be understood as the field was; all others are understood, or refused by a `raise` of this package. No
input is changed, and nothing is drawn.
"""

from __future__ import annotations

import datetime as dt
import linecache
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xdownscale
from xdownscale.grid import MERRA2
from xdownscale.inference.job import Job, prepare

if TYPE_CHECKING:
    from xdownscale.models.downscaler import Downscaler

PACKAGE = Path(xdownscale.__file__).parent
STANDARD = "atmosphere_optical_thickness_due_to_dust_ambient_aerosol_particles"
QUICK, ALL = 150, 2_000
WINDOW = MERRA2.window((228, 4), (200, 5))


def sound() -> xr.DataArray:
    """Three July days of 4 x 5 cells."""
    values = np.random.default_rng(5).lognormal(-2.0, 0.6, (3, *WINDOW.shape))
    time = np.datetime64("2005-07-01T12:00", "ns") + np.arange(3) * np.timedelta64(1, "D")
    return xr.DataArray(
        values,
        {
            "time": ("time", time),
            "lat": ("lat", WINDOW.y.values, {"units": "degrees_north"}),
            "lon": ("lon", (WINDOW.x.values + 180) % 360 - 180, {"units": "degrees_east"}),
        },
        ("time", "lat", "lon"),
        "DUEXTTAU",
        {"units": "1", "standard_name": STANDARD},
    )


ODD: list[Any] = [
    None, True, 0, 3, -1.5, float("nan"), 1 + 2j, "", " ", "banana", "\0", "\ud800", "a" * 5000, b"1", (),
    ("X",), ["lat", "lon"], {"a": 1}, {1}, np.float32(2), np.str_("1"), np.array([1, 2]), np.array("x"),
    np.datetime64("2005-07-01"), dt.date(2005, 7, 1), object(), len, xr.DataArray([1.0]), "time: lat: lon",
    "lat lon", "latitude", "X", "Y", "Z", "T", "up", "degrees_north", "%", "kg m-2", "days since 2000-01-01",
]  # fmt: skip
KEYS: list[Any] = [
    "units", "standard_name", "axis", "positive", "long_name", "calendar", "bounds", "climatology",
    "grid_mapping", "coordinates", "cell_methods", "cell_measures", "ancillary_variables", "scale_factor",
    "add_offset", "_FillValue", "missing_value", "valid_range", "dtype", "formula_terms",
    "_CoordinateAxisType", "comment", "", 3, None, ("a", 1),
]  # fmt: skip
HARMLESS_KEYS: list[Any] = ["long_name", "comment", "history", "valid_range", "source", "", 3, None, ("a", 1)]
NAMES = {
    "lat": ["latitude", "y", "YDim", "Lat", "Latitude", "nav_lat"],
    "lon": ["longitude", "x", "XDim", "Lon", "Longitude", "nav_lon"],
    "time": ["Time", "t", "valid_time"],
}
ODD_NAMES: list[Any] = [
    "", " ", "lat", "lon", "time", "realization", "bnds", 0, 7, ("a", "b"), None, "l\u00e4t", "lev",
]  # fmt: skip
IMPOSSIBLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, NotImplementedError)


@dataclass(frozen=True)
class Case:
    """A field, and whether it still means what the sound one does."""

    da: Any
    same: bool
    dims: Any = None


def renamed(draw: Any, da: xr.DataArray) -> xr.DataArray:
    letter = draw(st.sampled_from(["lat", "lon", "time"]))
    if letter not in da.dims:
        return da
    return da.rename({letter: draw(st.sampled_from(NAMES[letter]))})


def transposed(draw: Any, da: xr.DataArray) -> xr.DataArray:
    return da.transpose(*draw(st.permutations(list(da.dims))))


def flipped(draw: Any, da: xr.DataArray) -> xr.DataArray:
    return da.isel({draw(st.sampled_from(list(da.dims))): slice(None, None, -1)}) if "lat" in da.dims else da


def southwards(draw: Any, da: xr.DataArray) -> xr.DataArray:
    return da.isel(lat=slice(None, None, -1)) if "lat" in da.dims else da


def turned(draw: Any, da: xr.DataArray) -> xr.DataArray:
    if "lon" not in da.coords:
        return da
    return with_coordinate(da, "lon", (da.lon.values % 360) - draw(st.sampled_from([0, 360])))


def nearly(draw: Any, da: xr.DataArray) -> xr.DataArray:
    if not {"lat", "lon"} <= set(da.coords):
        return da
    da = with_coordinate(da, "lat", da.lat.values + 1e-4 * np.array([1, -1, 1, 0]))
    kind = draw(st.sampled_from(["f4", "f8", ">f8", ">f4"]))
    return with_coordinate(da, "lon", da.lon.values.astype(kind))


def stamped(draw: Any, da: xr.DataArray) -> xr.DataArray:
    if "time" not in da.coords:
        return da
    unit = draw(st.sampled_from(["s", "ms", "us", "ns", "cftime", "cftime julian-free"]))
    if unit.startswith("cftime"):
        calendar = "standard" if unit == "cftime" else "proleptic_gregorian"
        values: Any = [cftime.datetime(2005, 7, d, 12, calendar=calendar) for d in (1, 2, 3)]
        return with_coordinate(da, "time", np.array(values, dtype=object))
    return with_coordinate(da, "time", da.time.values.astype(f"M8[{unit}]"))


def decorated(draw: Any, da: xr.DataArray) -> xr.DataArray:
    """Attributes that say nothing."""
    return da.assign_attrs({draw(st.sampled_from(HARMLESS_KEYS)): draw(st.sampled_from(ODD))})


def named(draw: Any, da: xr.DataArray) -> xr.DataArray:
    return da.rename(
        draw(st.sampled_from([None, "AOD", "my field (2)", 7, ("a", 1), "DUEXTTAU", "duexttau"]))
    )


def encoded(draw: Any, da: xr.DataArray) -> xr.DataArray:
    """What a file had is not what is in memory."""
    da = da.copy()
    for target in (da, *(da[name] for name in da.coords)):
        key = draw(st.sampled_from(["scale_factor", "_FillValue", "dtype", "chunksizes", "source", "bounds"]))
        target.encoding = {key: draw(st.sampled_from(ODD))}
    return da


def attended(draw: Any, da: xr.DataArray) -> xr.DataArray:
    """More coordinates: scalars, words, objects, cells' areas."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return da.assign_coords(station=draw(st.sampled_from(["A", 3, np.datetime64("2005-07-01"), True])))
    if kind == 1 and "time" in da.dims:
        words = np.array(["a", None, object()], dtype=object)
        return da.assign_coords(note=("time", words), season=("time", ["JJA"] * 3))
    if kind == 2 and {"lat", "lon"} <= set(da.dims):
        return da.assign_coords(area=(("lat", "lon"), np.full((da.sizes["lat"], da.sizes["lon"]), np.nan)))
    if kind == 3:
        return da.assign_coords(radiation_wavelength=((), 550.0, {"units": "nm"}))
    if kind == 4:
        return da.assign_coords(spatial_ref=((), 0, {"grid_mapping_name": "latitude_longitude"}))
    return da.expand_dims(lev=[850.0], axis=draw(st.integers(0, da.ndim)))


def lazy(draw: Any, da: xr.DataArray) -> xr.DataArray:
    return da.chunk({d: draw(st.sampled_from([1, 2, -1])) for d in da.dims})


SAME: list[Any] = [
    renamed, transposed, southwards, turned, nearly, stamped, decorated, named, encoded, attended, lazy,
]  # fmt: skip


def with_coordinate(da: xr.DataArray, name: Any, values: Any, attrs: Any = None) -> xr.DataArray:
    """Other values on a dimension, index or not, with its attributes."""
    kept = da[name].attrs if attrs is None else attrs
    return da.drop_vars(name).assign_coords({name: (da[name].dims, values, kept)})


def any_coordinate(draw: Any, da: xr.DataArray) -> Any:
    return draw(st.sampled_from(sorted(da.coords, key=str)))


def odd_attribute(draw: Any, da: xr.DataArray) -> xr.DataArray:
    key, value = draw(st.sampled_from(KEYS)), draw(st.sampled_from(ODD))
    if draw(st.booleans()) or not da.coords:
        return da.assign_attrs({key: value})
    da = da.copy()
    da[any_coordinate(draw, da)].attrs[key] = value
    return da


def odd_values(draw: Any, da: xr.DataArray) -> xr.DataArray:
    """A coordinate that is no such coordinate."""
    name = any_coordinate(draw, da)
    n = da[name].size
    if da[name].ndim != 1:
        return da
    pool: list[Any] = [
        np.zeros(n), np.full(n, np.nan), np.arange(n), np.arange(n)[::-1], np.linspace(-1e30, 1e30, n),
        np.linspace(-1.0, 2.0, n) * np.inf, np.full(n, None), np.arange(n) * 1j,
        np.array([str(i) for i in range(n)]), np.array([str(i) for i in range(n)], dtype=object),
        np.array([i % 2 == 0 for i in range(n)]), np.arange(n).astype("m8[D]"), np.arange(n).astype("M8[D]"),
        np.array(["NaT"] * n, dtype="M8[ns]"), np.array([dt.date(2005, 7, 1)] * n, dtype=object),
        np.array([cftime.datetime(2005, 7, 1 + i, calendar="360_day") for i in range(n)], dtype=object),
        np.array([cftime.datetime(2005, 2, 30, calendar="360_day"), *[None] * (n - 1)], dtype=object),
        np.array([f"{2005 + 3000 * i}-07-01" for i in range(n)], dtype="M8[s]"),
        np.array([object() for _ in range(n)], dtype=object), np.random.default_rng(1).permutation(n) * 0.5,
        np.array([np.datetime64("2005-07-01"), *["x"] * (n - 1)], dtype=object), np.arange(n, dtype="u1"),
        np.array([pd.Timestamp("2005-07-01", tz="UTC")] * n, dtype=object), np.arange(n, dtype="f2") + 30,
    ]  # fmt: skip
    return with_coordinate(da, name, pool[draw(st.integers(0, len(pool) - 1))])


def odd_name(draw: Any, da: xr.DataArray) -> xr.DataArray:
    old, new = draw(st.sampled_from(list(da.dims))), draw(st.sampled_from(ODD_NAMES))
    if not isinstance(new, str):
        bare = draw(st.booleans())
        return da.drop_vars(old).rename({old: new}) if bare else da.assign_coords({new: 1})
    return da if new in da.dims or new in da.coords else da.rename({old: new})


def unlabelled(draw: Any, da: xr.DataArray) -> xr.DataArray:
    return da.drop_vars(any_coordinate(draw, da)) if da.coords else da


def cut(draw: Any, da: xr.DataArray) -> xr.DataArray:
    part = draw(st.sampled_from([0, slice(0), slice(1), [0, 2], [1, 1]]))
    return da.isel({draw(st.sampled_from(list(da.dims))): part})


def stacked(draw: Any, da: xr.DataArray) -> xr.DataArray:
    if len(da.dims) < 2:
        return da
    pair = draw(st.permutations(list(da.dims)))[:2]
    if not all(d in da.coords for d in pair):
        return da
    if draw(st.booleans()):
        return da.stack(cell=pair)
    return da.expand_dims("number").stack(cell=["number", pair[0]])


def curvilinear(draw: Any, da: xr.DataArray) -> xr.DataArray:
    if not {"lat", "lon"} <= set(da.dims) & set(da.coords):
        return da
    lat, lon = np.meshgrid(da.lat.values, da.lon.values, indexing="ij")
    flat = da.drop_vars(["lat", "lon"]).rename(lat="j", lon="i")
    attrs = draw(st.sampled_from([{}, {"standard_name": "latitude"}, {"units": "degrees_north"}]))
    return flat.assign_coords(lat2=(("j", "i"), lat, attrs), nav_lon=(("j", "i"), lon))


def projected(draw: Any, da: xr.DataArray) -> xr.DataArray:
    """A grid mapping that is one of another kind, or none at all."""
    pool = [
        {}, {"crs_wkt": "banana"}, {"crs_wkt": 5}, {"crs_wkt": ""}, {"spatial_ref": ["EPSG:4326"]},
        {"grid_mapping_name": "banana"}, {"grid_mapping_name": 3},
        {"grid_mapping_name": "rotated_latitude_longitude"},
        {"grid_mapping_name": "lambert_conformal_conic", "standard_parallel": "x"}, {"crs_wkt": "EPSG:3857"},
        {"grid_mapping_name": "rotated_latitude_longitude", "grid_north_pole_latitude": 40.0,
         "grid_north_pole_longitude": -170.0}, {"spatial_ref": "EPSG:4326"}, {"grid_mapping_name": ["a"]},
    ]  # fmt: skip
    name = draw(st.sampled_from(["spatial_ref", "crs", "rotated_pole"]))
    da = da.assign_coords({name: ((), 0, draw(st.sampled_from(pool)))})
    told = draw(st.sampled_from([name, name, "nowhere", f"{name}: lat lon", None, 3, []]))
    return da.assign_attrs(grid_mapping=told)


def coloured(draw: Any, da: xr.DataArray) -> xr.DataArray:
    pool = [550.0, 5.5e-7, 870.0, "550", "blue", None, np.nan, 1j, np.datetime64("NaT", "ns"), True]
    value = draw(st.sampled_from(pool))
    units = draw(st.sampled_from(["nm", "m", "", "um", None, 3, ["nm"], "banana"]))
    if "band" in da.dims:
        return da.assign_coords(radiation_wavelength=("band", np.asarray([value] * 2)))
    return da.assign_coords(radiation_wavelength=((), np.asarray(value), {"units": units}))


def layered(draw: Any, da: xr.DataArray) -> xr.DataArray:
    """A dimension of size two, of any kind."""
    name = draw(st.sampled_from(["lev", "number", "band", "Z", "latitude", "time2", 5, "realization"]))
    if name in da.dims or name in da.coords:
        return da
    da = da.expand_dims({name: draw(st.sampled_from([[0, 1], ["a", "b"], [1000.0, 850.0]]))})
    da = da.copy()
    pool = [{}, {"axis": "Z"}, {"positive": "up"}, {"axis": "T"}, {"axis": 4}, {"units": "hPa"}]
    da[name].attrs |= draw(st.sampled_from(pool))
    return da


def other_values(draw: Any, da: xr.DataArray) -> xr.DataArray:
    if da.chunks is not None:
        return da
    special = {"nan": np.nan, "inf": np.inf, "fill": 1e15, "minus": -0.5}
    kinds = ["c16", "O", "U", "?", "M8[ns]", "i4", "u1", "f2", ">f4", *special]
    kind, values = draw(st.sampled_from(kinds)), da.values.astype(float)
    if kind in special:
        values.ravel()[:1] = special[kind]
        return da.copy(data=values)
    return da.copy(data=values.astype(int).astype(kind) if kind == "M8[ns]" else values.astype(kind))


def with_twins(draw: Any, da: xr.DataArray) -> xr.DataArray:
    """Another coordinate that calls itself an axis."""
    name = draw(st.sampled_from(list(da.dims)))
    said = draw(st.sampled_from(["axis Y", "axis T", "standard_name longitude", "units degrees_north"]))
    attrs = dict([said.split()])
    return da.assign_coords(twin=(name, np.arange(da.sizes[name]), attrs))


def bounded(draw: Any, dataset: xr.Dataset) -> xr.Dataset:
    """Bounds that are elsewhere, or nothing of the kind."""
    if "lat" not in dataset.coords:
        return dataset
    pool = ["lat_bnds", "nowhere", 3, None, ["lat_bnds"], {"a": 1}, "lat"]
    dataset["lat"].attrs["bounds"] = draw(st.sampled_from(["lat_bnds", *pool]))
    shape = draw(st.sampled_from([(4, 2), (4, 3), (4,), ()]))
    values = np.zeros(shape, dtype=draw(st.sampled_from(["f8", "U1", "O", "M8[ns]", "i4"])))
    return dataset.assign(lat_bnds=(("lat", "bnds")[: len(shape)], values))


ANY: list[Any] = [
    *SAME, flipped, odd_attribute, odd_attribute, odd_values, odd_values, odd_name, unlabelled, cut, stacked,
    curvilinear, projected, coloured, layered, other_values, with_twins,
]  # fmt: skip
DIMS: list[Any] = [
    {"lat": "lat", "lon": "lon"}, {"lat": "nowhere"}, {"banana": "lat"}, {"lat": "lon", "lon": "lat"},
    {"lat": None}, {"time": "lat"}, {"lat": ["lat"]}, {3: "lat"}, {"lat": 3}, [], {}, ["lat"], "lat", 5,
]  # fmt: skip


@st.composite
def cases(draw: Any) -> Case:
    da, same = sound(), draw(st.booleans())
    for _ in range(draw(st.integers(1, 4))):
        way = draw(st.sampled_from(SAME if same else ANY))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                da = way(draw, da)
        except IMPOSSIBLE:
            continue  # xarray has no such array
    if not same and draw(st.integers(0, 9)) == 0:
        return Case(da, False, draw(st.sampled_from(DIMS)))
    if draw(st.integers(0, 4)) == 0 and isinstance(da.name, str) and da.name not in da.coords:
        dataset = da.to_dataset()
        fits = not same and dataset.sizes.get("lat") == 4 and "lat_bnds" not in dataset
        return Case(bounded(draw, dataset.copy()) if fits else dataset, same)
    return Case(da, same)


def prepared(case: Case, model: Downscaler) -> Job:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return prepare(
            case.da, model, members=1, seed=0, product="draw", sampler=None, tiling=None, conserve=True,
            domain_check="ignore", dims=case.dims, device="cpu", quiet=True,
        )  # fmt: skip


def ours(error: BaseException) -> bool:
    """Whether a `raise` of this package made the error."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    inside = Path(last.filename).is_relative_to(PACKAGE)
    return inside and linecache.getline(last.filename, last.lineno or 0).lstrip().startswith("raise ")


def pictured(da: Any) -> Any:
    """All that an input is, to be compared by value."""
    variables = {"": da.variable} if isinstance(da, xr.DataArray) else {}
    variables |= {name: da.coords[name].variable for name in da.coords}
    if isinstance(da, xr.Dataset):
        variables |= {name: da[name].variable for name in da.data_vars}
    return [(name, v.dims, v.dtype, repr((v.attrs, v.encoding)), held(v)) for name, v in variables.items()]


def held(variable: xr.Variable) -> Any:
    """Chunks, or bytes."""
    return variable.chunks or variable.values.tobytes()


def check(case: Case, model: Downscaler) -> str:
    before = pictured(case.da)
    try:
        job = prepared(case, model)
    except (ValueError, TypeError) as error:
        if not ours(error):
            raise
        refused = error
    else:
        refused = None
    assert pictured(case.da) == before
    if refused is not None:
        assert len(str(refused)) > 20
        assert not case.same, f"a field that means the same is refused: {refused}"
        return "refused"
    field = job.field
    values = field.values()
    assert values.shape == (*field.others.values(), field.days, *field.grid.shape)
    assert len(field.instants) == field.days
    if case.same:
        truth = sound()
        assert field.grid == WINDOW
        assert [t * 1000 for t in field.instants if t is not None] == truth.time.values.astype(
            np.int64
        ).tolist()
        np.testing.assert_array_equal(values, truth.values)
    return "understood"


@pytest.mark.parametrize("count", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)])
def test_understood_or_refused(count: int, tiny_model: Downscaler) -> None:
    found: list[str] = []

    @settings(max_examples=count, deadline=5000, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(cases())
    def run(case: Case) -> None:
        found.append(check(case, tiny_model))

    run()
    assert len(found) >= count
    assert found.count("understood") > 0.3 * count
    assert found.count("refused") > 0.1 * count
