"""IndRNN on the CPU: the whole sequence in one compiled loop, parallel over the B·H columns.

Column n = b·H + j is one unit of one sequence, and no column touches another: each thread takes one
block of neighbouring columns through all of time, and every entry of a, h, dh and da is read or
written once. Memory sets the speed, and it streams best in long rows: at T = 5000, B·H = 6400, one
thread needs 22 + 31 ms forward and backward where rows cut to the L1 cache's size needed 31 + 48.
Equations (1)-(6) are those of nnseq/cells/indrnn.py, with the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from nnseq_kernels import threads
from nnseq_kernels.cpu_jit import loop_jit
from nnseq_kernels.indrnn.pointwise import pair
from nnseq_kernels.indrnn.saved import Saved
from nnseq_kernels.rows import add_row, clear_row, copy_row

Array = Any  # numpy.ndarray

# The least that a further thread is woken for:
FEWEST = 64  # columns; below, a row's partial cache lines cost more than a thread gains
LEAST = 2**18  # entries of h, 0.06 ms of one thread; on a busy machine waking another takes longer


def forward(
    a: Array, u: Array, h0: Array, mask: Array | None, *, act: str, step_clip: float
) -> tuple[tuple[Array, Array], Saved]:
    """Same contract as nnseq.cells.indrnn.forward."""
    a, u, h0 = (np.ascontiguousarray(x) for x in (a, u, h0))
    mask = None if mask is None else np.ascontiguousarray(mask)
    T, B, H = a.shape
    h = np.empty_like(a)
    if a.size:
        loop, _ = _loops(act, a.dtype)
        columns = a.reshape(T, -1), np.tile(u, B), h0.reshape(-1), mask, h.reshape(T, -1)
        threads.run(lambda n0, n1: loop(*columns, H, n0, n1), _blocks(T, B * H))
    h_T = (h[-1] if T else h0).copy()
    return (h, h_T), Saved(h, u, h0, mask, act, step_clip)


def backward(
    saved: Saved, dh: Array | None, dh_T: Array | None
) -> tuple[Array, Array, Array, None]:
    """Same contract as nnseq.cells.indrnn.backward."""
    h, u, h0, mask, act, step_clip = saved
    T, B, H = h.shape
    da = np.empty_like(h)
    du = np.zeros_like(h0)  # (B, H): one sum over t per column; summed over b at the end
    carry = np.zeros_like(h0) if dh_T is None else np.array(dh_T, order="C")
    if h.size:
        # Without dh, one row of zeros stands for every dh_t.
        rows = np.zeros((1, B * H), h.dtype) if dh is None else np.ascontiguousarray(dh)
        rows = rows.reshape(-1, B * H)
        _, loop = _loops(act, h.dtype)
        clip = h.dtype.type(step_clip if step_clip > 0 else np.inf)
        columns = (
            *(h.reshape(T, -1), np.tile(u, B), h0.reshape(-1), mask, rows, clip),
            *(da.reshape(T, -1), du.reshape(-1), carry.reshape(-1)),
        )
        threads.run(lambda n0, n1: loop(*columns, H, n0, n1), _blocks(T, B * H))
    return da, du.sum(axis=0), carry, None


def _blocks(T: int, columns: int) -> list[tuple[int, int]]:
    """The columns of each thread."""
    most = min(threads.allowed(), columns // FEWEST, T * columns // LEAST)
    return threads.split(columns, max(1, most))


@cache
def _loops(act: str, dtype: Any) -> tuple[Callable[..., None], Callable[..., None]]:
    """Compile the two loops over time with the pair of this act and dtype inside."""
    activate, undo = pair(act, dtype)

    @loop_jit()
    def forward_row(a_t, u, h_prev, h_t):  # type: ignore[no-untyped-def]
        for n in range(u.size):
            h_t[n] = activate(a_t[n] + u[n] * h_prev[n])  # (1), (2)

    @loop_jit()
    def backward_row(g_t, dh_t, u, h_prev, h_t, clip, da_t, du):  # type: ignore[no-untyped-def]
        for n in range(u.size):
            da = undo(g_t[n] + dh_t[n], h_t[n])  # (4)
            da_t[n] = clip if da > clip else -clip if da < -clip else da
        for n in range(u.size):
            du[n] += da_t[n] * h_prev[n]  # (5)
            g_t[n] = da_t[n] * u[n]  # (6): what g_t holds from here on is the carry

    @loop_jit()
    def forward_loop(a, u, h0, mask, h, H, first, end):  # type: ignore[no-untyped-def]
        for t in range(a.shape[0]):
            h_prev = h[t - 1] if t > 0 else h0
            n0 = first
            while n0 < end:
                n1 = _end_of_run(n0, end, mask, H)
                if mask is not None and not mask[t, n0 // H]:
                    copy_row(h[t, n0:n1], h_prev[n0:n1])  # (3)
                else:
                    forward_row(a[t, n0:n1], u[n0:n1], h_prev[n0:n1], h[t, n0:n1])
                n0 = n1

    @loop_jit()
    def backward_loop(  # type: ignore[no-untyped-def]
        h, u, h0, mask, dh, clip, da, du, carry, H, first, end
    ):
        for t in range(h.shape[0] - 1, -1, -1):
            h_prev = h[t - 1] if t > 0 else h0
            n0 = first
            while n0 < end:
                n1 = _end_of_run(n0, end, mask, H)
                g_t, dh_t = carry[n0:n1], dh[t % dh.shape[0], n0:n1]
                if mask is not None and not mask[t, n0 // H]:
                    add_row(g_t, dh_t)  # and the carry stays g_t
                    clear_row(da[t, n0:n1])
                else:
                    backward_row(
                        *(g_t, dh_t, u[n0:n1], h_prev[n0:n1], h[t, n0:n1], clip),
                        *(da[t, n0:n1], du[n0:n1]),
                    )
                n0 = n1

    return forward_loop, backward_loop


@loop_jit()
def _end_of_run(n0, n1, mask, H):  # type: ignore[no-untyped-def]
    """The columns from n0 that one step treats alike: all, or with a mask one sequence's."""
    return n1 if mask is None else min(n1, (n0 // H + 1) * H)
