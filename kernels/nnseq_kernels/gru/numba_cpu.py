"""GRU (reset after the product) on the CPU: its pointwise part; the rest is recurrence's.

Equations (2)-(7) are those of nnseq/cells/gru.py, with the same names.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from nnseq_kernels.cpu_jit import loop_jit
from nnseq_kernels.recurrence import numba_host as host
from nnseq_kernels.recurrence.numba_loop import Product, Rows
from nnseq_kernels.recurrence.numba_zoneout import keep_and_part
from nnseq_kernels.sigmoid import tanh_and_sigmoid

Array = Any  # numpy.ndarray


@cache
def rows(dtype: Any) -> Rows:
    """Compile the pointwise part of a step, and its undoing, for a dtype."""
    tanh, sigmoid = tanh_and_sigmoid(dtype)
    keep, part = keep_and_part(dtype)
    one = dtype.type(1)

    @loop_jit(noalias=True)
    def step(  # type: ignore[no-untyped-def]
        a_r, a_z, a_n, q_r, q_z, q_n, b_hn, h_prev, z_h, d_i, r_, z_, n_, m_, h_t
    ):
        for j in range(h_t.size):
            r = sigmoid(a_r[j] + q_r[j])  # (2)
            z = sigmoid(a_z[j] + q_z[j])  # (3)
            m = q_n[j] + b_hn[j]  # (4)
            n = tanh(a_n[j] + r * m)  # (5)
            h = (one - z) * d_i[j] * n + z * h_prev[j]  # (6)
            h_t[j] = keep(z_h[j], h_prev[j], h)  # (7)
            r_[j], z_[j], n_[j], m_[j] = r, z, n, m

    @loop_jit(noalias=True)
    def undo_step(  # type: ignore[no-untyped-def]
        dh, h_prev, z_h, d_i, r_, z_, n_, m_, da_r, da_z, da_n, dm
    ):
        for j in range(dh.size):
            r, z, n = r_[j], z_[j], n_[j]
            dh_new = (one - z_h[j]) * dh[j]  # (7)
            dz, dn = dh_new * (h_prev[j] - d_i[j] * n), dh_new * (one - z) * d_i[j]  # (6)
            dn = dn * (one - n * n)  # (5)
            da_n[j], dm[j] = dn, dn * r
            da_z[j] = dz * z * (one - z)  # (3)
            da_r[j] = dn * m_[j] * r * (one - r)  # (5), (2)
            dh[j] = part(z_h[j], dh[j]) + dh_new * z  # (7), (6): past the product

    @loop_jit(noalias=True)
    def add(dm, db_hn):  # type: ignore[no-untyped-def]
        for j in range(dm.size):
            db_hn[j] += dm[j]  # (4)

    @loop_jit()
    def finish(a, q, h_prev, c_prev, p, z_h, z_c, d, s, kept, c, h):  # type: ignore[no-untyped-def]
        H, q = h.size, q[0]
        step(
            *(a[:H], a[H : 2 * H], a[2 * H :], q[:H], q[H : 2 * H], q[2 * H : 3 * H], p[0]),
            *(h_prev, z_h, d, kept[:H], kept[H : 2 * H], kept[2 * H : 3 * H], kept[3 * H :], h),
        )

    @loop_jit()
    def undo_finish(  # type: ignore[no-untyped-def]
        g_h, g_c, h_prev, c_prev, p, z_h, z_c, d, s, kept, da, dq, dp
    ):
        H = g_h.size
        undo_step(
            *(g_h, h_prev, z_h, d, kept[:H], kept[H : 2 * H], kept[2 * H : 3 * H], kept[3 * H :]),
            *(da[:H], da[H : 2 * H], da[2 * H :], dq),
        )
        if dp.shape[0] > 0:
            add(dq, dp[0])

    return Rows(3, 4, (Product((0, 3), (0, 3)),), finish, undo_finish, has_dq=True)


def forward(
    a: Array, W_hh: Array, b_hn: Array | None, h0: Array, z_h: Array | None, d_i: Array | None,
    mask: Array | None,
) -> tuple[tuple[Array, Array], host.Saved]:  # fmt: skip
    """Same contract as nnseq.cells.gru.forward."""
    p = None if b_hn is None else b_hn[None]
    inputs = host.prepare(a, W_hh, h0, p=p, z_h=z_h, d=d_i, mask=mask)
    saved = host.forward(rows(a.dtype), a, inputs, has_p=b_hn is not None)
    return (saved.h, saved.last_h), saved


def backward(saved: host.Saved, dh: Array | None, dh_T: Array | None) -> tuple[Any, ...]:
    """Same contract as nnseq.cells.gru.backward."""
    da, dW_hh, dh0, _, dp = host.backward(rows(saved.h.dtype), saved, dh, None, dh_T, None)
    return da, dW_hh, None if dp is None else dp[0], dh0, None, None, None
