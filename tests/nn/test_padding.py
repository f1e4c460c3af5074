"""Which steps count."""

import numpy as np
import pytest

from nnseq.nn.padding import last_steps, step_mask
from nnseq.tensor import Tensor

X = np.zeros((4, 3, 2))


def test_lengths_and_the_mask_they_stand_for_are_the_same():
    expected = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]], bool)
    np.testing.assert_array_equal(step_mask("who", X, None, [4, 2, 0]), expected)
    for mask in (expected, expected.astype(np.int64), expected * 0.5, Tensor(expected)):
        found = step_mask("who", Tensor(X), mask, None)
        assert found.dtype == bool
        np.testing.assert_array_equal(found, expected)
    assert step_mask("who", X, None, None) is None


def test_the_last_step_that_counts_is_found_behind_gaps():
    mask = np.array([[1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0]], bool)
    t, b = last_steps(mask)
    np.testing.assert_array_equal(t, [3, 0, 3, 2])  # the third sequence has none
    np.testing.assert_array_equal(b, range(4))


@pytest.mark.parametrize(
    ("mask", "lengths", "error", "message"),
    [
        (np.ones((4, 3)), [4, 4, 4], ValueError, "who: got both a mask and lengths"),
        (None, [4, 5, 1], ValueError, r"lengths are \[4, 5, 1\], expected 3 numbers in \[0, 4\]"),
        (None, [4, -1, 1], ValueError, "expected 3 numbers"),
        (None, [4, 4], ValueError, "expected 3 numbers"),
        (None, [1.0, 2.0, 3.0], TypeError, "lengths are float64"),
        (np.ones((3, 4)), None, ValueError, r"mask is float64 \(3, 4\), expected .* \(4, 3\)"),
        (np.full((4, 3), "yes"), None, ValueError, "expected numbers or bool"),
    ],
)
def test_what_does_not_fit_is_refused(mask, lengths, error, message):
    with pytest.raises(error, match=message):
        step_mask("who", X, mask, lengths)
