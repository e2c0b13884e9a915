"""The contract of `predict`, row by row, in memory and on dask: what is accepted, warned of, refused.

`ROWS` is the table of docs/conformance.md. A row is accepted when its result is that of the canonical form in
memory, bit for bit unless said; warned of when that holds and a warning says why; refused when an error names
what was found and what mends it, before any field is drawn. On dask nothing may be computed while a result is
built: only what values alone can tell (`LATE`) is refused where a block is computed.
"""

# ruff: noqa: E501 - the tables keep a case to a line

from __future__ import annotations

import contextlib
import copy
import errno
import pathlib
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cftime
import dask
import numpy as np
import pytest
import torch
import xarray as xr

import xdownscale
from xdownscale.grid import MERRA2
from xdownscale.inference.domain import DomainError
from xdownscale.inference.ledger import verify
from xdownscale.inference.place import Place
from xdownscale.inference.store import to_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xdownscale.models import Downscaler

pytestmark = pytest.mark.filterwarnings("ignore:.*has gaps:UserWarning")

ROWS = (
    (1, "latitude running south: the result runs south too", "accepted"),
    (2, "longitude from 0 to 360 or from -180 to 180: the result keeps to it", "accepted"),
    (3, "a window across the dateline, written either way", "accepted"),
    (4, "a whole circle of longitudes, beginning anywhere", "accepted"),
    (5, "the first meridian given twice", "warned of; the copy is dropped"),
    (6, "any order of dimensions; usual names; CF attributes on unusual names", "accepted"),
    (7, "two candidates for an axis; a dimension without coordinate; a stacked index", "refused"),
    (8, "two-dimensional latitude and longitude", "refused"),
    (9, "another coordinate reference system", "refused"),
    (10, "EPSG:4326 in `spatial_ref`: the result has it", "accepted"),
    (11, "coordinates in float32, 1e-13 for zero, rounded within a thousandth of a cell", "accepted"),
    (12, "uneven spacing, a Gaussian grid", "refused"),
    (13, "another resolution; cells half a cell off", "refused"),
    (14, "polar centres at +-89.875", "warned of; taken for the pole"),
    (15, "latitude beyond the pole, longitude beyond a turn, the two swapped, radians", "refused"),
    (16, "NaN, duplicates, disorder or text in a coordinate", "refused"),
    (17, "fewer than 3 x 3 cells; nothing selected", "refused"),
    (18, "a window of one patch, or of any number of strides", "accepted"),
    (19, "outside the model's region or months", "as `domain_check` says"),
    (20, "scalar coordinates (kept), a level of size one, an ensemble (broadcast)", "accepted"),
    (21, "several levels", "refused"),
    (22, "another wavelength", "refused"),
    (23, "bounds, or none", "accepted"),
    (24, "bounds that contradict the coordinate", "refused"),
    (25, "no time, a scalar time, one time, times out of order (kept)", "accepted"),
    (26, "the same time twice; gaps in the history", "warned of"),
    (27, "times in s, ms, us or ns", "accepted"),
    (28, "cftime, of any calendar", "accepted"),
    (29, "NaT; times not decoded", "refused"),
    (30, "hourly or monthly fields for a daily model", "refused"),
    (31, "cell methods: kept and extended", "accepted"),
    (32, "float64, float32, float16, big-endian, whole numbers; any memory layout; read-only", "accepted"),
    (33, "complex numbers, text, truth values, dates, objects", "refused"),
    (34, "packed values, fill values among the numbers", "refused"),
    (35, "missing cells: missing in the result, filled for the network only", "accepted"),
    (36, "a day with nothing: missing, and the other days as they would be", "accepted"),
    (37, "infinities, values below -0.001, values 100 times the model's range", "refused"),
    (38, "tiny negatives (taken for zero); values above the model's range", "warned of"),
    (39, "units `1`, empty or dimensionless", "accepted"),
    (40, "no units; a variable named AOD without standard name", "warned of"),
    (41, "other units, another quantity", "refused"),
    (42, "logarithms or anomalies that call themselves optical depth", "refused, or as `domain_check` says"),
    (43, "dask, chunked in any way in time and in space", "accepted"),
    (44, "netCDF and zarr opened lazily: nothing is read before it is computed", "accepted"),
    (45, "a Dataset with one variable", "accepted"),
    (46, "a Dataset with several, a DataTree", "refused"),
    (47, "no name, an odd name, numpy scalars in the attributes", "accepted"),
    (48, "a packed encoding: not inherited", "accepted"),
    (49, "the input is afterwards what it was", "accepted"),
    (50, "in memory, by dask's threads, processes, or dask.distributed: the same bits", "accepted"),
    (51, "a lazy result pickled; any value of `keep_attrs`", "accepted"),
    (52, "no members, a seed that is no whole number from 0, no evaluations, an unknown sampler", "refused"),
    (53, "one member: the dimension is there", "accepted"),
    (54, "an unknown model; a file that is none, damaged, or a pickle", "refused"),
    (55, "an output that exists", "refused without `--overwrite` or `overwrite=True`"),
    (56, "a store that was interrupted, asked for with other chunks: finished, the same bits", "accepted"),
    (57, "a store that was begun with another seed, model or input", "refused"),
    (58, "paths with blanks and accents", "accepted"),
    (59, "no room left, a killed worker, a killed job", "an error, or gone on with; never a wrong number"),
    (60, "CUDA where there is none", "refused"),
)  # fmt: skip
STANDARD = "atmosphere_optical_thickness_due_to_dust_ambient_aerosol_particles"
Predict = Any


