"""Activation and temporal activation regularisation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.nn.regularizers import activation_penalty, temporal_activation_penalty
from nnseq.tensor import Tensor, grad
from tests.nn.regularizers.padding import LENGTHS, MASK, B, D, T, check_padding, draw
from tests.ops.check import check_op

PENALTIES = [activation_penalty, temporal_activation_penalty]


def ar_by_loops(h, coef, lengths):
    squares = [h[t, b, j] ** 2 for b, n in enumerate(lengths) for t in range(n) for j in range(D)]
    return coef * math.fsum(squares) / len(squares)


def tar_by_loops(h, coef, lengths):
    squares = [
        (h[t, b, j] - h[t - 1, b, j]) ** 2
        for b, n in enumerate(lengths) for t in range(1, n) for j in range(D)
    ]  # fmt: skip
    return coef * math.fsum(squares) / len(squares) if squares else 0.0


@pytest.mark.parametrize("mask", [None, MASK])
def test_values(mask):
    h, lengths = draw(0, T, B, D), [T] * B if mask is None else LENGTHS
    expected = ar_by_loops(h, 2.0, lengths)
    assert activation_penalty(h, 2.0, mask=mask) == pytest.approx(expected, rel=1e-13)
    expected = tar_by_loops(h, 2.0, lengths)
    assert temporal_activation_penalty(h, 2.0, mask=mask) == pytest.approx(expected, rel=1e-13)


def test_by_hand():
    h = np.array([[1.0, 2.0], [4.0, 2.0], [4.0, 0.0]])[:, None]
    assert activation_penalty(h, 3.0) == pytest.approx(3 * (1 + 4 + 16 + 4 + 16) / 6)
    assert temporal_activation_penalty(h, 3.0) == pytest.approx(3 * (9 + 4) / 4)


def test_a_hole_in_the_mask_ends_one_run_of_pairs_and_begins_another():
    h = np.array([[1.0, 2.0], [9.0, 9.0], [4.0, 2.0], [4.0, 0.0], [5.0, 3.0]])[:, None]
    mask = np.array([[1], [0], [1], [1], [1]])
    # Pairs (2, 3) and (3, 4): neither step of (0, 2) stands beside the other.
    expected = 3 * ((0 + 4) + (1 + 9)) / 4
    assert temporal_activation_penalty(h, 3.0, mask=mask) == pytest.approx(expected)
    expected = 3 * ((1 + 4) + (16 + 4) + (16 + 0) + (25 + 9)) / 8
    assert activation_penalty(h, 3.0, mask=mask) == pytest.approx(expected)
    h[1] = np.nan
    assert np.isfinite(temporal_activation_penalty(h, 3.0, mask=mask))


def test_constant_activations_cost_nothing_over_time():
    h = np.broadcast_to(draw(0, 1, B, D), (T, B, D))
    assert temporal_activation_penalty(h, 1.0) == 0
    assert activation_penalty(h, 1.0) == pytest.approx((h[0] ** 2).mean())


def test_a_batch_without_any_pair_of_steps_has_penalty_and_gradient_0():
    h = Tensor(draw(0, T, B, D), requires_grad=True)
    mask = np.arange(T)[:, None] < np.ones(B)
    y = temporal_activation_penalty(h, 1.0, mask=mask)
    assert y.item() == 0
    assert not grad(y, h)[0].any()
    assert temporal_activation_penalty(draw(0, 1, B, D), 1.0) == 0


@pytest.mark.parametrize("penalty", PENALTIES)
def test_padded_steps(penalty):
    check_padding(lambda h, **options: penalty(h, 2.0, **options))


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("mask", [None, MASK])
def test_first_and_second_derivatives(penalty, mask):
    check_op(lambda h: penalty(h, 3.0, mask=mask), draw(0, T, B, D))


@given(sizes=st.tuples(*[st.integers(1, 4)] * 2), seed=st.integers(0, 10**6))
def test_values_and_derivatives_at_any_size(sizes, seed):
    T, B = sizes
    lengths = np.random.default_rng(seed).integers(1, T + 1, B)
    mask, h = np.arange(T)[:, None] < lengths, draw(seed, T, B, D)
    for penalty, by_loops in zip(PENALTIES, (ar_by_loops, tar_by_loops), strict=True):
        expected = by_loops(h, 0.5, lengths)
        assert penalty(h, 0.5, mask=mask) == pytest.approx(expected, rel=1e-12)
        check_op(lambda h, penalty=penalty: penalty(h, 0.5, mask=mask), h, seconds=False)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_bad_input_is_refused(penalty):
    h, who = draw(0, T, B, D), penalty.__name__
    with pytest.raises(ValueError, match=f"{who}: coef is -1.0"):
        penalty(h, -1.0)
    with pytest.raises(TypeError, match=f"{who}: coef is None"):
        penalty(h, None)
    with pytest.raises(ValueError, match=rf"{who}: h has shape \(3, 2\), expected \(T, B, D\)"):
        penalty(h[0], 1.0)
    with pytest.raises(TypeError, match=f"{who}: h is a list"):
        penalty([1.0], 1.0)
