"""Numba-CUDA kernels in the time loop of cuda_loop.py, and the device functions that they share.

A step is launched when it is its turn: this is the version to read, and the one for where CuPy's
compiler is not at hand. cupy_raw.py is the fast one. Numba passes no None: what is missing is an
array of ones (mask, d_i) or zeros (all else), of length 1 along T, and in the weights z_h, z_c, d_i
also along B: a mask is (1, B), dh is (1, B, H), dh_T is (B, H) in full. Where that does not say
enough, a kernel takes `has_x`: 0 times infinity is NaN.
"""

from __future__ import annotations

import inspect
import math
import sys
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import numba.cuda
import numpy as np

from nnseq_kernels.graphs import Run, S
from nnseq_kernels.recurrence.cell import BLOCK, WEIGHTS
from nnseq_kernels.spec import C_TYPES, KernelSpec, Sizes

cuda: Any = numba.cuda  # untyped; kernels must call it by this name

Array = Any  # cupy.ndarray; numpy.ndarray in Numba's simulator
Kernels = Callable[[str], Mapping[str, "Kernel"]]  # of the dtype; by name

ONES = ("mask", "d_i")  # missing, they are ones


class Kernel(NamedTuple):
    """A kernel and the names of its parameters."""

    compiled: Any
    names: tuple[str, ...]


def kernels(*functions: Callable[..., None]) -> dict[str, Kernel]:
    """Returns kernels of these Python functions, by name; they compile at their first launch."""
    return {
        function.__name__: Kernel(cuda.jit(function), tuple(inspect.signature(function).parameters))
        for function in functions
    }


