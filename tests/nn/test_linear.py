"""The linear layer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck
from nnseq.nn import Constant, Linear, Uniform

from .functional import as_function


def make(D, O, seed=0, **options):
    options = {"dtype": np.float64, "b_init": Uniform(-1, 1)} | options
    return Linear(D, O, rng=np.random.default_rng(seed), **options)


@given(
    lead=st.lists(st.integers(0, 4), max_size=3), D=st.integers(1, 5), O=st.integers(1, 5),
    has_bias=st.booleans(), dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_it_is_the_affine_map_for_any_leading_axes(lead, D, O, has_bias, dtype):
    layer = make(D, O, dtype=dtype, b_init=Uniform(-1, 1) if has_bias else None)
    x = np.random.default_rng(1).normal(size=(*lead, D)).astype(dtype)
    y = layer(x)
    expected = np.einsum("...i,io->...o", x.astype(np.float64), layer.W.data.astype(np.float64))
    expected = expected + (layer.b.data if has_bias else 0)
    assert y.dtype == dtype
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y.data, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("shape", [(4, 3, 2), (3, 2), (2,)])
def test_gradients(shape, has_bias):
    layer = make(2, 5, b_init=Constant(0.3) if has_bias else None)
    f, parameters = as_function(layer, lambda layer, x: layer(x))
    assert len(parameters) == 1 + has_bias
    x = np.random.default_rng(2).normal(size=shape)
    gradcheck(f, *parameters, x, rng=np.random.default_rng(3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: make(0, 3), ValueError, "Linear: input_size is 0, expected at least 1"),
        (lambda: make(2, -3), ValueError, "output_size is -3"),
        (lambda: make(2.5, 3), TypeError, "input_size is 2.5, expected a whole number"),
        (lambda: make(True, 3), TypeError, "input_size is True"),
        (lambda: make(2, 3, dtype=np.int64), TypeError, "dtype is int64"),
        (lambda: Linear(2, 3, rng=7), TypeError, "rng is 7, expected a generator"),
        (lambda: make(2, 3)(np.ones((4, 3))), ValueError, r"x has shape \(4, 3\), expected .* = 2"),
        (lambda: make(2, 3)(np.ones((4, 2), np.float32)), TypeError, "float32"),
        (lambda: make(2, 3)(np.ones((4, 2), np.int64)), TypeError, "int64"),
        (lambda: make(2, 3)([[1.0, 2.0]]), TypeError, "Linear: x is a list, expected an array or"),
        (lambda: make(2, 3)(None), TypeError, "Linear: x is a NoneType, expected an array or a T"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
