"""The stack: composition, batch norm's place, dropout, last-layer start, states, gradients."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck
from nnseq.nn import BatchNorm, IndRNN, IndRNNBlock, IndRNNStack, Normal, Uniform
from nnseq.optim import SGD, Adam

from ..strategies import arrays
from .functional import as_function

T, B, D, H, L = 4, 3, 2, 5, 2
STEPS = {"bn": "after", "bn_steps": T}
MASK = np.arange(T)[:, None] < [4, 2, 3]


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def make(seed=0, hidden_size=H, num_layers=L, **options):
    wide = {"W_init": Normal(1.0), "u_init": Uniform(-1, 1), "dtype": np.float64}
    rng = np.random.default_rng(seed)
    return IndRNNStack(D, hidden_size, num_layers, rng=rng, **wide | options)


def test_each_layer_feeds_the_next_and_all_final_states_are_returned():
    stack, x = make(hidden_size=[5, 7]), draw(1, T, B, D)
    first, state_0 = stack.layers[0].rnn(x)
    second, state_1 = stack.layers[1].rnn(first)
    y, states = stack(x)
    np.testing.assert_array_equal(y.data, second.data)
    assert len(states) == 2
    np.testing.assert_array_equal(states[0].data, state_0.data)
    np.testing.assert_array_equal(states[1].data, state_1.data)
    assert states[1].shape == (B, 7)


def test_two_halves_with_the_states_carried_are_the_whole():
    stack, x = make(), draw(1, T, B, D)
    whole, _ = stack(x)
    first, states = stack(x[:3])
    second, _ = stack(x[3:], states)
    np.testing.assert_array_equal(np.concatenate([first.data, second.data]), whole.data)


def test_batch_norm_stands_before_or_after_the_recurrence():
    x, bn = draw(1, T, B, D), BatchNorm(H, dtype=np.float64)
    outputs = {}
    for place in ("before", "after"):
        block = make(bn=place).layers[0]
        rnn = block.rnn
        if place == "before":
            expected, state = rnn.recur(bn(rnn.project(x)))
        else:
            h, state = rnn(x)
            expected = bn(h)
        y, h_T = block(x)
        outputs[place] = y.data
        np.testing.assert_allclose(y.data, expected.data, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(h_T.data, state.data, rtol=1e-12, atol=1e-14)
        assert block.bn.running_mean.shape == (H,)
    assert np.abs(outputs["before"] - outputs["after"]).max() > 0.1


@pytest.mark.parametrize("place", ["before", "after"])
def test_step_by_step_statistics_follow_the_carried_state(place):
    """Two chunks with start = 0 and T train the rows that one long sequence trains."""
    x = draw(1, 2 * T, B, D)
    whole, halves = make(bn=place, bn_steps=2 * T), make(bn=place, bn_steps=2 * T)
    y, _ = whole(x)
    first, states = halves(x[:T])
    second, _ = halves(x[T:], states, start=T)
    np.testing.assert_allclose(np.concatenate([first.data, second.data]), y.data, rtol=1e-9)
    for a, b in zip(whole.layers, halves.layers, strict=True):
        np.testing.assert_allclose(a.bn.running_var, b.bn.running_var, rtol=1e-9)
        assert a.bn.running_var.shape == (2 * T, H)


@pytest.mark.parametrize(
    ("bn", "mask", "p_drop"),
    [*itertools.product([{}, {"bn": "before"}, {"bn": "after"}, STEPS], [None, MASK], [0.0, 0.5])],
)
def test_the_last_output_is_the_last_step_that_counts_of_all_outputs(bn, mask, p_drop):
    x = draw(1, T, B, D)
    rng_a, rng_b = np.random.default_rng(2), np.random.default_rng(2)
    every, _ = make(p_drop=p_drop, **bn)(x, mask=mask, rng=rng_a)
    last, _ = make(p_drop=p_drop, **bn)(x, mask=mask, rng=rng_b, only_last=True)
    t = np.full(B, T - 1) if mask is None else mask.sum(axis=0) - 1
    np.testing.assert_array_equal(last.data, every.data[t, np.arange(B)])
    assert rng_a.bit_generator.state == rng_b.bit_generator.state


def test_dropout_has_one_mask_for_all_steps_and_works_between_the_layers_too():
    stack, x = make(p_drop=0.5, act="identity"), draw(1, T, B, D)
    y, _ = stack(x, rng=np.random.default_rng(0))
    dropped = y.data == 0
    assert (dropped == dropped[0]).all()
    assert 0 < dropped[0].sum() < dropped[0].size
    block = stack.layers[0]
    inner, _ = block(x, rng=np.random.default_rng(0))
    assert ((inner.data == 0) == (inner.data[0] == 0)).all()
    assert (inner.data[0] == 0).any()


def test_training_twice_differs_and_evaluating_twice_does_not():
    stack, x, rng = make(p_drop=0.5, bn="after"), draw(1, T, B, D), np.random.default_rng(0)
    assert (stack(x, rng=rng)[0].data != stack(x, rng=rng)[0].data).any()
    stack.eval()
    np.testing.assert_array_equal(stack(x)[0].data, stack(x, rng=rng)[0].data)
    with pytest.raises(TypeError, match="rng is None"):
        stack.train()(x)


def test_the_last_layer_has_its_own_start_and_the_others_do_not():
    """The original's option did nothing: it looked for a parameter by a name that was not there."""
    options = {"u_init": Uniform(0, 1.01), "u_init_last": Uniform(0.99, 1.01)}
    stack = make(hidden_size=200, num_layers=3, **options)
    *others, last = (block.rnn.u.data for block in stack.layers)
    assert last.min() >= 0.99
    assert last.max() <= 1.01
    assert all(u.min() < 0.1 for u in others)
    one = make(hidden_size=200, num_layers=1, **options)
    assert one.layers[0].rnn.u.data.min() >= 0.99
    assert make(hidden_size=200, u_init=Uniform(0, 1.01)).layers[1].rnn.u.data.min() < 0.1


