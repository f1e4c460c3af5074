"""Correct kernels: no mode may object, and every order must give what is expected."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import Case, N, ramp, unset

_ADD = ("add_optional<float, 32>", "add_optional<double, 32>")


def _softmax(arguments: list[Any]) -> Any:
    x = arguments[0].astype(np.float64)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _softmax_arguments() -> list[Any]:
    x = np.random.default_rng(1).normal(size=(2, 37)).astype(np.float32)
    return [x, np.full_like(x, np.nan), np.int32(37)]


def _add(bias: Any) -> Any:
    return lambda: [ramp(), bias, unset(), np.int32(N)]


_adding: dict[str, Any] = {"names": _ADD, "grid": (3,), "block": (32,), "output": 2}
_together: dict[str, Any] = {"grid": (2,), "block": (N // 2,), "cooperative": True}

GOOD = (
    Case(
        "scale",
        "good",
        arguments=lambda: [ramp(), unset(), np.float32(3), np.int32(N)],
        grid=(2,),
        block=(48,),
        result=lambda a: 3 * a[0],
    ),
    Case(
        _ADD[0],
        "good",
        arguments=_add(np.uintp(0)),
        result=lambda a: a[0],
        label="add_without_optional",
        **_adding,
    ),
    Case(
        _ADD[0],
        "good",
        arguments=_add(ramp()),
        result=lambda a: a[0] + a[1],
        label="add_with_optional",
        **_adding,
    ),
    Case("softmax", "good", arguments=_softmax_arguments, grid=(2,), result=_softmax),
    Case("reverse_twice", "good", shared_mem=4 * N, result=lambda a: a[0] + 1),
    Case(
        "swap_in_warp",
        "good",
        block=(32,),
        arguments=lambda: [ramp(32), unset(32), np.int32(32)],
        result=lambda a: a[0].reshape(-1, 2)[:, ::-1].ravel(),
    ),
    Case(
        "scale_vectors",
        "good",
        arguments=lambda: [ramp(), unset(), np.int32(N // 4)],
        result=lambda a: 2 * a[0],
    ),
    Case(
        "count_positive",
        "good",
        block=(32,),
        grid=(3,),
        arguments=lambda: [ramp() - 20, np.zeros(2, np.int32), np.int32(N)],
        result=lambda a: np.full(2, (a[0] > 0).sum()),
    ),
    Case("ping_pong", "good", result=lambda a: a[0][::-1] + 3, **_together),
    Case(
        "ping_pong_by_hand",
        "good",
        result=lambda a: a[0][::-1] + 3,
        arguments=lambda: [ramp(), unset(), np.zeros(2, np.uint32), np.int32(N)],
        **_together,
    ),
    Case(
        "sum_in_tiles",
        "good",
        grid=(2,),
        block=(32,),
        arguments=lambda: [ramp(), unset(8), np.int32(N)],
        result=lambda a: a[0].reshape(8, 8).sum(axis=1),
    ),
)
