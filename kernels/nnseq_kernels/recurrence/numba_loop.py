"""The loop over time of every cell with a recurrent product, for one thread's rows of the batch.

    for every step t:   q = left W for each product, then the cell's pointwise part     (1)
    dW = Σ_t leftᵀ dq                                                                   (2)

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
from typing import NamedTuple

from nnseq_kernels.cpu_jit import loop_jit
from nnseq_kernels.matmul import add_products, collect, multiply_rows
from nnseq_kernels.rows import add_row, clear_row, copy_row


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


@loop_jit()
def no_left(a, q, h_prev, kept, left):  # type: ignore[no-untyped-def]
    """Stands where a cell has no further product; never called."""


@loop_jit()
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

    @loop_jit()
    def forward(  # type: ignore[no-untyped-def]
        a, h0, c0, p, z_h, z_c, d, s, mask, panels, q, lefts, kept, c, h, b0, b1
    ):
        T, _, H = h.shape
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
                        clear_row(lefts[0][t, b])
                multiply_rows(lefts[0][t], b0 * H, H, b1 - b0, panels[1], 0, H, q[1], 0)
            if products > 2:
                for b in range(b0, b1):
                    if mask[t, b]:
                        q_b = q[0][b - b0], q[1][b - b0], q[2][b - b0]
                        left_2(a[t, b], q_b, h_prev[b], kept[t, b], lefts[1][t, b])
                    else:
                        clear_row(lefts[1][t, b])
                multiply_rows(lefts[1][t], b0 * H, H, b1 - b0, panels[2], 0, H, q[2], 0)
            for b in range(b0, b1):
                if mask[t, b]:
                    q_b = q[0][b - b0], q[1][b - b0], q[2][b - b0]
                    finish(
                        *(a[t, b], q_b, h_prev[b], c_prev[b], p, z_h[_at(z_h, t, b)]),
                        *(z_c[_at(z_c, t, b)], d[_at(d, t, b)], s, kept[t, b], c[t, b], h[t, b]),
                    )
                else:
                    copy_row(h[t, b], h_prev[b])
                    copy_row(c[t, b], c_prev[b])

    @loop_jit()
    def backward(  # type: ignore[no-untyped-def]
        dh, dc, h0, c0, p, z_h, z_c, d, s, mask, panels, lefts, kept, c, h,
        g_h, g_c, dleft, da, dq, dp, x_chunks, y_chunks, dWs, b0, b1,
    ):  # fmt: skip
        T, _, H = h.shape
        G, rows = da.shape[2], b1 - b0
        terms = 0
        for t in range(T - 1, -1, -1):
            h_prev = h[t - 1] if t > 0 else h0
            c_prev = c[t - 1] if t > 0 else c0
            for b in range(b0, b1):
                add_row(g_h[b - b0], dh[_at(dh, t, b)])
                add_row(g_c[b - b0], dc[_at(dc, t, b)])
                if mask[t, b]:
                    undo_finish(
                        *(g_h[b - b0, :H], g_c[b - b0], h_prev[b], c_prev[b], p),
                        *(z_h[_at(z_h, t, b)], z_c[_at(z_c, t, b)], d[_at(d, t, b)], s),
                        *(kept[t, b], da[t, b], dq[t, b], dp),
                    )
                else:
                    clear_row(da[t, b])
                    clear_row(dq[t, b])
            if products > 2:
                start, K = b0 * G + first_2 * H, (end_2 - first_2) * H
                multiply_rows(da[t], start, G, rows, panels[2], 0, K, dleft, 0)
                for b in range(b0, b1):
                    if mask[t, b]:
                        left, g_b = lefts[1][t, b], g_h[b - b0, :H]
                        undo_left_2(dleft[b - b0], h_prev[b], left, kept[t, b], da[t, b], g_b)
            if products > 1:
                start, K = b0 * G + first_1 * H, (end_1 - first_1) * H
                multiply_rows(da[t], start, G, rows, panels[1], 0, K, dleft, 0)
                for b in range(b0, b1):
                    if mask[t, b]:
                        left, g_b = lefts[0][t, b], g_h[b - b0, :H]
                        undo_left_1(dleft[b - b0], h_prev[b], left, kept[t, b], da[t, b], g_b)
            start, K = b0 * G + first_0 * H, (end_0 - first_0) * H
            multiply_rows(da[t], start, G, rows, panels[0], 0, K, g_h, 1)
            if has_dq:
                multiply_rows(dq[t], b0 * H, H, rows, panels[0], K, K + H, g_h, 1)
            terms = sum_products(t, h_prev, lefts, da, dq, x_chunks, y_chunks, dWs, terms, b0, rows)

    @loop_jit()
    def sum_products(  # type: ignore[no-untyped-def]
        t, h_prev, lefts, da, dq, x_chunks, y_chunks, dWs, terms, b0, rows
    ):
        """(2): gather the rows of step t, multiply when the chunks are full; return their rows."""
        H, G, da_t = h_prev.shape[1], da.shape[2], da[t].reshape(-1)
        collect(h_prev.reshape(-1), b0 * H, H, rows, x_chunks[0], terms)
        collect(da_t, b0 * G + first_0 * H, G, rows, y_chunks[0], terms)
        if has_dq:
            collect(dq[t].reshape(-1), b0 * H, H, rows, y_chunks[3], terms)
        if products > 1:
            collect(lefts[0][t].reshape(-1), b0 * H, H, rows, x_chunks[1], terms)
            collect(da_t, b0 * G + first_1 * H, G, rows, y_chunks[1], terms)
        if products > 2:
            collect(lefts[1][t].reshape(-1), b0 * H, H, rows, x_chunks[2], terms)
            collect(da_t, b0 * G + first_2 * H, G, rows, y_chunks[2], terms)
        terms += rows
        if t > 0 and terms + rows <= x_chunks[0].shape[1]:
            return terms
        add_products(x_chunks[0], y_chunks[0], terms, dWs[0])
        if has_dq:
            add_products(x_chunks[0], y_chunks[3], terms, dWs[3])
        if products > 1:
            add_products(x_chunks[1], y_chunks[1], terms, dWs[1])
        if products > 2:
            add_products(x_chunks[2], y_chunks[2], terms, dWs[2])
        return 0

    return forward, backward


@loop_jit()
def _at(z, t, b):  # type: ignore[no-untyped-def]
    """Where z has the row of step t and sequence b: an axis of length 1 stands for all."""
    return t if z.shape[0] > 1 else 0, b if z.shape[1] > 1 else 0
