"""RNN and IRNN: values, initial values, counts, PyTorch."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from nnseq import nn

from . import torch_parity
from .layers import B, D, H, T, close, draw, make

ACTS = {"tanh": np.tanh, "relu": lambda s: np.maximum(s, 0), "identity": lambda s: s}


@pytest.mark.parametrize("act", ACTS)
def test_a_step_is_one_affine_map_of_input_and_state_and_the_activation(act):
    layer, x, h = make("rnn", act=act), draw(1, T, B, D), draw(2, B, H)
    y, _ = layer(x, h[None])
    W = np.vstack([p.data for p in (layer.directions[0].W_ih, layer.directions[0].W_hh)])
    for t in range(T):
        h = ACTS[act](np.hstack([x[t], h]) @ W + layer.directions[0].b.data)
        close(y.data[t], h)


def test_tanh_unless_told_otherwise():
    x = draw(1, T, B, D)
    np.testing.assert_array_equal(make("rnn")(x)[0].data, make("rnn", act="tanh")(x)[0].data)
    with pytest.raises(ValueError, match="RNN: act is 'gelu', expected one of 'tanh', 'relu'"):
        make("rnn", act="gelu")


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 40),  # 2·5 + 5·5 + 5
        ({"bias": False}, 35),
        ({"learn_states": True}, 45),
        ({"weight_norm": True}, 50),
        ({"num_layers": 2}, 95),  # + 5·5 + 5·5 + 5
        ({"bidirectional": True}, 80),
        ({"num_layers": 2, "bidirectional": True}, 240),  # + 2 (10·5 + 5·5 + 5)
    ],
)
@pytest.mark.parametrize("layer", [nn.RNN, nn.IRNN])
def test_parameter_counts(layer, options, count):
    assert layer(2, 5, rng=np.random.default_rng(0), **options).num_parameters() == count


def test_weights_start_as_their_initialisers_say():
    rng = np.random.default_rng
    direction = nn.RNN(400, 100, rng=rng(0)).directions[0]
    W = direction.W_hh.data.astype(np.float64)
    np.testing.assert_allclose(W @ W.T, np.eye(100), rtol=0, atol=1e-6)  # W is float32
    limit = np.sqrt(6 / 500)
    assert 0.999 * limit < np.abs(direction.W_ih.data).max() <= limit
    assert (direction.b.data == 0).all()
    own = nn.RNN(4, 3, rng=rng(0), W_init=nn.Constant(2.0), W_hh_init=nn.Constant(-1.0))
    assert (own.directions[0].W_ih.data == 2).all()
    assert (own.directions[0].W_hh.data == -1).all()


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_an_irnn_starts_as_scaled_identity_small_inputs_and_rectifiers(scale):
    layer = nn.IRNN(500, 400, rng=np.random.default_rng(0), scale=scale, num_layers=2)
    for direction in layer.directions:
        np.testing.assert_array_equal(direction.W_hh.data, np.float32(scale) * np.eye(400))
        assert direction.W_ih.data.std() == pytest.approx(0.001, rel=0.01)
        assert (direction.b.data == 0).all()
        assert direction.act == "relu"
    wide = nn.IRNN(500, 400, rng=np.random.default_rng(0), std=0.5)
    assert wide.directions[0].W_ih.data.std() == pytest.approx(0.5, rel=0.01)


def test_an_irnn_adds_up_what_it_is_given():
    layer = nn.IRNN(D, H, rng=np.random.default_rng(0), std=1.0, dtype=np.float64)
    layer.directions[0].W_ih.data[:] = np.abs(layer.directions[0].W_ih.data)
    x = np.abs(draw(1, T, B, D))
    close(layer(x)[0].data, np.cumsum(x @ layer.directions[0].W_ih.data, axis=0))


def test_masks_cannot_be_shared_between_one_state():
    with pytest.raises(ValueError, match="RNN: zoneout_masks is 'shared', but there is one state"):
        make("rnn", zoneout_h=0.5, zoneout_masks="shared")


@pytest.mark.parametrize("case", torch_parity.CASES)
@pytest.mark.parametrize("act", ["tanh", "relu"])
def test_parity_with_torch(act, case):
    torch_parity.compare(partial(nn.RNN, act=act), "RNN", nonlinearity=act, **case)
