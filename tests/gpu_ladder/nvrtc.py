"""Rung 1: compiles a .cu to machine code for several GPUs, with CuPy's own options and no GPU.

NVRTC runs the assembler in its own process, so its log also tells registers, spills and shared
memory. The options are captured from CuPy, not guessed: what compiles here compiles there. That
touches CuPy's internals (CuPy 14); where they differ, `cupy_options` says so.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cupy
from cupy._core import core
from cupy.cuda import compiler, nvrtc
from nnseq_kernels.registry import KERNELS
from nnseq_kernels.spec import joined

ARCHITECTURES = ("80", "90", "100")

# "ptxas info : Compiling entry function 'f' for 'sm_90'" opens the block of one kernel.
_ENTRY = re.compile(
    r"Compiling entry function '(\w+)'.*?(?=Compiling entry function|\Z)", re.DOTALL
)
_COUNTS = {
    "stack_bytes": r"(\d+) bytes stack frame",
    "spill_stores": r"(\d+) bytes spill stores",
    "spill_loads": r"(\d+) bytes spill loads",
    "registers": r"Used (\d+) registers",
    "shared_bytes": r"(\d+) bytes smem",
}


@dataclass(frozen=True)
class Resources:
    """What one kernel takes per thread (registers, bytes of stack and spills) and per block."""

    registers: int
    stack_bytes: int
    spill_stores: int
    spill_loads: int
    shared_bytes: int  # static shared memory per block


@dataclass(frozen=True)
class Compiled:
    """One .cu for one architecture."""

    cubin: bytes
    resources: Mapping[str, Resources]  # by name expression, or by extern "C" name
    warnings: tuple[str, ...]  # those about this file, not about CUDA's headers
    log: str


def compile_cubin(
    sources: Sequence[Path],
    architecture: str,
    options: Sequence[str] = (),
    name_expressions: Sequence[str] = (),
) -> Compiled:
    """Compiles `sources` as `cupy.RawModule` would on a GPU of `architecture` ("90" is sm_90).

    Raises RuntimeError with the compiler's log when NVRTC or the assembler refuses it.
    """
    code, filename = joined(tuple(sources)), sources[-1].name
    flags = (*cupy_options(code, options, architecture), "--ptxas-options=-v")
    program = nvrtc.createProgram(code, filename, (), ())
    try:
        for name in name_expressions:
            nvrtc.addNameExpression(program, name)
        try:
            nvrtc.compileProgram(program, flags)
        except nvrtc.NVRTCError as error:
            log = nvrtc.getProgramLog(program)
            raise RuntimeError(f"{filename}, sm_{architecture}: {error}\n{log}") from None
        log = nvrtc.getProgramLog(program)
        lowered = {nvrtc.getLoweredName(program, name): name for name in name_expressions}
        return Compiled(
            nvrtc.getCUBIN(program),
            {lowered.get(name, name): found for name, found in _resources(log).items()},
            _warnings(log, sources),
            log,
        )
    finally:
        nvrtc.destroyProgram(program)


@functools.cache
def compile_registered(name: str, architecture: str) -> Compiled:
    """Compiles all entries of one source of the registry, once per process."""
    spec = next(spec for spec in KERNELS if spec.name == name)
    names = [entry.name for entry in spec.entries]
    return compile_cubin(spec.sources, architecture, spec.options, names)


def cupy_options(code: str, options: Sequence[str], architecture: str) -> tuple[str, ...]:
    """Returns the options that CuPy hands to NVRTC for a RawModule on this architecture.

    Raises RuntimeError when this CuPy's internals are not those this was written for.
    """
    captured: list[tuple[str, ...]] = []

    def capture(source: str, options: Sequence[str] = (), *_: Any, **__: Any) -> None:
        captured.append(tuple(options))

    name = "_compile_module_with_cache"
    if not hasattr(compiler, name) or not hasattr(core, "compile_with_cache"):
        raise _unknown_cupy(f"cupy.cuda.compiler has no {name}")
    real = getattr(compiler, name)
    setattr(compiler, name, capture)
    try:
        core.compile_with_cache(code, tuple(options), arch=architecture, prepend_cupy_headers=False)
    finally:
        setattr(compiler, name, real)
    if len(captured) != 1 or not any(option.startswith("-I") for option in captured[0]):
        raise _unknown_cupy(f"captured {captured} instead of one list with include folders")
    # CuPy adds these three below the call captured above.
    later = ("-ftz=true", f"-arch=sm_{architecture}", "--device-as-default-execution-space")
    return captured[0] + later


def _unknown_cupy(what: str) -> RuntimeError:
    return RuntimeError(
        f"nvrtc.py was written for CuPy 14 and does not fit CuPy {cupy.__version__}: {what}; "
        "adapt cupy_options"
    )


def _resources(log: str) -> dict[str, Resources]:
    found = {}
    for block in _ENTRY.finditer(log):
        counts = {key: re.search(text, block[0]) for key, text in _COUNTS.items()}
        if counts["registers"] is None:
            raise RuntimeError(f"the assembler's report is not understood:\n{block[0]}")
        found[block[1]] = Resources(**{k: int(m[1]) if m else 0 for k, m in counts.items()})
    return found


def _warnings(log: str, sources: Sequence[Path]) -> tuple[str, ...]:
    names = "|".join(re.escape(path.name) for path in sources)
    ours = re.compile(rf"^(?:.*/)?(?:{names})\(\d+\): warning.*$", re.MULTILINE)
    assembler = re.compile(r"^ptxas (?:warning|error).*$", re.MULTILINE)
    return tuple(m[0] for pattern in (ours, assembler) for m in pattern.finditer(log))
