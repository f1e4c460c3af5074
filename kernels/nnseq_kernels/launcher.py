"""Compiles and launches CUDA kernels, after checking what CuPy does not check.

CuPy passes a Python int as 8 bytes and a Python float as a double to whatever the kernel declares,
takes any array for any pointer, and does not count the arguments: each mistake is silent garbage.
Every launch of ours goes through `Launcher`, which compares each argument with the kernel's spec.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nnseq_kernels.graphs import Graphs, Record, Run, S
from nnseq_kernels.spec import C_TYPES, Entry, KernelSpec, Parameter, Sizes, joined

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
        multiply: multiply(x, W, out) writes x @ W into out, each C-contiguous or the transpose of
            a C-contiguous array; None: `xp.matmul`.
        record: record(run) -> replay. It calls run() once, whose launches and products are not
            done but taken down; each replay() then does them all, on the same arrays. None: every
            sequence is launched step by step.
        graphs: the sequences recorded so far.
    """

    xp: Any
    load: Load
    multiply: Callable[[Any, Any, Any], None] | None = None
    record: Record | None = None
    graphs: Graphs = field(default_factory=Graphs, compare=False)

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
        arguments = _arguments(entry, sizes, values)
        self.load(spec, entry)(shape.grid, shape.block, arguments, shared_mem=shape.shared_bytes)

    def bind(
        self, spec: KernelSpec, stem: str, dtype: str, sizes: Sizes, values: Mapping[str, Any]
    ) -> Callable[[int], None]:
        """Returns launch(t), which launches the kernel of one step with that t.

        The arguments are checked here and then only passed on: one check for all steps.

        Args:
            spec, sizes, values: as for a launch; values may hold more than the kernel takes.
            stem: the kernel's name without its template arguments.
            dtype: "float32" or "float64".

        Raises:
            TypeError, ValueError: as for a launch.
        """
        entry = spec.entry(f"{stem}<{C_TYPES[dtype]}>")
        names = {parameter.name for parameter in entry.parameters}
        own = {name: value for name, value in values.items() if name in names}
        grid, block, shared_bytes = spec.launch(entry, sizes)
        arguments = _arguments(entry, sizes, {**own, "t": np.int32(0)})
        at = [parameter.name for parameter in entry.parameters].index("t")
        before, after = arguments[:at], arguments[at + 1 :]
        function = self.load(spec, entry)

        def launch(t: int) -> None:
            function(grid, block, (*before, np.int32(t), *after), shared_mem=shared_bytes)

        return launch

    def product(self, x: Any, W: Any, out: Any) -> None:
        """Writes x @ W into out.

        Raises:
            ValueError: x or W is neither C-contiguous nor the transpose of such an array, or out
                is not C-contiguous.
        """
        for name, array in (("x", x), ("W", W), ("out", out)):
            if not (array.flags.c_contiguous or (name != "out" and array.T.flags.c_contiguous)):
                raise ValueError(f"product: {name} with shape {array.shape} is not contiguous")
        if self.multiply is None:
            self.xp.matmul(x, W, out=out)
        else:
            self.multiply(x, W, out)

    def sequence(self, key: Hashable, build: Callable[[], S]) -> tuple[S, Run]:
        """Returns the arrays of a sequence of launches and how to run it: as a graph if it can be.

        Args:
            key: all that the sequence depends on but the values in its arrays.
            build: makes its arrays, and `run()`, which launches all steps.
        """
        if self.record is None:
            made = build()
            return made, made.run
        return self.graphs.sequence(key, build, self.record)


def _arguments(entry: Entry, sizes: Sizes, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns all arguments of a kernel in the order of its signature, each one checked."""
    values = {**{axis: np.int32(size) for axis, size in sizes.items()}, **values}
    names = {parameter.name for parameter in entry.parameters}
    unknown = sorted(values.keys() - names - sizes.keys())
    missing = sorted(names - values.keys())
    if unknown or missing:
        raise TypeError(f"{entry.name}: arguments missing {missing}, unknown {unknown}")
    return tuple(
        checked(entry.name, parameter, values[parameter.name], sizes)
        for parameter in entry.parameters
    )


def checked(kernel: str, parameter: Parameter, value: Any, sizes: Sizes) -> Any:
    """Returns the value as the kernel takes it, or says what is wrong with it.

    Raises:
        TypeError: not an array, not a NumPy scalar of the exact dtype, or another dtype.
        ValueError: an array with another shape, or not C-contiguous.
    """
    who = f"{kernel}: {parameter.name}"
    if parameter.role in ("optional", "optional_out") and value is None:
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
    shape = parameter.shape(sizes)
    if value.shape != shape:
        axes = ", ".join(parameter.axes.split())
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

    return _compiled(spec.sources, spec.options, entry.name, cupy.cuda.runtime.getDevice())


@functools.cache
def _compiled(
    sources: tuple[Path, ...], options: tuple[str, ...], name: str, device: int
) -> Function:
    """Compiles one kernel for one device: once per process, from CuPy's cache on disk if there."""
    import cupy

    code = joined(sources)
    module = cupy.RawModule(code=code, options=options, name_expressions=(name,), backend="nvrtc")
    function: Function = module.get_function(name)
    return function
