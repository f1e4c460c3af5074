"""Named random distributions for the first values of parameters.

Each is called with a generator, a shape and a dtype. Numbers are drawn in float64 and then rounded,
so that the same generator starts a float32 and a float64 model from the same values.

Weights are (fan_in, fan_out); more axes in front, as in a (K, C_in, C_out) convolution, multiply
both fans.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnseq.nn.arguments import check_float
from nnseq.nn.value import Value

Shape = tuple[int, ...]


class Initializer(Value, ABC):
    """A distribution. Subclasses are frozen dataclasses of JSON-able numbers."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        """Return a float64 array of that shape."""

    def __call__(
        self, rng: np.random.Generator, shape: Shape, dtype: Any = np.float32
    ) -> np.ndarray[Any, Any]:
        """Return an array of that shape and dtype, C-contiguous and its own."""
        return np.ascontiguousarray(self.draw(rng, shape).astype(dtype))


@dataclass(frozen=True)
class Constant(Initializer):
    """Every entry is value."""

    value: float = 0.0

    def __post_init__(self) -> None:
        check_float("Constant", "value", self.value, -math.inf)

    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        return np.full(shape, float(self.value))


@dataclass(frozen=True)
class Normal(Initializer):
    """N(mean, std²)."""

    std: float
    mean: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.std < math.inf or not math.isfinite(self.mean):
            raise ValueError(f"{self}: expected a finite std >= 0 and a finite mean")

    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        return rng.normal(self.mean, self.std, shape)


@dataclass(frozen=True)
class Uniform(Initializer):
    """U(low, high); rounding to float32 never leaves [low, high]."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.high < math.inf:
            raise ValueError(f"{self}: expected finite low <= high")

    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        return rng.uniform(self.low, self.high, shape)

    def __call__(
        self, rng: np.random.Generator, shape: Shape, dtype: Any = np.float32
    ) -> np.ndarray[Any, Any]:
        low, high = -rounded_down(-self.low, dtype), rounded_down(self.high, dtype)
        values = super().__call__(rng, shape, dtype)
        return values if low > high else np.clip(values, low, high)


@dataclass(frozen=True)
class GlorotUniform(Initializer):
    """U(-s, s), s = gain √(6 / (fan_in + fan_out)): variance gain² 2 / (fan_in + fan_out).

    Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS, their normalized initialization.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_float("GlorotUniform", "gain", self.gain, 0.0)

    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        s = self.gain * math.sqrt(6 / max(sum(fans(self, shape)), 1))
        return rng.uniform(-s, s, shape)


@dataclass(frozen=True)
class GlorotNormal(Initializer):
    """N(0, gain² 2 / (fan_in + fan_out)), the normal distribution of GlorotUniform's variance."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_float("GlorotNormal", "gain", self.gain, 0.0)

    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        return rng.normal(0, self.gain * math.sqrt(2 / max(sum(fans(self, shape)), 1)), shape)


@dataclass(frozen=True)
class HeNormal(Initializer):
    """N(0, gain² / fan_in); gain √2 is made for relu.

    He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers", arXiv:1502.01852v1. IndRNN on long
    tasks uses the gains √2/2 and √2/√T instead.
    """

    gain: float = math.sqrt(2)

    def __post_init__(self) -> None:
        check_float("HeNormal", "gain", self.gain, 0.0)

    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        return rng.normal(0, self.gain / math.sqrt(max(fans(self, shape)[0], 1)), shape)


@dataclass(frozen=True)
class KaimingUniform(Initializer):
    """U(-s, s), s = √(6 / ((1 + a²) fan_in)): He's variance for a leaky relu of slope a.

    a = 0 is the uniform counterpart of HeNormal() for relu, known as "He uniform". IndRNN's input
    weights use a = 8, that is s = √(6 / (65 fan_in)): a small start that lets the recurrence sum
    many steps.
    """

    a: float = 0.0

    def __post_init__(self) -> None:
        check_float("KaimingUniform", "a", self.a, -math.inf)

    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        s = math.sqrt(6 / ((1 + self.a**2) * max(fans(self, shape)[0], 1)))
        return rng.uniform(-s, s, shape)


