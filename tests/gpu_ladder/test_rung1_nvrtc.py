"""Rung 1: every CUDA source compiles for every architecture, without spills, within its budget."""

from __future__ import annotations

from pathlib import Path

import pytest
from nnseq_kernels.registry import KERNELS

from tests.gpu_ladder.nvrtc import ARCHITECTURES, Compiled, compile_cubin, compile_registered

SPECS = {spec.name: spec for spec in KERNELS}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", SPECS)
def test_source_compiles_without_warnings(name: str, architecture: str) -> None:
    done = compile_registered(name, architecture)
    assert not done.warnings
    assert done.cubin.startswith(b"\x7fELF")
    assert set(done.resources) == {entry.name for entry in SPECS[name].entries}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", SPECS)
def test_entries_do_not_spill_and_keep_their_register_budget(name: str, architecture: str) -> None:
    budget = SPECS[name].registers[architecture]
    for entry, used in compile_registered(name, architecture).resources.items():
        assert used.spill_stores == used.spill_loads == 0, f"{entry} spills: {used}"
        assert 0 < used.registers <= budget, f"{entry}: {used.registers} registers, budget {budget}"


def compile_text(folder: Path, code: str) -> Compiled:
    source = folder / "snippet.cu"
    source.write_text(code)
    return compile_cubin([source], "90")


def test_a_spilling_kernel_is_seen(tmp_path: Path) -> None:
    # 64 values are needed twice, in opposite orders, where 1024 threads x 2 leave 32 registers.
    code = """
    extern "C" __global__ void __launch_bounds__(1024, 2) k(const volatile float* x, float* y) {
      float a[64], s = 0;
    #pragma unroll
      for (int i = 0; i < 64; ++i) s = s * (a[i] = x[i * 1024 + threadIdx.x]) + 1;
    #pragma unroll
      for (int i = 63; i >= 0; --i) s = s * a[i] + 1;
      y[threadIdx.x] = s;
    }
    """
    used = compile_text(tmp_path, code).resources["k"]
    assert used.spill_stores > 0
    assert used.spill_loads > 0


def test_resources_are_those_of_the_kernel(tmp_path: Path) -> None:
    code = """
    template <int N> __device__ float last(const float* x) {
      __shared__ float s[N];
      s[threadIdx.x] = x[threadIdx.x];
      __syncthreads();
      return s[N - 1 - threadIdx.x];
    }
    extern "C" __global__ void small(const float* x, float* y) { y[threadIdx.x] = last<64>(x); }
    extern "C" __global__ void large(const float* x, float* y) { y[threadIdx.x] = last<512>(x); }
    """
    used = compile_text(tmp_path, code).resources
    assert {name: r.shared_bytes for name, r in used.items()} == {"small": 256, "large": 2048}


def test_a_warning_about_our_file_is_seen(tmp_path: Path) -> None:
    code = 'extern "C" __global__ void k(float* y) { int unused; y[0] = 1; }'
    assert "snippet.cu(1)" in compile_text(tmp_path, code).warnings[0]


def test_an_error_comes_with_the_compilers_log(tmp_path: Path) -> None:
    code = 'extern "C" __global__ void k(float* y) { y[0] = INFINITY; }'
    with pytest.raises(RuntimeError, match='identifier "INFINITY" is undefined'):
        compile_text(tmp_path, code)
