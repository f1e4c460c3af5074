"""Reductions and cumulative sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import ops
from nnseq.tensor import Tensor, grad
from tests.ops.check import check_op, compare_with_torch, normal
from tests.strategies import arrays, shapes

NUMPYS = {"sum": np.sum, "mean": np.mean, "var": np.var, "max": np.max, "min": np.min}


@st.composite
def shape_and_axis(draw, zero):
    shape = draw(shapes(zero=zero))
    one = st.integers(-len(shape), len(shape) - 1) if shape else st.none()
    some = st.sets(st.sampled_from(range(len(shape)))).map(tuple) if shape else st.just(())
    return shape, draw(st.one_of(st.none(), one, some))


@pytest.mark.parametrize("name", [*NUMPYS, "logsumexp"])
@given(data=st.data())
def test_reduction(name, data):
    shape, axis = data.draw(shape_and_axis(zero=name == "sum"))
    x = data.draw(arrays(shape, distinct=name in ("max", "min")))
    keepdims = data.draw(st.booleans())
    check_op(lambda x: getattr(ops, name)(x, axis, keepdims), x)
    if name in NUMPYS:
        expected = NUMPYS[name](x, axis=axis, keepdims=keepdims)
    else:
        expected = np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))
    np.testing.assert_allclose(getattr(ops, name)(x, axis, keepdims), expected, atol=1e-13)


@given(st.data())
def test_cumsum(data):
    x = data.draw(arrays(shapes(min_dims=1)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    check_op(lambda x: ops.cumsum(x, axis), x)
    check_op(lambda x: ops.cumsum(x, axis, reverse=True), x)
    np.testing.assert_array_equal(ops.cumsum(x, axis), np.cumsum(x, axis))
    backwards = np.flip(np.cumsum(np.flip(x, axis), axis), axis)
    np.testing.assert_array_equal(ops.cumsum(x, axis, reverse=True), backwards)


@pytest.mark.parametrize("name", ["mean", "var", "max", "min", "logsumexp"])
def test_an_empty_axis_is_refused_by_name_and_other_empty_axes_work(name):
    x = np.ones((3, 0, 2))
    with pytest.raises(ValueError, match=rf"{name}: shape \(3, 0, 2\) has no entries along axis 1"):
        getattr(ops, name)(x, 1)
    assert getattr(ops, name)(x, 2).shape == (3, 0)


def test_entries_that_tie_share_the_gradient():
    x = Tensor(np.array([[1.0, 2.0, 2.0], [5.0, 5.0, 5.0]]), True)
    np.testing.assert_allclose(
        grad(ops.max(x, 1), x, np.array([1.0, 3.0]))[0], [[0, 0.5, 0.5], [1, 1, 1]]
    )


def test_nan_comes_through_max_and_logsumexp():
    x = Tensor(np.array([1.0, np.nan, 2.0]), True)
    y = ops.max(x)
    assert np.isnan(y.item())
    np.testing.assert_array_equal(grad(y, x)[0], [0, 1, 0])
    assert np.isnan(ops.logsumexp(x).item())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logsumexp_at_large_and_infinite_inputs(dtype):
    inf = np.inf
    x = np.array([[1e4, 1e4], [-1e4, -1e4], [1e4, -1e4], [-inf, 3], [-inf, -inf]], dtype)
    x = Tensor(x, True)
    y = ops.logsumexp(x, 1)
    log2 = np.log(2)
    np.testing.assert_allclose(y.data, [1e4 + log2, -1e4 + log2, 1e4, 3, -inf], rtol=1e-7)
    dx = grad(y, x, np.ones(5, dtype))[0]
    np.testing.assert_allclose(dx, [[0.5, 0.5], [0.5, 0.5], [1, 0], [0, 1], [0, 0]], atol=2e-3)
    assert ops.logsumexp(np.array([inf, 0], dtype)) == inf


def test_float32_sums_of_many_rows_are_accurate():
    x = np.random.default_rng(0).standard_normal((100_003, 3)).astype(np.float32) + np.float32(1)
    exact = x.astype(np.float64).sum(0)
    ours = ops.sum(x, 0)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, exact, rtol=1e-6)
    kept = ops.sum(x.reshape(-1, 1, 3), (0, 1), keepdims=True)
    np.testing.assert_allclose(kept, [[exact]], rtol=1e-6)


def test_parity_with_torch():
    (x,) = normal(0, (3, 4, 5))
    compare_with_torch(
        lambda x: (ops.logsumexp(x, (0, 2)), ops.var(x, 1), ops.cumsum(x, 2), ops.max(x, 0)),
        lambda torch, x: (
            torch.logsumexp(x, (0, 2)),
            torch.var(x, 1, correction=0),
            torch.cumsum(x, 2),
            torch.amax(x, 0),
        ),
        x,
    )


def test_bad_axes_are_refused():
    with pytest.raises(ValueError, match=r"sum: got axis 2, expected one in \[-2, 2\)"):
        ops.sum(np.ones((2, 3)), 2)
    with pytest.raises(ValueError, match=r"mean: got axis \(0, -2\), which names an axis twice"):
        ops.mean(np.ones((2, 3)), (0, -2))
    with pytest.raises(ValueError, match="cumsum: got axis -3"):
        ops.cumsum(np.ones((2, 3)), -3)
