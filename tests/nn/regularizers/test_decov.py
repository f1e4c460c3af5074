"""DeCov."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.nn.regularizers import decov
from tests.nn.regularizers.padding import MASK, B, D, T, check_padding, draw
from tests.ops.check import check_op


def by_numpy(samples, coef):
    """½ (‖C‖_F² - ‖diag C‖²) with C of np.cov."""
    C = np.atleast_2d(np.cov(samples, rowvar=False, bias=True))
    return coef * 0.5 * (np.linalg.norm(C) ** 2 - (np.diag(C) ** 2).sum())


def test_values_of_samples_and_of_sequences():
    h = draw(0, T, B, 5) + 3  # the mean must go
    assert decov(h[0], 2.0) == pytest.approx(by_numpy(h[0], 2.0), rel=1e-11)
    assert decov(h, 2.0) == pytest.approx(by_numpy(h.reshape(-1, 5), 2.0), rel=1e-11)
    assert decov(h, 2.0, mask=MASK) == pytest.approx(by_numpy(h[MASK], 2.0), rel=1e-11)


def test_by_hand():
    """Deviations ±1 and ±2 that go together: C_12 = 2, and the penalty ½ (2² + 2²)."""
    assert decov(np.array([[1.0, 12.0], [-1.0, 8.0]]), 1.0) == pytest.approx(4.0)


def test_it_is_0_exactly_where_the_units_are_decorrelated():
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
    assert decov(signs * [1, 5, 0.2] + [3, 0, -1], 1.0) == pytest.approx(0, abs=1e-30)
    signs[0, 0] = 2
    assert decov(signs, 1.0) > 0.01


def test_it_does_not_depend_on_the_mean_nor_on_the_variances_alone():
    h = draw(0, 7, 4)
    assert decov(h + np.array([1, -2, 3, 100]), 1.0) == pytest.approx(decov(h, 1.0), rel=1e-9)
    assert decov(h[:, :1], 1.0) == 0  # one unit has nobody to vary with
    assert decov(h[:1], 1.0) == 0  # one sample does not vary


def test_padded_steps():
    check_padding(lambda h, **options: decov(h, 2.0, **options))


@pytest.mark.parametrize("mask", [None, MASK])
def test_first_and_second_derivatives(mask):
    check_op(lambda h: decov(h, 3.0, mask=mask), draw(1, T, B, D))
    check_op(lambda h: decov(h, 3.0), draw(2, 4, 3))


@given(
    sizes=st.tuples(st.integers(2, 5), st.integers(2, 4)), seed=st.integers(0, 10**6),
    shift=st.sampled_from([0.0, 2.0]),
)  # fmt: skip
def test_values_and_derivatives_at_any_size(sizes, seed, shift):
    h = draw(seed, *sizes) + shift
    assert decov(h, 0.5) == pytest.approx(by_numpy(h, 0.5), rel=1e-9, abs=1e-14)
    check_op(lambda h: decov(h, 0.5), h, seconds=False)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: decov(draw(0, 4, 3), -1.0), ValueError, "decov: coef is -1.0"),
        (lambda: decov(draw(0, 4, 3), math.inf), ValueError, "coef is inf"),
        (lambda: decov(draw(0, 4), 1.0), ValueError, r"h has shape \(4,\), expected \(T, B, D\)"),
        (
            lambda: decov(draw(0, 4, 3), 1.0, mask=MASK),
            ValueError,
            r"got a mask for h of shape \(4, 3\), expected h \(T, B, D\); leave out the rows",
        ),
        (lambda: decov(np.ones((0, 3)), 1.0), ValueError, "none of them 0"),
        (lambda: decov([1.0], 1.0), TypeError, "h is a list"),
        (lambda: decov(np.ones((4, 3), int), 1.0), TypeError, "h has dtype int64"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
