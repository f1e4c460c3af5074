"""The Numba-CUDA kernels: in Numba's simulator on the CPU, and on a GPU where there is one.

The simulator must be chosen before Numba is imported, so it runs in a process of its own, which
calls `check_in_the_simulator` of this file.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnseq.cells import indrnn as reference
from tests.kernels.indrnn.parity import Case, cases, check, draw, require_gpu, run

ROOT = Path(__file__).parents[3]
# Around the 64 threads of a block; the simulator takes milliseconds per thread and step.
SIMULATOR_SIZES = [(3, 2, 5), (1, 1, 1), (4, 1, 64), (2, 5, 13)]
GPU_SIZES = [(300, 50, 128), (1, 1, 1), (3, 2, 5), (9, 1, 63), (9, 1, 64), (33, 5, 13)]


def check_in_the_simulator() -> None:
    """Compares every case with the reference, and what no case covers; prints how many."""
    import numba.cuda
    from nnseq_kernels.indrnn import numba_cuda

    assert numba.config.ENABLE_CUDASIM, "this is not the simulator"
    assert "numba_cuda" in numba.cuda.__file__, "this is Numba's own, older CUDA target"
    every = cases(SIMULATOR_SIZES)
    for case in every:
        try:
            check(case, numba_cuda.forward, numba_cuda.backward)
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from None
    check_nan_and_padding(numba_cuda)
    check_empty_axes(numba_cuda)
    print(f"{len(every)} cases agree")


def check_nan_and_padding(kernels: Any) -> None:
    """NaN stays NaN; at a padded step nothing is read into the state."""
    for act in ("relu", "tanh", "identity"):
        a, u, h0, *_ = draw(Case(4, 1, 3, act=act))
        a[2, 0, 1] = np.nan
        (h, _), _ = kernels.forward(a, u, h0, None, act=act, step_clip=0.0)
        assert np.isnan(h[2:, 0, 1]).all(), act
        assert np.isfinite(h[:, 0, [0, 2]]).all(), act
        mask = np.array([[True], [True], [False], [True]])
        (h, _), _ = kernels.forward(a, u, h0, mask, act=act, step_clip=0.0)
        assert np.isfinite(h).all(), act


def check_empty_axes(kernels: Any) -> None:
    """T, B or H = 0 give what the reference gives."""
    for size in ((0, 3, 5), (4, 0, 5), (4, 3, 0)):
        case = Case(*size)
        ours = run(case, kernels.forward, kernels.backward, draw(case))
        theirs = run(case, reference.forward, reference.backward, draw(case))
        assert all(np.array_equal(x, y) for x, y in zip(ours, theirs, strict=True)), size


def test_agrees_with_the_reference_in_the_simulator() -> None:
    environment = os.environ | {
        "NUMBA_ENABLE_CUDASIM": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")]),
    }
    script = "from tests.kernels.indrnn import test_numba_cuda as t; t.check_in_the_simulator()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(cases(SIMULATOR_SIZES))} cases agree\n"


@pytest.mark.gpu
@pytest.mark.parametrize("case", cases(GPU_SIZES), ids=str)
def test_agrees_with_the_reference_on_a_gpu(case: Case) -> None:
    cupy = require_gpu()
    from nnseq_kernels.indrnn import numba_cuda

    check(case, numba_cuda.forward, numba_cuda.backward, cupy.asarray, cupy.asnumpy)


@pytest.mark.gpu
def test_agrees_with_cupys_kernels_on_a_gpu() -> None:
    cupy = require_gpu()
    from nnseq_kernels.indrnn import cupy_raw, numba_cuda

    case = Case(300, 9, 33, "float64", "tanh", masked=True)
    drawn = [cupy.asarray(array) for array in draw(case)]
    one, other = (run(case, k.forward, k.backward, drawn) for k in (cupy_raw, numba_cuda))
    for x, y in zip(one, other, strict=True):
        cupy.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)


def test_numpy_arrays_are_refused_outside_the_simulator() -> None:
    from nnseq_kernels.indrnn import numba_cuda

    drawn = draw(Case(2, 1, 3))
    with pytest.raises(TypeError, match=r"got a numpy\.ndarray, expected a cupy\.ndarray"):
        numba_cuda.forward(*drawn[:4], act="relu", step_clip=0.0)


def test_an_unknown_act_or_dtype_is_refused_by_name() -> None:
    from nnseq_kernels.indrnn import numba_cuda

    with pytest.raises(ValueError, match="'gelu' of float32, expected one of relu"):
        numba_cuda.kernels("gelu", "float32", False, True)
    with pytest.raises(ValueError, match="of float16"):
        numba_cuda.kernels("relu", "float16", False, True)


def test_signatures_are_those_of_the_reference() -> None:
    from nnseq_kernels.indrnn import numba_cuda

    for name in ("forward", "backward"):
        ours = inspect.signature(getattr(numba_cuda, name)).parameters
        theirs = inspect.signature(getattr(reference, name)).parameters
        assert [(p.name, p.kind) for p in ours.values()] == [
            (p.name, p.kind) for p in theirs.values()
        ]
