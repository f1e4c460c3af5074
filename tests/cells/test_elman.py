"""Elman's cell: its formulas, PyTorch's nn.RNN, and the IRNN."""

import numpy as np
import pytest

from nnseq.backend import use_kernels
from nnseq.cells.elman import backward, elman, forward
from nnseq.ops.linear import linear
from tests.cells.recurrent_cases import draw, name_of, variants
from tests.cells.recurrent_checks import check_formula, variant_named
from tests.ops.check import compare_with_torch, normal

ACTS = {"tanh": np.tanh, "relu": lambda s: np.maximum(s, 0), "identity": lambda s: s}


@pytest.mark.parametrize("variant", variants("elman"), ids=name_of)
def test_is_its_formulas(variant):
    def step(v, h, act):
        h_new = ACTS[act](v.a + v.W_hh.T @ h)
        return [h_new + v.z_h * (h - h_new)]

    check_formula("elman", variant, step)


@pytest.mark.parametrize("act", ["tanh", "relu"])
def test_is_the_rnn_of_pytorch(act):
    T, B, D, H = 6, 3, 2, 5
    inputs = normal(5, (T, B, D), (B, H), (D, H), (H, H), (H,), (H,))

    def ours(x, h0, W_ih, W_hh, b_ih, b_hh):
        with use_kernels("reference"):
            return elman(linear(x, W_ih, b_ih + b_hh), W_hh, h0, act=act)

    def theirs(torch, x, h0, W_ih, W_hh, b_ih, b_hh):
        weights = {"weight_ih_l0": W_ih.T, "weight_hh_l0": W_hh.T}
        biases = {"bias_ih_l0": b_ih, "bias_hh_l0": b_hh}
        module = torch.nn.RNN(D, H, nonlinearity=act, dtype=torch.float64)
        h, h_T = torch.func.functional_call(module, weights | biases, (x, h0[None]))
        return h, h_T[0]

    compare_with_torch(ours, theirs, *inputs)


def test_with_the_identity_matrix_and_relu_it_adds_up_what_it_is_given():
    rng = np.random.default_rng(0)
    a, h0 = rng.random((50, 3, 5)), rng.random((3, 5))
    (h, h_T), saved = forward(a, np.eye(5), h0, None, None, act="relu")
    np.testing.assert_allclose(h, h0 + np.cumsum(a, axis=0), rtol=1e-13)
    dh_T = rng.standard_normal((3, 5))
    da, _, dh0, *_ = backward(saved, None, dh_T)
    np.testing.assert_array_equal(dh0, dh_T)  # nothing vanishes, nothing explodes
    np.testing.assert_array_equal(da, np.broadcast_to(dh_T, da.shape))
    assert h_T.shape == dh0.shape


def test_without_zoneout_nothing_but_the_states_is_kept():
    inputs, options, _ = draw("elman", variant_named("elman", "plain"))
    (h, _), saved = forward(*inputs, **options)
    assert saved.h is h
    assert saved.h_new is h


def test_another_activation_is_refused():
    a, W_hh, h0 = np.zeros((4, 3, 5)), np.eye(5), np.zeros((3, 5))
    with pytest.raises(ValueError, match="elman: act is 'gelu', expected one of tanh, relu, ident"):
        elman(a, W_hh, h0, act="gelu")
