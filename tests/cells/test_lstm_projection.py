"""LSTM with projection: its formulas written out, every gradient, PyTorch's proj_size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.cells import lstm, lstm_projection
from tests.cells import whole_sequence as owes
from tests.cells.whole_sequence import ZONEOUT, Cell

T, B, H, P = 4, 3, 5, 2
CELL = Cell(lstm_projection, ("h", "c", "h_T", "c_T"))
ALL = {"forget_bias": 0.7, "cell_clip": 0.4, "proj_clip": 0.3}

VARIANTS = {
    "plain": ({}, {}),
    "mask": ({"mask": True}, {}),
    "peepholes": ({"p": True}, {}),
    "forget_bias": ({}, {"forget_bias": 1.0}),
    "cell_clip": ({}, {"cell_clip": 0.4}),
    "cell_clip, peepholes": ({"p": True}, {"cell_clip": 0.4}),
    "proj_clip": ({}, {"proj_clip": 0.3}),
    **{f"zoneout {kind}": ({"zoneout": kind}, {}) for kind in ZONEOUT},
    **{f"all {kind}": ({"zoneout": kind, "p": True, "mask": True}, ALL) for kind in ZONEOUT},
}
every_variant = pytest.mark.parametrize("label", VARIANTS)


def draw(T=T, B=B, H=H, P=P, *, p=False, mask=False, zoneout=None, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "a": 2 * rng.standard_normal((T, B, 4 * H)),
        "W_hh": rng.standard_normal((P, 4 * H)),
        "W_hr": rng.standard_normal((H, P)),
        "h0": rng.standard_normal((B, P)),
        "c0": rng.standard_normal((B, H)),
        "p": rng.standard_normal((3, H)) if p else None,
        "z_h": owes.zoneout(rng, zoneout, T, B, P) if zoneout else None,
        "z_c": owes.zoneout(rng, zoneout, T, B, H) if zoneout else None,
        "mask": rng.random((T, B)) < 0.7 if mask else None,
    }


def variant(label, **sizes):
    present, options = VARIANTS[label]
    return draw(**present, **sizes), options


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(
    a, W_hh, W_hr, h0, c0, p, z_h, z_c, mask, forget_bias=0.0, cell_clip=0.0, proj_clip=0.0
):
    """One sequence after the other, every gate with a matrix of its own; also what was clipped."""
    (T, B, _), (H, P) = a.shape, W_hr.shape
    p = np.zeros((3, H)) if p is None else p
    z_h = np.broadcast_to(0.0 if z_h is None else z_h, (T, B, P))
    z_c = np.broadcast_to(0.0 if z_c is None else z_c, (T, B, H))
    limit, bound = cell_clip or np.inf, proj_clip or np.inf
    hs, cs, near = np.empty((T, B, P)), np.empty((T, B, H)), [np.inf]
    for b in range(B):
        h, c = h0[b], c0[b]
        for t in range(T):
            if mask is None or mask[t, b]:
                s = {k: a[t, b, j * H : (j + 1) * H] + W_hh[:, j * H : (j + 1) * H].T @ h
                     for j, k in enumerate("ifgo")}  # fmt: skip
                f = sigmoid(s["f"] + p[1] * c + forget_bias)
                raw = np.tanh(s["g"]) * sigmoid(s["i"] + p[0] * c) + c * f
                clipped = np.minimum(np.maximum(raw, -limit), limit)
                shown = W_hr.T @ (np.tanh(clipped) * sigmoid(s["o"] + p[2] * clipped))
                near += [*np.abs(np.abs(raw) - limit), *np.abs(np.abs(shown) - bound)]
                shown = np.minimum(np.maximum(shown, -bound), bound)
                h = shown + z_h[t, b] * (h - shown)
                c = clipped + z_c[t, b] * (c - clipped)
            hs[t, b], cs[t, b] = h, c
    return hs, cs, min(near)


@every_variant
def test_states_are_those_of_the_formulas(label):
    inputs, options = variant(label)
    h, c, h_T, c_T = CELL.call(inputs, **options)
    expected_h, expected_c, _ = by_hand(**inputs, **options)
    np.testing.assert_allclose(h, expected_h, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(c, expected_c, rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(h_T, h[-1])
    np.testing.assert_array_equal(c_T, c[-1])


@every_variant
def test_gradients_of_every_input_are_the_central_differences(label):
    inputs, options = variant(label, T=3, B=2, P=4)
    assert by_hand(**inputs, **options)[2] > 1e-4, "a clip's kink is too near for a difference"
    owes.check_gradients(CELL, inputs, **options)


@given(
    sizes=st.tuples(st.integers(1, 3), *[st.integers(1, 2)] * 3),
    p=st.booleans(), mask=st.booleans(), zoneout=st.sampled_from([None, *ZONEOUT]),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_gradients_hold_for_any_sizes(sizes, p, mask, zoneout, seed):
    inputs = draw(*sizes, p=p, mask=mask, zoneout=zoneout, seed=seed)
    owes.check_gradients_at_once(CELL, inputs, seed, forget_bias=0.5)


def test_gradients_hold_along_directions_at_a_length_of_100():
    owes.check_gradients_along(CELL, variant("zoneout fresh", T=100, H=7)[0])


def test_a_square_identity_projection_is_an_lstm():
    inputs = draw(P=H, p=True, mask=True, zoneout="fresh") | {"W_hr": np.eye(H)}
    given = list(inputs.values())
    plain = [x for x in given if x is not inputs["W_hr"]]
    plain.insert(-1, None)  # d_i
    options = {"forget_bias": 0.7, "cell_clip": 0.4}
    expected = lstm.forward(*plain, **options, ogate_zoneout=False)[0]
    for y, right in zip(CELL.call(inputs, **options), expected, strict=True):
        np.testing.assert_allclose(y, right, rtol=1e-13)


@pytest.mark.parametrize("is_clipped", [True, False])
def test_where_a_clip_acts_no_gradient_passes(is_clipped):
    inputs = draw(T=1)
    bound = 1e-3 if is_clipped else 1e3
    h, c, *_ = CELL.call(inputs, proj_clip=bound)
    assert (np.abs(h) == bound).all() == is_clipped
    through_h = CELL.run(inputs, [np.ones_like(h), None, None, None], proj_clip=bound)
    assert bool(through_h["da"].any()) is not is_clipped
    through_c = CELL.run(inputs, [None, np.ones_like(c), None, None], cell_clip=bound)
    assert bool(through_c["da"].any()) is not is_clipped


def test_zoneout_of_one_keeps_both_states_and_of_zero_changes_nothing():
    inputs = draw()
    ones = {"z_h": np.ones((1, 1, P)), "z_c": np.ones((1, 1, H))}
    h, c, *_ = CELL.call(inputs | ones)
    np.testing.assert_array_equal(h, np.broadcast_to(inputs["h0"], h.shape))
    np.testing.assert_array_equal(c, np.broadcast_to(inputs["c0"], c.shape))
    none = CELL.call(inputs | {name: 0 * z for name, z in ones.items()})
    for y, right in zip(none, CELL.call(inputs), strict=True):
        np.testing.assert_allclose(y, right, rtol=1e-14)


def test_is_pytorchs_lstm_with_proj_size():
    inputs = draw()

    def theirs(torch, a, W_hh, W_hr, h0, c0, **_):
        layer = torch.nn.LSTM(4 * H, H, proj_size=P, bias=False).double()
        weights = {"weight_ih_l0": torch.eye(4 * H, dtype=a.dtype), "weight_hh_l0": W_hh.T,
                   "weight_hr_l0": W_hr.T}  # fmt: skip
        y, (h_T, c_T) = torch.func.functional_call(layer, weights, (a, (h0[None], c0[None])))
        # nn.LSTM does not return c of all steps: it is the last one of each shorter sequence
        c = [torch.func.functional_call(layer, weights, (a[: t + 1], (h0[None], c0[None])))[1][1]
             for t in range(T)]  # fmt: skip
        return y, torch.cat(c), h_T[0], c_T[0]

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
    assert not found["dW_hr"].any()


def test_second_derivatives_and_kernels_are_refused_by_name():
    owes.check_refusals(CELL, draw())


@pytest.mark.gpu
@every_variant
def test_cupy_gives_the_same(label):
    inputs, options = variant(label)
    owes.check_on_gpu(CELL, inputs, **options)


BAD = {
    "a is a list, expected an array or a Tensor": {"a": [[[1.0]]]},
    "mask is a list, expected an array or a Tensor": {"mask": [[1] * B] * T},
    "a has shape (4, 20), expected (T, B, 4H)": {"a": np.zeros((4, 20))},
    "W_hr has shape (5,), expected (H, P)": {"W_hr": np.zeros(5)},
    "a has shape (4, 3, 8), expected (T, B, 4H) = (4, 3, 20) because a has T = 4 and "
    "h0 has B = 3, P = 2 and c0 has H = 5": {"a": np.zeros((4, 3, 8))},
    "W_hh has shape (5, 20), expected (P, 4H) = (2, 20)": {"W_hh": np.zeros((5, 20))},
    "W_hh has shape (2, 20), expected (P, 4H) = (5, 20)": {"h0": np.zeros((3, 5))},
    "c0 has shape (2, 5), expected (B, H) = (3, 5)": {"c0": np.zeros((2, 5))},
    "c0 has shape (5,), expected (B, H)": {"c0": np.zeros(5)},
    "p has shape (5,), expected (3, H) = (3, 5)": {"p": np.zeros(5)},
    "z_h has shape (4, 3, 5), expected (T | 1, B | 1, P) = (4 | 1, 3 | 1, 2)": {
        "z_h": np.zeros((4, 3, 5))
    },
    "z_c has shape (2, 3, 5), expected (T | 1, B | 1, H) = (4 | 1, 3 | 1, 5)": {
        "z_c": np.zeros((2, 3, 5))
    },
    "mask has shape (3, 4), expected (T, B) = (4, 3)": {"mask": np.zeros((3, 4))},
    "have dtypes float64, float64, float32": {"W_hr": np.zeros((5, 2), np.float32)},
    "expected float32 for all or float64 for all": {"z_c": np.zeros((1, 1, 5), int)},
    "forget_bias is nan, expected a finite number": {"forget_bias": np.nan},
    "cell_clip is -1.0, expected a finite number >= 0": {"cell_clip": -1.0},
    "proj_clip is inf, expected a finite number >= 0": {"proj_clip": np.inf},
    "proj_clip is 'big', expected a number": {"proj_clip": "big"},
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused_with_the_shape_expected(words):
    inputs = draw()
    options = {k: v for k, v in BAD[words].items() if k not in inputs}
    inputs |= {k: v for k, v in BAD[words].items() if k in inputs}
    with pytest.raises((ValueError, TypeError)) as caught:
        CELL.call(inputs, **options)
    assert words in str(caught.value)
    assert str(caught.value).startswith("lstm_projection: ")
