"""The checks of every cell's kernels on a real GPU."""

from __future__ import annotations

from typing import Any

from tests.kernels.indrnn.parity import require_gpu
from tests.kernels.recurrence.parity import Case, cases, check

SIZES = [(9, 7, 33), (60, 32, 128), (1, 1, 1), (5, 1, 127), (3, 2, 300)]


def gpu_cases(op: str) -> list[Case]:
    """Every variant of a cell at one size, and few at sizes of real use, 1 and around a block."""
    return cases(SIZES, [op])


def check_on_gpu(case: Case, implementation: Any) -> None:
    """Compares three calls with the reference: step by step, recorded, replayed."""
    cupy = require_gpu()
    for _ in range(3):
        check(case, implementation, cupy.asarray, cupy.asnumpy)
