"""Noise belongs to the field: a cell, member and instant have the same bits, however they are asked for."""

from __future__ import annotations

import datetime as dt

import cftime
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdownscale.noise import BLOCK, DAY_US, Spectrum, estimate, instant, shaped, smooth, white

KEY = {"seed": 7, "member": 3, "instant": 1_000_000, "stream": 0}
RED = Spectrum(tuple(1.0 / (1.0 + (60.0 * k) ** 2) ** 1.5 for k in np.linspace(0, 0.5, 33)), 1e-3, 24)


class TestInstant:
    @pytest.mark.parametrize("unit", ["D", "h", "m", "s", "ms", "us", "ns"])
    def test_units_do_not_matter(self, unit: str) -> None:
        assert (
            instant(np.datetime64("2006-07-02", "D").astype(f"datetime64[{unit}]")) == 1_151_798_400_000_000
        )

    def test_other_kinds(self) -> None:
        expected = instant(np.datetime64("2006-07-02T12:30:00.25"))
        assert expected == 1_151_843_400_250_000
        assert instant(dt.datetime(2006, 7, 2, 12, 30, 0, 250_000)) == expected  # noqa: DTZ001
        assert instant(cftime.DatetimeGregorian(2006, 7, 2, 12, 30, 0, 250_000)) == expected
        assert instant(cftime.DatetimeProlepticGregorian(2006, 7, 2, 12, 30, 0, 250_000)) == expected
        assert instant(None) is None

    def test_before_1970(self) -> None:
        assert instant(np.datetime64("1969-12-31T23:59:59.999999")) == -1
        assert instant(cftime.DatetimeProlepticGregorian(1969, 12, 31)) == -86_400_000_000

    def test_own_calendars(self) -> None:
        # a year of 360 days: July 2 is day 181 + 36 * 360
        assert instant(cftime.Datetime360Day(2006, 7, 2)) == (36 * 360 + 181) * 86_400_000_000
        assert instant(cftime.DatetimeNoLeap(1980, 3, 1)) == (10 * 365 + 59) * 86_400_000_000

    def test_nat(self) -> None:
        with pytest.raises(ValueError, match=r"a time is NaT: drop it"):
            instant(np.datetime64("NaT"))


class TestWhite:
    whole = white((-200, 400), (5600, 400), period=5760, **KEY)

    @settings(deadline=None, max_examples=60)
    @given(
        st.integers(-200, 199),
        st.integers(0, 399),
        st.integers(1, 130),
        st.integers(1, 130),
        st.integers(-2, 2),
    )
    def test_any_crop_has_the_same_bits(self, y: int, x: int, ny: int, nx: int, turn: int) -> None:
        ny, nx = min(ny, 200 - y), min(nx, 400 - x)
        crop = white((y, ny), (5600 + x + turn * 5760, nx), period=5760, **KEY)
        assert (crop == self.whole[y + 200 : y + 200 + ny, x : x + nx]).all()

    def test_without_a_period_indices_are_distinct(self) -> None:
        a, b = (white((0, 64), (start, 64), **KEY) for start in (0, 5760))
        assert abs(float((a * b).mean())) < 4 / 64
        assert (white((0, 8), (-8, 16), **KEY)[:, 8:] == white((0, 8), (0, 8), **KEY)).all()

    def test_a_period_that_is_no_multiple_of_the_block(self) -> None:
        around = white((0, 5), (90, 20), period=100, **KEY)
        assert (around[:, 10:] == white((0, 5), (0, 10), period=100, **KEY)).all()

    def test_far_away(self) -> None:
        for place in (-(10**9), 10**9):
            assert (
                white((place, 4), (place, 4), **KEY)[1:] == white((place + 1, 3), (place, 4), **KEY)
            ).all()

    def test_bits_are_fixed(self) -> None:
        # these numbers are published with every draw: they must never change
        assert self.whole.dtype == np.float32
        corner = white((0, 1), (0, 3), seed=0, member=0, instant=0)[0]
        np.testing.assert_array_equal(
            corner, np.array([-0.667184591293335, -0.194764643907547, -0.3189845085144043], dtype=np.float32)
        )

    def test_moments(self) -> None:
        values = white((0, 1024), (0, 1024), **KEY).astype(np.float64)
        n = values.size
        assert abs(values.mean()) < 4 / n**0.5
        assert abs(values.var() - 1) < 4 * (2 / n) ** 0.5
        assert abs((values**4).mean() - 3) < 4 * (96 / n) ** 0.5

    def test_cells_are_independent(self) -> None:
        values = white((0, 512), (0, 512), **KEY).astype(np.float64)
        for lag in ((0, 1), (1, 0), (1, 1), (0, BLOCK), (BLOCK, 0), (3, 17)):
            a = values[: 512 - lag[0], : 512 - lag[1]]
            b = values[lag[0] :, lag[1] :]
            assert abs((a * b).mean()) < 4 / a.size**0.5

    @pytest.mark.parametrize(
        "change",
        [
            {"seed": 8},
            {"seed": 3, "member": 7},
            {"member": 4},
            {"instant": 1_000_001},
            {"instant": None},
            {"instant": -1_000_000},
            {"stream": 1},
            {"stream": 2**40},
            {"seed": 2**64 - 1},
        ],
    )
    def test_other_keys_are_independent(self, change: dict[str, int | None]) -> None:
        ours, other = (
            white((0, 256), (0, 256), **key).astype(np.float64) for key in (KEY, {**KEY, **change})
        )
        assert abs((ours * other).mean()) < 4 / 256
        assert abs((ours**2 * other**2).mean() - 1) < 4 * 8**0.5 / 256

    def test_no_time_is_a_time_of_its_own(self) -> None:
        keys = [{**KEY, "instant": i} for i in (None, 0, -1, 2**62)]
        fields = [white((0, 4), (0, 4), **key) for key in keys]
        assert len({f.tobytes() for f in fields}) == 4


