"""LSTM with layer normalisation of both summands of the gates, and of the cell that is shown.

    LN(s; γ, β) = γ ∘ (s - ⟨s⟩) / √(⟨(s - ⟨s⟩)²⟩ + ε) + β      ⟨·⟩ over the units of one sequence

    v = LN(a_t; γ_x, β_x)             over all 4H units; a_t = x_t W_ih comes from outside   (1)
    u = LN(h_{t-1} W_hh; γ_h, β_h)    over all 4H units                                      (2)
    q_i, q_f, q_g, q_o = u + v                                                               (3)
    i = σ(q_i),  f = σ(q_f),  g = tanh q_g,  o = σ(q_o),  c̃ = f ∘ c_{t-1} + i ∘ g             (4)
    y = LN(c̃; γ_c, β_c)               over the H units; c̃ itself recurs as it is             (5)
    h̃ = o ∘ tanh y                                                                           (6)
    c_t = z_c ∘ c_{t-1} + (1 - z_c) ∘ c̃                                                      (7)
    h_t = z_h ∘ h_{t-1} + (1 - z_h) ∘ h̃                                                      (8)
    h_t = h_{t-1}, c_t = c_{t-1}      at a padded step, whatever a_t holds

In the code γ is gain, β is bias. (7) and (8) are zoneout; h̃ is made of c̃, the cell before zoneout.

Source: Ba, Kiros, Hinton 2016, "Layer Normalization", arXiv:1607.06450v1, the LSTM of its
supplementary material. The paper adds a third bias b to (3), which β_x and β_h already contain, and
has no ε. A bias in a_t would be normalised with it: leave it out. Krueger et al. 2017, "Zoneout",
arXiv:1606.01305v4.

This cell has no kernels: the reference is its one implementation.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nnseq.backend import Array, array_module
from nnseq.cells.arguments import MASK, STATE, WEIGHT, check_arrays, steps_that_count
from nnseq.cells.lstm_gates import gates, undo_gates
from nnseq.cells.normalization import (
    check_eps,
    finite_where_it_counts,
    layer_norm,
    undo_layer_norm,
)
from nnseq.cells.recurrence import (
    backward_in_time,
    before,
    forward_in_time,
    over_steps,
    undo_zoneout,
    zoneout,
)
from nnseq.fused import fused_op
from nnseq.tape import sum_over

ALL = (slice(None),)  # one group of units


class Saved(NamedTuple):
    """What backward reads; nobody writes to it."""

    h: Array  # (T, B, H)
    c: Array  # (T, B, H)
    ifgo: list[Array]  # i, f, g, o: (T, B, H) each
    a_hat: tuple[Array, Array]  # of (1): normalised (T, B, 4H), and 1/√ (T, B, 1)
    u_hat: tuple[Array, Array]  # of (2)
    c_hat: tuple[Array, Array]  # of (5), (T, B, H) and (T, B, 1)
    W_hh: Array  # (H, 4H)
    gains: tuple[Array, Array, Array]  # γ_x, γ_h (4H,), γ_c (H,)
    bias_c: Array  # (H,)
    h0: Array  # (B, H)
    c0: Array  # (B, H)
    z_h: Array | None
    z_c: Array | None
    mask: Array | None  # (T, B) bool


def forward(
    a: Array,
    W_hh: Array,
    gain_x: Array,
    bias_x: Array,
    gain_h: Array,
    bias_h: Array,
    gain_c: Array,
    bias_c: Array,
    h0: Array,
    c0: Array,
    z_h: Array | None,
    z_c: Array | None,
    mask: Array | None,
    *,
    eps: float,
) -> tuple[tuple[Array, Array, Array, Array], Saved]:
    """Run a layer-normalised LSTM over a whole sequence, from the products with its inputs.

    Args:
        a: (T, B, 4H) x @ W_ih, in blocks i, f, g, o.
        W_hh: (H, 4H) recurrent weights, in the same blocks.
        gain_x, bias_x: (4H,) γ_x and β_x of (1).
        gain_h, bias_h: (4H,) γ_h and β_h of (2).
        gain_c, bias_c: (H,) γ_c and β_c of (5).
        h0, c0: (B, H) initial states.
        z_h, z_c: (T | 1, B | 1, H) zoneout's weights of the old states in [0, 1], or None for 0:
            1 keeps the old value. No gradient.
        mask: (T, B), zero at padded steps, or None. bool, integer or float.
        eps: ε above 0.

    Returns:
        h, c: (T, B, H) all states; h_T, c_T: (B, H) the last ones, h0 and c0 when T = 0. Saved for
        backward, read-only: h, c, i, f, g, o, what LN gives before γ and β, and the inputs but a.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit, eps not above 0.
    """
    xp = array_module(a)
    a_hat, r_a = layer_norm(finite_where_it_counts(a, mask), ALL, eps)
    v = gain_x * a_hat + bias_x  # (1)

    def step(t: int, v_t: Array, h_prev: Array, c_prev: Array) -> Any:
        u_hat, r_u = layer_norm(h_prev @ W_hh, ALL, eps)
        q = gain_h * u_hat + bias_h + v_t  # (2), (3)
        i, f, g, o, c_new = gates(q, c_prev)  # (4)
        c_hat, r_c = layer_norm(c_new, ALL, eps)
        h_new = o * xp.tanh(gain_c * c_hat + bias_c)  # (5), (6)
        c_t = zoneout(z_c, t, c_prev, c_new)  # (7)
        h_t = zoneout(z_h, t, h_prev, h_new)  # (8)
        return [h_t, c_t], [i, f, g, o, u_hat, r_u, c_hat, r_c]

    H = len(W_hh)
    keep = [H, H, H, H, 4 * H, 1, H, 1]
    (h, c), (h_T, c_T), kept = forward_in_time(step, [v], [h0, c0], mask, keep)
    ifgo, (u_hat, r_u, c_hat, r_c) = kept[:4], kept[4:]
    hats = (a_hat, r_a), (u_hat, r_u), (c_hat, r_c)
    gains = gain_x, gain_h, gain_c
    saved = Saved(h, c, ifgo, *hats, W_hh, gains, bias_c, h0, c0, z_h, z_c, mask)
    return (h, c, h_T, c_T), saved


def backward(
    saved: Saved, dh: Array | None, dc: Array | None, dh_T: Array | None, dc_T: Array | None
) -> tuple[Any, ...]:
    """Return a gradient for each input, in order: None for z_h, z_c and mask.

    Any doutput may be None.
    """
    h, c, ifgo, (a_hat, r_a), (u_hat, r_u), (c_hat, r_c), W_hh, gains, bias_c, *rest = saved
    h0, c0, z_h, z_c, mask = rest
    gain_x, gain_h, gain_c = gains
    xp = array_module(h)

    def undo(t: int, dh_t: Array, dc_t: Array, h_prev: Array, c_prev: Array) -> Any:
        now = [gate[t] for gate in ifgo]
        dh_kept, dh_new = undo_zoneout(z_h, t, dh_t)  # (8)
        dc_kept, dc_new = undo_zoneout(z_c, t, dc_t)  # (7)
        tanh_y = xp.tanh(gain_c * c_hat[t] + bias_c)
        do, dy = dh_new * tanh_y, dh_new * now[3] * (1 - tanh_y * tanh_y)  # (6)
        dc_new = dc_new + undo_layer_norm(dy * gain_c, c_hat[t], r_c[t], ALL)  # (5)
        dq, dc_below = undo_gates(do, dc_new, now, c_prev)  # (4)
        ds = undo_layer_norm(dq * gain_h, u_hat[t], r_u[t], ALL)  # (3), (2), s = h_{t-1} W_hh
        return [dq, ds, dy], [dh_kept + ds @ W_hh.T, dc_kept + dc_below]

    H = len(W_hh)
    (dq, ds, dy), (dh0, dc0) = backward_in_time(
        undo, [h0, c0], [h, c], [dh, dc], [dh_T, dc_T], mask, [4 * H, 4 * H, H]
    )
    dgain_c, dbias_c = sum_over(dy * c_hat, (0, 1)), sum_over(dy, (0, 1))  # (5)
    dgain_h, dbias_h = sum_over(dq * u_hat, (0, 1)), sum_over(dq, (0, 1))  # (2)
    dgain_x = sum_over(dq * a_hat, (0, 1))  # (1)
    da = undo_layer_norm(dq * gain_x, a_hat, r_a, ALL)
    dW_hh = over_steps(before(h0, h), ds)  # (2)
    dbias_x = dbias_h.copy()  # by (3); an array of its own, as each input's gradient is
    dparameters = dgain_x, dbias_x, dgain_h, dbias_h, dgain_c, dbias_c
    return da, dW_hh, *dparameters, dh0, dc0, None, None, None


def prepare(
    a: Any,
    W_hh: Any,
    gain_x: Any,
    bias_x: Any,
    gain_h: Any,
    bias_h: Any,
    gain_c: Any,
    bias_c: Any,
    h0: Any,
    c0: Any,
    z_h: Any = None,
    z_c: Any = None,
    mask: Any = None,
    *,
    eps: float = 1e-5,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Refuse what does not fit; bring the mask to bool."""
    check_arrays(
        "lstm_layernorm",
        a=(a, "(T, B, 4H)"),
        W_hh=(W_hh, "(H, 4H)"),
        gain_x=(gain_x, "(4H,)"),
        bias_x=(bias_x, "(4H,)"),
        gain_h=(gain_h, "(4H,)"),
        bias_h=(bias_h, "(4H,)"),
        gain_c=(gain_c, "(H,)"),
        bias_c=(bias_c, "(H,)"),
        h0=(h0, STATE),
        c0=(c0, STATE),
        z_h=(z_h, WEIGHT),
        z_c=(z_c, WEIGHT),
        mask=(mask, MASK),
    )
    parameters = gain_x, bias_x, gain_h, bias_h, gain_c, bias_c
    arrays = (a, W_hh, *parameters, h0, c0, z_h, z_c, steps_that_count(mask))
    return arrays, {"eps": check_eps("lstm_layernorm", eps)}


lstm_layernorm = fused_op("lstm_layernorm", forward, backward, prepare)
