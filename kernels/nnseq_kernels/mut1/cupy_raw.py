"""MUT1 on CUDA through CuPy: two products, two launches per step (mut1.cu).

The steps are replayed as one CUDA graph, see nnseq_kernels/recurrence/cuda_graphs.py.
"""

from __future__ import annotations

from typing import Any

from nnseq_kernels.launcher import Launcher
from nnseq_kernels.mut1.launch import CELL
from nnseq_kernels.recurrence import cuda_loop
from nnseq_kernels.recurrence.cuda_graphs import graph_launcher
from nnseq_kernels.recurrence.cuda_loop import Saved

Array = Any  # cupy.ndarray


def forward(
    a: Array, x: Array, b_x: Array | None, W_hh: Array, h0: Array, z_h: Array | None,
    mask: Array | None,
) -> tuple[tuple[Array, ...], Saved]:  # fmt: skip
    """Same contract as nnseq.cells.mut1.forward."""
    return forward_on(graph_launcher(), a, x, b_x, W_hh, h0, z_h, mask)


def backward(saved: Saved, dh: Array | None, dh_T: Array | None) -> tuple[Array | None, ...]:
    """Same contract as nnseq.cells.mut1.backward."""
    return backward_on(graph_launcher(), saved, dh, dh_T)


def forward_on(launcher: Launcher, *inputs: Array | None) -> tuple[tuple[Array, ...], Saved]:
    """Does what `forward` does, with the given launcher's arrays and kernels."""
    return cuda_loop.forward_on(launcher, CELL, inputs)


def backward_on(
    launcher: Launcher, saved: Saved, *doutputs: Array | None
) -> tuple[Array | None, ...]:
    """Does what `backward` does, with the given launcher's arrays and kernels."""
    return cuda_loop.backward_on(launcher, CELL, saved, doutputs)
