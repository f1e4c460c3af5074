"""LastStepReadout: the last step that counts is what is read, whatever the body is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import interop
from nnseq.backend import device_of, to_device, use_kernels
from nnseq.gradcheck import gradcheck
from nnseq.models import IndRNNOptions, LastStepReadout, PlainIndRNNBody, RecurrentBody
from nnseq.nn import GRU, IRNN, LSTM, MUT, RNN, Linear, Normal
from nnseq.ops import cross_entropy
from nnseq.optim import Adam, clip_grad_norm, clip_grad_value
from tests.nn.functional import as_function
from tests.strategies import arrays

from .networks import KINDS, B, D, H, T, draw, make

O = 6
MASK = np.arange(T)[:, None] < [4, 2, 3]
LAYERS = {"rnn": RNN, "irnn": IRNN, "lstm": LSTM, "gru": GRU, "mut": MUT}


def readout(kind="plain", output="last", **options):
    rng = np.random.default_rng(0)
    if kind in LAYERS:
        options = {"output": output, "dtype": np.float64} | options
        body = RecurrentBody(LAYERS[kind](D, H, rng=rng, **options))
    else:
        body = make(kind, **{"bn": "after"} | options)
    model = LastStepReadout(body, O, rng=rng)
    model.readout.b.data[...] = draw(9, O)
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", [None, MASK])
def test_the_answer_is_a_linear_function_of_the_last_step(kind, mask):
    model, x = readout(kind).eval(), draw(1, T, B, D)
    y, _ = model.body(x, mask=mask)
    t = np.full(B, T - 1) if mask is None else mask.sum(axis=0) - 1
    W, b = model.readout.W.data, model.readout.b.data
    expected = y.data[t, np.arange(B)] @ W + b
    np.testing.assert_allclose(model(x, mask=mask).data, expected, rtol=1e-9)
    if mask is not None:
        lengths = mask.sum(axis=0)
        np.testing.assert_array_equal(model(x, lengths=lengths).data, model(x, mask=mask).data)


@pytest.mark.parametrize("output", ["all", "last"])
@pytest.mark.parametrize("layer", LAYERS)
def test_of_recurrent_layers_the_last_state_is_read(layer, output):
    model, x = readout(layer, output, num_layers=2), draw(1, T, B, D)
    states = model.body.rnn(x)[1]
    h = (states[0] if layer == "lstm" else states).data[-1]
    W, b = model.readout.W.data, model.readout.b.data
    np.testing.assert_allclose(model(x).data, h @ W + b, rtol=1e-12)
    assert (W.shape, b.shape) == ((H, O), (O,))


def test_a_bidirectional_layer_answers_from_both_its_last_steps():
    model, x = readout("lstm", bidirectional=True), draw(1, T, B, D)
    assert model.readout.W.shape == (2 * H, O)
    longer = np.concatenate([x, draw(2, 2, B, D)])
    mask = np.arange(T + 2)[:, None] < np.full(B, T)
    expected = model(x).data
    np.testing.assert_allclose(model(longer, lengths=np.full(B, T)).data, expected, rtol=1e-12)
    np.testing.assert_allclose(model(longer, mask=mask).data, expected, rtol=1e-12)


def test_the_readout_starts_as_he_normal_or_as_it_is_told_to():
    body = PlainIndRNNBody(2, 500, 1, IndRNNOptions(T), rng=np.random.default_rng(0))
    W = LastStepReadout(body, 300, rng=np.random.default_rng(1)).readout.W.data
    std = math.sqrt(2 / 500)
    assert W.std() == pytest.approx(std, rel=5 / math.sqrt(2 * W.size))
    assert abs(W.mean()) < 5 * std / math.sqrt(W.size)
    assert np.abs(W).max() > 4 * std  # no uniform distribution of that width goes so far
    small = LastStepReadout(body, 300, rng=np.random.default_rng(1), readout_init=Normal(0.01))
    np.testing.assert_allclose(small.readout.W.data, W * (0.01 / std), rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["plain", "gru"])
def test_the_readout_has_the_dtype_of_the_body(kind, dtype):
    model = readout(kind, dtype=dtype)
    assert {p.dtype for p in model.parameters()} == {np.dtype(dtype)}
    assert model(draw(1, T, B, D).astype(dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("kind", "options"), [("lstm", {"zoneout_h": 0.5}), ("plain", {"p_drop": 0.5})]
)
def test_masks_are_drawn_in_training_alone(kind, options):
    model, x, rng = readout(kind, **options), draw(1, T, B, D), np.random.default_rng(0)
    assert (model(x, rng=rng).data != model(x, rng=rng).data).any()
    with pytest.raises(TypeError, match="rng"):
        model(x)
    model.eval()
    np.testing.assert_array_equal(model(x).data, model(x, rng=rng).data)


@pytest.mark.parametrize("kind", ["plain", "residual", "dense"])
def test_gradients(kind):
    options = {"blocks": (1, 1)} if kind == "dense" else {}
    model = readout(kind, p_drop=0.3, **options)
    targets = np.array([0, 5, 2])

    def call(model, x):
        logits = model(x, lengths=[3, 2, 3], rng=np.random.default_rng(3))
        return cross_entropy(logits, targets)

    f, parameters = as_function(model, call)
    gradcheck(f, *parameters, draw(6, 3, B, D), rng=np.random.default_rng(7))


@given(
    sizes=st.tuples(*[st.sampled_from([1, 3])] * 4, st.integers(1, 2)),
    kind=st.sampled_from([RNN, GRU, "plain"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    is_masked=st.booleans(),
    data=st.data(),
)
def test_any_sizes_dtypes_and_layouts(sizes, kind, dtype, is_masked, data):
    T, B, D, H, O = sizes
    rng = np.random.default_rng(0)
    shared = {"act": "tanh", "W_init": Normal(1.0), "learn_h0": True, "dtype": np.float64}
    if kind == "plain":
        body = PlainIndRNNBody(D, H, 2, IndRNNOptions(T, **shared), rng=rng)
    else:
        body = RecurrentBody(kind(D, H, rng=rng, dtype=np.float64))
    model, x = LastStepReadout(body, O, rng=rng), data.draw(arrays((T, B, D)))
    lengths = rng.integers(1, T + 1, B) if is_masked else None
    last = np.full(B, T - 1) if lengths is None else lengths - 1
    h, _ = body(x)
    expected = h.data[last, np.arange(B)] @ model.readout.W.data + model.readout.b.data
    y = model.astype(dtype)(x.astype(dtype, order="K"), lengths=lengths)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.data, expected, atol=1e-5 if dtype == np.float32 else 1e-13)
    if dtype == np.float64:
        f, parameters = as_function(model, lambda model, x: model(x, lengths=lengths))
        gradcheck(f, *parameters, x, rng=rng)


def test_a_few_steps_of_adam_learn_six_sequences():
    """Through deep layers that start as small as published; the loss of a guess is ln 6."""
    rng = np.random.default_rng(0)
    body = make("residual", small_norm_init=False, bn="after", D=D)
    model = LastStepReadout(body, O, rng=rng)
    x, targets = draw(1, T, 6, D), np.arange(6)
    optimizer = Adam(model.named_parameters(), 0.03)
    for _ in range(60):
        optimizer.zero_grad()
        loss = cross_entropy(model(x), targets)
        loss.backward()
        optimizer.step()
        model.constrain()
    assert float(loss.data) < 0.2


@pytest.mark.parametrize("kind", [*KINDS, "lstm"])
def test_a_saved_model_comes_back_bit_for_bit(kind, tmp_path):
    model, x = readout(kind), draw(1, T, B, D)
    model(x)
    interop.save(model, tmp_path / "model.h5")
    again = interop.load(tmp_path / "model.h5")
    np.testing.assert_array_equal(again(x).data, model.eval()(x).data)


def test_what_is_no_body_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(TypeError, match=r"LastStepReadout: body is a LSTM.*RecurrentBody\(rnn"):
        LastStepReadout(LSTM(D, H, rng=rng), O, rng=rng)
    with pytest.raises(TypeError, match="LastStepReadout: body is a Linear"):
        LastStepReadout(Linear(D, H, rng=rng), O, rng=rng)
    with pytest.raises(ValueError, match="output_size is 0"):
        LastStepReadout(make("plain"), 0, rng=rng)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "options", [{}, {"bn": "after", "p_drop": 0.3}, {"bn": "before", "bn_steps": 3}]
)
def test_training_on_a_gpu_agrees_with_the_cpu(options):
    cupy = pytest.importorskip("cupy", reason="no GPU")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU")
    x, y = draw(1, T, B, D), draw(2, B, O)
    states = {}
    for device in ("cpu", "cuda"):
        start = {"W_init": Normal(1.0), "learn_h0": True, "bn": None}
        model = readout("plain", **start | options).to(device)
        optimizer = Adam(model.named_parameters(), 0.05, weight_decay=0.01, no_decay=("u", "b"))
        rng = np.random.default_rng(3)
        with use_kernels("auto"):
            for _ in range(3):
                optimizer.zero_grad()
                answer = model(to_device(x, device), lengths=[4, 3, 4], rng=rng)
                error = answer - to_device(y, device)
                (error * error).mean().backward()
                clip_grad_norm(model.parameters(), 0.5)
                clip_grad_value(model.parameters(), 0.3)
                optimizer.step()
                model.constrain()
        assert {device_of(p.data) for p in model.parameters()} == {device}
        moments = {f"v of {k}": v for k, v in optimizer.state_dict()["slots"]["v"].items()}
        states[device] = model.state_dict() | moments
    for name, array in states["cpu"].items():
        np.testing.assert_allclose(states["cuda"][name], array, rtol=1e-8, atol=1e-11, err_msg=name)
