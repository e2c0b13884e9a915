"""Baselines are the operators they name, through the same engine and the same file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from xdownscale.checkpoint import load, save
from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import G5NR, INTERPOLATIONS, MERRA2, refined, upsampling
from xdownscale.inference.engine import Options, draw
from xdownscale.models.baselines import climatology, interpolation, quantile_mapping
from xdownscale.models.members import MemberByMember
from xdownscale.patches import Tiling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xdownscale.models.card import Card
    from xdownscale.models.downscaler import Downscaler

GRID = MERRA2.window((216, 6), (352, 5))
OPTIONS = Options((0, 1), 0, "draw", Sampler("direct", 1), Tiling(), conserve=False)


def lognormal(seed: int = 1) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(-2, 0.5, (1, *GRID.shape)))


def drawn(model: Downscaler, y: np.ndarray) -> np.ndarray:
    return draw(model, y, GRID, [0], OPTIONS).values[:, 0]


@pytest.mark.parametrize("name", sorted(INTERPOLATIONS))
def test_interpolation_is_its_operator_after_a_file(
    make_card: Callable[..., Card], tmp_path: Path, name: str
) -> None:
    card = make_card()
    save(interpolation(name, card), tmp_path / "b.safetensors")
    model, y = load(tmp_path / "b.safetensors"), lognormal()
    operator = upsampling(GRID, refined(GRID, G5NR), INTERPOLATIONS[name])
    expected = model.scaling.inverse(operator(model.scaling.forward(y[0])))
    for member in drawn(model, y):
        np.testing.assert_allclose(member, expected, rtol=1e-5)
    assert model.card.training["synthetic"] is False


def test_nearest_keeps_the_coarse_values(make_card: Callable[..., Card]) -> None:
    y = lognormal()
    fine = drawn(interpolation("nearest", make_card()), y)[0]
    np.testing.assert_allclose(np.unique(fine.round(5)), np.sort(y.ravel()), atol=1e-5)


def test_quantile_mapping_gives_the_fine_distribution(make_card: Callable[..., Card]) -> None:
    """A coarse record that is the fine one's square root: the map squares."""
    rng = np.random.default_rng(2)
    fine = rng.lognormal(-2, 0.5, 20_000)
    model = quantile_mapping(make_card(), np.sqrt(fine), fine)
    y = np.full((1, *GRID.shape), 0.4)
    np.testing.assert_allclose(drawn(model, y)[0], 0.16, rtol=0.01)


def test_unknown(make_card: Callable[..., Card]) -> None:
    with pytest.raises(ValueError, match="interpolation is 'lanczos': expected one of"):
        interpolation("lanczos", make_card())


class TestClimatology:
    """What the residual is like in the season, without a look at the day."""

    @pytest.fixture
    def like(self, make_card: Callable[..., Card]) -> Downscaler:
        """A model whose residual is 1.5 on average and half as variable as usual, everywhere."""
        from xdownscale.models.climatology import Climatology
        from xdownscale.models.downscaler import Downscaler

        fine = refined(GRID, G5NR)
        maps = np.stack([np.full(fine.shape, 1.5), np.full(fine.shape, np.log(0.5))])
        known = Climatology.of(maps, fine)
        parts = make_card().architecture | {"climatology": known.to_dict(), "encoder": None}
        parts["denoiser"] = parts["denoiser"] | {"condition": 6, "context": []}
        card = make_card(architecture=parts, statics=("climatology", "season"), upsampling="linear")
        built = Downscaler.build(card)
        return Downscaler(card, built.denoiser, climatology=known)

    def test_mean_and_deviation(self, like: Downscaler, tmp_path: Path) -> None:
        save(climatology(like), tmp_path / "c.safetensors")
        model, y = load(tmp_path / "c.safetensors"), np.full((1, *GRID.shape), 0.2)
        options = Options(tuple(range(4)), 0, "draw", model.sampler, Tiling(), conserve=False)
        z = model.scaling.forward(draw(model, y, GRID, [0], options).values[:, 0])
        r = (z - model.scaling.forward(0.2)) / model.card.residual_scale
        assert r.mean() == pytest.approx(1.5, abs=0.02)
        assert r.std() == pytest.approx(0.5, rel=0.03)
        assert np.corrcoef(r[0].ravel(), r[1].ravel())[0, 1] == pytest.approx(0, abs=0.05)
        assert model.card.training["data"].startswith("the residual's climate on the days that tiny learned")

    def test_what_the_model_was_calibrated_with_is_not_its_own(self, like: Downscaler) -> None:
        moved = MemberByMember((0.0,), (0.5,), (3.0,), (1.0,), (2.0,)).to_dict()
        fitted = {"inflation": {"1": [2.0]}, "member_by_member": {"1": moved, "fast": moved}}
        calibrated = like.with_card(replace(like.card, **fitted))
        y = lognormal()
        models = climatology(calibrated), climatology(like)
        options = replace(OPTIONS, sampler=models[0].sampler)
        one, other = (draw(model, y, GRID, [0], options).values for model in models)
        np.testing.assert_array_equal(one, other)

    def test_a_model_without_one(self, make_card: Callable[..., Card]) -> None:
        from xdownscale.models.downscaler import Downscaler

        with pytest.raises(ValueError, match="expected 'flow' and a climatology among the maps"):
            climatology(Downscaler.build(make_card()))
