"""The compiled CPU loop of every recurrent cell against the reference."""

import importlib
import inspect

import numpy as np
import pytest
from nnseq_kernels.recurrence.numba_host import LEAST

from nnseq.tensor import Tensor, grad
from tests.cells.recurrent_cases import CELLS, OUTPUTS, as_function, draw
from tests.cells.recurrent_checks import every_cell, variant_named
from tests.kernels.recurrence.parity import Case, cases, check, run

KERNELS = {op: importlib.import_module(f"nnseq_kernels.{op}.numba_cpu") for op in CELLS}

# A tile has 6 or 8 rows and 8 to 32 columns: B = 9 and H = 17, 33 are just above one. The last is
# work for two threads, with B not divisible by two, and fills several chunks of the sum for dW.
SIZES = [(4, 3, 5), (1, 1, 1), (7, 1, 33), (3, 9, 17), (2 * LEAST // (7 * 33 * 33) + 1, 7, 33)]


@pytest.mark.parametrize("case", cases(SIZES), ids=str)
def test_agrees_with_the_reference(case):
    check(case, KERNELS[case.op])


@pytest.mark.parametrize("label", ["plain", "all per unit"])
@every_cell
def test_agrees_with_the_reference_where_some_outputs_have_no_gradient(op, label):
    case = Case(op, variant_named(op, label), 4, 3, 5)
    for upstream in [(), *((name,) for name in OUTPUTS[op])]:
        check(case, KERNELS[op], upstream=upstream)


@every_cell
def test_has_the_signature_of_the_reference(op):
    for name in ("forward", "backward"):
        mine, theirs = (
            [(p.name, p.kind) for p in inspect.signature(getattr(m, name)).parameters.values()]
            for m in (KERNELS[op], CELLS[op])
        )
        assert mine == theirs, name


@pytest.mark.parametrize("label", ["plain", "all per unit"])
@every_cell
def test_the_op_runs_the_kernel_and_hands_on_its_gradients(op, label):
    inputs, options, doutputs = draw(op, variant_named(op, label))
    expected = run(KERNELS[op], op, inputs, options, doutputs)
    f, xs = as_function(op, inputs, options, kernels="numba")
    xs = [Tensor(x, requires_grad=True) for x in xs]
    outputs = f(*xs)
    for name, y in zip(OUTPUTS[op], outputs, strict=True):
        np.testing.assert_array_equal(y.data, expected[name])
    total = sum((y * dy).sum() for y, dy in zip(outputs, doutputs, strict=True))
    right = [dx for name, dx in expected.items() if name.startswith("d") and dx is not None]
    for dx, same in zip(grad(total, xs), right, strict=True):
        np.testing.assert_allclose(dx.data, same, rtol=1e-13, atol=1e-13)
