"""What every op asks of its arguments, and the errors when they do not fit."""

from __future__ import annotations

from typing import Any

from nnseq.backend import Array, array_module
from nnseq.tape import FLOATS, Node


def data_of(x: Any) -> Any:
    """The array behind a Tensor; anything else as it is."""
    return x.data if isinstance(x, Node) else x


def float_array(who: str, what: str, x: Any) -> Array:
    """Return the array behind x (array or Tensor).

    Raises:
        TypeError: x is neither, or not float32 or float64.
    """
    a = data_of(x)
    if not hasattr(a, "dtype") or not hasattr(a, "ndim"):
        raise TypeError(f"{who}: {what} is a {type(a).__name__}, expected a Tensor or an array")
    if a.dtype not in FLOATS:
        raise TypeError(f"{who}: {what} has dtype {a.dtype}, expected float32 or float64")
    return a


def integer_array(who: str, what: str, x: Any, low: int, high: int, like: Array) -> Array:
    """Return the integer array behind x, on the device of `like`, after a look at its range.

    An index that is out of range wraps around in silence on a GPU, so every device asks.

    Raises:
        TypeError: x is not an integer array.
        ValueError: an entry is outside [low, high).
    """
    a = array_module(like).asarray(data_of(x))
    if a.dtype.kind not in "iu":
        raise TypeError(f"{who}: {what} has dtype {a.dtype}, expected integers")
    if a.size and (a.min() < low or a.max() >= high):
        raise ValueError(
            f"{who}: {what} has entries from {int(a.min())} to {int(a.max())}, "
            f"expected from {low} to {high - 1}"
        )
    return a


def positive_axis(who: str, axis: int, ndim: int) -> int:
    """Return axis counted from the front.

    Raises:
        ValueError: axis is not in [-ndim, ndim).
    """
    if not -ndim <= axis < ndim:
        raise ValueError(f"{who}: got axis {axis}, expected one in [-{ndim}, {ndim})")
    return axis % ndim


def expect_shape(who: str, what: str, x: Any, shape: tuple[int, ...], because: str) -> None:
    """Raise ValueError unless x has this shape; because says where the shape comes from.

    Raises:
        TypeError: x is neither a Tensor nor an array.
    """
    got = getattr(data_of(x), "shape", None)
    if got is None:
        raise TypeError(f"{who}: {what} is a {type(x).__name__}, expected a Tensor or an array")
    if got != shape:
        raise ValueError(f"{who}: {what} has shape {got}, expected {shape} because {because}")
