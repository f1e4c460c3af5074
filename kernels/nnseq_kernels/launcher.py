"""Compiles and launches CUDA kernels, after checking what CuPy does not check.

CuPy passes a Python int as 8 bytes and a Python float as a double to whatever the kernel declares,
takes any array for any pointer, and does not count the arguments: each mistake is silent garbage.
Every launch of ours goes through `Launcher`, which compares each argument with the kernel's spec.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnseq_kernels.spec import Entry, KernelSpec, Parameter, Sizes

NULL = np.uintp(0)  # a NULL pointer as a kernel argument: eight zero bytes (None would not do)

# A compiled kernel, called as CuPy's are: function(grid, block, arguments, shared_mem=bytes).
Function = Callable[..., None]
Load = Callable[[KernelSpec, Entry], Function]


@dataclass(frozen=True)
class Launcher:
    """Launches the kernels of any spec on one kind of array.

    Args:
        xp: module of the arrays: `empty`, `ascontiguousarray`, `uint8`, ...; CuPy, or NumPy where
            the CUDA source was compiled for the CPU.
        load: load(spec, entry) returns the compiled kernel, and keeps it for the next time.
    """

    xp: Any
    load: Load

    def __call__(self, spec: KernelSpec, name: str, sizes: Sizes, **values: Any) -> None:
        """Launches one entry of the spec, once, for these sizes.

        Args:
            spec: the source; name: the entry's name expression.
            sizes: axis letter -> length; sizes that the kernel takes as parameters come from here.
            values: parameter name -> array or float. None for an "optional" array is NULL.

        Raises:
            TypeError: a parameter is missing, unknown, or has another kind or dtype.
            ValueError: an array has another shape or is not C-contiguous.
        """
        entry = spec.entry(name)
        shape = spec.launch(entry, sizes)
        values = {**{axis: np.int32(size) for axis, size in sizes.items()}, **values}
        names = {parameter.name for parameter in entry.parameters}
        unknown = sorted(values.keys() - names - sizes.keys())
        missing = sorted(names - values.keys())
        if unknown or missing:
            raise TypeError(f"{name}: arguments missing {missing}, unknown {unknown}")
        arguments = tuple(
            checked(name, parameter, values[parameter.name], sizes)
            for parameter in entry.parameters
        )
        self.load(spec, entry)(shape.grid, shape.block, arguments, shared_mem=shape.shared_bytes)


def checked(kernel: str, parameter: Parameter, value: Any, sizes: Sizes) -> Any:
    """Returns the value as the kernel takes it, or says what is wrong with it.

    Raises:
        TypeError: not an array, not a NumPy scalar of the exact dtype, or another dtype.
        ValueError: an array with another shape, or not C-contiguous.
    """
    who = f"{kernel}: {parameter.name}"
    if parameter.role == "optional" and value is None:
        return NULL
    if parameter.role == "scalar":
        if not isinstance(value, np.generic) or value.dtype != parameter.dtype:
            raise TypeError(
                f"{who} is {value!r} ({type(value).__name__}), expected a NumPy scalar: "
                f"pass np.{parameter.dtype}({value!r})"
            )
        return value
    if not hasattr(value, "flags") or isinstance(value, np.generic):
        raise TypeError(f"{who} is a {type(value).__name__}, expected an array")
    if value.dtype != parameter.dtype:
        raise TypeError(f"{who} has dtype {value.dtype}, expected {parameter.dtype}")
    shape = tuple(sizes[axis] for axis in parameter.axes)
    if value.shape != shape:
        axes = ", ".join(parameter.axes)
        raise ValueError(f"{who} has shape {value.shape}, expected ({axes}) = {shape}")
    if not value.flags.c_contiguous:
        raise ValueError(f"{who} is not C-contiguous; pass xp.ascontiguousarray of it")
    return value


def cuda_launcher() -> Launcher:
    """Returns the launcher on CuPy arrays.

    Raises:
        ImportError: CuPy is not installed.
    """
    try:
        import cupy
    except ImportError as error:
        raise ImportError(
            "nnseq_kernels: CUDA kernels need CuPy; install nnseq[cuda13] (or nnseq[cuda12])"
        ) from error
    return Launcher(cupy, _load_cuda)


def _load_cuda(spec: KernelSpec, entry: Entry) -> Function:
    """Returns the kernel for the current CUDA device, compiled when it is new there."""
    import cupy

    return _compiled(spec.source, spec.options, entry.name, cupy.cuda.runtime.getDevice())


@functools.cache
def _compiled(source: Path, options: tuple[str, ...], name: str, device: int) -> Function:
    """Compiles one kernel for one device: once per process, from CuPy's cache on disk if there."""
    import cupy

    code = source.read_text(encoding="utf-8")
    module = cupy.RawModule(code=code, options=options, name_expressions=(name,), backend="nvrtc")
    function: Function = module.get_function(name)
    return function
