"""LSTM with layer normalisation: its formulas written out, every gradient, PyTorch's layer_norm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.cells import lstm_layernorm
from tests.cells import whole_sequence as owes
from tests.cells.whole_sequence import ZONEOUT, Cell

T, B, H = 4, 3, 5
CELL = Cell(lstm_layernorm, ("h", "c", "h_T", "c_T"))

VARIANTS = {
    "plain": ({}, {}),
    "eps": ({}, {"eps": 0.5}),
    "mask": ({"mask": True}, {}),
    **{f"zoneout {kind}": ({"zoneout": kind}, {}) for kind in ZONEOUT},
    **{f"all {kind}": ({"zoneout": kind, "mask": True}, {"eps": 0.1}) for kind in ZONEOUT},
}
every_variant = pytest.mark.parametrize("label", VARIANTS)


def draw(T=T, B=B, H=H, *, mask=False, zoneout=None, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "a": 2 * rng.standard_normal((T, B, 4 * H)) + 1,
        "W_hh": rng.standard_normal((H, 4 * H)),
        "gain_x": rng.uniform(0.5, 1.5, 4 * H),
        "bias_x": rng.standard_normal(4 * H),
        "gain_h": rng.uniform(0.5, 1.5, 4 * H),
        "bias_h": rng.standard_normal(4 * H),
        "gain_c": rng.uniform(0.5, 1.5, H),
        "bias_c": rng.standard_normal(H),
        "h0": rng.standard_normal((B, H)),
        "c0": rng.standard_normal((B, H)),
        "z_h": owes.zoneout(rng, zoneout, T, B, H) if zoneout else None,
        "z_c": owes.zoneout(rng, zoneout, T, B, H) if zoneout else None,
        "mask": rng.random((T, B)) < 0.7 if mask else None,
    }


def variant(label, **sizes):
    present, options = VARIANTS[label]
    return draw(**present, **sizes), options


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def norm(s, gain, bias, eps):
    return gain * (s - np.mean(s)) / np.sqrt(np.var(s) + eps) + bias


def by_hand(
    a, W_hh, gain_x, bias_x, gain_h, bias_h, gain_c, bias_c, h0, c0, z_h, z_c, mask, eps=1e-5
):
    """One sequence after the other."""
    T, B, H = len(a), *h0.shape
    z_h, z_c = (np.broadcast_to(0.0 if z is None else z, (T, B, H)) for z in (z_h, z_c))
    hs, cs = np.empty((T, B, H)), np.empty((T, B, H))
    for b in range(B):
        h, c = h0[b], c0[b]
        for t in range(T):
            if mask is None or mask[t, b]:
                summed = norm(a[t, b], gain_x, bias_x, eps) + norm(W_hh.T @ h, gain_h, bias_h, eps)
                i, f, g, o = summed.reshape(4, H)
                new = np.tanh(g) * sigmoid(i) + c * sigmoid(f)
                shown = np.tanh(norm(new, gain_c, bias_c, eps)) * sigmoid(o)
                h = shown + z_h[t, b] * (h - shown)
                c = new + z_c[t, b] * (c - new)
            hs[t, b], cs[t, b] = h, c
    return hs, cs


@every_variant
def test_states_are_those_of_the_formulas(label):
    inputs, options = variant(label)
    h, c, h_T, c_T = CELL.call(inputs, **options)
    expected_h, expected_c = by_hand(**inputs, **options)
    np.testing.assert_allclose(h, expected_h, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(c, expected_c, rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(h_T, h[-1])
    np.testing.assert_array_equal(c_T, c[-1])


@every_variant
def test_gradients_of_every_input_are_the_central_differences(label):
    inputs, options = variant(label, T=3, B=2, H=4)
    owes.check_gradients(CELL, inputs, **options)


@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2)),
    mask=st.booleans(), zoneout=st.sampled_from([None, *ZONEOUT]), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_gradients_hold_for_any_sizes(sizes, mask, zoneout, seed):
    inputs = draw(*sizes, mask=mask, zoneout=zoneout, seed=seed)
    owes.check_gradients_at_once(CELL, inputs, seed, eps=0.1)


def test_gradients_hold_along_directions_at_a_length_of_100():
    owes.check_gradients_along(CELL, variant("all fresh", T=100, H=7)[0])


def test_neither_the_size_nor_a_shift_of_what_is_normalised_matters():
    inputs = draw()
    expected = CELL.call(inputs, eps=1e-12)
    scaled = inputs | {"a": 7 * inputs["a"] + 3, "W_hh": 5 * inputs["W_hh"]}
    for y, right in zip(CELL.call(scaled, eps=1e-12), expected, strict=True):
        np.testing.assert_allclose(y, right, rtol=1e-9, atol=1e-11)


def test_sequences_of_a_batch_do_not_see_each_other():
    inputs = draw()
    h = CELL.call(inputs)[0]
    for b in range(B):
        alone = inputs | {k: inputs[k][:, b : b + 1] for k in ("a",)}
        alone |= {k: inputs[k][b : b + 1] for k in ("h0", "c0")}
        np.testing.assert_allclose(CELL.call(alone)[0][:, 0], h[:, b], rtol=1e-12)


def test_the_cell_that_recurs_is_not_normalised():
    # With every gate wide open for the past (f = 1) and shut for news (i = 0), c stays as it is.
    inputs = draw()
    bias = np.repeat([-50.0, 50.0, 0.0, 0.0], H)
    c = CELL.call(inputs | {"bias_x": bias})[1]
    np.testing.assert_allclose(c, np.broadcast_to(inputs["c0"], c.shape), rtol=1e-12)


def test_is_a_loop_over_pytorchs_layer_norm():
    inputs = draw(zoneout="fresh")

    def theirs(
        torch, a, W_hh, gain_x, bias_x, gain_h, bias_h, gain_c, bias_c, h0, c0, z_h, z_c, **_
    ):
        norm, h, c, hs, cs = torch.nn.functional.layer_norm, h0, c0, [], []
        for t in range(T):
            q = norm(h @ W_hh, (4 * H,), gain_h, bias_h) + norm(a[t], (4 * H,), gain_x, bias_x)
            i, f, g, o = q.chunk(4, dim=1)
            new = f.sigmoid() * c + i.sigmoid() * g.tanh()
            shown = o.sigmoid() * norm(new, (H,), gain_c, bias_c).tanh()
            h, c = torch.lerp(shown, h, z_h[t]), torch.lerp(new, c, z_c[t])
            hs.append(h)
            cs.append(c)
        return torch.stack(hs), torch.stack(cs), h, c

    owes.compare_with_torch(CELL, inputs, theirs)


def test_a_single_unit_is_normalised_to_its_bias():
    inputs = draw(H=1)
    h = CELL.call(inputs)[0]
    shown = np.tanh(inputs["bias_c"])  # LN of one number is 0, and o is between 0 and 1
    assert (np.sign(h) == np.sign(shown)).all()
    assert (np.abs(h) < np.abs(shown)).all()
    assert not CELL.run(inputs, [np.ones_like(h), None, None, None])["dgain_c"].any()


@every_variant
def test_manners(label):
    inputs, options = variant(label)
    owes.check_manners(CELL, inputs, **options)


@pytest.mark.parametrize("label", ["plain", "all fresh"])
def test_gradients_of_each_output_alone_add_up(label):
    inputs, options = variant(label)
    owes.check_outputs_add_up(CELL, inputs, **options)


@pytest.mark.parametrize("label", ["mask", "all fresh", "all per unit"])
def test_padded_steps_hold_the_states_whatever_they_contain(label):
    inputs, options = variant(label, T=6)
    assert not inputs["mask"].all()
    owes.check_padding(CELL, inputs, **options)


@pytest.mark.parametrize("label", ["plain", "all fresh", "all static"])
def test_a_sequence_cut_in_two_gives_the_states_and_gradients_of_the_whole(label):
    inputs, options = variant(label, T=6)
    owes.check_cut(CELL, inputs, ("a", "z_h", "z_c", "mask"), **options)


@pytest.mark.parametrize(("T", "B"), [(0, 3), (4, 0)])
def test_no_step_or_no_sequence(T, B):
    inputs = draw(T=T, B=B)
    found = CELL.run(inputs)
    np.testing.assert_array_equal(found["h_T"], inputs["h0"])
    for name, x in inputs.items():
        if x is not None:
            assert found[f"d{name}"].shape == x.shape
    assert not found["dW_hh"].any()


def test_second_derivatives_and_kernels_are_refused_by_name():
    owes.check_refusals(CELL, draw())


@pytest.mark.gpu
@every_variant
def test_cupy_gives_the_same(label):
    inputs, options = variant(label)
    owes.check_on_gpu(CELL, inputs, **options)


BAD = {
    "a is a list, expected an array or a Tensor": {"a": [[[1.0]]]},
    "a has shape (4, 20), expected (T, B, 4H)": {"a": np.zeros((4, 20))},
    "a has shape (4, 3, 8), expected (T, B, 4H) = (4, 3, 20)": {"a": np.zeros((4, 3, 8))},
    "W_hh has shape (20, 5), expected (H, 4H) = (5, 20)": {"W_hh": np.zeros((20, 5))},
    "gain_x has shape (5,), expected (4H,) = (20,)": {"gain_x": np.zeros(5)},
    "bias_x has shape (1, 20), expected (4H,) = (20,)": {"bias_x": np.zeros((1, 20))},
    "gain_h has shape (5,), expected (4H,) = (20,)": {"gain_h": np.zeros(5)},
    "bias_h has shape (5,), expected (4H,) = (20,)": {"bias_h": np.zeros(5)},
    "gain_c has shape (20,), expected (H,) = (5,)": {"gain_c": np.zeros(20)},
    "bias_c is a NoneType, expected an array or a Tensor": {"bias_c": None},
    "c0 has shape (5, 3), expected (B, H) = (3, 5)": {"c0": np.zeros((5, 3))},
    "z_h has shape (4, 3, 1)": {"z_h": np.zeros((4, 3, 1))},
    "z_c has shape (4, 3)": {"z_c": np.zeros((4, 3))},
    "mask has shape (3, 4), expected (T, B) = (4, 3)": {"mask": np.zeros((3, 4))},
    "expected float32 for all or float64 for all": {"gain_c": np.zeros(5, np.float32)},
    "eps is 0, expected a finite number > 0": {"eps": 0},
    "eps is nan, expected a finite number": {"eps": np.nan},
    "eps is None, expected a number": {"eps": None},
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused_with_the_shape_expected(words):
    inputs = draw()
    options = {k: v for k, v in BAD[words].items() if k not in inputs}
    inputs |= {k: v for k, v in BAD[words].items() if k in inputs}
    with pytest.raises((ValueError, TypeError)) as caught:
        CELL.call(inputs, **options)
    assert words in str(caught.value)
    assert str(caught.value).startswith("lstm_layernorm: ")
