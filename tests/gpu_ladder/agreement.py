"""Whether an implementation gives what the reference gives, forward and backward."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from .examples import Example

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}  # of the array's largest entry


class Pair(NamedTuple):
    """forward and backward of one implementation."""

    forward: Any
    backward: Any


def reference(module: str) -> Pair:
    """The reference of an op, from the dotted name in its spec."""
    loaded = importlib.import_module(module)
    return Pair(loaded.forward, loaded.backward)


def assert_agrees(ours: Pair, expected: Pair, example: Example) -> None:
    """Compares all outputs and gradients; raises AssertionError with the first that differs.

    Also that backward leaves what forward saved, and the gradients it was given, as they were.
    """
    outputs, saved = ours.forward(*example.inputs, **example.options)
    expected_outputs, expected_saved = expected.forward(*example.inputs, **example.options)
    _compare(f"{example.label}: output", outputs, expected_outputs)

    read_only = list(_arrays((*saved, *example.inputs, *example.doutputs)))
    before = [x.copy() for x in read_only]
    gradients = ours.backward(saved, *example.doutputs)
    expected_gradients = expected.backward(expected_saved, *example.doutputs)
    _compare(f"{example.label}: gradient", gradients, expected_gradients)
    for array, copy in zip(read_only, before, strict=True):
        assert np.array_equal(array, copy, equal_nan=array.dtype != bool), (
            f"{example.label}: backward wrote into its input"
        )


def _arrays(values: Any) -> Iterator[np.ndarray[Any, Any]]:
    """All arrays in a tuple, list or dict, at any depth."""
    for x in values.values() if isinstance(values, dict) else values:
        if isinstance(x, np.ndarray):
            yield x
        elif isinstance(x, dict | list | tuple):
            yield from _arrays(x)


def _compare(what: str, came: Any, expected: Any) -> None:
    for i, (x, y) in enumerate(zip(came, expected, strict=True)):
        if y is None:
            assert x is None, f"{what} {i}: expected None"
            continue
        assert x.dtype == y.dtype, f"{what} {i}: dtype {x.dtype}, expected {y.dtype}"
        assert x.shape == y.shape, f"{what} {i}: shape {x.shape}, expected {y.shape}"
        bound = TOLERANCE[str(y.dtype)] * np.abs(y).max(initial=np.finfo(y.dtype).tiny)
        error = np.abs(x - y).max(initial=0)
        assert error <= bound, f"{what} {i}: differs by {error:.3g}, at most {bound:.3g} allowed"
