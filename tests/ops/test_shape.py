"""Ops that move entries without changing them: values against NumPy, derivatives, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import ops
from tests.ops.check import check_op
from tests.strategies import arrays, broadcastable, shapes


def check_against(numpys, ours, x):
    check_op(ours, x)
    np.testing.assert_array_equal(ours(x), numpys(x))


@given(st.data())
def test_reshape(data):
    x = data.draw(arrays(shapes()))
    new = data.draw(st.permutations((*x.shape, 1)))
    check_against(lambda x: np.reshape(x, new), lambda x: ops.reshape(x, new), x)
    if x.size:
        new[data.draw(st.integers(0, x.ndim))] = -1
        check_against(lambda x: np.reshape(x, new), lambda x: ops.reshape(x, new), x)


@given(st.data())
def test_transpose(data):
    x = data.draw(arrays(shapes()))
    axes = data.draw(st.permutations(range(x.ndim)))
    check_against(lambda x: np.transpose(x, axes), lambda x: ops.transpose(x, axes), x)
    check_against(np.transpose, ops.transpose, x)
    negative = [a - x.ndim for a in axes]
    check_against(lambda x: np.transpose(x, negative), lambda x: ops.transpose(x, negative), x)


@given(st.data())
def test_one_axis_or_two(data):
    x = data.draw(arrays(shapes(min_dims=1)))
    axis, other = (data.draw(st.integers(-x.ndim, x.ndim - 1)) for _ in range(2))
    shift = data.draw(st.integers(-7, 7))
    check_against(lambda x: np.swapaxes(x, axis, other), lambda x: ops.swapaxes(x, axis, other), x)
    check_against(lambda x: np.flip(x, axis), lambda x: ops.flip(x, axis), x)
    check_against(lambda x: np.roll(x, shift, axis), lambda x: ops.roll(x, shift, axis), x)
    check_against(lambda x: np.expand_dims(x, axis), lambda x: ops.expand_dims(x, axis), x)
    check_against(np.squeeze, ops.squeeze, x)
    wide = np.expand_dims(x, axis)
    check_against(lambda x: np.squeeze(x, axis), lambda x: ops.squeeze(x, axis), wide)


@given(st.data())
def test_broadcast_to(data):
    first, second = data.draw(broadcastable(2))
    x = data.draw(arrays(first))
    new = np.broadcast_shapes(first, second)
    check_against(lambda x: np.broadcast_to(x, new), lambda x: ops.broadcast_to(x, new), x)


@given(st.data())
def test_pad(data):
    x = data.draw(arrays(shapes(max_size=12)))
    width = st.integers(0, 2)
    widths = data.draw(st.lists(st.tuples(width, width), min_size=x.ndim, max_size=x.ndim))
    check_against(
        lambda x: np.pad(x, widths, constant_values=-1.5) if x.ndim else x,
        lambda x: ops.pad(x, widths, -1.5),
        x,
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.reshape(x, (4, 2)), r"reshape: cannot reshape \(2, 3\) to \(4, 2\)"),
        (lambda x: ops.reshape(x, (-1, 4)), r"reshape: cannot reshape \(2, 3\) to \(-1, 4\)"),
        (lambda x: ops.reshape(x, (-1, -1)), r"reshape: cannot reshape"),
        (lambda x: ops.reshape(x, (-2, -3)), r"reshape: cannot reshape"),
        (lambda x: ops.reshape(x, (-1, 0)), r"reshape: cannot reshape"),
        (lambda x: ops.reshape(x[:0], (0, -1)), r"reshape: cannot reshape \(0, 3\) to \(0, -1\)"),
        (lambda x: ops.transpose(x, (0, 0)), r"transpose: got axes \(0, 0\), expected a perm"),
        (lambda x: ops.transpose(x, (0,)), r"transpose: got axes \(0,\), expected a perm"),
        (lambda x: ops.swapaxes(x, 0, 2), r"swapaxes: got axis 2, expected one in \[-2, 2\)"),
        (lambda x: ops.expand_dims(x, 3), r"expand_dims: got axis 3, expected one in \[-3, 3\)"),
        (lambda x: ops.squeeze(x, 1), r"squeeze: axis 1 of \(2, 3\) has size 3, expected 1"),
        (lambda x: ops.broadcast_to(x, (3, 2, 4)), r"broadcast_to: \(2, 3\) does not broadcast"),
        (lambda x: ops.broadcast_to(x, (3,)), r"broadcast_to: \(2, 3\) does not broadcast"),
        (lambda x: ops.pad(x, [(1, 1)]), r"pad: got widths .* expected 2 pairs"),
        (lambda x: ops.pad(x, [(1, -1), (0, 0)]), r"pad: got widths .* expected 2 pairs"),
        (lambda x: ops.flip(x, -3), r"flip: got axis -3"),
        (lambda x: ops.roll(x, 1, 2), r"roll: got axis 2"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((2, 3)))
