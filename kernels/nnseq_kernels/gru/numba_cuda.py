"""GRU on CUDA through Numba: line by line like the reference, one thread per unit (b, j).

The equations' numbers are those of nnseq/cells/gru.py. The time loop is recurrence/cuda_loop.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numba.cuda

from nnseq_kernels.gru.launch import CELL
from nnseq_kernels.recurrence import cuda_loop, numba_steps
from nnseq_kernels.recurrence.cuda_loop import Saved
from nnseq_kernels.recurrence.numba_steps import Kernel, NumbaLauncher, functions, kernels

cuda: Any = numba.cuda  # untyped; kernels must call it by this name

Array = Any  # cupy.ndarray; numpy.ndarray in Numba's simulator


def forward(
    a: Array, W_hh: Array, b_hn: Array | None, h0: Array, z_h: Array | None, d_i: Array | None,
    mask: Array | None,
) -> tuple[tuple[Array, ...], Saved]:  # fmt: skip
    """Same contract as nnseq.cells.gru.forward."""
    inputs = (a, W_hh, b_hn, h0, z_h, d_i, mask)
    return cuda_loop.forward_on(NumbaLauncher(CELL.name, made, a), CELL, inputs)


def backward(saved: Saved, dh: Array | None, dh_T: Array | None) -> tuple[Array | None, ...]:
    """Same contract as nnseq.cells.gru.backward."""
    launcher = NumbaLauncher(CELL.name, made, saved.arrays["h"])
    return cuda_loop.backward_on(launcher, CELL, saved, (dh, dh_T))


def instances() -> Iterator[tuple[str, Any, str]]:
    """Yields every kernel that can be launched: a name, the kernel, its signature for Numba."""
    return numba_steps.instances(CELL.spec, made)


@cache
def made(dtype: str) -> dict[str, Kernel]:
    """Returns the kernels of one step, for float32 or float64."""
    sigmoid, keep, undo_keep, weight_at, counts, one, zero = functions(dtype)
    tanh = math.tanh

    def gru_forward(  # type: ignore[no-untyped-def]
        a, q, b_hn, z_h, d_i, mask, h, gates, has_z_h, t
    ):
        n = cuda.grid(1)
        B, H = h.shape[1], h.shape[2]
        if n >= B * H:
            return
        b, j = n // H, n % H
        h_prev = h[t, b, j]
        r = sigmoid(a[t, b, j] + q[b, j])  # (2)
        z = sigmoid(a[t, b, H + j] + q[b, H + j])  # (3)
        m = q[b, 2 * H + j] + b_hn[j]  # (4)
        n_t = tanh(a[t, b, 2 * H + j] + r * m)  # (5)
        h_new = (one - z) * weight_at(d_i, t, b, j) * n_t + z * h_prev  # (6)
        h_t = keep(z_h, has_z_h, t, b, j, h_prev, h_new)  # (7)
        h[t + 1, b, j] = h_t if counts(mask, t, b) else h_prev
        gates[t, b, j], gates[t, b, H + j] = r, z
        gates[t, b, 2 * H + j], gates[t, b, 3 * H + j] = n_t, m

    def gru_backward(  # type: ignore[no-untyped-def]
        h, gates, z_h, d_i, mask, dh, dh_T, dh_rec, dh_carry, dq, da, has_z_h, t
    ):
        n = cuda.grid(1)
        B, H = h.shape[1], h.shape[2]
        if n >= B * H:
            return
        b, j = n // H, n % H
        is_last = t + 2 == h.shape[0]
        dh_t = dh[t % dh.shape[0], b, j]
        dh_t += dh_T[b, j] if is_last else dh_carry[b, j] + dh_rec[b, j]
        h_prev = h[t, b, j]
        r, z = gates[t, b, j], gates[t, b, H + j]
        n_t, m = gates[t, b, 2 * H + j], gates[t, b, 3 * H + j]
        d = weight_at(d_i, t, b, j)

        dh_kept, dh_new = undo_keep(z_h, has_z_h, t, b, j, dh_t)  # (7)
        dz, dn = dh_new * (h_prev - d * n_t), dh_new * (one - z) * d  # (6)
        da_n = dn * (one - n_t * n_t)  # (5)
        dm, dr = da_n * r, da_n * m  # (5)
        da_z = dz * z * (one - z)  # (3)
        da_r = dr * r * (one - r)  # (2)
        dh_prev = dh_kept + dh_new * z  # (7), (6)

        if not counts(mask, t, b):
            da_r, da_z, da_n, dm, dh_prev = zero, zero, zero, zero, dh_t
        dq[t, b, j], dq[t, b, H + j], dq[t, b, 2 * H + j] = da_r, da_z, dm
        da[t, b, j], da[t, b, H + j], da[t, b, 2 * H + j] = da_r, da_z, da_n
        dh_carry[b, j] = dh_prev

    return kernels(gru_forward, gru_backward)
