"""Blocks: what each needs, what it is handed, and how it leaves torch."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xdownscale.inference import block
from xdownscale.inference.block import Piece, Recipe, coarse_days, drawn, pieces, windows
from xdownscale.inference.day import DAY_US, history
from xdownscale.inference.domain import DomainError
from xdownscale.inference.field import predict
from xdownscale.inference.job import Job, prepare
from xdownscale.patches import Tiling
from xdownscale.registry import Reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdownscale.models.downscaler import Downscaler

INSTANTS = st.one_of(st.none(), st.integers(0, 12).map(lambda d: d * DAY_US), st.integers(0, 9 * DAY_US))


def job(da: Any, model: Any, **options: Any) -> Job:
    asked = {
        "members": 1, "seed": 0, "product": "draw", "sampler": None, "tiling": Tiling(), "conserve": True,
        "domain_check": "ignore", "dims": None, "device": "cpu",
    }  # fmt: skip
    return prepare(da, model, **(asked | options))


class TestWindows:
    @settings(max_examples=200, deadline=None)
    @given(st.lists(INSTANTS, min_size=1, max_size=14), st.integers(1, 6))
    def test_are_those_that_history_finds(self, instants: list[int | None], length: int) -> None:
        """Any order, gaps, repetitions, odd hours, days without a time."""
        found = windows(instants, length)
        for day in range(len(instants)):
            expected = {p for p in history(instants, day, length) if p is not None}
            assert found[day] == sorted(expected)

    def test_history_among_the_days_at_hand_is_the_same(self) -> None:
        """A block knows only some days; repeated instants must not change which of them is taken."""
        instants = [0, 0, DAY_US, DAY_US, 2 * DAY_US]
        needed = windows(instants, 3)[4]
        known = [instants[p] for p in needed]
        inside = history(known, needed.index(4), 3)
        assert [needed[p] for p in inside if p is not None] == [0, 2, 4]

    def test_a_long_record_takes_no_square_of_its_length(self) -> None:
        """Twenty years: each day is compared with its own few, not with 7300."""
        asked: list[int] = []
        original = block.history

        def counting(instants: Any, day: int, length: int, step: int) -> Any:
            asked.append(len(instants))
            return original(instants, day, length, step)

        block.history = counting  # type: ignore[assignment]
        try:
            windows([d * DAY_US for d in range(7300)], 5)
        finally:
            block.history = original
        assert max(asked) <= 6


class TestPieces:
    def test_cover_every_field_once(self, days: Any, tiny_model: Downscaler) -> None:
        made = job(days(5), tiny_model, members=3)
        seen = np.zeros((3, 5), dtype=int)
        for piece in pieces(made, (2, 1), (2, 2, 1)).values():
            seen[slice(*piece.members), slice(*piece.days)] += 1
        np.testing.assert_array_equal(seen, 1)

    def test_need_their_days_and_the_history_before(self, days: Any, tiny_model: Downscaler) -> None:
        assert tiny_model.history == 3
        made = pieces(job(days(5), tiny_model), (1,), (2, 2, 1))
        assert [made[0, j].past for j in range(3)] == [(), (0, 1), (2, 3)]
        assert made[0, 2].needed == [2, 3, 4]
        assert made[0, 2].index == (0, 2)

    def test_need_what_lies_anywhere_in_an_unsorted_record(self, days: Any, tiny_model: Downscaler) -> None:
        made = pieces(job(days(5)[[4, 0, 2, 1, 3]], tiny_model), (1,), (1,) * 5)
        assert made[0, 0].needed == [0, 2, 4]  # the 5th of July is first; the 3rd and 4th are its history
        assert made[0, 1].needed == [1]

    def test_are_small(self, days: Any, tiny_model: Downscaler) -> None:
        made = job(days(365), tiny_model)
        assert max(len(pickle.dumps(p)) for p in pieces(made, (1,), (365,)).values()) < 400

    def test_with_other_dimensions(self, days: Any, tiny_model: Downscaler) -> None:
        several = days(2).expand_dims(number=[3, 4])
        made = pieces(job(several, tiny_model), (1,), (2,))
        assert list(made) == [(0, 0, 0), (1, 0, 0)]
        assert made[1, 0, 0].other == (1,)


class TestCoarseDays:
    def test_of_chunks_that_end_anywhere(self, days: Any, tiny_model: Downscaler) -> None:
        da = days(6)
        made = job(da, tiny_model)
        recipe = Recipe.of(made)
        piece = Piece((0, 1), (0, 1), (3, 5), (1, 2))
        chunks = [da.values[0:2], da.values[2:4], da.values[4:6]]
        found = coarse_days(recipe, piece, (0, 2, 4), chunks)
        np.testing.assert_array_equal(found, made.values[[1, 2, 3, 4]])
        skipping = coarse_days(recipe, Piece((0, 2), (0, 1), (5, 6), (0,)), (0, 4), [chunks[0], chunks[2]])
        np.testing.assert_array_equal(skipping, made.values[[0, 5]])

    def test_are_canonical(self, days: Any, tiny_model: Downscaler) -> None:
        da = days(2)[:, ::-1]
        recipe = Recipe.of(job(da, tiny_model))
        found = coarse_days(recipe, Piece((0, 0), (0, 1), (0, 2), ()), (0,), [da.values.astype("f4")])
        np.testing.assert_array_equal(found, da.values[:, ::-1].astype("f4"))
        assert found.dtype == np.float64

    def test_without_time(self, days: Any, tiny_model: Downscaler) -> None:
        da = days(1)[0]
        recipe = Recipe.of(job(da, tiny_model))
        assert recipe.timeless
        found = coarse_days(recipe, Piece((0, 0), (0, 1), (0, 1), ()), (0,), [da.values])
        np.testing.assert_array_equal(found, da.values[None])


class TestDrawn:
    def test_is_that_part_of_the_whole(
        self, days: Any, tiny_model: Downscaler, quick: dict[str, Any]
    ) -> None:
        da = days(5)[:, ::-1]
        whole = predict(da, tiny_model, members=3, **quick)
        made = job(da, tiny_model, members=3, sampler=quick["sampler"], tiling=quick["tiling"])
        piece = pieces(made, (1, 2), (3, 2))[1, 1]
        found = drawn(Recipe.of(made), tiny_model, piece, made.values[piece.needed])
        np.testing.assert_array_equal(found.values, whole.values[1:3, 3:5])
        assert found.residual.shape == (2, 2)
        assert found.residual.max() <= whole.attrs["downscale_residual_before_conservation"]

    @pytest.mark.parametrize(
        ("bad", "said"), [(1e15, "fill value"), (-0.5, "not negative"), (1e4, "percent")]
    )
    def test_values_that_were_not_read_are_checked(
        self, days: Any, tiny_model: Downscaler, bad: float, said: str
    ) -> None:
        made = job(days(2).chunk(time=1), tiny_model)
        coarse = days(2).values
        coarse[0, 1, 1] = bad
        with pytest.raises(ValueError, match=said):
            drawn(Recipe.of(made), tiny_model, Piece((0, 1), (0, 1), (1, 2), (0,)), coarse)

    def test_a_day_alone_is_judged(self, days: Any, tiny_model: Downscaler) -> None:
        """A pale day among usual ones: found whatever its company, and let pass where it is history only."""
        made = job(days(2).chunk(time=1), tiny_model, domain_check="raise")
        coarse = days(2).values
        coarse[0] = 0.0
        with pytest.raises(DomainError, match=r"values of 2005-07-01T12:00:00 differ .* standard deviations"):
            drawn(Recipe.of(made), tiny_model, Piece((0, 0), (0, 1), (0, 2), ()), coarse)
        drawn(Recipe.of(made), tiny_model, Piece((0, 1), (0, 1), (1, 2), (0,)), coarse)

    def test_by_reference(self, days: Any, tiny_model: Downscaler, checkpoint: str) -> None:
        made = job(days(1), checkpoint)
        assert isinstance(made.carried, Reference)
        piece = pieces(made, (1,), (1,))[0, 0]
        one = drawn(Recipe.of(made), made.carried, piece, made.values)
        other = drawn(Recipe.of(made), tiny_model, piece, made.values)
        np.testing.assert_array_equal(one.values, other.values)


class TestTorchThreads:
    @pytest.fixture(autouse=True)
    def two(self) -> Any:
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        yield
        torch.set_num_threads(before)

    def run(self, action: Callable[[], None], count: int = 1) -> None:
        threads = [threading.Thread(target=action) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def test_alone_as_they_were(self) -> None:
        with block._torch_threads():
            assert torch.get_num_threads() == 2

    def test_one_beside_others_and_back(self) -> None:
        seen: list[int] = []
        together = threading.Barrier(3)

        def body() -> None:
            with block._torch_threads():
                together.wait()
                seen.append(torch.get_num_threads())
                together.wait()
            seen.append(torch.get_num_threads())

        self.run(body, 3)
        assert sorted(seen) == [1, 1, 1, 2, 2, 2]
        assert torch.get_num_threads() == 2
        self.run(lambda: seen.append(torch.get_num_threads()))
        assert seen[-1] == 2, "a new thread has what was set before"

    def test_back_after_an_error(self) -> None:
        def body() -> None:
            with pytest.raises(ZeroDivisionError), block._torch_threads():
                raise ZeroDivisionError

        self.run(body)
        assert block._STATE["running"] == 0
        assert torch.get_num_threads() == 2