def made(y: tuple[int, int] = (228, 4), x: tuple[int, int] = (200, 4), days: int = 3) -> xr.DataArray:
    """Canonical: (time, lat, lon), ascending, -180 to 180, July days, float64."""
    window = MERRA2.window(y, x)
    values = np.random.default_rng(5).lognormal(-2.0, 0.6, (days, *window.shape))
    time = np.datetime64("2005-07-01T12:00", "ns") + np.arange(days) * np.timedelta64(1, "D")
    return xr.DataArray(
        values,
        {"time": time, "lat": window.y.values, "lon": (window.x.values + 180) % 360 - 180},
        ("time", "lat", "lon"),
        "DUEXTTAU",
        {"units": "1", "standard_name": STANDARD},
    )


@pytest.fixture
def coarse() -> xr.DataArray:
    return made()


@pytest.fixture
def reference(tiny_model: Downscaler) -> Predict:
    """`predict` in memory, with the small model, two evaluations, outside its region."""

    def run(da: Any, **options: Any) -> xr.DataArray:
        return xdownscale.predict(da, **(usual(tiny_model) | options))

    return run


@pytest.fixture(params=["in memory", "on dask"])
def predict(request: pytest.FixtureRequest, tiny_model: Downscaler, reference: Predict) -> Predict:
    """As `reference`, or on dask: built while dask must not compute, then computed."""
    if request.param == "in memory":
        return reference

    def run(da: Any, **options: Any) -> xr.DataArray:
        return build(da, **(usual(tiny_model) | options)).compute(scheduler="synchronous")

    return run


def usual(model: Downscaler) -> dict[str, Any]:
    return {"model": model, "sampler": xdownscale.Sampler("midpoint", 2), "domain_check": "ignore"}


def build(da: Any, **options: Any) -> xr.DataArray:
    """The lazy result of chunks of one day."""
    chunked = da.chunk({d: 1 for d in da.dims if d in ("time", "day")}) if hasattr(da, "chunk") else da
    with never_computing():
        return xdownscale.predict(chunked, **options)


def never_computing() -> Any:
    def scheduler(*_: Any, **__: Any) -> None:
        pytest.fail("computed while a lazy result was built")

    return dask.config.set(scheduler=scheduler)


def same(found: xr.DataArray, expected: xr.DataArray) -> None:
    np.testing.assert_array_equal(found.values, expected.values)


def attributed(da: xr.DataArray) -> xr.DataArray:
    da = da.rename(lat="row", lon="column", time="day")
    da.row.attrs.update(standard_name="latitude", units="degrees_north")
    da.column.attrs.update(standard_name="longitude", units="degrees_east")
    da.day.attrs["standard_name"] = "time"
    return da


def with_bounds(da: xr.DataArray, shift: float = 0.0) -> xr.Dataset:
    """A DataArray cannot have them."""
    edges = da.lat.values[:, None] + np.array([-0.25, 0.25]) + shift
    da.lat.attrs["bounds"] = "lat_bnds"
    return da.to_dataset().assign(lat_bnds=(("lat", "bnds"), edges))


def east(da: xr.DataArray) -> xr.DataArray:
    return da.assign_coords(lon=da.lon % 360)


def nudged(da: xr.DataArray) -> xr.DataArray:
    return da.assign_coords(lat=da.lat + 4e-4 * np.array([1, -1, 1, -1]) * 0.5, lon=da.lon.astype("f4"))


