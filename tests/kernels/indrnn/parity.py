"""What every implementation of the IndRNN recurrence must agree on with the reference.

Inputs of relu are drawn so that no pre-activation comes near the kink: a_t is moved away from it
wherever |a_t + u h_{t-1}| is small.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest

from nnseq.cells import indrnn as reference

ACTS = ("relu", "tanh", "identity")
KINK = 0.05
UPSTREAM = {"dh": (True, False), "dh_T": (False, True), "both": (True, True)}


class Case(NamedTuple):
    """One problem: sizes, dtype and options."""

    T: int
    B: int
    H: int
    dtype: str = "float64"
    act: str = "relu"
    masked: bool = False
    upstream: str = "both"
    step_clip: float = 0.0


class Drawn(NamedTuple):
    """The arrays of a case: inputs, and the gradients from above (None: that output is unused)."""

    a: Any
    u: Any
    h0: Any
    mask: Any
    dh: Any
    dh_T: Any


def cases(sizes: Any, dtypes: tuple[str, ...] = ("float64", "float32")) -> list[Case]:
    """All options at the first sizes; at the others, every act with and without a mask."""
    first, *others = sizes
    every = [
        Case(*first, *options)
        for options in product(dtypes, ACTS, (False, True), UPSTREAM, (0.0, 0.3))
    ]
    return every + [
        Case(*size, dtype, act, masked)
        for size, dtype, act, masked in product(others, dtypes, ACTS, (False, True))
    ]


def draw(case: Case, seed: int = 0) -> Drawn:
    """Draw the arrays of a case."""
    rng = np.random.default_rng(seed)
    T, B, H = case.T, case.B, case.H
    a, h0 = rng.standard_normal((T, B, H)), rng.standard_normal((B, H))
    u = rng.uniform(-0.9, 0.9, H)
    mask = rng.random((T, B)) < 0.7 if case.masked else None
    if case.act == "relu":
        h = h0
        for t in range(T):
            s = a[t] + u * h
            a[t] += np.where(np.abs(s) < KINK, np.where(s < 0, -KINK, KINK), 0)
            new = np.maximum(a[t] + u * h, 0)
            h = new if mask is None else np.where(mask[t][:, None], new, h)
    dh, dh_T = (
        rng.standard_normal(shape).astype(case.dtype) if wanted else None
        for shape, wanted in zip(((T, B, H), (B, H)), UPSTREAM[case.upstream], strict=True)
    )
    a, u, h0 = (x.astype(case.dtype) for x in (a, u, h0))
    return Drawn(a, u, h0, mask, dh, dh_T)


def run(case: Case, forward: Any, backward: Any, arrays: Any) -> list[Any]:
    """Run forward and backward; return h, h_T, da, du, dh0."""
    outputs, saved = forward(*arrays[:4], act=case.act, step_clip=case.step_clip)
    return [*outputs, *backward(saved, *arrays[4:])[:3]]


def require_gpu() -> Any:
    """Return cupy where it sees a GPU; skip the test elsewhere."""
    cupy = pytest.importorskip("cupy", reason="no GPU")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU")
    return cupy


def check(
    case: Case,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    put: Callable[[Any], Any] = lambda x: x,
    get: Callable[[Any], Any] = lambda x: x,
) -> None:
    """Compare an implementation with the reference computed in float64, array by array.

    The tolerance is relative to the largest entry of each array: 1e-10 in float64; in float32
    1e-5, and for du, a sum over T·B terms, 1e-5 √(T·B).
    """
    drawn = draw(case)
    ours = run(case, forward, backward, [None if x is None else put(x) for x in drawn])
    wide = [x if x is None or x.dtype == bool else x.astype(np.float64) for x in drawn]
    theirs = run(case, reference.forward, reference.backward, wide)
    for name, mine, right in zip(("h", "h_T", "da", "du", "dh0"), ours, theirs, strict=True):
        tolerance = 1e-10 if case.dtype == "float64" else 1e-5
        if name == "du" and case.dtype == "float32":
            tolerance *= np.sqrt(case.T * case.B)
        mine = get(mine)
        assert mine.dtype == case.dtype, name
        assert mine.shape == right.shape, name
        error = np.abs(mine - right).max(initial=0)
        underflow = np.finfo(case.dtype).tiny  # a carry that vanishes over T steps
        bound = tolerance * np.abs(right).max(initial=0) + underflow
        assert error <= bound, f"{name}: off by {error:.3g}"
