"""MUT2 on the CPU; its pointwise part is recurrence/numba_reset.py's.

r = σ(x_t + b_x + h_{t-1} W_r): a_r = x_t + b_x is made here, for all steps at once
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
    has_b: bool


def cell(dtype: Any) -> Rows:
    """Return the compiled pointwise part: z sees h, and is the weight of the candidate."""
    return rows(dtype, "h", True)


def forward(
    a: Array, x: Array, b_x: Array | None, W_hh: Array, h0: Array, z_h: Array | None,
    mask: Array | None,
) -> tuple[tuple[Array, Array], Saved]:  # fmt: skip
    """Same contract as nnseq.cells.mut2.forward."""
    a_r = x if b_x is None else x + b_x
    inputs = host.prepare(a, W_hh, h0, z_h=z_h, mask=mask)
    saved = host.forward(cell(a.dtype), np.concatenate([a_r, a], axis=2), inputs)
    return (saved.h, saved.last_h), Saved(saved, b_x is not None)


def backward(saved: Saved, dh: Array | None, dh_T: Array | None) -> tuple[Any, ...]:
    """Same contract as nnseq.cells.mut2.backward."""
    inner, has_b = saved
    found = host.backward(cell(inner.h.dtype), inner, dh, None, dh_T, None)
    H = inner.h.shape[2]
    dx = found.da[..., :H]
    db_x = dx.sum(axis=(0, 1)) if has_b else None
    return found.da[..., H:], dx, db_x, found.dW_hh, found.dh0, None, None