ACCEPTED: tuple[tuple[int, str, Callable[..., Any], Callable[..., Any]], ...] = (
    (1, "southwards", lambda d: d[:, ::-1], lambda f: f[:, :, ::-1]),
    (2, "0 to 360", east, lambda f: f),
    (6, "transposed", lambda d: d.transpose("lon", "time", "lat"), lambda f: f.transpose("realization", "time", "lat", "lon")),
    (6, "latitude, longitude", lambda d: d.rename(lat="latitude", lon="longitude"), lambda f: f),
    (6, "y, x", lambda d: d.rename(lat="y", lon="x"), lambda f: f),
    (6, "YDim, XDim", lambda d: d.rename(lat="YDim", lon="XDim"), lambda f: f),
    (6, "nav_lat, nav_lon", lambda d: d.rename(lat="nav_lat", lon="nav_lon"), lambda f: f),
    (6, "attributes", attributed, lambda f: f),
    (11, "rounded", nudged, lambda f: f),
    (20, "scalar coordinate", lambda d: d.assign_coords(station="A"), lambda f: f),
    (20, "level of one", lambda d: d.expand_dims(lev=[0.0], axis=1), lambda f: f.squeeze("lev", drop=True) if "lev" in f.dims else f),
    (23, "bounds", with_bounds, lambda f: f),
    (25, "out of order", lambda d: d[[2, 0, 1]], lambda f: f[:, [1, 2, 0]]),
    (27, "seconds", lambda d: d.assign_coords(time=d.time.values.astype("M8[s]")), lambda f: f),
    (27, "milliseconds", lambda d: d.assign_coords(time=d.time.values.astype("M8[ms]")), lambda f: f),
    (27, "microseconds", lambda d: d.assign_coords(time=d.time.values.astype("M8[us]")), lambda f: f),
    (28, "cftime", lambda d: d.assign_coords(time=xr.date_range("2005-07-01 12:00", periods=3, calendar="proleptic_gregorian", use_cftime=True)), lambda f: f),
    (32, "big-endian", lambda d: d.astype(">f8"), lambda f: f),
    (32, "Fortran", lambda d: d.copy(data=np.asfortranarray(d.values)), lambda f: f),
    (32, "negative strides", lambda d: d.copy(data=np.ascontiguousarray(d.values[:, ::-1])[:, ::-1]), lambda f: f),
    (39, "empty units", lambda d: d.assign_attrs(units=""), lambda f: f),
    (39, "dimensionless", lambda d: d.assign_attrs(units="dimensionless"), lambda f: f),
    (45, "Dataset", lambda d: d.to_dataset(), lambda f: f),
    (47, "no name", lambda d: d.rename(None), lambda f: f),
    (47, "odd name", lambda d: d.rename("my field (2)"), lambda f: f),
    (47, "numpy scalars", lambda d: d.assign_attrs(count=np.int16(3), mean=np.float32(0.5)), lambda f: f),
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "back"), [r[2:] for r in ACCEPTED], ids=[f"{r[0]:02d} {r[1]}" for r in ACCEPTED]
)
def test_accepted(coarse: xr.DataArray, predict: Predict, reference: Predict, change: Any, back: Any) -> None:
    same(back(predict(change(coarse.copy(deep=True)))), reference(coarse))


WARNED: tuple[tuple[int, str, Callable[..., Any], Callable[..., Any], str], ...] = (
    (26, "twice", lambda d: d.isel(time=[0, 1, 1, 2]), lambda f: f[:, [0, 1, 3]], "duplicate times"),
    (38, "tiny negatives", lambda d: d.where(d != d[0, 0, 0], -1e-5), lambda f: f, "taken for 0"),
    (38, "above the range", lambda d: d.where(d != d[0, 0, 0], 7.0), lambda f: f, "trained on 0 to 6"),
    (40, "no units", lambda d: d.drop_attrs(), lambda f: f, "has no units: taken for '1'"),
    (40, "AOD", lambda d: d.drop_attrs().assign_attrs(units="1").rename("AOD"), lambda f: f, "taken for DUEXTTAU"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "back", "said"), [r[2:] for r in WARNED], ids=[f"{r[0]:02d} {r[1]}" for r in WARNED]
)
def test_warned(
    coarse: xr.DataArray, predict: Predict, reference: Predict, change: Any, back: Any, said: str
) -> None:
    changed = change(coarse)
    with pytest.warns(UserWarning, match=said):
        found = back(predict(changed))
    if changed.equals(coarse) or "duplicate" in said:
        same(found, reference(coarse))
    assert np.isfinite(found).all()
    assert found.name == "DUEXTTAU"
    assert found.attrs["standard_name"] == STANDARD


def curvilinear(d: xr.DataArray) -> xr.DataArray:
    lat, lon = np.meshgrid(d.lat, d.lon, indexing="ij")
    bare = d.drop_vars(["lat", "lon"]).rename(lat="j", lon="i")
    return bare.assign_coords(lat=(("j", "i"), lat), lon=(("j", "i"), lon))


def projected(d: xr.DataArray) -> xr.DataArray:
    import rioxarray  # noqa: F401

    return d.rio.write_crs(3857)


