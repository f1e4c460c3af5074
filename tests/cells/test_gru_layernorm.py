"""GRU with layer normalisation: its formulas written out, every gradient, PyTorch's layer_norm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.cells import gru_layernorm
from tests.cells import whole_sequence as owes
from tests.cells.whole_sequence import ZONEOUT, Cell

T, B, H = 4, 3, 5
CELL = Cell(gru_layernorm, ("h", "h_T"))

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
        "a": 2 * rng.standard_normal((T, B, 3 * H)) + 1,
        "W_hh": rng.standard_normal((H, 3 * H)),
        "gain_x": rng.uniform(0.5, 1.5, 3 * H),
        "bias_x": rng.standard_normal(3 * H),
        "gain_h": rng.uniform(0.5, 1.5, 3 * H),
        "bias_h": rng.standard_normal(3 * H),
        "h0": rng.standard_normal((B, H)),
        "z_h": owes.zoneout(rng, zoneout, T, B, H) if zoneout else None,
        "mask": rng.random((T, B)) < 0.7 if mask else None,
    }


def variant(label, **sizes):
    present, options = VARIANTS[label]
    return draw(**present, **sizes), options


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def norm(s, gain, bias, eps):
    return gain * (s - np.mean(s)) / np.sqrt(np.var(s) + eps) + bias


def by_hand(a, W_hh, gain_x, bias_x, gain_h, bias_h, h0, z_h, mask, eps=1e-5):
    """One sequence after the other; r and z are normalised together, n by itself."""
    T, B, H = len(a), *h0.shape
    z_h = np.broadcast_to(0.0 if z_h is None else z_h, (T, B, H))
    hs, two = np.empty((T, B, H)), slice(0, 2 * H)
    three = slice(2 * H, 3 * H)
    for b in range(B):
        h = h0[b]
        for t in range(T):
            if mask is None or mask[t, b]:
                s = W_hh.T @ h
                r, z = sigmoid(
                    norm(s[two], gain_h[two], bias_h[two], eps)
                    + norm(a[t, b, two], gain_x[two], bias_x[two], eps)
                ).reshape(2, H)
                n = np.tanh(
                    r * norm(s[three], gain_h[three], bias_h[three], eps)
                    + norm(a[t, b, three], gain_x[three], bias_x[three], eps)
                )
                new = n + z * (h - n)
                h = new + z_h[t, b] * (h - new)
            hs[t, b] = h
    return hs


@every_variant
def test_states_are_those_of_the_formulas(label):
    inputs, options = variant(label)
    h, h_T = CELL.call(inputs, **options)
    np.testing.assert_allclose(h, by_hand(**inputs, **options), rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(h_T, h[-1])


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
        alone = inputs | {"a": inputs["a"][:, b : b + 1]}
        alone["h0"] = inputs["h0"][b : b + 1]
        np.testing.assert_allclose(CELL.call(alone)[0][:, 0], h[:, b], rtol=1e-12)


def test_an_open_update_gate_keeps_the_state_as_it_is():
    inputs = draw()
    bias = np.repeat([0.0, 50.0, 0.0], H)
    h = CELL.call(inputs | {"bias_x": bias})[0]
    np.testing.assert_allclose(h, np.broadcast_to(inputs["h0"], h.shape), rtol=1e-12)


def test_the_gates_are_normalised_together_and_the_candidate_by_itself():
    inputs = draw()
    expected = CELL.call(inputs, eps=1e-12)[0]
    factor = np.repeat([3.0, 3.0, 7.0], H)
    scaled = inputs | {"a": factor * inputs["a"], "W_hh": factor * inputs["W_hh"]}
    np.testing.assert_allclose(CELL.call(scaled, eps=1e-12)[0], expected, rtol=1e-9, atol=1e-11)
    factor = np.repeat([3.0, 7.0, 1.0], H)  # r and z share their average and variance
    assert np.abs(CELL.call(inputs | {"a": factor * inputs["a"]})[0] - expected).max() > 1e-2


def test_is_a_loop_over_pytorchs_layer_norm():
    inputs = draw(zoneout="fresh")

    def theirs(torch, a, W_hh, gain_x, bias_x, gain_h, bias_h, h0, z_h, **_):
        h, hs, sizes = h0, [], (2 * H, H)

        def norm(s, gain, bias):
            parts = (x.split(sizes, dim=-1) for x in (s, gain, bias))
            return [torch.nn.functional.layer_norm(s, s.shape[-1:], g, b)
                    for s, g, b in zip(*parts, strict=True)]  # fmt: skip

        for t in range(T):
            (v, v_n), (u, u_n) = norm(a[t], gain_x, bias_x), norm(h @ W_hh, gain_h, bias_h)
            r, z = (u + v).sigmoid().chunk(2, dim=1)
            h = torch.lerp(torch.lerp((v_n + r * u_n).tanh(), h, z), h, z_h[t])
            hs.append(h)
        return torch.stack(hs), h

    owes.compare_with_torch(CELL, inputs, theirs)


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
    owes.check_cut(CELL, inputs, ("a", "z_h", "mask"), **options)


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
    "a has shape (4, 15), expected (T, B, 3H)": {"a": np.zeros((4, 15))},
    "a has shape (4, 3, 8), expected (T, B, 3H) = (4, 3, 15)": {"a": np.zeros((4, 3, 8))},
    "W_hh has shape (15, 5), expected (H, 3H) = (5, 15)": {"W_hh": np.zeros((15, 5))},
    "gain_x has shape (5,), expected (3H,) = (15,)": {"gain_x": np.zeros(5)},
    "bias_x has shape (1, 15), expected (3H,) = (15,)": {"bias_x": np.zeros((1, 15))},
    "gain_h has shape (5,), expected (3H,) = (15,)": {"gain_h": np.zeros(5)},
    "bias_h has shape (5,), expected (3H,) = (15,)": {"bias_h": np.zeros(5)},
    "h0 has shape (5,), expected (B, H)": {"h0": np.zeros(5)},
    "bias_h is a NoneType, expected an array or a Tensor": {"bias_h": None},
    "z_h has shape (4, 3, 1)": {"z_h": np.zeros((4, 3, 1))},
    "mask has shape (3, 4), expected (T, B) = (4, 3)": {"mask": np.zeros((3, 4))},
    "expected float32 for all or float64 for all": {"gain_h": np.zeros(15, np.float32)},
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
    assert str(caught.value).startswith("gru_layernorm: ")
