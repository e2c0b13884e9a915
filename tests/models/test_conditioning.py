"""What the denoiser is told is a function of the absolute window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from xdownscale.grid import G5NR, MERRA2, Grid, refined, upsampling
from xdownscale.models import conditioning
from xdownscale.nn.denoiser import Denoiser
from xdownscale.nn.encoder import Encoder
from xdownscale.noise import instant

if TYPE_CHECKING:
    from collections.abc import Iterator

COARSE = MERRA2.window((200, 14), (340, 13))
NAMES = ("sphere", "fourier", "season")
NOON = instant(np.datetime64("2005-07-02T12:00"))


def around(coarse: Grid, halo: int = 16) -> Grid:
    """The fine cells of a coarse window and some more, from a multiple of 8 to a multiple of 8."""
    fine, spans = refined(coarse, G5NR), []
    for axis in (fine.y, fine.x):
        first = (axis.start - halo) // 8 * 8
        spans.append((first, -(-(axis.start + axis.size + halo - first) // 8) * 8))
    return G5NR.window(spans[0], spans[1])


def inside(whole: Grid, y: tuple[int, int], x: tuple[int, int]) -> tuple[Grid, tuple[slice, slice]]:
    """A window by its place in another one, and that place."""
    window = G5NR.window((whole.y.start + y[0], y[1]), (whole.x.start + x[0], x[1]))
    return window, (slice(y[0], y[0] + y[1]), slice(x[0], x[0] + x[1]))


def field(grid: Grid, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=grid.shape)


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """Fresh networks are zero where it matters: give them weights."""
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return module.eval()


def worst(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest error over the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture
def encoder() -> Encoder:
    return randomised(Encoder(2, (8, 8, 8)))  # type: ignore[return-value]


def history(grid: Grid, days: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(days, 2, *grid.shape)), (rng.random((days, 2, *grid.shape)) < 0.9).astype(float)


class TestChannels:
    def test_counts_what_statics_makes(self) -> None:
        window = G5NR.window((1600, 8), (3000, 16))
        for names in [(), ("season",), ("sphere", "season"), NAMES]:
            made = len(conditioning.statics(names, window, NOON))
            assert conditioning.channels(names) == 2 + made

    def test_unknown(self) -> None:
        with pytest.raises(ValueError, match=r"unknown static maps \['moon'\]: expected some of \['sphere'"):
            conditioning.channels(["season", "moon"])


class TestStatics:
    def test_window_is_the_crop(self) -> None:
        whole = around(COARSE)
        window, place = inside(whole, (24, 40), (8, 56))
        a = conditioning.statics(NAMES, whole, NOON)[(slice(None), *place)]
        assert float((a - conditioning.statics(NAMES, window, NOON)).abs().max()) < 1e-6

    def test_values(self) -> None:
        window = G5NR.window((1440 + 480, 8), (2880 + 1440, 8))  # from 30 N, 90 E
        maps = conditioning.statics(NAMES, window, NOON)[:, 0, 0].double().numpy()
        np.testing.assert_allclose(maps[:4], [0.5, 0.75**0.5, 1.0, 0.0], atol=1e-6)
        five = np.deg2rad(150), np.deg2rad(450)
        np.testing.assert_allclose(maps[4:8], [f(a) for a in five for f in (np.sin, np.cos)], atol=1e-6)

    def test_longitude_has_no_seam(self) -> None:
        west, east = G5NR.window((1600, 8), (0, 8)), G5NR.window((1600, 8), (5760, 8))
        difference = conditioning.statics(NAMES, west, None) - conditioning.statics(NAMES, east, None)
        assert float(difference.abs().max()) < 1e-6

    @pytest.mark.parametrize(
        ("when", "months", "year"),
        [
            ("2005-07-02T12", (), 0.5),
            ("2004-01-01T00", (), 0.0),
            ("1950-04-02T00", (), 0.25),
            (None, (6, 7, 8), 6.5 / 12),
            (None, (12, 1, 2), 0.5 / 12),
            (None, (), 6.5 / 12),
        ],
    )
    def test_season(self, when: str | None, months: tuple[int, ...], year: float) -> None:
        us = None if when is None else instant(np.datetime64(when))
        window = G5NR.window((1600, 2), (3000, 3))
        sine, cosine = conditioning.statics(("season",), window, us, months)[:, 1, 2].tolist()
        angle = 2 * np.pi * year
        assert (sine, cosine) == pytest.approx((np.sin(angle), np.cos(angle)), abs=0.015)  # a day is 0.017


class TestValidity:
    def test_brute_force(self) -> None:
        """Cell centres against the edges of the coarse cells, one by one."""
        valid = np.random.default_rng(2).random(COARSE.shape) < 0.7
        window = around(COARSE)
        y = np.floor((window.y.values - COARSE.y.edges[0]) / COARSE.y.step + 1e-9).astype(int)
        x = np.floor((window.x.values - COARSE.x.edges[0]) / COARSE.x.step + 1e-9).astype(int)
        expected = np.zeros(window.shape)
        doubtful = np.zeros(window.shape, dtype=bool)
        ye, xe = (
            np.abs((a.values - c.edges[0]) / c.step - np.round((a.values - c.edges[0]) / c.step)) < 1e-6
            for a, c in ((window.y, COARSE.y), (window.x, COARSE.x))
        )
        doubtful |= ye[:, None] | xe[None, :]  # a centre on an edge belongs to either
        iy, ix = np.meshgrid(y, x, indexing="ij")
        ok = (iy >= 0) & (iy < COARSE.shape[0]) & (ix >= 0) & (ix < COARSE.shape[1])
        expected[ok] = valid[iy[ok], ix[ok]]
        found = conditioning.validity(valid, COARSE, window).numpy()
        assert set(np.unique(found)) == {0.0, 1.0}
        np.testing.assert_array_equal(found[~doubtful], expected[~doubtful])
        assert doubtful.mean() < 0.25

    def test_the_edge_belongs_to_the_domain(self) -> None:
        """The fine cells of a coarse window are all valid, those one further out are not."""
        fine = refined(COARSE, G5NR)
        ones = np.ones(COARSE.shape, dtype=bool)
        assert float(conditioning.validity(ones, COARSE, fine).min()) == 1.0
        wide = G5NR.window((fine.y.start - 1, fine.y.size + 2), (fine.x.start - 1, fine.x.size + 2))
        outer = conditioning.validity(ones, COARSE, wide)
        assert float(outer.sum()) == fine.y.size * fine.x.size

    def test_round_the_globe(self) -> None:
        band = MERRA2.window((200, 4), (0, 576))
        window = G5NR.window((1608, 8), (5752, 16))
        assert float(conditioning.validity(np.ones(band.shape, dtype=bool), band, window).min()) == 1.0

    def test_windows_a_turn_apart(self) -> None:
        """A domain across the dateline, and a fine window counted from its other side."""
        coarse = MERRA2.window((200, 6), (572, 8))
        ones = np.ones(coarse.shape, dtype=bool)
        near, far = G5NR.window((1608, 24), (5744, 48)), G5NR.window((1608, 24), (5744 - 5760, 48))
        a, b = (conditioning.validity(ones, coarse, w) for w in (near, far))
        assert float(a.min()) == 1.0
        assert torch.equal(a, b)


class TestCondition:
    @pytest.mark.parametrize("method", ["linear", "cubic"])
    def test_window_is_the_crop(self, method: str) -> None:
        z, valid = field(COARSE), field(COARSE, 1) > -1
        whole = around(COARSE)
        full = conditioning.condition(
            z, valid, COARSE, whole, method=method, maps=conditioning.statics(NAMES, whole, NOON)
        )
        for y, x in [((0, 40), (0, 48)), ((48, 64), (80, 72)), ((32, 8), (56, 8))]:
            window, place = inside(whole, y, x)
            cut = conditioning.condition(
                z, valid, COARSE, window, method=method, maps=conditioning.statics(NAMES, window, NOON)
            )
            assert float((cut - full[(slice(None), *place)]).abs().max()) < 1e-6

    @pytest.mark.parametrize("method", ["linear", "cubic"])
    def test_first_channel_is_the_fixed_upsampling(self, method: str) -> None:
        z, fine = field(COARSE), refined(COARSE, G5NR)
        ones = np.ones(COARSE.shape, dtype=bool)
        made = conditioning.condition(
            z, ones, COARSE, fine, method=method, maps=torch.zeros((0, *fine.shape))
        )
        expected = upsampling(COARSE, fine, method)(z)  # type: ignore[arg-type]
        np.testing.assert_allclose(made[0].numpy(), expected, atol=2e-6)
        assert made.shape == (2, *fine.shape)

    def test_a_plane_stays_a_plane(self) -> None:
        """Fine cell centres get the value at their place, not that of a neighbour half a cell away."""
        z = 2 * COARSE.y.values[:, None] - 3 * COARSE.x.values[None, :]
        inner = G5NR.window((1624, 64), (3420, 80))
        made = conditioning.condition(
            z, np.ones(COARSE.shape, dtype=bool), COARSE, inner, method="cubic", maps=torch.zeros((0, 64, 80))
        )
        expected = 2 * inner.y.values[:, None] - 3 * inner.x.values[None, :]
        np.testing.assert_allclose(made[0].numpy(), expected, atol=1e-4)


class TestContext:
    def test_window_is_the_crop(self, encoder: Encoder) -> None:
        denoiser = Denoiser(4, (8, 8, 8), (8, 8, 16), 1, 16)
        maps = denoiser.project(conditioning.encode(encoder, *history(COARSE), COARSE))
        whole = around(COARSE)
        full = conditioning.context(maps, COARSE, whole, denoiser.strides)
        window, (rows, columns) = inside(whole, (24, 64), (40, 88))
        cut = conditioning.context(maps, COARSE, window, denoiser.strides)
        for a, b, s in zip(full, cut, denoiser.strides, strict=True):
            place = slice(rows.start // s, rows.stop // s), slice(columns.start // s, columns.stop // s)
            assert float((a[(..., *place)] - b).detach().abs().max()) < 1e-6

    def test_levels_are_in_register_with_the_field(self) -> None:
        """A level's cell is the mean of the s x s fine cells it stands for."""
        plane = torch.from_numpy(COARSE.y.values[:, None] + 2 * COARSE.x.values[None, :]).float()[None, None]
        window = G5NR.window((1624, 64), (3424, 64))
        fine = torch.from_numpy(window.y.values[:, None] + 2 * window.x.values[None, :]).float()[None, None]
        for level, s in zip(
            conditioning.context([plane] * 3, COARSE, window, (2, 4, 8)), (2, 4, 8), strict=True
        ):
            pooled = torch.nn.functional.avg_pool2d(fine, s)
            assert float((level - pooled).abs().max()) < 1e-4

    def test_a_window_beside_the_lattice_is_in_register_too(self) -> None:
        """The paper's patches, of stride 2, begin between a level's cells; values are at their centres."""
        whole = around(COARSE)
        maps = [torch.from_numpy(np.add.outer(COARSE.y.values, 3 * COARSE.x.values)[None, None])] * 3
        for first in (40, 42, 44, 46):
            window, _ = inside(whole, (first, 16), (first + 2, 16))
            for level, s in zip(
                conditioning.context(maps, COARSE, window, (2, 4, 8)), (2, 4, 8), strict=True
            ):
                y, x = (a.values.reshape(-1, s).mean(axis=1) for a in (window.y, window.x))
                np.testing.assert_allclose(level[0, 0], np.add.outer(y, 3 * x), rtol=1e-6)

    def test_crops_equal_project_and_context(self, encoder: Encoder) -> None:
        denoiser = randomised(Denoiser(4, (8, 8, 8), (8, 8, 16), 1, 16))
        assert isinstance(denoiser, Denoiser)
        features = conditioning.encode(encoder, *history(COARSE, 2), COARSE)
        maps, whole = denoiser.project(features), around(COARSE)
        places = [((0, 48), (0, 48)), ((40, 48), (56, 48)), ((88, 48), (96, 48)), ((8, 48), (104, 48))]
        windows = [(i % 2, inside(whole, y, x)[0]) for i, (y, x) in enumerate(places)]
        many = conditioning.crops(denoiser, features, COARSE, windows)
        for n, (day, window) in enumerate(windows):
            one = conditioning.context([m[day : day + 1] for m in maps], COARSE, window, denoiser.strides)
            for a, b in zip(many, one, strict=True):
                assert worst(a[n], b[0]) < 1e-5

    def test_crops_of_a_domain_smaller_than_the_crop(self, encoder: Encoder) -> None:
        denoiser = randomised(Denoiser(4, (8, 8, 8), (8, 8, 16), 1, 16))
        assert isinstance(denoiser, Denoiser)
        coarse = MERRA2.window((201, 3), (341, 2))
        features = conditioning.encode(encoder, *history(coarse), coarse)
        window = around(coarse, 24)
        many = conditioning.crops(denoiser, features, coarse, [(0, window)])
        one = conditioning.context(denoiser.project(features), coarse, window, denoiser.strides)
        for a, b in zip(many, one, strict=True):
            assert worst(a, b) < 1e-5

    @pytest.mark.parametrize("first", [0, 2880, 5712, 5752, -40])
    def test_crops_at_the_dateline(self, first: int) -> None:
        denoiser = randomised(Denoiser(4, (8, 8, 8), (8, 8, 16), 1, 16))
        assert isinstance(denoiser, Denoiser)
        band = MERRA2.window((200, 14), (0, 576))
        features = [torch.from_numpy(field(band, s)).float().expand(1, 8, -1, -1) for s in range(3)]
        window = G5NR.window((1624, 48), (first, 48))
        many = conditioning.crops(denoiser, features, band, [(0, window)])
        one = conditioning.context(denoiser.project(features), band, window, denoiser.strides)
        for a, b in zip(many, one, strict=True):
            assert worst(a, b) < 1e-5


