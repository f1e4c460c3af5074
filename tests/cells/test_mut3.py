"""MUT3: its formulas; an update gate, and no other, that sees tanh of the state."""

import numpy as np
import pytest
from scipy.special import expit

from nnseq.cells.mut3 import forward, mut3
from tests.cells.recurrent_cases import draw, name_of, variants
from tests.cells.recurrent_checks import check_formula, named, variant_named

T, B, H = 4, 3, 5
OPEN, SHUT = 500.0, -500.0  # of a gate's pre-activation
R, Z, N = (slice(k * H, (k + 1) * H) for k in range(3))


def drawn(steps=T, **replaced):
    inputs, _, _ = draw("mut3", variant_named("mut3", "plain"), steps, B, H)
    return named("mut3", inputs) | replaced


def states(v):
    return forward(*v.values())[0][0]


def with_block(v, block, value, name="a"):
    x = v[name].copy()
    x[..., block] = value
    return v | {name: x}


@pytest.mark.parametrize("variant", variants("mut3"), ids=name_of)
def test_is_its_formulas(variant):
    def step(v, h):
        a_r, a_z, a_n = np.split(v.a, 3)
        W_r, W_z, W_n = np.hsplit(v.W_hh, 3)
        r, z = expit(a_r + W_r.T @ h), expit(a_z + W_z.T @ np.tanh(h))
        n = np.tanh(W_n.T @ (r * h) + a_n)
        h_new = h + z * (n - h)
        return [h_new + v.z_h * (h - h_new)]

    check_formula("mut3", variant, step)


def test_the_update_gate_multiplies_the_candidate():
    v = drawn(steps=1)
    np.testing.assert_array_equal(states(with_block(v, Z, SHUT))[0], v["h0"])
    assert (np.abs(states(with_block(v, Z, OPEN))[0] - v["h0"]) > 1e-3).all()


def test_the_update_gate_sees_tanh_of_the_state_and_the_reset_gate_the_state():
    """A state of 50 is 1 to z; r, which sees 50, is shut or open."""
    h0 = np.full((B, H), 50.0)
    v = drawn(steps=1, h0=h0)
    z = expit(v["a"][0, :, Z] + v["W_hh"][:, Z].sum(axis=0))
    no_candidate = with_block(with_block(v, N, 0.0), N, 0.0, "W_hh")  # n = 0
    np.testing.assert_allclose(states(no_candidate)[0], (1 - z) * h0, rtol=1e-12)

    r = expit(v["a"][0, :, R] + 50 * v["W_hh"][:, R].sum(axis=0))
    identity = with_block(with_block(v, N, np.eye(H) / 50, "W_hh"), Z, OPEN)  # n = tanh(a_n + r)
    np.testing.assert_allclose(states(identity)[0], np.tanh(v["a"][0, :, N] + r), rtol=1e-12)


def test_differs_from_a_cell_whose_update_gate_sees_the_state_itself():
    v = drawn(steps=1)
    r = expit(v["a"][0, :, R] + v["h0"] @ v["W_hh"][:, R])
    n = np.tanh(v["a"][0, :, N] + (r * v["h0"]) @ v["W_hh"][:, N])
    for seen, same in ((np.tanh(v["h0"]), True), (v["h0"], False)):
        z = expit(v["a"][0, :, Z] + seen @ v["W_hh"][:, Z])
        off = np.abs(states(v)[0] - z * n - (1 - z) * v["h0"]).max()
        assert off < 1e-14 if same else off > 1e-3


BAD = {
    "a has shape (4, 3, 10), expected (T, B, 3H) = (4, 3, 15)": {"a": np.zeros((T, B, 2 * H))},
    "W_hh has shape (5, 10), expected (H, 3H) = (5, 15)": {"W_hh": np.zeros((H, 2 * H))},
    "h0 has shape (1, 3, 5), expected (B, H)": {"h0": np.zeros((1, B, H))},
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused(words):
    with pytest.raises(ValueError, match="mut3: ") as caught:
        mut3(*drawn(**BAD[words]).values())
    assert words in str(caught.value)
