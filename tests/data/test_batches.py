"""nnseq.data.batches: what every kind of batches promises, with and without prefetching."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import checkpoint
from nnseq.data.batches import ArrayBatch, Batches, check_count, check_ids
from nnseq.data.chunks import Chunks
from nnseq.data.examples import Labelled, Passes
from nnseq.data.prefetch import Prefetch
from nnseq.data.shuffled import Shuffled
from nnseq.data.streams import Streams, Variable
from tests.strategies import seeds

TEXT = np.random.default_rng(0).integers(0, 50, 137).astype(np.int32)
IMAGES = np.random.default_rng(1).random((23, 4, 3))


def noisy(indices: np.ndarray, rng: np.random.Generator) -> ArrayBatch:
    x = IMAGES[indices].transpose(1, 0, 2)
    return ArrayBatch(x + rng.normal(size=x.shape), indices % 10)


KINDS: dict[str, Callable[[np.random.Generator], Batches]] = {
    "streams": lambda rng: Streams(TEXT, 3, 10, rng=rng),
    "one stream": lambda rng: Streams(TEXT, 1, 20, rng=rng),
    "random streams": lambda rng: Streams(
        TEXT, 3, 8, rng=rng, random_start=6, variable=Variable(0.5, 2, 2), reset_every=3
    ),
    "chunks": lambda rng: Chunks(TEXT, 4, 6, rng=rng),
    "fixed chunks": lambda rng: Chunks(TEXT, 4, 6, rng=rng, augment=False),
    "shuffled": lambda rng: Shuffled(23, 5, rng=rng, make=noisy),
    "shuffled, whole": lambda rng: Shuffled(23, 5, rng=rng, make=noisy, drop_last=True),
    "one batch": lambda rng: Shuffled(23, 23, rng=rng, make=noisy),
}
kinds = st.sampled_from(sorted(KINDS))
every_kind = pytest.mark.parametrize("kind", sorted(KINDS))


def make(kind: str, seed: int) -> Batches:
    return KINDS[kind](np.random.default_rng(seed))


def draws(batches: Batches, count: int) -> list[Any]:
    return [batches.draw() for _ in range(count)]


def epoch_ends(kind: str, seed: int, count: int = 3) -> list[int]:
    """After how many batches each of the first epochs is over."""
    batches, ends, step = make(kind, seed), [], 0
    while len(ends) < count:
        batches.draw()
        step += 1
        if batches.epoch > len(ends):
            ends.append(step)
    return ends


def same_bits(a: Any, b: Any) -> bool:
    """Of two batches, two lists of batches, or two states."""
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_bits(a[name], b[name]) for name in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same_bits, a, b))
    return type(a) is type(b) and bool(a == b)


def stored(state: dict[str, Any]) -> dict[str, Any]:
    """The state as it comes back from a checkpoint."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.h5")
        checkpoint.write(path, {"batches": state}, {})
        return checkpoint.read(path)[0]["batches"]


@every_kind
def test_a_state_of_any_moment_continues_to_the_bit_in_a_fresh_object(kind: str) -> None:
    ends = epoch_ends(kind, 2)
    expected, batches = draws(make(kind, 2), 2 * ends[-1]), make(kind, 2)
    for taken in range(ends[1] + 2):
        after = make(kind, 3 + taken)
        after.load_state_dict(stored(batches.state_dict()))
        assert after.epoch == batches.epoch == sum(end <= taken for end in ends)
        assert same_bits(draws(after, ends[0] + 1), expected[taken:][: ends[0] + 1])
        batches.draw()


@given(kind=kinds, seed=seeds, data=st.data())
def test_a_state_continues_to_the_bit_with_prefetching_before_or_after(
    kind: str, seed: int, data: st.DataObject
) -> None:
    ends = epoch_ends(kind, seed)
    at_edges = sorted({0, 1} | {max(0, end + d) for end in ends[:2] for d in (-1, 0, 1)})
    taken = data.draw(st.sampled_from(at_edges) | st.integers(0, ends[1]))
    prefetches_before, prefetches_after = data.draw(st.tuples(st.booleans(), st.booleans()))
    expected = draws(make(kind, seed), taken + ends[-1])
    with ExitStack() as stack:
        before = make(kind, seed)
        if prefetches_before:
            before = stack.enter_context(Prefetch(before))
        assert same_bits(draws(before, taken), expected[:taken])
        state, epoch = stored(before.state_dict()), before.epoch
        after = make(kind, seed + 1)
        if prefetches_after:
            after = stack.enter_context(Prefetch(after))
        draws(after, data.draw(st.integers(0, 3)))
        after.load_state_dict(state)
        assert after.epoch == epoch == sum(end <= taken for end in ends)
        assert same_bits(draws(after, ends[-1]), expected[taken:])