def gaussian(d: xr.DataArray) -> xr.DataArray:
    return d.assign_coords(lat=np.rad2deg(np.arcsin(np.linspace(0.4, 0.43, 4))))


REFUSED: tuple[tuple[int, str, Callable[..., Any], dict[str, Any], str], ...] = (
    (7, "two candidates", lambda d: d.expand_dims(latitude=[1.0, 2.0]), {}, "several dimensions could be latitude|dims="),
    (7, "no coordinate", lambda d: d.drop_vars("lat"), {}, "no coordinate"),
    (7, "stacked", lambda d: d.stack(cell=("lat", "lon")), {}, "MultiIndex: unstack"),
    (8, "curvilinear", curvilinear, {}, "two-dimensional .*regrid"),
    (9, "web mercator", projected, {}, "expected WGS 84.*reproject"),
    (12, "Gaussian", gaussian, {}, "spacing"),
    (13, "one degree", lambda d: d.assign_coords(lat=24.0 + np.arange(4.0)), {}, "0.5"),
    (13, "half a cell", lambda d: d.assign_coords(lat=d.lat + 0.25), {}, "shifted|fraction|off"),
    (15, "beyond the pole", lambda d: d.assign_coords(lat=d.lat + 65), {}, "expected -90 to 90"),
    (15, "beyond a turn", lambda d: d.assign_coords(lon=d.lon + 500), {}, "expected -360 to 360"),
    (15, "radians", lambda d: d.assign_coords(lat=np.deg2rad(d.lat), lon=np.deg2rad(d.lon)), {}, "radians"),
    (16, "NaN", lambda d: d.assign_coords(lat=[24, np.nan, 25, 25.5]), {}, "NaN or inf: drop them"),
    (16, "duplicates", lambda d: d.isel(lat=[0, 1, 1, 2]), {}, "duplicates: drop them"),
    (16, "disorder", lambda d: d.isel(lat=[0, 2, 1, 3]), {}, "not monotonic: sort it"),
    (16, "text", lambda d: d.assign_coords(lat=list("abcd")), {}, "expected numbers"),
    (17, "two cells", lambda d: d[:, :2], {}, "at least 3 x 3"),
    (17, "nothing", lambda d: d[:, :0], {}, "size 0"),
    (21, "levels", lambda d: d.expand_dims(lev=[0.0, 1.0]), {}, "2 levels: choose one"),
    (22, "wavelength", lambda d: d.assign_coords(radiation_wavelength=((), 870.0, {"units": "nm"})), {}, "870 nm: the model is for 550"),
    (24, "bounds", lambda d: with_bounds(d, 0.2), {}, "contradict 'lat'"),
    (29, "NaT", lambda d: d.assign_coords(time=np.array(["2005-07-01", "NaT", "2005-07-03"], "M8[ns]")), {}, "NaT"),
    (29, "not decoded", lambda d: d.assign_coords(time=[0, 24, 48]), {}, "decode"),
    (30, "hourly", lambda d: d.assign_coords(time=d.time[0].values + np.arange(3) * np.timedelta64(1, "h")), {}, "resample"),
    (30, "monthly", lambda d: d.assign_coords(time=np.array(["2005-06", "2005-07", "2005-08"], "M8[ns]")), {}, "daily means"),
    (33, "complex", lambda d: d.astype(complex), {}, "real numbers"),
    (33, "text", lambda d: d.astype(str), {}, "real numbers"),
    (33, "truth values", lambda d: d > 0.1, {}, "real numbers"),
    (33, "objects", lambda d: d.astype(object), {}, "real numbers"),
    (34, "packed", lambda d: d.assign_attrs(scale_factor=0.01), {}, "decode"),
    (34, "1e15", lambda d: d.where(d != d[0, 0, 0], 1e15), {}, "fill value: mask"),
    (34, "-9999", lambda d: d.where(d != d[0, 0, 0], -9999.0), {}, "fill value: mask"),
    (37, "infinity", lambda d: d.where(d != d[0, 0, 0], np.inf), {}, "infinite: mask"),
    (37, "negative", lambda d: d - 1, {}, "not negative"),
    (37, "percent", lambda d: d * 1e5, {}, "percent"),
    (41, "units", lambda d: d.assign_attrs(units="kg m-2"), {}, "units are 'kg m-2': expected '1'"),
    (41, "TOTEXTTAU", lambda d: d.drop_attrs().assign_attrs(units="1").rename("TOTEXTTAU"), {}, "is for DUEXTTAU"),
    (42, "logarithms", np.log, {}, "logarithms"),
    (42, "scaled", lambda d: (d * 0 + 1e-9).assign_coords(lon=d.lon + 110), {"domain_check": "raise"}, "standard deviations"),
    (46, "several", lambda d: xr.Dataset({"a": d, "b": d}), {}, "'a', 'b'"),
    (52, "no members", lambda d: d, {"members": 0}, "members"),
    (52, "negative seed", lambda d: d, {"seed": -1}, "seed"),
    (52, "fractional seed", lambda d: d, {"seed": 1.5}, "seed"),
    (52, "unknown sampler", lambda d: d, {"sampler": "heun"}, "heun"),
    (54, "unknown model", lambda d: d, {"model": "jja_asa"}, "jja_asia"),
    (60, "CUDA", lambda d: d, {"device": "cuda"}, "(?i)cuda"),
)  # fmt: skip


