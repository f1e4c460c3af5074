"""Rung 3: the CUDA sources under AddressSanitizer and UndefinedBehaviorSanitizer, at all sizes."""

from __future__ import annotations

from nnseq_kernels.registry import KERNELS

from tests.gpu_ladder.processes import run_module


def test_cuda_sources_touch_only_their_memory() -> None:
    launches = run_module("sweep", "asan", "forward", "all", mode="asan")
    assert set(launches) == {entry.name for spec in KERNELS for entry in spec.entries}
