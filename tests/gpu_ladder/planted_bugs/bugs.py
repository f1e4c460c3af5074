"""The planted bugs, by who must catch them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import Case, N, ramp, unset, usual


def _asan(kernel: str, words: str, **launch: Any) -> Case:
    return Case(kernel, "memory", {"asan": words}, **launch)


def _tsan(kernel: str, **launch: Any) -> Case:
    return Case(kernel, "races", {"tsan": "data race"}, **launch)


def _refused(kernel: str, words: str, **launch: Any) -> Case:
    return Case(kernel, "groups", {"fast": f"LaunchError: .*{words}"}, **launch)


def _wrong(kernel: str, **launch: Any) -> Case:
    return Case(kernel, "values", {"fast": "wrong"}, **launch)


def _argument(label: str, words: str, **launch: Any) -> Case:
    return Case("scale", "good", {"fast": words}, label=label, **launch)


def _scale(x: Any, y: Any, a: Any, n: Any) -> Any:
    return lambda: [x(), y(), a, n]


def _overlapping() -> list[Any]:
    x = ramp(N + 1)
    return [x[:-1], x[1:], np.float32(2), np.int32(N)]


def _read_only() -> Any:
    y = unset()
    y.flags.writeable = False
    return y


OVERFLOW = r"heap-buffer-overflow"
TWO = np.float32(2)

MEMORY = (
    _asan("write_without_guard", OVERFLOW, grid=(2,), block=(48,)),
    _asan("read_without_guard", OVERFLOW, grid=(2,), block=(48,)),
    _asan("guard_off_by_one", OVERFLOW, grid=(2,), block=(48,)),
    _asan("read_before_array", OVERFLOW),
    _asan("read_next_row", OVERFLOW),
    _asan("static_shared_too_small", r"index 32 out of bounds|heap-buffer-overflow"),
    _asan("static_shared_by_pointer", OVERFLOW),
    _asan("dynamic_shared_too_small", OVERFLOW, shared_mem=N // 2 * 4),
    _asan("local_array_too_small", r"index 32 out of bounds|stack-buffer-overflow"),
    _asan("index_overflows_int", r"signed integer overflow"),
    _asan("misaligned_vector", r"misaligned address"),
    _asan("divides_by_zero", r"division by zero"),
    _asan("float_does_not_fit", r"outside the range of representable values of type 'int'"),
    _asan("shifts_too_far", r"shift exponent 32 is too large"),
    _asan(
        "reads_missing_optional",
        r"null pointer",
        arguments=lambda: [np.uintp(0), unset(), np.int32(N)],
    ),
)

_one = {"arguments": lambda: [ramp(), np.zeros(1 + N, np.float32), np.int32(N)]}
_warp = {"block": (32,)}
_two_blocks = {
    "arguments": lambda: [ramp(), unset(2 * N), np.int32(N)],
    "grid": (2,),
    "block": (N // 2,),
    "cooperative": True,
}
RACES = (
    _tsan("sum_within_block", **_one),
    _tsan("sum_between_blocks", grid=(3,), block=(32,), **_one),
    _tsan("no_barrier_before_read"),
    _tsan("no_barrier_before_overwrite"),
    _tsan("reduction_without_barrier"),
    _tsan("assumes_lockstep_warp", **_warp),
    _tsan("shuffle_is_no_fence", **_warp),
    _tsan("no_grid_barrier", **_two_blocks),
    _tsan("one_grid_barrier_too_few", **_two_blocks),
    _tsan("relies_on_block_order", grid=(4,), block=(32,)),
    _tsan("overlapping_outputs"),
    _tsan("plain_read_beside_atomic", **_one),
)

_flag = {"arguments": lambda: [ramp(), np.zeros(1, np.int32), np.int32(1)], "block": (1,)}
GROUPS = (
    _refused("barrier_in_both_branches", "divergent barrier"),
    _refused("barrier_in_one_branch", "others wait at __syncthreads|have already returned"),
    _refused("barriers_of_different_number", "divergent barrier"),
    _refused("returns_before_barrier", "others wait at __syncthreads|have already returned"),
    _refused(
        "barrier_against_warp",
        "deadlock: 16 threads at a warp intrinsic .*16 threads at __syncthreads",
        block=(32,),
    ),
    _refused("shuffle_from_lane_outside_mask", "reads lane 20", block=(32,)),
    _refused("shuffle_from_lane_beyond_block", "reads lane (16|31)", block=(16,)),
    _refused("shuffle_after_lanes_left", "names lanes|its warp waits for it", block=(32,)),
    _refused("caller_not_in_mask", "calling lane is not in mask", block=(32,)),
    _refused("divergent_shuffles", "divergent warp intrinsic", block=(32,)),
    _refused("syncs_grid", "not cooperative", grid=(2,), block=(32,)),
    _refused(
        "one_block_skips_grid_sync",
        "others wait at grid.sync|have already returned",
        grid=(2,),
        block=(32,),
        cooperative=True,
    ),
    _refused("uses_dynamic_shared", "shared_mem=0"),
    _refused("uses_61440_bytes_of_static_shared", "61440 bytes of static"),
    _refused("waits_for_a_later_block", "spin for ever", grid=(2,), **_flag),
    _refused("spins_on_what_nobody_writes", "spin for ever", **_flag),
    _refused("bounded_by_32", r"__launch_bounds__\(32\)"),
)

VALUES = (
    _wrong("accumulates_into_unset_shared", result=lambda a: np.full(N, a[0].sum())),
    _wrong("reads_unset_shared", result=lambda a: np.where(np.arange(N) < N - 1, 1, -a[0][-1])),
    _wrong("leaves_the_rest_unwritten", block=(N - 1,), result=lambda a: a[0]),
    _wrong("right_only_forward", result=lambda a: a[0][np.arange(N) // 2]),
    _wrong("right_only_backward", result=lambda a: a[0][N - 1 - (N - 1 - np.arange(N)) // 2]),
    _wrong("right_only_in_block_order", grid=(N,), block=(1,), result=lambda a: a[0].cumsum()),
)

ARGUMENTS = (
    _argument(
        "python_float",
        "TypeError: .*expected a NumPy scalar",
        arguments=_scale(ramp, unset, 2.0, np.int32(N)),
    ),
    _argument(
        "float64_scalar",
        "TypeError: .*parameter is f4",
        arguments=_scale(ramp, unset, np.float64(2), np.int32(N)),
    ),
    _argument(
        "float64_array",
        "TypeError: .*pointer is to f4",
        arguments=_scale(lambda: np.ones(N), unset, TWO, np.int32(N)),
    ),
    _argument("argument_missing", "TypeError: .*4 parameters, but 3", arguments=usual),
    _argument(
        "transposed_array",
        "TypeError: .*not C-contiguous",
        arguments=_scale(lambda: ramp().reshape(8, 8).T, unset, TWO, np.int32(N)),
    ),
    _argument(
        "none_for_null",
        r"TypeError: .*numpy\.uintp\(0\)",
        arguments=_scale(lambda: None, unset, TWO, np.int32(N)),
    ),
    _argument("overlapping_arrays", "ValueError: .*overlaps argument 0", arguments=_overlapping),
    _argument(
        "read_only_output",
        "TypeError: .*read-only",
        arguments=_scale(ramp, _read_only, TWO, np.int32(N)),
    ),
    _argument(
        "block_too_large",
        "LaunchError: .*1056 threads per block exceed 1024",
        block=(33, 32),
        arguments=_scale(ramp, unset, TWO, np.int32(N)),
    ),
    _argument(
        "empty_grid",
        "LaunchError: .*grid",
        grid=(0,),
        arguments=_scale(ramp, unset, TWO, np.int32(N)),
    ),
    _argument(
        "too_much_dynamic_shared",
        "LaunchError: .*max_dynamic_shared_size_bytes",
        shared_mem=48 * 1024 + 1,
        arguments=_scale(ramp, unset, TWO, np.int32(N)),
    ),
)

BUGS = MEMORY + RACES + GROUPS + VALUES + ARGUMENTS
# One that each kind of check must find; these run in the default suite.
SMOKE = (
    "write_without_guard",
    "index_overflows_int",
    "no_barrier_before_overwrite",
    "barrier_in_one_branch",
    "right_only_forward",
)
