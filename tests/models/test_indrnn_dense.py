"""The dense IndRNN body: parameter counts, widths, the last layer's start, refusals."""

import numpy as np
import pytest

from nnseq.models import DenseIndRNNBody, LanguageModel, LastStepReadout

from .networks import split


def make(*sizes, **options):
    shared, own = split({"bn": "after"} | options)
    return DenseIndRNNBody(*sizes, shared, rng=np.random.default_rng(0), **own)


@pytest.mark.parametrize(
    ("sizes", "options", "classes", "count"),
    [
        ((1, 16, (8, 6, 4)), {"seq_len": 784}, 10, 256_514),
        ((150, 48, (8, 6, 4)), {"seq_len": 20}, 60, 2_314_428),
        ((1944, 48, (8, 6, 4)), {"seq_len": 20, "time_diff": True}, 60, 5_640_108),
    ],
)
def test_the_published_classifiers_have_these_many_parameters(sizes, options, classes, count):
    """MNIST; NTU RGB+D; NTU with differences, coordinates and 1,794 distances of joints to lines.

    1,944 inputs are the only number under 4,000 that makes 5,640,108 of the published sizes.
    """
    model = LastStepReadout(make(*sizes, **options), classes, rng=np.random.default_rng(0))
    assert model.num_parameters() == count


def test_the_published_language_model_has_51_655_712_parameters():
    options = {"seq_len": 50, "bn": "before", "bn_steps": 100, "u_bound": 0.99}
    body = make(600, 256, (8, 6, 4), first=None, last_layer=False, **options)
    options = {"embed_size": 600, "tied": True, "head": "indrnn"}
    model = LanguageModel(10_000, body, rng=np.random.default_rng(0), **options)
    assert model.num_parameters() == 51_655_712


@pytest.mark.parametrize(("time_diff", "factor"), [(False, 1), (True, 2)])
def test_every_layer_adds_its_growth_and_every_block_is_halved(time_diff, factor):
    body = make(3, 4, (2, 1, 3), seq_len=4, first=5, time_diff=time_diff)
    widths = [[layer.inner.rnn.input_size for layer in block] for block in body.blocks]
    assert widths == [
        [factor * n for n in (20, 24)],
        [factor * 14],
        [factor * n for n in (9, 13, 17)],
    ]
    assert body.first.rnn.input_size == factor * 3
    assert [half.rnn.input_size for half in body.transitions] == [
        factor * 28,
        factor * 18,
        factor * 21,
    ]
    assert [half.rnn.hidden_size for half in body.transitions] == [14, 9, 10]
    assert body.output_size == factor * 10
    assert body.num_states == factor * (1 + 2 * 6 + 3) + (factor - 1)


def test_without_a_last_layer_the_last_block_is_what_comes_out():
    body = make(3, 4, (2, 1), seq_len=4, first=None, last_layer=False)
    assert body.first is None
    assert len(body.transitions) == 1
    assert body.output_size == (3 + 2 * 4) // 2 + 4


def test_init_last_u_acts_on_the_last_layer():
    body = make(2, 60, (1, 1), seq_len=20, MAG=5.0, init_last_u=True)
    *others, last = (half.rnn.u.data for half in body.transitions)
    assert last.min() >= 5 ** (-1 / 20)
    others += [layer.outer.rnn.u.data for block in body.blocks for layer in block]
    others.append(body.first.rnn.u.data)
    assert all(u.min() < 0.3 for u in others)
    body = make(2, 60, (1, 1), seq_len=20, MAG=5.0)
    assert body.transitions[-1].rnn.u.data.min() < 0.3


def test_every_part_has_its_own_dropout():
    drops = {"p_drop": 0.1, "p_drop_inner": 0.2, "p_drop_first": 0.3, "p_drop_transition": 0.4}
    body = make(2, 4, (1, 2), seq_len=4, **drops, p_drop_last=0.5)
    assert body.first.dropout.p_drop == 0.3
    assert [half.dropout.p_drop for half in body.transitions] == [0.4, 0.5]
    for block in body.blocks:
        for layer in block:
            assert (layer.inner.dropout.p_drop, layer.outer.dropout.p_drop) == (0.2, 0.1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: make(0, 4, (2,), seq_len=4), ValueError, "DenseIndRNNBody: input_size is 0"),
        (lambda: make(1, 0, (2,), seq_len=4), ValueError, "growth is 0"),
        (lambda: make(1, 4, (), seq_len=4), ValueError, r"blocks is \(\), expected at least one"),
        (lambda: make(1, 4, (2, 0), seq_len=4), ValueError, r"blocks\[1\] is 0"),
        (lambda: make(1, 4, (2,), first=0, seq_len=4), ValueError, "first is 0"),
        (lambda: make(1, 4, (2,), time_diff="yes", seq_len=4), TypeError, "time_diff is 'yes'"),
        (lambda: make(1, 4, (2,), last_layer=0, seq_len=4), TypeError, "last_layer is 0"),
        (
            lambda: make(1, 4, (2,), first=None, p_drop_first=0.1, seq_len=4),
            ValueError,
            "p_drop_first is 0.1, but first is None",
        ),
        (
            lambda: make(1, 4, (2,), last_layer=False, p_drop_last=0.1, seq_len=4),
            ValueError,
            "p_drop_last is 0.1, but last_layer is False",
        ),
        (
            lambda: make(1, 4, (2,), last_layer=False, init_last_u=True, seq_len=4),
            ValueError,
            "init_last_u is True, but last_layer is False",
        ),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
