"""IndRNN on CUDA through Numba: line by line like the reference, one thread per column (b, j).

Equations (1)-(6) are those of nnseq/cells/indrnn.py, with the same names. A thread walks through
time alone and does not load ahead: cupy_raw.py is the fast one, this one is for reading and for
where CuPy's compiler is not at hand. Kernels compile at their first launch, for the current GPU.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numba.cuda
import numpy as np

from nnseq_kernels.indrnn.saved import Saved

cuda: Any = numba.cuda  # untyped; kernels must call it by this name

Array = Any  # cupy.ndarray; numpy.ndarray in Numba's simulator

BLOCK = 64  # threads per block
DTYPES = ("float32", "float64")
ACTIVATIONS = ("relu", "tanh", "identity")


def forward(
    a: Array, u: Array, h0: Array, mask: Array | None, *, act: str, step_clip: float
) -> tuple[tuple[Array, Array], Saved]:
    """Same contract as nnseq.cells.indrnn.forward."""
    xp = _array_module(a)
    a, u, h0 = (xp.ascontiguousarray(array) for array in (a, u, h0))
    mask = None if mask is None else xp.ascontiguousarray(mask)
    h, h_T = xp.empty_like(a), h0.copy()
    if a.size:
        loops = kernels(act, str(a.dtype), mask is not None, True)
        _launch(loops.forward, h0.size, a, u, h0, _or_unread(xp, mask), h, h_T)
    return (h, h_T), Saved(h, u, h0, mask, act, step_clip)


def backward(
    saved: Saved, dh: Array | None, dh_T: Array | None
) -> tuple[Array, Array, Array, None]:
    """Same contract as nnseq.cells.indrnn.backward."""
    h, u, h0, mask, act, step_clip = saved
    xp = _array_module(h)
    da = xp.empty_like(h)
    du_b = xp.zeros_like(h0)  # (B, H): one sum over t per column
    du = xp.zeros_like(u)
    dh0 = xp.zeros_like(h0) if dh_T is None else xp.array(dh_T, order="C")  # carries g_t back
    if h.size:
        loops = kernels(act, str(h.dtype), mask is not None, dh is not None)
        dh = h if dh is None else xp.ascontiguousarray(dh)  # h is not read in the place of dh
        clip = h.dtype.type(step_clip if step_clip > 0 else np.inf)
        _launch(loops.backward, h0.size, h, u, h0, _or_unread(xp, mask), dh, clip, da, du_b, dh0)
        _launch(loops.sum_over_batch, u.size, du_b, du)
    return da, du, dh0, None


class Kernels(NamedTuple):
    """The three kernels of one act, dtype, and choice of optional inputs."""

    forward: Any
    backward: Any
    sum_over_batch: Any


@cache
def kernels(act: str, dtype: str, has_mask: bool, has_dh: bool) -> Kernels:
    """Returns the kernels with these constants compiled in.

    Kernels take arrays only (Numba passes no None): what has_mask and has_dh exclude is not read.

    Raises:
        ValueError: no such act or dtype.
    """
    if act not in ACTIVATIONS or dtype not in DTYPES:
        raise ValueError(
            f"indrnn: act {act!r} of {dtype}, expected one of {', '.join(ACTIVATIONS)} "
            f"of {' or '.join(DTYPES)}"
        )
    zero = np.dtype(dtype).type(0)  # a plain 0 would make float32 arithmetic float64
    activate, undo = _pair(act, zero)

    @cuda.jit
    def forward_column(a, u, h0, mask, h, h_T):  # type: ignore[no-untyped-def]
        T, B, H = a.shape
        n = cuda.grid(1)
        if n >= B * H:
            return
        b, j = n // H, n % H
        h_prev = h0[b, j]
        for t in range(T):
            h_t = activate(a[t, b, j] + u[j] * h_prev)  # (1), (2)
            if has_mask and not mask[t, b]:
                h_t = h_prev  # (3)
            h[t, b, j] = h_t
            h_prev = h_t
        h_T[b, j] = h_prev

    @cuda.jit
    def backward_column(  # type: ignore[no-untyped-def]
        h, u, h0, mask, dh, clip, da, du_b, dh0
    ):
        T, B, H = h.shape
        n = cuda.grid(1)
        if n >= B * H:
            return
        b, j = n // H, n % H
        du_j = zero
        carry = dh0[b, j]  # dh_T
        for t in range(T - 1, -1, -1):
            g_t = dh[t, b, j] + carry if has_dh else carry
            da_t = undo(g_t, h[t, b, j])  # (4)
            da_t = clip if da_t > clip else -clip if da_t < -clip else da_t
            h_prev = h[t - 1, b, j] if t > 0 else h0[b, j]
            du_t = da_t * h_prev  # (5)
            carry = da_t * u[j]  # (6)
            if has_mask and not mask[t, b]:
                da_t, du_t, carry = zero, zero, g_t
            da[t, b, j] = da_t
            du_j += du_t
        du_b[b, j] = du_j
        dh0[b, j] = carry

    @cuda.jit
    def sum_over_batch(du_b, du):  # type: ignore[no-untyped-def]
        j = cuda.grid(1)
        if j < du.shape[0]:
            du_j = zero
            for b in range(du_b.shape[0]):
                du_j += du_b[b, j]
            du[j] = du_j

    return Kernels(forward_column, backward_column, sum_over_batch)


def instances() -> Iterator[tuple[str, Any, str]]:
    """Yields every kernel that can be launched: a name, the kernel, its signature for Numba."""
    choices = (False, True)
    for act, dtype, has_mask, has_dh in product(ACTIVATIONS, DTYPES, choices, choices):
        loops = kernels(act, dtype, has_mask, has_dh)
        is_first = (act, has_mask, has_dh) == (ACTIVATIONS[0], False, False)
        differs = Kernels(not has_dh, True, is_first)  # forward knows no dh, the sum only a dtype
        for stem, kernel, signature, new in zip(
            loops._fields, loops, _signatures(dtype), differs, strict=True
        ):
            if new:
                yield f"{stem}<{act}, {dtype}, {has_mask=}, {has_dh=}>", kernel, signature


def _signatures(dtype: str) -> Kernels:
    """Returns the types that the kernels are launched with, as Numba writes them."""
    sequence, state, unit = f"{dtype}[:,:,::1]", f"{dtype}[:,::1]", f"{dtype}[::1]"
    mask = "boolean[:,::1]"
    return Kernels(
        f"void({sequence}, {unit}, {state}, {mask}, {sequence}, {state})",
        f"void({sequence}, {unit}, {state}, {mask}, {sequence}, {dtype}, "
        f"{sequence}, {state}, {state})",
        f"void({state}, {unit})",
    )


def _pair(act: str, zero: Any) -> tuple[Any, Any]:
    """Returns act, and its undo: g_t and h_t = act(s_t) to the gradient of s_t."""
    one = type(zero)(1)

    @cuda.jit(device=True, inline="always")
    def relu(s):  # type: ignore[no-untyped-def]
        return zero if s < zero else s  # written so that NaN stays NaN

    @cuda.jit(device=True, inline="always")
    def undo_relu(g_t, h_t):  # type: ignore[no-untyped-def]
        return g_t if h_t > zero else zero

    @cuda.jit(device=True, inline="always")
    def tanh(s):  # type: ignore[no-untyped-def]
        return math.tanh(s)

    @cuda.jit(device=True, inline="always")
    def undo_tanh(g_t, h_t):  # type: ignore[no-untyped-def]
        return g_t * (one - h_t * h_t)

    @cuda.jit(device=True, inline="always")
    def identity(s):  # type: ignore[no-untyped-def]
        return s

    @cuda.jit(device=True, inline="always")
    def undo_identity(g_t, h_t):  # type: ignore[no-untyped-def]
        return g_t

    return {
        "relu": (relu, undo_relu),
        "tanh": (tanh, undo_tanh),
        "identity": (identity, undo_identity),
    }[act]


def _array_module(array: Array) -> Any:
    """Returns the module of the array: CuPy, or NumPy in the simulator.

    Raises:
        TypeError: another array. Numba would copy it to the GPU and back in silence.
    """
    name = type(array).__module__.partition(".")[0]
    config: Any = numba.config
    if name != ("numpy" if config.ENABLE_CUDASIM else "cupy"):
        raise TypeError(
            f"indrnn: got a {type(array).__module__}.{type(array).__name__}, expected a "
            "cupy.ndarray; move it with nnseq.backend.to_device first"
        )
    return sys.modules[name]


def _or_unread(xp: Any, mask: Array | None) -> Array:
    """Returns the mask, or something of its type for kernels that do not read it."""
    return xp.ones((1, 1), dtype=bool) if mask is None else mask


def _launch(kernel: Any, threads: int, *arguments: Any) -> None:
    """Launches one thread per column or unit."""
    with warnings.catch_warnings():
        # Few columns are our normal case, and each launch configuration would say so.
        warnings.filterwarnings("ignore", message="Grid size")
        configured = kernel[-(-threads // BLOCK), BLOCK]
    configured(*arguments)
