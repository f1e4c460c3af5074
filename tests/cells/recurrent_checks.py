"""What the tests of the recurrent cells share: run a cell by name, compare, compute it by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.cells.recurrent_cases import (
    CELLS,
    CONSTANT,
    EVERY,
    INPUTS,
    OUTPUTS,
    PER_STEP,
    Variant,
    draw,
    name_of,
    variants,
)

every_variant = pytest.mark.parametrize(("op", "variant"), EVERY, ids=name_of)
every_cell = pytest.mark.parametrize("op", CELLS)


def variant_named(op: str, label: str) -> Variant:
    """The variant of a cell with this label."""
    return next(variant for variant in variants(op) if variant.label == label)


def run(op: str, inputs: Any, options: Mapping[str, Any], doutputs: Any) -> dict[str, Any]:
    """Outputs and gradients of the reference by name; None where an input has no gradient."""
    outputs, saved = CELLS[op].forward(*inputs, **options)
    dinputs = CELLS[op].backward(saved, *doutputs)
    return dict(zip(OUTPUTS[op], outputs, strict=True)) | {
        f"d{name}": dx for name, dx in zip(INPUTS[op], dinputs, strict=True)
    }


def named(op: str, inputs: Any) -> dict[str, Any]:
    """The inputs of a cell by name."""
    return dict(zip(INPUTS[op], inputs, strict=True))


def states_of(op: str) -> tuple[str, ...]:
    """The names of a cell's states."""
    return OUTPUTS[op][: len(OUTPUTS[op]) // 2]


def assert_close(got: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float) -> None:
    """Compare arrays by name, relative to the largest entry of each."""
    for name, right in expected.items():
        if right is None:
            assert got[name] is None, name
            continue
        scale = np.abs(right).max(initial=1.0)
        np.testing.assert_allclose(got[name], right, rtol=0, atol=tolerance * scale, err_msg=name)


def by_hand(op: str, inputs: Any, step: Callable[..., Any]) -> dict[str, Any]:
    """Run a step of plain vectors over every sequence alone; return all values of each state.

    Args:
        step: step(v, *states) -> states, each (H,). v has the inputs by name: those of one step
            and one sequence, weights with 0 (z_h, z_c) or 1 (d_i) for None, and the parameters.
    """
    arrays = named(op, inputs)
    H, (T, B) = len(arrays["W_hh"]), arrays["a"].shape[:2]
    found: dict[str, Any] = {name: np.empty((T, B, H)) for name in states_of(op)}
    for b in range(B):
        states = [arrays[f"{name}0"][b] for name in states_of(op)]
        for t in range(T):
            v = SimpleNamespace(**arrays)
            for name, x in arrays.items():
                if name in CONSTANT and name != "mask":
                    weight = float(name == "d_i") if x is None else x
                    setattr(v, name, np.broadcast_to(weight, (T, B, H))[t, b])
                elif name in PER_STEP:
                    setattr(v, name, x[t, b])
            if v.mask is None or v.mask[t, b]:
                states = step(v, *states)
            for name, state in zip(states_of(op), states, strict=True):
                found[name][t, b] = state
    return found


def check_formula(op: str, variant: Variant, step: Callable[..., Any]) -> None:
    """Compare a cell's forward with its formulas written out for one sequence and one step."""
    inputs, options, _ = draw(op, variant, seed=11)
    expected = by_hand(op, inputs, lambda v, *states: step(v, *states, **options))
    outputs, _ = CELLS[op].forward(*inputs, **options)
    got = dict(zip(OUTPUTS[op], outputs, strict=True))
    assert_close(got, expected, 1e-13)
    assert_close(got, {f"{name}_T": h[-1] for name, h in expected.items()}, 1e-13)
