"""lstm.cu on a GPU. On the CPU tests/gpu_ladder runs it, and ../recurrence its time loop."""

from __future__ import annotations

import pytest
from nnseq_kernels.lstm import cupy_raw

from tests.kernels.recurrence.on_gpu import check_on_gpu, gpu_cases
from tests.kernels.recurrence.parity import Case


@pytest.mark.gpu
@pytest.mark.parametrize("case", gpu_cases("lstm"), ids=str)
def test_agrees_with_the_reference_on_a_gpu(case: Case) -> None:
    check_on_gpu(case, cupy_raw)
