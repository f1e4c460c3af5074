"""Rung 1 for Numba: every Numba-CUDA kernel type-checks and becomes PTX, with no GPU."""

from __future__ import annotations

from tests.gpu_ladder.processes import run_module


def test_every_numba_cuda_kernel_compiles_to_ptx() -> None:
    compiled = run_module("numba_ptx", variables={"NUMBA_ENABLE_CUDASIM": "0"})
    assert {tuple(one["capability"]) for one in compiled.values()} == {(8, 0), (9, 0), (10, 0)}
    # One float64 constant makes a float32 kernel compute in double precision, unseen and slowly.
    for name, one in compiled.items():
        assert one["has_double"] == one["wants_double"], f"{name} computes in the wrong precision"
