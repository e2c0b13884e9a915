"""`import xdownscale` is light, and every public name is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import xdownscale

HEAVY = (
    "torch", "dask", "skgstat", "matplotlib", "scipy", "sklearn", "netCDF4", "zarr", "pyproj", "rioxarray",
    "cf_xarray", "safetensors", "tqdm", "click",
)  # fmt: skip


def loaded_by(statement: str, names: tuple[str, ...] = HEAVY) -> set[str]:
    """Top-level packages among `names` that a fresh interpreter holds after the statement."""
    code = f"import sys\n{statement}\nprint(*{{n.partition('.')[0] for n in sys.modules}} & {set(names)!r})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_import_loads_nothing_that_xarray_does_not() -> None:
    assert loaded_by("import xdownscale") == loaded_by("import xarray")


def test_import_loads_nothing_heavy() -> None:
    heavy = ("torch", "dask", "skgstat", "matplotlib", "scipy")
    assert loaded_by("import xdownscale", heavy) == set()


def test_the_card_is_read_without_torch() -> None:
    assert loaded_by("import xdownscale; xdownscale.Card", ("torch", "xarray")) == {"xarray"}


def test_grids_and_cards_do_not_load_labels_tools() -> None:
    assert "matplotlib" not in loaded_by("import xdownscale; xdownscale.MERRA2, xdownscale.Tiling")


@pytest.mark.parametrize("name", xdownscale.__all__)
def test_public_name_is_there(name: str) -> None:
    value = getattr(xdownscale, name)
    assert value is not None
    assert name in dir(xdownscale)
    assert getattr(xdownscale, name) is value


def test_public_names_are_sorted_out() -> None:
    lazy = set(xdownscale._HOME) | set(xdownscale._MODULES) | {"DownscaleAccessor"}
    assert set(xdownscale.__all__) == lazy


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        _ = xdownscale.frobnicate


def test_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from xdownscale import *", names)
    assert set(xdownscale.__all__) <= set(names)


def test_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert xdownscale.__version__ == version("xarray-downscale")


ALONE = """
import sys

asked = []

def watch(event, arguments):
    if event.startswith(("socket.", "http.client.", "urllib.")):
        asked.append((event, arguments))

sys.addaudithook(watch)
import warnings
warnings.simplefilter("ignore")
import xdownscale
names = list(xdownscale.list_models())
coarse = xdownscale.open_sample().DUEXTTAU[:1, 20:24, 20:24]
sampler = xdownscale.Sampler("euler", 1)
fine = xdownscale.predict(coarse, names[0], sampler=sampler, domain_check="ignore", device="cpu")
print(fine.shape[-2:], *names)
assert not asked, asked
"""


def test_nothing_asks_the_network() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == ["(33,", "41)"]
    assert "jja_asia" in done.stdout