class TestLifted:
    def test_each_day_is_the_days_own_condition(self) -> None:
        z, known = np.stack([field(COARSE, n) for n in range(2)]), np.ones((2, *COARSE.shape), dtype=bool)
        known[0, 3:5, 2:6] = False
        window = around(COARSE)
        values, mask = conditioning.lifted(np.where(known, z, np.nan), known, COARSE, window, "cubic")
        for day in range(2):
            whole = conditioning.filled(z[day], known[day])
            expected = conditioning.condition(
                whole, known[day], COARSE, window, method="cubic", maps=torch.zeros((0, *window.shape))
            )
            np.testing.assert_allclose(values[day], expected[0], atol=1e-6)
            np.testing.assert_array_equal(mask[day], expected[1])


class TestEncode:
    @pytest.mark.parametrize("start", [(4, 8), (5, 10), (7, 1), (2, 3)])
    def test_pooled_on_the_absolute_lattice(self, encoder: Encoder, start: tuple[int, int]) -> None:
        """A crop that starts anywhere has the features of the whole, out of reach of its edges."""
        whole = MERRA2.window((100, 104), (300, 104))
        values, mask = history(whole)
        sy, sx = start
        part = MERRA2.window((100 + sy, 88), (300 + sx, 90))
        cut = (..., slice(sy, sy + 88), slice(sx, sx + 90))
        a = conditioning.encode(encoder, values, mask, whole)
        b = conditioning.encode(encoder, values[cut], mask[cut], part)
        reach = 36
        for one, two in zip(a, b, strict=True):
            assert two.shape[-2:] == part.shape
            middle = (..., slice(reach, -reach), slice(reach, -reach))
            assert float((one[cut] - two)[middle].abs().max()) < 1e-4 * float(one.std())

    def test_cyclic_wraps(self, encoder: Encoder) -> None:
        """Turning the globe turns the features; the dateline is a place like any other."""
        band = MERRA2.window((200, 8), (0, 576))
        values, mask = history(band)
        plain = conditioning.encode(encoder, values, mask, band)
        turned = conditioning.encode(encoder, *(np.roll(a, 288, axis=-1) for a in (values, mask)), band)
        for a, b in zip(plain, turned, strict=True):
            assert a.shape[-2:] == band.shape
            assert float((torch.roll(a, 288, -1) - b).abs().max()) < 1e-3 * float(a.std())

    @pytest.mark.parametrize("lie", [1e6, np.nan, np.inf])
    def test_masked_values_cannot_leak(self, encoder: Encoder, lie: float) -> None:
        values, mask = history(COARSE)
        plain = conditioning.encode(encoder, values, mask, COARSE)
        changed = conditioning.encode(encoder, np.where(mask > 0, values, lie), mask, COARSE)
        for a, b in zip(plain, changed, strict=True):
            assert torch.equal(a, b)

    def test_a_history_of_another_window(self, encoder: Encoder) -> None:
        history = np.zeros((1, encoder.history, 24, 24))
        with pytest.raises(ValueError, match=r"history has \(24, 24\) cells, the window \(14, 13\)"):
            conditioning.encode(encoder, history, history, COARSE)

    def test_known_values_matter(self, encoder: Encoder) -> None:
        values, mask = history(COARSE)
        plain = conditioning.encode(encoder, values, mask, COARSE)
        changed = conditioning.encode(encoder, values + 1.0, mask, COARSE)
        assert all(float((a - b).abs().max()) > 0.1 for a, b in zip(plain, changed, strict=True))
