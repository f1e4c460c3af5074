"""Where the parameters of IndRNN networks start, measured; and the bound of u."""

import math

import numpy as np
import pytest

from nnseq.models.indrnn_options import IndRNNOptions

D, H = 300, 400


def make(seed=0, **options):
    options = IndRNNOptions("Net", **{"seq_len": 784, "dtype": np.float64} | options)
    rng = np.random.default_rng(seed)
    return options.block(D, H, rng, p_drop=0.0), options.linear(D, H, rng)


def assert_uniform(x, low, high):
    """Range, mean and variance of a sample of U(low, high), within five standard errors."""
    width, n = high - low, x.size
    assert low <= x.min() < low + 20 * width / n
    assert high - 20 * width / n < x.max() <= high
    assert abs(x.mean() - (low + high) / 2) < 5 * width / math.sqrt(12 * n)
    variance = width**2 / 12
    assert abs(x.var() - variance) < 5 * variance * math.sqrt(0.8 / n)  # kurtosis 1.8


def test_weights_start_as_kaiming_uniform_8_and_biases_at_0():
    block, linear = make(bn="after")
    for W, b in ((block.rnn.W_ih, block.rnn.b), (linear.W, linear.b)):
        s = math.sqrt(6 / (65 * D))
        assert_uniform(W.data, -s, s)
        assert not b.data.any()
    assert (block.bn.gamma.data == 1).all()
    assert not block.bn.beta.data.any()


def test_small_norm_init_makes_gamma_small_and_the_weights_large():
    block, linear = make(bn="before", small_norm_init=True)
    s = math.sqrt(6 / D)
    assert_uniform(block.rnn.W_ih.data, -s, s)
    assert_uniform(linear.W.data, -s, s)
    np.testing.assert_allclose(block.bn.gamma.data, 0.1)


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        ({}, 0, 2 ** (1 / 784)),
        ({"MAG": 5.0, "seq_len": 20}, 0, 5 ** (1 / 20)),
        ({"u_bound": 0.99}, 0, 0.99),
        ({"act": "tanh", "seq_len": 20}, -((2 / 0.9**2) ** 0.05), (2 / 0.9**2) ** 0.05),
        ({"constrain_u": False, "seq_len": 20}, 0, 2 ** (1 / 20)),
    ],
)
def test_u_starts_uniform_up_to_its_bound(options, low, high):
    block, _ = make(**options)
    assert_uniform(block.rnn.u.data, low, high)
    assert block.rnn.u_bound == (high if options.get("constrain_u", True) else None)


def test_the_last_recurrence_alone_has_its_own_range_and_only_when_asked():
    low, high = 5 ** (-1 / 20), 5 ** (1 / 20)
    rng = np.random.default_rng(0)
    options = {"seq_len": 20, "MAG": 5.0, "dtype": np.float64}
    asked, plain = (IndRNNOptions("Net", init_last_u=k, **options) for k in (True, False))
    assert_uniform(asked.recurrence(H, rng, is_last=True).rnn.u.data, low, high)
    assert_uniform(asked.block(D, H, rng, p_drop=0.0, is_last=True).rnn.u.data, low, high)
    assert_uniform(asked.recurrence(H, rng).rnn.u.data, 0, high)
    assert_uniform(plain.recurrence(H, rng, is_last=True).rnn.u.data, 0, high)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"MAG": 0.5, "init_last_u": True}, ValueError, r"Net: the last layer's u would start in"),
        ({"u_bound": 0.5, "init_last_u": True}, ValueError, r"\[0.99\d+, 0.5\], which is empty"),
        ({"u_bound": 0.0}, ValueError, "Net: u_bound is 0.0"),
        ({"constrain_u": "no"}, TypeError, "Net: constrain_u is 'no', expected True or False"),
        ({"init_last_u": 1}, TypeError, "Net: init_last_u is 1"),
        ({"small_norm_init": None}, TypeError, "Net: small_norm_init is None"),
        ({"dtype": np.int32}, TypeError, "Net: dtype is int32"),
    ],
)
def test_bad_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        IndRNNOptions("Net", **{"seq_len": 784} | options)
