"""Which figures an evaluation has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdownscale.plot.evaluation import figures

if TYPE_CHECKING:
    import xarray as xr


def test_all_that_there_are_numbers_for(evaluated: xr.Dataset, compared: tuple[xr.DataArray, ...]) -> None:
    prediction, truth, coarse = compared
    found = figures(evaluated, prediction=prediction, truth=truth, coarse=coarse, day=1)
    assert list(found) == [
        "One day", "Errors", "Power by wavenumber", "Semivariograms", "Ranks", "Quantiles", "Neighbourhoods",
    ]  # fmt: skip
    assert found["One day"].axes[0].get_title() == "coarse, 2005-06-02"
    assert list(figures(evaluated[["crps"]])) == ["Errors"]
