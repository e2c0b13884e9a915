"""Design section 3: who may import whom, read from the sources."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "xdownscale"
LIGHT = frozenset({"numpy", "scipy"})
TORCH = LIGHT | {"torch"}
HEAVY = frozenset({
    "cartopy", "cf_xarray", "click", "dask", "h5netcdf", "huggingface_hub", "matplotlib", "netCDF4", "numpy",
    "pandas", "pyproj", "rioxarray", "safetensors", "scipy", "skgstat", "torch", "tqdm", "xarray", "zarr",
})  # fmt: skip
FIELDS = TORCH | {"xarray", "pandas"}


@dataclass(frozen=True)
class Room:
    """A row of the table, and the heavy packages allowed at module level."""

    row: int
    heavy: frozenset[str] = frozenset()


TABLE = {
    "_optional": Room(0),
    "hub": Room(1),
    "grid": Room(1, LIGHT),
    "patches": Room(1, LIGHT),
    "scaling": Room(1, LIGHT),
    "noise": Room(1, LIGHT),
    "nn": Room(1, TORCH),
    "diffusion": Room(1, TORCH),
    "cf": Room(2, LIGHT | {"xarray"}),
    "models": Room(2, TORCH),
    "checkpoint": Room(3, TORCH | {"safetensors"}),
    "data": Room(3, FIELDS),
    "diagnostics": Room(3, FIELDS),
    "registry": Room(4, TORCH),
    "training": Room(4, FIELDS | {"safetensors"}),
    "inference": Room(5, FIELDS),
    "calibration": Room(6, FIELDS | {"safetensors"}),
    "trial": Room(6, FIELDS),
    "rollout": Room(6, FIELDS),
    "testing": Room(6, FIELDS),
    "plot": Room(6, LIGHT),
    "report": Room(6, LIGHT),
    "accessor": Room(7, frozenset({"xarray"})),
    "cli": Room(7, frozenset({"click"})),
    "__init__": Room(8),
}
ALONE = {
    "models.card": frozenset(),  # the card is read without torch
    "models.schema": frozenset(),
    "inference.chunked": FIELDS | {"dask"},  # imported for lazy arrays only
}
FORBIDDEN = {"utils", "common", "helpers", "base"}


def modules(package: Path) -> dict[str, Path]:
    """Dotted names below the package; `nn` for nn/__init__.py."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = path
    return found


def room_of(name: str) -> str:
    return name.partition(".")[0]


def violations(name: str, source: str) -> list[str]:
    """What a module's imports break: its row, or the heavy packages of its row."""
    room = TABLE.get(room_of(name))
    if room is None:
        return [f"{name}: missing from the table"]
    if FORBIDDEN & set(name.split(".")):
        return [f"{name}: such a name says nothing"]
    allowed = ALONE.get(name, room.heavy)
    found = []
    for target, at_top in imports(ast.parse(source)):
        top, _, rest = target.partition(".")
        if top == "xdownscale":
            other = room_of(rest) if rest else "__init__"
            if other not in TABLE:
                found.append(f"{name}: imports {other}, missing from the table")
            elif other != room_of(name) and TABLE[other].row >= room.row:
                found.append(f"{name} (row {room.row}): imports {other} (row {TABLE[other].row})")
        elif top in HEAVY and at_top and top not in allowed:
            found.append(f"{name} (row {room.row}): imports {top} at module level")
    return found


def imports(tree: ast.Module) -> list[tuple[str, bool]]:
    """Imported names, and whether they are loaded with the module (not in a function, not for types only)."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, at_top: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            whole = node.module == "xdownscale"
            found.extend(
                (f"{node.module}.{a.name}" if whole else str(node.module), at_top) for a in node.names
            )
        inner = at_top and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            inner = False
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(tree, True)
    return found


MODULES = modules(PACKAGE)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    assert violations(name, MODULES[name].read_text()) == []


def test_table_names_no_absent_room() -> None:
    assert set(TABLE) == {room_of(name) for name in MODULES}


@pytest.mark.parametrize(
    ("name", "source", "word"),
    [
        ("grid", "from xdownscale.patches import Tiling", "imports patches (row 1)"),
        ("grid", "import xarray", "imports xarray at module level"),
        ("grid", "import torch.nn", "imports torch at module level"),
        ("cf", "def f():\n    from xdownscale.models import Card", "imports models (row 2)"),
        ("noise", "from xdownscale import cf", "imports cf (row 2)"),
        ("checkpoint", "import xdownscale.registry", "imports registry (row 4)"),
        ("training.train", "from xdownscale.inference.engine import draw", "imports inference (row 5)"),
        ("inference.engine", "if True:\n    import dask.array", "imports dask at module level"),
        ("plot", "class A:\n    import matplotlib.pyplot", "imports matplotlib at module level"),
        ("models.card", "import torch", "imports torch at module level"),
        ("accessor", "import xdownscale", "imports __init__ (row 8)"),
        ("cli.fields", "from xdownscale.accessor import DownscaleAccessor", "imports accessor (row 7)"),
        ("grid", "from xdownscale.nowhere import x", "missing from the table"),
        ("attic", "import os", "attic: missing from the table"),
        ("data.utils", "import os", "says nothing"),
    ],
)
def test_planted_violation_is_found(name: str, source: str, word: str) -> None:
    (found,) = violations(name, source)
    assert word in found


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("nn.unet", "import torch\nfrom xdownscale.nn.layers import RMSNorm"),
        ("models.downscaler", "import torch\nfrom xdownscale.grid import Grid"),
        ("cf", "def f():\n    import pyproj, rioxarray"),
        ("scaling", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("__init__", "from xdownscale.accessor import DownscaleAccessor"),
    ],
)
def test_allowed_imports_pass(name: str, source: str) -> None:
    assert violations(name, source) == []
