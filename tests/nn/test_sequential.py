"""Sequential."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck
from nnseq.nn import Dropout, Linear, Sequential, Uniform
from nnseq.ops.activations import tanh
from tests.strategies import arrays

from .functional import as_function


def make(p_drop=0.0):
    rng = np.random.default_rng(0)
    first, last = (Linear(*s, rng=rng, dtype=np.float64) for s in ((2, 5), (5, 3)))
    return Sequential(first, tanh, Dropout(p_drop), last)


def test_steps_run_in_order():
    model, x = make(), np.random.default_rng(1).normal(size=(4, 2))
    expected = np.tanh(x @ model[0].W.data) @ model[-1].W.data
    np.testing.assert_allclose(model(x).data, expected, rtol=1e-12)
    assert [name for name, _ in model.named_parameters()] == ["0.W", "0.b", "3.W", "3.b"]
    assert len(model) == 4


def test_gradients():
    f, parameters = as_function(make(), lambda model, x: model(x))
    x = np.random.default_rng(2).normal(size=(4, 2))
    gradcheck(f, *parameters, x, rng=np.random.default_rng(3))


def test_the_generator_reaches_the_steps_that_draw():
    model, x = make(0.5), np.ones((4, 2))
    a = model(x, rng=np.random.default_rng(4)).data
    b = model(x, rng=np.random.default_rng(5)).data
    assert (a != b).any()
    np.testing.assert_array_equal(a, model(x, rng=np.random.default_rng(4)).data)
    with pytest.raises(TypeError, match="rng is None, expected a generator"):
        model(x)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="step 1 is a str, expected a module or a function"):
        Sequential(np.tanh, "relu")
    with pytest.raises(IndexError, match="got index 4"):
        make()[4]


@given(
    sizes=st.tuples(*[st.sampled_from([1, 3, 5])] * 3),
    lead=st.lists(st.sampled_from([1, 2, 3]), max_size=2),
    dtype=st.sampled_from([np.float32, np.float64]),
    data=st.data(),
)
def test_any_sizes_dtypes_and_layouts(sizes, lead, dtype, data):
    D, H, O = sizes
    rng = np.random.default_rng(0)
    layers = [
        Linear(*s, rng=rng, b_init=Uniform(-1, 1), dtype=np.float64) for s in ((D, H), (H, O))
    ]
    model, x = Sequential(layers[0], tanh, layers[1]), data.draw(arrays((*lead, D)))
    expected = np.tanh(x @ layers[0].W.data + layers[0].b.data) @ layers[1].W.data
    y = model.astype(dtype)(x.astype(dtype, order="K"))
    assert y.dtype == dtype
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    expected = expected + layers[1].b.data
    np.testing.assert_allclose(y.data, expected, rtol=tolerance, atol=tolerance)
    if dtype == np.float64:
        f, parameters = as_function(model, lambda model, x: model(x))
        gradcheck(f, *parameters, x, rng=rng)
