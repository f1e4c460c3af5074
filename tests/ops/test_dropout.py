"""dropout from a given mask."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import ops
from nnseq.tensor import Tensor
from tests.ops.check import check_op
from tests.strategies import arrays, integers, shapes


@given(st.data())
def test_dropout(data):
    x = data.draw(arrays(shapes()))
    ones = data.draw(st.lists(st.booleans(), min_size=x.ndim, max_size=x.ndim))
    shape = [1 if one else n for one, n in zip(ones, x.shape, strict=True)]
    mask = data.draw(integers(shape, 0, 2))
    p_drop = data.draw(st.sampled_from([0.0, 0.25, 0.9]))
    check_op(lambda x: ops.dropout(x, mask, p_drop), x)
    np.testing.assert_allclose(ops.dropout(x, mask, p_drop), x * mask / (1 - p_drop))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [bool, np.int64, np.float64, np.float32, Tensor])
def test_masks_of_any_kind_leave_the_dtype(kind, dtype):
    mask = np.array([[1, 0, 1]])
    mask = Tensor(mask) if kind is Tensor else mask.astype(kind)
    y = ops.dropout(np.ones((2, 3), dtype), mask, 0.5)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, [[2, 0, 2], [2, 0, 2]])


def test_what_does_not_fit_is_refused_by_name():
    x = np.ones((2, 3))
    for p_drop in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match=r"dropout: got p_drop = .*, expected 0 <= p_drop < 1"):
            ops.dropout(x, x, p_drop)
    for shape in ((2,), (4, 2, 3), (2, 1, 3)):
        with pytest.raises(ValueError, match=r"dropout: the mask has shape .* to \(2, 3\)"):
            ops.dropout(x, np.ones(shape), 0.5)
