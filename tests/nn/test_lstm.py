"""LSTM: values, every option, cells, counts, PyTorch."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from nnseq import nn
from nnseq.gradcheck import gradcheck

from . import torch_parity
from .functional import as_function
from .layers import LENGTHS, VALID, B, D, H, T, close, draw, make, outputs


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def unrolled(layer, x, h, c):
    """All h and c of a plain LSTM, one gate's matrix after the other."""
    direction, hs, cs = layer.directions[0], [], []
    blocks = [slice(k * H, k * H + H) for k in range(4)]
    for x_t in x:
        s_i, s_f, s_g, s_o = (
            x_t @ direction.W_ih.data[:, k] + h @ direction.W_hh.data[:, k] + direction.b.data[k]
            for k in blocks
        )
        c = sigmoid(s_f + layer.forget_bias) * c + sigmoid(s_i) * np.tanh(s_g)
        h = sigmoid(s_o) * np.tanh(c)
        hs.append(h)
        cs.append(c)
    return np.stack(hs), np.stack(cs)


@pytest.mark.parametrize("forget_bias", [1.0, 0.0, -2.5])
def test_it_is_the_lstm_of_the_books(forget_bias):
    layer, x, h, c = make("lstm"), draw(1, T, B, D), draw(2, B, H), draw(3, B, H)
    if forget_bias != 1.0:  # which is the default
        layer = make("lstm", forget_bias=forget_bias)
    y, (h_T, c_T), cells = layer(x, (h[None], c[None]), return_cells=True)
    hs, cs = unrolled(layer, x, h, c)
    for found, right in ((y, hs), (cells, cs), (h_T, hs[-1:]), (c_T, cs[-1:])):
        close(found.data, right)


def test_cells_are_those_of_the_last_layer_in_the_order_of_x():
    x, options = draw(1, T, B, D), {"num_layers": 2, "bidirectional": True}
    layer = make("lstm", **options)
    y, (_, c_T), c = layer(x, lengths=LENGTHS, return_cells=True)
    assert c.shape == (T, B, 2 * H)
    assert (c.data[~VALID] == 0).all()
    np.testing.assert_array_equal(c.data[np.subtract(LENGTHS, 1), range(B), :H], c_T.data[2])
    np.testing.assert_array_equal(c.data[0, :, H:], c_T.data[3])
    np.testing.assert_array_equal(layer(x, lengths=LENGTHS)[0].data, y.data)
    _, _, also = make("lstm", output="last", **options)(x, lengths=LENGTHS, return_cells=True)
    np.testing.assert_array_equal(also.data, c.data)


@pytest.mark.parametrize("directions", [{}, {"reverse": True}])
def test_gradients_through_the_cells_and_every_option(directions):
    options = {"peepholes": True, "cell_clip": 2.0, "p_drop_igate": 0.3, "ogate_zoneout": True}
    options |= {"zoneout_h": 0.3, "zoneout_c": 0.4, "zoneout_masks": "shared"}
    layer = make("lstm", hidden_size=2, **options, **directions)

    def call(layer, x, h, c):
        rng = np.random.default_rng(4)
        return outputs(layer(x, (h, c), lengths=LENGTHS, rng=rng, return_cells=True))

    f, parameters = as_function(layer, call)
    states = draw(7, 1, B, 2), draw(8, 1, B, 2)
    gradcheck(f, *parameters, draw(6, T, B, D), *states, rng=np.random.default_rng(7))


OPTIONS = [
    {"peepholes": True},
    {"cell_clip": 0.2},
    {"forget_bias": 0.0},
    {"zoneout_h": 0.5},
    {"zoneout_c": 0.5},
    {"zoneout_h": 0.5, "zoneout_c": 0.5},
    {"zoneout_h": 0.5, "zoneout_c": 0.5, "zoneout_masks": "shared"},
    {"zoneout_h": 0.5, "zoneout_c": 0.5, "zoneout_masks": "static", "seq_len": T},
    {"p_drop_igate": 0.5},
    {"p_drop_igate": 0.5, "ogate_zoneout": True},
    {"p_dropconnect": 0.5},
    {"bias": False},
    {"residual": True, "num_layers": 2},
    {"p_drop": 0.5, "num_layers": 2},
    {"reverse": True},
    {"num_layers": 2},
]


def test_every_option_changes_the_result():
    found, x = [make("lstm")(draw(1, T, B, D))[0].data], draw(1, T, B, D)
    for options in OPTIONS:
        layer = make("lstm", **options)
        found.append(layer(x, rng=np.random.default_rng(0))[0].data)
    for k, one in enumerate(found):
        for other in found[:k]:
            assert np.abs(one - other).max() > 1e-3, OPTIONS[k - 1]