class TestSmooth:
    @pytest.mark.parametrize("period", [5760, 5000, 129, 40])
    def test_any_crop_has_the_same_bits_round_the_globe(self, period: int) -> None:
        whole = smooth((-200, 300), (-60, 2 * period + 200), period=period, **KEY)
        for y, x, turn in ((-150, 30, 0), (50, -60, 3), (-129, 70, -2)):
            crop = smooth((y, 40), (x + turn * period, 50), period=period, **KEY)
            np.testing.assert_array_equal(crop, whole[y + 200 :, x + 60 :][:40, :50])

    def test_without_a_period(self) -> None:
        whole = smooth((0, 40), (5700, 300), **KEY)
        np.testing.assert_array_equal(smooth((3, 5), (5800, 100), **KEY), whole[3:8, 100:200])
        assert not np.allclose(whole[:, 60:], smooth((0, 40), (0, 240), **KEY))

    def test_is_a_sum_over_knots_by_weights_whose_squares_add_up_to_one(self) -> None:
        """cos(pi d / 2) at a distance of d spacings: unit variance, and no correlation beyond two."""
        y, x, knots = -40 + np.arange(330), 7 + np.arange(270), np.arange(-1, 4)
        rows, columns = (
            np.cos(0.5 * np.pi * np.clip(np.abs(cells[:, None] / 128 - knots), 0, 1)) for cells in (y, x)
        )
        values = white((-1, 5), (-1, 5), **KEY).astype(np.float64)
        np.testing.assert_allclose(smooth((-40, 330), (7, 270), **KEY), rows @ values @ columns.T, atol=1e-12)
        np.testing.assert_allclose((rows**2).sum(axis=1), 1)
        assert np.abs(np.diff(rows @ rows.T, axis=0)).max() < 0.5 * np.pi / 128, "no steps"

    def test_unit_variance_round_a_small_globe(self) -> None:
        fields = [smooth((5, 1), (0, 40), period=40, **{**KEY, "seed": seed}) for seed in range(4000)]
        np.testing.assert_allclose(np.square(fields).mean(axis=0), 1, atol=0.12)

    def test_other_keys_are_independent(self) -> None:
        ours = smooth((40, 1), (0, 400_000), **KEY)[:, ::128]
        for change in ({"seed": 8}, {"member": 4}, {"instant": 0}, {"instant": None}, {"stream": 1}):
            other = smooth((40, 1), (0, 400_000), **{**KEY, **change})[:, ::128]
            assert abs((ours * other).mean()) < 4 / 55


