"""The registry tells the truth about the .cu files: checked against their text, without CUDA."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
from nnseq_kernels.registry import KERNELS, NUMBA_CUDA
from nnseq_kernels.spec import Entry, KernelSpec, joined

ROOT = Path(__file__).parents[2]
KERNEL = re.compile(r"__global__ void __launch_bounds__\((\d+)[^)]*\) (\w+)\(([^)]*)\)")
C_TYPES = {"unsigned char": "uint8", "int": "int32", "float": "float32", "double": "float64"}
EVERY = [pytest.param(spec, id=spec.name) for spec in KERNELS]


def declared(spec: KernelSpec, entry: Entry) -> tuple[int, list[tuple[str, str, bool, bool]]]:
    """Returns the launch bound, and (name, dtype, is a pointer, is const) of each C++ parameter."""
    stem = entry.name.partition("<")[0]
    bounds, parameters = next(
        (bounds, parameters)
        for bounds, name, parameters in KERNEL.findall(joined(spec.sources))
        if name == stem
    )
    found = []
    for parameter in parameters.replace("__restrict__", "").split(","):
        kind, name = parameter.strip().rsplit(maxsplit=1)
        c_type = kind.removeprefix("const ").rstrip("* ")
        dtype = entry.dtype if c_type == "F" else C_TYPES[c_type]
        found.append((name, dtype, "*" in kind, kind.startswith("const ")))
    return int(bounds), found


def test_every_cuda_source_is_registered() -> None:
    sources = set((ROOT / "kernels").rglob("*.cu"))
    assert sources == {spec.sources[-1] for spec in KERNELS}
    shared = set((ROOT / "kernels").rglob("*.cuh"))
    assert shared == {path for spec in KERNELS for path in spec.sources[:-1]}


def test_every_numba_cuda_module_is_registered() -> None:
    folder = ROOT / "kernels"
    modules = {
        ".".join(path.relative_to(folder).with_suffix("").parts)
        for path in folder.rglob("numba_cuda.py")
    }
    assert modules == set(NUMBA_CUDA)


@pytest.mark.parametrize("spec", EVERY)
def test_parameters_are_those_of_the_source(spec: KernelSpec) -> None:
    for entry in spec.entries:
        ours = [
            (p.name, p.dtype, bool(p.axes), p.role in ("in", "optional")) for p in entry.parameters
        ]
        assert ours == declared(spec, entry)[1], entry.name


@pytest.mark.parametrize("spec", EVERY)
def test_every_kernel_of_the_source_has_entries(spec: KernelSpec) -> None:
    found = {name for _, name, _ in KERNEL.findall(joined(spec.sources))}
    assert found == {entry.name.partition("<")[0] for entry in spec.entries}
    names = [entry.name for entry in spec.entries]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("spec", EVERY)
def test_launches_cover_every_output_column_once(spec: KernelSpec) -> None:
    for entry in spec.entries:
        bounds, _ = declared(spec, entry)
        for sizes in spec.examples:
            grid, block, shared_bytes = spec.launch(entry, sizes)
            # Of the axes (T, B, H) the last two: a thread walks through time, or does one step.
            smallest = min(
                np.prod(p.shape(sizes)[-2:]) for p in entry.parameters if p.role == "out"
            )
            assert np.prod(block) <= bounds
            assert grid[0] * block[0] >= smallest
            assert (grid[0] - 1) * block[0] < smallest
            assert 0 <= shared_bytes <= 48 * 1024


@pytest.mark.parametrize("spec", EVERY)
def test_examples_hold_one_an_odd_size_and_one_step(spec: KernelSpec) -> None:
    for axis in spec.examples[0]:
        lengths = {sizes[axis] for sizes in spec.examples}
        assert 1 in lengths
        assert any(n > 1 and n % 2 for n in lengths), axis


@pytest.mark.parametrize("spec", EVERY)
@pytest.mark.parametrize("length", [0, -1, 2**31])
def test_axes_without_a_launch_are_refused(spec: KernelSpec, length: int) -> None:
    sizes = dict(spec.examples[0]) | {"T": length}
    with pytest.raises(ValueError, match=rf"{spec.name}: T = {length}, expected 1 to"):
        spec.launch(spec.entries[0], sizes)


@pytest.mark.parametrize("spec", EVERY)
def test_reference_and_host_exist(spec: KernelSpec) -> None:
    reference, host = importlib.import_module(spec.reference), importlib.import_module(spec.host)
    for name in ("forward", "backward"):
        assert callable(getattr(reference, name))
        assert callable(getattr(host, f"{name}_on"))


@pytest.mark.parametrize("spec", EVERY)
def test_register_budget_leaves_room_for_two_blocks(spec: KernelSpec) -> None:
    assert {"80", "90", "100"} <= spec.registers.keys()
    threads = max(np.prod(spec.launch(entry, spec.examples[0]).block) for entry in spec.entries)
    for budget in spec.registers.values():
        assert 2 * threads * budget <= 65536  # 32-bit registers of a multiprocessor


def test_an_unknown_entry_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="no kernel 'nothing'; there are indrnn_forward<"):
        KERNELS[0].entry("nothing")
