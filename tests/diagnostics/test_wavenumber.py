"""Spectra: Parseval, lines where they belong, ratios by band."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.wavenumber import (
    band_ratio,
    line_bins,
    line_variance,
    mode_variance,
    power,
    ring_bins,
)

RNG = np.random.default_rng(0)


def taper(n: int) -> np.ndarray:
    window = np.hanning(n + 1)[:-1]
    return window / np.sqrt((window**2).mean())


@pytest.mark.parametrize("n", [64, 63, 8, 5])
def test_parseval(n: int) -> None:
    """The bins sum to the tapered variance, its mean left out, for even and odd sizes."""
    fields = RNG.normal(size=(3, 7, n)) + 5
    tapered = (fields - fields.mean(axis=-1, keepdims=True)) * taper(n)
    variance = tapered.var(axis=-1).mean()
    k, p = power(fields)
    assert k.shape == p.shape == (n // 2,)
    assert p.sum() == pytest.approx(variance, rel=1e-12)


@pytest.mark.parametrize("axis", [-1, -2])
def test_either_axis(axis: int) -> None:
    n, wave = 96, 12
    line = 3 * np.cos(2 * np.pi * np.arange(n) / wave + 0.4)
    field = np.broadcast_to(line, (5, n)) if axis == -1 else np.broadcast_to(line[:, None], (n, 5))
    k, p = power(field, axis=axis)
    assert k[p.argmax()] == pytest.approx(1 / wave)
    # the Hann window spreads a line over three bins
    assert p[7 - 1 : 7 + 2].sum() == pytest.approx(4.5, rel=1e-10)
    assert p.sum() == pytest.approx(4.5, rel=1e-10)
    across = power(field, axis=-3 - axis)[1]
    assert across.sum() < 1e-25


def test_amplitude_enters_squared() -> None:
    fields = RNG.normal(size=(4, 10, 50))
    np.testing.assert_allclose(power(3 * fields + 2)[1], 9 * power(fields)[1], rtol=1e-10)


def test_white_noise_is_flat() -> None:
    k, p = power(RNG.normal(size=(40, 200, 128)))
    np.testing.assert_allclose(p[2:-1] * 64, 1.0, atol=0.06)
    assert p.sum() == pytest.approx(1.0, rel=0.02)
    np.testing.assert_allclose(k, np.arange(1, 65) / 128)


def test_red_noise_has_its_spectrum() -> None:
    """An AR(1) along the rows: P(k) ~ (1 - a^2) / |1 - a exp(-2 pi i k)|^2."""
    a, n = 0.8, 256
    e = RNG.normal(size=(4000, n + 100))
    x = np.zeros(4000)
    columns = []
    for step in range(n + 100):
        x = a * x + np.sqrt(1 - a**2) * e[:, step]
        columns.append(x)
    k, p = power(np.stack(columns[100:], axis=1))
    true = 2 / n * (1 - a**2) / np.abs(1 - a * np.exp(-2j * np.pi * k)) ** 2
    np.testing.assert_allclose(p[3:-1] / true[3:-1], 1.0, atol=0.1)


class TestBandRatio:
    k = np.arange(1, 65) / 128

    def test_by_hand(self) -> None:
        ours, truth = np.where(self.k <= 1 / 16, 1.0, 3.0), np.full(64, 2.0)
        found = band_ratio(ours, truth, self.k, [np.inf, 16, 4, 2])
        np.testing.assert_allclose(found, [0.5, 1.5, 1.5])

    def test_bands_hold_every_wavenumber_once(self) -> None:
        edges = [np.inf, 30, 7, 2]
        counts = [band_ratio((self.k == k).astype(float), np.ones(64), self.k, edges) for k in self.k]
        assert sum((c > 0).sum() for c in counts) == 64

    def test_empty_band(self) -> None:
        found = band_ratio(np.ones(64), np.ones(64), self.k, [np.inf, 1000, 10])
        assert np.isnan(found[0])
        assert found[1] == 1.0


class TestLines:
    @pytest.mark.parametrize("n", [16, 17, 4])
    @pytest.mark.parametrize("taper_name", ["hann", None])
    def test_lines_sum_to_the_mean_square(self, n: int, taper_name: str | None) -> None:
        rows = RNG.normal(size=(5, n)) + 2
        lines = line_variance(rows, detrend=None, taper=taper_name)  # type: ignore[arg-type]
        window = taper(n) if taper_name else 1.0
        np.testing.assert_allclose(lines.sum(axis=-1), ((rows * window) ** 2).mean(axis=-1), rtol=1e-12)

    def test_a_straight_row_leaves_nothing(self) -> None:
        assert line_variance(3 + 0.5 * np.arange(12.0)[None]).max() < 1e-28

    def test_modes_sum_to_the_mean_square(self) -> None:
        for shape in ((12, 9), (9, 12), (7, 7)):
            field = RNG.normal(size=shape)
            modes = mode_variance(field, detrend=None, taper=None)
            assert modes.sum() == pytest.approx((field**2).mean(), rel=1e-12)

    def test_the_plane_taken_off_is_the_best_one(self) -> None:
        field = RNG.normal(size=(12, 9)) + 3
        y, x = np.mgrid[:12, :9]
        design = np.stack([np.ones(108), y.ravel(), x.ravel()], axis=1)
        rest = field.ravel() - design @ np.linalg.lstsq(design, field.ravel(), rcond=None)[0]
        assert mode_variance(field, taper=None).sum() == pytest.approx((rest**2).mean(), rel=1e-12)

    def test_gaps_spread_over_their_row_alone(self) -> None:
        rows = RNG.normal(size=(3, 8))
        rows[1, 2] = np.nan
        assert np.isfinite(line_variance(rows)).all(axis=-1).tolist() == [True, False, True]


class TestBins:
    def test_rows_of_one_length_keep_their_lines(self) -> None:
        lines = RNG.random((4, 9))
        bins = line_bins(np.full(4, 2.0), 16, [1.0, 2.0, 3.0, 4.0])
        sums, weight = bins(lines, np.ones(4, dtype=bool))
        np.testing.assert_allclose(bins.wavenumber, np.arange(1, 9) / 32)
        np.testing.assert_allclose(sums[0, :-1], np.array([1.0, 2.0, 3.0, 4.0]) @ lines[:, 1:], rtol=1e-14)
        assert sums[0, -1] == 0
        assert weight.tolist() == [10.0]

    def test_nothing_is_lost_between_rows_of_any_length(self) -> None:
        lines = RNG.random((5, 9))
        spacing = np.array([1.0, 1.3, 2.0, 3.7, 9.0])
        sums, _ = line_bins(spacing, 16, np.ones(5))(lines, np.ones(5, dtype=bool))
        assert sums.sum() == pytest.approx(lines[:, 1:].sum(), rel=1e-13)

    def test_a_line_is_shared_by_overlap(self) -> None:
        """The longer row's line 2 is [1.5, 2.5] / 24, bins of 1 / 16 part at 1.5 / 16: 3/4 and 1/4."""
        lines = np.zeros((2, 9))
        lines[1, 2] = 1.0
        sums, _ = line_bins([1.0, 1.5], 16, np.ones(2))(lines, np.ones(2, dtype=bool))
        np.testing.assert_allclose(sums[0, :3], [0.75, 0.25, 0.0], atol=1e-12)

    def test_rows_that_are_not_valid_and_groups_of_none(self) -> None:
        lines = RNG.random((2, 3, 9))
        bins = line_bins(np.ones(3), 16, np.ones(3), group=[0, -1, 1])
        valid = np.array([[True, True, True], [False, True, True]])
        sums, weight = bins(lines, valid)
        assert weight.tolist() == [[1, 1], [0, 1]]
        np.testing.assert_allclose(sums[0, 0, :-1], lines[0, 0, 1:])
        assert sums[1, 0].sum() == 0
        np.testing.assert_allclose(sums[1, 1, :-1], lines[1, 2, 1:])

    def test_rings_hold_every_mode_once(self) -> None:
        for shape, steps in (((12, 9), (1.0, 1.0)), ((8, 30), (2.0, 0.5))):
            modes = RNG.random((1, shape[0] * (shape[1] // 2 + 1)))
            bins = ring_bins(shape, steps)
            sums, _ = bins(modes, np.ones(1, dtype=bool))
            assert sums.sum() == pytest.approx(modes[0, 1:].sum(), rel=1e-13)
            assert bins.wavenumber[-1] <= 0.5 / max(steps) + 1e-12
