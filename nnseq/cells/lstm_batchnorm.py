"""LSTM with recurrent batch normalisation: every step is normalised with its own statistics.

    BN(s; γ) = γ ∘ (s - m) / √(v + ε)       m, v (·,): of this step, for every unit

    x̂_t = BN(a_t; γ_x)                      a_t = x_t W_ih comes from outside              (1)
    û_t = BN(h_{t-1} W_hh; γ_h)             with statistics of its own                     (2)
    q_i, q_f, q_g, q_o = û_t + x̂_t + b                                                     (3)
    i = σ(q_i),  f = σ(q_f),  g = tanh q_g,  o = σ(q_o),  c̃ = f ∘ c_{t-1} + i ∘ g           (4)
    y = BN(c̃; γ_c) + β_c                    c̃ itself recurs as it is                       (5)
    h̃ = o ∘ tanh y                                                                         (6)
    c_t = z_c ∘ c_{t-1} + (1 - z_c) ∘ c̃                                                    (7)
    h_t = z_h ∘ h_{t-1} + (1 - z_h) ∘ h̃                                                    (8)
    h_t = h_{t-1}, c_t = c_{t-1}            at a padded step, whatever a_t holds

In training m and v are the average and the variance (divided by n) over the n sequences for which
step t counts, and functions of all of them: gradients flow through. Where n = 1, v = 0 and BN gives
0 (+ β_c) whatever s is: only b is left of (3). In evaluation m and v are inputs. (7) and (8) are
zoneout; h̃ is made of c̃, the cell before zoneout.

Source: Cooijmans, Ballas, Laurent, Gülçehre, Courville 2017, "Recurrent batch normalization",
arXiv:1603.09025v5: (1)-(6), with β_h = β_x = 0, since b is there. A bias in a_t would change
nothing: leave it out. The blocks are i, f, g, o as everywhere here; the paper writes f, i, o, g,
its authors' code g, f, i, o. Krueger et al. 2017, "Zoneout", arXiv:1606.01305v4.

This cell has no kernels: the reference is its one implementation.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nnseq.backend import Array, array_module
from nnseq.cells.arguments import MASK, STATE, WEIGHT, check_arrays, steps_that_count
from nnseq.cells.lstm_gates import gates, undo_gates
from nnseq.cells.normalization import (
    batch_statistics,
    batch_weights,
    check_eps,
    finite_where_it_counts,
    standardised,
    undo_standardised,
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

STATISTICS = "(T, 9H) or None"


class Saved(NamedTuple):
    """What backward reads; nobody writes to it."""

    h: Array  # (T, B, H)
    c: Array  # (T, B, H)
    ifgo: list[Array]  # i, f, g, o: (T, B, H) each
    a_hat: Array  # (T, B, 4H) of (1), before γ
    u_hat: Array  # (T, B, 4H) of (2), before γ
    c_hat: Array  # (T, B, H) of (5), before γ and β
    var: Array  # (T, 9H)
    w: Array | None  # (T, B | 1, 1) of the averages; None in evaluation
    W_hh: Array  # (H, 4H)
    gamma_x: Array  # (4H,)
    gamma_h: Array  # (4H,)
    gamma_c: Array  # (H,)
    beta_c: Array  # (H,)
    h0: Array  # (B, H)
    c0: Array  # (B, H)
    z_h: Array | None
    z_c: Array | None
    mask: Array | None  # (T, B) bool
    eps: float


def forward(
    a: Array,
    W_hh: Array,
    b: Array,
    gamma_x: Array,
    gamma_h: Array,
    gamma_c: Array,
    beta_c: Array,
    h0: Array,
    c0: Array,
    z_h: Array | None,
    z_c: Array | None,
    mask: Array | None,
    mean: Array | None,
    var: Array | None,
    *,
    eps: float,
) -> tuple[tuple[Array, ...], Saved]:
    """Run a batch-normalised LSTM over a whole sequence, from the products with its inputs.

    Args:
        a: (T, B, 4H) x @ W_ih, in blocks i, f, g, o.
        W_hh: (H, 4H) recurrent weights, in the same blocks.
        b: (4H,) of (3).
        gamma_x, gamma_h: (4H,); gamma_c, beta_c: (H,).
        h0, c0: (B, H) initial states.
        z_h, z_c: (T | 1, B | 1, H) zoneout's weights of the old states in [0, 1], or None for 0:
            1 keeps the old value. No gradient.
        mask: (T, B), zero at padded steps, or None. bool, integer or float.
        mean, var: (T, 9H) population statistics, for evaluation: of a in columns 0 to 4H, of
            h_{t-1} W_hh in 4H to 8H, of c̃ in 8H to 9H. Or None: those of the batch, in training.
            No gradient.
        eps: ε above 0.

    Returns:
        h, c: (T, B, H) all states; h_T, c_T: (B, H) the last ones, h0 and c0 when T = 0.
        mean, var: (T, 9H) the statistics used; 0 at a step that counts for no sequence. They have
            no gradient, and backward refuses to receive one.
        Saved for backward, read-only: h, c, i, f, g, o, what BN gives before γ and β, var, and the
        inputs but a, b and mean.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit, eps not above 0, only one of mean
            and var.
    """
    xp = array_module(a)
    H, T = len(W_hh), len(a)
    a = finite_where_it_counts(a, mask)
    w = batch_weights(mask, a) if mean is None else None
    if mean is None or var is None:
        mean, var = xp.empty((T, 9 * H), a.dtype), xp.empty((T, 9 * H), a.dtype)
        mean[:, : 4 * H], var[:, : 4 * H] = batch_statistics(a, w)
    (_, m_h, m_c), (v_x, v_h, v_c) = parts(mean), parts(var)  # views
    a_hat = standardised(a, mean[:, : 4 * H], v_x, eps)

    def step(t: int, x_t: Array, h_prev: Array, c_prev: Array) -> Any:
        s = h_prev @ W_hh
        if w is not None:
            m_h[t], v_h[t] = batch_statistics(s, w[t])
        u_hat = standardised(s, m_h[t], v_h[t], eps)
        q = gamma_h * u_hat + x_t  # (2), (3)
        i, f, g, o, c_new = gates(q, c_prev)  # (4)
        if w is not None:
            m_c[t], v_c[t] = batch_statistics(c_new, w[t])
        c_hat = standardised(c_new, m_c[t], v_c[t], eps)
        h_new = o * xp.tanh(gamma_c * c_hat + beta_c)  # (5), (6)
        c_t = zoneout(z_c, t, c_prev, c_new)  # (7)
        h_t = zoneout(z_h, t, h_prev, h_new)  # (8)
        return [h_t, c_t], [i, f, g, o, u_hat, c_hat]

    xs, keep = [gamma_x * a_hat + b], [H, H, H, H, 4 * H, H]  # (1)
    (h, c), (h_T, c_T), kept = forward_in_time(step, xs, [h0, c0], mask, keep)
    ifgo, (u_hat, c_hat) = kept[:4], kept[4:]
    gammas = gamma_x, gamma_h, gamma_c
    saved = Saved(
        h, c, ifgo, a_hat, u_hat, c_hat, var, w, W_hh, *gammas, beta_c, h0, c0, z_h, z_c, mask, eps
    )
    return (h, c, h_T, c_T, mean, var), saved


def backward(
    saved: Saved,
    dh: Array | None,
    dc: Array | None,
    dh_T: Array | None,
    dc_T: Array | None,
    dmean: Array | None = None,
    dvar: Array | None = None,
) -> tuple[Any, ...]:
    """Return a gradient for each input, in order: None for z_h, z_c, mask, mean and var.

    Any of dh, dc, dh_T, dc_T may be None.

    Raises:
        NotImplementedError: dmean or dvar is not None.
    """
    h, c, ifgo, a_hat, u_hat, c_hat, var, w, W_hh, *rest = saved
    gamma_x, gamma_h, gamma_c, beta_c, h0, c0, z_h, z_c, mask, eps = rest
    if dmean is not None or dvar is not None:
        raise NotImplementedError(
            "lstm_batchnorm: a gradient came for the outputs mean and var, which have none: they "
            "are for running averages; use their .data"
        )
    xp = array_module(h)
    v_x, v_h, v_c = parts(var)

    def undo(t: int, dh_t: Array, dc_t: Array, h_prev: Array, c_prev: Array) -> Any:
        now = [gate[t] for gate in ifgo]
        w_t = None if w is None else w[t]
        dh_kept, dh_new = undo_zoneout(z_h, t, dh_t)  # (8)
        dc_kept, dc_new = undo_zoneout(z_c, t, dc_t)  # (7)
        tanh_y = xp.tanh(gamma_c * c_hat[t] + beta_c)
        do, dy = dh_new * tanh_y, dh_new * now[3] * (1 - tanh_y * tanh_y)  # (6)
        dc_new = dc_new + undo_standardised(dy * gamma_c, c_hat[t], v_c[t], w_t, eps)  # (5)
        dq, dc_below = undo_gates(do, dc_new, now, c_prev)  # (4)
        ds = undo_standardised(dq * gamma_h, u_hat[t], v_h[t], w_t, eps)  # (3), (2)
        return [dq, ds, dy], [dh_kept + ds @ W_hh.T, dc_kept + dc_below]

    H = len(W_hh)
    (dq, ds, dy), (dh0, dc0) = backward_in_time(
        undo, [h0, c0], [h, c], [dh, dc], [dh_T, dc_T], mask, [4 * H, 4 * H, H]
    )
    dgamma_c, dbeta_c = sum_over(dy * c_hat, (0, 1)), sum_over(dy, (0, 1))  # (5)
    db = sum_over(dq, (0, 1))  # (3)
    dgamma_h = sum_over(dq * u_hat, (0, 1))  # (2)
    dW_hh = over_steps(before(h0, h), ds)
    dgamma_x = sum_over(dq * a_hat, (0, 1))  # (1)
    da = undo_standardised(dq * gamma_x, a_hat, v_x, w, eps)
    dgammas = dgamma_x, dgamma_h, dgamma_c
    return da, dW_hh, db, *dgammas, dbeta_c, dh0, dc0, None, None, None, None, None


def parts(statistics: Array) -> tuple[Array, Array, Array]:
    """Return views of (T, 9H): of a and of h_{t-1} W_hh (T, 4H) each, of c̃ (T, H)."""
    H = statistics.shape[1] // 9
    return statistics[:, : 4 * H], statistics[:, 4 * H : 8 * H], statistics[:, 8 * H :]


def prepare(
    a: Any,
    W_hh: Any,
    b: Any,
    gamma_x: Any,
    gamma_h: Any,
    gamma_c: Any,
    beta_c: Any,
    h0: Any,
    c0: Any,
    z_h: Any = None,
    z_c: Any = None,
    mask: Any = None,
    mean: Any = None,
    var: Any = None,
    *,
    eps: float = 1e-5,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Refuse what does not fit; bring the mask to bool."""
    check_arrays(
        "lstm_batchnorm",
        a=(a, "(T, B, 4H)"),
        W_hh=(W_hh, "(H, 4H)"),
        b=(b, "(4H,)"),
        gamma_x=(gamma_x, "(4H,)"),
        gamma_h=(gamma_h, "(4H,)"),
        gamma_c=(gamma_c, "(H,)"),
        beta_c=(beta_c, "(H,)"),
        h0=(h0, STATE),
        c0=(c0, STATE),
        z_h=(z_h, WEIGHT),
        z_c=(z_c, WEIGHT),
        mask=(mask, MASK),
        mean=(mean, STATISTICS),
        var=(var, STATISTICS),
    )
    if (mean is None) != (var is None):
        raise ValueError(
            "lstm_batchnorm: got only one of mean and var, expected both for evaluation, or "
            "neither for training with the batch's own"
        )
    parameters = b, gamma_x, gamma_h, gamma_c, beta_c
    arrays = (a, W_hh, *parameters, h0, c0, z_h, z_c, steps_that_count(mask), mean, var)
    return arrays, {"eps": check_eps("lstm_batchnorm", eps)}


lstm_batchnorm = fused_op("lstm_batchnorm", forward, backward, prepare)
