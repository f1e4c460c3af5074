"""LSTM on CUDA through CuPy: a product and a launch per step (lstm.cu).

The steps are replayed as one CUDA graph, see nnseq_kernels/recurrence/cuda_graphs.py.
"""

from __future__ import annotations

from typing import Any

from nnseq_kernels.launcher import Launcher
from nnseq_kernels.lstm.launch import CELL
from nnseq_kernels.recurrence import cuda_loop
from nnseq_kernels.recurrence.cuda_graphs import graph_launcher
from nnseq_kernels.recurrence.cuda_loop import Saved

Array = Any  # cupy.ndarray


def forward(
    a: Array, W_hh: Array, h0: Array, c0: Array, p: Array | None, z_h: Array | None,
    z_c: Array | None, d_i: Array | None, mask: Array | None, *, forget_bias: float,
    cell_clip: float, ogate_zoneout: bool,
) -> tuple[tuple[Array, ...], Saved]:  # fmt: skip
    """Same contract as nnseq.cells.lstm.forward."""
    return forward_on(
        graph_launcher(), a, W_hh, h0, c0, p, z_h, z_c, d_i, mask, forget_bias=forget_bias,
        cell_clip=cell_clip, ogate_zoneout=ogate_zoneout,
    )  # fmt: skip


def backward(
    saved: Saved, dh: Array | None, dc: Array | None, dh_T: Array | None, dc_T: Array | None,
) -> tuple[Array | None, ...]:  # fmt: skip
    """Same contract as nnseq.cells.lstm.backward."""
    return backward_on(graph_launcher(), saved, dh, dc, dh_T, dc_T)


def forward_on(
    launcher: Launcher, *inputs: Array | None, **options: float
) -> tuple[tuple[Array, ...], Saved]:
    """Does what `forward` does, with the given launcher's arrays and kernels."""
    return cuda_loop.forward_on(launcher, CELL, inputs, **options)


def backward_on(
    launcher: Launcher, saved: Saved, *doutputs: Array | None
) -> tuple[Array | None, ...]:
    """Does what `backward` does, with the given launcher's arrays and kernels."""
    return cuda_loop.backward_on(launcher, CELL, saved, doutputs)
