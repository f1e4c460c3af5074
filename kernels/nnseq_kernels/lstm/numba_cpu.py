"""LSTM on the CPU: its pointwise part; time, products and threads are nnseq_kernels.recurrence's.

Equations (2)-(11) are those of nnseq/cells/lstm.py, with the same names. Without zoneout z is 0,
without dropout d is 1, and so on: one loop serves all options. What is cheap to compute again is
not kept: ĉ, c̃ and tanh c̃. Two short loops are a fifth faster than one: more of their units are in
flight at once.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

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
    one, zero = dtype.type(1), dtype.type(0)

    @loop_jit(noalias=True)
    def step(  # type: ignore[no-untyped-def]
        a_i, a_f, a_g, a_o, q_i, q_f, q_g, q_o, h_prev, c_prev, p_i, p_f, p_o, z_h, z_c, d_i,
        forget_bias, cell_clip, ogate, i_, f_, g_, o_, c_t, h_t,
    ):  # fmt: skip
        for j in range(h_t.size):
            i_[j] = sigmoid(a_i[j] + q_i[j] + p_i[j] * c_prev[j])  # (2)
            f_[j] = sigmoid(a_f[j] + q_f[j] + forget_bias + p_f[j] * c_prev[j])  # (3)
            g_[j] = tanh(a_g[j] + q_g[j])  # (4)
        for j in range(h_t.size):
            c_raw = f_[j] * c_prev[j] + d_i[j] * i_[j] * g_[j]  # (5)
            c = cell_clip if c_raw > cell_clip else -cell_clip if c_raw < -cell_clip else c_raw
            o = sigmoid(a_o[j] + q_o[j] + p_o[j] * c)  # (7)
            h = o * tanh(c)  # (8)
            c_t[j] = keep(z_c[j], c_prev[j], c)  # (9)
            h = keep(z_h[j], h_prev[j], h)  # (10)
            w = ogate * (one - d_i[j])
            h_t[j] = keep(w, f_[j] * h_prev[j], h)  # (11)
            o_[j] = o

    @loop_jit(noalias=True)
    def undo_step(  # type: ignore[no-untyped-def]
        dh, dc, h_prev, c_prev, p_i, p_f, p_o, z_h, z_c, d_i, cell_clip, ogate,
        i_, f_, g_, o_, da_i, da_f, da_g, da_o,
    ):  # fmt: skip
        for j in range(dh.size):
            i, f, g, o = i_[j], f_[j], g_[j], o_[j]
            c_raw = f * c_prev[j] + d_i[j] * i * g
            c = cell_clip if c_raw > cell_clip else -cell_clip if c_raw < -cell_clip else c_raw
            tanh_c = tanh(c)
            w = ogate * (one - d_i[j])
            dh_below, dh_j = part(w, dh[j]), (one - w) * dh[j]  # (11)
            dh_new = (one - z_h[j]) * dh_j  # (10)
            do = dh_new * tanh_c * o * (one - o)  # (8), (7)
            dc_new = (one - z_c[j]) * dc[j] + dh_new * o * (one - tanh_c * tanh_c) + do * p_o[j]
            # (6): without a clip NaN stays NaN; with one it counts as clipped, as in the reference
            dc_raw = dc_new if c == c_raw or cell_clip == np.inf else zero
            df = dc_raw * c_prev[j] + part(w, h_prev[j] * dh[j])  # (5), (11)
            df = df * f * (one - f)  # (3)
            di = dc_raw * d_i[j] * g * i * (one - i)  # (5), (2)
            da_g[j] = dc_raw * d_i[j] * i * (one - g * g)  # (5), (4)
            da_i[j], da_f[j], da_o[j] = di, df, do
            dh[j] = dh_below * f + part(z_h[j], dh_j)  # (11), (10): past the product
            dc[j] = part(z_c[j], dc[j]) + dc_raw * f  # (9), (5)
            dc[j] += df * p_f[j] + di * p_i[j]  # (3), (2)

    @loop_jit(noalias=True)
    def undo_peepholes(  # type: ignore[no-untyped-def]
        c_prev, d_i, cell_clip, i_, f_, g_, da_i, da_f, da_o, dp_i, dp_f, dp_o
    ):
        for j in range(c_prev.size):
            c_raw = f_[j] * c_prev[j] + d_i[j] * i_[j] * g_[j]
            c = cell_clip if c_raw > cell_clip else -cell_clip if c_raw < -cell_clip else c_raw
            dp_i[j] += da_i[j] * c_prev[j]  # (2)
            dp_f[j] += da_f[j] * c_prev[j]  # (3)
            dp_o[j] += da_o[j] * c  # (7)

    @loop_jit()
    def finish(a, q, h_prev, c_prev, p, z_h, z_c, d, s, kept, c, h):  # type: ignore[no-untyped-def]
        H, q = h.size, q[0]
        step(
            *(a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H :]),
            *(q[:H], q[H : 2 * H], q[2 * H : 3 * H], q[3 * H :]),
            *(h_prev, c_prev, p[0], p[1], p[2], z_h, z_c, d, s[0], s[1], s[2]),
            *(kept[:H], kept[H : 2 * H], kept[2 * H : 3 * H], kept[3 * H :], c, h),
        )

    @loop_jit()
    def undo_finish(  # type: ignore[no-untyped-def]
        g_h, g_c, h_prev, c_prev, p, z_h, z_c, d, s, kept, da, dq, dp
    ):
        H = g_h.size
        i, f, g, o = kept[:H], kept[H : 2 * H], kept[2 * H : 3 * H], kept[3 * H :]
        da_i, da_f, da_g, da_o = da[:H], da[H : 2 * H], da[2 * H : 3 * H], da[3 * H :]
        undo_step(
            *(g_h, g_c, h_prev, c_prev, p[0], p[1], p[2], z_h, z_c, d, s[1], s[2]),
            *(i, f, g, o, da_i, da_f, da_g, da_o),
        )
        if dp.shape[0] > 0:
            undo_peepholes(c_prev, d, s[1], i, f, g, da_i, da_f, da_o, dp[0], dp[1], dp[2])

    return Rows(4, 4, (Product((0, 4), (0, 4)),), finish, undo_finish, has_c=True)


def forward(
    a: Array, W_hh: Array, h0: Array, c0: Array, p: Array | None, z_h: Array | None,
    z_c: Array | None, d_i: Array | None, mask: Array | None, *, forget_bias: float,
    cell_clip: float, ogate_zoneout: bool,
) -> tuple[tuple[Array, Array, Array, Array], host.Saved]:  # fmt: skip
    """Same contract as nnseq.cells.lstm.forward."""
    s = (forget_bias, cell_clip if cell_clip > 0 else np.inf, float(ogate_zoneout))
    inputs = host.prepare(a, W_hh, h0, c0=c0, p=p, z_h=z_h, z_c=z_c, d=d_i, s=s, mask=mask)
    saved = host.forward(rows(a.dtype), a, inputs, has_p=p is not None)
    return (saved.h, saved.c, saved.last_h, saved.last_c), saved


def backward(
    saved: host.Saved, dh: Array | None, dc: Array | None, dh_T: Array | None, dc_T: Array | None
) -> tuple[Any, ...]:
    """Same contract as nnseq.cells.lstm.backward."""
    found = host.backward(rows(saved.h.dtype), saved, dh, dc, dh_T, dc_T)
    return (*found, None, None, None, None)
