"""What the steps of several cases are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.case import Arrays, Prepare, Results, Step
from nnseq.backend import use_kernels

FLOAT = 4  # bytes of a float32


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    """Draw float32 entries of mean 0 and variance 1."""
    return rng.standard_normal(shape, np.float32)


def named(h: Any, names: Iterable[str], gradients: Iterable[Any]) -> dict[str, Any]:
    """Return h, and dx for every x of names."""
    return {"h": h, **{f"d{name}": g for name, g in zip(names, gradients, strict=True)}}


def without_kernels(prepare: Prepare) -> Prepare:
    """Return the peer "reference" of ours: the same with the kernels switched off."""

    def prepare_slow(arrays: Arrays, device: str) -> Step:
        step = prepare(arrays, device)

        def slow_step() -> Results:
            with use_kernels("reference"):
                return step()

        return slow_step

    return prepare_slow
