"""Coarse twins: exact means over whole blocks and on grids whose edges cut cells."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdownscale import MERRA2, coarsen

RNG = np.random.default_rng(0)


def sphere(lat: np.ndarray, lon: np.ndarray, days: int = 2) -> xr.DataArray:
    return xr.DataArray(
        RNG.random((days, lat.size, lon.size)),
        {"time": np.arange(days), "lat": lat, "lon": lon},
        ("time", "lat", "lon"),
        name="AOD",
        attrs={"units": "1"},
    )


FINE = sphere(20.03125 + 0.0625 * np.arange(24), -128 + 0.03125 + 0.0625 * np.arange(25))


def test_blocks_are_area_weighted_means() -> None:
    out = coarsen(FINE, (8, 10))
    assert out.shape == (2, 3, 2), "half a block is no block"
    np.testing.assert_allclose(out.lat, [20.25, 20.75, 21.25])
    np.testing.assert_allclose(out.lon, [-127.6875, -127.0625])
    edges = np.deg2rad(20.5 + 0.0625 * np.arange(9))
    weights = np.diff(np.sin(edges))
    expected = np.average(FINE.values[1, 8:16, 10:20].mean(axis=1), weights=weights)
    assert float(out[1, 1, 1]) == pytest.approx(expected, rel=1e-12)
    assert (out.name, out.attrs) == ("AOD", {"units": "1"})


def test_on_merra2_the_edges_cut_fine_cells() -> None:
    """A constant stays one; a coarse cell over whole and half fine cells is the exact mean."""
    lat, lon = 29.75 + 0.0625 * np.arange(9), 59.6875 + 0.0625 * np.arange(11)
    field = sphere(lat, lon, 1)
    out = coarsen(field, MERRA2)
    assert (float(out.lat[0]), float(out.lon[0]), out.shape) == (30.0, 60.0, (1, 1, 1))
    edges = np.clip(np.append(lat - 0.03125, lat[-1] + 0.03125), 29.75, 30.25)
    rows = np.diff(np.sin(np.deg2rad(edges)))
    columns = np.array([0.5, *np.ones(9), 0.5])
    expected = (field.values[0] * np.outer(rows, columns)).sum() / np.outer(rows, columns).sum()
    assert float(out[0, 0, 0]) == pytest.approx(expected, rel=1e-12)


def test_gaps_below_the_share_are_missing() -> None:
    holed = FINE.copy()
    holed[0, :8, :6] = np.nan  # 60 % of the first block
    assert np.isnan(coarsen(holed, (8, 10))[0, 0, 0])
    known = holed.values[0, :8, 6:10]
    weights = np.diff(np.sin(np.deg2rad(20 + 0.0625 * np.arange(9))))
    expected = np.average(known.mean(axis=1), weights=weights)
    assert float(coarsen(holed, (8, 10), min_valid=0.3)[0, 0, 0]) == pytest.approx(expected, rel=1e-12)


def test_order_of_dimensions_and_falling_latitude() -> None:
    turned = FINE.isel(lat=slice(None, None, -1)).transpose("lon", "time", "lat")
    out = coarsen(turned, (8, 10))
    assert out.dims == ("lon", "time", "lat")
    np.testing.assert_allclose(out.transpose("time", "lat", "lon"), coarsen(FINE, (8, 10)), rtol=1e-12)


def test_lazy_stays_lazy_and_is_the_same() -> None:
    out = coarsen(FINE.chunk(time=1, lat=5), (8, 10))
    assert out.chunks is not None
    np.testing.assert_array_equal(out.compute(), coarsen(FINE, (8, 10)))


def test_a_circle_stays_one() -> None:
    circle = sphere(np.array([0.0, 1.0]), np.arange(0.0, 360.0, 1.0), 1)
    out = coarsen(circle, (2, 10))
    assert out.sizes["lon"] == 36
    np.testing.assert_allclose(out.lon[:2], [4.5, 14.5])


def test_refused() -> None:
    with pytest.raises(ValueError, match="blocks of 30 cells on 24: expected 1 to 24"):
        coarsen(FINE, (30, 10))
    with pytest.raises(ValueError, match="min_valid is 2: expected a share"):
        coarsen(FINE, (8, 10), min_valid=2)
    plane = FINE.rename(lat="y", lon="x")
    with pytest.raises(ValueError, match="axis is a plane, the grid's a latitude"):
        coarsen(plane, MERRA2)