LATE = {
    "bounds",
    "1e15",
    "-9999",
    "infinity",
    "negative",
    "percent",
    "logarithms",
    "scaled",
}  # told by values


@pytest.fixture
def nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    from xdownscale.inference import block, field

    for module in (block, field):
        monkeypatch.setattr(module, "draw", lambda *_, **__: pytest.fail("drawn before it was refused"))


@pytest.mark.parametrize(
    ("name", "change", "options", "said"),
    [r[1:] for r in REFUSED],
    ids=[f"{r[0]:02d} {r[1]}" for r in REFUSED],
)
@pytest.mark.parametrize("where", ["in memory", "on dask"])
@pytest.mark.usefixtures("nothing_drawn")
def test_refused(
    coarse: xr.DataArray,
    tiny_model: Downscaler,
    where: str,
    name: str,
    change: Any,
    options: dict[str, Any],
    said: str,
) -> None:
    if options.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    refusal = pytest.raises((ValueError, TypeError, RuntimeError, LookupError), match=said)
    given = usual(tiny_model) | options
    if where == "in memory":
        with refusal:
            xdownscale.predict(change(coarse), **given)
    elif name not in LATE:
        with refusal:
            build(change(coarse), **given)
    else:
        lazy = build(change(coarse), **given)
        with refusal:
            lazy.compute(scheduler="synchronous")


def test_03_across_the_dateline(predict: Predict) -> None:
    folded = made(x=(572, 8), days=1)
    assert folded.lon.values[3] > folded.lon.values[4], "177.5 ... -178.1"
    straight = folded.assign_coords(lon=folded.lon % 360)
    one, other = predict(folded), predict(straight)
    same(one, other)
    np.testing.assert_array_equal(one.lon.values % 360, other.lon.values % 360)
    assert (np.diff(other.lon) > 0).all()
    assert one.lon.min() < -177


def test_04_05_a_whole_circle(predict: Predict, reference: Predict) -> None:
    da = made(y=(228, 3), x=(0, 576), days=1)
    canonical = reference(da)
    assert canonical.sizes["lon"] == 5760
    rolled = predict(da.roll(lon=200, roll_coords=True))
    same(rolled.roll(lon=-2000), canonical)
    seam = xr.concat([da, da.isel(lon=[0]).assign_coords(lon=[180.0])], "lon")
    with pytest.warns(UserWarning, match="first meridian twice: the last column is dropped"):
        same(predict(seam), canonical)


def test_10_crs_is_kept(coarse: xr.DataArray, predict: Predict, reference: Predict) -> None:
    fine = predict(coarse.rio.write_crs(4326))
    same(fine, reference(coarse))
    assert fine.rio.crs.to_epsg() == 4326


def test_14_archived_pole(predict: Predict, reference: Predict) -> None:
    da = made(y=(357, 4), days=1)
    archived = da.assign_coords(lat=np.where(da.lat == 90, 89.875, da.lat))
    with pytest.warns(UserWarning, match="taken for the pole"):
        same(predict(archived), reference(da))


def test_15_swapped(coarse: xr.DataArray, predict: Predict) -> None:
    swapped = coarse.rename(lat="lon", lon="lat").assign_coords(lat=150.0 + 0.625 * np.arange(4))
    with pytest.raises(ValueError, match="swapped"):
        predict(swapped)


@pytest.mark.parametrize("patch", [144, 152])
def test_18_patches(predict: Predict, reference: Predict, patch: int) -> None:
    """One patch of just the window, and several that do not divide it, give nearly the field in one piece."""
    da = made(y=(228, 5), x=(200, 5), days=1)
    whole = reference(da, tiling=xdownscale.Tiling(patch=None))
    parts = predict(da, tiling=xdownscale.Tiling(patch=patch))
    assert float(abs(parts - whole).max()) < 2e-3 * float(whole.std())


