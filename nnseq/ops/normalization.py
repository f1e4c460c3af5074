"""Layer norm and batch norm, each as one op.

With the mean m and the variance v of x, taken over the axes that each names:

    x̂ = (x - m) / √(v + ε)                                                     (1)
    y = gain ∘ x̂ + bias                                                        (2)

Since m and v are functions of x, with r = 1 / √(v + ε) and averages ⟨·⟩ over the same axes:

    dx = r (dx̂ - ⟨dx̂⟩ - x̂ ⟨dx̂ ∘ x̂⟩),   dx̂ = dy ∘ gain                            (3)

Batch norm has a kernel for the CPU, nnseq_kernels/batch_norm, because NumPy reads its long arrays
some twenty times: a step of a deep IndRNN spent half its time there. The kernel and its reference
here see x as (G, N, D): the averages are over N rows in each of G groups, which are the steps, or
one group of all entries.
"""

from __future__ import annotations

import math
from typing import Any

from nnseq.backend import Array, Implementation, array_module, kernels_for
from nnseq.operators import BroadcastTo, Sum
from nnseq.ops.arguments import data_of, expect_shape, float_array
from nnseq.ops.elementwise import where
from nnseq.tape import Node, Op, sum_to


class LayerNorm(Op):
    def forward(self, x: Array, gain: Array, bias: Array, *, eps: float) -> Array:
        self.save(x, gain)
        self.eps = eps
        x_hat, _ = normalised(x, eps)
        return x_hat * gain + bias

    def backward(self, dy: Any) -> Any:
        x, gain = self.saved
        x_hat, r = normalised(x, self.eps)  # computed again, not saved
        dx_hat = dy * gain
        dx = r * (dx_hat - mean_last(dx_hat) - x_hat * mean_last(dx_hat * x_hat))  # (3)
        return dx, dy * x_hat, dy


def layer_norm(x: Any, gain: Any, bias: Any, *, eps: float = 1e-5) -> Any:
    """Normalise every vector along the last axis; (1) and (2) with averages over D.

    Ba, Kiros & Hinton 2016, Layer Normalization, arXiv:1607.06450v1, equations (3) and (4); ε is
    added under the root, as everyone does.

    Args:
        x: (..., D) input.
        gain, bias: (D,).
        eps: ε > 0.

    Returns:
        (..., D). Saved for backward, read-only: x and gain.

    Raises:
        ValueError: the shapes do not fit, D is 0, or eps is not positive.
        TypeError: a dtype is not float32 or float64, or they differ.
    """
    shape = float_array("layer_norm", "x", x).shape
    if not shape or shape[-1] == 0:
        raise ValueError(f"layer_norm: x has shape {shape}, expected (..., D) with D > 0")
    _check_affine("layer_norm", gain, bias, eps, shape)
    return LayerNorm.apply(x, gain, bias, eps=float(eps))


def normalised(x: Any, eps: float) -> tuple[Any, Any]:
    """(1) along the last axis: x̂ and r, arrays or Tensors."""
    centered = x - mean_last(x)
    r = (mean_last(centered * centered) + eps) ** -0.5
    return centered * r, r


def mean_last(x: Any) -> Any:
    """Average over the last axis, which stays with size 1."""
    return Sum.apply(x, axis=-1, keepdims=True) * (1 / x.shape[-1])


class BatchNorm(Op):
    """y, and as outputs that may be differentiated too, mean and variance of every group."""

    takes_none = True

    def forward(
        self, x: Array, gain: Array, bias: Array, *, mask: Array | None, eps: float
    ) -> tuple[Array, Array, Array]:
        chosen = kernels_for("batch_norm", x, REFERENCE)
        y, m, v = chosen.forward(x, gain, bias, mask, eps=eps)
        self.save(x, m, v, gain)
        self.backward_with, self.mask, self.eps = chosen.backward, mask, eps
        return y, m, v

    def backward(self, dy: Any, dm: Any, dv: Any) -> Any:
        x, m, v, gain = self.saved
        dx = dgain = dbias = None
        if dy is not None:  # a Tensor goes through operators, the lines of the reference
            undo = backward_reference if isinstance(dy, Node) else self.backward_with
            dx, dgain, dbias = undo(x, m, v, gain, self.mask, dy, eps=self.eps)
        if dm is not None:
            dm = _weights(x, self.mask) * dm[:, None]
            dx = plus(dx, BroadcastTo.apply(dm, shape=x.shape))
        if dv is not None:
            dv = 2 * _weights(x, self.mask) * dv[:, None]
            dx = plus(dx, _centered(x, m, self.mask) * dv)
        return dx, dgain, dbias


