"""The ops behind Python's operators: + - * / ** @ [] and sum, reshape, transpose, astype.

Each takes Tensors, arrays or Python numbers; arrays alone give arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.products import product
from nnseq.scatter import add_rows
from nnseq.tape import FLOATS, Node, Op, sum_over

Axis = int | tuple[int, ...] | None


class Neg(Op):
    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, dy: Any) -> Any:
        return -dy


class Add(Op):
    is_arithmetic = True

    def forward(self, x: Array, y: Array) -> Array:
        return x + y

    def backward(self, dz: Any) -> Any:
        return dz, dz


class Sub(Op):
    is_arithmetic = True

    def forward(self, x: Array, y: Array) -> Array:
        return x - y

    def backward(self, dz: Any) -> Any:
        return dz, -dz


class Mul(Op):
    is_arithmetic = True

    def forward(self, x: Array, y: Array) -> Array:
        self.save(x, y)
        return x * y

    def backward(self, dz: Any) -> Any:
        x, y = self.saved
        return dz * y if self.needs[0] else None, dz * x if self.needs[1] else None


class Div(Op):
    is_arithmetic = True

    def forward(self, x: Array, y: Array) -> Array:
        z = x / y
        self.save(y, z)
        return z

    def backward(self, dz: Any) -> Any:
        y, z = self.saved
        dx = dz / y
        return dx, -(dx * z)


class Pow(Op):
    """x ** p for a constant p; power(x, p) in nnseq.ops differentiates p too."""

    is_arithmetic = True

    def forward(self, x: Array, p: Any) -> Array:
        self.save(x, p)
        return x**p

    def backward(self, dy: Any) -> Any:
        x, p = self.saved
        if isinstance(p, (int, float)) and p in (0, 1):
            return dy * float(p), None  # p x^(p-1) would be 0 * inf at x = 0
        slope = p - 1
        if not isinstance(p, (int, float)):
            slope = slope + (p == 0)  # 0 x^0, for the same reason
        return dy * (p * x**slope), None


class MatMul(Op):
    """(..., n, m) @ (..., m, k); leading axes broadcast."""

    name = "matmul"
    is_arithmetic = True

    def forward(self, x: Array, y: Array) -> Array:
        self.save(x, y)
        return product(x, y) if x.ndim == y.ndim == 2 else x @ y

    def backward(self, dz: Any) -> Any:
        x, y = self.saved
        dx = MatMul.apply(dz, swap_last(y)) if self.needs[0] else None
        dy = MatMul.apply(swap_last(x), dz) if self.needs[1] else None
        return dx, dy


def matmul(x: Any, y: Any) -> Any:
    """Multiply matrices: (..., n, m) @ (..., m, k) -> (..., n, k); a 1-D operand is a vector.

    Raises:
        ValueError: a 0-D operand, inner sizes that differ, or leading axes that do not broadcast.
    """
    xs, ys = np.shape(_data(x)), np.shape(_data(y))
    fits = all(n == m or 1 in (n, m) for n, m in zip(xs[-3::-1], ys[-3::-1], strict=False))
    if not fits or not xs or not ys or xs[-1] != ys[max(len(ys) - 2, 0)]:
        raise ValueError(f"matmul: got shapes {xs} and {ys}, expected (..., n, m) and (..., m, k)")
    if len(ys) == 1:
        return matmul(x, y.reshape(-1, 1)).reshape(xs[:-1])
    if len(xs) == 1:
        z = matmul(x.reshape(1, -1), y)
        return z.reshape(*z.shape[:-2], ys[-1])
    if len(ys) == 2 and len(xs) > 2:  # one product instead of one per leading index
        return MatMul.apply(x.reshape(math.prod(xs[:-1]), xs[-1]), y).reshape(*xs[:-1], ys[-1])
    return MatMul.apply(x, y)


class GetItem(Op):
    def forward(self, x: Array, *, index: Any) -> Array:
        self.index, self.shape = index, x.shape
        return x[index]

    def backward(self, dy: Any) -> Any:
        return PutItem.apply(dy, index=self.index, shape=self.shape)


class PutItem(Op):
    """Zeros of a shape with x added at index: the transpose of GetItem."""

    def forward(self, x: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
        self.index = index
        xp = array_module(x)
        y = xp.zeros(shape, x.dtype)
        if not _repeats(index):
            y[index] = x
            return y
        if isinstance(index, tuple):
            place = xp.arange(y.size).reshape(shape)[index]
            return add_rows(x.ravel(), place.ravel(), y.size).reshape(shape)
        rows = x.reshape(index.size, *shape[1:])
        return add_rows(rows, index.ravel(), shape[0])

    def backward(self, dy: Any) -> Any:
        return GetItem.apply(dy, index=self.index)


def getitem(x: Any, index: Any) -> Any:
    """x[index]: slices, integers, None, ..., integer arrays (repeats add up) and boolean masks.

    Raises:
        IndexError: an entry of an index is out of range, also on a GPU.
        TypeError: an index of another dtype.
    """
    xp = array_module(_data(x))
    parts = index if isinstance(index, tuple) else (index,)
    parts = tuple(_index_part(p, xp) for p in parts)
    if xp is not np:  # CuPy wraps around in silence
        _check_range(parts, x.shape)
    return GetItem.apply(x, index=parts if isinstance(index, tuple) else parts[0])


def _index_part(part: Any, xp: Any) -> Any:
    """Return one index, an array of indices where the array module xp keeps its arrays."""
    part = np.asarray(part) if isinstance(part, list) else _data(part)
    if hasattr(part, "dtype") and part.dtype.kind not in "iub":
        if part.size:
            raise TypeError(f"indexing: an index has dtype {part.dtype}, expected integers or bool")
        part = part.astype(np.int64)  # [] is an empty selection
    return xp.asarray(part) if isinstance(part, np.ndarray) else part


def _check_range(parts: Sequence[Any], shape: tuple[int, ...]) -> None:
    """Raise NumPy's IndexError for an integer array out of the range of its axis."""
    takes = [_num_axes(p) for p in parts]
    axis = 0
    for part, num_axes in zip(parts, takes, strict=True):
        if part is Ellipsis:
            num_axes = len(shape) - sum(takes)
        if getattr(part, "size", 0) and part.dtype.kind != "b" and axis < len(shape):
            n, low, high = shape[axis], int(part.min()), int(part.max())
            if low < -n or high >= n:
                wrong = low if low < -n else high
                raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {n}")
        axis += num_axes


