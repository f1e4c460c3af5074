"""mut1's Numba-CUDA kernels on a GPU; tests/gpu_ladder runs them in the simulator."""

from __future__ import annotations

import numpy as np
import pytest
from nnseq_kernels.mut1 import numba_cuda

from tests.cells.recurrent_cases import draw, variants
from tests.kernels.recurrence.on_gpu import check_on_gpu, gpu_cases
from tests.kernels.recurrence.parity import Case


@pytest.mark.gpu
@pytest.mark.parametrize("case", gpu_cases("mut1"), ids=str)
def test_agrees_with_the_reference_on_a_gpu(case: Case) -> None:
    check_on_gpu(case, numba_cuda)


def test_numpy_arrays_are_refused_outside_the_simulator() -> None:
    inputs, options, _ = draw("mut1", variants("mut1")[0], 2, 1, 3, np.float32)
    with pytest.raises(TypeError, match=r"mut1: got a numpy\.ndarray, expected a cupy\.ndarray"):
        numba_cuda.forward(*inputs, **options)
