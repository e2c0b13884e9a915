"""Spectra: Parseval, lines where they belong, ratios by band."""

from __future__ import annotations

import numpy as np
import pytest

from xdownscale.diagnostics.wavenumber import band_ratio, power

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
