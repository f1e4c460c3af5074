"""The plain IndRNN body: parameter counts of the published networks, the last layer's start."""

import numpy as np
import pytest

from nnseq.models import PlainIndRNNBody, SequenceClassifier


def make(*sizes, **options):
    return PlainIndRNNBody(*sizes, **{"rng": np.random.default_rng(0), "bn": "after"} | options)


@pytest.mark.parametrize(
    ("sizes", "seq_len", "classes", "count"),
    [
        ((1, 128, 6), 784, 10, 86_410),
        ((1, 128, 12), 784, 10, 187_786),
        ((150, 512, 6), 20, 60, 1_430_588),
    ],
)
def test_the_published_networks_have_these_many_parameters(sizes, seq_len, classes, count):
    """MNIST of six and twelve layers, NTU RGB+D."""
    body = make(*sizes, seq_len=seq_len)
    model = SequenceClassifier(body, classes, rng=np.random.default_rng(0))
    assert model.num_parameters() == count


def test_init_last_u_acts_on_the_last_layer():
    """The original's option looked for a name that no parameter had, and did nothing."""
    body = make(2, 300, 3, seq_len=20, MAG=5.0, init_last_u=True)
    *others, last = (layer.rnn.u.data for layer in body.layers)
    assert last.min() >= 5 ** (-1 / 20)
    assert all(u.min() < 0.05 for u in others)
    body = make(2, 300, 3, seq_len=20, MAG=5.0)
    assert all(layer.rnn.u.data.min() < 0.05 for layer in body.layers)


def test_every_layer_has_its_dropout_and_the_last_its_own():
    drops = [layer.dropout.p_drop for layer in make(1, 4, 3, seq_len=4, p_drop=0.2).layers]
    assert drops == [0.2, 0.2, 0.2]
    body = make(1, 4, 3, seq_len=4, p_drop=0.2, p_drop_last=0.0)
    assert [layer.dropout.p_drop for layer in body.layers] == [0.2, 0.2, 0.0]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 4, 1), "input_size is 0"),
        ((1, 0, 1), "hidden_size is 0"),
        ((1, 4, 0), "PlainIndRNNBody: num_layers is 0"),
    ],
)
def test_sizes_below_1_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        make(*sizes, seq_len=4)
