"""MUT1 on the CPU; its pointwise part is recurrence/numba_reset.py's.

n = tanh(s W_n + tanh(x_t) + b_x): a_n = tanh(x_t) + b_x is made here, for all steps at once
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nnseq_kernels.recurrence import numba_host as host
from nnseq_kernels.recurrence.numba_loop import Rows
from nnseq_kernels.recurrence.numba_reset import rows

Array = Any  # numpy.ndarray


class Saved(NamedTuple):
    """What backward reads; nobody writes to it."""

    cell: host.Saved
    x: Array  # (T, B, H)
    has_b: bool


def cell(dtype: Any) -> Rows:
    """Return the compiled pointwise part: z sees no h, and is the weight of the candidate."""
    return rows(dtype, "nothing", True)


def forward(
    a: Array, x: Array, b_x: Array | None, W_hh: Array, h0: Array, z_h: Array | None,
    mask: Array | None,
) -> tuple[tuple[Array, Array], Saved]:  # fmt: skip
    """Same contract as nnseq.cells.mut1.forward."""
    a_n = np.tanh(x) if b_x is None else np.tanh(x) + b_x
    inputs = host.prepare(a, W_hh, h0, z_h=z_h, mask=mask)
    saved = host.forward(cell(a.dtype), np.concatenate([a, a_n], axis=2), inputs)
    return (saved.h, saved.last_h), Saved(saved, x, b_x is not None)


def backward(saved: Saved, dh: Array | None, dh_T: Array | None) -> tuple[Any, ...]:
    """Same contract as nnseq.cells.mut1.backward."""
    inner, x, has_b = saved
    found = host.backward(cell(x.dtype), inner, dh, None, dh_T, None)
    H = x.shape[2]
    da_n = found.da[..., 2 * H :]
    # x may hold anything at padded steps
    dx = np.where(inner.inputs.mask[..., None], da_n * (1 - np.tanh(x) ** 2), 0)
    db_x = da_n.sum(axis=(0, 1)) if has_b else None
    return found.da[..., : 2 * H], dx, db_x, found.dW_hh, found.dh0, None, None
