"""A labelled set in batches: a part to train on, a part to choose by, and the set to test with.

Training is shuffled, and may be augmented. The other two are passed through in their order, and an
example may be looked at several times there, as in random crops of it. What is random in a look is
drawn from the number of the look alone: every pass, of any run, sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from nnseq.data.batches import ArrayBatch, Batches, check_count
from nnseq.data.prefetch import Prefetch
from nnseq.data.shuffled import Shuffled

# look(indices (B,), rng) -> x (T, B, D), floats, in a new array (nnseq.data.batches); T may differ
# from call to call.
Look = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Labelled(NamedTuple):
    """A set of examples.

    Attributes:
        labels: (N,) int64 classes.
        look: what the network sees of some of them.
    """

    labels: np.ndarray
    look: Look


class Passes(Batches):
    """All examples in their order, B at a time, each batch `looks` times in a row.

    Args:
        examples: the set.
        B: examples of a batch; the last of a pass may be smaller.
        looks: how often a batch comes.

    Raises:
        TypeError, ValueError: B or looks is not a whole number of at least 1, or the set is empty.
    """

    def __init__(self, examples: Labelled, B: int, looks: int = 1) -> None:
        self.examples = examples
        self.B, self.looks = check_count("Passes", "B", B), check_count("Passes", "looks", looks)
        size = check_count("Passes", "the number of examples", len(examples.labels))
        self.steps_per_epoch: int = -(-size // self.B) * self.looks
        self.epoch = self.at = 0

    def draw(self) -> ArrayBatch:
        """Returns the next look at a batch."""
        k, N = self.at, len(self.examples.labels)
        start = k // self.looks * self.B
        indices = np.arange(start, min(start + self.B, N))
        x = self.examples.look(indices, np.random.default_rng(k))
        self.at = (k + 1) % self.steps_per_epoch
        self.epoch += self.at == 0
        return ArrayBatch(x, self.examples.labels[indices])

    def state_dict(self) -> dict[str, Any]:
        """How far it is."""
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what state_dict returned.

        Raises:
            KeyError, TypeError, ValueError: the state is of something else.
        """
        epoch, at = int(state["epoch"]), int(state["at"])
        if not 0 <= at < self.steps_per_epoch:
            raise ValueError(f"Passes: at is {at}, expected 0 to {self.steps_per_epoch - 1}")
        self.epoch, self.at = epoch, at


class Examples:
    """The three parts, each drawn ahead in the background.

    Args:
        train: what is trained on, but for a part of it that is held back.
        test: what is tested with.
        rng: a generator for this alone: which examples are held back, and the training batches.
        batch_size: of training; what is left over of an epoch, others each time, is left out.
        eval_batch_size: of the other two.
        valid_share: which part of train is held back, rounded up to whole examples.
        augmented: look of training, in place of train's.
        valid_looks, test_looks: looks at each example.

    Attributes:
        train, valid, test: batches (x, y), x (T, B, D) and y (B,).
        test_looks: as above; the looks of a batch come in a row.

    Raises:
        ValueError: too few examples.
    """

    def __init__(
        self,
        train: Labelled,
        test: Labelled,
        *,
        rng: np.random.Generator,
        batch_size: int,
        eval_batch_size: int,
        valid_share: float,
        augmented: Look | None = None,
        valid_looks: int = 1,
        test_looks: int = 1,
    ) -> None:
        of_split, of_batches = rng.spawn(2)
        order, kept = of_split.permutation(len(train.labels)), _kept(len(train.labels), valid_share)
        if kept < batch_size or kept == len(order):
            raise ValueError(
                f"{len(order)} examples, of which {len(order) - kept} are held back, leave {kept} "
                f"to train on, expected at least one held back and {batch_size} left, a batch"
            )
        rest, held_back = order[:kept], np.sort(order[kept:])
        look = train.look if augmented is None else augmented

        def make(indices: np.ndarray, rng: np.random.Generator) -> ArrayBatch:
            return ArrayBatch(look(rest[indices], rng), train.labels[rest[indices]])

        batches = Shuffled(kept, batch_size, rng=of_batches, make=make, drop_last=True)
        valid = Labelled(train.labels[held_back], lambda i, rng: train.look(held_back[i], rng))
        self.test_looks = test_looks
        self.train = Prefetch(batches)
        self.valid = Prefetch(Passes(valid, eval_batch_size, valid_looks))
        self.test = Prefetch(Passes(test, eval_batch_size, test_looks))

    @property
    def waited(self) -> float:
        """Seconds spent waiting for batches."""
        return self.train.waited + self.valid.waited + self.test.waited

    def close(self) -> None:
        """Ends the threads."""
        for part in (self.train, self.valid, self.test):
            part.close()


def _kept(N: int, share: float) -> int:
    """Of N examples, those that remain when a share is held back; 5 % of 40,091 are 2,005."""
    return int(N * (1 - share) + 1e-9)  # 60,000 · (1 - 1/6) is 50,000, not a rounding error less
