"""Activations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import ops
from nnseq.tensor import Tensor, grad
from tests.ops.check import check_op, compare_with_torch, normal
from tests.strategies import arrays, shapes

SMOOTH = ("tanh", "sigmoid", "softplus", "erf", "gelu")
ALL = (*SMOOTH, "relu")


@pytest.mark.parametrize("name", SMOOTH)
@given(data=st.data())
def test_smooth_activation(name, data):
    check_op(getattr(ops, name), data.draw(arrays(shapes(), -4, 4)))


@given(arrays(shapes(), apart_from=0.0))
def test_relu(x):
    check_op(ops.relu, x)
    np.testing.assert_array_equal(ops.relu(x), np.where(x > 0, x, 0))


@pytest.mark.parametrize("name", ALL)
def test_parity_with_torch(name):
    def theirs(torch, x):
        there = torch.nn.functional if name in ("gelu", "softplus") else torch
        return getattr(there, name)(x)

    (x,) = normal(0, (5, 7))
    compare_with_torch(getattr(ops, name), theirs, 3 * x)


AT_THE_ENDS = {  # at -1e4 and 1e4: (value, value), (slope, slope)
    "tanh": ((-1, 1), (0, 0)),
    "sigmoid": ((0, 1), (0, 0)),
    "softplus": ((0, 1e4), (0, 1)),
    "erf": ((-1, 1), (0, 0)),
    "gelu": ((0, 1e4), (0, 1)),
    "relu": ((0, 1e4), (0, 1)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALL)
def test_large_inputs_saturate(name, dtype):
    x = Tensor(np.array([-1e4, 1e4], dtype), True)
    y = getattr(ops, name)(x)
    values, slopes = AT_THE_ENDS[name]
    np.testing.assert_array_equal(y.data, np.array(values, dtype))
    np.testing.assert_array_equal(grad(y, x, np.ones(2, dtype))[0], np.array(slopes, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ALL)
def test_denormals_and_nan(name, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    y = getattr(ops, name)(np.array([-tiny, tiny, np.nan], dtype))
    at_0 = getattr(ops, name)(np.zeros(1, dtype))[0]
    assert np.abs(y[:2] - at_0).max() <= 2 * tiny
    assert np.isnan(y[2])


def test_relu_has_slope_0_at_0():
    x = Tensor(np.array([0.0, -0.0]), True)
    np.testing.assert_array_equal(grad(ops.relu(x), x, np.ones(2))[0], [0, 0])


def test_softplus_keeps_small_values():
    np.testing.assert_allclose(ops.softplus(np.array([-30.0])), np.exp(-30.0), rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_integers_are_refused(name):
    with pytest.raises(TypeError, match=f"{name}: x has dtype int64, expected float32 or float64"):
        getattr(ops, name)(np.arange(3))
