"""Batches: a function of seed and step; every number is where it says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from xdownscale.grid import G5NR, MERRA2, refined, upsampling
from xdownscale.noise import instant
from xdownscale.training import TrainConfig
from xdownscale.training import pairs as module
from xdownscale.training.pairs import DAY_US, Batch, Pairs, Record, generator

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

    from xdownscale.models import Downscaler

CONFIG = TrainConfig(batch=4, days=2, crop=48, border=0, degrade=0.0, dropout=0.0, edges=0.0, seed=5)


@pytest.fixture(scope="module")
def pairs(records: tuple[xr.DataArray, xr.DataArray]) -> Pairs:
    coarse, fine = records
    return Pairs.of(Record.of(coarse, MERRA2), Record.of(fine, G5NR))


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [
        batch.residual,
        batch.weight,
        batch.condition,
        torch.from_numpy(batch.history),
        torch.from_numpy(batch.mask),
    ]


def same(a: Batch, b: Batch) -> bool:
    return a.windows == b.windows and all(
        torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True)
    )


def recovered(model: Downscaler, batch: Batch) -> torch.Tensor:
    """T^-1(U z + scale r): the truth, if everything lies where it says."""
    return model.scaling.inverse(batch.condition[:, :1] + model.card.residual_scale * batch.residual)


def cut(da: xr.DataArray, window: Any) -> np.ndarray:
    """The values of a window by its labels alone."""
    values = da.sel(
        lat=xr_slice(window.y.values, da.lat.values), lon=xr_slice(window.x.values, da.lon.values)
    )
    return values.values


def xr_slice(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return labels[np.abs(labels[:, None] - values[None, :]).argmin(axis=0)]


def test_crops_without_room_are_refused(pairs: Pairs) -> None:
    """97 rows from 1724 on: multiples of 8 from 1728 to 1816."""
    assert (pairs.fine.grid.y.start, pairs.fine.grid.y.size) == (1724, 97)
    pairs.check_crop(88)
    with pytest.raises(ValueError, match="97 rows, room for crops of 88 cells: found crop 96"):
        pairs.check_crop(96)


class TestState:
    """The day before, on the same window, with noise of its own level."""

    TOLD = replace(CONFIG, state=1.0)

    def test_is_the_residual_of_the_day_before(
        self, pairs: Pairs, tiny_state: Downscaler, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_NOISIEST", 0.0)
        today = pairs.part(range(1, 30))
        batch = today.batch(tiny_state, self.TOLD, 3)
        rng = generator(self.TOLD.seed, 3)
        chosen = rng.choice(29, size=2, replace=False)
        for place, (row, window) in enumerate(batch.windows):
            yesterday = int(chosen[row])  # days of `today` begin at 1
            truth, base = (
                pairs.fine.day(yesterday),
                upsampling(pairs.coarse.grid, window, tiny_state.card.upsampling)(
                    np.asarray(tiny_state.scaling.forward(pairs.coarse.day(yesterday)))
                ),
            )
            y, x = window.y.start - pairs.fine.grid.y.start, window.x.start - pairs.fine.grid.x.start
            there = truth[y : y + 48, x : x + 48]
            expected = (tiny_state.scaling.forward(there) - base) / tiny_state.card.residual_scale
            np.testing.assert_allclose(batch.condition[place, -2], expected, atol=1e-4)
            assert (batch.condition[place, -1] == 1).all()

    def test_noise_has_its_level_on_the_second_channel(self, pairs: Pairs, tiny_state: Downscaler) -> None:
        levels = np.concatenate(
            [
                pairs.part(range(1, 30)).batch(tiny_state, self.TOLD, n).condition[:, -1, 0, 0]
                for n in range(20)
            ]
        )
        assert 0.5 < levels.min() < 0.55
        assert 0.95 < levels.max() <= 1.0
        assert levels.mean() == pytest.approx(0.75, abs=0.06)

    def test_dropped_and_missing_days_are_zero(self, pairs: Pairs, tiny_state: Downscaler) -> None:
        half = replace(CONFIG, state=0.5)
        told = [
            float(pairs.part(range(1, 30)).batch(tiny_state, half, n).condition[0, -1].max()) > 0
            for n in range(40)
        ]
        assert 10 < sum(told) < 30
        first = pairs.part([0]).batch(tiny_state, replace(self.TOLD, days=1), 0)
        assert (first.condition[:, -2:] == 0).all()

    def test_gaps_of_the_day_before(
        self, records: tuple[xr.DataArray, xr.DataArray], tiny_state: Downscaler
    ) -> None:
        coarse, fine = records[0], records[1].copy()
        fine[3, :, ::2] = np.nan
        holed = Pairs.of(Record.of(coarse, MERRA2), Record.of(fine, G5NR)).part([4])
        channels = holed.batch(tiny_state, replace(self.TOLD, days=1), 0).condition[:, -2:]
        assert torch.isfinite(channels).all()
        assert (channels[:, 1] > 0).float().mean() == pytest.approx(0.5)

    def test_a_model_without_state_sees_what_it_saw(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        assert same(pairs.batch(tiny_model, CONFIG, 2), pairs.batch(tiny_model, self.TOLD, 2))


class TestSight:
    """What an encoder of fine cells is shown on a crop."""

    SEES = replace(CONFIG, days=1)

    def test_fine_days_before_today(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        """Lags 3, 2, 1 of the fine truth on the crop's own cells; today is not among them."""
        model = tiny_model.with_card(replace(tiny_model.card, sees="fine"))
        assert (model.history, model.past) == (1, 3)
        batch = pairs.part([7]).batch(model, self.SEES, 0)
        assert batch.history.shape == (4, 3, 48, 48)
        for place, (_, window) in enumerate(batch.windows):
            y, x = window.y.start - pairs.fine.grid.y.start, window.x.start - pairs.fine.grid.x.start
            days = np.stack([pairs.fine.day(d) for d in (4, 5, 6)])[:, y : y + 48, x : x + 48]
            np.testing.assert_allclose(batch.history[place], model.scaling.forward(days), rtol=1e-5)
        assert batch.mask.min() == 1.0

    def test_days_that_are_not_there_are_masked(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        model = tiny_model.with_card(replace(tiny_model.card, sees="fine"))
        batch = pairs.part([1]).batch(model, self.SEES, 0)
        assert batch.mask.mean(axis=(0, 2, 3)).tolist() == [0.0, 0.0, 1.0]
        assert np.abs(batch.history[:, :2]).max() == 0.0

    def test_coarse_history_on_fine_cells(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        """Its last day is the condition's first channel."""
        model = tiny_model.with_card(replace(tiny_model.card, sees="upsampled"))
        batch = pairs.part([7]).batch(model, self.SEES, 0)
        assert batch.history.shape == (4, 3, 48, 48)
        np.testing.assert_allclose(batch.history[:, -1], batch.condition[:, 0], atol=1e-6)
        np.testing.assert_allclose(batch.mask[:, -1], batch.condition[:, 1])

    def test_the_same_crops_whatever_is_seen(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        model = tiny_model.with_card(replace(tiny_model.card, sees="upsampled"))
        one, other = (pairs.batch(m, CONFIG, 5) for m in (tiny_model, model))
        assert one.windows == other.windows
        assert torch.equal(one.residual, other.residual)

    def test_check_past(self, pairs: Pairs) -> None:
        pairs.part(range(4)).check_past(3, DAY_US)
        with pytest.raises(
            ValueError, match=r"none of the 3 days .* expected more than 3 fine days in a row"
        ):
            pairs.part(range(3)).check_past(3, DAY_US)


class TestRecord:
    def test_any_order_and_direction(self, records: tuple[xr.DataArray, xr.DataArray]) -> None:
        coarse, _ = records
        turned = coarse.transpose("lon", "time", "lat").isel(lat=slice(None, None, -1))
        a, b = Record.of(coarse, MERRA2), Record.of(turned, MERRA2)
        assert (a.grid, a.instants) == (b.grid, b.instants)
        np.testing.assert_array_equal(a.day(7), b.day(7))
        assert a.instants[1] - a.instants[0] == DAY_US

    def test_across_the_dateline(self, dataarray: Callable[..., xr.DataArray]) -> None:
        """Longitudes that jump from 179.375 to -180 are one window, whichever way they run."""
        near = MERRA2.window((216, 4), (570, 13))
        da = dataarray(np.random.default_rng(0).random((2, *near.shape)), near)
        signed = da.assign_coords(lon=(da.lon + 180) % 360 - 180)
        for turned in (signed, signed[:, :, ::-1], signed[:, ::-1]):
            record = Record.of(turned, MERRA2)
            assert (record.grid.x.start, record.grid.x.size) == (570, 13)
            np.testing.assert_array_equal(record.day(1), da.values[1].astype(np.float32))

    def test_without_time(self, records: tuple[xr.DataArray, xr.DataArray]) -> None:
        with pytest.raises(
            ValueError, match=r"'DUEXTTAU' has dimensions \('lat', 'lon'\): training needs a time"
        ):
            Record.of(records[0].isel(time=0, drop=True), MERRA2)

    def test_off_the_grid(self, records: tuple[xr.DataArray, xr.DataArray]) -> None:
        shifted = records[0].assign_coords(lat=records[0].lat + 0.2)
        with pytest.raises(ValueError, match=r"0\.4"):
            Record.of(shifted, MERRA2)
        with pytest.raises(ValueError, match=r"0\.0625"):
            Record.of(records[1], MERRA2)

    def test_within(self, pairs: Pairs) -> None:
        window = MERRA2.window((218, 5), (353, 9))
        part = pairs.coarse.within(window)
        assert part.grid == window
        np.testing.assert_array_equal(part.day(3), pairs.coarse.day(3)[2:7, 1:10])

    @pytest.mark.parametrize(
        "window", [((215, 5), (353, 9)), ((218, 11), (353, 9)), ((218, 5), (351, 9)), ((218, 5), (353, 13))]
    )
    def test_within_refuses_what_is_not_covered(self, pairs: Pairs, window: Any) -> None:
        with pytest.raises(
            ValueError,
            match=r"coarse record covers y 17\.75 to 23\.75, x 39\.\d* to .*: expected .*; give a wider",
        ):
            pairs.coarse.within(MERRA2.window(*window))

    def test_within_across_the_dateline(self) -> None:
        """A global record and a window that goes on beyond 180 E."""
        globe = MERRA2.window((200, 2), (0, 576))
        values = np.broadcast_to(np.arange(576.0), (1, 2, 576))
        part = Record(values, (0,), globe).within(MERRA2.window((200, 2), (570, 10)))
        np.testing.assert_array_equal(part.day(0)[0], [570, 571, 572, 573, 574, 575, 0, 1, 2, 3])

    def test_find(self, pairs: Pairs) -> None:
        third = pairs.coarse.instants[3]
        assert pairs.coarse.find(third) == 3
        assert pairs.coarse.find(third + DAY_US // 60) == 3
        assert pairs.coarse.find(third + DAY_US // 4) is None


class TestPairs:
    def test_joined_by_instant(self, records: tuple[xr.DataArray, xr.DataArray]) -> None:
        coarse, fine = records
        some = fine.isel(time=[20, 4, 11])
        joined = Pairs.of(Record.of(coarse.isel(time=slice(5, None)), MERRA2), Record.of(some, G5NR))
        assert joined.days == ((15, 0), (6, 2))  # day 4 is before the coarse record begins
        assert joined.part([1]).days == ((6, 2),)

    def test_no_day_in_common(self, records: tuple[xr.DataArray, xr.DataArray]) -> None:
        coarse, fine = records
        later = fine.assign_coords(time=fine.time + np.timedelta64(365, "D"))
        with pytest.raises(
            ValueError,
            match="no day in common: coarse 2005-07-01 to 2005-07-30, fine 2006-07-01 to 2006-07-30; check",
        ):
            Pairs.of(Record.of(coarse, MERRA2), Record.of(later, G5NR))

    def test_whole_cells(self, pairs: Pairs) -> None:
        assert pairs.inside(MERRA2) == pairs.coarse.grid
        narrow = replace(pairs, fine=replace(pairs.fine, grid=G5NR.window((1730, 80), (3518, 100))))
        inside = narrow.inside(MERRA2)
        y, x = narrow.fine.grid.y.edges, narrow.fine.grid.x.edges
        assert y[0] <= inside.y.edges[0] < y[0] + 0.5
        assert x[-1] - 0.625 < inside.x.edges[-1] <= x[-1]

    def test_history(self, pairs: Pairs) -> None:
        stack, known = pairs.history(6, 3)
        for row, day in zip(stack, (4, 5, 6), strict=True):
            np.testing.assert_array_equal(row, pairs.coarse.day(day))
        assert known.all()
        stack, known = pairs.history(1, 3)
        assert (known.mean(axis=(1, 2)) == [0, 1, 1]).all()
        assert np.isnan(stack[0]).all()

    def test_history_of_unsorted_days_with_a_gap(self, pairs: Pairs) -> None:
        order = [5, 2, 6]
        coarse = replace(
            pairs.coarse,
            values=np.stack([pairs.coarse.day(d) for d in order]),
            instants=tuple(pairs.coarse.instants[d] for d in order),
        )
        stack, known = replace(pairs, coarse=coarse).history(2, 5)
        assert (known.mean(axis=(1, 2)) == [1, 0, 0, 1, 1]).all()
        np.testing.assert_array_equal(stack[0], pairs.coarse.day(2))
        np.testing.assert_array_equal(stack[3], pairs.coarse.day(5))


class TestBatch:
    def test_pure_function_of_seed_and_step(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        config = replace(CONFIG, degrade=0.5, dropout=0.5, edges=0.5)
        first = pairs.batch(tiny_model, config, 7)
        for step in (3, 8):  # whatever came before
            pairs.batch(tiny_model, config, step)
        np.random.seed(0)  # noqa: NPY002 - the global state must not matter
        torch.manual_seed(0)
        assert same(first, pairs.batch(tiny_model, config, 7))
        assert not same(first, pairs.batch(tiny_model, config, 8))
        assert not same(first, pairs.batch(tiny_model, replace(config, seed=6), 7))
        assert same(
            pairs.batch(tiny_model, replace(config, seed=6), 7), pairs.batch(tiny_model, config, 7, seed=6)
        )

    def test_residual_recovers_the_truth(
        self, pairs: Pairs, records: tuple[xr.DataArray, xr.DataArray], tiny_model: Downscaler
    ) -> None:
        for step in range(4):
            batch = pairs.batch(tiny_model, CONFIG, step)
            found = recovered(tiny_model, batch)[:, 0].numpy()
            days = np.unique(batch.history[:, -1, 0, 0], return_index=True)
            assert len(days[0]) == 2
            for n, (row, window) in enumerate(batch.windows):
                day = day_of(batch.history[row, -1], pairs, tiny_model)
                expected = cut(records[1].isel(time=day), window)
                np.testing.assert_allclose(found[n], expected, rtol=2e-5)
            assert float(batch.weight.min()) == 1.0

    def test_base_is_the_upsampled_day(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        batch = pairs.batch(tiny_model, CONFIG, 0)
        for n, (row, window) in enumerate(batch.windows):
            expected = upsampling(pairs.coarse.grid, window, "cubic")(batch.history[row, -1])
            np.testing.assert_allclose(batch.condition[n, 0].numpy(), expected, atol=3e-6)

    def test_windows_lie_on_the_lattice_inside(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        starts = []
        for step in range(12):
            for _, w in pairs.batch(tiny_model, CONFIG, step).windows:
                assert w.shape == (48, 48)
                assert w.y.start % 8 == w.x.start % 8 == 0
                for a, whole in ((w.y, pairs.fine.grid.y), (w.x, pairs.fine.grid.x)):
                    assert whole.start <= a.start <= whole.start + whole.size - 48
                starts.append((w.y.start, w.x.start))
        y, x = np.transpose(starts)
        assert (y.min(), y.max()) == (1728, 1768)  # the domain: 1724 to 1820, 3515 to 3645
        assert x.min() == 3520
        assert x.max() == 3592

    def test_crop_as_large_as_the_domain(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        grid = G5NR.window((1728, 48), (3520, 48))
        values = np.stack([pairs.fine.day(d)[4:52, 5:53] for d in range(30)])
        small = replace(pairs, fine=Record(values, pairs.fine.instants, grid))
        assert {w for _, w in small.batch(tiny_model, CONFIG, 0).windows} == {grid}

    def test_season_is_the_day_s(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        batch = pairs.batch(tiny_model, CONFIG, 1)
        for n, (row, _) in enumerate(batch.windows):
            day = day_of(batch.history[row, -1], pairs, tiny_model)
            angle = 2 * np.pi * (pairs.coarse.instants[day] / (365.2425 * DAY_US) % 1)
            assert batch.condition[n, 2].unique().item() == pytest.approx(np.sin(angle), abs=1e-6)

    def test_border(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        batch = pairs.batch(tiny_model, replace(CONFIG, border=8), 0)
        assert float(batch.weight.sum()) == 4 * 32 * 32
        assert float(batch.weight[..., 8:-8, 8:-8].min()) == 1.0
        plain = pairs.batch(tiny_model, CONFIG, 0)
        assert torch.equal(batch.residual, plain.residual)  # left out of the loss, not of the input

    def test_days_repeat_only_when_they_must(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        batch = pairs.part([2]).batch(tiny_model, CONFIG, 0)
        np.testing.assert_array_equal(batch.history[0], batch.history[1])


class TestGaps:
    def test_missing_truth(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        truth = np.stack([pairs.fine.day(d) for d in range(30)])
        holes = np.random.default_rng(0).random(truth.shape) < 0.3
        gappy = replace(pairs, fine=replace(pairs.fine, values=np.where(holes, np.nan, truth)))
        batch, plain = gappy.batch(tiny_model, CONFIG, 2), pairs.batch(tiny_model, CONFIG, 2)
        assert all(bool(torch.isfinite(t).all()) for t in tensors(batch))
        for n, (row, window) in enumerate(batch.windows):
            day = day_of(batch.history[row, -1], pairs, tiny_model)
            y, x = window.y.start - gappy.fine.grid.y.start, window.x.start - gappy.fine.grid.x.start
            expected = ~holes[day, y : y + 48, x : x + 48]
            np.testing.assert_array_equal(batch.weight[n, 0].numpy() > 0, expected)
        seen = batch.weight > 0
        assert torch.equal(batch.residual[seen], plain.residual[seen])
        assert float(batch.residual[~seen].abs().max()) == 0.0

    def test_missing_coarse(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        coarse = np.stack([pairs.coarse.day(d) for d in range(30)])
        coarse[:, 5:7, 6:9] = np.nan
        gappy = replace(pairs, coarse=replace(pairs.coarse, values=coarse))
        batch = gappy.part(range(4, 30)).batch(tiny_model, CONFIG, 2)
        assert all(bool(torch.isfinite(t).all()) for t in tensors(batch))
        assert (batch.mask[:, :, 5:7, 6:9] == 0).all()
        assert batch.mask.mean() == pytest.approx(1 - 6 / 156, abs=1e-6)
        assert torch.equal(batch.weight[:, 0], batch.condition[:, 1])
        assert 0.0 < float(batch.weight.mean()) < 1.0
        # gaps take a neighbour's value, as in the engine: the residual beside them is not that of a hole
        plain = pairs.part(range(4, 30)).batch(tiny_model, CONFIG, 2)
        assert float(batch.residual.std() / plain.residual.std()) == pytest.approx(1.0, abs=0.15)


class TestAugmentation:
    def test_masked_history_is_never_today(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        config = replace(CONFIG, dropout=1.0)
        pairs = pairs.part(range(4, 30))
        masks = np.concatenate([pairs.batch(tiny_model, config, s).mask for s in range(40)])
        days = masks.mean(axis=(2, 3))
        assert set(np.unique(days)) == {0.0, 1.0}
        assert (days[:, -1] == 1).all()
        assert 0.1 < days[:, 0].mean() < 0.3
        assert 0.4 < days[:, 1].mean() < 0.7

    def test_share_of_dropout(self) -> None:
        known = np.ones((5, 2, 2), dtype=bool)
        dropped = [not module._dropped(known, generator(0, n), 0.3).all() for n in range(2000)]
        # of 0.3, the few whose coin left every day are not seen
        assert np.mean(dropped) == pytest.approx(0.3 * (0.7 + 0.3 * (1 - 2**-4)), abs=0.03)
        assert module._dropped(known[:1], generator(0, 1), 1.0).all()

    def test_sharp_truth_under_degraded_input(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        """Degrading changes the input, and with it the residual, but never the truth."""
        sharp = pairs.batch(tiny_model, CONFIG, 3)
        dull = pairs.batch(tiny_model, replace(CONFIG, degrade=1.0), 3)
        assert not np.allclose(sharp.history, dull.history, atol=0.01)
        for batch in (sharp, dull):
            found = recovered(tiny_model, batch)[:, 0].numpy()
            for n, (_, window) in enumerate(batch.windows):
                y, x = window.y.start - pairs.fine.grid.y.start, window.x.start - pairs.fine.grid.x.start
                errors = [
                    np.abs(found[n] / pairs.fine.day(d)[y : y + 48, x : x + 48] - 1).max() for d in range(30)
                ]
                assert min(errors) < 1e-4

    def test_edges(self, pairs: Pairs, tiny_model: Downscaler) -> None:
        """Where the domain ends inside a crop: no weight beyond, and the base is clamped there."""
        weights = []
        for step in range(10):
            batch = pairs.batch(tiny_model, replace(CONFIG, edges=1.0), step)
            assert torch.equal(batch.weight[:, 0], batch.condition[:, 1])
            assert all(bool(torch.isfinite(t).all()) for t in tensors(batch))
            weights.append(batch.weight.mean().item())
        assert 0.3 < np.mean(weights) < 0.98
        assert min(weights) < 1.0


def test_across_the_dateline(
    dataarray: Callable[..., xr.DataArray], carried: Callable[..., np.ndarray], tiny_model: Downscaler
) -> None:
    """A fine domain over 180 E and a global coarse record."""
    from xdownscale.grid import coarsening

    band, near = MERRA2.window((216, 12), (0, 576)), MERRA2.window((216, 12), (570, 13))
    fine = refined(near, G5NR)
    truth = carried(fine, 3, 10)
    whole = np.ones((3, *band.shape))
    whole[:, :, [c % 576 for c in range(570, 583)]] = [coarsening(fine, near)(d) for d in truth]
    joined = Pairs.of(Record.of(dataarray(whole, band), MERRA2), Record.of(dataarray(truth, fine), G5NR))
    joined = replace(joined, coarse=joined.coarse.within(joined.inside(MERRA2)))
    assert joined.coarse.grid.shape == (12, 13)
    for step in range(3):
        batch = joined.batch(tiny_model, CONFIG, step)
        assert float(batch.weight.min()) == 1.0
        found = recovered(tiny_model, batch)[:, 0].numpy()
        for n, (row, w) in enumerate(batch.windows):
            y, x = w.y.start - fine.y.start, w.x.start - fine.x.start
            day = day_of(batch.history[row, -1], joined, tiny_model)
            np.testing.assert_allclose(found[n], truth[day, y : y + 48, x : x + 48], rtol=2e-5)


def day_of(z: np.ndarray, pairs: Pairs, model: Downscaler) -> int:
    """Which day a sharp history row is."""
    values = model.scaling.inverse(z.astype(np.float64))
    errors = [np.abs(values / pairs.coarse.day(d) - 1).max() for d in range(len(pairs.coarse.instants))]
    assert min(errors) < 1e-4
    return int(np.argmin(errors))


def test_generator_streams_differ() -> None:
    draws = {float(generator(*key).random()) for key in [(0, 0), (0, 1), (1, 0), (0, 0, 1), (0, 1, 1)]}
    assert len(draws) == 5
    assert generator(3, 9).random() == generator(3, 9).random()


def test_day() -> None:
    assert instant(np.datetime64("1970-01-02")) == DAY_US
