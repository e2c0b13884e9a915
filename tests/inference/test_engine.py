"""The engine: known networks give known fields, whatever the patches, batches, threads and company."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import G5NR, MERRA2, Grid, coarsening, refined, upsampling
from xdownscale.inference.day import DAY_US, Day, Domain, history, lay
from xdownscale.inference.engine import Options, chance, draw
from xdownscale.inference.sequence import Past
from xdownscale.models import conditioning
from xdownscale.models.climatology import Climatology
from xdownscale.models.downscaler import Downscaler
from xdownscale.models.members import MemberByMember, scales
from xdownscale.noise import Spectrum, instant, shaped
from xdownscale.patches import Tiling
from xdownscale.training import TrainConfig
from xdownscale.training.pairs import Pairs, Record

if TYPE_CHECKING:
    from xdownscale.models.card import Card

Formula = Callable[[Tensor, Tensor, Tensor], Tensor]
GRID = MERRA2.window((216, 6), (352, 5))
SMALL = Tiling(patch=48, halo=8, ramp=8)
TODAY = instant(np.datetime64("2005-07-02T12"))
OPTIONS = Options((0,), 4, "draw", Sampler("midpoint", 4), SMALL, conserve=False)


class Known(nn.Module):
    """A denoiser that is a formula of (x_t, t, condition); it counts and notes its calls."""

    strides, multiple = (2, 4, 8), 8

    def __init__(self, formula: Formula) -> None:
        super().__init__()
        self.formula = formula
        self.levels: list[float] = []
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(
        self, x_t: Tensor, level: Tensor, condition: Tensor, context: Sequence[Tensor] | None
    ) -> Tensor:
        self.levels += level.tolist()
        return self.formula(x_t, level.view(-1, 1, 1, 1), condition)


def nothing(x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
    """What `flow` predicts where x0 is zero."""
    return x_t / t


def fresh(x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
    """What a fresh network predicts: in `flow` the noise then is the residual."""
    return torch.zeros_like(x_t)


@pytest.fixture
def known(make_card: Callable[..., Card]) -> Callable[..., Downscaler]:
    """A model without encoder whose denoiser is a formula."""

    def make(formula: Formula, **changes: Any) -> Downscaler:
        model = Downscaler.build(plain(make_card, **changes))
        model.denoiser = Known(formula)  # type: ignore[assignment]
        return model

    return make


def plain(make_card: Callable[..., Card], **changes: Any) -> Card:
    denoiser = make_card().architecture["denoiser"] | {"context": []}
    return make_card(
        **(
            {"architecture": {"encoder": None, "denoiser": denoiser, "climatology": None}, "inflation": {}}
            | changes
        )
    )


@pytest.fixture
def local_model(make_card: Callable[..., Card]) -> Downscaler:
    """Random weights and no encoder: what it says depends on what is near."""
    torch.manual_seed(11)
    model = Downscaler.build(plain(make_card))
    with torch.no_grad():
        for weight in model.denoiser.parameters():
            weight.add_(0.05 * torch.randn(weight.shape))
    return model


def lognormal(grid: Grid, days: int = 1, seed: int = 0) -> np.ndarray:
    return np.exp(0.8 * np.random.default_rng(seed).normal(size=(days, *grid.shape)) - 1.5)


def upsampled(model: Downscaler, coarse: np.ndarray, grid: Grid) -> np.ndarray:
    """T^-1 U T y: a fine field of no residual."""
    u = upsampling(grid, refined(grid, G5NR), model.card.upsampling)  # type: ignore[arg-type]
    return np.maximum(model.scaling.inverse(u(np.asarray(model.scaling.forward(coarse)))), 0.0)


def calls(model: Downscaler) -> list[float]:
    assert isinstance(model.denoiser, Known)
    return model.denoiser.levels


class TestIdentity:
    @pytest.mark.parametrize(
        ("window", "tiling"),
        [
            (((216, 6), (352, 5)), Tiling()),
            (((216, 6), (352, 5)), SMALL),
            (((216, 6), (352, 5)), Tiling(patch=None, halo=16)),
            (((216, 6), (352, 5)), Tiling(patch=16, halo=4, ramp=4, stride=8, merge="final", batch=3)),
            (((216, 1), (352, 1)), SMALL),
            (((0, 4), (352, 5)), SMALL),  # the south pole
            (((357, 4), (352, 5)), SMALL),  # the north pole
            (((216, 4), (573, 6)), SMALL),  # the dateline
        ],
    )
    @pytest.mark.parametrize("method", ["cubic", "linear"])
    def test_is_the_upsampled_field(
        self, known: Callable[..., Downscaler], window: Any, tiling: Tiling, method: str
    ) -> None:
        grid, model = MERRA2.window(*window), known(nothing, upsampling=method)
        y = lognormal(grid)
        out = draw(model, y, grid, [TODAY], replace(OPTIONS, tiling=tiling))
        np.testing.assert_allclose(out.values[0, 0], upsampled(model, y[0], grid), rtol=3e-6)

    def test_round_the_globe(self, known: Callable[..., Downscaler]) -> None:
        band = MERRA2.window((216, 3), (0, 576))
        model, y = known(nothing), lognormal(band)
        tiling = Tiling(patch=88, halo=8, ramp=8)  # 64 divides 5760
        out = draw(model, y, band, [TODAY], replace(OPTIONS, tiling=tiling, sampler=Sampler("euler", 1)))
        assert out.values.shape[-1] == 5760
        np.testing.assert_allclose(out.values[0, 0], upsampled(model, y[0], band), rtol=3e-6)

    @pytest.mark.parametrize("sampler", [Sampler("dpmpp", 4), Sampler("ddim", 3), Sampler("ddpm", 5)])
    def test_ddpm(self, known: Callable[..., Downscaler], sampler: Sampler) -> None:
        """x0 = alpha x - sigma v = 0 for v = x alpha / sigma."""
        half_pi = 0.5 * np.pi
        model = known(
            lambda x, t, _: x / torch.tan(half_pi * t),
            process="ddpm",
            sampler={"name": "dpmpp", "evaluations": 4},
        )
        y = lognormal(GRID)
        out = draw(model, y, GRID, [TODAY], replace(OPTIONS, sampler=sampler))
        np.testing.assert_allclose(out.values[0, 0], upsampled(model, y[0], GRID), rtol=1e-5)

    def test_known_residual(self, known: Callable[..., Downscaler]) -> None:
        """x0 = tanh of the condition's base: it comes out at its place, scaled and back through T."""
        model = known(lambda x, t, c: (x - torch.tanh(c[:, :1])) / t)
        y = lognormal(GRID)
        out = draw(model, y, GRID, [TODAY], OPTIONS)
        u = upsampling(GRID, refined(GRID, G5NR), "cubic")
        base = u(np.asarray(model.scaling.forward(y[0])))
        expected = model.scaling.inverse(base + model.card.residual_scale * np.tanh(base))
        np.testing.assert_allclose(out.values[0, 0], np.maximum(expected, 0), rtol=1e-5)


