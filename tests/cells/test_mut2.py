"""MUT2: its formulas; a reset gate that sees the input without a matrix."""

import numpy as np
import pytest
from scipy.special import expit

from nnseq.cells.mut2 import forward, mut2
from tests.cells.recurrent_cases import draw, name_of, variants
from tests.cells.recurrent_checks import check_formula, named, variant_named

T, B, H = 4, 3, 5
OPEN, SHUT = 500.0, -500.0  # of a gate's pre-activation


def drawn(label="b_x", steps=T, **replaced):
    inputs, _, _ = draw("mut2", variant_named("mut2", label), steps, B, H)
    return named("mut2", inputs) | replaced


def states(v):
    return forward(*v.values())[0][0]


def with_update_gate(v, a_z):
    a = v["a"].copy()
    a[..., :H] = a_z
    return v | {"a": a}


@pytest.mark.parametrize("variant", variants("mut2"), ids=name_of)
def test_is_its_formulas(variant):
    def step(v, h):
        a_z, a_n = np.split(v.a, 2)
        W_r, W_z, W_n = np.hsplit(v.W_hh, 3)
        r = expit(W_r.T @ h + v.x + (0.0 if v.b_x is None else v.b_x))
        z = expit(a_z + W_z.T @ h)
        n = np.tanh(W_n.T @ (r * h) + a_n)
        h_new = h + z * (n - h)
        return [h_new + v.z_h * (h - h_new)]

    check_formula("mut2", variant, step)


def test_the_update_gate_multiplies_the_candidate():
    v = drawn(steps=1)
    np.testing.assert_array_equal(states(with_update_gate(v, SHUT))[0], v["h0"])
    assert (np.abs(states(with_update_gate(v, OPEN))[0] - v["h0"]) > 1e-3).all()


def test_the_input_enters_the_reset_gate_without_a_matrix():
    """With W_r = W_z = 0, W_n = I and a_n = 0 an open update gate shows tanh(σ(x + b_x) ∘ h)."""
    W_hh = np.hstack([np.zeros((H, 2 * H)), np.eye(H)])
    v = with_update_gate(drawn(a=np.zeros((T, B, 2 * H)), W_hh=W_hh), OPEN)
    h_prev = np.concatenate([v["h0"][None], states(v)[:-1]])
    np.testing.assert_allclose(states(v), np.tanh(expit(v["x"] + v["b_x"]) * h_prev), rtol=1e-12)
    x = v["x"].copy()
    x[3, 1, 2] += 0.1  # unit 2 of sequence 1 at the last step, and no other
    changed = states(v | {"x": x}) != states(v)
    assert np.argwhere(changed).tolist() == [[3, 1, 2]]


def test_the_input_enters_nothing_but_the_reset_gate():
    """With W_n = 0 the reset gate has no say, and so neither has x."""
    v = drawn()
    v["W_hh"][:, 2 * H :] = 0
    np.testing.assert_array_equal(states(v), states(v | {"x": v["x"] + 1.0}))


def test_a_bias_of_zero_is_no_bias():
    v = drawn("plain")
    np.testing.assert_array_equal(states(v | {"b_x": np.zeros(H)}), states(v))


BAD = {
    "a has shape (4, 3, 15), expected (T, B, 2H) = (4, 3, 10)": {"a": np.zeros((T, B, 3 * H))},
    "x has shape (4, 3, 2), expected (T, B, H) = (4, 3, 5)": {"x": np.zeros((T, B, 2))},
    "b_x has shape (1, 5), expected (H,) = (5,)": {"b_x": np.zeros((1, H))},
    "W_hh has shape (5, 10), expected (H, 3H) = (5, 15)": {"W_hh": np.zeros((H, 2 * H))},
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused(words):
    with pytest.raises(ValueError, match="mut2: ") as caught:
        mut2(*drawn(**BAD[words]).values())
    assert words in str(caught.value)
