"""Sequences of launches, recorded the second time they are asked for and replayed from then on.

A recurrence is a few small launches per step. Launched one by one, they take longer on the host
than on the GPU; recorded as one CUDA graph, they are one launch. A recorded launch has the
addresses of its arrays built in, so a sequence owns its arrays: a call copies its inputs into them,
replays, and copies its results out.

The first call of a kind runs step by step: that compiles the kernels and loads the libraries, which
must not happen during a recording, and sizes that never come back cost no recording.

NNSEQ_CUDA_GRAPHS=<number> in the environment says how many sequences are kept. One that was
forgotten and comes back is recorded again, which takes longer than running it: that is warned of.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar

VARIABLE = "NNSEQ_CUDA_GRAPHS"
LIMIT = 16  # sequences kept with their arrays: a kind of layer has two, forward and backward
REMEMBERED = 64  # kinds without a recording that are known to have come

Run = Callable[[], None]
Record = Callable[[Run], Run]


class Sequence(Protocol):
    """Arrays, and the launches that work on them."""

    def run(self) -> None:
        """Launches all of it."""


S = TypeVar("S", bound=Sequence)


class Graphs:
    """The recorded sequences used last, at most `limit`; their arrays stay in memory.

    Args:
        limit: at least 1; it may be set anew.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._recorded: OrderedDict[Hashable, tuple[Any, Run]] = OrderedDict()
        self._came: OrderedDict[Hashable, bool] = OrderedDict()  # True: recorded, then forgotten
        self._has_warned = False

    def __len__(self) -> int:
        return len(self._recorded)

    def sequence(self, key: Hashable, build: Callable[[], S], record: Record) -> tuple[S, Run]:
        """Returns the sequence of this key and how to run it.

        The one returned is the caller's until the next call with this key.

        Args:
            key: all that the sequence depends on but the values in its arrays.
            build: makes the sequence.
            record: record(run) -> replay, see `Launcher`.

        Warns:
            RuntimeWarning: once, when a kind comes back that was recorded and then forgotten.
        """
        if key not in self._recorded:
            made = build()
            if key not in self._came:
                return made, self._first_run(key, made.run)
            replay = record(made.run)
            if self._came.pop(key):
                self._warn()
            while len(self._recorded) >= self.limit:
                forgotten, _ = self._recorded.popitem(last=False)
                self._remember(forgotten, was_recorded=True)
            self._recorded[key] = made, replay
        self._recorded.move_to_end(key)
        return self._recorded[key]

    def clear(self) -> None:
        """Forgets all sequences and frees their arrays."""
        self._recorded.clear()

    def _first_run(self, key: Hashable, run: Run) -> Run:
        """Returns what runs a new kind; only a run that succeeds has compiled and loaded all."""

        def run_and_remember() -> None:
            run()
            self._remember(key, was_recorded=False)

        return run_and_remember

    def _remember(self, key: Hashable, was_recorded: bool) -> None:
        self._came[key] = was_recorded
        self._came.move_to_end(key)
        if len(self._came) > REMEMBERED:
            self._came.popitem(last=False)

    def _warn(self) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        number = len(self._recorded) + 1 + sum(self._came.values())
        warnings.warn(
            f"{VARIABLE}: a recurrence was recorded as a CUDA graph again, because {self.limit} "
            f"graphs are kept and {number} kinds of sequence (layer sizes, options, forward and "
            f"backward) take turns; each such call records anew, which is slow. Set {VARIABLE}="
            f"{number} or more to keep them all with their arrays, or 0 to record none",
            RuntimeWarning,
            stacklevel=2,
        )
