"""nnseq.data.streams: every target once and in order, windows as long as asked, state resets."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.data.batches import TextBatch
from nnseq.data.streams import Streams, Variable, windows
from tests.strategies import seeds


def epoch_of(streams: Streams) -> list[TextBatch]:
    """All windows of the next epoch."""
    found, epoch = [], streams.epoch
    while streams.epoch == epoch:
        found.append(streams.draw())
    return found


def columns(batches: list[TextBatch]) -> tuple[np.ndarray, np.ndarray]:
    """x and y of windows put end to end: (L, B)."""
    return np.concatenate([b.x for b in batches]), np.concatenate([b.y for b in batches])


@st.composite
def texts(draw: Any) -> tuple[int, int, int, int]:
    """N, B, T and random_start that fit, at times just so."""
    B, T, random_start = (draw(st.integers(*ends)) for ends in ((1, 5), (1, 7), (0, 9)))
    least = B * T + 1 + max(0, random_start - 1)
    return least + draw(st.sampled_from([0, 1, B - 1, B]) | st.integers(0, 60)), B, T, random_start


@given(sizes=texts(), seed=seeds, data=st.data())
def test_an_epoch_predicts_every_target_once_and_in_order(
    sizes: tuple[int, int, int, int], seed: int, data: st.DataObject
) -> None:
    N, B, T, random_start = sizes
    low = data.draw(st.integers(1, T + 10))
    variable = data.draw(st.sampled_from([None, Variable(0.5, 3.0, low)]))
    reset_every = data.draw(st.integers(0, 3))
    rng = np.random.default_rng(seed)
    # The id at position n is n, so ids say where they come from.
    streams = Streams(
        np.arange(N, dtype=np.int32),
        B,
        T,
        rng=rng,
        random_start=random_start,
        variable=variable,
        reset_every=reset_every,
    )
    for _ in range(3):
        batches = epoch_of(streams)
        x, y = columns(batches)
        skip = int(x[0, 0])
        assert 0 <= skip <= max(0, random_start - 1)
        L = len(y)
        assert (N - 1 - skip) // B == L
        np.testing.assert_array_equal(y.T.ravel(), skip + 1 + np.arange(L * B))
        np.testing.assert_array_equal(x, y - 1)
        lengths = [len(b.x) for b in batches]
        if variable is None:
            assert set(lengths[:-1]) <= {T}
            assert 1 <= lengths[-1] <= T
        else:
            assert all(low <= length <= T + 10 for length in lengths[:-1])
            assert 1 <= lengths[-1] <= T + 10
        for b in batches:
            assert b.x.dtype == b.y.dtype == np.int32
            assert b.x.shape == b.y.shape
            assert type(b.is_first) is bool
        assert batches[0].is_first
        if reset_every == 0:
            assert not any(b.is_first for b in batches[1:])
        if reset_every == 1:
            assert all(b.is_first for b in batches)


@given(B=st.integers(1, 5), T=st.integers(1, 7), more=st.integers(0, 70))
def test_windows_for_evaluation_have_every_target_once(B: int, T: int, more: int) -> None:
    N = B * T + 1 + more
    found = list(windows(np.arange(N), B, T))
    L, rest = divmod(N - 1, B)
    wide = [b for b in found if b.x.shape[1] == B][: -(-L // T)]
    x, y = columns(wide)
    np.testing.assert_array_equal(y.T.ravel(), 1 + np.arange(L * B))
    np.testing.assert_array_equal(x, y - 1)
    assert [b.is_first for b in wide] == [True] + [False] * (len(wide) - 1)
    narrow = found[len(wide) :]
    assert sum(b.y.size for b in narrow) == rest
    if rest:
        x, y = columns(narrow)
        assert y[:, 0].tolist() == list(range(L * B + 1, N))
        assert x[:, 0].tolist() == list(range(L * B, N - 1))
        assert [b.is_first for b in narrow] == [True] + [False] * (len(narrow) - 1)
    assert all(len(b.x) == T for b in wide[:-1])
    assert all(len(b.x) <= T for b in found)
    if B == 1:
        assert not narrow


def test_streams_without_randomness_are_the_windows_for_evaluation() -> None:
    ids = np.random.default_rng(0).integers(0, 50, 3 * 17 + 1)
    streams = Streams(ids, 3, 5, rng=np.random.default_rng(1))
    for ours, theirs in zip(epoch_of(streams), windows(ids, 3, 5), strict=True):
        np.testing.assert_array_equal(ours.x, theirs.x)
        np.testing.assert_array_equal(ours.y, theirs.y)
        assert ours.is_first == theirs.is_first


def lengths(variable: Variable, T: int, B: int = 2, N: int = 200_000) -> np.ndarray:
    """Of an epoch's windows, but for the last."""
    streams = Streams(np.zeros(N, np.int32), B, T, rng=np.random.default_rng(4), variable=variable)
    assert streams.steps_per_epoch is None
    return np.array([len(b.x) for b in epoch_of(streams)][:-1])


@pytest.mark.parametrize(("p", "T", "length"), [(1, 50, 50), (0, 50, 25), (0, 19, 9)])
def test_windows_without_spread_are_t_or_half_of_it_rounded_down(
    p: float, T: int, length: int
) -> None:
    assert set(lengths(Variable(p, 0), T)) == {length}


def test_a_length_is_rounded_down() -> None:
    found, rng = lengths(Variable(1, 5, 1, 99), 50), np.random.default_rng(4)
    drawn = [(rng.random(), rng.normal(50, 5))[1] for _ in found]
    assert found.tolist() == np.floor(drawn).tolist()


