"""Products of matrices on the CPU for one thread, out of tiles, and out of rows where W is slender.

A recurrence multiplies a few rows, T times, by the same weights: `pack` brings the weights once
into the order in which tiles read them, and `multiply_rows` is then nothing but tiles. At 16 rows
a library that packs at every call has half the speed. The gradient of the weights is a sum over
all T·B rows: `collect` gathers some while they are in cache, `add_products` adds their products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq_kernels import threads
from nnseq_kernels.cpu_jit import loop_jit
from nnseq_kernels.rows import add_multiple, copy_row
from nnseq_kernels.tile import ROWS, move, tile, width

Array = Any  # numpy.ndarray

DEPTH = 512  # terms at a time in the sum for a gradient: fewer passes over dW than with 128
SQUARE = 8  # rows and columns that _pack moves at a time
LEAST = 2**18  # entries that two threads pack together: 0.2 ms of one
WIDTHS = {dtype: width(dtype) for dtype in (np.dtype("float32"), np.dtype("float64"))}

tile_1, tile_2, tile_3, tile_4, tile_5, tile_6 = (tile(rows) for rows in range(1, 7))
tile_7, tile_8 = (tile(min(rows, ROWS)) for rows in (7, 8))  # reached only where ROWS is 8
move_8, move_16, move_32 = (move(count) for count in (8, 16, 32))


def pack(W: Array) -> Array:
    """Return W (K, N) as panels (P, K, width), the last filled up with zeros."""
    K, N = W.shape
    wide = WIDTHS[W.dtype]
    panels = np.empty((-(-N // wide), K, wide), W.dtype)
    blocks = threads.split(len(panels), threads.allowed() if W.size >= LEAST else 1)
    threads.run(lambda first, last: _pack(W, first, last, panels), blocks)
    return panels


@loop_jit()
def _pack(W, first, last, panels):  # type: ignore[no-untyped-def]
    """Square by square, which suits W and its transpose.

    Row by row, the lines of memory that a panel reads crowd each other out of cache.
    """
    K, N = W.shape
    wide = panels.shape[2]
    for k0 in range(0, K, SQUARE):
        for panel in range(first, last):
            for c0 in range(0, wide, SQUARE):
                for k in range(k0, min(K, k0 + SQUARE)):
                    for c in range(SQUARE):
                        column = panel * wide + c0 + c
                        panels[panel, k, c0 + c] = W[k, column] if column < N else 0


@loop_jit()
def multiply_rows(x, x0, x_row, rows, panels, k0, k1, y, add):  # type: ignore[no-untyped-def]
    """y (+)= x W[k0:k1], for W in panels.

    x: row m begins at entry x0 + m x_row of the array. y: (≥ rows, P·width), C-contiguous. add: 1
    to add to y, 0 to overwrite it. A panel stays in cache for all tiles of rows.
    """
    P, K, wide = panels.shape
    tiles = (rows + ROWS - 1) // ROWS
    for panel in range(P):
        for i in range(tiles):
            m = rows * i // tiles
            _tile(
                *(rows * (i + 1) // tiles - m, x, x0 + m * x_row, x_row, 1),
                *(panels, (panel * K + k0) * wide),
                *(y, m * P * wide + panel * wide, P * wide, k1 - k0, add),
            )


@loop_jit()
def multiply_block(x, first, rows, panels, b, z, edge):  # type: ignore[no-untyped-def]
    """z[first : first + rows] = x[first : first + rows] W + b, for W in panels.

    x: (M, K), z: (M, N), C-contiguous. edge: (ROWS, width), room for the last panel's tiles where N
    is no multiple of the width.
    """
    N, K = z.shape[1], x.shape[1]
    wide = panels.shape[2]
    tiles = (rows + ROWS - 1) // ROWS
    for panel in range(len(panels)):
        c0 = panel * wide
        for i in range(tiles):
            m = first + rows * i // tiles
            count = first + rows * (i + 1) // tiles - m
            if c0 + wide <= N:
                _tile(count, x, m * K, K, 1, panels, c0 * K, z, m * N + c0, N, K, 0)
            else:
                _tile(count, x, m * K, K, 1, panels, c0 * K, edge, 0, wide, K, 0)
                for n in range(count):
                    for c in range(N - c0):
                        z[m + n, c0 + c] = edge[n, c]
    for m in range(first, first + rows):
        for c in range(N):
            z[m, c] += b[c]


@loop_jit()
def multiply_shallow(x, first, last, W, b, z):  # type: ignore[no-untyped-def]
    """z[first:last] = x[first:last] W + b where W (K, N) has few rows: z in the order of memory."""
    for m in range(first, last):
        copy_row(z[m], b)
        for k in range(W.shape[0]):
            add_multiple(z[m], x[m, k], W[k])


@loop_jit(reorder=True)
def multiply_narrow(x, first, last, W_T, b, z):  # type: ignore[no-untyped-def]
    """The same where W has few columns, the rows of W_T (N, K): each number of z is one sum."""
    for m in range(first, last):
        for n in range(W_T.shape[0]):
            total = b[n]
            for k in range(W_T.shape[1]):
                total += x[m, k] * W_T[n, k]
            z[m, n] = total


@loop_jit()
def collect(x, x0, x_row, rows, chunk, n0):  # type: ignore[no-untyped-def]
    """chunk[i, n0 + n, c] = entry x0 + n x_row + i width + c of x; zero where x ends.

    x: flat. chunk: (⌈columns / width⌉, room, width); its last columns may be filled with what
    stands behind the row.
    """
    count, room, wide = chunk.shape
    for n in range(rows):
        first, to = x0 + n * x_row, (n0 + n) * wide
        whole = min(count, (x.size - first) // wide)
        if wide == 32:
            for i in range(whole):
                move_32(x, first + i * 32, chunk, to + i * room * 32)
        elif wide == 16:
            for i in range(whole):
                move_16(x, first + i * 16, chunk, to + i * room * 16)
        elif wide == 8:
            for i in range(whole):
                move_8(x, first + i * 8, chunk, to + i * room * 8)
        else:
            for i in range(whole):
                for c in range(wide):
                    chunk[i, n0 + n, c] = x[first + i * wide + c]
        for i in range(whole, count):
            for c in range(wide):
                at = first + i * wide + c
                chunk[i, n0 + n, c] = x[at] if at < x.size else 0


@loop_jit()
def add_products(x_chunk, y_chunk, terms, dW):  # type: ignore[no-untyped-def]
    """dW += xᵀ y over the first `terms` rows of two chunks, in their order.

    x_chunk: (tiles, room, ROWS), y_chunk: (panels, room, width), dW: (tiles · ROWS, panels ·
    width), where what lies beyond the columns of x and of y gets numbers too.
    """
    tiles, panels, wide = len(x_chunk), len(y_chunk), y_chunk.shape[2]
    for panel in range(panels):
        for i in range(tiles):
            _tile(
                *(ROWS, x_chunk, i * x_chunk[0].size, 1, ROWS, y_chunk, panel * y_chunk[0].size),
                *(dW, i * ROWS * dW.shape[1] + panel * wide, dW.shape[1], terms, 1),
            )


@loop_jit()
def _tile(rows, x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add):  # type: ignore[no-untyped-def]
    if rows == 8:
        tile_8(x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add)
    elif rows == 7:
        tile_7(x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add)
    elif rows == 6:
        tile_6(x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add)
    elif rows == 5:
        tile_5(x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add)
    elif rows == 4:
        tile_4(x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add)
    elif rows == 3:
        tile_3(x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add)
    elif rows == 2:
        tile_2(x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add)
    else:
        tile_1(x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add)
