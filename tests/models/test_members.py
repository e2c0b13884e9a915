"""Member-by-member calibration: a slope, a factor and a tail by the cell's climate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xdownscale.models.members import MemberByMember, stretched

FITTED = MemberByMember(
    (-2.0, 0.0, 1.0),
    slope=(0.2, 1.0, 1.0),
    factor=(0.5, 1.0, 2.0),
    width=(0.1, 1.0, 1.0),
    tail=(3.0, 1.0, 0.0),
)


def test_straight_between_knots_and_level_beyond() -> None:
    climate = np.stack([np.zeros(6), [-9.0, -2.0, -1.0, 0.5, 1.0, 7.0]])
    near, far, nothing = np.full(6, 1e-5), np.full(6, 1e5), np.zeros(6)
    half = np.array([0.1, 0.1, 0.55, 1.0, 1.0, 1.0])
    factor = np.array([0.5, 0.5, 0.75, 1.5, 2.0, 2.0])
    np.testing.assert_allclose(FITTED.moved(nothing, near, climate) / near, factor, rtol=1e-6)
    tail = np.array([3.0, 3.0, 2.0, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(FITTED.moved(nothing, far, climate) / far, factor * (1 + tail), rtol=1e-6)
    expected = factor * half * (1 + tail / 2)
    np.testing.assert_allclose(FITTED.moved(nothing, half, climate), expected, rtol=1e-6)
    slope = [0.2, 0.2, 0.6, 1.0, 1.0, 1.0]
    np.testing.assert_allclose(FITTED.moved(np.ones(6), nothing, climate), slope)


def test_the_mean_goes_back_to_the_climate_by_the_slope() -> None:
    climate = np.array([[3.0, 3.0], [-2.0, 0.0]])
    mean = np.array([[8.0, 8.0], [3.0, 3.0]])
    np.testing.assert_allclose(FITTED.moved(mean, np.zeros((2, 2)), climate), [[4.0, 8.0], [3.0, 3.0]])


def test_arrays_and_tensors_alike() -> None:
    rng = np.random.default_rng(0)
    mean, departure, climate = rng.normal(size=(3, 5)), rng.normal(size=(3, 5)), rng.normal(size=(2, 5))
    found = FITTED.moved(*(torch.from_numpy(v) for v in (mean, departure, climate)))
    np.testing.assert_allclose(found.numpy(), FITTED.moved(mean, departure, climate), rtol=1e-12)


def test_departs_in_proportion_near_the_mean_and_in_a_larger_one_far_from_it() -> None:
    near, far = 1e-4, 1e4
    assert stretched(np.array([near, 1.0, far]), 1.0, 3.0) == pytest.approx([near, 2.5, 4 * far])
    np.testing.assert_allclose(stretched(-3.0, 2.0, 1.0), -stretched(3.0, 2.0, 1.0))
    assert stretched(0.7, 1.0, 0.0) == 0.7, "no tail"


def test_moves_members_about_their_mean_and_keeps_their_order() -> None:
    mean = torch.full((1, 3), 4.0)
    drawn = mean + torch.tensor([[-1.0], [0.0], [0.3], [2.0]])
    climate = torch.tensor([[[4.0, 4.0, 4.0]], [[-2.0, 0.0, 1.0]]])
    found = FITTED.moved(mean, drawn - mean, climate)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[1], mean[0])
    assert bool((found.diff(dim=0) > 0).all())
    torch.testing.assert_close(found[2, 1], torch.tensor(4 + 0.3 * (1 + 0.09 / 1.09)).float())
    torch.testing.assert_close(found[2, 0], torch.tensor(4 + 0.5 * 0.3 * (1 + 3 * 9 / 10)).float())


def test_through_a_card_s_lists() -> None:
    assert MemberByMember.from_dict(FITTED.to_dict()) == FITTED


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (((0.0, 1.0), *[(1.0,)] * 4), r"have \[2, 1, 1, 1, 1\] values: expected equally many"),
        (((),) * 5, "expected equally many"),
        (((0.0, 0.0), *[(1.0, 1.0)] * 4), "expected ascending knots"),
    ],
)
def test_lists_that_do_not_fit(lists: tuple[tuple[float, ...], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemberByMember(*lists)