@every_kind
def test_the_seed_decides_the_batches(kind: str) -> None:
    first, again, other = (draws(make(kind, seed), 12) for seed in (3, 3, 4))
    assert same_bits(first, again)
    is_fixed = kind in ("streams", "one stream")
    assert same_bits(first, other) == is_fixed


@every_kind
@pytest.mark.parametrize("seed", [0, 1])
def test_epochs_have_steps_per_epoch_batches_where_that_is_known(kind: str, seed: int) -> None:
    steps = make(kind, seed).steps_per_epoch
    assert (steps is None) == (kind == "random streams")
    if steps is not None:
        assert epoch_ends(kind, seed) == [steps, 2 * steps, 3 * steps]


@every_kind
def test_arrays_are_the_callers_own(kind: str) -> None:
    expected, batches = draws(make(kind, 5), 30), make(kind, 5)
    text, images = TEXT.copy(), IMAGES.copy()
    for batch in expected:
        drawn = batches.draw()
        assert same_bits(drawn, batch)
        for x in drawn[:2]:
            assert x.flags.c_contiguous or kind.startswith(("shuffled", "one"))
            x[:] = 77
    assert same_bits([TEXT, IMAGES], [text, images])


@every_kind
def test_no_two_batches_share_memory_with_each_other_or_with_the_source(kind: str) -> None:
    drawn = [x for batch in draws(make(kind, 5), 12) for x in batch[:2]]
    for k, x in enumerate(drawn):
        assert not any(np.shares_memory(x, y) for y in [*drawn[:k], TEXT, IMAGES])


@pytest.mark.parametrize("looks", [1, 2])
def test_arrays_of_passes_are_the_callers_own(looks: int) -> None:
    labels = np.arange(23)
    store = labels.copy()
    examples = Labelled(store, lambda indices, rng: noisy(indices, rng).x)
    batches, again = Passes(examples, 5, looks), Passes(examples, 5, looks)
    expected = draws(again, 12)
    for batch in expected:
        drawn = batches.draw()
        assert same_bits(drawn, batch)
        drawn.x[:] = 77
        drawn.y[:] = 77
    assert same_bits(store, labels)
    kept = [y for batch in expected for y in batch]
    assert not any(np.shares_memory(x, y) for k, x in enumerate(kept) for y in [*kept[:k], store])


@every_kind
@pytest.mark.parametrize("taken", [0, 1, 4])
def test_a_state_is_left_as_it_is_by_later_draws(kind: str, taken: int) -> None:
    batches = make(kind, 6)
    draws(batches, taken)
    state = batches.state_dict()
    before = copy.deepcopy(state)
    draws(batches, 15)
    assert same_bits(state, before)


@pytest.mark.parametrize("taken", [0, 2, 5])
def test_a_batch_whose_maker_failed_does_not_spoil_the_state(taken: int) -> None:
    batches = make("shuffled", 7)
    assert isinstance(batches, Shuffled)
    draws(batches, taken)

    def fail(indices: np.ndarray, rng: np.random.Generator) -> ArrayBatch:
        raise OSError("the disk")

    good, batches.make = batches.make, fail
    with pytest.raises(OSError, match="the disk"):
        batches.draw()
    other = make("shuffled", 8)
    other.load_state_dict(stored(batches.state_dict()))
    batches.make = good
    assert same_bits(draws(other, 3), draws(batches, 3))


