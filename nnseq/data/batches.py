"""Batches that never end, and that go on after a restart with the batch that was to come.

    Batches        what every kind can: draw, state_dict, load_state_dict
    SeededBatches  what the kinds that draw from a generator share

A kind is used from one thread, and owns its generator: whoever else drew from it would shift the
batches, and prefetching would shift what the other draws. The arrays of a batch are new: nobody
else holds them, nor does a later draw write into them. Who makes them for a kind keeps to that.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class TextBatch(NamedTuple):
    """A window of text.

    Attributes:
        x: (T, B) int32 ids.
        y: (T, B) int32 ids one position later.
        is_first: the carried state must be zero; otherwise column b goes on where column b of the
            batch before ended.
    """

    x: np.ndarray
    y: np.ndarray
    is_first: bool


class ArrayBatch(NamedTuple):
    """Sequences or images x and their labels y, of the shapes that their maker chose."""

    x: np.ndarray
    y: np.ndarray


class Batches(ABC):
    """A source of batches: one epoch follows the other without end.

    Attributes:
        epoch: passes that the batches drawn so far have completed.
        steps_per_epoch: batches of a pass; None where passes differ.
    """

    epoch: int
    steps_per_epoch: int | None

    @abstractmethod
    def draw(self) -> Any:
        """Returns the next batch, a NamedTuple; its arrays are new, the caller's own."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What the batches to come depend on, the generator's state with it.

        Returns:
            Nested dicts of arrays and JSON-able values; later draws leave them as they are.
        """

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to where state_dict was called: the next batch is the one that came next there.

        Raises:
            KeyError, TypeError, ValueError: the state is of something else.
        """


class SeededBatches(Batches):
    """Batches that depend on a generator and a position within the epoch.

    Args:
        rng: a generator for these batches alone.
        of: what tells these batches from others, JSON-able; a state is taken only if it has the
            same.

    Subclasses keep `epoch` and `at`, the position, 0 between epochs; what an epoch needs is drawn
    when its first batch is.
    """

    def __init__(self, rng: np.random.Generator, of: dict[str, Any]) -> None:
        self.who = type(self).__name__
        if not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"{self.who}: rng is {rng!r}, expected a generator such as "
                "np.random.default_rng(seed)"
            )
        self.rng = rng
        self.epoch = self.at = 0
        self.of = {"kind": self.who, **of}

    def state_dict(self) -> dict[str, Any]:
        """Which batches, how far, and the generator's state; subclasses add their own."""
        rng = self.rng.bit_generator.state
        return {"of": self.of, "rng": rng, "epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what state_dict returned.

        Raises:
            KeyError, TypeError, ValueError: the state is of other batches, or of another generator.
        """
        of = dict(state["of"])
        faults = [
            f"{name} = {of.get(name)!r}, expected {value!r}"
            for name, value in self.of.items()
            if of.get(name) != value
        ]
        if faults:
            raise ValueError(f"{self.who}: the state is of {'; '.join(faults)}")
        epoch, at = int(state["epoch"]), int(state["at"])
        self.rng.bit_generator.state = state["rng"]
        self.epoch, self.at = epoch, at


def check_count(who: str, name: str, value: Any, least: int = 1) -> int:
    """Returns value as an int.

    Raises:
        TypeError: not a whole number.
        ValueError: below least.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = None
    if count is None or isinstance(value, bool):
        raise TypeError(f"{who}: {name} is {value!r}, expected a whole number")
    if count < least:
        raise ValueError(f"{who}: {name} is {count}, expected at least {least}")
    return count


def check_ids(who: str, ids: Any) -> np.ndarray:
    """Returns ids as a contiguous int32 array, without a copy where they are one.

    Raises:
        TypeError: not whole numbers.
        ValueError: not one axis, or an id that int32 cannot hold.
    """
    ids = np.asarray(ids)
    if ids.ndim != 1:
        raise ValueError(f"{who}: ids has shape {ids.shape}, expected (N,)")
    if ids.size and ids.dtype.kind not in "iu":
        raise TypeError(f"{who}: ids has dtype {ids.dtype}, expected whole numbers")
    if ids.size and not np.can_cast(ids.dtype, np.int32):
        low, high, bounds = ids.min(), ids.max(), np.iinfo(np.int32)
        if low < bounds.min or high > bounds.max:
            raise ValueError(f"{who}: ids are from {low} to {high}, expected ids that int32 holds")
    return np.ascontiguousarray(ids, np.int32)
