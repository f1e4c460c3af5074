"""IndRNN: every unit has one recurrent weight of its own.

    s_t = a_t + u ∘ h_{t-1}        a_t = x_t W_ih + b comes from outside        (1)
    h_t = act(s_t)                 act: relu, tanh or identity                  (2)
    h_t = h_{t-1}                  at a padded step                             (3)

Backward, with g_t = ∂L/∂h_t (what comes from above at step t, plus the carry from step t+1):

    da_t = g_t ∘ act'(s_t), where act' is a function of h_t alone               (4)
    du   = Σ_t Σ_b da_t ∘ h_{t-1}                                               (5)
    carry to step t-1: da_t ∘ u    (g_t itself at a padded step, where da_t = 0)    (6)

Source: Li, Li, Cook, Zhu, Gao 2018, "Independently Recurrent Neural Network (IndRNN)",
arXiv:1803.04831v3; (1)-(2) are its definition of the cell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.fused import fused_op
from nnseq.tape import FLOATS

ACTIVATIONS = ("relu", "tanh", "identity")


class Saved(NamedTuple):
    """What backward reads; nobody writes to it."""

    h: Array  # (T, B, H)
    u: Array  # (H,)
    h0: Array  # (B, H)
    mask: Array | None  # (T, B) bool
    act: str
    step_clip: float


def forward(
    a: Array, u: Array, h0: Array, mask: Array | None, *, act: str, step_clip: float
) -> tuple[tuple[Array, Array], Saved]:
    """Run an IndRNN over a whole sequence, from its pre-activations.

    Args:
        a: (T, B, H) input part of the pre-activations, x @ W_ih + b.
        u: (H,) recurrent weights.
        h0: (B, H) initial state.
        mask: (T, B), zero at padded steps, or None. bool, integer or float.
        act: "relu", "tanh" or "identity".
        step_clip: clip da_t to [-step_clip, step_clip] at every step of the backward recurrence,
            before it travels on to step t-1, as the original's `grad_clipping` does. This is no
            longer the gradient of forward; 0 is off.

    Returns:
        h: (T, B, H) all states, and h_T: (B, H) the last one, h0 when T = 0. Saved for backward:
        h, u, h0, mask.

    Raises:
        ValueError, TypeError: shapes or dtypes that do not fit, an unknown act.
    """
    xp = array_module(a)
    activate = {"relu": lambda s: xp.maximum(s, 0), "tanh": xp.tanh, "identity": lambda s: s}[act]
    h = xp.empty_like(a, order="C")
    h_prev = h0
    for t in range(a.shape[0]):
        h_t = activate(a[t] + u * h_prev)  # (1), (2)
        if mask is not None:
            h_t = xp.where(mask[t][:, None], h_t, h_prev)  # (3)
        h[t] = h_t
        h_prev = h[t]
    return (h, h_prev.copy()), Saved(h, u, h0, mask, act, step_clip)


def backward(
    saved: Saved, dh: Array | None, dh_T: Array | None
) -> tuple[Array, Array, Array, None]:
    """Return da, du, dh0 (and None for the mask) from dh and dh_T, either of which may be None."""
    h, u, h0, mask, act, step_clip = saved
    xp = array_module(h)
    undo: Callable[[Array, Array], Array] = {  # (4), with act'(s_t) as a function of h_t
        "relu": lambda g_t, h_t: xp.where(h_t > 0, g_t, 0),
        "tanh": lambda g_t, h_t: g_t * (1 - h_t * h_t),
        "identity": lambda g_t, h_t: g_t,
    }[act]
    da = xp.empty_like(h)
    du = xp.zeros_like(h0)  # (B, H), summed over b at the end
    carry = xp.zeros_like(h0) if dh_T is None else dh_T
    for t in reversed(range(h.shape[0])):
        g_t = carry if dh is None else dh[t] + carry
        da_t = undo(g_t, h[t])  # (4)
        if step_clip > 0:
            da_t = xp.clip(da_t, -step_clip, step_clip)
        if mask is not None:
            da_t = xp.where(mask[t][:, None], da_t, 0)
        h_prev = h[t - 1] if t > 0 else h0
        du = du + da_t * h_prev  # (5)
        carry = da_t * u  # (6)
        if mask is not None:
            carry = xp.where(mask[t][:, None], carry, g_t)
        da[t] = da_t
    return da, du.sum(axis=0), carry.copy(), None


def prepare(
    a: Any, u: Any, h0: Any, mask: Any = None, *, act: str = "relu", step_clip: float = 0.0
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Refuse what does not fit; bring the mask to bool."""
    for name, array in (("a", a), ("u", u), ("h0", h0), ("mask", mask)):
        if not hasattr(array, "dtype") and not (name == "mask" and mask is None):
            raise TypeError(
                f"indrnn: {name} is a {type(array).__name__}, expected an array or a Tensor"
            )
    if np.ndim(a) != 3:
        raise ValueError(f"indrnn: a has shape {np.shape(a)}, expected (T, B, H)")
    T, B, H = a.shape
    for name, array, expected, meaning in (
        ("u", u, (H,), "(H,)"),
        ("h0", h0, (B, H), "(B, H)"),
        ("mask", mask, (T, B), "(T, B)"),
    ):
        if array is not None and np.shape(array) != expected:
            raise ValueError(
                f"indrnn: {name} has shape {np.shape(array)}, expected {meaning} = {expected} "
                f"because a has (T, B, H) = {a.shape}"
            )
    if a.dtype not in FLOATS or not a.dtype == u.dtype == h0.dtype:
        raise TypeError(
            f"indrnn: a, u, h0 have dtypes {a.dtype}, {u.dtype}, {h0.dtype}, expected one of "
            f"float32 and float64 for all three"
        )
    if act not in ACTIVATIONS:
        raise ValueError(f"indrnn: act is {act!r}, expected one of {', '.join(ACTIVATIONS)}")
    if not 0 <= step_clip < float("inf"):
        raise ValueError(f"indrnn: step_clip is {step_clip}, expected a finite number >= 0")
    valid = None if mask is None else mask if mask.dtype == bool else mask != 0
    return (a, u, h0, valid), {"act": act, "step_clip": float(step_clip)}


def inexact(*, act: str, step_clip: float) -> str:
    """Say why gradcheck must refuse these options, or return ""."""
    return f"step_clip = {step_clip} clips the gradient inside the recurrence" if step_clip else ""


indrnn = fused_op("indrnn", forward, backward, prepare, inexact)
