"""Member-by-member calibration: slope, factor and tail by the climate of a cell, a factor by its level."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from xdownscale.models.members import MemberByMember, scales, stretched

FITTED = MemberByMember(
    (-2.0, 0.0, 1.0),
    slope=(0.2, 1.0, 1.0),
    factor=(0.5, 1.0, 2.0),
    width=(0.1, 1.0, 1.0),
    tail=(3.0, 1.0, 0.0),
)
LEVELED = replace(FITTED, level=(1.0, 3.0), level_factor=(0.5, 2.5), band_gain=(1.5, 0.5))
DOUBTFUL = replace(LEVELED, scatter=(0.6, 0.2, 0.0))
SPLIT = replace(DOUBTFUL, scatter_skew=(0.9, 0.5, 0.0))
LEANING = replace(DOUBTFUL, shift=(1.0, 2.0, 0.0), skew=(0.2, 0.1, -0.1), near_skew=(-0.1, 0.0, 0.1))
BENT = replace(FITTED, far_slope=(1.0, 1.4, 1.6), reach=(0.3, 0.5, 0.5))


def test_straight_between_knots_and_level_beyond() -> None:
    climate = np.stack([np.zeros(6), [-9.0, -2.0, -1.0, 0.5, 1.0, 7.0]])
    near, far, nothing = np.full(6, 1e-5), np.full(6, 1e5), np.zeros(6)
    half = np.array([0.1, 0.1, 0.55, 1.0, 1.0, 1.0])
    factor = np.array([0.5, 0.5, 0.75, 1.5, 2.0, 2.0])
    np.testing.assert_allclose(FITTED.moved(nothing, near, climate, nothing) / near, factor, rtol=1e-6)
    tail = np.array([3.0, 3.0, 2.0, 0.5, 0.0, 0.0])
    found = FITTED.moved(nothing, far, climate, nothing)
    np.testing.assert_allclose(found / far, factor * (1 + tail), rtol=1e-6)
    expected = factor * half * (1 + tail / 2)
    np.testing.assert_allclose(FITTED.moved(nothing, half, climate, nothing), expected, rtol=1e-6)
    slope = [0.2, 0.2, 0.6, 1.0, 1.0, 1.0]
    np.testing.assert_allclose(FITTED.moved(np.ones(6), nothing, climate, nothing), slope)


def test_departs_by_the_level_too_and_the_mean_does_not() -> None:
    level, one = np.array([-9.0, 1.0, 1.5, 2.0, 3.0, 7.0]), np.ones(6)
    climate, departure = np.stack([np.zeros(6), np.linspace(-3, 2, 6)]), np.linspace(-2, 3, 6)
    plain, found = (moved.moved(0 * one, departure, climate, level) for moved in (FITTED, LEVELED))
    np.testing.assert_allclose(found, plain * [0.5, 0.5, 1.0, 1.5, 2.5, 2.5])
    mean = [moved.moved(one, 0 * one, climate, level) for moved in (FITTED, LEVELED)]
    np.testing.assert_array_equal(*mean)


def test_the_mean_goes_back_to_the_climate_by_the_slope() -> None:
    climate = np.array([[3.0, 3.0], [-2.0, 0.0]])
    mean = np.array([[8.0, 8.0], [3.0, 3.0]])
    found = FITTED.moved(mean, np.zeros((2, 2)), climate, np.zeros(2))
    np.testing.assert_allclose(found, [[4.0, 8.0], [3.0, 3.0]])


def test_small_offsets_of_the_mean_go_back_and_large_ones_stay() -> None:
    """By the slope well within the reach, by the far one beyond, half way at it; each by the climate."""
    climate = np.stack([np.full(4, 3.0), [-9.0, -2.0, -1.0, 7.0]])
    near, far, reach = [0.2, 0.2, 0.6, 1.0], np.array([1.0, 1.0, 1.2, 1.6]), np.array([0.3, 0.3, 0.4, 0.5])
    for offset, expected in ((1e-5, near), (1e5, far), (reach, (near + far) / 2), (-reach, (near + far) / 2)):
        found = BENT.moved(3 + offset * np.ones(4), np.zeros(4), climate, np.zeros(4)) - 3
        np.testing.assert_allclose(found / offset, expected, rtol=1e-6)


def test_arrays_and_tensors_alike() -> None:
    rng = np.random.default_rng(0)
    given = [rng.normal(size=shape) for shape in ((3, 5), (3, 5), (2, 5), (5,))]
    for fitted, noise in (
        (LEVELED, None),
        *((f, rng.normal(size=(3, 5))) for f in (DOUBTFUL, SPLIT, LEANING, BENT)),
    ):
        found = fitted.moved(*(torch.from_numpy(v) for v in given), noise)
        np.testing.assert_allclose(found.numpy(), fitted.moved(*given, noise), rtol=1e-12)


def test_departs_by_a_random_factor_that_is_the_climate_s() -> None:
    rng = np.random.default_rng(1)
    noise, departure = rng.normal(size=(2, 4, 5))
    climate, level = np.stack([np.zeros(5), [-9.0, -2.0, -1.0, 0.5, 7.0]]), np.zeros(5)
    found = DOUBTFUL.moved(0 * departure, departure, climate, level, noise)
    own = departure * scales(noise, np.array([0.6, 0.6, 0.4, 0.1, 0.0]))
    np.testing.assert_allclose(found, LEVELED.moved(0 * departure, own, climate, level), rtol=1e-12)
    skewed = SPLIT.moved(0 * departure, departure, climate, level, noise)
    own = departure * scales(noise, *np.array([[0.6, 0.6, 0.4, 0.1, 0.0], [0.9, 0.9, 0.7, 0.25, 0.0]]))
    np.testing.assert_allclose(skewed, LEVELED.moved(0 * departure, own, climate, level), rtol=1e-12)
    with pytest.raises(ValueError, match="no noise is given"):
        DOUBTFUL.moved(0 * departure, departure, climate, level)


def test_is_shifted_and_departs_further_to_one_side_than_to_the_other() -> None:
    """By the climate's skews, in widths, of a departure that its own scale has been multiplied into."""
    climate, nothing = np.stack([np.zeros(5), [-9.0, -2.0, -1.0, 0.0, 7.0]]), np.zeros(5)
    factor, width = np.array([0.5, 0.5, 0.75, 1.0, 2.0]), np.array([0.1, 0.1, 0.55, 1.0, 1.0])
    noise = np.random.default_rng(2).normal(size=(2, 5))
    own = scales(noise, np.array([0.6, 0.6, 0.4, 0.2, 0.0]))
    departure = width * np.array([[1.0], [-4.0]]) / own
    both = [f.moved(0 * noise, departure, climate, nothing, noise) for f in (LEANING, DOUBTFUL)]
    shift, skew, level = np.array([1.0, 1.0, 1.5, 2.0, 0.0]), np.array([0.2, 0.2, 0.15, 0.1, -0.1]), 0.5
    near_skew = np.array([-0.1, -0.1, -0.05, 0.0, 0.1])
    up = skew * np.array([[3 / np.sqrt(10)], [16 * 3 / 5]]) + near_skew * np.array([[9 / 10], [144 / 145]])
    expected = level * factor * width * up
    np.testing.assert_allclose(both[0] - both[1], shift + expected, rtol=1e-12)


