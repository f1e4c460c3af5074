"""Products of long matrices on the CPU: every thread multiplies rows of its own.

The products around a recurrence are long and thin: N = T·B rows, a few hundred columns.

    (x W)[rows] = x[rows] W                                                     (1)
    xᵀ y = Σ_blocks x[rows]ᵀ y[rows], added in the order of the blocks          (2)

`numba` has kernels for both (nnseq_kernels/products). The reference here calls BLAS, itself on one
thread, in each thread: OpenBLAS's own threads wait for each other by spinning, which goes badly
wrong where a core is shared: one (160000, 32)ᵀ (160000, 32) was seen to take from 13 ms to 5 s.
With other work on the two cores (N = 160000, 128 columns, float32) (2) took 103 ms, `x.T @ y` 249.

The number of blocks is the number of threads that Numba, or BLAS, may use, so the same setting
gives the same bits. BLAS's own limit belongs to the process: while a reference product runs it is
1, for NumPy calls in other threads of the program too, and then it is what it was.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from nnseq.backend import Array, Implementation, kernels_for

SMALL = 2**18  # multiply-adds; up to here OpenBLAS stays on one thread by itself
FEWEST = 16  # rows of x; with 4, packing y (512, 2048) takes longer than BLAS for all of it
LONG = 4096  # terms, of which a few rows are a sum over all steps
TILE = 4096  # rows: with 128 columns of float32, 2 MB of result; adding b then costs 3 ms, not 10
LEAST = 2**20  # multiply-adds for each thread: 30 µs of work, where handing it over takes 20

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

_one_at_a_time = threading.Lock()  # BLAS's number of threads belongs to the process


def product(x: Array, y: Array, b: Array | None = None) -> Array:
    """Return x @ y, or x @ y + b, for matrices x (M, K), y (K, N) and b (N,); NumPy or CuPy."""
    M, K = x.shape
    N = y.shape[1]
    is_small = M * K * N <= SMALL
    if not is_small and _suits_a_kernel(x, y):
        return kernels_for("products", x, REFERENCE).forward(x, y, b)
    return x @ y if is_small and b is None else by_blas(x, y, b)


def _suits_a_kernel(x: Array, y: Array) -> bool:
    """Are the dtypes those of kernels, and is there enough to do with y to pay for packing it?"""
    is_float = x.dtype == y.dtype and x.dtype in FLOATS
    pays = len(x) >= FEWEST or (x.flags.f_contiguous and len(y) >= LONG)
    return is_float and pays


def by_blas(x: Array, y: Array, b: Array | None) -> Array:
    """The reference: NumPy's BLAS; for long products on one thread for each block."""
    (M, K), N = x.shape, y.shape[1]
    work = M * K * N
    if work <= SMALL or max(M, K) <= N or not isinstance(x, np.ndarray):
        z = x @ y
        if b is not None:
            z += b
        return z
    with _one_at_a_time:
        blas = _blas()
        allowed = min((library.num_threads for library in blas.lib_controllers), default=1)
        threads = min(allowed, max(1, work // LEAST))
        with blas.limit(limits=1):
            return _by_rows(x, y, b, threads) if M >= K else _by_terms(x, y, b, threads)


REFERENCE = Implementation("reference", by_blas, by_blas)  # its backward are products again


def _by_rows(x: Array, y: Array, b: Array | None, threads: int) -> Array:
    """(1): each thread writes its own rows, and adds b while they are in its cache."""
    z = np.empty((x.shape[0], y.shape[1]), np.result_type(x, y))

    def work(rows: slice) -> None:
        for start in range(rows.start, rows.stop, TILE):
            tile = slice(start, min(start + TILE, rows.stop))
            np.matmul(x[tile], y, out=z[tile])
            if b is not None:
                z[tile] += b

    _for_blocks(x.shape[0], threads, work)
    return z


def _by_terms(x: Array, y: Array, b: Array | None, threads: int) -> Array:
    """(2): each thread sums over its own block of the inner axis."""
    z = sum(_for_blocks(x.shape[1], threads, lambda terms: x[:, terms] @ y[terms]))
    return z if b is None else z + b


def _for_blocks(size: int, threads: int, work: Callable[[slice], Any]) -> list[Any]:
    """Run work on `threads` equal slices of an axis: the first here, the others in the pool."""
    edges = [size * k // threads for k in range(threads + 1)]
    first, *others = (slice(a, b) for a, b in itertools.pairwise(edges))
    pending = [_pool().submit(work, block) for block in others]
    return [work(first), *(future.result() for future in pending)]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="nnseq-product")


@cache
def _blas() -> Any:
    """The controller of NumPy's BLAS; finding it scans the loaded libraries, once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # its threads stayed in the parent
    # In the middle of a product a fork would leave the child BLAS on one thread, and a locked lock.
    os.register_at_fork(
        before=_one_at_a_time.acquire,
        after_in_parent=_one_at_a_time.release,
        after_in_child=_one_at_a_time.release,
    )
