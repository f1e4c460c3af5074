"""softmax and log_softmax."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import ops
from nnseq.tensor import Tensor, grad
from tests.ops.check import check_op, compare_with_torch, normal
from tests.strategies import arrays, shapes

BOTH = ("softmax", "log_softmax")


@pytest.mark.parametrize("name", BOTH)
@given(data=st.data())
def test_softmax(name, data):
    x = data.draw(arrays(shapes(min_dims=1, zero=False)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    check_op(lambda x: getattr(ops, name)(x, axis), x)
    p = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
    np.testing.assert_allclose(getattr(ops, name)(x, axis), np.log(p) if "log" in name else p)


@pytest.mark.parametrize("name", BOTH)
def test_parity_with_torch(name):
    (x,) = normal(0, (3, 4, 5))
    compare_with_torch(
        lambda x: getattr(ops, name)(x, 1), lambda torch, x: getattr(torch, name)(x, 1), 5 * x
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_and_infinite_inputs(dtype):
    x = Tensor(np.array([[1e4, -1e4], [1e4, 1e4], [-1e4, -1e4], [0, -np.inf]], dtype), True)
    p, log_p = ops.softmax(x), ops.log_softmax(x)
    np.testing.assert_array_equal(p.data, np.array([[1, 0], [0.5, 0.5], [0.5, 0.5], [1, 0]]))
    log2 = np.log(dtype(2))
    np.testing.assert_allclose(
        log_p.data, np.array([[0, -2e4], [-log2, -log2], [-log2, -log2], [0, -np.inf]]), rtol=1e-6
    )
    dy = np.array([[1, 2]] * 4, dtype)
    np.testing.assert_allclose(
        grad(p, x, dy)[0], [[0, 0], [-0.25, 0.25], [-0.25, 0.25], [0, 0]], atol=1e-6
    )
    np.testing.assert_allclose(
        grad(log_p, x, dy)[0], [[-2, 2], [-0.5, 0.5], [-0.5, 0.5], [-2, 2]], atol=1e-6
    )


@pytest.mark.parametrize("name", BOTH)
def test_an_empty_axis_is_refused_and_other_empty_axes_work(name):
    with pytest.raises(ValueError, match=rf"{name}: shape \(3, 0\) has no entries along axis 1"):
        getattr(ops, name)(np.ones((3, 0)))
    assert getattr(ops, name)(np.ones((3, 0)), 0).shape == (3, 0)
    with pytest.raises(ValueError, match=f"{name}: got axis 2"):
        getattr(ops, name)(np.ones((3, 1)), 2)