@pytest.mark.parametrize("skew", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize("near_skew", [-0.2, 0.0, 0.2])
def test_keeps_their_order_when_skewed(skew: float, near_skew: float) -> None:
    departure = np.linspace(-50, 50, 100_001)
    assert (np.diff(stretched(departure, 0.7, 0.0, skew, near_skew)) > 0).all()
    for far in (1e6, -1e6):
        side = far * (1 + 3 * skew * np.sign(far))
        assert stretched(far, 0.7, 0.0, skew, near_skew) == pytest.approx(side, abs=1)
    near = stretched(3.5, 0.7, 0.0, 0.0, near_skew) - 3.5
    assert near == pytest.approx(0.7 * near_skew * 225 / 226), "all of it from a few widths on"


def test_departs_in_proportion_near_the_mean_and_in_a_larger_one_far_from_it() -> None:
    near, far = 1e-4, 1e4
    assert stretched(np.array([near, 1.0, far]), 1.0, 3.0) == pytest.approx([near, 2.5, 4 * far])
    np.testing.assert_allclose(stretched(-3.0, 2.0, 1.0), -stretched(3.0, 2.0, 1.0))
    assert stretched(0.7, 1.0, 0.0) == 0.7, "no tail"


def test_moves_members_about_their_mean_and_keeps_their_order() -> None:
    mean = torch.full((1, 3), 4.0)
    drawn = mean + torch.tensor([[-1.0], [0.0], [0.3], [2.0]])
    climate = torch.tensor([[[4.0, 4.0, 4.0]], [[-2.0, 0.0, 1.0]]])
    found = FITTED.moved(mean, drawn - mean, climate, torch.zeros((1, 3)))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[1], mean[0])
    assert bool((found.diff(dim=0) > 0).all())
    torch.testing.assert_close(found[2, 1], torch.tensor(4 + 0.3 * (1 + 0.09 / 1.09)).float())
    torch.testing.assert_close(found[2, 0], torch.tensor(4 + 0.5 * 0.3 * (1 + 3 * 9 / 10)).float())


