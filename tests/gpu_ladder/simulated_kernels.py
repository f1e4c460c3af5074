"""Kernels that test the completed Numba simulator: `python -m tests.gpu_ladder.simulated_kernels`.

To be started with NUMBA_ENABLE_CUDASIM=1. Prints JSON: kernel -> "right", "wrong" or the exception.
Those named good_* must be right in every order; of the others at least one order must object.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda, float32

from .numba_simulator import ORDERS, install

N = 64
FULL = 0xFFFFFFFF


@cuda.jit(device=True)
def sum_of_warp(v):
    for delta in (16, 8, 4, 2, 1):
        v += cuda.shfl_down_sync(FULL, v, delta)
    return v


@cuda.jit
def good_reduction(x, y):
    s = cuda.shared.array(2, float32)
    i = cuda.threadIdx.x
    v = sum_of_warp(x[i])
    if i % 32 == 0:
        s[i // 32] = v
    cuda.syncthreads()
    y[i] = s[0] + s[1]


@cuda.jit
def good_votes(x, y):
    i = cuda.threadIdx.x
    votes = cuda.popc(cuda.ballot_sync(FULL, x[i] > 20))
    count = cuda.syncthreads_count(x[i] > 20)
    partner = cuda.shfl_xor_sync(FULL, x[i], 1)
    all_positive = cuda.all_sync(FULL, x[i] > 0)
    cuda.syncwarp()
    y[i] = 1000 * votes + count + partner + all_positive


@cuda.jit
def good_grid_barrier(x, y):
    i = cuda.grid(1)
    v = x[i]
    for _ in range(2):
        y[i] = v
        cuda.cg.this_grid().sync()
        v = y[N - 1 - i] + 1
        cuda.cg.this_grid().sync()
    y[i] = v


@cuda.jit
def good_dynamic_shared(x, y):
    s = cuda.shared.array(0, float32)
    i = cuda.threadIdx.x
    s[i] = x[i]
    cuda.syncthreads()
    y[i] = s[N - 1 - i]


@cuda.jit
def bug_divergent_barrier(x, y):
    i = cuda.threadIdx.x
    if i < 8:
        cuda.syncthreads()
    else:
        cuda.syncthreads()
    y[i] = x[i]


@cuda.jit
def bug_return_before_barrier(x, y):
    i = cuda.threadIdx.x
    if i >= 60:
        return
    cuda.syncthreads()
    y[i] = x[i]


@cuda.jit
def bug_missing_barrier(x, y):
    s = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    s[i] = x[i]
    y[i] = s[N - 1 - i]


@cuda.jit
def bug_unset_shared(x, y):
    s = cuda.shared.array(65, float32)
    i = cuda.threadIdx.x
    s[i] = x[i]
    cuda.syncthreads()
    y[i] = x[i] + 0 * s[i + 1]


@cuda.jit
def bug_out_of_bounds(x, y):
    i = cuda.threadIdx.x
    y[i + 1] = x[i]


@cuda.jit
def bug_negative_index(x, y):
    i = cuda.threadIdx.x
    y[i] = x[i - 1]


@cuda.jit
def bug_negative_shared_index(x, y):
    s = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    s[i] = x[i]
    cuda.syncthreads()
    y[i] = s[i - 1]


@cuda.jit
def bug_lane_takes_no_part(x, y):
    i = cuda.threadIdx.x
    if i < 16:
        y[i] = cuda.shfl_sync(0xFFFF, x[i], 20)


@cuda.jit
def bug_lane_not_in_mask(x, y):
    i = cuda.threadIdx.x
    y[i] = cuda.shfl_sync(0xFFFF, x[i], 0)


@cuda.jit
def bug_mask_names_returned_lane(x, y):
    i = cuda.threadIdx.x
    if i % 32 == 31:
        return
    y[i] = cuda.shfl_sync(FULL, x[i], 0)


@cuda.jit
def bug_warp_against_barrier(x, y):
    i = cuda.threadIdx.x
    if i < 16:
        cuda.syncwarp()
    cuda.syncthreads()
    y[i] = x[i]


@cuda.jit
def bug_block_skips_grid_barrier(x, y):
    if cuda.blockIdx.x == 0:
        cuda.cg.this_grid().sync()
    y[cuda.grid(1)] = x[cuda.grid(1)]


@cuda.jit
def bug_relies_on_block_order(x, y):
    i = cuda.grid(1)
    y[i] = x[i] if i == 0 else y[i - 1] + 1


def _votes(x: Any) -> Any:
    many = x > 20
    votes = np.repeat(many.reshape(2, 32).sum(axis=1), 32)
    return 1000 * votes + many.sum() + x.reshape(-1, 2)[:, ::-1].ravel() + 1


Expected = Callable[[Any], Any]
CASES: dict[str, tuple[Any, int, Expected]] = {  # name: kernel, blocks, what y should be
    kernel.py_func.__name__: (kernel, blocks, expected)
    for kernel, blocks, expected in (
        (good_reduction, 1, lambda x: np.full(N, x.sum())),
        (good_votes, 1, _votes),
        (good_grid_barrier, 4, lambda x: x + 2),
        (good_dynamic_shared, 1, lambda x: x[::-1]),
        (bug_divergent_barrier, 1, lambda x: x),
        (bug_return_before_barrier, 1, lambda x: x),
        (bug_missing_barrier, 1, lambda x: x[::-1]),
        (bug_unset_shared, 1, lambda x: x),
        (bug_out_of_bounds, 1, lambda x: x),
        (bug_negative_index, 1, lambda x: x),
        (bug_negative_shared_index, 1, lambda x: x),
        (bug_lane_takes_no_part, 1, lambda x: x),
        (bug_lane_not_in_mask, 1, lambda x: x),
        (bug_mask_names_returned_lane, 1, lambda x: x),
        (bug_warp_against_barrier, 1, lambda x: x),
        (bug_block_skips_grid_barrier, 2, lambda x: x),
        (bug_relies_on_block_order, N, lambda x: x),
    )
}


def outcome(kernel: Any, blocks: int, expected: Expected, simulator: Any) -> str:
    """Runs a kernel in every order and says what came of it: the first objection or "right"."""
    for simulator.order in ORDERS:
        x = np.arange(1, N + 1, dtype=np.float32)
        y = np.full(N, np.nan, np.float32)
        try:
            kernel[blocks, N // blocks, 0, 4 * N](x, y)
        except (RuntimeError, IndexError) as error:
            return f"{type(error).__name__}: {error}"
        if not np.array_equal(y, expected(x)):
            return f"wrong in order {simulator.order}"
    return "right"


def main() -> None:
    simulator = install()
    print(json.dumps({name: outcome(*case, simulator) for name, case in CASES.items()}))


if __name__ == "__main__":
    main()
