"""The norm stabiliser."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.nn import IndRNN
from nnseq.nn.regularizers import norm_stabilizer
from nnseq.tensor import Tensor, grad
from tests.nn.regularizers.padding import LENGTHS, MASK, B, D, T, check_padding, draw
from tests.ops.check import check_op

DIVISORS = ["states", "differences"]
# Norms 5, 13, 17: differences 8 and 4, squares 64 + 16 = 80.
BY_HAND = np.array([[3.0, 4.0], [5.0, -12.0], [-8.0, 15.0]])


def by_loops(states, coef, divisor, lengths, initial=None):
    """Sequence by sequence, each with its own list of states."""
    terms = []
    for b, length in enumerate(lengths):
        own = [] if initial is None else [initial[b]]
        own += [states[t, b] for t in range(length)]
        norms = [math.sqrt(sum(v * v for v in s)) for s in own]
        squares = [(norms[k] - norms[k - 1]) ** 2 for k in range(1, len(own))]
        n = len(own) if divisor == "states" else len(squares)
        terms.append(sum(squares) / n if squares else 0.0)
    return coef * sum(terms) / len(terms)


# ---- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("divisor", "expected"), [("states", 80 / 3), ("differences", 80 / 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_three_vectors_by_hand(divisor, expected, dtype):
    states = BY_HAND[:, None].astype(dtype)
    y = norm_stabilizer(Tensor(states), 1.0, divisor=divisor)
    assert y.shape == ()
    assert y.dtype == dtype
    rel = 1e-6 if dtype == np.float32 else 1e-14
    assert y.item() == pytest.approx(expected, rel=rel)
    assert norm_stabilizer(states, 50.0, divisor=divisor) == pytest.approx(50 * expected, rel=rel)


@pytest.mark.parametrize(("divisor", "expected"), [("states", 96 / 4), ("differences", 96 / 3)])
def test_the_initial_state_is_one_more_state_and_one_more_difference(divisor, expected):
    initial = np.array([[0.6, -0.8]])  # norm 1, so another (5 - 1)² = 16
    y = norm_stabilizer(BY_HAND[:, None], 1.0, initial=initial, divisor=divisor)
    assert y == pytest.approx(expected, rel=1e-14)


def test_the_divisor_is_the_number_of_states_unless_chosen_otherwise():
    assert norm_stabilizer(BY_HAND[:, None], 1.0) == pytest.approx(80 / 3, rel=1e-14)


def test_sequences_are_averaged_and_one_with_constant_norm_adds_nothing():
    states = np.stack([BY_HAND, [[5.0, 0.0], [3.0, 4.0], [0.0, -5.0]]], axis=1)
    assert norm_stabilizer(states, 1.0) == pytest.approx(80 / 3 / 2, rel=1e-14)


def test_a_single_state_has_nothing_to_stabilise():
    h = Tensor(draw(0, 1, B, D), requires_grad=True)
    for divisor in DIVISORS:
        y = norm_stabilizer(h, 1.0, divisor=divisor)
        assert y.item() == 0
        np.testing.assert_array_equal(grad(y, h)[0], np.zeros((1, B, D)))


@pytest.mark.parametrize("divisor", DIVISORS)
@pytest.mark.parametrize("has_initial", [False, True])
def test_each_sequence_is_divided_by_its_own_length(divisor, has_initial):
    states, initial = draw(0, T, B, D), draw(1, B, D) if has_initial else None
    y = norm_stabilizer(states, 3.0, initial=initial, divisor=divisor, mask=MASK)
    expected = by_loops(states, 3.0, divisor, LENGTHS, initial)
    assert y == pytest.approx(expected, rel=1e-13)


def test_a_difference_across_a_hole_in_the_mask_does_not_count():
    states = draw(0, 5, 1, D)
    mask = np.array([1, 1, 0, 1, 1])[:, None]
    norms = np.linalg.norm(states[:, 0], axis=1)
    total = (norms[1] - norms[0]) ** 2 + (norms[4] - norms[3]) ** 2
    for divisor, n in (("states", 4), ("differences", 2)):
        y = norm_stabilizer(states, 1.0, divisor=divisor, mask=mask)
        assert y == pytest.approx(total / n, rel=1e-13)
    late = np.array([0, 1, 1, 1, 1])[:, None]  # then the initial state has no neighbour
    y = norm_stabilizer(states, 1.0, initial=draw(1, 1, D), mask=late, divisor="differences")
    assert y == pytest.approx((np.diff(norms[1:]) ** 2).sum() / 3, rel=1e-13)


@pytest.mark.parametrize("divisor", DIVISORS)
def test_padded_steps(divisor):
    check_padding(lambda h, **options: norm_stabilizer(h, 2.0, divisor=divisor, **options))


# ---- derivatives -------------------------------------------------------------------------------


@pytest.mark.parametrize("divisor", DIVISORS)
@pytest.mark.parametrize("mask", [None, MASK])
def test_first_and_second_derivatives(divisor, mask):
    def f(states, initial):
        return norm_stabilizer(states, 3.0, initial=initial, divisor=divisor, mask=mask)

    check_op(f, draw(0, T, B, D), draw(1, B, D))
    check_op(lambda h: norm_stabilizer(h, 3.0, divisor=divisor, mask=mask), draw(0, T, B, D))


@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 3), seed=st.integers(0, 10**6),
    divisor=st.sampled_from(DIVISORS), has_initial=st.booleans(),
)  # fmt: skip
def test_values_and_derivatives_at_any_size(sizes, seed, divisor, has_initial):
    T, B, D = sizes
    lengths = np.random.default_rng(seed).integers(1, T + 1, B)
    mask = np.arange(T)[:, None] < lengths
    states = draw(seed, T, B, D)
    states += 0.3 * np.sign(states)  # away from 0, where a norm has a kink
    inputs = [states, draw(seed + 1, B, D) + 3] if has_initial else [states]

    def f(h, h0=None):
        return norm_stabilizer(h, 0.5, initial=h0, divisor=divisor, mask=mask)

    expected = by_loops(states, 0.5, divisor, lengths, inputs[1] if has_initial else None)
    assert f(*inputs) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    check_op(f, *inputs, seconds=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_at_a_zero_vector_is_finite_and_the_others_are_right(dtype):
    """At h = 0 the norm's derivative is 0 / 0 without the floor; a layer starts from zeros."""
    states = BY_HAND[:, None].astype(dtype)
    states[0] = 0
    h = Tensor(states, requires_grad=True)
    h0 = Tensor(np.zeros((1, 2), dtype), requires_grad=True)
    dh, dh0 = grad(norm_stabilizer(h, 1.0, initial=h0, divisor="differences"), [h, h0])
    np.testing.assert_array_equal(dh0, [[0, 0]])
    np.testing.assert_array_equal(dh[0], [[0, 0]])
    # 1/3 Σ: d/dh_1 of (13 - 0)² + (17 - 13)², along h_1 / 13; h_2 along h_2 / 17.
    np.testing.assert_allclose(dh[1, 0], (26 - 8) / 3 * BY_HAND[1] / 13, rtol=1e-6)
    np.testing.assert_allclose(dh[2, 0], 8 / 3 * BY_HAND[2] / 17, rtol=1e-6)


