"""What the options of an IndRNN body do to it, and how they follow it: lengths, states, dtypes."""

import json

import numpy as np
import pytest

from nnseq.models import PlainIndRNNBody, ResidualIndRNNBody
from nnseq.nn import build, describe

from .networks import KINDS, B, D, T, draw, make


def largest_u(body):
    return max(np.abs(part.rnn.u.data).max() for part in body.recurrences())


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_sequence_bounds_u_more_and_at_once(kind):
    body = make(kind, MAG=1.5)
    for part in body.recurrences():
        part.rnn.u.data[...] = -9.0
    body.set_seq_len(100)
    np.testing.assert_allclose(largest_u(body), 1.5 ** (1 / 100), rtol=1e-12)
    for part in body.recurrences():
        part.rnn.u.data[...] = 9.0
    body.constrain()
    assert largest_u(body) <= 1.5 ** (1 / 100)
    again = build(describe(body))
    assert again.options == body.options
    assert body.options.seq_len == 100
    for part in (*again.recurrences(), *(build(describe(p)) for p in body.recurrences())):
        assert part.rnn.u_bound == 1.5 ** (1 / 100)


@pytest.mark.parametrize(
    ("options", "seq_len", "message"),
    [
        (
            {"u_bound": 0.9},
            100,
            "Body: set_seq_len would change nothing, because u_b",
        ),
        ({"constrain_u": False}, 100, "Body: set_seq_len would change nothing"),
        ({}, 0, "seq_len is 0"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_length_that_bounds_nothing_is_refused_and_changes_nothing(
    kind, options, seq_len, message
):
    body = make(kind, **options)
    before, bounds = body.state_dict(), [part.rnn.u_bound for part in body.recurrences()]
    with pytest.raises(ValueError, match=message):
        body.set_seq_len(seq_len)
    assert body.options.seq_len == T
    assert [part.rnn.u_bound for part in body.recurrences()] == bounds
    for name, array in body.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


# With differences some states are the inputs before the first step, and those are not learned.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dense with differences"])
def test_a_call_without_states_begins_with_the_learned_ones(kind):
    body, x = make(kind, learn_h0=True), draw(1, T, B, D)
    assert {x.data.any() for name, x in body.named_parameters() if name.endswith("h0")} == {False}
    for part in body.recurrences():
        part.rnn.h0.data[...] = 0.7
    y, final = body(x)
    ours, _ = body(x, tuple(np.full(state.shape, 0.7) for state in final))
    zeros, _ = body(x, tuple(np.zeros(state.shape) for state in final))
    np.testing.assert_array_equal(y.data, ours.data)
    assert np.abs(y.data - zeros.data).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_clip_inside_the_recurrence_reaches_every_one(kind):
    x, found = draw(1, T, B, D), {}
    for step_clip in (0.0, 1e-3):
        body = make(kind, step_clip=step_clip)
        y, _ = body(x)
        y.backward(draw(2, *y.shape))
        found[step_clip] = [np.abs(part.rnn.u.grad).max() for part in body.recurrences()]
    for clipped, free in zip(found[1e-3], found[0.0], strict=True):
        assert 0 < clipped < 0.1 * free


@pytest.mark.parametrize("kind", KINDS)
def test_the_options_follow_the_dtype_and_make_the_same_body(kind):
    body = make(kind, bn="before", bn_steps=6).astype(np.float32)
    assert body.options.dtype == np.float32
    again = build(json.loads(json.dumps(describe(body))))
    assert again.options == body.options
    again.load_state_dict(body.state_dict())


@pytest.mark.parametrize("cls", [PlainIndRNNBody, ResidualIndRNNBody])
def test_what_are_no_options_is_refused(cls):
    words = rf"{cls.__name__}: options is a int, expected IndRNNOptions\(seq_len"
    with pytest.raises(TypeError, match=words):
        cls(D, 5, 2, 784, rng=np.random.default_rng(0))
