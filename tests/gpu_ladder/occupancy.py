"""Rung 6: how many blocks of a kernel one multiprocessor holds, from what the compiler reports.

The arithmetic is that of NVIDIA's cuda_occupancy.h, for the architectures of the ladder; a test
compares the two. It decides two things without a GPU: whether a block can be launched at all, and
how large a grid may be whose blocks wait for each other.
"""

from __future__ import annotations

from dataclasses import dataclass

WARP = 32
REGISTERS = 65536  # per multiprocessor and per block
REGISTER_UNIT = 256  # a warp's registers are allocated in units of this
SCHEDULERS = 4  # a warp takes all its registers from one of four parts
MAX_BLOCKS, MAX_WARPS = 32, 64  # per multiprocessor
RESERVED_SHARED, SHARED_UNIT = 1024, 128  # bytes: the system's own per block; allocation unit


@dataclass(frozen=True)
class Gpu:
    """What differs between the GPUs; bytes of shared memory per multiprocessor and per block."""

    multiprocessors: int
    shared_bytes: int
    block_shared_bytes: int


GPUS = {
    "80": Gpu(108, 164 << 10, 163 << 10),  # A100
    "90": Gpu(132, 228 << 10, 227 << 10),  # H100 SXM, H200
    "100": Gpu(148, 228 << 10, 227 << 10),  # B200
}


def blocks_per_multiprocessor(
    architecture: str, threads: int, registers: int, shared_bytes: int
) -> int:
    """Returns how many blocks are resident at once; 0 when not even one fits.

    Args:
        architecture: "80", "90" or "100".
        threads: per block, 1 to 1024.
        registers: per thread, as the compiler reports them.
        shared_bytes: static and dynamic shared memory per block.
    """
    gpu = GPUS[architecture]
    warps = _units(threads, WARP)
    if shared_bytes > gpu.block_shared_bytes or not 1 <= threads <= 1024:
        return 0
    warp_registers = _units(registers * WARP, REGISTER_UNIT) * REGISTER_UNIT
    resident_warps = REGISTERS // SCHEDULERS // warp_registers * SCHEDULERS
    block_shared = _units(shared_bytes + RESERVED_SHARED, SHARED_UNIT) * SHARED_UNIT
    if _units(warps, SCHEDULERS) * SCHEDULERS * warp_registers > REGISTERS:
        return 0
    return min(
        MAX_BLOCKS,
        MAX_WARPS // warps,
        resident_warps // warps,
        gpu.shared_bytes // block_shared,
    )


def largest_cooperative_grid(
    architecture: str, threads: int, registers: int, shared_bytes: int
) -> int:
    """Returns how many blocks may wait for each other in one launch: all must be resident."""
    resident = blocks_per_multiprocessor(architecture, threads, registers, shared_bytes)
    return resident * GPUS[architecture].multiprocessors


def _units(amount: int, unit: int) -> int:
    return -(-amount // unit)
