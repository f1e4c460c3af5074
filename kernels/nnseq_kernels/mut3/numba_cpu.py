"""MUT3 on the CPU; its pointwise part is recurrence/numba_reset.py's."""

from __future__ import annotations

from typing import Any

from nnseq_kernels.recurrence import numba_host as host
from nnseq_kernels.recurrence.numba_loop import Rows
from nnseq_kernels.recurrence.numba_reset import rows

Array = Any  # numpy.ndarray


def cell(dtype: Any) -> Rows:
    """Return the compiled pointwise part: z sees tanh h, and is the weight of the candidate."""
    return rows(dtype, "tanh h", True)


def forward(
    a: Array, W_hh: Array, h0: Array, z_h: Array | None, mask: Array | None
) -> tuple[tuple[Array, Array], host.Saved]:
    """Same contract as nnseq.cells.mut3.forward."""
    saved = host.forward(cell(a.dtype), a, host.prepare(a, W_hh, h0, z_h=z_h, mask=mask))
    return (saved.h, saved.last_h), saved


def backward(saved: host.Saved, dh: Array | None, dh_T: Array | None) -> tuple[Any, ...]:
    """Same contract as nnseq.cells.mut3.backward."""
    found = host.backward(cell(saved.h.dtype), saved, dh, None, dh_T, None)
    return found.da, found.dW_hh, found.dh0, None, None
