"""Recurrent layers as a body: states as one tuple, the last step, cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck
from nnseq.models import RecurrentBody, detach
from nnseq.nn import GRU, LSTM, RNN, BatchNormLSTM, IndRNN, ProjectedLSTM, build, describe
from nnseq.ops import concat
from tests.nn.functional import as_function
from tests.strategies import arrays

T, B, D, H = 4, 3, 2, 5
MASK = np.arange(T)[:, None] < [4, 2, 3]
LAYERS = {
    "rnn": lambda **options: RNN(D, H, **options),
    "gru": lambda **options: GRU(D, H, **options),
    "lstm": lambda **options: LSTM(D, H, **options),
    "projected": lambda **options: ProjectedLSTM(D, H, 3, **options),
    "batch norm": lambda **options: BatchNormLSTM(D, H, T, **options),
}


def make(layer="lstm", **options):
    options = {"rng": np.random.default_rng(0), "dtype": np.float64} | options
    return RecurrentBody(LAYERS[layer](**options))


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("layer", LAYERS)
def test_it_is_the_layer_with_its_states_in_a_tuple(layer):
    body, x = make(layer, num_layers=2).eval(), draw(1, T, B, D)
    y, states = body.rnn(x)
    ours, final = body(x)
    np.testing.assert_array_equal(ours.data, y.data)
    assert isinstance(final, tuple)
    assert len(final) == body.num_states == (1 if layer in ("rnn", "gru") else 2)
    theirs = states if isinstance(states, tuple) else (states,)
    for state, right in zip(final, theirs, strict=True):
        np.testing.assert_array_equal(state.data, right.data)
    given = tuple(draw(2 + k, *state.shape) for k, state in enumerate(detach(final)))
    again, _ = body(x, given)
    expected, _ = body.rnn(x, given if len(given) > 1 else given[0])
    np.testing.assert_array_equal(again.data, expected.data)
    assert np.abs(again.data - y.data).max() > 1e-3
    assert (body.input_size, body.output_size) == (D, body.rnn.output_size)


@pytest.mark.parametrize("layer", LAYERS)
def test_two_calls_with_the_states_carried_are_one_call(layer):
    body, x = make(layer).eval(), draw(1, 2 * T, B, D)  # batch norm: M = 0, V = 1 at every step
    whole, _ = body(x)
    first, states = body(x[:3])
    second, _ = body(x[3:], states, start=3)
    np.testing.assert_allclose(np.concatenate([first.data, second.data]), whole.data, rtol=1e-12)


@pytest.mark.parametrize("mask", [None, MASK])
def test_the_last_step_is_the_last_that_counts(mask):
    x, t = draw(1, T, B, D), np.full(B, T - 1) if mask is None else mask.sum(axis=0) - 1
    every, _ = make()(x, mask=mask)
    for output in ("all", "last"):
        last, _ = make(output=output)(x, mask=mask, only_last=True)
        np.testing.assert_array_equal(last.data, every.data[t, np.arange(B)])


def test_cells_are_returned_where_there_are_any():
    body, x = make(), draw(1, T, B, D)
    y, states, c = body(x, return_cells=True)
    assert (body.has_cells, c.shape) == (True, (T, B, H))
    np.testing.assert_array_equal(c.data[-1], states[1].data[-1])
    assert y.shape == (T, B, H)
    assert not make("gru").has_cells
    with pytest.raises(ValueError, match="GRU: return_cells is True, but the layer has no cell"):
        make("gru")(x, return_cells=True)


def test_masks_are_drawn_in_training_alone():
    body, x, rng = make(zoneout_h=0.5, zoneout_c=0.3), draw(1, T, B, D), np.random.default_rng(0)
    assert (body(x, rng=rng)[0].data != body(x, rng=rng)[0].data).any()
    with pytest.raises(TypeError, match="rng"):
        body(x)
    np.testing.assert_array_equal(body.eval()(x)[0].data, body(x)[0].data)


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.integers(1, 2)),
    layer=st.sampled_from([RNN, GRU, LSTM]),
    dtype=st.sampled_from([np.float32, np.float64]),
    only_last=st.booleans(),
    data=st.data(),
)
def test_any_sizes_and_gradients(sizes, layer, dtype, only_last, data):
    T, B, D, H = sizes
    lengths = data.draw(st.none() | st.lists(st.integers(1, T), min_size=B, max_size=B))
    body = RecurrentBody(layer(D, H, rng=np.random.default_rng(0), zoneout_h=0.4, dtype=np.float64))
    states = [draw(5 + k, 1, B, H) for k in range(body.num_states)]
    x = data.draw(arrays((T, B, D)))

    def call(body, x, *states):
        rng = np.random.default_rng(3)
        y, final = body(x, states, lengths=lengths, rng=rng, only_last=only_last)
        return concat([z.reshape(-1) for z in (y, *final)], 0)

    expected = call(body, x, *states).data
    if dtype == np.float64:
        f, parameters = as_function(body, call)
        gradcheck(f, *parameters, x, *states, rng=np.random.default_rng(7))
    else:
        y = call(body.astype(dtype), *(z.astype(dtype, order="K") for z in (x, *states)))
        assert y.dtype == dtype
        np.testing.assert_allclose(y.data, expected, atol=1e-5)


def test_it_is_rebuilt_from_its_description():
    body, x = make(zoneout_h=0.1, num_layers=2), draw(1, T, B, D)
    again = build(describe(body))
    again.load_state_dict(body.state_dict())
    np.testing.assert_array_equal(again.eval()(x)[0].data, body.eval()(x)[0].data)


def test_what_does_not_fit_is_refused():
    x = draw(1, T, B, D)
    with pytest.raises(TypeError, match="RecurrentBody: rnn is a IndRNN, expected a Recurr"):
        RecurrentBody(IndRNN(D, H, rng=np.random.default_rng(0)))
    with pytest.raises(ValueError, match="all steps are to be read, but LSTM has output='last'"):
        make(output="last")(x)
    assert make(output="last", bidirectional=True)(x, only_last=True)[0].shape == (B, 2 * H)
    for options in ({"bidirectional": True}, {"reverse": True}):
        body = make("gru", **options)
        assert body.reads_ahead
        assert body(x)[0].shape[:2] == (T, B)
        with pytest.raises(ValueError, match=r"only_last .* a GRU that runs backwards begins"):
            body(x, only_last=True)
    with pytest.raises(ValueError, match="RecurrentBody: got 1 states, expected 2"):
        make()(x, (draw(2, 1, B, H),))
    with pytest.raises(ValueError, match=r"RecurrentBody: x has shape \(4, 3, 3\)"):
        make()(draw(0, T, B, D + 1))
