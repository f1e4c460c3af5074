"""linear: one op for x W + b."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import ops
from nnseq.tensor import Tensor, grad
from tests.ops.check import check_op, compare_with_torch, normal
from tests.strategies import arrays, shapes


@given(st.data())
def test_linear(data):
    x = data.draw(arrays(shapes(min_dims=1, max_dims=3, max_size=18)))
    H = data.draw(st.integers(0, 4))
    W, b = data.draw(arrays((x.shape[-1], H))), data.draw(arrays((H,)))
    check_op(ops.linear, x, W, b)
    check_op(ops.linear, x, W)
    np.testing.assert_allclose(ops.linear(x, W, b), np.matmul(x, W) + b, atol=1e-12)


def test_parity_with_torch():
    compare_with_torch(
        ops.linear,
        lambda torch, x, W, b: torch.nn.functional.linear(x, W.T, b),
        *normal(0, (4, 3, 2), (2, 5), (5,)),
    )


def test_no_gradient_is_computed_for_an_input_that_needs_none(monkeypatch):
    module = sys.modules["nnseq.ops.linear"]
    matmul, computed = module.matmul, []

    def watched(x, y):
        computed.append(matmul(x, y))
        return computed[-1]

    x, W, b, da = normal(0, (4, 3, 2), (2, 5), (5,), (4, 3, 5))
    parameters = [Tensor(W, True), Tensor(b, True)]
    monkeypatch.setattr(module, "matmul", watched)
    dW, db = grad(ops.linear(x, *parameters), parameters, da)
    assert [product.shape for product in computed] == [W.shape]  # dW, and no dx = da Wᵀ
    np.testing.assert_allclose(dW, np.einsum("tbi,tbh->ih", x, da))
    np.testing.assert_allclose(db, da.sum((0, 1)))


def test_the_gradient_of_the_bias_is_accurate_in_float32():
    da = np.random.default_rng(0).standard_normal((400, 50, 3)).astype(np.float32) + np.float32(1)
    x, W = np.zeros((400, 50, 2), np.float32), np.zeros((2, 3), np.float32)
    b = Tensor(np.zeros(3, np.float32), True)
    (db,) = grad(ops.linear(x, W, b), b, da)
    np.testing.assert_allclose(db, da.astype(np.float64).sum((0, 1)), rtol=1e-6)


def test_what_does_not_fit_is_refused_by_name():
    x, W, b = np.ones((4, 3, 2)), np.ones((2, 5)), np.ones(5)
    with pytest.raises(ValueError, match=r"linear: W has shape \(5, 2\), expected \(I, H\)"):
        ops.linear(x, W.T, b)
    with pytest.raises(ValueError, match=r"linear: b has shape \(2,\), expected \(5,\)"):
        ops.linear(x, W, b[:2])
    with pytest.raises(TypeError, match="linear: the operands are float32 and float64"):
        ops.linear(x.astype(np.float32), W, b)
    with pytest.raises(TypeError, match="linear: x has dtype int64"):
        ops.linear(np.ones((4, 2), np.int64), W, b)
    with pytest.raises(ValueError, match="linear: W has shape"):
        ops.linear(np.array(1.0), W, b)
