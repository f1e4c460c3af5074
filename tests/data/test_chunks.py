"""nnseq.data.chunks: whole chunks, none twice, none overlapping, in a new order each epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.batches import TextBatch
from nnseq.data.chunks import Chunks
from tests.strategies import seeds


def epoch_of(chunks: Chunks) -> list[TextBatch]:
    """All batches of the next epoch."""
    found, epoch = [], chunks.epoch
    while chunks.epoch == epoch:
        found.append(chunks.draw())
    return found


def starts_of(batches: list[TextBatch]) -> np.ndarray:
    """Where each chunk begins, in the order of the batches, if the id at position n is n."""
    return np.concatenate([b.x[0] for b in batches])


@given(
    B=st.integers(1, 4), T=st.integers(2, 7), more=st.integers(0, 70), augment=st.booleans(),
    seed=seeds,
)  # fmt: skip
def test_chunks_are_stretches_of_the_text_that_never_overlap(
    B: int, T: int, more: int, augment: bool, seed: int
) -> None:
    N = B * T + (T - 1 if augment else 0) + more
    chunks = Chunks(np.arange(N), B, T, rng=np.random.default_rng(seed), augment=augment)
    for _ in range(3):
        batches = epoch_of(chunks)
        assert len(batches) == chunks.steps_per_epoch
        for b in batches:
            assert b.x.shape == b.y.shape == (T - 1, B)
            assert b.x.dtype == b.y.dtype == np.int32
            assert b.is_first is True
            np.testing.assert_array_equal(b.x, b.x[0] + np.arange(T - 1)[:, None])
            np.testing.assert_array_equal(b.y, b.x + 1)
        starts = np.sort(starts_of(batches))
        assert len(set(starts % T)) == 1
        assert (np.diff(starts) >= T).all()
        assert starts[0] >= 0
        assert starts[-1] + T <= N
        if not augment:
            assert starts[0] % T == 0
        # At most B - 1 chunks and the ids before and after whole chunks are left out.
        assert len(starts) * T >= N - (B - 1) * T - 2 * (T - 1)


def test_every_start_is_drawn_alike_with_augment_and_none_without() -> None:
    chunks = Chunks(np.arange(40), 2, 5, rng=np.random.default_rng(0))
    offsets = np.array([starts_of(epoch_of(chunks))[0] % 5 for _ in range(1000)])
    counts = np.bincount(offsets)
    assert len(counts) == 5
    assert abs(counts - 200).max() < 5 * np.sqrt(1000 * 0.2 * 0.8)
    chunks = Chunks(np.arange(40), 2, 5, rng=np.random.default_rng(0), augment=False)
    assert {int(starts_of(epoch_of(chunks))[0] % 5) for _ in range(50)} == {0}


def test_every_chunk_has_its_turn_at_every_place_of_the_order() -> None:
    chunks = Chunks(np.arange(4 * 3), 2, 3, rng=np.random.default_rng(1), augment=False)
    orders = np.array([starts_of(epoch_of(chunks)) // 3 for _ in range(800)])
    for place in orders.T:
        counts = np.bincount(place, minlength=4)
        assert abs(counts - 200).max() < 5 * np.sqrt(800 * 0.25 * 0.75)


def test_without_augment_all_whole_chunks_that_fill_batches_are_read() -> None:
    chunks = Chunks(np.arange(31), 2, 5, rng=np.random.default_rng(2), augment=False)
    assert sorted(starts_of(epoch_of(chunks))) == [0, 5, 10, 15, 20, 25]


@pytest.mark.parametrize(("N", "B", "T"), [(0, 1, 2), (5, 1, 6), (11, 2, 6)])
def test_a_text_that_is_too_short_is_refused(N: int, B: int, T: int) -> None:
    rng = np.random.default_rng(3)
    with pytest.raises(
        ValueError,
        match=rf"^Chunks: ids has N = {N}, expected at least B T = {B * T}, for a batch of B = {B} "
        rf"chunks of T = {T}; lower B or T, or give a longer text$",
    ):
        Chunks(np.zeros(N, int), B, T, rng=rng, augment=False)
    least = B * T + T - 1
    with pytest.raises(ValueError, match=rf"at least B T \+ T - 1 \(augment\) = {least}, for"):
        Chunks(np.zeros(least - 1, int), B, T, rng=rng)
    assert Chunks(np.zeros(least, int), B, T, rng=rng).steps_per_epoch == 1


def test_chunks_without_a_target_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^Chunks: T is 1, expected at least 2$"):
        Chunks(np.zeros(9, int), 1, 1, rng=np.random.default_rng(0))
