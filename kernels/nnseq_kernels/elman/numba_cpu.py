"""Elman's RNN on the CPU: its pointwise part; the rest is nnseq_kernels.recurrence's.

The equations are those of nnseq/cells/elman.py, with the same names.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from nnseq_kernels.cpu_jit import loop_jit
from nnseq_kernels.indrnn.pointwise import pair
from nnseq_kernels.recurrence import numba_host as host
from nnseq_kernels.recurrence.numba_loop import Product, Rows
from nnseq_kernels.recurrence.numba_zoneout import keep_and_part

Array = Any  # numpy.ndarray


@cache
def rows(act: str, dtype: Any) -> Rows:
    """Compile the pointwise part of a step, and its undoing, for an act and a dtype."""
    activate, undo = pair(act, dtype)
    keep, part = keep_and_part(dtype)
    one = dtype.type(1)

    @loop_jit(noalias=True)
    def step(a, q, h_prev, z_h, h_, h_t):  # type: ignore[no-untyped-def]
        for j in range(h_t.size):
            h = activate(a[j] + q[j])  # (1)
            h_t[j] = keep(z_h[j], h_prev[j], h)  # (2)
            h_[j] = h

    @loop_jit(noalias=True)
    def undo_step(dh, z_h, h_, da):  # type: ignore[no-untyped-def]
        for j in range(dh.size):
            da[j] = undo((one - z_h[j]) * dh[j], h_[j])  # (2), (1)
            dh[j] = part(z_h[j], dh[j])  # (2): what goes to h_{t-1} past the product

    @loop_jit()
    def finish(a, q, h_prev, c_prev, p, z_h, z_c, d, s, kept, c, h):  # type: ignore[no-untyped-def]
        step(a, q[0], h_prev, z_h, kept, h)

    @loop_jit()
    def undo_finish(  # type: ignore[no-untyped-def]
        g_h, g_c, h_prev, c_prev, p, z_h, z_c, d, s, kept, da, dq, dp
    ):
        undo_step(g_h, z_h, kept, da)

    return Rows(1, 1, (Product((0, 1), (0, 1)),), finish, undo_finish)


def forward(
    a: Array, W_hh: Array, h0: Array, z_h: Array | None, mask: Array | None, *, act: str
) -> tuple[tuple[Array, Array], tuple[str, host.Saved]]:
    """Same contract as nnseq.cells.elman.forward."""
    inputs = host.prepare(a, W_hh, h0, z_h=z_h, mask=mask)
    saved = host.forward(rows(act, a.dtype), a, inputs)
    return (saved.h, saved.last_h), (act, saved)


def backward(
    saved: tuple[str, host.Saved], dh: Array | None, dh_T: Array | None
) -> tuple[Any, ...]:
    """Same contract as nnseq.cells.elman.backward."""
    act, saved_ = saved
    found = host.backward(rows(act, saved_.h.dtype), saved_, dh, None, dh_T, None)
    return found.da, found.dW_hh, found.dh0, None, None
