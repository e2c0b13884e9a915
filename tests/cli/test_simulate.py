"""`xdownscale nature-run`: a small box, whole and resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner, Result

from xdownscale.cli import main
from xdownscale.data.nature_run import NatureRun, open_coarse, open_fine, to_datasets

if TYPE_CHECKING:
    from pathlib import Path

BOX = (28.0, 32.0, 44.0, 50.0)


def run(store: Path, *more: object) -> Result:
    box = ("--start", "2005-07-01", "--days", 2, "--region", *BOX)
    return CliRunner().invoke(main, ["nature-run", str(store), *map(str, (*box, *more))])


def test_store_equals_the_function(tmp_path: Path) -> None:
    result = run(tmp_path / "a.zarr", "--seed", 4)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"wrote {tmp_path / 'a.zarr'}\n"
    fine, coarse = to_datasets(NatureRun("2005-07-01", days=2, seed=4, region=BOX))
    np.testing.assert_array_equal(open_fine(tmp_path / "a.zarr").DUEXTTAU, fine.DUEXTTAU)
    np.testing.assert_array_equal(open_coarse(tmp_path / "a.zarr").DUEXTTAU, coarse.DUEXTTAU)


def test_another_run_in_the_store_is_refused(tmp_path: Path) -> None:
    assert run(tmp_path / "a.zarr", "--stride", 2, "--coarse-only").exit_code == 0
    again = run(tmp_path / "a.zarr", "--stride", 2, "--coarse-only", "--seed", 9)
    assert again.exit_code == 2
    assert "holds another run" in again.stderr
    assert set(open_fine(tmp_path / "a.zarr").data_vars) == set()


@pytest.mark.parametrize(
    ("more", "message"),
    [(("--region", 50, 40, 0, 1), "expected"), (("--days", 0), "x>=1"), (("--start", "June"), "June")],
)
def test_bad_options(tmp_path: Path, more: tuple[object, ...], message: str) -> None:
    result = run(tmp_path / "a.zarr", *more)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []
