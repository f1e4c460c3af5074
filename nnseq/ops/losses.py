"""Losses in nats per position: cross-entropy, binary cross-entropy with logits, squared error.

Every loss takes weights (a padding mask is the usual case) and a reduction:

    "none": l_n        "sum": Σ w_n l_n        "mean": Σ w_n l_n / Σ w_n           (1)

With "none", l_n is multiplied by w_n. Weights may lack the last axes of l: a padding mask (T, B)
stands for all D losses (T, B, D) of a step, and counts D times in Σ w_n.
"""

from __future__ import annotations

import math
from typing import Any

from nnseq.backend import Array, array_module
from nnseq.operators import Sum
from nnseq.ops.activations import sigmoid
from nnseq.ops.arguments import data_of, expect_shape, float_array, integer_array
from nnseq.ops.elementwise import exp
from nnseq.tape import Node, Op

REDUCTIONS = ("mean", "sum", "none")


class CrossEntropy(Op):
    """Loss and, as a second output for backward, log p."""

    takes_none = True

    def forward(self, a: Array, *, target: Array) -> tuple[Array, Array]:
        xp = array_module(a)
        log_p = a - a.max(axis=-1, keepdims=True)
        log_p -= xp.log(xp.exp(log_p).sum(axis=-1, keepdims=True))
        self.save(log_p)
        self.target = target
        return -xp.take_along_axis(log_p, target[..., None], -1)[..., 0], log_p

    def backward(self, dloss: Any, dlog_p: Any) -> Any:
        (log_p,) = self.saved
        da = None
        if dloss is not None:
            da = CrossEntropyGrad.apply(log_p, dloss, target=self.target)
        if dlog_p is not None:  # only in second derivatives
            through = dlog_p - exp(log_p) * dlog_p.sum(axis=-1, keepdims=True)
            da = through if da is None else da + through
        return da


class CrossEntropyGrad(Op):
    """c ∘ (p - onehot(target)), without an array for the one-hot part."""

    def forward(self, log_p: Array, c: Array, *, target: Array) -> Array:
        xp = array_module(log_p)
        self.save(log_p, c)
        self.target = target
        da = xp.ascontiguousarray(xp.exp(log_p))  # so that rows, below, is a view
        da *= c[..., None]
        rows = da.reshape(math.prod(target.shape), da.shape[-1])
        rows[xp.arange(target.size), target.ravel()] -= c.ravel()
        return da

    def backward(self, dda: Any) -> Any:
        log_p, c = self.saved
        p_dda = exp(log_p) * dda
        chosen = take_target(dda, self.target)
        return p_dda * c.reshape(*c.shape, 1), p_dda.sum(axis=-1) - chosen


def cross_entropy(a: Any, target: Any, *, weights: Any = None, reduction: str = "mean") -> Any:
    """Compute the negative log-likelihood of integer targets under softmax(a), in nats.

        l_n = log Σ_v exp(a_nv) - a_n,target                                    (2)

    with the maximum of a_n taken out first. Its gradient is p - onehot(target).

    Args:
        a: (..., V) logits.
        target: (...) integers in [0, V), also where the weight is 0.
        weights: (...) or its first axes, for example a padding mask (T, B): bool, integers or
            floats; None: all 1. A Tensor of weights may have a gradient.
        reduction: "mean", "sum" or "none", see (1).

    Returns:
        () or, with "none", (...). Saved for backward, read-only: log p, (..., V).

    Raises:
        ValueError: shapes do not fit, a target is out of range, V is 0, the mean has no weight, or
            another reduction.
        TypeError: a is not float32 or float64, or targets are not integers.
    """
    logits = float_array("cross_entropy", "a", a)
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(f"cross_entropy: a has shape {logits.shape}, expected (..., V) with V > 0")
    target = integer_array("cross_entropy", "target", target, 0, logits.shape[-1], logits)
    expect_shape("cross_entropy", "target", target, logits.shape[:-1], f"a has {logits.shape}")
    loss, _ = CrossEntropy.apply(a, target=target)
    return reduced("cross_entropy", loss, weights, reduction)