def test_the_masks_of_h_and_c_are_independent_or_shared():
    x, start = draw(1, 1, B, D), (draw(2, 1, B, 100), draw(3, 1, B, 100))

    def held(**options):
        layer = make("lstm", hidden_size=100, zoneout_h=0.5, zoneout_c=0.5, **options)
        _, (h, c) = layer(x, start, rng=np.random.default_rng(5))
        return h.data == start[0], c.data == start[1]

    in_h, in_c = held(zoneout_masks="shared")
    np.testing.assert_array_equal(in_h, in_c)
    in_h, in_c = held()
    assert 0.4 < in_h.mean() < 0.6
    assert 0.4 < in_c.mean() < 0.6
    assert 0.4 < (in_h == in_c).mean() < 0.6


def test_the_output_is_made_of_the_cell_before_zoneout():
    x, start = draw(1, 1, B, D), (draw(2, 1, B, H), draw(3, 1, B, H))
    plain, frozen = make("lstm"), make("lstm", zoneout_c=1.0)
    y, _ = plain(x, start)
    found, (_, c) = frozen(x, start, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(found.data, y.data)
    np.testing.assert_array_equal(c.data, start[1])


def test_evaluation_weighs_the_old_state_and_the_input_gate_with_their_probabilities():
    x = draw(1, 1, B, D)
    h, c = draw(2, B, H), draw(3, B, H)
    layer = make("lstm", zoneout_h=0.3, zoneout_c=0.6, p_drop_igate=0.25).eval()
    direction = layer.directions[0]
    s = x[0] @ direction.W_ih.data + h @ direction.W_hh.data + direction.b.data
    i, f, o = (sigmoid(s[:, k * H : k * H + H] + (k == 1)) for k in (0, 1, 3))
    inner = f * c + 0.75 * i * np.tanh(s[:, 2 * H : 3 * H])
    _, (h_T, c_T) = layer(x, (h[None], c[None]))
    close(h_T.data[0], 0.3 * h + 0.7 * o * np.tanh(inner))
    close(c_T.data[0], 0.6 * c + 0.4 * inner)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 160),  # 4 (2·5 + 5·5 + 5)
        ({"bias": False}, 140),
        ({"peepholes": True}, 175),
        ({"learn_states": True}, 170),
        ({"weight_norm": True}, 200),
        ({"num_layers": 2}, 380),  # + 4 (5·5 + 5·5 + 5)
        ({"num_layers": 2, "bidirectional": True}, 960),  # 2·160 + 2·4 (10·5 + 5·5 + 5)
    ],
)
def test_parameter_counts(options, count):
    assert nn.LSTM(2, 5, rng=np.random.default_rng(0), **options).num_parameters() == count


def test_it_starts_with_an_orthogonal_matrix_for_each_gate_and_zero_bias():
    direction = nn.LSTM(40, 30, rng=np.random.default_rng(0), peepholes=True).directions[0]
    gates = np.split(direction.W_hh.data.astype(np.float64), 4, axis=1)
    for k, W in enumerate(gates):
        np.testing.assert_allclose(W @ W.T, np.eye(30), rtol=0, atol=1e-6)  # W is float32
        assert all(np.abs(W - other).max() > 0.1 for other in gates[:k])
    limit = np.sqrt(6 / 70)
    assert 0.99 * limit < np.abs(direction.W_ih.data).max() <= limit
    assert (direction.b.data == 0).all()
    assert (direction.p.data == 0).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ogate_zoneout": True}, ValueError, "ogate_zoneout reuses .* p_drop_igate is 0; give"),
        ({"cell_clip": -1.0}, ValueError, "cell_clip is -1.0, expected a number in"),
        ({"cell_clip": np.inf}, ValueError, "cell_clip is inf, expected"),
        ({"forget_bias": np.nan}, ValueError, "forget_bias is nan"),
        ({"forget_bias": "1"}, TypeError, "forget_bias is '1', expected a number"),
        ({"p_drop_igate": 1.5}, ValueError, "p_drop_igate is 1.5, expected a number in"),
        ({"zoneout_c": -0.5}, ValueError, "zoneout_c is -0.5, expected a number in"),
        ({"zoneout_masks": "shared"}, ValueError, "zoneout_h and zoneout_c is 0"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=f"^LSTM: .*{message}"):
        make("lstm", **options)


def test_all_options_survive_a_description():
    options = {"peepholes": True, "cell_clip": 0.3, "forget_bias": 0.5, "zoneout_c": 0.25}
    options |= {"p_drop_igate": 0.5, "ogate_zoneout": True, "zoneout_masks": "shared"}
    layer, x = make("lstm", **options), draw(1, T, B, D)
    twin = nn.build(nn.describe(layer))
    twin.load_state_dict(layer.state_dict())
    one, two = (m(x, rng=np.random.default_rng(3))[0].data for m in (layer, twin))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("case", torch_parity.CASES)
def test_parity_with_torch(case):
    torch_parity.compare(partial(nn.LSTM, forget_bias=0.0), "LSTM", **case)


def test_parity_with_torch_under_a_forget_bias():
    case = {"num_layers": 2, "bidirectional": True, "lengths": LENGTHS}
    torch_parity.compare(partial(nn.LSTM, forget_bias=1.5), "LSTM", **case)