class TestMemory:
    """Days in sequence: unit variance, correlation rho^n, and any day without the others."""

    KERNEL = np.ones((1, 1))

    def days(self, memory: float, instants: list[int | None]) -> np.ndarray:
        return np.stack(
            [
                shaped(self.KERNEL, (0, 256), (0, 256), seed=3, member=1, instant=t, memory=memory)
                for t in instants
            ]
        )

    @pytest.mark.parametrize("memory", [0.3, 0.8])
    def test_correlation_falls_as_a_power(self, memory: float) -> None:
        """65,536 cells: a correlation is known to 1 / 256."""
        e = self.days(memory, [d * DAY_US for d in range(5)])
        np.testing.assert_allclose(e.std(axis=(1, 2)), 1.0, atol=0.012)
        found = [np.mean(e[0] * e[n]) for n in range(1, 5)]
        np.testing.assert_allclose(found, [memory**n for n in range(1, 5)], atol=0.016)

    def test_gaps_are_as_long_as_they_are(self) -> None:
        e = self.days(0.8, [0, 3 * DAY_US])
        assert np.mean(e[0] * e[1]) == pytest.approx(0.512, abs=0.016)

    def test_no_memory_is_the_field_as_it_was(self) -> None:
        plain = white((0, 256), (0, 256), seed=3, member=1, instant=DAY_US)
        np.testing.assert_array_equal(self.days(0.0, [DAY_US])[0], plain)

    def test_without_a_time_there_is_no_sequence(self) -> None:
        np.testing.assert_array_equal(self.days(0.9, [None]), self.days(0.0, [None]))

    def test_refused(self) -> None:
        with pytest.raises(ValueError, match=r"memory is 1\.0: expected a correlation from 0 to below 1"):
            self.days(1.0, [0])


