"""Processes: shares of data and noise, and the time grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xdownscale.diffusion.schedule import Cosine, Flow, Schedule, from_name, grid

T = torch.linspace(0, 1, 101, dtype=torch.float64)


@pytest.mark.parametrize("process", [Flow(), Cosine()], ids=lambda p: p.name)
class TestBoth:
    def test_ends_are_exact(self, process: Schedule) -> None:
        """At t = 1 not a bit of the data is left: the start is pure noise."""
        for dtype in (torch.float32, torch.float64):
            ends = torch.tensor([0.0, 1.0], dtype=dtype)
            assert process.alpha(ends).tolist() == [1.0, 0.0]
            assert process.sigma(ends).tolist() == [0.0, 1.0]

    def test_signal_falls_all_the_way(self, process: Schedule) -> None:
        assert (process.alpha(T).diff() < 0).all()
        assert (process.sigma(T).diff() > 0).all()

    def test_named(self, process: Schedule) -> None:
        assert from_name(process.name) == process


def test_flow_is_straight() -> None:
    np.testing.assert_allclose(Flow().alpha(T) + Flow().sigma(T), 1.0, rtol=1e-15)
    np.testing.assert_allclose(Flow().sigma(T), T)


def test_cosine_preserves_variance() -> None:
    np.testing.assert_allclose(Cosine().alpha(T) ** 2 + Cosine().sigma(T) ** 2, 1.0, rtol=1e-14)
    assert float(Cosine().alpha(torch.tensor(0.5, dtype=torch.float64))) == pytest.approx(0.5**0.5, rel=1e-14)


def test_unknown() -> None:
    with pytest.raises(
        ValueError, match=r"process is 'vp': expected one of \['ddpm', 'flow', 'regression', 'vae'\]"
    ):
        from_name("vp")


@pytest.mark.parametrize("steps", [1, 3, 7, 1000])
def test_grid(steps: int) -> None:
    knots = grid(steps)
    assert knots.dtype == torch.float64
    assert (len(knots), knots[0], knots[-1]) == (steps + 1, 1, 0)
    np.testing.assert_allclose(knots.diff(), -1 / steps, rtol=1e-10)
