"""Text as shuffled chunks, each of which a model reads from the zero state.

    chunk k of n:  ids[s + k T : s + k T + T]     x = chunk[:-1], y = chunk[1:]          (1)
    s uniform in 0 ... T - 1, new each epoch, or always 0                                (2)

Chunks never overlap, and have T - 1 targets. n is the same for every s: the whole chunks that the
greatest s leaves, so that epochs are of one length. Characters are batched like this in the code of
Krueger et al. 2016, "Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations", with
T = 100; there n depends on s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nnseq.data.batches import TextBatch, check_count, check_ids
from nnseq.data.shuffled import Shuffled


class Chunks(Shuffled):
    """Batches of B chunks of a text, in random order; the last incomplete batch is left out.

    Args:
        ids: (N,) the text.
        B: chunks of a batch.
        T: ids of a chunk, at least 2; its window has T - 1 steps.
        rng: a generator for these batches alone.
        augment: draws s of eq. (2); otherwise it is 0.

    Raises:
        TypeError: ids or sizes that are not whole numbers, or no generator.
        ValueError: a size out of range, or a text too short for one batch.
    """

    def __init__(
        self,
        ids: ArrayLike,
        B: int,
        T: int,
        *,
        rng: np.random.Generator,
        augment: bool = True,
    ) -> None:
        who = type(self).__name__
        self.ids = check_ids(who, ids)
        B, self.T = check_count(who, "B", B), check_count(who, "T", T, 2)
        self.augment, self.start = bool(augment), 0
        most = self.T - 1 if self.augment else 0
        if len(self.ids) < B * self.T + most:
            lost = f" + T - 1 (augment) = {B * self.T + most}" if most else f" = {B * self.T}"
            raise ValueError(
                f"{who}: ids has N = {len(self.ids)}, expected at least B T{lost}, for a batch of "
                f"B = {B} chunks of T = {self.T}; lower B or T, or give a longer text"
            )
        n = (len(self.ids) - most) // self.T
        super().__init__(n, B, rng=rng, make=self._cut, drop_last=True)
        self.of |= {"N": len(self.ids), "T": self.T, "augment": self.augment}

    def state_dict(self) -> dict[str, Any]:
        """Where chunks begin, their order and how far the epoch is, and the generator's state."""
        return {**super().state_dict(), "start": self.start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what state_dict returned.

        Raises:
            KeyError, TypeError, ValueError: the state is of other batches, or of another generator.
        """
        start = int(state["start"])
        super().load_state_dict(state)
        self.start = start

    def _begin_epoch(self) -> None:
        if self.augment:
            self.start = int(self.rng.integers(self.T))  # (2)
        super()._begin_epoch()

    def _cut(self, indices: np.ndarray, rng: np.random.Generator) -> TextBatch:
        whole = self.ids[self.start : self.start + self.size * self.T]
        chunks = whole.reshape(self.size, self.T)[indices].T  # (T, B), (1)
        return TextBatch(np.array(chunks[:-1], order="C"), np.array(chunks[1:], order="C"), True)
