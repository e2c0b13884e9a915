"""One thread cuts the next batch while the last is learned from."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from xdownscale.training.ahead import Ahead


class Cut:
    """Batches that are their step, and who cut which."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.threads: set[int] = set()
        self.begun = threading.Event()

    def __call__(self, step: int) -> Any:
        self.done.append(step)
        self.threads.add(threading.get_ident())
        if step == 1:
            self.begun.set()
        if step == 7:
            raise ValueError("no room for a crop")
        return step


def test_gives_each_step_its_own_and_cuts_none_twice() -> None:
    cut = Cut()
    with Ahead(cut, 5) as batches:
        assert [batches(step) for step in range(5)] == [0, 1, 2, 3, 4]
    assert cut.done == [0, 1, 2, 3, 4]
    assert len(cut.threads) == 1
    assert threading.get_ident() not in cut.threads


def test_runs_ahead_by_itself() -> None:
    cut = Cut()
    with Ahead(cut, 5) as batches:
        assert batches(0) == 0
        assert cut.begun.wait(10), "the batch of step 1 was not begun before it was asked for"


def test_a_resumed_training_begins_where_it_was() -> None:
    cut = Cut()
    with Ahead(cut, 6) as batches:
        assert [batches(step) for step in (3, 4, 5)] == [3, 4, 5]
    assert cut.done == [3, 4, 5]


def test_errors_come_in_their_step() -> None:
    with Ahead(Cut(), 9) as batches:
        assert batches(6) == 6
        with pytest.raises(ValueError, match="no room for a crop"):
            batches(7)


def test_for_a_gpu_they_are_pinned() -> None:
    class Batch:
        def pinned(self) -> str:
            return "pinned"

    with Ahead(lambda _: Batch(), 1, "cuda:0") as batches:  # type: ignore[arg-type, return-value]
        assert batches(0) == "pinned"
