"""Orthogonality: weight matrices near a multiple of one with orthonormal columns."""

from __future__ import annotations

from typing import Any

from nnseq.backend import array_module
from nnseq.nn.arguments import check_choice, check_float
from nnseq.ops.arguments import float_array
from nnseq.ops.elementwise import abs as absolute
from nnseq.ops.reductions import mean


def orthogonality_penalty(W: Any, coef: float, *, norm: str = "l2", scale: float = 1.05) -> Any:
    """Penalise the distance of WᵀW from scale² I.

        E = WᵀW - scale² I                                                      (1)
        coef · mean |E_ij|      norm = "l1"                                     (2)
        coef · mean E_ij²       norm = "l2"                                     (3)

    At 0, and only there, W is scale times a matrix with orthonormal columns: W x is scale times as
    long as x.

    Args:
        W: (n, m) array or Tensor, n ≥ m: more than n columns cannot be orthogonal. Of W_hh of
            several gates give the blocks, W[:, :H] and so on, and add.
        coef: the weight of the penalty, at least 0.
        norm: "l1" or "l2".
        scale: above 0.

    Returns:
        the penalty, a single number.

    Raises:
        ValueError, TypeError: out of range, or W is no such matrix.
    """
    who = "orthogonality_penalty"
    coef = check_float(who, "coef", coef, 0.0)
    scale = check_float(who, "scale", scale, 0.0, open_low=True)
    check_choice(who, "norm", norm, ("l1", "l2"))
    a = float_array(who, "W", W)
    if a.ndim != 2 or not a.shape[0] >= a.shape[1] >= 1:
        raise ValueError(
            f"{who}: W has shape {a.shape}, expected a matrix with no more columns than rows; "
            f"give its square blocks one by one, or W.T"
        )
    E = W.T @ W - array_module(a).eye(a.shape[1], dtype=a.dtype) * scale**2  # (1)
    return mean(absolute(E) if norm == "l1" else E * E) * coef  # (2), (3)
