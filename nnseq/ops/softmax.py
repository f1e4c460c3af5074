"""softmax and log_softmax along one axis."""

from __future__ import annotations

from typing import Any

from nnseq.backend import Array, array_module
from nnseq.operators import Sum
from nnseq.ops.arguments import float_array, positive_axis
from nnseq.ops.elementwise import exp
from nnseq.tape import Op


class Softmax(Op):
    def forward(self, x: Array, *, axis: int) -> Array:
        y = array_module(x).exp(x - x.max(axis=axis, keepdims=True))
        y /= y.sum(axis=axis, keepdims=True)
        self.save(y)
        self.axis = axis
        return y

    def backward(self, dy: Any) -> Any:
        (y,) = self.saved
        y_dy = y * dy
        return y_dy - y * Sum.apply(y_dy, axis=self.axis, keepdims=True)


def softmax(x: Any, axis: int = -1) -> Any:
    """Compute exp(x_i) / Σ_j exp(x_j) along axis, with the maximum taken out first.

    An entry of -inf has probability 0; at least one per row must be finite (else NaN).

    Raises:
        ValueError: x has no such axis, or it is empty.
    """
    return Softmax.apply(x, axis=_axis("softmax", x, axis))


class LogSoftmax(Op):
    def forward(self, x: Array, *, axis: int) -> Array:
        xp = array_module(x)
        y = x - x.max(axis=axis, keepdims=True)
        y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
        self.save(y)
        self.axis = axis
        return y

    def backward(self, dy: Any) -> Any:
        (y,) = self.saved
        return dy - exp(y) * Sum.apply(dy, axis=self.axis, keepdims=True)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Compute x_i - log Σ_j exp(x_j) along axis, with the maximum taken out first.

    Raises:
        ValueError: x has no such axis, or it is empty.
    """
    return LogSoftmax.apply(x, axis=_axis("log_softmax", x, axis))


def _axis(who: str, x: Any, axis: int) -> int:
    shape = float_array(who, "x", x).shape
    axis = positive_axis(who, axis, len(shape))
    if shape[axis] == 0:
        raise ValueError(f"{who}: shape {shape} has no entries along axis {axis}")
    return axis
