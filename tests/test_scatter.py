"""Adding rows under indices that repeat."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nnseq.scatter import add_rows
from tests.strategies import arrays, integers


@given(st.data())
def test_add_rows_is_numpys_add_at(data):
    N, V, D = (data.draw(st.integers(low, high)) for low, high in ((0, 40), (1, 4), (0, 3)))
    values = data.draw(arrays((N, D)))
    index = data.draw(integers(N, -V, V))
    expected = np.zeros((V, D))
    np.add.at(expected, index, values)
    before = values.copy(), index.copy()
    np.testing.assert_allclose(add_rows(values, index, V), expected, atol=1e-13)
    np.testing.assert_array_equal(values, before[0])
    np.testing.assert_array_equal(index, before[1])


def test_many_repeats_are_accurate_in_float32():
    values = np.full((100_000, 2), 0.1, np.float32)
    y = add_rows(values, np.ones(100_000, int), 3)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, [[0, 0], [1e4, 1e4], [0, 0]], rtol=1e-6)


def test_a_table_without_rows():
    assert add_rows(np.ones((0, 2)), np.zeros(0, int), 0).shape == (0, 2)
