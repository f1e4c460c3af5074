"""Ops that move entries without changing them: reshape, transpose, pad, flip, roll, ..."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nnseq.backend import Array, array_module
from nnseq.operators import BroadcastTo, Reshape, Transpose
from nnseq.ops.arguments import float_array, positive_axis
from nnseq.tape import Op


def reshape(x: Any, shape: Sequence[int]) -> Any:
    """Return the entries of x, in row-major order, in another shape; one size may be -1.

    Raises:
        ValueError: the numbers of entries differ, or leave more than one choice for -1.
    """
    array = float_array("reshape", "x", x)
    known = math.prod(n for n in shape if n != -1)
    fits = known and array.size % known == 0 if -1 in shape else array.size == known
    if not fits or sum(n < 0 for n in shape) > 1 or min(shape, default=0) < -1:
        raise ValueError(f"reshape: cannot reshape {array.shape} to {tuple(shape)}")
    return Reshape.apply(x, shape=tuple(shape))


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """Permute the axes: axis k of the result is axis axes[k] of x. Default: reverse them.

    Raises:
        ValueError: axes is not a permutation of x's axes.
    """
    ndim = float_array("transpose", "x", x).ndim
    axes = tuple(range(ndim))[::-1] if axes is None else tuple(axes)
    if sorted(positive_axis("transpose", a, ndim) for a in axes) != list(range(ndim)):
        raise ValueError(f"transpose: got axes {axes}, expected a permutation of {ndim} axes")
    return Transpose.apply(x, axes=axes)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes.

    Raises:
        ValueError: x has no such axis.
    """
    ndim = float_array("swapaxes", "x", x).ndim
    i, j = (positive_axis("swapaxes", a, ndim) for a in (axis1, axis2))
    axes = list(range(ndim))
    axes[i], axes[j] = j, i
    return Transpose.apply(x, axes=tuple(axes))


def expand_dims(x: Any, axis: int) -> Any:
    """Insert an axis of size 1 such that it is axis `axis` of the result.

    Raises:
        ValueError: the result has no such axis.
    """
    shape = float_array("expand_dims", "x", x).shape
    axis = positive_axis("expand_dims", axis, len(shape) + 1)
    return Reshape.apply(x, shape=(*shape[:axis], 1, *shape[axis:]))


def squeeze(x: Any, axis: int | None = None) -> Any:
    """Remove one axis of size 1, or (None) all of them.

    Raises:
        ValueError: the axis has another size.
    """
    shape = float_array("squeeze", "x", x).shape
    if axis is None:
        return Reshape.apply(x, shape=tuple(n for n in shape if n != 1))
    axis = positive_axis("squeeze", axis, len(shape))
    if shape[axis] != 1:
        raise ValueError(f"squeeze: axis {axis} of {shape} has size {shape[axis]}, expected 1")
    return Reshape.apply(x, shape=(*shape[:axis], *shape[axis + 1 :]))


def broadcast_to(x: Any, shape: Sequence[int]) -> Any:
    """Repeat x along axes of size 1 and along new leading axes, without copying.

    Raises:
        ValueError: shape is not one that x broadcasts to.
    """
    old, new = float_array("broadcast_to", "x", x).shape, tuple(shape)
    lead = len(new) - len(old)
    if lead < 0 or any(n not in (1, m) for n, m in zip(old, new[lead:], strict=True)):
        raise ValueError(f"broadcast_to: {old} does not broadcast to {new}")
    return BroadcastTo.apply(x, shape=new)


class Pad(Op):
    def forward(self, x: Array, *, widths: tuple[tuple[int, int], ...], value: float) -> Array:
        axes = list(zip(widths, x.shape, strict=True))
        self.inside = tuple(slice(before, before + n) for (before, _), n in axes)
        shape = [before + n + after for (before, after), n in axes]
        y = array_module(x).full(shape, value, x.dtype)
        y[self.inside] = x
        return y

    def backward(self, dy: Any) -> Any:
        return dy[self.inside]


def pad(x: Any, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Any:
    """Surround x with a constant.

    Args:
        x: any shape.
        widths: for each axis, the number of entries (before, after).
        value: the constant.

    Raises:
        ValueError: another number of pairs, or a negative width.
    """
    ndim = float_array("pad", "x", x).ndim
    pairs = tuple((int(low), int(high)) for low, high in widths)
    if len(pairs) != ndim or any(n < 0 for pair in pairs for n in pair):
        raise ValueError(f"pad: got widths {pairs}, expected {ndim} pairs of numbers >= 0")
    return Pad.apply(x, widths=pairs, value=float(value))


class Flip(Op):
    def forward(self, x: Array, *, axis: int) -> Array:
        self.axis = axis
        return array_module(x).flip(x, axis)

    def backward(self, dy: Any) -> Any:
        return Flip.apply(dy, axis=self.axis)


def flip(x: Any, axis: int) -> Any:
    """Reverse the order along one axis.

    Raises:
        ValueError: x has no such axis.
    """
    return Flip.apply(x, axis=positive_axis("flip", axis, float_array("flip", "x", x).ndim))


class Roll(Op):
    def forward(self, x: Array, *, shift: int, axis: int) -> Array:
        self.shift, self.axis = shift, axis
        return array_module(x).roll(x, shift, axis)

    def backward(self, dy: Any) -> Any:
        return Roll.apply(dy, shift=-self.shift, axis=self.axis)


def roll(x: Any, shift: int, axis: int) -> Any:
    """Move entries forward along one axis; those pushed off the end come in at the front.

        y_(i + shift) mod n = x_i

    Raises:
        ValueError: x has no such axis.
    """
    axis = positive_axis("roll", axis, float_array("roll", "x", x).ndim)
    return Roll.apply(x, shift=int(shift), axis=axis)
