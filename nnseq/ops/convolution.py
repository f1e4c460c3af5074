"""Convolutions as sums of shifted views: causal dilated conv1d over time, and conv2d.

Every tap k of the kernel meets a view x⟨k⟩ of the input and writes to a view y⟨k⟩ of the output,
which are slices of the same shape, so there is neither a padded nor an unrolled copy:

    y⟨k⟩ += x⟨k⟩ W_k                 for every tap k; y begins as b            (1)
    dx⟨k⟩ += dy⟨k⟩ W_kᵀ                                                        (2)
    dW_k  = Σ x⟨k⟩ᵀ dy⟨k⟩                                                      (3)

The three are linear in each factor of Σ dy⟨k⟩ x⟨k⟩ W_k, so the derivatives of each are the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nnseq.backend import Array, array_module
from nnseq.operators import Sum
from nnseq.ops.arguments import expect_shape, float_array
from nnseq.ops.linear import flat
from nnseq.products import product
from nnseq.tape import Op

Index = tuple[slice, ...]


class Taps(NamedTuple):
    """Where each tap reads and writes; x and y without their last axis, the channels."""

    x: tuple[Index, ...]
    y: tuple[Index, ...]
    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]


class Convolve(Op):
    """(1)."""

    def forward(self, x: Array, W: Array, b: Array | None, *, taps: Taps) -> Array:
        self.save(x, W)
        self.taps = taps
        y = array_module(x).empty((*taps.y_shape, W.shape[2]), x.dtype)
        y[...] = 0 if b is None else b
        for W_k, at_x, at_y in zip(W, taps.x, taps.y, strict=True):
            y[at_y] += last_axis_product(x[at_x], W_k)
        return y

    def backward(self, dy: Any) -> Any:
        x, W = self.saved
        dx = ConvolveInput.apply(dy, W, taps=self.taps) if self.needs[0] else None
        dW = ConvolveWeight.apply(x, dy, taps=self.taps) if self.needs[1] else None
        db = Sum.apply(flat(dy), axis=0) if self.needs[2] else None
        return dx, dW, db


class ConvolveInput(Op):
    """(2)."""

    def forward(self, dy: Array, W: Array, *, taps: Taps) -> Array:
        self.save(dy, W)
        self.taps = taps
        dx = array_module(dy).zeros((*taps.x_shape, W.shape[1]), dy.dtype)
        for W_k, at_x, at_y in zip(W, taps.x, taps.y, strict=True):
            dx[at_x] += last_axis_product(dy[at_y], W_k.T)
        return dx

    def backward(self, ddx: Any) -> Any:
        dy, W = self.saved
        ddy = Convolve.apply(ddx, W, None, taps=self.taps) if self.needs[0] else None
        dW = ConvolveWeight.apply(ddx, dy, taps=self.taps) if self.needs[1] else None
        return ddy, dW


class ConvolveWeight(Op):
    """(3)."""

    def forward(self, x: Array, dy: Array, *, taps: Taps) -> Array:
        self.save(x, dy)
        self.taps = taps
        dW = array_module(x).empty((len(taps.x), x.shape[-1], dy.shape[-1]), x.dtype)
        for k, (at_x, at_y) in enumerate(zip(taps.x, taps.y, strict=True)):
            dW[k] = product(flat(x[at_x]).T, flat(dy[at_y]))
        return dW

    def backward(self, ddW: Any) -> Any:
        x, dy = self.saved
        dx = ConvolveInput.apply(dy, ddW, taps=self.taps) if self.needs[0] else None
        ddy = Convolve.apply(x, ddW, None, taps=self.taps) if self.needs[1] else None
        return dx, ddy


def conv1d(x: Any, W: Any, b: Any = None, *, dilation: int = 1) -> Any:
    """Convolve over time, causally: step t sees nothing after t.

        y_t = Σ_k x_(t - δ (K - 1 - k)) W_k + b,      x before step 0 is 0           (4)

    so W_(K-1) meets the present. To begin from a known past, join it to x in front, δ (K - 1)
    steps, and drop as many steps from y.

    Args:
        x: (T, B, C) input.
        W: (K, C, O) kernel.
        b: (O,) bias, or None.
        dilation: δ ≥ 1.

    Returns:
        (T, B, O). Saved for backward, read-only: x and W.

    Raises:
        ValueError: the shapes or the dilation do not fit.
        TypeError: a dtype is not float32 or float64, or they differ.
    """
    x_shape, W_shape = _shapes("conv1d", x, W, b, "(T, B, C)", "(K, C, O)")
    if dilation < 1:
        raise ValueError(f"conv1d: got dilation {dilation}, expected >= 1")
    T = x_shape[0]
    shifts = [min(dilation * k, T) for k in reversed(range(W_shape[0]))]
    at_x = tuple((slice(0, T - s),) for s in shifts)
    at_y = tuple((slice(s, T),) for s in shifts)
    return Convolve.apply(x, W, b, taps=Taps(at_x, at_y, x_shape[:-1], x_shape[:-1]))


def conv2d(
    x: Any,
    W: Any,
    b: Any = None,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
) -> Any:
    """Cross-correlate images with a kernel, as is usual under the name of convolution.

        y_(b,i,j) = Σ_(k,l) x_(b, s i + k - p, s' j + l - p') W_(k,l) + bias          (5)

    with x = 0 outside the image.

    Args:
        x: (B, Y, X, C) input: rows, columns, channels.
        W: (K, L, C, O) kernel.
        b: (O,) bias, or None.
        stride: (s, s'), each ≥ 1.
        padding: (p, p') zeros on either side of rows and columns, each ≥ 0.

    Returns:
        (B, (Y + 2p - K) // s + 1, (X + 2p' - L) // s' + 1, O). Saved for backward, read-only:
        x and W.

    Raises:
        ValueError: the shapes do not fit, the kernel is larger than the padded image, or stride or
            padding is out of range.
        TypeError: a dtype is not float32 or float64, or they differ.
    """
    x_shape, W_shape = _shapes("conv2d", x, W, b, "(B, Y, X, C)", "(K, L, C, O)")
    if len(stride) != 2 or len(padding) != 2 or min(stride) < 1 or min(padding) < 0:
        raise ValueError(
            f"conv2d: got stride {stride} and padding {padding}, expected pairs >= 1 and >= 0"
        )
    sizes = [
        (n + 2 * p - k) // s + 1
        for n, k, s, p in zip(x_shape[1:3], W_shape[:2], stride, padding, strict=True)
    ]
    if min(sizes) < 1:
        raise ValueError(f"conv2d: kernel {W_shape[:2]} is larger than x, {x_shape}, with padding")
    rows, columns = (
        [meeting(k, x_shape[1 + i], sizes[i], stride[i], padding[i]) for k in range(W_shape[i])]
        for i in (0, 1)
    )
    everything = slice(None)
    at_x = tuple((everything, r[0], c[0]) for r in rows for c in columns)
    at_y = tuple((everything, r[1], c[1]) for r in rows for c in columns)
    taps = Taps(at_x, at_y, x_shape[:-1], (x_shape[0], *sizes))
    return Convolve.apply(x, W.reshape(len(at_x), *W_shape[2:]), b, taps=taps)


def meeting(k: int, x_size: int, y_size: int, stride: int, padding: int) -> tuple[slice, slice]:
    """The x and the y that tap k joins along one axis: x = stride y + k - padding, both inside."""
    offset = k - padding
    first = max(0, -(offset // stride))  # ⌈-offset / stride⌉: the first y whose x is not negative
    stop = max(first, min(y_size, (x_size - 1 - offset) // stride + 1))
    start = first * stride + offset
    return slice(start, start + (stop - first) * stride, stride), slice(first, stop)


def last_axis_product(x: Array, W: Array) -> Array:
    """(..., C) and (C, O) → (..., O), as one matrix product."""
    return product(flat(x), W).reshape(*x.shape[:-1], W.shape[1])


def _shapes(
    who: str, x: Any, W: Any, b: Any, x_axes: str, W_axes: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Check the axes of x, W and b by number, and the channels; return both shapes."""
    x_shape, W_shape = float_array(who, "x", x).shape, float_array(who, "W", W).shape
    if len(x_shape) != x_axes.count(",") + 1 or len(W_shape) != W_axes.count(",") + 1:
        raise ValueError(f"{who}: got x {x_shape}, W {W_shape}, expected x {x_axes}, W {W_axes}")
    if W_shape[-2] != x_shape[-1]:
        raise ValueError(
            f"{who}: W has {W_shape[-2]} input channels, expected {x_shape[-1]} as x, {x_shape}"
        )
    if 0 in W_shape[:-2]:
        raise ValueError(f"{who}: W has shape {W_shape}, a kernel without taps")
    if b is not None:
        float_array(who, "b", b)
        expect_shape(who, "b", b, W_shape[-1:], f"W has shape {W_shape}")
    return x_shape, W_shape
