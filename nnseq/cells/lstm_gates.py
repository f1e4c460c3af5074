"""The gates of an LSTM, for the cells that project or normalise what stands before or after them.

q_i, q_f, q_g, q_o = q                                                       (1)
i = σ(q_i + p_i ∘ c_{t-1}),   f = σ(q_f + forget_bias + p_f ∘ c_{t-1})         (2)
g = tanh q_g                                                                 (3)
c̃ = clip(f ∘ c_{t-1} + i ∘ g, ±cell_clip)       0 is off                       (4)
o = σ(q_o + p_o ∘ c̃)                                                         (5)
"""

from __future__ import annotations

from collections.abc import Sequence

from nnseq.backend import Array, array_module
from nnseq.cells.lstm import clip, undo_clip
from nnseq.cells.recurrence import blocks, sigmoid


def gates(
    q: Array,
    c_prev: Array,
    p: Array | None = None,
    forget_bias: float = 0.0,
    cell_clip: float = 0.0,
) -> tuple[Array, Array, Array, Array, Array]:
    """Return i, f, g, o and c̃, (B, H) each.

    Args:
        q: (B, 4H) pre-activations.
        c_prev: (B, H).
        p: (3, H) peephole weights p_i, p_f, p_o, or None.
        forget_bias, cell_clip: of (2) and (4).
    """
    q_i, q_f, q_g, q_o = blocks(q, 4)  # (1)
    p_i, p_f, p_o = (0.0, 0.0, 0.0) if p is None else p
    i = sigmoid(q_i + p_i * c_prev)  # (2)
    f = sigmoid(q_f + forget_bias + p_f * c_prev)
    g = array_module(q).tanh(q_g)  # (3)
    c_new = clip(f * c_prev + i * g, cell_clip)  # (4)
    o = sigmoid(q_o + p_o * c_new)  # (5)
    return i, f, g, o, c_new


def undo_gates(
    do: Array,
    dc_new: Array,
    ifgo: Sequence[Array],
    c_prev: Array,
    p: Array | None = None,
    cell_clip: float = 0.0,
) -> tuple[Array, Array]:
    """Return dq (B, 4H) and dc_{t-1} (B, H) from the gradients of o and c̃."""
    i, f, g, o = ifgo
    p_i, p_f, p_o = (0.0, 0.0, 0.0) if p is None else p
    dq_o = do * o * (1 - o)  # (5)
    dc_raw = undo_clip(dc_new + dq_o * p_o, f * c_prev + i * g, cell_clip)  # (4)
    dq_g = dc_raw * i * (1 - g * g)  # (3)
    dq_f = dc_raw * c_prev * f * (1 - f)  # (2)
    dq_i = dc_raw * g * i * (1 - i)
    dq = array_module(dq_o).concatenate([dq_i, dq_f, dq_g, dq_o], axis=1)  # (1)
    return dq, dc_raw * f + dq_f * p_f + dq_i * p_i
