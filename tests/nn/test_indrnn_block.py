"""IndRNNBlock: what it adds to NormalizedIndRNN, the product with the input."""

import numpy as np
import pytest

from nnseq.gradcheck import gradcheck
from nnseq.nn import IndRNN, IndRNNBlock, Normal, Uniform

from .functional import as_function

T, B, D, H = 4, 3, 2, 5
MASK = np.arange(T)[:, None] < [4, 2, 3]


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def make(reverse=False, learn_h0=False, act="tanh", **options):
    rng = np.random.default_rng(0)
    wide = {"W_init": Normal(1.0), "u_init": Uniform(-1, 1), "dtype": np.float64, "act": act}
    rnn = IndRNN(D, H, rng=rng, reverse=reverse, learn_h0=learn_h0, **wide)
    return IndRNNBlock(rnn, **options)


def test_it_has_its_layers_names():
    names = [name for name, _ in make(bn="after").named_parameters()]
    assert names == ["rnn.W_ih", "rnn.b", "rnn.u", "bn.gamma", "bn.beta"]


@pytest.mark.parametrize(
    "options",
    [
        {"bn": "before", "learn_h0": True},
        {"bn": "after", "bn_steps": 3, "p_drop": 0.4, "act": "identity"},
    ],
)
@pytest.mark.parametrize("only_last", [False, True])
@pytest.mark.parametrize("mask", [None, MASK])
def test_gradients_of_every_parameter_and_the_input(options, only_last, mask):
    def call(block, x):
        return block(x, mask=mask, rng=np.random.default_rng(3), only_last=only_last)

    f, parameters = as_function(make(**options), call)
    gradcheck(f, *parameters, draw(6, T, B, D), rng=np.random.default_rng(7), atol=1e-6)


@pytest.mark.parametrize("bn", [None, "after"])
def test_the_last_output_of_a_reversed_layer_is_refused(bn):
    block, x = make(bn=bn, reverse=True), draw(1, T, B, D)
    assert block(x)[0].shape == (T, B, H)
    with pytest.raises(ValueError, match=r"IndRNNBlock: only_last .* reversed"):
        block(x, only_last=True)


@pytest.mark.parametrize("x", [None, [[[1.0, 2.0]]]])
@pytest.mark.parametrize("lengths", [None, [1]])
def test_what_is_no_array_is_refused_by_name(x, lengths):
    block = make()
    for layer in (block, block.rnn):
        words = f"{type(layer).__name__}: x is a {type(x).__name__}, expected an array or a Tensor"
        with pytest.raises(TypeError, match=words):
            layer(x, lengths=lengths)


def test_another_width_is_refused():
    with pytest.raises(ValueError, match=r"IndRNNBlock: x has shape \(4, 3, 3\), .* D = 2"):
        make()(draw(0, T, B, D + 1))
