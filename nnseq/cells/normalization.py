"""Normalisation inside a recurrence: batch norm of one step, layer norm, and their undoing.

    m = Σ w x,   v = Σ w (x - m)²      weighted averages along one axis, Σ w = 1          (1)
    x̂ = r (x - m),   r = 1 / √(v + ε)                                                     (2)

With g = ∂L/∂x̂ (sums along the same axis; w = 0 where m and v are given from outside):

    dx = r (g - w Σ g - w x̂ Σ g ∘ x̂)                                                      (3)

Batch norm averages over those sequences that count at a step, layer norm over units. Where a single
entry is averaged, v = 0: then x̂ = 0 whatever x is, and dx = 0.

Gain and bias are left to the cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnseq.backend import Array, array_module
from nnseq.cells.arguments import check_number

Groups = Sequence[slice]  # columns that layer norm normalises together


def batch_weights(mask: Array | None, like: Array) -> Any:
    """Return w of (1) over the sequences of each step: 1/B, or mask/n with a last axis of 1.

    Args:
        mask: (T, B) bool, or None. Where no sequence counts, w = 0.
        like: (T, B, ·), for the dtype.

    Returns:
        (T, 1, 1) or (T, B, 1).
    """
    xp = array_module(like)
    T, B = like.shape[:2]
    if mask is None:
        return xp.full((T, 1, 1), 1 / max(B, 1), like.dtype)
    n = xp.maximum(mask.sum(axis=1, keepdims=True), 1)
    return (mask / n)[:, :, None].astype(like.dtype)


def batch_statistics(x: Array, w: Array) -> tuple[Array, Array]:
    """Return (1) over the axis of the sequences, which is dropped: (B, N) → m and v (N,)."""
    m = (w * x).sum(axis=-2)
    centered = x - m[..., None, :]
    return m, (w * centered * centered).sum(axis=-2)


def standardised(x: Array, m: Array, v: Array, eps: float) -> Array:
    """Return (2) for m and v without the axis of the sequences."""
    return (x - m[..., None, :]) * ((v + eps) ** -0.5)[..., None, :]


def undo_standardised(dx_hat: Array, x_hat: Array, v: Array, w: Array | None, eps: float) -> Array:
    """Return (3); w is None where m and v are no functions of x."""
    r = ((v + eps) ** -0.5)[..., None, :]
    if w is None:
        return r * dx_hat
    total = dx_hat.sum(axis=-2, keepdims=True)
    along = (dx_hat * x_hat).sum(axis=-2, keepdims=True)
    return r * (dx_hat - w * (total + x_hat * along))


def layer_norm(x: Array, groups: Groups, eps: float) -> tuple[Array, Array]:
    """Return x̂ of (2) with averages over each group of units, and r.

    Args:
        x: (..., N).
        groups: slices of the last axis that cover it without overlap.
        eps: ε.

    Returns:
        x̂ (..., N); r (..., number of groups).
    """
    xp = array_module(x)
    x_hats, rs = [], []
    for group in groups:
        part = x[..., group]
        centered = part - _mean(part)
        r = (_mean(centered * centered) + eps) ** -0.5
        x_hats.append(centered * r)
        rs.append(r)
    return xp.concatenate(x_hats, axis=-1), xp.concatenate(rs, axis=-1)


def undo_layer_norm(dx_hat: Array, x_hat: Array, r: Array, groups: Groups) -> Array:
    """Return (3) with w = 1 / units of the group."""
    parts = []
    for k, group in enumerate(groups):
        g, hat = dx_hat[..., group], x_hat[..., group]
        parts.append(r[..., k : k + 1] * (g - _mean(g) - hat * _mean(g * hat)))
    return array_module(x_hat).concatenate(parts, axis=-1)


def finite_where_it_counts(x: Array, mask: Array | None) -> Array:
    """Return x (T, B, ·) with 0 at padded steps, where it may hold anything; x itself unmasked."""
    return x if mask is None else array_module(x).where(mask[:, :, None], x, 0)


def check_eps(op: str, eps: Any) -> float:
    """Return eps as a float.

    Raises:
        ValueError, TypeError: it is not a finite number above 0.
    """
    number = check_number(op, "eps", eps)
    if number <= 0:
        raise ValueError(f"{op}: eps is {eps}, expected a finite number > 0")
    return number


def _mean(x: Array) -> Array:
    return x.mean(axis=-1, keepdims=True)
