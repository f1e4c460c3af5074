"""concat, stack, split, unbind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import ops
from nnseq.tensor import Tensor, grad
from tests.ops.check import check_op
from tests.strategies import arrays, shapes


@given(st.data())
def test_concat_and_split_are_inverse(data):
    shape = data.draw(shapes(min_dims=1, max_size=12))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    at = axis % len(shape)
    xs = [data.draw(arrays((*shape[:at], n, *shape[at + 1 :]))) for n in sizes]
    check_op(lambda *xs: ops.concat(xs, axis), *xs)
    joined = ops.concat(xs, axis)
    np.testing.assert_array_equal(joined, np.concatenate(xs, axis))
    check_op(lambda x: ops.split(x, sizes, axis), joined)
    for part, x in zip(ops.split(joined, sizes, axis), xs, strict=True):
        np.testing.assert_array_equal(part, x)


@given(st.data())
def test_stack_and_unbind_are_inverse(data):
    shape = data.draw(shapes(max_dims=2, max_size=10))
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    xs = [data.draw(arrays(shape)) for _ in range(data.draw(st.integers(1, 3)))]
    check_op(lambda *xs: ops.stack(xs, axis), *xs)
    joined = ops.stack(xs, axis)
    np.testing.assert_array_equal(joined, np.stack(xs, axis))
    check_op(lambda x: ops.unbind(x, axis), joined)
    for part, x in zip(ops.unbind(joined, axis), xs, strict=True):
        np.testing.assert_array_equal(part, x)


def test_equal_parts():
    x = np.arange(12.0).reshape(2, 6)
    for part, expected in zip(ops.split(x, 3, 1), np.split(x, 3, 1), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_the_same_tensor_twice_gets_both_gradients():
    x = Tensor(np.ones(2), True)
    dy = np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(grad(ops.concat([x, x], 0), x, dy)[0], [4, 6])


def test_parts_that_nobody_uses_have_gradient_zero():
    x = Tensor(np.ones((3, 2)), True)
    _, middle, _ = ops.unbind(x)
    np.testing.assert_array_equal(grad(middle, x, np.ones(2))[0], [[0, 0], [1, 1], [0, 0]])


def test_unbinding_an_axis_of_size_0_gives_nothing():
    assert ops.unbind(Tensor(np.ones((0, 2)), True)) == ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.concat([], 0), "concat: got no tensors"),
        (lambda x: ops.stack([]), "stack: got no tensors"),
        (lambda x: ops.concat([x, x.T], 0), r"concat: xs\[1\] has shape \(3, 2\), exp.* \(3, 3\)"),
        (lambda x: ops.concat([x, x[0]], 0), r"concat: xs\[1\] has shape \(3,\), expected"),
        (lambda x: ops.concat([x], 2), "concat: got axis 2"),
        (lambda x: ops.stack([x, x.T]), r"stack: xs\[1\] has shape \(3, 2\), expected \(2, 3\)"),
        (lambda x: ops.stack([x], 3), r"stack: got axis 3, expected one in \[-3, 3\)"),
        (lambda x: ops.split(x, 2, 1), "split: axis 1 has size 3, which 2 does not divide"),
        (lambda x: ops.split(x, 0, 1), "split: axis 1 has size 3, which 0 does not divide"),
        (lambda x: ops.split(x, (1, 1), 1), r"split: got sizes \(1, 1\), expected .* add up to 3"),
        (lambda x: ops.split(x, (4, -1), 1), r"split: got sizes \(4, -1\)"),
        (lambda x: ops.unbind(x, 2), "unbind: got axis 2"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((2, 3)))
