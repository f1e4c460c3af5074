"""Batch norm on the CPU: every average is one reading of its arrays, by all threads.

With averages ⟨·⟩ over the n rows of a group that count, r = 1 / √(v + ε) and s = r gain,
(1) and (2) of nnseq/ops/normalization.py are (5), its (3) is (6):

    m = ⟨x⟩,   v = ⟨(x - m)²⟩,   y = s ∘ (x - m) + bias                              (5)
    p = Σ dy / n,   q = r² Σ dy ∘ (x - m) / n,   over all rows
    dx = s ∘ (dy - p - q ∘ (x - m)), and s ∘ dy in a row that does not count         (6)

Threads share the groups or, where there is only one, its rows. Sums go over to double precision
every BLOCK rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nnseq_kernels import threads
from nnseq_kernels.arrays import plain
from nnseq_kernels.cpu_jit import loop_jit
from nnseq_kernels.rows import add_row, clear_row

Array = Any  # numpy.ndarray

BLOCK = 64  # rows that are added in x's own precision
LEAST = 2**15  # entries for each thread: some 20 µs of work


def forward(
    x: Array, gain: Array, bias: Array, mask: Array | None, *, eps: float
) -> tuple[Array, Array, Array]:
    """(5).

    Args:
        x: (G, N, D), float32 or float64. gain, bias: (D,). eps: ε.
        mask: (G, N) bool, True in rows that count; None: all.

    Returns:
        y: (G, N, D). m, v: (G, D).
    """
    x, gain, bias = plain(x), plain(gain), plain(bias)
    rows, segments = _rows(x), _segments(x)
    counts, n = _counted(x, mask)
    m = (segments.sum(_add_rows, rows, counts) / n).astype(x.dtype)
    v = (segments.sum(_add_squares, rows, counts, m) / n).astype(x.dtype)
    s = gain * (v + x.dtype.type(eps)) ** -0.5
    y = np.empty_like(rows)
    segments.run(_normalise, rows, m, s, bias, y)
    return y.reshape(x.shape), m, v


def backward(
    x: Array, m: Array, v: Array, gain: Array, mask: Array | None, dy: Array, *, eps: float
) -> tuple[Array, Array, Array]:
    """(6).

    Args:
        x, gain, mask, eps: as in forward. m, v: what it returned.
        dy: (G, N, D).

    Returns:
        dx: (G, N, D). dgain, dbias: (D,).
    """
    x, m, v, gain, dy = plain(x), plain(m), plain(v), plain(gain), plain(dy)
    rows, dy, segments = _rows(x), _rows(dy), _segments(x)
    counts, n = _counted(x, mask)
    every = counts if mask is None else np.ones_like(counts)
    sums = segments.sum(_add_rows, dy, every)
    products = segments.sum(_add_products, rows, counts, m, dy)
    r = (v + x.dtype.type(eps)) ** -0.5
    p, q = (sums / n).astype(x.dtype), (products * r**2 / n).astype(x.dtype)
    dx = np.empty_like(rows)
    segments.run(_undo, rows, counts, m, dy, p, q, gain * r, dx)
    dgain, dbias = (a.sum(axis=0).astype(x.dtype) for a in (products * r, sums))
    return dx.reshape(x.shape), dgain, dbias


def _rows(x: Array) -> Array:
    G, N, D = x.shape
    return x.reshape(G * N, D)


def _counted(x: Array, mask: Array | None) -> tuple[Array, Any]:
    """Return which rows count, (G·N,), and how many, for all groups or (G, 1)."""
    G, N, _ = x.shape
    if mask is None:
        return np.ones(G * N, bool), N
    return plain(mask).reshape(-1), mask.sum(axis=1, keepdims=True)


class _Segments(NamedTuple):
    """What threads share: rows edges[s] to edges[s + 1], which are group s or a part of group 0."""

    edges: Array
    groups: int
    most: int  # threads

    def run(self, loop: Callable[..., None], *arrays: Array) -> None:
        blocks = threads.split(len(self.edges) - 1, self.most)
        threads.run(lambda *several: loop(*arrays, self.edges, *several), blocks)

    def sum(self, loop: Callable[..., None], x: Array, *more: Array) -> Array:
        """Return what loop adds up for each group: (G, D), in float64."""
        totals = np.zeros((len(self.edges) - 1, x.shape[1]))
        parts = np.empty(totals.shape, x.dtype)
        self.run(loop, (x, *more), self.groups, parts, totals)
        return totals if self.groups > 1 else totals.sum(axis=0, keepdims=True)


def _segments(x: Array) -> _Segments:
    G, N, _ = x.shape
    most = max(1, min(threads.allowed(), x.size // LEAST))
    if G > 1:
        return _Segments(np.arange(G + 1) * N, G, most)
    return _Segments(np.array([0, *(last for _, last in threads.split(N, most, BLOCK))]), 1, most)


def _sum_of(add: Callable[..., None]) -> Any:
    """Compile: totals[s] += what add(part, g, start, end, *arrays) adds for rows of segment s.

    Segment s belongs to row g = s of arrays that have a row for each group, or 0 of the only one.
    """

    @loop_jit()
    def loop(arrays, groups, parts, totals, edges, first, last):  # type: ignore[no-untyped-def]
        for s in range(first, last):
            for start in range(edges[s], edges[s + 1], BLOCK):
                clear_row(parts[s])
                add(parts[s], s % groups, start, min(start + BLOCK, edges[s + 1]), *arrays)
                add_row(totals[s], parts[s])

    return loop


@_sum_of
@loop_jit()
def _add_rows(part, g, start, end, x, counts):  # type: ignore[no-untyped-def]
    """part += x, of rows that count."""
    for n in range(start, end):
        if counts[n]:
            for j in range(part.size):
                part[j] += x[n, j]


@_sum_of
@loop_jit()
def _add_squares(part, g, start, end, x, counts, m):  # type: ignore[no-untyped-def]
    """part += (x - m)², of rows that count."""
    for n in range(start, end):
        if counts[n]:
            for j in range(part.size):
                centered = x[n, j] - m[g, j]
                part[j] += centered * centered


@_sum_of
@loop_jit()
def _add_products(part, g, start, end, x, counts, m, dy):  # type: ignore[no-untyped-def]
    """part += dy ∘ (x - m), but in rows that do not count x may be NaN or infinity."""
    for n in range(start, end):
        if counts[n]:
            for j in range(part.size):
                part[j] += dy[n, j] * (x[n, j] - m[g, j])
        else:
            for j in range(part.size):
                if np.isfinite(x[n, j]):
                    part[j] += dy[n, j] * (x[n, j] - m[g, j])


@loop_jit()
def _normalise(x, m, s, bias, y, edges, first, last):  # type: ignore[no-untyped-def]
    """y of (5)."""
    for k in range(first, last):
        g = k % len(m)
        for n in range(edges[k], edges[k + 1]):
            for j in range(bias.size):
                y[n, j] = (x[n, j] - m[g, j]) * s[g, j] + bias[j]


@loop_jit()
def _undo(x, counts, m, dy, p, q, s, dx, edges, first, last):  # type: ignore[no-untyped-def]
    """dx of (6)."""
    for k in range(first, last):
        g = k % len(m)
        for n in range(edges[k], edges[k + 1]):
            if counts[n]:
                for j in range(x.shape[1]):
                    dx[n, j] = (dy[n, j] - p[g, j] - (x[n, j] - m[g, j]) * q[g, j]) * s[g, j]
            else:
                for j in range(x.shape[1]):
                    dx[n, j] = dy[n, j] * s[g, j]
