"""Dropout."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck
from nnseq.nn import Dropout


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("p_drop", [0.1, 0.7])
@pytest.mark.parametrize("shared", [False, True])
def test_the_share_of_zeros_is_p_drop_and_the_rest_is_scaled_to_keep_the_mean(p_drop, shared):
    x = np.ones((3, 300, 400) if shared else (30, 30, 133))
    y = Dropout(p_drop, shared_over_time=shared)(x, rng())
    draws = x[0].size if shared else x.size
    assert abs((y == 0).mean() - p_drop) < 5 * math.sqrt(p_drop * (1 - p_drop) / draws)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p_drop), rtol=1e-12)


def test_the_shared_mask_is_constant_over_time_and_differs_over_batch_and_units():
    x = np.ones((6, 20, 30))
    dropped = Dropout(0.5, shared_over_time=True)(x, rng()) == 0
    assert (dropped == dropped[0]).all()
    assert 0 < dropped[0, 0].sum() < 30
    assert (dropped[0, 0] != dropped[0, 1]).any()
    own = Dropout(0.5)(x, rng()) == 0
    assert (own != own[0]).any()


def test_evaluation_and_p_0_are_the_identity_and_draw_nothing():
    x, source = np.ones((4, 3)), rng()
    before = source.bit_generator.state
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x
    assert Dropout(0.5).eval()(x, source) is x
    assert source.bit_generator.state == before


def test_training_twice_differs_and_the_same_generator_repeats():
    layer, x, source = Dropout(0.5), np.ones((4, 30)), rng()
    a, b = layer(x, source), layer(x, source)
    assert (a != b).any()
    np.testing.assert_array_equal(a, layer(x, rng()))


@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), p_drop=st.floats(0, 0.99),
    shared=st.booleans(), dtype=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_shape_and_dtype_are_kept(shape, p_drop, shared, dtype):
    x = rng(1).normal(size=shape).astype(dtype)
    y = Dropout(p_drop, shared_over_time=shared)(x, rng())
    assert (y.shape, y.dtype) == (x.shape, dtype)
    kept = y != 0
    # In float32, 1 - p down to 0.01 has lost two of seven digits.
    np.testing.assert_allclose(y[kept], x[kept] / (1 - p_drop), rtol=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_gradient(shared):
    layer = Dropout(0.4, shared_over_time=shared)
    x = rng(2).normal(size=(4, 3, 5))
    gradcheck(lambda x: layer(x, rng(3)), x, rng=rng(4))


@pytest.mark.parametrize("p_drop", [-0.1, 1.0, 1.5, math.nan])
def test_p_drop_out_of_range_is_refused(p_drop):
    with pytest.raises(ValueError, match="Dropout: p_drop is"):
        Dropout(p_drop)


def test_a_missing_generator_is_refused_in_training():
    with pytest.raises(TypeError, match="rng is None, expected a generator"):
        Dropout(0.5)(np.ones(3))
    with pytest.raises(TypeError, match="p_drop is 'half'"):
        Dropout("half")
