"""What every implementation of a recurrent cell must agree on with the reference.

An implementation is a module with forward and backward. The cases are those of
tests/cells/recurrent_cases.py: every option of every cell, none of them near a kink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from tests.cells.recurrent_cases import CELLS, INPUTS, OUTPUTS, Variant, draw, variants

SUMS = ("dW_hh", "dp", "db_hn", "db_x")  # sums over all steps and sequences
FEW = ("plain", "all fresh", "all per unit")  # the ends of the labels that other sizes run with
DTYPES = ("float64", "float32")

Move = Callable[[Any], Any]


class Case(NamedTuple):
    """One problem: a cell with some of its options, sizes, dtype."""

    op: str
    variant: Variant
    T: int
    B: int
    H: int
    dtype: str = "float64"

    def __str__(self) -> str:
        return f"{self.op}-{self.variant.label}-{self.T}x{self.B}x{self.H}-{self.dtype}"


def cases(
    sizes: Iterable[tuple[int, int, int]],
    ops: Iterable[str] = CELLS,
    dtypes: Iterable[str] = DTYPES,
) -> list[Case]:
    """All variants at the first size; at the others, without any option and with all of them."""
    first, *others = sizes
    return [
        Case(op, variant, *size, dtype)
        for op in ops
        for dtype in dtypes
        for size in (first, *others)
        for variant in variants(op)
        if size == first or variant.label.endswith(FEW)
    ]


def run(implementation: Any, op: str, inputs: Any, options: Any, doutputs: Any) -> dict[str, Any]:
    """Outputs and gradients by name; None where an input has no gradient."""
    outputs, saved = implementation.forward(*inputs, **options)
    dinputs = implementation.backward(saved, *doutputs)
    return dict(zip(OUTPUTS[op], outputs, strict=True)) | {
        f"d{name}": dx for name, dx in zip(INPUTS[op], dinputs, strict=True)
    }


def widened(arrays: Iterable[Any]) -> list[Any]:
    """The same numbers in float64."""
    return [x if x is None or x.dtype == bool else x.astype(np.float64) for x in arrays]


def check(
    case: Case,
    implementation: Any,
    put: Move = lambda x: x,
    get: Move = lambda x: x,
    upstream: Iterable[str] | None = None,
) -> None:
    """Compare an implementation with the reference computed in float64, array by array.

    The tolerance is relative to the largest entry of each array: 1e-10 in float64; in float32
    1e-5, and for sums over T·B terms 1e-5 √(T·B).

    Args:
        case: what to run.
        implementation: a module with forward and backward.
        put, get: bring an array to the implementation's device, and back.
        upstream: names of the outputs that have a gradient; None for all.
    """
    op, variant, T, B, H, dtype = case
    inputs, options, doutputs = draw(op, variant, T, B, H, dtype)
    if upstream is not None:
        named = zip(OUTPUTS[op], doutputs, strict=True)
        doutputs = tuple(dy if name in upstream else None for name, dy in named)
    there = [[None if x is None else put(x) for x in arrays] for arrays in (inputs, doutputs)]
    got = run(implementation, op, there[0], options, there[1])
    expected = run(CELLS[op], op, widened(inputs), options, widened(doutputs))
    for name, right in expected.items():
        mine = got[name]
        if right is None:
            assert mine is None, name
            continue
        assert mine is not None, f"{name} is None, expected an array {right.shape}"
        mine = get(mine)
        assert mine.dtype == dtype, name
        assert mine.shape == right.shape, name
        tolerance = 1e-10 if dtype == "float64" else 1e-5
        if name in SUMS and dtype == "float32":
            tolerance *= np.sqrt(T * B)
        error = np.abs(mine - right).max(initial=0)
        underflow = np.finfo(dtype).tiny  # a carry that vanishes over T steps
        bound = tolerance * np.abs(right).max(initial=0) + underflow
        assert error <= bound, f"{name}: off by {error:.3g}, allowed {bound:.3g}"


def check_infinite_state(op: str, implementation: Any) -> None:
    """0 · ∞ is NaN: zoneout that is not there must not multiply.

    In an Elman cell with relu and negative weights ∞ becomes 0 again; the others saturate.
    """
    inputs, options, doutputs = draw(op, variants(op)[0], 3, 2, 4)  # plain
    arrays = dict(zip(INPUTS[op], inputs, strict=True))
    arrays["h0"][1, 2] = np.inf
    if op == "elman":
        options["act"] = "relu"
        arrays["W_hh"][:] = -np.abs(arrays["W_hh"]) - 0.1
    with np.errstate(invalid="ignore"):  # ∞ - ∞ in sums
        got, expected = (
            run(cell, op, arrays.values(), options, doutputs)
            for cell in (implementation, CELLS[op])
        )
    for name in ("h", "h_T"):
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-10, err_msg=name)
