"""Products out of tiles against NumPy's, at all numbers of rows and ragged widths."""

import numpy as np
import pytest
from nnseq_kernels import threads
from nnseq_kernels.matmul import (
    LEAST,
    add_products,
    collect,
    multiply_block,
    multiply_rows,
    pack,
)
from nnseq_kernels.tile import ROWS, width

from tests.strategies import LAYOUTS, lay_out

SENTINEL = 7.0
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def draw(dtype, *shapes):
    rng = np.random.default_rng(sum(map(sum, shapes)))
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def widths(dtype):
    wide = width(dtype)
    return [1, wide - 1, wide, wide + 1, 3 * wide - 2]


def assert_product(got, x, y, plus=0.0):
    """got = x y + plus, to the rounding of so many terms."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    bound = np.abs(x) @ np.abs(y) + np.abs(plus)
    bound *= (x.shape[1] + 1) * np.finfo(got.dtype).eps
    assert (np.abs(got - (x @ y + plus)) <= bound).all()


# ---- packed weights ----------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@each_dtype
def test_packed_weights_are_the_same_numbers_filled_up_with_zeros(dtype, layout):
    for N in widths(dtype):
        (W,) = draw(dtype, (5, N))
        panels = pack(lay_out(W, layout))
        assert panels.dtype == dtype
        assert panels.flags.c_contiguous
        assert panels.shape[1:] == (5, width(dtype))
        rows = panels.transpose(1, 0, 2).reshape(5, -1)
        np.testing.assert_array_equal(rows[:, :N], W)
        assert rows.shape[1] - N < width(dtype)
        assert not rows[:, N:].any()


def test_threads_pack_the_same_panels(monkeypatch):
    (W,) = draw("float32", (LEAST // 300 + 1, 301))
    panels = []
    for number in (1, 3):
        monkeypatch.setattr(threads, "allowed", lambda number=number: number)
        panels.append(pack(W))
    np.testing.assert_array_equal(*panels)


# ---- rows times packed weights -----------------------------------------------------------------


@pytest.mark.parametrize("K", [1, 13])
@pytest.mark.parametrize("rows", range(1, 2 * ROWS + 2))
@each_dtype
def test_rows_times_weights_overwrite_or_are_added(dtype, rows, K):
    x0, x_row = 4, K + 3
    for N in widths(dtype):
        x, W = draw(dtype, (rows, K), (K, N))
        x_there = np.full((rows + 2, x_row), np.nan, dtype)
        x_there.ravel()[x0 : x0 + rows * x_row].reshape(rows, x_row)[:, :K] = x
        panels = pack(W)
        y = np.full((rows + 1, panels.shape[0] * width(dtype)), np.nan, dtype)
        y[rows] = SENTINEL
        multiply_rows(x_there, x0, x_row, rows, panels, 0, K, y, 0)
        assert_product(y[:rows, :N], x, W)
        assert not y[:rows, N:].any()
        once = y.copy()
        multiply_rows(x_there, x0, x_row, rows, panels, 0, K, y, 1)
        assert_product(y[:rows, :N], x, W, once[:rows, :N])
        assert (y[rows] == SENTINEL).all()


@each_dtype
def test_a_range_of_the_weights_rows_is_multiplied_alone(dtype):
    x, W = draw(dtype, (5, 13), (13, 40))
    panels = pack(W)
    y = np.zeros((5, panels.shape[0] * width(dtype)), dtype)
    multiply_rows(x[:, 4:9].copy(), 0, 5, 5, panels, 4, 9, y, 0)
    assert_product(y[:, :40], x[:, 4:9], W[4:9])
    parts = np.zeros_like(y)
    for k0, k1, add in [(0, 4, 0), (4, 9, 1), (9, 13, 1)]:
        multiply_rows(x, k0, 13, 5, panels, k0, k1, parts, add)
    assert_product(parts[:, :40], x, W)


@each_dtype
def test_a_row_has_the_same_bits_whatever_rows_are_multiplied_with_it(dtype):
    x, W = draw(dtype, (2 * ROWS + 1, 13), (13, 40))
    panels = pack(W)
    y = np.zeros((len(x), panels.shape[0] * width(dtype)), dtype)
    multiply_rows(x, 0, 13, len(x), panels, 0, 13, y, 0)
    for rows in range(1, len(x)):
        some = np.zeros_like(y)
        multiply_rows(x, 13, 13, rows, panels, 0, 13, some, 0)
        np.testing.assert_array_equal(some[:rows], y[1 : 1 + rows])


@pytest.mark.parametrize("rows", [1, ROWS, 2 * ROWS + 1])
@each_dtype
def test_a_block_of_rows_is_written_in_its_place_with_the_bias(dtype, rows):
    for N in widths(dtype):
        x, W, b = draw(dtype, (rows + 3, 13), (13, N), (N,))
        z = np.full((rows + 3, N), SENTINEL, dtype)
        edge = np.empty((ROWS, width(dtype)), dtype)
        multiply_block(x, 2, rows, pack(W), b, z, edge)
        assert_product(z[2 : 2 + rows], x[2 : 2 + rows], W, b)
        assert (z[:2] == SENTINEL).all()
        assert (z[2 + rows :] == SENTINEL).all()


# ---- sums over rows ----------------------------------------------------------------------------


@each_dtype
def test_rows_are_collected_in_their_place_and_the_arrays_end_is_zero(dtype):
    for wide in {6, 8, ROWS, width(dtype)}:
        for columns in (1, wide, wide + 1):
            (x,) = draw(dtype, (4, columns + 2))
            count = -(-columns // wide)
            chunk = np.full((count, 7, wide), SENTINEL, dtype)
            rows, x0 = 3, x.shape[1] + 2  # rows 1 to 3, from the third column on
            collect(x.ravel(), x0, x.shape[1], rows, chunk, 2)
            got = chunk.transpose(1, 0, 2).reshape(7, -1)
            np.testing.assert_array_equal(got[2:5, :columns], x[1:, 2:])
            assert not got[4, columns:].any()
            assert (got[[0, 1, 5, 6]] == SENTINEL).all()


@pytest.mark.parametrize("columns", [1, ROWS, 2 * ROWS + 3])
@each_dtype
def test_products_of_collected_rows_are_added_up(dtype, columns):
    terms, room = 21, 24
    for N in widths(dtype):
        x, y = draw(dtype, (terms, columns), (terms, N))
        x_chunk = np.full((-(-columns // ROWS), room, ROWS), np.nan, dtype)
        y_chunk = np.full((-(-N // width(dtype)), room, width(dtype)), np.nan, dtype)
        collect(x.ravel(), 0, columns, terms, x_chunk, 0)
        collect(y.ravel(), 0, N, terms, y_chunk, 0)
        shape = len(x_chunk) * ROWS, len(y_chunk) * width(dtype)
        dW = np.ones(shape, dtype)
        add_products(x_chunk, y_chunk, terms, dW)
        assert_product(dW[:columns, :N], x.T, y, 1.0)
        again = np.ones(shape, dtype)
        add_products(x_chunk, y_chunk, 9, again)
        add_products(x_chunk[:, 9:].copy(), y_chunk[:, 9:].copy(), terms - 9, again)
        assert_product(again[:columns, :N], x.T, y, 1.0)
