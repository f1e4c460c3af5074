"""Weight normalisation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.nn.module import Parameter
from nnseq.nn.weight_norm import WeightNorm
from nnseq.tensor import Tensor, grad
from tests.nn.functional import as_function
from tests.ops.check import check_op


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def by_columns(W, g):
    """(1), one column after the other."""
    columns = [g[j] * W[:, j] / np.linalg.norm(W[:, j]) for j in range(W.shape[1])]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_starts_as_the_matrix_itself(dtype):
    W = Parameter(draw(0, 5, 12).astype(dtype))
    layer = WeightNorm(W)
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(layer.g.data, np.linalg.norm(W.data, axis=0), rtol=tolerance)
    y = layer(W)
    assert (y.dtype, layer.g.dtype) == (dtype, dtype)
    np.testing.assert_allclose(y.data, W.data, rtol=2e-7 if dtype == np.float32 else 1e-14)


def test_it_holds_g_alone_one_length_per_output_unit():
    layer = WeightNorm(Parameter(draw(0, 5, 12)))
    assert {name: x.shape for name, x in layer.named_parameters()} == {"g": (12,)}


def test_the_columns_get_length_g_whatever_the_length_of_w():
    W = draw(0, 4, 3)
    layer = WeightNorm(W)
    layer.g.data[:] = [2.0, -1.0, 0.5]
    np.testing.assert_allclose(layer(W).data, by_columns(W, [2.0, -1.0, 0.5]), rtol=1e-13)
    np.testing.assert_allclose(layer(W * [7, 0.1, 3]).data, layer(W).data, rtol=1e-13)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4)])
def test_first_and_second_derivatives_of_w_and_g(shape):
    layer = WeightNorm(draw(0, *shape))
    f, (g,) = as_function(layer, lambda layer, W: layer(W))
    check_op(lambda g, W: f(g, W), g + draw(7, *g.shape), draw(8, *shape))


@given(sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)), seed=st.integers(0, 10**6))
def test_derivatives_at_any_size(sizes, seed):
    layer = WeightNorm(draw(seed, *sizes) + 3)
    f, (g,) = as_function(layer, lambda layer, W: layer(W))
    check_op(lambda g, W: f(g, W), g, draw(seed + 1, *sizes) + 3, seconds=False)


def test_the_gradient_of_w_is_at_right_angles_to_its_columns():
    W = Tensor(draw(0, 6, 4), requires_grad=True)
    layer = WeightNorm(W)
    (dW,) = grad(layer(W), W, draw(1, 6, 4))
    assert np.abs(dW).max() > 0.1
    np.testing.assert_allclose((dW * W.data).sum(axis=0), 0, atol=1e-13)


def test_g_is_a_copy_of_its_own():
    W = Parameter(draw(0, 5, 4))
    layer = WeightNorm(W)
    before = layer.g.data.copy()
    W.data *= 2
    np.testing.assert_array_equal(layer.g.data, before)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: WeightNorm([[1.0]]), TypeError, "WeightNorm: W is a list, expected a Tensor or"),
        (lambda: WeightNorm(np.ones((2, 3), int)), TypeError, "W has dtype int64"),
        (lambda: WeightNorm(np.ones(3)), ValueError, r"W has shape \(3,\), expected \(..., fan"),
        (
            lambda: WeightNorm(np.array([[1.0, 0.0], [2.0, 0.0]])),
            ValueError,
            "column 1 of W has length 0.0, expected more than 0, .* start W from random numbers",
        ),
        (lambda: WeightNorm(np.full((2, 2), np.nan)), ValueError, "column 0 of W has length nan"),
        (
            lambda: WeightNorm(np.ones((2, 3)))(np.ones((2, 4))),
            ValueError,
            r"W has shape \(2, 4\), expected .* fan_out = 3",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
