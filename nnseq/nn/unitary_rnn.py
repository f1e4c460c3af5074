"""Unitary RNN: a complex state that a unitary matrix turns at every step without changing its norm.

A complex array is a pair of real ones, (re, im).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnseq.nn.arguments import (
    check_dtype,
    check_features,
    check_rng,
    check_size,
    check_state,
    float_dtype,
)
from nnseq.nn.initializers import GLOROT, ZEROS, Initializer, Uniform, check_initializer
from nnseq.nn.module import Module, Parameter
from nnseq.nn.padding import step_mask, without_padding
from nnseq.ops.activations import relu
from nnseq.ops.arguments import data_of
from nnseq.ops.elementwise import cos, sin, sqrt, where
from nnseq.ops.fourier import dft, idft
from nnseq.ops.joining import concat, split, stack, unbind
from nnseq.ops.linear import linear
from nnseq.ops.shape import broadcast_to

Complex = tuple[Any, Any]

ZERO_BELOW = 1e-15  # |z| under it counts as 0: 1 / |z|² has to be finite in float32


class UnitaryMatrix(Module):
    """A unitary H × H matrix of 7 H numbers; a product with it costs O(H log H).

        W = D₃ R₂ F⁻¹ D₂ Π R₁ F D₁                                              (1)
        D_k = diag(e^(i ω_k))                                                   (2)
        R_k = I - 2 v_k v_k* / ‖v_k‖²,   v_k complex                            (3)
        (Π z)_j = z_order(j),   fixed                                           (4)

    F is the discrete Fourier transform times 1/√H. Every factor is unitary for all ω and v ≠ 0, so
    no step of an optimiser can leave ‖W z‖ = ‖z‖.

    Arjovsky, Shah and Bengio 2016, "Unitary evolution recurrent neural networks",
    arXiv:1511.06464v4. The start is theirs: ω ~ U(-π, π), Re v and Im v ~ U(-1, 1), Π random.

    Args:
        size: H.
        rng: draws the initial values and Π.
        dtype: float32 or float64.

    Attributes:
        omega: (3, H) of D₁, D₂, D₃. v_re, v_im: (2, H) of R₁, R₂.
        order: (H,) int64, of (4); saved, not trained.

    Raises:
        ValueError, TypeError: out of range.
    """

    buffers = ("order",)

    def __init__(self, size: int, *, rng: np.random.Generator, dtype: Any = np.float32) -> None:
        self.size = H = check_size("UnitaryMatrix", "size", size)
        rng, dtype = check_rng("UnitaryMatrix", rng), float_dtype("UnitaryMatrix", dtype)
        self.omega = Parameter(Uniform(-math.pi, math.pi)(rng, (3, H), dtype))
        self.v_re = Parameter(Uniform(-1, 1)(rng, (2, H), dtype))
        self.v_im = Parameter(Uniform(-1, 1)(rng, (2, H), dtype))
        self.order = rng.permutation(H).astype(np.int64)

    def forward(self, z: Complex) -> Complex:
        """Return W z of the vectors z, a pair of (..., H).

        Raises:
            TypeError, ValueError: z is not such a pair.
        """
        if not isinstance(z, tuple) or len(z) != 2:
            raise TypeError(f"UnitaryMatrix: z is a {type(z).__name__}, expected a pair (re, im)")
        for x in z:
            if not np.shape(data_of(x)) or x.shape[-1] != self.size:
                raise ValueError(
                    f"UnitaryMatrix: a part of z has shape {np.shape(data_of(x))}, expected "
                    f"(..., H) with H = {self.size}"
                )
        return self.product()(z)

    def product(self) -> Callable[[Complex], Complex]:
        """Return the function z ↦ W z, made once for many products."""
        D1, D2, D3 = zip(unbind(cos(self.omega)), unbind(sin(self.omega)), strict=True)  # (2)
        norm = sqrt((self.v_re * self.v_re + self.v_im * self.v_im).sum(-1, keepdims=True))
        R1, R2 = zip(unbind(self.v_re / norm), unbind(self.v_im / norm), strict=True)

        def times(z: Complex) -> Complex:  # (1), from right to left
            z = dft(*multiply(D1, z), norm="ortho")
            re, im = reflect(R1, z)
            z = re[..., self.order], im[..., self.order]  # (4)
            z = idft(*multiply(D2, z), norm="ortho")
            return multiply(D3, reflect(R2, z))

        return times


def multiply(w: Complex, z: Complex) -> Complex:
    """w ∘ z."""
    return w[0] * z[0] - w[1] * z[1], w[0] * z[1] + w[1] * z[0]


def reflect(v: Complex, z: Complex) -> Complex:
    """(3): z - 2 v (v* z), along the last axis; ‖v‖ = 1."""
    re = 2 * (v[0] * z[0] + v[1] * z[1]).sum(-1, keepdims=True)
    im = 2 * (v[0] * z[1] - v[1] * z[0]).sum(-1, keepdims=True)
    along_re, along_im = multiply(v, (re, im))
    return z[0] - along_re, z[1] - along_im


def modrelu(z: Complex, b: Any) -> Complex:
    """Shorten complex numbers by -b, down to 0, and leave their direction.

        y = max(|z| + b, 0) z / |z|                                             (5)

    At z = 0, where (5) has no value, y = 0 and dy/db = 0, and dy/dz is the identity where b ≥ 0,
    else 0: for b = 0, where (5) is the identity, and for b < 0 that is the derivative.

    Args:
        z: pair of (..., H).
        b: (H,).

    Returns:
        A pair of (..., H).
    """
    square = z[0] * z[0] + z[1] * z[1]
    is_0 = data_of(square) < ZERO_BELOW**2
    modulus = sqrt(where(is_0, 1.0, square))
    at_0 = (data_of(b) >= 0).astype(square.dtype)
    scale = where(is_0, at_0, relu(modulus + b) / modulus)
    return scale * z[0], scale * z[1]


class UnitaryRNN(Module):
    """A unitary RNN layer; the states are complex, inputs and outputs real.

        h_t = modReLU(W h_{t-1} + V x_t, b),   h_{-1} = h0                      (6)
        y_t = [Re h_t, Im h_t]                                                  (7)

    with W of UnitaryMatrix (1), modReLU of (5), and V complex: W_ih = [Re V, Im V].

    Arjovsky, Shah and Bengio 2016, "Unitary evolution recurrent neural networks",
    arXiv:1511.06464v4, who train it by RMSProp. Their start: Re V and Im V each drawn as a D × H
    matrix after Glorot, b = 0, so that the layer is linear at first, and h0 learned, from
    U(-s, s) with s = √(3 / (2 H)), which gives E‖h0‖² = 1.

    Args:
        input_size: D.
        hidden_size: H complex units.
        rng: draws the initial values.
        W_init: of Re V and of Im V, (D, H) each.
        b_init: of b, (H,).
        dtype: float32 or float64.

    Attributes:
        W: the UnitaryMatrix. W_ih: (D, 2 H). b: (H,). h0: (2 H,), used where no state is given.

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        rng: np.random.Generator,
        W_init: Initializer = GLOROT,
        b_init: Initializer = ZEROS,
        dtype: Any = np.float32,
    ) -> None:
        self.input_size = D = check_size("UnitaryRNN", "input_size", input_size)
        self.hidden_size = H = check_size("UnitaryRNN", "hidden_size", hidden_size)
        rng, dtype = check_rng("UnitaryRNN", rng), float_dtype("UnitaryRNN", dtype)
        check_initializer("UnitaryRNN", "W_init", W_init)
        check_initializer("UnitaryRNN", "b_init", b_init)
        self.W = UnitaryMatrix(H, rng=rng, dtype=dtype)
        self.W_ih = Parameter(np.hstack([W_init(rng, (D, H), dtype) for _ in range(2)]))
        self.b = Parameter(b_init(rng, (H,), dtype))
        s = math.sqrt(3 / (2 * H))
        self.h0 = Parameter(Uniform(-s, s)(rng, (2 * H,), dtype))

    def forward(self, x: Any, h0: Any = None, *, mask: Any = None, lengths: Any = None) -> Any:
        """Run over a whole sequence.

        Args:
            x: (T, B, D).
            h0: (B, 2 H) state before the first step, [Re, Im]; the learned one if left out.
            mask: (T, B), nonzero where the step counts; elsewhere the state is held. Or None.
            lengths: (B,) the same as a mask: the first so many steps count.

        Returns:
            y: (T, B, 2 H) of (7), zero at steps that do not count; h_T: (B, 2 H) the last state.

        Raises:
            ValueError, TypeError: shapes or dtypes that do not fit.
        """
        check_features("UnitaryRNN", "x", x, self.input_size, "(T, B, D)")
        check_dtype("UnitaryRNN", "x", x, self.W_ih.dtype)
        valid = step_mask("UnitaryRNN", x, mask, lengths)
        h_T = self._initial_state(x, h0)
        a = linear(without_padding(x, valid), self.W_ih)
        if not len(a):
            return a, h_T
        times_W, h, hs = self.W.product(), split(h_T, 2, -1), []
        for t, a_t in enumerate(unbind(a)):
            a_re, a_im = split(a_t, 2, -1)
            re, im = times_W((h[0], h[1]))
            re, im = modrelu((re + a_re, im + a_im), self.b)  # (6)
            if valid is not None:
                counts = valid[t][:, None]
                re, im = where(counts, re, h[0]), where(counts, im, h[1])
            h = re, im
            hs.append(concat(h, -1))  # (7)
        return without_padding(stack(hs), valid), hs[-1]

    def _initial_state(self, x: Any, h0: Any) -> Any:
        shape = (x.shape[1], 2 * self.hidden_size)
        if h0 is None:
            return broadcast_to(self.h0, shape)
        check_state("UnitaryRNN", "h0", h0, shape, "(B, 2 H)", x.dtype)
        return h0
