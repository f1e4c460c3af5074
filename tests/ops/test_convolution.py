"""conv1d over time and conv2d."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import ops
from tests.ops.check import check_op, compare_with_torch, normal
from tests.strategies import arrays

few = st.integers(1, 3)
SIZES = ((0, 5), (0, 2), (1, 2), (0, 2))  # T, B, C, O
STRIDES_AND_PADDINGS = [((1, 1), (0, 0)), ((2, 3), (1, 2)), ((3, 1), (4, 0))]


@given(st.data())
def test_conv1d_is_its_definition(data):
    T, B, C, out = (data.draw(st.integers(low, high)) for low, high in SIZES)
    K, dilation = data.draw(few), data.draw(few)
    x = data.draw(arrays((T, B, C)))
    W, b = data.draw(arrays((K, C, out))), data.draw(arrays((out,)))
    check_op(lambda *args: ops.conv1d(*args, dilation=dilation), x, W, b)
    y = np.zeros((T, B, out)) + b
    for t in range(T):
        for k in range(K):
            past = t - dilation * (K - 1 - k)
            if past >= 0:
                y[t] += x[past] @ W[k]
    np.testing.assert_allclose(ops.conv1d(x, W, b, dilation=dilation), y, atol=1e-13)


def test_conv1d_sees_nothing_of_the_future():
    x, W = normal(0, (7, 2, 3), (3, 3, 4))
    y = ops.conv1d(x, W, dilation=2)
    later = x.copy()
    later[5:] += 1
    changed = np.abs(ops.conv1d(later, W, dilation=2) - y).max((1, 2)) > 0
    np.testing.assert_array_equal(changed, [False] * 5 + [True] * 2)


@given(st.data())
def test_conv2d_is_its_definition(data):
    B, C, out = (data.draw(st.integers(low, 2)) for low in (0, 1, 0))
    K, L, *stride = (data.draw(few) for _ in range(4))
    padding = [data.draw(st.integers(0, 2)) for _ in range(2)]
    Y = max(1, K - 2 * padding[0]) + data.draw(st.integers(0, 2))
    X = max(1, L - 2 * padding[1]) + data.draw(st.integers(0, 2))
    x = data.draw(arrays((B, Y, X, C)))
    W, b = data.draw(arrays((K, L, C, out))), data.draw(arrays((out,)))
    check_op(lambda *args: ops.conv2d(*args, stride=stride, padding=padding), x, W, b)
    wide = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (K, L), (1, 2))
    windows = windows[:, :: stride[0], :: stride[1]]  # (B, Y', X', C, K, L)
    y = np.einsum("byxckl,klco->byxo", windows, W) + b
    got = ops.conv2d(x, W, b, stride=stride, padding=padding)
    np.testing.assert_allclose(got, y, atol=1e-13)


@pytest.mark.parametrize(("K", "dilation"), [(1, 1), (2, 3), (4, 2), (3, 9)])
def test_conv1d_parity_with_torch(K, dilation):
    def theirs(torch, x, W, b):
        past = torch.nn.functional.pad(x.permute(1, 2, 0), (dilation * (K - 1), 0))
        y = torch.nn.functional.conv1d(past, W.permute(2, 1, 0), b, dilation=dilation)
        return y.permute(2, 0, 1)

    compare_with_torch(
        lambda x, W, b: ops.conv1d(x, W, b, dilation=dilation),
        theirs,
        *normal(0, (8, 3, 2), (K, 2, 5), (5,)),
    )


@pytest.mark.parametrize(("stride", "padding"), STRIDES_AND_PADDINGS)
def test_conv2d_parity_with_torch(stride, padding):
    def theirs(torch, x, W, b):
        y = torch.nn.functional.conv2d(
            x.permute(0, 3, 1, 2), W.permute(3, 2, 0, 1), b, stride, padding
        )
        return y.permute(0, 2, 3, 1)

    compare_with_torch(
        lambda x, W, b: ops.conv2d(x, W, b, stride=stride, padding=padding),
        theirs,
        *normal(0, (2, 7, 6, 3), (3, 4, 3, 5), (5,)),
    )


def test_what_does_not_fit_is_refused_by_name():
    x, W, b = np.ones((5, 2, 3)), np.ones((2, 3, 4)), np.ones(4)
    with pytest.raises(ValueError, match=r"conv1d: got x \(5, 2\), W .* expected x \(T, B, C\)"):
        ops.conv1d(x[..., 0], W, b)
    with pytest.raises(ValueError, match="conv1d: W has 2 input channels, expected 3 as x"):
        ops.conv1d(x, W[:, :2], b)
    with pytest.raises(ValueError, match=r"conv1d: b has shape \(3,\), expected \(4,\)"):
        ops.conv1d(x, W, b[:3])
    with pytest.raises(ValueError, match="conv1d: got dilation 0, expected >= 1"):
        ops.conv1d(x, W, b, dilation=0)
    with pytest.raises(ValueError, match=r"conv1d: W has shape \(0, 3, 4\), a kernel without taps"):
        ops.conv1d(x, W[:0], b)
    image, kernel = np.ones((2, 3, 3, 1)), np.ones((4, 1, 1, 2))
    with pytest.raises(ValueError, match=r"conv2d: kernel \(4, 1\) is larger than x"):
        ops.conv2d(image, kernel)
    for wrong in ({"stride": (0, 1)}, {"padding": (0, -1)}, {"stride": (1, 1, 1)}):
        with pytest.raises(ValueError, match="conv2d: got stride"):
            ops.conv2d(image, kernel[:1], **wrong)
