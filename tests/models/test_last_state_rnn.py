"""LastStateRNN: whatever the layers are, the last state is what is read."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck
from nnseq.models import LastStateRNN, PlainIndRNN
from nnseq.nn import GRU, IRNN, LSTM, MUT, RNN, build, describe
from tests.nn.functional import as_function

T, B, D, H, O = 4, 3, 2, 5, 6
LAYERS = {"rnn": RNN, "irnn": IRNN, "lstm": LSTM, "gru": GRU, "mut": MUT}


def make(layer="lstm", dtype=np.float64, O=O, H=H, **options):
    rng = np.random.default_rng(0)
    rnn = LAYERS[layer](D, H, rng=rng, output="last", dtype=dtype, **options)
    return LastStateRNN(rnn, O, rng=rng)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_answer_is_a_linear_function_of_the_last_state(layer):
    model, x = make(layer, num_layers=2), draw(1, T, B, D)
    W, b = model.readout.W.data, model.readout.b.data + 0.5
    model.readout.b.data[...] = b
    states = model.rnn(x)[1]
    h = (states[0] if layer == "lstm" else states).data[-1]
    np.testing.assert_allclose(model(x).data, h @ W + b, rtol=1e-12)
    assert (W.shape, b.shape) == ((H, O), (O,))


def test_padding_changes_nothing_and_both_directions_are_read():
    model, x = make("gru", bidirectional=True), draw(1, T, B, D)
    assert model.readout.W.shape == (2 * H, O)
    longer = np.concatenate([x, draw(2, 2, B, D)])
    mask = np.arange(T + 2)[:, None] < np.full(B, T)
    expected = model(x).data
    np.testing.assert_allclose(model(longer, lengths=np.full(B, T)).data, expected, rtol=1e-12)
    np.testing.assert_allclose(model(longer, mask=mask).data, expected, rtol=1e-12)


def test_masks_are_drawn_in_training_alone():
    model, x = make("lstm", zoneout_h=0.5), draw(1, T, B, D)
    rng = np.random.default_rng(0)
    assert (model(x, rng=rng).data != model(x, rng=rng).data).any()
    with pytest.raises(TypeError, match="rng"):
        model(x)
    model.eval()
    np.testing.assert_array_equal(model(x).data, model(x).data)


def test_a_model_is_rebuilt_from_its_description_and_answers_the_same():
    model, x = make("gru", num_layers=2), draw(1, T, B, D)
    again = build(json.loads(json.dumps(describe(model))))
    again.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(again(x).data, model(x).data)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_readout_has_the_dtype_of_the_layers(dtype):
    model = make(dtype=dtype)
    assert {p.dtype for p in model.parameters()} == {np.dtype(dtype)}
    assert model(draw(1, T, B, D).astype(dtype)).dtype == dtype


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.integers(1, 2)),
    layer=st.sampled_from(["rnn", "gru"]),
    data=st.data(),
)
def test_gradients(sizes, layer, data):
    T, B, H, O = sizes
    lengths = data.draw(st.lists(st.integers(1, T), min_size=B, max_size=B))
    model = make(layer, O=O, H=H)
    f, parameters = as_function(model, lambda model, x: model(x, lengths=lengths))
    gradcheck(f, *parameters, draw(3, T, B, D), rng=np.random.default_rng(7))


def test_layers_that_return_all_steps_and_other_modules_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"LastStateRNN: rnn has output='all'.*output='last'"):
        LastStateRNN(GRU(D, H, rng=rng), O, rng=rng)
    with pytest.raises(TypeError, match="LastStateRNN: rnn is a PlainIndRNN"):
        LastStateRNN(PlainIndRNN(D, H, 1, O, seq_len=T, rng=rng), O, rng=rng)
    with pytest.raises(ValueError, match="output_size is 0"):
        make(O=0)
