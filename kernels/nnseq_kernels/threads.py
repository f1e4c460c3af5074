"""Threads for compiled loops that let go of the interpreter.

Every thread gets a block of work of its own and no thread waits for another, so it does not matter
if the machine gives one of them less time. Numba's own `prange` would do the same, but its threads
spin between calls, and OpenBLAS's do too: the two pools together were seen to take 10 to 25 times
as long as PyTorch for an LSTM with a product per step.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

import numba


def split(size: int, most: int, unit: int = 1) -> list[tuple[int, int]]:
    """Cut range(size) into at most `most` blocks of equal length, edges at multiples of unit."""
    units = -(-size // unit)
    blocks = max(1, min(most, units))
    edges = [min(size, units * k // blocks * unit) for k in range(blocks + 1)]
    return list(itertools.pairwise(edges))


def allowed() -> int:
    """Return how many threads kernels may use: numba.set_num_threads says it."""
    return int(numba.get_num_threads())


def run(work: Callable[[int, int], None], blocks: list[tuple[int, int]]) -> None:
    """Call work(start, end) for every block at once: the first here, the others in the pool.

    All have ended when it returns or raises.
    """
    pending = [_pool().submit(work, *block) for block in blocks[1:]]
    try:
        work(*blocks[0])
    finally:
        wait(pending)
    for future in pending:
        future.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="nnseq-kernel")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # its threads stayed in the parent
