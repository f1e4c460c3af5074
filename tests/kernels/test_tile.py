"""Tiles of a product, called as loops call them: with places in arrays, and nothing checked."""

import numpy as np
import pytest
from nnseq_kernels.cpu_jit import cpu_jit
from nnseq_kernels.tile import ROWS, VECTOR_BYTES, tile, width

tile_1, tile_most = tile(1), tile(ROWS)
DTYPES = ["float32", "float64"]


@cpu_jit()
def multiply(rows, x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add):
    if rows == 1:
        tile_1(x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add)
    else:
        tile_most(x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tile_is_two_vectors_wide_and_its_sums_leave_registers_for_the_factors(dtype):
    assert width(dtype) * np.dtype(dtype).itemsize == 2 * VECTOR_BYTES
    registers = 32 if VECTOR_BYTES == 64 else 16
    assert registers >= 2 * ROWS + 3  # two vectors of p and one of x


@pytest.mark.parametrize("add", [0, 1])
@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("K", [1, 2, 7, 40])
@pytest.mark.parametrize("rows", [1, ROWS])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tile_is_the_product_and_writes_nowhere_else(dtype, rows, K, by_columns, add):
    rng, wide = np.random.default_rng(K), width(dtype)
    x, p = rng.standard_normal((rows, K)).astype(dtype), rng.standard_normal((K, wide))
    p = p.astype(dtype)
    x0, p0, y0, y_row = 3, 5, 7, wide + 2
    if by_columns:  # as the left side of a gradient lies in memory
        x_row, x_k, flat = 1, rows + 1, np.zeros((K, rows + 1), dtype)
        flat[:, :rows] = x.T
    else:
        x_row, x_k, flat = K + 4, 1, np.zeros((rows, K + 4), dtype)
        flat[:, :K] = x
    x_there = np.concatenate([np.full(x0, np.nan, dtype), flat.ravel()])
    p_there = np.concatenate([np.full(p0, np.nan, dtype), p.ravel()])
    y = rng.standard_normal(y0 + rows * y_row + 1).astype(dtype)
    old = y.copy()
    inside = np.zeros(y.size, bool)
    cells = (y0 + y_row * np.arange(rows)[:, None] + np.arange(wide)).ravel()
    inside[cells] = True
    if add == 0:
        y[cells] = np.nan  # overwritten, never read
    multiply(rows, x_there, x0, x_row, x_k, p_there, p0, y, y0, y_row, K, add)
    right = x.astype(np.float64) @ p + add * old[cells].reshape(rows, wide)
    terms = np.abs(x).astype(np.float64) @ np.abs(p) + np.abs(old[cells].reshape(rows, wide))
    error = np.abs(y[cells].reshape(rows, wide) - right)
    assert (error <= (K + 1) * np.finfo(dtype).eps * terms).all()
    np.testing.assert_array_equal(y[~inside], old[~inside])


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_added_is_the_sum_of_the_call_rounded_on_its_own(dtype):
    rng, wide, K = np.random.default_rng(0), width(dtype), 23
    x, p = (rng.standard_normal(n).astype(dtype) for n in (ROWS * K, K * wide))
    first, second, both = np.zeros((3, ROWS * wide), dtype)
    multiply(ROWS, x, 0, K, 1, p, 0, first, 0, wide, 9, 0)
    multiply(ROWS, x, 9, K, 1, p, 9 * wide, second, 0, wide, K - 9, 0)
    multiply(ROWS, x, 0, K, 1, p, 0, both, 0, wide, 9, 0)
    multiply(ROWS, x, 9, K, 1, p, 9 * wide, both, 0, wide, K - 9, 1)
    np.testing.assert_array_equal(both, first + second)


def test_a_long_sum_in_parts_rounds_as_little_as_its_parts():
    rng, wide, K, part = np.random.default_rng(1), width("float32"), 51_200, 512
    x, p = rng.random(K, dtype=np.float32), rng.random(K * wide, dtype=np.float32)
    y = np.zeros(wide, np.float32)
    for k in range(0, K, part):
        multiply(1, x, k, K, 1, p, k * wide, y, 0, wide, part, 1)
    right = x.astype(np.float64) @ p.reshape(K, wide)
    assert np.abs(y / right - 1).max() < 2e-6  # one running sum: 5e-6 and more