def test_all_zero_states_have_penalty_and_gradients_0_also_the_second():
    h = Tensor(np.zeros((T, B, D)), requires_grad=True)
    y = norm_stabilizer(h, 1.0)
    (dh,) = grad(y, h, create_graph=True)
    (ddh,) = grad((dh * dh).sum() + dh.sum(), h)
    for value in (y.data, dh.data, ddh):
        np.testing.assert_array_equal(value, np.zeros_like(value))


def test_it_trains_the_states_of_a_layer_towards_one_norm():
    layer = IndRNN(D, 5, rng=np.random.default_rng(0), act="tanh", dtype=np.float64)
    x, penalties = draw(1, 20, 4, D), []
    for _ in range(60):
        layer.zero_grad()
        h, _ = layer(x)
        y = norm_stabilizer(h, 1.0)
        y.backward()
        for p in layer.parameters():
            p.data -= 0.2 * p.grad
        penalties.append(y.item())
    assert penalties[-1] < 0.5 * penalties[0]


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda h: norm_stabilizer(h, -1.0), ValueError, "norm_stabilizer: coef is -1.0"),
        (lambda h: norm_stabilizer(h, math.nan), ValueError, "coef is nan"),
        (lambda h: norm_stabilizer(h, "strong"), TypeError, "coef is 'strong'"),
        (
            lambda h: norm_stabilizer(h, 1.0, divisor="steps"),
            ValueError,
            "divisor is 'steps', expected one of 'states', 'differences'",
        ),
        (
            lambda h: norm_stabilizer(h, 1.0, initial=np.ones(D)),
            ValueError,
            r"initial has shape \(2,\), expected \(3, 2\) because states have shape \(4, 3, 2\)",
        ),
        (
            lambda h: norm_stabilizer(h, 1.0, initial=[1.0, 2.0]),
            TypeError,
            "initial is a list, expected a Tensor or an array",
        ),
        (lambda h: norm_stabilizer(h[0], 1.0), ValueError, r"states has shape \(3, 2\), expected"),
        (lambda h: norm_stabilizer(h, 1.0, mask=MASK.T), ValueError, r"mask is bool \(3, 4\)"),
        (
            lambda h: norm_stabilizer(h, 1.0, initial=np.ones((B, D), np.float32)),
            TypeError,
            "float32 and float64, expected one float dtype",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(draw(0, T, B, D))
