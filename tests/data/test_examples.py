"""A labelled set in three parts: to train on, to choose by, to test with."""

import json
import time

import numpy as np
import pytest

from nnseq.data.examples import Examples, Labelled, Passes


def numbered(N, *, first=0, seen=None):
    """Examples whose x says which they are and what was drawn: x[0, b] = (number, draw)."""

    def look(indices, rng):
        if seen is not None:
            seen.append(indices.copy())
        draws = rng.random(len(indices))
        return np.stack([indices + first, draws], axis=-1)[None]

    return Labelled(np.arange(first, first + N), look)


def examples(N=20, *, rng=None, **changes):
    given = {"batch_size": 3, "eval_batch_size": 4, "valid_share": 0.25, **changes}
    rng = np.random.default_rng(1) if rng is None else rng
    return Examples(numbered(N), numbered(7, first=100), rng=rng, **given)


def one_pass(part):
    return [part.draw() for _ in range(part.steps_per_epoch)]


def numbers(batches):
    return [int(i) for batch in batches for i in batch.y]


# ---- Passes ------------------------------------------------------------------------------------


def test_a_pass_shows_every_example_in_its_order_as_often_as_asked():
    passes = Passes(numbered(5), 2, looks=3)
    assert passes.steps_per_epoch == 9
    batches = one_pass(passes)
    assert [list(y) for _, y in batches] == [[0, 1]] * 3 + [[2, 3]] * 3 + [[4]] * 3
    for x, y in batches:
        assert (x[0, :, 0] == y).all()
    draws = [float(x[0, 0, 1]) for x, _ in batches]
    assert len(set(draws)) == 9, "each look draws its own"
    assert (passes.epoch, passes.at) == (1, 0)


def test_all_passes_are_alike():
    passes, other = Passes(numbered(5), 2, 2), Passes(numbered(5), 2, 2)
    first, second = one_pass(passes), one_pass(passes)
    for a, b, c in zip(first, second, one_pass(other), strict=True):
        assert (a.x == b.x).all()
        assert (a.x == c.x).all()


def test_a_pass_goes_on_where_its_state_says():
    passes, other = Passes(numbered(5), 2, 2), Passes(numbered(5), 2, 2)
    for _ in range(8):
        passes.draw()
    other.load_state_dict(json.loads(json.dumps(passes.state_dict())))
    assert (other.epoch, other.at) == (1, 2)
    for _ in range(5):
        assert (passes.draw().x == other.draw().x).all()


@pytest.mark.parametrize("state", [{"epoch": 0, "at": 3}, {"epoch": 0, "at": -1}, {"epoch": 0}])
def test_a_state_of_something_else_is_refused(state):
    with pytest.raises((ValueError, KeyError), match=r"Passes: at is|^'at'$"):
        Passes(numbered(5), 2).load_state_dict(state)


@pytest.mark.parametrize(
    ("N", "sizes", "message"),
    [(0, (2,), "examples is 0"), (5, (0,), "B is 0"), (5, (2, 0), "looks is 0")],
)
def test_passes_refuse_nothing(N, sizes, message):
    with pytest.raises(ValueError, match=message):
        Passes(numbered(N), *sizes)


# ---- Examples ----------------------------------------------------------------------------------


def test_what_is_held_back_is_never_trained_on():
    parts = examples()
    assert parts.train.steps_per_epoch == 5
    held_back = numbers(one_pass(parts.valid))
    assert len(held_back) == 5
    assert held_back == sorted(held_back)
    trained = [numbers(one_pass(parts.train)) for _ in range(3)]
    for epoch in trained:
        assert sorted([*epoch, *held_back]) == list(range(20))
    assert trained[0] != trained[1]
    assert numbers(one_pass(parts.test)) == list(range(100, 107))
    parts.close()


def test_what_is_left_over_of_an_epoch_is_another_part_each_time():
    parts = examples(batch_size=4)
    assert parts.train.steps_per_epoch == 3
    epochs = [set(numbers(one_pass(parts.train))) for _ in range(9)]
    assert all(len(epoch) == 12 for epoch in epochs)
    assert len(set.union(*epochs)) == 15
    parts.close()


def test_the_split_depends_on_the_generator_alone():
    splits = []
    for seed, batch_size in ((1, 3), (1, 5), (2, 3)):
        parts = examples(rng=np.random.default_rng(seed), batch_size=batch_size)
        splits.append(numbers(one_pass(parts.valid)))
        parts.close()
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize(
    ("N", "share", "left"),
    [(60_000, 0.05, 57_000), (40_091, 0.05, 38_086), (60_000, 1 / 6, 50_000), (3, 0.01, 2)],
)
def test_the_share_is_rounded_as_in_the_authors_programs(N, share, left):
    parts = examples(N, batch_size=1, valid_share=share)
    assert parts.train.steps_per_epoch == left
    assert parts.valid.steps_per_epoch == -(-(N - left) // 4)


def test_looks_and_augmentation_are_where_they_belong():
    def augmented(indices, rng):
        return np.full((1, len(indices), 2), -1.0)

    parts = examples(augmented=augmented, valid_looks=2, test_looks=3)
    assert parts.test_looks == 3
    assert all((x == -1).all() for x, _ in one_pass(parts.train))
    assert len(one_pass(parts.valid)) == 2 * 2
    assert len(one_pass(parts.test)) == 3 * 2
    for x, y in [*one_pass(parts.valid), *one_pass(parts.test)]:
        assert (x[0, :, 0] == y).all()
    parts.close()


def test_training_goes_on_within_an_epoch_where_it_was_saved():
    parts, other = examples(), examples()
    for _ in range(7):
        parts.train.draw()
    other.train.load_state_dict(parts.train.state_dict())
    for _ in range(6):
        a, b = parts.train.draw(), other.train.draw()
        assert (a.x == b.x).all(), "the same examples, and the same draws"
    assert parts.train.epoch == other.train.epoch == 2
    parts.close()
    other.close()


def test_the_waiting_of_all_three_parts_is_counted():
    def slow(indices, rng):
        time.sleep(0.02)
        return np.zeros((1, len(indices), 1))

    labels = np.arange(8)
    sizes = {"batch_size": 2, "eval_batch_size": 2, "valid_share": 0.25}
    parts = Examples(
        Labelled(labels, slow), Labelled(labels, slow), rng=np.random.default_rng(0), **sizes
    )
    waited = [parts.waited]
    for part in (parts.train, parts.valid, parts.test):
        part.draw()
        waited.append(parts.waited)
    assert np.all(np.diff(waited) > 0.01)
    parts.close()


@pytest.mark.parametrize(
    ("N", "changes", "message"),
    [
        (20, {"batch_size": 16}, "20 examples, of which 5 are held back, leave 15 .* and 16 left"),
        (4, {"batch_size": 1, "valid_share": 0.0}, "of which 0 are held back, leave 4"),
    ],
)
def test_too_few_examples_are_refused(N, changes, message):
    with pytest.raises(ValueError, match=message):
        examples(N, **changes)
