"""Elman on CUDA through Numba: line by line like the reference, one thread per unit (b, j).

The equations' numbers are those of nnseq/cells/elman.py. The time loop is recurrence/cuda_loop.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import numba.cuda

from nnseq_kernels.elman.launch import ACTS, CELL
from nnseq_kernels.recurrence import cuda_loop, numba_steps
from nnseq_kernels.recurrence.cuda_loop import Saved
from nnseq_kernels.recurrence.numba_steps import Kernel, NumbaLauncher, functions, kernels

cuda: Any = numba.cuda  # untyped; kernels must call it by this name

Array = Any  # cupy.ndarray; numpy.ndarray in Numba's simulator
TANH, RELU = ACTS.index("tanh"), ACTS.index("relu")


def forward(
    a: Array, W_hh: Array, h0: Array, z_h: Array | None, mask: Array | None, *, act: str,
) -> tuple[tuple[Array, ...], Saved]:  # fmt: skip
    """Same contract as nnseq.cells.elman.forward."""
    if act not in ACTS:
        raise ValueError(f"elman: act is {act!r}, expected one of {', '.join(ACTS)}")
    inputs = (a, W_hh, h0, z_h, mask)
    launcher = NumbaLauncher(CELL.name, made, a)
    return cuda_loop.forward_on(launcher, CELL, inputs, act=ACTS.index(act))


def backward(saved: Saved, dh: Array | None, dh_T: Array | None) -> tuple[Array | None, ...]:
    """Same contract as nnseq.cells.elman.backward."""
    launcher = NumbaLauncher(CELL.name, made, saved.arrays["h"])
    return cuda_loop.backward_on(launcher, CELL, saved, (dh, dh_T))


def instances() -> Iterator[tuple[str, Any, str]]:
    """Yields every kernel that can be launched: a name, the kernel, its signature for Numba."""
    return numba_steps.instances(CELL.spec, made)


@cache
def made(dtype: str) -> dict[str, Kernel]:
    """Returns the kernels of one step, for float32 or float64."""
    _, keep, undo_keep, _, counts, one, zero = functions(dtype)
    tanh = math.tanh

    @cuda.jit(device=True, inline="always")
    def activate(act, x):  # type: ignore[no-untyped-def]
        if act == TANH:
            return tanh(x)
        if act == RELU:
            return zero if x < zero else x  # written so that NaN stays NaN
        return x

    @cuda.jit(device=True, inline="always")
    def undo_activate(act, d, h_new):  # type: ignore[no-untyped-def]
        if act == TANH:
            return d * (one - h_new * h_new)
        if act == RELU:
            return d if h_new > zero else zero
        return d

    def elman_forward(  # type: ignore[no-untyped-def]
        a, q, z_h, mask, h, h_new, has_z_h, has_h_new, act, t
    ):
        n = cuda.grid(1)
        B, H = q.shape
        if n >= B * H:
            return
        b, j = n // H, n % H
        h_prev = h[t, b, j]
        h_act = activate(act, a[t, b, j] + q[b, j])  # (1)
        h_t = keep(z_h, has_z_h, t, b, j, h_prev, h_act)  # (2)
        h[t + 1, b, j] = h_t if counts(mask, t, b) else h_prev
        if has_h_new:
            h_new[t, b, j] = h_act

    def elman_backward(  # type: ignore[no-untyped-def]
        h, h_new, z_h, mask, dh, dh_T, dh_rec, dh_carry, dq, has_z_h, has_h_new, act, t
    ):
        n = cuda.grid(1)
        B, H = dh_carry.shape
        if n >= B * H:
            return
        b, j = n // H, n % H
        is_last = t + 2 == h.shape[0]
        dh_t = dh[t % dh.shape[0], b, j]
        dh_t += dh_T[b, j] if is_last else dh_carry[b, j] + dh_rec[b, j]
        dh_prev, dh_act = undo_keep(z_h, has_z_h, t, b, j, dh_t)  # (2)
        h_act = h_new[t, b, j] if has_h_new else h[t + 1, b, j]
        da = undo_activate(act, dh_act, h_act)  # (1)
        if not counts(mask, t, b):
            da, dh_prev = zero, dh_t
        dq[t, b, j] = da
        dh_carry[b, j] = dh_prev

    return kernels(elman_forward, elman_backward)