def test_the_bound_holds_in_every_layer_and_a_new_one_acts_at_once():
    stack = make(u_bound=0.9, learn_h0=True)
    optimizer = SGD(stack.named_parameters(), 10.0)
    for seed in range(3):
        optimizer.zero_grad()
        stack(draw(seed, T, B, D))[0].backward(draw(seed + 9, T, B, H))
        optimizer.step()
        assert max(np.abs(block.rnn.u.data).max() for block in stack.layers) > 0.9
        stack.constrain()
        assert all(np.abs(block.rnn.u.data).max() <= 0.9 for block in stack.layers)
    stack.u_bound = 0.25
    assert stack.u_bound == 0.25
    assert all(np.abs(block.rnn.u.data).max() <= 0.25 for block in stack.layers)


def test_weight_decay_by_name_spares_u_and_b():
    stack = make(bn="after", learn_h0=True)
    before = stack.state_dict()
    optimizer = Adam(stack.named_parameters(), 0.1, weight_decay=0.1, no_decay=("u", "b"))
    for x in stack.parameters():
        x.grad = np.zeros_like(x.data)
    optimizer.step()
    for name, x in stack.named_parameters():
        is_spared = name.rpartition(".")[2] in ("u", "b") or not before[name].any()
        assert np.array_equal(x.data, before[name]) == is_spared, name


