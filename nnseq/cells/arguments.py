"""What every recurrent cell checks before it runs."""

from __future__ import annotations

import math
from typing import Any

from nnseq.backend import Array, device_of
from nnseq.tape import FLOATS

# Shapes as they stand in docstrings and messages; "T | 1" is an axis of T or 1.
STATE = "(B, H)"
WEIGHT = "(T | 1, B | 1, H) or None"  # of zoneout and of input-gate dropout
MASK = "(T, B) or None"


def check_arrays(
    op: str, *, sizes_of: tuple[str, ...] = ("h0",), **arrays: tuple[Any, str]
) -> None:
    """Refuse arrays that do not fit each other.

    Args:
        op: the cell's name, for messages.
        sizes_of: the arrays whose shapes say what the letters mean, the first that has one. T is
            that of `a`; without sizes_of B and H are those of `h0`.
        arrays: name=(array, shape), in the order of the inputs. None passes where the shape ends
            in "or None".

    Raises:
        TypeError: no array; dtypes other than one float dtype for all but the mask; two devices.
        ValueError: a shape that does not fit.
    """
    given = {}
    for name, (array, shape) in arrays.items():
        if array is None and shape.endswith("or None"):
            continue
        if not hasattr(array, "dtype"):
            raise TypeError(
                f"{op}: {name} is a {type(array).__name__}, expected an array or a Tensor"
            )
        given[name] = array, _axes(shape.removesuffix(" or None"))
    for name in ("a", *sizes_of):
        array, axes = given[name]
        if array.ndim != len(axes):
            raise ValueError(f"{op}: {name} has shape {array.shape}, expected {arrays[name][1]}")
    sizes = {"T": given["a"][0].shape[0]}
    reasons = f"a has T = {sizes['T']}"
    for name in sizes_of:
        array, axes = given[name]
        new = {axis: n for axis, n in zip(axes, array.shape, strict=True) if axis not in sizes}
        sizes |= new
        reasons += f" and {name} has " + ", ".join(f"{axis} = {n}" for axis, n in new.items())
    for name, (array, axes) in given.items():
        _check_shape(op, name, array, axes, sizes, reasons)
    _check_dtypes(op, {name: array.dtype for name, (array, _) in given.items() if name != "mask"})
    if "mask" in given and given["mask"][0].dtype.kind not in "biuf":
        raise TypeError(
            f"{op}: mask is {given['mask'][0].dtype}, expected bool, whole numbers or floats"
        )
    devices = {name: device_of(array) for name, (array, _) in given.items()}
    for name, device in devices.items():
        if device != devices["a"]:
            raise TypeError(
                f"{op}: {name} is on {device!r} and a on {devices['a']!r}, expected one device; "
                f"bring them together with to_device"
            )


def check_number(op: str, name: str, value: Any, low: float = -math.inf) -> float:
    """Return value as a finite float that is at least low.

    Raises:
        ValueError, TypeError: it is not.
    """
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"{op}: {name} is {value!r}, expected a number")
    number = float(value)
    if not (math.isfinite(number) and number >= low):
        at_least = f" >= {low:g}" if math.isfinite(low) else ""
        raise ValueError(f"{op}: {name} is {value}, expected a finite number{at_least}")
    return number


def steps_that_count(mask: Array | None) -> Array | None:
    """Return the mask as bool."""
    return mask if mask is None or mask.dtype == bool else mask != 0


def _axes(shape: str) -> list[str]:
    return shape.strip("(,)").split(", ")


def _check_shape(
    op: str, name: str, array: Array, axes: list[str], sizes: dict[str, int], reasons: str
) -> None:
    def length(side: str) -> int:  # "H", "4H" or "3"
        return int(side) if side.isdigit() else int(side[:-1] or 1) * sizes[side[-1]]

    expected = [[length(side) for side in axis.split(" | ")] for axis in axes]
    fits = len(expected) == array.ndim and all(map(list.__contains__, expected, array.shape))
    if not fits:
        comma = "," if len(axes) == 1 else ""
        numbers = ", ".join(" | ".join(map(str, sides)) for sides in expected)
        raise ValueError(
            f"{op}: {name} has shape {tuple(array.shape)}, expected ({', '.join(axes)}{comma}) = "
            f"({numbers}{comma}) because {reasons}"
        )


def _check_dtypes(op: str, dtypes: dict[str, Any]) -> None:
    if dtypes["a"] not in FLOATS or len(set(dtypes.values())) > 1:
        raise TypeError(
            f"{op}: {', '.join(dtypes)} have dtypes {', '.join(map(str, dtypes.values()))}, "
            f"expected float32 for all or float64 for all"
        )
