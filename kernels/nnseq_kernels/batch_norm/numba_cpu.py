"""Batch norm on the CPU: every average is one reading of its arrays, by all threads.

With averages ⟨·⟩ over the N rows of a group, equations (1) to (3) of nnseq/ops/normalization.py are

    m = ⟨x⟩,   v = ⟨(x - m)²⟩,   s = γ / √(v + ε),   y = s ∘ (x - m) + β             (1)
    p = ⟨dy⟩,  q = ⟨dy ∘ (x - m)⟩ / (v + ε),   dx = s ∘ (dy - p - q ∘ (x - m))       (2)

Threads share the rows of a single group; where there is a group for each step, they share the
groups. Sums go over to double precision every BLOCK rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnseq_kernels import threads
from nnseq_kernels.arrays import plain
from nnseq_kernels.cpu_jit import loop_jit
from nnseq_kernels.rows import clear_row

Array = Any  # numpy.ndarray

BLOCK = 64  # rows that are added in x's own precision
LEAST = 2**15  # entries for each thread: some 20 µs of work


def forward(x: Array, gain: Array, bias: Array, *, eps: float) -> tuple[Array, Array, Array]:
    """(1).

    Args:
        x: (G, N, D), float32 or float64. gain, bias: (D,) γ and β. eps: ε.

    Returns:
        y: (G, N, D). m, v: (G, D).
    """
    x, gain, bias = plain(x), plain(gain), plain(bias)
    G, N, D = x.shape
    y, m, v = np.empty_like(x), np.empty((G, D), x.dtype), np.empty((G, D), x.dtype)

    def group(g: int, most: int) -> None:
        m[g] = _sum(_add_rows, most, x[g]) / N
        v[g] = _sum(_add_squares, most, x[g], m[g]) / N
        s = gain * (v[g] + x.dtype.type(eps)) ** -0.5
        blocks = threads.split(N, most)
        threads.run(lambda *rows: _normalise(x[g], m[g], s, bias, *rows, y[g]), blocks)

    _for_groups(group, G, x.size)
    return y, m, v


def backward(
    x: Array, m: Array, v: Array, gain: Array, dy: Array, *, eps: float
) -> tuple[Array, Array, Array]:
    """(2).

    Args:
        x, m, v, gain, eps: as in forward, and what it returned.
        dy: (G, N, D).

    Returns:
        dx: (G, N, D). dgain, dbias: (D,).
    """
    x, m, v, gain, dy = plain(x), plain(m), plain(v), plain(gain), plain(dy)
    G, N, D = x.shape
    dx, dgain, dbias = np.empty_like(x), np.empty((G, D), x.dtype), np.empty((G, D), x.dtype)

    def group(g: int, most: int) -> None:
        r = (v[g] + x.dtype.type(eps)) ** -0.5
        dbias[g] = _sum(_add_rows, most, dy[g])
        products = _sum(_add_products, most, dy[g], x[g], m[g])
        dgain[g] = products * r
        p, q = dbias[g] / N, (products * r**2 / N).astype(x.dtype)
        blocks = threads.split(N, most)
        threads.run(lambda *rows: _undo(x[g], m[g], dy[g], p, q, gain * r, *rows, dx[g]), blocks)

    _for_groups(group, G, x.size)
    return dx, dgain.sum(axis=0), dbias.sum(axis=0)


def _for_groups(group: Callable[[int, int], None], G: int, size: int) -> None:
    """Call group(g, threads that it may use) for every g."""
    most = max(1, min(threads.allowed(), size // LEAST))
    if G == 1:
        group(0, most)
        return

    def several(first: int, last: int) -> None:
        for g in range(first, last):
            group(g, 1)

    threads.run(several, threads.split(G, most))


def _sum(loop: Callable[..., None], most: int, x: Array, *more: Array) -> Array:
    """Return what loop adds up over the rows of x (N, D), in float64."""
    N, D = x.shape
    blocks = threads.split(N, most, BLOCK)
    totals, parts = np.zeros((len(blocks), D)), np.empty((len(blocks), D), x.dtype)
    place = {first: k for k, (first, _) in enumerate(blocks)}

    def work(first: int, last: int) -> None:
        loop(x, *more, first, last, parts[place[first]], totals[place[first]])

    threads.run(work, blocks)
    return totals.sum(axis=0)


@loop_jit()
def _add_rows(x, first, last, part, total):  # type: ignore[no-untyped-def]
    """total += Σ x."""
    for n0 in range(first, last, BLOCK):
        clear_row(part)
        for n in range(n0, min(n0 + BLOCK, last)):
            for j in range(part.size):
                part[j] += x[n, j]
        for j in range(part.size):
            total[j] += part[j]


@loop_jit()
def _add_squares(x, m, first, last, part, total):  # type: ignore[no-untyped-def]
    """total += Σ (x - m)²."""
    for n0 in range(first, last, BLOCK):
        clear_row(part)
        for n in range(n0, min(n0 + BLOCK, last)):
            for j in range(part.size):
                centered = x[n, j] - m[j]
                part[j] += centered * centered
        for j in range(part.size):
            total[j] += part[j]


@loop_jit()
def _add_products(dy, x, m, first, last, part, total):  # type: ignore[no-untyped-def]
    """total += Σ dy ∘ (x - m)."""
    for n0 in range(first, last, BLOCK):
        clear_row(part)
        for n in range(n0, min(n0 + BLOCK, last)):
            for j in range(part.size):
                part[j] += dy[n, j] * (x[n, j] - m[j])
        for j in range(part.size):
            total[j] += part[j]


@loop_jit()
def _normalise(x, m, s, bias, first, last, y):  # type: ignore[no-untyped-def]
    """y of (1)."""
    for n in range(first, last):
        for j in range(m.size):
            y[n, j] = (x[n, j] - m[j]) * s[j] + bias[j]


@loop_jit()
def _undo(x, m, dy, p, q, s, first, last, dx):  # type: ignore[no-untyped-def]
    """dx of (2)."""
    for n in range(first, last):
        for j in range(m.size):
            dx[n, j] = (dy[n, j] - p[j] - (x[n, j] - m[j]) * q[j]) * s[j]
