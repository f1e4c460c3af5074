"""The discrete Fourier transform of complex numbers kept as pairs of real arrays."""

from __future__ import annotations

from typing import Any

from nnseq.backend import Array, array_module
from nnseq.ops.arguments import expect_shape, float_array, positive_axis
from nnseq.tape import Op

# The transpose of a transform is the opposite one with the factor that it carried itself: NumPy's
# word for "no factor in dft, 1/n in idft" is "backward", for the other way round "forward".
TRANSPOSED = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


class Fourier(Op):
    def forward(
        self, re: Array, im: Array, *, axis: int, inverse: bool, norm: str
    ) -> tuple[Array, Array]:
        self.axis, self.inverse, self.norm = axis, inverse, norm
        xp = array_module(re)
        transform = xp.fft.ifft if inverse else xp.fft.fft
        y = transform(re + 1j * im, axis=axis, norm=norm)
        return y.real.astype(re.dtype), y.imag.astype(re.dtype)  # copies, so y is freed

    def backward(self, dy_re: Any, dy_im: Any) -> Any:
        return Fourier.apply(
            dy_re, dy_im, axis=self.axis, inverse=not self.inverse, norm=TRANSPOSED[self.norm]
        )


def dft(re: Any, im: Any, axis: int = -1, *, norm: str = "backward") -> tuple[Any, Any]:
    """Transform along axis: y_k = Σ_j x_j exp(-2πi jk / n), x = re + i im.

    Args:
        re, im: (..., n, ...) real and imaginary part, one shape.
        axis: along which to transform, n ≥ 1.
        norm: "backward": as above; "ortho": times 1/√n, which is unitary; "forward": times 1/n.

    Returns:
        (y_re, y_im), each of re's shape.

    Raises:
        ValueError: the shapes differ, n is 0, or another norm.
    """
    return _transform("dft", re, im, axis, norm, inverse=False)


def idft(re: Any, im: Any, axis: int = -1, *, norm: str = "backward") -> tuple[Any, Any]:
    """Undo dft with the same norm: x_j = (1/n) Σ_k y_k exp(2πi jk / n) with "backward".

    Args, Returns and Raises as for dft.
    """
    return _transform("idft", re, im, axis, norm, inverse=True)


def _transform(who: str, re: Any, im: Any, axis: int, norm: str, inverse: bool) -> tuple[Any, Any]:
    shape = float_array(who, "re", re).shape
    float_array(who, "im", im)
    expect_shape(who, "im", im, shape, "re has that shape")
    axis = positive_axis(who, axis, len(shape))
    if shape[axis] == 0:
        raise ValueError(f"{who}: shape {shape} has no entries along axis {axis}")
    if norm not in TRANSPOSED:
        raise ValueError(f"{who}: got norm {norm!r}, expected one of {tuple(TRANSPOSED)}")
    y_re, y_im = Fourier.apply(re, im, axis=axis, inverse=inverse, norm=norm)
    return y_re, y_im
