"""LSTM: gates decide what a cell state c forgets, takes in and shows.

    q_i, q_f, q_g, q_o = a_t + h_{t-1} W_hh    a_t = x_t W_ih + b from outside; (B, H) each   (1)
    i = σ(q_i + p_i ∘ c_{t-1})                                                               (2)
    f = σ(q_f + forget_bias + p_f ∘ c_{t-1})                                                 (3)
    g = tanh q_g                                                                             (4)
    ĉ = f ∘ c_{t-1} + d_i ∘ i ∘ g                                                            (5)
    c̃ = clip(ĉ, ±cell_clip)                                                                  (6)
    o = σ(q_o + p_o ∘ c̃)                                                                     (7)
    h̃ = o ∘ tanh c̃                                                                           (8)
    c_t = z_c ∘ c_{t-1} + (1 - z_c) ∘ c̃                                                      (9)
    h_t = z_h ∘ h_{t-1} + (1 - z_h) ∘ h̃                                                      (10)
    h_t = d_i ∘ h_t + (1 - d_i) ∘ f ∘ h_{t-1}                 with ogate_zoneout only        (11)
    h_t = h_{t-1}, c_t = c_{t-1}               at a padded step, whatever a_t holds

p_i, p_f, p_o are peepholes, d_i is dropout of the input gate (recurrent dropout without loss of
memory), (9) and (10) are zoneout: h̃ is made of c̃, the cell before zoneout. (6) has derivative 0
where it clips.

Sources: Hochreiter, Schmidhuber 1997, "Long Short-Term Memory"; Gers, Schmidhuber, Cummins 2000,
"Learning to Forget" (f); Gers, Schraudolph, Schmidhuber 2002, "Learning Precise Timing with LSTM
Recurrent Networks" (p); Semeniuta, Severyn, Barth 2016, "Recurrent Dropout without Memory Loss"
(d_i), arXiv:1603.05118v2; Krueger et al. 2017, "Zoneout: Regularizing RNNs by Randomly Preserving
Hidden Activations", arXiv:1606.01305v4 ((9), (10), and (11) from its authors' code).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nnseq.backend import Array, array_module
from nnseq.cells.arguments import MASK, STATE, WEIGHT, check_arrays, check_number, steps_that_count
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
    c: Array  # (T, B, H)
    gates: list[Array]  # i, f, g, o: (T, B, H) each
    W_hh: Array  # (H, 4H)
    h0: Array  # (B, H)
    c0: Array  # (B, H)
    p: Array | None  # (3, H)
    z_h: Array | None
    z_c: Array | None
    d_i: Array | None
    mask: Array | None  # (T, B) bool
    cell_clip: float
    ogate_zoneout: bool


def forward(
    a: Array,
    W_hh: Array,
    h0: Array,
    c0: Array,
    p: Array | None,
    z_h: Array | None,
    z_c: Array | None,
    d_i: Array | None,
    mask: Array | None,
    *,
    forget_bias: float,
    cell_clip: float,
    ogate_zoneout: bool,
) -> tuple[tuple[Array, Array, Array, Array], Saved]:
    """Run an LSTM over a whole sequence, from its pre-activations.

    Args:
        a: (T, B, 4H) input part of the pre-activations, x @ W_ih + b, in blocks i, f, g, o.
        W_hh: (H, 4H) recurrent weights, in the same blocks.
        h0, c0: (B, H) initial states.
        p: (3, H) peephole weights p_i, p_f, p_o, or None.
        z_h, z_c: (T | 1, B | 1, H) zoneout's weights of the old states in [0, 1], or None for 0:
            1 keeps the old value. No gradient.
        d_i: (T | 1, B | 1, H) weight on the input gate in [0, 1], or None for 1: 0 drops it. No
            gradient.
        mask: (T, B), zero at padded steps, or None. bool, integer or float.
        forget_bias: added to the forget gate's pre-activation.
        cell_clip: bound of (6); 0 is off.
        ogate_zoneout: apply (11), which needs d_i.

    Returns:
        h, c: (T, B, H) all states; h_T, c_T: (B, H) the last ones, h0 and c0 when T = 0. Saved for
        backward, read-only: h, c, i, f, g, o and the inputs but a.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit, options out of range.
    """
    xp = array_module(a)
    p_i, p_f, p_o = (0.0, 0.0, 0.0) if p is None else p

    def step(t: int, a_t: Array, h_prev: Array, c_prev: Array) -> Any:
        d = weight_at(d_i, t)
        q_i, q_f, q_g, q_o = blocks(a_t + h_prev @ W_hh, 4)  # (1)
        i = sigmoid(q_i + p_i * c_prev)  # (2)
        f = sigmoid(q_f + forget_bias + p_f * c_prev)  # (3)
        g = xp.tanh(q_g)  # (4)
        c_new = clip(f * c_prev + d * i * g, cell_clip)  # (5), (6)
        o = sigmoid(q_o + p_o * c_new)  # (7)
        h_new = o * xp.tanh(c_new)  # (8)
        c_t = zoneout(z_c, t, c_prev, c_new)  # (9)
        h_t = zoneout(z_h, t, h_prev, h_new)  # (10)
        if ogate_zoneout:
            h_t = d * h_t + (1 - d) * f * h_prev  # (11)
        return [h_t, c_t], [i, f, g, o]

    keep = [len(W_hh)] * 4
    (h, c), (h_T, c_T), gates = forward_in_time(step, [a], [h0, c0], mask, keep)
    saved = Saved(h, c, gates, W_hh, h0, c0, p, z_h, z_c, d_i, mask, cell_clip, ogate_zoneout)
    return (h, c, h_T, c_T), saved


def backward(
    saved: Saved, dh: Array | None, dc: Array | None, dh_T: Array | None, dc_T: Array | None
) -> tuple[Any, ...]:
    """Return da, dW_hh, dh0, dc0, dp and None four times; any doutput may be None."""
    h, c, gates, W_hh, h0, c0, p, z_h, z_c, d_i, mask, cell_clip, ogate_zoneout = saved
    xp = array_module(h)
    p_i, p_f, p_o = (0.0, 0.0, 0.0) if p is None else p

    def undo(t: int, dh_t: Array, dc_t: Array, h_prev: Array, c_prev: Array) -> Any:
        i, f, g, o = (gate[t] for gate in gates)
        d = weight_at(d_i, t)
        c_raw = f * c_prev + d * i * g  # (5), (6) again: cheaper than to keep
        tanh_c = xp.tanh(clip(c_raw, cell_clip))
        df, dh_below = 0.0, 0.0
        if ogate_zoneout:  # (11)
            df, dh_below, dh_t = (1 - d) * h_prev * dh_t, (1 - d) * f * dh_t, d * dh_t
        dh_kept, dh_new = undo_zoneout(z_h, t, dh_t)  # (10)
        dc_kept, dc_new = undo_zoneout(z_c, t, dc_t)  # (9)
        do, dc_new = dh_new * tanh_c, dc_new + dh_new * o * (1 - tanh_c * tanh_c)  # (8)
        da_o = do * o * (1 - o)  # (7)
        dc_raw = undo_clip(dc_new + da_o * p_o, c_raw, cell_clip)  # (7), (6)
        df, di, dg = df + dc_raw * c_prev, dc_raw * d * g, dc_raw * d * i  # (5)
        da_g = dg * (1 - g * g)  # (4)
        da_f = df * f * (1 - f)  # (3)
        da_i = di * i * (1 - i)  # (2)
        da_t = xp.concatenate([da_i, da_f, da_g, da_o], axis=1)
        dh_prev = dh_below + dh_kept + da_t @ W_hh.T  # (11), (10), (1)
        dc_prev = dc_kept + dc_raw * f + da_f * p_f + da_i * p_i  # (9), (5), (3), (2)
        return [da_t], [dh_prev, dc_prev]

    (da,), (dh0, dc0) = backward_in_time(
        undo, [h0, c0], [h, c], [dh, dc], [dh_T, dc_T], mask, [W_hh.shape[1]]
    )
    dW_hh = over_steps(before(h0, h), da)  # (1)
    dp = None
    if p is not None:
        (i, f, g, _), (da_i, da_f, _, da_o), c_prev = gates, blocks(da, 4), before(c0, c)
        c_new = clip(f * c_prev + (1.0 if d_i is None else d_i) * i * g, cell_clip)
        terms = (da_i * c_prev, da_f * c_prev, da_o * c_new)  # (2), (3), (7)
        dp = xp.stack([sum_over(term, (0, 1)) for term in terms])
    return da, dW_hh, dh0, dc0, dp, None, None, None, None


def clip(c_raw: Array, cell_clip: float) -> Array:
    """Return (6)."""
    return array_module(c_raw).clip(c_raw, -cell_clip, cell_clip) if cell_clip > 0 else c_raw


def undo_clip(dc_new: Array, c_raw: Array, cell_clip: float) -> Array:
    """Undo (6)."""
    if cell_clip == 0:
        return dc_new
    return array_module(c_raw).where(abs(c_raw) <= cell_clip, dc_new, 0)


def prepare(
    a: Any,
    W_hh: Any,
    h0: Any,
    c0: Any,
    p: Any = None,
    z_h: Any = None,
    z_c: Any = None,
    d_i: Any = None,
    mask: Any = None,
    *,
    forget_bias: float = 0.0,
    cell_clip: float = 0.0,
    ogate_zoneout: bool = False,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Refuse what does not fit; bring the mask to bool."""
    check_arrays(
        "lstm",
        a=(a, "(T, B, 4H)"),
        W_hh=(W_hh, "(H, 4H)"),
        h0=(h0, STATE),
        c0=(c0, STATE),
        p=(p, "(3, H) or None"),
        z_h=(z_h, WEIGHT),
        z_c=(z_c, WEIGHT),
        d_i=(d_i, WEIGHT),
        mask=(mask, MASK),
    )
    if ogate_zoneout and d_i is None:
        raise ValueError(
            "lstm: ogate_zoneout is on and d_i is None, expected the weights (T | 1, B | 1, H) of "
            "input-gate dropout, which it reuses"
        )
    options = {
        "forget_bias": check_number("lstm", "forget_bias", forget_bias),
        "cell_clip": check_number("lstm", "cell_clip", cell_clip, 0.0),
        "ogate_zoneout": bool(ogate_zoneout),
    }
    return (a, W_hh, h0, c0, p, z_h, z_c, d_i, steps_that_count(mask)), options


lstm = fused_op("lstm", forward, backward, prepare)