@pytest.mark.parametrize(
    ("state_of", "message"),
    [
        (lambda rng: Streams(TEXT, 4, 10, rng=rng), "Streams: the state is of B = 4, expected 3"),
        (lambda rng: Streams(TEXT[1:], 3, 9, rng=rng), "N = 136, expected 137; T = 9, expected 10"),
        (lambda rng: Chunks(TEXT, 3, 10, rng=rng), "kind = 'Chunks', expected 'Streams'"),
        (lambda rng: Streams(TEXT, 3, 10, rng=rng, reset_every=2), "reset_every = 2, expected 0"),
        (
            lambda rng: Streams(TEXT, 3, 10, rng=rng, variable=Variable()),
            r"variable = \[0.95, 5.0, 5, 20\], expected None",
        ),
    ],
)
def test_a_state_of_other_batches_is_refused(
    state_of: Callable[[np.random.Generator], Batches], message: str
) -> None:
    other = state_of(np.random.default_rng(0))
    state = {"skip": 0, **stored(other.state_dict())}
    batches = Streams(TEXT, 3, 10, rng=np.random.default_rng(0))
    draws(batches, 2)
    before = batches.state_dict()
    with pytest.raises(ValueError, match=message):
        batches.load_state_dict(state)
    assert same_bits(batches.state_dict(), before)


@every_kind
@pytest.mark.parametrize("missing", ["of", "rng", "epoch", "at"])
def test_a_state_without_its_parts_is_refused(kind: str, missing: str) -> None:
    batches = make(kind, 0)
    state = {name: value for name, value in batches.state_dict().items() if name != missing}
    with pytest.raises(KeyError, match=missing):
        batches.load_state_dict(state)


def test_a_state_of_another_generator_is_refused() -> None:
    batches = make("shuffled", 0)
    other = KINDS["shuffled"](np.random.Generator(np.random.Philox(0)))
    with pytest.raises(ValueError, match="PCG64"):
        batches.load_state_dict(other.state_dict())


@pytest.mark.parametrize("bits", [np.random.MT19937, np.random.Philox, np.random.SFC64])
@pytest.mark.parametrize("taken", [0, 2, 5])
def test_the_state_of_every_generator_survives_a_checkpoint(bits: Any, taken: int) -> None:
    first, second = (KINDS["shuffled"](np.random.Generator(bits(seed))) for seed in (1, 2))
    draws(first, taken)
    second.load_state_dict(stored(first.state_dict()))
    assert same_bits(draws(first, 7), draws(second, 7))


@pytest.mark.parametrize("rng", [None, 3, np.random.RandomState(0)])
def test_what_is_no_generator_is_refused(rng: Any) -> None:
    with pytest.raises(TypeError, match=r"Streams: rng is .*, expected a generator such as"):
        Streams(TEXT, 3, 10, rng=rng)


@pytest.mark.parametrize("value", [2.0, "3", None, True, np.ones(2)])
def test_sizes_that_are_not_whole_numbers_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"Streams: B is .*, expected a whole number"):
        check_count("Streams", "B", value)


def test_sizes_that_are_too_small_are_refused() -> None:
    assert check_count("Chunks", "T", np.int64(2), 2) == 2
    with pytest.raises(ValueError, match=r"^Chunks: T is 1, expected at least 2$"):
        check_count("Chunks", "T", 1, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64, np.uint64])
def test_ids_of_any_integer_type_become_int32(dtype: Any) -> None:
    ids = check_ids("Streams", np.arange(9).astype(dtype)[::2])
    assert ids.dtype == np.int32
    assert ids.flags.c_contiguous
    assert ids.tolist() == [0, 2, 4, 6, 8]


def test_int32_ids_are_not_copied() -> None:
    assert np.shares_memory(check_ids("Streams", TEXT), TEXT)
    assert check_ids("Streams", [3, 1]).tolist() == [3, 1]
    assert check_ids("Streams", []).shape == (0,)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (np.zeros((2, 3), int), ValueError, r"ids has shape \(2, 3\), expected \(N,\)"),
        (np.zeros(3), TypeError, "ids has dtype float64, expected whole numbers"),
        (np.ones(3, bool), TypeError, "ids has dtype bool"),
        (["a"], TypeError, "expected whole numbers"),
        ([0, 2**31], ValueError, "ids are from 0 to 2147483648, expected ids that int32 holds"),
        (np.array([2**64 - 1], np.uint64), ValueError, "expected ids that int32 holds"),
        (np.array([-(2**31) - 1, 0]), ValueError, "ids are from -2147483649 to 0"),
    ],
)
def test_ids_that_are_none_are_refused(ids: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"Chunks: .*{message}|Chunks: {message}"):
        check_ids("Chunks", ids)
