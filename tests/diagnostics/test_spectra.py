"""Labelled spectra: closed forms, Parseval, metrics on the sphere, gaps, and the ratio to a truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from xdownscale.diagnostics.spectra import spectrum

RNG = np.random.default_rng(0)
KM_PER_DEGREE = np.deg2rad(1.0) * 6371.0


def sphere(values: np.ndarray, lat: Any, step: float = 0.5, lead: tuple[str, ...] = ()) -> xr.DataArray:
    coordinates = {"lat": np.asarray(lat, dtype=float), "lon": step * np.arange(values.shape[-1])}
    coordinates |= {name: np.arange(values.shape[i]) for i, name in enumerate(lead)}
    return xr.DataArray(values, coordinates, (*lead, "lat", "lon"))


def plane(values: np.ndarray, dy: float = 1e3, dx: float = 1e3, lead: tuple[str, ...] = ()) -> xr.DataArray:
    ny, nx = values.shape[-2:]
    coordinates = {"y": dy * np.arange(ny), "x": dx * np.arange(nx)}
    coordinates |= {name: np.arange(values.shape[i]) for i, name in enumerate(lead)}
    out = xr.DataArray(values, coordinates, (*lead, "y", "x"))
    for name, word in (("y", "projection_y_coordinate"), ("x", "projection_x_coordinate")):
        out[name].attrs.update(units="m", standard_name=word)
    return out


class TestZonal:
    @pytest.mark.parametrize("lat", [0.0, 45.0, 60.0])
    def test_a_sine_lies_at_its_wavelength_on_that_latitude(self, lat: float) -> None:
        n, waves = 96, 12
        row = 3 * np.cos(2 * np.pi * waves * np.arange(n) / n + 0.4)
        found = spectrum(sphere(np.tile(row, (1, 1)), [lat]), detrend=None, taper=None)
        length = n * 0.5 * KM_PER_DEGREE * np.cos(np.deg2rad(lat))
        peak = int(found.power.argmax("wavenumber"))
        assert float(found.wavelength[peak]) == pytest.approx(length / waves, rel=1e-12)
        assert float(found.power[peak]) * found.attrs["bin_width"] == pytest.approx(4.5, rel=1e-12)
        assert float(found.variance) == pytest.approx(4.5, rel=1e-12)

    @pytest.mark.parametrize("n", [64, 63, 9])
    @pytest.mark.parametrize("detrend", ["linear", "mean", None])
    @pytest.mark.parametrize("taper", ["hann", None])
    def test_parseval(self, n: int, detrend: Any, taper: Any) -> None:
        """Density times width, and what lies beyond, is the variance of the rows as transformed."""
        lat = 20 + 0.5 * np.arange(40)
        values = RNG.normal(size=(2, 3, 40, n)) + 5
        da = sphere(values, lat, lead=("time", "realization"))
        found = spectrum(da, detrend=detrend, taper=taper, bands=[20, 28, 40])
        rows = values
        if detrend == "mean":
            rows = rows - rows.mean(axis=-1, keepdims=True)
        elif detrend == "linear":
            t = np.arange(n)
            fit = np.polyfit(t, rows.reshape(-1, n).T, 1)
            rows = rows - (fit[0][:, None] * t + fit[1][:, None]).reshape(rows.shape)
        if taper == "hann":
            window = np.hanning(n + 1)[:-1]
            rows = rows * window / np.sqrt((window**2).mean())
        area = np.cos(np.deg2rad(lat))
        for band, inside in enumerate((lat < 28, lat >= 28)):
            of_rows = rows.var(axis=-1).mean(axis=(0, 1))
            expected = np.average(of_rows[inside], weights=area[inside])
            sums = float(found.power[band].sum() * found.attrs["bin_width"] + found.beyond[band])
            assert sums == pytest.approx(expected, rel=1e-12)
            assert float(found.variance[band]) == pytest.approx(expected, rel=1e-12)

    def test_white_noise_is_flat_and_fills_the_resolved_share(self) -> None:
        values = RNG.normal(size=(30, 60, 128))
        found = spectrum(sphere(values, 0.5 * np.arange(60), lead=("time",)), detrend="mean")
        inner = found.power[3:-3]
        np.testing.assert_allclose(inner / inner.mean(), 1.0, atol=0.08)
        assert float(found.variance) == pytest.approx(1.0, rel=0.02)

    def test_bands_have_their_own_nyquist(self) -> None:
        values = RNG.normal(size=(120, 64))
        found = spectrum(sphere(values, 0.5 * np.arange(120)), bands=[0, 30, 60])
        last = [float(found.wavenumber[np.isfinite(found.power[b]).values][-1]) for b in (0, 1)]
        nyquist = [1 / (2 * 0.5 * KM_PER_DEGREE * np.cos(np.deg2rad(lat))) for lat in (0.0, 30.0)]
        for found_last, limit in zip(last, nyquist, strict=True):
            assert limit - found.attrs["bin_width"] < found_last <= limit * (1 + 1e-9)
        np.testing.assert_allclose(found.band_bounds, [[0, 30], [30, 60]])

    def test_a_wave_of_one_length_at_two_latitudes_falls_into_one_bin(self) -> None:
        """Twice as many waves round the equator as at 60 degrees have the same wavelength."""
        n = 120
        waves = np.stack([np.cos(2 * np.pi * k * np.arange(n) / n) for k in (20, 10)])
        da = xr.DataArray(waves, {"lat": [0.0, 60.0], "lon": 3.0 * np.arange(n)}, ("lat", "lon"))
        found = spectrum(da, bands=[-30, 30, 80])
        peaks = found.power.argmax("wavenumber").values
        assert peaks[0] == peaks[1]
        assert found.attrs["detrend"] == found.attrs["taper"] == "none"  # a whole circle

    def test_poles_are_left_out(self) -> None:
        values = RNG.normal(size=(37, 72))
        values[[0, 1, -2, -1]] = 1e6 * RNG.normal(size=(4, 72))
        found = spectrum(sphere(values, np.linspace(-90, 90, 37), step=5.0))
        assert float(found.variance) == pytest.approx(1.0, rel=0.1)
        with pytest.raises(ValueError, match="too near to a pole"):
            spectrum(sphere(RNG.normal(size=(3, 16)), [85.0, 86.0, 87.0]))


class TestMeridional:
    def test_a_sine_along_meridians(self) -> None:
        n, waves = 80, 8
        column = np.cos(2 * np.pi * waves * np.arange(n) / n)
        da = sphere(np.tile(column[:, None], (1, 6)), 0.25 * np.arange(n), step=0.25)
        found = spectrum(da, direction="meridional", detrend=None, taper=None)
        peak = int(found.power.argmax("wavenumber"))
        assert float(found.wavelength[peak]) == pytest.approx(n * 0.25 * KM_PER_DEGREE / waves, rel=1e-12)
        assert float(found.power[peak]) * found.attrs["bin_width"] == pytest.approx(0.5, rel=1e-12)


class TestPlane:
    def test_a_plane_wave_lies_at_the_length_of_its_wavenumber(self) -> None:
        y, x = np.mgrid[:64, :64]
        wave = 2 * np.cos(2 * np.pi * (6 * x + 8 * y) / 64)
        found = spectrum(plane(wave), detrend=None, taper=None)
        peak = int(found.power.argmax("wavenumber"))
        assert float(found.wavelength[peak]) == pytest.approx(6.4, rel=1e-12)
        assert float(found.power[peak]) * found.attrs["bin_width"] == pytest.approx(2.0, rel=1e-12)
        assert found.wavenumber.attrs["units"] == "km-1"

    @pytest.mark.parametrize(("shape", "steps"), [((40, 64), (1e3, 1e3)), ((33, 20), (1e3, 2e3))])
    def test_parseval_and_the_smaller_nyquist(
        self, shape: tuple[int, int], steps: tuple[float, float]
    ) -> None:
        values = RNG.normal(size=(3, *shape)) + 2
        found = spectrum(plane(values, *steps, lead=("time",)), detrend="mean", taper=None)
        expected = values.var(axis=(1, 2)).mean()
        assert float(found.variance) == pytest.approx(expected, rel=1e-12)
        total = float(found.power.sum() * found.attrs["bin_width"] + found.beyond)
        assert total == pytest.approx(expected, rel=1e-12)
        assert float(found.beyond) > 0.1  # the corners of the square of wavenumbers
        assert float(found.wavenumber[-1]) <= 0.5e3 / max(steps) * (1 + 1e-9)

    def test_a_slope_leaves_nothing(self) -> None:
        y, x = np.mgrid[:20, :30]
        found = spectrum(plane(3.0 + 0.5 * x - 0.25 * y))
        assert float(found.variance) < 1e-25

    def test_a_red_field_has_its_slope(self) -> None:
        """Modes of amplitude k^-2 have E(k) ~ 2 pi k k^-4 = k^-3."""
        n = 128
        k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n))
        k[0, 0] = np.inf
        noise = np.fft.fft2(RNG.normal(size=(20, n, n)))
        field = np.fft.ifft2(noise * k**-2.0).real
        found = spectrum(plane(field, lead=("time",)), detrend=None, taper=None)
        part = slice(8, 40)
        slope = np.polyfit(np.log(found.wavenumber[part]), np.log(found.power[part]), 1)[0]
        assert slope == pytest.approx(-3.0, abs=0.05)

    def test_a_field_with_a_gap_is_left_out(self) -> None:
        values = RNG.normal(size=(4, 16, 16))
        values[1, 3, 3] = np.nan
        found = spectrum(plane(values, lead=("time",)))
        xr.testing.assert_allclose(
            found.drop_vars("rows"), spectrum(plane(values[[0, 2, 3]], lead=("time",))).drop_vars("rows")
        )
        assert float(found.rows) == 0.75


class TestPooling:
    def test_spectra_are_pooled_not_fields(self) -> None:
        values = RNG.normal(size=(4, 5, 10, 64))
        da = sphere(values, 10 + 0.5 * np.arange(10), lead=("realization", "time"))
        pooled = spectrum(da)
        apart = spectrum(da, pool=())
        assert apart.power.dims == ("realization", "time", "wavenumber")
        np.testing.assert_allclose(apart.power.mean(("realization", "time")), pooled.power, rtol=1e-12)
        of_mean = spectrum(da.mean("realization"))
        assert float(of_mean.variance / pooled.variance) == pytest.approx(0.25, rel=0.05)

    def test_rows_with_gaps_are_left_out_in_both(self) -> None:
        values = RNG.normal(size=(10, 64))
        lat = 10 + 0.5 * np.arange(10)
        ours, seen = values.copy(), RNG.normal(size=(10, 64))
        ours[2, 5], seen[7, :3] = np.nan, np.nan
        kept = np.setdiff1d(np.arange(10), [2, 7])
        found = spectrum(sphere(ours, lat), truth=sphere(seen, lat))
        area = np.cos(np.deg2rad(lat))
        assert float(found.rows) == pytest.approx(area[kept].sum() / area.sum(), rel=1e-9)
        alone = spectrum(sphere(np.where(np.isin(np.arange(10), kept)[:, None], ours, np.nan), lat))
        np.testing.assert_allclose(found.power, alone.power, rtol=1e-12)

    def test_nothing_whole_is_nan(self) -> None:
        found = spectrum(sphere(np.full((5, 16), np.nan), 0.5 * np.arange(5)))
        assert np.isnan(found.power).all()
        assert float(found.rows) == 0.0

    def test_lazy_blocks_add_and_nothing_is_computed(self) -> None:
        import dask.array as da

        def explode(block: np.ndarray) -> np.ndarray:
            raise AssertionError("computed while building")

        values = RNG.normal(size=(2, 6, 12, 32))
        eager = sphere(values, 10 + 0.5 * np.arange(12), lead=("realization", "time"))
        lazy = eager.chunk(time=2, realization=1, lat=5)
        truth = eager.isel(realization=0, drop=True) * 1.1
        found = spectrum(lazy, truth=truth.chunk(time=3), bands=2)
        assert found.power.chunks is not None
        xr.testing.assert_allclose(found.compute(), spectrum(eager, truth=truth, bands=2), rtol=1e-12)
        never = da.from_array(values, chunks=(1, 1, -1, -1)).map_blocks(explode, meta=np.zeros((0,) * 4))
        spectrum(eager.copy(data=never))


class TestTruth:
    def test_ratio_of_a_scaled_field(self) -> None:
        seen = sphere(RNG.normal(size=(10, 64)), 10 + 0.5 * np.arange(10))
        found = spectrum(1.2 * seen + 7, truth=seen)
        np.testing.assert_allclose(found.ratio, 1.44, rtol=1e-10)
        assert float(found.effective_resolution) == pytest.approx(float(found.wavelength[-1]), rel=1e-12)

    def test_effective_resolution_is_where_half_the_power_is_gone(self) -> None:
        """A filter of exp(-k/k0) leaves half of the power at k0 ln(2) / 2."""
        n, step = 256, 0.5
        rows = RNG.normal(size=(8, n))
        k = np.fft.rfftfreq(n, step * KM_PER_DEGREE)
        k0 = 0.002
        smooth = np.fft.irfft(np.fft.rfft(rows) * np.exp(-k / k0), n)
        lat = np.zeros(1)
        found = [
            spectrum(sphere(s[None], lat), truth=sphere(r[None], lat), detrend=None, taper=None)
            for s, r in zip(smooth, rows, strict=True)
        ]
        for one in found:
            assert 1 / float(one.effective_resolution) == pytest.approx(k0 * np.log(2) / 2, rel=2e-2)

    def test_too_much_power_is_no_resolution_either(self) -> None:
        seen = sphere(RNG.normal(size=(10, 64)), 10 + 0.5 * np.arange(10))
        assert float(spectrum(2 * seen, truth=seen).effective_resolution) == np.inf

    def test_of_the_same_days(self) -> None:
        da = sphere(RNG.normal(size=(4, 6, 32)), 10 + 0.5 * np.arange(6), lead=("time",))
        np.testing.assert_allclose(spectrum(da.isel(time=[2, 0]), truth=da).ratio, 1.0, rtol=1e-12)
        with pytest.raises(ValueError, match="the truth has no field at 3: 1 of the prediction's 4 times"):
            spectrum(da, truth=da.isel(time=slice(0, 3)))


class TestBadInput:
    da = sphere(RNG.normal(size=(6, 32)), 10 + 0.5 * np.arange(6))

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"direction": "up"}, "direction is 'up'"),
            ({"detrend": "quadratic"}, "detrend is 'quadratic'"),
            ({"taper": "tukey"}, "taper is 'tukey'"),
            ({"direction": "isotropic"}, "degrees are no plane"),
            ({"direction": "meridional", "bands": 2}, "bands are of latitude"),
            ({"bands": 0}, "bands are 0"),
            ({"bands": [10, 9]}, "edges that rise"),
            ({"bands": [10, 13, 20]}, "the band from 13 to 20 holds no row"),
        ],
    )
    def test_options(self, options: dict[str, Any], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            spectrum(self.da, **options)

    def test_values_and_grids(self) -> None:
        with pytest.raises(ValueError, match="infinite values: mask them first"):
            spectrum(self.da.where(self.da.lon != 3, np.inf))
        with pytest.raises(ValueError, match="different grids"):
            spectrum(self.da, truth=self.da.isel(lat=slice(1, None)))
        with pytest.raises(ValueError, match="units differ"):
            spectrum(self.da.assign_attrs(units="1"), truth=self.da.assign_attrs(units="m"))
        with pytest.raises(ValueError, match="a field of 6 x 3 cells: expected at least 4"):
            spectrum(self.da.isel(lon=slice(0, 3)))
