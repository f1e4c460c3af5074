"""Neural GPU: a convolutional GRU that turns an image, the memory, over and over.

The image is (B, w, n, m): w rows, a small number; n columns, one per symbol of the sequence; m
channels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.nn.arguments import (
    check_dtype,
    check_features,
    check_float,
    check_rng,
    check_size,
    float_dtype,
)
from nnseq.nn.initializers import (
    GLOROT,
    ZEROS,
    Constant,
    Initializer,
    Uniform,
    check_initializer,
)
from nnseq.nn.linear import Linear
from nnseq.nn.module import Module, ModuleList, Parameter
from nnseq.nn.padding import step_mask, without_padding
from nnseq.ops.activations import sigmoid, tanh
from nnseq.ops.arguments import data_of
from nnseq.ops.convolution import conv2d
from nnseq.ops.elementwise import clip, where
from nnseq.ops.indexing import embedding
from nnseq.ops.joining import split, stack
from nnseq.ops.reductions import mean
from nnseq.ops.shape import expand_dims, pad, transpose

ONES = Constant(1.0)
UNIT = Uniform(-math.sqrt(3), math.sqrt(3))  # of variance 1
CUTOFF = 1.2  # the paper's


class ConvGRU(Module):
    """A GRU whose products are convolutions (CGRU), on images that keep their size.

        r = σ'(U_r * s + b_r),   z = σ'(U_z * s + b_z)                          (1)
        s' = z ∘ s + (1 - z) ∘ tanh(U_n * (r ∘ s) + b_n)                        (2)
        σ'(a) = min(max(cutoff σ(a) - (cutoff - 1) / 2, 0), 1)                  (3)

    Outside of the image * finds zeros. With cutoff > 1 a gate can be 0 or 1 exactly, so that a
    state stays exactly, for any number of steps; cutoff = 1 is the sigmoid.

    Kaiser and Sutskever 2015, "Neural GPUs learn algorithms", arXiv:1511.08228v3; their u is z.

    Args:
        channels: m.
        rng: draws the initial values.
        kernel_size: (K, L) of rows and columns, both odd.
        cutoff: of (3), at least 1.
        W_init: of the kernels.
        b_rz_init: of b_rz; 1, as in the authors' code, if left out.
        dtype: float32 or float64.

    Attributes:
        W_rz: (K, L, m, 2 m), U_r and U_z. b_rz: (2 m,). W_n: (K, L, m, m). b_n: (m,), 0 at first.

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        channels: int,
        *,
        rng: np.random.Generator,
        kernel_size: tuple[int, int] = (3, 3),
        cutoff: float = CUTOFF,
        W_init: Initializer = GLOROT,
        b_rz_init: Initializer = ONES,
        dtype: Any = np.float32,
    ) -> None:
        self.channels = m = check_size("ConvGRU", "channels", channels)
        K, L = self.kernel_size = _odd_pair("ConvGRU", kernel_size)
        self.cutoff = check_float("ConvGRU", "cutoff", cutoff, 1.0)
        rng, dtype = check_rng("ConvGRU", rng), float_dtype("ConvGRU", dtype)
        check_initializer("ConvGRU", "W_init", W_init)
        check_initializer("ConvGRU", "b_rz_init", b_rz_init)
        self.W_rz = Parameter(W_init(rng, (K, L, m, 2 * m), dtype))
        self.b_rz = Parameter(b_rz_init(rng, (2 * m,), dtype))
        self.W_n = Parameter(W_init(rng, (K, L, m, m), dtype))
        self.b_n = Parameter(ZEROS(rng, (m,), dtype))

    @property
    def weights(self) -> tuple[Any, ...]:
        """The parameters, in one order."""
        return self.W_rz, self.b_rz, self.W_n, self.b_n

    def forward(self, s: Any) -> Any:
        """Return s' of an image s, both (B, w, n, m).

        Raises:
            ValueError, TypeError: another shape or dtype.
        """
        check_features("ConvGRU", "s", s, self.channels, "(B, w, n, m)")
        check_dtype("ConvGRU", "s", s, self.W_rz.dtype)
        padding = (self.kernel_size[0] // 2, self.kernel_size[1] // 2)
        rz = cutoff_sigmoid(conv2d(s, self.W_rz, self.b_rz, padding=padding), self.cutoff)
        r, z = split(rz, 2, -1)  # (1)
        n = tanh(conv2d(r * s, self.W_n, self.b_n, padding=padding))
        return z * s + (1 - z) * n  # (2)


def cutoff_sigmoid(a: Any, cutoff: float = CUTOFF) -> Any:
    """(3); the derivative is 0 where it saturates."""
    y = sigmoid(a)
    return y if cutoff == 1 else clip(cutoff * y - (cutoff - 1) / 2, 0.0, 1.0)


class ConvGRURecurrence(Module):
    """A stack of ConvGRUs applied again and again, with relaxed sharing of the weights over time.

        s_{t+1} = CGRU_L(... CGRU_1(s_t)),   all with copy t mod R of the weights    (4)
        penalty = weight Σ_θ Σ_k ‖θ_k - θ̄‖²,   θ̄ = 1/R Σ_k θ_k                       (5)

    θ runs through the parameters of the stack and k through its R copies. Training begins with
    R > 1, which is easier than a recurrence with R = 1; the caller raises the weight of (5) (the
    relaxation pull) until the copies agree, calls unify(), and trains on with one.

    Kaiser and Sutskever 2015, "Neural GPUs learn algorithms", arXiv:1511.08228v3, with R = 6.

    Args:
        channels: m.
        num_layers: L.
        rng: draws the initial values, of each copy its own.
        num_copies: R.
        kernel_size, cutoff, W_init, b_rz_init, dtype: as ConvGRU.

    Attributes:
        copies: R lists of L ConvGRUs.

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        channels: int,
        num_layers: int,
        *,
        rng: np.random.Generator,
        num_copies: int = 1,
        kernel_size: tuple[int, int] = (3, 3),
        cutoff: float = CUTOFF,
        W_init: Initializer = GLOROT,
        b_rz_init: Initializer = ONES,
        dtype: Any = np.float32,
    ) -> None:
        self.channels = check_size("ConvGRURecurrence", "channels", channels)
        L = check_size("ConvGRURecurrence", "num_layers", num_layers)
        R = check_size("ConvGRURecurrence", "num_copies", num_copies)
        check_initializer("ConvGRURecurrence", "W_init", W_init)
        check_initializer("ConvGRURecurrence", "b_rz_init", b_rz_init)

        def layer() -> ConvGRU:
            return ConvGRU(
                channels,
                rng=rng,
                kernel_size=kernel_size,
                cutoff=cutoff,
                W_init=W_init,
                b_rz_init=b_rz_init,
                dtype=dtype,
            )

        self.copies = ModuleList(ModuleList(layer() for _ in range(L)) for _ in range(R))

    def forward(
        self, s: Any, num_steps: int | None = None, *, mask: Any = None, lengths: Any = None
    ) -> Any:
        """Return the image after num_steps steps.

        With a mask or lengths, each image is what it would be alone, cut to its own columns: the
        others are zero throughout.

        Args:
            s: (B, w, n, m) the image s_0.
            num_steps: as many for all images; left out: n, or each image's own number of columns.
            mask: (n, B), nonzero where a column belongs to the image, the first ones. Or None.
            lengths: (B,) the same as a mask: the first so many columns.

        Returns:
            (B, w, n, m).

        Raises:
            ValueError, TypeError: shapes or dtypes that do not fit; a mask with gaps.
        """
        who = "ConvGRURecurrence"
        check_features(who, "s", s, self.channels, "(B, w, n, m)")
        check_dtype(who, "s", s, self.copies[0][0].W_rz.dtype)
        steps = s.shape[2] if num_steps is None else check_size(who, "num_steps", num_steps, 0)
        valid = step_mask(who, data_of(s).transpose(2, 0, 1, 3), mask, lengths)
        if valid is None:
            for t in range(steps):
                for layer in self._at(t):
                    s = layer(s)  # (4)
            return s
        count = prefix_lengths(who, valid)[:, None, None, None]
        inside = valid.T[:, None, :, None]  # (B, 1, n, 1)
        s = where(inside, s, 0.0)
        for t in range(steps):
            before = s
            for layer in self._at(t):
                s = where(inside, layer(s), 0.0)  # (4)
            if num_steps is None:
                s = where(t < count, s, before)
        return s

    def relaxation_penalty(self, weight: float) -> Any:
        """Return (5), to be added to the loss; exactly 0 if the copies are equal.

        With weight 0 too: copies that a sequence shorter than R does not reach have their gradient
        from it alone.

        Raises:
            ValueError, TypeError: weight is not a number >= 0.
        """
        weight = check_float("ConvGRURecurrence", "weight", weight, 0.0)
        total: Any = 0.0
        for theta in self._relaxed():
            theta = stack(theta) - theta[0]  # moves the mean too, and equal copies to exactly 0
            apart = theta - mean(theta, 0, keepdims=True)
            total = total + (apart * apart).sum()
        return weight * total

    def unify(self) -> None:
        """Put the average of the copies in the place of all; from now on there is one.

        The parameters that stay are those of copy 0, in place. Make the optimiser again: the one
        before waits for gradients of the others.
        """
        for theta in self._relaxed():
            first = theta[0].data
            first += sum(x.data - first for x in theta) / len(theta)
        self.copies = ModuleList([self.copies[0]])

    def arguments(self) -> dict[str, Any]:
        """As Module.arguments, with the copies that there are now."""
        return super().arguments() | {"num_copies": len(self.copies)}

    def _at(self, t: int) -> Any:
        return self.copies[t % len(self.copies)]

    def _relaxed(self) -> list[tuple[Any, ...]]:
        """The R copies of every parameter."""
        layers = zip(*self.copies, strict=True)  # R lists of L → L tuples of R
        return [theta for row in layers for theta in zip(*(x.weights for x in row), strict=True)]


class NeuralGPU(Module):
    """A Neural GPU: symbols in, as many symbols out, worked on for as many steps.

        s_0: row 0, column t holds E[x_t]; elsewhere 0                          (6)
        s_n = n steps of (4)                                                    (7)
        y_t = s_n[row 0, column t] W + b, logits                                (8)

    Kaiser and Sutskever 2015, "Neural GPUs learn algorithms", arXiv:1511.08228v3; b is an addition.

    Args:
        num_symbols: V of the input, and of the output too unless num_outputs is given.
        channels: m.
        rng: draws the initial values.
        num_outputs: of y.
        width: w, rows of the image.
        num_layers, num_copies, kernel_size, cutoff, W_init: as ConvGRURecurrence.
        E_init: of E.
        dtype: float32 or float64.

    Attributes:
        E: (V, m). recurrence: of (7). head: the Linear of (8).

    Raises:
        ValueError, TypeError: out of range.
    """

    def __init__(
        self,
        num_symbols: int,
        channels: int,
        *,
        rng: np.random.Generator,
        num_outputs: int | None = None,
        width: int = 4,
        num_layers: int = 2,
        num_copies: int = 1,
        kernel_size: tuple[int, int] = (3, 3),
        cutoff: float = CUTOFF,
        W_init: Initializer = GLOROT,
        E_init: Initializer = UNIT,
        dtype: Any = np.float32,
    ) -> None:
        V = check_size("NeuralGPU", "num_symbols", num_symbols)
        O = V if num_outputs is None else check_size("NeuralGPU", "num_outputs", num_outputs)
        m = check_size("NeuralGPU", "channels", channels)
        self.width = check_size("NeuralGPU", "width", width)
        rng, dtype = check_rng("NeuralGPU", rng), float_dtype("NeuralGPU", dtype)
        check_initializer("NeuralGPU", "W_init", W_init)
        check_initializer("NeuralGPU", "E_init", E_init)
        self.E = Parameter(E_init(rng, (V, m), dtype))
        self.recurrence = ConvGRURecurrence(
            m,
            num_layers,
            rng=rng,
            num_copies=num_copies,
            kernel_size=kernel_size,
            cutoff=cutoff,
            W_init=W_init,
            dtype=dtype,
        )
        self.head = Linear(m, O, rng=rng, W_init=W_init, dtype=dtype)

    def forward(self, x: Any, *, mask: Any = None, lengths: Any = None) -> Any:
        """Return logits.

        Args:
            x: (T, B) integers in [0, V); anything at steps that do not count.
            mask: (T, B), nonzero where the step counts, the first ones of a sequence. Or None.
            lengths: (B,) the same as a mask: the first so many steps count.

        Returns:
            (T, B, O), zero at steps that do not count.

        Raises:
            ValueError, TypeError: shapes or dtypes that do not fit; a mask with gaps.
        """
        if not hasattr(x, "shape"):
            raise TypeError(f"NeuralGPU: x is a {type(x).__name__}, expected an array of integers")
        if len(x.shape) != 2 or 0 in x.shape:
            raise ValueError(f"NeuralGPU: x has shape {x.shape}, expected (T, B), both at least 1")
        if data_of(x).dtype.kind not in "iu":
            raise TypeError(f"NeuralGPU: x has dtype {x.dtype}, expected integers in [0, V)")
        valid = step_mask("NeuralGPU", x, mask, lengths)
        if valid is not None:
            x = array_module(valid).where(valid, data_of(x), 0)
        row = transpose(embedding(self.E, x), (1, 0, 2))  # (B, n, m)
        s = pad(expand_dims(row, 1), ((0, 0), (0, self.width - 1), (0, 0), (0, 0)))  # (6)
        s = self.recurrence(s, mask=valid)  # (7)
        y = self.head(transpose(s[:, 0], (1, 0, 2)))  # (8)
        return without_padding(y, valid)

    def relaxation_penalty(self, weight: float) -> Any:
        """As ConvGRURecurrence.relaxation_penalty; E and the head are not copied."""
        return self.recurrence.relaxation_penalty(weight)

    def unify(self) -> None:
        """As ConvGRURecurrence.unify."""
        self.recurrence.unify()

    def arguments(self) -> dict[str, Any]:
        """As Module.arguments, with the copies that there are now."""
        return super().arguments() | {"num_copies": len(self.recurrence.copies)}


def prefix_lengths(who: str, valid: Array) -> Array:
    """Return how many steps of (T, B) count in each sequence, if they are the first ones.

    Raises:
        ValueError: they are not.
    """
    count = valid.sum(0)
    if (valid[1:] > valid[:-1]).any():
        raise ValueError(f"{who}: the mask has gaps, expected the first steps of each sequence")
    return count


def _odd_pair(who: str, sizes: Any) -> tuple[int, int]:
    if not isinstance(sizes, (tuple, list)) or len(sizes) != 2:
        raise TypeError(f"{who}: kernel_size is {sizes!r}, expected a pair (K, L)")
    K, L = (check_size(who, "kernel_size", k) for k in sizes)
    if K % 2 == 0 or L % 2 == 0:
        raise ValueError(f"{who}: kernel_size is {sizes}, expected odd numbers, for a same-sized s")
    return K, L
