"""Joining tensors along an axis, and cutting them apart: concat, stack, split, unbind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from nnseq.backend import Array, array_module
from nnseq.operators import Stack, Unbind
from nnseq.ops.arguments import expect_shape, float_array, positive_axis
from nnseq.tape import Op


class Concat(Op):
    def forward(self, *xs: Array, axis: int) -> Array:
        self.axis, self.sizes = axis, tuple(x.shape[axis] for x in xs)
        return array_module(xs[0]).concatenate(xs, axis)

    def backward(self, dy: Any) -> Any:
        return Split.apply(dy, sizes=self.sizes, axis=self.axis)


def concat(xs: Sequence[Any], axis: int) -> Any:
    """Join along an axis that exists.

    Args:
        xs: at least one; shapes that differ along axis only.
        axis: along which to join.

    Raises:
        ValueError: nothing to join, or shapes that do not fit.
    """
    shape = _first_shape("concat", xs)
    axis = positive_axis("concat", axis, len(shape))
    for k, x in enumerate(xs):
        own = float_array("concat", f"xs[{k}]", x).shape
        expected = (*shape[:axis], *own[axis : axis + 1], *shape[axis + 1 :])
        expect_shape("concat", f"xs[{k}]", x, expected, f"xs[0] has shape {shape}")
    return Concat.apply(*xs, axis=axis)


class Split(Op):
    def forward(self, x: Array, *, sizes: tuple[int, ...], axis: int) -> tuple[Array, ...]:
        self.axis = axis
        ends = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
        before = (slice(None),) * axis
        return tuple(x[(*before, slice(start, stop))] for start, stop in pairwise(ends))

    def backward(self, *dys: Any) -> Any:
        return Concat.apply(*dys, axis=self.axis)


def split(x: Any, sizes: int | Sequence[int], axis: int) -> tuple[Any, ...]:
    """Cut along an axis, without copying.

    Args:
        x: any shape.
        sizes: the number of equal parts, or the size of each part.
        axis: along which to cut.

    Returns:
        The parts, in order.

    Raises:
        ValueError: sizes do not add up to the axis, or it does not divide into equal parts.
    """
    shape = float_array("split", "x", x).shape
    axis = positive_axis("split", axis, len(shape))
    n = shape[axis]
    if isinstance(sizes, int):
        if sizes < 1 or n % sizes:
            raise ValueError(f"split: axis {axis} has size {n}, which {sizes} does not divide")
        sizes = (n // sizes,) * sizes
    if not sizes or min(sizes) < 0 or sum(sizes) != n:
        raise ValueError(f"split: got sizes {tuple(sizes)}, expected some >= 0 that add up to {n}")
    return tuple(Split.apply(x, sizes=tuple(sizes), axis=axis))


def stack(xs: Sequence[Any], axis: int = 0) -> Any:
    """Join along a new axis, which is axis `axis` of the result.

    Args:
        xs: at least one, all of one shape.
        axis: of the result.

    Raises:
        ValueError: nothing to stack, or shapes that differ.
    """
    shape = _first_shape("stack", xs)
    for k, x in enumerate(xs):
        float_array("stack", f"xs[{k}]", x)
        expect_shape("stack", f"xs[{k}]", x, shape, "xs[0] has that shape")
    return Stack.apply(*xs, axis=positive_axis("stack", axis, len(shape) + 1))


def unbind(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """Cut into slices along an axis, which disappears: the inverse of stack.

    Raises:
        ValueError: x has no such axis.
    """
    axis = positive_axis("unbind", axis, float_array("unbind", "x", x).ndim)
    return tuple(Unbind.apply(x, axis=axis))


def _first_shape(who: str, xs: Sequence[Any]) -> tuple[int, ...]:
    if not xs:
        raise ValueError(f"{who}: got no tensors, expected at least one")
    shape: tuple[int, ...] = float_array(who, "xs[0]", xs[0]).shape
    return shape