@pytest.mark.parametrize(
    "options",
    [
        {"act": "relu"},
        {"act": "tanh", "learn_h0": True},
        {"bn": "before", "act": "tanh"},
        {"bn": "after", "act": "relu"},
        {"bn": "after", "bn_steps": 3, "act": "tanh"},
        {"p_drop": 0.4, "act": "identity"},
    ],
)
@pytest.mark.parametrize("only_last", [False, True])
@pytest.mark.parametrize("mask", [None, MASK])
def test_gradients_of_every_parameter_and_the_input(options, only_last, mask):
    stack = make(**options)

    def call(stack, x):
        y, states = stack(x, mask=mask, rng=np.random.default_rng(3), only_last=only_last)
        return (y, *states)

    f, parameters = as_function(stack, call)
    gradcheck(f, *parameters, draw(6, T, B, D), rng=np.random.default_rng(7), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make(num_layers=0), "IndRNNStack: num_layers is 0"),
        (lambda: make(hidden_size=[5, 6, 7]), r"hidden_size is \[5, 6, 7\], expected 2 sizes"),
        (lambda: make(bn="around"), "bn is 'around', expected one of None, 'before', 'after'"),
        (lambda: make(bn_steps=4), "bn_steps is 4, but bn is None"),
        (lambda: make(p_drop=1.0), "p_drop is 1.0"),
        (lambda: make()(draw(0, T, B, D), [None]), "h0 has 1 states, expected one for each of 2"),
        (lambda: make()(draw(0, T, B, D + 1)), r"x has shape \(4, 3, 3\)"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("bn", [None, "after"])
def test_the_last_output_of_a_reversed_layer_is_refused(bn):
    rnn = IndRNN(D, H, rng=np.random.default_rng(0), reverse=True)
    block, x = IndRNNBlock(rnn, bn=bn), draw(1, T, B, D).astype(np.float32)
    assert block(x)[0].shape == (T, B, H)
    with pytest.raises(ValueError, match=r"IndRNNBlock: only_last .* reversed"):
        block(x, only_last=True)


@pytest.mark.parametrize("bound", [-1.0, 0.0, np.nan])
def test_a_new_bound_that_is_not_above_0_is_refused_and_changes_nothing(bound):
    stack = make(u_bound=0.9)
    before = stack.state_dict()
    with pytest.raises(ValueError, match="IndRNNStack: u_bound is"):
        stack.u_bound = bound
    assert stack.u_bound == 0.9
    np.testing.assert_array_equal(stack.layers[0].rnn.u.data, before["layers.0.rnn.u"])


@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 4, st.integers(1, 3)),
    bn=st.sampled_from([{}, {"bn": "before"}, {"bn": "after"}]),
    dtype=st.sampled_from([np.float32, np.float64]),
    only_last=st.booleans(),
    is_masked=st.booleans(),
    data=st.data(),
)
def test_any_sizes_dtypes_and_layouts(sizes, bn, dtype, only_last, is_masked, data):
    T, B, D, H, L = sizes
    T += bool(bn) and T * B == 1  # a single entry cannot be normalised
    rng = np.random.default_rng(0)
    options = {"W_init": Normal(1.0), "act": "tanh", "dtype": np.float64} | bn
    stack = IndRNNStack(D, H, L, rng=rng, **options)
    x = data.draw(arrays((T, B, D)))
    mask = np.ones((T, B), bool)
    if is_masked and T > 2:
        mask[-1, 0] = False

    def call(stack, x):
        y, states = stack(x, mask=mask if is_masked else None, only_last=only_last)
        return (y, *states)

    expected = [y.data for y in call(stack, x)]
    outputs = call(stack.astype(dtype), x.astype(dtype, order="K"))
    for y, right in zip(outputs, expected, strict=True):
        assert y.dtype == dtype
        # Batch norm of few entries divides float32's rounding errors by small deviations.
        np.testing.assert_allclose(y.data, right, atol=1e-3 if dtype == np.float32 else 0)
    if dtype == np.float64:
        f, parameters = as_function(stack, call)
        gradcheck(f, *parameters, x, rng=rng, rtol=1e-4, atol=1e-4)  # few entries may almost tie


def test_a_block_made_by_hand_shares_its_layers_names():
    block = IndRNNBlock(make().layers[0].rnn, bn="after")
    names = [name for name, _ in block.named_parameters()]
    assert names == ["rnn.W_ih", "rnn.b", "rnn.u", "bn.gamma", "bn.beta"]


@pytest.mark.parametrize("x", [None, [[[1.0, 2.0]]]])
@pytest.mark.parametrize("lengths", [None, [1]])
def test_what_is_no_array_is_refused_by_name(x, lengths):
    stack = make()
    for layer in (stack, stack.layers[0], stack.layers[0].rnn):
        words = f"{type(layer).__name__}: x is a {type(x).__name__}, expected an array or a Tensor"
        with pytest.raises(TypeError, match=words):
            layer(x, lengths=lengths)
