"""The IndRNN layers: values, initial values, the constraint on u, gradients, refusals."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.backend import use_kernels
from nnseq.gradcheck import gradcheck
from nnseq.nn import (
    Constant,
    IndRNN,
    IndRNNRecurrence,
    Normal,
    Uniform,
    recurrent_bound,
    recurrent_init,
    recurrent_low_bound,
)
from nnseq.optim import Adam
from nnseq.tensor import Tensor

from .functional import as_function

T, B, D, H = 4, 3, 2, 5
ACTS = {"relu": lambda s: np.maximum(s, 0), "tanh": np.tanh, "identity": lambda s: s}
MASK = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 1]], bool)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def make(seed=0, **options):
    wide = {"W_init": Normal(1.0), "b_init": Normal(1.0), "u_init": Uniform(-1, 1)}
    options = wide | {"dtype": np.float64} | options
    return IndRNN(D, H, rng=np.random.default_rng(seed), **options)


def dense_rnn(x, layer, h0, mask):
    """The same layer as an ordinary RNN whose recurrent matrix is diag(u)."""
    h, hs = h0, []
    for t in range(len(x)):
        s = x[t] @ layer.W_ih.data + layer.b.data + h @ np.diag(layer.u.data)
        h = np.where(mask[t][:, None], ACTS[layer.act](s), h)
        hs.append(h)
    return np.stack(hs), h


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("mask", [None, MASK])
def test_it_is_an_rnn_with_a_diagonal_recurrent_matrix(act, mask):
    layer, x, h0 = make(act=act), draw(1, T, B, D), draw(2, B, H)
    h, h_T = layer(x, h0, mask=mask)
    expected, last = dense_rnn(x, layer, h0, np.ones((T, B), bool) if mask is None else mask)
    np.testing.assert_allclose(h.data, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(h_T.data, last, rtol=1e-12, atol=1e-14)
    assert layer.num_parameters() == D * H + H + H


def test_the_state_starts_at_zero_or_where_it_was_learned_or_where_it_is_told():
    x, h0 = draw(1, T, B, D), draw(2, B, H)
    layer = make()
    np.testing.assert_array_equal(layer(x)[0].data, layer(x, np.zeros((B, H)))[0].data)
    learned = make(learn_h0=True)
    assert learned.num_parameters() == layer.num_parameters() + H
    np.testing.assert_array_equal(learned.h0.data, 0)
    learned.h0.data[:] = draw(3, H)
    told = layer(x, np.tile(learned.h0.data, (B, 1)))[0].data
    np.testing.assert_array_equal(learned(x)[0].data, told)
    np.testing.assert_array_equal(learned(x, h0)[0].data, layer(x, h0)[0].data)


def test_two_halves_with_the_state_carried_are_the_whole():
    layer, x = make(), draw(1, T, B, D)
    whole, last = layer(x)
    first, state = layer(x[:2])
    second, end = layer(x[2:], state)
    np.testing.assert_array_equal(np.concatenate([first.data, second.data]), whole.data)
    np.testing.assert_array_equal(end.data, last.data)


def test_reverse_reads_from_the_end_and_padding_comes_first():
    x, h0, lengths = draw(1, T, B, D), draw(2, B, H), np.array([4, 1, 2])
    forwards, backwards = make(), make(reverse=True)
    h, h_T = backwards(x, h0, lengths=lengths)
    for b, n in enumerate(lengths):
        expected, last = forwards(x[:n, b : b + 1][::-1].copy(), h0[b : b + 1])
        np.testing.assert_allclose(h.data[:n, b], expected.data[::-1, 0], rtol=1e-12)
        np.testing.assert_allclose(h_T.data[b], last.data[0], rtol=1e-12)
        assert (h.data[n:, b] == h0[b]).all()


def test_the_recurrence_alone_takes_pre_activations():
    layer, x = make(), draw(1, T, B, D)
    alone = IndRNNRecurrence(H, rng=np.random.default_rng(0), dtype=np.float64)
    alone.u.data[:] = layer.u.data
    a = x @ layer.W_ih.data + layer.b.data
    np.testing.assert_allclose(alone(a)[0].data, layer(x)[0].data, rtol=1e-13)
    assert [name for name, _ in alone.named_parameters()] == ["u"]
    with pytest.raises(ValueError, match=r"IndRNNRecurrence: a has shape .* with H = 5"):
        alone(x)


# ---- initial values ----------------------------------------------------------------------------


def test_bounds_are_the_papers():
    assert recurrent_bound(5000) == pytest.approx(2 ** (1 / 5000), rel=1e-15)
    assert recurrent_bound(20, MAG=5) ** 20 == pytest.approx(5)
    assert recurrent_bound(50, MAG=2, act="tanh") == pytest.approx((2 / 0.9**5) ** (1 / 50))
    assert recurrent_low_bound(5000) ** 5000 == pytest.approx(1 / 2)
    assert recurrent_low_bound(784, MAG=5) ** 784 == pytest.approx(1 / 5)


@pytest.mark.parametrize(
    ("initializer", "low", "high"),
    [
        (None, 0, 1),
        (recurrent_init("relu", 1.2), 0, 1.2),
        (recurrent_init("identity", 1.2), 0, 1.2),
        (recurrent_init("tanh", 1.2), -1.2, 1.2),
        (recurrent_init("tanh", 1.2, 0.9), 0.9, 1.2),
        (
            recurrent_init("relu", recurrent_bound(5000), recurrent_low_bound(5000)),
            2**-2e-4,
            2**2e-4,
        ),
        (Uniform(-0.3, 0.1), -0.3, 0.1),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_u_fills_its_range_and_stays_inside(initializer, low, high, dtype):
    layer = IndRNNRecurrence(4000, rng=np.random.default_rng(0), u_init=initializer, dtype=dtype)
    u = layer.u.data.astype(np.float64)
    assert low <= u.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < u.max() <= high
    assert u.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))


def test_tanh_starts_on_both_sides_of_zero_by_default():
    u = IndRNNRecurrence(100, rng=np.random.default_rng(0), act="tanh").u.data
    assert u.min() < -0.5
    assert u.max() > 0.5


def test_a_normal_start_is_cut_at_the_bound():
    options = {"u_init": Normal(0.2, mean=0.4), "u_bound": 0.7}
    u = IndRNNRecurrence(4000, rng=np.random.default_rng(0), **options).u.data
    assert np.abs(u).max() <= 0.7
    assert (u == u.max()).mean() == pytest.approx(0.0668, abs=0.02)  # beyond 1.5 deviations
    assert np.median(u) == pytest.approx(0.4, abs=0.02)


def test_the_same_generator_gives_the_same_layer():
    a, b, c = make(3).state_dict(), make(3).state_dict(), make(4).state_dict()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
        assert (a[name] != c[name]).all()


# ---- the constraint ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_u_is_within_its_bound_after_every_step_of_the_optimiser(dtype):
    bound = recurrent_bound(5000)
    layer = make(u_bound=bound, dtype=dtype, act="identity")
    assert isinstance(layer.u_bound, float)
    optimizer = Adam(layer.named_parameters(), 1.0)
    x, rng, has_left = draw(1, T, B, D).astype(dtype), np.random.default_rng(2), False
    for _ in range(5):
        optimizer.zero_grad()
        layer(x)[0].backward(rng.normal(size=(T, B, H)).astype(dtype))
        optimizer.step()
        has_left |= bool((np.abs(layer.u.data) > bound).any())
        W = layer.W_ih.data.copy()
        layer.constrain()
        assert np.abs(layer.u.data.astype(np.float64)).max() <= bound  # not even by rounding
        np.testing.assert_array_equal(layer.W_ih.data, W)
    assert has_left
    assert (np.abs(layer.u.data) > 0.999 * bound).any()  # on the bound, not reset to something


def test_without_a_bound_u_moves_freely():
    layer = make()
    layer.u.data[:] = 7
    layer.constrain()
    np.testing.assert_array_equal(layer.u.data, 7)


# ---- gradients ---------------------------------------------------------------------------------

OPTIONS = [{}, {"learn_h0": True}, {"reverse": True}, {"b_init": None}]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("mask", [None, MASK])
def test_gradients_of_every_parameter_and_the_input(act, mask, options):
    layer = make(act=act, **options)
    if layer.h0 is not None:
        layer.h0.data[:] = draw(5, H)
    f, parameters = as_function(layer, lambda layer, x: layer(x, mask=mask))
    assert len(parameters) == len(list(make(**options).named_parameters()))
    gradcheck(f, *parameters, draw(6, T, B, D), rng=np.random.default_rng(7))


@pytest.mark.parametrize("act", ACTS)
def test_gradients_of_a_given_initial_state(act):
    layer = make(act=act)
    f, parameters = as_function(layer, lambda layer, x, h0: layer(x, h0, lengths=[4, 1, 3]))
    inputs = draw(6, T, B, D), draw(8, B, H)
    gradcheck(f, *parameters, *inputs, rng=np.random.default_rng(7))


@given(
    sizes=st.tuples(*[st.integers(1, 6)] * 4), seed=st.integers(0, 10**6),
    reverse=st.booleans(), is_padded=st.booleans(), act=st.sampled_from(["tanh", "identity"]),
)  # fmt: skip
def test_gradients_at_any_size(sizes, seed, reverse, is_padded, act):
    T, B, D, H = sizes
    rng = np.random.default_rng(seed)
    layer = IndRNN(
        D, H, rng=rng, act=act, W_init=Normal(0.5), b_init=Normal(0.5), u_init=Uniform(-1, 1),
        reverse=reverse, dtype=np.float64,
    )  # fmt: skip
    mask = rng.random((T, B)) < 0.6 if is_padded else None
    if is_padded:
        mask[rng.integers(T, size=B), range(B)] = True
    f, parameters = as_function(layer, lambda layer, x, h0: layer(x, h0, mask=mask))
    inputs = rng.normal(size=(T, B, D)), rng.normal(size=(B, H))
    gradcheck(f, *parameters, *inputs, rng=rng)


@given(
    sizes=st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(1, 3), st.integers(1, 9)),
    dtype=st.sampled_from([np.float32, np.float64]), act=st.sampled_from(list(ACTS)),
    is_strided=st.booleans(),
)  # fmt: skip
def test_shapes_and_dtypes_also_of_empty_and_strided_inputs(sizes, dtype, act, is_strided):
    T, B, D, H = sizes
    rng = np.random.default_rng(0)
    layer = IndRNN(D, H, rng=rng, act=act, dtype=dtype)
    x = rng.normal(size=(T, B, 2 * D)).astype(dtype)
    x = x[..., ::2] if is_strided else x[..., ::2].copy()
    h, h_T = layer(x)
    assert (h.shape, h_T.shape, h.dtype, h_T.dtype) == ((T, B, H), (B, H), dtype, dtype)
    if T and B:
        np.testing.assert_array_equal(h.data[-1], h_T.data)


def test_forward_and_backward_hold_x_h_and_three_gradients_and_nothing_else_of_that_size():
    layer = IndRNN(64, 64, rng=np.random.default_rng(0))
    x = Tensor(np.ones((200, 10, 64), np.float32), requires_grad=True)
    dh = np.ones((200, 10, 64), np.float32)
    layer(x)[0].backward(dh)  # the first product of a process imports and finds BLAS
    tracemalloc.start()
    h, _ = layer(x)
    h.backward(dh)
    peak = tracemalloc.get_traced_memory()[1]  # h, da, dx; the pre-activations are gone by then
    tracemalloc.stop()
    assert peak < 3.3 * dh.nbytes


def test_step_clip_bounds_the_gradient_inside_the_recurrence_and_gradcheck_refuses_it():
    layer = make(act="identity", step_clip=0.5)
    x = draw(6, T, B, D)
    a = layer.project(x)
    a.retain_grad()
    layer.recur(a)[0].backward(100 * draw(7, T, B, H))
    assert np.abs(a.grad).max() == 0.5
    f, parameters = as_function(layer, lambda layer, x: layer(x))
    with pytest.raises(ValueError, match=r"step_clip = 0\.5 clips the gradient"):
        gradcheck(f, *parameters, x, rng=np.random.default_rng(0))


@pytest.mark.parametrize("options", [{}, {"reverse": True, "act": "tanh"}])
def test_the_compiled_kernel_gives_the_references_values_and_gradients(options):
    found = {}
    for kernels in ("reference", "numba"):
        layer, x = make(**options), Tensor(draw(6, T, B, D), requires_grad=True)
        with use_kernels(kernels):
            h, h_T = layer(x, mask=MASK)
            (h * h).sum().backward(retain_graph=True)
            h_T.backward(draw(7, B, H))
        found[kernels] = [h.data, x.grad, *(p.grad for p in layer.parameters())]
    for a, b in zip(*found.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: IndRNN(0, H, rng=np.random.default_rng(0)), ValueError, "IndRNN: input_size is 0"),
        (lambda: IndRNN(D, -1, rng=np.random.default_rng(0)), ValueError, "hidden_size is -1"),
        (lambda: IndRNN(D, H, rng=None), TypeError, "rng is None, expected a generator"),
        (lambda: make(act="gelu"), ValueError, "act is 'gelu', expected one of 'relu'"),
        (lambda: make(u_bound=0.0), ValueError, "u_bound is 0.0"),
        (lambda: make(step_clip=-1.0), ValueError, "step_clip is -1.0"),
        (lambda: make(dtype="int32"), TypeError, "dtype is int32"),
        (
            lambda: make()(draw(0, T, B, H)),
            ValueError,
            r"x has shape \(4, 3, 5\), expected .* D = 2",
        ),
        (lambda: make()(draw(0, B, D)), ValueError, r"x has shape \(3, 2\), expected \(T, B, D\)"),
        (lambda: make()([[[1.0, 2.0]]]), TypeError, "x is a list, expected an array or a Tensor"),
        (lambda: make()(draw(0, T, B, D).astype(np.float32)), TypeError, "float32"),
        (lambda: make()(np.ones((T, B, D), np.int64)), TypeError, "int64"),
        (lambda: make()(draw(0, T, B, D), draw(0, H)), ValueError, r"h0 has shape \(5,\)"),
        (lambda: make()(draw(0, T, B, D), mask=MASK.T), ValueError, r"mask is bool \(3, 4\)"),
        (lambda: make()(draw(0, T, B, D), lengths=[9, 1, 1]), ValueError, "lengths are"),
        (lambda: make()(draw(0, T, B, D), lengths=[4, 0, 1]), ValueError, r"numbers in \[1, 4\]"),
        (lambda: make()(draw(0, T, B, D), mask=MASK & [1, 1, 0]), ValueError, "no step of the"),
        (lambda: recurrent_bound(0), ValueError, "seq_len is 0"),
        (lambda: recurrent_bound(10, MAG=-2), ValueError, "MAG is -2"),
        (lambda: recurrent_bound(10, act="sin"), ValueError, "act is 'sin'"),
        (lambda: recurrent_init("relu", 0.5, 0.9), ValueError, "low <= high"),
        (lambda: make(b_init=Constant(1.0), W_init=Uniform(1, 0)), ValueError, "low <= high"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
