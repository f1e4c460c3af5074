"""The residual IndRNN body: parameter counts, the last recurrence's start, the sum."""

import numpy as np
import pytest

from nnseq.models import LanguageModel, LastStepReadout, ResidualIndRNNBody

from .networks import split


def make(*sizes, **options):
    shared, own = split({"bn": "after"} | options)
    return ResidualIndRNNBody(*sizes, shared, rng=np.random.default_rng(0), **own)


@pytest.mark.parametrize(
    ("sizes", "seq_len", "classes", "count"),
    [((1, 128, 5), 784, 10, 170_890), ((150, 512, 5), 20, 60, 2_751_548)],
)
def test_the_published_classifiers_have_these_many_parameters(sizes, seq_len, classes, count):
    """MNIST and NTU RGB+D."""
    body = make(*sizes, seq_len=seq_len)
    model = LastStepReadout(body, classes, rng=np.random.default_rng(0))
    assert model.num_parameters() == count


def test_the_published_language_model_has_48_501_600_parameters():
    body = make(600, 2000, 5, seq_len=50, bn="before", bn_steps=100, u_bound=0.99)
    options = {"embed_size": 600, "tied": True, "head": "indrnn"}
    model = LanguageModel(10_000, body, rng=np.random.default_rng(0), **options)
    assert model.num_parameters() == 48_501_600


def test_init_last_u_acts_on_the_recurrence_after_the_blocks():
    body = make(2, 300, 2, seq_len=20, MAG=5.0, init_last_u=True)
    assert body.rnn.rnn.u.data.min() >= 5 ** (-1 / 20)
    for block in body.blocks:
        assert block.rnn_1.rnn.u.data.min() < 0.05
        assert block.rnn_2.rnn.u.data.min() < 0.05
    assert make(2, 300, 2, seq_len=20, MAG=5.0).rnn.rnn.u.data.min() < 0.05


def test_a_block_whose_second_map_is_zero_changes_nothing():
    """The path around the blocks is the identity."""
    with_blocks, x = make(2, 5, 2, seq_len=4), np.random.default_rng(1).normal(size=(4, 3, 2))
    with_blocks.astype(np.float64)
    for block in with_blocks.blocks:
        block.linear_2.W.data[...] = 0
    expected, _ = with_blocks.rnn(with_blocks.linear(x))
    np.testing.assert_array_equal(with_blocks(x)[0].data, expected.data)


def test_every_recurrence_has_its_dropout_and_the_last_its_own():
    body = make(1, 4, 2, seq_len=4, p_drop=0.2)
    assert body.rnn.dropout.p_drop == 0.2
    body = make(1, 4, 2, seq_len=4, p_drop=0.2, p_drop_last=0.5)
    assert body.rnn.dropout.p_drop == 0.5
    for block in body.blocks:
        assert (block.rnn_1.dropout.p_drop, block.rnn_2.dropout.p_drop) == (0.2, 0.2)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 4, 1), "input_size is 0"),
        ((1, 0, 1), "output_size is 0"),
        ((1, 4, 0), "ResidualIndRNNBody: num_blocks is 0"),
    ],
)
def test_sizes_below_1_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        make(*sizes, seq_len=4)
