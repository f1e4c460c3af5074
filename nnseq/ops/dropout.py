"""Dropout from a given mask: an op draws no random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.ops.arguments import data_of, float_array
from nnseq.tape import Op


class Dropout(Op):
    def forward(self, x: Array, *, scale: Array) -> Array:
        self.save(scale)
        return x * scale

    def backward(self, dy: Any) -> Any:
        (scale,) = self.saved
        return dy * scale


def dropout(x: Any, mask: Any, p_drop: float) -> Any:
    """Drop the entries of x where the mask is 0 and scale up the others.

        y = x ∘ mask / (1 - p_drop)                                            (1)

    Args:
        x: any shape.
        mask: a shape that broadcasts to x's, 1 (or True) keeps and 0 (or False) drops; a mask of
            size 1 along time is the same at every step.
        p_drop: in [0, 1), the chance with which the caller drew a 0.

    Raises:
        ValueError: p_drop is outside [0, 1), or the mask does not broadcast to x.
    """
    x_data = float_array("dropout", "x", x)
    mask = array_module(x_data).asarray(data_of(mask))
    if not 0 <= p_drop < 1:
        raise ValueError(f"dropout: got p_drop = {p_drop}, expected 0 <= p_drop < 1")
    try:
        fits = np.broadcast_shapes(mask.shape, x_data.shape) == x_data.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"dropout: the mask has shape {mask.shape}, expected one that broadcasts to "
            f"{x_data.shape}, the shape of x"
        )
    return Dropout.apply(x, scale=mask.astype(x_data.dtype) * (1 / (1 - float(p_drop))))
