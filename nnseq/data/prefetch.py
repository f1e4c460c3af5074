"""Batches drawn ahead, by a thread in the background.

    free:    a token for every batch that may be drawn ahead     consumer -> thread
    filled:  batches with the state after each, or an error      thread -> consumer

Both are queues whose put never waits, so that the thread can be told to end from anywhere: by
close(), by the garbage collector, and at the interpreter's exit, for which nothing waits. The
thread holds the queues and the source, never the Prefetch itself.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter
from types import TracebackType
from typing import Any, NamedTuple

from nnseq.data.batches import Batches, check_count


class Prefetch(Batches):
    """The same batches as another source's, drawn in the background before they are asked for.

    It hands out the source's own arrays, which are the caller's, as Batches promises.

    Its state is that after the last batch handed out, in the source's own form: a run may be saved
    with prefetching and go on without, or the other way round.

    Args:
        batches: the source; the Prefetch's own until close(), which leaves it where the last batch
            handed out did.
        depth: how many batches are drawn ahead.

    Attributes:
        waited: seconds that draw() has waited because the next batch was not there yet.

    Raises:
        TypeError: batches is no Batches, or depth no whole number.
        ValueError: depth is below 1.
    """

    def __init__(self, batches: Batches, depth: int = 2) -> None:
        if not isinstance(batches, Batches):
            raise TypeError(f"Prefetch: batches is a {type(batches).__name__}, expected Batches")
        self.depth = check_count("Prefetch", "depth", depth)
        self.batches = batches
        self.epoch, self.steps_per_epoch = batches.epoch, batches.steps_per_epoch
        self.waited = 0.0
        self._state = batches.state_dict()
        self._worker: _Worker | None = None
        self._is_closed = False

    def draw(self) -> Any:
        """Returns the next batch.

        Raises:
            RuntimeError: after close(), or in a process forked after the first draw().
            Exception: what the source's draw() raised. The next draw() asks it for the same batch.
        """
        self._check_usable("draw")
        worker = self._worker = self._worker or _Worker(self, self.batches, self.depth)
        try:
            drawn = worker.filled.get_nowait()
        except Empty:
            began = perf_counter()
            drawn = worker.filled.get()
            self.waited += perf_counter() - began
        if isinstance(drawn, BaseException):
            try:
                self._halt()
                raise drawn
            finally:
                del drawn  # an error and this frame would keep each other alive
        worker.free.put(True)
        self._state, self.epoch = drawn.state, drawn.epoch
        return drawn.batch

    def state_dict(self) -> dict[str, Any]:
        """The source's state after the last batch handed out."""
        return self._state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes a state of the source; batches drawn ahead are forgotten.

        Raises:
            KeyError, TypeError, ValueError: the state is of something else; nothing has changed.
            RuntimeError: as draw().
        """
        self._check_usable("load_state_dict")
        self._halt()
        self.batches.load_state_dict(state)
        self._state, self.epoch = self.batches.state_dict(), self.batches.epoch

    def close(self) -> None:
        """Ends the thread, after the draw it is in. Then only state_dict() can be called."""
        self._is_closed = True
        self._halt()

    def __enter__(self) -> Prefetch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _halt(self) -> None:
        """Ends the thread, and takes the source back to the last batch handed out."""
        worker = self._worker
        if worker is None or worker.process != os.getpid():
            return
        self._worker = None
        worker.forget()
        worker.end()
        worker.thread.join()
        self.batches.load_state_dict(self._state)

    def _check_usable(self, method: str) -> None:
        if self._is_closed:
            raise RuntimeError(f"Prefetch: {method}() after close(), expected before; make another")
        if self._worker is not None and self._worker.process != os.getpid():
            raise RuntimeError(
                f"Prefetch: {method}() in a process forked while the thread ran, expected the "
                "process that drew first; make another Prefetch, of another source, in this one"
            )


class _Drawn(NamedTuple):
    """A batch, and where the source was after it."""

    batch: Any
    epoch: int
    state: dict[str, Any]


class _Worker:
    """The thread, from its start to its end, and its two queues."""

    def __init__(self, owner: Prefetch, batches: Batches, depth: int) -> None:
        self.free: SimpleQueue[bool] = SimpleQueue()
        self.filled: SimpleQueue[_Drawn | BaseException] = SimpleQueue()
        self.is_ended = False
        self.process = os.getpid()
        for _ in range(depth):
            self.free.put(True)
        self.thread = Thread(target=self._run, args=(batches,), name="prefetch", daemon=True)
        self.forget = weakref.finalize(owner, self.end).detach  # at exit, or owner collected
        self.thread.start()

    def end(self) -> None:
        """Lets the thread end before its next draw."""
        self.is_ended = True
        self.free.put(False)

    def _run(self, batches: Batches) -> None:
        while self.free.get() and not self.is_ended:
            try:
                batch = batches.draw()
                drawn = _Drawn(batch, batches.epoch, batches.state_dict())
            except BaseException as error:  # noqa: BLE001  (draw() raises it)
                self.filled.put(error)
                return
            self.filled.put(drawn)
