"""Every public op on CuPy arrays: outputs and gradients are NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from nnseq import ops
from nnseq.tensor import Tensor, grad
from tests.kernels.indrnn.parity import require_gpu
from tests.ops.check import outputs

INDEX = np.array([[2, 0, 1], [1, 1, 0]])
MASK = np.array([[1, 1, 0, 1, 1], [1, 0, 1, 1, 1]], bool).T  # (5, 2)


class Call(NamedTuple):
    """An example: f(put, *xs) with xs drawn in these shapes, entries in [low, high).

    What is no float, such as a mask, goes through put to where the xs are.
    """

    f: Callable[..., Any]
    shapes: list[tuple[int, ...]]
    low: float = -2.0
    high: float = 2.0


def plain(name: str, *shapes: tuple[int, ...], low: float = -2.0, **options: Any) -> Call:
    """A call of an op that takes the xs alone, and options."""
    return Call(lambda _, *xs: getattr(ops, name)(*xs, **options), list(shapes), low)


def listed(name: str, *shapes: tuple[int, ...], **options: Any) -> Call:
    """A call of an op that takes a list of xs."""
    return Call(lambda _, *xs: getattr(ops, name)(list(xs), **options), list(shapes))


N = (3, 4)
BN = ((5, 2, 3), (3,), (3,))
CALLS: dict[str, list[Call]] = {
    "abs": [plain("abs", N)],
    "batch_norm": [
        plain("batch_norm", *BN),
        plain("batch_norm", *BN, per_step=True),
        Call(lambda put, *xs: ops.batch_norm(*xs, mask=put(MASK)), list(BN)),
    ],
    "batch_norm_eval": [
        plain("batch_norm_eval", *BN, (3,), (3,), low=0.5),
        plain("batch_norm_eval", *BN, (5, 3), (5, 3), low=0.5),
    ],
    "binary_cross_entropy": [
        Call(lambda put, a: ops.binary_cross_entropy(a, put(INDEX > 0)), [(2, 3)]),
        Call(
            lambda put, a, w: ops.binary_cross_entropy(a, put(INDEX > 0), weights=w * w),
            [(2, 3)] * 2,
        ),
    ],
    "broadcast_to": [plain("broadcast_to", (3, 1), shape=(2, 3, 4))],
    "clip": [Call(lambda _, x: ops.clip(x, -1.0, 1.0), [N])],
    "concat": [listed("concat", (2, 3), (2, 1), axis=1)],
    "conv1d": [
        plain("conv1d", (6, 2, 3), (2, 3, 4), (4,), dilation=2),
        plain("conv1d", (6, 2, 3), (3, 3, 4)),
    ],
    "conv2d": [
        plain("conv2d", (2, 7, 6, 3), (3, 2, 3, 4), (4,), stride=(2, 1), padding=(1, 0)),
        plain("conv2d", (2, 4, 5, 1), (2, 2, 1, 3)),
    ],
    "cos": [plain("cos", N)],
    "cross_entropy": [
        Call(lambda put, a: ops.cross_entropy(a, put(INDEX)), [(2, 3, 4)]),
        Call(
            lambda put, a, w: ops.cross_entropy(a, put(INDEX), weights=w * w, reduction="sum"),
            [(2, 3, 4), (2, 3)],
        ),
    ],
    "cumsum": [plain("cumsum", N, axis=0), plain("cumsum", N, axis=1, reverse=True)],
    "dft": [plain("dft", (3, 5), (3, 5)), plain("dft", N, N, axis=0, norm="ortho")],
    "dropout": [Call(lambda put, x: ops.dropout(x, put(MASK), 0.3), [(5, 2)])],
    "embedding": [Call(lambda put, W: ops.embedding(W, put(INDEX)), [N])],
    "erf": [plain("erf", N)],
    "exp": [plain("exp", N)],
    "expand_dims": [plain("expand_dims", N, axis=1)],
    "flip": [plain("flip", N, axis=1)],
    "gelu": [plain("gelu", N)],
    "getitem": [
        Call(lambda _, x: ops.getitem(x, (slice(None, None, -2), None, 1)), [N]),
        Call(lambda put, x: ops.getitem(x, put(INDEX)), [N]),
        Call(lambda put, x: ops.getitem(x, (put(INDEX), put(INDEX))), [N]),
        Call(lambda put, x: ops.getitem(x, put(MASK)), [(5, 2)]),
    ],
    "idft": [plain("idft", (3, 5), (3, 5)), plain("idft", N, N, axis=0)],
    "layer_norm": [plain("layer_norm", (2, 3, 4), (4,), (4,))],
    "linear": [plain("linear", (5, 2, 3), (3, 4), (4,)), plain("linear", (2, 3), (3, 4))],
    "log": [plain("log", N, low=0.5)],
    "log_softmax": [plain("log_softmax", N), plain("log_softmax", N, axis=0)],
    "logsumexp": [plain("logsumexp", N), plain("logsumexp", N, axis=1, keepdims=True)],
    "masked_fill": [Call(lambda put, x: ops.masked_fill(x, put(MASK), 0.5), [(5, 2)])],
    "matmul": [
        plain("matmul", (2, 3), (3, 4)),
        plain("matmul", (5, 2, 3), (5, 3, 4)),
        plain("matmul", (3,), (5, 3, 4)),
    ],
    "max": [plain("max", N), plain("max", N, axis=1)],
    "maximum": [plain("maximum", N, (4,))],
    "mean": [plain("mean", N), plain("mean", N, axis=0)],
    "min": [plain("min", N), plain("min", N, axis=1)],
    "minimum": [plain("minimum", N, (4,))],
    "mse": [plain("mse", N, N), plain("mse", N, N, reduction="none")],
    "pad": [plain("pad", N, widths=[(1, 0), (2, 3)], value=0.5)],
    "power": [plain("power", N, (4,), low=0.5)],
    "relu": [plain("relu", N)],
    "reshape": [plain("reshape", N, shape=(2, 6))],
    "roll": [plain("roll", N, shift=3, axis=1)],
    "sigmoid": [plain("sigmoid", N)],
    "sin": [plain("sin", N)],
    "softmax": [plain("softmax", N), plain("softmax", N, axis=0)],
    "softplus": [plain("softplus", N)],
    "split": [plain("split", (3, 6), sizes=[1, 2, 3], axis=1)],
    "sqrt": [plain("sqrt", N, low=0.5)],
    "squeeze": [plain("squeeze", (3, 1, 4), axis=1)],
    "stack": [listed("stack", N, N, axis=1)],
    "sum": [plain("sum", N), plain("sum", N, axis=(0,)), plain("sum", (40, 40, 3), axis=(0, 1))],
    "swapaxes": [plain("swapaxes", N, axis1=0, axis2=1)],
    "take_along_axis": [Call(lambda put, x: ops.take_along_axis(x, put(INDEX), 1), [(2, 4)])],
    "tanh": [plain("tanh", N)],
    "transpose": [plain("transpose", (2, 3, 4), axes=(2, 0, 1))],
    "unbind": [plain("unbind", N, axis=1)],
    "var": [plain("var", N), plain("var", N, axis=0)],
    "where": [Call(lambda put, x, y: ops.where(put(MASK), x, y), [(5, 2), (2,)])],
}

EXAMPLES = [
    pytest.param(call, id=f"{name}-{k}")
    for name, calls in CALLS.items()
    for k, call in enumerate(calls)
]


def run(call: Call, xp: Any) -> list[np.ndarray]:
    """Outputs and the gradients of all xs, computed with the array module xp, on the CPU."""
    rng = np.random.default_rng(0)
    drawn = [rng.uniform(call.low, call.high, shape) for shape in call.shapes]
    xs = [Tensor(xp.asarray(x), requires_grad=True) for x in drawn]
    ys = outputs(call.f(xp.asarray, *xs))
    dxs = grad(ys, xs, [xp.asarray(rng.standard_normal(y.shape)) for y in ys])
    arrays = [*(y.data for y in ys), *dxs]
    assert all(isinstance(a, xp.ndarray) for a in arrays)
    return [a if xp is np else xp.asnumpy(a) for a in arrays]


def compare(call: Call, xp: Any) -> None:
    for got, right in zip(run(call, xp), run(call, np), strict=True):
        assert got.dtype == right.dtype == np.float64
        assert got.shape == right.shape
        assert np.isfinite(right).all()
        assert right.any()
        np.testing.assert_allclose(got, right, rtol=0, atol=1e-10 * np.abs(right).max())


def test_every_public_op_has_an_example() -> None:
    assert sorted(CALLS) == sorted(ops.__all__)
    assert all(CALLS.values())


@pytest.mark.parametrize("call", EXAMPLES)
def test_the_examples_run_on_the_cpu(call: Call) -> None:
    compare(call, np)


@pytest.mark.gpu
@pytest.mark.parametrize("call", EXAMPLES)
def test_an_op_on_the_gpu_agrees_with_the_cpu(call: Call) -> None:
    compare(call, require_gpu())
