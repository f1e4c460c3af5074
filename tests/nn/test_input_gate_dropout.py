"""Input-gate dropout. A weight of 0 drops what the step would write."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.nn.input_gate_dropout import InputGateDropout
from nnseq.tensor import Tensor

LIKE = np.empty(0, np.float64)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("p_drop", [0.1, 0.7])
def test_the_share_of_zeros_is_p_drop_and_the_rest_is_1(p_drop):
    d_i = InputGateDropout(p_drop)(40, 20, 50, LIKE, rng())
    assert d_i.shape == (40, 20, 50)
    assert set(np.unique(d_i)) == {0, 1}
    assert abs((d_i == 0).mean() - p_drop) < 5 * math.sqrt(p_drop * (1 - p_drop) / d_i.size)


def test_it_differs_over_steps_sequences_and_units_and_from_call_to_call():
    layer, source = InputGateDropout(0.5), rng()
    d_i = layer(40, 20, 50, LIKE, source)
    other = layer(40, 20, 50, LIKE, source)
    pairs = ((d_i[1:], d_i[:-1]), (d_i[:, 1:], d_i[:, :-1]), (d_i[..., 1:], d_i[..., :-1]))
    for a, b in (*pairs, (d_i, other)):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / math.sqrt(a.size)


def test_evaluation_has_the_chance_to_keep_and_draws_nothing():
    layer, source = InputGateDropout(0.3).eval(), rng()
    before = source.bit_generator.state
    for d_i in (layer(4, 3, 5, LIKE), layer(4, 3, 5, LIKE, source)):
        np.testing.assert_array_equal(d_i, np.full((1, 1, 5), 0.7))
    assert source.bit_generator.state == before


def test_one_lstm_step_averaged_over_many_masks_is_the_step_in_evaluation():
    """Linear in d_i, so c_t is; and f ∘ c_{t-1} is there in full whatever is drawn."""
    count, layer = 100_000, InputGateDropout(0.3)
    f, c_prev, i, g = rng(1).normal(size=(4, 5))
    d_i = layer(1, count, 5, LIKE, rng())[0]
    c = f * c_prev + d_i * i * g
    assert (np.isclose(c, f * c_prev) | np.isclose(c, f * c_prev + i * g)).all()
    expected = f * c_prev + layer.eval()(1, count, 5, LIKE)[0, 0] * i * g
    assert (np.abs(c.mean(axis=0) - expected) < 5 * np.abs(i * g) * math.sqrt(0.21 / count)).all()


@pytest.mark.parametrize("is_training", [True, False])
def test_p_0_needs_nothing_and_p_1_drops_everything(is_training):
    assert InputGateDropout(0.0).train(is_training)(4, 3, 5, LIKE) is None
    assert (InputGateDropout(1.0).train(is_training)(4, 3, 5, LIKE, rng()) == 0).all()


@given(
    sizes=st.tuples(*[st.integers(0, 6)] * 3), p_drop=st.floats(1e-9, 1),
    dtype=st.sampled_from([np.float32, np.float64]), is_training=st.booleans(),
    is_tensor=st.booleans(),
)  # fmt: skip
def test_any_size(sizes, p_drop, dtype, is_training, is_tensor):
    layer = InputGateDropout(p_drop).train(is_training)
    like = Tensor(np.ones(2, dtype)) if is_tensor else np.ones(2, dtype)
    d_i, again = (layer(*sizes, like, rng(3)) for _ in range(2))
    shape = sizes if is_training else (1, 1, sizes[2])
    assert (type(d_i), d_i.shape, d_i.dtype) == (np.ndarray, shape, dtype)
    assert np.isin(d_i, [0, 1] if is_training else [dtype(1 - p_drop)]).all()
    np.testing.assert_array_equal(d_i, again)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: InputGateDropout(1.1), ValueError, "InputGateDropout: p_drop is 1.1"),
        (lambda: InputGateDropout(-0.1), ValueError, "p_drop is -0.1"),
        (lambda: InputGateDropout(math.nan), ValueError, "p_drop is nan"),
        (lambda: InputGateDropout("half"), TypeError, "p_drop is 'half', expected a number"),
        (
            lambda: InputGateDropout(0.5)(4, 3, 5, LIKE),
            TypeError,
            r"InputGateDropout in training \(eval\(\) turns it off\): rng is None",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
