"""The pointwise parts of the cells that reset the state before a product: gru_before, mut1-3.

    lefts:    r = σ(a_r + q_r), z = σ(a_z + q_z), s = r ∘ h_{t-1};  in MUT3 first tanh h_{t-1}
    finish:   n = tanh(a_n + s W_n),  h̃ = w ∘ d_i ∘ n + (1 - w) ∘ h_{t-1}            (1)
              h_t = z_h ∘ h_{t-1} + (1 - z_h) ∘ h̃                                            (2)

w, the weight of the candidate, is z in MUT1-3 and 1 - z in the GRU. What z sees besides a_z is the
only other difference: h_{t-1} (gru_before, MUT2), tanh h_{t-1} (MUT3), nothing (MUT1). The files of
the cells in nnseq/cells have the equations in full.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from nnseq_kernels.cpu_jit import loop_jit
from nnseq_kernels.recurrence.numba_loop import Product, Rows
from nnseq_kernels.recurrence.numba_zoneout import keep_and_part
from nnseq_kernels.sigmoid import tanh_and_sigmoid


@cache
def rows(dtype: Any, z_sees: Literal["h", "tanh h", "nothing"], z_is_new: bool) -> Rows:
    """Compile the pointwise part of a step, and its undoing.

    Args:
        dtype: float32 or float64.
        z_sees: what z reads besides a_z.
        z_is_new: z is the weight of the candidate; else of the old state.
    """
    tanh, sigmoid = tanh_and_sigmoid(dtype)
    keep, part = keep_and_part(dtype)
    one = dtype.type(1)
    # Where q_z stands: behind q_r in the first product, in the second, or nowhere.
    block, product = {"h": (1, 0), "tanh h": (0, 1), "nothing": (0, 0)}[z_sees]
    has_q_z = z_sees != "nothing"
    last = 2 if z_sees == "tanh h" else 1  # the product that gives q_n

    @loop_jit(noalias=True)
    def gates(a_r, a_z, q_r, q_z, h_prev, r_, z_, s_):  # type: ignore[no-untyped-def]
        for j in range(h_prev.size):
            r = sigmoid(a_r[j] + q_r[j])
            z_[j] = sigmoid(a_z[j] + q_z[j]) if has_q_z else sigmoid(a_z[j])
            s_[j] = r * h_prev[j]
            r_[j] = r

    @loop_jit(noalias=True)
    def undo_reset(ds, h_prev, r_, da_r, dh):  # type: ignore[no-untyped-def]
        for j in range(dh.size):
            da_r[j] = ds[j] * h_prev[j] * r_[j] * (one - r_[j])
            dh[j] += ds[j] * r_[j]

    @loop_jit(noalias=True)
    def step(a_n, q_n, h_prev, z_h, d_i, z_, n_, h_t):  # type: ignore[no-untyped-def]
        for j in range(h_t.size):
            n = tanh(a_n[j] + q_n[j])
            w = z_[j] if z_is_new else one - z_[j]
            h = w * d_i[j] * n + (one - w) * h_prev[j]  # (1)
            h_t[j] = keep(z_h[j], h_prev[j], h)  # (2)
            n_[j] = n

    @loop_jit(noalias=True)
    def undo_step(dh, h_prev, z_h, d_i, z_, n_, da_z, da_n):  # type: ignore[no-untyped-def]
        for j in range(dh.size):
            z, n = z_[j], n_[j]
            w = z if z_is_new else one - z
            dh_new = (one - z_h[j]) * dh[j]  # (2)
            dw, dn = dh_new * (d_i[j] * n - h_prev[j]), dh_new * w * d_i[j]  # (1)
            da_n[j] = dn * (one - n * n)
            da_z[j] = (dw if z_is_new else -dw) * z * (one - z)
            dh[j] = part(z_h[j], dh[j]) + dh_new * (one - w)  # (2), (1): past the products

    @loop_jit()
    def gates_left(a, q, h_prev, kept, left):  # type: ignore[no-untyped-def]
        H, q_z = h_prev.size, q[product]
        gates(
            *(a[:H], a[H : 2 * H], q[0][:H], q_z[block * H : block * H + H], h_prev),
            *(kept[:H], kept[H : 2 * H], left),
        )

    @loop_jit()
    def undo_gates_left(ds, h_prev, left, kept, da, g_h):  # type: ignore[no-untyped-def]
        H = g_h.size
        undo_reset(ds[:H], h_prev, kept[:H], da[:H], g_h)

    @loop_jit()
    def tanh_left(a, q, h_prev, kept, left):  # type: ignore[no-untyped-def]
        for j in range(h_prev.size):
            left[j] = tanh(h_prev[j])

    @loop_jit(noalias=True)
    def undo_tanh_left(dleft, h_prev, left, kept, da, g_h):  # type: ignore[no-untyped-def]
        for j in range(g_h.size):
            g_h[j] += dleft[j] * (one - left[j] * left[j])

    @loop_jit()
    def finish(a, q, h_prev, c_prev, p, z_h, z_c, d, s, kept, c, h):  # type: ignore[no-untyped-def]
        H = h.size
        step(a[2 * H :], q[last][:H], h_prev, z_h, d, kept[H : 2 * H], kept[2 * H :], h)

    @loop_jit()
    def undo_finish(  # type: ignore[no-untyped-def]
        g_h, g_c, h_prev, c_prev, p, z_h, z_c, d, s, kept, da, dq, dp
    ):
        H = g_h.size
        da_z, da_n = da[H : 2 * H], da[2 * H :]
        undo_step(g_h, h_prev, z_h, d, kept[H : 2 * H], kept[2 * H :], da_z, da_n)

    products = {  # blocks of a: r, z, n
        "h": (Product((0, 2), (0, 2)), Product((2, 3), (2, 3))),
        "nothing": (Product((0, 1), (0, 1)), Product((2, 3), (1, 2))),
        "tanh h": (Product((0, 1), (0, 1)), Product((1, 2), (1, 2)), Product((2, 3), (2, 3))),
    }[z_sees]
    if z_sees != "tanh h":
        return Rows(3, 3, products, finish, undo_finish, (gates_left,), (undo_gates_left,))
    lefts, undo_lefts = (tanh_left, gates_left), (undo_tanh_left, undo_gates_left)
    return Rows(3, 3, products, finish, undo_finish, lefts, undo_lefts)
