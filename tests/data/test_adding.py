"""nnseq.data.adding: right sums, markers in their halves, one test set."""

from __future__ import annotations

import numpy as np
import pytest

from nnseq.data.adding import BASELINE_MSE, BLOCK, adding_batch, adding_test_set


@pytest.mark.parametrize("T", [2, 3, 9, 10])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_y_is_the_sum_of_one_number_from_each_half(T: int, dtype: type) -> None:
    x, y = adding_batch(np.random.default_rng(0), T, 40, dtype)
    assert x.shape == (T, 40, 2)
    assert y.shape == (40, 1)
    assert x.dtype == y.dtype == dtype
    values, markers = x[:, :, 0], x[:, :, 1]
    assert set(np.unique(markers)) <= {0, 1}
    assert (markers[: T // 2].sum(axis=0) == 1).all()
    assert (markers[T // 2 :].sum(axis=0) == 1).all()
    np.testing.assert_array_equal((values * markers).sum(axis=0), y[:, 0])


def test_every_step_of_its_half_may_be_marked_and_values_fill_the_unit_interval() -> None:
    x, _ = adding_batch(np.random.default_rng(1), 7, 4000)
    share = x[:, :, 1].mean(axis=1)
    np.testing.assert_allclose(share, [1 / 3] * 3 + [1 / 4] * 4, atol=0.03)
    assert abs(x[:, :, 0].mean() - 0.5) < 0.01
    assert abs(x[:, :, 0].var() - 1 / 12) < 0.002


def test_the_baseline_is_what_answering_one_scores() -> None:
    _, y = adding_batch(np.random.default_rng(2), 10, 100_000, np.float64)
    assert abs(np.square(y - 1).mean() - BASELINE_MSE) < 0.002


def test_the_generator_is_all_that_a_batch_depends_on() -> None:
    rng = np.random.default_rng(3)
    adding_batch(rng, 11, 5)
    state = rng.bit_generator.state
    first = adding_batch(rng, 11, 5)
    rng.bit_generator.state = state
    again = adding_batch(rng, 11, 5)
    other = adding_batch(rng, 11, 5)
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


def test_the_test_set_is_the_same_each_time_and_of_the_size_asked_for() -> None:
    once = [y for _, y in adding_test_set(12, num_sequences=BLOCK + 7)]
    again = [y for _, y in adding_test_set(12, num_sequences=BLOCK + 7)]
    assert [len(y) for y in once] == [BLOCK, 7]
    np.testing.assert_array_equal(np.concatenate(once), np.concatenate(again))
    assert sum(x.shape[1] for x, _ in adding_test_set(12)) == 1000


@pytest.mark.parametrize(("T", "B"), [(1, 3), (0, 3), (5, 0), (-2, 3)])
def test_impossible_sizes_are_refused(T: int, B: int) -> None:
    with pytest.raises(ValueError, match=f"T = {T} and B = {B} came"):
        adding_batch(np.random.default_rng(0), T, B)
