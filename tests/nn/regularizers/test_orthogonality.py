"""The orthogonality penalties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq.nn import BatchNorm
from nnseq.nn.initializers import Orthogonal
from nnseq.nn.regularizers import orthogonality_penalty
from nnseq.tensor import Tensor
from tests.ops.check import check_op

NORMS = ["l1", "l2"]


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def by_loops(W, coef, norm, scale):
    """Column by column: their products with each other, and s² on the diagonal."""
    m, total = W.shape[1], 0.0
    for i in range(m):
        for j in range(m):
            e = math.fsum(W[:, i] * W[:, j]) - (scale * scale if i == j else 0)
            total += abs(e) if norm == "l1" else e * e
    return coef * total / (m * m)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 1)])
def test_values(norm, shape):
    W = draw(0, *shape)
    for scale in (1.05, 0.7):
        y = orthogonality_penalty(W, 2.0, norm=norm, scale=scale)
        assert y == pytest.approx(by_loops(W, 2.0, norm, scale), rel=1e-12)


def test_the_squared_one_measures_the_singular_values():
    W = draw(1, 6, 4)
    distance = np.linalg.svd(W, compute_uv=False) ** 2 - 1.05**2
    y = orthogonality_penalty(W, 1.0)
    assert y == pytest.approx((distance**2).sum() / 16, rel=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [None, 1.0, 2.0])
def test_it_is_0_at_an_orthogonal_matrix_of_that_scale_and_only_there(norm, scale):
    options = {"norm": norm} | ({} if scale is None else {"scale": scale})
    Q = Orthogonal(1.05 if scale is None else scale)(np.random.default_rng(0), (6, 4), np.float64)
    assert orthogonality_penalty(Q, 1.0, **options) < 1e-14
    assert orthogonality_penalty(1.1 * Q, 1.0, **options) > 0.01
    assert orthogonality_penalty(Q + 0.3 * draw(2, 6, 4), 1.0, **options) > 0.01


def test_the_blocks_of_a_recurrent_matrix_one_by_one():
    H = 3
    W_hh = Tensor(draw(3, H, 2 * H), requires_grad=True)
    y = orthogonality_penalty(W_hh[:, :H], 1.0) + orthogonality_penalty(W_hh[:, H:], 1.0)
    expected = sum(by_loops(W_hh.data[:, k : k + H], 1.0, "l2", 1.05) for k in (0, H))
    assert y.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_first_and_second_derivatives(norm):
    check_op(lambda W: orthogonality_penalty(W, 3.0, norm=norm), draw(4, 5, 3))


@given(
    columns=st.integers(1, 4), more=st.integers(0, 2), seed=st.integers(0, 10**6),
    norm=st.sampled_from(NORMS),
)  # fmt: skip
def test_values_and_derivatives_at_any_size(columns, more, seed, norm):
    W = draw(seed, columns + more, columns)
    y = orthogonality_penalty(W, 0.5, norm=norm)
    assert y == pytest.approx(by_loops(W, 0.5, norm, 1.05), rel=1e-10)
    check_op(lambda W: orthogonality_penalty(W, 0.5, norm=norm), W, seconds=False)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda W: orthogonality_penalty(W, -1.0), ValueError, "orthogonality_penalty: coef is -1"),
        (lambda W: orthogonality_penalty(W, 1.0, norm="l3"), ValueError, "norm is 'l3', .* 'l1'"),
        (lambda W: orthogonality_penalty(W, 1.0, scale=0.0), ValueError, "scale is 0.0"),
        (
            lambda W: orthogonality_penalty(W.T, 1.0),
            ValueError,
            r"W has shape \(3, 5\), expected a matrix with no more columns than rows; .* W.T",
        ),
        (lambda W: orthogonality_penalty(W[0], 1.0), ValueError, r"W has shape \(3,\)"),
        (lambda W: orthogonality_penalty(W[:, :0], 1.0), ValueError, r"W has shape \(5, 0\)"),
        (lambda W: orthogonality_penalty(BatchNorm(3), 1.0), TypeError, "W is a BatchNorm"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(draw(0, 5, 3))
