"""The launches of indrnn.cu: entries, their parameters, grids and blocks; no CUDA needed."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Literal

from nnseq_kernels.spec import C_TYPES, Entry, KernelSpec, Launch, Parameter, Sizes

BLOCK = (32, 8)  # columns x warps that take turns in time (or in the batch, in the sum)
MAX_AXIS = 2**30  # the kernels count steps in 32-bit integers and look some tiles ahead

C_ACTS = {"relu": "RELU", "tanh": "TANH", "identity": "IDENTITY"}

Stem = Literal["forward", "backward"]


def entry_name(stem: Stem, dtype: str, act: str, masked: bool) -> str:
    """Returns the name expression of the instantiation for this dtype, act and mask."""
    return f"indrnn_{stem}<{C_TYPES[dtype]}, {C_ACTS[act]}, {str(masked).lower()}>"


def sum_name(dtype: str) -> str:
    """Returns the name expression of the sum over the batch."""
    return f"indrnn_sum_over_batch<{C_TYPES[dtype]}>"


def launch(entry: Entry, sizes: Sizes) -> Launch:
    """Returns grid and block of one entry for the sizes T, B, H.

    Raises:
        ValueError: an axis is empty (there is nothing to launch) or too long for the kernels.
    """
    for axis in "TBH":
        if not 0 < sizes[axis] <= MAX_AXIS:
            raise ValueError(
                f"indrnn: {axis} = {sizes[axis]}, expected 1 to {MAX_AXIS}; "
                "return early for empty inputs, split longer ones"
            )
    columns = sizes["H"] if entry.name == sum_name(entry.dtype) else sizes["B"] * sizes["H"]
    return Launch(grid=(-(-columns // BLOCK[0]),), block=BLOCK)


def _parameters(stem: Stem, dtype: str) -> tuple[Parameter, ...]:
    """Returns the parameters of indrnn_forward or indrnn_backward, as in the C++ signature."""
    sizes = tuple(Parameter(axis, "scalar", "int32") for axis in "TBH")
    if stem == "forward":
        return (
            Parameter("a", "in", dtype, "T B H"),
            Parameter("u", "in", dtype, "H"),
            Parameter("h0", "in", dtype, "B H"),
            Parameter("mask", "optional", "uint8", "T B"),
            Parameter("h", "out", dtype, "T B H"),
            Parameter("h_T", "out", dtype, "B H"),
            *sizes,
        )
    return (
        Parameter("h", "in", dtype, "T B H"),
        Parameter("u", "in", dtype, "H"),
        Parameter("h0", "in", dtype, "B H"),
        Parameter("mask", "optional", "uint8", "T B"),
        Parameter("dh", "optional", dtype, "T B H"),
        Parameter("dh_T", "optional", dtype, "B H"),
        Parameter("da", "out", dtype, "T B H"),
        Parameter("du_b", "out", dtype, "B H"),
        Parameter("dh0", "out", dtype, "B H"),
        Parameter("step_clip", "scalar", dtype),
        *sizes,
    )


def _sum_parameters(dtype: str) -> tuple[Parameter, ...]:
    """Returns the parameters of indrnn_sum_over_batch."""
    return (
        Parameter("du_b", "in", dtype, "B H"),
        Parameter("du", "out", dtype, "H"),
        Parameter("B", "scalar", "int32"),
        Parameter("H", "scalar", "int32"),
    )


def _entries() -> tuple[Entry, ...]:
    """Returns every instantiation that cupy_raw.py can ask for."""
    stems: tuple[Stem, ...] = ("forward", "backward")
    loops = tuple(
        Entry(entry_name(stem, dtype, act, masked), dtype, _parameters(stem, dtype))
        for stem, dtype, act, masked in product(stems, C_TYPES, C_ACTS, (False, True))
    )
    return loops + tuple(Entry(sum_name(dtype), dtype, _sum_parameters(dtype)) for dtype in C_TYPES)


SPEC = KernelSpec(
    name="indrnn",
    sources=(Path(__file__).with_name("indrnn.cu"),),
    entries=_entries(),
    launch=launch,
    examples=(
        {"T": 1, "B": 1, "H": 1},
        {"T": 2, "B": 3, "H": 5},
        {"T": 9, "B": 1, "H": 31},
        {"T": 33, "B": 1, "H": 32},
        {"T": 5, "B": 3, "H": 33},
        {"T": 291, "B": 9, "H": 7},  # above one round of all warps, 8 x 32 steps
    ),
    reference="nnseq.cells.indrnn",
    host="nnseq_kernels.indrnn.cupy_raw",
    registers={"80": 96, "90": 96, "100": 96},
)
