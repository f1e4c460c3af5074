"""Rung 4: the CUDA sources under ThreadSanitizer: one size by default, all with `-m tsan`."""

from __future__ import annotations

import pytest
from nnseq_kernels.registry import KERNELS

from tests.gpu_ladder.processes import run_module


def test_cuda_sources_have_no_race_at_a_small_size() -> None:
    launches = run_module("sweep", "tsan", "forward", "smoke", mode="tsan")
    float32 = {e.name for spec in KERNELS for e in spec.entries if e.dtype == "float32"}
    assert set(launches) == float32


@pytest.mark.tsan
def test_cuda_sources_have_no_race_at_any_size() -> None:
    launches = run_module("sweep", "tsan", "forward", "all", mode="tsan")
    assert set(launches) == {entry.name for spec in KERNELS for entry in spec.entries}
