"""nnseq.data.shuffled: every index once an epoch, in an order that is new each time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.shuffled import Shuffled
from tests.strategies import seeds


class Indices(NamedTuple):
    """A batch that says of what it was made."""

    indices: np.ndarray
    number: float


def make(indices: np.ndarray, rng: np.random.Generator) -> Indices:
    return Indices(indices, rng.random())


def epoch_of(shuffled: Shuffled) -> list[Indices]:
    """All batches of the next epoch."""
    found, epoch = [], shuffled.epoch
    while shuffled.epoch == epoch:
        found.append(shuffled.draw())
    return found


def order_of(batches: list[Indices]) -> np.ndarray:
    return np.concatenate([b.indices for b in batches])


@given(B=st.integers(1, 6), more=st.integers(0, 30), drop_last=st.booleans(), seed=seeds)
def test_an_epoch_has_every_index_once(B: int, more: int, drop_last: bool, seed: int) -> None:
    size = B + more
    rng = np.random.default_rng(seed)
    shuffled = Shuffled(size, B, rng=rng, make=make, drop_last=drop_last)
    for _ in range(3):
        batches = epoch_of(shuffled)
        assert len(batches) == shuffled.steps_per_epoch
        order = order_of(batches)
        rest = size % B
        assert order.dtype == np.int64
        assert len(set(order)) == len(order) == size - rest * drop_last
        assert set(order) <= set(range(size))
        assert all(len(b.indices) == B for b in batches[:-1])
        assert len(batches[-1].indices) == (B if drop_last or not rest else rest)


@pytest.mark.parametrize("drop_last", [False, True])
def test_every_index_has_its_turn_at_every_place_of_the_order(drop_last: bool) -> None:
    shuffled = Shuffled(5, 2, rng=np.random.default_rng(0), make=make, drop_last=drop_last)
    orders = np.array([order_of(epoch_of(shuffled)) for _ in range(1000)])
    assert orders.shape == (1000, 4 if drop_last else 5)
    for place in orders.T:
        counts = np.bincount(place, minlength=5)
        assert abs(counts - 200).max() < 5 * np.sqrt(1000 * 0.2 * 0.8)


def test_what_make_draws_is_new_for_every_batch() -> None:
    shuffled = Shuffled(6, 2, rng=np.random.default_rng(1), make=make)
    numbers = [shuffled.draw().number for _ in range(12)]
    assert len(set(numbers)) == 12


def test_indices_may_be_written_to() -> None:
    shuffled = Shuffled(6, 2, rng=np.random.default_rng(2), make=make)
    again = Shuffled(6, 2, rng=np.random.default_rng(2), make=make)
    for _ in range(9):
        indices, state = shuffled.draw().indices, shuffled.state_dict()
        np.testing.assert_array_equal(indices, again.draw().indices)
        indices[:] = -1
        np.testing.assert_array_equal(state["order"], again.state_dict()["order"])


@pytest.mark.parametrize(
    ("size", "B", "message"),
    [
        (0, 1, "size is 0, expected at least 1"),
        (5, 0, "B is 0, expected at least 1"),
        (5, 6, "B is 6, expected at most 5, the examples there are; lower B"),
    ],
)
@pytest.mark.parametrize("drop_last", [False, True])
def test_impossible_sizes_are_refused(size: int, B: int, message: str, drop_last: bool) -> None:
    with pytest.raises(ValueError, match=f"^Shuffled: {message}$"):
        Shuffled(size, B, rng=np.random.default_rng(0), make=make, drop_last=drop_last)


@pytest.mark.parametrize(("at", "order"), [(1, []), (0, [0, 1, 2]), (1, [0, 1])])
def test_a_state_whose_order_does_not_fit_is_refused(at: int, order: list[int]) -> None:
    shuffled = Shuffled(3, 1, rng=np.random.default_rng(0), make=make)
    state = {**shuffled.state_dict(), "at": at, "order": np.array(order, np.int64)}
    with pytest.raises(ValueError, match=r"Shuffled: the state has an order of shape"):
        shuffled.load_state_dict(state)
