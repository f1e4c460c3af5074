"""Layer norm and batch norm, each as one op.

With the mean m and the variance v of x, taken over the axes that each names:

    x̂ = (x - m) / √(v + ε)                                                     (1)
    y = gain ∘ x̂ + bias                                                        (2)

Since m and v are functions of x, with r = 1 / √(v + ε) and averages ⟨·⟩ over the same axes:

    dx = r (dx̂ - ⟨dx̂⟩ - x̂ ⟨dx̂ ∘ x̂⟩),   dx̂ = dy ∘ gain                            (3)

Batch norm without a mask has a kernel for the CPU, nnseq_kernels/batch_norm, because NumPy reads
its long arrays some twenty times: a step of a deep IndRNN spent half its time there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnseq.backend import Array, Implementation, array_module, forced_kernels, kernels_for
from nnseq.operators import BroadcastTo, Sum
from nnseq.ops.arguments import data_of, expect_shape, float_array
from nnseq.ops.elementwise import where
from nnseq.tape import Op, sum_over


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


LARGE = 2**14  # entries of a group; for fewer, calling a kernel takes longer than NumPy does
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class BatchNorm(Op):
    """y, and as outputs that may be differentiated too, mean and variance.

    The kernel, where there is one, sees x as (groups, rows, D): one group, or one for each step.
    """

    takes_none = True

    def forward(
        self, x: Array, gain: Array, bias: Array, *, axes: tuple[int, ...], w: Any, eps: float
    ) -> tuple[Array, Array, Array]:
        self.axes, self.w, self.eps = axes, w, eps
        self.kernel = _kernel(x, gain, axes, w)
        if self.kernel is not None:
            y, mean, var = self.kernel.forward(x.reshape(self.groups(x)), gain, bias, eps=eps)
            kept = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
            mean, var = mean.reshape(kept), var.reshape(kept)
            self.save(x, mean, var, gain)
            return y.reshape(x.shape), mean, var
        mean = self.average(x)
        y = x - mean  # (1), then (2), in one array
        var = self.average(y * y)
        y *= gain * (var + eps) ** -0.5
        y += bias
        self.save(x, mean, var, gain)
        return y, mean, var

    def backward(self, dy: Any, dmean: Any, dvar: Any) -> Any:
        x, mean, var, gain = self.saved
        is_plain = dmean is None and dvar is None and isinstance(dy, np.ndarray)
        if self.kernel is not None and is_plain and isinstance(x, np.ndarray):
            G, N, D = self.groups(x)
            m, v = mean.reshape(G, D), var.reshape(G, D)
            arrays = x.reshape(G, N, D), m, v, gain, dy.reshape(G, N, D)
            dx, dgain, dbias = self.kernel.backward(*arrays, eps=self.eps)
            return dx.reshape(x.shape), dgain, dbias
        centered = self.finite(x, x - mean)
        dx = dgain = dbias = None
        if dy is not None:
            r = (var + self.eps) ** -0.5
            x_hat = centered * r
            dbias = Sum.apply(dy, axis=self.axes, keepdims=True)
            dgain = Sum.apply(dy * x_hat, axis=self.axes, keepdims=True)
            dx = (dy - self.w * (dbias + x_hat * dgain)) * (gain * r)  # (3)
        if dmean is not None:
            dx = plus(dx, BroadcastTo.apply(self.w * dmean, shape=x.shape))
        if dvar is not None:
            dx = plus(dx, centered * (2 * self.w * dvar))
        return dx, dgain, dbias

    def groups(self, x: Array) -> tuple[int, int, int]:
        """x's shape as the kernel takes it."""
        G, D = (x.shape[0] if self.axes[0] else 1), x.shape[-1]
        return G, x.size // (G * D), D

    def average(self, x: Array) -> Array:
        """Σ w x over the axes, which stay with size 1."""
        if isinstance(self.w, float):
            return sum_over(x, self.axes, keepdims=True) * self.w
        counted = array_module(x).where(self.w != 0, x, 0.0)  # 0 · NaN is NaN
        counted *= self.w
        return sum_over(counted, self.axes, keepdims=True)

    def finite(self, x: Any, centered: Any) -> Any:
        """Centered x (array or Tensor), and 0 where a padded step holds NaN or infinity."""
        if isinstance(self.w, float):
            return centered
        array = data_of(x)
        return where((self.w != 0) | array_module(array).isfinite(array), centered, 0.0)


def _kernel(x: Array, gain: Array, axes: tuple[int, ...], w: Any) -> Implementation | None:
    """The kernel for x, where there is one and it pays; None: the lines above."""
    is_host = isinstance(x, np.ndarray) and x.dtype == gain.dtype and x.dtype in FLOATS
    is_large = math.prod(x.shape[axes[0] :]) >= LARGE  # a group of each step, or all in one
    if not (is_host and isinstance(w, float) and is_large):
        return None
    if forced_kernels() not in ("auto", "numba"):
        return None
    reference = Implementation("reference", BatchNorm.forward, BatchNorm.backward)
    chosen = kernels_for("batch_norm", x, reference)
    return chosen if chosen.name == "numba" else None


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
    """
    shape = float_array("batch_norm", "x", x).shape
    if len(shape) < 2 + per_step:
        raise ValueError(
            f"batch_norm: x has shape {shape}, expected (T, B, D)" + " or (B, D)" * (not per_step)
        )
    _check_affine("batch_norm", gain, bias, eps, shape)
    axes = tuple(range(int(per_step), len(shape) - 1))
    w = average_weights(data_of(x), data_of(mask), axes)
    y, mean, var = BatchNorm.apply(x, gain, bias, axes=axes, w=w, eps=float(eps))
    kept = (*shape[: int(per_step)], shape[-1])
    return y, mean.reshape(kept), var.reshape(kept)


def average_weights(x: Array, mask: Any, axes: tuple[int, ...]) -> Any:
    """Return w such that the average over axes is Σ w x: 1/n, or mask/n with a last axis of 1."""
    if math.prod(x.shape[:-1]) == 0:
        raise ValueError(f"batch_norm: x has shape {x.shape}, which leaves nothing to average over")
    if mask is None:
        return 1 / math.prod(x.shape[a] for a in axes)
    counts = array_module(x).asarray(mask) != 0
    expect_shape("batch_norm", "mask", counts, x.shape[:-1], f"x has shape {x.shape}")
    counts = counts[..., None].astype(x.dtype)
    n = counts.sum(axis=axes, keepdims=True)
    if not n.all():
        raise ValueError("batch_norm: the mask leaves nothing to average over at some step")
    return counts / n


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
