"""What lies under a map: with cartopy and without, with coastlines at hand and without, never a download."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from xdownscale.plot import overview
from xdownscale.plot.geography import axes, coastlines, degrees, dress, is_geographic, shift

if TYPE_CHECKING:
    from pathlib import Path

HERE = (40.0, 50.0, 25.0, 35.0)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without cartopy."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "cartopy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cartopy", None)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Cartopy's places for data, empty; a download is an error."""
    cartopy = pytest.importorskip("cartopy")
    monkeypatch.setitem(cartopy.config, "data_dir", tmp_path)
    monkeypatch.setitem(cartopy.config, "pre_existing_data_dir", tmp_path / "none")

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a map asked for the network")

    monkeypatch.setattr("cartopy.io.Downloader._urlopen", refused)
    return tmp_path


def coast(folder: Path, resolution: str, lon: float) -> Path:
    """A coastline along a meridian, as Natural Earth's file."""
    shapefile = pytest.importorskip("shapefile")
    place = folder / "shapefiles" / "natural_earth" / "physical"
    place.mkdir(parents=True, exist_ok=True)
    with shapefile.Writer(str(place / f"ne_{resolution}_coastline"), shapeType=shapefile.POLYLINE) as file:
        file.field("name", "C")
        file.line([[[lon, 20.0], [lon, 40.0]]])
        file.record("coast")
    return place / f"ne_{resolution}_coastline.shp"


def field(lon: float = 45.0) -> tuple[xr.DataArray, xr.DataArray]:
    cells = {"lat": np.linspace(28, 32, 9), "lon": lon + np.linspace(-3, 3, 13)}
    values = np.random.default_rng(0).lognormal(-2, 1, (9, 13))
    coarse = xr.DataArray(values, cells, ("lat", "lon"), name="AOD", attrs={"units": "1"})
    return coarse, coarse.expand_dims(realization=[0])


def drawn(figure: Figure) -> Any:
    """The pixels of a figure."""
    picture = io.BytesIO()
    figure.savefig(picture, format="raw", dpi=50)
    return np.frombuffer(picture.getvalue(), np.uint8)


def test_no_file_no_coastline_no_download(data: Path) -> None:
    assert coastlines(HERE) == []
    assert drawn(overview(*field())).size > 0
    assert list(data.iterdir()) == []


@pytest.mark.parametrize(("extent", "found"), [(HERE, 46.0), ((0.0, 60.0, 0.0, 60.0), 44.0)])
def test_file_that_is_there_is_read(data: Path, extent: Any, found: float) -> None:
    """A small map takes the fine coastline, a large one the coarser."""
    coast(data, "10m", 46.0)
    coast(data, "50m", 44.0)
    (line,) = coastlines(extent)
    assert line.bounds == (found, 20.0, found, 40.0)


def test_only_one_file_is_enough_and_is_drawn(data: Path) -> None:
    before = drawn(overview(*field()))
    coast(data, "110m", 45.0)
    after = drawn(overview(*field()))
    assert (before != after).sum() > 100


def test_damaged_file_is_passed_over(data: Path) -> None:
    coast(data, "10m", 46.0).write_bytes(b"no shapes in here")
    assert coastlines(HERE) == []
    coast(data, "110m", 44.0)
    assert coastlines(HERE)[0].bounds[0] == 44.0
    assert drawn(overview(*field())).size > 0


def test_cartopys_axes_are_labelled_on_the_outside(data: Path) -> None:
    figure = Figure(layout="constrained")
    below = axes(figure, 2, 2, HERE, geographic=True)
    for axis in below:
        dress(axis, HERE, geographic=True)
    drawn(figure)
    texts = [
        {text.get_text() for text in lines.label_artists if text.get_visible()}
        for lines in (next(a for a in axis.artists if hasattr(a, "label_artists")) for axis in below)
    ]
    assert [any("E" in t for t in found) for found in texts] == [False, False, True, True]
    assert [any("N" in t for t in found) for found in texts] == [True, False, True, False]
    assert below[3].get_xlim() == pytest.approx((40, 50))


def test_dateline_is_inside_the_map(data: Path) -> None:
    (axis,) = axes(Figure(), 1, 1, (175.0, 187.0, 0.0, 10.0), geographic=True)
    dress(axis, (175.0, 187.0, 0.0, 10.0), geographic=True)
    assert shift(axis) == 181.0
    assert axis.get_xlim() == pytest.approx((-6.0, 6.0))
    assert drawn(overview(*field(lon=180.0))).size > 0


def test_without_cartopy_degrees_are_on_plain_axes(absent: None) -> None:
    assert coastlines(HERE) == []
    figure = overview(*field())
    drawn(figure)
    axis = figure.axes[0]
    assert not hasattr(axis, "projection")
    assert "45°E" in [label.get_text() for label in axis.get_xticklabels()]
    assert "30°N" in [label.get_text() for label in axis.get_yticklabels()]


def test_both_show_the_same_image(request: pytest.FixtureRequest, data: Path) -> None:
    with_cartopy = overview(*field()).axes[0]
    assert hasattr(with_cartopy, "projection")
    request.getfixturevalue("absent")
    plain = overview(*field()).axes[0]
    np.testing.assert_array_equal(with_cartopy.images[0].get_array(), plain.images[0].get_array())
    assert with_cartopy.images[0].get_extent() == plain.images[0].get_extent()
    assert (with_cartopy.get_xlim(), with_cartopy.get_ylim()) == (plain.get_xlim(), plain.get_ylim())
    assert with_cartopy.get_aspect() == plain.get_aspect()


def test_metres_have_plain_axes_and_their_names(data: Path) -> None:
    coarse, fine = (da.rename(lat="y", lon="x").assign_coords(y=da.lat.values * 1e4) for da in field())
    axis = overview(coarse, fine).axes[0]
    assert not hasattr(axis, "projection")
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("x", "y")


@pytest.mark.parametrize("attrs", [{"standard_name": "grid_latitude"}, {"units": "km"}])
def test_small_numbers_that_are_no_degrees(attrs: dict[str, str]) -> None:
    coarse = field()[0]
    assert is_geographic(coarse)
    coarse["lat"].attrs.update(attrs)
    assert not is_geographic(coarse)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0°"), (359.5, "0.5°W"), (-180.0, "180°"), (540.0, "180°"), (181.25, "178.75°W")],
)
def test_degrees(value: float, text: str) -> None:
    assert degrees(value, "E", "W") == text
