"""Checks of constructor and call arguments that the layers share."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnseq.tape import FLOATS


def check_size(who: str, name: str, value: Any, least: int = 1) -> int:
    """Return value as an int.

    Raises:
        TypeError: not a whole number.
        ValueError: below least.
    """
    try:
        size = operator.index(value)
    except TypeError:
        size = None
    if size is None or isinstance(value, bool):
        raise TypeError(f"{who}: {name} is {value!r}, expected a whole number")
    if size < least:
        raise ValueError(f"{who}: {name} is {size}, expected at least {least}")
    return size


def check_float(
    who: str, name: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False
) -> float:
    """Return value as a finite float in [low, high], or (low, high] under open_low.

    Raises:
        TypeError: not a number.
        ValueError: outside.
    """
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"{who}: {name} is {value!r}, expected a number")
    try:
        number = float(value)
    except OverflowError:  # of an int
        number = math.inf if value > 0 else -math.inf
    inside = low < number <= high if open_low else low <= number <= high
    if not inside or not math.isfinite(number):
        left = "(" if open_low or low == -math.inf else "["
        right = "]" if high < math.inf else ")"
        raise ValueError(
            f"{who}: {name} is {number}, expected a number in {left}{low}, {high}{right}"
        )
    return number


def check_flag(who: str, name: str, value: Any) -> bool:
    """Return value, True or False.

    Raises:
        TypeError: something else, such as "no", which Python would take for True.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{who}: {name} is {value!r}, expected True or False")
    return bool(value)


def check_choice(who: str, name: str, value: Any, choices: Sequence[Any]) -> Any:
    """Return value.

    Raises:
        ValueError: not one of choices; True and False are not 1 and 0.
    """
    if not any(value == c and isinstance(value, bool) == isinstance(c, bool) for c in choices):
        raise ValueError(
            f"{who}: {name} is {value!r}, expected one of {', '.join(map(repr, choices))}"
        )
    return value


def float_dtype(who: str, dtype: Any) -> np.dtype[Any]:
    """Return dtype as float32 or float64.

    Raises:
        TypeError: another dtype.
    """
    found: np.dtype[Any] = np.dtype(dtype)
    if found not in FLOATS:
        raise TypeError(f"{who}: dtype is {found}, expected float32 or float64")
    return found


def check_rng(who: str, rng: Any) -> Any:
    """Return rng, a generator of NumPy's or CuPy's kind.

    Raises:
        TypeError: something else, such as a seed or None.
    """
    if not (hasattr(rng, "random") and hasattr(rng, "bit_generator")):
        raise TypeError(
            f"{who}: rng is {rng!r}, expected a generator such as np.random.default_rng(seed)"
        )
    return rng


def check_features(who: str, name: str, x: Any, size: int, letters: str) -> None:
    """Refuse x unless it has as many axes as letters names, and size entries along the last.

    Args:
        letters: such as "(T, B, D)".

    Raises:
        TypeError: neither an array nor a Tensor.
        ValueError: another shape.
    """
    if not hasattr(x, "shape"):
        raise TypeError(f"{who}: {name} is a {type(x).__name__}, expected an array or a Tensor")
    shape = tuple(x.shape)
    if len(shape) != letters.count(",") + 1 or shape[-1] != size:
        last = letters.rpartition(" ")[2].rstrip(")")
        raise ValueError(
            f"{who}: {name} has shape {shape}, expected {letters} with {last} = {size}"
        )


def check_dtype(who: str, name: str, x: Any, dtype: Any) -> None:
    """Refuse x, an array or a Tensor, unless it has the dtype of the layer's parameters.

    Raises:
        TypeError: another dtype.
    """
    if x.dtype != dtype:
        raise TypeError(
            f"{who}: {name} has dtype {x.dtype}, expected {dtype} as the parameters have; "
            f"convert it, or the layer with astype"
        )


def check_state(
    who: str, name: str, state: Any, shape: tuple[int, ...], letters: str, dtype: Any
) -> None:
    """Refuse a given state unless it has this shape, and the dtype of x.

    Args:
        letters: what the axes of shape are, such as "(B, H)".

    Raises:
        TypeError: neither an array nor a Tensor, or another dtype.
        ValueError: another shape.
    """
    if not hasattr(state, "dtype"):
        raise TypeError(
            f"{who}: {name} is a {type(state).__name__}, expected an array or a Tensor {shape}"
        )
    if tuple(state.shape) != shape:
        raise ValueError(
            f"{who}: {name} has shape {tuple(state.shape)}, expected {letters} = {shape}"
        )
    if state.dtype != dtype:
        raise TypeError(f"{who}: {name} has dtype {state.dtype}, expected {dtype} as x has")
