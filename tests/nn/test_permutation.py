"""One fixed order of the steps of a sequence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.backend import to_device
from nnseq.gradcheck import gradcheck
from nnseq.nn import Permutation


def permutation(T, seed=0):
    return Permutation(T, rng=np.random.default_rng(seed))


@given(T=st.integers(1, 40), seed=st.integers(0, 99))
def test_every_step_comes_once_in_the_place_that_the_order_says(T, seed):
    layer = permutation(T, seed)
    x = np.random.default_rng(seed).normal(size=(T, 3, 2))
    y = layer(x)
    assert sorted(layer.order.tolist()) == list(range(T))
    for t in range(T):
        assert (y[t] == x[layer.order[t]]).all()


def test_it_depends_on_the_generator_alone():
    orders = [tuple(permutation(20, seed).order) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_the_gradient_of_a_step_goes_back_to_where_it_came_from():
    layer, rng = permutation(4), np.random.default_rng(1)
    assert list(layer.order) != [0, 1, 2, 3]
    gradcheck(layer, rng.normal(size=(4, 3, 2)), rng=rng)


def test_the_order_is_saved_and_is_no_parameter():
    layer, other = permutation(9, 1), permutation(9, 2)
    assert list(layer.parameters()) == []
    assert layer.num_parameters() == 0
    state = layer.state_dict()
    assert list(state) == ["order"]
    assert state["order"].dtype == np.int64
    other.load_state_dict(state)
    assert (other.order == layer.order).all()


def test_it_is_the_same_in_evaluation_and_leaves_x_alone():
    layer, x = permutation(5), np.arange(10.0).reshape(5, 2)
    x.flags.writeable = False
    assert (layer.eval()(x) == layer.train()(x)).all()


def test_on_the_gpu_it_is_the_same_order():
    cupy = pytest.importorskip("cupy", reason="no GPU")
    if not cupy.is_available():
        pytest.skip("no GPU")
    x, layer = np.arange(14.0).reshape(7, 2), permutation(7)
    expected = layer(x)
    y = layer.to("cuda")(to_device(x, "cuda"))
    assert (to_device(y, "cpu") == expected).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: permutation(0), ValueError, "Permutation: T is 0"),
        (lambda: permutation(2.5), TypeError, r"Permutation: T is 2\.5"),
        (lambda: Permutation(3, rng=7), TypeError, "Permutation"),
        (
            lambda: permutation(3)(np.zeros((4, 2))),
            ValueError,
            r"Permutation: x has shape \(4, 2\), expected \(T, ...\) with T = 3",
        ),
        (lambda: permutation(3)(np.float64(1)), ValueError, r"x has shape \(\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
