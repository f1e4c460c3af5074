"""GRU with the reset gate after the product, as cuDNN and PyTorch compute it.

    q_r, q_z, q_n = h_{t-1} W_hh               (B, H) each                            (1)
    r = σ(a_r + q_r)                           a_t = x_t W_ih + b from outside        (2)
    z = σ(a_z + q_z)                                                                  (3)
    m = q_n + b_hn                                                                    (4)
    n = tanh(a_n + r ∘ m)                                                             (5)
    h̃_t = (1 - z) ∘ d_i ∘ n + z ∘ h_{t-1}                                             (6)
    h_t = z_h ∘ h_{t-1} + (1 - z_h) ∘ h̃_t                                             (7)
    h_t = h_{t-1}                              at a padded step, whatever a_t holds

The reset gate multiplies the product and its bias b_hn, which is why that bias is an input here
and not part of a. One product a step does for all three blocks. `gru_before` resets the state
before the product. d_i is dropout of the candidate, (7) is zoneout.

Sources: Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder for
Statistical Machine Translation", arXiv:1406.1078v3 (with r inside the product, and the roles of z
and 1 - z as here); Semeniuta, Severyn, Barth 2016, "Recurrent Dropout without Memory Loss",
arXiv:1603.05118v2 (d_i); Krueger et al. 2017, "Zoneout: Regularizing RNNs by Randomly Preserving
Hidden Activations", arXiv:1606.01305v4 (7).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nnseq.backend import Array, array_module
from nnseq.cells.arguments import MASK, STATE, WEIGHT, check_arrays, steps_that_count
from nnseq.cells.recurrence import (
    backward_in_time,
    before,
    blocks,
    forward_in_time,
    over_steps,
    sigmoid,
    undo_zoneout,
    weight_at,
    zoneout,
)
from nnseq.fused import fused_op
from nnseq.tape import sum_over


class Saved(NamedTuple):
    """What backward reads; nobody writes to it."""

    h: Array  # (T, B, H)
    kept: list[Array]  # r, z, n, m: (T, B, H) each
    W_hh: Array  # (H, 3H)
    b_hn: Array | None  # (H,)
    h0: Array  # (B, H)
    z_h: Array | None
    d_i: Array | None
    mask: Array | None  # (T, B) bool


def forward(
    a: Array,
    W_hh: Array,
    b_hn: Array | None,
    h0: Array,
    z_h: Array | None,
    d_i: Array | None,
    mask: Array | None,
) -> tuple[tuple[Array, Array], Saved]:
    """Run a GRU (reset after the product) over a whole sequence, from its pre-activations.

    Args:
        a: (T, B, 3H) input part of the pre-activations, x @ W_ih + b, in blocks r, z, n.
        W_hh: (H, 3H) recurrent weights, in the same blocks.
        b_hn: (H,) bias inside the reset, or None.
        h0: (B, H) initial state.
        z_h: (T | 1, B | 1, H) zoneout's weight of the old state in [0, 1], or None for 0: 1 keeps
            the old value. No gradient.
        d_i: (T | 1, B | 1, H) weight on the candidate in [0, 1], or None for 1: 0 drops it. No
            gradient.
        mask: (T, B), zero at padded steps, or None. bool, integer or float.

    Returns:
        h: (T, B, H) all states, and h_T: (B, H) the last one, h0 when T = 0. Saved for backward,
        read-only: h, r, z, n, m and the inputs but a.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit.
    """
    xp = array_module(a)

    def step(t: int, a_t: Array, h_prev: Array) -> Any:
        (a_r, a_z, a_n), (q_r, q_z, q_n) = blocks(a_t, 3), blocks(h_prev @ W_hh, 3)  # (1)
        r = sigmoid(a_r + q_r)  # (2)
        z = sigmoid(a_z + q_z)  # (3)
        m = q_n if b_hn is None else q_n + b_hn  # (4)
        n = xp.tanh(a_n + r * m)  # (5)
        h_new = (1 - z) * weight_at(d_i, t) * n + z * h_prev  # (6)
        h_t = zoneout(z_h, t, h_prev, h_new)  # (7)
        return [h_t], [r, z, n, m]

    (h,), (h_T,), kept = forward_in_time(step, [a], [h0], mask, [len(W_hh)] * 4)
    return (h, h_T), Saved(h, kept, W_hh, b_hn, h0, z_h, d_i, mask)


def backward(saved: Saved, dh: Array | None, dh_T: Array | None) -> tuple[Any, ...]:
    """Return da, dW_hh, db_hn, dh0 and None three times; either doutput may be None."""
    h, kept, W_hh, b_hn, h0, z_h, d_i, mask = saved
    xp, H = array_module(h), len(W_hh)

    def undo(t: int, dh_t: Array, h_prev: Array) -> Any:
        r, z, n, m = (array[t] for array in kept)
        d = weight_at(d_i, t)
        dh_kept, dh_new = undo_zoneout(z_h, t, dh_t)  # (7)
        dz, dn = dh_new * (h_prev - d * n), dh_new * (1 - z) * d  # (6)
        da_n = dn * (1 - n * n)  # (5)
        dm, dr = da_n * r, da_n * m
        da_z = dz * z * (1 - z)  # (3)
        da_r = dr * r * (1 - r)  # (2)
        dq = xp.concatenate([da_r, da_z, dm], axis=1)  # (3), (2), (4)
        dh_prev = dh_kept + dh_new * z + dq @ W_hh.T  # (7), (6), (1)
        return [xp.concatenate([da_r, da_z, da_n], axis=1), dm], [dh_prev]

    (da, dm), (dh0,) = backward_in_time(undo, [h0], [h], [dh], [dh_T], mask, [3 * H, H])
    h_prev = before(h0, h)
    dW_rz, dW_n = over_steps(h_prev, da[..., : 2 * H]), over_steps(h_prev, dm)  # (1)
    db_hn = None if b_hn is None else sum_over(dm, (0, 1))  # (4)
    return da, xp.concatenate([dW_rz, dW_n], axis=1), db_hn, dh0, None, None, None


def prepare(
    a: Any,
    W_hh: Any,
    b_hn: Any,
    h0: Any,
    z_h: Any = None,
    d_i: Any = None,
    mask: Any = None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Refuse what does not fit; bring the mask to bool."""
    check_arrays(
        "gru",
        a=(a, "(T, B, 3H)"),
        W_hh=(W_hh, "(H, 3H)"),
        b_hn=(b_hn, "(H,) or None"),
        h0=(h0, STATE),
        z_h=(z_h, WEIGHT),
        d_i=(d_i, WEIGHT),
        mask=(mask, MASK),
    )
    return (a, W_hh, b_hn, h0, z_h, d_i, steps_that_count(mask)), {}


gru = fused_op("gru", forward, backward, prepare)
