"""Weight noise."""

import math

import numpy as np
import pytest

from nnseq.nn import IndRNN, Linear, Sequential
from nnseq.nn.weight_noise import weight_noise
from nnseq.ops.activations import tanh
from nnseq.optim import SGD

D, H = 3, 5


def rng(seed=0):
    return np.random.default_rng(seed)


def model(dtype=np.float64):
    layers = Linear(D, H, rng=rng(1), dtype=dtype), tanh, Linear(H, 2, rng=rng(2), dtype=dtype)
    return Sequential(*layers)


X = rng(3).normal(size=(4, D))
DY = rng(4).normal(size=(4, 2))


# ---- the noise ---------------------------------------------------------------------------------


@pytest.mark.parametrize("std", [0.075, 2.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_noise_is_normal_with_that_std_independent_for_every_entry(std, dtype):
    layer = Linear(200, 300, rng=rng(1), dtype=dtype)
    W, source, noise = layer.W.data.copy(), rng(), []
    for _ in range(2):
        with weight_noise(layer, std, source):
            assert layer.W.dtype == dtype
            noise.append((layer.W.data - W).astype(np.float64))
    n = W.size
    for e in noise:
        assert abs(e.mean()) < 5 * std / math.sqrt(n)
        assert e.std() == pytest.approx(std, rel=5 / math.sqrt(2 * n))
        assert (np.abs(e) > std).mean() == pytest.approx(0.3173, abs=0.01)
        assert abs(np.corrcoef(e[1:].ravel(), e[:-1].ravel())[0, 1]) < 5 / math.sqrt(n)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 5 / math.sqrt(n)


def test_the_same_generator_gives_the_same_noise():
    found = []
    for _ in range(2):
        m = model()
        with weight_noise(m, 0.1, rng(7)):
            found.append(m(X))
    np.testing.assert_array_equal(found[0].data, found[1].data)


def test_two_calls_in_training_differ_and_evaluation_does_not_change():
    m, source = model(), rng()
    clean = m.eval()(X).data
    before = source.bit_generator.state
    with weight_noise(m, 0.1, source):
        np.testing.assert_array_equal(m(X).data, clean)
    with weight_noise(m, 0.1):
        np.testing.assert_array_equal(m(X).data, clean)
    assert source.bit_generator.state == before
    m.train()
    with weight_noise(m, 0.1, source):
        first = m(X).data
    with weight_noise(m, 0.1, source):
        second = m(X).data
    assert (first != clean).all()
    assert (first != second).all()
    np.testing.assert_array_equal(m(X).data, clean)


def test_std_0_adds_nothing_and_draws_nothing():
    m = model()
    clean = m(X).data
    with weight_noise(m, 0.0):
        np.testing.assert_array_equal(m(X).data, clean)


# ---- which parameters --------------------------------------------------------------------------


def test_weight_matrices_get_noise_and_biases_and_vectors_do_not():
    m = Sequential(Linear(D, H, rng=rng()), IndRNN(H, H, rng=rng()))
    before = m.state_dict()
    with weight_noise(m, 0.1, rng()):
        changed = {name for name, x in m.named_parameters() if (x.data != before[name]).all()}
        same = {name for name, x in m.named_parameters() if (x.data == before[name]).all()}
    assert changed == {"0.W", "1.W_ih"}
    assert changed | same == set(before)


@pytest.mark.parametrize("include", ["b", ("b",), ["0.b", "2.b"], lambda name: name[-1] == "b"])
def test_patterns_choose_others(include):
    m = model()
    before = m.state_dict()
    with weight_noise(m, 0.1, rng(), include):
        changed = {name for name, x in m.named_parameters() if (x.data != before[name]).any()}
    assert changed == {"0.b", "2.b"}


def test_a_parameter_shared_between_two_places_gets_one_noise():
    first, second = Linear(D, D, rng=rng()), Linear(D, D, rng=rng())
    second.W = first.W
    with weight_noise(Sequential(first, second), 0.1, rng()):
        assert second.W.data is first.W.data


# ---- gradients ---------------------------------------------------------------------------------


def by_hand(W, b, V, c):
    """Gradients of Σ DY ∘ (tanh(X W + b) V + c) with respect to W, b, V, c."""
    h = np.tanh(X @ W + b)
    da = (DY @ V.T) * (1 - h**2)
    return X.T @ da, da.sum(axis=0), h.T @ DY, DY.sum(axis=0)


@pytest.mark.parametrize("is_backward_inside", [True, False])
def test_gradients_land_on_the_parameters_and_are_those_at_the_noisy_point(is_backward_inside):
    m = model()
    parameters, arrays = list(m.parameters()), [x.data for x in m.parameters()]
    values = m.state_dict()
    with weight_noise(m, 0.5, rng()):
        y = m(X)
        noisy = [np.array(x.data) for x in parameters]
        if is_backward_inside:
            y.backward(DY)
    if not is_backward_inside:
        y.backward(DY)
    for x, expected, clean in zip(parameters, by_hand(*noisy), by_hand(*arrays), strict=True):
        np.testing.assert_allclose(x.grad, expected, rtol=1e-12)
        assert (x.grad != clean).any() or x is parameters[-1]  # dc does not depend on any weight
    for x, array in zip(m.parameters(), arrays, strict=True):
        assert x.data is array
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, values[name])


def test_gradients_are_those_of_the_clean_weights_at_a_fixed_noise_by_central_differences():
    m, eps = model(), 1e-6

    def loss():
        with weight_noise(m, 0.5, rng(5)):
            return (m(X) * DY).sum()

    loss().backward()
    for x in m.parameters():
        measured = np.empty_like(x.data)
        for index in np.ndindex(x.shape):
            clean = x.data[index]
            sides = []
            for side in (clean + eps, clean - eps):
                x.data[index] = side
                sides.append(loss().item())
            x.data[index] = clean
            measured[index] = (sides[0] - sides[1]) / (2 * eps)
        # The difference of two sums near 1 over 2 eps: rounding of 1e-16 / 1e-6 = 1e-10, some tens.
        np.testing.assert_allclose(x.grad, measured, rtol=1e-5, atol=1e-8)


# ---- the end of the block ----------------------------------------------------------------------


def test_weights_come_back_after_an_error():
    m = model()
    arrays = [x.data for x in m.parameters()]
    with pytest.raises(KeyError, match="mine"), weight_noise(m, 0.1, rng()):
        raise KeyError("mine")
    assert all(x.data is array for x, array in zip(m.parameters(), arrays, strict=True))


def test_blocks_nest():
    layer = Linear(100, 200, rng=rng())
    clean, source = layer.W.data, rng()
    with weight_noise(layer, 0.3, source):
        outer = layer.W.data
        with weight_noise(layer, 0.4, source):
            assert (layer.W.data - clean).std() == pytest.approx(0.5, rel=0.03)
        assert layer.W.data is outer
    assert layer.W.data is clean


@pytest.mark.parametrize("lr", [0.1, 1e-8])
def test_an_optimisers_step_inside_is_refused_and_not_kept(lr):
    m = model()
    values = m.state_dict()
    optimizer = SGD(m.named_parameters(), lr=lr, lr_factors={"b": 0.0})
    with (  # noqa: PT012  (the error comes at the end of the inner block)
        pytest.raises(RuntimeError, match=r"weight_noise: 0\.W, 2\.W changed inside the block"),
        weight_noise(m, 0.1, rng()),
    ):
        m(X).backward(DY)
        optimizer.step()
    for name, value in m.state_dict().items():
        np.testing.assert_array_equal(value, values[name])


def test_a_change_below_the_rounding_of_a_float32_sum_is_seen():
    layer = Linear(200, 300, rng=rng(), dtype=np.float32)
    with pytest.raises(RuntimeError, match="W changed inside"), weight_noise(layer, 1.0, rng()):
        layer.W.data.flat[np.abs(layer.W.data).argmin()] += 1e-6


def test_writes_that_leave_the_sum_as_it_was_are_seen():
    def swap(W):
        W[0, 0], W[0, 1] = W[0, 1], W[0, 0]

    def below_the_rounding_of_the_sum(W):
        W[np.unravel_index(np.abs(W).argmin(), W.shape)] *= 1 + 1e-15

    for write in (swap, below_the_rounding_of_the_sum):
        layer = Linear(20, 30, rng=rng(), dtype=np.float64)
        with pytest.raises(RuntimeError, match="W changed inside"), weight_noise(layer, 1.0, rng()):
            write(layer.W.data)


def test_weights_that_are_nan_are_not_taken_for_changed_ones():
    layer = Linear(2, 2, rng=rng())
    layer.W.data[:] = np.nan
    with weight_noise(layer, 0.1, rng()):
        assert np.isnan(layer.W.data).all()


@pytest.mark.parametrize(
    ("std", "source", "include", "error", "message"),
    [
        (-0.1, rng(), "W", ValueError, "weight_noise: std is -0.1"),
        (math.nan, rng(), "W", ValueError, "std is nan"),
        ("large", rng(), "W", TypeError, "std is 'large', expected a number"),
        (0.1, None, "W", TypeError, r"weight_noise in training .*: rng is None, expected a gen"),
        (0.1, rng(), "W_hh", ValueError, r"include: 'W_hh' matches none of 0\.W, 0\.b, 2\.W"),
        (0.1, rng(), (), ValueError, "include is empty"),
    ],
)
def test_bad_input_is_refused(std, source, include, error, message):
    with pytest.raises(error, match=message), weight_noise(model(), std, source, include):
        pass
