"""GRU with the reset after the product: its formulas, PyTorch's nn.GRU and GRUCell, zoneout."""

import itertools

import numpy as np
import pytest
from scipy.special import expit

from nnseq.backend import use_kernels
from nnseq.cells.gru import forward, gru
from nnseq.ops.joining import concat
from nnseq.ops.linear import linear
from tests.cells.recurrent_cases import draw, name_of, variants
from tests.cells.recurrent_checks import check_formula, named, variant_named
from tests.ops.check import compare_with_torch, normal

T, B, D, H = 6, 3, 2, 5
SHAPES = (T, B, D), (B, H), (D, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)


@pytest.mark.parametrize("variant", variants("gru"), ids=name_of)
def test_is_its_formulas(variant):
    def step(v, h):
        a_r, a_z, a_n = np.split(v.a, 3)
        W_r, W_z, W_n = np.hsplit(v.W_hh, 3)
        b_hn = 0.0 if v.b_hn is None else v.b_hn
        r, z = expit(a_r + W_r.T @ h), expit(a_z + W_z.T @ h)
        n = v.d_i * np.tanh(a_n + r * (W_n.T @ h + b_hn))
        h_new = n + z * (h - n)
        return [h_new + v.z_h * (h - h_new)]

    check_formula("gru", variant, step)


def split_biases(b_ih, b_hh):
    """PyTorch's two biases as ours: b of the pre-activations, and b_hn inside the reset."""
    return concat([b_ih[: 2 * H] + b_hh[: 2 * H], b_ih[2 * H :]], 0), b_hh[2 * H :]


def test_is_the_gru_of_pytorch():
    def ours(x, h0, W_ih, W_hh, b_ih, b_hh):
        b, b_hn = split_biases(b_ih, b_hh)
        with use_kernels("reference"):
            return gru(linear(x, W_ih, b), W_hh, b_hn, h0)

    def theirs(torch, x, h0, W_ih, W_hh, b_ih, b_hh):
        weights = {"weight_ih_l0": W_ih.T, "weight_hh_l0": W_hh.T}
        biases = {"bias_ih_l0": b_ih, "bias_hh_l0": b_hh}
        module = torch.nn.GRU(D, H, dtype=torch.float64)
        h, h_T = torch.func.functional_call(module, weights | biases, (x, h0[None]))
        return h, h_T[0]

    compare_with_torch(ours, theirs, *normal(5, *SHAPES))