def test_lengths_are_normal_around_t_and_at_times_around_half_of_it() -> None:
    found = lengths(Variable(0.75, 5, 1, 99), 50)
    short = found[found < 37]  # 2.5 standard deviations from both means
    assert len(found) > 1500
    assert abs(len(short) / len(found) - 0.25) < 5 * np.sqrt(0.25 * 0.75 / len(found))
    for part, mean in ((found[found > 38], 50), (short, 25)):
        assert abs(part.mean() + 0.5 - mean) < 5 * 5 / np.sqrt(len(part)) + 0.15  # the cut tails
        assert abs(part.std() - 5) < 0.5


def test_lengths_beyond_the_bounds_are_the_bounds() -> None:
    found = lengths(Variable(1, 30, 12), 50)
    assert found.min() == 12
    assert found.max() == 60  # T + 10
    # P(⌊a⌋ <= 12) = P(a < 13) and P(a >= 60), by the normal distribution function
    assert abs((found == 12).mean() - 0.1087) < 0.02
    assert abs((found == 60).mean() - 0.3694) < 0.03


def test_states_are_reset_at_one_window_in_so_many() -> None:
    streams = Streams(np.zeros(60_001, np.int32), 2, 3, rng=np.random.default_rng(5), reset_every=8)
    first = np.array([b.is_first for b in epoch_of(streams)])
    assert first[0]
    n, p = len(first) - 1, 1 / 8
    assert n == 9999
    assert abs(first[1:].mean() - p) < 5 * np.sqrt(p * (1 - p) / n)
    # Neighbours are independent: both reset at p² of the pairs.
    assert abs((first[1:-1] & first[2:]).mean() - p**2) < 5 * np.sqrt(p**2 / n)


def test_epochs_begin_at_every_start_below_random_start_alike() -> None:
    streams = Streams(np.arange(16), 1, 4, rng=np.random.default_rng(6), random_start=5)
    starts = np.array([epoch_of(streams)[0].x[0, 0] for _ in range(1000)])
    counts = np.bincount(starts, minlength=5)
    assert len(counts) == 5
    assert abs(counts - 200).max() < 5 * np.sqrt(1000 * 0.2 * 0.8)


def test_steps_per_epoch_is_none_only_where_random_starts_change_it() -> None:
    rng = np.random.default_rng(7)
    ids = np.arange(2 * 20 + 1)
    assert Streams(ids, 2, 5, rng=rng).steps_per_epoch == 4
    assert Streams(ids, 2, 6, rng=rng, random_start=3).steps_per_epoch == 4  # 20 or 19 targets
    assert Streams(ids, 2, 5, rng=rng, random_start=1).steps_per_epoch == 4
    assert Streams(ids, 2, 19, rng=rng, random_start=3).steps_per_epoch is None


def test_a_draw_takes_the_memory_of_its_window_alone() -> None:
    ids = np.zeros(5_000_000, np.int32)
    streams = Streams(ids, 128, 50, rng=np.random.default_rng(8), random_start=50)
    assert np.shares_memory(streams.ids, ids)
    streams.draw()
    tracemalloc.start()
    try:
        for _ in range(10):
            streams.draw()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * (2 * 50 * 128 * 4)


@pytest.mark.parametrize(("N", "B", "T"), [(0, 1, 1), (1, 1, 1), (5, 5, 1), (12, 3, 4), (9, 1, 9)])
def test_a_text_that_is_too_short_is_refused(N: int, B: int, T: int) -> None:
    for who, cut in (("Streams", _streams), ("windows", windows)):
        with pytest.raises(
            ValueError, match=rf"^{who}: ids has N = {N}, expected at least B T \+ "
        ):
            cut(np.zeros(N, int), B, T)  # type: ignore[operator]
        assert cut(np.zeros(B * T + 1, int), B, T) is not None  # type: ignore[operator]


def test_the_refusal_says_what_fits() -> None:
    with pytest.raises(
        ValueError,
        match=r"^Streams: ids has N = 20, expected at least B T \+ 1 = 19 after up to 4 ids left "
        r"out \(random_start\), for B = 3 columns with a window of T = 6; lower B or T, or give a "
        "longer text$",
    ):
        _streams(np.zeros(20, int), 3, 6, random_start=5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"random_start": -1}, ValueError, "random_start is -1, expected at least 0"),
        ({"reset_every": -2}, ValueError, "reset_every is -2, expected at least 0"),
        ({"reset_every": 0.5}, TypeError, "reset_every is 0.5, expected a whole number"),
        ({"variable": True}, TypeError, "variable is True, expected a Variable or None"),
        ({"variable": Variable(1.5)}, ValueError, "variable.p is 1.5, expected a probability"),
        ({"variable": Variable(std=-1)}, ValueError, "variable.std is -1.0, expected a number"),
        ({"variable": Variable(std=np.inf)}, ValueError, "variable.std is inf"),
        ({"variable": Variable(low=0)}, ValueError, "variable.low is 0, expected at least 1"),
        (
            {"variable": Variable(low=9, high=8)},
            ValueError,
            "variable.high is 8, expected at least",
        ),
        ({"variable": Variable(low=16)}, ValueError, "variable.high is 15, expected at least 16"),
        ({"B": 0}, ValueError, "B is 0, expected at least 1"),
        ({"T": 0}, ValueError, "T is 0, expected at least 1"),
    ],
)
def test_options_out_of_range_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^Streams: {message}"):
        _streams(np.zeros(99, int), **{"B": 2, "T": 5, **options})


def _streams(ids: np.ndarray, B: int, T: int, **options: Any) -> Streams:
    return Streams(ids, B, T, rng=np.random.default_rng(0), **options)
