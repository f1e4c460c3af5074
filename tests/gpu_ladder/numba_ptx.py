"""Rung 1 for Numba: compiles Numba-CUDA kernels to PTX for several GPUs, without GPU or driver.

It settles what the simulator cannot: whether a kernel type-checks. numba-cuda asks the current
device for its compute capability when a kernel calls a device function; `compile_ptx` answers in
its place. Use it in a process of its own: not under NUMBA_ENABLE_CUDASIM, and not where kernels
are launched. `python -m tests.gpu_ladder.numba_ptx` compiles all of the registry and prints JSON.
"""

from __future__ import annotations

import importlib
import json
from typing import Any, NamedTuple
from unittest import mock

import numba_cuda
from nnseq_kernels.registry import KERNELS
from numba import config, cuda
from numba.core import sigutils
from numba.cuda import dispatcher

WRITTEN_FOR = "numba-cuda 0.30"
CAPABILITIES = ((8, 0), (9, 0), (10, 0))


class Device(NamedTuple):
    """What numba-cuda asks the current device for while it compiles."""

    compute_capability: tuple[int, int]


def compile_ptx(kernel: Any, signature: str, capability: tuple[int, int]) -> str:
    """Returns the PTX of a `@cuda.jit` kernel for argument types such as "void(float32[::1])".

    Raises:
        RuntimeError: under the simulator, or when numba-cuda's internals are not the expected.
        numba.core.errors.TypingError: the kernel does not type-check for these types.
    """
    if config.ENABLE_CUDASIM or "numba_cuda" not in str(cuda.__file__):
        raise RuntimeError(
            f"numba_ptx: needs numba-cuda without its simulator (numba.cuda is {cuda.__file__}, "
            f"NUMBA_ENABLE_CUDASIM is {config.ENABLE_CUDASIM})"
        )
    if not hasattr(dispatcher, "get_current_device") or not hasattr(cuda, "compile_ptx"):
        raise RuntimeError(
            f"numba_ptx was written for {WRITTEN_FOR}; numba-cuda {numba_cuda.__version__} has no "
            "dispatcher.get_current_device or no compile_ptx: adapt compile_ptx"
        )
    arguments, _ = sigutils.normalize_signature(signature)
    with mock.patch.object(dispatcher, "get_current_device", return_value=Device(capability)):
        ptx, _ = cuda.compile_ptx(kernel.py_func, arguments, cc=capability)
    target = f".target sm_{capability[0]}{capability[1]}"
    if target not in ptx or ".entry" not in ptx:
        raise RuntimeError(f"numba_ptx: the PTX has no {target} or no kernel:\n{ptx[:400]}")
    return str(ptx)


def main() -> None:
    """Compiles every instance of every op, each for one of the capabilities in turn.

    What type-checks does so for all of them, so turns suffice. Prints, per instance, the capability
    and whether the PTX computes in double precision.
    """
    compiled = {}
    for spec in KERNELS:
        module = importlib.import_module(f"nnseq_kernels.{spec.name}.numba_cuda")
        for i, (name, kernel, signature) in enumerate(module.instances()):
            capability = CAPABILITIES[i % len(CAPABILITIES)]
            ptx = compile_ptx(kernel, signature, capability)
            compiled[f"{spec.name}: {name}"] = {
                "capability": capability,
                "wants_double": "float64" in signature,
                "has_double": ".f64" in ptx,
            }
    print(json.dumps(compiled))


if __name__ == "__main__":
    main()
