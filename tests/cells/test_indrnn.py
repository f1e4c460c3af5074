"""IndRNN as a differentiable op: gradients of every input, option and implementation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.backend import use_kernels
from nnseq.cells.indrnn import backward, forward, indrnn
from nnseq.gradcheck import gradcheck, gradcheck_directional
from nnseq.tensor import Tensor, grad
from tests.kernels.indrnn.parity import Case, draw

ACTS = ("relu", "tanh", "identity")
IMPLEMENTATIONS = ("reference", "numba")


def op(case: Case):
    return lambda *x: indrnn(*x, act=case.act)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_every_input_are_the_central_differences(implementation, act, masked):
    case = Case(4, 3, 5, act=act, masked=masked)
    with use_kernels(implementation):
        gradcheck(op(case), *draw(case)[:4], rng=np.random.default_rng(1))


@given(
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 6)),
    act=st.sampled_from(ACTS),
    masked=st.booleans(),
    implementation=st.sampled_from(IMPLEMENTATIONS),
    seed=st.integers(0, 10**6),
)
def test_gradients_hold_for_any_sizes(sizes, act, masked, implementation, seed):
    case = Case(*sizes, act=act, masked=masked)
    with use_kernels(implementation):
        drawn = draw(case, seed)[:4]
        gradcheck(op(case), *drawn, rng=np.random.default_rng(seed))


def test_gradients_hold_along_directions_at_a_length_of_500():
    case = Case(500, 3, 7, act="tanh", masked=True)
    gradcheck_directional(op(case), *draw(case)[:4], rng=np.random.default_rng(2))


def test_is_a_dense_tanh_rnn_with_a_diagonal_recurrent_matrix():
    a, u, h0, *_ = draw(Case(6, 3, 5, act="tanh"))
    h, h_T = indrnn(a, u, h0, None, act="tanh")
    W_hh = np.diag(u)
    h_prev = h0
    for t in range(6):
        h_prev = np.tanh(a[t] + h_prev @ W_hh)
        np.testing.assert_allclose(h[t], h_prev, rtol=1e-13)
    np.testing.assert_allclose(h_T, h_prev, rtol=1e-13)


def test_a_sequence_cut_in_two_gives_the_states_and_gradients_of_the_whole():
    a, u, h0, _, dh, dh_T = draw(Case(7, 2, 3, act="tanh"))

    def gradients(cut):
        xs = [Tensor(x, requires_grad=True) for x in (a, u, h0)]
        h, h_T = indrnn(xs[0][:cut], xs[1], xs[2], None, act="tanh")
        rest, h_T = indrnn(xs[0][cut:], xs[1], h_T, None, act="tanh")
        return h_T.data, grad([h, rest, h_T], xs, [dh[:cut], dh[cut:], dh_T])

    for cut in (0, 1, 4, 7):
        state, dxs = gradients(cut)
        expected_state, expected = gradients(7)
        np.testing.assert_allclose(state, expected_state, rtol=1e-13)
        for dx, right in zip(dxs, expected, strict=True):
            np.testing.assert_allclose(dx, right, rtol=1e-12, atol=1e-12)


def test_padded_steps_hold_the_state_and_ignore_their_input():
    a, u, h0, _, *_ = draw(Case(5, 2, 3))
    mask = np.array([[1, 1], [1, 0], [1, 0], [0, 0], [0, 0]])
    h, h_T = indrnn(a, u, h0, mask)
    other = a.copy()
    other[mask == 0] = 1e6
    np.testing.assert_array_equal(indrnn(other, u, h0, mask)[0], h)
    np.testing.assert_array_equal(h_T[1], h[0, 1])
    np.testing.assert_array_equal(h_T[0], h[2, 0])


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8, np.float32, np.float64])
def test_a_mask_may_be_bool_integer_or_float(dtype):
    a, u, h0, mask, *_ = draw(Case(4, 3, 5, masked=True))
    expected = indrnn(a, u, h0, mask)[0]
    np.testing.assert_array_equal(indrnn(a, u, h0, mask.astype(dtype))[0], expected)


def test_step_clip_bounds_what_travels_back_at_every_step():
    T, u, clip = 5, np.array([2.0]), 0.25
    _, saved = forward(np.ones((T, 1, 1)), u, np.zeros((1, 1)), None, act="relu", step_clip=clip)
    da, *_ = backward(saved, None, np.full((1, 1), 0.1))
    # 0.1, then doubled by u at each step back, and never above the bound
    np.testing.assert_allclose(da[::-1, 0, 0], [0.1, 0.2, 0.25, 0.25, 0.25])


def test_gradcheck_refuses_step_clip():
    case = Case(4, 3, 5)
    with pytest.raises(ValueError, match=r"indrnn: step_clip = 1.0 clips the gradient"):
        gradcheck(
            lambda *x: indrnn(*x, step_clip=1.0), *draw(case)[:4], rng=np.random.default_rng(0)
        )


def test_second_derivatives_are_refused_by_name():
    xs = [Tensor(x, requires_grad=True) for x in draw(Case(4, 3, 5))[:3]]
    h, _ = indrnn(*xs, None)
    with pytest.raises(NotImplementedError, match="indrnn: create_graph=True"):
        grad(h, xs, np.ones(h.shape), create_graph=True)


BAD = {
    "a is a list, expected an array or a Tensor": {"a": [[[1.0]]]},
    "mask is a list, expected an array or a Tensor": {"mask": [[1, 1, 1]] * 4},
    "a has shape (4, 3), expected (T, B, H)": {"a": np.zeros((4, 3))},
    "u has shape (4,), expected (H,) = (5,)": {"u": np.zeros(4)},
    "h0 has shape (5, 3), expected (B, H) = (3, 5)": {"h0": np.zeros((5, 3))},
    "mask has shape (3, 4), expected (T, B) = (4, 3)": {"mask": np.zeros((3, 4))},
    "act is 'gelu', expected one of relu, tanh, identity": {"act": "gelu"},
    "step_clip is -1.0": {"step_clip": -1.0},
    "step_clip is nan": {"step_clip": np.nan},
    "have dtypes float64, float32, float64": {"u": np.zeros(5, np.float32)},
    "have dtypes int64, int64, int64": {
        "a": np.zeros((4, 3, 5), int),
        "u": np.zeros(5, int),
        "h0": np.zeros((3, 5), int),
    },
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused_with_the_shape_expected(words):
    good = {"a": np.zeros((4, 3, 5)), "u": np.zeros(5), "h0": np.zeros((3, 5)), "mask": None}
    arguments = good | {"act": "relu", "step_clip": 0.0} | BAD[words]
    a, u, h0, mask, *_ = arguments.values()
    with pytest.raises((ValueError, TypeError)) as caught:
        indrnn(a, u, h0, mask, act=arguments["act"], step_clip=arguments["step_clip"])
    assert words in str(caught.value)
    assert str(caught.value).startswith("indrnn: ")