def test_19_region_and_months(coarse: xr.DataArray, predict: Predict, reference: Predict) -> None:
    winter = coarse.assign_coords(time=coarse.time + np.timedelta64(180, "D"))
    with pytest.raises(DomainError, match=r"lies on 24 to 25.5 N, -55 .*months \[12\] are not the model's"):
        predict(winter, domain_check="raise")
    with pytest.warns(UserWarning, match="was trained on 10 to 56 N, 34 to 135 E"):
        warned = predict(coarse, domain_check="warn")
    same(warned, reference(coarse))
    with pytest.raises(ValueError, match="domain_check"):
        predict(coarse, domain_check="off")


def test_20_kept_and_broadcast(coarse: xr.DataArray, predict: Predict, reference: Predict) -> None:
    fine = predict(coarse.assign_coords(station="A"))
    assert fine.station.item() == "A"
    ensemble = xr.concat([coarse, 2 * coarse], "number").assign_coords(number=[0, 1])
    both = predict(ensemble)
    same(both.isel(number=0).transpose(*fine.dims), fine)
    same(both.isel(number=1).transpose(*fine.dims), reference(2 * coarse))


def test_25_time_or_none(coarse: xr.DataArray, predict: Predict) -> None:
    first = predict(coarse[:1])
    scalar = predict(coarse[0])
    assert "time" not in scalar.dims
    assert scalar.time.values == coarse.time.values[0]
    same(scalar, first.isel(time=0))
    none = predict(coarse[0].drop_vars("time"))
    assert none.dims == ("realization", "lat", "lon")
    assert np.isfinite(none).all()


def test_26_gap_in_the_history(coarse: xr.DataArray, predict: Predict, reference: Predict) -> None:
    """What lies further back than the history does not matter, and what is missing in it is masked."""
    days = made(days=5).isel(time=[0, 1, 2, 4])
    with pytest.warns(UserWarning, match="has gaps: the history"):
        fine = predict(days)
    same(fine.isel(time=3), reference(days[2:]).isel(time=1))


def test_28_calendar_is_not_cast(coarse: xr.DataArray, predict: Predict) -> None:
    days = [cftime.DatetimeNoLeap(2005, 7, d, 12) for d in (1, 2, 3)]
    fine = predict(coarse.assign_coords(time=days))
    assert isinstance(fine.time.values[0], cftime.DatetimeNoLeap)
    assert np.isfinite(fine).all()


@pytest.mark.parametrize(("said", "kept"), [("time: mean", "time: mean"), ("time: point", "time: point")])
def test_31_cell_methods(coarse: xr.DataArray, predict: Predict, said: str, kept: str) -> None:
    fine = predict(coarse.assign_attrs(cell_methods=said))
    assert kept in fine.attrs["cell_methods"]
    assert ("mean" in fine.attrs["cell_methods"].split("area")[0]) == ("mean" in said)


@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_32_precision(coarse: xr.DataArray, predict: Predict, reference: Predict, dtype: str) -> None:
    rounded = coarse.astype(dtype)
    same(predict(rounded), reference(rounded.astype("f8")))


def test_32_whole_numbers_and_read_only(coarse: xr.DataArray, predict: Predict, reference: Predict) -> None:
    ones = xr.ones_like(coarse)
    same(predict(ones.astype("i2")), reference(ones))
    values = coarse.values.copy()
    values.flags.writeable = False
    same(predict(coarse.copy(data=values)), reference(coarse))


def test_35_gaps(coarse: xr.DataArray, predict: Predict, reference: Predict) -> None:
    gap = coarse.copy()
    gap[2, 0, 0] = np.nan
    fine = predict(gap)[0, 2].values
    assert np.isnan(fine[:8, :10]).all(), "cells that the missing one alone covers"
    assert np.isfinite(fine[8:, :]).all()
    assert np.isfinite(fine[:, 10:]).all()
    same(predict(gap)[:, :2], reference(coarse)[:, :2])


def test_36_an_empty_day(coarse: xr.DataArray, predict: Predict, reference: Predict) -> None:
    empty = coarse.copy()
    empty[2] = np.nan
    fine = predict(empty)
    assert np.isnan(fine[:, 2]).all()
    same(fine[:, :2], reference(coarse)[:, :2])


@pytest.mark.parametrize(
    "chunks",
    [{"time": 2}, {"time": (1, 2)}, {"time": -1, "lat": 3, "lon": 1}, {"time": 1, "lat": 2}],
    ids=str,
)
def test_43_any_chunks(
    coarse: xr.DataArray, tiny_model: Downscaler, reference: Predict, chunks: dict[str, Any]
) -> None:
    with never_computing():
        lazy = xdownscale.predict(coarse.chunk(chunks), **usual(tiny_model))
        plan = str(xdownscale.explain(coarse.chunk(chunks), **usual(tiny_model)))
    same(lazy.compute(scheduler="synchronous"), reference(coarse))
    assert lazy.chunksizes["lat"] == (lazy.sizes["lat"],)
    assert ("spatial chunks of the input are merged" in plan) == ("lat" in chunks)


