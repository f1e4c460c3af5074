"""The time loop of the recurrent cells, written once: a cell supplies its step and the undoing.

    s_t = step(x_t, s_{t-1})          at a step that counts                       (1)
    s_t = s_{t-1}                     at a padded step, whatever x_t holds        (2)

Backward, from the last step to the first, with g_t = ∂L/∂s_t (what comes from above at step t,
plus the carry from step t+1):

    dx_t, carry = undo(g_t)           at a step that counts                       (3)
    dx_t, carry = 0, g_t              at a padded step                            (4)

s stands for all the states of the cell (h, or h and c), x for all that it reads step by step.
Here too is what several cells share within a step: zoneout, the sigmoid, sums over all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnseq.backend import Array, array_module
from nnseq.products import product

Arrays = Sequence[Array]


def forward_in_time(
    step: Callable[..., tuple[Arrays, Arrays]],
    xs: Arrays,
    initial: Arrays,
    mask: Array | None,
    keep: Sequence[int],
) -> tuple[list[Array], list[Array], list[Array]]:
    """Run (1) and (2) over a sequence.

    Args:
        step: step(t, *x_t, *s_{t-1}) -> (s_t, kept): the new states, and what backward will need
            of this step.
        xs: (T, B, ·) each; read as 0 at padded steps.
        initial: (B, ·) each, the states before the first step.
        mask: (T, B) bool, False at padded steps; or None.
        keep: the width of each array that step keeps.

    Returns:
        Three lists: (T, B, ·) all values of each state, (B, ·) its last value, and (T, B, width)
        of each array kept.
    """
    xp = array_module(xs[0])
    T, B = xs[0].shape[:2]
    states = [xp.empty((T, *s.shape), s.dtype) for s in initial]
    kept = [xp.empty((T, B, width), xs[0].dtype) for width in keep]
    s_prev = list(initial)
    for t in range(T):
        valid = None if mask is None else mask[t][:, None]
        x_t = [x[t] if valid is None else xp.where(valid, x[t], 0) for x in xs]
        s_t, kept_t = step(t, *x_t, *s_prev)
        for k, (new, old) in enumerate(zip(s_t, s_prev, strict=True)):
            states[k][t] = new if valid is None else xp.where(valid, new, old)  # (1), (2)
        for all_t, one in zip(kept, kept_t, strict=True):
            all_t[t] = one
        s_prev = [s[t] for s in states]
    return states, [s.copy() for s in s_prev], kept


def backward_in_time(
    undo: Callable[..., tuple[Arrays, Arrays]],
    initial: Arrays,
    states: Arrays,
    dstates: Sequence[Array | None],
    dlast: Sequence[Array | None],
    mask: Array | None,
    widths: Sequence[int],
) -> tuple[list[Array], list[Array]]:
    """Run (3) and (4) from the last step to the first.

    Args:
        undo: undo(t, *g_t, *s_{t-1}) -> (dx_t, carry): the gradients that step t sends to what it
            reads, and to the states before it. It writes to neither. Where g_t is 0 so are they.
        initial, states, mask: as given to and returned by forward_in_time.
        dstates: (T, B, ·) each or None, gradients of the states at all steps.
        dlast: (B, ·) each or None, gradients of the last states.
        widths: of each dx_t.

    Returns:
        Two lists: (T, B, width) of every dx, and (B, ·) the gradients of the initial states.
    """
    xp = array_module(states[0])
    T, B = states[0].shape[:2]
    dxs = [xp.empty((T, B, width), states[0].dtype) for width in widths]
    carry: Arrays = [
        xp.zeros_like(s) if d is None else d for s, d in zip(initial, dlast, strict=True)
    ]
    for t in reversed(range(T)):
        s_prev = [s[t - 1] for s in states] if t > 0 else initial
        g_t = [g if d is None else d[t] + g for d, g in zip(dstates, carry, strict=True)]
        if mask is None:
            dx_t, carry = undo(t, *g_t, *s_prev)  # (3)
        else:
            valid = mask[t][:, None]
            dx_t, below = undo(t, *(xp.where(valid, g, 0) for g in g_t), *s_prev)
            carry = [xp.where(valid, d, g) for d, g in zip(below, g_t, strict=True)]  # (4)
        for dx, one in zip(dxs, dx_t, strict=True):
            dx[t] = one
    return dxs, [xp.array(d, order="C") for d in carry]


def zoneout(z: Array | None, t: int, old: Array, new: Array) -> Array:
    """Return z_t ∘ old + (1 - z_t) ∘ new, the state where z keeps a part of the old value.

    Krueger et al. 2017, "Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations".

    Args:
        z: (T | 1, B | 1, H) weight of the old value in [0, 1]: 0 or 1 in training, the
            probability of 1 at evaluation. None: 0.
        t: the step.
        old, new: (B, H).
    """
    if z is None:
        return new
    z_t = z[t % len(z)]
    return z_t * old + (1 - z_t) * new


def undo_zoneout(z: Array | None, t: int, ds: Array) -> tuple[Any, Array]:
    """Return the gradients of old and new from ds, that of the state."""
    if z is None:
        return 0.0, ds
    z_t = z[t % len(z)]
    return z_t * ds, (1 - z_t) * ds


def weight_at(d: Array | None, t: int) -> Any:
    """Return the weight d (T | 1, B | 1, H) at step t; 1 for None."""
    return 1.0 if d is None else d[t % len(d)]


def sigmoid(s: Array) -> Array:
    """Return σ(s) = ½ + ½ tanh(s / 2), which overflows nowhere."""
    return 0.5 + 0.5 * array_module(s).tanh(0.5 * s)


def blocks(q: Array, number: int) -> list[Array]:
    """Return views of q (..., number · H), each (..., H)."""
    H = q.shape[-1] // number
    return [q[..., k * H : (k + 1) * H] for k in range(number)]


def before(initial: Array, states: Array) -> Array:
    """Return s_{t-1} for all t: (T, B, ·), of initial (B, ·) and states (T, B, ·)."""
    return array_module(states).concatenate([initial[None], states])[: len(states)]


def over_steps(x: Array, dy: Array) -> Array:
    """Return Σ_t x_tᵀ dy_t (K, N), of x (T, B, K) and dy (T, B, N): the gradient of W in x_t W."""
    T, B, K = x.shape
    return product(x.reshape(T * B, K).T, dy.reshape(T * B, dy.shape[2]))
