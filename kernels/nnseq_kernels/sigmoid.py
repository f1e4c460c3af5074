"""tanh and the logistic function for Numba loops, of either dtype."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from nnseq_kernels.cpu_jit import cpu_jit
from nnseq_kernels.tanh_float32 import tanh_float32


@cache
def tanh_and_sigmoid(dtype: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return (tanh, σ), σ(x) = ½ + ½ tanh(x / 2), for numbers of dtype float32 or float64."""
    half = np.dtype(dtype).type(0.5)
    tanh = tanh_float32 if np.dtype(dtype) == np.float32 else _tanh_float64

    @cpu_jit(error_model="numpy", fastmath={"contract"})
    def sigmoid(x):  # type: ignore[no-untyped-def]
        return half + half * tanh(half * x)

    return tanh, sigmoid


@cpu_jit(error_model="numpy", fastmath={"contract"})
def _tanh_float64(x):  # type: ignore[no-untyped-def]
    return math.tanh(x)
