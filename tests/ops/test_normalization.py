"""Layer norm and batch norm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import backend, ops
from nnseq.tensor import Tensor, grad
from tests.ops.check import check_op, compare_with_torch, normal
from tests.strategies import arrays, integers, shapes

EPS = 0.1  # large enough that differences of 1e-6 measure the derivative where the variance is 0


KERNELS = ["reference", "numba"]


@pytest.fixture(params=KERNELS)
def each_kernel(request):
    with backend.use_kernels(request.param):
        yield


@given(st.data())
def test_layer_norm(data):
    D = data.draw(st.integers(1, 4))
    x = data.draw(arrays((*data.draw(shapes(max_dims=2, max_size=6)), D)))
    gain, bias = data.draw(arrays((D,))), data.draw(arrays((D,)))
    check_op(lambda *args: ops.layer_norm(*args, eps=EPS), x, gain, bias)
    x_hat = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPS)
    got = ops.layer_norm(x, gain, bias, eps=EPS)
    np.testing.assert_allclose(got, x_hat * gain + bias, atol=1e-13)


@st.composite
def batch_norm_case(draw):
    T, B, D = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(0, 2))
    mask = None
    if draw(st.booleans()):
        mask = draw(integers((T, B), 0, 2))
        mask[:, draw(st.integers(0, B - 1))] = 1  # somebody is there at every step
    return draw(arrays((T, B, D))), draw(arrays((D,))), draw(arrays((D,))), mask


@pytest.mark.parametrize("kernels", KERNELS)  # @given takes no fixture that lasts for one test
@given(batch_norm_case(), st.booleans())
def test_batch_norm(kernels, case, per_step):
    x, gain, bias, mask = case

    def f(*args):
        with backend.use_kernels(kernels):
            return ops.batch_norm(*args, mask=mask, per_step=per_step, eps=EPS)

    check_op(f, x, gain, bias)
    axis = 1 if per_step else (0, 1)
    w = np.ones(x.shape[:2]) if mask is None else mask
    w = (w / w.sum(axis, keepdims=True))[..., None]
    m = (w * x).sum(axis, keepdims=True)
    v = (w * (x - m) ** 2).sum(axis, keepdims=True)
    y, mean, var = f(x, gain, bias)
    np.testing.assert_allclose(y, (x - m) / np.sqrt(v + EPS) * gain + bias, atol=1e-13)
    np.testing.assert_allclose(mean, m.squeeze(axis), atol=1e-13)
    np.testing.assert_allclose(var, v.squeeze(axis), atol=1e-13)


@pytest.mark.usefixtures("each_kernel")
def test_batch_norm_of_a_matrix():
    x, gain, bias = normal(0, (5, 3), (3,), (3,))
    check_op(ops.batch_norm, x, gain, bias)


@given(st.data())
def test_batch_norm_eval(data):
    T, B, D = (data.draw(st.integers(0, 3)) for _ in range(3))
    per_step = data.draw(st.booleans())
    x, gain, bias = (data.draw(arrays(shape)) for shape in ((T, B, D), (D,), (D,)))
    kept = (T, D) if per_step else (D,)
    mean, var = data.draw(arrays(kept)), data.draw(arrays(kept, 0.1, 2))
    check_op(lambda *args: ops.batch_norm_eval(*args, eps=EPS), x, gain, bias, mean, var)


@pytest.mark.usefixtures("each_kernel")
@pytest.mark.parametrize("per_step", [False, True])
def test_evaluation_with_the_batchs_own_statistics_is_training(per_step):
    x, gain, bias = normal(0, (4, 5, 3), (3,), (3,))
    y, mean, var = ops.batch_norm(x, gain, bias, per_step=per_step)
    np.testing.assert_allclose(ops.batch_norm_eval(x, gain, bias, mean, var), y, atol=1e-13)


@pytest.mark.usefixtures("each_kernel")
def test_padded_entries_have_no_part_in_the_statistics():
    x, gain, bias = normal(0, (4, 5, 3), (3,), (3,))
    mask = np.ones((4, 5), bool)
    mask[2:, 3] = mask[3, 0] = False
    other = np.where(mask[..., None], x, 1e6)
    first, second = (ops.batch_norm(z, gain, bias, mask=mask) for z in (x, other))
    np.testing.assert_array_equal(first[0][mask], second[0][mask])
    np.testing.assert_array_equal(first[1:], second[1:])


@pytest.mark.usefixtures("each_kernel")
@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308])
@pytest.mark.parametrize("create_graph", [False, True])
def test_nan_and_huge_numbers_at_padded_steps_stay_there(create_graph, value, per_step):
    x, gain, bias = normal(0, (4, 5, 3), (3,), (3,))
    mask = np.ones((4, 5), bool)
    mask[2:, 3] = mask[3, 0] = False
    dy, dmean, dvar = normal(1, x.shape, *[(4, 3) if per_step else (3,)] * 2)
    dy[~mask] = 0
    results = []
    for padding in (0.0, value):
        leaves = [Tensor(np.where(mask[..., None], x, padding), True)]
        leaves += [Tensor(gain, True), Tensor(bias, True)]
        with np.errstate(over="ignore"):  # y at padded steps may be infinite
            ys = ops.batch_norm(*leaves, mask=mask, per_step=per_step)
            found = grad(ys, leaves, [dy, dmean, dvar], create_graph=create_graph)
        if create_graph:
            found = [*(d.data for d in found), *grad(found[0], leaves[1], dy)]
        results.append([ys[0].data[mask], ys[1].data, ys[2].data, *found])
    for clean, poisoned in zip(*results, strict=True):
        np.testing.assert_array_equal(poisoned, clean)
        assert np.isfinite(clean).all()


@pytest.mark.usefixtures("each_kernel")
def test_a_large_mean_costs_no_precision():
    x = np.random.default_rng(0).standard_normal((2000, 50, 3)) + 100
    x32 = x.astype(np.float32)
    ones, zeros = np.ones(3, np.float32), np.zeros(3, np.float32)
    y, mean, var = ops.batch_norm(x32, ones, zeros)
    np.testing.assert_allclose(mean, x.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(var, x.var((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(y, (x - x.mean((0, 1))) / x.std((0, 1)), atol=1e-4)


@pytest.mark.usefixtures("each_kernel")
@pytest.mark.parametrize("value", [1e4, -1e4, 0.0, 5e-324])
def test_constant_inputs_give_the_bias(value):
    x, bias = np.full((3, 2, 4), value), np.arange(4.0)
    for y in (ops.layer_norm(x, bias, bias), ops.batch_norm(x, bias, bias)[0]):
        np.testing.assert_allclose(y, np.broadcast_to(bias, x.shape), atol=1e-8)


def test_layer_norm_parity_with_torch():
    compare_with_torch(
        ops.layer_norm,
        lambda torch, x, gain, bias: torch.nn.functional.layer_norm(x, (5,), gain, bias),
        *normal(0, (4, 3, 5), (5,), (5,)),
    )


@pytest.mark.usefixtures("each_kernel")
def test_batch_norm_parity_with_torch():
    def theirs(torch, x, gain, bias):
        y = torch.nn.functional.batch_norm(
            x.reshape(-1, 5), None, None, weight=gain, bias=bias, training=True
        )
        return y.reshape(x.shape)

    compare_with_torch(
        lambda *args: ops.batch_norm(*args)[0], theirs, *normal(0, (4, 3, 5), (5,), (5,))
    )


@pytest.mark.usefixtures("each_kernel")
def test_a_loss_of_the_statistics_alone_has_gradients():
    x, gain, bias = normal(0, (4, 3, 2), (2,), (2,))
    x = Tensor(x, True)
    _, mean, _ = ops.batch_norm(x, gain, bias)
    dx = grad(mean, x, np.array([12.0, 24.0]))[0]
    np.testing.assert_allclose(dx, np.broadcast_to([1.0, 2.0], x.shape))


def test_what_does_not_fit_is_refused_by_name():
    x, one = np.ones((4, 3, 2)), np.ones(2)
    with pytest.raises(ValueError, match=r"layer_norm: gain has shape \(3,\), expected \(2,\)"):
        ops.layer_norm(x, np.ones(3), one)
    with pytest.raises(ValueError, match=r"layer_norm: x has shape \(3, 0\), expected .* D > 0"):
        ops.layer_norm(np.ones((3, 0)), np.ones(0), np.ones(0))
    with pytest.raises(ValueError, match="layer_norm: got eps = 0, expected eps > 0"):
        ops.layer_norm(x, one, one, eps=0)
    with pytest.raises(ValueError, match=r"batch_norm: x has shape \(4, 2\), expected \(T"):
        ops.batch_norm(x[:, 0], one, one, per_step=True)
    with pytest.raises(ValueError, match=r"batch_norm: x has shape \(0, 3, 2\), which"):
        ops.batch_norm(x[:0], one, one)
    with pytest.raises(ValueError, match=r"batch_norm: mask has shape \(3, 4\), expected \(4, 3\)"):
        ops.batch_norm(x, one, one, mask=np.ones((3, 4)))
    with pytest.raises(ValueError, match="batch_norm: the mask leaves nothing"):
        ops.batch_norm(x, one, one, mask=np.zeros((4, 3)))
    with pytest.raises(ValueError, match="batch_norm: the mask leaves nothing"):
        ops.batch_norm(x, one, one, mask=np.eye(4)[:, :3], per_step=True)
    with pytest.raises(ValueError, match=r"batch_norm_eval: var has shape \(2,\), exp"):
        ops.batch_norm_eval(x, one, one, x[:, 0], one)
    with pytest.raises(TypeError, match="batch_norm: the operands are float32 and float64"):
        ops.batch_norm(x.astype(np.float32), one, one)
