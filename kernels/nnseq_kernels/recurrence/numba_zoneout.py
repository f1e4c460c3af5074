"""Zoneout for Numba loops: a part of the old state, and what its gradient is.

    keep(z, old, new) = z old + (1 - z) new        (1)
    part(z, ds) = z ds                             (2)

Without zoneout z is 0, and then neither an infinite old state nor an infinite gradient may turn
into NaN, as 0 · ∞ would: (1) is new itself and (2) is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from nnseq_kernels.cpu_jit import loop_jit


@cache
def keep_and_part(dtype: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return (1) and (2) for numbers of dtype float32 or float64."""
    zero, one = np.dtype(dtype).type(0), np.dtype(dtype).type(1)

    @loop_jit()
    def keep(z, old, new):  # type: ignore[no-untyped-def]
        return new if z == zero else z * old + (one - z) * new

    @loop_jit()
    def part(z, ds):  # type: ignore[no-untyped-def]
        return zero if z == zero else z * ds

    return keep, part
