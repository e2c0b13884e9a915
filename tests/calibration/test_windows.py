"""Windows of held-out days: what `predict` gives on them, and where they lie."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d

from xdownscale import Tiling, predict
from xdownscale.calibration import windows as module
from xdownscale.diffusion.sample import Sampler
from xdownscale.grid import G5NR, MERRA2, refined
from xdownscale.inference.day import Day
from xdownscale.models.downscaler import Downscaler
from xdownscale.models.members import MemberByMember
from xdownscale.nn.denoiser import Second
from xdownscale.training.pairs import Pairs, Record

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray
    from torch import Tensor

Records = tuple["xr.DataArray", "xr.DataArray"]


class TestWindow:
    def test_are_of_conserved_fields_as_predict_gives_them(
        self, tiny_model: Downscaler, records: Records
    ) -> None:
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        pairs = whole(fast, *records)
        window = drawn_window(fast, pairs, members=3)
        given: dict[str, Any] = {"members": 3, "seed": 5, "sampler": "fast", "domain_check": "ignore"}
        base = window.day.domain.base(window.day.z)

        def residual(field: xr.DataArray) -> NDArray[np.float64]:
            z = (fast.scaling.forward(field.values.astype(float)) - base) / fast.card.residual_scale
            return np.asarray(z)[..., ::3, ::3].reshape(*field.shape[:-2], -1)

        def drawn(model: Downscaler) -> NDArray[np.float64]:
            return residual(predict(records[0], model, tiling=Tiling(patch=None), **given).isel(time=7))

        found = window.cells()
        np.testing.assert_allclose(found.mean + found.departure + found.change, drawn(fast), atol=2e-4)
        np.testing.assert_allclose(found.truth, residual(records[1].isel(time=7)), atol=2e-4)
        area = refined(pairs.coarse.grid, fast.fine).area * np.ones(records[1].shape[1:])
        np.testing.assert_allclose(found.level, base[::3, ::3].ravel(), atol=1e-5)
        np.testing.assert_array_equal(found.area, area[::3, ::3].ravel())
        leveled: dict[str, Any] = {"level": (-3.0, -2.0), "level_factor": (0.5, 1.5)}
        gains = (1.4, 0.7, 1.2)
        fitted = MemberByMember(
            (0.0,), slope=(0.5,), factor=(0.6,), width=(1.0,), tail=(2.0,), band_gain=gains, **leveled
        )
        on_card = fast.with_card(replace(fast.card, member_by_member={"fast": fitted.to_dict()}))
        moved = window.by_band(gains).cells(fitted).moved(fitted)
        np.testing.assert_allclose(moved, drawn(on_card), atol=2e-4)
        assert np.abs(window.cells(fitted).moved(fitted) - moved).max() > 1e-2, "the gains do something"
        doubtful = replace(fitted, scatter=(0.3,))
        on_card = fast.with_card(replace(fast.card, member_by_member={"fast": doubtful.to_dict()}))
        scattered = window.by_band(gains).cells(doubtful)
        np.testing.assert_allclose(scattered.moved(doubtful), drawn(on_card), atol=2e-4)
        np.testing.assert_array_equal(scattered.first(2).moved(doubtful), scattered.moved(doubtful)[:2])
        few = window.by_band(gains).first(2).cells(doubtful).moved(doubtful)
        np.testing.assert_allclose(few, drawn(on_card)[:2], atol=2e-4)
        assert np.abs(few - moved[:2]).max() > 1e-2, "the scales do something"
        bent = replace(doubtful, far_slope=(1.2,), reach=(0.2,))
        on_card = fast.with_card(replace(fast.card, member_by_member={"fast": bent.to_dict()}))
        found = window.by_band(gains).cells(bent).moved(bent)
        np.testing.assert_allclose(found, drawn(on_card), atol=2e-4)
        assert np.abs(found - scattered.moved(doubtful)).max() > 1e-3, "the far slope does something"
        leaning = replace(doubtful, width=(0.1,), shift=(0.1,), skew=(0.3,))
        on_card = fast.with_card(replace(fast.card, member_by_member={"fast": leaning.to_dict()}))
        leant = window.by_band(gains).cells(leaning).moved(leaning)
        np.testing.assert_allclose(leant, drawn(on_card), atol=2e-4)
        skewed, straight = replace(leaning, shift=()), replace(leaning, shift=(), skew=())
        less = [np.abs(leant - window.by_band(gains).cells(f).moved(f)).max() for f in (skewed, straight)]
        assert less[0] < 1e-3, "a shift of all cells is taken back"
        assert less[1] > 5e-3, "the skew does something"

    def test_squares_by_band_are_of_known_cells(self, tiny_model: Downscaler, records: Records) -> None:
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        fine = records[1].copy()
        fine[7, :30] = np.nan
        window = drawn_window(fast, whole(fast, records[0], fine))
        domain = window.day.domain
        z = fast.scaling.forward(fine.values[7].astype(float)) - domain.base(window.day.z)
        mean, drawn = (x.double().numpy()[..., *domain.inner] for x in (window.mean, window.drawn))
        errors, area = np.nan_to_num(z / fast.card.residual_scale - mean), domain.fine.area * np.ones(z.shape)
        area[:30] = 0
        hat = np.array([1, 4, 6, 4, 1]) / 16
        expected = []
        for field in (drawn - mean, errors):
            smooth = convolve1d(convolve1d(field, hat, axis=-1, mode="nearest"), hat, axis=-2, mode="nearest")
            expected.append((area * (field - smooth) ** 2).sum())
        np.testing.assert_allclose(window.squares_by_band(3)[:, 0], expected, rtol=1e-5)
        assert window.squares_by_band(3).shape == (2, 3)

    def test_cells_that_are_not_known_are_left_out(self, tiny_model: Downscaler, records: Records) -> None:
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        coarse, fine = records[0], records[1].copy()
        fine[7, :30] = np.nan
        found, full = (drawn_window(fast, whole(fast, coarse, f)).cells() for f in (fine, records[1]))
        assert np.isfinite(found.truth).all()
        assert len(full.truth) - len(found.truth) == 10 * len(range(0, fine.shape[2], 3))

    def test_a_day_without_coarse_values_gives_no_cells(
        self, tiny_model: Downscaler, records: Records
    ) -> None:
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        coarse = records[0].copy()
        coarse[7] = np.nan
        assert drawn_window(fast, whole(fast, coarse, records[1])).cells().truth.size == 0

    def test_holds_nothing_of_what_the_network_was_told(
        self, tiny_model: Downscaler, records: Records
    ) -> None:
        """Features of the fine cells take as much as sixteen members; a calibration holds many windows."""
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        day = drawn_window(fast, whole(fast, *records)).day
        assert day.maps is None
        assert set(vars(day)) == {field.name for field in fields(Day)}, "and remembers nothing of it"

    def test_every_place_is_in_as_many(self) -> None:
        """Equal windows beside each other, over one cell twice at most, of about the side asked for."""
        grid = MERRA2.window((200, 92), (343, 163))
        parts = module._parts(grid, G5NR, 768)
        assert [w.shape for w in parts] == [(92, 82)] * 2, "768 cells of 1/16 degree are 76.8 of 5/8"
        often = np.zeros(163, int)
        for w in parts:
            often[w.x.start - 343 :][: w.x.size] += 1
        assert (often >= 1).all()
        assert (often == 2).sum() == 1
        assert len(module._parts(grid, G5NR, 320)) == 2 * 5
        assert module._parts(grid, G5NR, 2000) == [grid]

    def test_margins_are_drawn_where_the_grid_goes_on_and_not_judged(
        self, tiny_model: Downscaler, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second window is drawn with two coarse cells more in the west, and judged without them."""
        grid = MERRA2.window((200, 92), (343, 163))
        west, east = module._parts(grid, G5NR, 768)
        assert module._around(west, grid, G5NR) == MERRA2.window((200, 92), (343, 82 + 13))
        assert module._around(east, grid, G5NR) == MERRA2.window((200, 92), (343 + 81 - 13, 82 + 13))
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        pairs = whole(fast, *records)
        monkeypatch.setattr(module, "_MARGIN", 20)
        (window,) = (
            w
            for w in (
                module.window_of(fast, pairs, np.arange(2), n, Sampler("fast", 2), 2, 60, 5) for n in range(2)
            )
            if w.window.x.start > pairs.coarse.grid.x.start
        )
        drawn = window.day.domain.grid
        assert drawn.x.start == window.window.x.start - 2
        fine, inner = refined(drawn, fast.fine), refined(window.window, fast.fine)
        kept = (fine.x.start + np.arange(0, fine.x.size, 3)) >= inner.x.start
        rows = (fine.y.start + np.arange(0, fine.y.size, 3)) >= inner.y.start
        rows &= (fine.y.start + np.arange(0, fine.y.size, 3)) < inner.y.start + inner.y.size
        truth = window._residual(window.truth).reshape(len(rows), len(kept))
        single = truth[np.ix_(rows, kept)].ravel().astype(np.float32)
        np.testing.assert_array_equal(window.cells().truth, single, strict=True)

    def test_each_has_its_turn(
        self, tiny_model: Downscaler, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        pairs, side = whole(fast, *records), 60
        drawn = [
            module.window_of(fast, pairs, np.arange(6), number, Sampler("fast", 2), 2, side, 5)
            for number in range(6)
        ]
        places = [(w.window.y.start, w.window.x.start) for w in drawn]
        count = module.places(fast, pairs, side)
        assert 1 < count < 6
        assert len(set(places[:count])) == count
        assert places[count:] == places[: 6 - count]

    def test_draws_that_are_kept_are_not_drawn_again(
        self, tiny_model: Downscaler, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of one model, day and seed; what cannot be read is drawn anew."""
        fast = tiny_model.with_fast(Second(tiny_model.denoiser))
        pairs, folder, real = whole(fast, *records), tmp_path / "windows", module.sampled
        count: list[int] = []

        def counted(day: Any, options: Any, member: int) -> Any:
            count.append(member)
            return real(day, options, member)

        monkeypatch.setattr(module, "sampled", counted)

        def drawn(model: Downscaler, day: int, seed: int, where: Path | None = folder) -> Tensor:
            count.clear()
            sampler = Sampler("fast", 2)
            return module.window_of(model, pairs, np.array([day]), 0, sampler, 2, 10_000, seed, where).drawn

        plain = drawn(fast, 7, 5, None)
        assert not folder.exists()
        for expected in ([0, 1], []):
            torch.testing.assert_close(drawn(fast, 7, 5), plain, rtol=0, atol=0)
            assert count == expected
        other = fast.with_card(replace(fast.card, residual_scale=2 * fast.card.residual_scale))
        for number, (model, day, seed) in enumerate(((other, 7, 5), (fast, 8, 5), (fast, 7, 6)), start=2):
            drawn(model, day, seed)
            assert count == [0, 1]
            assert len(list(folder.iterdir())) == number, "and nothing beside whole files"
        for path in folder.iterdir():
            path.write_bytes(path.read_bytes()[:-100])
        torch.testing.assert_close(drawn(fast, 7, 5), plain, rtol=0, atol=0)
        assert count == [0, 1]
        drawn(fast, 7, 5)
        assert count == []
        (tmp_path / "file").touch()
        with pytest.raises(FileExistsError):
            drawn(fast, 7, 5, tmp_path / "file")
        assert count == [], "nothing is drawn that cannot be kept"

    def test_an_encoder_of_fine_days_is_shown_them(
        self, tiny_model: Downscaler, records: Records, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pairs = whole(tiny_model, *records)
        window = refined(pairs.coarse.grid, tiny_model.fine)
        monkeypatch.setattr(Downscaler, "past", property(lambda _: 3))
        found = module._past(pairs, 2, window, tiny_model)
        assert found.instants == tuple(pairs.fine.instants[2] - lag * 86_400_000_000 for lag in (3, 2, 1))
        assert np.isnan(found.values[0]).all(), "there is no day before the first"
        np.testing.assert_array_equal(found.values[1:], records[1].values[:2])


def drawn_window(model: Downscaler, pairs: Pairs, members: int = 2) -> module.Window:
    """The eighth day, drawn by `fast` with seed 5."""
    sampler = Sampler("fast", 2)
    return module.window_of(model, pairs, np.array([7]), 0, sampler, members, 10_000, 5)


def whole(model: Downscaler, coarse: xr.DataArray, fine: xr.DataArray) -> Pairs:
    pairs = Pairs.of(Record.of(coarse, model.coarse), Record.of(fine, model.fine))
    return replace(pairs, coarse=pairs.coarse.within(pairs.inside(model.coarse)))
