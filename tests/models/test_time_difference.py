"""The difference to the step before, beside every step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck
from nnseq.models.time_difference import time_difference

T, B, C = 4, 3, 2


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def by_hand(x, before, valid):
    """A loop over steps and sequences that remembers the last step that counted."""
    y, last = np.zeros((*x.shape[:2], 2 * x.shape[2])), np.array(before)
    for t in range(len(x)):
        for b in range(x.shape[1]):
            y[t, b] = [*x[t, b], *(x[t, b] - last[b])]
            if valid[t, b]:
                last[b] = x[t, b]
    return y, last


def test_the_first_step_keeps_its_value_and_the_others_their_change():
    x = draw(0, T, B, C)
    y, x_T = time_difference(x)
    np.testing.assert_array_equal(y[..., :C], x)
    np.testing.assert_array_equal(y[0, :, C:], x[0])
    np.testing.assert_array_equal(y[1:, :, C:], np.diff(x, axis=0))
    np.testing.assert_array_equal(x_T, x[-1])


@given(
    shape=st.tuples(st.integers(0, 5), st.integers(1, 3), st.integers(1, 3)),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 99),
)
def test_steps_that_do_not_count_are_passed_over(shape, dtype, seed):
    T, B, C = shape
    x, before = draw(seed, *shape).astype(dtype), draw(seed + 1, B, C).astype(dtype)
    valid = np.random.default_rng(seed).random((T, B)) < 0.6
    expected, last = by_hand(x, before, valid)
    y, x_T = time_difference(x, before, valid)
    assert (y.dtype, x_T.dtype) == (dtype, dtype)
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    np.testing.assert_array_equal(x_T, last)


@pytest.mark.parametrize("valid", [None, np.arange(T)[:, None] < [4, 2, 0]])
def test_gradients(valid):
    def f(x, before):
        return time_difference(x, before, valid)

    gradcheck(f, draw(0, T, B, C), draw(1, B, C), rng=np.random.default_rng(2))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"time_difference: x_before has shape \(3, 3\), expected"):
        time_difference(draw(0, T, B, C), draw(1, B, C + 1))
    with pytest.raises(TypeError, match="x_before has dtype float32, expected float64"):
        time_difference(draw(0, T, B, C), draw(1, B, C).astype(np.float32))
