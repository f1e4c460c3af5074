"""Reductions over one axis, several (a tuple), or all (None); and the cumulative sum.

`keepdims` leaves the reduced axes in place with size 1.
"""

from __future__ import annotations

import math
from typing import Any

from nnseq.backend import Array, array_module
from nnseq.operators import Axis, Sum
from nnseq.ops.arguments import data_of, float_array, positive_axis
from nnseq.ops.elementwise import exp, where
from nnseq.tape import Op

TINY = 1e-37  # a normal number in float32; a sum of exponentials is 0 or at least 1


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Sum over axis.

    Raises:
        ValueError: x has no such axis.
    """
    return Sum.apply(x, axis=_axes("sum", x, axis), keepdims=keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Average over axis.

    Raises:
        ValueError: x has no such axis, or it is empty.
    """
    axes = _axes("mean", x, axis, empty=False)
    count = math.prod(x.shape[a] for a in axes)
    return Sum.apply(x, axis=axes, keepdims=keepdims) * (1 / count)


def var(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Average squared distance from the mean (divided by n, not n - 1).

    Raises:
        ValueError: x has no such axis, or it is empty.
    """
    axes = _axes("var", x, axis, empty=False)
    centered = x - mean(x, axes, keepdims=True)
    return mean(centered * centered, axes, keepdims)


class Extremum(Op):
    def forward(self, x: Array, *, axis: tuple[int, ...], keepdims: bool, largest: bool) -> Array:
        y = x.max(axis=axis, keepdims=True) if largest else x.min(axis=axis, keepdims=True)
        chosen = ((x == y) | (x != x)).astype(x.dtype)  # NaN, where there is one, is the result
        self.save(chosen / chosen.sum(axis=axis, keepdims=True))
        self.kept = y.shape
        return y if keepdims else y.reshape([n for i, n in enumerate(y.shape) if i not in axis])

    def backward(self, dy: Any) -> Any:
        (share,) = self.saved
        return dy.reshape(self.kept) * share


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Largest entry over axis; entries that tie share the gradient equally.

    Raises:
        ValueError: x has no such axis, or it is empty.
    """
    axes = _axes("max", x, axis, empty=False)
    return Extremum.apply(x, axis=axes, keepdims=keepdims, largest=True)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Smallest entry over axis; entries that tie share the gradient equally.

    Raises:
        ValueError: x has no such axis, or it is empty.
    """
    axes = _axes("min", x, axis, empty=False)
    return Extremum.apply(x, axis=axes, keepdims=keepdims, largest=False)


class LogSumExp(Op):
    def forward(self, x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
        xp = array_module(x)
        top = x.max(axis=axis, keepdims=True)
        top = xp.where(xp.isfinite(top), top, 0)  # inf - inf would be NaN
        total = xp.exp(x - top).sum(axis=axis, keepdims=True)
        y = xp.where(total == 0, -xp.inf, xp.log(xp.maximum(total, TINY)) + top)
        self.kept = y.shape
        y = y if keepdims else y.reshape([n for i, n in enumerate(y.shape) if i not in axis])
        self.save(x, y)
        return y

    def backward(self, dy: Any) -> Any:
        x, y = self.saved
        y = where(data_of(y) == -math.inf, 0.0, y)  # then every x is -inf too, and exp(x) = 0
        return dy.reshape(self.kept) * exp(x - y.reshape(self.kept))  # dy ∘ softmax(x)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Compute log Σ exp(x) over axis, with the maximum taken out first.

    Where all x are -inf, so is the result, and the gradient is 0.

    Raises:
        ValueError: x has no such axis, or it is empty.
    """
    axes = _axes("logsumexp", x, axis, empty=False)
    return LogSumExp.apply(x, axis=axes, keepdims=keepdims)


class CumSum(Op):
    def forward(self, x: Array, *, axis: int, reverse: bool) -> Array:
        self.axis, self.reverse = axis, reverse
        xp = array_module(x)
        return xp.flip(xp.flip(x, axis).cumsum(axis), axis) if reverse else x.cumsum(axis)

    def backward(self, dy: Any) -> Any:
        return CumSum.apply(dy, axis=self.axis, reverse=not self.reverse)


def cumsum(x: Any, axis: int, *, reverse: bool = False) -> Any:
    """Sum up along an axis: y_i = Σ_{j ≤ i} x_j, or Σ_{j ≥ i} x_j with reverse.

    Raises:
        ValueError: x has no such axis.
    """
    axis = positive_axis("cumsum", axis, float_array("cumsum", "x", x).ndim)
    return CumSum.apply(x, axis=axis, reverse=reverse)


def _axes(who: str, x: Any, axis: Axis, empty: bool = True) -> tuple[int, ...]:
    """Return the axes to reduce, from the front; refuse those of size 0 unless empty."""
    shape = float_array(who, "x", x).shape
    given = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(sorted(positive_axis(who, a, len(shape)) for a in given))
    if len(set(axes)) != len(axes):
        raise ValueError(f"{who}: got axis {axis}, which names an axis twice")
    if not empty and math.prod(shape[a] for a in axes) == 0:
        raise ValueError(f"{who}: shape {shape} has no entries along axis {axis}")
    return axes