@pytest.mark.parametrize("kind", ["nc", "zarr"])
def test_44_opened_lazily(
    coarse: xr.DataArray, tiny_model: Downscaler, reference: Predict, tmp_path: pathlib.Path, kind: str
) -> None:
    path = tmp_path / f"coarse.{kind}"
    if kind == "nc":
        coarse.to_netcdf(path)
    else:
        coarse.to_dataset().chunk(time=1).to_zarr(path, consolidated=False)
    options = {"consolidated": False} if kind == "zarr" else {}
    opened = xr.open_dataset(path, chunks={"time": 1}, **options)
    with never_computing():
        lazy = xdownscale.predict(opened.DUEXTTAU, **usual(tiny_model))
    same(lazy.compute(scheduler="synchronous"), reference(coarse))
    with xr.open_dataset(path, **options) as indexed:
        same(xdownscale.predict(indexed.DUEXTTAU, **usual(tiny_model)), reference(coarse))
    opened.close()


def test_46_datatree(coarse: xr.DataArray, predict: Predict) -> None:
    with pytest.raises(TypeError, match="DataTree: expected an xarray DataArray"):
        predict(xr.DataTree(coarse.to_dataset()))


def test_48_49_encoding_and_input(coarse: xr.DataArray, predict: Predict) -> None:
    coarse.encoding = {"dtype": "int16", "scale_factor": 0.001, "_FillValue": -32767}
    before = copy.deepcopy(coarse)
    fine = predict(coarse)
    xr.testing.assert_identical(coarse, before)
    assert coarse.encoding == before.encoding
    assert not {"scale_factor", "add_offset"} & set(fine.encoding)
    assert fine.encoding["dtype"] == "float32"


@pytest.mark.parametrize(
    "scheduler",
    ["synchronous", "threads", *(pytest.param(s, marks=pytest.mark.slow) for s in ("processes", "cluster"))],
)
def test_50_schedulers(
    coarse: xr.DataArray, tiny_model: Downscaler, reference: Predict, tmp_path: pathlib.Path, scheduler: str
) -> None:
    xdownscale.save(tiny_model, tmp_path / "tiny.safetensors")
    lazy = build(coarse, **(usual(tiny_model) | {"model": tmp_path / "tiny.safetensors", "members": 2}))
    if scheduler == "cluster":
        import distributed

        with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None):
            found = lazy.compute()
    else:
        found = lazy.compute(scheduler=scheduler)
    same(found, reference(coarse, members=2))


def test_51_pickle(coarse: xr.DataArray, tiny_model: Downscaler, reference: Predict) -> None:
    again = pickle.loads(pickle.dumps(build(coarse, **usual(tiny_model))))
    same(again.compute(scheduler="synchronous"), reference(coarse))


@pytest.mark.parametrize("keep", [True, False, "default"])
def test_51_keep_attrs(coarse: xr.DataArray, predict: Predict, reference: Predict, keep: Any) -> None:
    expected = reference(coarse)
    with xr.set_options(keep_attrs=keep):
        found = predict(coarse)
    same(found, expected)
    assert set(found.attrs) | {"downscale_residual_before_conservation"} == set(expected.attrs)
    assert found.lat.attrs == expected.lat.attrs


def test_52_no_evaluations(coarse: xr.DataArray, predict: Predict) -> None:
    with pytest.raises(ValueError, match="evaluations"):
        predict(coarse, sampler=xdownscale.Sampler("midpoint", 0))


def test_53_one_member(coarse: xr.DataArray, predict: Predict, reference: Predict) -> None:
    fine = predict(coarse, members=1)
    assert fine.dims == ("realization", "time", "lat", "lon")
    same(fine, reference(coarse, members=2)[:1])


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "expected a checkpoint"), (b"\x80\x04" + b"." * 50, "pickle"), (b"PK\x03\x04" + b"." * 50, "zip")],
    ids=["empty", "pickle", "zip"],
)
def test_54_no_checkpoint(
    coarse: xr.DataArray, predict: Predict, tmp_path: pathlib.Path, content: bytes, said: str
) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        predict(coarse, model=tmp_path / "m.safetensors")


def test_55_58_paths(
    coarse: xr.DataArray, predict: Predict, reference: Predict, tiny_model: Downscaler, tmp_path: pathlib.Path
) -> None:
    from click.testing import CliRunner

    from xdownscale.cli import main

    folder = tmp_path / "un été, à Zürich"
    folder.mkdir()
    xdownscale.save(tiny_model, folder / "mon modèle.safetensors")
    same(predict(coarse, model=folder / "mon modèle.safetensors"), reference(coarse))
    coarse.to_netcdf(folder / "poussière.nc")
    (folder / "fin.nc").write_bytes(b"mine")
    given = ["predict", str(folder / "poussière.nc"), str(folder / "fin.nc"), "--domain-check", "ignore"]
    result = CliRunner().invoke(main, [*given, "--model", str(folder / "mon modèle.safetensors")])
    assert result.exit_code != 0
    assert "overwrite" in result.output
    assert (folder / "fin.nc").read_bytes() == b"mine"