class TestSpectrum:
    def test_white(self) -> None:
        assert Spectrum.white().kernel().tolist() == [[1.0]]
        direct = white((0, 20), (0, 20), **KEY)
        assert (shaped(Spectrum.white().kernel(), (0, 20), (0, 20), **KEY) == direct).all()

    def test_inflated(self) -> None:
        """Factors raise the power at their own wavenumbers; one factor for all, and white noise, scale."""
        plain, all_, small = (RED.kernel(f) for f in ((1.0,), (1.5,), (1.0, 1.0, 1.0, 2.0, 2.0)))
        np.testing.assert_allclose(all_, 1.5 * plain, rtol=1e-12)
        response = np.abs(np.fft.fft(small.sum(axis=0), 512)) / np.abs(np.fft.fft(plain.sum(axis=0), 512))
        np.testing.assert_allclose(response[:96], 1.0, rtol=0.05)  # wavenumbers to 3/16
        np.testing.assert_allclose(response[224:257], 2.0, rtol=0.05)  # from 7/16
        assert (
            shaped(Spectrum.white().kernel((2.0,)), (0, 20), (0, 20), **KEY)
            == 2 * white((0, 20), (0, 20), **KEY)
        ).all()
        assert 1.0 < Spectrum.white().kernel((1.0, 2.0)).item() < 2.0

    def test_kernel(self) -> None:
        kernel = RED.kernel()
        assert kernel.shape == (49, 49)
        assert (kernel**2).sum() == pytest.approx(1.0, rel=1e-12)
        # isotropic up to the lattice, centred, and zero at the radius
        np.testing.assert_allclose(kernel, kernel.T, atol=1e-12)
        np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-12)
        assert kernel.argmax() == kernel.size // 2
        assert abs(kernel[0]).max() < 3e-3 * kernel.max()
        assert kernel[0, 0] == pytest.approx(0.0, abs=1e-15)

    @settings(deadline=None, max_examples=15)
    @given(st.integers(-100, 60), st.integers(0, 100), st.integers(1, 60), st.integers(1, 60))
    def test_any_crop_of_shaped_noise_agrees(self, y: int, x: int, ny: int, nx: int) -> None:
        whole = WHOLE
        crop = shaped(RED.kernel(), (y, ny), (5700 + x, nx), period=5760, **KEY)
        assert crop.dtype == np.float32
        np.testing.assert_allclose(crop, whole[y + 100 : y + 100 + ny, x : x + nx], atol=1e-6)

    def test_unit_variance(self) -> None:
        values = np.stack(
            [shaped(RED.kernel(), (0, 200), (0, 200), **{**KEY, "member": m}) for m in range(8)]
        )
        assert values.mean() == pytest.approx(0.0, abs=0.05)
        assert values.var() == pytest.approx(1.0, rel=0.05)

    def test_members_of_shaped_noise_are_independent(self) -> None:
        a, b = (shaped(RED.kernel(), (0, 400), (0, 400), **{**KEY, "member": m}) for m in (0, 1))
        # cells are correlated over some 10 cells: about 40 x 40 independent pairs
        assert abs((a * b).mean()) < 4 / 40

    def test_estimate_recovers_what_was_prescribed(self) -> None:
        kernel = RED.kernel()
        values = np.stack([shaped(kernel, (0, 384), (0, 384), **{**KEY, "member": m}) for m in range(10)])
        found = np.array(estimate(values, radius=24).power)
        k = np.linspace(0, 0.5, 33)
        n = 512
        response = np.abs(np.fft.fft2(kernel, (n, n))) ** 2
        radial = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)[None, :])
        ring = np.rint(64 * radial).astype(int)
        true = np.array([response[ring == i].mean() for i in range(33)])
        assert k[ring[0, 8]] == pytest.approx(1 / 64)
        # rings hold many modes but for the first
        np.testing.assert_allclose(found[2:] / true[2:], 1.0, atol=0.05)
        assert abs(np.log(found[2:] / true[2:])).mean() < 0.02

    def test_estimate_of_white_noise_is_flat(self) -> None:
        values = white((0, 256), (0, 1024), **KEY).reshape(256, 4, 256).transpose(1, 0, 2)
        power = np.array(estimate(values).power)
        np.testing.assert_allclose(power[2:], 1.0, atol=0.15)
        assert power[4:].mean() == pytest.approx(1.0, abs=0.01)

    def test_estimate_and_kernel_close_the_circle(self) -> None:
        """Noise made from the estimate of noise has the same spectrum, but at waves beyond the taper."""
        power = tuple(1.0 / (1.0 + (20.0 * k) ** 2) ** 1.5 for k in np.linspace(0, 0.5, 33))
        kernel = Spectrum(power, 1e-3, 32).kernel()
        first = np.stack([shaped(kernel, (0, 320), (0, 320), **{**KEY, "member": m}) for m in range(8)])
        again = estimate(first, radius=32).kernel()
        second = np.stack([shaped(again, (0, 320), (0, 320), **{**KEY, "member": 50 + m}) for m in range(8)])
        ratio = np.array(estimate(second).power) / np.array(estimate(first).power)
        np.testing.assert_allclose(ratio[2:], 1.0, atol=0.15)
        assert abs(np.log(ratio[4:])).mean() < 0.04

    def test_missing_values_count_as_the_mean(self) -> None:
        values = white((0, 128), (0, 128), **KEY)[None].astype(np.float64) + 40.0
        values[0, ::4] = np.nan
        power = np.array(estimate(values).power)
        # three quarters of the variance stay, but for the comb's own lines
        assert np.median(power[4:]) == pytest.approx(0.75, rel=0.1)

    def test_round_trip(self) -> None:
        assert Spectrum.from_dict(RED.to_dict()) == RED
        assert isinstance(RED.to_dict()["power"], list)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"power": [1.0]}, "power has 1 values: expected at least two"),
            ({"power": [1.0, -1.0]}, "power has 2 values"),
            ({"power": [0.0, 0.0]}, "not all zero"),
            ({"power": [1.0, np.nan]}, "finite"),
            ({"floor": -0.1}, "floor -0.1"),
            ({"floor": np.nan}, "floor nan"),
            ({"radius": -1}, "radius -1"),
            ({"radius": 10_000}, "radius 10000"),
            ({"extra": 1}, "a spectrum has power, floor and radius"),
        ],
    )
    def test_refused(self, change: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Spectrum.from_dict({**RED.to_dict(), **change})


WHOLE = shaped(RED.kernel(), (-100, 220), (5700, 160), period=5760, **KEY)
