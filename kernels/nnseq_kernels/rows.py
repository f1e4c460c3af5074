"""What compiled CPU loops do with whole rows; to assign slices would want Numba's runtime."""

from __future__ import annotations

from nnseq_kernels.cpu_jit import loop_jit


@loop_jit(noalias=True)
def copy_row(to, x):  # type: ignore[no-untyped-def]
    for j in range(x.size):
        to[j] = x[j]


@loop_jit(noalias=True)
def add_row(to, x):  # type: ignore[no-untyped-def]
    for j in range(x.size):
        to[j] += x[j]


@loop_jit(noalias=True)
def add_multiple(to, number, x):  # type: ignore[no-untyped-def]
    for j in range(x.size):
        to[j] += number * x[j]


@loop_jit()
def clear_row(to):  # type: ignore[no-untyped-def]
    for j in range(to.size):
        to[j] = 0
