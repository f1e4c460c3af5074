"""GRU with the reset before the product: its formulas, and where it differs from the other GRU."""

import numpy as np
import pytest
from scipy.special import expit

from nnseq.cells import gru
from nnseq.cells.gru_before import backward, forward, gru_before
from tests.cells.recurrent_cases import draw, name_of, variants
from tests.cells.recurrent_checks import check_formula, named, variant_named
from tests.ops.check import normal

T, B, H = 4, 3, 5


def inputs_with_reset(a_r=None):
    inputs, _, _ = draw("gru_before", variant_named("gru_before", "plain"), T, B, H)
    v = named("gru_before", inputs)
    if a_r is not None:
        v["a"][..., :H] = a_r
    return v


@pytest.mark.parametrize("variant", variants("gru_before"), ids=name_of)
def test_is_its_formulas(variant):
    def step(v, h):
        a_r, a_z, a_n = np.split(v.a, 3)
        W_r, W_z, W_n = np.hsplit(v.W_hh, 3)
        r, z = expit(a_r + W_r.T @ h), expit(a_z + W_z.T @ h)
        n = v.d_i * np.tanh(a_n + W_n.T @ (r * h))
        h_new = n + z * (h - n)
        return [h_new + v.z_h * (h - h_new)]

    check_formula("gru_before", variant, step)


def both(v):
    before = forward(*v.values())[0][0]
    after = gru.forward(v["a"], v["W_hh"], None, v["h0"], None, None, None)[0][0]
    return before, after


def test_differs_from_the_gru_that_resets_after_the_product():
    before, after = both(inputs_with_reset())
    assert (np.abs(before - after).max(axis=(1, 2)) > 1e-3).all()


@pytest.mark.parametrize("a_r", [-500.0, 500.0])
def test_is_that_gru_where_the_reset_gate_is_shut_or_wide_open(a_r):
    before, after = both(inputs_with_reset(a_r))
    np.testing.assert_allclose(before, after, rtol=1e-12)


def test_its_gradients_are_those_of_pytorch():
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: parity)")
    arrays = normal(3, (T, B, 3 * H), (H, 3 * H), (B, H))
    dh, dh_T = normal(4, (T, B, H), (B, H))
    (h, h_T), saved = forward(*arrays, None, None, None)
    ours = backward(saved, dh, dh_T)[:3]

    a, W_hh, h0 = leaves = [torch.tensor(x, requires_grad=True) for x in arrays]
    W_r, W_z, W_n = W_hh.chunk(3, dim=1)
    s, every = h0, []
    for t in range(T):
        a_r, a_z, a_n = a[t].chunk(3, dim=1)
        r, z = torch.sigmoid(a_r + s @ W_r), torch.sigmoid(a_z + s @ W_z)
        s = torch.lerp(torch.tanh(a_n + (r * s) @ W_n), s, z)
        every.append(s)
    upstream = [torch.tensor(dh), torch.tensor(dh_T)]
    theirs = torch.autograd.grad([torch.stack(every), s], leaves, upstream)
    for mine, other in zip((h, h_T, *ours), (torch.stack(every), s, *theirs), strict=True):
        np.testing.assert_allclose(mine, other.detach().numpy(), rtol=1e-10, atol=1e-10)


BAD = {
    "a has shape (4, 3, 10), expected (T, B, 3H) = (4, 3, 15)": {"a": np.zeros((4, 3, 10))},
    "W_hh has shape (5, 10), expected (H, 3H) = (5, 15)": {"W_hh": np.zeros((5, 10))},
    "d_i has shape (4, 5), expected (T | 1, B | 1, H)": {"d_i": np.zeros((4, 5))},
    "mask has shape (4,), expected (T, B) = (4, 3)": {"mask": np.ones(4)},
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused(words):
    with pytest.raises(ValueError, match="gru_before: ") as caught:
        gru_before(*(inputs_with_reset() | BAD[words]).values())
    assert words in str(caught.value)
