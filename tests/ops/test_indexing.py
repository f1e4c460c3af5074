"""Indexing, gathering and embedding: repeated indices add up in backward."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from nnseq import ops
from nnseq.tensor import Tensor, grad
from tests.ops.check import check_op, compare_with_torch, normal
from tests.strategies import arrays, integers, shapes


@given(st.data())
def test_slices_integers_and_none(data):
    x = data.draw(arrays(shapes(min_dims=1, zero=False)))
    index = data.draw(st_np.basic_indices(x.shape, allow_newaxis=True))
    check_op(lambda x: ops.getitem(x, index), x)
    np.testing.assert_array_equal(ops.getitem(x, index), x[index])


@given(st.data())
def test_integer_arrays(data):
    x = data.draw(arrays(shapes(min_dims=1, zero=False)))
    result = st_np.array_shapes(max_dims=2, max_side=3, min_side=0)
    index = data.draw(st_np.integer_array_indices(x.shape, result_shape=result))
    check_op(lambda x: ops.getitem(x, index), x)
    np.testing.assert_array_equal(ops.getitem(x, index), x[index])


@given(st.data())
def test_masks(data):
    x = data.draw(arrays(shapes(min_dims=1)))
    axes = data.draw(st.integers(1, x.ndim))
    mask = data.draw(integers(x.shape[:axes], 0, 2)) == 1
    check_op(lambda x: ops.getitem(x, mask), x)
    np.testing.assert_array_equal(ops.getitem(x, mask), x[mask])


MIXED = {
    "list": [2, 0, 2],
    "negative repeats positive": [1, -2, 1],
    "slice and list": (slice(1, 3), [1, 1, 0]),
    "lists apart": ([0, 0, 2], slice(None), [1, 1, 0]),
    "ellipsis": (..., [3, 3], 1),
    "none": (None, [0, 0]),
    "mask and integer": (np.array([True, False, True]), 1),
    "mask and list": (np.array([True, False, True]), [1, 1]),
    "empty": [],
    "tensor": Tensor(np.array([[1, 1], [0, 2]])),
}


@pytest.mark.parametrize("kind", MIXED)
def test_mixed_indices(kind):
    index = MIXED[kind]
    x = np.random.default_rng(0).standard_normal((3, 4, 2))
    check_op(lambda x: x[index] if isinstance(x, Tensor) else ops.getitem(x, index), x)


@given(st.data())
def test_masked_fill(data):
    x = data.draw(arrays(shapes(min_dims=1)))
    mask = data.draw(integers(x.shape[: data.draw(st.integers(1, x.ndim))], 0, 2)) == 1
    check_op(lambda x: ops.masked_fill(x, mask, 0.7), x)
    last = (..., *(None,) * (x.ndim - mask.ndim))
    np.testing.assert_array_equal(ops.masked_fill(x, mask, 0.7), np.where(mask[last], 0.7, x))


def test_what_masked_fill_replaces_reaches_no_gradient():
    mask = np.array([[True, False, False], [False, False, True]])
    (x,) = normal(0, (2, 3, 4))
    x[mask] = np.nan
    x = Tensor(x, requires_grad=True)
    dx = grad(ops.masked_fill(x, mask, 0.0), x, np.ones((2, 3, 4)))[0]
    np.testing.assert_array_equal(dx, np.where(mask[..., None], 0.0, np.ones((2, 3, 4))))


def test_a_mask_of_other_axes_or_of_numbers_is_refused():
    (x,) = normal(0, (2, 3, 4))
    with pytest.raises(ValueError, match=r"masked_fill: mask has shape \(3,\), expected x's"):
        ops.masked_fill(x, np.ones(3, bool), 0.0)
    with pytest.raises(TypeError, match="masked_fill: mask is int64, expected bool"):
        ops.masked_fill(x, np.ones((2, 3), int), 0.0)


@given(st.data())
def test_take_along_axis(data):
    x = data.draw(arrays(shapes(min_dims=1, zero=False)))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    n, at = x.shape[axis], axis % x.ndim
    count = data.draw(st.integers(0, 4))
    index = data.draw(integers((*x.shape[:at], count, *x.shape[at + 1 :]), -n, n))
    check_op(lambda x: ops.take_along_axis(x, index, axis), x)
    np.testing.assert_array_equal(
        ops.take_along_axis(x, index, axis), np.take_along_axis(x, index, axis)
    )


@given(st.data())
def test_embedding(data):
    V, D = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 4))
    W = data.draw(arrays((V, D)))
    index = data.draw(integers(data.draw(shapes(max_dims=2, max_size=12)), 0, V))
    check_op(lambda W: ops.embedding(W, index), W)
    np.testing.assert_array_equal(ops.embedding(W, index), W[index])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32, np.uint64])
def test_indices_of_few_bits_into_a_table_of_more_rows(dtype):
    W = Tensor(np.zeros((70_000, 2), np.float32), True)
    index = np.array([100, 3, 100], dtype)
    dy = np.arange(6, dtype=np.float32).reshape(3, 2)
    for y in (ops.embedding(W, index), W[index], W[index, :]):
        dW = grad(y, W, dy)[0]
        np.testing.assert_array_equal(dW[100], dy[0] + dy[2])
        np.testing.assert_array_equal(dW[3], dy[1])


def test_embedding_of_nothing_from_an_empty_table():
    assert ops.embedding(np.ones((0, 3)), np.zeros((2, 0), int)).shape == (2, 0, 3)


def test_gradients_of_a_word_that_repeats_add_up():
    W = Tensor(np.zeros((3, 2)), True)
    dy = np.arange(8.0).reshape(4, 2)
    dW = grad(ops.embedding(W, np.array([2, 0, 2, 2])), W, dy)[0]
    np.testing.assert_array_equal(dW, [dy[1], [0, 0], dy[0] + dy[2] + dy[3]])


@pytest.mark.gpu
@pytest.mark.parametrize("index", [[2, 0, 2], (slice(None), [1, 1]), [True, False, True]])
def test_indices_on_the_cpu_reach_into_an_array_on_the_gpu(index):
    cupy = pytest.importorskip("cupy", reason="no GPU")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU")
    x = np.arange(12.0).reshape(3, 4)
    on_cpu, on_gpu = Tensor(x, True), Tensor(cupy.asarray(x), True)
    y, z = on_cpu[index], on_gpu[index]
    np.testing.assert_array_equal(z.numpy(), y.data)
    dx = grad(z, on_gpu, cupy.asarray(y.data))[0]
    np.testing.assert_array_equal(dx.get(), grad(y, on_cpu, y.data)[0])


def test_two_backward_passes_give_the_same_bits():
    rng = np.random.default_rng(0)
    index = rng.integers(0, 7, (50, 30))
    dy = rng.standard_normal((50, 30, 5)).astype(np.float32)
    W = Tensor(np.zeros((7, 5), np.float32), True)
    first, second = (grad(ops.embedding(W, index), W, dy)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_parity_with_torch():
    x, W = normal(0, (3, 4), (5, 3))
    index = np.array([[1, 1, 3], [0, 2, 0], [3, 3, 3]])
    compare_with_torch(
        lambda x, W: (ops.take_along_axis(x, index, 1), ops.embedding(W, index)),
        lambda torch, x, W: (
            torch.gather(x, 1, torch.tensor(index)),
            torch.nn.functional.embedding(torch.tensor(index), W),
        ),
        x,
        W,
    )


def test_bad_indices_are_refused_by_name():
    W = np.ones((4, 2))
    with pytest.raises(ValueError, match="embedding: index has entries from 0 to 4"):
        ops.embedding(W, np.array([0, 4]))
    with pytest.raises(ValueError, match="embedding: index has entries from -1 to 2"):
        ops.embedding(W, np.array([2, -1]))
    with pytest.raises(TypeError, match="embedding: index has dtype float64, expected integers"):
        ops.embedding(W, np.array([0.0]))
    with pytest.raises(ValueError, match=r"embedding: W has shape \(4,\), expected \(V, D\)"):
        ops.embedding(W[:, 0], np.array([0]))
    with pytest.raises(ValueError, match=r"take_along_axis: index has shape \(2, 2\), expected"):
        ops.take_along_axis(W, np.zeros((2, 2), int), 1)
    with pytest.raises(ValueError, match="take_along_axis: index has entries from 0 to 2"):
        ops.take_along_axis(W, np.array([[2, 0]] * 4), 1)
    with pytest.raises(TypeError, match="indexing: an index has dtype float64"):
        Tensor(W)[np.array([1.0])]
    with pytest.raises(IndexError):
        Tensor(W)[4]