@pytest.mark.parametrize("zoneout", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_is_a_loop_over_the_gru_cell_of_pytorch_with_zoneout_and_padding(zoneout, masked):
    rng = np.random.default_rng(6)
    z_h = (rng.random((T, B, H)) < 0.4).astype(float) if zoneout else None
    mask = rng.random((T, B)) < 0.7 if masked else None

    def ours(x, h0, W_ih, W_hh, b_ih, b_hh):
        b, b_hn = split_biases(b_ih, b_hh)
        with use_kernels("reference"):
            return gru(linear(x, W_ih, b), W_hh, b_hn, h0, z_h, None, mask)

    def theirs(torch, x, h, W_ih, W_hh, b_ih, b_hh):
        weights = {"weight_ih": W_ih.T, "weight_hh": W_hh.T, "bias_ih": b_ih, "bias_hh": b_hh}
        cell = torch.nn.GRUCell(D, H, dtype=torch.float64)
        every = []
        for t in range(T):
            h_new = torch.func.functional_call(cell, weights, (x[t], h))
            if zoneout:
                h_new = torch.where(torch.tensor(z_h[t] == 1), h, h_new)
            h = torch.where(torch.tensor(mask[t])[:, None], h_new, h) if masked else h_new
            every.append(h)
        return torch.stack(every), h

    compare_with_torch(ours, theirs, *normal(7, *SHAPES))


def test_zoneout_comes_after_the_interpolation_and_does_not_replace_it():
    inputs, _, _ = draw("gru", variant_named("gru", "b_hn"), 1, 3, 5)
    v = named("gru", inputs)
    plain, _ = forward(*inputs)[0]
    zoned, _ = forward(*(v | {"z_h": np.full((1, 1, 5), 0.3)}).values())[0]
    np.testing.assert_allclose(zoned[0], 0.3 * v["h0"] + 0.7 * plain[0], rtol=1e-13)
    z = expit(v["a"][0, :, 5:10] + (v["h0"] @ v["W_hh"])[:, 5:10])
    n = (plain[0] - z * v["h0"]) / (1 - z)
    assert (np.abs(zoned[0] - (0.3 * v["h0"] + 0.7 * n)) > 1e-3).all()


def test_dropping_the_candidate_leaves_the_way_of_the_old_state_as_it_is():
    inputs, _, _ = draw("gru", variant_named("gru", "b_hn"), 6, 3, 5)
    v = named("gru", inputs)
    (h, _), _ = forward(*(v | {"d_i": np.zeros((1, 1, 5))}).values())
    h_prev = v["h0"]
    for t in range(6):
        z = expit(v["a"][t, :, 5:10] + h_prev @ v["W_hh"][:, 5:10])
        np.testing.assert_allclose(h[t], z * h_prev, rtol=1e-12)
        h_prev = h[t]


def test_a_step_averaged_over_all_dropouts_of_the_candidate_is_that_of_evaluation():
    inputs, _, _ = draw("gru", variant_named("gru", "plain"), 1, 2, 3)
    v, keep = named("gru", inputs), np.array([0.9, 0.4, 0.75])
    mean = 0.0
    for bits in itertools.product([0.0, 1.0], repeat=3):
        d = np.array(bits)
        chance = np.prod(np.where(d == 1, keep, 1 - keep))
        mean = mean + chance * forward(*(v | {"d_i": d.reshape(1, 1, 3)}).values())[0][0]
    evaluated = forward(*(v | {"d_i": keep.reshape(1, 1, 3)}).values())[0][0]
    np.testing.assert_allclose(mean, evaluated, rtol=1e-13)
    assert (np.abs(evaluated - forward(*inputs)[0][0]) > 1e-3).all()


def test_a_bias_of_zero_inside_the_reset_is_none():
    inputs, _, _ = draw("gru", variant_named("gru", "plain"))
    zero = named("gru", inputs) | {"b_hn": np.zeros(5)}
    np.testing.assert_array_equal(forward(*zero.values())[0][0], forward(*inputs)[0][0])


def test_the_bias_inside_the_reset_is_no_bias_of_the_candidate():
    """With the reset gate shut b_hn does nothing, wide open it is a bias of n."""
    inputs, _, _ = draw("gru", variant_named("gru", "b_hn"))
    v = named("gru", inputs)
    for a_r, share in ((-500.0, 0.0), (500.0, 1.0)):
        a = v["a"].copy()
        a[..., :5] = a_r
        moved = a.copy()
        moved[..., 10:] += share * v["b_hn"]
        got = forward(*(v | {"a": a}).values())[0][0]
        right = forward(*(v | {"a": moved, "b_hn": None}).values())[0][0]
        np.testing.assert_allclose(got, right, rtol=1e-12)


BAD = {
    "a has shape (4, 3, 16), expected (T, B, 3H) = (4, 3, 15)": {"a": np.zeros((4, 3, 16))},
    "W_hh has shape (15, 5), expected (H, 3H) = (5, 15)": {"W_hh": np.zeros((15, 5))},
    "b_hn has shape (15,), expected (H,) = (5,)": {"b_hn": np.zeros(15)},
    "h0 has shape (5,), expected (B, H)": {"h0": np.zeros(5)},
    "z_h has shape (5,), expected (T | 1, B | 1, H) = (4 | 1, 3 | 1, 5)": {"z_h": np.zeros(5)},
    "b_hn is a float, expected an array": {"b_hn": 0.0},
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused(words):
    inputs, _, _ = draw("gru", variant_named("gru", "plain"))
    with pytest.raises((ValueError, TypeError)) as caught:
        gru(*(named("gru", inputs) | BAD[words]).values())
    assert str(caught.value).startswith("gru: ")
    assert words in str(caught.value)
