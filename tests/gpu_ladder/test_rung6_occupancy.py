"""Rung 6: every kernel can be launched with its block, and the arithmetic is NVIDIA's."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
from pathlib import Path

import numpy as np
import pytest
from nnseq_kernels.registry import KERNELS
from nnseq_kernels.spec import KernelSpec

from tests.gpu_ladder import nvrtc
from tests.gpu_ladder.occupancy import (
    GPUS,
    blocks_per_multiprocessor,
    largest_cooperative_grid,
)

THREADS = (1, 32, 33, 96, 160, 256, 736, 1024)
REGISTERS = (16, 32, 33, 65, 90, 128, 168, 255)
SHARED = (0, 128, 1152, 16384, 49152, 100_000, 163_840, 200_000, 232_448, 240_000)


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("spec", KERNELS, ids=lambda spec: spec.name)
def test_a_block_of_every_entry_fits(spec: KernelSpec, architecture: str) -> None:
    resources = nvrtc.compile_registered(spec.name, architecture).resources
    for entry, sizes in itertools.product(spec.entries, spec.examples):
        launch, used = spec.launch(entry, sizes), resources[entry.name]
        threads, shared = int(np.prod(launch.block)), used.shared_bytes + launch.shared_bytes
        resident = blocks_per_multiprocessor(architecture, threads, used.registers, shared)
        assert resident >= 1, f"{entry.name}: {launch}, {used}"


def test_arithmetic_is_that_of_nvidias_header(tmp_path: Path) -> None:
    includes = [o for o in nvrtc.cupy_options("", (), "90") if o.startswith("-I")]
    source, library = Path(__file__).with_name("occupancy_header.cpp"), tmp_path / "header.so"
    subprocess.run(
        ["g++", "-O1", "-shared", "-fPIC", *includes, str(source), "-o", str(library)], check=True
    )
    header_blocks = ctypes.CDLL(str(library)).header_blocks
    for architecture, gpu in GPUS.items():
        for threads, registers, shared in itertools.product(THREADS, REGISTERS, SHARED):
            ours = blocks_per_multiprocessor(architecture, threads, registers, shared)
            limits = (int(architecture) // 10, gpu.shared_bytes, gpu.block_shared_bytes)
            theirs = header_blocks(*limits, threads, registers, shared)
            assert ours == theirs, f"sm_{architecture}: {threads}, {registers}, {shared}"


def test_cooperative_grid_is_what_is_resident_on_all_multiprocessors() -> None:
    # 64 registers x 256 threads: 4 blocks fill the 65536 registers of an SM; an H100 has 132 SMs.
    assert largest_cooperative_grid("90", 256, 64, 0) == 4 * 132
