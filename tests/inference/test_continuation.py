"""Days in sequence through `predict`: what is refused, what is warned of, and runs that go on."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import dask
import numpy as np
import pytest
import torch
import xarray as xr

from xdownscale import Tiling
from xdownscale.grid import MERRA2
from xdownscale.inference.field import explain, predict
from xdownscale.inference.store import to_zarr
from xdownscale.models.downscaler import Downscaler

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = MERRA2.window((240, 5), (360, 6))
RUN: dict[str, Any] = {"coherence": "autoregressive", "members": 2, "domain_check": "ignore"}


@pytest.fixture
def coarse(tiny_state: Downscaler) -> xr.DataArray:
    """Five July days, latitude running south."""
    card = tiny_state.card
    values = np.random.default_rng(5).gamma(2.0, 0.15, (5, *WINDOW.shape))
    time = np.datetime64("2005-07-01T12", "ns") + np.arange(5) * np.timedelta64(1, "D")
    return xr.DataArray(
        values,
        {"time": time, "lat": WINDOW.y.values, "lon": WINDOW.x.values},
        ("time", "lat", "lon"),
        card.variable,
        {"units": card.units, "standard_name": card.standard_name, "cell_methods": "time: mean"},
    ).isel(lat=slice(None, None, -1))


class TestAutoregressive:
    def test_goes_on_with_the_same_bits(self, coarse: xr.DataArray, tiny_state: Downscaler) -> None:
        whole = predict(coarse, tiny_state, **RUN)
        first = predict(coarse[:3], tiny_state, **RUN)
        rest = predict(coarse[3:], tiny_state, state=first.isel(time=[-1]), **RUN)
        np.testing.assert_array_equal(rest, whole[:, 3:])
        again = predict(coarse[3:], tiny_state, state=first.isel(lat=slice(None, None, -1)), **RUN)
        np.testing.assert_array_equal(again, rest)
        assert rest.attrs["downscale_coherence"] == "autoregressive"
        assert not np.array_equal(rest[:, 0], predict(coarse[3:], tiny_state, **RUN)[:, 0])

    @pytest.mark.parametrize("days", [1, 2])
    def test_lazily_block_by_block(self, coarse: xr.DataArray, tiny_state: Downscaler, days: int) -> None:
        lazy = predict(coarse.chunk(time=days), tiny_state, **RUN)
        assert lazy.chunks is not None
        np.testing.assert_array_equal(lazy.compute(scheduler="threads"), predict(coarse, tiny_state, **RUN))
        first = predict(coarse[:3], tiny_state, **RUN)
        rest = predict(coarse[3:].chunk(time=1), tiny_state, state=first.isel(time=[-1]), **RUN)
        np.testing.assert_array_equal(rest, lazy[:, 3:])

    def test_an_empty_day_begins_anew_lazily_too(self, coarse: xr.DataArray, tiny_state: Downscaler) -> None:
        coarse[1] = np.nan
        eager = predict(coarse, tiny_state, **RUN)
        np.testing.assert_array_equal(predict(coarse.chunk(time=1), tiny_state, **RUN), eager)
        np.testing.assert_array_equal(eager[:, 2:], predict(coarse[2:], tiny_state, **RUN))

    def test_one_truth_for_all_members(self, coarse: xr.DataArray, tiny_state: Downscaler) -> None:
        drawn = predict(coarse[:1], tiny_state, members=3, domain_check="ignore")
        truth = drawn.isel(realization=2, drop=True)
        both = predict(coarse[1:], tiny_state, state=truth, **RUN)
        assert not np.array_equal(both[0], both[1])
        alone = predict(coarse[1:], tiny_state, state=truth, **(RUN | {"members": 1}))
        np.testing.assert_array_equal(alone[0], both[0])

    def test_gaps_are_warned_of(self, coarse: xr.DataArray, tiny_state: Downscaler) -> None:
        with pytest.warns(UserWarning, match="1 gaps: the autoregressive run begins anew"):
            predict(coarse.isel(time=[0, 1, 3]), tiny_state, **RUN)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            predict(coarse, tiny_state, **RUN)


class TestWithHistory:
    """A model that looks back two days: the input's days up to the state's are its history, and not drawn."""

    @pytest.fixture
    def model(self, make_card: Any) -> Downscaler:
        architecture = make_card().architecture
        architecture["denoiser"] = architecture["denoiser"] | {"condition": 6}
        torch.manual_seed(8)
        model = Downscaler.build(make_card(architecture=architecture, state=True, inflation={}))
        with torch.no_grad():
            for weight in model.denoiser.parameters():
                weight.add_(0.05 * torch.randn(weight.shape))
        return model

    @pytest.fixture
    def whole(self, coarse: xr.DataArray, model: Downscaler) -> xr.DataArray:
        return predict(coarse, model, **RUN)

    @pytest.mark.parametrize("first", [0, 1])
    @pytest.mark.parametrize("chunks", [None, {"time": 1}, {"time": (2, 1, 2)}], ids=str)
    def test_goes_on_with_the_same_bits(
        self, coarse: xr.DataArray, model: Downscaler, whole: xr.DataArray, first: int, chunks: Any
    ) -> None:
        given = coarse[first:]
        given = given if chunks is None else given.chunk(time=1 if first else chunks["time"])
        rest = predict(given, model, state=whole[:, 2:3], **RUN)
        np.testing.assert_array_equal(rest.time, coarse.time[3:])
        np.testing.assert_array_equal(rest, whole[:, 3:])
        bare = predict(coarse[3:], model, state=whole[:, 2:3], **RUN)
        assert not np.array_equal(bare, rest)

    @pytest.mark.parametrize("lazy", [False, True])
    def test_in_a_store(
        self, coarse: xr.DataArray, model: Downscaler, whole: xr.DataArray, tmp_path: Path, lazy: bool
    ) -> None:
        options = RUN | {"state": whole[:, 2:3], "chunks": {"time": 1}, "progress": False}
        with dask.config.set(scheduler="synchronous"):
            to_zarr(coarse.chunk(time=2) if lazy else coarse, tmp_path / "a.zarr", model, **options)
        with xr.open_zarr(tmp_path / "a.zarr", consolidated=False) as found:
            np.testing.assert_array_equal(found.DUEXTTAU, whole[:, 3:])

    def test_the_plan_counts_the_days_drawn(
        self, coarse: xr.DataArray, model: Downscaler, whole: xr.DataArray
    ) -> None:
        plan = explain(coarse, model, state=whole[:, 2:3], **RUN)
        assert (plan.days, plan.history) == (2, (3, 0))
        assert explain(coarse[2:], model, **RUN).history == (3, 3)

    def test_nothing_left(self, coarse: xr.DataArray, model: Downscaler, whole: xr.DataArray) -> None:
        with pytest.raises(ValueError, match="2005-07-05T12:00, and the input has no later day"):
            predict(coarse, model, state=whole[:, 4:], **RUN)

    def test_mixed_days(self, coarse: xr.DataArray, model: Downscaler, whole: xr.DataArray) -> None:
        with pytest.raises(ValueError, match="before and after the state's, mixed: sort it"):
            predict(coarse[[3, 1, 2, 4]], model, state=whole[:, 2:3], **RUN)


class TestRefused:
    @pytest.fixture
    def state(self, coarse: xr.DataArray, tiny_state: Downscaler) -> xr.DataArray:
        return predict(coarse[:2], tiny_state, members=2, domain_check="ignore")

    def test_models_that_cannot(self, coarse: xr.DataArray, tiny_state: Downscaler) -> None:
        plain = tiny_state.with_card(replace(tiny_state.card, state=False))
        with pytest.raises(ValueError, match=r"was not trained to be told the day before: .*state=0"):
            predict(coarse, plain, **RUN)
        with pytest.raises(ValueError, match="has no day correlation on its card: calibrate it"):
            predict(coarse, tiny_state, coherence="correlated", domain_check="ignore")
        with pytest.raises(ValueError, match="coherence is 'markov': expected one of"):
            predict(coarse, tiny_state, coherence="markov", domain_check="ignore")  # type: ignore[arg-type]

    def test_no_time(self, coarse: xr.DataArray, tiny_state: Downscaler) -> None:
        with pytest.raises(ValueError, match="and the input has no time: days in sequence need it"):
            predict(coarse.isel(time=0, drop=True), tiny_state, **RUN)

    def test_finished_patches(self, coarse: xr.DataArray, tiny_state: Downscaler) -> None:
        with pytest.raises(ValueError, match="expected merge='step', found 'final'"):
            predict(coarse, tiny_state, tiling=Tiling(merge="final"), **RUN)

    def test_state_of_another_day(
        self, coarse: xr.DataArray, tiny_state: Downscaler, state: xr.DataArray
    ) -> None:
        with pytest.raises(
            ValueError, match="of 2005-07-02T12:00, the first day after it in the input is 2005-07-04"
        ):
            predict(coarse[3:], tiny_state, state=state, **RUN)

    def test_state_of_other_cells(
        self, coarse: xr.DataArray, tiny_state: Downscaler, state: xr.DataArray
    ) -> None:
        with pytest.raises(ValueError, match="the state lies on 41 x 61 cells"):
            predict(coarse[2:, :4], tiny_state, state=state, **RUN)

    def test_state_without_a_member(
        self, coarse: xr.DataArray, tiny_state: Downscaler, state: xr.DataArray
    ) -> None:
        with pytest.raises(ValueError, match=r"the state has the members \[0, 1\]: expected \[2\] too"):
            predict(coarse[2:], tiny_state, state=state, **(RUN | {"members": 3}))

    def test_state_that_nothing_asks_for(
        self, coarse: xr.DataArray, tiny_state: Downscaler, state: xr.DataArray
    ) -> None:
        with pytest.raises(ValueError, match="given with coherence='independent': expected 'autoregressive'"):
            predict(coarse[2:], tiny_state, state=state, domain_check="ignore")
        with pytest.raises(TypeError, match="state is a ndarray: expected a DataArray"):
            predict(coarse[2:], tiny_state, state=state.values, **RUN)

    def test_lazy_times_that_do_not_rise(self, coarse: xr.DataArray, tiny_state: Downscaler) -> None:
        with pytest.raises(ValueError, match="times do not rise: sort them"):
            predict(coarse.isel(time=[1, 0, 2]).chunk(time=1), tiny_state, **RUN)


def test_correlated_blocks_are_those_of_the_whole(coarse: xr.DataArray, tiny_state: Downscaler) -> None:
    model = tiny_state.with_card(replace(tiny_state.card, day_correlation=0.5))
    options: dict[str, Any] = {"coherence": "correlated", "domain_check": "ignore"}
    eager = predict(coarse, model, **options)
    np.testing.assert_array_equal(predict(coarse.chunk(time=2), model, **options), eager)
    np.testing.assert_array_equal(predict(coarse[3:], model, **options), eager[:, 3:])


class TestFineDays:
    """A model whose encoder looks at fine days: `state` has them."""

    RUN: ClassVar[dict[str, Any]] = {"domain_check": "ignore", "tiling": Tiling(patch=None, halo=8)}

    @pytest.fixture
    def model(self, tiny_model: Downscaler) -> Downscaler:
        return tiny_model.with_card(replace(tiny_model.card, sees="fine"))

    @pytest.fixture
    def fine(self, coarse: xr.DataArray, tiny_model: Downscaler) -> xr.DataArray:
        """Fields on the grid of the result, of the days of the input."""
        return predict(coarse, tiny_model, **self.RUN).isel(realization=0)

    def test_days_before_each_day(self, coarse: xr.DataArray, model: Downscaler, fine: xr.DataArray) -> None:
        """A day that looks at days 1 to 3 is the same whatever else is in the state, or drawn with it."""
        last = predict(coarse[4:], model, state=fine[1:4], **self.RUN)
        both = predict(coarse[3:], model, state=fine, **self.RUN)
        np.testing.assert_array_equal(both[:, 1:].values, last.values)
        other = predict(coarse[4:], model, state=fine[2:4], **self.RUN)
        assert float(abs(other - last).max()) > 1e-5

    def test_needed(self, coarse: xr.DataArray, model: Downscaler, fine: xr.DataArray) -> None:
        with pytest.raises(ValueError, match=r"the 3 fine days before the one drawn, .* state=fine_days"):
            predict(coarse, model, **self.RUN)
        with pytest.raises(ValueError, match="the state has none before 2005-07-01T12:00: expected the day"):
            predict(coarse, model, state=fine, **self.RUN)
        with pytest.raises(TypeError, match="state is a int: expected a DataArray"):
            predict(coarse, model, state=3, **self.RUN)  # type: ignore[arg-type]

    def test_in_memory_only(
        self, coarse: xr.DataArray, model: Downscaler, fine: xr.DataArray, tmp_path: Path
    ) -> None:
        with pytest.raises(ValueError, match="looks at fine days: expected an input in memory"):
            predict(coarse.chunk(time=1), model, state=fine, **self.RUN)
        with pytest.raises(ValueError, match="looks at fine days, which blocks do not carry"):
            to_zarr(coarse[1:], tmp_path / "fine.zarr", model, state=fine, **self.RUN)
        assert not (tmp_path / "fine.zarr").exists()

    def test_of_one_member(self, coarse: xr.DataArray, model: Downscaler, tiny_model: Downscaler) -> None:
        two = predict(coarse[:4], tiny_model, members=2, **self.RUN)
        with pytest.raises(ValueError, match="expected one, of one member"):
            predict(coarse[4:], model, state=two, **self.RUN)