class TestNoise:
    def residual(self, model: Downscaler, out: np.ndarray, y: np.ndarray, grid: Grid) -> np.ndarray:
        z, base = (np.asarray(model.scaling.forward(a)) for a in (out, upsampled(model, y, grid)))
        return (z - base) / model.card.residual_scale

    @pytest.mark.parametrize("product", ["draw", "mean"])
    def test_is_the_field_s_own(self, known: Callable[..., Downscaler], product: Any) -> None:
        """A fresh network draws the noise of (seed, member, instant, absolute cell), times the inflation."""
        spectrum = Spectrum(tuple(np.linspace(1.0, 0.05, 17)), 1e-3, 8)
        model = known(fresh, spectrum=spectrum.to_dict(), inflation={"4": [1.25]}, residual_scale=0.05)
        y = lognormal(GRID) + 0.5
        out = draw(model, y, GRID, [TODAY], replace(OPTIONS, members=(3, 0), product=product))
        fine = refined(GRID, G5NR)
        for j, member in enumerate((3, 0)):
            e = shaped(
                spectrum.kernel(),
                (fine.y.start, fine.y.size),
                (fine.x.start, fine.x.size),
                seed=4,
                member=member,
                instant=TODAY,
                period=5760,
            )
            r = self.residual(model, out.values[j, 0], y[0], GRID)
            np.testing.assert_allclose(r, (1.25 if product == "draw" else 1.0) * e, atol=2e-4)

    def test_seeds_members_and_days_differ(self, known: Callable[..., Downscaler]) -> None:
        model, y = known(fresh), lognormal(GRID)[[0, 0]]
        options = replace(OPTIONS, members=(0, 1))
        a = draw(model, y, GRID, [TODAY, TODAY + DAY_US], options).values
        b = draw(model, y, GRID, [TODAY, TODAY + DAY_US], replace(options, seed=5)).values
        drawn = [*a.reshape(4, -1), *b.reshape(4, -1)]
        assert np.isfinite(np.asarray(drawn)).all()
        base = np.log(upsampled(model, y[0], GRID) + 1e-3).ravel()
        noise = np.log(np.asarray(drawn, dtype=np.float64) + 1e-3) - base
        correlation = np.corrcoef(noise) - np.eye(8)
        assert np.abs(correlation).max() < 0.1

    def test_instants(self, known: Callable[..., Downscaler]) -> None:
        """Equal instants draw alike; a day without a time is drawn too, and always the same."""
        model, y = known(fresh), lognormal(GRID)
        us = instant(np.datetime64("2005-07-02T12:00:00", "ns"))
        same = [draw(model, y, GRID, [t], OPTIONS).values for t in (TODAY, us, None, None)]
        np.testing.assert_array_equal(same[0], same[1])
        np.testing.assert_array_equal(same[2], same[3])
        assert not np.array_equal(same[0], same[2])


