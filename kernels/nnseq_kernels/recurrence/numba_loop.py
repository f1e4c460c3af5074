"""The loop over time of every cell with a recurrent product, for one thread's rows of the batch.

    for every step t:   q = left W for each product of the step, then the cell's pointwise part   (1)
    dW = Σ_t leftᵀ dq                                                                             (2)

Sequences do not meet inside a step, so each thread takes a block of the batch through all of time
and nobody waits for anybody. What a cell supplies is a `Rows`: functions of single rows, each
forward with its undoing. All of them have the same arguments, so that this loop is written once:

    a (G H) pre-activations, q[k] the products, h_prev, c_prev (H) states before the step,
    p (·, H) parameters of the cell, z_h, z_c, d (H) the weights of zoneout and of the input gate,
    s numbers (options), kept (K H) what backward will read, c, h (H) states after the step.

A cell without c has rows of length 0 there. A padded step copies the states and undoes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nnseq_kernels.cpu_jit import cpu_jit
from nnseq_kernels.matmul import add_products, collect, multiply_rows


class Product(NamedTuple):
    """One product of a step: left (H) times columns of W, which meet the same blocks of a."""

    a: tuple[int, int]  # blocks of a, and of da in backward
    W: tuple[int, int]  # blocks of W_hh


class Rows(NamedTuple):
    """What a cell supplies, compiled for one dtype."""

    blocks: int  # G, of a
    kept: int  # K
    products: tuple[Product, ...]  # one to three
    finish: Callable[..., None]
    undo_finish: Callable[..., None]
    # The left sides of the second and third product; that of the first is h_prev.
    lefts: tuple[Callable[..., None], ...] = ()
    undo_lefts: tuple[Callable[..., None], ...] = ()
    has_c: bool = False
    # The last block of the first product's gradient is not that of a: GRU's q_n is scaled by r.
    has_dq: bool = False


@cpu_jit(_nrt=False)
def no_left(a, q, h_prev, kept, left):  # type: ignore[no-untyped-def]
    """Stands where a cell has no further product; never called."""


@cpu_jit(_nrt=False)
def undo_no_left(dleft, h_prev, left, kept, da, g_h):  # type: ignore[no-untyped-def]
    """Stands where a cell has no further product; never called."""


def loops(rows: Rows) -> tuple[Callable[..., None], Callable[..., None]]:
    """Compile the loop over time and its undoing around a cell's functions."""
    products, has_dq = len(rows.products), rows.has_dq
    left_1, left_2 = (*rows.lefts, no_left, no_left)[:2]
    undo_left_1, undo_left_2 = (*rows.undo_lefts, undo_no_left, undo_no_left)[:2]
    finish, undo_finish = rows.finish, rows.undo_finish
    # Product k undone reads these columns of da, in units of H; with dq its last block is there.
    (first_0, end_0), (first_1, end_1), (first_2, end_2) = (
        *(product.a for product in rows.products), (0, 0), (0, 0),
    )[:3]  # fmt: skip
    end_0 -= has_dq

    @cpu_jit(nogil=True, error_model="numpy", _nrt=False)
    def forward(  # type: ignore[no-untyped-def]
        a, h0, c0, p, z_h, z_c, d, s, mask, panels, q, lefts, kept, c, h, b0, b1
    ):
        T, B, H = h.shape
        for t in range(T):
            h_prev = h[t - 1] if t > 0 else h0
            c_prev = c[t - 1] if t > 0 else c0
            multiply_rows(h_prev, b0 * H, H, b1 - b0, panels[0], 0, H, q[0], 0)
            if products > 1:
                for b in range(b0, b1):
                    if mask[t, b]:
                        q_b = q[0][b - b0], q[1][b - b0], q[2][b - b0]
                        left_1(a[t, b], q_b, h_prev[b], kept[t, b], lefts[0][t, b])
                    else:
                        _clear_row(lefts[0][t, b])
                multiply_rows(lefts[0][t], b0 * H, H, b1 - b0, panels[1], 0, H, q[1], 0)
            if products > 2:
                for b in range(b0, b1):
                    if mask[t, b]:
                        q_b = q[0][b - b0], q[1][b - b0], q[2][b - b0]
                        left_2(a[t, b], q_b, h_prev[b], kept[t, b], lefts[1][t, b])
                    else:
                        _clear_row(lefts[1][t, b])
                multiply_rows(lefts[1][t], b0 * H, H, b1 - b0, panels[2], 0, H, q[2], 0)
            for b in range(b0, b1):
                if mask[t, b]:
                    finish(
                        *(a[t, b], (q[0][b - b0], q[1][b - b0], q[2][b - b0])),
                        *(h_prev[b], c_prev[b], p, z_h[_at(t, z_h.shape[0]), _at(b, z_h.shape[1])], z_c[_at(t, z_c.shape[0]), _at(b, z_c.shape[1])]),
                        *(d[_at(t, d.shape[0]), _at(b, d.shape[1])], s, kept[t, b], c[t, b], h[t, b]),
                    )
                else:
                    _copy_row(h[t, b], h_prev[b])
                    _copy_row(c[t, b], c_prev[b])

    @cpu_jit(nogil=True, error_model="numpy", _nrt=False)
    def backward(  # type: ignore[no-untyped-def]
        dh, dc, h0, c0, p, z_h, z_c, d, s, mask, panels, lefts, kept, c, h,
        g_h, g_c, dleft, da, dq, dp, x_chunks, y_chunks, dWs, b0, b1,
    ):  # fmt: skip
        T, B, H = h.shape
        G = da.shape[2]
        terms = 0  # rows in the chunks
        for t in range(T - 1, -1, -1):
            h_prev = h[t - 1] if t > 0 else h0
            c_prev = c[t - 1] if t > 0 else c0
            for b in range(b0, b1):
                _add_row(g_h[b - b0], dh[_at(t, dh.shape[0]), _at(b, dh.shape[1])])
                _add_row(g_c[b - b0], dc[_at(t, dc.shape[0]), _at(b, dc.shape[1])])
                if mask[t, b]:
                    undo_finish(
                        *(g_h[b - b0, :H], g_c[b - b0], h_prev[b], c_prev[b], p),
                        *(z_h[_at(t, z_h.shape[0]), _at(b, z_h.shape[1])], z_c[_at(t, z_c.shape[0]), _at(b, z_c.shape[1])], d[_at(t, d.shape[0]), _at(b, d.shape[1])], s),
                        *(kept[t, b], da[t, b], dq[t, b], dp),
                    )
                else:
                    _clear_row(da[t, b])
                    _clear_row(dq[t, b])
            if products > 2:
                multiply_rows(
                    *(da[t], b0 * G + first_2 * H, G, b1 - b0),
                    *(panels[2], 0, (end_2 - first_2) * H, dleft, 0),
                )
                for b in range(b0, b1):
                    if mask[t, b]:
                        undo_left_2(
                            *(dleft[b - b0], h_prev[b], lefts[1][t, b], kept[t, b], da[t, b]),
                            g_h[b - b0, :H],
                        )
            if products > 1:
                multiply_rows(
                    *(da[t], b0 * G + first_1 * H, G, b1 - b0),
                    *(panels[1], 0, (end_1 - first_1) * H, dleft, 0),
                )
                for b in range(b0, b1):
                    if mask[t, b]:
                        undo_left_1(
                            *(dleft[b - b0], h_prev[b], lefts[0][t, b], kept[t, b], da[t, b]),
                            g_h[b - b0, :H],
                        )
            end = (end_0 - first_0) * H
            multiply_rows(*(da[t], b0 * G + first_0 * H, G, b1 - b0), *(panels[0], 0, end, g_h, 1))
            if has_dq:
                multiply_rows(dq[t], b0 * H, H, b1 - b0, panels[0], end, end + H, g_h, 1)

            # (2), a chunk of steps at a time, while their rows are in cache.
            row, rows, da_t = b0 * H, b1 - b0, da[t].reshape(-1)
            collect(h_prev.reshape(-1), row, H, rows, x_chunks[0], terms)
            collect(da_t, b0 * G + first_0 * H, G, rows, y_chunks[0], terms)
            if has_dq:
                collect(dq[t].reshape(-1), row, H, rows, y_chunks[3], terms)
            if products > 1:
                collect(lefts[0][t].reshape(-1), row, H, rows, x_chunks[1], terms)
                collect(da_t, b0 * G + first_1 * H, G, rows, y_chunks[1], terms)
            if products > 2:
                collect(lefts[1][t].reshape(-1), row, H, rows, x_chunks[2], terms)
                collect(da_t, b0 * G + first_2 * H, G, rows, y_chunks[2], terms)
            terms += rows
            if t == 0 or terms + rows > x_chunks[0].shape[1]:
                add_products(x_chunks[0], y_chunks[0], terms, dWs[0])
                if has_dq:
                    add_products(x_chunks[0], y_chunks[3], terms, dWs[3])
                if products > 1:
                    add_products(x_chunks[1], y_chunks[1], terms, dWs[1])
                if products > 2:
                    add_products(x_chunks[2], y_chunks[2], terms, dWs[2])
                terms = 0

    return forward, backward


@cpu_jit(_nrt=False)
def _at(i, length):  # type: ignore[no-untyped-def]
    """Where entry i stands on an axis of this length: an axis of length 1 stands for all."""
    return i if length > 1 else 0


@cpu_jit(noalias=True, _nrt=False)
def _add_row(to, x):  # type: ignore[no-untyped-def]
    for j in range(x.size):
        to[j] += x[j]


@cpu_jit(noalias=True, _nrt=False)
def _copy_row(to, x):  # type: ignore[no-untyped-def]
    for j in range(x.size):
        to[j] = x[j]


@cpu_jit(_nrt=False)
def _clear_row(to):  # type: ignore[no-untyped-def]
    for j in range(to.size):
        to[j] = 0
