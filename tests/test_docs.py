"""The documentation is whole: docstrings, reference, links, table of contents. Sphinx is not needed."""

from __future__ import annotations

import inspect
import re
import types
from pathlib import Path
from typing import Any

import pytest

import xdownscale
from xdownscale import diagnostics, plot, testing

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
SECTION = re.compile(
    r"^(?P<name>[A-Z]\w+)\n-{3,}\n(?P<text>.*?)(?=^[A-Z]\w+\n-{3,}\n|\Z)", re.MULTILINE | re.DOTALL
)
FENCE = re.compile(r"^(`{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)")


def public() -> dict[str, Any]:
    """Every public name and what it stands for: modules' `__all__`, and the accessor's methods."""
    found = {}
    for module in (xdownscale, diagnostics, plot, testing):
        found |= {f"{module.__name__}.{name}": getattr(module, name) for name in module.__all__}
    accessor = xdownscale.DownscaleAccessor
    for name in dir(accessor):
        if not name.startswith("_"):
            found[f"xdownscale.DownscaleAccessor.{name}"] = getattr(accessor, name)
    return found


PUBLIC = public()
CALLABLE = {
    name: value
    for name, value in PUBLIC.items()
    if callable(value) and not (inspect.isclass(value) and issubclass(value, BaseException))
}
FUNCTIONS = {name: value for name, value in CALLABLE.items() if inspect.isroutine(value)}


def sections(of: Any) -> dict[str, str]:
    """Sections of a numpydoc docstring by their names."""
    return {m["name"]: m["text"] for m in SECTION.finditer(inspect.getdoc(of) or "")}


def named(section: str) -> set[str]:
    """Names that a section of parameters or attributes describes."""
    heads = [line for line in section.splitlines() if line.strip() and not line.startswith(" ")]
    return {name.strip().lstrip("*") for head in heads for name in head.split(" : ")[0].split(",")}


def parameters(of: Any) -> set[str]:
    return set(inspect.signature(of).parameters) - {"self"}


def raises(function: Any) -> bool:
    """Whether the function itself raises, by its source."""
    return re.search(r"^\s*raise \w", inspect.getsource(function), re.MULTILINE) is not None


def prose(page: Path) -> str:
    """A page's text without its code."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", page.read_text(encoding="utf-8")))


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {slug(heading) for heading in re.findall(r"^#{1,3} (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("name", [n for n, v in PUBLIC.items() if not isinstance(v, xdownscale.Grid)])
def test_a_public_name_has_a_summary(name: str) -> None:
    first = (inspect.getdoc(PUBLIC[name]) or "").split("\n\n")[0].strip()
    assert len(first) > 10, f"{name}: no summary"
    assert first.endswith((".", "!", "?")), f"{name}: the summary is no sentence: {first!r}"


@pytest.mark.parametrize("name", CALLABLE)
def test_every_parameter_is_described(name: str) -> None:
    found = sections(CALLABLE[name])
    described = named(found.get("Parameters", "")) | named(found.get("Attributes", ""))
    assert parameters(CALLABLE[name]) <= described


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_parameter_is_described_that_is_not_there(name: str) -> None:
    assert named(sections(FUNCTIONS[name]).get("Parameters", "")) <= parameters(FUNCTIONS[name])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_returned_is_described(name: str) -> None:
    returns = inspect.signature(FUNCTIONS[name]).return_annotation
    assert returns in ("None", None) or "Returns" in sections(FUNCTIONS[name])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_raised_is_described(name: str) -> None:
    assert not raises(FUNCTIONS[name]) or "Raises" in sections(FUNCTIONS[name])


@pytest.mark.parametrize("name", sorted(CALLABLE))
def test_there_is_an_example(name: str) -> None:
    assert ">>> " in sections(CALLABLE[name]).get("Examples", "")


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_in_the_reference(name: str) -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    owner, _, last = name.rpartition(".")
    if isinstance(PUBLIC[name], types.ModuleType):
        assert f"`{name}`" in page
    elif owner == "xdownscale.DownscaleAccessor":
        entry = re.search(rf"autoclass:: {re.escape(owner)}\n((?: .*\n)+)", page)
        assert entry is not None
        assert ":members:" in entry[1]
        assert last in vars(xdownscale.DownscaleAccessor) or ":inherited-members:" in entry[1]
    else:
        directive = rf"^\.\. (?:auto\w+|py:data):: {re.escape(name)}$"
        assert re.search(directive, page, re.MULTILINE) or f"`{name}` is `" in page


def test_the_reference_has_nothing_that_is_not_there() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    for name in re.findall(r"^\.\. auto\w+:: (\S+)$", page, re.MULTILINE):
        value: Any = xdownscale
        for part in name.split(".")[1:]:
            value = getattr(value, part)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for found in LINK.finditer(prose(page)):
        target = found["target"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), f"{page.name}: {target} is not there"
        assert to.is_relative_to(ROOT), f"{page.name}: {target} lies outside of the repository"
        if anchor:
            assert anchor in anchors(to), f"{page.name}: {to.name} has no heading {anchor!r}"


def test_every_page_is_in_one_table_of_contents() -> None:
    entries = [
        entry
        for page in PAGES
        for tree in re.findall(
            r"^```\{toctree\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        for entry in tree.splitlines()
        if entry and not entry.startswith(":")
    ]
    assert sorted([*entries, "index"]) == [page.stem for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_one_title_and_its_cells_will_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if "{include}" not in text:
        assert len(re.findall(r"^# ", FENCE.sub("", text), re.MULTILINE)) == 1
    assert ("```{code-cell}" in text) == text.startswith("---\nfile_format: mystnb\n")


@pytest.mark.parametrize(
    "page", [p for p in PAGES if "```{code-cell}" in p.read_text()], ids=lambda page: page.name
)
def test_cells_are_python(page: Path) -> None:
    for cell in re.findall(
        r"^```\{code-cell\} ipython3\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
    ):
        lines = [line for line in cell.splitlines() if not line.startswith((":", "%"))]
        compile("\n".join(lines), page.name, "exec")


def test_every_command_has_its_help_on_the_page() -> None:
    from xdownscale.cli import main

    page = (DOCS / "command_line.md").read_text(encoding="utf-8")
    for name in main.commands:
        assert f"\n## {name}\n" in page
        assert f'xdownscale("{name} --help")' in page
