"""GRU with the reset gate before the product, as first published.

    q_r, q_z = h_{t-1} W_rz                    W_hh = [W_rz, W_n], (B, H) each        (1)
    r = σ(a_r + q_r)                           a_t = x_t W_ih + b from outside        (2)
    z = σ(a_z + q_z)                                                                  (3)
    s = r ∘ h_{t-1}                                                                   (4)
    n = tanh(a_n + s W_n)                                                             (5)
    h̃_t = (1 - z) ∘ d_i ∘ n + z ∘ h_{t-1}                                             (6)
    h_t = z_h ∘ h_{t-1} + (1 - z_h) ∘ h̃_t                                             (7)
    h_t = h_{t-1}                              at a padded step, whatever a_t holds

A step needs two products, one after the other; `gru` needs one. d_i is dropout of the candidate,
(7) is zoneout.

Sources: Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder for
Statistical Machine Translation", arXiv:1406.1078v3; Semeniuta, Severyn, Barth 2016, "Recurrent
Dropout without Memory Loss", arXiv:1603.05118v2 (d_i); Krueger et al. 2017, "Zoneout: Regularizing
RNNs by Randomly Preserving Hidden Activations", arXiv:1606.01305v4 (7).
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


class Saved(NamedTuple):
    """What backward reads; nobody writes to it."""

    h: Array  # (T, B, H)
    gates: list[Array]  # r, z, n: (T, B, H) each
    W_hh: Array  # (H, 3H)
    h0: Array  # (B, H)
    z_h: Array | None
    d_i: Array | None
    mask: Array | None  # (T, B) bool


def forward(
    a: Array,
    W_hh: Array,
    h0: Array,
    z_h: Array | None,
    d_i: Array | None,
    mask: Array | None,
) -> tuple[tuple[Array, Array], Saved]:
    """Run a GRU (reset before the product) over a whole sequence, from its pre-activations.

    Args:
        a: (T, B, 3H) input part of the pre-activations, x @ W_ih + b, in blocks r, z, n.
        W_hh: (H, 3H) recurrent weights, in the same blocks.
        h0: (B, H) initial state.
        z_h: (T | 1, B | 1, H) zoneout's weight of the old state in [0, 1], or None for 0: 1 keeps
            the old value. No gradient.
        d_i: (T | 1, B | 1, H) weight on the candidate in [0, 1], or None for 1: 0 drops it. No
            gradient.
        mask: (T, B), zero at padded steps, or None. bool, integer or float.

    Returns:
        h: (T, B, H) all states, and h_T: (B, H) the last one, h0 when T = 0. Saved for backward,
        read-only: h, r, z, n and the inputs but a.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit.
    """
    xp, H = array_module(a), len(W_hh)
    W_rz, W_n = W_hh[:, : 2 * H], W_hh[:, 2 * H :]

    def step(t: int, a_t: Array, h_prev: Array) -> Any:
        (a_r, a_z, a_n), (q_r, q_z) = blocks(a_t, 3), blocks(h_prev @ W_rz, 2)  # (1)
        r = sigmoid(a_r + q_r)  # (2)
        z = sigmoid(a_z + q_z)  # (3)
        s = r * h_prev  # (4)
        n = xp.tanh(a_n + s @ W_n)  # (5)
        h_new = (1 - z) * weight_at(d_i, t) * n + z * h_prev  # (6)
        h_t = zoneout(z_h, t, h_prev, h_new)  # (7)
        return [h_t], [r, z, n]

    (h,), (h_T,), gates = forward_in_time(step, [a], [h0], mask, [H] * 3)
    return (h, h_T), Saved(h, gates, W_hh, h0, z_h, d_i, mask)


def backward(saved: Saved, dh: Array | None, dh_T: Array | None) -> tuple[Any, ...]:
    """Return da, dW_hh, dh0 and None three times; either doutput may be None."""
    h, gates, W_hh, h0, z_h, d_i, mask = saved
    xp, H = array_module(h), len(W_hh)
    W_rz, W_n = W_hh[:, : 2 * H], W_hh[:, 2 * H :]

    def undo(t: int, dh_t: Array, h_prev: Array) -> Any:
        r, z, n = (gate[t] for gate in gates)
        d = weight_at(d_i, t)
        dh_kept, dh_new = undo_zoneout(z_h, t, dh_t)  # (7)
        dz, dn = dh_new * (h_prev - d * n), dh_new * (1 - z) * d  # (6)
        da_n = dn * (1 - n * n)  # (5)
        ds = da_n @ W_n.T
        dr = ds * h_prev  # (4)
        da_z = dz * z * (1 - z)  # (3)
        da_r = dr * r * (1 - r)  # (2)
        dq = xp.concatenate([da_r, da_z], axis=1)
        dh_prev = dh_kept + dh_new * z + ds * r + dq @ W_rz.T  # (7), (6), (4), (1)
        return [xp.concatenate([dq, da_n], axis=1)], [dh_prev]

    (da,), (dh0,) = backward_in_time(undo, [h0], [h], [dh], [dh_T], mask, [3 * H])
    h_prev = before(h0, h)
    dW_n = over_steps(gates[0] * h_prev, da[..., 2 * H :])  # (5), with s of (4)
    dW_rz = over_steps(h_prev, da[..., : 2 * H])  # (1)
    return da, xp.concatenate([dW_rz, dW_n], axis=1), dh0, None, None, None


def prepare(
    a: Any, W_hh: Any, h0: Any, z_h: Any = None, d_i: Any = None, mask: Any = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Refuse what does not fit; bring the mask to bool."""
    check_arrays(
        "gru_before",
        a=(a, "(T, B, 3H)"),
        W_hh=(W_hh, "(H, 3H)"),
        h0=(h0, STATE),
        z_h=(z_h, WEIGHT),
        d_i=(d_i, WEIGHT),
        mask=(mask, MASK),
    )
    return (a, W_hh, h0, z_h, d_i, steps_that_count(mask)), {}


gru_before = fused_op("gru_before", forward, backward, prepare)