def forward_reference(
    x: Array, gain: Array, bias: Array, mask: Array | None, *, eps: float
) -> tuple[Array, Array, Array]:
    """(1) and (2), with averages over the rows of each group.

    Args:
        x: (G, N, D) input, in G groups.
        gain, bias: (D,).
        mask: (G, N) bool, True in rows that the averages count; None: all.
        eps: ε > 0.

    Returns:
        y: (G, N, D), rows that do not count included. m, v: (G, D).
    """
    m = _average(x, mask)
    y = x - m  # (1), then (2), in one array
    v = _average(y * y, mask)
    y *= gain * (v + eps) ** -0.5
    y += bias
    return y, m[:, 0], v[:, 0]


def backward_reference(
    x: Any, m: Any, v: Any, gain: Any, mask: Array | None, dy: Any, *, eps: float
) -> tuple[Any, Any, Any]:
    """(3), of arrays or Tensors, in an order in which w of _weights comes before what may overflow.

        dbias = Σ dy,   dgain = r Σ dy ∘ (x - m)
        dx = gain r ∘ (dy - (w (x - m)) ∘ (r dgain) - w dbias)                      (4)

    A row that does not count has w = 0: whatever stands there has no part in dx, as long as x - m
    and dy ∘ (x - m) are finite.

    Args:
        x, gain, mask, eps: as in forward. m, v: what it returned.
        dy: (G, N, D).

    Returns:
        dx: (G, N, D). dgain, dbias: (D,).
    """
    r = (v[:, None] + eps) ** -0.5
    centered, w = _centered(x, m, mask), _weights(x, mask)
    dbias, dgain = _sum(dy), _sum(dy * centered) * r
    dx = (dy - w * centered * (r * dgain) - w * dbias) * (gain * r)  # (4)
    return dx, sum_to(dgain, gain.shape), sum_to(dbias, gain.shape)


REFERENCE = Implementation("reference", forward_reference, backward_reference)


def _average(x: Array, mask: Array | None) -> Array:
    """⟨x⟩, (G, 1, D)."""
    if mask is None:
        return _sum(x) * _weights(x, mask)
    return _sum(where(mask[..., None], x, 0.0) * _weights(x, mask))  # 0 · NaN is NaN


def _weights(x: Any, mask: Array | None) -> Any:
    """Return w such that ⟨x⟩ = Σ w x: 1/N, or (G, N, 1) with 0 in rows that do not count."""
    if mask is None:
        return 1 / x.shape[1]
    counts = mask[..., None].astype(x.dtype)
    return counts / counts.sum(axis=1, keepdims=True)


def _centered(x: Any, m: Any, mask: Array | None) -> Any:
    """x - m, and 0 where a row that does not count holds NaN or infinity."""
    if mask is None:
        return x - m[:, None]
    array = data_of(x)
    counts_or_finite = mask[..., None] | array_module(array).isfinite(array)
    return where(counts_or_finite, x - m[:, None], 0.0)


def _sum(x: Any) -> Any:
    """Sum over the rows of each group: (G, 1, D).

    Those of a single group are leading axes, which sum_over adds in blocks. Those of several are
    added one by one: 20,000 rows of float32 around 100 leave a mean wrong by 7e-5.
    """
    return Sum.apply(x, axis=1 if x.shape[0] > 1 else (0, 1), keepdims=True)


