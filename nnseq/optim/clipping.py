"""Clipping of parameter gradients, after backward and before the optimiser's step.

A gradient array is read-only, since it may share memory: clipping puts a new array in its place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from nnseq.backend import array_module
from nnseq.tensor import Tensor


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients together so that their joint norm is at most max_norm.

        N = √(Σ_θ Σ_i dθ_i²)                                                    (1)
        dθ ← dθ max_norm / N        where N > max_norm                          (2)

    Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks",
    arXiv:1211.5063v2, Algorithm 1.

    Args:
        parameters: those without a gradient do not count.
        max_norm: above 0.

    Returns:
        N before clipping, summed in float64.

    Raises:
        ValueError: max_norm is not above 0, or N is not finite: there is nothing sensible to scale.
    """
    _check_limit("clip_grad_norm", "max_norm", max_norm)
    reached = [x for x in parameters if x.grad is not None]
    squares = [array_module(x.grad).square(x.grad, dtype=np.float64).sum() for x in reached]
    norm = math.sqrt(float(sum(squares)))
    if not math.isfinite(norm):
        raise ValueError(
            f"clip_grad_norm: the norm of the gradients is {norm}; find the first "
            f"non-finite gradient, and lower lr"
        )
    if norm > max_norm:
        for x in reached:
            x.grad = x.grad * (float(max_norm) / norm)  # a NumPy scalar is float64
    return norm


def clip_grad_value(parameters: Iterable[Tensor], max_value: float) -> None:
    """Clip every entry of every gradient to [-max_value, max_value]; nan stays nan.

    Raises:
        ValueError: max_value is not above 0.
    """
    _check_limit("clip_grad_value", "max_value", max_value)
    limit = float(max_value)  # a NumPy scalar is float64
    for x in parameters:
        if x.grad is not None:
            x.grad = array_module(x.grad).clip(x.grad, -limit, limit)


def _check_limit(who: str, name: str, limit: float) -> None:
    if not limit > 0:
        raise ValueError(
            f"{who}: {name} is {limit}, expected a number above 0; to clip nothing, do not call it"
        )
