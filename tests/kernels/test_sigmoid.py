"""tanh and σ of compiled loops against wider numbers."""

import numpy as np
import pytest
from nnseq_kernels.cpu_jit import loop_jit
from nnseq_kernels.sigmoid import tanh_and_sigmoid

DTYPES = ["float32", "float64"]
ULPS = {"float32": 8, "float64": 3}  # float64 has the C library's tanh


@pytest.fixture(scope="module", params=DTYPES)
def functions(request):
    """(dtype, tanh, σ) for whole arrays."""
    return request.param, *map(over_arrays, tanh_and_sigmoid(np.dtype(request.param)))


def over_arrays(function):
    @loop_jit()  # as the recurrences compile it: products and sums may become one rounding
    def fill(x, y):
        for n in range(x.size):
            y[n] = function(x[n])

    def apply(x):
        y = np.empty_like(x)
        fill(x, y)
        return y

    return apply


def points(dtype):
    """Both signs, from the smallest numbers to far beyond where tanh is 1."""
    small = np.logspace(-40, 2, 40_001)
    return np.concatenate([np.linspace(-40, 40, 400_001), small, -small]).astype(dtype)


def test_tanh_is_good_to_a_few_units_in_the_last_place(functions):
    dtype, tanh, _ = functions
    x = points(dtype)
    y, right = tanh(x), np.tanh(x.astype(np.longdouble))
    assert y.dtype == dtype
    assert (np.abs(y - right) <= ULPS[dtype] * np.spacing(np.abs(right).astype(dtype))).all()


def test_sigmoid_is_good_to_two_units_in_the_last_place_of_one(functions):
    """σ = ½ + ½ tanh cancels far below 0: what is small is right to that, not to its own digits."""
    dtype, _, sigmoid = functions
    x = points(dtype)
    y, right = sigmoid(x), 1 / (1 + np.exp(-x.astype(np.longdouble)))
    assert y.dtype == dtype
    assert (np.abs(y - right) <= 2 * np.finfo(dtype).eps).all()


def test_both_are_symmetric_and_bounded(functions):
    dtype, tanh, sigmoid = functions
    x = points(dtype)
    np.testing.assert_array_equal(tanh(-x), -tanh(x))
    assert (np.abs(sigmoid(-x) + sigmoid(x) - 1) <= np.finfo(dtype).eps).all()
    assert (np.abs(tanh(x)) <= 1).all()
    assert (sigmoid(x) >= 0).all()
    assert (sigmoid(x) <= 1).all()


def test_zero_infinity_and_what_is_no_number(functions):
    dtype, tanh, sigmoid = functions
    eps = np.finfo(dtype).eps
    x = np.array([-np.inf, -1e30, -0.0, 0.0, 1e30, np.inf, np.nan], dtype)
    np.testing.assert_allclose(tanh(x), [-1, -1, 0, 0, 1, 1, np.nan], rtol=0, atol=4 * eps)
    np.testing.assert_allclose(sigmoid(x), [0, 0, 0.5, 0.5, 1, 1, np.nan], rtol=0, atol=2 * eps)
    assert np.signbit(tanh(x[2:3])).all()
    np.testing.assert_array_equal(tanh(x[2:4]), [0, 0])
    np.testing.assert_array_equal(sigmoid(x[2:4]), [0.5, 0.5])
