"""MUT3 on CUDA through Numba: line by line like the reference, one thread per unit (b, j).

The equations' numbers are those of nnseq/cells/mut3.py. The time loop is recurrence/cuda_loop.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numba.cuda

from nnseq_kernels.mut3.launch import CELL
from nnseq_kernels.recurrence import cuda_loop, numba_steps
from nnseq_kernels.recurrence.cuda_loop import Saved
from nnseq_kernels.recurrence.numba_steps import (
    Kernel,
    NumbaLauncher,
    functions,
    kernels,
    reset_functions,
)

cuda: Any = numba.cuda  # untyped; kernels must call it by this name

Array = Any  # cupy.ndarray; numpy.ndarray in Numba's simulator


def forward(
    a: Array, W_hh: Array, h0: Array, z_h: Array | None, mask: Array | None,
) -> tuple[tuple[Array, ...], Saved]:  # fmt: skip
    """Same contract as nnseq.cells.mut3.forward."""
    inputs = (a, W_hh, h0, z_h, mask)
    return cuda_loop.forward_on(NumbaLauncher(CELL.name, made, a), CELL, inputs)


def backward(saved: Saved, dh: Array | None, dh_T: Array | None) -> tuple[Array | None, ...]:
    """Same contract as nnseq.cells.mut3.backward."""
    launcher = NumbaLauncher(CELL.name, made, saved.arrays["h"])
    return cuda_loop.backward_on(launcher, CELL, saved, (dh, dh_T))


def instances() -> Iterator[tuple[str, Any, str]]:
    """Yields every kernel that can be launched: a name, the kernel, its signature for Numba."""
    return numba_steps.instances(CELL.spec, made)


@cache
def made(dtype: str) -> dict[str, Kernel]:
    """Returns the kernels of one step, for float32 or float64."""
    sigmoid, keep, undo_keep, _, counts, one, zero = functions(dtype)
    mix, undo_mix, undo_reset = reset_functions(dtype)
    tanh = math.tanh

    def mut3_gates(a, q_r, h, gates, s, tanh_h, t):  # type: ignore[no-untyped-def]
        n = cuda.grid(1)
        B, H = h.shape[1], h.shape[2]
        if n >= B * H:
            return
        b, j = n // H, n % H
        r = sigmoid(a[t, b, j] + q_r[b, j])  # (1)
        gates[t, b, j] = r
        s[b, j] = r * h[t, b, j]  # (3)
        tanh_h[b, j] = tanh(h[t, b, j])  # (2)

    def mut3_state(a, q_z, q_n, z_h, mask, h, gates, has_z_h, t):  # type: ignore[no-untyped-def]
        n = cuda.grid(1)
        B, H = h.shape[1], h.shape[2]
        if n >= B * H:
            return
        b, j = n // H, n % H
        h_prev = h[t, b, j]
        z = sigmoid(a[t, b, H + j] + q_z[b, j])  # (2)
        n_t = tanh(a[t, b, 2 * H + j] + q_n[b, j])  # (4)
        h_new = mix(z, one - z, one, n_t, h_prev)  # (5)
        h_t = keep(z_h, has_z_h, t, b, j, h_prev, h_new)  # (6)
        h[t + 1, b, j] = h_t if counts(mask, t, b) else h_prev
        gates[t, b, H + j] = z
        gates[t, b, 2 * H + j] = n_t

    def mut3_state_backward(  # type: ignore[no-untyped-def]
        h, gates, z_h, mask, dh, dh_T, dh_rec, dh_carry, dq_z, dq_n, has_z_h, t
    ):
        n = cuda.grid(1)
        B, H = h.shape[1], h.shape[2]
        if n >= B * H:
            return
        b, j = n // H, n % H
        is_last = t + 2 == h.shape[0]
        dh_t = dh[t % dh.shape[0], b, j]
        dh_t += dh_T[b, j] if is_last else dh_carry[b, j] + dh_rec[b, j]
        h_prev, z, n_t = h[t, b, j], gates[t, b, H + j], gates[t, b, 2 * H + j]

        dh_kept, dh_new = undo_keep(z_h, has_z_h, t, b, j, dh_t)  # (6)
        da_n, dw, dh_mixed = undo_mix(z, one - z, one, n_t, h_prev, dh_new)  # (5), (4)
        da_z = dw * z * (one - z)  # (2)
        dh_prev = dh_kept + dh_mixed  # (6), (5)

        if not counts(mask, t, b):
            da_n, da_z, dh_prev = zero, zero, dh_t
        dq_n[t, b, j], dq_z[t, b, j] = da_n, da_z
        dh_carry[b, j] = dh_prev

    def mut3_gates_backward(  # type: ignore[no-untyped-def]
        h, gates, mask, ds, dtanh_h, dh_carry, dq_r, s_all, tanh_h_all, t
    ):
        n = cuda.grid(1)
        B, H = h.shape[1], h.shape[2]
        if n >= B * H:
            return
        b, j = n // H, n % H
        h_prev, r = h[t, b, j], gates[t, b, j]
        da_r, dh_prev, s = undo_reset(r, h_prev, ds[b, j])  # (3), (1)
        tanh_prev = tanh(h_prev)
        dh_prev += dtanh_h[b, j] * (one - tanh_prev * tanh_prev)  # (2)

        if not counts(mask, t, b):
            da_r, dh_prev, s = zero, zero, zero
        dq_r[t, b, j], s_all[t, b, j] = da_r, s
        tanh_h_all[t, b, j] = tanh_prev
        dh_carry[b, j] += dh_prev

    return kernels(mut3_gates, mut3_state, mut3_state_backward, mut3_gates_backward)
