"""What happens around the loop over time: memory, threads, and the gradients of the weights.

dW = Σ_blocks Σ_t leftᵀ dq: each thread adds up its block of the batch, chunk by chunk   (1)
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nnseq_kernels import threads
from nnseq_kernels.arrays import plain
from nnseq_kernels.matmul import DEPTH, WIDTHS, pack
from nnseq_kernels.recurrence.numba_loop import Rows, loops
from nnseq_kernels.tile import ROWS

Array = Any  # numpy.ndarray

LEAST = 10**6  # multiply-adds that a further thread is woken for: 17 µs of one in forward


class Inputs(NamedTuple):
    """The inputs of a cell, each C-contiguous; what the caller left out is there all the same."""

    W_hh: Array  # (H, ·)
    h0: Array  # (B, H)
    c0: Array  # (B, H), or (B, 0) for a cell without c
    p: Array  # (·, H) parameters of the cell
    z_h: Array  # (T|1, B|1, H)
    z_c: Array  # (T|1, B|1, H)
    d: Array  # (T|1, B|1, H)
    s: Array  # (·,) options as numbers
    mask: Array  # (T, B) bool


class Saved(NamedTuple):
    """What backward reads; nobody writes to it."""

    inputs: Inputs
    lefts: tuple[Array, ...]  # two: left sides of the second and third product, (T | 0, B, H)
    kept: Array  # (T, B, K H) what the cell's rows keep
    c: Array  # (T, B, H), or (T, B, 0)
    h: Array  # (T, B, H)
    has_p: bool  # the cell's parameters p were given, and get a gradient

    @property
    def last_h(self) -> Array:
        """The last state (B, H), in memory of its own; h0 where T = 0."""
        return (self.h[-1] if len(self.h) else self.inputs.h0).copy()

    @property
    def last_c(self) -> Array:
        """As last_h, of c."""
        return (self.c[-1] if len(self.c) else self.inputs.c0).copy()


class Gradients(NamedTuple):
    """What backward found; the order is that of LSTM's inputs."""

    da: Array  # (T, B, G H)
    dW_hh: Array
    dh0: Array
    dc0: Array
    dp: Array | None  # as p; None where p was not given


@cache
def _compiled(rows: Rows) -> Any:
    return loops(rows)


def prepare(
    a: Array, W_hh: Array, h0: Array, *, c0: Any = None, p: Any = None, z_h: Any = None,
    z_c: Any = None, d: Any = None, s: tuple[float, ...] = (), mask: Any = None,
) -> Inputs:  # fmt: skip
    """Fill in what was left out: parameters (3, H) of zeros, z = 0, d = 1, every step counts."""
    T, B, _ = a.shape
    H, dtype = h0.shape[1], a.dtype
    zero, one = np.zeros((1, 1, H), dtype), np.ones((1, 1, H), dtype)
    given = Inputs(
        W_hh,
        h0,
        np.zeros((B, 0), dtype) if c0 is None else c0,
        np.zeros((3, H), dtype) if p is None else p,
        zero if z_h is None else z_h,
        zero if z_c is None else z_c,
        one if d is None else d,
        np.array(s, dtype),
        np.ones((T, B), bool) if mask is None else mask,
    )
    return Inputs(*(plain(x) for x in given))


def forward(rows: Rows, a: Array, inputs: Inputs, *, has_p: bool = False) -> Saved:
    """Run a cell over a whole sequence a (T, B, G H). has_p: the cell's p were given."""
    a = plain(a)
    T, B, _ = a.shape
    H = inputs.h0.shape[1]
    h = np.empty((T, B, H), a.dtype)
    c = np.empty((T, B, inputs.c0.shape[1]), a.dtype)
    kept = np.empty((T, B, rows.kept * H), a.dtype)
    lefts = tuple(np.empty((T * (k < len(rows.lefts)), B, H), a.dtype) for k in range(2))
    saved = Saved(inputs, lefts, kept, c, h, has_p)
    if h.size:
        loop, _ = _compiled(rows)
        panels = _three([pack(_columns(inputs.W_hh, product.W)) for product in rows.products])

        def work(b0: int, b1: int) -> None:
            q = _three([_scratch(b1 - b0, x) for x in panels[: len(rows.products)]])
            loop(
                *(a, inputs.h0, inputs.c0, *inputs[3:], panels, q, saved.lefts, kept, c, h),
                *(b0, b1),
            )

        threads.run(work, _blocks(T, B, H, inputs.W_hh.shape[1]))
    return saved


