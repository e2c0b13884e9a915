"""The page: whole, alone, escaped, and holding the numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr

from xdownscale import report as room
from xdownscale.report import report

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "br", "img", "link"}
EVIL = '<script>alert("1")</script> & </svg>'


class Page(HTMLParser):
    """Checks that tags close in order; collects tables, texts, attributes and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.attributes: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(k, v or "") for k, v in attrs]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(k, v or "") for k, v in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data if "small" not in self.open else f" ({data})"


def scored(**attrs: str) -> xr.Dataset:
    sources, spaces = ["prediction", EVIL], ["linear", "log"]
    out = xr.Dataset(
        {
            "crps": (
                ("space", "source"),
                [[0.1, 0.2], [0.4, 0.3]],
                {"best": "0.0", "units": "kg", "long_name": EVIL},
            ),
            "crps_interval": (("space", "source", "bound"), np.arange(8.0).reshape(2, 2, 2)),
            "spread_skill": (("space", "source"), [[0.9, np.nan], [0.8, np.nan]], {"best": "1.0"}),
            "conservation_rms": (("source",), [1e-6, 0.25]),
            "pod": (("threshold", "source"), [[0.5, 0.6]], {"best": "1.0"}),
            "base_rate": (("threshold",), [0.125]),
            "seams_roughness": (("axis",), [1.25, np.nan]),
            "seams_roughness_elsewhere": (("axis", "bound"), [[0.5, 2.0], [np.nan, np.nan]]),
            "ratio": (("quantile", "source"), np.ones((1, 2))),
            "other": (("quantile", "source"), np.full((1, 2), 2.0)),
            "curve": (("source", "k"), np.ones((2, 3))),
            "valid": ((), 0.9),
        },
        {
            "source": sources,
            "space": spaces,
            "threshold": [0.25],
            "quantile": [0.5],
            "axis": ["lat", "lon"],
            "bound": ["lower", "upper"],
        },
    )
    return out.assign_attrs(attrs)


def picture(title: str):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 2))
    axis = figure.subplots()
    axis.plot([0, 1], [1, 0], color="#000000")
    axis.imshow(np.eye(4), extent=(0, 1, 0, 1))
    axis.set_title(title)
    return figure


def test_tables_hold_the_numbers(tmp_path: Path) -> None:
    rows = Page(report(scored(), tmp_path / "page.html").read_text()).rows
    assert ["source", "crps", "spread skill"] in rows
    assert ["prediction", "0.1 (0 to 1)", "0.9"] in rows
    assert [EVIL, "0.3 (6 to 7)", "–"] in rows
    assert ["prediction", "1e-06"] in rows
    # the only score by threshold has its sources side by side
    assert ["threshold", "prediction", EVIL, "base rate"] in rows
    assert ["0.25", "0.5", "0.6", "0.125"] in rows
    assert ["axis", "seams roughness"] in rows
    assert ["lat", "1.25 (elsewhere 0.5 to 2)"] in rows
    assert ["quantile", "source", "ratio", "other"] in rows
    assert rows[-2:] == [["0.5", "prediction", "1", "2"], ["0.5", EVIL, "1", "2"]]


def test_the_nearest_to_the_best_is_bold(tmp_path: Path) -> None:
    text = report(scored(), tmp_path / "page.html").read_text()
    assert re.findall(r"<b>([^<]*)</b>", text) == ["0.1", "0.3", "0.6"]


def test_a_label_that_is_repeated_is_faint(tmp_path: Path) -> None:
    text = report(scored(), tmp_path / "page.html").read_text()
    assert re.findall(r'<tr class="more"><td>([^<]*)</td>', text) == ["0.5"]  # of the two rows by quantile


def test_text_is_escaped_everywhere(tmp_path: Path) -> None:
    data = scored(prediction=EVIL, times=EVIL, intervals=EVIL)
    path = report(data, tmp_path / "page.html", figures={EVIL: picture(EVIL)}, title=EVIL)
    text = path.read_text()
    page = Page(text)
    assert "script" not in page.tags
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 8


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    figures = {"one": picture("a"), "two": picture("b")}
    text = report(scored(), tmp_path / "page.html", figures=figures).read_text()
    assert "http" not in text
    assert "//" not in re.sub(r'"data:image/png;base64,[^"]*"', "", text)
    page = Page(text)
    assert page.tags >= {"svg", "table", "style"}
    assert not page.tags & {"script", "link", "iframe", "img"}
    links = [v for k, v in page.attributes if k in ("href", "xlink:href", "src", "srcset", "action")]
    assert links
    assert all(v.startswith(("#", "data:image/png;base64,")) for v in links)
    ids = [v for k, v in page.attributes if k == "id"]
    assert len(ids) == len(set(ids))
    used = {v[1:] for v in links if v.startswith("#")} | set(re.findall(r"url\(#([^)]*)\)", text))
    assert used <= set(ids)


def test_figures_follow_the_pages_colours(tmp_path: Path) -> None:
    text = report(scored(), tmp_path / "page.html", figures={"one": picture("a")}).read_text()
    svg = text[text.index("<svg") : text.index("</svg>")]
    assert "currentColor" in svg
    assert "#000000" not in svg
    assert "fill: #ffffff" not in svg
    assert "prefers-color-scheme: dark" in text


def test_same_content_same_page(tmp_path: Path) -> None:
    one, other = (
        report(scored(), tmp_path / name, figures={"one": picture("a")}).read_bytes() for name in "ab"
    )
    assert one == other


def test_an_existing_page_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists: give another name, or overwrite=True"):
        report(scored(), path)
    assert path.read_text() == "mine"
    assert report(scored(), path, overwrite=True).read_text().startswith("<!doctype html>")
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "page.html"
    path.write_text("before")
    monkeypatch.setattr(room.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        report(scored(), path, overwrite=True)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected `source`, as evaluate gives"):
        report(xr.Dataset({"a": 1.0}), tmp_path / "page.html")
    with pytest.raises(FileNotFoundError, match="does not exist: make it first"):
        report(scored(), tmp_path / "nowhere" / "page.html")
