"""LSTM: its formulas, PyTorch's nn.LSTM and LSTMCell, and what each option does and does not do."""

import itertools

import numpy as np
import pytest
from scipy.special import expit

from nnseq.backend import use_kernels
from nnseq.cells.lstm import backward, forward, lstm
from nnseq.ops.linear import linear
from tests.cells.recurrent_cases import draw, name_of, variants
from tests.cells.recurrent_checks import check_formula, named, run, variant_named
from tests.ops.check import compare_with_torch, normal

PLAIN = {"forget_bias": 0.0, "cell_clip": 0.0, "ogate_zoneout": False}


def drawn(label="plain", *sizes, seed=0, **replaced):
    """Inputs by name, and options, of a variant."""
    inputs, options, _ = draw("lstm", variant_named("lstm", label), *sizes, seed=seed)
    return named("lstm", inputs) | replaced, options


def outputs(arrays, **options):
    """h and c of all steps."""
    return forward(*arrays.values(), **PLAIN | options)[0][:2]


@pytest.mark.parametrize("variant", variants("lstm"), ids=name_of)
def test_is_its_formulas(variant):
    def step(v, h, c, forget_bias, cell_clip, ogate_zoneout):
        a_i, a_f, a_g, a_o = np.split(v.a, 4)
        W_i, W_f, W_g, W_o = np.hsplit(v.W_hh, 4)
        p_i, p_f, p_o = np.zeros((3, len(h))) if v.p is None else v.p
        i = v.d_i * expit(a_i + W_i.T @ h + p_i * c)
        f = expit(a_f + W_f.T @ h + p_f * c + forget_bias)
        c_new = f * c + i * np.tanh(a_g + W_g.T @ h)
        if cell_clip:
            c_new = np.minimum(np.maximum(c_new, -cell_clip), cell_clip)
        h_new = expit(a_o + W_o.T @ h + p_o * c_new) * np.tanh(c_new)
        h_t = h_new + v.z_h * (h - h_new)
        if ogate_zoneout:
            h_t = v.d_i * h_t + f * h - v.d_i * f * h
        return [h_t, c_new + v.z_c * (c - c_new)]

    check_formula("lstm", variant, step)


# ---- PyTorch ------------------------------------------------------------------------------------

T, B, D, H = 6, 3, 2, 5
SHAPES = (T, B, D), (B, H), (B, H), (D, 4 * H), (H, 4 * H), (4 * H,), (4 * H,)


def test_is_the_lstm_of_pytorch():
    def ours(x, h0, c0, W_ih, W_hh, b_ih, b_hh):
        with use_kernels("reference"):
            h, _, h_T, c_T = lstm(linear(x, W_ih, b_ih + b_hh), W_hh, h0, c0)
        return h, h_T, c_T

    def theirs(torch, x, h0, c0, W_ih, W_hh, b_ih, b_hh):
        weights = {"weight_ih_l0": W_ih.T, "weight_hh_l0": W_hh.T}
        biases = {"bias_ih_l0": b_ih, "bias_hh_l0": b_hh}
        module = torch.nn.LSTM(D, H, dtype=torch.float64)
        states = h0[None], c0[None]
        h, (h_T, c_T) = torch.func.functional_call(module, weights | biases, (x, states))
        return h, h_T[0], c_T[0]

    compare_with_torch(ours, theirs, *normal(5, *SHAPES))


