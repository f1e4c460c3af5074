"""The unitary RNN: against a dense complex matrix, norms, modReLU, padding, gradients."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.gradcheck import gradcheck, gradcheck_directional, gradgradcheck
from nnseq.nn import Constant, Normal, build, describe
from nnseq.nn.unitary_rnn import UnitaryMatrix, UnitaryRNN, modrelu
from nnseq.optim import RMSProp
from nnseq.tensor import Tensor

from ..strategies import seeds
from .functional import as_function

T, B, D, H = 4, 3, 2, 5
MASK = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 1]], bool)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def make(seed=0, **options):
    options = {"b_init": Normal(0.5), "dtype": np.float64} | options
    return UnitaryRNN(D, H, rng=np.random.default_rng(seed), **options)


def pair(z):
    return z.real.copy(), z.imag.copy()


def joined(z):
    return z[0].data + 1j * z[1].data


def dense(W):
    """W as a complex matrix that multiplies columns, factor by factor."""
    size, omega = W.size, W.omega.data
    j = np.arange(size)
    F = np.exp(-2j * np.pi * np.outer(j, j) / size) / np.sqrt(size)
    D1, D2, D3 = (np.diag(np.exp(1j * w)) for w in omega)
    v = W.v_re.data + 1j * W.v_im.data
    R1, R2 = (np.eye(size) - 2 * np.outer(u, u.conj()) / np.vdot(u, u) for u in v)
    P = np.eye(size)[W.order]
    return D3 @ R2 @ F.conj().T @ D2 @ P @ R1 @ F @ D1


def dense_rnn(x, layer, h0, mask):
    """The layer with complex numbers and a dense W."""
    W, b = dense(layer.W), layer.b.data
    V = layer.W_ih.data[:, :H] + 1j * layer.W_ih.data[:, H:]
    h, ys = h0[:, :H] + 1j * h0[:, H:], []
    for t in range(len(x)):
        z = h @ W.T + x[t] @ V
        size, angle = np.abs(z), np.angle(z)
        h = np.where(mask[t][:, None], np.maximum(size + b, 0) * np.exp(1j * angle), h)
        ys.append(mask[t][:, None] * np.hstack([h.real, h.imag]))
    return np.stack(ys), np.hstack([h.real, h.imag])


# ---- the matrix --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_the_product_is_that_of_the_seven_factors(size):
    W = UnitaryMatrix(size, rng=np.random.default_rng(0), dtype=np.float64)
    z = draw(1, B, size) + 1j * draw(2, B, size)
    np.testing.assert_allclose(joined(W(pair(z))), z @ dense(W).T, rtol=0, atol=1e-13)


def norms(re, im):
    return np.sqrt((np.float64(re) ** 2 + np.float64(im) ** 2).sum(-1))


def worst_change_of_norm(W):
    """Of 1000 random vectors, relative."""
    re, im = draw(5, 2, 1000, W.size)
    y = W((re, im))
    return np.abs(norms(y[0].data, y[1].data) / norms(re, im) - 1).max()


def test_w_keeps_every_norm_before_and_after_100_steps_of_rmsprop():
    layer = UnitaryRNN(D, 64, rng=np.random.default_rng(0), dtype=np.float64)
    start = dense(layer.W)
    assert worst_change_of_norm(layer.W) < 1e-12
    optimizer, rng = RMSProp(layer.named_parameters(), 1e-2), np.random.default_rng(1)
    for _ in range(100):
        optimizer.zero_grad()
        y, _ = layer(rng.normal(size=(3, B, D)))
        y.backward(rng.normal(size=y.shape))
        optimizer.step()
    trained = dense(layer.W)
    assert np.abs(trained - start).max() > 0.1
    assert worst_change_of_norm(layer.W) < 1e-12
    np.testing.assert_allclose(trained.conj().T @ trained, np.eye(64), rtol=0, atol=1e-12)


def test_w_is_complex_and_no_two_factors_are_one():
    W = UnitaryMatrix(H, rng=np.random.default_rng(0), dtype=np.float64)
    assert np.abs(dense(W).imag).max() > 0.1
    before = dense(W)
    for name in ("omega", "v_re", "v_im"):
        for row in range(len(getattr(W, name).data)):
            changed = UnitaryMatrix(H, rng=np.random.default_rng(0), dtype=np.float64)
            getattr(changed, name).data[row, 1] += 0.5
            z = pair(draw(1, B, H) + 1j * draw(2, B, H))
            assert np.abs(joined(changed(z)) - joined(W(z))).max() > 1e-3
    np.testing.assert_array_equal(dense(W), before)


@given(size=st.integers(1, 33), seed=seeds, dtype=st.sampled_from([np.float32, np.float64]))
def test_w_is_unitary_at_any_size_forwards_and_backwards(size, seed, dtype):
    rng = np.random.default_rng(seed)
    W = UnitaryMatrix(size, rng=rng, dtype=dtype)
    z, dy = rng.normal(size=(2, 2, B, size)).astype(dtype)
    re, im = (Tensor(x, requires_grad=True) for x in z)
    y = W((re, im))
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    assert y[0].dtype == dtype
    np.testing.assert_allclose(norms(*(x.data for x in y)), norms(*z), rtol=tolerance)
    (y[0] * dy[0] + y[1] * dy[1]).sum().backward()
    np.testing.assert_allclose(norms(re.grad, im.grad), norms(*dy), rtol=tolerance)


def test_the_permutation_is_a_bijection_and_saved():
    W = UnitaryMatrix(50, rng=np.random.default_rng(0))
    assert sorted(W.order) == list(range(50))
    assert (W.order != np.arange(50)).any()
    assert W.state_dict()["order"].dtype == np.int64
    assert W.num_parameters() == 7 * 50


# ---- modReLU -----------------------------------------------------------------------------------


def test_modrelu_shortens_and_keeps_the_direction():
    z = np.array([3 + 4j, 3 + 4j, -1j, 0.5 + 0j])
    y = joined(modrelu(pair(z), Tensor(np.array([1.0, -2.0, -0.25, -0.75]))))
    np.testing.assert_allclose(y, [3.6 + 4.8j, 1.8 + 2.4j, -0.75j, 0], rtol=1e-15)


def test_modrelu_is_the_identity_without_a_bias():
    z = draw(1, B, H) + 1j * draw(2, B, H)
    np.testing.assert_allclose(joined(modrelu(pair(z), Tensor(np.zeros(H)))), z, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-14, 1e-7])
def test_modrelu_near_zero_has_a_finite_derivative(size, dtype):
    re, im, b = (
        Tensor(np.array(x, dtype), requires_grad=True)
        for x in ([size] * 3, [0.0] * 3, [-0.5, 0.0, 0.5])
    )
    y = modrelu((re, im), b)
    dy = np.array([2.0, 3.0, 5.0], dtype)
    y[0].backward(dy, retain_graph=True)
    assert all(np.isfinite(x.grad).all() for x in (re, im, b))
    assert np.isfinite(y[0].data).all()
    np.testing.assert_array_equal(y[0].data[:2], [0.0, dtype(size)])
    np.testing.assert_allclose(re.grad[:2], [0, 3], rtol=1e-6)  # b = 0: the identity
    np.testing.assert_allclose(b.grad[0], 0)
    y[1].backward(dy)
    np.testing.assert_allclose(im.grad[:2], [0, 3], rtol=1e-6)
    if size == 0:
        np.testing.assert_array_equal(b.grad, 0)
        assert y[0].data[2] == 0


def test_gradients_of_modrelu():
    z, b = (2 * draw(1, B, H), 2 * draw(2, B, H)), draw(3, H)
    assert ((np.hypot(*z) + b > 0).any(), (np.hypot(*z) + b < 0).any()) == (True, True)
    gradcheck(lambda *x: modrelu(x[:2], x[2]), *z, b, rng=np.random.default_rng(4))
    gradgradcheck(lambda *x: modrelu(x[:2], x[2]), *z, b, rng=np.random.default_rng(4))


# ---- the layer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, MASK])
def test_it_is_the_recurrence_with_a_dense_complex_matrix(mask):
    layer, x, h0 = make(b_init=Normal(1.0)), draw(1, T, B, D), draw(2, B, 2 * H)
    y, h_T = layer(x, h0, mask=mask)
    expected, last = dense_rnn(x, layer, h0, np.ones((T, B), bool) if mask is None else mask)
    np.testing.assert_allclose(y.data, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(h_T.data, last, rtol=0, atol=1e-12)
    assert (np.hypot(last[:, :H], last[:, H:]) == 0).any()  # modReLU has cut some
    assert layer.num_parameters() == 7 * H + 2 * D * H + H + 2 * H


def test_without_a_bias_and_without_input_the_state_keeps_its_norm():
    layer = make(b_init=Constant(0.0))
    y, _ = layer(np.zeros((200, B, D)))
    lengths = np.linalg.norm(y.data, axis=-1)
    np.testing.assert_allclose(lengths, np.linalg.norm(layer.h0.data), rtol=1e-12)


def test_the_state_starts_where_it_was_learned_or_where_it_is_told():
    layer, x = make(), draw(1, T, B, D)
    told = np.tile(layer.h0.data, (B, 1))
    np.testing.assert_array_equal(layer(x)[0].data, layer(x, told)[0].data)
    assert np.abs(layer(x)[0].data - layer(x, 0 * told)[0].data).max() > 0.1


def test_two_halves_with_the_state_carried_are_the_whole():
    layer, x = make(), draw(1, T, B, D)
    whole, last = layer(x)
    first, state = layer(x[:2])
    second, end = layer(x[2:], state)
    np.testing.assert_array_equal(np.concatenate([first.data, second.data]), whole.data)
    np.testing.assert_array_equal(end.data, last.data)


def test_a_padded_sequence_is_what_it_is_alone_whatever_the_padding_holds():
    layer, x, lengths = make(), draw(1, T, B, D), [4, 1, 2]
    for b, n in enumerate(lengths):
        x[n:, b] = [np.nan, np.inf]
    x = Tensor(x, requires_grad=True)
    y, h_T = layer(x, lengths=lengths)
    dy, dh = draw(2, T, B, 2 * H), draw(3, B, 2 * H)
    ((y * dy).sum() + (h_T * dh).sum()).backward()
    total = np.zeros_like(layer.W_ih.data)
    for b, n in enumerate(lengths):
        alone, piece = make(), Tensor(x.data[:n, b : b + 1], requires_grad=True)
        y_b, h_b = alone(piece)
        np.testing.assert_allclose(y.data[:n, b], y_b.data[:, 0], rtol=1e-12)
        np.testing.assert_array_equal(y.data[n:, b], 0)
        np.testing.assert_allclose(h_T.data[b], h_b.data[0], rtol=1e-12)
        ((y_b * dy[:n, b : b + 1]).sum() + (h_b * dh[b : b + 1]).sum()).backward()
        np.testing.assert_allclose(x.grad[:n, b], piece.grad[:, 0], rtol=1e-10)
        np.testing.assert_array_equal(x.grad[n:, b], 0)
        total += alone.W_ih.grad
    np.testing.assert_allclose(layer.W_ih.grad, total, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_initial_values_are_the_papers(dtype):
    layer = UnitaryRNN(30, 4000, rng=np.random.default_rng(0), dtype=dtype)
    bounds = {
        "W.omega": np.pi,
        "W.v_re": 1.0,
        "W.v_im": 1.0,
        "W_ih": np.sqrt(6 / 4030),
        "h0": np.sqrt(3 / 8000),
    }
    for name, parameter in layer.named_parameters():
        values = parameter.data.astype(np.float64)
        assert parameter.dtype == dtype
        if name == "b":
            assert (values == 0).all()
            continue
        s = bounds.pop(name)
        assert 0.99 * s < np.abs(values).max() <= s * (1 + 1e-7)
        assert values.std() == pytest.approx(s / np.sqrt(3), rel=0.03)
        assert values.mean() == pytest.approx(0, abs=0.05 * s)
    assert not bounds
    assert (layer.h0.data**2).sum() == pytest.approx(1, rel=0.05)


def test_gradients_of_every_parameter_the_input_and_the_learned_state():
    layer = make()
    f, parameters = as_function(layer, lambda layer, x: layer(x, mask=MASK[:3]))
    assert len(parameters) == 6
    gradcheck(f, *parameters, draw(6, 3, B, D), rng=np.random.default_rng(7))


def test_gradients_of_a_given_initial_state():
    layer = make()
    gradcheck(layer, draw(6, 3, 2, D), draw(8, 2, 2 * H), rng=np.random.default_rng(7))


@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 4), seed=seeds, is_padded=st.booleans(),
    is_strided=st.booleans(),
)  # fmt: skip
def test_gradients_at_any_size(sizes, seed, is_padded, is_strided):
    T, B, D, H = sizes
    rng = np.random.default_rng(seed)
    layer = UnitaryRNN(D, H, rng=rng, b_init=Normal(0.3), dtype=np.float64)
    lengths = rng.integers(1, T + 1, B) if is_padded else None
    f, parameters = as_function(layer, lambda layer, x, h0: layer(x, h0, lengths=lengths))
    x = rng.normal(size=(T, B, 2 * D))
    x = x[..., ::2] if is_strided else x[..., ::2].copy()
    gradcheck_directional(f, *parameters, x, rng.normal(size=(B, 2 * H)), rng=rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2), (1, 1, 2)])
def test_shapes_and_dtypes_also_of_empty_inputs(shape, dtype):
    y, h_T = make(dtype=dtype)(np.ones(shape, dtype))
    assert (y.shape, h_T.shape) == ((*shape[:2], 2 * H), (shape[1], 2 * H))
    assert (y.dtype, h_T.dtype) == (dtype, dtype)


def test_it_is_made_again_from_its_json_and_its_arrays():
    layer, x = make(3), draw(1, T, B, D)
    again = build(json.loads(json.dumps(describe(layer))), np.random.default_rng(9))
    assert describe(again) == describe(layer)
    assert (again(x)[0].data != layer(x)[0].data).any()
    again.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(again(x)[0].data, layer(x)[0].data)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: UnitaryRNN(0, H, rng=np.random.default_rng(0)),
            ValueError,
            "UnitaryRNN: input_size is 0",
        ),
        (lambda: UnitaryRNN(D, 2.5, rng=np.random.default_rng(0)), TypeError, "hidden_size is 2.5"),
        (lambda: UnitaryRNN(D, H, rng=0), TypeError, "rng is 0, expected a generator"),
        (lambda: make(dtype=np.int32), TypeError, "UnitaryRNN: dtype is int32"),
        (lambda: UnitaryMatrix(0, rng=np.random.default_rng(0)), ValueError, "size is 0"),
        (
            lambda: make()(draw(0, T, B, H)),
            ValueError,
            r"x has shape \(4, 3, 5\), expected \(T, B, D\) with D = 2",
        ),
        (lambda: make()(draw(0, B, D)), ValueError, r"x has shape \(3, 2\)"),
        (lambda: make()([[[1.0, 2.0]]]), TypeError, "x is a list, expected an array or a Tensor"),
        (
            lambda: make()(np.ones((T, B, D), np.int64)),
            TypeError,
            "UnitaryRNN: x has dtype int64, expected float64",
        ),
        (
            lambda: make()(draw(0, T, B, D).astype(np.float32)),
            TypeError,
            "UnitaryRNN: x has dtype float32, expected float64 as the parameters have; convert it",
        ),
        (
            lambda: make()(draw(0, T, B, D), 0.0),
            TypeError,
            r"UnitaryRNN: h0 is a float, expected an array or a Tensor \(3, 10\)",
        ),
        (
            lambda: make()(draw(0, T, B, D), draw(0, B, 2 * H).astype("f4")),
            TypeError,
            "UnitaryRNN: h0 has dtype float32, expected float64 as x has",
        ),
        (lambda: make(W_init=0.1), TypeError, "UnitaryRNN: W_init is 0.1, expected an initializer"),
        (lambda: make(b_init=None), TypeError, "UnitaryRNN: b_init is None, expected an init"),
        (
            lambda: make()(draw(0, T, B, D), draw(0, B, H)),
            ValueError,
            r"h0 has shape \(3, 5\), expected \(B, 2 H\) = \(3, 10\)",
        ),
        (lambda: make()(draw(0, T, B, D), mask=MASK.T), ValueError, r"mask is bool \(3, 4\)"),
        (lambda: make()(draw(0, T, B, D), lengths=[9, 1, 1]), ValueError, "lengths are"),
        (lambda: make().W(draw(0, B, H)), TypeError, r"z is a ndarray, expected a pair \(re, im\)"),
        (
            lambda: make().W((draw(0, B, D), draw(0, B, D))),
            ValueError,
            r"shape \(3, 2\), expected \(..., H\) with H = 5",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
