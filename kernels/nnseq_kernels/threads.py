"""Threads for compiled loops that let go of the interpreter.

Every thread gets a block of work of its own and no thread waits for another, so it does not matter
if the machine gives one of them less time. Numba's own `prange` would do the same, but its threads
spin between calls, and OpenBLAS's do too: the two pools together were seen to take 10 to 25 times
as long as PyTorch for an LSTM with a product per step.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeAlias

import numba

Work: TypeAlias = Callable[[int, int], None]
Tasks: TypeAlias = SimpleQueue[tuple[Work, tuple[int, int], SimpleQueue[BaseException | None]]]


def split(size: int, most: int, unit: int = 1) -> list[tuple[int, int]]:
    """Cut range(size) into at most `most` blocks of equal length, edges at multiples of unit."""
    units = -(-size // unit)
    blocks = max(1, min(most, units))
    edges = [min(size, units * k // blocks * unit) for k in range(blocks + 1)]
    return list(itertools.pairwise(edges))


def allowed() -> int:
    """Return how many threads kernels may use: numba.set_num_threads says it."""
    return int(numba.get_num_threads())


def run(work: Work, blocks: list[tuple[int, int]]) -> None:
    """Call work(start, end) for every block at once: the first here, the others in the pool.

    All have ended when it returns or raises; after KeyboardInterrupt they may still be running.
    """
    ended = SimpleQueue[BaseException | None]()
    for block in blocks[1:]:
        _tasks().put((work, block, ended))
    errors: list[BaseException | None] = []
    try:
        work(*blocks[0])
    finally:
        errors += [ended.get() for _ in blocks[1:]]
    try:
        for error in errors:
            if error is not None:
                raise error
    finally:  # else the error, its traceback and this frame hold each other, and all arrays
        error = None
        errors.clear()


def _serve(tasks: Tasks) -> None:
    """Do one task after the other, and keep nothing of it."""
    while True:
        work, block, ended = tasks.get()
        result = None
        try:
            work(*block)
        except BaseException as error:  # noqa: BLE001  (run raises it)
            result = error
        del work, block
        ended.put(result)
        del ended, result


def _tasks() -> Tasks:
    """Start the threads, once; return what they wait for.

    A queue alone, because a Future for each task took 50 µs more, and a small step has ten.
    """
    with _lock:
        if not _started:
            tasks: Tasks = SimpleQueue()
            for k in range(numba.config.NUMBA_NUM_THREADS):  # type: ignore[attr-defined]
                name = f"nnseq-kernel-{k}"
                threading.Thread(target=_serve, args=(tasks,), name=name, daemon=True).start()
            _started.append(tasks)
        return _started[0]


def _after_fork() -> None:
    """Its threads, and whoever held the lock, stayed in the parent."""
    global _lock
    _lock = threading.Lock()
    _started.clear()


_lock = threading.Lock()
_started: list[Tasks] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
