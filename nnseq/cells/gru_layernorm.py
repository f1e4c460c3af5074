"""GRU with layer normalisation; the reset gate acts after the recurrent product.

    LN(s; γ, β) = γ ∘ (s - ⟨s⟩) / √(⟨(s - ⟨s⟩)²⟩ + ε) + β      ⟨·⟩ over the units of one sequence

    [v_r v_z], v_n = LN([a_r a_z]), LN(a_n)      a_t = x_t W_ih comes from outside; γ_x, β_x   (1)
    [u_r u_z], u_n = LN([s_r s_z]), LN(s_n)      s = h_{t-1} W_hh; γ_h, β_h                    (2)
    r = σ(v_r + u_r),  z = σ(v_z + u_z)                                                        (3)
    n = tanh(v_n + r ∘ u_n)                                                                    (4)
    h̃ = (1 - z) ∘ n + z ∘ h_{t-1}                                                              (5)
    h_t = z_h ∘ h_{t-1} + (1 - z_h) ∘ h̃                                                        (6)
    h_t = h_{t-1}                                at a padded step, whatever a_t holds

The two gates are normalised together, over 2H units, the candidate by itself, over H. In the code γ
is gain, β is bias, with their parts for r, z, n side by side. (6) is zoneout.

Source: Ba, Kiros, Hinton 2016, "Layer Normalization", arXiv:1607.06450v1, the GRU of its
supplementary material, where the reset gate multiplies LN(h_{t-1} W_n) as here: the other order,
LN((r ∘ h_{t-1}) W_n), would not see a factor that all of r has in common. There z is the share of
n, here of h_{t-1}, as in nnseq.cells.gru: z and 1 - z change places. The paper has no ε. A bias in
a_t would be normalised with it: leave it out. Krueger et al. 2017, "Zoneout", arXiv:1606.01305v4.

This cell has no kernels: the reference is its one implementation.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nnseq.backend import Array, array_module
from nnseq.cells.arguments import MASK, STATE, WEIGHT, check_arrays, steps_that_count
from nnseq.cells.normalization import (
    Groups,
    check_eps,
    finite_where_it_counts,
    layer_norm,
    undo_layer_norm,
)
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
from nnseq.tape import sum_over


class Saved(NamedTuple):
    """What backward reads; nobody writes to it."""

    h: Array  # (T, B, H)
    rzn: list[Array]  # r, z, n: (T, B, H) each
    a_hat: tuple[Array, Array]  # of (1): normalised (T, B, 3H), and 1/√ (T, B, 2)
    u_hat: tuple[Array, Array]  # of (2)
    W_hh: Array  # (H, 3H)
    gain_x: Array  # (3H,)
    gain_h: Array  # (3H,)
    bias_h: Array  # (3H,)
    h0: Array  # (B, H)
    z_h: Array | None
    mask: Array | None  # (T, B) bool


def forward(
    a: Array,
    W_hh: Array,
    gain_x: Array,
    bias_x: Array,
    gain_h: Array,
    bias_h: Array,
    h0: Array,
    z_h: Array | None,
    mask: Array | None,
    *,
    eps: float,
) -> tuple[tuple[Array, Array], Saved]:
    """Run a layer-normalised GRU over a whole sequence, from the products with its inputs.

    Args:
        a: (T, B, 3H) x @ W_ih, in blocks r, z, n.
        W_hh: (H, 3H) recurrent weights, in the same blocks.
        gain_x, bias_x: (3H,) γ_x and β_x of (1).
        gain_h, bias_h: (3H,) γ_h and β_h of (2).
        h0: (B, H) initial state.
        z_h: (T | 1, B | 1, H) zoneout's weight of the old state in [0, 1], or None for 0: 1 keeps
            the old value. No gradient.
        mask: (T, B), zero at padded steps, or None. bool, integer or float.
        eps: ε above 0.

    Returns:
        h: (T, B, H) all states, and h_T: (B, H) the last one, h0 when T = 0. Saved for backward,
        read-only: h, r, z, n, what LN gives before γ and β, and the inputs but a.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit, eps not above 0.
    """
    xp = array_module(a)
    groups = gates_and_candidate(W_hh)
    a_hat, r_a = layer_norm(finite_where_it_counts(a, mask), groups, eps)
    v = gain_x * a_hat + bias_x  # (1)

    def step(t: int, v_t: Array, h_prev: Array) -> Any:
        u_hat, r_u = layer_norm(h_prev @ W_hh, groups, eps)
        u_r, u_z, u_n = blocks(gain_h * u_hat + bias_h, 3)  # (2)
        v_r, v_z, v_n = blocks(v_t, 3)
        r, z = sigmoid(v_r + u_r), sigmoid(v_z + u_z)  # (3)
        n = xp.tanh(v_n + r * u_n)  # (4)
        h_new = (1 - z) * n + z * h_prev  # (5)
        return [zoneout(z_h, t, h_prev, h_new)], [r, z, n, u_hat, r_u]  # (6)

    H = len(W_hh)
    (h,), (h_T,), kept = forward_in_time(step, [v], [h0], mask, [H, H, H, 3 * H, 2])
    rzn, (u_hat, r_u) = kept[:3], kept[3:]
    hats = (a_hat, r_a), (u_hat, r_u)
    return (h, h_T), Saved(h, rzn, *hats, W_hh, gain_x, gain_h, bias_h, h0, z_h, mask)


def backward(saved: Saved, dh: Array | None, dh_T: Array | None) -> tuple[Any, ...]:
    """Return a gradient for each input, in order: None for z_h and mask.

    Either doutput may be None.
    """
    h, rzn, (a_hat, r_a), (u_hat, r_u), W_hh, gain_x, gain_h, bias_h, h0, z_h, mask = saved
    xp = array_module(h)
    groups = gates_and_candidate(W_hh)

    def undo(t: int, dh_t: Array, h_prev: Array) -> Any:
        r, z, n = (gate[t] for gate in rzn)
        u_n = blocks(gain_h * u_hat[t] + bias_h, 3)[2]  # (2) again: cheaper than to keep
        dh_kept, dh_new = undo_zoneout(z_h, t, dh_t)  # (6)
        dz, dn = dh_new * (h_prev - n), dh_new * (1 - z)  # (5)
        dv_n = dn * (1 - n * n)  # (4)
        dr, du_n = dv_n * u_n, dv_n * r
        dv_r, dv_z = dr * r * (1 - r), dz * z * (1 - z)  # (3)
        dv = xp.concatenate([dv_r, dv_z, dv_n], axis=1)
        du = xp.concatenate([dv_r, dv_z, du_n], axis=1)
        ds = undo_layer_norm(du * gain_h, u_hat[t], r_u[t], groups)  # (2)
        return [dv, du, ds], [dh_kept + dh_new * z + ds @ W_hh.T]

    (dv, du, ds), (dh0,) = backward_in_time(
        undo, [h0], [h], [dh], [dh_T], mask, [W_hh.shape[1]] * 3
    )
    dgain_h, dbias_h = sum_over(du * u_hat, (0, 1)), sum_over(du, (0, 1))  # (2)
    dgain_x, dbias_x = sum_over(dv * a_hat, (0, 1)), sum_over(dv, (0, 1))  # (1)
    da = undo_layer_norm(dv * gain_x, a_hat, r_a, groups)
    dW_hh = over_steps(before(h0, h), ds)  # (2)
    return da, dW_hh, dgain_x, dbias_x, dgain_h, dbias_h, dh0, None, None


def gates_and_candidate(W_hh: Array) -> Groups:
    """Return the columns that are normalised together: r and z, and n."""
    H = len(W_hh)
    return slice(0, 2 * H), slice(2 * H, 3 * H)


def prepare(
    a: Any,
    W_hh: Any,
    gain_x: Any,
    bias_x: Any,
    gain_h: Any,
    bias_h: Any,
    h0: Any,
    z_h: Any = None,
    mask: Any = None,
    *,
    eps: float = 1e-5,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Refuse what does not fit; bring the mask to bool."""
    check_arrays(
        "gru_layernorm",
        a=(a, "(T, B, 3H)"),
        W_hh=(W_hh, "(H, 3H)"),
        gain_x=(gain_x, "(3H,)"),
        bias_x=(bias_x, "(3H,)"),
        gain_h=(gain_h, "(3H,)"),
        bias_h=(bias_h, "(3H,)"),
        h0=(h0, STATE),
        z_h=(z_h, WEIGHT),
        mask=(mask, MASK),
    )
    arrays = (a, W_hh, gain_x, bias_x, gain_h, bias_h, h0, z_h, steps_that_count(mask))
    return arrays, {"eps": check_eps("gru_layernorm", eps)}


gru_layernorm = fused_op("gru_layernorm", forward, backward, prepare)
