"""What weight decay leaves alone."""

import numpy as np
import pytest

from nnseq.models import IndRNNOptions, LanguageModel, PlainIndRNNBody, RecurrentBody, no_decay
from nnseq.nn import GRU, LSTM, BatchNormLSTM, LayerNormLSTM
from nnseq.optim import Adam


def decayed(model, **options):
    """Names of the parameters that a step with zero gradients moves."""
    rng = np.random.default_rng(0)
    for x in model.parameters():
        x.data[...] = rng.normal(size=x.shape)
        x.grad = np.zeros_like(x.data)
    before = model.state_dict()
    choose = [no_decay(**options)]
    Adam(model.named_parameters(), 0.1, weight_decay=0.1, no_decay=choose).step()
    return {name for name, x in model.named_parameters() if (x.data != before[name]).any()}


def indrnn():
    rng = np.random.default_rng(0)
    body = PlainIndRNNBody(3, 4, 1, IndRNNOptions(5, bn="before", learn_h0=True), rng=rng)
    return LanguageModel(7, body, embed_size=3, head="indrnn", rng=rng)


def test_indrnn_weights_decay_and_u_states_biases_and_batch_norm_do_not():
    assert {name for name, _ in indrnn().named_parameters() if name.endswith("h0")} == {
        "body.layers.0.rnn.h0",
        "head.block.rnn.h0",
    }
    weights = {"embedding.W", "body.layers.0.rnn.W_ih", "head.block.rnn.W_ih", "decoder.W"}
    gammas = {"body.layers.0.bn.gamma", "head.block.bn.gamma", "head.bn.gamma"}
    assert decayed(indrnn()) == weights
    assert decayed(indrnn(), bn_decay=True) == weights | gammas


@pytest.mark.parametrize(
    ("layer", "gains"),
    [
        (lambda **o: LSTM(2, 3, learn_states=True, **o), set()),
        (lambda **o: GRU(2, 3, learn_states=True, **o), set()),
        (lambda **o: BatchNormLSTM(2, 3, 4, **o), {"gamma_x", "gamma_h", "gamma_c"}),
        (lambda **o: LayerNormLSTM(2, 3, **o), {"gain_x", "gain_h", "gain_c"}),
    ],
)
def test_of_other_layers_the_matrices_alone_decay(layer, gains):
    rng = np.random.default_rng(0)
    model = RecurrentBody(layer(rng=rng))
    names = {f"rnn.directions.0.{name}" for name in ("W_ih", "W_hh")}
    assert decayed(model) == names
    assert decayed(model, bn_decay=True) == names | {f"rnn.directions.0.{name}" for name in gains}
