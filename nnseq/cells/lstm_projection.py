"""LSTM with a projection: the state that recurs is a smaller image of what the cells show.

    q = a_t + h_{t-1} W_hh            a_t = x_t W_ih + b comes from outside; h is P wide   (1)
    i = σ(q_i + p_i ∘ c_{t-1}),       f = σ(q_f + forget_bias + p_f ∘ c_{t-1})
    g = tanh q_g,                     c̃ = clip(f ∘ c_{t-1} + i ∘ g, ±cell_clip)
    o = σ(q_o + p_o ∘ c̃)                                                                   (2)
    m = o ∘ tanh c̃                    (B, H)                                               (3)
    h̃ = clip(m W_hr, ±proj_clip)      (B, P)                                               (4)
    c_t = z_c ∘ c_{t-1} + (1 - z_c) ∘ c̃                                                    (5)
    h_t = z_h ∘ h_{t-1} + (1 - z_h) ∘ h̃                                                    (6)
    h_t = h_{t-1}, c_t = c_{t-1}      at a padded step, whatever a_t holds

p_i, p_f, p_o are peepholes, (5) and (6) zoneout; a clip of 0 is off, and has derivative 0 where it
clips. Without peepholes, clips and zoneout it is PyTorch's nn.LSTM with proj_size.

Sources: Sak, Senior, Beaufays 2014, "Long short-term memory based recurrent neural network
architectures for large vocabulary speech recognition", arXiv:1402.1128v1; without its second,
non-recurrent projection. Krueger et al. 2017, "Zoneout", arXiv:1606.01305v4.

This cell has no kernels: the reference is its one implementation.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nnseq.backend import Array, array_module
from nnseq.cells.arguments import MASK, STATE, WEIGHT, check_arrays, check_number, steps_that_count
from nnseq.cells.lstm import clip, undo_clip
from nnseq.cells.lstm_gates import gates, undo_gates
from nnseq.cells.recurrence import (
    backward_in_time,
    before,
    blocks,
    forward_in_time,
    over_steps,
    undo_zoneout,
    zoneout,
)
from nnseq.fused import fused_op
from nnseq.tape import sum_over


class Saved(NamedTuple):
    """What backward reads; nobody writes to it."""

    h: Array  # (T, B, P)
    c: Array  # (T, B, H)
    ifgo: list[Array]  # i, f, g, o: (T, B, H) each
    W_hh: Array  # (P, 4H)
    W_hr: Array  # (H, P)
    h0: Array  # (B, P)
    c0: Array  # (B, H)
    p: Array | None  # (3, H)
    z_h: Array | None
    z_c: Array | None
    mask: Array | None  # (T, B) bool
    cell_clip: float
    proj_clip: float


def forward(
    a: Array,
    W_hh: Array,
    W_hr: Array,
    h0: Array,
    c0: Array,
    p: Array | None,
    z_h: Array | None,
    z_c: Array | None,
    mask: Array | None,
    *,
    forget_bias: float,
    cell_clip: float,
    proj_clip: float,
) -> tuple[tuple[Array, Array, Array, Array], Saved]:
    """Run an LSTM with a projection over a whole sequence, from its pre-activations.

    Args:
        a: (T, B, 4H) input part of the pre-activations, x @ W_ih + b, in blocks i, f, g, o.
        W_hh: (P, 4H) recurrent weights, in the same blocks.
        W_hr: (H, P) projection.
        h0: (B, P) and c0: (B, H), initial states.
        p: (3, H) peephole weights p_i, p_f, p_o, or None.
        z_h: (T | 1, B | 1, P) and z_c: (T | 1, B | 1, H), zoneout's weights of the old states in
            [0, 1], or None for 0: 1 keeps the old value. No gradient.
        mask: (T, B), zero at padded steps, or None. bool, integer or float.
        forget_bias: added to the forget gate's pre-activation.
        cell_clip, proj_clip: bounds on c̃ and h̃; 0 is off.

    Returns:
        h: (T, B, P) and c: (T, B, H), all states; h_T: (B, P) and c_T: (B, H), the last ones, h0
        and c0 when T = 0. Saved for backward, read-only: h, c, i, f, g, o and the inputs but a.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit, options out of range.
    """
    xp = array_module(a)

    def step(t: int, a_t: Array, h_prev: Array, c_prev: Array) -> Any:
        q = a_t + h_prev @ W_hh  # (1)
        i, f, g, o, c_new = gates(q, c_prev, p, forget_bias, cell_clip)  # (2)
        m = o * xp.tanh(c_new)  # (3)
        h_new = clip(m @ W_hr, proj_clip)  # (4)
        c_t = zoneout(z_c, t, c_prev, c_new)  # (5)
        h_t = zoneout(z_h, t, h_prev, h_new)  # (6)
        return [h_t, c_t], [i, f, g, o]

    (h, c), (h_T, c_T), ifgo = forward_in_time(step, [a], [h0, c0], mask, [len(W_hr)] * 4)
    saved = Saved(h, c, ifgo, W_hh, W_hr, h0, c0, p, z_h, z_c, mask, cell_clip, proj_clip)
    return (h, c, h_T, c_T), saved


def backward(
    saved: Saved, dh: Array | None, dc: Array | None, dh_T: Array | None, dc_T: Array | None
) -> tuple[Any, ...]:
    """Return da, dW_hh, dW_hr, dh0, dc0, dp and None three times; any doutput may be None."""
    h, c, ifgo, W_hh, W_hr, h0, c0, p, z_h, z_c, mask, cell_clip, proj_clip = saved
    xp = array_module(h)
    i, f, g, o = ifgo
    c_prev_all = before(c0, c)
    c_new = clip(f * c_prev_all + i * g, cell_clip)  # (2) again: cheaper than to keep
    tanh_c = xp.tanh(c_new)
    m = o * tanh_c  # (3)

    def undo(t: int, dh_t: Array, dc_t: Array, h_prev: Array, c_prev: Array) -> Any:
        dh_kept, dh_new = undo_zoneout(z_h, t, dh_t)  # (6)
        dc_kept, dc_new = undo_zoneout(z_c, t, dc_t)  # (5)
        dmr = undo_clip(dh_new, m[t] @ W_hr, proj_clip) if proj_clip > 0 else dh_new  # (4)
        dm = dmr @ W_hr.T
        do = dm * tanh_c[t]  # (3)
        dc_new = dc_new + dm * o[t] * (1 - tanh_c[t] * tanh_c[t])
        now = [gate[t] for gate in ifgo]
        dq, dc_below = undo_gates(do, dc_new, now, c_prev, p, cell_clip)  # (2)
        return [dq, dmr], [dh_kept + dq @ W_hh.T, dc_kept + dc_below]  # (1)

    widths = [W_hh.shape[1], W_hr.shape[1]]
    (da, dmr), (dh0, dc0) = backward_in_time(
        undo, [h0, c0], [h, c], [dh, dc], [dh_T, dc_T], mask, widths
    )
    dW_hr = over_steps(m, dmr)  # (4)
    dW_hh = over_steps(before(h0, h), da)  # (1)
    dp = None
    if p is not None:
        da_i, da_f, _, da_o = blocks(da, 4)
        terms = (da_i * c_prev_all, da_f * c_prev_all, da_o * c_new)  # (2)
        dp = xp.stack([sum_over(term, (0, 1)) for term in terms])
    return da, dW_hh, dW_hr, dh0, dc0, dp, None, None, None


def prepare(
    a: Any,
    W_hh: Any,
    W_hr: Any,
    h0: Any,
    c0: Any,
    p: Any = None,
    z_h: Any = None,
    z_c: Any = None,
    mask: Any = None,
    *,
    forget_bias: float = 0.0,
    cell_clip: float = 0.0,
    proj_clip: float = 0.0,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Refuse what does not fit; bring the mask to bool."""
    check_arrays(
        "lstm_projection",
        sizes_of=("h0", "c0"),
        a=(a, "(T, B, 4H)"),
        W_hh=(W_hh, "(P, 4H)"),
        W_hr=(W_hr, "(H, P)"),
        h0=(h0, "(B, P)"),
        c0=(c0, STATE),
        p=(p, "(3, H) or None"),
        z_h=(z_h, "(T | 1, B | 1, P) or None"),
        z_c=(z_c, WEIGHT),
        mask=(mask, MASK),
    )
    options = {
        "forget_bias": check_number("lstm_projection", "forget_bias", forget_bias),
        "cell_clip": check_number("lstm_projection", "cell_clip", cell_clip, 0.0),
        "proj_clip": check_number("lstm_projection", "proj_clip", proj_clip, 0.0),
    }
    return (a, W_hh, W_hr, h0, c0, p, z_h, z_c, steps_that_count(mask)), options


lstm_projection = fused_op("lstm_projection", forward, backward, prepare)
