"""A tile of a matrix product on the CPU, in registers, written in LLVM's language.

    y[m, c] (+)= Σ_k x[m, k] p[k, c]        m < rows ≤ ROWS,   c < width = 2 vectors       (1)

Numba cannot be made to keep a tile of accumulators in registers, so the loop over k is built by
hand: two vectors of a row of p and one broadcast number of x per row, multiplied and added. That is
all of it; what to multiply is up to `matmul.py`. On one core of an AMD EPYC (AVX-512) a 16 x 128 by
128 x 512 product of float32 ran at 116 GF/s, the arithmetic's limit, where OpenBLAS had 104 for
large square ones.
"""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FEATURES = llvmlite.binding.get_host_cpu_features()
VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32
ROWS = 8 if VECTOR_BYTES == 64 else 6  # 2 ROWS accumulators of 32 or 16 vector registers
HAS_FMA = bool(_FEATURES.get("fma")) or platform.machine() not in ("x86_64", "AMD64")
INDEX = ir.IntType(64)


def width(dtype: Any) -> int:
    """Return the columns of a tile: two vectors of float32 or float64."""
    return int(2 * VECTOR_BYTES // np.dtype(dtype).itemsize)


@cache
def tile(rows: int) -> Any:
    """Return (1) for so many rows, to be called from compiled functions:

        tile(x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add)

    x[m, k] is entry x0 + m x_row + k x_k of array x, p[k, c] entry p0 + k width + c of p, y[m, c]
    entry y0 + m y_row + c of y. K ≥ 1. add: 0 overwrites y. Nothing is checked.
    """

    @intrinsic
    def multiply(typingctx, x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add):  # type: ignore[no-untyped-def]
        n = types.intp
        signature = types.void(x, n, n, n, p, n, y, n, n, n, n)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            x, x0, x_row, x_k, p, p0, y, y0, y_row, K, add = arguments
            number = context.get_value_type(signature.args[0].dtype)
            starts = [
                builder.gep(context.make_array(kind)(context, builder, array).data, [start])
                for kind, array, start in (
                    (signature.args[0], x, x0),
                    (signature.args[4], p, p0),
                    (signature.args[6], y, y0),
                )
            ]
            x, p, y = starts
            _Tile(builder, number, rows, x, p, y, x_row, x_k, y_row).build(K, add)
            return context.get_dummy_value()

        return signature, generate

    return multiply


@cache
def move(count: int) -> Any:
    """Return move(x, x0, y, y0), which copies so many numbers from entry x0 of x to y0 of y.

    As a loop in a function of its own the copy took longer to call than to do: gathering rows for
    the gradient of a 128 x 512 matrix cost 37 % of multiplying them, and so 6 %.
    """

    @intrinsic
    def copy(typingctx, x, x0, y, y0):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            x, x0, y, y0 = arguments
            number = context.get_value_type(signature.args[0].dtype)
            vector = ir.VectorType(number, count)
            bytes_ = 4 if isinstance(number, ir.FloatType) else 8
            source, target = (
                builder.bitcast(
                    builder.gep(context.make_array(kind)(context, builder, array).data, [start]),
                    vector.as_pointer(),
                )
                for kind, array, start in (
                    (signature.args[0], x, x0),
                    (signature.args[2], y, y0),
                )
            )
            builder.store(builder.load(source, align=bytes_, typ=vector), target, align=bytes_)
            return context.get_dummy_value()

        return types.void(x, types.intp, y, types.intp), generate

    return copy


class _Tile:
    """Writes the instructions of one tile."""

    def __init__(  # type: ignore[no-untyped-def]
        self, builder, number, rows, x, p, y, x_row, x_k, y_row
    ) -> None:
        self.builder, self.number, self.rows = builder, number, rows
        self.x, self.p, self.x_row, self.x_k = x, p, x_row, x_k
        bytes_ = 4 if isinstance(number, ir.FloatType) else 8
        self.lanes, self.align = VECTOR_BYTES // bytes_, bytes_
        self.vector = ir.VectorType(number, self.lanes)
        self.fma = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module,
            ir.FunctionType(self.vector, [self.vector] * 3),
            f"llvm.fma.v{self.lanes}f{8 * bytes_}",
        )
        self.y = [
            self._address(y, builder.add(builder.mul(y_row, INDEX(m)), INDEX(v * self.lanes)))
            for m in range(rows)
            for v in range(2)
        ]

    def build(self, K: Any, add: Any) -> None:
        """Loop over k from cleared accumulators; then store, or add to what is there and store.

        So y is a sum of the sums of each call, which rounds less than one long sum.
        """
        builder = self.builder
        entry = builder.basic_block
        loop, end, old, store = (
            builder.append_basic_block(f"tile_{name}") for name in ("loop", "end", "old", "store")
        )
        builder.branch(loop)

        builder.position_at_end(loop)
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        k = self._phi(INDEX, (INDEX(0), entry))
        sums = [self._phi(self.vector, (zero, entry)) for _ in self.y]
        new = self._step(k, sums)
        k_next = builder.add(k, INDEX(1))
        k.add_incoming(k_next, loop)
        for phi, value in zip(sums, new, strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", k_next, K), loop, end)

        builder.position_at_end(end)
        builder.cbranch(builder.icmp_signed("!=", add, INDEX(0)), old, store)
        builder.position_at_end(old)
        total = [
            builder.fadd(value, self._load(address))
            for value, address in zip(new, self.y, strict=True)
        ]
        builder.branch(store)

        builder.position_at_end(store)
        values = [
            self._phi(self.vector, (a, end), (b, old)) for a, b in zip(new, total, strict=True)
        ]
        for value, address in zip(values, self.y, strict=True):
            builder.store(value, address, align=self.align)

    def _step(self, k: Any, sums: list[Any]) -> list[Any]:
        """sums[m, v] + x[m, k] p[k, v], for all m and v."""
        builder = self.builder
        row = builder.mul(k, INDEX(2 * self.lanes))
        p = [
            self._load(self._address(self.p, builder.add(row, INDEX(v * self.lanes))))
            for v in range(2)
        ]
        undefined = ir.Constant(self.vector, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        column = builder.mul(k, self.x_k)
        new = []
        for m in range(self.rows):
            at = builder.add(builder.mul(self.x_row, INDEX(m)), column)
            number = builder.load(builder.gep(self.x, [at]), typ=self.number)
            one = builder.insert_element(undefined, number, ir.IntType(32)(0))
            x = builder.shuffle_vector(one, undefined, everywhere)
            new += [self._multiply_add(x, p[v], sums[2 * m + v]) for v in range(2)]
        return new

    def _multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        if HAS_FMA:
            return self.builder.call(self.fma, [x, y, z])
        return self.builder.fadd(self.builder.fmul(x, y), z)  # else a call of the C library each

    def _address(self, base: Any, offset: Any) -> Any:
        pointer = self.builder.gep(base, [offset])
        return self.builder.bitcast(pointer, self.vector.as_pointer())

    def _load(self, address: Any) -> Any:
        return self.builder.load(address, align=self.align, typ=self.vector)

    def _phi(self, type_: Any, *incoming: tuple[Any, Any]) -> Any:
        phi = self.builder.phi(type_)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi
