"""LSTM on CUDA through Numba: line by line like the reference, one thread per unit (b, j).

The equations' numbers are those of nnseq/cells/lstm.py. The time loop is recurrence/cuda_loop.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numba.cuda

from nnseq_kernels.lstm.launch import CELL
from nnseq_kernels.recurrence import cuda_loop, numba_steps
from nnseq_kernels.recurrence.cuda_loop import Saved
from nnseq_kernels.recurrence.numba_steps import Kernel, NumbaLauncher, functions, kernels

cuda: Any = numba.cuda  # untyped; kernels must call it by this name

Array = Any  # cupy.ndarray; numpy.ndarray in Numba's simulator


def forward(
    a: Array, W_hh: Array, h0: Array, c0: Array, p: Array | None, z_h: Array | None,
    z_c: Array | None, d_i: Array | None, mask: Array | None, *, forget_bias: float,
    cell_clip: float, ogate_zoneout: bool,
) -> tuple[tuple[Array, ...], Saved]:  # fmt: skip
    """Same contract as nnseq.cells.lstm.forward."""
    inputs = (a, W_hh, h0, c0, p, z_h, z_c, d_i, mask)
    launcher = NumbaLauncher(CELL.name, made, a)
    return cuda_loop.forward_on(
        launcher, CELL, inputs, forget_bias=forget_bias, cell_clip=cell_clip,
        ogate_zoneout=ogate_zoneout,
    )  # fmt: skip


def backward(
    saved: Saved, dh: Array | None, dc: Array | None, dh_T: Array | None, dc_T: Array | None,
) -> tuple[Array | None, ...]:  # fmt: skip
    """Same contract as nnseq.cells.lstm.backward."""
    launcher = NumbaLauncher(CELL.name, made, saved.arrays["h"])
    return cuda_loop.backward_on(launcher, CELL, saved, (dh, dc, dh_T, dc_T))


def instances() -> Iterator[tuple[str, Any, str]]:
    """Yields every kernel that can be launched: a name, the kernel, its signature for Numba."""
    return numba_steps.instances(CELL.spec, made)


@cache
def made(dtype: str) -> dict[str, Kernel]:
    """Returns the kernels of one step, for float32 or float64."""
    sigmoid, keep, undo_keep, weight_at, counts, one, zero = functions(dtype)
    tanh = math.tanh

    @cuda.jit(device=True, inline="always")
    def clip(x, limit):  # type: ignore[no-untyped-def]
        if limit > zero:
            return limit if x > limit else -limit if x < -limit else x
        return x

    def lstm_forward(  # type: ignore[no-untyped-def]
        a, q, p, z_h, z_c, d_i, mask, h, c, gates, has_z_h, has_z_c, forget_bias, cell_clip,
        ogate_zoneout, t,
    ):  # fmt: skip
        n = cuda.grid(1)
        B, H = h.shape[1], h.shape[2]
        if n >= B * H:
            return
        b, j = n // H, n % H
        h_prev, c_prev = h[t, b, j], c[t, b, j]
        d = weight_at(d_i, t, b, j)
        i = sigmoid(a[t, b, j] + q[b, j] + p[0, j] * c_prev)  # (1), (2)
        f = sigmoid(a[t, b, H + j] + q[b, H + j] + forget_bias + p[1, j] * c_prev)  # (1), (3)
        g = tanh(a[t, b, 2 * H + j] + q[b, 2 * H + j])  # (1), (4)
        c_new = clip(f * c_prev + d * i * g, cell_clip)  # (5), (6)
        o = sigmoid(a[t, b, 3 * H + j] + q[b, 3 * H + j] + p[2, j] * c_new)  # (1), (7)
        h_new = o * tanh(c_new)  # (8)
        c_t = keep(z_c, has_z_c, t, b, j, c_prev, c_new)  # (9)
        h_t = keep(z_h, has_z_h, t, b, j, h_prev, h_new)  # (10)
        if ogate_zoneout:
            h_t = d * h_t + (one - d) * f * h_prev  # (11)
        if not counts(mask, t, b):
            h_t, c_t = h_prev, c_prev
        h[t + 1, b, j], c[t + 1, b, j] = h_t, c_t
        gates[t, b, j], gates[t, b, H + j] = i, f
        gates[t, b, 2 * H + j], gates[t, b, 3 * H + j] = g, o

    def lstm_backward(  # type: ignore[no-untyped-def]
        h, c, gates, p, z_h, z_c, d_i, mask, dh, dc, dh_T, dc_T, dh_rec, dh_carry, dc_carry, dq,
        dp_b, has_z_h, has_z_c, has_dp_b, cell_clip, ogate_zoneout, t,
    ):  # fmt: skip
        n = cuda.grid(1)
        B, H = h.shape[1], h.shape[2]
        if n >= B * H:
            return
        b, j = n // H, n % H
        is_last = t + 2 == h.shape[0]
        dh_t, dc_t = dh[t % dh.shape[0], b, j], dc[t % dc.shape[0], b, j]
        dh_t += dh_T[b, j] if is_last else dh_carry[b, j] + dh_rec[b, j]
        dc_t += dc_T[b, j] if is_last else dc_carry[b, j]
        h_prev, c_prev = h[t, b, j], c[t, b, j]
        i, f = gates[t, b, j], gates[t, b, H + j]
        g, o = gates[t, b, 2 * H + j], gates[t, b, 3 * H + j]
        d = weight_at(d_i, t, b, j)
        c_raw = f * c_prev + d * i * g  # (5) again: cheaper than to keep
        c_new = clip(c_raw, cell_clip)  # (6)
        tanh_c = tanh(c_new)

        df, dh_prev, dh_kept = zero, zero, dh_t
        if ogate_zoneout:  # (11)
            df, dh_prev, dh_kept = (one - d) * h_prev * dh_t, (one - d) * f * dh_t, d * dh_t
        dh_old, dh_new = undo_keep(z_h, has_z_h, t, b, j, dh_kept)  # (10)
        dh_prev += dh_old
        dc_prev, dc_new = undo_keep(z_c, has_z_c, t, b, j, dc_t)  # (9)
        do, dc_new = dh_new * tanh_c, dc_new + dh_new * o * (one - tanh_c * tanh_c)  # (8)
        da_o = do * o * (one - o)  # (7)
        dc_raw = dc_new + da_o * p[2, j]  # (7)
        if cell_clip > zero and c_new != c_raw:
            dc_raw = zero  # (6)
        df, di, dg = df + dc_raw * c_prev, dc_raw * d * g, dc_raw * d * i  # (5)
        da_g = dg * (one - g * g)  # (4)
        da_f = df * f * (one - f)  # (3)
        da_i = di * i * (one - i)  # (2)
        dc_prev += dc_raw * f + da_f * p[1, j] + da_i * p[0, j]  # (5), (3), (2)

        if not counts(mask, t, b):
            da_i, da_f, da_g, da_o, dh_prev, dc_prev = zero, zero, zero, zero, dh_t, dc_t
        dq[t, b, j], dq[t, b, H + j] = da_i, da_f
        dq[t, b, 2 * H + j], dq[t, b, 3 * H + j] = da_g, da_o
        dh_carry[b, j], dc_carry[b, j] = dh_prev, dc_prev
        if has_dp_b:
            if is_last:
                dp_b[b, j], dp_b[b, H + j], dp_b[b, 2 * H + j] = zero, zero, zero
            if counts(mask, t, b):
                dp_b[b, j] += da_i * c_prev  # (2)
                dp_b[b, H + j] += da_f * c_prev  # (3)
                dp_b[b, 2 * H + j] += da_o * c_new  # (7)

    return kernels(lstm_forward, lstm_backward)