def batch_norm(
    x: Any, gain: Any, bias: Any, *, mask: Any = None, per_step: bool = False, eps: float = 1e-5
) -> tuple[Any, Any, Any]:
    """Normalise every feature over time and batch, or over the batch at each step.

    Ioffe & Szegedy 2015, Batch Normalization, arXiv:1502.03167v3, algorithm 1.

    Args:
        x: (T, B, D) input; (B, D) or more leading axes without per_step.
        gain, bias: (D,).
        mask: (T, B), 1 or True where the step counts; None: all count. Padded steps come out
            normalised like the others, but have no part in the averages, not even with NaN.
        per_step: averages over B at every t instead of over T and B.
        eps: ε > 0.

    Returns:
        y: x's shape, (1) and (2).
        mean, var: (D,), or (T, D) with per_step: the averages ⟨x⟩ and ⟨(x - m)²⟩ (divided by the
            number of entries n, not n - 1), for running averages. They are differentiable too.
        Saved for backward, read-only: x, mean, var and gain.

    Raises:
        ValueError: the shapes do not fit, nothing is left to average, or eps is not positive.
        TypeError: a dtype is not float32 or float64, or they differ.
        DeviceError: kernels are forced that do not run on x's device, or are not installed.
    """
    shape = float_array("batch_norm", "x", x).shape
    if len(shape) < 2 + per_step:
        raise ValueError(
            f"batch_norm: x has shape {shape}, expected (T, B, D)" + " or (B, D)" * (not per_step)
        )
    if math.prod(shape[:-1]) == 0:
        raise ValueError(f"batch_norm: x has shape {shape}, which leaves nothing to average over")
    _check_affine("batch_norm", gain, bias, eps, shape)
    G, D = shape[0] if per_step else 1, shape[-1]
    groups = (G, math.prod(shape[:-1]) // G, D)
    counts = None if mask is None else _counts(data_of(x), data_of(mask), groups)
    y, mean, var = BatchNorm.apply(x.reshape(groups), gain, bias, mask=counts, eps=float(eps))
    kept = (G, D) if per_step else (D,)
    return y.reshape(shape), mean.reshape(kept), var.reshape(kept)


def _counts(x: Array, mask: Any, groups: tuple[int, int, int]) -> Array:
    """Return the mask as (G, N) bool."""
    counts = array_module(x).asarray(mask) != 0
    expect_shape("batch_norm", "mask", counts, x.shape[:-1], f"x has shape {x.shape}")
    counts = counts.reshape(groups[:2])
    if not counts.any(axis=1).all():
        raise ValueError("batch_norm: the mask leaves nothing to average over at some step")
    return counts


def batch_norm_eval(x: Any, gain: Any, bias: Any, mean: Any, var: Any, *, eps: float = 1e-5) -> Any:
    """Normalise with a given mean and variance, as in evaluation: (1) and (2).

    Args:
        x: (..., D), or (T, B, D) for statistics per step.
        gain, bias: (D,).
        mean, var: (D,), or (T, D), one row per step.
        eps: ε > 0, the same as in training.

    Raises:
        ValueError, TypeError: as batch_norm.
    """
    shape = float_array("batch_norm_eval", "x", x).shape
    _check_affine("batch_norm_eval", gain, bias, eps, shape)
    per_step = data_of(mean).ndim == 2
    for name, statistic in (("mean", mean), ("var", var)):
        float_array("batch_norm_eval", name, statistic)
        kept = (shape[0], shape[-1]) if per_step else (shape[-1],)
        expect_shape("batch_norm_eval", name, statistic, kept, f"x has shape {shape}")
    if per_step:
        ones = (1,) * (len(shape) - 2)
        mean, var = (s.reshape(shape[0], *ones, shape[-1]) for s in (mean, var))
    return (x - mean) * (gain * (var + eps) ** -0.5) + bias


def plus(dx: Any, term: Any) -> Any:
    """dx + term, where there may be no dx yet."""
    return term if dx is None else dx + term


def _check_affine(who: str, gain: Any, bias: Any, eps: float, shape: tuple[int, ...]) -> None:
    for name, parameter in (("gain", gain), ("bias", bias)):
        float_array(who, name, parameter)
        expect_shape(who, name, parameter, shape[-1:], f"x has shape {shape}")
    if not eps > 0:
        raise ValueError(f"{who}: got eps = {eps}, expected eps > 0")
