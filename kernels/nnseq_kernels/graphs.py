"""Sequences of launches, recorded the second time they are asked for and replayed from then on.

A recurrence is a few small launches per step. Launched one by one, they take longer on the host
than on the GPU; recorded as one CUDA graph, they are one launch. A recorded launch has the
addresses of its arrays built in, so a sequence owns its arrays: a call copies its inputs into them,
replays, and copies its results out.

The first call of a kind runs step by step: that compiles the kernels and loads the libraries, which
must not happen during a recording, and sizes that never come back cost no recording.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

LIMIT = 4  # sequences that are kept with their arrays
REMEMBERED = 64  # kinds of sequence that are known to have come once

Run = Callable[[], None]
Record = Callable[[Run], Run]


class Sequence(Protocol):
    """Arrays, and the launches that work on them."""

    def run(self) -> None:
        """Launches all of it."""


S = TypeVar("S", bound=Sequence)


class Graphs:
    """The recorded sequences used last, at most `limit`; their arrays stay in memory."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._recorded: OrderedDict[Hashable, tuple[Any, Run]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._recorded)

    def sequence(self, key: Hashable, build: Callable[[], S], record: Record) -> tuple[S, Run]:
        """Returns the sequence of this key and how to run it.

        The one returned is the caller's until the next call with this key.

        Args:
            key: all that the sequence depends on but the values in its arrays.
            build: makes the sequence.
            record: record(run) -> replay, see `Launcher`.
        """
        if key not in self._recorded:
            made = build()
            if not self._came_before(key):
                return made, made.run
            while len(self._recorded) >= self.limit:
                self._recorded.popitem(last=False)
            self._recorded[key] = made, record(made.run)
        self._recorded.move_to_end(key)
        return self._recorded[key]

    def clear(self) -> None:
        """Forgets all sequences and frees their arrays."""
        self._recorded.clear()

    def _came_before(self, key: Hashable) -> bool:
        came = key in self._seen
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return came