@pytest.mark.parametrize("zoneout", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_is_a_loop_over_the_lstm_cell_of_pytorch_with_zoneout_and_padding(zoneout, masked):
    rng = np.random.default_rng(6)
    z = {name: (rng.random((T, B, H)) < 0.4).astype(float) for name in ("z_h", "z_c")}
    mask = rng.random((T, B)) < 0.7
    chosen = (z if zoneout else {}) | ({"mask": mask} if masked else {})

    def ours(x, h0, c0, W_ih, W_hh, b_ih, b_hh):
        a = linear(x, W_ih, b_ih + b_hh)
        weights = (chosen.get(name) for name in ("p", "z_h", "z_c", "d_i", "mask"))
        with use_kernels("reference"):
            return lstm(a, W_hh, h0, c0, *weights)

    def theirs(torch, x, h, c, W_ih, W_hh, b_ih, b_hh):
        weights = {"weight_ih": W_ih.T, "weight_hh": W_hh.T, "bias_ih": b_ih, "bias_hh": b_hh}
        cell = torch.nn.LSTMCell(D, H, dtype=torch.float64)
        every = []
        for t in range(T):
            h_new, c_new = torch.func.functional_call(cell, weights, (x[t], (h, c)))
            if zoneout:
                h_new = torch.where(torch.tensor(z["z_h"][t] == 1), h, h_new)
                c_new = torch.where(torch.tensor(z["z_c"][t] == 1), c, c_new)
            if masked:
                counts = torch.tensor(mask[t])[:, None]
                h_new, c_new = torch.where(counts, h_new, h), torch.where(counts, c_new, c)
            h, c = h_new, c_new
            every.append((h, c))
        return *(torch.stack(states) for states in zip(*every, strict=True)), h, c

    compare_with_torch(ours, theirs, *normal(7, *SHAPES))


# ---- what each option does ----------------------------------------------------------------------


def test_h_is_made_of_the_cell_before_zoneout():
    arrays, _ = drawn("plain", 1, 2, 3)
    a_i, a_f, a_g, a_o = np.split((arrays["a"] + arrays["h0"] @ arrays["W_hh"])[0], 4, axis=1)
    c_new = expit(a_f) * arrays["c0"] + expit(a_i) * np.tanh(a_g)
    h, c = outputs(arrays | {"z_c": np.ones((1, 1, 3))})
    np.testing.assert_array_equal(c[0], arrays["c0"])  # zoneout keeps every cell
    np.testing.assert_allclose(h[0], expit(a_o) * np.tanh(c_new), rtol=1e-13)
    of_the_kept_cell = expit(a_o) * np.tanh(arrays["c0"])
    assert (np.abs(h[0] - of_the_kept_cell) > 1e-3).all()


def test_dropping_the_input_gate_leaves_the_way_of_the_forget_gate_as_it_is():
    arrays, _ = drawn("plain", 6, 3, 5)
    h, c = outputs(arrays | {"d_i": np.zeros((1, 1, 5))})
    h_prev, c_prev = arrays["h0"], arrays["c0"]
    for t in range(6):
        _, q_f, _, q_o = np.split(arrays["a"][t] + h_prev @ arrays["W_hh"], 4, axis=1)
        np.testing.assert_allclose(c[t], expit(q_f) * c_prev, rtol=1e-13)  # exactly f ∘ c
        np.testing.assert_allclose(h[t], expit(q_o) * np.tanh(c[t]), rtol=1e-12)
        h_prev, c_prev = h[t], c[t]


def test_dropping_the_input_gate_leaves_the_gradient_of_the_memory_as_it_is():
    """With W_hh = 0 nothing but f links the cells: ∂c_T/∂c_0 is the product of all f."""
    arrays, options = drawn("plain", 6, 3, 5)
    arrays |= {"W_hh": np.zeros((5, 20)), "d_i": np.zeros((1, 1, 5))}
    _, saved = forward(*arrays.values(), **options)
    dc_T = np.random.default_rng(8).standard_normal((3, 5))
    _, _, _, dc0, *_ = backward(saved, None, None, None, dc_T)
    f = expit(arrays["a"][..., 5:10])
    np.testing.assert_allclose(dc0, dc_T * f.prod(axis=0), rtol=1e-12)


def test_the_cell_averaged_over_all_dropouts_of_the_input_gate_is_that_of_evaluation():
    arrays, _ = drawn("plain", 1, 2, 3)
    keep = np.array([0.9, 0.4, 0.75])
    mean = 0.0
    for bits in itertools.product([0.0, 1.0], repeat=3):
        d = np.array(bits)
        chance = np.prod(np.where(d == 1, keep, 1 - keep))
        mean = mean + chance * outputs(arrays | {"d_i": d.reshape(1, 1, 3)})[1]
    evaluated = outputs(arrays | {"d_i": keep.reshape(1, 1, 3)})[1]
    np.testing.assert_allclose(mean, evaluated, rtol=1e-13)
    assert (np.abs(evaluated - outputs(arrays)[1]) > 1e-3).all()


def test_where_the_input_gate_is_dropped_ogate_zoneout_shows_the_old_state_times_f():
    arrays, _ = drawn("all per unit", 1, 3, 5)
    arrays |= {"z_c": None, "p": None, "mask": None}
    q_f = (arrays["a"][0] + arrays["h0"] @ arrays["W_hh"])[:, 5:10]
    dropped = arrays | {"d_i": np.zeros((1, 1, 5))}
    h, _ = outputs(dropped, ogate_zoneout=True)
    np.testing.assert_allclose(h[0], expit(q_f) * arrays["h0"], rtol=1e-13)
    kept = arrays | {"d_i": np.ones((1, 1, 5))}
    for y, plain in zip(outputs(kept, ogate_zoneout=True), outputs(kept), strict=True):
        np.testing.assert_array_equal(y, plain)


def test_the_clip_bounds_the_cells_and_stops_the_gradient_where_it_binds():
    arrays, options = drawn("cell_clip", 1, 3, 5)
    bound = options["cell_clip"]
    (_, c, _, _), saved = forward(*arrays.values(), **options)
    clipped = np.abs(c[0]) == bound
    assert np.abs(c).max() == bound
    assert 0 < clipped.sum() < clipped.size
    doutputs = np.random.default_rng(9).standard_normal((2, 3, 5))
    _, _, _, dc0, *_ = backward(saved, None, None, *doutputs)
    assert not dc0[clipped].any()
    assert dc0[~clipped].all()


def test_a_bound_that_is_never_reached_changes_nothing():
    inputs, options, doutputs = draw("lstm", variant_named("lstm", "peepholes"))
    plain = run("lstm", inputs, options, doutputs)
    wide = run("lstm", inputs, options | {"cell_clip": 50.0}, doutputs)
    for name, right in plain.items():
        np.testing.assert_array_equal(wide[name], right)


def test_the_forget_bias_is_a_bias_of_the_forget_gate_alone():
    inputs, options, doutputs = draw("lstm", variant_named("lstm", "all fresh"))
    shifted = (inputs[0].copy(), *inputs[1:])
    shifted[0][..., 5:10] += 1.5
    got = run("lstm", inputs, options | {"forget_bias": 1.5, "cell_clip": 0.0}, doutputs)
    right = run("lstm", shifted, options | {"forget_bias": 0.0, "cell_clip": 0.0}, doutputs)
    for name, expected in right.items():
        if expected is not None:
            np.testing.assert_allclose(got[name], expected, rtol=1e-11, atol=1e-13)


def test_peepholes_of_zero_are_no_peepholes():
    inputs, options, doutputs = draw("lstm", variant_named("lstm", "plain"))
    zero = tuple((named("lstm", inputs) | {"p": np.zeros((3, 5))}).values())
    got, right = run("lstm", zero, options, doutputs), run("lstm", inputs, options, doutputs)
    for name, expected in right.items():
        if expected is not None:
            np.testing.assert_array_equal(got[name], expected)
    assert got["dp"].all()


def test_the_peephole_of_the_output_gate_sees_the_new_cell():
    """One entry of p_o moves h by o' ∘ tanh(c̃) ∘ c̃, whatever c_{t-1} is."""
    arrays, _ = drawn("plain", 1, 2, 3)
    p = np.zeros((3, 3))
    p[2, 1] = 1e-6
    h, c = outputs(arrays)
    moved, _ = outputs(arrays | {"p": p})
    o = h / np.tanh(c)
    expected = np.zeros_like(h)
    expected[..., 1] = (o * (1 - o) * np.tanh(c) * c)[..., 1]
    np.testing.assert_allclose((moved - h) / 1e-6, expected, rtol=1e-5, atol=1e-9)


# ---- refusals -----------------------------------------------------------------------------------

BAD = {
    "ogate_zoneout is on and d_i is None, expected the weights": {"ogate_zoneout": True},
    "cell_clip is -1.0, expected a finite number >= 0": {"cell_clip": -1.0},
    "cell_clip is nan": {"cell_clip": np.nan},
    "forget_bias is inf, expected a finite number": {"forget_bias": np.inf},
    "forget_bias is '1', expected a number": {"forget_bias": "1"},
    "p has shape (5,), expected (3, H) = (3, 5)": {"p": np.zeros(5)},
    "W_hh has shape (5, 16), expected (H, 4H) = (5, 20)": {"W_hh": np.zeros((5, 16))},
    "z_c has shape (2, 1, 5), expected (T | 1, B | 1, H) = (4 | 1, 3 | 1, 5)": {
        "z_c": np.zeros((2, 1, 5))
    },
    "d_i has shape (4, 3, 1)": {"d_i": np.zeros((4, 3, 1))},
    "c0 has shape (5, 3), expected (B, H) = (3, 5)": {"c0": np.zeros((5, 3))},
    "mask has shape (3, 4), expected (T, B) = (4, 3)": {"mask": np.ones((3, 4))},
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused(words):
    arrays, options = drawn()
    bad = BAD[words]
    options |= {name: value for name, value in bad.items() if name in options}
    arrays |= {name: value for name, value in bad.items() if name in arrays}
    with pytest.raises((ValueError, TypeError)) as caught:
        lstm(*arrays.values(), **options)
    assert str(caught.value).startswith("lstm: ")
    assert words in str(caught.value)
