"""Is a backward the derivative of its forward? Central differences answer.

For a function y = f(x) and a random upstream gradient dy, let L(x) = Σ dy ∘ y. Backward claims
dx = ∂L/∂x; a central difference measures it without any derivative:

    ∂L/∂x_i ≈ (L(x + ε e_i) - L(x - ε e_i)) / 2ε        error O(ε²) + O(10⁻¹⁶ S / ε)        (1)
    ⟨dx, v⟩ ≈ (L(x + ε v) - L(x - ε v)) / 2ε            one direction v for big inputs      (2)
    S = Σ |dy ∘ y|                                      what L is rounded at                (3)

(2) is the test ⟨dy, J v⟩ = ⟨Jᵀ dy, v⟩ with J v measured. A small gradient of a small function is
judged as strictly as a large one; one that an offset of y hides from the difference passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnseq.backend import Array
from nnseq.tape import Node, Slot, backward_pass
from nnseq.tensor import Tensor, grad

EPSILON = 1e-6
RTOL = 1e-5  # of an entry's own size
ATOL = 1e-7  # of the largest entry
ROUNDINGS = 32  # of the last digit of y, in f and in the difference: what (1) cannot resolve


class GradcheckError(AssertionError):
    """The gradient that backward returns is not the one that central differences measure."""


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    rng: np.random.Generator,
    eps: float = EPSILON,
    rtol: float = RTOL,
    atol: float = ATOL,
) -> None:
    """Compare every entry of every float input's gradient with a central difference, (1).

    The upstream gradients are random: once for all outputs together, then, where there are
    several, once for each alone.

    Args:
        f: takes Tensors, in the order of inputs, and returns a Tensor or a tuple of Tensors.
        inputs: float64 arrays or Tensors; integer and bool arrays and None pass through unchecked.
        rng: draws the upstream gradients.
        eps: the step of the difference.
        rtol, atol: |backward - measured| ≤ rtol |measured| + atol (largest |measured|) + floor,
            where floor = 32 · 2.2e-16 S / eps with S of (3): what the difference cannot resolve.

    Raises:
        GradcheckError: names the input, the index and both values.
        TypeError: a float input is not float64.
        ValueError: an op on the way clips its gradient on purpose, or nothing depends on an input.
    """
    for xs, ys, dys, which in _cases(f, inputs, rng):
        for i, dx in _claimed(xs, ys, dys):
            x = xs[i].data
            measured = np.empty_like(x)
            for index in np.ndindex(x.shape):
                e = np.zeros_like(x)
                e[index] = eps
                measured[index] = _slope(f, xs, {i: e}, dys) / eps
            _compare(f"input {i}, {which}", dx, measured, rtol, atol, _floor(ys, dys, eps))


def gradcheck_directional(
    f: Callable[..., Any],
    *inputs: Any,
    rng: np.random.Generator,
    directions: int = 3,
    eps: float = EPSILON,
    rtol: float = RTOL,
    atol: float = ATOL,
) -> None:
    """Compare the gradient along random unit directions with a central difference, (2).

    Two evaluations per direction whatever the size, so for inputs too big for `gradcheck`; it says
    that an entry is wrong, not which. Args and Raises as for gradcheck.
    """
    for xs, ys, dys, which in _cases(f, inputs, rng):
        claimed = dict(_claimed(xs, ys, dys))
        for _ in range(directions):
            v = {i: rng.standard_normal(dx.shape) for i, dx in claimed.items()}
            length = np.sqrt(sum(float((e * e).sum()) for e in v.values()))
            v = {i: e / length for i, e in v.items()}
            measured = _slope(f, xs, {i: eps * e for i, e in v.items()}, dys) / eps
            along = np.array(sum(float((claimed[i] * v[i]).sum()) for i in v))
            floor = _floor(ys, dys, eps)
            _compare(f"a random direction, {which}", along, np.array(measured), rtol, atol, floor)


def gradgradcheck(
    f: Callable[..., Any], *inputs: Any, rng: np.random.Generator, **tolerances: float
) -> None:
    """Check second derivatives: gradcheck of the function (inputs, dys) -> gradients of f.

    Args and Raises as for gradcheck.
    """
    xs, ys = _evaluate(f, inputs)
    dys = [rng.standard_normal(y.shape) for y in ys]
    checked = [i for i, x in enumerate(xs) if isinstance(x, Tensor) and x.requires_grad]

    def first_derivative(*args: Any) -> tuple[Any, ...]:
        inner = list(args[: len(xs)])
        for i in checked:  # a first derivative is wanted even where only dys is being varied
            inner[i] = inner[i] if inner[i].requires_grad else Tensor(inner[i].data, True)
        outputs = _as_tuple(f(*inner))
        claimed = grad(outputs, [inner[i] for i in checked], args[len(xs) :], create_graph=True)
        return tuple(dx if isinstance(dx, Tensor) else Tensor(dx) for dx in claimed)

    gradcheck(first_derivative, *inputs, *dys, rng=rng, **tolerances)


def _cases(f: Callable[..., Any], inputs: Sequence[Any], rng: np.random.Generator) -> Any:
    """Yield (xs, ys, dys, description): all outputs with an upstream gradient, then each alone."""
    xs, ys = _evaluate(f, inputs)
    number = len(ys)
    if number == 0 or not any(y.requires_grad for y in ys):
        raise ValueError("gradcheck: no output depends on a float input; there is nothing to check")
    yield xs, ys, [rng.standard_normal(y.shape) for y in ys], "all outputs"
    for k in range(number if number > 1 else 0):
        xs, ys = _evaluate(f, inputs)
        dys = [rng.standard_normal(y.shape) if j == k else None for j, y in enumerate(ys)]
        if ys[k].requires_grad:
            yield xs, ys, dys, f"output {k} alone"


def _evaluate(f: Callable[..., Any], inputs: Sequence[Any]) -> tuple[list[Any], tuple[Any, ...]]:
    xs: list[Any] = []
    for i, x in enumerate(inputs):
        data = x.data if isinstance(x, Node) else x
        if not hasattr(data, "dtype") or data.dtype.kind != "f":
            xs.append(x)
            continue
        if data.dtype != np.float64:
            raise TypeError(f"gradcheck: input {i} is {data.dtype}, expected float64")
        xs.append(Tensor(np.array(data), requires_grad=True))
    ys = _as_tuple(f(*xs))
    _refuse_inexact(ys)
    return xs, ys


def _claimed(xs: list[Any], ys: Sequence[Tensor], dys: Sequence[Array | None]) -> Any:
    """Yield (i, what backward claims for input i); zeros where an input has no influence."""
    starts: dict[Slot, Array] = {}
    for y, dy in zip(ys, dys, strict=True):
        if dy is not None and y.requires_grad:
            starts[y.slot] = starts[y.slot] + dy if y.slot in starts else dy
    grads = backward_pass(starts, None, retain_graph=False, create_graph=False)
    for i, x in enumerate(xs):
        if isinstance(x, Tensor) and x.requires_grad:
            yield i, np.asarray(grads.get(x, np.zeros(x.shape)))


def _slope(
    f: Callable[..., Any], xs: list[Any], steps: dict[int, Array], dys: Sequence[Array | None]
) -> float:
    """(L(x + step) - L(x - step)) / 2, summed output by output to keep the rounding small."""
    fixed = [Tensor(x.data) if isinstance(x, Tensor) else x for x in xs]
    up, down = (
        _as_tuple(
            f(*(Tensor(x.data + sign * steps[i]) if i in steps else x for i, x in enumerate(fixed)))
        )
        for sign in (1, -1)
    )
    return sum(
        float((dy * (p.data - m.data)).sum()) / 2
        for p, m, dy in zip(up, down, dys, strict=True)
        if dy is not None
    )


def _floor(ys: Sequence[Tensor], dys: Sequence[Array | None], eps: float) -> float:
    """How far (1) may be off by the rounding of y alone."""
    S = sum(
        float(np.abs(dy * y.data).sum()) for y, dy in zip(ys, dys, strict=True) if dy is not None
    )  # (3)
    return ROUNDINGS * float(np.finfo(np.float64).eps) * S / eps


def _compare(
    where: str, claimed: Array, measured: Array, rtol: float, atol: float, floor: float
) -> None:
    largest = float(np.abs(measured).max(initial=0.0))
    excess = np.abs(claimed - measured) - (rtol * np.abs(measured) + atol * largest + floor)
    wrong = ~(excess <= 0)  # NaN is wrong
    if wrong.any():
        index = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), wrong.shape)
        raise GradcheckError(
            f"gradcheck: {where}: at index {tuple(map(int, index))} backward gives "
            f"{claimed[index]:.10g}, central differences give {measured[index]:.10g}; "
            f"{int(wrong.sum())} of {wrong.size} entries differ"
        )


def _refuse_inexact(ys: Sequence[Tensor]) -> None:
    stack = [y.op for y in ys if y.op is not None]
    seen = set(stack)
    while stack:
        op = stack.pop()
        if op.inexact:
            raise ValueError(f"gradcheck: {op.name}: {op.inexact}; that is not a derivative")
        makers = {edge[0] for edge in op.edges if isinstance(edge, tuple)} - seen
        seen |= makers
        stack += makers


def _as_tuple(ys: Any) -> tuple[Any, ...]:
    return tuple(ys) if isinstance(ys, (tuple, list)) else (ys,)