class BinaryCrossEntropy(Op):
    def forward(self, a: Array, target: Array) -> Array:
        xp = array_module(a)
        self.save(a, target)
        return xp.maximum(a, 0) - a * target + xp.log1p(xp.exp(-xp.abs(a)))

    def backward(self, dloss: Any) -> Any:
        a, target = self.saved
        return dloss * (sigmoid(a) - target), -(dloss * a) if self.needs[1] else None


def binary_cross_entropy(
    a: Any, target: Any, *, weights: Any = None, reduction: str = "mean"
) -> Any:
    """Compute the negative log-likelihood of targets in [0, 1] under σ(a), in nats.

        l = -t log σ(a) - (1 - t) log(1 - σ(a)) = max(a, 0) - a t + log(1 + e^-|a|)       (3)

    Args:
        a: (...) logits.
        target: (...) t, floats, bool or integers.
        weights, reduction: as for cross_entropy.

    Returns:
        () or, with "none", (...). Saved for backward, read-only: a and target.

    Raises:
        ValueError, TypeError: as cross_entropy.
    """
    logits = float_array("binary_cross_entropy", "a", a)
    expect_shape("binary_cross_entropy", "target", target, logits.shape, "a has that shape")
    if data_of(target).dtype.kind != "f":
        target = data_of(target).astype(logits.dtype)
    loss = BinaryCrossEntropy.apply(a, target)
    return reduced("binary_cross_entropy", loss, weights, reduction)


class SquaredError(Op):
    def forward(self, y: Array, target: Array) -> Array:
        self.save(y, target)
        d = y - target
        d *= d
        return d

    def backward(self, dloss: Any) -> Any:
        y, target = self.saved
        dy = 2 * dloss * (y - target)
        return dy, -dy if self.needs[1] else None


def mse(y: Any, target: Any, *, weights: Any = None, reduction: str = "mean") -> Any:
    """Compute the squared error (y - target)², averaged over all entries unless told otherwise.

    Args:
        y: (...) prediction.
        target: (...) of y's shape.
        weights, reduction: as for cross_entropy.

    Returns:
        () or, with "none", (...). Saved for backward, read-only: y and target.

    Raises:
        ValueError, TypeError: as cross_entropy.
    """
    shape = float_array("mse", "y", y).shape
    float_array("mse", "target", target)
    expect_shape("mse", "target", target, shape, "y has that shape")
    return reduced("mse", SquaredError.apply(y, target), weights, reduction)


def reduced(who: str, loss: Any, weights: Any, reduction: str) -> Any:
    """Reduce the losses l_n, (...), by (1)."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{who}: got reduction {reduction!r}, expected one of {REDUCTIONS}")
    total: Any = float(math.prod(loss.shape))
    if weights is not None:
        if not (isinstance(weights, Node) and weights.requires_grad):
            weights = array_module(data_of(loss)).asarray(data_of(weights))
        weights = weights.astype(loss.dtype)
        axes, inner = weights.ndim, loss.shape[weights.ndim :]
        if weights.shape != loss.shape[:axes]:
            raise ValueError(
                f"{who}: weights has shape {weights.shape}, expected {loss.shape} or its first "
                f"axes because there is one loss per position"
            )
        loss = loss * weights.reshape((*weights.shape, *[1] * len(inner)))
        total = weights.sum() * math.prod(inner)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return Sum.apply(loss)
    if not total > 0:
        raise ValueError(f"{who}: the weights sum to {total}, expected more than 0 for a mean")
    return Sum.apply(loss) / total


def take_target(x: Any, target: Array) -> Any:
    """x: (..., V) → x[..., target]: (...)."""
    rows = x.reshape(math.prod(target.shape), x.shape[-1])
    place = array_module(target).arange(target.size)
    return rows[place, target.ravel()].reshape(target.shape)
