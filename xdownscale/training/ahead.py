"""Batches of the steps to come, cut while the last one is learned from.

A batch is a function of its step alone, so that one thread may run ahead by one step and give what would have
been cut in its turn, to the bit. For a GPU it lies in pinned memory, from where the copy to the device does
not hold up the caller.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from types import TracebackType

    from xdownscale.training.pairs import Batch

__all__ = ["Ahead"]


class Ahead:
    """Batches by step; a context manager, which waits for its thread at the end.

    Parameters
    ----------
    cut : callable
        Step number to its batch, safe to call beside the training.
    steps : int
        There is none from this one on.
    device : str
        What the batches are for.
    """

    def __init__(self, cut: Callable[[int], Batch], steps: int, device: str = "cpu") -> None:
        self._cut, self._steps = cut, steps
        self._pinned = torch.device(device).type == "cuda"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: tuple[int, Future[Batch]] | None = None

    def __call__(self, step: int) -> Batch:
        """The batch of a step; that of the next step is begun."""
        if self._next is None or self._next[0] != step:
            self._next = self._begun(step)
        batch = self._next[1].result()
        self._next = self._begun(step + 1) if step + 1 < self._steps else None
        return batch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _begun(self, step: int) -> tuple[int, Future[Batch]]:
        return step, self._thread.submit(self._made, step)

    def _made(self, step: int) -> Batch:
        batch = self._cut(step)
        return batch.pinned() if self._pinned else batch
