"""Spectra drawn: lines are the numbers, wavelength is one over wavenumber."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics.evaluation import part
from xdownscale.diagnostics.spectra import spectrum
from xdownscale.plot.spectrum import power_spectrum


def test_lines_are_the_numbers(evaluated: xr.Dataset) -> None:
    found = part(evaluated, "spectrum")
    figure = power_spectrum(found)
    power, ratio = figure.axes[0], figure.axes[2]
    assert power.get_title() == "linear space"
    drawn = {line.get_label(): line.get_ydata() for line in power.lines}
    assert list(drawn) == ["truth", "prediction", "nearest", "bilinear", "bicubic"]
    np.testing.assert_array_equal(drawn["bicubic"], found.power.sel(space="linear", source="bicubic"))
    np.testing.assert_array_equal(drawn["truth"], found.truth_power.sel(space="linear", source="prediction"))
    assert power.get_xscale() == power.get_yscale() == ratio.get_xscale() == "log"
    np.testing.assert_array_equal(
        ratio.lines[1].get_ydata(), found.ratio.sel(space="linear", source="prediction")
    )


def test_wavelength_above_and_units(evaluated: xr.Dataset) -> None:
    figure = power_spectrum(part(evaluated, "spectrum"))
    above = figure.axes[0].child_axes[0]
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_xlim()
    np.testing.assert_allclose(sorted(above.get_xlim()), (1 / high, 1 / low), rtol=1e-9)
    left, right = (above.transData.transform((w, 0))[0] for w in (1 / low, 1 / high))
    assert left < right
    assert above.get_xlabel() == "wavelength [km]"
    assert figure.axes[2].get_xlabel() == "wavenumber [cycles/km]"


def test_resolution_is_marked(compared: tuple[xr.DataArray, ...]) -> None:
    _, truth, _ = compared
    smooth = truth.rolling(lon=5, center=True, min_periods=1).mean()
    found = spectrum(smooth, truth=truth)
    marks = [line for line in power_spectrum(found).axes[1].lines if line.get_linestyle() == ":"]
    assert marks[0].get_xdata()[0] == pytest.approx(1 / float(found.effective_resolution), rel=1e-12)


def test_bands_are_panels_and_one_field_needs_no_truth(compared: tuple[xr.DataArray, ...]) -> None:
    figure = power_spectrum(spectrum(compared[1], bands=[9, 11, 13]))
    assert len(figure.axes) == 2
    assert figure.axes[0].get_title() == "10 degrees north"


def test_other_datasets(compared: tuple[xr.DataArray, ...]) -> None:
    with pytest.raises(ValueError, match="expected `power` by `wavenumber`"):
        power_spectrum(xr.Dataset({"crps": 1.0}))
    with pytest.raises(ValueError, match="power has dimensions \\['time'\\] too"):
        power_spectrum(spectrum(compared[1], pool=()))