def stored(da: xr.DataArray, path: pathlib.Path, tiny: Downscaler, **options: Any) -> xr.DataArray:
    """What `to_zarr` made of it."""
    given = usual(tiny) | options
    to_zarr(da, path, given.pop("model"), **given)
    with xr.open_zarr(path, consolidated=False) as store:
        return store.DUEXTTAU.load()


@pytest.fixture(params=["in memory", "on dask"])
def held(request: pytest.FixtureRequest, coarse: xr.DataArray) -> xr.DataArray:
    return coarse if request.param == "in memory" else coarse.chunk(time=2)


def test_55_a_store_that_is_another_s(
    held: xr.DataArray, tiny_model: Downscaler, tmp_path: pathlib.Path
) -> None:
    held.to_dataset(name="mine").to_zarr(tmp_path / "a.zarr", consolidated=False)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        stored(held, tmp_path / "a.zarr", tiny_model)
    with xr.open_zarr(tmp_path / "a.zarr", consolidated=False) as kept:
        same(kept.mine, held)
    assert stored(held, tmp_path / "a.zarr", tiny_model, overwrite=True).name == "DUEXTTAU"


def test_56_interrupted(
    held: xr.DataArray,
    tiny_model: Downscaler,
    reference: Predict,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with interrupted(monkeypatch, after=2), pytest.raises(KeyboardInterrupt):
        stored(held, tmp_path / "a.zarr", tiny_model, chunks={"time": 1})
    assert 0 < verify(tmp_path / "a.zarr").done < 3
    other = held.chunk(time=-1) if held.chunks else held
    same(stored(other, tmp_path / "a.zarr", tiny_model, chunks={"time": 3}), reference(held.compute()))


@pytest.mark.parametrize("change", ["seed", "model", "input"])
def test_57_another_job(
    held: xr.DataArray, tiny_model: Downscaler, tmp_path: pathlib.Path, change: str
) -> None:
    before = stored(held, tmp_path / "a.zarr", tiny_model)
    other = {
        "seed": (held, {"seed": 1}, "its seed is 0, here 1"),
        "model": (held, {"model": tiny_model.with_card(replace(tiny_model.card, residual_scale=0.3))}, "its model is"),
        "input": (held + 1e-3, {}, "other values of the input"),
    }  # fmt: skip
    da, options, said = other[change]
    with pytest.raises(ValueError, match=said):
        stored(da.assign_attrs(held.attrs), tmp_path / "a.zarr", tiny_model, **options)
    same(stored(held, tmp_path / "a.zarr", tiny_model), before)


def test_59_no_room(
    held: xr.DataArray,
    tiny_model: Downscaler,
    reference: Predict,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    said = pytest.raises(OSError, match=r"could not be written \(No space left.*what is done stays")
    with interrupted(monkeypatch, after=1, error=full), said:
        stored(held, tmp_path / "a.zarr", tiny_model, chunks={"time": 1})
    assert verify(tmp_path / "a.zarr").sound
    same(stored(held, tmp_path / "a.zarr", tiny_model), reference(held.compute()))


@contextlib.contextmanager
def interrupted(
    monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException | None = None
) -> Iterator[None]:
    """Whatever is written behind the first records fails."""
    write, done = Place.write, []

    def failing(place: Place, key: str, content: bytes) -> None:
        if "/blocks/" in key:
            done.append(key)
            if len(done) > after:
                raise error or KeyboardInterrupt
        write(place, key, content)

    with monkeypatch.context() as patch, dask.config.set(scheduler="synchronous"):
        patch.setattr(Place, "write", failing)
        yield


def test_the_page_is_this_table() -> None:
    page = (pathlib.Path(__file__).parents[1] / "docs" / "conformance.md").read_text(encoding="utf-8")
    table = "\n".join(f"| {number} | {what} | {verdict} |" for number, what, verdict in ROWS)
    assert table in page, "docs/conformance.md and ROWS differ"


def test_every_row_has_a_test() -> None:
    import re

    assert [row[0] for row in ROWS] == list(range(1, 61))
    named = {
        int(n) for name in globals() if name.startswith("test_") for n in re.findall(r"_(\d\d)(?=_)", name)
    }
    named |= {row[0] for row in (*ACCEPTED, *WARNED, *REFUSED)}
    assert named == {row[0] for row in ROWS}
