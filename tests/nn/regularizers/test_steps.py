"""Which steps count."""

import numpy as np
import pytest

from nnseq.nn.regularizers.steps import at_least_1, counted_steps
from nnseq.tensor import Tensor

MASK = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_padded_steps_become_zeros_and_count_nothing(dtype):
    x = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(dtype)
    x[MASK == 0] = np.nan
    y, counts = counted_steps("penalty", "h", x, MASK)
    np.testing.assert_array_equal(y, np.where(MASK[:, :, None] == 1, x, 0))
    np.testing.assert_array_equal(counts, MASK)
    assert y.dtype == counts.dtype == dtype


def test_without_a_mask_every_step_counts_and_nothing_is_copied():
    x = Tensor(np.ones((4, 3, 5), np.float32))
    y, counts = counted_steps("penalty", "h", x, None)
    assert y is x
    np.testing.assert_array_equal(counts, np.ones((4, 3), np.float32))


def test_an_empty_sum_is_divided_by_1():
    np.testing.assert_array_equal(at_least_1(np.array([0.0, 1.0, 7.0])), [1, 1, 7])


@pytest.mark.parametrize(
    ("x", "mask", "error", "message"),
    [
        (np.ones((4, 5)), None, ValueError, r"penalty: h has shape \(4, 5\), expected \(T, B, D\)"),
        (np.ones((0, 3, 5)), None, ValueError, r"shape \(0, 3, 5\), expected .*, none of them 0"),
        (np.ones((4, 0, 5)), None, ValueError, r"shape \(4, 0, 5\)"),
        (np.ones((4, 3, 5), int), None, TypeError, "h has dtype int64, expected float32"),
        ([[[1.0]]], None, TypeError, "h is a list, expected a Tensor or an array"),
        (np.ones((4, 3, 5)), MASK.T, ValueError, r"mask is int64 \(3, 4\), expected .* \(4, 3\)"),
        (np.ones((4, 3, 5)), 0 * MASK, ValueError, "no step of the sequences"),
    ],
)
def test_bad_input_is_refused(x, mask, error, message):
    with pytest.raises(error, match=message):
        counted_steps("penalty", "h", x, mask)
