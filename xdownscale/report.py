"""An evaluation as one page of HTML that needs nothing else: figures inline, tables, provenance.

The page has no script and fetches nothing; every text that comes from the data is escaped. Figures are SVG:
their black follows the page's text colour and their white its background, so that they suit light and dark
alike. The page appears under its name whole or not at all.
"""

from __future__ import annotations

import html
import io
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["report"]

_TABLES = (
    ("Scores", ()),
    ("Events", ("threshold",)),
    ("Neighbourhoods", ("threshold", "window")),
    ("Seams", ("axis",)),
    ("Quantiles", ("quantile",)),
)
# of a variable, what is written beneath it
_BENEATH = {"_interval": "", "_elsewhere": "elsewhere "}
# of a spectrum the resolution is a score; these are steps on the way
_LEFT_OUT = ("rows", "variance", "beyond", "truth_variance", "truth_beyond")
_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --back: #ffffff; --soft: #57606a; --line: #d0d7de; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --back: #14181d; --soft: #9aa4ae; --line: #363d46; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back);
  max-width: 84rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
h3 { font-size: 1rem; margin-bottom: .3rem; }
p, figcaption, dt { color: var(--soft); }
figure { margin: 1rem 0; overflow-x: auto; }
svg { max-width: 100%; height: auto; color: var(--text); }
svg text { fill: currentColor; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
td:first-child, th:first-child { position: sticky; left: 0; background: var(--back); }
thead th { font-weight: 600; white-space: normal; vertical-align: bottom; max-width: 9rem; }
tr.more td:first-child { color: var(--soft); opacity: .6; }
small { color: var(--soft); display: block; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.5rem; }
dd { margin: 0; overflow-wrap: anywhere; }
"""


def report(
    dataset: xr.Dataset,
    path: str | os.PathLike[str],
    *,
    figures: Mapping[str, Figure] | None = None,
    title: str = "Evaluation of a downscaled field",
    overwrite: bool = False,
) -> Path:
    """Write an evaluation as one self-contained HTML page.

    Parameters
    ----------
    dataset : Dataset
        From `diagnostics.evaluate` or `diagnostics.scores`.
    path : path-like
        Its folder must exist.
    figures : mapping from title to Figure, optional
        In their order, for example of `plot.evaluation.figures`.
    title : str
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    FileExistsError
        If the path exists and `overwrite` is false.
    FileNotFoundError
        If its folder does not exist.
    ValueError
        If the dataset has no dimension `source`.

    Examples
    --------
    >>> import tempfile, xarray as xr
    >>> scored = xr.Dataset({"mae": ("source", [0.1])}, {"source": ["<mine>"]})
    >>> page = report(scored, Path(tempfile.mkdtemp(), "page.html"))
    >>> "&lt;mine&gt;" in page.read_text()
    True
    """
    target = Path(path)
    if "source" not in dataset.dims:
        raise ValueError(
            f"the dataset has dimensions {list(dataset.dims)}: expected `source`, as evaluate gives"
        )
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists: give another name, or overwrite=True")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"the folder {target.parent} does not exist: make it first")
    body = "\n".join(_body(dataset, figures or {}, title))
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
    _write(target, page)
    return target


def _body(dataset: xr.Dataset, figures: Mapping[str, Figure], title: str) -> Iterator[str]:
    attrs = dataset.attrs
    yield f"<h1>{_text(title)}</h1>"
    told = [str(attrs[key]) for key in ("prediction", "times", "grid") if key in attrs]
    yield f"<p>{_text(' · '.join(told))}</p>"
    yield from _section(dataset, *_TABLES[0])
    if "intervals" in attrs:
        yield f"<p>Beneath a number: {_text(attrs['intervals'])}. Bold: nearest to the best value.</p>"
    for number, (heading, figure) in enumerate(figures.items()):
        yield f"<h2>{_text(heading)}</h2>\n<figure>{_svg(figure, f'f{number}')}</figure>"
    for heading, dims in _TABLES[1:]:
        yield from _section(dataset, heading, dims)
    yield "<h2>What the numbers are</h2>\n<dl>"
    for name in dataset.data_vars:
        if not str(name).endswith(tuple(_BENEATH)):
            of = dataset[name].attrs
            units = f" [{of['units']}]" if of.get("units", "1") != "1" else ""
            yield f"<dt>{_text(_words(name))}</dt><dd>{_text(str(of.get('long_name', '')) + units)}</dd>"
    yield "</dl>\n<h2>Provenance</h2>\n<dl>"
    for key, value in attrs.items():
        yield f"<dt>{_text(_words(key))}</dt><dd>{_text(value)}</dd>"
    yield "</dl>"


def _section(dataset: xr.Dataset, heading: str, dims: tuple[str, ...]) -> Iterator[str]:
    """The tables of variables of some dimensions: of each space, then of what is the same in all."""
    spaces = [] if dims or "space" not in dataset.dims else [str(s) for s in dataset["space"].values]
    tables = []
    for space in (*spaces, None):
        names = [n for n in dataset.data_vars if _belongs(dataset[n], dims, space)]
        if names:
            above = f"<h3>{_text(space)} space</h3>" if space else "<h3>either space</h3>" if spaces else ""
            chosen = dataset if space is None else dataset.sel(space=space)
            tables.append(above + _table(chosen, names, dims))
    if tables:
        yield f"<h2>{heading}</h2>"
        yield from tables


def _belongs(values: xr.DataArray, dims: tuple[str, ...], space: str | None) -> bool:
    name = str(values.name)
    if values.dtype.kind not in "fiu" or name.endswith(tuple(_BENEATH)):
        return False
    if name.removeprefix("spectrum_") in _LEFT_OUT or not (dims or values.dims):
        return False
    wanted = {*dims, "space"} if space is not None else set(dims)
    return set(values.dims) - {"source"} == wanted and bool(np.isfinite(values).any())


def _table(dataset: xr.Dataset, names: list[Hashable], dims: tuple[str, ...]) -> str:
    """A row for each place along the dimensions; sources are columns of the one score there is, else rows."""
    scored = [n for n in names if "source" in dataset[n].dims]
    across = bool(dims) and len(scored) == 1
    keys = [*dims, *([] if across or not scored else ["source"])]
    columns: list[tuple[str, Hashable, dict[str, int]]] = []
    for name in names:
        if across and name in scored:
            columns += [(str(s), name, {"source": j}) for j, s in enumerate(dataset["source"].values)]
        else:
            columns.append((_words(name), name, {}))
    rows, before = [], None
    for place in np.ndindex(*(dataset.sizes[k] for k in keys)):
        at = dict(zip(keys, place, strict=True))
        labels = [_number(dataset[k].values[i]) for k, i in at.items()]
        again = len(labels) > 1 and before is not None and before[0] == labels[0]
        kind = ' class="more"' if again else ""
        shown = [_text(v) for v in labels]
        shown += [_cell(dataset, name, at | more) for _, name, more in columns]
        rows.append(f"<tr{kind}>" + "".join(f"<td>{cell}</td>" for cell in shown) + "</tr>")
        before = labels
    head = "".join(f"<th>{_text(heading)}</th>" for heading in (*keys, *(c[0] for c in columns)))
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{chr(10).join(rows)}</tbody></table></div>"
    )


def _cell(dataset: xr.Dataset, name: Hashable, at: Mapping[str, int]) -> str:
    values = dataset[name]
    place = {k: i for k, i in at.items() if k in values.dims}
    shown = _number(values.isel(place).values)
    if "source" in values.dims and _is_best(values, place):
        shown = f"<b>{shown}</b>"
    for suffix, word in _BENEATH.items():
        if f"{name}{suffix}" in dataset:
            low, high = dataset[f"{name}{suffix}"].isel(place).values
            if np.isfinite(low):
                shown += f"<small>{word}{_number(low, 3)} to {_number(high, 3)}</small>"
    return shown


def _is_best(values: xr.DataArray, place: Mapping[str, int]) -> bool:
    """Whether a source is nearer to the best value than all others, where there are others."""
    if "best" not in values.attrs:
        return False
    row = values.isel({k: i for k, i in place.items() if k != "source"}).values
    off = np.abs(row - float(values.attrs["best"]))
    known = off[np.isfinite(off)]
    return bool(known.size > 1 and off[place["source"]] == known.min() and (known == known.min()).sum() == 1)


def _number(value: Any, digits: int = 4) -> str:
    if isinstance(value, str | np.str_):
        return str(value)
    number = float(value)
    return f"{number:.{digits}g}" if np.isfinite(number) else "–" if np.isnan(number) else str(number)


def _words(name: Hashable) -> str:
    return str(name).replace("_", " ")


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _svg(figure: Figure, prefix: str) -> str:
    """A figure as SVG for a page of either colour, its identifiers made its own."""
    import matplotlib as mpl

    drawn = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure.savefig(drawn, format="svg", facecolor="none", metadata={"Date": None})
    code = drawn.getvalue()
    code = code[code.index("<svg") :]
    code = re.sub(r"<metadata>.*?</metadata>", "", code, flags=re.DOTALL)
    code = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", code)
    code = re.sub(r'\bid="', f'id="{prefix}-', code)
    code = re.sub(r"url\(#", f"url(#{prefix}-", code)
    code = re.sub(r'href="#', f'href="#{prefix}-', code)
    return code.replace("#000000", "currentColor").replace("fill: #ffffff", "fill: var(--back)")


def _write(target: Path, page: str) -> None:
    """Beside its place, then moved there."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(page)
            stream.flush()
            os.fsync(stream.fileno())
        part.chmod(0o644)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