def test_the_finest_of_a_departure_goes_further() -> None:
    checks = torch.tensor([[1.0, -1.0] * 8, [-1.0, 1.0] * 8] * 8)
    inner = (slice(6, -6), slice(6, -6))
    mean = torch.randn(16, 16)
    torch.testing.assert_close(LEVELED.departure(mean, mean + checks)[inner], 1.5 * checks[inner])
    torch.testing.assert_close(LEVELED.departure(mean, mean + 2), torch.full((16, 16), 2.0))
    torch.testing.assert_close(FITTED.departure(mean, mean + checks), checks)
    open_, round_ = (LEVELED.departure(mean, 2 * mean, cyclic=c) for c in (False, True))
    assert not torch.equal(open_, round_)
    torch.testing.assert_close(open_[:, 6:-6], round_[:, 6:-6])


@pytest.mark.parametrize("scatter", [0.0, 0.2, 0.5])
def test_scales_have_a_mean_square_of_one_and_the_scatter_of_their_logarithm(scatter: float) -> None:
    found = scales(np.random.default_rng(0).normal(size=400_000), scatter)
    assert (found**2).mean() == pytest.approx(1, abs=0.01)
    assert np.log(found).std() == pytest.approx(scatter, rel=0.01)


@pytest.mark.parametrize("skew", [-0.9, 0.4, 0.9, 1.0])
def test_scales_scatter_further_to_one_side_of_their_median(skew: float) -> None:
    """The split normal distribution: half of it on either side, of the deviations that are asked for."""
    noise = np.random.default_rng(1).normal(size=400_000)
    found, middle = scales(noise, 0.3, skew), scales(0.0, 0.3, skew)
    assert (found**2).mean() == pytest.approx(1, abs=0.01)
    apart = np.log(found / middle)
    for side, deviation in ((noise > 0, 0.3 * (1 + skew)), (noise < 0, 0.3 * (1 - skew))):
        assert np.sqrt((apart[side] ** 2).mean()) == pytest.approx(deviation, rel=0.01, abs=1e-12)
    np.testing.assert_allclose(scales(noise, 0.3, 0.0), np.exp(0.3 * noise - 0.09), rtol=1e-12)


def test_through_a_card_s_lists() -> None:
    for fitted in (LEVELED, DOUBTFUL, SPLIT, LEANING):
        assert MemberByMember.from_dict(fitted.to_dict()) == fitted


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (((0.0, 1.0), *[(1.0,)] * 4), r"have \[2, 1, 1, 1, 1\] values: expected equally many"),
        (((),) * 5, "expected equally many"),
        (((0.0, 0.0), *[(1.0, 1.0)] * 4), "log_deviation is .*: expected ascending knots"),
        (
            (*[(0.0,)] * 5, (0.0,), (1.0,), (), (0.1, 0.2)),
            r"tail, scatter have \[1, 1, 1, 1, 1, 2\] values",
        ),
        (
            (*[(0.0,)] * 5, (0.0,), (1.0,), (), (), (), (0.1,), (0.1, 0.2)),
            r"tail, shift, skew have \[1, 1, 1, 1, 1, 1, 2\] values",
        ),
        ((*[(0.0,)] * 5, (0.0, 1.0), (1.0,)), r"level, level_factor have \[2, 1\] values"),
        ((*[(0.0,)] * 5, (1.0, 1.0), (1.0, 1.0)), "level is .*: expected ascending knots"),
    ],
)
def test_lists_that_do_not_fit(lists: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemberByMember(*lists)
