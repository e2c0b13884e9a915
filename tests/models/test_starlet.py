"""The starlet transform: scipy's convolution, waves in closed form, and what must add up."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d

from xdownscale.models.starlet import bands, scaled


def field(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize("cyclic", [False, True])
@pytest.mark.parametrize("shape", [(40, 56), (3, 5), (1, 1)])
def test_is_scipys_convolution_with_holes(cyclic: bool, shape: tuple[int, int]) -> None:
    given = field(2, *shape)
    rest = given.numpy()
    for level, band in enumerate(bands(given, 4, cyclic)):
        holes = np.zeros(4 * 2**level + 1)
        holes[:: 2**level] = np.array([1, 4, 6, 4, 1]) / 16
        smooth = convolve1d(rest, holes, axis=-2, mode="nearest")
        smooth = convolve1d(smooth, holes, axis=-1, mode="wrap" if cyclic else "nearest")
        np.testing.assert_allclose(band.numpy(), rest - smooth, atol=1e-12)
        rest = smooth


@pytest.mark.parametrize("wavelength", [2, 4, 6, 16, 48])
def test_a_wave_stays_a_wave(wavelength: int) -> None:
    angle = 2 * np.pi / wavelength
    wave = torch.cos(angle * torch.arange(96, dtype=torch.float64)).expand(3, -1)
    left = 1.0
    for level, band in enumerate(bands(wave, 4, cyclic=True)):
        kept = left * np.cos(angle * 2**level / 2) ** 4
        torch.testing.assert_close(band, (left - kept) * wave, atol=1e-12, rtol=0)
        left = kept


def test_gains_of_bands() -> None:
    given = field(3, 20, 30)
    one, two = bands(given, 2)
    torch.testing.assert_close(scaled(given, (1.5, 0.25)), given + 0.5 * one - 0.75 * two)
    assert torch.equal(scaled(given, (1.0, 1.0, 1.0)), given)
    assert scaled(given, ()) is given
    again = scaled(scaled(given, (1.0, 2.0)), (1.0, 1.0))
    assert again.dtype == given.dtype
    torch.testing.assert_close(scaled(2 * given, (1.3, 0.7)), 2 * scaled(given, (1.3, 0.7)))


def test_round_the_globe_there_is_no_end() -> None:
    given = field(12, 36)
    turned = scaled(given.roll(7, -1), (1.4, 1.2, 0.8), cyclic=True).roll(-7, -1)
    torch.testing.assert_close(turned, scaled(given, (1.4, 1.2, 0.8), cyclic=True))
    apart = scaled(given, (1.4, 1.2, 0.8)) - scaled(given, (1.4, 1.2, 0.8), cyclic=True)
    reach = 2 * (1 + 2 + 4)
    assert float(apart[:, reach:-reach].abs().max()) < 1e-12 < float(apart[:, 0].abs().max())
