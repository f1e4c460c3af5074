"""Functions of single entries: exp, log, sqrt, sin, cos, power, abs, where, clip, maximum.

In each op, y is the output, and dy the gradient of the loss with respect to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nnseq.backend import Array, array_module
from nnseq.ops.arguments import data_of, float_array
from nnseq.tape import FLOATS, Op


class Exp(Op):
    def forward(self, x: Array) -> Array:
        y = array_module(x).exp(x)
        self.save(y)
        return y

    def backward(self, dy: Any) -> Any:
        (y,) = self.saved
        return dy * y


def exp(x: Any) -> Any:
    """Compute e^x."""
    float_array("exp", "x", x)
    return Exp.apply(x)


class Log(Op):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return array_module(x).log(x)

    def backward(self, dy: Any) -> Any:
        (x,) = self.saved
        return dy / x


def log(x: Any) -> Any:
    """Compute the natural logarithm."""
    float_array("log", "x", x)
    return Log.apply(x)


class Sqrt(Op):
    def forward(self, x: Array) -> Array:
        y = array_module(x).sqrt(x)
        self.save(y)
        return y

    def backward(self, dy: Any) -> Any:
        (y,) = self.saved
        return dy / (2 * y)


def sqrt(x: Any) -> Any:
    """Compute √x; its derivative at 0 is infinite."""
    float_array("sqrt", "x", x)
    return Sqrt.apply(x)


class Sin(Op):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return array_module(x).sin(x)

    def backward(self, dy: Any) -> Any:
        (x,) = self.saved
        return dy * cos(x)


def sin(x: Any) -> Any:
    """Compute sin x, x in radians."""
    float_array("sin", "x", x)
    return Sin.apply(x)


class Cos(Op):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return array_module(x).cos(x)

    def backward(self, dy: Any) -> Any:
        (x,) = self.saved
        return -(dy * sin(x))


def cos(x: Any) -> Any:
    """Compute cos x, x in radians."""
    float_array("cos", "x", x)
    return Cos.apply(x)


class Power(Op):
    def forward(self, x: Array, p: Array) -> Array:
        y = x**p
        self.save(x, p, y)
        return y

    def backward(self, dy: Any) -> Any:
        x, p, y = self.saved
        # At x = 0 the formulas would give 0 * inf: p x^(p-1) with p = 0, and y log x.
        x_is_0 = (data_of(x) == 0).astype(x.dtype)
        p_is_0 = (data_of(p) == 0).astype(x.dtype)
        dx = dy * (p * power(x, p - 1 + x_is_0 * p_is_0)) if self.needs[0] else None
        dp = dy * (y * log(x + x_is_0)) if self.needs[1] else None
        return dx, dp


def power(x: Any, p: Any) -> Any:
    """Compute x^p, differentiable in both; the shapes broadcast.

    Where only x needs a gradient and p is a number, x ** p is quicker.

    Args:
        x: base, Tensor, array or number. Where p needs a gradient, x ≥ 0.
        p: exponent, Tensor, array or number.

    Raises:
        TypeError: neither is a float Tensor or array, or their dtypes differ.
    """
    like = the_float("power", x, p)
    xp = array_module(like)
    x, p = (v if hasattr(v, "ndim") else xp.asarray(v, like.dtype) for v in (x, p))
    for name, v in (("x", x), ("p", p)):
        float_array("power", name, v)
    return Power.apply(x, p)


class Abs(Op):
    def forward(self, x: Array) -> Array:
        self.save(array_module(x).sign(x))
        return array_module(x).abs(x)

    def backward(self, dy: Any) -> Any:
        (sign,) = self.saved
        return dy * sign


def abs(x: Any) -> Any:
    """Compute |x|; the derivative at 0 is taken as 0."""
    float_array("abs", "x", x)
    return Abs.apply(x)


class Where(Op):
    is_arithmetic = True

    def forward(self, x: Array, y: Array, *, condition: Array) -> Array:
        self.save(condition)
        return array_module(condition).where(condition, x, y)

    def backward(self, dz: Any) -> Any:
        (condition,) = self.saved
        dx = where(condition, dz, 0.0) if self.needs[0] else None
        dy = where(condition, 0.0, dz) if self.needs[1] else None
        return dx, dy


def where(condition: Any, x: Any, y: Any) -> Any:
    """Take x where the condition holds and y elsewhere; the three shapes broadcast.

    Args:
        condition: bool; integers and floats count as true where they are not 0.
        x, y: Tensors, arrays or numbers, at least one of float32 or float64.

    Raises:
        TypeError: neither x nor y is float32 or float64, or their dtypes differ.
    """
    like = the_float("where", x, y)
    return Where.apply(x, y, condition=array_module(like).asarray(data_of(condition), dtype=bool))


class Clip(Op):
    def forward(self, x: Array, *, low: float, high: float) -> Array:
        self.save(~((x < low) | (x > high)))  # NaN is let through
        return array_module(x).clip(x, low, high)

    def backward(self, dy: Any) -> Any:
        (inside,) = self.saved
        return where(inside, dy, 0.0)


def clip(x: Any, low: float | None = None, high: float | None = None) -> Any:
    """Move x into [low, high]; outside, the derivative is 0, at the ends it is 1.

    Args:
        x: any float.
        low, high: numbers, or None for no limit on that side.

    Raises:
        ValueError: low > high.
    """
    float_array("clip", "x", x)
    low = -np.inf if low is None else float(low)
    high = np.inf if high is None else float(high)
    if not low <= high:
        raise ValueError(f"clip: got low = {low} and high = {high}, expected low <= high")
    return Clip.apply(x, low=low, high=high)


class Maximum(Op):
    is_arithmetic = True

    def forward(self, x: Array, y: Array) -> Array:
        self.save(x >= y)
        return array_module(the_float("maximum", x, y)).maximum(x, y)

    def backward(self, dz: Any) -> Any:
        (x_wins,) = self.saved
        return where(x_wins, dz, 0.0), where(x_wins, 0.0, dz)


def maximum(x: Any, y: Any) -> Any:
    """Take the larger of x and y; in a tie the gradient goes to x.

    Args:
        x, y: Tensors, arrays or numbers, at least one of float32 or float64; the shapes broadcast.
    """
    the_float("maximum", x, y)
    return Maximum.apply(x, y)


class Minimum(Op):
    is_arithmetic = True

    def forward(self, x: Array, y: Array) -> Array:
        self.save(x <= y)
        return array_module(the_float("minimum", x, y)).minimum(x, y)

    def backward(self, dz: Any) -> Any:
        (x_wins,) = self.saved
        return where(x_wins, dz, 0.0), where(x_wins, 0.0, dz)


def minimum(x: Any, y: Any) -> Any:
    """Take the smaller of x and y; in a tie the gradient goes to x. Args as for maximum."""
    the_float("minimum", x, y)
    return Minimum.apply(x, y)


def the_float(who: str, x: Any, y: Any) -> Array:
    """Return the array behind x or y, whichever is of float32 or float64 (x, if both are).

    Raises:
        TypeError: neither is.
    """
    for v in (data_of(x), data_of(y)):
        if hasattr(v, "dtype") and v.dtype in FLOATS:
            return v
    kinds = " and ".join(str(getattr(v, "dtype", type(v).__name__)) for v in (x, y))
    raise TypeError(f"{who}: got {kinds}, expected a float32 or float64 Tensor or array in one")