class NumbaLauncher:
    """Launches the Numba kernels of one cell; the counterpart of nnseq_kernels.launcher.Launcher.

    Args:
        op: the cell's name, for messages.
        made: of a dtype, the cell's kernels by the names that the spec has.
        array: any array of the call.

    Raises:
        TypeError: the array is not on the GPU. Numba would copy it there and back in silence.
    """

    def __init__(self, op: str, made: Kernels, array: Array) -> None:
        self.made = made
        self.simulated = bool(numba.config.ENABLE_CUDASIM)  # type: ignore[attr-defined]
        name = type(array).__module__.partition(".")[0]
        if name != ("numpy" if self.simulated else "cupy"):
            raise TypeError(
                f"{op}: got a {type(array).__module__}.{type(array).__name__}, expected a "
                "cupy.ndarray; move it with nnseq.backend.to_device first"
            )
        self.xp = sys.modules[name]

    def bind(
        self, spec: KernelSpec, stem: str, dtype: str, sizes: Sizes, values: Mapping[str, Any]
    ) -> Callable[[int], None]:
        """Returns launch(t), which launches the kernel of one step with that t."""
        kernel, names = self.made(dtype)[stem]
        parameters = {p.name: p for p in spec.entry(f"{stem}<{C_TYPES[dtype]}>").parameters}
        short = {**sizes, "T": 1, **{f"{w}.{axis}": 1 for w in WEIGHTS for axis in "TB"}}

        def argument(name: str) -> Any:
            if name.startswith("has_"):
                return np.int32(values[name.removeprefix("has_")] is not None)
            if parameters[name].role == "scalar":
                return values[name]
            x = values[name]
            if x is None:
                make = self.xp.ones if name in ONES else self.xp.zeros
                x = make(parameters[name].shape(short), parameters[name].dtype)
            return x if self.simulated else cuda.as_cuda_array(x, sync=False)

        *arguments, last = names
        assert last == "t", f"{stem}: the last parameter of a step is t, not {last}"
        fixed = [argument(name) for name in arguments]
        with warnings.catch_warnings():
            # Few columns are our normal case, and each launch configuration would say so.
            warnings.filterwarnings("ignore", message="Grid size")
            configured = kernel[-(-sizes["B"] * sizes["H"] // BLOCK), BLOCK, self._stream()]

        def launch(t: int) -> None:
            configured(*fixed, np.int32(t))

        return launch

    def product(self, x: Array, W: Array, out: Array) -> None:
        """Writes x @ W into out."""
        self.xp.matmul(x, W, out=out)

    def sequence(self, key: Hashable, build: Callable[[], S]) -> tuple[S, Run]:
        """Returns the sequence that build makes, and how to run it: nothing is recorded here."""
        made = build()
        return made, made.run

    def _stream(self) -> Any:
        """Returns CuPy's current stream, as Numba knows it; 0 is the default stream."""
        pointer = 0 if self.simulated else self.xp.cuda.get_current_stream().ptr
        return cuda.external_stream(pointer) if pointer else 0


def instances(spec: KernelSpec, made: Kernels) -> Iterator[tuple[str, Any, str]]:
    """Yields every kernel that can be launched: a name, the kernel, its signature for Numba."""
    for entry in spec.entries:
        kernel, names = made(entry.dtype)[entry.name.partition("<")[0]]
        parameters = {p.name: p for p in entry.parameters}
        types = []
        for name in names:
            if name.startswith("has_"):
                types.append("int32")
            else:
                commas = "".join(":," for _ in parameters[name].axes.split()[1:])
                suffix = f"[{commas}::1]" if parameters[name].axes else ""
                types.append(parameters[name].dtype + suffix)
        yield entry.name, kernel, f"void({', '.join(types)})"


class Functions(NamedTuple):
    """Device functions for one dtype: constants have it, or Numba would compute in float64."""

    sigmoid: Any  # σ(x) = ½ + ½ tanh(x / 2), which overflows nowhere
    keep: Any  # (z, has_z, t, b, j, old, new): z old + (1 - z) new; without z new itself
    undo_keep: Any  # (z, has_z, t, b, j, ds): the gradients of old and new
    weight_at: Any  # w[t, b, j] of w (T | 1, B | 1, H)
    counts: Any  # whether step t of sequence b does
    one: Any
    zero: Any


@cache
def functions(dtype: str) -> Functions:
    """Returns the device functions for float32 or float64."""
    number = np.dtype(dtype).type
    half, one, zero = number(0.5), number(1), number(0)

    @cuda.jit(device=True, inline="always")
    def sigmoid(x):  # type: ignore[no-untyped-def]
        return half + half * math.tanh(half * x)

    @cuda.jit(device=True, inline="always")
    def weight_at(w, t, b, j):  # type: ignore[no-untyped-def]
        return w[t % w.shape[0], b % w.shape[1], j]

    @cuda.jit(device=True, inline="always")
    def keep(z, has_z, t, b, j, old, new):  # type: ignore[no-untyped-def]
        if not has_z:
            return new
        z_t = weight_at(z, t, b, j)
        return z_t * old + (one - z_t) * new

    @cuda.jit(device=True, inline="always")
    def undo_keep(z, has_z, t, b, j, ds):  # type: ignore[no-untyped-def]
        if not has_z:
            return zero, ds
        z_t = weight_at(z, t, b, j)
        return z_t * ds, (one - z_t) * ds

    @cuda.jit(device=True, inline="always")
    def counts(mask, t, b):  # type: ignore[no-untyped-def]
        return mask[t % mask.shape[0], b % mask.shape[1]] != 0

    return Functions(sigmoid, keep, undo_keep, weight_at, counts, one, zero)


class ResetFunctions(NamedTuple):
    """Device functions of gru_before and MUT1-3, where the reset comes before the product.

    s = r h_{t-1}                                                                 (a)
    n = tanh(a_n + q_n)                                                           (b)
    h̃ = w d n + v h_{t-1}         w, v = z, 1 - z or the other way round          (c)
    """

    mix: Any  # (w, v, d, n, h_prev): (c)
    undo_mix: Any  # (w, v, d, n, h_prev, dh_new): gradients of a_n, of w with v = 1 - w, of h_prev
    undo_reset: Any  # (r, h_prev, ds): the gradients of a_r and h_prev by (a), r = σ(a_r); and s


@cache
def reset_functions(dtype: str) -> ResetFunctions:
    """Returns these device functions for float32 or float64."""
    one = np.dtype(dtype).type(1)

    @cuda.jit(device=True, inline="always")
    def mix(w, v, d, n, h_prev):  # type: ignore[no-untyped-def]
        return w * d * n + v * h_prev

    @cuda.jit(device=True, inline="always")
    def undo_mix(w, v, d, n, h_prev, dh_new):  # type: ignore[no-untyped-def]
        return dh_new * w * d * (one - n * n), dh_new * (d * n - h_prev), dh_new * v

    @cuda.jit(device=True, inline="always")
    def undo_reset(r, h_prev, ds):  # type: ignore[no-untyped-def]
        return ds * h_prev * r * (one - r), ds * r, r * h_prev

    return ResetFunctions(mix, undo_mix, undo_reset)
