"""`xdownscale doctor`: sound here, and not where something is broken."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from xdownscale.cli import main

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture
def module() -> ModuleType:
    import sys

    import xdownscale.cli.doctor  # noqa: F401 - the package's attribute of that name is the command

    return sys.modules["xdownscale.cli.doctor"]


def findings(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    result = CliRunner().invoke(main, ["doctor", "--json", *arguments])
    return result.exit_code, {f["name"]: f for f in json.loads(result.stdout)}


def test_this_installation() -> None:
    code, found = findings()
    assert code == 0, found
    assert {"xarray", "torch", "jja_asia", "son_asia", "processors"} <= set(found)
    assert found["jja_asia"]["found"].startswith("49 x 81 cells in ")
    assert found["huggingface-hub"]["state"] in ("ok", "absent")


def test_what_is_wrong(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "zarr":
            raise PackageNotFoundError(name)
        return {"xarray": "0.1", "dask": "2025.1"}.get(name, "99")

    class Other:
        version = "0.3"

    monkeypatch.setattr(module, "version", version)
    monkeypatch.setattr(module, "distribution", lambda _: Other)
    monkeypatch.setattr(module, "_models", lambda: iter(()))
    code, found = findings()
    assert code == 1
    wrong = {name for name, f in found.items() if f["state"] == "wrong"}
    assert wrong == {"xarray", "zarr", "import name"}
    assert "0.1: expected >=" in found["xarray"]["found"]
    assert "another project: uninstall it" in found["import name"]["found"]


def test_a_model_that_cannot_draw(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr("xdownscale.testing.checks.predict", broken)
    monkeypatch.setattr(module, "_packages", lambda: iter(()))
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "jja_asia            wrong   RuntimeError: out of order" in result.stdout
    assert "to mend: djf_asia, jja_asia" in result.stderr
