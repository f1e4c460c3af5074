"""Minibatches of a set in random order, a new one each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nnseq.data.batches import SeededBatches, check_count

NO_ORDER = np.empty(0, np.int64)  # between epochs


class Shuffled(SeededBatches):
    """Each example of a set once an epoch, B at a time, in random order.

    Args:
        size: examples of the set.
        B: examples of a batch.
        rng: a generator for these batches alone.
        make: make(indices, rng) returns the batch of the examples numbered indices (B,) int64, a
            NamedTuple of arrays, which are new (nnseq.data.batches); what it draws (crops,
            rotations) it draws from rng.
        drop_last: leaves out the last size % B examples of an epoch, others each time; otherwise
            they are a smaller batch.

    Raises:
        TypeError: sizes that are not whole numbers, or no generator.
        ValueError: a size below 1, or B greater than size.
    """

    def __init__(
        self,
        size: int,
        B: int,
        *,
        rng: np.random.Generator,
        make: Callable[[np.ndarray, np.random.Generator], Any],
        drop_last: bool = False,
    ) -> None:
        who = type(self).__name__
        self.size, self.B = check_count(who, "size", size), check_count(who, "B", B)
        if self.size < self.B:
            raise ValueError(
                f"{who}: B is {self.B}, expected at most {self.size}, the examples there are; "
                "lower B"
            )
        super().__init__(rng, {"size": self.size, "B": self.B, "drop_last": bool(drop_last)})
        self.make = make
        whole = self.size // self.B
        self.steps_per_epoch = whole if drop_last else -(-self.size // self.B)
        self._order = NO_ORDER

    def draw(self) -> Any:
        """Returns what make builds of the next B indices."""
        if self.at == 0:
            self._begin_epoch()
        start = self.at * self.B
        batch = self.make(self._order[start : start + self.B].copy(), self.rng)
        self.at += 1
        if self.at == self.steps_per_epoch:
            self.at, self._order = 0, NO_ORDER
            self.epoch += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The order of the epoch under way and how far it is, and the generator's state."""
        return {**super().state_dict(), "order": self._order if self.at else NO_ORDER}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what state_dict returned.

        Raises:
            KeyError, TypeError, ValueError: the state is of other batches, or of another generator.
        """
        order = np.array(state["order"], np.int64)
        expected = 0 if int(state["at"]) == 0 else self.size
        if order.shape != (expected,):
            raise ValueError(
                f"{self.who}: the state has an order of shape {order.shape}, expected ({expected},)"
            )
        super().load_state_dict(state)
        self._order = order

    def _begin_epoch(self) -> None:
        self._order = self.rng.permutation(self.size)
