"""The recurrence with batch norm and dropout around it, without an input product."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck
from nnseq.nn import (
    BatchNorm,
    IndRNN,
    IndRNNBlock,
    IndRNNRecurrence,
    NormalizedIndRNN,
    Uniform,
    build,
    describe,
)
from tests.strategies import arrays

from .functional import as_function

T, B, H = 4, 3, 5
MASK = np.arange(T)[:, None] < [4, 2, 3]
CASES = [{}, {"bn": "before"}, {"bn": "after"}, {"bn": "before", "bn_steps": 3},
         {"bn": "after", "bn_steps": 3, "p_drop": 0.4}]  # fmt: skip


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def make(seed=0, H=H, act="relu", reverse=False, **options):
    rng = np.random.default_rng(seed)
    recurrence = {"act": act, "u_init": Uniform(-1, 1), "reverse": reverse, "dtype": np.float64}
    return NormalizedIndRNN(IndRNNRecurrence(H, rng=rng, **recurrence), **options)


@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize("only_last", [False, True])
def test_a_block_is_an_input_product_and_this(options, only_last):
    rng = np.random.default_rng(0)
    block = IndRNNBlock(IndRNN(2, H, rng=rng, dtype=np.float64), **options)
    layer, x, h0 = make(**options), draw(1, T, B, 2), draw(2, B, H)
    block.rnn.b.data[...] = draw(3, H)
    layer.rnn.u.data[...] = block.rnn.u.data
    a = x @ block.rnn.W_ih.data + block.rnn.b.data
    call = {"mask": MASK, "start": 2, "only_last": only_last}
    ours = layer(a, h0, rng=np.random.default_rng(4), **call)
    theirs = block(x, h0, rng=np.random.default_rng(4), **call)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.data, other.data, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("place", ["before", "after"])
def test_batch_norm_stands_on_its_side_of_the_recurrence(place):
    layer, a, h0 = make(bn=place, gamma_init=0.3), draw(1, T, B, H), draw(2, B, H)
    bn = BatchNorm(H, gamma_init=0.3, dtype=np.float64)
    if place == "before":
        expected, last = layer.rnn(bn(a), h0)
    else:
        h, last = layer.rnn(a, h0)
        expected = bn(h)
    y, h_T = layer(a, h0)
    np.testing.assert_array_equal(y.data, expected.data)
    np.testing.assert_array_equal(h_T.data, last.data)
    assert (layer.bn.gamma.data == 0.3).all()
    assert [name for name, _ in layer.named_parameters()] == ["rnn.u", "bn.gamma", "bn.beta"]


@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("only_last", [False, True])
def test_gradients_of_every_input_and_parameter(options, mask, only_last):
    layer = make(**options)
    if layer.bn is not None:  # a step with one entry is β alone: at β = 0, on the kink of relu
        layer.bn.beta.data[...] = draw(8, H)

    def call(layer, a, h0):
        rng = np.random.default_rng(3)
        return layer(a, h0, mask=mask, rng=rng, start=1, only_last=only_last)

    f, parameters = as_function(layer, call)
    rng = np.random.default_rng(7)
    gradcheck(f, *parameters, draw(6, T, B, H), draw(5, B, H), rng=rng, atol=1e-6)


@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 3),
    options=st.sampled_from(CASES[:3]),
    dtype=st.sampled_from([np.float32, np.float64]),
    only_last=st.booleans(),
    data=st.data(),
)
def test_any_sizes_dtypes_and_layouts(sizes, options, dtype, only_last, data):
    T, B, H = sizes
    layer, a = make(H=H, act="tanh", **options).eval(), data.draw(arrays((T, B, H)))
    expected = layer(a, only_last=only_last)
    outputs = layer.astype(dtype)(a.astype(dtype, order="K"), only_last=only_last)
    for y, right in zip(outputs, expected, strict=True):
        assert y.dtype == dtype
        assert y.shape == ((B, H) if y.ndim == 2 else (T, B, H))
        np.testing.assert_allclose(y.data, right.data, atol=1e-5 if dtype == np.float32 else 0)


@pytest.mark.parametrize("place", ["before", "after"])
def test_it_can_be_evaluated_as_it_is_trained_with_the_statistics_of_the_batch(place):
    running, batch = (make(bn=place, bn_eval=kind) for kind in ("running", "batch"))
    a = 3 + draw(1, T, B, H)
    expected = running(a)[0].data  # in training, which moves the running statistics
    np.testing.assert_array_equal(batch.eval()(a)[0].data, expected)
    assert not batch.bn.running_mean.any()
    assert (np.abs(running.eval()(a)[0].data - expected) > 1e-3).any()


def test_it_is_rebuilt_from_its_description():
    layer, a = make(bn="after", bn_steps=3, gamma_init=0.5, act="tanh"), draw(1, T, B, H)
    layer(a)
    again = build(describe(layer))
    again.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(again.eval()(a)[0].data, layer.eval()(a)[0].data)


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(TypeError, match="NormalizedIndRNN: rnn is a IndRNN, expected the class"):
        NormalizedIndRNN(IndRNN(2, H, rng=rng))  # whose input product would never be used
    with pytest.raises(TypeError, match="IndRNNBlock: rnn is a IndRNNRecurrence, expected"):
        IndRNNBlock(IndRNNRecurrence(H, rng=rng))
    with pytest.raises(ValueError, match=r"NormalizedIndRNN: x has shape \(4, 3, 6\), expected"):
        make()(draw(0, T, B, H + 1))
    with pytest.raises(ValueError, match="NormalizedIndRNN: bn_steps is 3, but bn is None"):
        make(bn_steps=3)
    with pytest.raises(ValueError, match="NormalizedIndRNN: bn_eval is batch, but bn is None"):
        make(bn_eval="batch")
    with pytest.raises(ValueError, match="eval_with is 'train', expected one of"):
        make(bn="after", bn_eval="train")
    with pytest.raises(ValueError, match=r"NormalizedIndRNN: only_last .* reversed"):
        make(reverse=True)(draw(0, T, B, H), only_last=True)
    with pytest.raises(ValueError, match="NormalizedIndRNN: x has no step"):
        make(bn="after").eval()(draw(0, 0, B, H), only_last=True)
    with pytest.raises(ValueError, match=r"h0 has shape \(3, 4\), expected \(B, H\)"):
        make()(draw(0, T, B, H), draw(1, B, 4))
