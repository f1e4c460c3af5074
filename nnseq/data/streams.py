"""Text as B contiguous streams, whose windows carry the state of the model from one to the next.

    L = (N - 1 - s) // B                       targets of a column                      (1)
    column b:  x = ids[s + b L : s + b L + L]   y = the ids one position later           (2)
    window:    T targets of every column, or max(low, min(high, ⌊a⌋)),                   (3)
               a ~ N(μ, std²), μ = T with probability p, else T / 2

So every target of (2) is predicted once in an epoch, in order: L B of the N - 1 that there are, as
s leading ids (at random, `random_start`) and fewer than B trailing ones are left out. The last
window of an epoch has what is left, which can be less than `low`.

Windows of random length are an idea of Merity, Keskar and Socher 2017, "Regularizing and Optimizing
LSTM Language Models". The numbers of (3), its upper bound, its rounding and the resets of the state
at random windows (`reset_every`) are those of the IndRNN authors' code for language models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nnseq.data.batches import SeededBatches, TextBatch, check_count, check_ids


class Variable(NamedTuple):
    """Windows of random length, eq. (3).

    Attributes:
        p: how often the mean is T, not T / 2.
        std: of the length.
        low: least length, but for the last window of an epoch.
        high: greatest length; None: T + 10.
    """

    p: float = 0.95
    std: float = 5.0
    low: int = 5
    high: int | None = None


class Streams(SeededBatches):
    """Windows of B contiguous streams, for training.

    Args:
        ids: (N,) the text.
        B: columns.
        T: steps of a window, or their mean under `variable`.
        rng: a generator for these batches alone.
        random_start: each epoch leaves out a random number of leading ids, below this one.
        variable: lengths of windows drawn by eq. (3); None: all T.
        reset_every: the state starts from zero at one window in so many, at random, besides the
            start of an epoch; 0: there alone.

    Raises:
        TypeError: ids or sizes that are not whole numbers, no generator, or no Variable.
        ValueError: a size out of range, or a text too short for one window of every column.
    """

    def __init__(
        self,
        ids: ArrayLike,
        B: int,
        T: int,
        *,
        rng: np.random.Generator,
        random_start: int = 0,
        variable: Variable | None = None,
        reset_every: int = 0,
    ) -> None:
        who = type(self).__name__
        self.ids = check_ids(who, ids)
        self.B, self.T = check_count(who, "B", B), check_count(who, "T", T)
        self.random_start = check_count(who, "random_start", random_start, 0)
        self.reset_every = check_count(who, "reset_every", reset_every, 0)
        self.variable = None if variable is None else _checked(who, variable, self.T)
        most = max(0, self.random_start - 1)
        check_length(who, self.ids, self.B, self.T, most)
        super().__init__(
            rng,
            {
                "N": len(self.ids),
                "B": self.B,
                "T": self.T,
                "random_start": self.random_start,
                "variable": None if self.variable is None else list(self.variable),
                "reset_every": self.reset_every,
            },
        )
        self.skip = 0  # s of eq. (1), in the epoch under way
        counts = {-(-self._column_length(skip) // self.T) for skip in (0, most)}
        self.steps_per_epoch = counts.pop() if len(counts) == 1 and variable is None else None

    def draw(self) -> TextBatch:
        """Returns the next window; the first of an epoch has is_first."""
        if self.at == 0 and self.random_start:
            self.skip = int(self.rng.integers(self.random_start))
        is_first = self.at == 0
        if self.reset_every:
            is_first |= bool(self.rng.integers(self.reset_every) == 0)
        start, L = self.at, self._column_length(self.skip)
        self.at = min(start + self._window_length(), L)
        window = cut_window(self.ids[self.skip :], self.B, L, start, self.at, is_first)
        if self.at == L:
            self.at = 0
            self.epoch += 1
        return window

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch began and how far it is, and the generator's state."""
        return {**super().state_dict(), "skip": self.skip}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what state_dict returned.

        Raises:
            KeyError, TypeError, ValueError: the state is of other batches, or of another generator.
        """
        skip = int(state["skip"])
        super().load_state_dict(state)
        self.skip = skip

    def _column_length(self, skip: int) -> int:
        return (len(self.ids) - 1 - skip) // self.B  # (1)

    def _window_length(self) -> int:
        if self.variable is None:
            return self.T
        p, std, low, high = self.variable
        mean = self.T if self.rng.random() < p else self.T / 2
        return max(low, min(high, int(self.rng.normal(mean, std))))  # (3)


def windows(ids: ArrayLike, B: int, T: int) -> Iterator[TextBatch]:
    """All targets of a text once and in order, for evaluation.

    The N - 1 targets are B columns, as in eq. (2) with s = 0, in windows of T; the fewer than B
    targets that remain follow as windows of one column, whose state starts from zero. With B = 1
    none remain.

    Args:
        ids: (N,) the text.
        B: columns.
        T: steps of a window; the last one has what is left.

    Yields:
        TextBatch of (T, B), then, for the remainder, of (T, 1).

    Raises:
        TypeError: ids or sizes that are not whole numbers.
        ValueError: a size out of range, or a text too short for one window of every column.
    """
    ids = check_ids("windows", ids)
    B, T = check_count("windows", "B", B), check_count("windows", "T", T)
    check_length("windows", ids, B, T)
    return _windows(ids, B, T)


def _windows(ids: np.ndarray, B: int, T: int) -> Iterator[TextBatch]:
    L = (len(ids) - 1) // B
    for part, columns in ((ids[: L * B + 1], B), (ids[L * B :], 1)):
        length = (len(part) - 1) // columns
        for start in range(0, length, T):
            stop = min(start + T, length)
            yield cut_window(part, columns, length, start, stop, start == 0)


def cut_window(ids: np.ndarray, B: int, L: int, start: int, stop: int, is_first: bool) -> TextBatch:
    """Positions start to stop of B columns of L targets, eq. (2), in memory of their own."""
    x = ids[: B * L].reshape(B, L)[:, start:stop]  # a view: ids are contiguous
    y = ids[1 : B * L + 1].reshape(B, L)[:, start:stop]
    return TextBatch(np.array(x.T, order="C"), np.array(y.T, order="C"), is_first)


def check_length(who: str, ids: np.ndarray, B: int, T: int, skip: int = 0) -> None:
    """Refuses a text from which B columns of T targets cannot be cut after skip ids.

    Raises:
        ValueError: it is too short.
    """
    least = B * T + 1 + skip
    if len(ids) < least:
        lost = f" after up to {skip} ids left out (random_start)" if skip else ""
        raise ValueError(
            f"{who}: ids has N = {len(ids)}, expected at least B T + 1 = {least - skip}{lost}, for "
            f"B = {B} columns with a window of T = {T}; lower B or T, or give a longer text"
        )


def _checked(who: str, variable: Variable, T: int) -> tuple[float, float, int, int]:
    """p, std, low and high as plain numbers, high filled in."""
    if not isinstance(variable, Variable):
        raise TypeError(f"{who}: variable is {variable!r}, expected a Variable or None")
    p, std = float(variable.p), float(variable.std)
    if not 0 <= p <= 1:
        raise ValueError(f"{who}: variable.p is {p}, expected a probability in [0, 1]")
    if not 0 <= std < np.inf:
        raise ValueError(f"{who}: variable.std is {std}, expected a number in [0, inf)")
    low = check_count(who, "variable.low", variable.low)
    high = T + 10 if variable.high is None else variable.high
    return p, std, low, check_count(who, "variable.high", high, low)
