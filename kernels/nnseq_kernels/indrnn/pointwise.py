"""The activations of IndRNN as scalar functions for Numba: each forward, its backward below.

`undo` takes the gradient g_t of h_t = act(s_t), and h_t, and returns the gradient of s_t. Constants
have the dtype of the arrays: a Python number would make Numba compute in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnseq_kernels.cpu_jit import cpu_jit
from nnseq_kernels.tanh_float32 import tanh_float32

Pair = tuple[Callable[..., Any], Callable[..., Any]]


def pair(act: str, dtype: Any) -> Pair:
    """Return (activate, undo) of an activation for arrays of dtype float32 or float64."""
    return {"relu": _relu, "tanh": _tanh, "identity": _identity}[act](np.dtype(dtype).type)


def _relu(number: Any) -> Pair:
    zero = number(0)

    @cpu_jit()
    def relu(s):  # type: ignore[no-untyped-def]
        return zero if s < zero else s  # in this order NaN stays NaN

    @cpu_jit()
    def undo_relu(g_t, h_t):  # type: ignore[no-untyped-def]
        return g_t if h_t > zero else zero

    return relu, undo_relu


def _tanh(number: Any) -> Pair:
    one = number(1)
    library = tanh_float32 if number is np.float32 else math.tanh

    @cpu_jit()
    def tanh(s):  # type: ignore[no-untyped-def]
        return library(s)

    @cpu_jit()
    def undo_tanh(g_t, h_t):  # type: ignore[no-untyped-def]
        return g_t * (one - h_t * h_t)

    return tanh, undo_tanh


def _identity(number: Any) -> Pair:
    @cpu_jit()
    def identity(s):  # type: ignore[no-untyped-def]
        return s

    @cpu_jit()
    def undo_identity(g_t, h_t):  # type: ignore[no-untyped-def]
        return g_t

    return identity, undo_identity
