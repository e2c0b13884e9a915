"""Messages instead of tracebacks; files that are whole or absent."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import click
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from xdownscale.cli.terminal import Interrupted, beside, check_output, on_terminal, plainly, write_netcdf

if TYPE_CHECKING:
    from pathlib import Path


def run(action: object) -> object:
    @click.command()
    def command() -> None:
        with plainly():
            action()  # type: ignore[operator]

    return CliRunner().invoke(command)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("found 3, expected 4"), "Error: found 3, expected 4\n"),
        (KeyError("no variable named 'X'"), "Error: no variable named 'X'\n"),
        (
            FileNotFoundError(2, "No such file or directory", "in.nc"),
            "Error: in.nc: No such file or directory\n",
        ),
        (FileExistsError("output a.nc exists"), "Error: output a.nc exists\n"),
        (TypeError(), "Error: TypeError\n"),
    ],
)
def test_errors_end_with_two_and_one_line(error: Exception, message: str) -> None:
    def fail() -> None:
        raise error

    result = run(fail)
    assert result.exit_code == 2
    assert result.stderr == message
    assert result.stdout == ""


def test_a_fault_of_the_program_is_not_hidden() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    assert isinstance(run(fail).exception, ZeroDivisionError)


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line() -> None:
    result = run(lambda: warnings.warn("values above the card's range", stacklevel=1))
    assert result.exit_code == 0
    assert result.stderr == "Warning: values above the card's range\n"


def test_no_bar_without_a_terminal() -> None:
    seen: list[bool] = []
    run(lambda: seen.append(on_terminal()))
    assert seen == [False]


def test_output_that_exists(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    check_output(path, overwrite=False)
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="give --overwrite to replace it"):
        check_output(path, overwrite=False)
    check_output(path, overwrite=True)
    with pytest.raises(FileExistsError, match="a folder stands there"):
        check_output(tmp_path, overwrite=True)
    with pytest.raises(FileNotFoundError, match="make it first"):
        check_output(tmp_path / "absent" / "a.nc", overwrite=True)


def test_beside_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a b \u6c99.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), beside(path) as part:  # noqa: PT012
        part.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"
    with beside(path) as part:
        assert part.parent.parent == tmp_path
        part.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_netcdf_round_trip(tmp_path: Path) -> None:
    data = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("lat", "lon"), name="x", attrs={"units": "1"})
    write_netcdf(data, tmp_path / "x.nc")
    with xr.open_dataarray(tmp_path / "x.nc") as again:
        xr.testing.assert_identical(again.load(), data)


def test_netcdf_failure_is_an_error_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("NetCDF: HDF error")

    monkeypatch.setattr(xr.DataArray, "to_netcdf", fail)
    with pytest.raises(OSError, match=r"x\.nc could not be written: NetCDF: HDF error"):
        write_netcdf(xr.DataArray(0.0, name="x"), tmp_path / "x.nc")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_the_last_word_to_the_command() -> None:
    """Asyncio would tell, when the process ends, of writes of zarr's that were under way."""
    log = logging.getLogger("asyncio")
    before = log.level
    try:
        with pytest.raises(Interrupted, match="what is done stays"), plainly("what is done stays"):
            raise KeyboardInterrupt
        assert not log.isEnabledFor(logging.ERROR)
    finally:
        log.setLevel(before)
