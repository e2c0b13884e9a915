"""Laws of the engine at full size, and for windows and tilings drawn at random."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import G5NR, MERRA2, Grid, coarsening, refined
from xdownscale.inference.engine import Options, draw
from xdownscale.models import conditioning
from xdownscale.models.downscaler import Downscaler
from xdownscale.noise import Spectrum
from xdownscale.patches import Tiling

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdownscale.models.card import Card

pytestmark = pytest.mark.slow

OPTIONS = Options((0,), 0, "draw", Sampler("midpoint", 4), Tiling(), conserve=False)
TODAY = 35 * 365 * 86_400_000_000
COLOURED = Spectrum(tuple(1.0 / (1.0 + (25.0 * k) ** 2) ** 1.5 for k in np.linspace(0, 0.5, 33)), 1e-3, 32)


@pytest.fixture
def full_size(make_card: Callable[..., Card]) -> Downscaler:
    """The default architecture with random weights, all static maps, and noise like a residual."""
    statics = ("sphere", "fourier", "season")
    card = make_card(
        architecture={
            "encoder": {"history": 5, "channels": [32, 64, 96]},
            "denoiser": {
                "condition": conditioning.channels(statics),
                "context": [32, 64, 96],
                "channels": [48, 72, 128],
                "blocks": 2,
                "embedding": 64,
            },
            "climatology": None,
        },
        statics=statics,
        spectrum=COLOURED.to_dict(),
        inflation={},
    )
    torch.manual_seed(3)
    model = Downscaler.build(card)
    with torch.no_grad():
        for weight in model.denoiser.parameters():
            weight.add_(0.02 * torch.randn(weight.shape))
    return model


def lognormal(grid: Grid, seed: int = 0) -> np.ndarray:
    return np.exp(0.8 * np.random.default_rng(seed).normal(size=(1, *grid.shape)) - 1.5)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square difference over the spread."""
    return float(np.sqrt(np.mean((a - b) ** 2)) / b.std())


class TestFullSize:
    def test_patches_of_256_equal_one(self, full_size: Downscaler) -> None:
        """Four evaluations, halos of 48: below 1e-3 of the spread."""
        grid = MERRA2.window((210, 48), (340, 40))
        y = lognormal(grid)
        one = draw(full_size, y, grid, [TODAY], replace(OPTIONS, tiling=Tiling(patch=None)))
        many = draw(full_size, y, grid, [TODAY], replace(OPTIONS, tiling=Tiling(patch=256)))
        narrow = draw(full_size, y, grid, [TODAY], replace(OPTIONS, tiling=Tiling(patch=256, halo=0)))
        assert apart(many.values, one.values) < 1e-3
        assert apart(narrow.values, one.values) > apart(many.values, one.values)

    def test_same_bits_for_threads_and_batches(self, full_size: Downscaler) -> None:
        grid = MERRA2.window((210, 20), (340, 20))
        y, before = lognormal(grid), torch.get_num_threads()
        found = []
        try:
            for threads, batch in [(1, 1), (2, 1), (1, 3)]:
                torch.set_num_threads(threads)
                tiling = Tiling(patch=160, batch=batch)
                found.append(draw(full_size, y, grid, [TODAY], replace(OPTIONS, tiling=tiling)).values)
        finally:
            torch.set_num_threads(before)
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])

    def test_paper_s_tiling(self, full_size: Downscaler) -> None:
        """Patches of 16 by 2, averaged at the end: it runs, and loses most of the draws' variance."""
        grid = MERRA2.window((216, 4), (352, 4))
        y = lognormal(grid)
        options = replace(OPTIONS, members=tuple(range(4)), sampler=Sampler("midpoint", 2))
        paper = Tiling(patch=16, halo=0, ramp=8, stride=2, merge="final", batch=32)
        spread = [
            draw(full_size, y, grid, [TODAY], replace(options, tiling=t)).values.std(axis=0).mean()
            for t in (paper, Tiling())
        ]
        assert spread[0] < 0.5 * spread[1]


class TestAnyWindow:
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_laws(self, tiny_model: Downscaler, data: Any) -> None:
        """Any window, tiling, batch: conserving, non-negative, members independent of their company."""
        ny, nx = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
        grid = MERRA2.window((data.draw(st.integers(0, 361 - ny)), ny), (data.draw(st.integers(0, 575)), nx))
        patch, halo, ramp = (8 * data.draw(st.integers(*r)) for r in ((4, 20), (0, 6), (1, 2)))
        patch = max(patch, 2 * halo + ramp + 16)
        tiling = Tiling(patch=patch, halo=halo, ramp=ramp, batch=data.draw(st.integers(1, 4)))
        sampler = data.draw(st.sampled_from([Sampler("midpoint", 2), Sampler("euler", 1)]))
        options = replace(OPTIONS, tiling=tiling, sampler=sampler, members=(0, 7), conserve=True)
        y = lognormal(grid, data.draw(st.integers(0, 99)))
        out = draw(tiny_model, y, grid, [TODAY], options).values
        assert (out >= 0).all()
        mean = coarsening(refined(grid, G5NR), grid)
        for member in out[:, 0]:
            np.testing.assert_allclose(mean(member), y[0], rtol=1e-5)
        alone = draw(tiny_model, y, grid, [TODAY], replace(options, members=(7,)))
        np.testing.assert_array_equal(alone.values[0], out[1])
        other = replace(options, tiling=replace(tiling, batch=5))
        np.testing.assert_array_equal(draw(tiny_model, y, grid, [TODAY], other).values, out)
