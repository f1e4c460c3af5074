"""MUT3: a gated cell whose update gate sees tanh of the state.

    r = σ(a_r + h_{t-1} W_r)                   a_t = x_t W_ih + b from outside         (1)
    z = σ(a_z + tanh(h_{t-1}) W_z)             W_hh = [W_r, W_z, W_n]                  (2)
    s = r ∘ h_{t-1}                                                                    (3)
    n = tanh(a_n + s W_n)                                                              (4)
    h̃_t = z ∘ n + (1 - z) ∘ h_{t-1}            z multiplies the candidate              (5)
    h_t = z_h ∘ h_{t-1} + (1 - z_h) ∘ h̃_t                                              (6)
    h_t = h_{t-1}                              at a padded step, whatever a_t holds

(6) is zoneout.

Sources: Jozefowicz, Zaremba, Sutskever 2015, "An Empirical Exploration of Recurrent Network
Architectures"; Krueger et al. 2017, "Zoneout: Regularizing RNNs by Randomly Preserving Hidden
Activations" (6).
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
    mask: Array | None  # (T, B) bool


def forward(
    a: Array, W_hh: Array, h0: Array, z_h: Array | None, mask: Array | None
) -> tuple[tuple[Array, Array], Saved]:
    """Run a MUT3 over a whole sequence, from its pre-activations.

    Args:
        a: (T, B, 3H) input part of the pre-activations, x @ W_ih + b, in blocks r, z, n.
        W_hh: (H, 3H) recurrent weights, in the same blocks.
        h0: (B, H) initial state.
        z_h: (T | 1, B | 1, H) zoneout's weight of the old state in [0, 1], or None for 0: 1 keeps
            the old value. No gradient.
        mask: (T, B), zero at padded steps, or None. bool, integer or float.

    Returns:
        h: (T, B, H) all states, and h_T: (B, H) the last one, h0 when T = 0. Saved for backward,
        read-only: h, r, z, n and the inputs but a.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit.
    """
    xp = array_module(a)
    W_r, W_z, W_n = blocks(W_hh, 3)

    def step(t: int, a_t: Array, h_prev: Array) -> Any:
        a_r, a_z, a_n = blocks(a_t, 3)
        r = sigmoid(a_r + h_prev @ W_r)  # (1)
        z = sigmoid(a_z + xp.tanh(h_prev) @ W_z)  # (2)
        s = r * h_prev  # (3)
        n = xp.tanh(a_n + s @ W_n)  # (4)
        h_new = z * n + (1 - z) * h_prev  # (5)
        h_t = zoneout(z_h, t, h_prev, h_new)  # (6)
        return [h_t], [r, z, n]

    (h,), (h_T,), gates = forward_in_time(step, [a], [h0], mask, [len(W_hh)] * 3)
    return (h, h_T), Saved(h, gates, W_hh, h0, z_h, mask)


def backward(saved: Saved, dh: Array | None, dh_T: Array | None) -> tuple[Any, ...]:
    """Return da, dW_hh, dh0, None, None; either doutput may be None."""
    h, gates, W_hh, h0, z_h, mask = saved
    xp, H = array_module(h), len(W_hh)
    W_r, W_z, W_n = blocks(W_hh, 3)

    def undo(t: int, dh_t: Array, h_prev: Array) -> Any:
        r, z, n = (gate[t] for gate in gates)
        dh_kept, dh_new = undo_zoneout(z_h, t, dh_t)  # (6)
        dz, dn = dh_new * (n - h_prev), dh_new * z  # (5)
        da_n = dn * (1 - n * n)  # (4)
        ds = da_n @ W_n.T
        dr = ds * h_prev  # (3)
        da_z = dz * z * (1 - z)  # (2)
        dh_tanh = (da_z @ W_z.T) * (1 - xp.tanh(h_prev) ** 2)
        da_r = dr * r * (1 - r)  # (1)
        dh_prev = dh_kept + dh_new * (1 - z) + ds * r + dh_tanh + da_r @ W_r.T
        return [xp.concatenate([da_r, da_z, da_n], axis=1)], [dh_prev]

    (da,), (dh0,) = backward_in_time(undo, [h0], [h], [dh], [dh_T], mask, [3 * H])
    (da_r, da_z, da_n), h_prev = blocks(da, 3), before(h0, h)
    dW_n = over_steps(gates[0] * h_prev, da_n)  # (4), with s of (3)
    dW_z = over_steps(xp.tanh(h_prev), da_z)  # (2)
    dW_r = over_steps(h_prev, da_r)  # (1)
    return da, xp.concatenate([dW_r, dW_z, dW_n], axis=1), dh0, None, None


def prepare(
    a: Any, W_hh: Any, h0: Any, z_h: Any = None, mask: Any = None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Refuse what does not fit; bring the mask to bool."""
    check_arrays(
        "mut3",
        a=(a, "(T, B, 3H)"),
        W_hh=(W_hh, "(H, 3H)"),
        h0=(h0, STATE),
        z_h=(z_h, WEIGHT),
        mask=(mask, MASK),
    )
    return (a, W_hh, h0, z_h, steps_that_count(mask)), {}


mut3 = fused_op("mut3", forward, backward, prepare)
