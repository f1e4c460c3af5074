"""Which steps count."""

import numpy as np
import pytest

from nnseq.nn.padding import first_steps, last_steps, step_mask
from nnseq.tensor import Tensor

X = np.zeros((4, 3, 2))


def test_lengths_and_the_mask_they_stand_for_are_the_same():
    expected = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0]], bool)
    np.testing.assert_array_equal(step_mask("who", X, None, [4, 2, 1]), expected)
    for mask in (expected, expected.astype(np.int64), expected * 0.5, Tensor(expected)):
        found = step_mask("who", Tensor(X), mask, None)
        assert found.dtype == bool
        np.testing.assert_array_equal(found, expected)
    assert step_mask("who", X, None, None) is None


def test_the_first_and_the_last_step_that_count_are_found_beside_gaps():
    mask = np.array([[1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 1], [1, 0, 0, 0]], bool)
    for steps, expected in ((last_steps(mask), [3, 0, 2, 2]), (first_steps(mask), [0, 0, 2, 1])):
        np.testing.assert_array_equal(steps[0], expected)
        np.testing.assert_array_equal(steps[1], range(4))


def test_a_batch_of_no_sequences_needs_no_steps():
    assert step_mask("who", np.zeros((4, 0, 2)), None, np.zeros(0, int)).shape == (4, 0)
    assert step_mask("who", np.zeros((4, 0, 2)), np.ones((4, 0)), None).shape == (4, 0)


@pytest.mark.parametrize(
    ("mask", "lengths", "error", "message"),
    [
        (np.ones((4, 3)), [4, 4, 4], ValueError, "who: got both a mask and lengths"),
        (None, [4, 5, 1], ValueError, r"lengths are \[4, 5, 1\], expected 3 numbers in \[1, 4\]"),
        (None, [4, 0, 1], ValueError, r"lengths are \[4, 0, 1\], expected 3 numbers in \[1, 4\]"),
        (None, [4, -1, 1], ValueError, "expected 3 numbers"),
        (None, [True, True, True], TypeError, "lengths are bool"),
        (None, [4, 4], ValueError, "expected 3 numbers"),
        (None, [1.0, 2.0, 3.0], TypeError, "lengths are float64"),
        (np.ones((3, 4)), None, ValueError, r"mask is float64 \(3, 4\), expected .* \(4, 3\)"),
        (
            np.ones((4, 3)) * [1, 0, 0],
            None,
            ValueError,
            r"no step of the sequences \[1, 2\] counts",
        ),
        (np.full((4, 3), "yes"), None, ValueError, "expected numbers or bool"),
    ],
)
def test_what_does_not_fit_is_refused(mask, lengths, error, message):
    with pytest.raises(error, match=message):
        step_mask("who", X, mask, lengths)
