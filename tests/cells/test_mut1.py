"""MUT1: its formulas; an update gate that does not see the state; x in tanh without a matrix."""

import numpy as np
import pytest
from scipy.special import expit

from nnseq.cells.mut1 import forward, mut1
from tests.cells.recurrent_cases import draw, name_of, variants
from tests.cells.recurrent_checks import check_formula, named, variant_named

T, B, H = 4, 3, 5
OPEN, SHUT = 500.0, -500.0  # of a gate's pre-activation


def drawn(label="b_x", steps=T, **replaced):
    inputs, _, _ = draw("mut1", variant_named("mut1", label), steps, B, H)
    return named("mut1", inputs) | replaced


def states(v):
    return forward(*v.values())[0][0]


def with_update_gate(v, a_z):
    a = v["a"].copy()
    a[..., H:] = a_z
    return v | {"a": a}


@pytest.mark.parametrize("variant", variants("mut1"), ids=name_of)
def test_is_its_formulas(variant):
    def step(v, h):
        a_r, a_z = np.split(v.a, 2)
        W_r, W_n = np.hsplit(v.W_hh, 2)
        r, z = expit(a_r + W_r.T @ h), expit(a_z)
        n = np.tanh(W_n.T @ (r * h) + np.tanh(v.x) + (0.0 if v.b_x is None else v.b_x))
        h_new = h + z * (n - h)
        return [h_new + v.z_h * (h - h_new)]

    check_formula("mut1", variant, step)


def test_the_update_gate_is_the_same_whatever_the_state():
    """h_1 = z n + (1 - z) h_0, so h_1 with a_z and h_1 = n with the gate open give z."""
    rng = np.random.default_rng(1)
    expected = None
    for _ in range(3):
        v = drawn(steps=1, h0=rng.standard_normal((B, H)))
        n, h = states(with_update_gate(v, OPEN))[0], states(v)[0]
        z = (h - v["h0"]) / (n - v["h0"])
        np.testing.assert_allclose(z, expit(v["a"][0, :, H:]), rtol=1e-10)
        expected = z if expected is None else expected
        np.testing.assert_allclose(z, expected, rtol=1e-10)


def test_the_update_gate_multiplies_the_candidate():
    v = drawn(steps=1)
    np.testing.assert_array_equal(states(with_update_gate(v, SHUT))[0], v["h0"])
    assert (np.abs(states(with_update_gate(v, OPEN))[0] - v["h0"]) > 1e-3).all()


def test_the_input_enters_the_candidate_through_tanh_and_no_matrix():
    v = with_update_gate(drawn(W_hh=np.zeros((H, 2 * H))), OPEN)
    np.testing.assert_allclose(states(v), np.tanh(np.tanh(v["x"]) + v["b_x"]), rtol=1e-13)
    x = v["x"].copy()
    x[2, 1, 3] += 0.1  # unit 3 of sequence 1 at step 2, and no other
    changed = states(v | {"x": x}) != states(v)
    assert np.argwhere(changed).tolist() == [[2, 1, 3]]


def test_a_bias_of_zero_is_no_bias():
    v = drawn("plain")
    np.testing.assert_array_equal(states(v | {"b_x": np.zeros(H)}), states(v))


BAD = {
    "a has shape (4, 3, 15), expected (T, B, 2H) = (4, 3, 10)": {"a": np.zeros((T, B, 3 * H))},
    "x has shape (4, 3, 2), expected (T, B, H) = (4, 3, 5)": {"x": np.zeros((T, B, 2))},
    "b_x has shape (1, 5), expected (H,) = (5,)": {"b_x": np.zeros((1, H))},
    "W_hh has shape (5, 15), expected (H, 2H) = (5, 10)": {"W_hh": np.zeros((H, 3 * H))},
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused(words):
    with pytest.raises(ValueError, match="mut1: ") as caught:
        mut1(*drawn(**BAD[words]).values())
    assert words in str(caught.value)
