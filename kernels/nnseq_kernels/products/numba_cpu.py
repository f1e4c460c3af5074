"""Products of long matrices on the CPU: every thread for rows of its own.

    (x W)[rows] = x[rows] W + b            x (M, K) has rows in memory                 (1)
    xᵀ y = Σ_blocks x[rows]ᵀ y[rows], added in the order of the blocks                  (2)

At the sizes around a recurrence the tiles reach 215 GF/s on two cores where OpenBLAS has 190; and
they leave OpenBLAS's threads asleep: those go on spinning for some 20 ms after each call, on a core
that the recurrence's second thread wants (LSTM at T=50, B=20, I=H=650: 170 ms with them, 115
without).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq_kernels import threads
from nnseq_kernels.arrays import plain
from nnseq_kernels.cpu_jit import loop_jit
from nnseq_kernels.matmul import (
    DEPTH,
    WIDTHS,
    add_products,
    collect,
    multiply_block,
    multiply_narrow,
    multiply_shallow,
    pack,
)
from nnseq_kernels.tile import ROWS

Array = Any  # numpy.ndarray

BLOCK = 128  # rows of x that meet a panel of W while it is in cache; 3 % faster than 64
# Of (12544, 512) @ (512, N), one thread, tiles need 4.7 ms for N = 1 and 5.7 for 4, mostly for
# columns of zeros, sums over rows 0.8 and 1.7; of (12544, K) @ (K, 512), which writes more than it
# computes, tiles need 5.3 ms for K = 1 and 5.2 for 4, whole rows 1.6 and 2.5.
FEW = 4  # rows or columns of W
LEAST = 2**21  # multiply-adds for each thread: 36 µs of work, where handing it over takes 20


def forward(x: Array, y: Array, b: Array | None = None) -> Array:
    """Return x @ y (+ b), for float32 or float64 matrices x (M, K), y (K, N) and b (N,)."""
    M, K = x.shape
    if K == 0:  # a tile has at least one term
        return np.zeros((M, y.shape[1]), x.dtype) if b is None else np.tile(b, (M, 1))
    most = min(threads.allowed(), max(1, M * K * y.shape[1] // LEAST))
    if x.flags.f_contiguous and K > M:
        z = _by_terms(x.T, plain(y), most)
        return z if b is None else z + b
    return _by_rows(np.ascontiguousarray(x), y, b, most)


def _by_rows(x: Array, W: Array, b: Array | None, most: int) -> Array:
    """(1)."""
    M, (K, N) = len(x), W.shape
    z = np.empty((M, N), x.dtype)
    bias = np.zeros(N, x.dtype) if b is None else plain(b)
    blocks = threads.split(M, most, ROWS)
    if K <= FEW:
        W = plain(W)
        threads.run(lambda *rows: multiply_shallow(x, *rows, W, bias, z), blocks)
        return z
    if N <= FEW:
        W_T = plain(W.T)
        threads.run(lambda *rows: multiply_narrow(x, *rows, W_T, bias, z), blocks)
        return z
    panels = pack(W)

    def work(first: int, last: int) -> None:
        edge = np.empty((ROWS, panels.shape[2]), x.dtype)
        for m in range(first, last, BLOCK):
            multiply_block(x, m, min(BLOCK, last - m), panels, bias, z, edge)

    threads.run(work, blocks)
    return z


def _by_terms(x: Array, y: Array, most: int) -> Array:
    """(2), of x (terms, M) and y (terms, N)."""
    (terms, M), N = x.shape, y.shape[1]
    tiles, wide = -(-M // ROWS), WIDTHS[x.dtype]
    panels = -(-N // wide)
    blocks = threads.split(terms, most)
    room = min(DEPTH, max(last - first for first, last in blocks))
    own = {
        first: (  # made here: of what a thread allocates and frees, others get nothing
            np.empty((tiles, room, ROWS), x.dtype),
            np.empty((panels, room, wide), x.dtype),
            np.zeros((tiles * ROWS, panels * wide), x.dtype),
        )
        for first, _ in blocks
    }

    def work(first: int, last: int) -> None:
        _add_terms(x.reshape(-1), M, y.reshape(-1), N, first, last, *own[first])

    threads.run(work, blocks)
    *_, total = own[0]
    for first, _ in blocks[1:]:
        total += own[first][2]
    return np.ascontiguousarray(total[:M, :N])


@loop_jit()
def _add_terms(x, M, y, N, first, last, x_chunk, y_chunk, z):  # type: ignore[no-untyped-def]
    """z += x[first:last]ᵀ y[first:last], chunk by chunk."""
    room = x_chunk.shape[1]
    for n in range(first, last, room):
        count = min(room, last - n)
        collect(x, n * M, M, count, x_chunk, 0)
        collect(y, n * N, N, count, y_chunk, 0)
        add_products(x_chunk, y_chunk, count, z)
