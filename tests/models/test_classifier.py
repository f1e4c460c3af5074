"""SequenceClassifier: the last step that counts is what is read."""

import math

import numpy as np
import pytest

from nnseq import interop
from nnseq.gradcheck import gradcheck
from nnseq.models import PlainIndRNNBody, RecurrentBody, SequenceClassifier
from nnseq.nn import LSTM, Linear
from nnseq.ops import cross_entropy
from nnseq.optim import Adam
from tests.nn.functional import as_function

from .networks import KINDS, B, D, H, T, draw, make

CLASSES = 6
MASK = np.arange(T)[:, None] < [4, 2, 3]


def classifier(kind="plain", **options):
    rng = np.random.default_rng(0)
    if kind == "lstm":
        body = RecurrentBody(LSTM(D, H, rng=rng, dtype=np.float64, **options))
    else:
        body = make(kind, bn="after", **options)
    model = SequenceClassifier(body, CLASSES, rng=rng)
    model.readout.b.data[...] = draw(9, CLASSES)
    return model


@pytest.mark.parametrize("kind", [*KINDS, "lstm"])
@pytest.mark.parametrize("mask", [None, MASK])
def test_the_answer_is_a_linear_function_of_the_last_step(kind, mask):
    model, x = classifier(kind).eval(), draw(1, T, B, D)
    y, _ = model.body(x, mask=mask)
    t = np.full(B, T - 1) if mask is None else mask.sum(axis=0) - 1
    W, b = model.readout.W.data, model.readout.b.data
    expected = y.data[t, np.arange(B)] @ W + b
    np.testing.assert_allclose(model(x, mask=mask).data, expected, rtol=1e-9)
    if mask is not None:
        lengths = mask.sum(axis=0)
        np.testing.assert_array_equal(model(x, lengths=lengths).data, model(x, mask=mask).data)


def test_a_bidirectional_layer_answers_from_both_its_last_steps():
    model, x = classifier("lstm", bidirectional=True, output="last"), draw(1, T, B, D)
    assert model.readout.W.shape == (2 * H, CLASSES)
    longer = np.concatenate([x, draw(2, 2, B, D)])
    expected = model(x).data
    np.testing.assert_allclose(model(longer, lengths=np.full(B, T)).data, expected, rtol=1e-12)


def test_the_readout_starts_as_he_normal():
    body = PlainIndRNNBody(2, 500, 1, seq_len=T, rng=np.random.default_rng(0))
    W = SequenceClassifier(body, 300, rng=np.random.default_rng(1)).readout.W.data
    std = math.sqrt(2 / 500)
    assert W.std() == pytest.approx(std, rel=5 / math.sqrt(2 * W.size))
    assert abs(W.mean()) < 5 * std / math.sqrt(W.size)
    assert np.abs(W).max() > 4 * std  # no uniform distribution of that width goes so far


@pytest.mark.parametrize("kind", ["plain", "residual", "dense"])
def test_gradients(kind):
    options = {"blocks": (1, 1)} if kind == "dense" else {}
    model = classifier(kind, p_drop=0.3, **options)
    targets = np.array([0, 5, 2])

    def call(model, x):
        logits = model(x, lengths=[3, 2, 3], rng=np.random.default_rng(3))
        return cross_entropy(logits, targets)

    f, parameters = as_function(model, call)
    gradcheck(f, *parameters, draw(6, 3, B, D), rng=np.random.default_rng(7))


def test_a_few_steps_of_adam_learn_six_sequences():
    """Through deep layers that start as small as published; the loss of a guess is ln 6."""
    rng = np.random.default_rng(0)
    body = make("residual", small_norm_init=False, bn="after", D=D)
    model = SequenceClassifier(body, CLASSES, rng=rng)
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
    model, x = classifier(kind), draw(1, T, B, D)
    model(x)
    interop.save(model, tmp_path / "model.h5")
    again = interop.load(tmp_path / "model.h5")
    np.testing.assert_array_equal(again(x).data, model.eval()(x).data)


def test_what_is_no_body_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(TypeError, match=r"SequenceClassifier: body is a LSTM.*RecurrentBody\(rnn"):
        SequenceClassifier(LSTM(D, H, rng=rng), CLASSES, rng=rng)
    with pytest.raises(TypeError, match="SequenceClassifier: body is a Linear"):
        SequenceClassifier(Linear(D, H, rng=rng), CLASSES, rng=rng)
    with pytest.raises(ValueError, match="output_size is 0"):
        SequenceClassifier(make("plain"), 0, rng=rng)