def backward(rows: Rows, saved: Saved, dh: Any, dc: Any, dh_T: Any, dc_T: Any) -> Gradients:
    """Undo forward. Gradients that are None are zero."""
    inputs, lefts, kept, c, h, has_p = saved
    T, B, H = h.shape
    dtype, C = h.dtype, c.shape[2]
    dh, dc = (_given(x, (1, 1, n), dtype) for x, n in ((dh, H), (dc, C)))
    dh0, dc0 = (np.zeros((B, n), dtype) for n in (H, C))
    for initial, final in ((dh0, dh_T), (dc0, dc_T)):
        if final is not None:
            initial[...] = final
    da = np.empty((T, B, rows.blocks * H), dtype)
    dq = np.empty((T, B, H if rows.has_dq else 0), dtype)
    dW = np.zeros_like(inputs.W_hh)
    dp = np.zeros_like(inputs.p) if has_p else None
    if not h.size:
        return Gradients(da, dW, dh0, dc0, dp)

    _, loop = _compiled(rows)
    panels = _three([pack(_columns(inputs.W_hh, product.W).T) for product in rows.products])
    blocks = _blocks(T, B, H, inputs.W_hh.shape[1])
    sums = {b0: _Sums(rows, inputs, b1 - b0, has_p) for b0, b1 in blocks}

    def work(b0: int, b1: int) -> None:
        g_h, dleft = _scratch(b1 - b0, panels[0]), _scratch(b1 - b0, panels[0])
        g_h[:, :H] = dh0[b0:b1]
        own = sums[b0]
        loop(
            *(dh, dc, inputs.h0, inputs.c0, *inputs[3:], panels, lefts, kept, c, h),
            *(g_h, dc0[b0:b1], dleft, da, dq, own.dp, own.x_chunks, own.y_chunks, own.dWs),
            *(b0, b1),
        )
        dh0[b0:b1] = g_h[:, :H]

    threads.run(work, blocks)
    for own in sums.values():  # in the order of the blocks
        own.add_to(rows, dW, dp)
    return Gradients(da, dW, dh0, dc0, dp)


class _Sums:
    """What one thread adds up over its rows of the batch and all of time, and room to do it in."""

    def __init__(self, rows: Rows, inputs: Inputs, batch: int, has_p: bool) -> None:
        H, dtype = inputs.h0.shape[1], inputs.h0.dtype
        room = batch * max(1, DEPTH // batch)
        tiles, wide = -(-H // ROWS), WIDTHS[dtype]
        widths = [(last - first) * H for first, last in (product.a for product in rows.products)]
        widths[0] -= H * rows.has_dq
        widths = [*widths, 0, 0][:3]
        widths.append(H * rows.has_dq)
        panels = [-(-width // wide) for width in widths]
        self.dp = np.zeros((len(inputs.p) if has_p else 0, H), dtype)
        self.x_chunks = tuple(
            np.empty((tiles if k < len(rows.products) else 0, room, ROWS), dtype) for k in range(3)
        )
        self.y_chunks = tuple(np.empty((count, room, wide), dtype) for count in panels)
        self.dWs = tuple(np.zeros((tiles * ROWS, count * wide), dtype) for count in panels)

    def add_to(self, rows: Rows, dW: Array, dp: Array | None) -> None:
        """Add the sums to those of the other threads."""
        H = len(dW)
        for product, own in zip(rows.products, self.dWs, strict=False):
            columns = _columns(dW, product.W)
            if product is rows.products[0] and rows.has_dq:
                columns[:, -H:] += self.dWs[3][:H, :H]
                columns = columns[:, :-H]
            columns += own[:H, : columns.shape[1]]
        if dp is not None:
            dp += self.dp


def _blocks(T: int, B: int, H: int, N: int) -> list[tuple[int, int]]:
    """The rows of the batch for each thread."""
    return threads.split(B, min(threads.allowed(), max(1, T * B * H * N // LEAST)))


def _columns(W: Array, blocks: tuple[int, int]) -> Array:
    H = W.shape[0]
    return W[:, blocks[0] * H : blocks[1] * H]


def _scratch(rows: int, panels: Array) -> Array:
    """Room for `rows` rows of a product with panels."""
    return np.zeros((rows, panels.shape[0] * panels.shape[2]), panels.dtype)


def _three(arrays: list[Array]) -> tuple[Array, Array, Array]:
    """As many as the loop has names for; where a step has fewer products, the last again."""
    first, *rest = arrays
    second, third = (*rest, *[(rest or [first])[-1]] * 2)[:2]
    return first, second, third


def _given(x: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    return np.zeros(shape, dtype) if x is None else plain(x)