@dataclass(frozen=True)
class Identity(Initializer):
    """scale on the diagonal of a matrix, 0 elsewhere (the IRNN start)."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_float("Identity", "scale", self.scale, 0.0)

    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        if len(shape) != 2:
            raise ValueError(f"{self}: got shape {shape}, expected a matrix")
        return self.scale * np.eye(*shape)


@dataclass(frozen=True)
class UniformUnitScaling(Initializer):
    """U(-s, s), s = factor √(3 / fan_in): variance factor² / fan_in.

    A linear layer then keeps the variance of its input (times factor²).
    """

    factor: float = 1.0

    def __post_init__(self) -> None:
        check_float("UniformUnitScaling", "factor", self.factor, 0.0, open_low=True)

    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        s = self.factor * math.sqrt(3 / max(fans(self, shape)[0], 1))
        return rng.uniform(-s, s, shape)


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """scale times a random matrix with orthonormal columns, or rows where it is wider than tall.

        W = scale U Vᵀ,   U S Vᵀ = A,   A_ij ~ N(0, 1)                          (1)

    U Vᵀ is uniform over the orthogonal matrices, for A's distribution is not changed by rotations
    from either side. U alone, which some programs take, is not: its signs are those that LAPACK
    happens to choose (over 2,000 draws of 5 × 5, U_11 is negative in 72 %, the mean of det U 0.78).
    Saxe, McClelland, Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks", arXiv:1312.6120v3. Axes in front of the last two are counted as rows.

    The same generator gives the same bits on one machine; another LAPACK may round differently.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_float("Orthogonal", "scale", self.scale, 0.0, open_low=True)

    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        fans(self, shape)
        return self.scale * orthonormal(rng, math.prod(shape[:-1]), shape[-1]).reshape(shape)


@dataclass(frozen=True)
class BlockOrthogonal(Initializer):
    """A matrix cut into square blocks, each scale times an independent orthogonal matrix.

    Blocks are n × n, n the greatest common divisor of the two sides: (H, 4H) is four matrices of
    (1) of Orthogonal, one for each gate, where Orthogonal itself gives orthonormal rows across the
    gates. Sides without a common divisor make n = 1, every entry ±scale, and are refused.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_float("BlockOrthogonal", "scale", self.scale, 0.0, open_low=True)

    def draw(self, rng: np.random.Generator, shape: Shape) -> np.ndarray[Any, Any]:
        n = math.gcd(*shape)
        if len(shape) != 2 or 0 in shape or n < min(2, *shape):
            raise ValueError(
                f"{self}: got shape {shape}, expected a matrix whose sides have a common divisor "
                f"above 1, such as (H, 4H); use Orthogonal"
            )
        height, width = shape[0] // n, shape[1] // n
        rows = [[orthonormal(rng, n, n) for _ in range(width)] for _ in range(height)]
        return self.scale * np.block(rows)


def check_initializer(who: str, name: str, init: Any) -> Initializer:
    """Return init.

    Raises:
        TypeError: not an Initializer.
    """
    if not isinstance(init, Initializer):
        raise TypeError(f"{who}: {name} is {init!r}, expected an initializer such as Normal(0.1)")
    return init


ZEROS = Constant(0.0)
GLOROT = GlorotUniform()
SMALL = KaimingUniform(8.0)


def orthonormal(rng: np.random.Generator, n: int, m: int) -> np.ndarray[Any, Any]:
    """A random (n, m) matrix with orthonormal columns, or rows where n < m."""
    U, _, Vt = np.linalg.svd(rng.standard_normal((n, m)), full_matrices=False)
    return np.asarray(U @ Vt)


def fans(initializer: Initializer, shape: Shape) -> tuple[int, int]:
    """Return (fan_in, fan_out) of weights (..., fan_in, fan_out).

    Raises:
        ValueError: fewer than two axes.
    """
    if len(shape) < 2:
        raise ValueError(f"{initializer}: got shape {shape}, expected weights (fan_in, fan_out)")
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def rounded_down(value: float, dtype: Any) -> Any:
    """Return the largest number of dtype that is not above value."""
    scalar = np.dtype(dtype).type
    nearest = scalar(value)
    return nearest if float(nearest) <= value else np.nextafter(nearest, scalar(-np.inf))
