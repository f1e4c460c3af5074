"""The difference to the step before, beside the input: feature augmentation along time."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array, array_module, device_of, to_device
from nnseq.nn.arguments import check_state
from nnseq.ops.joining import concat
from nnseq.tensor import Tensor


def time_difference(x: Any, x_before: Any = None, valid: Array | None = None) -> tuple[Any, Any]:
    """Put the change since the step before beside every step.

        y_t = [x_t ; x_t - x_{t-1}],   x_{-1} = x_before, or 0                  (1)

    So the first step of a sequence keeps x_0 as its difference, as in the IndRNN authors' program
    for actions, which augments the features of every layer of a dense network in this way (Li, Li,
    Cook, Gao 2019, "Deep independently recurrent neural network (IndRNN)", arXiv:1910.06251).

    Args:
        x: (T, B, C).
        x_before: (B, C) the last step of an earlier call, or None.
        valid: (T, B) bool, False at padded steps, which (1) passes over; or None.

    Returns:
        y: (T, B, 2C), and x_T: (B, C), the last step that counts, x_before where none does.

    Raises:
        ValueError, TypeError: x_before has another shape or dtype.
    """
    T, B, C = x.shape
    xp = array_module(x.data if isinstance(x, Tensor) else x)
    if x_before is None:
        x_before = xp.zeros((B, C), x.dtype)
    check_state("time_difference", "x_before", x_before, (B, C), "(B, C)", x.dtype)
    known = concat([x_before.reshape(1, B, C), x], 0)  # x_t is known[t + 1]
    if valid is None:
        previous, x_T = known[:T], known[T]
    else:
        rows, b = latest_rows(valid), xp.arange(B)
        previous, x_T = known[rows[:T], b], known[rows[T], b]
    return concat([x, x - previous], -1), x_T


def latest_rows(valid: Array) -> Array:
    """Return (T + 1, B): before step t, the row of `known` with the latest step that counts."""
    on_cpu = to_device(valid, "cpu")  # CuPy has no maximum.accumulate
    T, B = on_cpu.shape
    seen = np.zeros((T + 1, B), np.int64)
    seen[1:] = np.where(on_cpu, np.arange(1, T + 1)[:, None], 0)
    return to_device(np.maximum.accumulate(seen, axis=0), device_of(valid))
