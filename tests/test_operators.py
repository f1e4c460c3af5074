"""The ops behind Python's operators: values against NumPy, first and second derivatives."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import operators as ops
from nnseq.gradcheck import gradcheck, gradgradcheck
from nnseq.operators import _check_range, _index_part
from nnseq.tensor import Tensor, grad
from tests.kernels.indrnn.parity import require_gpu
from tests.ops.check import check_op, compare_with_torch, normal
from tests.strategies import arrays, broadcastable, shapes, sizes

ARITHMETIC = ("add", "sub", "mul", "truediv")


@pytest.mark.parametrize("name", ARITHMETIC)
@given(data=st.data())
def test_arithmetic_broadcasts(name, data):
    f = getattr(operator, name)
    first, second = data.draw(broadcastable(2))
    x, y = data.draw(arrays(first)), data.draw(arrays(second, 0.3, 2))
    check_op(f, x, y)
    np.testing.assert_array_equal(f(Tensor(x), y).data, f(x, y))


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize("other", [3, -0.5, np.float64(1.5), np.int64(2), True], ids=repr)
def test_arithmetic_with_numbers_keeps_the_dtype(name, other):
    f = getattr(operator, name)
    for dtype in (np.float32, np.float64):
        x = Tensor(np.array([[0.5, 2.0]], dtype), requires_grad=True)
        for y, expected in ((f(x, other), f(x.data, other)), (f(other, x), f(other, x.data))):
            assert y.dtype == dtype
            np.testing.assert_allclose(y.data, expected, rtol=1e-6)
            assert grad(y, x, np.ones((1, 2), dtype))[0].dtype == dtype


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_with_an_array_on_the_left(name):
    f = getattr(operator, name)
    x, y = normal(0, (2, 3), (3,))
    left = f(x, Tensor(y, True))
    assert isinstance(left, Tensor)
    np.testing.assert_array_equal(left.data, f(x, y))


@pytest.mark.parametrize("mask", [np.array([True, False]), np.array([1, 0]), np.array([1.0, 0.0])])
def test_masks_of_any_kind_multiply(mask):
    for dtype in (np.float32, np.float64):
        if mask.dtype.kind == "f":
            mask = mask.astype(dtype)
        x = Tensor(np.array([2.0, 3.0], dtype), True)
        for y in (x * mask, mask * x, x * Tensor(mask)):
            assert y.dtype == dtype
            np.testing.assert_array_equal(y.data, [2, 0])
            np.testing.assert_array_equal(grad(y, x, np.ones(2, dtype))[0], [1, 0])


@given(arrays(shapes()))
def test_negation(x):
    check_op(operator.neg, x)


@given(arrays(shapes(), 0.2, 2), st.sampled_from([-2, -1, 0, 1, 2, 3, -0.5, 0.5, 1.5]))
def test_power(x, p):
    check_op(lambda x: x**p, x)
    np.testing.assert_array_equal((Tensor(x) ** p).data, x**p)


@pytest.mark.parametrize("p", [0, 1, 2, 3, np.array([0.0, 1.0, 2.0, 3.0])], ids=repr)
def test_whole_powers_of_zero_and_negative_numbers(p):
    x = Tensor(np.array([0.0, 0.0, 0.0, -2.0]), True)
    expected = [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, -4], [0, 0, 0, 12]]
    expected = expected[p] if isinstance(p, int) else [0, 1, 0, 12]
    np.testing.assert_array_equal(grad(x**p, x, np.ones(4))[0], expected)


def test_an_exponent_with_a_gradient_is_refused():
    x = Tensor(np.ones(2), True)
    with pytest.raises(TypeError, match=r"use nnseq.ops.power\(x, p\)"):
        x**x


@given(st.data())
def test_matmul_of_batches_broadcasts(data):
    n, m, k = (data.draw(sizes) for _ in range(3))
    leads = data.draw(
        st.sampled_from([((), ()), ((2,), (2,)), ((3,), ()), ((), (2,)), ((2, 1), (3,))])
    )
    m = data.draw(st.sampled_from([m, 0]))
    x, y = data.draw(arrays((*leads[0], n % 4, m))), data.draw(arrays((*leads[1], m, k % 3)))
    check_op(ops.matmul, x, y)
    np.testing.assert_allclose((Tensor(x) @ y).data, x @ y, atol=1e-13)


@pytest.mark.parametrize(
    ("first", "second"),
    [((3,), (3,)), ((4, 3), (3,)), ((3,), (3, 2)), ((2, 4, 3), (3,)), ((3,), (2, 3, 4))],
)
def test_matmul_of_vectors(first, second):
    x, y = normal(0, first, second)
    check_op(ops.matmul, x, y)
    np.testing.assert_allclose((x @ Tensor(y)).data, x @ y)


@pytest.mark.parametrize(
    ("first", "second"), [((), (2,)), ((2,), ()), ((2, 3), (2, 3)), ((3,), (2,)), ((2, 3), (2,))]
)
def test_matmul_of_shapes_that_do_not_fit_is_refused(first, second):
    with pytest.raises(ValueError, match="matmul: got shapes"):
        Tensor(np.ones(first)) @ np.ones(second)


def test_matmul_of_batches_that_do_not_broadcast_is_refused_by_name():
    x, y = Tensor(np.ones((2, 3, 4))), np.ones((3, 4, 5))
    with pytest.raises(ValueError, match=r"matmul: got shapes \(2, 3, 4\) and \(3, 4, 5\)"):
        x @ y


def test_matmul_computes_only_the_gradient_that_is_needed(monkeypatch):
    x, W = Tensor(np.ones((2, 3))), Tensor(np.ones((3, 4)), True)
    z = x @ W
    needed = []
    swap_last = ops.swap_last
    monkeypatch.setattr(ops, "swap_last", lambda a: needed.append(a.shape) or swap_last(a))
    grad(z, W, np.ones((2, 4)))
    assert needed == [(2, 3)]


@given(st.data())
def test_methods_of_tensors(data):
    x = data.draw(arrays(shapes(min_dims=1, zero=False)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    as_tensor = data.draw(
        st.sampled_from(
            [
                lambda x: x.sum(axis),
                lambda x: x.mean(axis, keepdims=True),
                lambda x: x.sum(),
                lambda x: x.sum(np.int64(axis), keepdims=True),
                lambda x: x.T,
                lambda x: x.reshape(-1),
                lambda x: x.reshape((x.size, 1)),
                lambda x: x.transpose(*range(x.ndim)),
                lambda x: x[..., 0],
            ]
        )
    )
    gradcheck(as_tensor, x, rng=np.random.default_rng(0))
    gradgradcheck(as_tensor, x, rng=np.random.default_rng(0))
    np.testing.assert_allclose(as_tensor(Tensor(x)).data, as_tensor(x))


def test_casting_brings_the_gradient_back_in_the_inputs_dtype():
    x = Tensor(np.array([1.0, 2.0], np.float32), True)
    y = x.astype(np.float64) * 3
    assert y.dtype == np.float64
    dx = grad(y, x, np.array([1.0, 2.0]))[0]
    assert dx.dtype == np.float32
    np.testing.assert_array_equal(dx, [3, 6])
    assert x.astype(int).dtype == np.int64
    assert not x.astype(int).requires_grad


@pytest.mark.parametrize("name", ARITHMETIC)
def test_mixed_float_dtypes_are_refused_by_name(name):
    x, y = Tensor(np.ones(2, np.float32)), np.ones(2)
    with pytest.raises(TypeError, match="the operands are float32 and float64, expected one float"):
        getattr(operator, name)(x, y)


@pytest.mark.parametrize("name", [*ARITHMETIC, "pow"])
@pytest.mark.parametrize("other", [[1.0, 2.0], None, "a", 1j, np.complex64(1j), np.ones(2) * 1j])
def test_what_is_no_real_number_or_array_is_refused_by_name(name, other):
    x = Tensor(np.ones(2, np.float32), True)
    with pytest.raises(TypeError, match=r"\w+: operand 1 is .*, expected a Tensor"):
        getattr(operator, name)(x, other)


def test_shapes_that_do_not_broadcast_are_refused_by_name():
    with pytest.raises(ValueError, match=r"mul: operands could not be broadcast .*\(2,\) \(3,\)$"):
        Tensor(np.ones(2)) * np.ones(3)


def test_a_large_bias_gradient_is_accurate_in_float32():
    dy = np.random.default_rng(0).standard_normal((200, 100, 3)).astype(np.float32) + np.float32(1)
    b = Tensor(np.zeros(3, np.float32), True)
    db = grad(np.zeros(dy.shape, np.float32) + b, b, dy)[0]
    np.testing.assert_allclose(db, dy.astype(np.float64).sum((0, 1)), rtol=1e-6)


def test_parity_with_torch():
    x, y, z = normal(0, (2, 3, 4), (4, 5), (3, 1))
    f = lambda x, y, z: ((x @ y) / (z * z + 1) - x.sum() ** 2)[:, [0, 0, 2], 1:]  # noqa: E731
    compare_with_torch(f, lambda torch, *xs: f(*xs), x, y, z)


X = np.arange(24.0).reshape(2, 3, 4)
INSIDE = [
    [0, 1, -2],
    (slice(None), [2, -3]),
    (..., [3, -4]),
    (None, [1], None, [0], ...),
    ([True, False], [2]),
    (np.ones((2, 3), bool), [3]),
    (True, [1]),
    (1, [2], [3]),
    [],
]
OUTSIDE = [
    ([0, 2], "index 2 is out of bounds for axis 0 with size 2"),
    ([-3], "index -3 is out of bounds for axis 0 with size 2"),
    ((slice(None), [1, 3]), "index 3 is out of bounds for axis 1 with size 3"),
    ((..., [4]), "index 4 is out of bounds for axis 2 with size 4"),
    ((0, None, ..., [[-5]]), "index -5 is out of bounds for axis 2 with size 4"),
    ((np.ones((2, 3), bool), [4]), "index 4 is out of bounds for axis 2 with size 4"),
]


def check_range(index):
    """The look at the range that getitem takes on a GPU."""
    parts = index if isinstance(index, tuple) else (index,)
    _check_range(tuple(_index_part(p, np) for p in parts), X.shape)


@pytest.mark.parametrize("index", INSIDE, ids=str)
def test_an_index_inside_is_let_through(index):
    assert X[index].size >= 0
    check_range(index)


@pytest.mark.parametrize(("index", "words"), OUTSIDE, ids=str)
def test_an_index_outside_is_refused_on_every_device(index, words):
    with pytest.raises(IndexError, match=words):
        check_range(index)
    with pytest.raises(IndexError):
        Tensor(X)[index]


@pytest.mark.gpu
def test_on_a_gpu_no_index_wraps_around():
    cupy = require_gpu()
    x = Tensor(cupy.asarray(X), True)
    for index in INSIDE:
        np.testing.assert_array_equal(x[index].numpy(), X[index])
    for index, words in OUTSIDE:
        with pytest.raises(IndexError, match=words):
            x[index]
