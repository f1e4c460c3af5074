"""GRU: values of both forms, counts, options, PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from nnseq import nn

from . import torch_parity
from .layers import B, D, H, T, close, draw, make


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def unrolled(layer, x, h, d_i=1.0, keep=0.0):
    """All h, one gate's matrix after the other."""
    direction, hs = layer.directions[0], []
    r_cols, z_cols, n_cols = (slice(k * H, k * H + H) for k in range(3))
    W, U, b = direction.W_ih.data, direction.W_hh.data, direction.b.data
    for x_t in x:
        r = sigmoid(x_t @ W[:, r_cols] + b[r_cols] + h @ U[:, r_cols])
        z = sigmoid(x_t @ W[:, z_cols] + b[z_cols] + h @ U[:, z_cols])
        s_n = x_t @ W[:, n_cols] + b[n_cols]
        if layer.reset_after:
            n = np.tanh(s_n + r * (h @ U[:, n_cols] + direction.b_hn.data))
        else:
            n = np.tanh(s_n + (r * h) @ U[:, n_cols])
        inner = n * d_i + z * (h - n * d_i)
        h = keep * h + (1 - keep) * inner
        hs.append(h)
    return np.stack(hs)


@pytest.mark.parametrize("reset_after", [True, False])
def test_the_reset_comes_after_or_before_the_product(reset_after):
    layer, x, h = make("gru", reset_after=reset_after), draw(1, T, B, D), draw(2, B, H)
    y, h_T = layer(x, h[None])
    expected = unrolled(layer, x, h)
    close(y.data, expected)
    close(h_T.data, expected[-1:])


@pytest.mark.parametrize("reset_after", [True, False])
def test_evaluation_weighs_the_old_state_and_the_candidate_with_their_probabilities(reset_after):
    layer = make("gru", reset_after=reset_after, zoneout_h=0.3, p_drop_igate=0.25).eval()
    x, h = draw(1, T, B, D), draw(2, B, H)
    close(layer(x, h[None])[0].data, unrolled(layer, x, h, d_i=0.75, keep=0.3))


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 125),  # 3 (2·5 + 5·5 + 5) + 5
        ({"reset_after": False}, 120),
        ({"bias": False}, 105),
        ({"bias": False, "reset_after": False}, 105),
        ({"learn_states": True}, 130),
        ({"weight_norm": True}, 155),
        ({"num_layers": 2}, 295),  # + 3 (5·5 + 5·5 + 5) + 5
        ({"num_layers": 2, "bidirectional": True}, 740),  # 2·125 + 2 (3 (10·5 + 5·5 + 5) + 5)
    ],
)
def test_parameter_counts(options, count):
    assert nn.GRU(2, 5, rng=np.random.default_rng(0), **options).num_parameters() == count


OPTIONS = [
    {"reset_after": False},
    {"zoneout_h": 0.5},
    {"zoneout_h": 0.5, "zoneout_masks": "static", "seq_len": T},
    {"p_drop_igate": 0.5},
    {"p_dropconnect": 0.5},
    {"bias": False},
    {"residual": True, "num_layers": 2},
    {"p_drop": 0.5, "num_layers": 2},
    {"reverse": True},
    {"num_layers": 2},
]


def test_every_option_changes_the_result():
    x = draw(1, T, B, D)
    found = [make("gru")(x)[0].data]
    for options in OPTIONS:
        found.append(make("gru", **options)(x, rng=np.random.default_rng(0))[0].data)
    for k, one in enumerate(found):
        for other in found[:k]:
            assert np.abs(one - other).max() > 1e-3, OPTIONS[k - 1]


def test_a_dropped_candidate_leaves_the_old_state_in_the_proportion_of_the_gate():
    layer, x, h = make("gru", p_drop_igate=1.0), draw(1, 1, B, D), draw(2, B, H)
    found = layer(x, h[None], rng=np.random.default_rng(0))[0].data[0]
    close(found, unrolled(layer, x, h, d_i=0.0)[0])
    assert (np.abs(found) < np.abs(h)).all()
    with pytest.raises(ValueError, match=r"GRU: p_drop_igate is 1.5, expected a number in \[0"):
        make("gru", p_drop_igate=1.5)


def test_it_starts_with_an_orthogonal_matrix_for_each_gate_and_zero_biases():
    direction = nn.GRU(40, 30, rng=np.random.default_rng(0)).directions[0]
    for W in np.split(direction.W_hh.data.astype(np.float64), 3, axis=1):
        np.testing.assert_allclose(W @ W.T, np.eye(30), rtol=0, atol=1e-6)  # W is float32
    assert (direction.b.data == 0).all()
    assert (direction.b_hn.data == 0).all()
    assert make("gru", bias=False).directions[0].b_hn is None


@pytest.mark.parametrize("case", torch_parity.CASES)
def test_parity_with_torch(case):
    torch_parity.compare(nn.GRU, "GRU", **case)
