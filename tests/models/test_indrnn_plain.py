"""The plain IndRNN body: published sizes, where u starts, gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck
from nnseq.models import LastStepReadout, PlainIndRNNBody
from nnseq.nn import Normal
from tests.nn.functional import as_function
from tests.strategies import arrays

from .networks import B, D, T, draw, split, stir


def make(*sizes, **options):
    shared, own = split({"bn": "after"} | options)
    return PlainIndRNNBody(*sizes, shared, rng=np.random.default_rng(0), **own)


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
    model = LastStepReadout(body, classes, rng=np.random.default_rng(0))
    assert model.num_parameters() == count


def test_init_last_u_acts_on_the_last_layer():
    """The original's option looked for a name that no parameter had, and did nothing."""
    body = make(2, 300, 3, seq_len=20, MAG=5.0, init_last_u=True)
    *others, last = (layer.rnn.u.data for layer in body.layers)
    assert last.min() >= 5 ** (-1 / 20)
    assert all(u.min() < 0.05 for u in others)
    body = make(2, 300, 3, seq_len=20, MAG=5.0)
    assert all(layer.rnn.u.data.min() < 0.05 for layer in body.layers)


def test_tanh_starts_on_both_sides_but_for_the_last_layer():
    body = make(2, 400, 2, seq_len=50, act="tanh", init_last_u=True)
    first, last = (layer.rnn.u.data for layer in body.layers)
    bound = (2 / 0.9**5) ** (1 / 50)
    assert -bound <= first.min() < -0.9
    assert 0.9 < first.max() <= bound
    assert last.min() >= 2 ** (-1 / 50)


@pytest.mark.parametrize(
    "options",
    [
        {"act": "relu"},
        {"act": "tanh", "learn_h0": True},
        {"act": "tanh", "bn": "before"},
        {"act": "relu", "bn": "after"},
        {"act": "tanh", "bn": "after", "bn_steps": 3},
        {"act": "identity", "p_drop": 0.4},
    ],
)
@pytest.mark.parametrize("only_last", [False, True])
@pytest.mark.parametrize("lengths", [None, [4, 2, 3]])
def test_gradients_of_every_parameter_and_the_input(options, only_last, lengths):
    wide = {"seq_len": T, "W_init": Normal(1.0), "bn": None, "dtype": np.float64}
    body = stir(make(D, 5, 2, **wide | options))

    def call(body, x):
        rng = np.random.default_rng(3)
        y, states = body(x, lengths=lengths, rng=rng, only_last=only_last)
        return (y, *states)

    f, parameters = as_function(body, call)
    gradcheck(f, *parameters, draw(6, T, B, D), rng=np.random.default_rng(7), atol=1e-6)


@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 4, st.integers(1, 3)),
    bn=st.sampled_from([None, "before", "after"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    only_last=st.booleans(),
    is_masked=st.booleans(),
    data=st.data(),
)
def test_any_sizes_dtypes_and_layouts_in_training(sizes, bn, dtype, only_last, is_masked, data):
    T, B, D, H, L = sizes
    T += bn is not None and T * B == 1  # a single entry cannot be normalised
    wide = {"W_init": Normal(1.0), "act": "tanh", "dtype": np.float64, "bn": bn}
    body, x = make(D, H, L, seq_len=T, **wide), data.draw(arrays((T, B, D)))
    mask = np.ones((T, B), bool)
    if is_masked and T > 2:
        mask[-1, 0] = False

    def call(body, x):
        y, states = body(x, mask=mask if is_masked else None, only_last=only_last)
        return (y, *states)

    expected = [y.data for y in call(body, x)]
    outputs = call(body.astype(dtype), x.astype(dtype, order="K"))
    for y, right in zip(outputs, expected, strict=True):
        assert y.dtype == dtype
        # Batch norm of few entries divides float32's rounding errors by small deviations.
        np.testing.assert_allclose(y.data, right, atol=1e-3 if dtype == np.float32 else 0)
    if dtype == np.float64:
        f, parameters = as_function(body, call)
        rng = np.random.default_rng(0)
        gradcheck(f, *parameters, x, rng=rng, rtol=1e-4, atol=1e-4)  # few entries may almost tie


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
