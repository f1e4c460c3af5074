"""Functions of single entries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import ops
from nnseq.tensor import Tensor, grad
from tests.ops.check import check_op, compare_with_torch, normal
from tests.strategies import arrays, broadcastable, shapes

DOMAINS = {"exp": (-2, 2), "log": (0.2, 3), "sqrt": (0.2, 3), "sin": (-4, 4), "cos": (-4, 4)}


@pytest.mark.parametrize("name", DOMAINS)
@given(data=st.data())
def test_function_of_one_array(name, data):
    x = data.draw(arrays(shapes(), *DOMAINS[name]))
    check_op(getattr(ops, name), x)


@pytest.mark.parametrize("name", DOMAINS)
def test_values_are_numpys(name):
    x = np.linspace(0.1, 3, 7)
    np.testing.assert_array_equal(getattr(ops, name)(x), getattr(np, name)(x))


@given(arrays(shapes(), apart_from=0.0))
def test_abs(x):
    check_op(ops.abs, x)


@given(arrays(shapes()), st.sampled_from([(-0.7, 0.9), (None, 0.4), (-0.3, None), (None, None)]))
def test_clip(x, limits):
    for limit in limits:
        if limit is not None:
            x = np.where(np.abs(x - limit) < 0.05, limit + 0.1, x)
    check_op(lambda x: ops.clip(x, *limits), x)
    np.testing.assert_array_equal(ops.clip(x, *limits), np.clip(x, *limits))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@given(data=st.data())
def test_larger_and_smaller(name, data):
    first, second = data.draw(broadcastable(2))
    x, y = data.draw(arrays(first)), data.draw(arrays(second))
    y = np.where(np.abs(y) < 0.05, 0.1, y)
    x = np.round(x, 1) + 0.03  # entries of y are nowhere within 0.01 of those of x
    y = np.round(y, 1)
    check_op(getattr(ops, name), x, y)
    np.testing.assert_array_equal(getattr(ops, name)(x, y), getattr(np, name)(x, y))
    check_op(lambda x: getattr(ops, name)(x, 0.0), x)


@given(st.data())
def test_where(data):
    c, first, second = data.draw(broadcastable(3))
    condition = data.draw(arrays(c)) > 0
    x, y = data.draw(arrays(first)), data.draw(arrays(second))
    check_op(lambda x, y: ops.where(condition, x, y), x, y)
    check_op(lambda y: ops.where(condition, 3, y), y)
    np.testing.assert_array_equal(ops.where(condition, x, y), np.where(condition, x, y))


@given(st.data())
def test_power_in_base_and_exponent(data):
    first, second = data.draw(broadcastable(2))
    x, p = data.draw(arrays(first, 0.2, 3)), data.draw(arrays(second, -3, 3))
    check_op(ops.power, x, p)
    np.testing.assert_allclose(ops.power(x, p), x**p, rtol=1e-15)


def test_power_of_numbers():
    x = np.array([0.5, 2.0, 3.0])
    check_op(lambda p: ops.power(2, p), x)
    check_op(lambda x: ops.power(x, -1.5), x)


def test_power_at_zero_has_finite_gradients():
    x, p = Tensor(np.zeros(4), True), Tensor(np.array([0.0, 1.0, 2.0, 0.5]), True)
    with np.errstate(divide="ignore"):  # the slope of √x at 0 is infinite
        dx, dp = grad(ops.power(x, p), [x, p], np.ones(4))
    np.testing.assert_array_equal(dx, [0, 1, 0, np.inf])
    np.testing.assert_array_equal(dp, np.zeros(4))


def test_ties_go_to_the_first_argument():
    x, y = Tensor(np.array([1.0, 2.0]), True), Tensor(np.array([1.0, 3.0]), True)
    for f, dx, dy in ((ops.maximum, [1, 0], [0, 1]), (ops.minimum, [1, 1], [0, 0])):
        got = grad(f(x, y), [x, y], np.ones(2))
        np.testing.assert_array_equal(got, [dx, dy])


def test_where_keeps_an_infinite_gradient_on_its_side():
    x, y = Tensor(np.ones(2), True), Tensor(np.ones(2), True)
    dx, dy = grad(ops.where(np.array([True, False]), x, y), [x, y], np.array([1.0, np.inf]))
    np.testing.assert_array_equal([dx, dy], [[1, 0], [0, np.inf]])


def test_clip_lets_nan_through():
    x = Tensor(np.array([np.nan, 2.0, 1.0]), True)
    y = ops.clip(x, 0.0, 1.0)
    np.testing.assert_array_equal(y.data, [np.nan, 1, 1])
    np.testing.assert_array_equal(grad(y, x, np.ones(3))[0], [1, 0, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_values(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([-1e4, -tiny, 0.0, tiny, -np.inf], dtype)
    with np.errstate(under="ignore"):
        np.testing.assert_array_equal(ops.exp(x), np.array([0, 1, 1, 1, 0], dtype))
    np.testing.assert_array_equal(ops.abs(x), np.array([1e4, tiny, 0, tiny, np.inf], dtype))
    np.testing.assert_array_equal(ops.maximum(x, -tiny), np.maximum(x, -tiny, dtype=dtype))
    assert np.isfinite(ops.log(np.array([tiny, 1e4], dtype))).all()
    assert ops.sqrt(np.array([tiny], dtype)) > 0
    assert ops.clip(np.array([np.inf, -np.inf], dtype), -1e4, 1e4).tolist() == [1e4, -1e4]


def test_parity_with_torch():
    x, y = normal(0, (3, 4), (4,))
    compare_with_torch(ops.maximum, lambda torch, x, y: torch.maximum(x, y), x, y)
    compare_with_torch(ops.power, lambda torch, x, y: torch.pow(x, y), np.abs(x) + 0.1, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_and_masks_do_not_change_the_dtype(dtype):
    x = Tensor(np.ones((2, 3), dtype), True)
    mask = np.array([1, 0, 1])
    for y in (
        ops.maximum(x, 0),
        ops.maximum(np.float64(0.5), x),
        ops.minimum(mask, x),
        ops.where(mask, x, 0.0),
        ops.where(mask == 1, mask, x),
        ops.clip(x, np.float64(0.5), 1),
        ops.power(x, 2),
        ops.power(2.0, x),
    ):
        assert y.dtype == dtype
        assert grad(y, x, np.ones(y.shape, dtype))[0].dtype == dtype


def test_bad_arguments_are_refused():
    x = np.ones(3)
    with pytest.raises(TypeError, match="exp: x has dtype int64, expected float32 or float64"):
        ops.exp(np.arange(3))
    with pytest.raises(TypeError, match="log: x is a list, expected a Tensor or an array"):
        ops.log([1.0])
    with pytest.raises(ValueError, match=r"clip: got low = 2.0 and high = 1.0"):
        ops.clip(x, 2, 1)
    with pytest.raises(TypeError, match="where: got int and int64, expected a float32"):
        ops.where(True, 1, np.arange(3))
    with pytest.raises(TypeError, match="maximum: the operands are float32 and float64"):
        ops.maximum(x, np.ones(3, np.float32))
    with pytest.raises(TypeError, match="power: p has dtype int64"):
        ops.power(x, np.arange(3))
