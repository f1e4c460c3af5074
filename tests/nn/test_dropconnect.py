"""DropConnect."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck, gradgradcheck
from nnseq.nn.dropconnect import DropConnect
from nnseq.ops.elementwise import sin
from nnseq.tensor import Tensor


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("p_drop", [0.1, 0.5])
def test_the_share_of_dropped_weights_is_p_drop_and_the_rest_is_scaled(p_drop):
    W = np.ones((200, 300))
    dropped = DropConnect(p_drop)(W, rng())
    assert abs((dropped == 0).mean() - p_drop) < 5 * math.sqrt(p_drop * (1 - p_drop) / W.size)
    np.testing.assert_allclose(dropped[dropped != 0], 1 / (1 - p_drop), rtol=1e-12)


def test_evaluation_and_p_0_are_the_identity_and_draw_nothing():
    W, source = np.ones((4, 3)), rng()
    before = source.bit_generator.state
    assert DropConnect(0.5).eval()(W) is W
    assert DropConnect(0.5).eval()(W, source) is W
    assert DropConnect(0.0)(W, source) is W
    assert source.bit_generator.state == before


def test_a_product_averaged_over_many_masks_is_the_product_in_evaluation():
    W, h, layer, source = rng(1).normal(size=(5, 4)), rng(2).normal(size=5), DropConnect(0.4), rng()
    products = np.array([h @ layer(W, source) for _ in range(20_000)])
    sigma = np.sqrt((h**2) @ (W**2) * 0.4 / 0.6 / len(products))
    assert (np.abs(products.mean(axis=0) - h @ layer.eval()(W)) < 5 * sigma).all()


def test_one_mask_serves_every_step_of_a_recurrence_and_the_next_pass_has_another():
    W, layer, source = rng(1).normal(size=(5, 5)), DropConnect(0.5), rng()
    dropped = layer(W, source)
    np.testing.assert_array_equal(dropped, layer(W, rng()))
    assert ((layer(W, source) == 0) != (dropped == 0)).any()


def test_derivatives():
    layer, W = DropConnect(0.4), rng(2).normal(size=(5, 4))

    def f(W):
        return sin(layer(W, rng(3)))

    gradcheck(f, W, rng=rng(4))
    gradgradcheck(f, W, rng=rng(5))


@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=3), p_drop=st.floats(0, 0.99),
    dtype=st.sampled_from([np.float32, np.float64]), is_tensor=st.booleans(),
)  # fmt: skip
def test_shape_and_dtype_are_kept(shape, p_drop, dtype, is_tensor):
    W = rng(1).normal(size=shape).astype(dtype)
    dropped = DropConnect(p_drop)(Tensor(W) if is_tensor else W, rng())
    assert isinstance(dropped, Tensor) == is_tensor
    values = dropped.data if is_tensor else dropped
    assert (values.shape, values.dtype) == (W.shape, dtype)
    kept = values != 0
    # In float32, 1 - p near 0 has lost some of its seven digits.
    np.testing.assert_allclose(values[kept], W[kept] / (1 - p_drop), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: DropConnect(1.0), ValueError, "DropConnect: p_drop is 1.0"),
        (lambda: DropConnect(-0.1), ValueError, "p_drop is -0.1"),
        (lambda: DropConnect(math.nan), ValueError, "p_drop is nan"),
        (lambda: DropConnect(None), TypeError, "p_drop is None, expected a number"),
        (
            lambda: DropConnect(0.5)(np.ones((2, 2))),
            TypeError,
            r"DropConnect in training \(eval\(\) turns it off\): rng is None, expected a generator",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
