"""The affine map of the last axis, as one op: the product for all steps at once."""

from __future__ import annotations

import math
from typing import Any

from nnseq.backend import Array
from nnseq.operators import Sum, matmul
from nnseq.ops.arguments import expect_shape, float_array
from nnseq.products import product
from nnseq.tape import Op


class Linear(Op):
    def forward(self, x: Array, W: Array, b: Array | None) -> Array:
        self.save(x, W)
        self.has_bias = b is not None
        a = product(flat(x), W, b)
        return a.reshape(*x.shape[:-1], W.shape[1])

    def backward(self, da: Any) -> Any:
        x, W = self.saved
        dx = matmul(da, W.T) if self.needs[0] else None
        dW = matmul(flat(x).T, flat(da)) if self.needs[1] else None
        db = Sum.apply(flat(da), axis=0) if self.has_bias and self.needs[2] else None
        return dx, dW, db


def linear(x: Any, W: Any, b: Any = None) -> Any:
    """Multiply the last axis of x with W and add b.

        a = x W + b                                                            (1)

    Args:
        x: (..., I) input.
        W: (I, H) weights.
        b: (H,) bias, or None.

    Returns:
        (..., H) pre-activations a. Saved for backward, read-only: x and W.

    Raises:
        TypeError: an input is not float32 or float64, or their dtypes differ.
        ValueError: the shapes do not fit.
    """
    x_shape, W_shape = float_array("linear", "x", x).shape, float_array("linear", "W", W).shape
    if not x_shape or len(W_shape) != 2 or W_shape[0] != x_shape[-1]:
        raise ValueError(
            f"linear: W has shape {W_shape}, expected (I, H) with I = the last axis of x, {x_shape}"
        )
    if b is not None:
        float_array("linear", "b", b)
        expect_shape("linear", "b", b, W_shape[1:], f"W has shape {W_shape}")
    return Linear.apply(x, W, b)


def flat(x: Any) -> Any:
    """(..., D) → (N, D), array or Tensor, also where N or D is 0."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
