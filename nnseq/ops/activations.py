"""Activations: tanh, sigmoid, relu, gelu, softplus, and erf."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.ops.arguments import data_of, float_array
from nnseq.ops.elementwise import exp, where
from nnseq.tape import Op


class Tanh(Op):
    def forward(self, x: Array) -> Array:
        y = array_module(x).tanh(x)
        self.save(y)
        return y

    def backward(self, dy: Any) -> Any:
        (y,) = self.saved
        return dy * (1 - y * y)


def tanh(x: Any) -> Any:
    """Compute tanh x."""
    float_array("tanh", "x", x)
    return Tanh.apply(x)


class Sigmoid(Op):
    def forward(self, x: Array) -> Array:
        y = 0.5 * array_module(x).tanh(0.5 * x) + 0.5
        self.save(y)
        return y

    def backward(self, dy: Any) -> Any:
        (y,) = self.saved
        return dy * (y * (1 - y))


def sigmoid(x: Any) -> Any:
    """Compute σ(x) = 1 / (1 + e⁻ˣ) = ½ tanh(x / 2) + ½, which cannot overflow."""
    float_array("sigmoid", "x", x)
    return Sigmoid.apply(x)


class Relu(Op):
    def forward(self, x: Array) -> Array:
        y = array_module(x).maximum(x, 0)
        self.save(y)
        return y

    def backward(self, dy: Any) -> Any:
        (y,) = self.saved
        return where(data_of(y) > 0, dy, 0.0)


def relu(x: Any) -> Any:
    """Compute max(x, 0); the derivative at 0 is taken as 0."""
    float_array("relu", "x", x)
    return Relu.apply(x)


class Softplus(Op):
    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        self.save(x)
        return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))

    def backward(self, dy: Any) -> Any:
        (x,) = self.saved
        return dy * sigmoid(x)


def softplus(x: Any) -> Any:
    """Compute log(1 + eˣ) = max(x, 0) + log(1 + e^-|x|), which cannot overflow."""
    float_array("softplus", "x", x)
    return Softplus.apply(x)


class Erf(Op):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return _special(x).erf(x)

    def backward(self, dy: Any) -> Any:
        (x,) = self.saved
        return dy * (2 / math.sqrt(math.pi) * exp(-(x * x)))


def erf(x: Any) -> Any:
    """Compute the error function, 2/√π ∫₀ˣ exp(-s²) ds."""
    float_array("erf", "x", x)
    return Erf.apply(x)


class Gelu(Op):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * normal_cdf(x)

    def backward(self, dy: Any) -> Any:
        (x,) = self.saved
        density = exp(-0.5 * (x * x)) * (1 / math.sqrt(2 * math.pi))
        return dy * (normal_cdf(x) + x * density)


def gelu(x: Any) -> Any:
    """Compute x Φ(x), Φ the distribution function of N(0, 1).

    Hendrycks & Gimpel 2016, Gaussian Error Linear Units, arXiv:1606.08415v5, section 2: the exact
    form, not the approximation through tanh.
    """
    float_array("gelu", "x", x)
    return Gelu.apply(x)


def normal_cdf(x: Any) -> Any:
    """Φ(x) = ½ (1 + erf(x / √2))."""
    return 0.5 * (1 + erf(x * math.sqrt(0.5)))


def _special(x: Array) -> Any:
    """The module with erf. Imported late: it costs 0.1 s, and few programs need it."""
    on_cpu = array_module(x) is np
    return importlib.import_module("scipy.special" if on_cpu else "cupyx.scipy.special")
