"""What every op owes: one call checks an op at given inputs, another compares it with PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nnseq.gradcheck import gradcheck, gradgradcheck
from nnseq.tape import Op
from nnseq.tensor import Tensor, grad

SINGLE = 2e-5  # float32 against float64, of the largest entry: small inputs, a few roundings each


def check_op(f: Callable[..., Any], *inputs: np.ndarray, seconds: bool = True) -> None:
    """Check f at these float64 inputs, in whatever layout they are:

    arrays in, arrays out; the dtype stays; float32 agrees with float64; layouts agree; nobody
    writes into an input, a saved array or an upstream gradient; first and second derivatives are
    right.
    """
    expected, expected_grads = _run(f, [np.array(x, order="C") for x in inputs], np.float64)
    _compare(_run(f, inputs, np.float64), (expected, expected_grads), 1e-11)
    _compare(_run(f, inputs, np.float32), (expected, expected_grads), SINGLE)
    gradcheck(f, *inputs, rng=np.random.default_rng(1))
    if seconds:
        gradgradcheck(f, *inputs, rng=np.random.default_rng(2))


def _run(f: Any, inputs: Any, dtype: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Outputs and gradients, with everything that might be written to made read-only."""
    xs = [Tensor(x.astype(dtype, order="K"), requires_grad=True) for x in inputs]
    for x in xs:
        x.data.setflags(write=False)
    plain = outputs(f(*(x.data for x in xs)))
    assert not any(isinstance(y, Tensor) for y in plain), "arrays went in, a Tensor came out"
    ys = outputs(f(*xs))
    for y, p in zip(ys, plain, strict=True):
        assert y.dtype == p.dtype == dtype, f"{dtype.__name__} went in, {p.dtype} came out"
        np.testing.assert_array_equal(y.data, p)
    rng = np.random.default_rng(3)
    dys = [np.array(rng.standard_normal(y.shape), dtype, order="F") for y in ys]
    for dy in dys:
        dy.setflags(write=False)
    freeze(ys)
    dxs = grad(ys, xs, dys)
    for dx, x in zip(dxs, xs, strict=True):
        assert dx.shape == x.shape
        assert dx.dtype == dtype, f"{dtype.__name__} went in, the gradient is {dx.dtype}"
    return plain, dxs


def outputs(ys: Any) -> list[Any]:
    return list(ys) if isinstance(ys, tuple) else [ys]


def freeze(ys: list[Tensor]) -> None:
    """Make read-only all that the ops behind ys saved, so that a write in backward raises."""
    stack = [y.op for y in ys]
    while stack:
        op = stack.pop()
        if isinstance(op, Op):
            for saved, _ in op._saved or ():
                if isinstance(saved, np.ndarray):
                    saved.setflags(write=False)
            stack += [edge[0] for edge in op.edges if isinstance(edge, tuple)]


def _compare(got: Any, expected: Any, tolerance: float) -> None:
    for kind, gs, es in zip(("output", "gradient"), got, expected, strict=True):
        for i, (g, e) in enumerate(zip(gs, es, strict=True)):
            scale = np.abs(e).max(initial=1.0)
            np.testing.assert_allclose(
                g, e, rtol=0, atol=tolerance * scale, err_msg=f"{kind} {i} in {np.asarray(g).dtype}"
            )


def compare_with_torch(ours: Any, theirs: Any, *inputs: np.ndarray, rtol: float = 1e-10) -> None:
    """Compare outputs and all gradients, float64, with random upstream gradients.

    Args:
        ours: takes Tensors and returns one or several.
        theirs: takes torch tensors, and torch itself as the first argument.
    """
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: parity)")
    xs = [Tensor(x, requires_grad=True) for x in inputs]
    qs = [torch.tensor(x, requires_grad=True) for x in inputs]
    ys, ps = outputs(ours(*xs)), outputs(theirs(torch, *qs))
    rng = np.random.default_rng(4)
    dys = [rng.standard_normal(y.shape) for y in ys]
    dxs = grad(ys, xs, dys)
    dqs = torch.autograd.grad(ps, qs, [torch.tensor(dy) for dy in dys])
    for mine, other in zip([*(y.data for y in ys), *dxs], [*ps, *dqs], strict=True):
        other = other.detach().numpy()
        np.testing.assert_allclose(mine, other, rtol=0, atol=rtol * np.abs(other).max(initial=1.0))


def normal(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Standard normal arrays of these shapes."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]
