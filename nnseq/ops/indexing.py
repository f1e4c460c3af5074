"""Entries by index or mask; in backward, the gradients of an index that repeats add up."""

from __future__ import annotations

from typing import Any

from nnseq.backend import Array, array_module
from nnseq.operators import GetItem, getitem
from nnseq.ops.arguments import data_of, float_array, integer_array, positive_axis
from nnseq.scatter import add_rows
from nnseq.tape import Op

__all__ = ["embedding", "getitem", "masked_fill", "take_along_axis"]


def embedding(W: Any, index: Any) -> Any:
    """Look up rows: y = W[index].

    Args:
        W: (V, D) table, one row per symbol.
        index: (...) integers in [0, V), of any shape.

    Returns:
        (..., D). In backward, dW_v is the sum of dy over the places that hold v.

    Raises:
        ValueError: W is not a matrix, or an index is out of range.
        TypeError: W is not float32 or float64, or index is not of integers.
    """
    table = float_array("embedding", "W", W)
    if table.ndim != 2:
        raise ValueError(f"embedding: W has shape {table.shape}, expected (V, D)")
    index = integer_array("embedding", "index", index, 0, table.shape[0], table)
    return GetItem.apply(W, index=index)


class MaskedFill(Op):
    def forward(self, x: Array, *, mask: Array, value: float) -> Array:
        self.mask = mask
        y = x.copy()
        y[mask] = value
        return y

    def backward(self, dy: Any) -> Any:
        return MaskedFill.apply(dy, mask=self.mask, value=0.0)


def masked_fill(x: Any, mask: Any, value: float) -> Any:
    """Put a number wherever a mask of the leading axes is true: y[mask] = value, else y = x.

    For whole rows of zeros it is several times faster than `where`, and as there NaN that is
    replaced reaches no gradient.

    Args:
        x: any float, of at least as many axes as mask.
        mask: bool, of x's leading axes, such as (T, B) for x (T, B, D).
        value: what is put there.

    Raises:
        ValueError: mask is not of x's leading axes.
        TypeError: x is not float32 or float64, or mask is not bool.
    """
    array, mask = float_array("masked_fill", "x", x), data_of(mask)
    mask = array_module(array).asarray(mask)
    if mask.dtype != bool:
        raise TypeError(f"masked_fill: mask is {mask.dtype}, expected bool")
    if mask.shape != array.shape[: mask.ndim]:
        raise ValueError(
            f"masked_fill: mask has shape {mask.shape}, expected x's leading axes of {array.shape}"
        )
    return MaskedFill.apply(x, mask=mask, value=float(value))


class TakeAlongAxis(Op):
    def forward(self, x: Array, *, index: Array, axis: int) -> Array:
        self.index, self.axis, self.size = index, axis, x.shape[axis]
        return array_module(x).take_along_axis(x, index, axis)

    def backward(self, dy: Any) -> Any:
        return AddAlongAxis.apply(dy, index=self.index, axis=self.axis, size=self.size)


class AddAlongAxis(Op):
    """Zeros with x added at index along an axis: the transpose of TakeAlongAxis."""

    def forward(self, x: Array, *, index: Array, axis: int, size: int) -> Array:
        self.index, self.axis = index, axis
        xp = array_module(x)
        shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
        y = xp.zeros(shape, x.dtype)
        place = xp.take_along_axis(xp.arange(y.size).reshape(shape), index, axis)
        return add_rows(x.ravel(), place.ravel(), y.size).reshape(shape)

    def backward(self, dy: Any) -> Any:
        return TakeAlongAxis.apply(dy, index=self.index, axis=self.axis)


def take_along_axis(x: Any, index: Any, axis: int = -1) -> Any:
    """Gather along one axis: with axis = 1, y[n, k] = x[n, index[n, k]].

    Args:
        x: (..., N, ...) any float; N entries along axis.
        index: (..., K, ...) integers in [-N, N), of x's shape except along axis.
        axis: along which to gather.

    Returns:
        (..., K, ...). In backward, gradients of a repeated index add up.

    Raises:
        ValueError: the shapes differ beside axis, or an index is out of range.
        TypeError: index is not of integers.
    """
    array = float_array("take_along_axis", "x", x)
    axis = positive_axis("take_along_axis", axis, array.ndim)
    size = array.shape[axis]
    index = integer_array("take_along_axis", "index", data_of(index), -size, size, array)
    expected = (*array.shape[:axis], *index.shape[axis : axis + 1], *array.shape[axis + 1 :])
    if index.shape != expected:
        raise ValueError(
            f"take_along_axis: index has shape {index.shape}, expected x's shape {array.shape} "
            f"with any size along axis {axis}"
        )
    return TakeAlongAxis.apply(x, index=index, axis=axis)