def _num_axes(part: Any) -> int:
    """How many axes one index takes; 0 for ..., whose number depends on the others."""
    if part is None or part is Ellipsis or isinstance(part, (bool, np.bool_)):
        return 0
    return int(part.ndim) if hasattr(part, "dtype") and part.dtype.kind == "b" else 1


def _repeats(index: Any) -> bool:
    """May this index name an element twice? Only integer arrays can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(getattr(p, "ndim", 0) > 0 and p.dtype.kind != "b" for p in parts)


class Unbind(Op):
    """Cut x along an axis: one output per index, so that backward writes each once."""

    def forward(self, x: Array, *, axis: int = 0) -> tuple[Array, ...]:
        self.axis = axis
        return tuple(array_module(x).moveaxis(x, axis, 0))

    def backward(self, *dys: Any) -> Any:
        return Stack.apply(*dys, axis=self.axis)


class Stack(Op):
    """Stack arrays of one shape along a new axis."""

    def forward(self, *xs: Array, axis: int = 0) -> Array:
        self.axis = axis
        return array_module(xs[0]).stack(xs, axis)

    def backward(self, dy: Any) -> Any:
        return Unbind.apply(dy, axis=self.axis)


class Sum(Op):
    def forward(self, x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
        self.shape, self.kept = x.shape, kept_shape(x.shape, axis)
        return sum_over(x, axis, keepdims)

    def backward(self, dy: Any) -> Any:
        return BroadcastTo.apply(dy.reshape(self.kept), shape=self.shape)


class BroadcastTo(Op):
    """Repeat x along axes of size 1 and new leading axes; a read-only view."""

    def forward(self, x: Array, *, shape: tuple[int, ...]) -> Array:
        return array_module(x).broadcast_to(x, shape)

    def backward(self, dy: Any) -> Any:
        return dy  # the engine sums it to x's shape


class Reshape(Op):
    def forward(self, x: Array, *, shape: Sequence[int]) -> Array:
        self.shape = x.shape
        return x.reshape(shape)

    def backward(self, dy: Any) -> Any:
        return dy.reshape(self.shape)


class Transpose(Op):
    def forward(self, x: Array, *, axes: Sequence[int]) -> Array:
        self.inverse = tuple(sorted(range(len(axes)), key=lambda i: axes[i] % len(axes)))
        return x.transpose(axes)

    def backward(self, dy: Any) -> Any:
        return dy.transpose(*self.inverse)


class Cast(Op):
    """x in another float dtype; the gradient comes back in x's."""

    def forward(self, x: Array, *, dtype: Any) -> Array:
        self.dtype = x.dtype
        return x.astype(dtype)

    def backward(self, dy: Any) -> Any:
        return dy.astype(self.dtype)


def swap_last(x: Any) -> Any:
    """Transpose the last two axes."""
    axes = list(range(x.ndim))
    return x.transpose(*axes[:-2], axes[-1], axes[-2])


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape after reducing axis with keepdims=True."""
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    reduced = {a % len(shape) for a in axes} if shape else set()
    return tuple(1 if i in reduced else n for i, n in enumerate(shape))


def _data(x: Any) -> Any:
    return x.data if isinstance(x, Node) else x


def is_float(x: Any) -> bool:
    """Is x (array or Tensor) of a dtype that can have a gradient?"""
    return x.dtype in FLOATS
