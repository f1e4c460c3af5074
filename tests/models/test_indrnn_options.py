"""Where the parameters of IndRNN networks start, measured; and the bound of u."""

import math

import numpy as np
import pytest

from nnseq.models import IndRNNOptions, LanguageModel
from nnseq.nn import BatchNorm, Uniform
from tests.models.networks import KINDS
from tests.models.networks import make as make_body

D, H = 300, 400


def make(seed=0, **options):
    options = IndRNNOptions(**{"seq_len": 784, "dtype": np.float64} | options)
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


def test_w_init_is_for_all_weights_under_small_norm_init_too():
    block, linear = make(bn="after", small_norm_init=True, W_init=Uniform(0.5, 0.75))
    assert_uniform(block.rnn.W_ih.data, 0.5, 0.75)
    assert_uniform(linear.W.data, 0.5, 0.75)
    np.testing.assert_allclose(block.bn.gamma.data, 0.1)


def test_learned_states_and_the_clip_inside_the_recurrence_reach_both_kinds_of_it():
    options, rng = IndRNNOptions(9, learn_h0=True, step_clip=0.5), np.random.default_rng(0)
    for part in (options.block(2, 3, rng, p_drop=0.0), options.recurrence(3, rng)):
        assert part.rnn.h0.shape == (3,)
        assert part.rnn.step_clip == 0.5
    part = IndRNNOptions(9).recurrence(3, rng)
    assert (part.rnn.h0, part.rnn.step_clip) == (None, 0.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bn_eval", ["running", "batch"])
def test_bn_eval_reaches_every_batch_norm_of_a_network(kind, bn_eval):
    body = make_body(kind, bn="before", bn_eval=bn_eval)
    model = LanguageModel(7, body, rng=np.random.default_rng(0), embed_size=2, head="indrnn")
    found = [m.eval_with for _, m in model.named_modules() if isinstance(m, BatchNorm)]
    assert len(found) > 3
    assert set(found) == {bn_eval}


def test_options_are_equal_however_the_dtype_is_written():
    found = [IndRNNOptions(9, dtype=x) for x in (np.float32, "float32", np.dtype("float32"))]
    assert found[0] == found[1] == found[2] == IndRNNOptions(9) != IndRNNOptions(8)
    assert len(set(found)) == 1


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
    asked, plain = (IndRNNOptions(init_last_u=k, **options) for k in (True, False))
    assert_uniform(asked.recurrence(H, rng, is_last=True).rnn.u.data, low, high)
    assert_uniform(asked.block(D, H, rng, p_drop=0.0, is_last=True).rnn.u.data, low, high)
    assert_uniform(asked.recurrence(H, rng).rnn.u.data, 0, high)
    assert_uniform(plain.recurrence(H, rng, is_last=True).rnn.u.data, 0, high)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"seq_len": 4, "MAG": 0.5, "init_last_u": True},
            ValueError,
            r"IndRNNOptions: the last layer's u would start in \[1.189.*, 0.840.*\], .* MAG of at",
        ),
        ({"u_bound": 0.5, "init_last_u": True}, ValueError, r"\[0.99\d+, 0.5\], which is empty"),
        ({"u_bound": 0.0}, ValueError, "IndRNNOptions: u_bound is 0.0"),
        ({"constrain_u": "no"}, TypeError, "s: constrain_u is 'no', expected True or False"),
        ({"learn_h0": 1}, TypeError, "IndRNNOptions: learn_h0 is 1"),
        ({"step_clip": -1.0}, ValueError, "IndRNNOptions: step_clip is -1.0"),
        ({"W_init": 0.1}, TypeError, "IndRNNOptions: W_init is 0.1, expected an initializer"),
        ({"init_last_u": 1}, TypeError, "IndRNNOptions: init_last_u is 1"),
        ({"small_norm_init": None}, TypeError, "IndRNNOptions: small_norm_init is None"),
        ({"bn": "around"}, ValueError, "IndRNNOptions: bn is 'around', expected one of None, 'bef"),
        ({"bn_steps": 4}, ValueError, "IndRNNOptions: bn_steps is 4, but bn is None; name its"),
        ({"bn": "after", "bn_steps": 0}, ValueError, "IndRNNOptions: bn_steps is 0, expected at"),
        ({"bn_eval": "batch"}, ValueError, "IndRNNOptions: bn_eval is 'batch', but bn is None"),
        ({"bn": "after", "bn_eval": "x"}, ValueError, "IndRNNOptions: bn_eval is 'x', expected"),
        ({"dtype": np.int32}, TypeError, "IndRNNOptions: dtype is int32"),
    ],
)
def test_bad_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        IndRNNOptions(**{"seq_len": 784} | options)
