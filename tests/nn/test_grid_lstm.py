"""The Grid LSTM: against loops in another order, its transpose, its two memories, gradients."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck, gradcheck_directional
from nnseq.nn import Normal, build, describe
from nnseq.nn.grid_lstm import GridLSTM, GridLSTMBlock
from nnseq.tensor import Tensor

from ..strategies import seeds
from .functional import as_function

T, B, D, H, L = 4, 3, 6, 5, 2
MASK = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 1]], bool)
PRIORITIES = [None, "time", "depth"]


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def make(seed=0, sizes=(D, H, L), **options):
    options = {"W_init": Normal(0.7), "b_init": Normal(0.7), "dtype": np.float64} | options
    return GridLSTM(*sizes, rng=np.random.default_rng(seed), **options)


def gate(block, dimension, k, h_time, h_depth):
    """Pre-activation number k (i f g o) of a dimension, from its own columns alone."""
    W = getattr(block, f"W_{dimension}").data[:, k * H : (k + 1) * H]
    b = getattr(block, f"b_{dimension}").data[k * H : (k + 1) * H]
    return h_time @ W[:H] + h_depth @ W[H:] + b


def lstm(block, dimension, h_time, h_depth, c):
    i, f, g, o = (gate(block, dimension, k, h_time, h_depth) for k in range(4))
    c = c / (1 + np.exp(-f - block.forget_bias)) + np.tanh(g) / (1 + np.exp(-i))
    return np.tanh(c / (1 + np.exp(-o))), c


def layer_by_layer(layer, x, h0, c0, mask):
    """The same grid with layers outside and time inside; H = 5."""
    a = x @ layer.W_ih.data + layer.b.data
    depth, last = [(a_t[:, :H], a_t[:, H:]) for a_t in a], []
    for k in range(layer.num_layers):
        block, (h, c) = layer.blocks[0 if layer.tied else k], (h0[k], c0[k])
        for t, (h_depth, c_depth) in enumerate(depth):
            if block.priority == "time":
                up = lstm(block, "depth", h, h_depth, c_depth)
                new = lstm(block, "time", h, up[0], c)
            else:
                new = lstm(block, "time", h, h_depth, c)
                seen = new[0] if block.priority == "depth" else h
                up = lstm(block, "depth", seen, h_depth, c_depth)
            counts = mask[t][:, None]
            h, c = np.where(counts, new[0], h), np.where(counts, new[1], c)
            depth[t] = up
        last.append((h, c))
    y = np.stack([h for h, _ in depth]) * mask[:, :, None]
    return y, *map(np.stack, zip(*last, strict=True))


@pytest.mark.parametrize("priority", PRIORITIES)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("mask", [None, MASK])
def test_it_is_a_grid_of_lstms_in_any_order_of_the_loops(mask, tied, priority):
    layer = make(tied=tied, priority=priority, forget_bias=0.3)
    x, h0, c0 = draw(1, T, B, D), draw(2, L, B, H), draw(3, L, B, H)
    y, (h_T, c_T) = layer(x, (h0, c0), mask=mask)
    expected = layer_by_layer(layer, x, h0, c0, np.ones((T, B), bool) if mask is None else mask)
    for got, want in zip((y, h_T, c_T), expected, strict=True):
        np.testing.assert_allclose(got.data, want, rtol=1e-11, atol=1e-13)


# ---- two dimensions ----------------------------------------------------------------------------


def transposed(layer, num_layers):
    """The grid with time and depth exchanged: every place has the same block, so tied."""
    priority = {None: None, "time": "depth", "depth": "time"}[layer.blocks[0].priority]
    other = make(9, (2 * H, H, num_layers), tied=True, priority=priority)
    mine, its = layer.blocks[0], other.blocks[0]
    for a, b in (("time", "depth"), ("depth", "time")):
        W = getattr(mine, f"W_{a}").data
        getattr(its, f"W_{b}").data[:] = np.vstack([W[H:], W[:H]])  # s = [h_time, h_depth]
        getattr(its, f"b_{b}").data[:] = getattr(mine, f"b_{a}").data
    other.W_ih.data[:], other.b.data[:] = np.eye(2 * H), 0
    return other


@pytest.mark.parametrize("priority", PRIORITIES)
def test_time_and_depth_exchanged_give_the_transposed_results(priority):
    layer = make(0, (2 * H, H, L), tied=True, priority=priority)
    layer.W_ih.data[:], layer.b.data[:] = np.eye(2 * H), 0  # x is the depth's h and c
    below, before = draw(1, 2, T, B, H), draw(2, 2, L, B, H)
    y, (h_T, _) = layer(np.concatenate(below, -1), tuple(before))
    other = transposed(layer, T)
    y_other, (h_other, _) = other(np.concatenate(before, -1), tuple(below))
    np.testing.assert_allclose(y_other.data, h_T.data, rtol=1e-12)
    np.testing.assert_allclose(h_other.data, y.data, rtol=1e-12)
    assert np.abs(y.data[:L] - h_T.data).max() > 0.1  # the two are not one by themselves


def test_a_block_exchanged_exchanges_hidden_states_and_memories():
    layer = make(0, (2 * H, H, L), tied=True)
    time, depth = draw(1, 2, B, H), draw(2, 2, B, H)
    new_time, new_depth = layer.blocks[0](tuple(time), tuple(depth))
    its_time, its_depth = transposed(layer, T).blocks[0](tuple(depth), tuple(time))
    for mine, its in ((new_time, its_depth), (new_depth, its_time)):
        for a, b in zip(mine, its, strict=True):
            np.testing.assert_allclose(a.data, b.data, rtol=1e-13)


def memory_only(layer, dimension):
    """Close the input gates of one dimension and open its forget and output gates."""
    for block in layer.blocks:
        getattr(block, f"W_{dimension}").data[:] = 0
        b = getattr(block, f"b_{dimension}").data
        b[:] = np.repeat([-60.0, 60.0, 0.0, 60.0], H)


@pytest.mark.parametrize("num_layers", [1, 2, 7])
def test_the_memory_along_depth_carries_the_input_past_any_number_of_layers(num_layers):
    layer = make(0, (D, H, num_layers))
    memory_only(layer, "depth")
    x = Tensor(draw(1, T, B, D), requires_grad=True)
    y, _ = layer(x)
    c = x.data @ layer.W_ih.data[:, H:] + layer.b.data[H:]
    np.testing.assert_allclose(y.data, np.tanh(c), rtol=1e-12)
    dy = draw(2, T, B, H)
    y.backward(dy)
    dx = (dy * (1 - np.tanh(c) ** 2)) @ layer.W_ih.data[:, H:].T
    np.testing.assert_allclose(x.grad, dx, rtol=1e-12)  # ∂c_L/∂c_0 = 1, nothing through h


def test_the_memory_along_time_carries_the_first_state_past_any_number_of_steps():
    layer = make()
    memory_only(layer, "time")
    h0, c0 = draw(2, L, B, H), draw(3, L, B, H)
    _, (h_T, c_T) = layer(draw(1, 30, B, D), (h0, c0))
    np.testing.assert_allclose(c_T.data, c0, rtol=1e-12)
    np.testing.assert_allclose(h_T.data, np.tanh(c0), rtol=1e-12)


def test_both_memories_and_both_hidden_states_reach_the_output():
    layer = make()
    tensors = [Tensor(a, requires_grad=True) for a in draw(1, 2, L, B, H)]
    x = Tensor(draw(2, T, B, D), requires_grad=True)
    y, _ = layer(x, tuple(tensors))
    y[-1].backward(draw(3, B, H))  # through T steps of every layer
    for state in tensors:
        assert (np.abs(state.grad).max((1, 2)) > 1e-6).all()
    assert (np.abs(x.grad).max((1, 2)) > 1e-6).all()


def test_a_priority_lets_one_dimension_see_the_others_new_hidden_state():
    time = [Tensor(a, requires_grad=True) for a in draw(1, 2, B, H)]
    depth = [Tensor(a, requires_grad=True) for a in draw(2, 2, B, H)]
    for priority, sees in ((None, False), ("time", False), ("depth", True)):
        block = make(priority=priority).blocks[0]
        time[1].grad = None
        (_, _), (h_depth, _) = block(tuple(time), tuple(depth))
        h_depth.backward(draw(3, B, H))  # c_time acts on h_depth through the new h_time alone
        assert (time[1].grad is not None) == sees
    for priority, sees in ((None, False), ("time", True), ("depth", False)):
        block = make(priority=priority).blocks[0]
        depth[1].grad = None
        (h_time, _), _ = block(tuple(time), tuple(depth))
        h_time.backward(draw(3, B, H))
        assert (depth[1].grad is not None) == sees


# ---- states, padding, parameters ---------------------------------------------------------------


def test_the_states_start_at_zero_and_two_halves_are_the_whole():
    layer, x, zeros = make(), draw(1, T, B, D), np.zeros((L, B, H))
    whole, last = layer(x)
    np.testing.assert_array_equal(layer(x, (zeros, zeros))[0].data, whole.data)
    first, states = layer(x[:2])
    second, end = layer(x[2:], states)
    np.testing.assert_array_equal(np.concatenate([first.data, second.data]), whole.data)
    for a, b in zip(end, last, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_a_padded_sequence_is_what_it_is_alone_whatever_the_padding_holds():
    layer, x, lengths = make(), draw(1, T, B, D), [4, 1, 2]
    for b, n in enumerate(lengths):
        x[n:, b] = [np.nan, np.inf] * 3
    x = Tensor(x, requires_grad=True)
    y, (h_T, c_T) = layer(x, lengths=lengths)
    dy, dh, dc = draw(2, T, B, H), draw(3, L, B, H), draw(4, L, B, H)
    ((y * dy).sum() + (h_T * dh).sum() + (c_T * dc).sum()).backward()
    total = np.zeros_like(layer.W_ih.data)
    for b, n in enumerate(lengths):
        alone, piece, at = (
            make(),
            Tensor(x.data[:n, b : b + 1], requires_grad=True),
            slice(b, b + 1),
        )
        y_b, (h_b, c_b) = alone(piece)
        np.testing.assert_allclose(y.data[:n, b], y_b.data[:, 0], rtol=1e-12)
        np.testing.assert_array_equal(y.data[n:, b], 0)
        np.testing.assert_allclose(h_T.data[:, at], h_b.data, rtol=1e-12)
        np.testing.assert_allclose(c_T.data[:, at], c_b.data, rtol=1e-12)
        loss = (y_b * dy[:n, at]).sum() + (h_b * dh[:, at]).sum() + (c_b * dc[:, at]).sum()
        loss.backward()
        np.testing.assert_allclose(x.grad[:n, b], piece.grad[:, 0], rtol=1e-10)
        np.testing.assert_array_equal(x.grad[n:, b], 0)
        total += alone.W_ih.grad
    np.testing.assert_allclose(layer.W_ih.grad, total, rtol=1e-10)


@pytest.mark.parametrize(("tied", "blocks"), [(False, L), (True, 1)])
def test_the_parameters_are_counted_by_formula(tied, blocks):
    block = 2 * (2 * H * 4 * H + 4 * H)
    assert make(tied=tied).num_parameters() == D * 2 * H + 2 * H + blocks * block
    bare = make(tied=tied, b_init=None)
    assert bare.num_parameters() == D * 2 * H + blocks * 2 * 2 * H * 4 * H
    assert bare(draw(1, T, B, D))[0].shape == (T, B, H)


def test_tied_layers_are_untied_ones_with_equal_weights():
    tied, free, x = make(tied=True), make(), draw(1, T, B, D)
    shared = tied.blocks[0].state_dict()
    for block in free.blocks:
        block.load_state_dict(shared)
    free.W_ih.data[:], free.b.data[:] = tied.W_ih.data, tied.b.data
    dy = draw(2, T, B, H)
    for layer in (tied, free):
        layer(x)[0].backward(dy)
    np.testing.assert_array_equal(tied(x)[0].data, free(x)[0].data)
    total = sum(block.W_depth.grad for block in free.blocks)
    np.testing.assert_allclose(tied.blocks[0].W_depth.grad, total, rtol=1e-10)


# ---- gradients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", PRIORITIES)
def test_gradients_of_every_parameter_the_input_and_the_states(priority):
    sizes, rng = (3, 2, 2), np.random.default_rng(7)
    layer = make(sizes=sizes, priority=priority)

    def call(layer, x, h0, c0):
        y, (h_T, c_T) = layer(x, (h0, c0), mask=MASK[:3, :1])
        return y, h_T, c_T

    f, parameters = as_function(layer, call)
    assert len(parameters) == 2 + 2 * 4
    gradcheck_directional(f, *parameters, draw(6, 3, 1, 3), *draw(8, 2, 2, 1, 2), rng=rng)
    block = layer.blocks[0]
    g, parameters = as_function(block, lambda block, *s: sum(block(s[:2], s[2:]), ()))
    gradcheck(g, *parameters, *draw(9, 4, 3, 2), rng=rng)


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_of_a_small_grid_entry_by_entry(tied):
    layer = make(sizes=(2, 1, 2), tied=tied)

    def call(layer, x, h0, c0):
        y, states = layer(x, (h0, c0), mask=MASK[:3])
        return y, *states

    f, parameters = as_function(layer, call)
    inputs = draw(6, 3, B, 2), *draw(8, 2, 2, B, 1)
    gradcheck(f, *parameters, *inputs, rng=np.random.default_rng(7))


@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 5), seed=seeds, is_padded=st.booleans(),
    tied=st.booleans(), priority=st.sampled_from(PRIORITIES),
)  # fmt: skip
def test_gradients_at_any_size(sizes, seed, is_padded, tied, priority):
    T, B, D, H, L = sizes
    rng = np.random.default_rng(seed)
    layer = make(seed, (D, H, L), tied=tied, priority=priority)
    lengths = rng.integers(1, T + 1, B) if is_padded else None

    def call(layer, x, h0, c0):
        y, states = layer(x, (h0, c0), lengths=lengths)
        return y, *states

    f, parameters = as_function(layer, call)
    h0, c0 = rng.normal(size=(2, L, B, H))
    gradcheck_directional(f, *parameters, rng.normal(size=(T, B, D)), h0, c0, rng=rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3, D), (3, 0, D), (1, 1, D)])
def test_shapes_and_dtypes_also_of_empty_inputs(shape, dtype):
    y, states = make(dtype=dtype)(np.ones(shape, dtype))
    assert (y.shape, y.dtype) == ((*shape[:2], H), dtype)
    assert [(s.shape, s.dtype) for s in states] == [((L, shape[1], H), dtype)] * 2


def test_it_is_made_again_from_its_json_and_its_arrays():
    layer, x = make(3, tied=True, priority="depth", forget_bias=0.5), draw(1, T, B, D)
    again = build(json.loads(json.dumps(describe(layer))), np.random.default_rng(9))
    assert describe(again) == describe(layer)
    assert (again(x)[0].data != layer(x)[0].data).any()
    again.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(again(x)[0].data, layer(x)[0].data)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: make(sizes=(0, H, L)), ValueError, "GridLSTM: input_size is 0"),
        (lambda: make(sizes=(D, H, 0)), ValueError, "GridLSTM: num_layers is 0"),
        (lambda: make(sizes=(D, "5", L)), TypeError, "hidden_size is '5'"),
        (lambda: GridLSTM(D, H, L, rng=None), TypeError, "rng is None, expected a generator"),
        (lambda: make(priority="up"), ValueError, "priority is 'up', expected one of None, 'time'"),
        (lambda: make(forget_bias=np.nan), ValueError, "forget_bias is nan"),
        (lambda: make(dtype=np.float16), TypeError, "dtype is float16"),
        (
            lambda: GridLSTMBlock(0, rng=np.random.default_rng(0)),
            ValueError,
            "GridLSTMBlock: hidden_size is 0",
        ),
        (lambda: make()(draw(0, T, B, H)), ValueError, r"x has shape \(4, 3, 5\), .* D = 6"),
        (lambda: make()([[[1.0, 2.0]]]), TypeError, "x is a list"),
        (
            lambda: make()(draw(0, T, B, D).astype(np.float32)),
            TypeError,
            "GridLSTM: x has dtype float32, expected float64 as the parameters have; convert it",
        ),
        (
            lambda: make()(np.ones((T, B, D), np.int64)),
            TypeError,
            "GridLSTM: x has dtype int64, expected float64",
        ),
        (lambda: make(W_init=None), TypeError, "GridLSTM: W_init is None, expected an initializer"),
        (lambda: make(b_init=0.0), TypeError, "GridLSTM: b_init is 0.0, expected an initializer"),
        (
            lambda: GridLSTMBlock(H, rng=np.random.default_rng(0), W_init="glorot"),
            TypeError,
            "GridLSTMBlock: W_init is 'glorot', expected an initializer",
        ),
        (lambda: make(tied="no"), TypeError, "GridLSTM: tied is 'no', expected True or False"),
        (
            lambda: make()(draw(0, T, B, D), draw(0, L, B, H)),
            TypeError,
            r"GridLSTM: states is a ndarray, expected a pair \(h, c\)",
        ),
        (
            lambda: make()(draw(0, T, B, D), (draw(0, L, B, H), 1.0)),
            TypeError,
            r"GridLSTM: c of states is a float, expected an array or a Tensor \(2, 3, 5\)",
        ),
        (
            lambda: make()(draw(0, T, B, D), (draw(0, L, B, H).astype("f4"), draw(0, L, B, H))),
            TypeError,
            "GridLSTM: h of states has dtype float32, expected float64 as x has",
        ),
        (
            lambda: make()(draw(0, T, B, D), (draw(0, L, B, H), draw(0, B, H))),
            ValueError,
            r"GridLSTM: c of states has shape \(3, 5\), expected \(L, B, H\) = \(2, 3, 5\)",
        ),
        (lambda: make()(draw(0, T, B, D), mask=MASK.T), ValueError, r"mask is bool \(3, 4\)"),
        (lambda: make()(draw(0, T, B, D), lengths=[9, 1, 1]), ValueError, "lengths are"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