class TestMemberByMember:
    """A draw that is 0.3 + g e, of a residual of mean 0.3 and deviation 0.6, moved about the mean."""

    def formula(self, x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        x = x_t - 0.3 * (1 - t)
        return x * (t - (1 - t) * 0.36) / ((1 - t) ** 2 * 0.36 + t**2) - 0.3

    def climate(self) -> Climatology:
        """A log deviation of -1 on the domain's northern half, and nothing known, 0, elsewhere."""
        fine = refined(GRID, G5NR)
        half = G5NR.window((fine.y.start + 24, 24), (fine.x.start, fine.x.size))
        return Climatology.of(np.stack([np.zeros(half.shape), np.full(half.shape, -1.0)]), half)

    @pytest.mark.parametrize("merge", ["step", "final"])
    def test_by_the_cell_s_climate(self, known: Callable[..., Downscaler], merge: Any) -> None:
        climate, fitted = (
            self.climate(),
            fitted_to([-1.0, 0.0], [0.5, 2.0], [1.0, 0.2], [0.0, 3.0]),
        )
        parts = known(self.formula).card.architecture | {"climatology": climate.to_dict()}
        models = [
            known(self.formula, architecture=parts, residual_scale=0.05, member_by_member=moved)
            for moved in ({}, {"4": fitted})
        ]
        for model in models:
            model.climatology = climate
        y = lognormal(GRID) + 0.5
        options = replace(OPTIONS, members=(0, 2), tiling=replace(SMALL, merge=merge))
        before, after = (
            np.log(draw(m, y, GRID, [TODAY], options).values + m.card.scaling["floor"]) for m in models
        )
        scale = models[0].scaling.to_dict()["std"] * 0.05
        base = np.log(upsampled(models[0], y[0], GRID) + 1e-3)
        e, moved = ((z[:, 0] - base) / scale - 0.3 for z in (before, after))
        assert np.std(e) > 0.3
        if merge == "final":  # every patch is moved, then they are merged
            core = np.s_[:, 14:20, 14:20], np.s_[:, 30:34, 14:20]
            south, north = (np.abs(moved[c]).mean() / np.abs(e[c]).mean() for c in core)
            assert south > 2
            assert north < 0.8
            return
        for rows, factor, width, tail in ((slice(0, 24), 2.0, 0.2, 3.0), (slice(24, 48), 0.5, 1.0, 0.0)):
            square = (e[:, rows] / width) ** 2
            expected = factor * e[:, rows] * (1 + tail * square / (1 + square))
            np.testing.assert_allclose(moved[:, rows], expected, atol=5e-3)

    @pytest.mark.parametrize("merge", ["step", "final"])
    def test_by_a_scale_of_the_member_s_own(self, known: Callable[..., Downscaler], merge: Any) -> None:
        """exp(a xi - a**2), of noise that is seed's, member's, instant's and cell's and not the patch's."""
        climate, plain = self.climate(), fitted_to([-1.0, 0.0], [1.0] * 2, [1.0] * 2, [0.0] * 2)
        parts = known(self.formula).card.architecture | {"climatology": climate.to_dict()}
        y = lognormal(GRID) + 0.5
        options = replace(OPTIONS, members=(2, 5), tiling=replace(SMALL, merge=merge))
        models = [
            known(self.formula, architecture=parts, residual_scale=0.05, member_by_member={"4": fitted})
            for fitted in (plain, plain | {"scatter": [0.6, 0.2]})
        ]
        for model in models:
            model.climatology = climate
        scale = models[0].scaling.to_dict()["std"] * 0.05
        base = np.log(upsampled(models[0], y[0], GRID) + 1e-3)
        before, after = (
            (np.log(draw(m, y, GRID, [TODAY], options).values[:, 0] + 1e-3) - base) / scale - 0.3
            for m in models
        )
        fine = refined(GRID, G5NR)
        noise = np.stack([chance(fine, options.seed, m, TODAY) for m in (2, 5)])
        row = np.arange(fine.y.size)[:, None]
        expected = scales(noise, np.where((row >= 24) & (row < 48), 0.6, 0.2))
        assert np.ptp(expected) > 0.2
        np.testing.assert_allclose(after, expected * before, atol=8e-3)

    def test_other_numbers_of_evaluations_take_the_nearest(self, known: Callable[..., Downscaler]) -> None:
        near, far = (fitted_to([0.0], [f], [1.0], [0.0]) for f in (0.5, 2.0))
        y, options = lognormal(GRID), replace(OPTIONS, sampler=Sampler("midpoint", 2))
        one, two, three = (
            draw(known(self.formula, member_by_member=m, residual_scale=0.05), y, GRID, [TODAY], options)
            for m in ({"4": near, "16": far}, {"2": near}, {"fast": far})
        )
        np.testing.assert_array_equal(one.values, two.values)
        bare = draw(known(self.formula, residual_scale=0.05), y, GRID, [TODAY], options)
        np.testing.assert_array_equal(three.values, bare.values, "what was fitted for `fast` is its own")
        assert not np.array_equal(one.values, bare.values)

    def test_the_mean_stays(self, known: Callable[..., Downscaler]) -> None:
        fitted = fitted_to([0.0], [0.5], [1.0], [0.0])
        y, options = lognormal(GRID), replace(OPTIONS, product="mean")
        one = draw(known(self.formula, member_by_member={"4": fitted}), y, GRID, [TODAY], options)
        two = draw(known(self.formula), y, GRID, [TODAY], options)
        np.testing.assert_array_equal(one.values, two.values)


def fitted_to(climate: list[float], factor: list[float], width: list[float], tail: list[float]) -> Any:
    """What a card holds of members moved about their mean."""
    slope = [1.0] * len(climate)
    return MemberByMember(*map(tuple, (climate, slope, factor, width, tail))).to_dict()


class TestSameBits:
    def test_members_one_by_one(self, tiny_model: Downscaler) -> None:
        y = lognormal(GRID)
        together = draw(tiny_model, y, GRID, [TODAY], replace(OPTIONS, members=(0, 1, 5), conserve=True))
        for j, member in enumerate((0, 1, 5)):
            alone = draw(tiny_model, y, GRID, [TODAY], replace(OPTIONS, members=(member,), conserve=True))
            np.testing.assert_array_equal(alone.values[0], together.values[j])
            assert alone.residual[0] == together.residual[j]

    @pytest.mark.parametrize("batch", [2, 5])
    def test_batch(self, tiny_model: Downscaler, batch: int) -> None:
        y = lognormal(GRID)
        a = draw(tiny_model, y, GRID, [TODAY], OPTIONS)
        b = draw(tiny_model, y, GRID, [TODAY], replace(OPTIONS, tiling=replace(SMALL, batch=batch)))
        np.testing.assert_array_equal(a.values, b.values)

    def test_threads(self, tiny_model: Downscaler) -> None:
        y, found = lognormal(GRID), []
        before = torch.get_num_threads()
        try:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                found.append(draw(tiny_model, y, GRID, [TODAY], OPTIONS).values)
        finally:
            torch.set_num_threads(before)
        np.testing.assert_array_equal(*found)

    def test_order_and_choice_of_days(self, tiny_model: Downscaler) -> None:
        """History is found by instant: days in any order, or some of them, are the same days."""
        y = lognormal(GRID, 4)
        times = [TODAY + d * DAY_US for d in range(4)]
        straight = draw(tiny_model, y, GRID, times, OPTIONS)
        order = [2, 0, 3, 1]
        mixed = draw(tiny_model, y[order], GRID, [times[d] for d in order], OPTIONS)
        np.testing.assert_array_equal(mixed.values, straight.values[:, order])
        some = draw(tiny_model, y, GRID, times, OPTIONS, days=[3, 1])
        np.testing.assert_array_equal(some.values, straight.values[:, [3, 1]])
        assert not np.array_equal(  # and history does matter
            draw(tiny_model, y[3:], GRID, times[3:], OPTIONS).values, straight.values[:, 3:]
        )

    def test_global_state_does_not_matter(self, tiny_model: Downscaler) -> None:
        y = lognormal(GRID)
        torch.manual_seed(1)
        a = draw(tiny_model, y, GRID, [TODAY], OPTIONS).values
        torch.manual_seed(2)
        kept = y.copy()
        np.testing.assert_array_equal(a, draw(tiny_model, y, GRID, [TODAY], OPTIONS).values)
        np.testing.assert_array_equal(y, kept)  # nor is the input touched


class TestPatches:
    def test_interior_of_a_crop_is_the_whole_s(self, local_model: Downscaler) -> None:
        """Two evaluations of a network that reaches 48 cells: 116 cells from the edge nothing is felt."""
        whole, part = MERRA2.window((200, 44), (340, 36)), MERRA2.window((203, 36), (342, 30))
        y = lognormal(whole)
        options = replace(OPTIONS, tiling=Tiling(patch=176, halo=48, ramp=16), sampler=Sampler("midpoint", 2))
        a = draw(local_model, y, whole, [TODAY], options).values[0, 0]
        b = draw(local_model, y[:, 3:39, 2:32], part, [TODAY], options).values[0, 0]
        fine_a, fine_b = refined(whole, G5NR), refined(part, G5NR)
        top, left = fine_b.y.start - fine_a.y.start, fine_b.x.start - fine_a.x.start
        a = a[top : top + b.shape[0], left : left + b.shape[1]]
        inner = (slice(116, -116), slice(116, -116))
        spread = float(np.std(a / b.mean()))
        assert float(np.abs(a - b)[inner].max() / b.mean()) < 1e-5 * spread
        assert float(np.abs(a - b).max() / b.mean()) > 1e-3 * spread  # the edge is felt at the edge

    def test_patches_equal_one_patch(self, local_model: Downscaler) -> None:
        """Where the halo is as wide as the reach, merging changes nothing but rounding."""
        grid = MERRA2.window((210, 24), (340, 20))
        y = lognormal(grid)
        one = draw(local_model, y, grid, [TODAY], replace(OPTIONS, tiling=Tiling(patch=None, halo=48)))
        many = draw(local_model, y, grid, [TODAY], replace(OPTIONS, tiling=Tiling(patch=176, halo=48)))
        error = np.abs(one.values - many.values).max() / one.values.std()
        assert error < 1e-5
        narrow = draw(local_model, y, grid, [TODAY], replace(OPTIONS, tiling=Tiling(patch=64, halo=0)))
        assert np.abs(one.values - narrow.values).max() / one.values.std() > 10 * error

    def test_final_loses_variance_and_step_does_not(self, known: Callable[..., Downscaler]) -> None:
        """Independent noise w-averaged over patches keeps sum w^2 of its variance; merged steps keep all."""
        grid = MERRA2.window((210, 12), (340, 12))
        model, y = known(fresh, residual_scale=0.05), np.full((1, *grid.shape), 0.5)
        final = Tiling(patch=48, halo=0, ramp=16, stride=16, merge="final")
        kept, centre = [], (slice(30, -30), slice(30, -30))
        for tiling in (final, replace(final, merge="step")):
            out = draw(model, y, grid, [TODAY], replace(OPTIONS, tiling=tiling, members=tuple(range(6))))
            r = (np.log(out.values[:, 0] + 1e-3) - np.log(0.501)) / 1.5 / 0.05
            kept.append(float(r[(..., *centre)].var()))
        place = lay(model, grid, final)
        squares = np.zeros(place.shape)
        for k in place:
            place.accumulate(squares, k, place.weight(k))
        fine = refined(grid, G5NR)
        inner = place.inner((fine.y.start, fine.y.size), (fine.x.start, fine.x.size))
        expected = float(squares[inner][centre].mean())
        assert expected < 0.25
        assert kept[0] == pytest.approx(expected, rel=0.03)
        assert kept[1] == pytest.approx(1.0, rel=0.02)

    @pytest.mark.parametrize("batch", [1, 4])
    def test_final_draws_the_same_for_any_batch(self, known: Callable[..., Downscaler], batch: int) -> None:
        tiling = Tiling(patch=16, halo=4, ramp=4, stride=8, merge="final", batch=batch)
        model, y = known(fresh), lognormal(GRID)
        a = draw(model, y, GRID, [TODAY], replace(OPTIONS, tiling=tiling)).values
        b = draw(model, y, GRID, [TODAY], replace(OPTIONS, tiling=replace(tiling, batch=3))).values
        np.testing.assert_allclose(a, b, rtol=1e-6)

    def test_final_with_an_encoder(self, tiny_model: Downscaler) -> None:
        """One patch over all is the same field, but for its own noise: the mean product has no noise."""
        tiling = Tiling(patch=96, halo=0, ramp=0, stride=96, merge="final")
        y = lognormal(GRID)
        a = draw(tiny_model, y, GRID, [TODAY], replace(OPTIONS, tiling=tiling, product="mean"))
        b = draw(tiny_model, y, GRID, [TODAY], replace(OPTIONS, tiling=tiling))
        assert np.isfinite(a.values).all()
        assert np.isfinite(b.values).all()
        assert not np.array_equal(a.values, b.values)


class TestCalls:
    @pytest.mark.parametrize(
        ("sampler", "levels"),
        [
            (Sampler("midpoint", 2), [1.0, 0.5]),
            (Sampler("midpoint", 4), [1.0, 0.75, 0.5, 0.25]),
            (Sampler("euler", 3), [1.0, 2 / 3, 1 / 3]),
        ],
    )
    def test_as_many_as_evaluations(
        self, known: Callable[..., Downscaler], sampler: Sampler, levels: list[float]
    ) -> None:
        model = known(nothing)
        draw(model, lognormal(GRID), GRID, [TODAY], replace(OPTIONS, sampler=sampler, members=(0, 1)))
        patches = len(lay(model, GRID, SMALL))
        assert patches > 4
        expected = [t for t in levels for _ in range(patches)] * 2
        assert calls(model) == pytest.approx(expected)

    def test_final(self, known: Callable[..., Downscaler]) -> None:
        model = known(nothing)
        tiling = Tiling(patch=48, halo=8, ramp=8, merge="final", batch=4)
        draw(model, lognormal(GRID), GRID, [TODAY], replace(OPTIONS, tiling=tiling))
        assert len(calls(model)) == 4 * len(lay(model, GRID, tiling))

    def test_mean_is_one(self, known: Callable[..., Downscaler]) -> None:
        model = known(nothing)
        out = draw(model, lognormal(GRID), GRID, [TODAY], replace(OPTIONS, product="mean"))
        assert calls(model) == [1.0] * len(lay(model, GRID, SMALL))
        np.testing.assert_allclose(out.values[0, 0], upsampled(model, lognormal(GRID)[0], GRID), rtol=3e-6)

    def test_fitted_times(self, known: Callable[..., Downscaler]) -> None:
        model = known(nothing, times={"4": [1.0, 0.7, 0.0]})
        options = replace(OPTIONS, tiling=Tiling())
        draw(model, lognormal(GRID), GRID, [TODAY], options)
        assert calls(model) == pytest.approx([1.0, 0.85, 0.7, 0.35])
        calls(model).clear()
        draw(model, lognormal(GRID), GRID, [TODAY], replace(options, sampler=Sampler("midpoint", 2)))
        assert calls(model) == pytest.approx([1.0, 0.5])

    def test_advance(self, known: Callable[..., Downscaler]) -> None:
        y, done = lognormal(GRID, 3), []
        y[1] = np.nan
        times = [TODAY + d * DAY_US for d in range(3)]
        draw(known(nothing), y, GRID, times, replace(OPTIONS, members=(0, 1)), advance=done.append)
        assert done == [1] * 4


class TestConservation:
    def test_coarse_mean_is_the_input(self, tiny_model: Downscaler) -> None:
        y = lognormal(GRID, 2)
        times = [TODAY, TODAY + DAY_US]
        options = replace(OPTIONS, members=(0, 1), conserve=True)
        out = draw(tiny_model, y, GRID, times, options)
        a = coarsening(refined(GRID, G5NR), GRID)
        for member in out.values:
            np.testing.assert_allclose(np.stack([a(day) for day in member]), y, rtol=1e-5)
        assert (out.values >= 0).all()

    def test_residual_before_is_reported(self, tiny_model: Downscaler) -> None:
        y = lognormal(GRID)
        raw = draw(tiny_model, y, GRID, [TODAY], OPTIONS)
        made = draw(tiny_model, y, GRID, [TODAY], replace(OPTIONS, conserve=True))
        a = coarsening(refined(GRID, G5NR), GRID)
        error = np.abs(a(raw.values[0, 0]) / y[0] - 1).max()
        assert error > 0.05
        assert raw.residual[0, 0] == pytest.approx(error, rel=1e-5)
        assert made.residual[0, 0] == raw.residual[0, 0]

    def test_beside_gaps(self, tiny_model: Downscaler) -> None:
        y = lognormal(GRID)
        y[0, 2, 3] = y[0, 0, 0] = np.nan
        out = draw(tiny_model, y, GRID, [TODAY], replace(OPTIONS, conserve=True)).values[0, 0]
        a = coarsening(refined(GRID, G5NR), GRID)
        found, whole = a(out), np.isfinite(a(out))
        assert whole.sum() > 10
        np.testing.assert_allclose(found[whole], y[0][whole], rtol=1e-5)


class TestGaps:
    def test_missing_where_no_valid_cell_is_touched(self, tiny_model: Downscaler) -> None:
        """Brute force, from edges: a fine cell is missing if all coarse cells under it are."""
        y = lognormal(GRID)
        y[0, 2:4, 1:3] = np.nan
        y[0, 5, 4] = np.nan
        out = draw(tiny_model, y, GRID, [TODAY], replace(OPTIONS, conserve=True)).values[0, 0]
        fine = refined(GRID, G5NR)
        touched = np.zeros(fine.shape, dtype=bool)
        for i, j in zip(*np.nonzero(np.isfinite(y[0])), strict=True):
            rows, columns = (
                (f.edges[1:] > c.edges[n] + 1e-9) & (f.edges[:-1] < c.edges[n + 1] - 1e-9)
                for f, c, n in ((fine.y, GRID.y, i), (fine.x, GRID.x, j))
            )
            touched |= rows[:, None] & columns[None, :]
        np.testing.assert_array_equal(np.isfinite(out), touched)
        assert 0.02 < 1 - touched.mean() < 0.3

    def test_what_lies_in_a_gap_cannot_matter(self, local_model: Downscaler) -> None:
        """Gaps are filled from beside, so that a hole far away does not change a cell."""
        y = lognormal(MERRA2.window((210, 12), (340, 12)))
        grid = MERRA2.window((210, 12), (340, 12))
        gappy = y.copy()
        gappy[0, 0, 0] = np.nan
        options = replace(OPTIONS, sampler=Sampler("euler", 1))
        a, b = (draw(local_model, f, grid, [TODAY], options).values[0, 0] for f in (y, gappy))
        np.testing.assert_allclose(a[80:, 80:], b[80:, 80:], rtol=1e-5)
        assert not np.isfinite(b[:7, :7]).any()

    def test_empty_day(self, tiny_model: Downscaler) -> None:
        """It stays empty, costs nothing, and is no history for the next."""
        y = lognormal(GRID, 3)
        y[1] = np.nan
        times = [TODAY + d * DAY_US for d in range(3)]
        out = draw(tiny_model, y, GRID, times, OPTIONS)
        assert np.isnan(out.values[:, 1]).all()
        assert np.isnan(out.residual[:, 1]).all()
        assert np.isfinite(out.values[:, [0, 2]]).all()
        without = draw(tiny_model, y[[0, 2]], GRID, [times[0], times[2]], OPTIONS)
        np.testing.assert_array_equal(without.values, out.values[:, [0, 2]])

    def test_negative_input_counts_as_zero(self, tiny_model: Downscaler) -> None:
        y = lognormal(GRID)
        y[0, 1, 1] = -1e-7
        out = draw(tiny_model, y, GRID, [TODAY], replace(OPTIONS, conserve=True)).values
        assert np.isfinite(out).all()
        assert (out >= 0).all()

    def test_zero_field(self, tiny_model: Downscaler) -> None:
        out = draw(tiny_model, np.zeros((1, *GRID.shape)), GRID, [TODAY], replace(OPTIONS, conserve=True))
        assert float(np.abs(out.values).max()) < 1e-5


class TestHistory:
    @pytest.mark.parametrize(
        ("days", "today", "expected"),
        [
            ([0, 1, 2, 3], 3, [1, 2, 3]),
            ([3, 1, 0, 2], 0, [1, 3, 0]),
            ([0, 1, 3], 2, [1, None, 2]),
            ([5], 0, [None, None, 0]),
            ([0, 1, 2], 0, [None, None, 0]),  # the future is no history
            ([0.0, 1.01, 2.0], 2, [0, 1, 2]),  # a quarter of an hour late
            ([0.0, 1.25, 2.0], 2, [0, None, 2]),  # six hours are not
        ],
    )
    def test_by_instant(self, days: list[float], today: int, expected: list[int | None]) -> None:
        assert history([int(d * DAY_US) for d in days], today, 3) == expected

    def test_without_time(self) -> None:
        assert history([None, None], 1, 3) == [None, None, 1]
        assert history([0, None], 1, 2) == [None, 1]
        assert history([None, DAY_US], 1, 2) == [None, 1]

    def test_repeated_instants(self) -> None:
        """The first of equal days is taken, but today is today."""
        assert history([0, 0, DAY_US, DAY_US], 3, 2) == [0, 3]

    def test_other_steps(self) -> None:
        hours = [h * DAY_US // 24 for h in (0, 3, 6)]
        assert history(hours, 2, 3, step=3 * DAY_US // 24) == [0, 1, 2]


class TestSight:
    """A model whose encoder looks at fine cells: its own fine days, or the coarse history brought there."""

    COARSE = np.random.default_rng(3).gamma(2.0, 0.15, (3, *GRID.shape))
    INSTANTS = tuple(TODAY + n * DAY_US for n in range(3))
    WHOLE = replace(OPTIONS, tiling=Tiling(patch=None, halo=8))

    @pytest.fixture
    def fine(self, tiny_model: Downscaler) -> Downscaler:
        return tiny_model.with_card(replace(tiny_model.card, sees="fine"))

    def past(self, days: Sequence[int], seed: int = 0) -> Past:
        shape = (len(days), *refined(GRID, G5NR).shape)
        values = np.random.default_rng(seed).gamma(2.0, 0.15, shape).astype(np.float32)
        return Past(values, tuple(self.INSTANTS[0] + d * DAY_US for d in days))

    def drawn(self, model: Downscaler, past: Past | None, options: Options = WHOLE) -> np.ndarray:
        return draw(model, self.COARSE, GRID, self.INSTANTS, options, days=[2], past=past).values

    def test_none_given(self, fine: Downscaler) -> None:
        with pytest.raises(ValueError, match="encoder of tiny looks at the 3 fine days before the one drawn"):
            self.drawn(fine, None)

    def test_days_before_today_count_and_no_others(self, fine: Downscaler) -> None:
        """History of 3: lags 1 to 3. Today's own truth, later days and older ones are not looked at."""
        some = self.past([-1, 0, 1])
        first = self.drawn(fine, some)
        others = self.past([2, 3, -2], seed=1)
        more = Past(np.concatenate([others.values, some.values]), others.instants + some.instants)
        np.testing.assert_array_equal(self.drawn(fine, more), first)
        less = Past(some.values[1:], some.instants[1:])
        assert np.abs(self.drawn(fine, less) - first).max() > 1e-5

    def test_history_of_coarse_days_is_not_looked_at(self, fine: Downscaler) -> None:
        one = draw(fine, self.COARSE[2:], GRID, self.INSTANTS[2:], self.WHOLE, past=self.past([0, 1])).values
        np.testing.assert_array_equal(one, self.drawn(fine, self.past([0, 1])))

    @pytest.mark.parametrize("sees", ["fine", "upsampled"])
    def test_inference_shows_what_training_shows(self, tiny_model: Downscaler, sees: str) -> None:
        """The levels' maps on one window; an encoder of single cells has no reach to differ by."""
        model = tiny_model.with_card(replace(tiny_model.card, sees=sees))
        with torch.no_grad():
            for weight in model.encoder.parameters():  # type: ignore[union-attr]
                if weight.ndim == 4 and weight.shape[-1] == 3:
                    weight[..., [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0.0
        model = model.with_card(replace(model.card, encoder_digest=None))
        past, crop = self.past([0, 1]), {"degrade": 0.0, "dropout": 0.0, "edges": 0.0}
        domain = Domain(model, GRID, lay(model, GRID, self.WHOLE.tiling))
        fine = Record(np.concatenate([past.values, past.values[:1]]), self.INSTANTS, domain.fine)
        pairs = Pairs(Record(self.COARSE, self.INSTANTS, GRID), fine, ((2, 2),))
        batch = pairs.batch(model, TrainConfig(batch=1, days=1, crop=32, border=0, **crop), 0)  # type: ignore[arg-type]
        with torch.no_grad():
            ours = batch.context(model, GRID)
            theirs = Day.of(domain, self.COARSE, self.INSTANTS, 2, past).context(batch.windows[0][1])
        assert ours is not None
        assert theirs is not None
        assert float(ours[0].std()) > 1e-3
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a[..., 1:-1, 1:-1], b[..., 1:-1, 1:-1], rtol=1e-4, atol=1e-5)

    def test_the_papers_patches(self, fine: Downscaler) -> None:
        """16 x 16, stride 2, halo 4, merged at the end: drawn, finite, and the given days matter."""
        grid = MERRA2.window((216, 2), (352, 2))
        tiling = Tiling(patch=16, halo=4, ramp=4, stride=2, merge="final", batch=64)
        options = Options((0,), 1, "draw", Sampler("midpoint", 2), tiling, conserve=False)
        shape = refined(grid, G5NR).shape
        values = [np.full((1, *shape), v, dtype=np.float32) for v in (0.1, 1.0)]
        one, other = (
            draw(
                fine, self.COARSE[:1, :2, :2], grid, [TODAY], options, past=Past(v, (TODAY - DAY_US,))
            ).values
            for v in values
        )
        assert np.isfinite(one).all()
        assert np.abs(one - other).max() > 1e-5


class TestSharing:
    """What the evaluations and members of a day have in common is made once."""

    @staticmethod
    def counted(model: Downscaler, monkeypatch: pytest.MonkeyPatch, options: Options, days: int) -> list[str]:
        calls: list[str] = []
        for owner, name in ((Downscaler, "seen"), (Downscaler, "maps"), (conditioning, "context")):
            made = getattr(owner, name)
            monkeypatch.setattr(
                owner, name, lambda *a, _f=made, _n=name, **k: (calls.append(_n), _f(*a, **k))[1]
            )
        coarse = np.exp(np.random.default_rng(0).normal(-2, 0.3, (days, *GRID.shape)))
        draw(model, coarse, GRID, [TODAY + i * DAY_US for i in range(days)], options)
        return calls

    @pytest.mark.parametrize("members", [1, 3])
    @pytest.mark.parametrize("evaluations", [2, 4])
    def test_once_a_day(
        self, tiny_model: Downscaler, monkeypatch: pytest.MonkeyPatch, members: int, evaluations: int
    ) -> None:
        options = replace(OPTIONS, members=tuple(range(members)), sampler=Sampler("midpoint", evaluations))
        calls = self.counted(tiny_model, monkeypatch, options, days=2)
        patches = len(lay(tiny_model, GRID, SMALL))
        found = [calls.count(name) for name in ("maps", "context", "seen")]
        assert found == [2, 2 * patches, 2 * patches]
