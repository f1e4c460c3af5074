"""Cross-entropy, binary cross-entropy and squared error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import ops
from nnseq.tensor import Tensor, grad
from tests.ops.check import check_op, compare_with_torch, normal
from tests.strategies import arrays, integers, shapes

reductions = st.sampled_from(["mean", "sum", "none"])


@st.composite
def weights_for(draw, shape):
    """None, a mask of bool or integers, or float weights; not all zero."""
    kind = draw(st.sampled_from([None, bool, np.int64, np.float64]))
    if kind is None:
        return None
    w = draw(integers(shape, 0, 3)).astype(kind)
    if w.size:
        w.flat[0] = 1
    return w


def reduced(loss, weights, reduction):
    w = np.ones(loss.shape) if weights is None else weights.astype(float)
    total = loss * w
    return {"none": total, "sum": total.sum(), "mean": total.sum() / w.sum()}[reduction]


@given(st.data())
def test_cross_entropy(data):
    shape = data.draw(shapes(max_dims=2, max_size=6, zero=False))
    V = data.draw(st.integers(1, 5))
    a, target = data.draw(arrays((*shape, V))), data.draw(integers(shape, 0, V))
    options = {"weights": data.draw(weights_for(shape)), "reduction": data.draw(reductions)}
    check_op(lambda a: ops.cross_entropy(a, target, **options), a)
    p = np.exp(a) / np.exp(a).sum(-1, keepdims=True)
    loss = -np.log(np.take_along_axis(p, np.asarray(target)[..., None], -1)[..., 0])
    got = ops.cross_entropy(a, target, **options)
    np.testing.assert_allclose(got, reduced(loss, **options), atol=1e-13)


@given(st.data())
def test_binary_cross_entropy(data):
    shape = data.draw(shapes(max_size=12, zero=False))
    a, t = data.draw(arrays(shape, -4, 4)), data.draw(arrays(shape, 0, 1))
    options = {"weights": data.draw(weights_for(shape)), "reduction": data.draw(reductions)}
    a = np.where(np.abs(a) < 0.05, 0.1, a)  # |a| in the formula: the kinks cancel, but not exactly
    check_op(lambda a, t: ops.binary_cross_entropy(a, t, **options), a, t)
    p = 1 / (1 + np.exp(-a))
    loss = -t * np.log(p) - (1 - t) * np.log(1 - p)
    got = ops.binary_cross_entropy(a, t, **options)
    np.testing.assert_allclose(got, reduced(loss, **options), atol=1e-12)


@given(st.data())
def test_mse(data):
    shape = data.draw(shapes(max_size=12, zero=False))
    y, target = data.draw(arrays(shape)), data.draw(arrays(shape))
    options = {"weights": data.draw(weights_for(shape)), "reduction": data.draw(reductions)}
    check_op(lambda y, target: ops.mse(y, target, **options), y, target)
    got = ops.mse(y, target, **options)
    np.testing.assert_allclose(got, reduced((y - target) ** 2, **options), atol=1e-13)


def test_an_empty_batch_has_a_sum_but_no_mean():
    y, a = np.ones((0, 3)), np.ones((0, 3, 2))
    target = np.zeros((0, 3), int)
    for loss in (
        lambda r: ops.mse(y, y, reduction=r),
        lambda r: ops.binary_cross_entropy(y, y, reduction=r),
        lambda r: ops.cross_entropy(a, target, reduction=r),
    ):
        assert loss("sum") == 0
        assert loss("none").shape == (0, 3)
        with pytest.raises(ValueError, match=r"the weights sum to 0.0, expected more than 0"):
            loss("mean")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_of_large_and_infinite_logits(dtype):
    big, inf = 1e4, np.inf
    a = [[big, -big, 0], [-big, big, 0], [big, big, big], [-big, -big, -big], [3, -inf, -inf]]
    a = Tensor(np.array(a, dtype), True)
    loss = ops.cross_entropy(a, np.array([0, 0, 1, 2, 0]), reduction="none")
    log3 = np.log(3)
    np.testing.assert_allclose(loss.data, [0, 2e4, log3, log3, 0], rtol=1e-6)
    da = grad(loss, a, np.ones(5, dtype))[0]
    third = [1 / 3] * 3
    expected = np.array([[0, 0, 0], [-1, 1, 0], third, third, [0, 0, 0]])
    expected[2, 1] -= 1
    expected[3, 2] -= 1
    np.testing.assert_allclose(da, expected, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_of_large_logits(dtype):
    a = Tensor(np.array([1e4, -1e4, 1e4, -1e4, 30], dtype), True)
    loss = ops.binary_cross_entropy(a, np.array([1, 0, 0, 1, 1]), reduction="none")
    np.testing.assert_allclose(loss.data, [0, 0, 1e4, 1e4, np.exp(-30)], rtol=1e-6)
    da = grad(loss, a, np.ones(5, dtype))[0]
    np.testing.assert_allclose(da, [0, 0, 1, -1, 0], atol=1e-7)


def test_logits_in_any_layout_have_their_gradient_written():
    a = np.asfortranarray(normal(0, (2, 4, 3))[0])
    target = np.array([[0, 2, 1, 1], [2, 2, 0, 1]])
    x = Tensor(a, True)
    p = np.exp(a) / np.exp(a).sum(-1, keepdims=True)
    da = grad(ops.cross_entropy(x, target, reduction="sum"), x)[0]
    np.testing.assert_allclose(da, p - np.eye(3)[target])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [bool, np.int64, np.float64, Tensor])
def test_weights_of_any_kind_leave_the_dtype(kind, dtype):
    w = np.array([1, 0, 1])
    w = Tensor(w) if kind is Tensor else w.astype(kind)
    y, a = np.ones(3, dtype), np.ones((3, 4), dtype)
    assert ops.mse(y, y, weights=w).dtype == dtype
    assert ops.binary_cross_entropy(y, y, weights=w).dtype == dtype
    assert ops.cross_entropy(a, np.array([0, 1, 3]), weights=w).dtype == dtype
    assert ops.cross_entropy(Tensor(a, True), Tensor(np.array([0, 1, 3])), weights=w).dtype == dtype


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", [ops.mse, ops.binary_cross_entropy])
def test_a_padding_mask_leaves_out_all_losses_of_a_step(loss, reduction):
    T, B, D = 3, 2, 4
    y, target = normal(0, (T, B, D), (T, B, D))
    target = 1 / (1 + np.exp(-target))
    mask = np.arange(T)[:, None] < [3, 1]
    each = loss(y, target, reduction="none")
    got = loss(y, target, weights=mask, reduction=reduction)
    kept = each[mask]
    zeros = np.where(mask[..., None], each, 0)
    expected = {"mean": kept.mean(), "sum": kept.sum(), "none": zeros}[reduction]
    np.testing.assert_allclose(got, expected, rtol=1e-13)
    other = np.where(mask[..., None], y, 9.0)
    np.testing.assert_allclose(loss(other, target, weights=mask, reduction=reduction), expected)
    check_op(lambda y: loss(y, target.astype(y.dtype), weights=mask, reduction=reduction), y)


def test_a_padding_mask_of_cross_entropy_counts_valid_steps_only():
    T, B, V = 4, 3, 5
    (a,) = normal(0, (T, B, V))
    target = np.random.default_rng(1).integers(0, V, (T, B))
    mask = np.arange(T)[:, None] < [4, 1, 2]
    right = np.mean([ops.cross_entropy(a[t, b], target[t, b]) for t, b in np.argwhere(mask)])
    np.testing.assert_allclose(ops.cross_entropy(a, target, weights=mask), right, rtol=1e-13)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("axes", [1, 2])
def test_weights_of_the_first_axes_that_are_learnt_have_a_gradient(axes, reduction):
    shape = (3, 2, 4)
    y, target, w = normal(0, shape, shape, shape[:axes])
    check_op(
        lambda y, w: ops.mse(y, target.astype(y.dtype), weights=w * w, reduction=reduction), y, w
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weights_that_are_learnt_have_a_gradient(reduction):
    y, target, w = normal(0, (3, 2), (3, 2), (3, 2))
    check_op(
        lambda y, w: ops.mse(y, target.astype(y.dtype), weights=w, reduction=reduction), y, w * w
    )


def test_parity_with_torch():
    a, b = normal(0, (4, 5), (4, 5))
    target, t = np.array([0, 4, 4, 2]), np.random.default_rng(1).random((4, 5))
    compare_with_torch(
        lambda a, b: (
            ops.cross_entropy(a, target),
            ops.cross_entropy(b, target, reduction="none"),
            ops.binary_cross_entropy(a, t),
            ops.mse(a, b),
        ),
        lambda torch, a, b: (
            torch.nn.functional.cross_entropy(a, torch.tensor(target)),
            torch.nn.functional.cross_entropy(b, torch.tensor(target), reduction="none"),
            torch.nn.functional.binary_cross_entropy_with_logits(a, torch.tensor(t)),
            torch.nn.functional.mse_loss(a, b),
        ),
        a,
        b,
    )


def test_what_does_not_fit_is_refused_by_name():
    a, y, target = np.ones((2, 3)), np.ones(2), np.array([0, 2])
    with pytest.raises(ValueError, match="cross_entropy: target has entries from 0 to 3"):
        ops.cross_entropy(a, np.array([0, 3]))
    with pytest.raises(ValueError, match="cross_entropy: target has entries from -100 to 2"):
        ops.cross_entropy(a, np.array([-100, 2]))
    with pytest.raises(TypeError, match="cross_entropy: target has dtype float64"):
        ops.cross_entropy(a, target * 1.0)
    with pytest.raises(ValueError, match=r"cross_entropy: target has shape \(1,\), exp.* \(2,\)"):
        ops.cross_entropy(a, target[:1])
    with pytest.raises(ValueError, match=r"cross_entropy: a has shape \(2, 0\)"):
        ops.cross_entropy(a[:, :0], target)
    with pytest.raises(ValueError, match="cross_entropy: got reduction 'avg', expected one of"):
        ops.cross_entropy(a, target, reduction="avg")
    with pytest.raises(ValueError, match=r"mse: weights has shape \(3,\), expected \(2,\)"):
        ops.mse(y, y, weights=np.ones(3))
    with pytest.raises(ValueError, match=r"weights has shape \(3,\), .* \(2, 3\) or its first"):
        ops.mse(a, a, weights=np.ones(3))
    with pytest.raises(ValueError, match=r"mse: weights has shape \(2, 1\), expected \(2, 3\)"):
        ops.mse(a, a, weights=np.ones((2, 1)))
    with pytest.raises(ValueError, match="mse: the weights sum to 0"):
        ops.mse(y, y, weights=np.zeros(2))
    with pytest.raises(ValueError, match=r"mse: target has shape \(2, 1\), expected \(2,\)"):
        ops.mse(y, y[:, None])
    with pytest.raises(ValueError, match=r"binary_cross_entropy: target has shape \(3,\)"):
        ops.binary_cross_entropy(y, np.ones(3))
    with pytest.raises(TypeError, match="binary_cross_entropy: target is a list, expected"):
        ops.binary_cross_entropy(y, [0, 1])
