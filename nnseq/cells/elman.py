"""Elman's recurrent network: one matrix from the state to itself.

    h̃_t = act(a_t + h_{t-1} W_hh)          a_t = x_t W_ih + b comes from outside      (1)
    h_t = z_h ∘ h_{t-1} + (1 - z_h) ∘ h̃_t                                             (2)
    h_t = h_{t-1}                          at a padded step, whatever a_t holds

(2) is zoneout. With act = relu and W_hh = I at the start it is the IRNN.

Sources: Elman 1990, "Finding Structure in Time"; Le, Jaitly, Hinton 2015, "A Simple Way to
Initialize Recurrent Networks of Rectified Linear Units", arXiv:1504.00941v2; Krueger et al. 2017,
"Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations", arXiv:1606.01305v4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from nnseq.backend import Array, array_module
from nnseq.cells.arguments import MASK, STATE, WEIGHT, check_arrays, steps_that_count
from nnseq.cells.recurrence import (
    backward_in_time,
    before,
    forward_in_time,
    over_steps,
    undo_zoneout,
    zoneout,
)
from nnseq.fused import fused_op

ACTIVATIONS = ("tanh", "relu", "identity")


class Saved(NamedTuple):
    """What backward reads; nobody writes to it."""

    h: Array  # (T, B, H)
    h_new: Array  # (T, B, H) of (1); h itself without zoneout
    W_hh: Array  # (H, H)
    h0: Array  # (B, H)
    z_h: Array | None
    mask: Array | None  # (T, B) bool
    act: str


def forward(
    a: Array, W_hh: Array, h0: Array, z_h: Array | None, mask: Array | None, *, act: str
) -> tuple[tuple[Array, Array], Saved]:
    """Run an Elman network over a whole sequence, from its pre-activations.

    Args:
        a: (T, B, H) input part of the pre-activations, x @ W_ih + b.
        W_hh: (H, H) recurrent weights.
        h0: (B, H) initial state.
        z_h: (T | 1, B | 1, H) zoneout's weight of the old state in [0, 1], or None for 0: 1 keeps
            the old value. Gets no gradient.
        mask: (T, B), zero at padded steps, or None. bool, integer or float.
        act: "tanh", "relu" or "identity".

    Returns:
        h: (T, B, H) all states, and h_T: (B, H) the last one, h0 when T = 0. Saved for backward,
        read-only: h, W_hh, h0, z_h, mask and, with zoneout, h̃.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit, an unknown act.
    """
    xp = array_module(a)
    activate = {"tanh": xp.tanh, "relu": lambda s: xp.maximum(s, 0), "identity": lambda s: s}[act]

    def step(t: int, a_t: Array, h_prev: Array) -> Any:
        h_new = activate(a_t + h_prev @ W_hh)  # (1)
        h_t = zoneout(z_h, t, h_prev, h_new)  # (2)
        return [h_t], [] if z_h is None else [h_new]

    keep = [] if z_h is None else [len(W_hh)]
    (h,), (h_T,), kept = forward_in_time(step, [a], [h0], mask, keep)
    return (h, h_T), Saved(h, kept[0] if kept else h, W_hh, h0, z_h, mask, act)


def backward(saved: Saved, dh: Array | None, dh_T: Array | None) -> tuple[Any, ...]:
    """Return da, dW_hh, dh0, None, None from dh and dh_T, either of which may be None."""
    h, h_new, W_hh, h0, z_h, mask, act = saved
    xp = array_module(h)
    undo_act: Callable[[Array, Array], Array] = {  # act' as a function of h̃
        "tanh": lambda d, h_new: d * (1 - h_new * h_new),
        "relu": lambda d, h_new: xp.where(h_new > 0, d, 0),
        "identity": lambda d, h_new: d,
    }[act]

    def undo(t: int, dh_t: Array, h_prev: Array) -> Any:
        dh_prev, dh_new = undo_zoneout(z_h, t, dh_t)  # (2)
        da_t = undo_act(dh_new, h_new[t])  # (1)
        return [da_t], [dh_prev + da_t @ W_hh.T]

    (da,), (dh0,) = backward_in_time(undo, [h0], [h], [dh], [dh_T], mask, [len(W_hh)])
    dW_hh = over_steps(before(h0, h), da)  # (1)
    return da, dW_hh, dh0, None, None


def prepare(
    a: Any, W_hh: Any, h0: Any, z_h: Any = None, mask: Any = None, *, act: str = "tanh"
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Refuse what does not fit; bring the mask to bool."""
    check_arrays(
        "elman",
        a=(a, "(T, B, H)"),
        W_hh=(W_hh, "(H, H)"),
        h0=(h0, STATE),
        z_h=(z_h, WEIGHT),
        mask=(mask, MASK),
    )
    if act not in ACTIVATIONS:
        raise ValueError(f"elman: act is {act!r}, expected one of {', '.join(ACTIVATIONS)}")
    return (a, W_hh, h0, z_h, steps_that_count(mask)), {"act": act}


elman = fused_op("elman", forward, backward, prepare)
